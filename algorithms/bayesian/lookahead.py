"""What an evaluation at one fidelity does to the predicted mean at the target."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from blackbox.algorithms.bayesian.gains import noise_of
from blackbox.surrogates.gaussian_process import GaussianProcess, Standard
from blackbox.surrogates.kernels import Array, Cross, Hyperparameters, Index, covariance

__all__ = ["Lookahead"]

_FLOOR = 1e-7  # share of the output scale below which variance is rounding
_LEAST = 1e-16


@dataclass(frozen=True, slots=True)
class Lookahead:
    """A process whose standard deviation is that of the change of its mean, once some columns were evaluated elsewhere.

    With x at the target and x' the same design at other values of `columns`, it predicts the mean at x and

        cov(f(x), f(x')) / sqrt(var f(x') + noise),

    so that expected improvement under it is the expected gain of the predicted mean of that design (a knowledge
    gradient of one point). At the target it is the standard deviation of f(x), but for noise.

    Parameters
    ----------
    process : GaussianProcess
    columns : array of int
    values : array
        Model values of these columns where the evaluation would be.
    """

    process: GaussianProcess
    columns: Index
    values: Array

    @property
    def hyper(self) -> Hyperparameters:
        """Of the process."""
        return self.process.hyper

    @property
    def standard(self) -> Standard:
        """Of the process."""
        return self.process.standard

    def moved(self, x: Array) -> Array:
        """Return model points with the columns where the evaluation would be."""
        moved = x.copy()
        moved[:, self.columns] = np.where(np.isnan(moved[:, self.columns]), np.nan, self.values)
        return moved

    def _prior(self, x: Array, moved: Array) -> Array:
        """Return prior covariances of points with themselves moved, shape (q,); equal for equal switches."""
        process = self.process
        switches = np.isnan(x[:, self.columns])
        prior = np.empty(len(x))
        for pattern in np.unique(switches, axis=0):
            rows = (switches == pattern).all(1)
            first = int(np.flatnonzero(rows)[0])
            pair = covariance(x[first : first + 1], moved[first : first + 1], process.layout, process.hyper)
            prior[rows] = pair[0, 0]
        return prior

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation at model points, standardised, each of shape (q,)."""
        process, moved = self.process, self.moved(x)
        k = covariance(x, process.x, process.layout, process.hyper)
        half = k @ process.inverse.T
        other = covariance(moved, process.x, process.layout, process.hyper) @ process.inverse.T
        joint = self._prior(x, moved) - np.einsum("ij,ij->i", half, other)
        variance = self._variance(other)
        return k @ process.weights + process.mean, np.sqrt(np.maximum(joint**2 / variance, _LEAST))

    def variance(self, x: Array) -> Array:
        """Return the variance of the outcome of the evaluation, noise included, standardised, shape (q,)."""
        moved = covariance(self.moved(x), self.process.x, self.process.layout, self.process.hyper)
        return self._variance(moved @ self.process.inverse.T)

    def _variance(self, other: Array) -> Array:
        scale, noise = self.process.hyper.scale, noise_of(self.process)
        left: Array = np.maximum(scale - np.einsum("ij,ij->i", other, other), 0.0)
        return left + (noise + _FLOOR * scale)

    def predict_with_slopes(self, x: Array) -> tuple[Array, Array, Array, Array]:
        """Return mean and standard deviation, standardised, and their gradients in x, each of shape (q, d).

        Gradients in the columns of the fidelity itself are of no use: they are held.
        """
        process, moved = self.process, self.moved(x)
        near = Cross(x, process.x, process.layout, process.hyper, slopes=True)
        far = Cross(moved, process.x, process.layout, process.hyper, slopes=True)
        half, other = near.matrix @ process.inverse.T, far.matrix @ process.inverse.T
        joint = self._prior(x, moved) - np.einsum("ij,ij->i", half, other)
        variance = self._variance(other)
        rows, others = half @ process.inverse, other @ process.inverse
        slope_joint = -(near.contract(others) + far.contract(rows))
        slope_variance = -2.0 * far.contract(others)
        std = np.sqrt(np.maximum(joint**2 / variance, _LEAST))
        sign = np.where(joint < 0.0, -1.0, 1.0)
        slope = (sign / np.sqrt(variance))[:, None] * (slope_joint - (0.5 * joint / variance)[:, None] * slope_variance)
        slope_mean = near.contract(np.broadcast_to(process.weights, near.matrix.shape))
        return near.matrix @ process.weights + process.mean, std, slope_mean, slope

    def condition(self, x: Array) -> Lookahead:
        """Return it with predicted means believed at model points, shape (q, d)."""
        return replace(self, process=self.process.condition(x))

    def rougher(self, factor: float) -> Lookahead:
        """Return it with all lengthscales times `factor`."""
        return replace(self, process=self.process.rougher(factor))
