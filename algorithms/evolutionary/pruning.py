"""Truncation of one front row by row: the most crowded goes, and its neighbours are weighed anew."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blackbox.algorithms.evolutionary.ranking import finite_values

__all__ = ["prune"]

Array = NDArray[np.float64]


def prune(f: Tensor, n_kept: int, lots: Tensor) -> Tensor:
    """Return the rows of one front that stay when the row with the least crowding distance goes, again and again.

    Parameters
    ----------
    f : Tensor, shape (n, m)
        Infinite values count as the largest (smallest) finite value.
    n_kept : int, from 0 to n
    lots : Tensor, shape (n,)
        Of equally crowded rows the one with the smallest lot goes.

    Returns
    -------
    Tensor, shape (n_kept,), int64
        Ascending. O(n (n + m)) time, O(n m) memory, on the CPU: one removal depends on the one before.

    References
    ----------
    S. Kukkonen, K. Deb, Improved pruning of non-dominated solutions based on crowding distance for bi-objective
    optimization problems, 2006.
    """
    values = finite_values(f.detach().to("cpu", torch.float64)).numpy()
    columns, alive = np.ascontiguousarray(values.T), np.ones(len(values), dtype=bool)
    order = lots.detach().cpu().argsort(stable=True).tolist()
    surplus = len(order) - n_kept
    while surplus > 0:
        surplus -= _remove(columns, alive, order, surplus)
    return torch.from_numpy(alive.nonzero()[0]).to(f.device)


def _remove(columns: Array, alive: NDArray[np.bool_], order: list[int], surplus: int) -> int:
    """Mark rows as gone, until `surplus` are or one of them was an end of the front; return how many."""
    chains = [chain for chain in (_Chain(column, alive) for column in columns) if chain.span > 0]
    turn = {row: place for place, row in enumerate(order)}
    distance = np.array([_gap(chains, row) if alive[row] else np.inf for row in order])  # the first of equals goes
    for count in range(1, surplus + 1):
        place = int(distance.argmin())
        if distance[place] == np.inf:  # only ends are left
            place = int(alive[order].argmax())
        row = order[place]
        alive[row] = False
        if distance[place] == np.inf:
            return count
        distance[place] = np.inf
        for neighbour in {side for chain in chains for side in chain.remove(row)}:
            distance[turn[neighbour]] = _gap(chains, neighbour)
    return surplus


class _Chain:
    """The rows that are left, in the order of one objective, each with its neighbours; -1 beyond the ends."""

    def __init__(self, column: Array, alive: NDArray[np.bool_]) -> None:
        rows = alive.nonzero()[0]
        order = rows[column[rows].argsort(kind="stable")].tolist()
        self.values: list[float] = column.tolist()
        self.span = self.values[order[-1]] - self.values[order[0]]
        self.before = dict(zip(order, [-1, *order[:-1]], strict=True))
        self.after = dict(zip(order, [*order[1:], -1], strict=True))

    def remove(self, row: int) -> tuple[int, int]:
        """Take out a row that is no end; return its neighbours."""
        before, after = self.before[row], self.after[row]
        self.after[before], self.before[after] = after, before
        return before, after

    def gap(self, row: int) -> float:
        """Return the distance between the neighbours of a row in units of the span, infinite for an end."""
        before, after = self.before[row], self.after[row]
        return float("inf") if before < 0 or after < 0 else (self.values[after] - self.values[before]) / self.span


def _gap(chains: list[_Chain], row: int) -> float:
    return sum((chain.gap(row) for chain in chains), 0.0)
