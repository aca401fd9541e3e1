"""Association with reference directions in small runs on the CPU, with NumPy; objectives first."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blackbox.algorithms.evolutionary.niching import associate

__all__ = ["Lattice", "associate_columns", "associate_lattice_columns"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]

_TINY = 1e-290  # above zero, and divides any number of divisions
_INSIDE = 1 - 1e-12
_CORNERS = np.arange(3)[:, None]
_LARGEST = 1 << 16  # numbers in a block of rows and directions
_MOST_DIVISIONS = 360  # of a lattice of triangles that are listed


class Lattice(NamedTuple):
    """Reference directions, shape (r, m); columns of unit length, (m, r); divisions where they are one lattice."""

    directions: Tensor
    unit: Array
    divisions: int | None


def associate_columns(h: Array, lattice: Lattice) -> tuple[Index, Array]:
    """Return the nearest direction of every column of h, shape (m, n), and the squared distance from its line."""
    m, r = lattice.unit.shape
    if lattice.divisions is not None and (m == 2 or (m == 3 and lattice.divisions <= _MOST_DIVISIONS)):
        return associate_lattice_columns(h, lattice.divisions)
    if r > _LARGEST:
        found, far = associate(torch.from_numpy(h).T, lattice.directions, divisions=lattice.divisions)
        return found.numpy(), np.square(far.numpy())
    nearest = np.empty(h.shape[1], dtype=np.int64)
    step = max(1, _LARGEST // r)
    for start in range(0, h.shape[1], step):
        part = h[:, start : start + step]
        cosine = part[0][:, None] * lattice.unit[0]
        for k in range(1, m):
            cosine += part[k][:, None] * lattice.unit[k]
        nearest[start : start + step] = cosine.argmax(1)
    chosen = lattice.unit.take(nearest, axis=1)
    away = h - _sum(h * chosen) * chosen
    away *= away
    return nearest, _sum(away)


@lru_cache(maxsize=4)
def _cells(m: int, divisions: int) -> tuple[Index, Array]:
    """Return the corners of the cells of a lattice, (m, c), and these in columns of unit length, (m m, c).

    With two objectives cells are segments; with three, triangles: one that points up and one that points down for each
    pair of counts of the first two. Corners stand in descending order; the columns one objective after the other.
    """
    if m == 2:
        low = np.arange(divisions)
        index = first = np.stack([low + 1, low])
        counts = np.stack([first, divisions - first])
    else:
        i, j, down = (axis.reshape(-1) for axis in np.mgrid[:divisions, :divisions, :2])
        first = np.stack([i + 1, i + down, i])
        second = np.stack([j + down, j + 1 - down, j + down])
        counts = np.stack([first, second, divisions - first - second])
        index = first * (divisions + 1) - first * (first - 1) // 2 + second
    columns = counts / np.sqrt((counts * counts).sum(0))
    return index, columns.reshape(m * m, -1)


def associate_lattice_columns(h: Array, divisions: int) -> tuple[Index, Array]:
    """Return what `niching.associate_lattice` does, the distance squared, for two or three objectives.

    The nearest direction, by exact cosine, is a corner of the cell in which the scaled row lies.
    """
    m, n = h.shape
    corners, columns = _cells(m, divisions)
    # A trifle short of the lattice, so that the last count is positive in every cell.
    scale = h[0] + h[1]
    if m == 3:
        scale += h[2]
    np.maximum(scale, _TINY, out=scale)
    exact = h[:-1] * np.divide(divisions * _INSIDE, scale, out=scale)
    low = np.floor(exact)
    place = low[0]
    if m == 3:
        exact -= low
        place = place * divisions
        place += low[1]
        place += place
        place += exact[0] + exact[1] > 1
    cell = place.astype(np.int64)
    products = columns.take(cell, axis=1).reshape(m, m, n)
    products *= h[:, None]
    cosine = products[0]
    for k in range(1, m):
        cosine += products[k]
    # The number of the corner in the last bits: the largest of them says which one it was.
    marked = cosine.view(np.int64)
    marked &= ~3
    marked |= _CORNERS[:m]
    best = marked.max(0)
    corner = best & 3
    best ^= corner
    corner *= corners.shape[1]
    corner += cell
    along = best.view(np.float64)
    along *= along
    squares = h * h
    away = squares[0]
    for k in range(1, m):
        away += squares[k]
    away -= along
    return corners.take(corner), away


def _sum(columns: Array) -> Array:
    """Return the sum over the objectives, added up in order."""
    total: Array = columns[0] + columns[1] if len(columns) > 1 else columns[0].copy()
    for column in columns[2:]:
        total += column
    return total
