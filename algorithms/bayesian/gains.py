"""What a candidate promises under one set of hyper-parameters: bounds, entropies, look-ahead, noisy improvement.

Every gain is a function of the posterior mean and variance at a candidate, and of its covariances with points of
interest; `Reach` turns partial derivatives by these into gradients. All but the bound are logarithms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import erfcx, log_ndtr, ndtr

from blackbox.algorithms.bayesian.acquisition import log_improvement
from blackbox.algorithms.bayesian.optima import Optima
from blackbox.algorithms.bayesian.reach import Reach, Sight
from blackbox.surrogates.gaussian_process import GaussianProcess
from blackbox.surrogates.kernels import Array, Index, Mask
from blackbox.surrogates.likelihood import inverse_factor

__all__ = [
    "Bound",
    "Gain",
    "JointInformation",
    "Knowledge",
    "MaxValueInformation",
    "NoisyImprovement",
    "expected_rise",
    "hazard",
    "logarithm",
    "noise_of",
]

_TINY = 1e-300
_ROOT_2PI = math.sqrt(2.0 * math.pi)
_QUIET = 1e-6  # noise variance below which an evaluation is exact
_SHARP = 1e-6  # variance that remains when an optimum is known


class Gain(Protocol):
    """What can be averaged over hyper-parameters and maximised."""

    def __call__(self, x: Array) -> Array:
        """Return values at model points, shape (q,)."""
        ...

    def with_slopes(self, x: Array) -> tuple[Array, Array]:
        """Return values, shape (q,), and gradients, shape (q, d)."""
        ...

    def condition(self, x: Array) -> Gain:
        """Return this gain once points of shape (p, d) are being evaluated."""
        ...


def noise_of(process: GaussianProcess) -> float:
    """Return the variance of the noise of an evaluation, standardised: the learned one and the median known one."""
    return process.hyper.noise + (0.0 if process.variance is None else float(np.median(process.variance)))


def hazard(z: Array) -> Array:
    """Return phi(z) / Phi(z)."""
    low = np.minimum(z, 0.0)
    below = 2.0 / (_ROOT_2PI * erfcx(-low / math.sqrt(2.0)))
    high = np.maximum(z, 0.0)
    return np.asarray(np.where(z < 0.0, below, np.exp(-0.5 * high * high) / _ROOT_2PI / ndtr(high)))


def logarithm(gain: Array) -> tuple[Array, Array]:
    """Return the logarithm of gains, and its derivative; what is too small to be told from 0 is flat."""
    return np.log(np.maximum(gain, _TINY)), np.where(gain > _TINY, 1.0 / np.maximum(gain, _TINY), 0.0)


@dataclass(frozen=True, slots=True)
class Bound:
    """-(mean - width * std): how low the value may well be, negated."""

    process: GaussianProcess
    width: float

    def __call__(self, x: Array) -> Array:
        """Return values."""
        mean, std = self.process.predict(x)
        return self.width * std - mean

    def with_slopes(self, x: Array) -> tuple[Array, Array]:
        """Return values and gradients."""
        mean, std, slope_mean, slope_std = self.process.predict_with_slopes(x)
        return self.width * std - mean, self.width * slope_std - slope_mean

    def condition(self, x: Array) -> Bound:
        """Return the bound with the points' predicted means believed."""
        return Bound(self.process.condition(x), self.width)


