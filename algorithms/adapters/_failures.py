"""What a library is told for rows that failed: it knows numbers only."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Extremes"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Extremes:
    """The best and worst usable values so far.

    Attributes
    ----------
    best, worst : list of float
        Of each objective; empty before the first usable row.
    violations : list of float
        The largest of each constraint.
    """

    best: list[float] = field(default_factory=list)
    worst: list[float] = field(default_factory=list)
    violations: list[float] = field(default_factory=list)

    @property
    def known(self) -> bool:
        """Whether a row was usable so far."""
        return bool(self.worst)

    def updated(self, values: Array, violations: Array) -> Extremes:
        """Return the extremes after usable rows of shape (n, m) and (n, k)."""
        if not len(values):
            return self
        best, worst, largest = values.min(0), values.max(0), violations.max(0)
        if self.known:
            best, worst = np.minimum(best, self.best), np.maximum(worst, self.worst)
            largest = np.maximum(largest, self.violations)
        return Extremes(best.tolist(), worst.tolist(), largest.tolist())

    def penalty(self) -> tuple[Array, Array]:
        """Return values, shape (m,), worse than every one so far by their range, and violations, shape (k,)."""
        best, worst = np.array(self.best), np.array(self.worst)
        with np.errstate(over="ignore"):
            margin = np.where(worst > best, worst - best, np.maximum(np.abs(worst), 1.0))
            values = worst + margin
        return np.where(np.isfinite(values), values, worst), np.maximum(np.array(self.violations), 1.0)
