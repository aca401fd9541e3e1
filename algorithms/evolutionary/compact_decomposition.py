"""Mating and replacement of MOEA/D in small runs on the CPU, with NumPy: one run, or many at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from blackbox.algorithms.evolutionary.decomposition import Aggregation, scaled_weights

__all__ = ["Neighbourhoods", "improved", "is_small", "mates", "taken"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]

_MOST = 1 << 15  # numbers in a table of one run
_MOST_REPLACED = 4


class Neighbourhoods(NamedTuple):
    """Neighbours of every weight, shapes (n, t) and (t, n), and scaled weights: own ones, then those of neighbours.

    The weights have the shape (m, 1 + t, n).
    """

    neighbours: Index
    by_rank: Index
    columns: Array

    @classmethod
    def of(cls, weights: Tensor, neighbours: Tensor, kind: Aggregation) -> Neighbourhoods:
        """Return the neighbourhoods of weights, shape (n, m)."""
        columns, table = scaled_weights(weights, kind).double().numpy(), neighbours.numpy()
        by_rank = np.ascontiguousarray(table.T)
        return cls(table, by_rank, np.concatenate([columns[:, None], columns.take(by_rank, axis=1)], axis=1))


def is_small(neighbours: Tensor, max_replace: int | None) -> bool:
    """Return whether replacement is to be served here."""
    return neighbours.is_cpu and neighbours.numel() <= _MOST and (max_replace is None or max_replace <= _MOST_REPLACED)


def mates(neighbours: Index, uniforms: Array, mating: float) -> Index:
    """Return two different parents for each of n places: neighbours with the chance `mating`, members elsewhere.

    Parameters
    ----------
    neighbours : array, shape (n, t), int64
    uniforms : array, shape (..., 3 n)
        For whether it is neighbours, and for which.

    Returns
    -------
    array, shape (..., 2 n), int64
        The first parents, then the second ones.
    """
    n, t = neighbours.shape
    is_local = uniforms[..., :n] < mating
    pick = uniforms[..., n:].reshape(*uniforms.shape[:-1], n, 2)
    size: Any = np.where(is_local, t, n)
    rows = np.empty((*uniforms.shape[:-1], 2, n), dtype=np.int64)
    first, second = rows[..., 0, :], rows[..., 1, :]
    np.multiply(pick[..., 0], size, out=first, casting="unsafe")
    size -= 1
    np.minimum(first, size, out=first)
    np.multiply(pick[..., 1], size, out=second, casting="unsafe")
    size -= 1
    np.minimum(second, size, out=second)
    second += second >= first
    near = neighbours.take(np.minimum(rows, t - 1) + np.arange(0, n * t, t))
    np.copyto(rows, near, where=is_local[..., None, :])
    return rows.reshape(*uniforms.shape[:-1], 2 * n)


def improved(
    values: Array,
    offspring: Array,
    known: Neighbourhoods,
    ideal: Array,
    *,
    kind: Aggregation,
    theta: float,
    normalize: bool,
    max_replace: int | None,
) -> tuple[Index, Array]:
    """Return which row of members and offspring every place holds, and the new ideal point.

    What `decomposition.neighbourhood_update` gives, for finite values without constraints, where offspring i is offered
    to the neighbours of place i.

    Parameters
    ----------
    values, offspring : array, shape (B, n, m)
    known : Neighbourhoods
    ideal : array, shape (B, m)

    Returns
    -------
    rows : array, shape (B, n), int64
        Below n for the place's own member, from n on for offspring.
    ideal : array, shape (B, m)
    """
    runs, n, _ = values.shape
    ideal = np.minimum(ideal, np.minimum.reduce(offspring, axis=1))
    new, old = offspring - ideal[:, None], values - ideal[:, None]
    if normalize:
        span = np.maximum.reduce(values, axis=1) - ideal
        span = np.where((span > 0) & (span < np.inf), span, 1.0)[:, None]
        new /= span
        old /= span
    new, old = new.transpose(2, 0, 1), old.transpose(2, 0, 1)
    if runs == 1:  # all at once
        gaps = np.empty(known.columns.shape)
        gaps[:, :1], gaps[:, 1:] = old, new
        both = _aggregated(gaps, known.columns, kind, theta)
        incumbent, offered = both[:1], both[None, 1:]
    else:
        incumbent = _aggregated(np.ascontiguousarray(old), known.columns[:, :1], kind, theta)
        offered = _aggregated(np.ascontiguousarray(new)[:, :, None], known.columns[:, None, 1:], kind, theta)
    targets = known.by_rank[None]
    if runs > 1:
        targets = targets + np.arange(0, runs * n, n)[:, None, None]
    if max_replace is not None and max_replace < targets.shape[1]:
        kept = _largest(incumbent.take(targets) - offered, max_replace)
        offered, targets = offered.take(kept), targets.take(kept)
    flat, offered, incumbent = targets.reshape(-1), offered.reshape(-1), incumbent.reshape(-1)
    best = incumbent.copy()
    np.minimum.at(best, flat, offered)
    wins = ((offered == best.take(flat)) & (offered < incumbent.take(flat))).nonzero()[0]
    source = np.empty(runs * n, dtype=np.int64)
    source.fill(2 * n)
    np.minimum.at(source, flat.take(wins), wins % n + n)
    rows = source.reshape(runs, n)
    return np.where(rows < 2 * n, rows, np.arange(n)), ideal


def _aggregated(g: Sequence[Array] | Array, w: Sequence[Array] | Array, kind: Aggregation, theta: float) -> Array:
    """Return what `decomposition.aggregate` does, by the same operations, for gaps and scaled weights by objective."""
    if kind == "tchebycheff":
        value: Array = w[0] * np.abs(g[0])
        for weight, gap in zip(w[1:], g[1:], strict=True):
            np.maximum(value, weight * np.abs(gap), out=value)
        return value
    along: Array = w[0] * g[0]
    for weight, gap in zip(w[1:], g[1:], strict=True):
        along += weight * gap
    if kind != "pbi":
        return along
    away: Array = along * w[0]
    np.subtract(g[0], away, out=away)
    away *= away
    for weight, gap in zip(w[1:], g[1:], strict=True):
        part = along * weight
        np.subtract(gap, part, out=part)
        part *= part
        away += part
    np.sqrt(away, out=away)
    away *= theta
    along += away
    return along


def _largest(table: Array, count: int) -> Index:
    """Return the places of the largest numbers for each i, (B, t, n) -> (B, count, n); the first of equals first."""
    runs, t, n = table.shape
    start = np.arange(0, table.size, t * n)[:, None] + np.arange(n)
    found = np.empty((runs, count, n), dtype=np.int64)
    flat = table.reshape(-1)
    for k in range(count):
        place = table.argmax(axis=1)
        place *= n
        np.add(place, start, out=found[:, k])
        if k + 1 < count:
            flat[found[:, k]] = -np.inf
    return found


def taken(old: Array, new: Array, rows: Index) -> Array:
    """Return the rows of one table and another below it, (n, c) and (q, c), where most are in their own places.

    Parameters
    ----------
    rows : array, shape (n,), int64
        i or at least n for each i.
    """
    found = old.copy()
    won = (rows >= len(old)).nonzero()[0]
    found[won] = new.take(rows.take(won) - len(old), axis=0)
    return found
