"""A Gaussian process together with points of interest: what an evaluation elsewhere would tell about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blackbox.surrogates.gaussian_process import GaussianProcess
from blackbox.surrogates.kernels import Array, Cross, covariance

__all__ = ["Reach", "Sight"]

_FLOOR = 1e-16  # of variances


@dataclass(frozen=True, slots=True)
class Sight:
    """Posterior moments at q points, and how a function of them changes with the points.

    Attributes
    ----------
    mean, variance : array, shape (q,)
    covariance : array, shape (q, p)
        With the points of interest.
    """

    mean: Array
    variance: Array
    covariance: Array
    _half: Array
    _cross: Cross
    _reach: Reach

    def pull(self, by_mean: Array, by_variance: Array, by_covariance: Array | None = None) -> Array:
        """Return gradients in the points, shape (q, d), of functions with these partial derivatives."""
        reach, process = self._reach, self._reach.process
        n = len(process)
        rows = np.zeros(self._cross.matrix.shape)
        rows[:, :n] = by_mean[:, None] * process.weights
        rows[:, :n] -= (2.0 * by_variance)[:, None] * (self._half @ process.inverse)
        if by_covariance is not None and len(reach.points):
            rows += by_covariance @ reach.functionals
        return self._cross.contract(rows)


class Reach:
    """A process and p points of interest.

    Parameters
    ----------
    process : GaussianProcess
    points : array, shape (p, d)
        Model points.

    Attributes
    ----------
    mean : array, shape (p,)
        At the points of interest.
    covariance : array, shape (p, p)
        Between them.
    functionals : array, shape (p, n + p)
        Weights of covariances with the data and the points of interest that give posterior covariances.
    """

    __slots__ = ("covariance", "functionals", "mean", "points", "process", "union")

    def __init__(self, process: GaussianProcess, points: Array) -> None:
        self.process, self.points = process, points
        k = covariance(points, process.x, process.layout, process.hyper)
        half = k @ process.inverse.T
        self.functionals: Array = np.concatenate([-(half @ process.inverse), np.eye(len(points))], axis=1)
        self.union: Array = np.concatenate([process.x, points])
        self.mean: Array = k @ process.weights + process.mean
        own = covariance(points, points, process.layout, process.hyper) - half @ half.T
        self.covariance: Array = 0.5 * (own + own.T)

    def see(self, x: Array, *, slopes: bool = False) -> Sight:
        """Return moments at model points, shape (q, d); `slopes` where gradients will be wanted."""
        process = self.process
        cross = Cross(x, self.union, process.layout, process.hyper, slopes=slopes)
        own = cross.matrix[:, : len(process)]
        half = own @ process.inverse.T
        variance = np.maximum(process.hyper.scale - np.einsum("ij,ij->i", half, half), _FLOOR)
        mean = own @ process.weights + process.mean
        return Sight(mean, variance, cross.matrix @ self.functionals.T, half, cross, self)
