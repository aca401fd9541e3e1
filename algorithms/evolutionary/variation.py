"""Variation of real vectors: simulated binary crossover, polynomial mutation, differential evolution.

Powers are taken as exp(c log x): unlike `pow`, these two give the same bits wherever an element lies in a
tensor, so a run computes the same numbers alone and in a batch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = [
    "binomial_crossover",
    "differential",
    "mutation_count",
    "mutation_sites",
    "polynomial_mutation",
    "simulated_binary_crossover",
]


def simulated_binary_crossover(
    first: Tensor,
    second: Tensor,
    uniforms: Tensor,
    lower: Tensor,
    upper: Tensor,
    *,
    eta: float = 20.0,
    probability: float = 0.5,
    bounded: bool = False,
    single: bool = False,
) -> Tensor:
    """Return two children of every pair of parents, by simulated binary crossover.

    Parameters
    ----------
    first, second : Tensor, shape (..., q, d)
        Parents, within the bounds.
    uniforms : Tensor, shape (..., q, d)
        One uniform number for each variable of a pair; its parts decide about crossing, exchange and spread.
    lower, upper : Tensor, shape (d,)
    eta : float
        Distribution index; larger stays nearer to the parents.
    probability : float, in (0, 1]
        Chance of each variable to be crossed. Of the crossed ones, half are exchanged between the children.
    bounded : bool, default False
        Spread from a distribution that ends at the bounds (Deb's later form) instead of clipping to them.
    single : bool, default False
        Return the first child of every pair only.

    Returns
    -------
    Tensor, shape (..., 2 q, d), or (..., q, d) if `single`
        The first child of every pair, then the second of every pair. Variables that are not crossed are
        exactly those of the parents. O(q d) time and memory.

    References
    ----------
    K. Deb, R. Agrawal, Simulated binary crossover for continuous search space, 1995; bounded: K. Deb, H.-G.
    Beyer, Self-adaptive genetic algorithms with simulated binary crossover, 2001, and Deb's NSGA-II code.
    """
    crossed = uniforms < probability
    side = uniforms * (2 / probability) - 1
    exchanged = side < 0
    least = torch.finfo(side.dtype).eps
    u = side.abs_().clamp_(least, 1 - least)
    middle, half = (first + second) * 0.5, (first - second) * 0.5
    if bounded:
        distance = (half.abs() * 2).clamp_min(torch.finfo(half.dtype).tiny)
        low, high = torch.minimum(first, second), torch.maximum(first, second)
        to_low = _spread(u, eta, (low - lower) / distance)
        to_high = _spread(u, eta, (upper - high) / distance)
        upwards = half >= 0
        plus, minus = torch.where(upwards, to_high, to_low), torch.where(upwards, to_low, to_high)
    else:
        plus = minus = _spread(u, eta, None)
    above, below = middle + plus * half, middle - minus * half
    swap = exchanged & crossed
    one = torch.where(crossed, torch.where(swap, below, above), first)
    if single:
        return one.clamp_(lower, upper)
    two = torch.where(crossed, torch.where(swap, above, below), second)
    return torch.cat([one, two], dim=-2).clamp_(lower, upper)


def _spread(u: Tensor, eta: float, room: Tensor | None) -> Tensor:
    """Return the spread factor; `room` is the distance to the bound in units of the parents' distance."""
    w = 2 * u
    if room is not None:
        # The density is cut at the bound and scaled up: 2 - beta^-(eta + 1) instead of 2.
        w = u * (2 - torch.exp(-(eta + 1) * torch.log1p(2 * room)))
    power = torch.where(w <= 1, w.log(), -(2 - w).log())
    return torch.exp(power / (eta + 1))


def mutation_count(total: int, probability: float) -> int:
    """Return how many gaps to draw so that `total` sites are covered but for a chance below 1e-12."""
    mean = total * min(1.0, probability)
    return max(1, min(total, math.ceil(mean + 8 * math.sqrt(mean) + 16)))


def mutation_sites(uniforms: Tensor, probability: float, total: int) -> tuple[Tensor, Tensor]:
    """Return the sites that mutate when each of `total` does so with a probability, from geometric gaps.

    Takes as many random numbers as sites mutate, instead of `total`.

    Parameters
    ----------
    uniforms : Tensor, shape (..., c)
        With c = `mutation_count(total, probability)`.

    Returns
    -------
    sites : Tensor, shape (..., c), int64
        Strictly increasing where valid; invalid entries repeat the first.
    source : Tensor, shape (..., c), int64
        For each entry the position of the entry that it repeats: its own where valid, else 0.
        If not even the first is valid it names the last site, and `source` is -1.
    """
    if probability >= 1:
        gaps = torch.ones_like(uniforms, dtype=torch.int64)
    else:
        scale = 1 / math.log1p(-probability)
        gaps = (torch.log1p(-uniforms.double()) * scale).clamp_(max=float(total)).to(torch.int64) + 1
    sites = gaps.cumsum(-1) - 1
    valid = sites < total
    index = torch.arange(sites.shape[-1], device=sites.device)
    source = torch.where(valid, index, torch.where(valid[..., :1], 0, -1))
    return torch.where(valid, sites, sites[..., :1].clamp(max=total - 1)), source


def polynomial_mutation(
    x: Tensor,
    uniforms: Tensor,
    lower: Tensor,
    upper: Tensor,
    *,
    eta: float = 20.0,
    probability: float | None = None,
    in_place: bool = False,
) -> Tensor:
    """Return a copy in which each entry has moved with a probability, by the polynomial distribution.

    Only the entries that move are computed.

    Parameters
    ----------
    x : Tensor, shape (..., n, d)
        Within the bounds; contiguous if `in_place`.
    uniforms : Tensor, shape (..., 2, c)
        With c = `mutation_count(n * d, probability)`: gaps between sites, and steps.
    lower, upper : Tensor, shape (d,)
        Where both are equal nothing moves.
    probability : float, optional
        Default 1 / d.
    in_place : bool, default False
        Write into `x` itself.

    Returns
    -------
    Tensor, shape (..., n, d)
        Within the bounds. O(n d probability) time and memory beside the copy.

    References
    ----------
    K. Deb, R. Agrawal, A niched-penalty approach for constraint handling in genetic algorithms, 1999; the
    form whose steps end at the bounds.
    """
    n, d = x.shape[-2:]
    sites, source = mutation_sites(uniforms[..., 0, :], 1 / d if probability is None else probability, n * d)
    step = uniforms[..., 1, :].gather(-1, source.clamp(min=0))
    out = x if in_place else x.clone(memory_format=torch.contiguous_format)
    flat = out.view(*x.shape[:-2], n * d)
    old = flat.gather(-1, sites)
    variable = sites % d
    low, high = lower[variable], upper[variable]
    span = high - low
    downwards = step < 0.5
    room = torch.where(downwards, old - low, high - old) / span.clamp(min=torch.finfo(x.dtype).tiny)
    # A reach of 0 does not move; 1 moves to the bound.
    reach = (2 * step - 1).abs_()
    base = 1 - reach + reach * ((1 - room).clamp_(0, 1).log_() * (eta + 1)).exp_()
    move = (1 - (base.log_() / (eta + 1)).exp_()) * span
    new = torch.where(downwards, old - move, old + move).clamp_(low, high)
    new = torch.where(source >= 0, new, old)
    flat.scatter_(-1, sites, new)
    return out


def differential(base: Tensor, plus: Tensor, minus: Tensor, scale: float | Tensor) -> Tensor:
    """Return base + scale (plus - minus), the mutant of differential evolution; any equal shapes."""
    return base + scale * (plus - minus)


def binomial_crossover(target: Tensor, mutant: Tensor, uniforms: Tensor, *, rate: float | Tensor = 0.9) -> Tensor:
    """Return trial vectors: each variable from the mutant with a chance, one of them always.

    Parameters
    ----------
    target, mutant : Tensor, shape (..., n, d)
    uniforms : Tensor, shape (..., n, d + 1)
        One for each variable, and one that says which variable always comes from the mutant.
    rate : float or Tensor, shape (..., n, 1), in [0, 1]

    Returns
    -------
    Tensor, shape (..., n, d)

    References
    ----------
    R. Storn, K. Price, Differential evolution, 1997.
    """
    d = target.shape[-1]
    forced = (uniforms[..., d:].double() * d).to(torch.int64).clamp_(max=d - 1)
    taken = (uniforms[..., :d] < rate) | (torch.arange(d, device=target.device) == forced)
    return torch.where(taken, mutant, target)
