"""Constraints of a search for a front, which may be feasible in several places: probabilities with heavy tails."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from blackbox.algorithms.bayesian.acquisition import Limit, log_probability
from blackbox.surrogates.kernels import Array

__all__ = ["TailedLimit"]

_DOUBT, _WIDER = 0.1, 10.0  # the chance that a model is too sure of itself, and by how much


@dataclass(frozen=True, slots=True)
class TailedLimit(Limit):
    """An outcome that should stay at or below `threshold`, of whose spread the model may be too sure.

    The probability is a mixture: with weight 0.1 the spread is ten times what the model says. So what the model
    all but rules out is tried once little is left to gain elsewhere.
    """

    def __call__(self, x: Array) -> Array:
        """Return the log probability at model points, shape (q,)."""
        mean, std = self.process.predict(x)
        return _mixture((self.threshold - mean) / std)[0]

    def with_slopes(self, x: Array) -> tuple[Array, Array]:
        """Return the log probability and its gradient."""
        mean, std, slope_mean, slope_std = self.process.predict_with_slopes(x)
        z = (self.threshold - mean) / std
        value, slope = _mixture(z)
        return value, (slope / std)[:, None] * (-slope_mean - z[:, None] * slope_std)


def _mixture(z: Array) -> tuple[Array, Array]:
    sure, slope = log_probability(z)
    unsure, gentle = log_probability(z / _WIDER)
    sure, unsure = sure + math.log1p(-_DOUBT), unsure + math.log(_DOUBT)
    value = np.logaddexp(sure, unsure)
    return value, np.exp(sure - value) * slope + np.exp(unsure - value) * gentle / _WIDER
