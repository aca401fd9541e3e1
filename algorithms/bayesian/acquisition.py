"""What a candidate promises: log expected improvement, with constraints and failures, and its gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import erfcx, log_ndtr

from blackbox.surrogates.gaussian_process import GaussianProcess
from blackbox.surrogates.kernels import Array

__all__ = ["Acquisition", "Limit", "log_improvement", "log_probability"]

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
_ROOT_HALF_PI = math.sqrt(0.5 * math.pi)
_LOST = 50.0  # what a candidate loses that is likelier to fail than not


def log_improvement(z: Array) -> tuple[Array, Array]:
    """Return log h(z), h(z) = phi(z) + z Phi(z), and its derivative; accurate for any z.

    References
    ----------
    S. Ament et al., Unexpected improvements to expected improvement for Bayesian optimization, 2023.
    """
    z = np.maximum(z, -1e7)
    low = np.minimum(z, -1.0)
    ratio = _ROOT_HALF_PI * erfcx(-low / math.sqrt(2.0))  # Phi / phi
    rest = np.where(low > -1e4, 1.0 + low * ratio, 1.0 / (low * low))
    below = -0.5 * low * low - _HALF_LOG_2PI + np.log(rest)
    high = np.maximum(z, -1.0)
    density = np.exp(-0.5 * high * high - _HALF_LOG_2PI)
    share = np.exp(log_ndtr(high))
    h = density + high * share
    return np.where(z < -1.0, below, np.log(h)), np.where(z < -1.0, ratio / rest, share / h)


def log_probability(z: Array) -> tuple[Array, Array]:
    """Return log Phi(z) and its derivative; accurate for any z."""
    value = log_ndtr(z)
    low = np.minimum(z, 0.0)
    slope = np.where(
        z < 0.0, 1.0 / (_ROOT_HALF_PI * erfcx(-low / math.sqrt(2.0))), np.exp(-0.5 * z * z - _HALF_LOG_2PI - value)
    )
    return value, slope


@dataclass(frozen=True, slots=True)
class Limit:
    """An outcome that should stay at or below `threshold`, in standardised units of `process`."""

    process: GaussianProcess
    threshold: float

    def __call__(self, x: Array) -> Array:
        """Return the log probability at model points, shape (q,)."""
        mean, std = self.process.predict(x)
        return np.asarray(log_ndtr((self.threshold - mean) / std))

    def with_slopes(self, x: Array) -> tuple[Array, Array]:
        """Return the log probability and its gradient."""
        mean, std, slope_mean, slope_std = self.process.predict_with_slopes(x)
        z = (self.threshold - mean) / std
        value, slope = log_probability(z)
        return value, (slope / std)[:, None] * (-slope_mean - z[:, None] * slope_std)


@dataclass(frozen=True, slots=True)
class Acquisition:
    """Log expected improvement, averaged over hyper-parameters, plus log probabilities of being usable.

    Parameters
    ----------
    modes : tuple of GaussianProcess
        Of the minimised objective, one for each set of hyper-parameters; empty where there is no objective model.
    log_weights : array, shape (number of modes,)
        Logarithms of weights that sum to one.
    best : float
        The value to improve on, in standardised units (the modes share their standardisation).
    limits : tuple of Limit
        Black-box constraints.
    success : GaussianProcess or None
        Of +1 for evaluations that gave a value and -1 for those that failed.
    """

    modes: tuple[GaussianProcess, ...]
    log_weights: Array
    best: float
    limits: tuple[Limit, ...] = ()
    success: GaussianProcess | None = None

    def __call__(self, x: Array) -> Array:
        """Return values at model points, shape (q,); larger is better."""
        total = np.zeros(len(x))
        if self.modes:
            parts = []
            for mode in self.modes:
                mean, std = mode.predict(x)
                parts.append(np.log(std) + log_improvement((self.best - mean) / std)[0])
            total = total + _log_mean(np.stack(parts), self.log_weights)[0]
        for limit in self.limits:
            total = total + limit(x)
        if self.success is not None:
            mean, std = self._success(*self.success.predict(x))
            total = total + log_ndtr(2.0 * mean / std) - np.where(mean <= 0.0, _LOST, 0.0)
        return total

    def with_slopes(self, x: Array) -> tuple[Array, Array]:
        """Return values, shape (q,), and gradients, shape (q, d); 0 in categorical and inactive columns."""
        total, slope = np.zeros(len(x)), np.zeros(x.shape)
        if self.modes:
            parts, slopes = zip(*(self._improvement(mode, x) for mode in self.modes), strict=True)
            value, share = _log_mean(np.stack(parts), self.log_weights)
            total = total + value
            slope = slope + np.einsum("mq,mqd->qd", share, np.stack(slopes))
        for limit in self.limits:
            value, more = limit.with_slopes(x)
            total, slope = total + value, slope + more
        if self.success is not None:
            value, more = self._success_with_slopes(x)
            total, slope = total + value, slope + more
        return total, slope

    def _improvement(self, mode: GaussianProcess, x: Array) -> tuple[Array, Array]:
        mean, std, slope_mean, slope_std = mode.predict_with_slopes(x)
        z = (self.best - mean) / std
        value, bend = log_improvement(z)
        slope = slope_std - bend[:, None] * (slope_mean + z[:, None] * slope_std)
        return np.log(std) + value, slope / std[:, None]

    def _success(self, mean: Array, std: Array) -> tuple[Array, Array]:
        assert self.success is not None
        scale = self.success.standard
        return mean * scale.spread + scale.shift, np.maximum(std * scale.spread, 0.1)

    def _success_with_slopes(self, x: Array) -> tuple[Array, Array]:
        assert self.success is not None
        raw_mean, raw_std, slope_mean, slope_std = self.success.predict_with_slopes(x)
        spread = self.success.standard.spread
        mean, std = self._success(raw_mean, raw_std)
        slope_std = np.where((raw_std * spread > 0.1)[:, None], slope_std, 0.0)
        z = 2.0 * mean / std
        value, bend = log_probability(z)
        slope = (bend * spread / std)[:, None] * (2.0 * slope_mean - z[:, None] * slope_std)
        return value - np.where(mean <= 0.0, _LOST, 0.0), slope

    def condition(self, x: Array) -> Acquisition:
        """Return this acquisition once points of shape (q, d) are being evaluated: their predicted means believed."""
        if not len(x):
            return self
        modes = tuple(mode.condition(x) for mode in self.modes)
        best = self.best
        if modes:
            believed = np.einsum("m,mq->q", np.exp(self.log_weights), np.stack([m.predict(x)[0] for m in self.modes]))
            usable = np.ones(len(x), bool)
            for limit in self.limits:
                usable &= limit(x) > math.log(0.5)
            best = min(best, float(np.where(usable, believed, np.inf).min()))
        return replace(
            self,
            modes=modes,
            best=best,
            limits=tuple(replace(limit, process=limit.process.condition(x)) for limit in self.limits),
            success=None if self.success is None else self.success.condition(x),
        )


def _log_mean(parts: Array, log_weights: Array) -> tuple[Array, Array]:
    """Return log sum_m w_m exp(parts_m), shape (q,), and the share of each part, shape (m, q)."""
    if len(parts) == 1:
        return parts[0] + log_weights[0], np.ones(parts.shape)
    joint = parts + log_weights[:, None]
    top = joint.max(0)
    share = np.exp(joint - top)
    total = share.sum(0)
    return top + np.log(total), share / total
