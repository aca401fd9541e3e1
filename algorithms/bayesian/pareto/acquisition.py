"""What a candidate promises with several objectives: log expected hypervolume improvement and chances to be usable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blackbox.algorithms.bayesian.acquisition import Acquisition
from blackbox.algorithms.bayesian.pareto.cells import Cells
from blackbox.algorithms.bayesian.pareto.expected import log_hypervolume_improvement
from blackbox.algorithms.bayesian.pareto.outcome import Outcome
from blackbox.surrogates.kernels import Array

__all__ = ["HypervolumeImprovement"]


@dataclass(frozen=True, slots=True)
class HypervolumeImprovement:
    """Log expected hypervolume improvement, averaged over hyper-parameters and over what the front may be.

    Parameters
    ----------
    outcomes : tuple of Outcome
        One an objective.
    cells : tuple of Cells
        What each front leaves undominated, in standardised units: of one front, or of one a sample of the objectives.
    chance : Acquisition
        Of constraints and failures alone.
    """

    outcomes: tuple[Outcome, ...]
    cells: tuple[Cells, ...]
    chance: Acquisition

    def log_gain(self, x: Array) -> Array:
        """Return the logarithm of the expected hypervolume improvement alone, shape (q,), in standardised units."""
        predicted = [outcome.predict(x) for outcome in self.outcomes]
        weights = [outcome.log_weights for outcome in self.outcomes]
        parts = [
            log_hypervolume_improvement(cells, [p[0][s] for p in predicted], [p[1] for p in predicted], weights)[0]
            for s, cells in enumerate(self.cells)
        ]
        return _log_mean(np.stack(parts))[0]

    def __call__(self, x: Array) -> Array:
        """Return values at model points, shape (q,); larger is better."""
        return self.log_gain(x) + self.chance(x)

    def with_slopes(self, x: Array) -> tuple[Array, Array]:
        """Return values, shape (q,), and gradients, shape (q, d); 0 in categorical and inactive columns."""
        predicted = [outcome.predict_with_slopes(x) for outcome in self.outcomes]
        weights = [outcome.log_weights for outcome in self.outcomes]
        parts, slopes = [], []
        for s, cells in enumerate(self.cells):
            means, stds = [p[0][s] for p in predicted], [p[1] for p in predicted]
            value, by_mean, by_std = log_hypervolume_improvement(cells, means, stds, weights, slopes=True)
            slope = np.zeros(x.shape)
            for j, p in enumerate(predicted):
                slope += np.einsum("kq,kqd->qd", by_mean[j], p[2][s]) + np.einsum("kq,kqd->qd", by_std[j], p[3])
            parts.append(value)
            slopes.append(slope)
        gain, share = _log_mean(np.stack(parts))
        chance, more = self.chance.with_slopes(x)
        return gain + chance, np.einsum("sq,sqd->qd", share, np.stack(slopes)) + more


def _log_mean(parts: Array) -> tuple[Array, Array]:
    """Return the logarithm of the mean of exp(parts) over the first axis, and the share of each."""
    if len(parts) == 1:
        return parts[0], np.ones(parts.shape)
    top = parts.max(0)
    share = np.exp(parts - top)
    total = share.sum(0)
    return top + np.log(total / len(parts)), share / total
