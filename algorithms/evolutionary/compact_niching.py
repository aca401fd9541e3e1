"""Survival of NSGA-III in small runs on the CPU, with NumPy: one run, or a batch that gives each what it gets alone.

Tables stand with the objectives first, (m, B, n), so that every operation runs over long rows of numbers, and each
number is computed by the same operations wherever it stands.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blackbox.algorithms.evolutionary.bitsets import bitset_fronts
from blackbox.algorithms.evolutionary.niching import LOWER_DIGITS as _DIGITS
from blackbox.algorithms.evolutionary.niching import associate
from blackbox.algorithms.evolutionary.ranking import compiled_ranks

__all__ = ["Lattice", "survivors_nsga3"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]

_TINY = 1e-290  # above zero, and divides any number of divisions
_OFF_AXIS = 1e6
_NEAR_AXIS = 1e-5
_FAR_OUT = 1e15
_MOST_BITS = 600  # rows in the largest table that is ranked with bits
_LARGEST = 1 << 16  # numbers in a block of rows and directions


class Lattice(NamedTuple):
    """Reference directions, shape (r, m); columns of unit length, (m, r); divisions where they are one lattice."""

    directions: Tensor
    unit: Array
    divisions: int | None


def survivors_nsga3(
    values: Array, n_survivors: int, lattice: Lattice, ideal: Array, extremes: Array, uniforms: Array
) -> tuple[Index, Array, Array]:
    """Return the survivors, ideal and extremes of `survive_nsga3`, for finite values without constraints.

    Parameters
    ----------
    values : array, shape (B, n, m)
    ideal, extremes : arrays, shapes (B, m) and (B, m, m)
    uniforms : array, shape (B, 2, n)
        For the order inside the niches, and for that among equal counts.

    Returns
    -------
    rows : array, shape (B, n_survivors), int64
        In the order of their fronts, the last of them by niche.
    ideal, extremes : arrays, shapes as above
    """
    columns = np.ascontiguousarray(values.transpose(2, 0, 1))
    rank, cutoff = _fronts(values, columns, n_survivors)
    ideal = np.minimum(ideal, columns.min(2).T)
    gaps = columns - ideal.T[:, :, None]
    is_first, stays = rank == 0, rank <= cutoff
    worst_front = np.where(is_first, gaps, 0.0).max(2)
    worst_all = np.where(stays, gaps, 0.0).max(2)
    extremes = _extremes(columns, gaps, is_first, ideal, extremes, _NEAR_AXIS * worst_front)
    width = _widths(extremes - ideal[:, None], worst_front.T, worst_all.T, ideal)
    gaps /= width.T[:, :, None]
    np.minimum(gaps, _FAR_OUT, out=gaps)
    niche, distance = _associate(gaps.reshape(len(gaps), -1), lattice)
    chosen = _by_niche(rank, cutoff, stays, niche, distance, uniforms, n_survivors, lattice.unit.shape[1])
    return chosen, ideal, extremes


def _fronts(values: Array, columns: Array, n_survivors: int) -> tuple[Index, Index]:
    """Return the fronts and the last one that is needed, shapes (B, n) and (B, 1)."""
    runs, n = values.shape[:2]
    if runs > 1 and n <= _MOST_BITS:
        rank = bitset_fronts(columns, n_survivors)
        return rank, np.where(rank < n, rank, 0).max(1, keepdims=True)
    rank = np.stack([compiled_ranks(table) for table in values]) if runs > 1 else compiled_ranks(values[0])[None]
    if n_survivors == n:
        return rank, rank.max(1, keepdims=True)
    return rank, np.partition(rank, n_survivors - 1, axis=1)[:, n_survivors - 1 : n_survivors]


def _extremes(
    columns: Array, gaps: Array, is_first: NDArray[np.bool_], ideal: Array, previous: Array, tolerance: Array
) -> Array:
    """Return the extreme points, shape (B, m, m), a row for each axis."""
    m, runs, _ = columns.shape
    before = previous.transpose(2, 0, 1)
    gaps = np.concatenate([np.where(is_first, gaps, np.inf), before - ideal.T[:, :, None]], axis=2)
    gaps = np.where(gaps < tolerance[:, :, None], 0.0, gaps)
    far = gaps * _OFF_AXIS
    # The largest of all objectives but one: those before it, and those after it.
    for axis in range(m - 1):
        np.maximum(gaps[axis], _largest(far[axis + 1 :]), out=gaps[axis])
    for axis in range(1, m):
        np.maximum(gaps[axis], far[0], out=gaps[axis])
        if axis + 1 < m:
            np.maximum(far[0], far[axis], out=far[0])
    rows = gaps.argmin(2)
    table = np.concatenate([columns, before], axis=2)
    return np.ascontiguousarray(table[:, np.arange(runs), rows].transpose(2, 1, 0))


def _largest(planes: Array) -> Array:
    found: Array = planes[0] if len(planes) == 1 else np.maximum.reduce(planes, axis=0)
    return found


# -- the widths by which objectives are divided ------------------------------------------------------------------------


def _widths(system: Array, worst_front: Array, worst_all: Array, ideal: Array) -> Array:
    """Return the distance of the nadir from the ideal, shape (B, m); see `hyperplane_nadir`."""
    runs, m = ideal.shape
    if m == 3 and runs == 1:
        tables = (system[0].tolist(), worst_front[0].tolist(), worst_all[0].tolist(), ideal[0].tolist())
        return np.array([_widths_of_three(*tables)])
    least = 1e-6 * worst_all
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if m == 3:
            normal, reach, error = _plane(*system.transpose(1, 2, 0))
            width = np.stack([reach / component for component in normal], axis=1)
            well_posed = error <= 1e-6 * np.abs(reach)
        else:
            ones = torch.ones((runs, m, 1), dtype=torch.float64)
            inverse = torch.linalg.solve_ex(torch.from_numpy(system), ones).result.numpy()[..., 0]
            width = 1 / inverse
            well_posed = np.abs((system * inverse[:, None]).sum(2) - 1).max(1) < 1e-6
        good = well_posed & ((width > least) & (width < np.inf)).all(1)
    width = np.where(good[:, None], np.minimum(width, worst_all), worst_front)
    width = np.where(width > least, width, worst_all)
    # A constant objective: any width does, as long as it is felt beside values of that size.
    return np.where(width > 0, width, np.maximum(1.0, np.abs(ideal)))


def _plane(a: list[float] | Array, b: list[float] | Array, c: list[float] | Array) -> tuple[tuple[Any, ...], Any, Any]:
    """Return the normal of the plane through three points, its product with them, and by how much that differs."""
    p, q, r = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    s, t, u = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    x, y, z = q * u - r * t, r * s - p * u, p * t - q * s
    reach = x * a[0] + y * a[1] + z * a[2]
    error = abs(x * p + y * q + z * r) + abs(x * s + y * t + z * u)
    return (x, y, z), reach, error


def _widths_of_three(
    system: list[list[float]], worst_front: list[float], worst_all: list[float], ideal: list[float]
) -> list[float]:
    """Return what `_widths` does for one run with three objectives, number by number, which is the fastest."""
    normal, reach, error = _plane(*system)
    width = worst_front
    if error <= 1e-6 * abs(reach) and 0.0 not in normal:
        found = [reach / component for component in normal]
        if all(1e-6 * most < value < math.inf for value, most in zip(found, worst_all, strict=True)):
            width = [min(value, most) for value, most in zip(found, worst_all, strict=True)]
    width = [w if w > 1e-6 * most else most for w, most in zip(width, worst_all, strict=True)]
    return [w if w > 0 else max(1.0, abs(low)) for w, low in zip(width, ideal, strict=True)]


# -- association -------------------------------------------------------------------------------------------------------


def _associate(h: Array, lattice: Lattice) -> tuple[Index, Array]:
    """Return the nearest direction of every column of h, shape (m, n), and the squared distance from its line."""
    m, r = lattice.unit.shape
    if lattice.divisions is not None and m in (2, 3):
        return _associate_lattice(h, lattice.divisions)
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


_STAYS = 7  # the code of no move at all


@lru_cache(maxsize=2)
def _moves(m: int) -> tuple[Index, Array]:
    """Return the code of every move, shape (c, 1), and by how much it changes each count, shape (m, 8).

    Up in the first objective of a pair and down in the second, for all pairs; the same the other way; no move.
    """
    pairs = [(0, 1)] if m == 2 else [(0, 1), (0, 2), (1, 2)]
    change = np.zeros((m, _STAYS + 1))
    for code, (up, down) in enumerate([*pairs, *((down, up) for up, down in pairs)]):
        change[up, code], change[down, code] = 1, -1
    return np.array([*range(2 * len(pairs)), _STAYS])[:, None], change


def _differences(columns: Array) -> Array:
    """Return the differences between the columns of all pairs, in the order of `_moves`."""
    if len(columns) == 2:
        return columns[:1] - columns[1:]
    found = np.empty_like(columns)
    np.subtract(columns[0], columns[1:], out=found[:2])
    np.subtract(columns[1], columns[2], out=found[2])
    return found


def _associate_lattice(h: Array, divisions: int) -> tuple[Index, Array]:
    """Return what `niching.associate_lattice` does, the distance squared, for two or three objectives.

    The nearest lattice point is the rounded one, once its counts add up, or one of its neighbours, by exact cosine.
    """
    m, n = h.shape
    exact = h * (divisions / np.maximum(_sum(h), _TINY))
    counts = np.rint(exact)
    excess = _sum(counts)
    excess -= divisions
    wrong = excess.nonzero()[0]
    if len(wrong):  # the count that was rounded the farthest gives way
        by = excess.take(wrong)
        worst = ((exact.take(wrong, axis=1) - counts.take(wrong, axis=1)) * by).argmin(0)
        counts[worst, wrong] -= by
    product, squared = _sum(h * counts), _sum(counts * counts)
    gain, change = _differences(h), _differences(counts)
    half = len(gain)
    score, squares = np.empty((2 * half + 1, n)), np.empty((2 * half + 1, n))
    np.add(product, gain, out=score[:half])
    np.subtract(product, gain, out=score[half:-1])
    score[-1] = product
    score *= score
    change *= 2
    np.add(squared, change, out=squares[:half])
    np.subtract(squared, change, out=squares[half:-1])
    squares[:-1] += 2
    squares[-1] = squared
    score /= squares
    none = counts < 1
    if m == 2:
        np.copyto(score[0], 0.0, where=none[1])
        np.copyto(score[1], 0.0, where=none[0])
    else:
        np.copyto(score[:2], 0.0, where=none[1:])
        np.copyto(score[2], 0.0, where=none[2])
        np.copyto(score[3:5], 0.0, where=none[0])
        np.copyto(score[5], 0.0, where=none[1])
    # The squared cosine with the move in its last bits: the largest of them says which move it was.
    codes, changes = _moves(m)
    marked = score.view(np.int64)
    marked &= ~_STAYS
    marked |= codes
    best = marked.max(0)
    move = best & _STAYS
    first = counts[0]
    first += changes[0].take(move)
    if m == 3:
        along = counts[1]
        along += changes[1].take(move)
        along += first * (divisions + 1.5 - 0.5 * first)
        first = along
    best ^= move
    away = _sum(h * h)
    away -= best.view(np.float64)
    return first.astype(np.int64), away


def _sum(columns: Array) -> Array:
    """Return the sum over the objectives, added up in order."""
    total: Array = columns[0] + columns[1] if len(columns) > 1 else columns[0].copy()
    for column in columns[2:]:
        total += column
    return total


# -- niching -----------------------------------------------------------------------------------------------------------


def _by_niche(
    rank: Index,
    cutoff: Index,
    stays: NDArray[np.bool_],
    niche: Index,
    distance: Array,
    uniforms: Array,
    n_survivors: int,
    n_niches: int,
) -> Index:
    """Return the rows that survive, shape (B, n_survivors); see `niche_survivors`."""
    runs, n = rank.shape
    is_earlier = rank < cutoff
    home = niche if runs == 1 else niche + np.repeat(np.arange(0, runs * n_niches, n_niches), n)
    members = np.bincount(home[is_earlier.reshape(-1)], minlength=runs * n_niches).take(home)
    # Candidates by niche and in random order inside, after the earlier fronts in theirs; the rest at the end.
    lots = uniforms[:, 0].reshape(-1)
    key = 0.25 + 0.5 * uniforms[:, 0]
    flat = key.reshape(-1)
    empty = np.flatnonzero(((members == 0).reshape(runs, n) & stays).reshape(-1))
    if len(empty):
        leads = _nearest(home.take(empty), distance.take(empty), lots.take(empty), runs * n_niches)
        flat[empty[leads]] = 0.0
    key += niche.reshape(runs, n)
    key[~stays] = np.inf
    index = np.arange(n)
    if is_earlier.any():
        np.copyto(key, (rank - n) + index / n, where=is_earlier)
    order = key.argsort(axis=1)
    if runs > 1:
        order += np.arange(0, runs * n, n)[:, None]
    house = home.take(order)
    start = np.zeros((runs, n), dtype=np.int64)
    np.multiply(house[:, 1:] != house[:, :-1], index[1:], out=start[:, 1:])
    n_earlier = is_earlier.sum(1, keepdims=True)
    np.maximum(start, n_earlier, out=start)
    np.maximum.accumulate(start, axis=1, out=start)
    level = index - start + members.take(order) + uniforms[:, 1]
    level[index >= stays.sum(1, keepdims=True)] = np.inf
    np.copyto(level, (index - n).astype(np.float64), where=index < n_earlier)
    rows = level.argsort(axis=1)[:, :n_survivors]
    if runs == 1:
        return order.take(rows)
    chosen: Index = order.take(rows + np.arange(0, runs * n, n)[:, None]) % n
    return chosen


def _nearest(home: Index, distance: Array, lot: Array, n_niches: int) -> Index:
    """Return which rows are the nearest of their niches; of equally near ones one by the lower digits of the lots."""
    least = np.full(n_niches, np.inf)
    np.minimum.at(least, home, distance)
    found = np.flatnonzero(distance == least.take(home))
    where = home.take(found)
    if len(found) > 1 and np.bincount(where).max() > 1:
        lot = lot.take(found) * _DIGITS % 1
        least[where] = np.inf
        np.minimum.at(least, where, lot)
        found = found[lot == least.take(where)]
    return found
