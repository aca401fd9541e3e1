"""One small run on the CPU, with NumPy: the same numbers, bit for bit, as the tensor kernels, at a third of the time.

A generation of a hundred members is some two hundred operations on a few hundred numbers each, and a tensor operation
costs several times what a NumPy one does. Logarithms, exponentials, roots and the linear solve stay torch's, on the
same memory, so that a run gives the same points alone and in a batch of runs, which the tensor kernels serve.
"""

from __future__ import annotations

import math
from functools import lru_cache
from operator import mul
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blackbox.algorithms.evolutionary.niching import associate
from blackbox.algorithms.evolutionary.ranking import compiled_ranks

__all__ = ["Bounds", "is_compact", "offspring", "survivors_nsga3"]

Array = NDArray[np.float64]

_MOST = 1 << 17  # numbers in the largest table
_LARGEST = 1 << 22  # numbers in a table of rows and directions
_TINY = float(np.finfo(np.float64).tiny)
_BELOW_ONE = 1 - float(np.finfo(np.float64).eps)
_OFF_AXIS = 1e6
_NEAR_AXIS = 1e-5
_FAR_OUT = 1e15
_FEW_DIRECTIONS = 256


def is_compact(x: Tensor) -> bool:
    """Return whether a table of one run, shape (n, d), is to be served here."""
    return x.dim() == 2 and x.dtype == torch.float64 and x.device.type == "cpu" and x.numel() <= _MOST


class Bounds(NamedTuple):
    """Bounds of a box, each an array of shape (d,)."""

    lower: Array
    upper: Array


def _log(values: Array) -> Array:
    torch.from_numpy(values).log_()
    return values


def _exp(values: Array) -> Array:
    torch.from_numpy(values).exp_()
    return values


def _sqrt(values: Array) -> Array:
    torch.from_numpy(values).sqrt_()  # not NumPy's: torch's may differ from it in the last bit
    return values


def _clip(values: Array, low: Any, high: Any) -> Array:
    np.maximum(values, low, out=values)
    np.minimum(values, high, out=values)
    return values


# -- variation ---------------------------------------------------------------------------------------------------------


def offspring(
    first: Array,
    second: Array,
    crossing: Array,
    mutating: Array,
    bounds: Bounds,
    *,
    crossover_eta: float,
    crossover_probability: float,
    mutation_eta: float,
    mutation_probability: float,
    single: bool = False,
) -> Array:
    """Return what `simulated_binary_crossover` and then `polynomial_mutation` give; shapes as there."""
    q, d = first.shape
    crossed = crossing < crossover_probability
    rest = crossing * (2 / crossover_probability)
    exchanged = rest >= 1
    u = np.minimum(rest - exchanged, _BELOW_ONE)
    middle, half = (first + second) * 0.5, (first - second) * 0.5
    w = 2 * u
    near = w <= 1
    power = _log(np.where(near, w, 2 - w))
    step = half * _exp(np.where(near, power, -power) / (crossover_eta + 1))
    above, below = middle + step, middle - step
    swap = exchanged & crossed
    x = np.empty((q if single else 2 * q, d))
    x[:q] = np.where(crossed, np.where(swap, below, above), first)
    if not single:
        x[q:] = np.where(crossed, np.where(swap, above, below), second)
    _clip(x, bounds.lower, bounds.upper)
    _mutate(x, mutating, bounds, mutation_eta, mutation_probability)
    return x


def _mutate(x: Array, uniforms: Array, bounds: Bounds, eta: float, probability: float) -> None:
    flat = x.reshape(-1)
    total, d = flat.size, x.shape[1]
    if probability >= 1:
        sites = np.arange(min(total, uniforms.shape[1]))
    else:
        gaps = -uniforms[0]
        torch.from_numpy(gaps).log1p_()
        gaps *= 1 / math.log1p(-probability)
        sites = np.cumsum(np.minimum(gaps, total).astype(np.int64) + 1) - 1
        sites = sites[: np.searchsorted(sites, total)]
    if not len(sites):
        return
    step, old, variable = uniforms[1, : len(sites)], flat[sites], sites % d
    low, high = bounds.lower[variable], bounds.upper[variable]
    span = high - low
    downwards = step < 0.5
    room = np.where(downwards, old - low, high - old) / np.maximum(span, _TINY)
    reach = np.abs(2 * step - 1)
    base = 1 - reach + reach * _exp(_log(_clip(1 - room, 0.0, 1.0)) * (eta + 1))
    move = (1 - _exp(_log(base) / (eta + 1))) * span
    flat[sites] = _clip(np.where(downwards, old - move, old + move), low, high)


