"""A Gaussian process that was also told derivatives: values and partial derivatives are jointly Gaussian.

An observation is a model point and what was observed there: the value (-1) or the derivative by one smooth column k.
With t = (a - b) / l column by column, r = sqrt(5) |t|, R the rest of the kernel (scale, categorical and conditional
columns), M(r) = (1 + r + r^2 / 3) exp(-r), P = (5/3) (1 + r) exp(-r) and Q = (25/3) exp(-r), covariances are

    value, value             R M
    value, derivative m      R P t_m / l_m
    derivative k, value      - R P t_k / l_k
    derivative k, m          R (P [k = m] - Q t_k t_m) / (l_k l_m)

References
----------
C. E. Rasmussen and C. K. I. Williams, Gaussian processes for machine learning, 2006, section 9.4.
J. Wu, M. Poloczek, A. G. Wilson and P. I. Frazier, Bayesian optimization with gradients, 2017.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import lapack

from blackbox.errors import SettingError
from blackbox.surrogates.gaussian_process import Standard
from blackbox.surrogates.kernels import Array, Hyperparameters, Index, Layout, covariance, matern, squared_distance
from blackbox.surrogates.likelihood import Evidence, Prior, factorise, inverse_factor
from blackbox.surrogates.minimise import minimise_in_box

__all__ = ["DerivativeProcess", "derivative_covariance", "fit_with_derivatives"]

VALUE = -1  # of an observation that is no derivative
_HOPELESS = 1e10


@dataclass(frozen=True, slots=True)
class _Parts:
    """What covariances of observations are made of, each of shape (p, q)."""

    rest: Array
    matern: Array
    first: Array  # P
    second: Array  # Q
    r: Array
    left: Array  # t_k / l_k of the rows' columns; 0 for values
    right: Array  # t_m / l_m of the columns' columns


def _parts(a: Array, by_a: Index, b: Array, by_b: Index, layout: Layout, h: Hyperparameters) -> _Parts:
    columns = layout.smooth
    flat = h.lengthscale.copy()
    flat[columns] = 1e150  # no distance along smooth columns: what is left is the rest
    rest = covariance(a, b, layout, replace(h, lengthscale=flat))
    scale = h.lengthscale[columns]
    r = np.sqrt(5.0 * squared_distance(a[:, columns] / scale, b[:, columns] / scale))
    value, bend = matern(r)
    left, right = np.zeros(r.shape), np.zeros(r.shape)
    rows, ends = np.flatnonzero(by_a != VALUE), np.flatnonzero(by_b != VALUE)
    k, m = by_a[rows], by_b[ends]
    left[rows] = (a[rows, k][:, None] - b[:, k].T) / (h.lengthscale[k] ** 2)[:, None]
    right[:, ends] = (a[:, m] - b[ends, m]) / h.lengthscale[m] ** 2
    return _Parts(rest, value, (5.0 / 3.0) * bend, (25.0 / 3.0) * np.exp(-r), r, left, right)


def derivative_covariance(a: Array, by_a: Index, b: Array, by_b: Index, layout: Layout, h: Hyperparameters) -> Array:
    """Return the covariances of observations, shape (p, q), without noise.

    Parameters
    ----------
    a, b : array, shape (p, d) and (q, d)
        Model points.
    by_a, by_b : array of int, shape (p,) and (q,)
        The smooth column of a derivative, -1 for a value.
    """
    return _joined(_parts(a, by_a, b, by_b, layout, h), by_a, by_b, h)


def _joined(parts: _Parts, by_a: Index, by_b: Index, h: Hyperparameters) -> Array:
    from_value, to_value = (by_a == VALUE)[:, None], by_b == VALUE
    matrix = np.where(from_value, parts.first * parts.right, -parts.first * parts.left)
    matrix = np.where(from_value & to_value, parts.matern, matrix)
    both = ~from_value & ~to_value
    same = (by_a[:, None] == by_b) & both
    squares = np.where(by_a == VALUE, 1.0, h.lengthscale[by_a] ** 2)[:, None]
    matrix = np.where(both, same * parts.first / squares - parts.second * parts.left * parts.right, matrix)
    return np.asarray(parts.rest * matrix)


def _noise(by: Index, h: Hyperparameters) -> Array:
    """Return the variance of the noise of each observation: of derivatives in proportion to their own variance."""
    return np.where(by == VALUE, h.noise, (5.0 / 3.0) * h.noise / h.lengthscale[by] ** 2)


@dataclass(frozen=True, slots=True)
class DerivativeProcess:
    """A fitted, immutable Gaussian process of values and derivatives; it predicts values.

    Attributes
    ----------
    x : array, shape (n, d)
        The model point of each observation.
    by : array of int, shape (n,)
        Its smooth column, -1 for values.
    layout : Layout
    hyper : Hyperparameters
    standard : Standard
        Of the values; derivatives are in units of its spread.
    mean : float
    inverse : array, shape (n, n)
        Inverse of the lower Cholesky factor.
    weights : array, shape (n,)
    jitter : float
    """

    x: Array
    by: Index
    layout: Layout
    hyper: Hyperparameters
    standard: Standard
    mean: float
    inverse: Array
    weights: Array
    jitter: float

    @classmethod
    def build(
        cls,
        x: Array,
        by: Index,
        y: Array,
        layout: Layout,
        hyper: Hyperparameters,
        *,
        standard: Standard | None = None,
        mean: float | None = None,
        prior: Prior | None = None,
    ) -> DerivativeProcess:
        """Return the process of given hyper-parameters; O(n^3) time.

        Parameters
        ----------
        y : array, shape (n,)
            Standardised observations: values less shift over spread, derivatives in model units over spread.

        Raises
        ------
        SettingError
            If the covariance cannot be factorised, or a derivative is by a column that is not smooth.
        """
        if not np.isin(by[by != VALUE], layout.smooth).all():
            raise SettingError("by: expected smooth columns that are always active, or -1")
        matrix = derivative_covariance(x, by, x, by, layout, hyper)
        found = inverse_factor(matrix, _noise(by, hyper), hyper.scale)
        if found is None:
            raise SettingError("x: the covariance of the data cannot be factorised; is a point not finite?")
        _, inverse, jitter = found
        ones = (by == VALUE).astype(float)
        if mean is None:
            mean = _mean(inverse.T @ (inverse @ ones), ones, y, (prior or Prior()).mean)
        weights = inverse.T @ (inverse @ (y - mean * ones))
        return cls(x, by, layout, hyper, standard or Standard(), mean, inverse, weights, jitter)

    def __len__(self) -> int:
        return len(self.x)

    def _cross(self, x: Array) -> Array:
        by = np.full(len(x), VALUE)
        return derivative_covariance(x, by, self.x, self.by, self.layout, self.hyper)

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Return the mean and standard deviation of values at model points, standardised, each of shape (q,)."""
        k = self._cross(x)
        half = k @ self.inverse.T
        variance = self.hyper.scale - np.einsum("ij,ij->i", half, half)
        return k @ self.weights + self.mean, np.sqrt(np.maximum(variance, 1e-16))

    def predict_with_slopes(self, x: Array) -> tuple[Array, Array, Array, Array]:
        """Return mean and standard deviation, standardised, and their gradients in x, each of shape (q, d)."""
        k = self._cross(x)
        half = k @ self.inverse.T
        std = np.sqrt(np.maximum(self.hyper.scale - np.einsum("ij,ij->i", half, half), 1e-16))
        pull = half @ self.inverse
        slope_mean, slope_std = np.zeros(x.shape), np.zeros(x.shape)
        for column in self.layout.smooth:  # the derivative of a covariance is the covariance of a derivative
            by = np.full(len(x), column)
            bent = derivative_covariance(x, by, self.x, self.by, self.layout, self.hyper)
            slope_mean[:, column] = bent @ self.weights
            slope_std[:, column] = -np.einsum("ij,ij->i", bent, pull) / std
        return k @ self.weights + self.mean, std, slope_mean, slope_std

    def condition(self, x: Array) -> DerivativeProcess:
        """Return it with predicted means believed as values at model points, shape (q, d)."""
        by = np.full(len(x), VALUE)
        half = self._cross(x) @ self.inverse.T
        own = derivative_covariance(x, by, x, by, self.layout, self.hyper) - half @ half.T
        found = inverse_factor(own, self.hyper.noise + self.jitter, self.hyper.scale)
        if found is None:
            return self
        _, corner, jitter = found
        n, q = len(self), len(x)
        inverse = np.zeros((n + q, n + q))
        inverse[:n, :n], inverse[n:, n:] = self.inverse, corner
        inverse[n:, :n] = -corner @ (half @ self.inverse)
        return replace(
            self,
            x=np.concatenate([self.x, x]),
            by=np.concatenate([self.by, by]),
            inverse=inverse,
            weights=np.concatenate([self.weights, np.zeros(q)]),
            jitter=max(jitter, self.jitter),
        )

    def rougher(self, factor: float) -> DerivativeProcess:
        """Return the process of the same data with all lengthscales times `factor`; O(n^3) time."""
        hyper = replace(self.hyper, lengthscale=self.hyper.lengthscale * factor)
        factor_ = np.linalg.inv(self.inverse)  # back to the data: K = L L', y = K w + mean
        ones = (self.by == VALUE).astype(float)
        y = factor_ @ (factor_.T @ self.weights) + self.mean * ones
        return DerivativeProcess.build(self.x, self.by, y, self.layout, hyper, standard=self.standard, mean=self.mean)


