"""A Gaussian process of many thousands of outcomes through a few hundred inducing points, in closed form.

The variational posterior of inducing values u at points Z is Gaussian and known exactly for a regression (M. Titsias):
with S = K_mm + K_mn K_nm / s2 the mean at x is k_m(x)' S^-1 K_mn y / s2 and the variance is
k(x, x) - k_m(x)' (K_mm^-1 - S^-1) k_m(x). Both have the form of an exact process with Z as its data, so the result is
a `GaussianProcess` over Z and serves wherever one does. O(n m^2) time and O(n m) memory.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from scipy.linalg import cho_factor, cho_solve

from blackbox._arguments import whole_number
from blackbox.errors import SettingError
from blackbox.surrogates.gaussian_process import ArrayLike, GaussianProcess, Standard, fit, training_data
from blackbox.surrogates.kernels import Array, Hyperparameters, Index, Layout, covariance
from blackbox.surrogates.likelihood import inverse_factor

__all__ = ["fit_sparse"]

_LEAST_NOISE = 1e-4  # of a standardised outcome: what inducing points cannot express must go somewhere
_CHUNK = 4096  # rows of the data at once


def fit_sparse(
    x: ArrayLike,
    y: ArrayLike,
    *,
    inducing: int = 256,
    layout: Layout | None = None,
    subset: int = 1000,
    noise: float | None = None,
    generator: torch.Generator | None = None,
) -> GaussianProcess:
    """Return a Gaussian process of n outcomes that depends on them through `inducing` points.

    Hyper-parameters are the likeliest of an exact process of a subset: the best fifth, the rest at random. Inducing
    points are chosen greedily where the prior is least explained by those before (a pivoted Cholesky factorisation).

    Parameters
    ----------
    x : Tensor or array, shape (n, d)
        Model points: in [0, 1], level indices in categorical columns, NaN in inactive ones.
    y : Tensor or array, shape (n,)
        Finite outcomes.
    inducing : int, default 256
        Number of inducing points m.
    layout : Layout, optional
        What the columns are; all smooth by default.
    subset : int, default 1000
        Outcomes that the hyper-parameters are fitted to.
    noise : float, optional
        Variance of the noise in units of y squared; learned by default.
    generator : torch.Generator, optional
        Of the subset; seeded with 0 by default.

    Returns
    -------
    GaussianProcess
        With the inducing points as its `x`, and its predicted means there as its `y`.

    Raises
    ------
    SettingError
        If shapes do not fit or outcomes are not finite.

    References
    ----------
    M. Titsias, Variational learning of inducing variables in sparse Gaussian processes, 2009, equations 6 and 10.
    D. Burt et al., Convergence of sparse variational inference in Gaussian processes regression, 2020 (pivoting).

    Examples
    --------
    >>> x = torch.rand((3000, 2), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    >>> model = fit_sparse(x, torch.sin(6 * x[:, 0]) + x[:, 1], inducing=64, subset=200)
    >>> float((model.posterior(x[:5]).mean - torch.sin(6 * x[:5, 0]) - x[:5, 1]).abs().max()) < 0.01
    True
    """
    inducing, subset = whole_number(inducing, "inducing", 1), whole_number(subset, "subset", 1)
    points, target, layout = training_data(x, y, layout)
    n = len(target)
    rows = _subset(target, min(subset, n), torch.Generator().manual_seed(0) if generator is None else generator)
    level: float | Literal["learned"] = "learned" if noise is None else noise
    exact = fit(points[rows], target[rows], layout=layout, noise=level)
    if n <= inducing:
        return fit(points, target, layout=layout, noise=level, start=exact)
    standard = Standard.of(target)
    scale = (
        exact.standard.spread / standard.spread
    ) ** 2  # hyper-parameters are for outcomes standardised by the subset
    hyper = Hyperparameters(
        exact.hyper.lengthscale,
        exact.hyper.rho,
        exact.hyper.scale * scale,
        max(exact.hyper.noise * scale, _LEAST_NOISE),
        exact.hyper.loadings,
    )
    chosen = _pivots(points, layout, hyper, inducing)
    mean = float(standard(np.array([exact.mean * exact.standard.spread + exact.standard.shift]))[0])
    return _collapsed(points, standard(target) - mean, points[chosen], layout, hyper, standard, mean)


def _collapsed(
    x: Array, residual: Array, z: Array, layout: Layout, hyper: Hyperparameters, standard: Standard, mean: float
) -> GaussianProcess:
    """Return the optimal variational posterior at inducing points z, as a process over them."""
    found = inverse_factor(covariance(z, z, layout, hyper), 1e-8 * hyper.scale, hyper.scale)
    if found is None:
        raise SettingError("x: the covariance of the inducing points cannot be factorised; is a point not finite?")
    _, inverse, jitter = found
    m = len(z)
    gram, moment = np.eye(m), np.zeros(m)  # in the whitened basis, L^-1 K_mn
    for start in range(0, len(x), _CHUNK):
        part = inverse @ covariance(z, x[start : start + _CHUNK], layout, hyper)
        gram += part @ part.T / hyper.noise
        moment += part @ residual[start : start + _CHUNK] / hyper.noise
    weights = inverse.T @ cho_solve(cho_factor(gram, lower=True), moment)
    # The explained part of the variance: L^-T (I - gram^-1) L^-1 = R' R with R the root of the middle times L^-1.
    values, vectors = np.linalg.eigh(gram)
    root = np.sqrt(np.maximum(1.0 - 1.0 / values, 0.0))[:, None] * vectors.T
    predicted = covariance(z, z, layout, hyper) @ weights + mean
    return GaussianProcess(
        z,
        predicted * standard.spread + standard.shift,
        layout,
        hyper,
        standard,
        mean,
        None,
        np.ascontiguousarray(root @ inverse),
        weights,
        jitter,
    )


def _pivots(x: Array, layout: Layout, hyper: Hyperparameters, m: int) -> Index:
    """Return m rows, each where the variance left by those before is largest."""
    left = np.full(len(x), hyper.scale)
    rows = np.zeros((m, len(x)))
    chosen = np.zeros(m, dtype=np.intp)
    for k in range(m):
        pivot = int(np.argmax(left))
        if left[pivot] <= 1e-10 * hyper.scale:
            return chosen[:k]
        chosen[k] = pivot
        column = covariance(x[pivot : pivot + 1], x, layout, hyper)[0] - rows[:k, pivot] @ rows[:k]
        rows[k] = column / np.sqrt(left[pivot])
        left = np.maximum(left - rows[k] ** 2, 0.0)
        left[pivot] = 0.0
    return chosen


def _subset(y: Array, size: int, generator: torch.Generator) -> Index:
    order = np.argsort(y, kind="stable")
    best = order[: size // 5]
    shuffled = torch.randperm(len(y) - len(best), generator=generator).numpy()
    return np.sort(np.concatenate([best, order[len(best) :][shuffled[: size - len(best)]]]))
