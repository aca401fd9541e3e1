"""The fronts that survival needs in small runs on the CPU, with NumPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blackbox.algorithms.evolutionary.bitsets import MOST_BITS, bitset_fronts
from blackbox.algorithms.evolutionary.ranking import compiled_ranks

__all__ = ["needed_fronts"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]


def needed_fronts(values: Array, n_survivors: int) -> tuple[Index, NDArray[np.bool_], Index | None]:
    """Return the fronts, which rows are in the first, and the last one that is needed; (B, n), (B, n), (B, 1).

    None for the last one where the first is enough in all runs.
    """
    runs, n = values.shape[:2]
    if runs > 1 and n <= MOST_BITS:
        rank = bitset_fronts(np.ascontiguousarray(values.transpose(2, 0, 1)), n_survivors)
    elif runs > 1:
        rank = np.stack([compiled_ranks(table) for table in values])
    else:
        rank = compiled_ranks(values[0])[None]
    is_first = rank == 0
    if (np.count_nonzero(is_first, axis=1) >= n_survivors).all():
        return rank, is_first, None
    cutoff = np.partition(rank, n_survivors - 1, axis=1)[:, n_survivors - 1 : n_survivors]
    return rank, is_first, cutoff if cutoff.any() else None