def _mean(inverse_ones: Array, ones: Array, y: Array, spread: float) -> float:
    """Return the constant mean of the values with the highest posterior density, given K^-1 1."""
    return float(inverse_ones @ y / (inverse_ones @ ones + 1.0 / spread**2))


class _Evidence:
    """The negative log posterior density of lengthscales, scale and noise; all columns smooth."""

    def __init__(self, x: Array, by: Index, y: Array, layout: Layout, prior: Prior, noise: float | None) -> None:
        self.x, self.by, self.y, self.layout, self.prior, self.noise = x, by, y, layout, prior, noise
        values = by == VALUE
        self.plain = Evidence(x[values], y[values], layout, prior, noise=noise)  # priors and bounds are the same
        self.ones = values.astype(float)

    def __call__(self, theta: Array) -> tuple[float, Array]:
        h = Hyperparameters.unpack(theta, self.layout, self.noise)
        parts = _parts(self.x, self.by, self.x, self.by, self.layout, h)
        matrix = _joined(parts, self.by, self.by, h)
        noise = _noise(self.by, h)
        found = factorise(matrix, noise, h.scale)
        if found is None:
            return _HOPELESS, np.zeros(len(theta))
        factor, _ = found
        inverse, _ = lapack.dpotri(factor, lower=1)
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        mean = _mean(inverse @ self.ones, self.ones, self.y, self.prior.mean)
        residual = self.y - mean * self.ones
        a = inverse @ residual
        value = 0.5 * float(residual @ a) + 0.5 * (mean / self.prior.mean) ** 2
        value += float(np.log(np.diagonal(factor)).sum())
        inverse -= np.outer(a, a)
        d = self.layout.dim
        gradient = np.zeros(len(theta))
        diagonal = np.diagonal(inverse)
        gradient[:d] = self._by_lengths(inverse, parts, matrix, h)
        lost = np.where(self.by == VALUE, 0.0, diagonal * noise)
        gradient[:d] -= np.bincount(self.by + 1, lost, d + 1)[1:]
        gradient[d] = 0.5 * float((inverse * matrix).sum())
        if self.noise is None:
            gradient[-1] = 0.5 * float(diagonal @ noise)
        penalty, slope = self.plain.penalty(theta)
        return value + penalty, gradient + slope

    def _by_lengths(self, weights: Array, parts: _Parts, matrix: Array, h: Hyperparameters) -> Array:
        """Return half the sum of symmetric weights times the covariances' derivatives by each log lengthscale, (d,).

        The derivative by the j-th one is B s_j + C c_j: s_j are squared distances along column j in lengthscales, c_j
        says how many of the two observations are derivatives by it. No (n, n, d) array is formed.
        """
        from_value, to_value = (self.by == VALUE)[:, None], self.by == VALUE
        both = ~from_value & ~to_value
        lengths = np.where(self.by == VALUE, 1.0, h.lengthscale[self.by] ** 2)[:, None]
        one = np.where(from_value, parts.right, -parts.left)
        product = parts.left * parts.right
        third = 5.0 * parts.second / np.maximum(parts.r, 1e-12)  # where r = 0, the product is 0 as well
        same = self.by[:, None] == self.by
        distances = np.where(both, same * parts.second / lengths - third * product, parts.second * one)
        distances = np.where(from_value & to_value, parts.first, distances)
        counts = np.where(both, parts.second * product, -2.0 * parts.first * one)
        counts = np.where(from_value & to_value, 0.0, parts.rest * counts) - np.where(both, matrix, 0.0)
        distances = weights * parts.rest * distances
        x = (self.x - self.x.mean(0)) / h.lengthscale
        by_distance = distances.sum(1) @ (x * x) - np.einsum("ij,ij->j", x, distances @ x)
        by_count = np.bincount(self.by + 1, (weights * counts).sum(1), self.layout.dim + 1)[1:]
        return np.asarray(by_distance + by_count)

    def batch(self, thetas: Array) -> tuple[Array, Array]:
        """Return values, shape (b,), and gradients, shape (b, p)."""
        values, gradients = zip(*(self(theta) for theta in thetas), strict=True)
        return np.array(values), np.array(gradients)


