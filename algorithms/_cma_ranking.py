"""From told rows to the ranking of a generation: which vector each row is, and by which value it ranks."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blackbox.algorithms._cma_box import SearchBox

__all__ = ["best_of", "fitness_of", "match"]

Array = NDArray[np.float64]


def best_of(values: Array, violations: Array) -> tuple[int, list[float]]:
    """Return the row of the best point, and its total violation and value; failed rows hold NaN."""
    if not violations.shape[1]:
        row = int(np.where(np.isfinite(values), values, np.inf).argmin())
        return row, [0.0, float(values[row])]
    excess = np.maximum(violations, 0.0).sum(1)
    failed = ~np.isfinite(values)
    order = np.lexsort((values, np.where(failed, np.inf, excess), failed))
    row = int(order[0])
    return row, [float(excess[row]), float(values[row])]


def match(box: SearchBox, genotypes: Array, x: Tensor, told: Tensor) -> tuple[list[int], list[int], Array]:
    """Return which sampled vector each told row is, which vectors were changed since, and the vectors as told.

    Rows stand in the order in which they were sampled; some may be missing (abandoned), and columns may have been
    given other values (`fixed=`).
    """
    if torch.equal(told, x):
        return list(range(len(told))), [], genotypes
    rows = list(range(len(told))) if len(told) == len(x) else place(x, told)
    genotypes = genotypes.copy()
    differs = (told != x[rows]).cpu().numpy()
    changed = np.flatnonzero(differs.any(1)).tolist()
    as_told = box.genotypes(told)
    for row in changed:
        columns = differs[row]
        genotypes[rows[row], columns] = as_told[row, columns]
    return rows, [rows[row] for row in changed], genotypes


def place(x: Tensor, told: Tensor) -> list[int]:
    """Return increasing rows of x for the rows of `told`, equal ones where there are any."""
    rows: list[int] = []
    spare = len(x) - len(told)  # how many rows of x have no counterpart
    row = 0
    for point in told:
        ahead = (x[row : row + spare + 1] == point).sum(1)
        skip = int(ahead.argmax())  # the first of those that agree in most columns
        rows.append(row + skip)
        row += skip + 1
        spare -= skip
    return rows


def fitness_of(n: int, rows: list[int], values: Array) -> list[float]:
    """Return n finite values to rank by: failed rows above every other, rows that were not told in the middle."""
    finite = values[np.isfinite(values)]
    if len(finite) == n:
        return [float(value) for value in values]
    low, high = float(finite.min()), float(finite.max())
    worst = min(max(high + (high - low), math.nextafter(high, math.inf)), float(np.finfo(np.float64).max))
    middle = np.sort(finite)[[(len(finite) - 1) // 2, len(finite) // 2]] / 2  # halved first: huge values may be told
    fitness = [float(middle.sum())] * n
    for row, value in zip(rows, values.tolist(), strict=True):
        fitness[row] = value if math.isfinite(value) else worst
    return fitness