class MaxValueInformation:
    """The logarithm of the information about the optimal value.

    Parameters
    ----------
    process : GaussianProcess
    values : array, shape (s,)
        Samples of the optimal value.
    """

    def __init__(self, process: GaussianProcess, values: Array) -> None:
        self._reach, self._values = Reach(process, process.x[:0]), values
        self._noise = noise_of(process)

    def __call__(self, x: Array) -> Array:
        """Return values."""
        return self._parts(self._reach.see(x))[0]

    def with_slopes(self, x: Array) -> tuple[Array, Array]:
        """Return values and gradients."""
        sight = self._reach.see(x, slopes=True)
        value, by_mean, by_variance = self._parts(sight)
        return value, sight.pull(by_mean, by_variance)

    def condition(self, x: Array) -> MaxValueInformation:
        """Return it with the points' predicted means believed."""
        return MaxValueInformation(self._reach.process.condition(x), self._values)

    def _parts(self, sight: Sight) -> tuple[Array, Array, Array]:
        noise = self._noise
        std = np.sqrt(sight.variance)
        z = (sight.mean[:, None] - self._values) / std[:, None]
        h = hazard(z)
        if noise < _QUIET:
            gain = 0.5 * z * h - log_ndtr(z)
            by_z = -0.5 * h * (1.0 + z * (z + h))
            by_variance = np.zeros(len(std))
        else:
            share = (sight.variance / (sight.variance + noise))[:, None]
            u = np.clip(h * (z + h), 0.0, 1.0 - 1e-12)
            left = 1.0 - share * u
            gain = -0.5 * np.log1p(-share * u)
            by_z = 0.5 * share * (h * (1.0 - u) - h * (z + h) ** 2) / left
            by_variance = (0.5 * u / left).mean(1) * noise / (sight.variance + noise) ** 2
        value, rows = logarithm(gain.mean(1))
        by_mean = (by_z / std[:, None]).mean(1)
        by_variance = by_variance - 0.5 * (by_z * z).mean(1) / sight.variance
        return value, by_mean * rows, by_variance * rows


class JointInformation:
    """The logarithm of the information about the optimum and its value (a lower bound).

    Parameters
    ----------
    process : GaussianProcess
    optima : Optima
    """

    def __init__(self, process: GaussianProcess, optima: Optima) -> None:
        self._optima, self._reach = optima, Reach(process, optima.points)
        self._spread = np.maximum(np.diagonal(self._reach.covariance), 0.0) + _SHARP
        self._shift = (optima.values - self._reach.mean) / self._spread

    def __call__(self, x: Array) -> Array:
        """Return values."""
        return self._parts(self._reach.see(x))[0]

    def with_slopes(self, x: Array) -> tuple[Array, Array]:
        """Return values and gradients."""
        sight = self._reach.see(x, slopes=True)
        value, by_mean, by_variance, by_covariance = self._parts(sight)
        return value, sight.pull(by_mean, by_variance, by_covariance)

    def condition(self, x: Array) -> JointInformation:
        """Return it with the points' predicted means believed."""
        return JointInformation(self._reach.process.condition(x), self._optima)

    def _parts(self, sight: Sight) -> tuple[Array, Array, Array, Array]:
        noise = max(noise_of(self._reach.process), _SHARP)
        c = sight.covariance
        mean = sight.mean[:, None] + c * self._shift
        raw = sight.variance[:, None] - c * c / self._spread
        variance = np.maximum(raw, 1e-12)
        free = raw > 1e-12
        std = np.sqrt(variance)
        z = (mean - self._optima.values) / std
        h = hazard(z)
        u = np.clip(h * (z + h), 0.0, 1.0)
        left = variance * (1.0 - u) + noise
        gain = 0.5 * np.log(sight.variance + noise) - 0.5 * np.log(left).mean(1)
        u_by_z = h * (1.0 - u) - h * (z + h) ** 2
        weight = -0.5 / left / c.shape[1]
        by_z = -weight * variance * u_by_z
        by_each_mean = by_z / std
        by_each_variance = np.where(free, weight * (1.0 - u) - 0.5 * by_z * z / variance, 0.0)
        value, rows = logarithm(gain)
        by_variance = 0.5 / (sight.variance + noise) + by_each_variance.sum(1)
        by_covariance = by_each_mean * self._shift - by_each_variance * 2.0 * c / self._spread
        return value, by_each_mean.sum(1) * rows, by_variance * rows, by_covariance * rows[:, None]


