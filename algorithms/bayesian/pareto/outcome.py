"""One objective among several: a mixture over hyper-parameters, or under noise samples of what it may be."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from blackbox.algorithms.bayesian.watched import watch
from blackbox.surrogates.gaussian_process import GaussianProcess
from blackbox.surrogates.kernels import Array, Cross, covariance
from blackbox.surrogates.likelihood import inverse_factor

__all__ = ["Outcome", "given_samples"]

_NUGGET = 1e-8  # what is added to the covariance of samples, in units of the output scale


@dataclass(frozen=True, slots=True)
class Outcome:
    """Predictions of one standardised outcome.

    Parameters
    ----------
    modes : tuple of GaussianProcess
        One a set of hyper-parameters; exactly one where there are samples.
    log_weights : array, shape (k,)
        Logarithms of weights that sum to one.
    samples : array, shape (n, s), or None
        Weights of the data, as `GaussianProcess.weights`, one column a sample of the function at some points: the
        samples differ in mean and share their variance.
    """

    modes: tuple[GaussianProcess, ...]
    log_weights: Array
    samples: Array | None = None

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Return means, shape (s, k, q), and standard deviations, shape (k, q), at model points of shape (q, d)."""
        if self.samples is None:
            pairs = [mode.predict(x) for mode in self.modes]
            return np.stack([mean for mean, _ in pairs])[None], np.stack([std for _, std in pairs])
        mode = self.modes[0]
        k = covariance(x, mode.x, mode.layout, mode.hyper)
        half = k @ mode.inverse.T
        variance = mode.hyper.scale - np.einsum("ij,ij->i", half, half)
        return (k @ self.samples).T[:, None] + mode.mean, np.sqrt(np.maximum(variance, 1e-16))[None]

    def predict_with_slopes(self, x: Array) -> tuple[Array, Array, Array, Array]:
        """Return means and standard deviations, and gradients of shapes (s, k, q, d) and (k, q, d)."""
        if self.samples is None:
            parts = [mode.predict_with_slopes(x) for mode in self.modes]
            mean, std, slope_mean, slope_std = (np.stack(part) for part in zip(*parts, strict=True))
            return mean[None], std, slope_mean[None], slope_std
        mode = self.modes[0]
        cross = Cross(x, mode.x, mode.layout, mode.hyper, slopes=True)
        k = cross.matrix
        half = k @ mode.inverse.T
        std = np.sqrt(np.maximum(mode.hyper.scale - np.einsum("ij,ij->i", half, half), 1e-16))
        slope_means = [cross.contract(np.broadcast_to(column, k.shape)) for column in self.samples.T]
        slope_std = -cross.contract(half @ mode.inverse) / std[:, None]
        return (k @ self.samples).T[:, None] + mode.mean, std[None], np.stack(slope_means)[:, None], slope_std[None]

    def means(self, x: Array) -> Array:
        """Return means over the sets of hyper-parameters, shape (s, q)."""
        return np.asarray(np.einsum("k,skq->sq", np.exp(self.log_weights), self.predict(x)[0]))

    def watch(self, pool: Array) -> Outcome:
        """Return this outcome with its predictions at model points, shape (p, d), kept while it is conditioned."""
        if self.samples is not None:
            return self
        return replace(self, modes=tuple(watch(mode, pool) for mode in self.modes))

    def condition(self, x: Array) -> Outcome:
        """Return this outcome once its means at points of shape (q, d) are believed, in each sample its own."""
        modes = tuple(mode.condition(x) for mode in self.modes)
        if self.samples is None:
            return replace(self, modes=modes)
        added = len(modes[0]) - len(self.samples)
        samples = np.concatenate([self.samples, np.zeros((added, self.samples.shape[1]))])
        return replace(self, modes=modes, samples=samples)


def given_samples(process: GaussianProcess, x: Array, normal: Array) -> tuple[Outcome, Array]:
    """Return the outcome given joint samples of the noiseless function at points, and the samples, shape (s, q).

    Parameters
    ----------
    process : GaussianProcess
    x : array, shape (q, d)
        Model points.
    normal : array, shape (q, s)
        Independent standard normal numbers.
    """
    k = covariance(x, process.x, process.layout, process.hyper)
    half = k @ process.inverse.T
    own = covariance(x, x, process.layout, process.hyper) - half @ half.T
    found = inverse_factor(own, _NUGGET * process.hyper.scale, process.hyper.scale)
    if found is None:
        raise ArithmeticError("the covariance of the samples cannot be factorised")
    factor, corner, _ = found
    n, q = len(process), len(x)
    inverse = np.zeros((n + q, n + q))
    inverse[:n, :n], inverse[n:, n:] = process.inverse, corner
    inverse[n:, :n] = -corner @ (half @ process.inverse)
    weights = np.concatenate([process.weights, np.zeros(q)])
    mean = k @ process.weights + process.mean
    target = mean + (factor @ normal)[:, 0]
    given = replace(
        process,
        x=np.concatenate([process.x, x]),
        y=np.concatenate([process.y, target * process.standard.spread + process.standard.shift]),
        variance=None if process.variance is None else np.concatenate([process.variance, np.zeros(q)]),
        inverse=inverse,
        weights=weights,
    )
    samples = weights[:, None] + inverse[n:].T @ normal
    return Outcome((given,), np.zeros(1), samples), mean + (factor @ normal).T
