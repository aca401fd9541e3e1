"""Fronts of many small tables at once, on the CPU, from sets of rows kept as bits.

For every objective the rows that are no worse than a row are a prefix of the order by that objective; as words of 64
bits they are found by one running union, and the rows that dominate a row are the intersection over the objectives:
n^2 / 64 words for each, without a comparison of pairs.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["bitset_fronts"]

Array = NDArray[np.float64]
Words = NDArray[np.uint64]
Index = NDArray[np.int64]


@lru_cache(maxsize=8)
def _single_bits(n: int) -> Words:
    """Return the set that holds a row alone, for each of n rows, shape (n, words)."""
    row = np.arange(n)
    table = np.zeros((n, (n + 63) // 64), dtype=np.uint64)
    table[row, row // 64] = np.uint64(1) << (row % 64).astype(np.uint64)
    table.setflags(write=False)
    return table


def bitset_fronts(columns: Array, stop: int) -> Index:
    """Return the front of every row of B tables, until `stop` rows of each have one.

    Parameters
    ----------
    columns : array, shape (m, B, n), contiguous, finite
        Values to minimise, an objective in each plane.
    stop : int, at most n

    Returns
    -------
    array, shape (B, n), int64
        Fronts from 0; n for the rows of later fronts. Equal rows share a front. O(B n (log n + m n / 64)) time,
        O(B m n^2 / 64) words of memory.
    """
    return _peeled(_dominators(columns), stop)


def _dominators(columns: Array) -> Words:
    """Return for each row the set of the rows that dominate it, shape (words, B, n)."""
    m, runs, n = columns.shape
    bits, count = _single_bits(n), columns.size
    words = bits.shape[1]
    order = columns.argsort(axis=2).reshape(-1, n)
    table = np.arange(m * runs)[:, None]
    place = (order + table * n).reshape(-1)
    # Unions of the first i rows in each order, from none to all.
    unions = np.empty((m * runs, n + 1, words), dtype=np.uint64)
    unions[:, 0] = 0
    np.bitwise_or.accumulate(bits.take(order, axis=0), axis=1, out=unions[:, 1:])
    unions = unions.reshape(-1, words)
    ordered = columns.reshape(-1).take(place).reshape(-1, n)
    is_new = np.ones((m * runs, n), dtype=bool)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=is_new[:, 1:])
    end = np.empty(count, dtype=np.int64)
    shared = start = np.empty(0, dtype=np.int64)
    if is_new.all():
        end[place] = (np.arange(1, n + 1) + table * (n + 1)).reshape(-1)
    else:
        # Rows with equal values stand together: no worse are all up to the end of the group, better those before it.
        first = np.flatnonzero(is_new)
        group = is_new.reshape(-1).cumsum() - 1
        after = np.append(first[1:], count)
        first += first // n
        after += (after - 1) // n
        after, first = after.take(group), first.take(group)
        start, is_shared = np.empty(count, dtype=np.int64), np.empty(count, dtype=bool)
        end[place], start[place], is_shared[place] = after, first, after - first > 1
        # Only a row that shares its value in every objective with others can have an equal.
        shared = np.flatnonzero(is_shared.reshape(m, -1).all(0))
    found = _combined(unions, end.reshape(m, -1), np.bitwise_and)
    others = found.reshape(runs, n, words)
    others &= ~bits
    if len(shared):
        found[shared] &= _combined(unions, start.reshape(m, -1)[:, shared], np.bitwise_or)
    return np.ascontiguousarray(found.reshape(-1, words).T).reshape(words, runs, n)


def _combined(unions: Words, pointers: Index, operation: np.ufunc) -> Words:
    """Return the union or intersection over the objectives of the sets that are pointed at, shape (B n, words)."""
    found: Words = unions.take(pointers[0], axis=0)
    for plane in pointers[1:]:
        operation(found, unions.take(plane, axis=0), out=found)
    return found


def _peeled(dominators: Words, stop: int) -> Index:
    words, runs, n = dominators.shape
    front = np.full((runs, n), n, dtype=np.int64)
    left = np.ones((runs, n), dtype=bool)
    wanted = np.full(runs, stop)
    bits = np.zeros((runs, 8 * words), dtype=np.uint8)
    width = (n + 7) // 8
    bits[:, :width] = np.packbits(left, axis=1, bitorder="little")
    alive = bits.view(np.uint64).T.copy()
    k = 0
    while True:
        hits = dominators & alive[:, :, None]
        leaving = np.bitwise_or.reduce(hits, axis=0) == 0
        leaving &= left
        if k:
            leaving &= (wanted > 0)[:, None]
        front[leaving] = k
        wanted -= leaving.sum(1)
        if (wanted <= 0).all():
            return front
        left &= ~leaving
        bits[:, :width] = np.packbits(leaving, axis=1, bitorder="little")
        alive &= ~bits.view(np.uint64).T
        k += 1
