"""Survival of NSGA-III in small runs on the CPU, with NumPy: one run, or a batch that gives each what it gets alone.

Tables stand with the objectives first, (m, B, n), so that every operation runs over long rows of numbers, and each
number is computed by the same operations wherever it stands.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from blackbox.algorithms.evolutionary.compact_association import Lattice, associate_columns
from blackbox.algorithms.evolutionary.compact_fronts import needed_fronts
from blackbox.algorithms.evolutionary.niching import LOWER_DIGITS as _DIGITS
from blackbox.algorithms.evolutionary.niching import NEAR_AXIS, cell_size

__all__ = ["survivors_nsga3"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]

_OFF_AXIS = 1e6
_FAR_OUT = 1e15
_FAR_AWAY = np.array([np.inf, 0.0])


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
    runs, _, m = values.shape
    rank, is_first, cutoff = needed_fronts(values, n_survivors)
    front: Index | None = None
    mask: NDArray[np.bool_] | None = is_first
    if runs == 1 and cutoff is None:  # nothing but the first front matters
        front, mask = is_first[0].nonzero()[0], None
        values = values.take(front, axis=1)
    n = values.shape[1]
    table = np.empty((m, runs, n + m))  # the rows, and the extreme points of before
    table[:, :, :n], table[:, :, n:] = values.transpose(2, 0, 1), extremes.transpose(2, 0, 1)
    ideal = np.minimum(ideal, np.minimum.reduce(table[:, :, :n], axis=2).T)
    gaps = table - ideal.T[:, :, None]
    rows = gaps[:, :, :n]
    stays = is_first
    far = away = None if mask is None else _FAR_AWAY.take(mask)  # infinite for all rows that are not marked
    worst_front = worst_all = _worst(rows, far)
    if cutoff is not None:
        stays = rank <= cutoff
        away = _FAR_AWAY.take(stays)
        worst_all = _worst(rows, away)
    extremes = _extremes(table, gaps, far, NEAR_AXIS * worst_front)
    width = _widths(extremes - ideal[:, None], worst_front.T, worst_all.T, ideal)
    h = rows / width.T[:, :, None]
    np.minimum(h, _FAR_OUT, out=h)
    niche, distance = associate_columns(h.reshape(m, -1), lattice)
    n_niches = lattice.unit.shape[1]
    cell = cell_size(n_niches, m)
    if front is not None:
        chosen = _from_front(niche, distance, uniforms[0, 0].take(front), uniforms[0, 1], n_survivors, n_niches, cell)
        return front.take(chosen)[None], ideal, extremes
    assert away is not None  # rows are marked unless there is one front of one run
    chosen = _by_niche(rank, cutoff, stays, away, niche, distance, uniforms, n_survivors, n_niches, cell)
    return chosen, ideal, extremes


def _worst(gaps: Array, far: Array | None) -> Array:
    """Return the largest of the gaps of the rows that are not far, or of all, shape (m, B)."""
    worst: Array = np.maximum.reduce(gaps if far is None else gaps - far, axis=2)
    return worst


def _extremes(table: Array, gaps: Array, far: Array | None, tolerance: Array) -> Array:
    """Return the extreme points, shape (B, m, m), a row for each axis, of rows that are not far, and of before."""
    m, runs, size = gaps.shape
    gaps = np.where(gaps < tolerance[:, :, None], 0.0, gaps)
    if far is not None:
        rows = gaps[:, :, : size - m]
        rows += far
    if m > 1:
        np.maximum(gaps, _largest_others(gaps * _OFF_AXIS), out=gaps)
    nearest = gaps.argmin(2)
    if runs > 1:
        nearest += np.arange(0, runs * size, size)
    found = table.reshape(m, -1).take(nearest, axis=1)
    return np.ascontiguousarray(found.transpose(2, 1, 0))


def _largest_others(planes: Array) -> Array:
    """Return for every plane the largest of all others."""
    m = len(planes)
    found = np.empty_like(planes)
    if m == 3:
        np.maximum(planes[1], planes[2], out=found[0])
        np.maximum(planes[0], planes[2], out=found[1])
        np.maximum(planes[0], planes[1], out=found[2])
        return found
    if m == 2:
        found[0], found[1] = planes[1], planes[0]
        return found
    # The largest of those behind, from the last one on; then that of those before.
    found[m - 2] = planes[m - 1]
    for axis in range(m - 2, 0, -1):
        np.maximum(found[axis], planes[axis], out=found[axis - 1])
    before = planes[0]
    for axis in range(1, m - 1):
        np.maximum(found[axis], before, out=found[axis])
        before = np.maximum(before, planes[axis])
    found[m - 1] = before
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
            width = (reach / np.array(normal)).T
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
    widths, most = worst_front, worst_all
    if error <= 1e-6 * abs(reach) and 0.0 not in normal:
        x, y, z = reach / normal[0], reach / normal[1], reach / normal[2]
        if 1e-6 * most[0] < x < math.inf and 1e-6 * most[1] < y < math.inf and 1e-6 * most[2] < z < math.inf:
            widths = [min(x, most[0]), min(y, most[1]), min(z, most[2])]
    widths = [width if width > 1e-6 * most[k] else most[k] for k, width in enumerate(widths)]
    return [width if width > 0 else max(1.0, abs(ideal[k])) for k, width in enumerate(widths)]


# -- niching -----------------------------------------------------------------------------------------------------------


def _by_niche(
    rank: Index,
    cutoff: Index | None,
    stays: NDArray[np.bool_],
    away: Array,
    niche: Index,
    distance: Array,
    uniforms: Array,
    n_survivors: int,
    n_niches: int,
    cell: float | None,
) -> Index:
    """Return the rows that survive, shape (B, n_survivors); see `niche_survivors`."""
    runs, n = rank.shape
    lots, between = uniforms[:, 0], uniforms[:, 1]
    offset, index = np.arange(0, runs * n, n)[:, None], np.arange(n)
    home = niche.reshape(runs, n) + np.arange(0, runs * n_niches, n_niches)[:, None]
    flat_home = home.reshape(-1)
    empty = stays.reshape(-1)
    if cutoff is not None:
        is_earlier = rank < cutoff
        members = np.bincount(home[is_earlier], minlength=runs * n_niches)
        empty = empty & (members == 0).take(flat_home)
        members = members.reshape(runs, n_niches)
    # Candidates by niche, inside by their keys, after the earlier fronts in theirs; then the rest.
    key = _lots_inside(lots, distance.reshape(runs, n), cell)
    first = empty.nonzero()[0]
    if len(first):
        leads = _nearest(flat_home.take(first), distance.take(first), lots.reshape(-1).take(first), runs * n_niches)
        key.reshape(-1)[first.take(leads)] = 0.0
    key += niche.reshape(runs, n)
    key += away
    if cutoff is not None:
        np.copyto(key, (rank - n) + index / n, where=is_earlier)
    order = key.argsort(axis=1)
    where = order + offset
    # How many come before the first candidate of every niche, less those that it has from earlier fronts.
    candidates = (stays & ~is_earlier).reshape(-1).nonzero()[0] if cutoff is not None else first
    size = np.bincount(flat_home.take(candidates), minlength=runs * n_niches).reshape(runs, n_niches)
    before = np.add.accumulate(size, axis=1)
    before -= size
    if cutoff is not None:
        n_earlier = np.count_nonzero(is_earlier, axis=1)[:, None]
        before += n_earlier
        before -= members
    level: Array = (index - before.take(flat_home.take(where))) + between
    level += away.take(where)
    if cutoff is not None:
        np.copyto(level, (index - n).astype(np.float64), where=index < n_earlier)
    rows = level.argsort(axis=1)[:, :n_survivors]
    rows += offset
    chosen: Index = order.take(rows)
    return chosen


def _from_front(
    niche: Index, distance: Array, lots: Array, between: Array, n_survivors: int, n_niches: int, cell: float | None
) -> Index:
    """Return what `_by_niche` does for one run of which all rows are in the first front."""
    key = _lots_inside(lots, distance, cell)
    key[_nearest(niche, distance, lots, n_niches)] = 0.0
    key += niche
    order = key.argsort()
    house, index = niche.take(order), np.arange(len(order))
    start = np.zeros(len(order), dtype=np.int64)
    np.multiply(house[1:] != house[:-1], index[1:], out=start[1:])
    np.maximum.accumulate(start, out=start)
    index -= start
    level = index + between[: len(order)]
    chosen: Index = order.take(level.argsort()[:n_survivors])
    return chosen


def _lots_inside(lots: Array, distance: Array, cell: float | None) -> Array:
    """Return keys from 0.25 to 0.75 by which rows are ordered inside their niches; `distance` is squared."""
    if cell is None:
        return 0.25 + 0.5 * lots
    key = distance + cell
    np.divide(cell, key, out=key)
    key += lots
    key *= 0.25
    key += 0.25
    return key


def _nearest(home: Index, distance: Array, lot: Array, n_niches: int) -> Index:
    """Return which rows are the nearest of their niches; of equally near ones one by the lower digits of the lots."""
    least = np.empty(n_niches)
    least.fill(np.inf)
    np.minimum.at(least, home, distance)
    found = (distance == least.take(home)).nonzero()[0]
    if len(found) > np.count_nonzero(least < np.inf):
        where, lot = home.take(found), lot.take(found) * _DIGITS % 1
        least[where] = np.inf
        np.minimum.at(least, where, lot)
        found = found[lot == least.take(where)]
    nearest: Index = found
    return nearest