class Knowledge:
    """The logarithm of the knowledge gradient over points of interest and the candidate itself.

    Parameters
    ----------
    process : GaussianProcess
    points : array, shape (p, d)
        Model points.
    noise : float, optional
        Variance of the noise of the evaluation, standardised; the process's by default.
    """

    def __init__(self, process: GaussianProcess, points: Array, noise: float | None = None) -> None:
        self._reach = Reach(process, points)
        self._noise = noise_of(process) if noise is None else noise
        self._top = float(-self._reach.mean.min())

    def __call__(self, x: Array) -> Array:
        """Return values."""
        return self._parts(self._reach.see(x))[0]

    def with_slopes(self, x: Array) -> tuple[Array, Array]:
        """Return values and gradients."""
        sight = self._reach.see(x, slopes=True)
        value, by_mean, by_variance, by_covariance = self._parts(sight)
        return value, sight.pull(by_mean, by_variance, by_covariance)

    def condition(self, x: Array) -> Knowledge:
        """Return it with the points' predicted means believed."""
        return Knowledge(self._reach.process.condition(x), self._reach.points, self._noise)

    def _parts(self, sight: Sight) -> tuple[Array, Array, Array, Array]:
        variance, c = sight.variance, sight.covariance
        t = np.sqrt(variance + self._noise)
        a = np.concatenate([np.broadcast_to(-self._reach.mean, c.shape), -sight.mean[:, None]], axis=1)
        b = np.concatenate([c, variance[:, None]], axis=1) / t[:, None]
        value, by_own, by_slope = expected_rise(a, b, self._top)
        by_variance = by_slope[:, -1] * (1.0 / t - 0.5 * variance / t**3)
        by_variance -= 0.5 * (by_slope[:, :-1] * c).sum(1) / t**3
        return value, -by_own, by_variance, by_slope[:, :-1] / t[:, None]


def expected_rise(a: Array, b: Array, top: float) -> tuple[Array, Array, Array]:
    """Return log(E[max_i (a_i + b_i Z)] - top), from the upper envelope of the lines, and its derivatives.

    Parameters
    ----------
    a, b : array, shape (q, p)
        Lines; the last one of each row is the candidate's own.
    top : float
        The largest a of the other lines.

    Returns
    -------
    value : array, shape (q,)
    by_own : array, shape (q,)
        By the last column of a.
    by_slope : array, shape (q, p)
        By b.
    """
    edge, inner, following, step = _envelope(a, b)
    gaps = np.where(inner, np.log(np.maximum(step, _TINY)) + log_improvement(-np.abs(edge))[0], -np.inf)
    peak = gaps.max(1)
    base = np.where(np.isfinite(peak), peak, 0.0)
    gain = np.where(np.isfinite(peak), np.exp(base) * np.exp(gaps - base[:, None]).sum(1), 0.0)
    value, rows = logarithm(gain + np.maximum(a[:, -1] - top, 0.0))
    # Each crossing adds (b' - b) h(-|edge|), whose derivatives by b' and a' are phi(edge) and +-Phi(-|edge|).
    density = np.where(inner, np.exp(-0.5 * edge * edge) / _ROOT_2PI, 0.0)
    tail = np.where(inner, np.sign(edge) * ndtr(-np.abs(edge)), 0.0)
    bend, weight = -density, np.where(following == a.shape[1] - 1, tail, 0.0).sum(1) - tail[:, -1]
    np.add.at(bend, (np.arange(len(a))[:, None], following), density)
    weight += a[:, -1] > top
    return value, weight * rows, bend * rows[:, None]


def _envelope(a: Array, b: Array) -> tuple[Array, Mask, Index, Array]:
    """Return where each of the lines a + b z stops to be the highest, and which one follows.

    Parameters
    ----------
    a, b : array, shape (q, p)

    Returns
    -------
    edge : array, shape (q, p)
        The z above which another line is higher.
    inner : array, shape (q, p), bool
        Whether the line is ever the highest, and another one follows.
    following : array, shape (q, p), int
    step : array, shape (q, p)
        The slope of the one that follows, minus the line's own.
    """
    rise = b[:, None, :] - b[:, :, None]
    lead = a[:, :, None] - a[:, None, :]
    flat = np.abs(rise) <= 1e-14
    at = lead / np.where(flat, 1.0, rise)
    above = np.where(~flat & (rise > 0), at, np.inf)
    edge = above.min(2)
    low = np.where(~flat & (rise < 0), at, -np.inf).max(2)
    order = np.arange(a.shape[1])
    beaten = (flat & ((lead < 0) | ((lead == 0) & (order[None, :] < order[:, None])))).any(2)
    inner = ~beaten & (low < edge) & np.isfinite(edge)
    # Of several lines that cross at the edge, the steepest is the highest above it.
    climbs = np.where(above <= edge[:, :, None], rise, 0.0)
    following = climbs.argmax(2)
    step = np.take_along_axis(climbs, following[:, :, None], axis=2)[:, :, 0]
    return np.where(inner, edge, 0.0), inner, following, step