def fit_with_derivatives(
    x: Array,
    by: Index,
    y: Array,
    layout: Layout,
    starts: Array,
    *,
    noise: float | None,
    prior: Prior | None = None,
    evaluations: int = 25,
) -> Array:
    """Return the likeliest hyper-parameters as a vector (see `Hyperparameters.unpack`).

    Parameters
    ----------
    x, by, y : arrays
        As for `DerivativeProcess.build`.
    starts : array, shape (s, p)
        Vectors to start from.
    noise : float or None
        The standardised variance of the noise of values; None to learn it.
    evaluations : int, default 25
        From each start, at most; O(n^3 + d n^2) time each.

    Raises
    ------
    SettingError
        If a column is categorical or conditional.
    """
    if not layout.is_plain:
        raise SettingError("layout: expected smooth columns that are always active")
    evidence = _Evidence(x, by, y, layout, prior or Prior(), noise)
    points, values = minimise_in_box(
        lambda thetas, _: evidence.batch(thetas),
        starts,
        evidence.plain.low,
        evidence.plain.high,
        evaluations=evaluations,
        first_step=0.5,
        gradient_tolerance=1e-3,
        value_tolerance=1e-5,
    )
    best = int(np.argmin(np.where(np.isfinite(values), values, math.inf)))
    return np.asarray(points[best])
