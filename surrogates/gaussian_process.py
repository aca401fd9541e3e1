"""An exact Gaussian process in closed form: NumPy float64, no automatic differentiation.

Matern-5/2 with one lengthscale a column, categorical and conditional columns (`blackbox.surrogates.kernels`), a
constant mean, outcomes standardised inside. It gives the equal botorch model on request.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from blackbox._arguments import is_finite, whole_number
from blackbox.errors import SettingError, shown
from blackbox.surrogates.kernels import Array, Cross, Hyperparameters, Layout, covariance
from blackbox.surrogates.likelihood import Evidence, Mode, Prior, find_modes, inverse_factor, profile_mean

__all__ = ["GaussianProcess", "Posterior", "Standard", "fit", "training_data"]

DETERMINISTIC = 1e-8  # noise variance of outcomes without noise, in standardised units
ArrayLike: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Posterior:
    """What a Gaussian process says about q points, without observation noise.

    Attributes
    ----------
    mean, variance : Tensor, shape (q,), float64
    covariance : Tensor, shape (q, q), or None
        Where it was asked for.
    """

    mean: Tensor
    variance: Tensor
    covariance: Tensor | None = None

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n joint samples, shape (n, q).

        Raises
        ------
        SettingError
            If the covariance was not asked for.
        """
        if self.covariance is None:
            raise SettingError("sample: expected a joint posterior; use posterior(x, joint=True)")
        matrix = self.covariance.numpy()
        found = inverse_factor(matrix, 0.0, float(max(matrix.diagonal().max(), 1e-300)))
        factor = np.zeros_like(matrix) if found is None else found[0]
        normal = torch.randn((n, len(self.mean)), generator=generator, dtype=torch.float64)
        return self.mean + normal @ torch.from_numpy(np.ascontiguousarray(factor)).T


@dataclass(frozen=True, slots=True)
class Standard:
    """The affine map of outcomes to mean 0 and variance 1."""

    shift: float = 0.0
    spread: float = 1.0

    @classmethod
    def of(cls, y: Array) -> Standard:
        """Return the map for outcomes y; the spread is 1 where y is constant."""
        size = float(np.abs(y).max())
        if not size:
            return cls()
        shift = float((y / size).mean() * size)
        spread = float((y / size).std(ddof=1) * size) if len(y) > 1 else 0.0
        return cls(shift, spread if spread > 1e-14 * size else max(size, 1e-300))

    def __call__(self, y: Array) -> Array:
        """Return standardised outcomes."""
        with np.errstate(over="ignore"):
            z: Array = (y - self.shift) / self.spread
        if np.isinf(z).any():  # the difference, not the quotient, is out of range
            z = y / self.spread - self.shift / self.spread
        return z

    @property
    def square(self) -> float:
        """The spread squared; the largest float where that is out of range."""
        return min(self.spread * self.spread, float(np.finfo(float).max))


