"""Crowding distance, for all fronts of a population at once."""

from __future__ import annotations

import torch
from torch import Tensor

from blackbox.algorithms.evolutionary.ranking import finite_values

__all__ = ["crowding_distance"]


def crowding_distance(f: Tensor, rank: Tensor | None = None) -> Tensor:
    """Return the crowding distance of every row within its own front.

    For each objective the rows of a front are put in order; a row gains the distance between its two
    neighbours in units of the front's range, and the two ends gain +inf. An objective that is constant on a
    front tells nothing and counts as 0, so the distance is 0 where all rows of a front are equal; the only
    row of a front has +inf. Where several rows share an end, the first and the last of them by index are the
    ends.

    Parameters
    ----------
    f : Tensor, shape (..., n, m), float
        Infinite values count as the largest (smallest) finite value of the run.
    rank : Tensor, shape (..., n), int64, optional
        Front of every row; default all in one front.

    Returns
    -------
    Tensor, shape (..., n), dtype of `f`
        O(m n log n) time, O(m n) memory.

    References
    ----------
    K. Deb, A. Pratap, S. Agarwal, T. Meyarivan, A fast and elitist multiobjective genetic algorithm: NSGA-II,
    2002, section III-B. Deviation: all fronts at once, constant objectives are left out.
    """
    n = f.shape[-2]
    if n == 0:
        return f.new_zeros(f.shape[:-1])
    value, order = finite_values(f).mT.sort(dim=-1, stable=True)
    if rank is None:
        front = torch.zeros_like(order)
    else:
        front, by_front = rank.unsqueeze(-2).expand_as(order).gather(-1, order).sort(dim=-1, stable=True)
        value, order = value.gather(-1, by_front), order.gather(-1, by_front)
    index = torch.arange(n, device=f.device)
    is_first = torch.ones_like(front, dtype=torch.bool)
    is_last = torch.ones_like(is_first)
    is_first[..., 1:] = front[..., 1:] != front[..., :-1]
    is_last[..., :-1] = is_first[..., 1:]
    start = torch.where(is_first, index, 0).cummax(-1).values
    end = torch.where(is_last, index, n - 1).flip(-1).cummin(-1).values.flip(-1)
    span = value.gather(-1, end) - value.gather(-1, start)
    gain = torch.zeros_like(value)
    gain[..., 1:-1] = value[..., 2:] - value[..., :-2]
    gain = torch.where(span > 0, gain / torch.where(span > 0, span, 1.0), 0.0)
    gain = torch.where((is_first | is_last) & (span > 0) | (is_first & is_last), torch.inf, gain)
    return torch.empty_like(gain).scatter_(-1, order, gain).sum(-2)
