"""What the data look like to the models at one ask: the acquisition of the moment."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.special import ndtri

from blackbox.algorithms.bayesian.acquisition import Acquisition, Limit
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.models import Fitting, merge_repeats, model_outcome, nearest_rows
from blackbox.algorithms.bayesian.state import BayesianState, Fitted
from blackbox.algorithms.bayesian.warping import model_warped
from blackbox.surrogates.classification import classify
from blackbox.surrogates.gaussian_process import GaussianProcess
from blackbox.surrogates.kernels import Array, Index, Mask
from blackbox.surrogates.likelihood import Prior
from blackbox.surrogates.outcomes import Warp, signed_log

__all__ = ["View", "caution", "limits_of", "look", "success_model", "success_of"]

_RECENT = 8  # evaluations whose failures make the search cautious
_POWER = "the power of the warp"
_LABELS = 300  # rows of the model of failed evaluations, at most


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
        Whether evaluating a point again would give the same value, as far as anybody has said or shown.
    warp : Warp
        Of the objective's values, before the models standardise them.
    predicted : array, shape (n,), or None
        The predicted median of the true value of each evaluation; None where no noise is believed in.
    """

    acquisition: Acquisition
    state: BayesianState
    order: Index
    deterministic: bool
    warp: Warp
    predicted: Array | None = None


def look(
    state: BayesianState,
    domain: Domain,
    fitting: Fitting,
    random: np.random.Generator,
    *,
    noise: float | None,
    warp: bool,
    prior: Prior,
    weighed: bool = False,
) -> View:
    """Return the models of the data, hyper-parameters refitted where due; see `model_warped` for `weighed`."""
    points = domain.model(state.x.numpy())
    usable = state.usable
    values = state.values.numpy()[:, 0]
    feasible = usable & (state.violations.numpy() <= 0.0).all(axis=1)
    order = _order(values, state.violations.numpy(), usable, feasible)
    success, state = success_of(state, points, usable, domain, fitting)
    limits, state = limits_of(state, points, usable, domain, fitting, prior, random)
    modes: list[GaussianProcess] = []
    log_weights, best, exact, warping = np.zeros(0), np.inf, True, Warp()
    predicted: Array | None = None
    if feasible.any():
        variance = _variance(state, usable, noise)
        rows = np.flatnonzero(usable)
        rows = rows[nearest_rows(points[rows], np.where(feasible[rows], values[rows], np.inf))]
        level = None if noise is None else 0.0  # a given noise stands in the variances, warped as values are
        power = state.memory.get(_POWER)
        outcome = model_warped(
            points[rows],
            values[rows],
            None if variance is None else variance[rows],
            domain,
            state.objectives[0],
            fitting,
            noise=level,
            warp=warp,
            weighed=weighed,
            power=None if power is None else float(power),
            prior=prior,
            random=random,
        )
        warping, modes, log_weights = outcome.warp, outcome.modes, outcome.log_weights
        state = replace(state, objectives=[outcome.fitted])
        if weighed:
            state = replace(state, memory=state.memory | {_POWER: torch.tensor(warping.power, dtype=torch.float64)})
        exact = variance is None and not outcome.data.conflict
        deterministic = not outcome.fitted.noisy and exact
        rank, best = _ranked(modes, log_weights, warping(values), points, feasible, deterministic)
        order = _order(rank, state.violations.numpy(), usable, feasible)
        if not deterministic:
            standard = modes[0].standard
            predicted = warping.inverse(rank * standard.spread + standard.shift)
    acquisition = Acquisition(tuple(modes), log_weights, best, tuple(limits), success, caution(usable))
    return View(acquisition, state, order, exact or noise == 0.0, warping, predicted)


def _order(values: Array, violations: Array, usable: Mask, feasible: Mask) -> Index:
    """Return usable rows: feasible ones by value, then the others by their total violation."""
    rows = np.flatnonzero(usable)
    excess = np.maximum(violations[rows], 0.0).sum(1)
    return rows[np.lexsort((np.where(feasible[rows], values[rows], 0.0), excess))]


