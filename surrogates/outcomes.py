"""Transforms of outcomes before a Gaussian process sees them: clipping, a power warp, a signed logarithm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blackbox.surrogates.kernels import Array

__all__ = ["Warp", "signed_log"]

_HUGE = 1e300
_OUTLYING = 100.0  # times as far above the median as the next value
_POWERS = np.linspace(-2.0, 1.0, 61)


def signed_log(values: Array) -> Array:
    """Return sign(c) log(1 + |c|): it tames tails and keeps 0 at 0, so it suits constraints."""
    logs: Array = np.sign(values) * np.log1p(np.abs(values))
    return logs


@dataclass(frozen=True, slots=True)
class Warp:
    """A monotone map of minimised outcomes: clip, centre, scale, Yeo-Johnson power.

    Attributes
    ----------
    centre, spread : float
        Median and inter-quartile range (a positive fallback where that is 0) of the outcomes it was fitted to.
    power : float
        Yeo-Johnson lambda, at most 1 (1 is the identity).
    ceiling : float
        Values above it are clipped: median + 1000 inter-quartile ranges, or less where a few values are outliers.

    References
    ----------
    I.-K. Yeo and R. A. Johnson, A new family of power transformations to improve normality or symmetry, 2000.
    """

    centre: float = 0.0
    spread: float = 1.0
    power: float = 1.0
    ceiling: float = np.inf

    @classmethod
    def fit(cls, values: Array, *, warp: bool = True) -> Warp:
        """Return the warp of the likeliest power for finite `values`, shape (n,); a power above 1 is not used."""
        part = 0.25 if float(np.abs(values).max()) > _HUGE else 1.0  # differences of quantiles stay in range
        low, centre, high = np.quantile(values * part, [0.25, 0.5, 0.75]) / part
        with np.errstate(over="ignore"):
            return cls._around(values, float(low), float(centre), float(high), warp)

    @classmethod
    def _around(cls, values: Array, low: float, centre: float, high: float, warp: bool) -> Warp:
        """Return the warp of `fit` for values with these quartiles."""
        spread = high - low
        if not spread > 1e-12 * max(abs(centre), 1e-300):
            spread = float(np.abs(values - centre).mean()) or 1.0
        if not np.isfinite(spread):
            spread = float(np.finfo(float).max / 1e6)
        ceiling = centre + min(1e3 * spread, _beyond(values - centre, spread))
        first = cls(centre, spread, 1.0, ceiling)
        if not warp or len(values) < 3:
            return first
        z = first(values)
        if z.std() == 0.0:
            return first
        return cls(centre, spread, _likeliest_power(z), ceiling)

    def __call__(self, values: Array) -> Array:
        """Return warped values."""
        below = np.minimum(values, self.ceiling)
        with np.errstate(over="ignore"):
            gap = below - self.centre
        z = gap / self.spread
        if np.isinf(z).any():  # the difference, not the quotient, is out of range
            z = below / self.spread - self.centre / self.spread
        return yeo_johnson(z, self.power)

    def log_slope(self, warped: Array) -> Array:
        """Return the logarithm of the slope of the warp at the outcomes that have these warped values."""
        z = inverse_yeo_johnson(warped, self.power)
        return np.asarray((self.power - 1.0) * np.sign(z) * np.log1p(np.abs(z)) - np.log(self.spread))

    def inverse(self, warped: Array) -> Array:
        """Return the outcomes that have these warped values; the ceiling's range end where there is none."""
        top = self(np.array([self.ceiling if np.isfinite(self.ceiling) else np.finfo(float).max / 1e3]))
        z = inverse_yeo_johnson(np.minimum(warped, top[0]), self.power)
        return np.minimum(z * self.spread + self.centre, self.ceiling)


def yeo_johnson(z: Array, power: float) -> Array:
    """Return the Yeo-Johnson transform."""
    if power == 1.0:
        return z
    positive = np.maximum(z, 0.0)
    negative = np.minimum(z, 0.0)
    upper = np.log1p(positive) if power == 0.0 else np.expm1(power * np.log1p(positive)) / power
    rest = 2.0 - power
    lower = np.expm1(rest * np.log1p(-negative)) / rest
    return np.asarray(upper - lower)


def inverse_yeo_johnson(t: Array, power: float) -> Array:
    """Return z with yeo_johnson(z, power) = t, for t in its range and power <= 1."""
    if power == 1.0:
        return t
    positive, negative = np.maximum(t, 0.0), np.minimum(t, 0.0)
    if power == 0.0:
        upper = np.expm1(positive)
    else:
        upper = np.expm1(np.log1p(np.maximum(power * positive, -1.0 + 1e-15)) / power)
    rest = 2.0 - power
    return np.asarray(upper - np.expm1(np.log1p(-rest * negative) / rest))


def _beyond(excess: Array, spread: float) -> float:
    """Return how far above the median values are clipped: twice the largest one that is no outlier; inf without any.

    Outliers are at most a tenth of the values, at least one, a hundred times as far up as the next ones.
    """
    top = np.sort(excess)[::-1][: max(1, len(excess) // 10) + 1]
    if len(excess) < 4:
        return float("inf")
    below = np.maximum(top[1:], spread)
    far = np.flatnonzero(top[:-1] > _OUTLYING * below)
    return 2.0 * float(below[far[-1]]) if len(far) else float("inf")


def _likeliest_power(z: Array) -> float:
    """Return the power in [-2, 1] under which z is most like a normal sample."""
    jacobian = float((np.sign(z) * np.log1p(np.abs(z))).sum())
    logs_up, logs_down = np.log1p(np.maximum(z, 0.0)), np.log1p(-np.minimum(z, 0.0))
    powers = np.where(np.abs(_POWERS) < 1e-9, 1.0, _POWERS)[:, None]
    upper = np.where(np.abs(_POWERS[:, None]) < 1e-9, logs_up, np.expm1(powers * logs_up) / powers)
    rest = 2.0 - _POWERS[:, None]
    spread = np.maximum((upper - np.expm1(rest * logs_down) / rest).std(1), 1e-300)
    scores = (_POWERS - 1.0) * jacobian - len(z) * np.log(spread)
    best = float(_POWERS[int(np.argmax(scores))])
    return 0.0 if abs(best) < 1e-9 else best
