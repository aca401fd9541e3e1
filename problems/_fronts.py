"""Points on simplices and spheres, from which Pareto fronts are made; nothing random."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from blackbox.problems._box import check_count

__all__ = ["front_of", "simplex", "sphere", "unit_grid"]


def simplex(n: int, m: int) -> Tensor:
    """Return the Das-Dennis lattice on the unit simplex with the most points that are at most n (at least m).

    Returns
    -------
    Tensor, shape (r, m), float64
        Rows are non-negative and sum to one.

    Examples
    --------
    >>> simplex(10, 3).shape
    torch.Size([10, 3])
    """
    check_count("n", n, 1)
    parts = 1
    while math.comb(parts + m, m - 1) <= n and m > 1:
        parts += 1
    counts = np.zeros((1, 0), dtype=np.int64)
    left = np.full(1, parts)
    for _ in range(m - 1):
        rows = np.repeat(np.arange(len(left)), left + 1)
        starts = np.cumsum(left + 1) - (left + 1)
        digit = np.arange(len(rows)) - starts[rows]
        counts = np.hstack([counts[rows], digit[:, None]])
        left = left[rows] - digit
    return torch.from_numpy(np.hstack([counts, left[:, None]]) / parts)


def sphere(n: int, m: int) -> Tensor:
    """Return about n points of the positive part of the unit sphere in m dimensions, shape (r, m), float64."""
    points = simplex(n, m)
    return points / points.square().sum(-1, keepdim=True).sqrt()


def unit_grid(n: int, dim: int) -> Tensor:
    """Return a regular grid on the unit cube with the most points that are at most n (at least 2^dim)."""
    side = max(2, int(n ** (1 / dim) + 1e-9))
    axes = [torch.linspace(0.0, 1.0, side, dtype=torch.float64)] * dim
    return torch.cartesian_prod(*axes).reshape(-1, dim)


def front_of(points: Tensor) -> Tensor:
    """Return the distinct rows that no other row dominates, shape (r, m), in their order."""
    import moocore

    rows = np.unique(points.cpu().numpy(), axis=0)
    return torch.from_numpy(rows[moocore.is_nondominated(rows)])
