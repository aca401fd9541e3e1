"""Random moves: the diffusion terms, coordinate subsets and jumps. All draws come from the generator that is given."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from blackbox.algorithms.consensus._options import Jumps, Subset

__all__ = [
    "apply_subset_and_jumps",
    "covariance_noise",
    "diffusion",
    "ensemble_difference",
    "pick_rows",
    "random_others",
    "spread_factor",
]


def diffusion(
    gap: Tensor, xi: Tensor, kind: Literal["component", "isotropic", "constant"], truncation: float | None = None
) -> Tensor:
    """Return the noise of each particle, without its strength sigma sqrt(dt).

    Parameters
    ----------
    gap : Tensor, shape (..., d)
        x - c.
    xi : Tensor, shape (..., d)
        Standard normals.
    kind : str
        "component": gap * xi; "isotropic": |gap| xi; "constant": xi.
    truncation : float, optional
        Gaps longer than this count as this long (truncated noise: Fornasier, Richtarik, Riedl, Sun 2023).
    """
    if kind == "constant":
        return xi
    if truncation is None:
        return gap * xi if kind == "component" else gap.norm(dim=-1, keepdim=True) * xi
    length = gap.norm(dim=-1, keepdim=True)
    if kind == "isotropic":
        return length.clamp_max(truncation) * xi
    return gap * (truncation / length.clamp_min(truncation)) * xi


def covariance_noise(gap: Tensor, w: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Return n draws with the weighted covariance C = sum_j w_j gap_j gap_j'.

    Parameters
    ----------
    gap : Tensor, shape (B, m, d)
        x_j - c.
    w : Tensor, shape (B, m)
    n : int
    generator : torch.Generator

    Returns
    -------
    Tensor, shape (B, n, d)
        With fewer particles than variables, normals times the m columns gap_j sqrt(w_j); otherwise times the
        triangular factor of these, R'R = C. No eigenvalue can come out negative, and no d x d root is made for
        m < d. O(B (n + d) m d).
    """
    factor = gap * w[..., None].sqrt()
    if factor.shape[-2] > factor.shape[-1]:
        factor = torch.linalg.qr(factor, mode="r").R
    shape = (factor.shape[0], n, factor.shape[-2])
    return torch.randn(shape, dtype=gap.dtype, device=gap.device, generator=generator) @ factor


def pick_rows(x: Tensor, rows: Tensor) -> Tensor:
    """Return x[b, rows[b]] for points x (B, n, d) and rows (B, k), shape (B, k, d)."""
    runs, n, d = x.shape
    if runs > 1:
        rows = rows + torch.arange(0, runs * n, n, device=x.device)[:, None]
    return x.reshape(runs * n, d).index_select(0, rows.reshape(-1)).reshape(runs, -1, d)


def random_others(runs: int, n: int, generator: torch.Generator, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return for each particle i one other p != i, and one q != p, shapes (runs, n); i itself where n is 1."""
    here = torch.arange(n, device=device).expand(runs, n)
    if n == 1:
        return here, here
    steps = torch.randint(1, n, (2, runs, n), generator=generator, device=device)
    first = (here + steps[0]) % n
    return first, (first + steps[1]) % n


def ensemble_difference(x: Tensor, n: int, generator: torch.Generator, rows: Tensor | None = None) -> Tensor:
    """Return for each of n particles the difference of two random ones of x (B, m, d), shape (B, n, d).

    Its covariance is about twice that of the ensemble. `rows` (B, n) tells which particles of x they are.
    """
    first, second = random_others(x.shape[0], x.shape[1], generator, x.device)
    if rows is not None and rows.shape[1] != x.shape[1]:
        first, second = first.gather(1, rows), second.gather(1, rows)
    return pick_rows(x, first[:, :n]).sub_(pick_rows(x, second[:, :n]))


def spread_factor(shape: tuple[int, int], spread: float, like: Tensor, generator: torch.Generator) -> Tensor:
    """Return log-normal factors exp(spread * normal), shape (*shape, 1)."""
    normal = torch.randn((*shape, 1), dtype=like.dtype, device=like.device, generator=generator)
    return normal.mul_(spread).exp_()


def apply_subset_and_jumps(
    step: Tensor, subset: Subset | None, jumps: Jumps | None, generator: torch.Generator
) -> Tensor:
    """Write to `step` (B, n, d): zero outside random subsets of coordinates; in some rows, one jump instead.

    Every row keeps at least one coordinate. Returns `step`.
    """
    runs, n, d = step.shape
    if subset is None and (jumps is None or jumps.probability == 0):
        return step
    device = step.device
    u = torch.rand((5, runs, n, 1), generator=generator, device=device)
    one = (u[0] * d).long().clamp_(max=d - 1)
    chosen = step.gather(-1, one)
    probability = torch.exp((u[1] ** subset.exponent - 1) * math.log(d)) if subset else torch.ones_like(u[1])
    if jumps is not None:
        leaps = u[2] < jumps.probability
        width = math.log(jumps.largest / jumps.smallest)
        normal = torch.randn(one.shape, dtype=step.dtype, device=device, generator=generator)
        jump = normal * (torch.exp(u[3] * width) * jumps.smallest).to(step.dtype)
        chosen = torch.where(leaps, jump, chosen)
        probability = torch.where(leaps, 0.0, probability)
    if subset is None:
        step.mul_(probability)  # zero or one
    else:
        still = torch.rand(step.shape, generator=generator, device=device) >= probability
        step.masked_fill_(still, 0.0)
    return step.scatter_(-1, one, chosen)
