"""Fronts of many small tables at once, on the CPU, from sets of rows kept as bits.

Rows are put in order of the first objective, so that only earlier ones can dominate a row. For every other objective
the rows that are no worse than a row are a prefix of the order by that objective; as words of 64 bits they are found by
one running union, and the rows that dominate a row are the intersection over the objectives: n^2 / 64 words for each,
without a comparison of pairs.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_BITS", "bitset_fronts"]

MOST_BITS = 600  # rows in the largest table for which that pays

Array = NDArray[np.float64]
Words = NDArray[np.uint64]
Index = NDArray[np.int64]


@lru_cache(maxsize=8)
def _sets(n: int) -> tuple[Words, Words]:
    """Return for each of n rows the set that holds it alone, and the set of all rows before it, shape (n, words)."""
    row = np.arange(n)
    alone = np.zeros((n, (n + 63) // 64), dtype=np.uint64)
    alone[row, row // 64] = np.uint64(1) << (row % 64).astype(np.uint64)
    before = np.bitwise_or.accumulate(alone, axis=0) ^ alone
    alone.setflags(write=False)
    before.setflags(write=False)
    return alone, before


def bitset_fronts(columns: Array, stop: int) -> Index:
    """Return the front of every row of B tables, until `stop` rows of each have one.

    Parameters
    ----------
    columns : array, shape (m, B, n), finite
        Values to minimise, an objective in each plane.
    stop : int, at most n

    Returns
    -------
    array, shape (B, n), int64
        Fronts from 0; n for the rows of later fronts. Equal rows share a front. O(B n (log n + m n / 64)) time,
        O(B m n^2 / 64) words of memory.
    """
    _, runs, n = columns.shape
    place, values = _in_order(columns)
    dominators = _dominators(values)
    is_first = _is_empty(dominators).reshape(runs, n)
    if (np.count_nonzero(is_first, axis=1) >= stop).all():
        found = np.multiply(~is_first, n, dtype=np.int64)
    else:
        words = dominators.shape[1]
        found = _peeled(np.ascontiguousarray(dominators.T).reshape(words, runs, n), is_first, stop)
    front = np.empty(runs * n, dtype=np.int64)
    front[place] = found.reshape(-1)
    return front.reshape(runs, n)


def _in_order(columns: Array) -> tuple[Index, Array]:
    """Return the rows of every table in lexicographic order, (B n,), as places in all tables, and their values."""
    m, runs, n = columns.shape
    order = columns[0].argsort(axis=1)
    start = np.arange(0, runs * n, n)[:, None]
    flat = columns.reshape(m, -1)
    place = (order + start).reshape(-1)
    values = flat.take(place, axis=1).reshape(m, runs, n)
    tied = (values[0, :, 1:] == values[0, :, :-1]).any(1)
    if m > 1 and tied.any():
        for run in tied.nonzero()[0]:
            order[run] = np.lexsort(columns[::-1, run])
            values[:, run] = columns[:, run].take(order[run], axis=1)
        place = (order + start).reshape(-1)
    return place, values


def _dominators(values: Array) -> Words:
    """Return for each row of tables in lexicographic order the set of the rows that dominate it, shape (B n, words)."""
    m, runs, n = values.shape
    alone, before = _sets(n)
    found = np.empty((runs, n, alone.shape[1]), dtype=np.uint64)
    found[:] = before
    sets = found.reshape(runs * n, -1)
    if m > 1:
        tables = (m - 1) * runs
        order = values[1:].argsort(axis=2).reshape(tables, n)
        unions = alone.take(order, axis=0)
        np.bitwise_or.accumulate(unions, axis=1, out=unions)
        order += np.arange(0, tables * n, n)[:, None]
        place = order.reshape(-1)
        pointer = _pointers(values[1:].reshape(-1).take(place), place, n)
        unions = unions.reshape(n * tables, -1)
        for plane in pointer.reshape(m - 1, -1):
            sets &= unions.take(plane, axis=0)
    is_same = (values[:, :, 1:] == values[:, :, :-1]).all(0)
    if is_same.any():  # equal rows are dominated by what dominates the first of them
        first = np.arange(runs * n).reshape(runs, n)
        first[:, 1:][is_same] = 0
        np.maximum.accumulate(first, axis=1, out=first)
        sets = sets.take(first.reshape(-1), axis=0)
    return sets


def _pointers(ordered: Array, place: Index, n: int) -> Index:
    """Return for each row of each table where the union of all rows that are no worse stands among the unions.

    Parameters
    ----------
    ordered, place : array, shape (t n,)
        The values of every table in ascending order, and which row each of them belongs to.
    """
    pointer = np.empty_like(place)
    pointer[place] = np.arange(len(place))
    is_tied = np.zeros(len(place), dtype=bool)  # with the next one
    np.equal(ordered[1:], ordered[:-1], out=is_tied[:-1])
    is_tied[n - 1 :: n] = False
    tied = is_tied.nonzero()[0]
    if len(tied):  # up to the last of the equal ones
        is_last = np.ones(len(tied), dtype=bool)
        np.greater(tied[1:], tied[:-1] + 1, out=is_last[:-1])
        last = np.where(is_last, tied + 1, len(place))
        pointer[place.take(tied)] = np.minimum.accumulate(last[::-1])[::-1]
    return pointer


def _is_empty(sets: Words) -> NDArray[np.bool_]:
    """Return which sets, shape (s, words), hold nothing."""
    union = sets[:, 0]
    for word in range(1, sets.shape[1]):
        union = union | sets[:, word]
    empty: NDArray[np.bool_] = union == 0
    return empty


def _peeled(dominators: Words, is_first: NDArray[np.bool_], stop: int) -> Index:
    words, runs, n = dominators.shape
    front = np.where(is_first, 0, n)
    left, wanted = ~is_first, stop - np.count_nonzero(is_first, axis=1)
    bits = np.zeros((runs, 8 * words), dtype=np.uint8)
    width = (n + 7) // 8
    bits[:, :width] = np.packbits(left, axis=1, bitorder="little")
    alive = bits.view(np.uint64).T.copy()
    k = 0
    while (wanted > 0).any():
        k += 1
        hits = dominators & alive[:, :, None]
        leaving = np.bitwise_or.reduce(hits, axis=0) == 0
        leaving &= left
        leaving &= (wanted > 0)[:, None]
        front[leaving] = k
        wanted -= leaving.sum(1)
        left &= ~leaving
        bits[:, :width] = np.packbits(leaving, axis=1, bitorder="little")
        alive &= ~bits.view(np.uint64).T
    return front
