"""Several fidelities or sources of information: where to look by the target, how to look by what a unit of cost tells.

A candidate's design maximises the acquisition at the target fidelity. Its fidelity is the one whose evaluation takes
away the largest share of the target's variance there, per unit of cost,

    rho(x, s)^2 / cost(x, s),    rho^2 = cov(f(x, s), f(x, target))^2 / (var f(x, target) (var f(x, s) + noise)).

What counts as improved upon is the best prediction at the target. From time to time it is confirmed there: only values
that were told at the target can become the result.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from blackbox.algorithm import Front, Spec
from blackbox.algorithms.bayesian.acquisition import Acquisition
from blackbox.algorithms.bayesian.costs import LogCost, log_cost
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.lookahead import Lookahead
from blackbox.algorithms.bayesian.models import Fitting
from blackbox.algorithms.bayesian.proposal import Pace
from blackbox.algorithms.bayesian.search import Effort
from blackbox.algorithms.bayesian.single import PRIOR, SingleObjective
from blackbox.algorithms.bayesian.state import BayesianState
from blackbox.algorithms.bayesian.steps import step
from blackbox.algorithms.bayesian.view import View, look
from blackbox.roles import nominal
from blackbox.surrogates.gaussian_process import GaussianProcess
from blackbox.surrogates.kernels import Array, Index, Mask

if TYPE_CHECKING:
    from blackbox.algorithms.bayesian.algorithm import BayesianOptimization

__all__ = ["MultiFidelity", "predicted_best"]

_GRID = 9  # values of a numeric fidelity that are compared
_PATIENCE = 2.0  # evaluations at the target whose cost is spent elsewhere before a prediction is confirmed
_MOST_BETWEEN = 12  # evaluations elsewhere in a row: what they mean at the target has to be seen
_BETTER = 1e-3  # standard deviations by which a prediction has to be better than what was told
_BONUS = math.log(2.0)  # of the target, the only fidelity that can become the result
_FEW = 3  # of which so many are searched with
_LATER = Effort(spread=96, local=96, starts=3, evaluations=15, rounds=4)


@dataclass(frozen=True, slots=True)
class MultiFidelity:
    """The strategy for spaces with fidelities, one objective.

    References
    ----------
    D. Huang, T. Allen, W. Notz and R. Miller, Sequential kriging optimization using multiple-fidelity evaluations,
    2006. Deviations: the squared correlation, of the posterior at the design; logarithms; the fidelity is chosen
    after the design.
    """

    def propose(
        self,
        spec: Spec,
        state: BayesianState,
        domain: Domain,
        pending: Array,
        n: int,
        random: np.random.Generator,
        settings: BayesianOptimization,
    ) -> tuple[Array, BayesianState]:
        """Return n points and the next state (see `Strategy`)."""
        if not any(domain.free[column] for column in domain.fidelities):  # all held: improvement there
            return SingleObjective().propose(spec, state, domain, pending, n, random, settings)
        view = _look(state, domain, random, settings)
        at_target = domain.holding(targets(domain))
        acquisition = aimed(view, state, domain, at_target, pending, random)
        cost = log_cost(state, domain, settings.cost)
        taken = np.concatenate([domain.model(state.x.numpy()), domain.model(pending)])
        taken = taken if view.deterministic else taken[:0]
        anchors = best_designs(acquisition, state, view, at_target, random)
        chosen: list[Array] = []
        pace = Pace(state.promise, state.turn)
        for _ in range(n):
            effort = _LATER if chosen else Effort()
            waiting = np.concatenate([pending, *chosen])
            confirmed = to_confirm(acquisition, state, domain, at_target, waiting, cost)
            if confirmed is None:
                point, pace = propose_at(acquisition, domain, at_target, anchors, taken, pace, random, effort, cost)
            else:
                point = confirmed
            chosen.append(domain.canonical(point[None]))
            if len(chosen) < n:
                added = domain.model(chosen[-1])
                taken = np.concatenate([taken, added])
                acquisition = believing(acquisition, chosen[-1], domain, at_target, random)
        return np.concatenate(chosen), replace(view.state, promise=pace.promise, turn=pace.turn)


def targets(domain: Domain) -> Array:
    """Return the targets of free fidelities as codes, NaN in other columns, shape (d,)."""
    fixed = np.full(domain.dim, np.nan)
    for column in domain.fidelities:
        if domain.free[column]:
            fixed[column] = nominal(domain.space, column)
    return fixed


def _look(state: BayesianState, domain: Domain, random: np.random.Generator, settings: BayesianOptimization) -> View:
    noise = None if settings.noise == "auto" else float(settings.noise)
    return look(state, domain, Fitting(), random, noise=noise, warp=settings.warp, prior=PRIOR)


def on_target(x: Array, domain: Domain) -> Mask:
    """Return which points have every fidelity at its target, shape (n,), bool."""
    good: Mask = np.ones(len(x), bool)
    for column in domain.fidelities:
        good &= (x[:, column] == nominal(domain.space, column)) | np.isnan(x[:, column])
    return good


def aimed(
    view: View,
    state: BayesianState,
    domain: Domain,
    at_target: Domain,
    pending: Array,
    random: np.random.Generator,
) -> Acquisition:
    """Return the acquisition at the target: relative to the best prediction there, pending points believed."""
    x = state.x.numpy()
    feasible = state.usable & (state.violations.numpy() <= 0.0).all(axis=1)
    known = at_target.model(at_target.fill(x[feasible], random))
    return believing(view.acquisition.relative_to(known), pending, domain, at_target, random)


def believing(
    acquisition: Acquisition, points: Array, domain: Domain, at_target: Domain, random: np.random.Generator
) -> Acquisition:
    """Return the acquisition once points are being evaluated; their predictions at the target are improved upon."""
    if not len(points):
        return acquisition
    there = at_target.model(at_target.fill(points, random))
    best = acquisition.best
    if acquisition.modes:
        best = min(best, acquisition.relative_to(there).best)
    return replace(acquisition.condition(domain.model(points)), best=best)


def to_confirm(
    acquisition: Acquisition, state: BayesianState, domain: Domain, at_target: Domain, waiting: Array, cost: LogCost
) -> Array | None:
    """Return the full codes, at the target, of the design with the best prediction, where it is time to confirm it.

    That is once as much was spent away from the target, since the last evaluation there, as `_PATIENCE` evaluations
    there cost, or after `_MOST_BETWEEN` evaluations, where the prediction is better than all that was told there.
    """
    x = np.concatenate([state.x.numpy(), waiting])
    there = on_target(x, domain)
    last = int(np.flatnonzero(there)[-1]) + 1 if there.any() else 0
    codes = at_target.hold(np.where(np.isnan(x), domain.lower, x))
    spent = float(np.exp(cost(domain.hold(np.where(np.isnan(x[last:]), domain.lower, x[last:])))).sum())
    soon = len(x) - last < _MOST_BETWEEN and spent < _PATIENCE * float(np.exp(cost(codes[-1:]))[0])
    if not acquisition.modes or soon:
        return None
    usable = np.concatenate(
        [state.usable & (state.violations.numpy() <= 0.0).all(axis=1), np.zeros(len(waiting), bool)]
    )
    mean = acquisition.predicted(at_target.model(at_target.canonical(codes)))
    mean = np.where(usable, mean, np.inf)
    best = int(np.argmin(mean))
    told = mean[there].min() if there.any() else np.inf
    return None if there[best] or not mean[best] < told - _BETTER else np.asarray(codes[best])


def best_designs(
    acquisition: Acquisition, state: BayesianState, view: View, at_target: Domain, random: np.random.Generator
) -> Array:
    """Return full codes of the evaluated designs with the best predictions at the target, at most 5."""
    codes = at_target.fill(state.x.numpy()[view.order[:200]], random)
    if not acquisition.modes or not len(codes):
        return codes[:5]
    mean = np.stack([mode.predict(at_target.model(codes))[0] for mode in acquisition.modes[:1]])[0]
    return np.asarray(codes[np.argsort(mean, kind="stable")[:5]])


def gains(acquisition: Acquisition, codes: Array, domain: Domain, at_target: Domain, cost: LogCost) -> Array:
    """Return log expected gains per unit of cost of full codes with one design, shape (q,), standardised."""
    aim = at_target.model(at_target.hold(codes[:1]))
    columns = np.array(domain.fidelities)
    points = domain.model(codes)[:, columns]
    values = np.array([looking_ahead(acquisition, columns, row).log_gain(aim)[0] for row in points])
    return values - cost(codes)


def looking_ahead(acquisition: Acquisition, columns: Index, values: Array) -> Acquisition:
    """Return the acquisition of evaluations with these model values of the fidelities."""
    modes = tuple(cast("GaussianProcess", Lookahead(mode, columns, values)) for mode in acquisition.modes)
    return replace(acquisition, modes=modes)


def propose_at(
    acquisition: Acquisition,
    domain: Domain,
    at_target: Domain,
    anchors: Array,
    taken: Array,
    pace: Pace,
    random: np.random.Generator,
    effort: Effort,
    cost: LogCost,
) -> tuple[Array, Pace]:
    """Return the full codes of the design and fidelity with the largest gain per unit of cost, and the next pace."""
    columns = np.array(domain.fidelities)
    seed = at_target.spread(1, random)[0]
    options = np.unique(_variants(seed, domain, random, _FEW), axis=0)
    best: tuple[float, Array, Pace] | None = None
    for row in options:
        values = domain.model(row[None])[0, columns]
        ahead = looking_ahead(acquisition, columns, values)
        design, then = step(ahead, at_target, anchors, taken, pace, random, effort)
        codes = design.copy()
        codes[columns] = row[columns]
        gain = float(ahead(at_target.model(design[None]))[0] - cost(codes[None])[0])
        gain += _BONUS * bool(on_target(codes[None], domain)[0])
        if best is None or gain > best[0]:
            best = gain, codes, then
    assert best is not None
    near = _variants(best[1], domain, random, _GRID)
    score = gains(acquisition, near, domain, at_target, cost) + _BONUS * on_target(near, domain)
    return np.asarray(near[int(np.argmax(score))]), best[2]


def _variants(design: Array, domain: Domain, random: np.random.Generator, grid: int) -> Array:
    """Return one design with combinations of free fidelities, the target last."""
    aim = targets(domain)
    columns = np.flatnonzero(~np.isnan(aim))
    active = domain.active(design[None])[0]
    axes = [_values(int(c), aim[c], domain, grid) if active[c] else np.array([design[c]]) for c in columns]
    cells = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(columns))
    if len(cells) > 2 * grid:
        cells = cells[np.sort(random.choice(len(cells), 2 * grid, replace=False))]
    codes = np.repeat(design[None], len(cells) + 1, axis=0)
    codes[:-1, columns] = cells
    codes[-1, columns] = np.where(active[columns], aim[columns], design[columns])
    return codes


def _values(column: int, target: float, domain: Domain, grid: int) -> Array:
    low, high = domain.lower[column], domain.upper[column]
    if domain.discrete[column] and (high - low < grid or domain.categorical[column]):
        return np.arange(low, high + 1.0)
    u = np.full((grid, domain.dim), 0.5)
    u[:, column] = np.linspace(0.0, 1.0, grid)
    free = np.asarray(domain.loose.from_unit(torch.from_numpy(u)).numpy())[:, column]
    return np.unique(np.append(free, target))


def predicted_best(spec: Spec, state: BayesianState, settings: BayesianOptimization) -> Front | None:
    """Return the evaluated design with the best prediction at the target; None where something was evaluated there."""
    domain = Domain(spec.space, None)
    x = state.x.numpy()
    feasible = state.usable & (state.violations.numpy() <= 0.0).all(axis=1)
    if not feasible.any() or (feasible & on_target(x, domain)).any():
        return None
    random = np.random.default_rng(state.design_seed)
    view = _look(state, domain, random, settings)
    at_target = domain.holding(targets(domain))
    codes = at_target.fill(x[feasible], random)
    mode = view.acquisition.modes[0]
    mean, _ = mode.predict(at_target.model(codes))
    best = int(np.argmin(mean))
    value = view.warp.inverse(mean[best : best + 1] * mode.standard.spread + mode.standard.shift)
    violations = state.violations[torch.from_numpy(np.flatnonzero(feasible))][best : best + 1]
    return Front(
        torch.from_numpy(at_target.canonical(codes[best][None])).to(spec.device, spec.dtype),
        torch.from_numpy(value[:, None]).to(spec.device, spec.dtype),
        violations.to(spec.device, spec.dtype),
        predicted=True,
    )
