"""A Gaussian process that keeps its predictions at a pool of points while pending points are added to it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from blackbox.surrogates.gaussian_process import GaussianProcess
from blackbox.surrogates.kernels import Array, covariance

__all__ = ["Watched", "watch"]


@dataclass(frozen=True, slots=True)
class Watched(GaussianProcess):
    """A process with known predictions at the rows of `pool`; adding a point costs O(n) a row instead of O(n^2).

    Attributes
    ----------
    pool : array, shape (p, d)
        Predictions are known for this very array.
    half : array, shape (p, n)
        Covariances with the data, times the inverse factor.
    known_mean, known_variance : array, shape (p,)
    """

    pool: Array = None  # type: ignore[assignment]
    half: Array = None  # type: ignore[assignment]
    known_mean: Array = None  # type: ignore[assignment]
    known_variance: Array = None  # type: ignore[assignment]

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation at model points, standardised."""
        if x is self.pool:
            return self.known_mean, np.sqrt(np.maximum(self.known_variance, 1e-16))
        return GaussianProcess.predict(self, x)

    def condition(self, x: Array, y: Array | None = None) -> GaussianProcess:
        """Return this process with points whose predicted means are believed, still watching the pool."""
        longer = GaussianProcess.condition(self, x, y)
        if y is not None or not isinstance(longer, Watched) or longer is self:
            return longer
        n = len(self)
        # Rows of the new inverse factor: [-C B, C]; k(pool, .) times them needs the new covariances only.
        part = covariance(self.pool, x, self.layout, self.hyper)
        new = part @ longer.inverse[n:, n:].T
        new += (self.half @ self._lift(longer)) if n else 0.0
        return replace(
            longer,
            half=np.concatenate([self.half, new], axis=1),
            known_variance=self.known_variance - np.einsum("ij,ij->i", new, new),
        )

    def _lift(self, longer: GaussianProcess) -> Array:
        """Return what turns `half` into the part of the new columns that the old data give, shape (n, q)."""
        n = len(self)
        points = longer.x[n:]
        half = covariance(points, self.x, self.layout, self.hyper) @ self.inverse.T
        return np.asarray(-half.T @ longer.inverse[n:, n:].T)


def watch(process: GaussianProcess, pool: Array) -> Watched:
    """Return the process with its predictions at model points, shape (p, d), kept; O(p n^2) time once."""
    k = covariance(pool, process.x, process.layout, process.hyper)
    half = k @ process.inverse.T
    return Watched(
        **{name: getattr(process, name) for name in GaussianProcess.__slots__},
        pool=pool,
        half=half,
        known_mean=k @ process.weights + process.mean,
        known_variance=process.hyper.scale - np.einsum("ij,ij->i", half, half),
    )
