"""A process with a prior mean: the weighted predictions of processes of earlier tasks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from blackbox.surrogates.gaussian_process import GaussianProcess, Standard
from blackbox.surrogates.kernels import Array, Hyperparameters

__all__ = ["Guided", "ensemble", "ranking_weights"]

_RESAMPLES = 64


@dataclass(frozen=True, slots=True)
class Guided:
    """A process of what is left of outcomes after a prior mean: a weighted sum of other processes.

    Attributes
    ----------
    process : GaussianProcess
        Of the residuals.
    guides : tuple of GaussianProcess
    weights : array, shape (guides,)
        Of the standardised predictions of the guides.
    scale : float
        Of their sum, in units of the standardised residuals.
    """

    process: GaussianProcess
    guides: tuple[GaussianProcess, ...]
    weights: Array
    scale: float

    @property
    def hyper(self) -> Hyperparameters:
        """Of the process."""
        return self.process.hyper

    @property
    def standard(self) -> Standard:
        """Of the process."""
        return self.process.standard

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation at model points, standardised, each of shape (q,)."""
        mean, std = self.process.predict(x)
        return mean + self.scale * ensemble(self.guides, self.weights, x), std

    def predict_with_slopes(self, x: Array) -> tuple[Array, Array, Array, Array]:
        """Return mean and standard deviation and their gradients in x, each of shape (q, d)."""
        mean, std, slope_mean, slope_std = self.process.predict_with_slopes(x)
        for guide, weight in zip(self.guides, self.weights, strict=True):
            more, _, slope, _ = guide.predict_with_slopes(x)
            mean, slope_mean = mean + self.scale * weight * more, slope_mean + self.scale * weight * slope
        return mean, std, slope_mean, slope_std

    def condition(self, x: Array) -> Guided:
        """Return it with predicted means believed at model points, shape (q, d)."""
        return replace(self, process=self.process.condition(x))

    def rougher(self, factor: float) -> Guided:
        """Return it with the lengthscales of the residuals times `factor`."""
        return replace(self, process=self.process.rougher(factor))


def ensemble(guides: tuple[GaussianProcess, ...], weights: Array, x: Array) -> Array:
    """Return the weighted sum of standardised predictions, shape (q,)."""
    total = np.zeros(len(x))
    for guide, weight in zip(guides, weights, strict=True):
        if weight:
            total += weight * guide.predict(x)[0]
    return total


def ranking_weights(predictions: Array, own: Array, y: Array, random: np.random.Generator) -> Array:
    """Return the weights of guides: how often each ranks resampled outcomes best, the new task's own model competing.

    Parameters
    ----------
    predictions : array, shape (g, n)
        Of each guide at the points of the new task.
    own : array, shape (n,)
        Leave-one-out predictions of its own model.
    y : array, shape (n,)
        Outcomes there.

    References
    ----------
    M. Feurer, B. Letham, F. Hutter and E. Bakshy, Practical transfer learning for Bayesian optimization, 2018.
    Deviations: points are resampled, not posteriors; the ensemble is a prior mean.
    """
    n = len(y)
    every = np.concatenate([predictions, own[None]])
    wrong = (every[:, :, None] < every[:, None, :]) != (y[:, None] < y[None, :])
    counts = random.multinomial(n, np.full(n, 1.0 / n), size=_RESAMPLES).astype(float)
    losses = np.einsum("si,gij,sj->sg", counts, wrong.astype(float), counts)
    best = losses <= losses.min(1, keepdims=True)
    shares: Array = (best / best.sum(1, keepdims=True)).mean(0)
    return shares[:-1]
