"""Where the optimum may be: optima of functions drawn from the posterior."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blackbox.algorithms.bayesian.acquisition import Limit
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.paths import Paths
from blackbox.surrogates.gaussian_process import GaussianProcess
from blackbox.surrogates.kernels import Array, Index
from blackbox.surrogates.minimise import minimise_in_box

__all__ = ["Optima", "n_levels", "sample_optima"]

_SPREAD, _LOCAL, _STEPS = 384, 192, 12
_ROUNDS = 3  # of points near the best ones, where there are constraints


@dataclass(frozen=True, slots=True)
class Optima:
    """Optima of s draws.

    Attributes
    ----------
    points : array, shape (s, d)
        Model points.
    values : array, shape (s,)
        Of the draws there, standardised.
    """

    points: Array
    values: Array


def n_levels(domain: Domain) -> int:
    """Return one more than the largest level index of a categorical column."""
    return 1 + int(domain.upper[domain.categorical].max(initial=0.0))


def sample_optima(
    process: GaussianProcess,
    domain: Domain,
    anchors: Array,
    s: int,
    random: np.random.Generator,
    features: int = 512,
    limits: tuple[Limit, ...] = (),
) -> Optima:
    """Return the optima of s functions drawn from the posterior: the best of many points, refined by gradients.

    Parameters
    ----------
    anchors : array, shape (a, d)
        Full codes of promising points.
    limits : tuple of Limit
        Black-box constraints: optima are those of feasible points, as draws of the constraints say, or the least
        violated points where there are none.
    """
    if limits:
        return _feasible_optima(process, domain, anchors, s, random, features, limits)
    paths = Paths(process, s, random, features=features, levels=n_levels(domain))
    codes = domain.spread(_SPREAD, random)
    if len(anchors):
        codes = np.concatenate([codes, domain.perturb(anchors, _LOCAL, random), anchors])
    points = domain.model(codes)
    values = paths(points)
    rows = values.argmin(0)
    ends, lows = points[rows], values[rows, np.arange(s)]
    columns = np.array([c for c in domain.smooth if not domain.conditional[c]], dtype=np.intp)
    if not len(columns) or domain.is_restricted:
        return Optima(ends, lows)

    def climb(part: Array, which: Index) -> tuple[Array, Array]:
        full = ends[which]
        full[:, columns] = part
        value, slope = paths.with_slopes(full, which)
        return value, slope[:, columns]

    moved, reached = minimise_in_box(
        climb,
        ends[:, columns],
        np.zeros(len(columns)),
        np.ones(len(columns)),
        evaluations=_STEPS,
        first_step=0.05,
        gradient_tolerance=1e-4,
        value_tolerance=1e-5,
    )
    result = ends.copy()
    result[:, columns] = moved
    return Optima(result, np.minimum(lows, reached))


def _feasible_optima(
    process: GaussianProcess,
    domain: Domain,
    anchors: Array,
    s: int,
    random: np.random.Generator,
    features: int,
    limits: tuple[Limit, ...],
) -> Optima:
    levels = n_levels(domain)
    paths = Paths(process, s, random, features=features, levels=levels)
    bounds = [(Paths(limit.process, s, random, features=features, levels=levels), limit) for limit in limits]
    codes = domain.spread(_SPREAD, random)
    if len(anchors):
        codes = np.concatenate([codes, domain.perturb(anchors, _LOCAL, random), anchors])
    for _ in range(_ROUNDS):
        values = paths(domain.model(codes))
        excess = np.zeros(values.shape)
        for drawn, limit in bounds:
            excess += np.maximum(drawn(domain.model(codes)) - limit.threshold, 0.0)
        allowed = np.where(excess > 0.0, np.inf, values)
        rows = np.where(np.isfinite(allowed).any(0), allowed.argmin(0), excess.argmin(0))
        ends, lows = codes[rows], values[rows, np.arange(s)]
        codes = np.concatenate([ends, domain.perturb(ends, _LOCAL, random)])
    return Optima(domain.model(ends), lows)
