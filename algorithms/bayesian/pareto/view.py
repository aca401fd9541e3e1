"""What the data of several objectives look like to the models at one ask."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from blackbox.algorithms.bayesian.acquisition import Acquisition
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.models import Fitting, merge_repeats, model_outcome, nearest_rows
from blackbox.algorithms.bayesian.pareto.cells import nondominated_rows
from blackbox.algorithms.bayesian.pareto.limit import TailedLimit
from blackbox.algorithms.bayesian.pareto.outcome import Outcome, given_samples
from blackbox.algorithms.bayesian.pareto.reference import reference_of
from blackbox.algorithms.bayesian.state import BayesianState
from blackbox.algorithms.bayesian.view import caution, limits_of, success_of
from blackbox.surrogates.gaussian_process import GaussianProcess
from blackbox.surrogates.kernels import Array, Index, Mask
from blackbox.surrogates.likelihood import Prior

__all__ = ["View", "compress", "look"]

_DRAWS = 64  # joint samples that decide which points may be in the front
_SAMPLES = 8  # samples of the front that are averaged over


@dataclass(frozen=True, slots=True)
class View:
    """The models of one ask.

    Attributes
    ----------
    outcomes : tuple of Outcome
        One an objective; none while nothing feasible is known.
    fronts : tuple of arrays, shape (f, m)
        What is to be improved on, in standardised units; dominated rows may be among them.
    reference : array, shape (m,)
        In standardised units.
    chance : Acquisition
        Of constraints and failures.
    state : BayesianState
        With the hyper-parameters that were fitted, and the reference point once it is settled.
    best : array, int
        Rows of the state to look around: the front, or what violates the constraints least.
    exact : bool
        Whether to evaluate no point twice.
    """

    outcomes: tuple[Outcome, ...]
    fronts: tuple[Array, ...]
    reference: Array
    chance: Acquisition
    state: BayesianState
    best: Index
    exact: bool


def compress(values: Array, reference: Array, ideal: Array) -> Array:
    """Return values with what lies beyond the reference point on a logarithmic scale, the rest as it is.

    How much worse than the reference a value is does not matter to the hypervolume: the map is the identity where it
    does, so expected improvements keep their meaning, and smooth.
    """
    scale = np.maximum(reference - ideal, 1e-12 * np.maximum(np.abs(reference), 1e-300))
    return np.where(
        values > reference, reference + scale * np.log1p(np.maximum(values - reference, 0.0) / scale), values
    )


def look(
    state: BayesianState,
    domain: Domain,
    fitting: Fitting,
    random: np.random.Generator,
    *,
    noise: float | None,
    prior: Prior,
) -> View:
    """Return the models of the data, hyper-parameters refitted where due."""
    points, usable = domain.model(state.x.numpy()), state.usable
    values, violations = state.values.numpy(), state.violations.numpy()
    feasible = usable & (violations <= 0.0).all(axis=1)
    success, state = success_of(state, points, usable, domain, fitting)
    limits, state = limits_of(state, points, usable, domain, fitting, prior, random)
    tailed = tuple(TailedLimit(limit.process, limit.threshold) for limit in limits)
    chance = Acquisition((), np.zeros(0), np.inf, tailed, success, caution(usable))
    if not feasible.any():
        rows = np.flatnonzero(usable)
        excess = np.maximum(violations[rows], 0.0).sum(1)
        best = rows[np.argsort(excess, kind="stable")][:5]
        return View((), (), np.zeros(0), chance, state, best, exact=True)
    reference, state = reference_of(state, values[feasible])
    ideal = values[feasible].min(0)
    compressed = compress(values, reference, np.minimum(ideal, reference))
    modes, log_weights, state, deterministic, exact = _models(
        state, domain, points, compressed, usable, fitting, random, noise=noise, prior=prior
    )
    standard = [processes[0].standard for processes in modes]
    corner = np.array([s(reference[j]) for j, s in enumerate(standard)])
    known = np.stack([s(compressed[:, j]) for j, s in enumerate(standard)], axis=1)
    rows = np.flatnonzero(feasible)
    if deterministic:
        outcomes = tuple(Outcome(tuple(p), w) for p, w in zip(modes, log_weights, strict=True))
        front = known[rows]
        best = rows[nondominated_rows(front)]
        return View(outcomes, (front[nondominated_rows(front)],), corner, chance, state, best, exact)
    outcomes, fronts, kept = _sampled([processes[0] for processes in modes], points[rows], corner, random)
    return View(outcomes, fronts, corner, chance, state, rows[kept], exact)


def _models(
    state: BayesianState,
    domain: Domain,
    points: Array,
    values: Array,
    usable: Mask,
    fitting: Fitting,
    random: np.random.Generator,
    *,
    noise: float | None,
    prior: Prior,
) -> tuple[list[list[GaussianProcess]], list[Array], BayesianState, bool, bool]:
    """Return the processes of each objective, log weights, the state, whether nothing is noisy, nor known to be."""
    rows = np.flatnonzero(usable)
    spread = np.maximum(np.ptp(values[rows], axis=0), 1e-300)
    rows = rows[nearest_rows(points[rows], (values[rows] / spread).sum(1))]
    modes, log_weights, records, deterministic, exact = [], [], [], True, not noise
    for j, fitted in enumerate(state.objectives):
        known = _variance(state.variance.numpy()[:, j], usable)
        data = merge_repeats(points[rows], values[rows, j], None if known is None else known[rows])
        processes, weights, record = model_outcome(
            data, domain.layout, fitted, fitting, noise=noise, prior=prior, random=random
        )
        modes.append(processes)
        log_weights.append(weights)
        records.append(record)
        exact &= known is None and not data.conflict
        deterministic &= exact and not record.noisy
    return modes, log_weights, replace(state, objectives=records), deterministic, exact


def _variance(variance: Array, usable: Mask) -> Array | None:
    """Return the known variance of each value; unknown ones get the median; None where none is known."""
    known = np.isfinite(variance) & usable
    if not known.any():
        return None
    return np.asarray(np.where(known, np.maximum(variance, 0.0), np.median(variance[known])))


def _sampled(
    processes: list[GaussianProcess], points: Array, reference: Array, random: np.random.Generator
) -> tuple[tuple[Outcome, ...], tuple[Array, ...], Index]:
    """Return outcomes given samples of the values at evaluated points, their fronts, and the rows that may be in one.

    References
    ----------
    S. Daulton, M. Balandat, E. Bakshy, Parallel Bayesian optimization of multiple noisy objectives with expected
    hypervolume improvement, 2021.
    """
    _, first = np.unique(np.nan_to_num(points, nan=-1.0), axis=0, return_index=True)
    rows = np.sort(first)
    x = points[rows]
    draws = np.stack([given_samples(p, x, random.standard_normal((len(x), _DRAWS)))[1] for p in processes], axis=2)
    often = np.zeros(len(x), int)
    for draw in draws:
        often[nondominated_rows(draw)] += 1
    kept = np.argsort(-often, kind="stable")[: max(1, int((often > 0).sum()))]
    half = [random.standard_normal((len(kept), _SAMPLES // 2)) for _ in processes]
    pairs = [given_samples(p, x[kept], np.hstack([z, -z])) for p, z in zip(processes, half, strict=True)]
    fronts = tuple(np.stack([samples[s] for _, samples in pairs], axis=1) for s in range(_SAMPLES))
    return tuple(outcome for outcome, _ in pairs), fronts, rows[kept]