def _ranked(
    modes: list[GaussianProcess], log_weights: Array, values: Array, points: Array, feasible: Mask, deterministic: bool
) -> tuple[Array, float]:
    """Return what points are ranked by, shape (n,), and the best of the feasible ones, standardised.

    The observed values, or under noise the predicted means.
    """
    if deterministic:
        rank = modes[0].standard(values)
    else:
        means = np.stack([mode.predict(points)[0] for mode in modes])
        rank = np.einsum("m,mq->q", np.exp(log_weights), means)
    return rank, float(rank[feasible].min())


def _variance(state: BayesianState, usable: Mask, noise: float | None) -> Array | None:
    """Return the variance of each value: told, else given, else the median told one; None where none is known."""
    variance = state.variance.numpy()[:, 0]
    known = np.isfinite(variance) & usable
    if not known.any() and not noise:
        return None
    other = float(np.median(variance[known])) if noise is None else noise
    return np.asarray(np.where(known, np.maximum(variance, 0.0), other))


def success_of(
    state: BayesianState, points: Array, usable: Mask, domain: Domain, fitting: Fitting
) -> tuple[GaussianProcess | None, BayesianState]:
    """Return the model of which evaluations give a value; None where none failed."""
    if usable.all():
        return None, state
    process, fitted = success_model(points, usable, state.values.numpy()[:, 0], state.success, domain, fitting)
    return process, replace(state, success=fitted)


def success_model(
    points: Array, usable: Mask, values: Array, fitted: Fitted, domain: Domain, fitting: Fitting
) -> tuple[GaussianProcess, Fitted]:
    """Return the model of which evaluations give a value, and the record of its hyper-parameters.

    Parameters
    ----------
    points : array, shape (n, d)
        Model points.
    usable : array, shape (n,), bool
        Not all of them.
    values : array, shape (n,)
        Minimised; what is near the best counts where there are many.
    """
    rows = _labelled_rows(points, usable, values)
    start = fitted.thetas.numpy()[0] if len(fitted.thetas) else None
    due = start is None or len(points) < fitting.always_below or len(points) >= fitted.n * (1 + fitting.growth)
    process = classify(
        points[rows],
        usable[rows],
        domain.layout,
        start=start,
        cold=fitted.fits % fitting.cold_every == 0,
        rounds=2 if due and len(points) != fitted.n else 0,
    )
    if due and process.mode is not None:
        thetas = torch.from_numpy(process.mode.theta[None].copy())
        fitted = Fitted(thetas, torch.zeros(1, dtype=torch.float64), len(points), fitted.fits + 1)
    return process, fitted


def caution(usable: Mask) -> float:
    """Return the quantile of the least probability of success: the share of recent failures, at least a half.

    The closer the optimum lies to where evaluations fail, the more of them fail; this keeps it near every second.
    """
    share = float((~usable[-_RECENT:]).mean()) if len(usable) else 0.0
    return float(ndtri(min(max(share, 0.5), 0.9)))


def _labelled_rows(points: Array, usable: Mask, values: Array) -> Index:
    """Return at most `_LABELS` rows: those nearest to the best value, half of them failures where there are enough."""
    if len(points) <= _LABELS:
        return np.arange(len(points))
    best = points[int(np.argmin(np.where(usable, values, np.inf)))]
    gap = (np.nan_to_num(points - best, nan=0.5) ** 2).sum(1)
    near = np.argsort(gap, kind="stable")
    failures, successes = near[~usable[near]], near[usable[near]]
    n_failures = max(min(len(failures), _LABELS // 2), _LABELS - len(successes))
    return np.sort(np.concatenate([failures[:n_failures], successes[: _LABELS - n_failures]]))


def limits_of(
    state: BayesianState,
    points: Array,
    usable: Mask,
    domain: Domain,
    fitting: Fitting,
    prior: Prior,
    random: np.random.Generator,
) -> tuple[list[Limit], BayesianState]:
    """Return the models of the constraints; none while every evaluation failed."""
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
