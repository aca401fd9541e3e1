"""Variation of bits, categories, integers and permutations."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "bit_flip",
    "category_reset",
    "integer_step",
    "invert_segment",
    "k_point_crossover",
    "order_crossover",
    "round_integers",
    "swap_positions",
    "uniform_crossover",
]


def uniform_crossover(
    first: Tensor, second: Tensor, uniforms: Tensor, *, probability: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Return two children that exchange each variable with a probability; shapes (..., q, d), any dtype."""
    exchanged = uniforms < probability
    return torch.where(exchanged, second, first), torch.where(exchanged, first, second)


def k_point_crossover(first: Tensor, second: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """Return two children that exchange the segments between random cuts.

    Parameters
    ----------
    first, second : Tensor, shape (..., q, d)
        Any dtype.
    uniforms : Tensor, shape (..., q, k)
        One for each cut; a cut lies before one of the variables 1 ... d - 1. Two cuts at one place cancel
        out.

    Returns
    -------
    Tensor, Tensor, shape (..., q, d)
        With one variable, or no cut, the parents.
    """
    d = first.shape[-1]
    if d == 1:
        return first.clone(), second.clone()
    cuts = 1 + (uniforms.double() * (d - 1)).to(torch.int64).clamp_(max=d - 2)
    marks = torch.zeros(first.shape, dtype=torch.int64, device=first.device)
    exchanged = marks.scatter_add_(-1, cuts, torch.ones_like(cuts)).cumsum(-1) % 2 == 1
    return torch.where(exchanged, second, first), torch.where(exchanged, first, second)


def bit_flip(x: Tensor, uniforms: Tensor, *, probability: float) -> Tensor:
    """Return a copy with each bit flipped with a probability; `x` holds bool, or 0 and 1 of any dtype."""
    flipped = uniforms < probability
    return x ^ flipped if x.dtype == torch.bool else torch.where(flipped, 1 - x, x)


def category_reset(x: Tensor, uniforms: Tensor, sizes: Tensor, *, probability: float) -> Tensor:
    """Return a copy in which each category has become another one with a probability, all others alike.

    Parameters
    ----------
    x : Tensor, shape (..., n, d)
        Categories 0 ... size - 1, in any dtype.
    uniforms : Tensor, shape (..., n, d)
    sizes : Tensor, shape (d,), int64
        Number of categories of each variable; with one nothing changes.
    """
    changed = (uniforms < probability) & (sizes > 1)
    fresh = uniforms.double() * ((sizes - 1) / probability)
    other = torch.minimum(fresh.to(torch.int64), (sizes - 2).clamp(min=0)).to(x.dtype)
    return torch.where(changed, other + (other >= x).to(x.dtype), x)


def integer_step(
    x: Tensor, uniforms: Tensor, lower: Tensor, upper: Tensor, *, probability: float, mean_step: float | Tensor = 1.0
) -> Tensor:
    """Return a copy in which each integer has moved with a probability by a geometric step, either way.

    Parameters
    ----------
    x : Tensor, shape (..., n, d)
        Whole numbers, in any dtype.
    uniforms : Tensor, shape (..., 2, n, d)
        Whether and where to, and how far.
    lower, upper : Tensor, shape (d,)
        Steps beyond a bound end at it; a step away from a bound on which `x` lies goes the other way.
    mean_step : float, or Tensor that broadcasts to (..., n, d), at least 1
    """
    moved = uniforms[..., 0, :, :] < probability
    sign = torch.where(uniforms[..., 0, :, :] < 0.5 * probability, -1.0, 1.0).to(torch.float64)
    sign = torch.where(x <= lower, 1.0, torch.where(x >= upper, -1.0, sign))
    size = torch.ones_like(sign)
    if isinstance(mean_step, Tensor) or mean_step > 1:
        stay = 1 - 1 / torch.as_tensor(mean_step, dtype=torch.float64, device=x.device)
        size = 1 + (torch.log1p(-uniforms[..., 1, :, :].double()) / stay.log()).floor()
    target = torch.minimum(torch.maximum(x + sign * size, lower), upper)
    return torch.where(moved, target.to(x.dtype), x)


def round_integers(x: Tensor, is_integer: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Return `x` with the marked variables rounded and kept within their bounds; (..., n, d), (d,)."""
    whole = torch.minimum(torch.maximum(x.round(), lower.ceil()), upper.floor())
    return torch.where(is_integer, whole, x)


def _segment(uniforms: Tensor, d: int) -> tuple[Tensor, Tensor]:
    """Return the first and last position of random segments; (..., q, 2) -> two of (..., q, 1)."""
    ends = (uniforms.double() * d).to(torch.int64).clamp_(max=d - 1).sort(dim=-1).values
    return ends[..., :1], ends[..., 1:]


def order_crossover(first: Tensor, second: Tensor, uniforms: Tensor) -> Tensor:
    """Return one child of every pair of permutations: a segment of the first, the rest as in the second.

    Parameters
    ----------
    first, second : Tensor, shape (..., q, d), int64
        Permutations of 0 ... d - 1.
    uniforms : Tensor, shape (..., q, 2)

    Returns
    -------
    Tensor, shape (..., q, d), int64
        Permutations. O(q d log d).

    References
    ----------
    L. Davis, Applying adaptive algorithms to epistatic domains, 1985 (OX). The rest is filled in from behind
    the segment, in the order of the second parent from behind the segment.
    """
    d = first.shape[-1]
    begin, end = _segment(uniforms, d)
    index = torch.arange(d, device=first.device)
    place = first.argsort(dim=-1)
    turn = (index + end + 1) % d
    queue = second.gather(-1, turn)
    home = place.gather(-1, queue)
    free = (home < begin) | (home > end)
    slot = (end + free.to(torch.int64).cumsum(-1)) % d
    # Members of the segment go to their own places, the others to the next free one.
    return torch.empty_like(first).scatter_(-1, torch.where(free, slot, home), queue)


def swap_positions(x: Tensor, uniforms: Tensor) -> Tensor:
    """Return a copy of each row with two random positions exchanged; (..., n, d), uniforms (..., n, 2)."""
    begin, end = _segment(uniforms, x.shape[-1])
    index = torch.arange(x.shape[-1], device=x.device)
    source = torch.where(index == begin, end, torch.where(index == end, begin, index))
    return x.gather(-1, source)


def invert_segment(x: Tensor, uniforms: Tensor) -> Tensor:
    """Return a copy of each row with a random segment reversed; (..., n, d), uniforms (..., n, 2)."""
    begin, end = _segment(uniforms, x.shape[-1])
    index = torch.arange(x.shape[-1], device=x.device)
    inside = (index >= begin) & (index <= end)
    return x.gather(-1, torch.where(inside, begin + end - index, index))
