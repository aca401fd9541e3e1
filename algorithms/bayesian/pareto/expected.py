"""Log expected hypervolume improvement of independent normal outcomes, exactly, with its gradient.

With psi_j(a) = E[max(a - y_j, 0)] the expected part of a box [l, u] that a candidate gains is the product over the
objectives of psi_j(u_j) - psi_j(l_j). Everything is computed as logarithms, so that neither value nor gradient vanish
where a candidate is unlikely to improve.
"""

from __future__ import annotations

import numpy as np

from blackbox.algorithms.bayesian.acquisition import log_improvement
from blackbox.algorithms.bayesian.pareto.cells import Cells
from blackbox.surrogates.kernels import Array, Index

__all__ = ["log_excess", "log_hypervolume_improvement"]

_LOG_FLOOR = np.log(1e-10)  # of the spreads' product: where nothing is expected, uncertainty counts
_BLOCK = 1 << 19  # candidates times boxes that are held at once
_LEAST = 1e-15  # relative size of a difference, at least


def log_excess(knots: Array, mean: Array, std: Array, log_weights: Array) -> tuple[Array, Array, Array]:
    """Return log E[max(knot - y, 0)] for mixtures of normal y, and its derivatives in the means and spreads.

    Parameters
    ----------
    knots : array, shape (t,)
    mean, std : array, shape (k, q)
        Of k components at q points.
    log_weights : array, shape (k,)
        Logarithms of weights that sum to one.

    Returns
    -------
    value : array, shape (q, t)
    by_mean, by_std : arrays, shape (k, q, t)
    """
    nowhere = np.isneginf(knots)
    z = (np.where(nowhere, 0.0, knots) - mean[:, :, None]) / std[:, :, None]
    value, slope = log_improvement(z)
    value += np.log(std)[:, :, None]
    slope /= std[:, :, None]
    by_std = 1.0 / std[:, :, None] - z * slope
    value[..., nowhere], slope[..., nowhere], by_std[..., nowhere] = -np.inf, 0.0, 0.0
    if len(mean) == 1:
        return value[0] + log_weights[0], -slope, by_std
    joint = value + log_weights[:, None, None]
    top = np.maximum(joint.max(0), -1e300)
    share = np.exp(joint - top)
    total = share.sum(0)
    share /= np.maximum(total, 1e-300)
    with np.errstate(divide="ignore"):
        return top + np.log(total), -slope * share, by_std * share


def log_hypervolume_improvement(
    cells: Cells, means: list[Array], stds: list[Array], log_weights: list[Array], *, slopes: bool = False
) -> tuple[Array, list[Array], list[Array]]:
    """Return the logarithm of the expected hypervolume improvement, shape (q,), and derivatives.

    A floor of 1e-10 times the product of the spreads is added to the expectation.

    Parameters
    ----------
    cells : Cells
        What is undominated.
    means, stds : list of arrays, shape (k, q)
        For each objective, of the components of a mixture.
    log_weights : list of arrays, shape (k,)
    slopes : bool, default False
        Whether the derivatives in the means and in the spreads, lists like `means`, are wanted; empty lists otherwise.

    References
    ----------
    K. Yang, M. Emmerich, A. Deutz, T. Bäck, Efficient computation of expected hypervolume improvement using box
    decomposition algorithms, 2019. S. Ament et al., Unexpected improvements to expected improvement for Bayesian
    optimization, 2023 (logarithms; here of each factor, exactly, instead of smoothed samples).
    """
    q, m = means[0].shape[1], len(means)
    excess = [log_excess(cells.knots[j], means[j], stds[j], log_weights[j]) for j in range(m)]
    floor = _LOG_FLOOR + sum(_log_spread(stds[j], log_weights[j]) for j in range(m))
    value = np.empty(q)
    pulls = [np.zeros((q, len(cells.knots[j]))) for j in range(m)]
    share = np.empty(q)
    for rows in np.array_split(np.arange(q), q * len(cells) // _BLOCK + 1):
        value[rows], share[rows] = _block(cells, [e[0][rows] for e in excess], floor[rows], pulls, rows, slopes)
    if not slopes:
        return value, [], []
    by_mean = [np.einsum("kqt,qt->kq", excess[j][1], pulls[j]) for j in range(m)]
    by_std = [
        np.einsum("kqt,qt->kq", excess[j][2], pulls[j]) + (1.0 - share) * _spread_share(stds[j], log_weights[j])
        for j in range(m)
    ]
    return value, by_mean, by_std


def _block(
    cells: Cells, excess: list[Array], floor: Array, pulls: list[Array], rows: Index, slopes: bool
) -> tuple[Array, Array]:
    """Return the values of some candidates and the share of their improvement in them; write derivatives to `pulls`."""
    parts = np.zeros((len(floor), len(cells)))
    gaps = []
    for j, log_psi in enumerate(excess):
        upper = log_psi[:, cells.high[:, j]]
        gap = np.minimum(log_psi[:, cells.low[:, j]] - upper, -_LEAST)
        rest = -np.expm1(gap)
        parts += upper
        parts += np.log(rest)
        gaps.append((gap, rest))
    top = parts.max(1)
    parts -= top[:, None]
    np.exp(parts, out=parts)
    total = parts.sum(1)
    improvement = top + np.log(total)
    value = np.logaddexp(improvement, floor)
    share = np.exp(improvement - value)
    if slopes:
        parts *= (share / total)[:, None]
        for j, (gap, rest) in enumerate(gaps):
            up = parts / rest
            down = up * np.exp(gap)
            t = len(cells.knots[j])
            select = np.eye(t)
            pulls[j][rows] = up @ select[cells.high[:, j]] - down @ select[cells.low[:, j]]
    return value, share


def _log_spread(std: Array, log_weights: Array) -> Array:
    """Return the logarithm of the mean spread, shape (q,)."""
    return np.asarray(np.log(np.exp(log_weights) @ std))


def _spread_share(std: Array, log_weights: Array) -> Array:
    """Return the derivatives of the logarithm of the mean spread in the spreads, shape (k, q)."""
    weights = np.exp(log_weights)
    return np.asarray(weights[:, None] / (weights @ std))