class NoisyImprovement:
    """Log expected improvement on the best of the true values at baseline points, averaged over draws of these.

    Parameters
    ----------
    process : GaussianProcess
    baseline : array, shape (p, d)
        Model points.
    normal : array, shape (s, r), r >= p
        Standard normal numbers that make the draws; further columns are for pending points.
    infeasible : array, shape (s, p), bool, or None
        Draws in which a baseline point violates a constraint.
    """

    def __init__(self, process: GaussianProcess, baseline: Array, normal: Array, infeasible: Array | None) -> None:
        self._normal, self._infeasible = normal, infeasible
        self._reach = Reach(process, baseline)
        p = len(baseline)
        scale = max(float(np.diagonal(self._reach.covariance).max(initial=0.0)), process.hyper.scale * 1e-6)
        found = inverse_factor(self._reach.covariance, 1e-10 * scale, scale)
        if found is None:
            raise ArithmeticError("the covariance of the baseline cannot be factorised")
        factor, self._inverse, _ = found
        z = normal[:, :p]
        draws = self._reach.mean + z @ factor.T
        self._update = self._inverse.T @ z.T  # (p, s)
        usable = draws if infeasible is None else np.where(infeasible, np.inf, draws)
        worst = float(self._reach.mean.max() + 3.0 * math.sqrt(process.hyper.scale))
        self._best = np.minimum(usable.min(1), worst)

    def __call__(self, x: Array) -> Array:
        """Return values."""
        return self._parts(self._reach.see(x))[0]

    def with_slopes(self, x: Array) -> tuple[Array, Array]:
        """Return values and gradients."""
        sight = self._reach.see(x, slopes=True)
        value, by_mean, by_variance, by_covariance = self._parts(sight)
        return value, sight.pull(by_mean, by_variance, by_covariance)

    def condition(self, x: Array) -> NoisyImprovement:
        """Return it with the true values of the points drawn, too."""
        p, s = len(self._reach.points), len(self._normal)
        more = None
        if self._infeasible is not None:
            more = np.concatenate([self._infeasible, np.zeros((s, len(x)), bool)], axis=1)
        normal = self._normal
        if normal.shape[1] < p + len(x):
            fill = np.random.default_rng(p).standard_normal((s, p + len(x) - normal.shape[1]))
            normal = np.concatenate([normal, fill], axis=1)
        return NoisyImprovement(self._reach.process, np.concatenate([self._reach.points, x]), normal, more)

    def _parts(self, sight: Sight) -> tuple[Array, Array, Array, Array]:
        c = sight.covariance
        half = c @ self._inverse.T
        raw = sight.variance - np.einsum("ij,ij->i", half, half)
        variance = np.maximum(raw, 1e-16)
        std = np.sqrt(variance)[:, None]
        z = (self._best - sight.mean[:, None] - c @ self._update) / std
        value, slope = log_improvement(z)
        value = value + np.log(std)
        top = value.max(1)
        share = np.exp(value - top[:, None])
        mean = share.mean(1)
        share = share / share.sum(1, keepdims=True)
        by_each_mean = -share * slope / std
        by_variance = np.where(raw > 1e-16, (share * (1.0 - slope * z)).sum(1) / (2.0 * variance), 0.0)
        by_covariance = by_each_mean @ self._update.T - 2.0 * by_variance[:, None] * (half @ self._inverse)
        return top + np.log(mean), by_each_mean.sum(1), by_variance, by_covariance