# -- survival ----------------------------------------------------------------------------------------------------------


def survivors_nsga3(
    values: Array,
    n_survivors: int,
    directions: Tensor,
    unit: Array,
    divisions: int | None,
    ideal: Array,
    extremes: Array,
    uniforms: Array,
) -> tuple[NDArray[np.int64], Array, Array]:
    """Return the survivors, ideal and extremes of `survive_nsga3`, for finite values without constraints.

    Parameters
    ----------
    directions, unit : shapes (r, m) and (m, r)
        The directions, and columns of unit length.
    uniforms : array, shape (3, n)
    """
    rank = compiled_ranks(values)
    n = len(rank)
    cutoff = rank.max() if n_survivors == n else np.partition(rank, n_survivors - 1)[n_survivors - 1]
    stays = np.flatnonzero(rank <= cutoff)
    place = rank[stays]
    columns = np.ascontiguousarray(values.T)
    ideal = np.minimum(ideal, columns.min(1))
    columns = columns[:, stays]
    front = columns[:, place == 0]
    worst_front, worst_all = front.max(1), columns.max(1)
    extremes = _extremes(front, ideal, extremes, _NEAR_AXIS * (worst_front - ideal))
    nadir = _nadir(extremes, ideal, worst_front, worst_all)
    h = _clip((columns - ideal[:, None]) / (nadir - ideal)[:, None], 0.0, _FAR_OUT)
    niche, distance = _associate(h, directions, unit, divisions)
    is_earlier = place < cutoff
    earlier = stays[is_earlier]
    order = earlier[place[is_earlier].argsort(kind="stable")]
    candidates = np.flatnonzero(~is_earlier)
    members = np.bincount(niche[is_earlier], minlength=unit.shape[1])[niche[candidates]]
    chosen = _by_niche(
        niche[candidates],
        distance[candidates],
        members,
        uniforms[:, stays[candidates]],
        n_survivors - len(order),
    )
    return np.concatenate([order, stays[candidates[chosen]]]), ideal, extremes


def _extremes(front: Array, ideal: Array, previous: Array, tolerance: Array) -> Array:
    table = np.concatenate([front, previous.T], axis=1)
    gaps = table - ideal[:, None]
    gaps[gaps < tolerance[:, None]] = 0.0
    m = len(gaps)
    rows = np.empty(m, dtype=np.int64)
    far = gaps * _OFF_AXIS
    for axis in range(m):
        scalar = gaps[axis]
        for k in range(m):
            if k != axis:
                scalar = np.maximum(scalar, far[k])
        rows[axis] = scalar.argmin()
    return np.ascontiguousarray(table[:, rows].T)


@lru_cache(maxsize=32)
def _ones(m: int) -> Tensor:
    return torch.ones((m, 1), dtype=torch.float64)


def _nadir(extremes: Array, ideal: Array, worst_front: Array, worst_all: Array) -> Array:
    """Return what `hyperplane_nadir` gives; the few numbers are handled one by one, which is the fastest."""
    system = extremes - ideal
    inverse = torch.linalg.solve_ex(torch.from_numpy(system), _ones(len(ideal))).result.view(-1).tolist()
    low, front, everything = ideal.tolist(), worst_front.tolist(), worst_all.tolist()
    nadir = front
    if all(0 < value < math.inf for value in inverse):  # otherwise no intercept is positive and finite
        residual = max(abs(sum(map(mul, row, inverse)) - 1) for row in system.tolist())
        intercepts = [1 / value for value in inverse]
        enough = all(1e-6 * (e - z) < a < math.inf for a, e, z in zip(intercepts, everything, low, strict=True))
        if enough and residual < 1e-6:
            nadir = [min(z + a, e) for z, a, e in zip(low, intercepts, everything, strict=True)]
    kept = [v if v - z > 1e-6 * (e - z) else e for v, z, e in zip(nadir, low, everything, strict=True)]
    return np.array([v if v > z else z + max(1.0, abs(z)) for v, z in zip(kept, low, strict=True)])


