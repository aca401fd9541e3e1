"""What a candidate promises: log expected improvement, with constraints and failures, and its gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import erfcx, log_ndtr

from blackbox.algorithms.bayesian.watched import watch
from blackbox.surrogates.gaussian_process import GaussianProcess
from blackbox.surrogates.kernels import Array

__all__ = ["Acquisition", "Limit", "log_improvement", "log_mean", "log_probability"]

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
_ROOT_HALF_PI = math.sqrt(0.5 * math.pi)
_LOG_FLOOR = math.log(1e-10)
_LOST = 50.0  # what a candidate loses that is too likely to fail


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


def _with_floor(z: Array) -> tuple[Array, Array]:
    """Return log(h(z) + 1e-10) and its derivative: where no improvement is expected, uncertainty counts."""
    value, slope = log_improvement(z)
    total = np.logaddexp(value, _LOG_FLOOR)
    return total, slope * np.exp(value - total)


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
        Latent function of success (`blackbox.surrogates.classification`); None where nothing failed.
    caution : float
        The standard normal quantile of the least probability of success; what is likelier to fail loses a lot.
    cost : GaussianProcess or None
        Of the logarithm of what an evaluation costs; gains are per unit of cost then.
    """

    modes: tuple[GaussianProcess, ...]
    log_weights: Array
    best: float
    limits: tuple[Limit, ...] = ()
    success: GaussianProcess | None = None
    caution: float = 0.0
    cost: GaussianProcess | None = None

    def log_gain(self, x: Array) -> Array:
        """Return the logarithm of the expected improvement alone, shape (q,), standardised; 0 without a model."""
        if not self.modes:
            return np.zeros(len(x))
        parts = []
        for mode in self.modes:
            mean, std = mode.predict(x)
            parts.append(np.log(std) + _with_floor((self.best - mean) / std)[0])
        return log_mean(np.stack(parts), self.log_weights)[0]

    def likeliest(self, n: int) -> Acquisition:
        """Return this acquisition averaged over the n likeliest sets of hyper-parameters only."""
        if len(self.modes) <= n:
            return self
        kept = self.log_weights[:n]
        return replace(self, modes=self.modes[:n], log_weights=kept - math.log(float(np.exp(kept).sum())))

    def watch(self, pool: Array) -> Acquisition:
        """Return this acquisition with its predictions at model points, shape (p, d), kept while it is conditioned."""
        return replace(
            self,
            modes=tuple(watch(mode, pool) for mode in self.modes),
            limits=tuple(replace(limit, process=watch(limit.process, pool)) for limit in self.limits),
            success=None if self.success is None else watch(self.success, pool),
            cost=None if self.cost is None else watch(self.cost, pool),
        )

    def bolder(self, shorter: float, margin: float) -> Acquisition:
        """Return this acquisition for rougher functions: lengthscales times `shorter`, `margin` more to improve."""
        modes = tuple(mode.rougher(shorter) for mode in self.modes[:1])
        return replace(self, modes=modes, log_weights=np.zeros(len(modes)), best=self.best - margin)

    def relative_to(self, x: Array) -> Acquisition:
        """Return this acquisition with the best predicted mean among points, shape (q, d), as the value to improve."""
        if not self.modes or not len(x):
            return self
        return replace(self, best=float(self._means(x).min()))

    def predicted(self, x: Array) -> Array:
        """Return predicted means, shape (q,), standardised, averaged over hyper-parameters."""
        return self._means(x)

    def _means(self, x: Array) -> Array:
        means = np.stack([mode.predict(x)[0] for mode in self.modes])
        return np.asarray(np.einsum("m,mq->q", np.exp(self.log_weights), means))

    def usable(self, x: Array) -> Array:
        """Return the log probability of being usable, shape (q,), less the log cost where there is a model of it."""
        total = np.zeros(len(x))
        for limit in self.limits:
            total = total + limit(x)
        if self.success is not None:
            mean, std = self.success.predict(x)
            z = _latent(self.success, mean) / np.sqrt(1.0 + std * std)
            total = total + log_ndtr(z) - np.where(z <= self.caution, _LOST, 0.0)
        if self.cost is not None:
            total = total - self.cost.predict(x)[0] * self.cost.standard.spread
        return total

    def log_success(self, x: Array) -> Array:
        """Return the log probability that an evaluation gives a value, shape (q,)."""
        if self.success is None:
            return np.zeros(len(x))
        mean, std = self.success.predict(x)
        return np.asarray(log_ndtr(_latent(self.success, mean) / np.sqrt(1.0 + std * std)))

    def usable_with_slopes(self, x: Array) -> tuple[Array, Array]:
        """Return `usable` and its gradient, shape (q, d)."""
        total, slope = np.zeros(len(x)), np.zeros(x.shape)
        for limit in self.limits:
            value, more = limit.with_slopes(x)
            total, slope = total + value, slope + more
        if self.success is not None:
            value, more = self._success_with_slopes(x)
            total, slope = total + value, slope + more
        if self.cost is not None:
            mean, _, more, _ = self.cost.predict_with_slopes(x)
            total, slope = total - mean * self.cost.standard.spread, slope - more * self.cost.standard.spread
        return total, slope

    def __call__(self, x: Array) -> Array:
        """Return values at model points, shape (q,); larger is better."""
        return self.log_gain(x) + self.usable(x)

    def with_slopes(self, x: Array) -> tuple[Array, Array]:
        """Return values, shape (q,), and gradients, shape (q, d); 0 in categorical and inactive columns."""
        total, slope = self.usable_with_slopes(x)
        if self.modes:
            parts, slopes = zip(*(self._improvement(mode, x) for mode in self.modes), strict=True)
            value, share = log_mean(np.stack(parts), self.log_weights)
            total = total + value
            slope = slope + np.einsum("mq,mqd->qd", share, np.stack(slopes))
        return total, slope

    def _improvement(self, mode: GaussianProcess, x: Array) -> tuple[Array, Array]:
        mean, std, slope_mean, slope_std = mode.predict_with_slopes(x)
        z = (self.best - mean) / std
        value, bend = _with_floor(z)
        slope = slope_std - bend[:, None] * (slope_mean + z[:, None] * slope_std)
        return np.log(std) + value, slope / std[:, None]

    def _success_with_slopes(self, x: Array) -> tuple[Array, Array]:
        assert self.success is not None
        mean, std, slope_mean, slope_std = self.success.predict_with_slopes(x)
        width = np.sqrt(1.0 + std * std)
        z = _latent(self.success, mean) / width
        value, bend = log_probability(z)
        slope = (bend / width)[:, None] * (slope_mean - (z * std / width)[:, None] * slope_std)
        return value - np.where(z <= self.caution, _LOST, 0.0), slope

    def condition(self, x: Array) -> Acquisition:
        """Return this acquisition once points of shape (q, d) are being evaluated: their predicted means believed."""
        if not len(x):
            return self
        modes = tuple(mode.condition(x) for mode in self.modes)
        best = self.best
        if modes:
            believed = self._means(x)
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


def _latent(success: GaussianProcess, mean: Array) -> Array:
    """Return standardised latent means of the model of success in its own units (its spread is 1)."""
    return mean + success.standard.shift


def log_mean(parts: Array, log_weights: Array) -> tuple[Array, Array]:
    """Return log sum_m w_m exp(parts_m), shape (q,), and the share of each part, shape (m, q)."""
    if len(parts) == 1:
        return parts[0] + log_weights[0], np.ones(parts.shape)
    joint = parts + log_weights[:, None]
    top = joint.max(0)
    share = np.exp(joint - top)
    total = share.sum(0)
    return top + np.log(total), share / total
