"""The trust region of TuRBO: how long its box is, and which evaluations belong to it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from blackbox.algorithms.bayesian.state import BayesianState

__all__ = ["Region"]

_GAIN = 1e-3  # relative improvement that counts as a success


class _Settings(Protocol):
    @property
    def successes(self) -> int: ...
    @property
    def failures(self) -> int | None: ...
    @property
    def largest(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Region:
    """One trust region.

    Attributes
    ----------
    length : float
        Side of the box in the unit cube.
    first : int
        Rows of the state from here on belong to the region.
    seen : int
        Rows before this one have been counted.
    successes, failures : int
        Improving batches in a row, and evaluations without an improvement in a row.
    value, violation : float
        Of the best evaluation; the value is infinite as long as none was feasible.
    """

    length: float
    first: int = 0
    seen: int = 0
    successes: int = 0
    failures: int = 0
    value: float = math.inf
    violation: float = math.inf

    @classmethod
    def of(cls, state: BayesianState) -> Region:
        """Return the region that a state remembers."""
        length, first, seen, successes, failures, value, violation = state.memory["region"].tolist()
        return cls(length, int(first), int(seen), int(successes), int(failures), value, violation)

    def as_memory(self) -> dict[str, Tensor]:
        """Return what a state remembers it by."""
        numbers = (self.length, self.first, self.seen, self.successes, self.failures, self.value, self.violation)
        return {"region": torch.tensor(numbers, dtype=torch.float64)}

    def advanced(self, state: BayesianState, settings: _Settings, dim: int, n_start: int) -> Region:
        """Return the region after the evaluations that it has not seen, which count as one batch."""
        rows = slice(self.seen, len(state))
        n_new = len(state) - self.seen
        if not n_new:
            return self
        usable = state.usable[rows]
        excess = np.maximum(state.violations.numpy()[rows], 0.0).sum(1)
        values = state.values.numpy()[rows, 0]
        feasible = usable & (excess <= 0.0)
        value = float(values[feasible].min()) if feasible.any() else math.inf
        violation = 0.0 if feasible.any() else float(excess[usable].min()) if usable.any() else math.inf
        better = self._improved(value, violation)
        best = replace(self, seen=len(state), value=min(value, self.value), violation=min(violation, self.violation))
        if self.seen - self.first < n_start:  # of the start design
            return best
        return best._resized(better, n_new, settings, dim)

    def _improved(self, value: float, violation: float) -> bool:
        if math.isfinite(self.value):
            return value < self.value - _GAIN * abs(self.value)
        return math.isfinite(value) or violation < (1.0 - _GAIN) * self.violation

    def _resized(self, better: bool, n_new: int, settings: _Settings, dim: int) -> Region:
        successes = self.successes + 1 if better else 0
        failures = 0 if better else self.failures + n_new
        length = self.length
        tolerance = max(4, dim) if settings.failures is None else settings.failures
        if successes >= settings.successes:
            length, successes = min(2.0 * length, settings.largest), 0
        elif failures >= tolerance:
            length, failures = length / 2.0, 0
        return replace(self, length=length, successes=successes, failures=failures)
