"""HypE: shares of the hypervolume, by common random samples in blocks, and exactly where that is cheap."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["exact_contributions", "hype_fitness", "hype_weights"]

_BLOCK_CPU = 1 << 20
_BLOCK_ACCELERATOR = 1 << 26


def hype_weights(n: int, n_remove: int, *, device: torch.device | str | None = None) -> Tensor:
    """Return the weight of a part of space that c of n points dominate, for c = 0 ... n.

    The weight is the expected share of a point in the loss when it and `n_remove` - 1 random others go:
    (1 / c) prod_{l=1}^{c-1} (k - l) / (n - l) for c <= k, and 0 for c > k.

    Returns
    -------
    Tensor, shape (n + 1,), float64

    References
    ----------
    J. Bader, E. Zitzler, HypE, 2011, equation 11 (theorem 3.3).
    """
    count = torch.arange(1, n, dtype=torch.float64, device=device)
    factors = ((n_remove - count).clamp(min=0) / (n - count)).cumprod(0)
    products = torch.cat([torch.ones(1, dtype=torch.float64, device=device), factors])[:n]
    weights = products / torch.arange(1, n + 1, dtype=torch.float64, device=device)
    return torch.cat([torch.zeros(1, dtype=torch.float64, device=device), weights])


def hype_fitness(
    f: Tensor,
    reference: Tensor,
    n_remove: int,
    uniforms: Tensor,
    *,
    mask: Tensor | None = None,
) -> Tensor:
    """Return the HypE fitness of every row, estimated with common samples; larger is better.

    Parameters
    ----------
    f : Tensor, shape (..., n, m)
        Finite values, or +inf for rows that have no part.
    reference : Tensor, shape (..., m)
        Rows that are not below it in every objective have fitness 0.
    n_remove : int
        How many rows are to go; the number of rows for mating selection.
    uniforms : Tensor, shape (s, m) or (..., s, m)
        Samples of the unit cube, uniform, stratified or Sobol; stretched over the box between the best value
        of each objective and the reference.
    mask : Tensor, shape (..., n), bool, optional
        Rows that take part; the number that `n_remove` is taken from is theirs. Others have fitness 0.

    Returns
    -------
    Tensor, shape (..., n), dtype of `f`
        O(s n m) time, O(block) memory.

    References
    ----------
    J. Bader, E. Zitzler, HypE, 2011, algorithm 3.
    """
    lead, (n, m) = f.shape[:-2], f.shape[-2:]
    inside = (f < reference.unsqueeze(-2)).all(-1)
    inside = inside if mask is None else inside & mask
    columns = torch.where(inside.unsqueeze(-1), f, torch.inf).mT.reshape(-1, m, n)
    corner = reference.expand(*lead, m).reshape(-1, m)
    samples = uniforms.to(f.dtype).expand(*lead, *uniforms.shape[-2:]).reshape(-1, *uniforms.shape[-2:])
    taking = torch.full_like(inside[..., 0], n, dtype=torch.int64) if mask is None else mask.sum(-1)
    parts = [
        _fitness(columns[run], corner[run], hype_weights(int(size), n_remove, device=f.device), samples[run])
        for run, size in enumerate(taking.reshape(-1).tolist())
    ]
    return torch.stack(parts).reshape(*lead, n) if parts else f.new_zeros(*lead, n)


def _fitness(columns: Tensor, reference: Tensor, weights: Tensor, samples: Tensor) -> Tensor:
    m, n = columns.shape
    low = columns.amin(-1)
    low = torch.where(low < torch.inf, low, reference)
    sides = reference - low
    block = _BLOCK_CPU if columns.device.type == "cpu" else _BLOCK_ACCELERATOR
    total = torch.zeros(n, dtype=columns.dtype, device=columns.device)
    weights = weights.to(columns.dtype)
    ones = torch.ones(n, dtype=columns.dtype, device=columns.device)
    rows = max(1, block // n)
    for start in range(0, len(samples), rows):
        points = low + sides * samples[start : start + rows]
        dominates = columns[0] <= points[:, :1]
        for k in range(1, m):
            dominates &= columns[k] <= points[:, k : k + 1]
        table = dominates.to(columns.dtype)
        count = (table @ ones).to(torch.int64)
        total += weights[count] @ table
    return total * (sides.prod() / len(samples))


def exact_contributions(f: Tensor, reference: Tensor) -> Tensor:
    """Return by how much the hypervolume falls when a row alone is taken away: HypE with one to remove.

    Parameters
    ----------
    f : Tensor, shape (..., n, m)
        Dominated rows, duplicates, and rows that are not below the reference contribute 0 and do not count
        for the others' contributions; so do rows with NaN.
    reference : Tensor, shape (..., m)

    Returns
    -------
    Tensor, shape (..., n), dtype of `f`
        m = 2: by one sort on any device. Otherwise moocore, on the CPU: O(n log n) with m = 3; dear from m =
        5 on.
    """
    usable = (f < reference.unsqueeze(-2)).all(-1, keepdim=True)
    clean = torch.where(usable, f, reference.unsqueeze(-2))
    if f.shape[-1] == 1:
        return _contributions_1(clean[..., 0], reference)
    if f.shape[-1] == 2:
        return _contributions_2(clean, reference)
    return _contributions_compiled(clean, reference)


def _contributions_1(value: Tensor, reference: Tensor) -> Tensor:
    best = value.amin(-1, keepdim=True)
    is_best = value == best
    alone = is_best & (is_best.sum(-1, keepdim=True) == 1)
    return torch.where(alone, reference - best, 0.0)


def _contributions_2(f: Tensor, reference: Tensor) -> Tensor:
    n = f.shape[-2]
    x, y = f.unbind(-1)
    reference = reference.expand(*f.shape[:-2], 2)
    order = y.argsort(dim=-1, stable=True)
    order = order.gather(-1, x.gather(-1, order).argsort(dim=-1, stable=True))
    x, y = x.gather(-1, order), y.gather(-1, order)
    before = torch.cat([reference[..., 1:], y.cummin(-1).values[..., :-1]], dim=-1)
    on_front = (y < before) & (x < reference[..., :1])
    # The next row of the front gives the right end, the one before it the upper.
    index = torch.where(on_front, torch.arange(n, device=f.device), n)
    following = index.flip(-1).cummin(-1).values.flip(-1)
    following = torch.cat([following[..., 1:], torch.full_like(following[..., :1], n)], dim=-1)
    right = torch.cat([x, reference[..., :1]], dim=-1).gather(-1, following)
    area = torch.where(on_front, (right - x) * (before - y), 0.0)
    # Copies of a row of the front leave it nothing.
    same = torch.zeros_like(on_front)
    same[..., :-1] = (x[..., 1:] == x[..., :-1]) & (y[..., 1:] == y[..., :-1])
    return torch.empty_like(area).scatter_(-1, order, torch.where(same, 0.0, area))


def _contributions_compiled(f: Tensor, reference: Tensor) -> Tensor:
    import moocore

    lead, (n, m) = f.shape[:-2], f.shape[-2:]
    tables = f.detach().to("cpu", torch.float64).reshape(-1, n, m).numpy()
    corners = reference.detach().to("cpu", torch.float64).expand(*lead, m).reshape(-1, m).numpy()
    parts = []
    for table, corner in zip(tables, corners, strict=True):
        parts.append(torch.from_numpy(moocore.hv_contributions(table, ref=corner)))
    return torch.stack(parts).reshape(*lead, n).to(f)
