"""A quadratic model of the best evaluations: the point that it promises most of, where it predicts them well."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import lsq_linear

from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.proposal import LITTLE
from blackbox.algorithms.bayesian.state import BayesianState
from blackbox.algorithms.bayesian.view import View
from blackbox.surrogates.kernels import Array, Index

__all__ = ["APART", "FIRST", "REASON", "is_apt", "quadratic_minimum", "quadratic_point"]

REASON = "the minimum of a quadratic model of the best evaluations"
FIRST = f"{REASON}, and improvements by exact Gaussian processes"
_EVERY = 2  # evaluations, one of which may be the quadratic's
_TERMS = 300  # of a quadratic, at most
_SPARE = 2  # rows beyond the number of terms, at least
_FLAT = 1e-10  # least curvature, in units of the largest
_BEYOND = 0.5  # how far outside of its rows the minimum may lie, in units of their range in each column
APART = 1e-6  # distance of points that are not one, in the unit cube


@dataclass(frozen=True, slots=True)
class _Fit:
    """A least-squares quadratic around the best row.

    Attributes
    ----------
    rows : array, int
        The rows it was fitted to, best first.
    terms : array
        The constant, the slopes, the curvatures, and where it has them the mixed terms.
    error : float
        Root mean square of the leave-one-out residuals of the best third of the rows.
    """

    rows: Index
    terms: Array
    error: float


def quadratic_point(state: BayesianState, domain: Domain, view: View, n: int) -> Array | None:
    """Return full codes, shape (1, d), to evaluate next, or None where the processes should decide on all n points.

    Every second evaluation, or one of each batch, may be one, where processes promise little and values are exact, all
    columns are real and nothing but the box limits them. Ill-conditioned valleys are where it helps: few processes know
    curvatures that differ by a million, but some 2 d (columns apart) or d^2 / 2 evaluations determine them.
    """
    if not is_apt(state, domain, view) or (n < _EVERY and len(state) % _EVERY):
        return None
    known = domain.to_unit(state.x.numpy())
    found = quadratic_minimum(known[view.order], state.values.numpy()[view.order, 0])
    if found is None or np.abs(found - known).max(1).min() < APART:
        return None
    return domain.canonical(domain.from_unit(found[None]))


def is_apt(state: BayesianState, domain: Domain, view: View) -> bool:
    """Return whether processes promise little, values are exact, and nothing but the box limits real columns alone."""
    plain = len(domain.smooth) == domain.dim and domain.free.all() and not domain.is_restricted
    exact = view.deterministic and view.predicted is None
    usable = not state.constraints and view.acquisition.success is None
    return bool(plain and exact and usable and state.promise < LITTLE)


def quadratic_minimum(u: Array, y: Array, rank: Array | None = None, held: Array | None = None) -> Array | None:
    """Return the minimum of a quadratic model of the best rows, if it promises more than the model errs.

    Of a model without mixed terms and one with all of them, that with smaller errors near the best row counts.
    O(n t^2) time for t terms.

    Parameters
    ----------
    u : array, shape (n, d)
        Points of the unit cube.
    y : array, shape (n,)
        Their finite values, to be minimised.
    rank : array, shape (n,), optional
        What says how good a row is, in the units of y; y by default.
    held : array, shape (d,), optional
        Coordinates of columns that are not searched, NaN in the others.

    Returns
    -------
    array, shape (d,), or None

    References
    ----------
    M. J. D. Powell, The NEWUOA software for unconstrained optimization without derivatives, 2006 (quadratic models).
    N. Hansen, A global surrogate assisted CMA-ES, 2019 (of the best points, weighted). Deviations: least squares with
    leave-one-out errors; the minimum in a box around the rows.
    """
    rank = y if rank is None else rank
    order = np.argsort(rank, kind="stable")
    scale = float(rank[order[len(y) // 2]] - rank[order[0]])
    if not 0.0 < scale < np.inf:
        return None
    y, rank = (y - y[order[0]]) / scale, (rank - rank[order[0]]) / scale
    kinds = (False, True) if held is None else (True,)
    fits = [fit for fit in (_fit(u, y, rank, order, mixed) for mixed in kinds) if fit is not None]
    if not fits:
        return None
    fit = min(fits, key=lambda each: each.error)
    best = u[fit.rows[0]]
    slope, curve = _parts(fit.terms, u.shape[1])
    free = np.ones(u.shape[1], bool) if held is None else np.isnan(held)
    if held is not None:
        slope = slope + curve[:, ~free] @ (held - best)[~free]
    slope, curve = slope[free], curve[np.ix_(free, free)]
    x = (u[fit.rows] - best)[:, free]
    room = _BEYOND * np.ptp(x, axis=0)
    low = np.maximum(x.min(0) - room, -best[free])
    high = np.minimum(x.max(0) + room, 1.0 - best[free])
    values, vectors = np.linalg.eigh(curve)
    if not (high > low).all() or not np.abs(values).max() > 0.0:
        return None
    root = np.sqrt(np.maximum(values, _FLAT * np.abs(values).max()))
    step = lsq_linear(root[:, None] * vectors.T, -(vectors.T @ slope) / root, (low, high), method="bvls").x
    promised = -float(slope @ step + 0.5 * step @ curve @ step) - (fit.terms[0] if held is None else 0.0)
    if not promised > fit.error:
        return None
    found = best.copy() if held is None else np.where(free, best, held)
    found[free] = np.clip(best[free] + step, 0.0, 1.0)
    return found


def _fit(u: Array, y: Array, rank: Array, order: Index, mixed: bool) -> _Fit | None:
    """Return the quadratic of about twice as many of the best rows as it has terms; None where they are too few.

    Rows weigh less the worse they are, so that what is near the best value is met in relative terms.
    """
    d = u.shape[1]
    n_terms = 1 + 2 * d + (d * (d - 1) // 2 if mixed else 0)
    rows = order[: 2 * n_terms + _SPARE]
    if len(rows) < n_terms + _SPARE or n_terms > _TERMS:
        return None
    excess = rank[rows] - rank[rows[0]]
    weight = 1.0 / (excess + max(float(excess[len(rows) // 4]), 1e-100))
    q, r = np.linalg.qr(_columns(u[rows] - u[rows[0]], mixed) * weight[:, None])
    sizes = np.abs(np.diag(r))
    if not (np.isfinite(r).all() and sizes.min() > 1e-12 * sizes.max()):
        return None
    target = (y[rows] - y[rows[0]]) * weight
    rest = (target - q @ (q.T @ target)) / np.maximum(1.0 - (q * q).sum(1), 1e-12)
    best = slice(max(3, len(rows) // 3))
    error = math.sqrt(float(np.square(rest / weight)[best].mean()))
    terms = np.linalg.solve(r, q.T @ target)
    return _Fit(rows, terms, error) if math.isfinite(error) and np.isfinite(terms).all() else None


def _columns(x: Array, mixed: bool) -> Array:
    """Return the terms of quadratics at points, shape (n, terms)."""
    parts = [np.ones((len(x), 1)), x, 0.5 * x * x]
    if mixed:
        i, j = np.triu_indices(x.shape[1], 1)
        parts.append(x[:, i] * x[:, j])
    return np.concatenate(parts, axis=1)


def _parts(terms: Array, d: int) -> tuple[Array, Array]:
    """Return the gradient at the origin, shape (d,), and the matrix of second derivatives."""
    curve = np.diag(terms[1 + d : 1 + 2 * d])
    if len(terms) > 1 + 2 * d:
        i, j = np.triu_indices(d, 1)
        curve[i, j] = curve[j, i] = terms[1 + 2 * d :]
    return terms[1 : 1 + d], curve