def _associate(h: Array, directions: Tensor, unit: Array, divisions: int | None) -> tuple[NDArray[np.int64], Array]:
    m, r = unit.shape
    if r > _FEW_DIRECTIONS and divisions is not None and m in (2, 3):
        return _associate_lattice(h, divisions)
    if r > _FEW_DIRECTIONS or h.size * r > _LARGEST:
        niche, away = associate(torch.from_numpy(h).T, directions, divisions=divisions)
        return niche.numpy(), away.numpy()
    cosine = h[0][:, None] * unit[0]
    for k in range(1, m):
        cosine += h[k][:, None] * unit[k]
    nearest = cosine.argmax(1)
    chosen = unit[:, nearest]
    along = h[0] * chosen[0]
    for k in range(1, m):
        along += h[k] * chosen[k]
    gap = h - along * chosen
    gap *= gap
    squared = gap[0]
    for k in range(1, m):
        squared += gap[k]
    return nearest, _sqrt(squared)


def _associate_lattice(h: Array, divisions: int) -> tuple[NDArray[np.int64], Array]:
    """Return what `niching.associate_lattice` gives for two or three objectives, one neighbour at a time."""
    m = len(h)
    total = _sum(h)
    is_zero = total == 0
    exact = h * (divisions / np.where(is_zero, 1.0, total))
    counts = np.floor(exact)
    missing = divisions - _sum(counts)
    rest = exact - counts
    for k in range(m):
        place = sum((rest[j] >= rest[k]) if j < k else (rest[j] > rest[k]) for j in range(m) if j != k)
        counts[k] += place < missing
    counts[:, is_zero] = 0.0
    counts[-1, is_zero] = divisions
    product, squared = _sum(h * counts), _sum(counts * counts)
    best = product * product / squared
    move = np.zeros(h.shape[1], dtype=np.int8)
    for a in range(m):
        for b in range(m):
            if a != b:
                moved = (h[a] - h[b]) + product
                moved *= moved
                moved /= 2 * ((counts[a] - counts[b]) + 1) + squared
                better = (moved > best) & (counts[b] >= 1)
                best = np.where(better, moved, best)
                move[better] = a * m + b
    for a in range(m):
        for b in range(m):
            if a != b:
                taken = move == a * m + b
                counts[a] += taken
                counts[b] -= taken
    along = _sum(h * counts) / _sum(counts * counts)
    away = h - along * counts
    first = counts[0].astype(np.int64)
    if m == 3:
        first = (first * (2 * divisions + 3 - first)) // 2 + counts[1].astype(np.int64)
    return first, _sqrt(_sum(away * away))


def _sum(columns: Array) -> Array:
    total: Array = columns[0] + columns[1]
    for column in columns[2:]:
        total += column
    return total


def _by_niche(
    niche: NDArray[np.int64], distance: Array, members: NDArray[np.int64], uniforms: Array, wanted: int
) -> NDArray[np.int64]:
    """Return the wanted candidates with the smallest counts; see `niche_survivors`."""
    inside, between, among = uniforms
    key = 0.5 + 0.5 * inside
    empty = np.flatnonzero(members == 0)
    if len(empty):
        order = empty[np.lexsort((among[empty], distance[empty], niche[empty]))]
        home = niche[order]
        is_first = np.empty(len(order), dtype=bool)
        is_first[0] = True
        np.not_equal(home[1:], home[:-1], out=is_first[1:])
        key[order[is_first]] = 0.0
    order = (niche + key).argsort(kind="stable")
    home = niche[order]
    index = np.arange(len(order))
    start = np.zeros(len(order), dtype=np.int64)
    is_new = home[1:] != home[:-1]
    start[1:][is_new] = index[1:][is_new]
    position = np.empty(len(order), dtype=np.int64)
    position[order] = index - np.maximum.accumulate(start)
    level = position + members
    chosen: NDArray[np.int64] = (level + between).argsort(kind="stable")[:wanted]
    return chosen
