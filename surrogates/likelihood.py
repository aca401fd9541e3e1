"""The log posterior of the hyper-parameters of an exact Gaussian process, with its gradient, and its modes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from blackbox.surrogates._training import TrainingKernel
from blackbox.surrogates.kernels import Array, Hyperparameters, Layout
from blackbox.surrogates.minimise import minimise_in_box

__all__ = ["Evidence", "Mode", "Prior", "find_modes", "inverse_factor", "profile_mean"]

_JITTERS = (0.0, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
_FREEDOM = 4.0  # degrees of freedom of the gaps between lengthscales: some columns may matter little
_APART = (1.6, 1.0)  # location and spread of the log lengthscales of columns that are apart
_HOPELESS = 1e10  # the value of hyper-parameters under which the covariance cannot be factorised


@dataclass(frozen=True, slots=True)
class Prior:
    """Normal priors on log lengthscales, logit rho, log scale and log noise.

    Parameters
    ----------
    shift : float, default 0
        Added to the location of the log lengthscales of smooth columns, sqrt(2) + log(d) / 2.
    spread : float, default sqrt(3)
        Of these log lengthscales; of their mean alone where `together` is given.
    together : float, optional
        Scale of the gaps between log lengthscales and their mean (Student t with 4 degrees of freedom): smooth columns
        are expected to be alike, a few may differ much. Without it they are independent.
    noise : (float, float), default (-4, 1)
        Location and spread of the log noise, where it is learned.
    scale : (float, float), default (0, 1)
        Location and spread of the log output scale.
    mean : float, default 1
        Spread of the constant mean around 0, in standardised units.
    sparse : float, optional
        The global shrinkage tau of a sparse axis-aligned subspace (SAAS): the inverse squared lengthscale of each
        smooth column is half-Cauchy with scale tau, so that few columns matter. It replaces `shift`, `spread` and
        `together`.

    References
    ----------
    C. Hvarfner, E. Hellsten and L. Nardi, Vanilla Bayesian optimization performs great in high dimensions, 2024.
    D. Eriksson and M. Jankowiak, High-dimensional Bayesian optimization with sparse axis-aligned subspaces, 2021.
    """

    shift: float = 0.0
    spread: float = math.sqrt(3.0)
    together: float | None = None
    noise: tuple[float, float] = (-4.0, 1.0)
    scale: tuple[float, float] = (0.0, 1.0)
    mean: float = 1.0
    sparse: float | None = None

    def table(self, layout: Layout, learn_noise: bool) -> tuple[Array, Array, Array, Array]:
        """Return location, spread, lower and upper bounds, each with one entry a hyper-parameter."""
        d, c = layout.dim, len(layout.switched)
        centre = (
            math.sqrt(2.0) + 0.5 * math.log(d) + self.shift if self.sparse is None else -0.5 * math.log(self.sparse)
        )
        location = np.full(layout.n_parameters + learn_noise, centre)
        spread = np.full(len(location), self.spread)
        low, high = np.full(len(location), math.log(0.025)), np.full(len(location), math.log(1e3))
        category = np.flatnonzero(layout.categorical)
        location[category], spread[category] = 0.5 * math.log(d), 1.0
        location[d : d + c], spread[d : d + c] = 0.0, 1.5
        low[d : d + c], high[d : d + c] = -6.0, 6.0
        location[d + c], spread[d + c] = self.scale
        low[d + c], high[d + c] = math.log(0.02), math.log(50.0)
        at = d + c + 1
        for n, rank in layout.loadings:
            block = np.full((n, rank), 2.0)
            block[:, 1:] = 0.5 * (-1.0) ** np.arange(n)[:, None]  # not 0, where the likelihood has a saddle
            location[at : at + n * rank], spread[at : at + n * rank] = block.ravel(), 2.0
            low[at : at + n * rank], high[at : at + n * rank] = -40.0, 40.0
            at += n * rank
        apart = list(layout.apart)
        location[apart], spread[apart] = _APART
        if learn_noise:
            location[-1], spread[-1] = self.noise
            low[-1], high[-1] = math.log(1e-6), 0.0
        return location, spread, low, high


def profile_mean(inverse_ones: Array, y: Array, spread: float) -> float:
    """Return the constant mean with the highest posterior density, given K^-1 1."""
    return float(inverse_ones @ y / (inverse_ones.sum() + 1.0 / spread**2))


def factorise(matrix: Array, diagonal: Array | float, scale: float) -> tuple[Array, float] | None:
    """Return the lower Cholesky factor of matrix + diagonal and the jitter it took; None where nothing helps."""
    n = len(matrix)
    at = np.arange(n)
    for jitter in _JITTERS:
        work = np.array(matrix.T, order="F")
        work[at, at] += diagonal + jitter * scale
        factor, info = lapack.dpotrf(work, lower=1, clean=1, overwrite_a=1)
        if info == 0:
            return factor, jitter * scale
    return None


def inverse_factor(matrix: Array, diagonal: Array | float, scale: float) -> tuple[Array, Array, float] | None:
    """Return the lower Cholesky factor, its inverse, and the jitter; None where nothing helps."""
    found = factorise(matrix, diagonal, scale)
    if found is None:
        return None
    factor, jitter = found
    inverse, info = lapack.dtrtri(factor, lower=1)
    return None if info else (factor, inverse, jitter)


class Evidence:
    """The negative log posterior density of the hyper-parameters.

    Parameters
    ----------
    x : array, shape (n, d)
        Model points.
    y : array, shape (n,)
        Standardised outcomes.
    layout : Layout
    prior : Prior
    noise : float or None
        The noise variance; None to learn it.
    variance : array, shape (n,), or None
        A known variance of each outcome, added to the noise.
    """

    def __init__(
        self,
        x: Array,
        y: Array,
        layout: Layout,
        prior: Prior,
        *,
        noise: float | None,
        variance: Array | None = None,
    ) -> None:
        self.kernel, self.y, self.layout, self.prior = TrainingKernel(x, layout), y, layout, prior
        self.noise = noise
        self.variance: Array | float = 0.0 if variance is None else variance
        alike = ~np.array(layout.categorical, bool)
        alike[list(layout.apart)] = False
        self.smooth = np.flatnonzero(alike)
        self.location, self.spread, self.low, self.high = prior.table(layout, noise is None)

    def __call__(self, theta: Array) -> tuple[float, Array]:
        """Return the value at one vector of hyper-parameters, and its gradient."""
        h = Hyperparameters.unpack(theta, self.layout, self.noise)
        matrix = self.kernel.matrix(h)
        found = factorise(matrix, h.noise + self.variance, h.scale)
        if found is None:
            return _HOPELESS, np.zeros(len(theta))
        factor, _ = found
        inverse, _ = lapack.dpotri(factor, lower=1)
        diagonal = np.diagonal(inverse).copy()  # the factor, and so its inverse product, is 0 above the diagonal
        inverse = inverse + inverse.T
        np.fill_diagonal(inverse, diagonal)
        mean = profile_mean(inverse.sum(0), self.y, self.prior.mean)
        residual = self.y - mean
        a = inverse @ residual
        fit = 0.5 * float(residual @ a) + 0.5 * (mean / self.prior.mean) ** 2
        value = fit + float(np.log(np.diagonal(factor)).sum())
        inverse -= np.outer(a, a)
        gradient = np.zeros(len(theta))
        parts = self.kernel.gradient(inverse)
        gradient[: len(parts)] = parts
        if self.noise is None:
            gradient[-1] = 0.5 * h.noise * float(np.trace(inverse))
        penalty, slope = self.penalty(theta)
        return value + penalty, gradient + slope

    def penalty(self, theta: Array) -> tuple[float, Array]:
        """Return the negative log prior density, and its gradient."""
        z = (theta - self.location) / self.spread
        slope = z / self.spread
        value = 0.5 * float(z @ z)
        if self.prior.sparse is not None and len(self.smooth):
            value -= 0.5 * float(z[self.smooth] @ z[self.smooth])
            gap = -2.0 * theta[self.smooth] - math.log(self.prior.sparse)  # log of the ratio to tau
            value += float((np.logaddexp(0.0, 2.0 * gap) - gap).sum())
            slope[self.smooth] = 2.0 - 4.0 / (1.0 + np.exp(-2.0 * gap))
        elif self.prior.together is not None and len(self.smooth):
            own = theta[self.smooth] - self.location[self.smooth]
            common = float(own.mean())
            gaps = (own - common) / self.prior.together
            bulk = 1.0 + gaps * gaps / _FREEDOM
            pull = (1.0 + 1.0 / _FREEDOM) * gaps / bulk / self.prior.together
            value -= 0.5 * float(z[self.smooth] @ z[self.smooth])
            value += 0.5 * (_FREEDOM + 1.0) * float(np.log(bulk).sum()) + 0.5 * (common / self.prior.spread) ** 2
            slope[self.smooth] = pull - pull.mean() + common / self.prior.spread**2 / len(own)
        return value, slope

    def batch(self, thetas: Array) -> tuple[Array, Array]:
        """Return values, shape (b,), and gradients, shape (b, p)."""
        values, gradients = zip(*(self(theta) for theta in thetas), strict=True)
        return np.array(values), np.array(gradients)


@dataclass(frozen=True, slots=True)
class Mode:
    """A local optimum of the posterior density of the hyper-parameters.

    Attributes
    ----------
    theta : array
        Log lengthscales, logit rho, log scale, loadings, and log noise where it is learned.
    value : float
        Its negative log posterior density, up to a constant.
    """

    theta: Array
    value: float


def find_modes(
    evidence: Evidence,
    starts: Array,
    *,
    evaluations: int = 40,
    at_most: int = 4,
    window: float = 4.0,
    near: bool = False,
) -> list[Mode]:
    """Return distinct modes reached from `starts`, best first; never empty.

    Modes whose density is below exp(-window) of the best are left out. Starts that are `near` take smaller first steps,
    and end where the last nats are few.
    """
    points, values = minimise_in_box(
        lambda thetas, _: evidence.batch(thetas),
        starts,
        evidence.low,
        evidence.high,
        evaluations=evaluations,
        first_step=0.15 if near else 0.5,
        gradient_tolerance=1e-3,
        value_tolerance=3e-4 if near else 1e-5,
    )
    values = np.where(np.isfinite(values), values, _HOPELESS)
    modes: list[Mode] = []
    for i in np.argsort(values, kind="stable"):
        if modes and values[i] > modes[0].value + window:
            break
        if any(np.abs(points[i] - mode.theta).max() < 0.2 for mode in modes):
            continue
        modes.append(Mode(points[i], float(values[i])))
        if len(modes) == at_most:
            break
    return modes
