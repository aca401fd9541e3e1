"""What is believed about one objective at one moment, as a user's own acquisition sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blackbox.algorithms.bayesian.gains import noise_of
from blackbox.space import Space
from blackbox.surrogates.gaussian_process import GaussianProcess
from blackbox.surrogates.kernels import Array

__all__ = ["Belief"]


@dataclass(frozen=True, slots=True)
class Belief:
    """The models of one objective, to be minimised, in standardised units: about mean 0 and variance 1.

    Points are *model points*, shape (q, d): real, integer and ordinal columns in [0, 1] (logarithms taken where the
    space says so), categorical ones hold level indices, inactive ones NaN.

    Attributes
    ----------
    space : Space
        What is searched, without its constant columns.
    modes : tuple of GaussianProcess
        One for each set of hyper-parameters.
    log_weights : array, shape (number of modes,)
    best : float
        The value to improve on.
    """

    space: Space
    modes: tuple[GaussianProcess, ...]
    log_weights: Array
    best: float

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation, each of shape (q,), over all modes."""
        weights = np.exp(self.log_weights)
        means, stds = zip(*(mode.predict(x) for mode in self.modes), strict=True)
        mean = np.einsum("m,mq->q", weights, np.stack(means))
        second = np.einsum("m,mq->q", weights, np.stack(stds) ** 2 + (np.stack(means) - mean) ** 2)
        return mean, np.sqrt(second)

    def predict_with_slopes(self, x: Array) -> tuple[Array, Array, Array, Array]:
        """Return mean and standard deviation, and their gradients, each of shape (q, d)."""
        weights = np.exp(self.log_weights)
        means, stds, mean_slopes, std_slopes = (
            np.stack(part) for part in zip(*(mode.predict_with_slopes(x) for mode in self.modes), strict=True)
        )
        mean = np.einsum("m,mq->q", weights, means)
        slope = np.einsum("m,mqd->qd", weights, mean_slopes)
        gaps = means - mean
        std = np.sqrt(np.einsum("m,mq->q", weights, stds**2 + gaps**2))
        part = stds[..., None] * std_slopes + gaps[..., None] * (mean_slopes - slope)
        return mean, std, slope, np.einsum("m,mqd->qd", weights, part) / std[:, None]

    @property
    def noise(self) -> float:
        """The variance of the noise of an evaluation, of the likeliest mode."""
        return noise_of(self.modes[0])
