"""Fronts of minimised values, what they leave undominated as disjoint boxes, and reference points."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np

from blackbox.surrogates.kernels import Array, Index

__all__ = ["Cells", "decompose", "infer_reference", "nondominated_rows"]

_MARGIN = 0.1  # of the range of the front that an inferred reference point lies beyond the nadir


def nondominated_rows(values: Array) -> Index:
    """Return the rows of minimised values, shape (n, m), that no other dominates; the first of equal ones.

    O(n f m) time for f rows in the front.
    """
    order = np.lexsort(values.T[::-1])
    kept: list[int] = []
    open_rows = order
    while len(open_rows):
        row = open_rows[0]
        kept.append(int(row))
        open_rows = open_rows[(values[open_rows] < values[row]).any(1)]
    return np.sort(np.array(kept, dtype=np.intp))


def infer_reference(values: Array) -> Array:
    """Return a reference point, shape (m,), for minimised feasible values of shape (n, m), n >= 1.

    A tenth of the front's range beyond its nadir. Where the front has no range in an objective, that of all values
    counts; where they have none either, a tenth of the value's size.

    References
    ----------
    H. Ishibuchi, R. Imada, Y. Setoguchi, Y. Nojima, Reference point specification in hypervolume calculation for fair
    comparison and efficient search, 2017 (a point slightly worse than the nadir).
    """
    front = values[nondominated_rows(values)]
    nadir, ideal = front.max(0), front.min(0)
    size = np.maximum(np.abs(nadir), 1e-300)
    span = nadir - ideal
    span = np.where(span > 1e-12 * size, span, values.max(0) - ideal)
    return np.asarray(nadir + _MARGIN * np.where(span > 1e-12 * size, span, size))


@dataclass(frozen=True, slots=True)
class Cells:
    """Disjoint boxes that fill what a front leaves undominated below a reference point.

    Attributes
    ----------
    knots : tuple of arrays
        For each objective the sorted edges of all boxes, -inf first.
    low, high : arrays, shape (c, m), int
        Lower and upper edges of the boxes, as places in `knots`.
    """

    knots: tuple[Array, ...]
    low: Index
    high: Index

    @classmethod
    def of(cls, front: Array, reference: Array) -> Cells:
        """Return the boxes for a front, shape (n, m); rows that are dominated or beyond the reference do not count."""
        inside = front[(front < reference).all(1)] if len(front) else front.reshape(0, len(reference))
        low, high = decompose(inside[nondominated_rows(inside)], reference)
        m = len(reference)
        knots, at_low, at_high = [], np.zeros(low.shape, np.intp), np.zeros(low.shape, np.intp)
        for j in range(m):
            edges = np.unique(np.concatenate([[-np.inf], low[:, j], high[:, j]]))
            knots.append(edges)
            at_low[:, j], at_high[:, j] = np.searchsorted(edges, low[:, j]), np.searchsorted(edges, high[:, j])
        return cls(tuple(knots), at_low, at_high)

    def __len__(self) -> int:
        return len(self.low)


def decompose(front: Array, reference: Array) -> tuple[Array, Array]:
    """Return lower and upper corners, each of shape (c, m), of disjoint boxes that fill {z < reference undominated}.

    n + 1 boxes for two objectives, at most 2 n + 1 for three; for more, slabs along the last objective with boxes
    merged across slabs, O(n^2) boxes for four.

    Parameters
    ----------
    front : array, shape (n, m)
        Minimised values, none dominating or equal to another, each below the reference.
    reference : array, shape (m,)

    References
    ----------
    K. Yang, M. Emmerich, A. Deutz, T. Bäck, Efficient computation of expected hypervolume improvement using box
    decomposition algorithms, 2019 (two and three objectives).
    """
    n, m = len(front), len(reference)
    if m == 1:
        best = front.min(0) if n else reference
        return np.full((1, 1), -np.inf), best[None].copy()
    if m == 2:
        ordered = front[np.argsort(front[:, 0], kind="stable")]
        low, high = np.full((n + 1, 2), -np.inf), np.empty((n + 1, 2))
        low[1:, 0], high[:-1, 0], high[-1, 0] = ordered[:, 0], ordered[:, 0], reference[0]
        high[1:, 1], high[0, 1] = ordered[:, 1], reference[1]
        return low, high
    if m == 3:
        return _sweep(front, reference)
    return _slabs(front, reference)


def _sweep(front: Array, reference: Array) -> tuple[Array, Array]:
    """Sweep along the third objective; strips between neighbours of the staircase below live from birth to death."""
    top = float(reference[2])
    left, right, roof, birth = [-np.inf], [float(reference[0])], [float(reference[1])], [-np.inf]
    found: list[tuple[float, ...]] = []
    for x, y, z in front[np.lexsort((front[:, 1], front[:, 0], front[:, 2]))].tolist():
        first = bisect_right(right, x)
        end = first
        while end < len(roof) and roof[end] > y:
            if z > birth[end]:
                found.append((left[end], birth[end], right[end], roof[end], z))
            end += 1
        if end == first:
            continue  # dominated in the other two by a point of equal height
        keep = [(left[first], x, roof[first], z)] if x > left[first] else []
        new = [*keep, (x, right[end - 1], y, z)]
        left[first:end] = [strip[0] for strip in new]
        right[first:end] = [strip[1] for strip in new]
        roof[first:end] = [strip[2] for strip in new]
        birth[first:end] = [strip[3] for strip in new]
    for strip in zip(left, birth, right, roof, strict=True):
        found.append((*strip, top))
    table = np.array(found)
    low = np.stack([table[:, 0], np.full(len(table), -np.inf), table[:, 1]], axis=1)
    return low, table[:, 2:5]


def _slabs(front: Array, reference: Array) -> tuple[Array, Array]:
    """Decompose between neighbours along the last objective; equal boxes of neighbouring slabs are one."""
    m = len(reference)
    ordered = front[np.argsort(front[:, -1], kind="stable")]
    heights = np.unique(ordered[:, -1])
    living: dict[bytes, tuple[Array, float]] = {}
    lows, highs = [], []

    def close(box: Array, birth: float, death: float) -> None:
        lows.append(np.append(box[: m - 1], birth))
        highs.append(np.append(box[m - 1 :], death))

    for height in [-np.inf, *heights.tolist()]:
        below = ordered[ordered[:, -1] <= height, :-1]
        boxes = np.concatenate(decompose(below[nondominated_rows(below)], reference[:-1]), axis=1) + 0.0
        now = {box.tobytes(): box for box in boxes}
        for key in [key for key in living if key not in now]:
            close(*living.pop(key), height)
        for key, box in now.items():
            if key not in living:
                living[key] = (box, height)
    for box, birth in living.values():
        close(box, birth, float(reference[-1]))
    return np.array(lows), np.array(highs)