@dataclass(frozen=True, slots=True)
class GaussianProcess:
    """A fitted, immutable Gaussian process; `fit` makes one.

    Attributes
    ----------
    x : array, shape (n, d)
        Model points (see `blackbox.surrogates.kernels`).
    y : array, shape (n,)
        Outcomes.
    layout : Layout
    hyper : Hyperparameters
        For standardised outcomes.
    standard : Standard
    mean : float
        The constant mean, standardised.
    variance : array, shape (n,), or None
        Known variance of each outcome, in standardised units, on top of `hyper.noise`.
    inverse : array, shape (n, n)
        Inverse of the lower Cholesky factor of the covariance of the data.
    weights : array, shape (n,)
        K^-1 (y - mean), standardised.
    jitter : float
        What had to be added to the diagonal, in standardised units; 0 as a rule.
    mode : Mode or None
        The hyper-parameters as a vector, where they were fitted; to start the next fit from.
    """

    x: Array
    y: Array
    layout: Layout
    hyper: Hyperparameters
    standard: Standard
    mean: float
    variance: Array | None
    inverse: Array
    weights: Array
    jitter: float
    mode: Mode | None = None

    @classmethod
    def build(
        cls,
        x: Array,
        y: Array,
        layout: Layout,
        hyper: Hyperparameters,
        *,
        standard: Standard | None = None,
        variance: Array | None = None,
        mean: float | None = None,
        prior: Prior | None = None,
        mode: Mode | None = None,
    ) -> GaussianProcess:
        """Return the process of given hyper-parameters; O(n^3) time.

        Parameters
        ----------
        variance : array, shape (n,), optional
            Known variance of each outcome in units of y squared.
        mean : float, optional
            The standardised constant mean; the likeliest by default.
        """
        standard = Standard.of(y) if standard is None else standard
        target = standard(y)
        scaled = None if variance is None else variance / standard.square
        diagonal = hyper.noise + (0.0 if scaled is None else scaled)
        found = inverse_factor(covariance(x, x, layout, hyper), diagonal, hyper.scale)
        if found is None:
            raise SettingError("x: the covariance of the data cannot be factorised; is a point not finite?")
        _, inverse, jitter = found
        if mean is None:
            ones = inverse.T @ inverse.sum(1)
            mean = profile_mean(ones, target, (prior or Prior()).mean)
        weights = inverse.T @ (inverse @ (target - mean))
        return cls(x, y, layout, hyper, standard, mean, scaled, inverse, weights, jitter, mode)

    def __len__(self) -> int:
        return len(self.x)

    def posterior(self, x: ArrayLike, *, joint: bool = False) -> Posterior:
        """Return mean and variance at model points x of shape (q, d); with `joint`, their covariance as well."""
        points = _points(x, self.layout)
        k = covariance(points, self.x, self.layout, self.hyper)
        half = k @ self.inverse.T
        scale, square = self.standard.spread, self.standard.square
        variance = np.maximum(self.hyper.scale - np.einsum("ij,ij->i", half, half), 0.0)
        own = covariance(points, points, self.layout, self.hyper) - half @ half.T if joint else None
        with np.errstate(over="ignore"):  # of outcomes near the largest float
            mean, variance = (k @ self.weights + self.mean) * scale + self.standard.shift, variance * square
            matrix = None if own is None else torch.from_numpy(own * square)
        return Posterior(torch.from_numpy(mean), torch.from_numpy(variance), matrix)

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Return the mean and standard deviation at model points, standardised, each of shape (q,)."""
        k = covariance(x, self.x, self.layout, self.hyper)
        half = k @ self.inverse.T
        variance = self.hyper.scale - np.einsum("ij,ij->i", half, half)
        return k @ self.weights + self.mean, np.sqrt(np.maximum(variance, 1e-16))

    def predict_with_slopes(self, x: Array) -> tuple[Array, Array, Array, Array]:
        """Return mean and standard deviation, standardised, and their gradients in x, each of shape (q, d)."""
        cross = Cross(x, self.x, self.layout, self.hyper, slopes=True)
        k = cross.matrix
        half = k @ self.inverse.T
        variance = np.maximum(self.hyper.scale - np.einsum("ij,ij->i", half, half), 1e-16)
        std = np.sqrt(variance)
        rows = np.broadcast_to(self.weights, k.shape)
        slope_mean = cross.contract(rows)
        slope_std = -cross.contract(half @ self.inverse) / std[:, None]
        return k @ self.weights + self.mean, std, slope_mean, slope_std

    def leave_one_out(self) -> tuple[Array, Array]:
        """Return mean and standard deviation of each outcome given all others, noise included, in units of y.

        References
        ----------
        C. E. Rasmussen and C. K. I. Williams, Gaussian processes for machine learning, 2006, equation 5.12.
        """
        diagonal = np.einsum("ij,ij->j", self.inverse, self.inverse)
        scale = self.standard.spread
        return self.y - self.weights / diagonal * scale, scale / np.sqrt(diagonal)

    def condition(self, x: Array, y: Array | None = None) -> GaussianProcess:
        """Return this process with more data and the same hyper-parameters; O(n^2) a point.

        Parameters
        ----------
        x : array, shape (q, d)
            Model points.
        y : array, shape (q,), optional
            Outcomes; the predicted means by default, which leaves the mean as it is ("kriging believer").
        """
        k = covariance(x, self.x, self.layout, self.hyper)
        half = k @ self.inverse.T
        own = covariance(x, x, self.layout, self.hyper) - half @ half.T
        noise = self.hyper.noise
        found = inverse_factor(own, noise + self.jitter, self.hyper.scale)
        if found is None:
            return self
        _, corner, jitter = found
        n, q = len(self), len(x)
        inverse = np.zeros((n + q, n + q))
        inverse[:n, :n], inverse[n:, n:] = self.inverse, corner
        inverse[n:, :n] = -corner @ (half @ self.inverse)
        believed = k @ self.weights + self.mean
        target = believed if y is None else self.standard(y)
        weights = np.concatenate([self.weights, np.zeros(q)])
        if y is not None:
            weights += inverse[n:].T @ (corner @ (target - believed))
        return replace(
            self,
            x=np.concatenate([self.x, x]),
            y=np.concatenate([self.y, target * self.standard.spread + self.standard.shift]),
            variance=None if self.variance is None else np.concatenate([self.variance, np.zeros(q)]),
            inverse=inverse,
            weights=weights,
            jitter=max(jitter, self.jitter),
        )

    def rougher(self, factor: float) -> GaussianProcess:
        """Return the process of the same data with all lengthscales times `factor`; O(n^3) time."""
        hyper = replace(self.hyper, lengthscale=self.hyper.lengthscale * factor)
        known = None if self.variance is None else self.variance * self.standard.square
        return GaussianProcess.build(self.x, self.y, self.layout, hyper, standard=self.standard, variance=known)

    def to_botorch(self) -> Any:
        """Return the equal botorch `SingleTaskGP`: the same posterior for the same hyper-parameters.

        Raises
        ------
        SettingError
            If a column is categorical or conditional.
        """
        if not self.layout.is_plain:
            raise SettingError("to_botorch: expected smooth columns that are always active")
        from blackbox.surrogates._botorch import single_task

        return single_task(self)


def fit(
    x: ArrayLike,
    y: ArrayLike,
    *,
    layout: Layout | None = None,
    noise: float | Literal["learned", "deterministic"] = "learned",
    variance: ArrayLike | None = None,
    prior: Prior | None = None,
    start: GaussianProcess | None = None,
    evaluations: int = 60,
) -> GaussianProcess:
    """Return the Gaussian process of data, with the likeliest hyper-parameters under their priors.

    Parameters
    ----------
    x : Tensor or array, shape (n, d)
        Model points: in [0, 1], level indices in categorical columns, NaN in inactive ones.
    y : Tensor or array, shape (n,)
        Finite outcomes.
    layout : Layout, optional
        What the columns are; all smooth by default.
    noise : "learned", "deterministic" or float, default "learned"
        A number is the variance of the noise in units of y squared.
    variance : Tensor or array, shape (n,), optional
        Known variance of each outcome in units of y squared; no noise is learned then.
    prior : Prior, optional
    start : GaussianProcess, optional
        An earlier fit to start from, besides the prior's centre.
    evaluations : int, default 60
        Evaluations of the likelihood from each start, at most; each takes O(n^3) time.

    Raises
    ------
    SettingError
        If shapes do not fit or outcomes are not finite.
    """
    points, target, layout = training_data(x, y, layout)
    prior, evaluations = prior or Prior(), whole_number(evaluations, "evaluations", 1)
    standard = Standard.of(target)
    known = None if variance is None else _variances(variance, len(target))
    level = _noise_level(noise, known is not None, standard)
    scaled = None if known is None else known / standard.square
    evidence = Evidence(points, standard(target), layout, prior, noise=level, variance=scaled)
    starts = [
        evidence.location,
        np.where(np.arange(len(evidence.location)) < layout.dim, -1.0, 0.0) + evidence.location,
    ]
    if start is not None and start.mode is not None and len(start.mode.theta) == len(evidence.location):
        starts.append(start.mode.theta)
    mode = find_modes(evidence, np.stack(starts), evaluations=evaluations, at_most=1)[0]
    hyper = Hyperparameters.unpack(mode.theta, layout, level)
    return GaussianProcess.build(
        points, target, layout, hyper, standard=standard, variance=known, prior=prior, mode=mode
    )


def training_data(x: ArrayLike, y: ArrayLike, layout: Layout | None) -> tuple[Array, Array, Layout]:
    """Return checked points, shape (n, d), finite outcomes, shape (n,), and what the columns are."""
    target, points = _numbers(y, "y").reshape(-1), _numbers(x, "x")
    if points.ndim != 2 or len(points) != len(target) or not len(target):
        raise SettingError(f"x, y: expected shapes (n, d) and (n,), n >= 1, got {points.shape} and {target.shape}")
    if not np.isfinite(target).all():
        raise SettingError("y: expected finite outcomes; leave failed evaluations out")
    layout = layout or Layout.plain(points.shape[1])
    return _points(points, layout), target, layout


def _noise_level(noise: float | str, known: bool, standard: Standard) -> float | None:
    """Return the noise variance in standardised units, or None to learn it."""
    if isinstance(noise, str):
        if noise not in ("learned", "deterministic"):
            raise SettingError(f'noise: expected "learned", "deterministic" or a variance, got {noise!r}')
        return DETERMINISTIC if known or noise == "deterministic" else None
    if not (is_finite(noise) and noise >= 0):
        raise SettingError(f"noise: expected a finite variance >= 0, got {noise!r}")
    return max(float(noise) / standard.square, DETERMINISTIC)


def _numbers(given: ArrayLike, name: str) -> Array:
    """Return real numbers as an array."""
    try:
        array = np.asarray(given.detach().cpu() if isinstance(given, Tensor) else given)
        if not np.iscomplexobj(array):
            return array.astype(np.float64, copy=False)
    except (TypeError, ValueError):
        pass
    raise SettingError(f"{name}: expected an array of real numbers, got {shown(given)}")


def _variances(variance: ArrayLike, n: int) -> Array:
    known = _numbers(variance, "variance").reshape(-1)
    if len(known) != n or not (np.isfinite(known) & (known >= 0)).all():
        raise SettingError(f"variance: expected {n} finite numbers >= 0, got {shown(variance)}")
    return known


def _points(x: ArrayLike, layout: Layout) -> Array:
    points = _numbers(x, "x")
    if points.ndim != 2 or points.shape[1] != layout.dim:
        raise SettingError(f"x: expected shape (q, {layout.dim}), got {points.shape}")
    bad = ~np.isfinite(points) & ~(np.isnan(points) & np.array(layout.conditional, bool))
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise SettingError(f"x: expected finite numbers, got {points[row, column]} in row {row}, column {column}")
    return points
