"""Survival by crowding distance in small runs on the CPU, with NumPy: one run, or many at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blackbox.algorithms.evolutionary.compact_fronts import needed_fronts

__all__ = ["survivors_nsga2"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]

_FAR_AWAY = np.array([np.inf, 0.0])
_ENDS = 64.0  # more than any finite distance, which is at most the number of objectives


def survivors_nsga2(values: Array, n_survivors: int, uniforms: Array) -> Index:
    """Return the survivors of `survive_nsga2`, for finite values without constraints.

    Parameters
    ----------
    values : array, shape (B, n, m)
    uniforms : array, shape (B, n)
        For the order among equally crowded rows.

    Returns
    -------
    array, shape (B, n_survivors), int64
        Best first. O(B m n log n) beside the fronts.
    """
    rank, is_first, cutoff = needed_fronts(values, n_survivors)
    if cutoff is not None:
        rank = np.where(rank > cutoff, rank.shape[1], rank)
        crowding = _crowding_of_all(np.ascontiguousarray(values.transpose(2, 0, 1)), rank)
        order: Index = np.lexsort((uniforms, -crowding, rank))
        return order[:, :n_survivors]
    if len(values) > 1:
        crowding = _crowding_of_first(np.ascontiguousarray(values.transpose(2, 0, 1)), is_first)
        return _widest_first(crowding, uniforms)[:, :n_survivors]
    front = is_first[0].nonzero()[0]
    columns = np.ascontiguousarray(values[0].take(front, axis=0).T)
    order = np.lexsort((uniforms[0].take(front), -_crowding_of_one(columns)))
    chosen: Index = front.take(order[:n_survivors])
    return chosen[None]


def _crowding_of_one(columns: Array) -> Array:
    """Return the crowding distance in one front of one run, columns of shape (m, n)."""
    m, n = columns.shape
    order = columns.argsort(axis=1, kind="stable")
    if m > 1:
        order += np.arange(0, m * n, n)[:, None]
    value = columns.take(order)
    span = value[:, -1:] - value[:, :1]
    gain = np.empty((m, n))
    np.subtract(value[:, 2:], value[:, :-2], out=gain[:, 1:-1])
    gain[:, 0] = gain[:, -1] = np.inf
    if span.all():
        gain /= span
    elif n > 1:  # a constant objective tells nothing
        gain /= np.where(span > 0, span, 1.0)
        gain[span[:, 0] == 0] = 0.0
    found = np.empty(m * n)
    found[order] = gain
    return _sum(found.reshape(m, n))


def _crowding_of_first(columns: Array, is_first: NDArray[np.bool_]) -> Array:
    """Return the crowding distance in the first fronts, -inf elsewhere, shape (B, n); columns of shape (m, B, n)."""
    m, runs, n = columns.shape
    order = _ascending((columns + _FAR_AWAY.take(is_first)).reshape(m * runs, n)).reshape(columns.shape)
    order += np.arange(0, m * runs * n, n).reshape(m, runs, 1)
    value = columns.take(order)  # those of the front first
    run, last = np.arange(runs), np.count_nonzero(is_first, axis=1) - 1
    span = value[:, run, last] - value[:, :, 0]
    gain = np.empty(columns.shape)
    np.subtract(value[:, :, 2:], value[:, :, :-2], out=gain[:, :, 1:-1])
    gain[:, :, 0] = gain[:, run, last] = np.inf
    if not (span > 0).all():
        gain[(span <= 0) & (last > 0)] = 0.0
        span = np.where(span > 0, span, 1.0)
    gain /= span[:, :, None]
    found = np.empty(columns.size)
    found[order.reshape(-1)] = gain.reshape(-1)
    crowding = _sum(found.reshape(m, runs, n))
    np.copyto(crowding, -np.inf, where=~is_first)
    return crowding


def _crowding_of_all(columns: Array, rank: Index) -> Array:
    """Return the crowding distance in all fronts, shape (B, n); columns of shape (m, B, n)."""
    m, runs, n = columns.shape
    order = _ascending(columns.reshape(m * runs, n)).reshape(columns.shape)
    start = np.arange(0, m * runs * n, n).reshape(m, runs, 1)
    front = rank.take(order + start[:1])
    by_front = (front.astype(np.int16) if n < 1 << 15 else front).argsort(axis=2, kind="stable")
    by_front += start
    front = front.take(by_front)
    order = order.take(by_front)
    order += start
    value, index = columns.take(order), np.arange(n)
    is_first, is_last = np.ones(columns.shape, dtype=bool), np.ones(columns.shape, dtype=bool)
    np.not_equal(front[:, :, 1:], front[:, :, :-1], out=is_first[:, :, 1:])
    is_last[:, :, :-1] = is_first[:, :, 1:]
    first = np.maximum.accumulate(np.where(is_first, index, 0), axis=2)
    last = np.minimum.accumulate(np.where(is_last, index, n - 1)[:, :, ::-1], axis=2)[:, :, ::-1]
    span = value.take(last + start) - value.take(first + start)
    is_wide = span > 0
    gain = np.zeros(columns.shape)
    np.subtract(value[:, :, 2:], value[:, :, :-2], out=gain[:, :, 1:-1])
    gain /= np.where(is_wide, span, 1.0)
    gain[~is_wide] = 0.0
    gain[(is_first | is_last) & is_wide | is_first & is_last] = np.inf
    found = np.empty(columns.size)
    found[order.reshape(-1)] = gain.reshape(-1)
    return _sum(found.reshape(m, runs, n))


def _ascending(table: Array) -> Index:
    """Return the stable order of every row; inf stands last in any order. Faster than a stable sort."""
    order, n = table.argsort(axis=1), table.shape[1]
    rows, value = _tied(table, order)
    if len(rows):
        place = np.zeros((len(rows), n), dtype=np.int64)  # equal numbers have equal places
        np.not_equal(value[:, 1:], value[:, :-1], out=place[:, 1:])
        np.add.accumulate(place, axis=1, out=place)
        place *= n
        key = order[rows] + place
        key.sort(axis=1)
        key -= place
        order[rows] = key
    return order


def _widest_first(crowding: Array, uniforms: Array) -> Index:
    """Return the order of every row by distance, and by uniform numbers among equals; -inf last in any order."""
    key = np.where(crowding == np.inf, uniforms - _ENDS, -crowding)
    order = key.argsort(axis=1)
    for row in _tied(key, order)[0]:
        order[row] = np.lexsort((uniforms[row], key[row]))
    return order


def _tied(table: Array, order: Index) -> tuple[Index, Array]:
    """Return the rows in which finite numbers are equal, and their numbers in ascending order."""
    value = table.take(order + np.arange(0, table.size, table.shape[1])[:, None])
    rows: Index = ((value[:, 1:] == value[:, :-1]) & (value[:, 1:] < np.inf)).any(1).nonzero()[0]
    return rows, value[rows]


def _sum(columns: Array) -> Array:
    """Return the sum over the objectives, added up in order."""
    total: Array = columns[0] + columns[1] if len(columns) > 1 else columns[0].copy()
    for column in columns[2:]:
        total += column
    return total
