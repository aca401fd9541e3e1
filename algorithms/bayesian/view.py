"""What the data look like to the models at one ask: the acquisition of the moment."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from blackbox.algorithms.bayesian.acquisition import Acquisition, Limit
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.models import Fitting, merge_repeats, model_outcome, nearest_rows
from blackbox.algorithms.bayesian.state import BayesianState
from blackbox.surrogates.gaussian_process import GaussianProcess, Standard
from blackbox.surrogates.kernels import Array, Index, Mask
from blackbox.surrogates.likelihood import Prior
from blackbox.surrogates.outcomes import Warp, signed_log

__all__ = ["View", "look"]

_FAILURE_NOISE = 1e-2  # noise variance of the labels of failed evaluations


@dataclass(frozen=True, slots=True)
class View:
    """The models of one ask.

    Attributes
    ----------
    acquisition : Acquisition
    state : BayesianState
        With the hyper-parameters that were fitted.
    order : array, int
        Usable rows of the state, best first.
    deterministic : bool
        Whether evaluating a point again would give the same value.
    """

    acquisition: Acquisition
    state: BayesianState
    order: Index
    deterministic: bool


def look(
    state: BayesianState,
    domain: Domain,
    fitting: Fitting,
    random: np.random.Generator,
    *,
    noise: float | None,
    warp: bool,
    prior: Prior,
) -> View:
    """Return the models of the data, hyper-parameters refitted where due."""
    points = domain.model(state.x.numpy())
    usable = state.usable
    values = state.values.numpy()[:, 0]
    feasible = usable & (state.violations.numpy() <= 0.0).all(axis=1)
    order = _order(values, state.violations.numpy(), usable, feasible)
    success, state = _success(state, points, usable, domain, fitting, prior, random)
    limits, state = _limits(state, points, usable, domain, fitting, prior, random)
    modes: list[GaussianProcess] = []
    log_weights, best, deterministic = np.zeros(0), np.inf, True
    if feasible.any():
        variance = _variance(state, usable)
        rows = np.flatnonzero(usable)
        rows = rows[nearest_rows(points[rows], np.where(feasible[rows], values[rows], np.inf))]
        warping = Warp.fit(values[rows], warp=warp)
        slope = None if variance is None else _warped_variance(warping, values[rows], variance[rows])
        data = merge_repeats(points[rows], warping(values[rows]), slope)
        modes, log_weights, fitted = model_outcome(
            data, domain.layout, state.objectives[0], fitting, noise=noise, prior=prior, random=random
        )
        state = replace(state, objectives=[fitted])
        deterministic = variance is None and not fitted.noisy and not data.conflict
        best = _incumbent(modes, log_weights, warping(values[feasible]), points[feasible], deterministic)
    acquisition = Acquisition(tuple(modes), log_weights, best, tuple(limits), success)
    return View(acquisition, state, order, deterministic)


def _order(values: Array, violations: Array, usable: Mask, feasible: Mask) -> Index:
    """Return usable rows: feasible ones by value, then the others by their total violation."""
    rows = np.flatnonzero(usable)
    excess = np.maximum(violations[rows], 0.0).sum(1)
    return rows[np.lexsort((np.where(feasible[rows], values[rows], 0.0), excess))]


def _incumbent(
    modes: list[GaussianProcess], log_weights: Array, values: Array, points: Array, deterministic: bool
) -> float:
    """Return the standardised value to improve on: the best observed, or the best predicted mean under noise."""
    standard: Standard = modes[0].standard
    if deterministic:
        return float(standard(values).min())
    means = np.stack([mode.predict(points)[0] for mode in modes])
    return float(np.einsum("m,mq->q", np.exp(log_weights), means).min())


def _variance(state: BayesianState, usable: Mask) -> Array | None:
    """Return the known variance of each value; unknown ones get the median; None where none is known."""
    variance = state.variance.numpy()[:, 0]
    known = np.isfinite(variance) & usable
    if not known.any():
        return None
    return np.asarray(np.where(known, np.maximum(variance, 0.0), np.median(variance[known])))


def _warped_variance(warp: Warp, values: Array, variance: Array) -> Array:
    """Return variances after the warp, from its slope over one standard deviation."""
    std = np.sqrt(variance)
    return np.asarray(((warp(values + std) - warp(values - std)) / 2.0) ** 2)


def _success(
    state: BayesianState,
    points: Array,
    usable: Mask,
    domain: Domain,
    fitting: Fitting,
    prior: Prior,
    random: np.random.Generator,
) -> tuple[GaussianProcess | None, BayesianState]:
    """Return the model of +1 (a value came back) and -1 (failed) around a mean of +1; None without failures."""
    if usable.all():
        return None, state
    rows = nearest_rows(points, usable.astype(np.float64))
    data = merge_repeats(points[rows], np.where(usable[rows], 1.0, -1.0), None)
    once = replace(data, conflict=False)
    settings = replace(fitting, modes=1)
    steady = replace(prior, mean=1e-3)  # the mean stays at +1, so that failures stay local
    processes, _, fitted = model_outcome(
        once,
        domain.layout,
        state.success,
        settings,
        noise=_FAILURE_NOISE,
        prior=steady,
        random=random,
        standard=Standard(1.0, 1.0),
    )
    return processes[0], replace(state, success=fitted)


def _limits(
    state: BayesianState,
    points: Array,
    usable: Mask,
    domain: Domain,
    fitting: Fitting,
    prior: Prior,
    random: np.random.Generator,
) -> tuple[list[Limit], BayesianState]:
    limits, records = [], []
    rows = np.flatnonzero(usable)
    for j, fitted in enumerate(state.constraints):
        if not len(rows):
            return [], state
        excess = signed_log(state.violations.numpy()[rows, j])
        kept = nearest_rows(points[rows], np.abs(excess))
        data = merge_repeats(points[rows][kept], excess[kept], None)
        processes, _, record = model_outcome(
            data, domain.layout, fitted, replace(fitting, modes=1), prior=prior, random=random
        )
        records.append(record)
        limits.append(Limit(processes[0], float(processes[0].standard(np.zeros(1))[0])))
    return limits, replace(state, constraints=records)
