"""Thompson samples in a trust region: each candidate minimises one function drawn from the posterior."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.special import ndtri

from blackbox.algorithms.bayesian._region import Region
from blackbox.algorithms.bayesian.design import new_rows
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.models import Fitting, merge_repeats, model_outcome, nearest_rows
from blackbox.algorithms.bayesian.paths import Paths
from blackbox.algorithms.bayesian.single import PRIOR
from blackbox.algorithms.bayesian.state import BayesianState, Fitted
from blackbox.algorithms.bayesian.view import success_model
from blackbox.surrogates.gaussian_process import GaussianProcess
from blackbox.surrogates.kernels import Array, Index
from blackbox.surrogates.outcomes import Warp, signed_log

__all__ = ["propose"]

_FEATURES = 1024
_CHUNK = 2_000_000  # covariances at once: candidates times rows
_FITTING = Fitting(modes=1)


@dataclass(frozen=True, slots=True)
class _Models:
    """Models of the region's evaluations; `objective` is None where none was usable."""

    objective: GaussianProcess | None
    limits: tuple[tuple[GaussianProcess, float], ...]
    success: GaussianProcess | None
    centre: Array  # full codes of the best evaluation, shape (d,)


def propose(
    state: BayesianState,
    region: Region,
    domain: Domain,
    pending: Array,
    n: int,
    random: np.random.Generator,
    *,
    max_rows: int,
) -> tuple[Array, BayesianState]:
    """Return n distinct points of the space, shape (n, d), and the state with the fitted hyper-parameters."""
    models, state = _fit(state, region, domain, random, max_rows)
    codes = _candidates(models, region, domain, max(n, 1), random)
    points = domain.canonical(codes)
    known = np.concatenate([state.x.numpy(), pending])
    new = new_rows(points, known)
    codes, points = codes[new], points[new]
    if len(codes) < n:  # a small discrete space, nearly exhausted
        extra = domain.spread(n - len(codes), random)
        codes, points = np.concatenate([codes, extra]), np.concatenate([points, domain.canonical(extra)])
    chosen = _drawn(models, domain, domain.model(codes), n, random)
    return points[chosen], state


def _fit(
    state: BayesianState, region: Region, domain: Domain, random: np.random.Generator, max_rows: int
) -> tuple[_Models, BayesianState]:
    rows = np.arange(region.first, len(state))
    x, usable = state.x.numpy()[rows], state.usable[rows]
    points = domain.model(x)
    values, violations = state.values.numpy()[rows, 0], state.violations.numpy()[rows]
    excess = np.maximum(violations, 0.0).sum(1)
    success, objective, limits = None, None, []
    if usable.any() and not usable.all():
        success, record = success_model(points, usable, values, state.success, domain, _FITTING)
        state = replace(state, success=record)
    good = np.flatnonzero(usable)
    rank = np.where(excess <= 0.0, values, np.inf)
    if len(good):
        kept = good[nearest_rows(points[good], rank[good], max_rows)]
        warp = Warp.fit(values[kept])
        objective, record = _model(points[kept], warp(values[kept]), domain, state.objectives[0], random)
        records = []
        for j, fitted in enumerate(state.constraints):
            process, limit = _model(points[kept], signed_log(violations[kept, j]), domain, fitted, random)
            limits.append((process, float(process.standard(np.zeros(1))[0])))
            records.append(limit)
        state = replace(state, objectives=[record], constraints=records)
        if record.noisy:
            rank = np.where(excess <= 0.0, objective.predict(points)[0], np.inf)
    # Feasible first, then the least violated; a failed evaluation is no centre unless all failed.
    order = np.lexsort((np.where(usable, rank, np.inf), np.where(usable, excess, np.inf)))
    centre = domain.fill(x[order[:1]], random)[0]
    return _Models(objective, tuple(limits), success, centre), state


def _model(
    points: Array, outcomes: Array, domain: Domain, fitted: Fitted, random: np.random.Generator
) -> tuple[GaussianProcess, Fitted]:
    data = merge_repeats(points, outcomes, None)
    processes, _, record = model_outcome(data, domain.layout, fitted, _FITTING, prior=PRIOR, random=random)
    return processes[0], record


def _candidates(models: _Models, region: Region, domain: Domain, n: int, random: np.random.Generator) -> Array:
    """Return full codes in the box, each different from its centre in about 20 columns."""
    d = domain.dim
    count = max(min(5000, max(2000, 200 * d)), 4 * n)
    weights = np.ones(d)
    if models.objective is not None:
        smooth = models.objective.layout.smooth
        lengths = models.objective.hyper.lengthscale[smooth]
        if len(smooth):
            weights[smooth] = lengths / np.exp(np.log(lengths).mean())
    centre = domain.to_unit(models.centre[None])[0]
    low = np.clip(centre - 0.5 * region.length * weights, 0.0, 1.0)
    high = np.clip(centre + 0.5 * region.length * weights, 0.0, 1.0)
    seed = int(random.integers(2**31))
    engine = torch.quasirandom.SobolEngine(d, scramble=True, seed=seed)  # type: ignore[no-untyped-call]
    u = engine.draw(count, dtype=torch.float64).numpy()
    picked = random.random((count, d)) < min(20.0 / d, 1.0)
    free = np.flatnonzero(domain.free)
    picked[np.arange(count), free[random.integers(len(free), size=count)]] = True
    moved = low + (high - low) * u
    if domain.categorical.any():  # levels have no distance: any of them, as often as the box is long
        jump = random.random((count, d)) < min(region.length, 1.0)
        moved = np.where(domain.categorical, np.where(jump, u, centre), moved)
    codes = domain.from_unit(np.where(picked, moved, centre))
    return domain.hold(np.where(picked, codes, models.centre))


def _drawn(models: _Models, domain: Domain, points: Array, n: int, random: np.random.Generator) -> Index:
    """Return the n rows that minimise a drawn function each, no row twice."""
    if models.objective is None:
        return random.permutation(len(points))[:n]
    levels = int(domain.upper[domain.categorical].max()) + 1 if domain.categorical.any() else 1

    def draw(process: GaussianProcess) -> Array:
        paths = Paths(process, n, random, features=_FEATURES, levels=levels)
        step = max(1, _CHUNK // max(len(process), _FEATURES))
        return np.concatenate([paths(points[i : i + step]) for i in range(0, len(points), step)])

    values = draw(models.objective)
    excess = np.zeros_like(values)
    for process, threshold in models.limits:
        excess += np.maximum(draw(process) - threshold, 0.0)
    if models.success is not None:
        mean, std = models.success.predict(points)
        doubt = ndtri(random.random((1, n)))  # how sure of success this draw wants to be
        latent = (mean + models.success.standard.shift)[:, None] + std[:, None] * doubt
        excess += np.maximum(-latent, 0.0)
    return _best_of_each(values, excess)


def _best_of_each(values: Array, excess: Array) -> Index:
    """Return one row for each column: the least value among those without excess, else the least excess."""
    chosen: list[int] = []
    left = np.ones(len(values), bool)
    for column in range(values.shape[1]):
        within = left & (excess[:, column] <= 0.0)
        score = (
            np.where(within, values[:, column], np.inf) if within.any() else np.where(left, excess[:, column], np.inf)
        )
        chosen.append(int(np.argmin(score)))
        left[chosen[-1]] = False
    return np.array(chosen, dtype=np.intp)
