"""Several fidelities or sources of information: where to look by the target, how to look by what a unit of cost tells.

A candidate's design maximises the acquisition at the target fidelity. Its fidelity is the one whose evaluation takes
away the largest share of the target's variance there, per unit of cost,

    rho(x, s)^2 / cost(x, s),    rho^2 = cov(f(x, s), f(x, target))^2 / (var f(x, target) (var f(x, s) + noise)).

What counts as improved upon is the best prediction at the target. From time to time it is confirmed there: only values
that were told at the target can become the result. So is the minimum of a quadratic model of designs and fidelities.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from blackbox.algorithm import Front, Spec
from blackbox.algorithms.bayesian.acquisition import Acquisition
from blackbox.algorithms.bayesian.costs import LogCost, log_cost
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.fidelity_choice import Chooser, on_target, targets
from blackbox.algorithms.bayesian.models import Fitting
from blackbox.algorithms.bayesian.options import option_of
from blackbox.algorithms.bayesian.proposal import Pace
from blackbox.algorithms.bayesian.quadratic import APART, is_apt, quadratic_minimum
from blackbox.algorithms.bayesian.search import Effort
from blackbox.algorithms.bayesian.single import SingleObjective, counted, prior_with_roles
from blackbox.algorithms.bayesian.state import BayesianState
from blackbox.algorithms.bayesian.unit_cost import cost_model
from blackbox.algorithms.bayesian.view import View, look
from blackbox.surrogates.kernels import Array

if TYPE_CHECKING:
    from blackbox.algorithms.bayesian.algorithm import BayesianOptimization

__all__ = ["MultiFidelity", "predicted_best"]

_PATIENCE = 2.0  # evaluations at the target whose cost is spent elsewhere before a prediction is confirmed
_MOST_BETWEEN = 40  # evaluations elsewhere in a row: what they mean at the target has to be seen
_BETTER = 1e-3  # standard deviations by which a prediction has to be better than what was told
_KNOWN, _ANCHORS = 200, 5  # evaluated designs that are looked at, and around which others are tried
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
        unit_cost = None
        if settings.cost_aware and settings.cost is None:
            unit_cost, costed = cost_model(view.state, domain, Fitting(), prior_with_roles(settings), random)
            view = replace(view, state=costed)
        at_target = domain.holding(targets(domain))
        acquisition = aimed(view, state, domain, at_target, pending, random)
        taken = np.concatenate([domain.model(state.x.numpy()), domain.model(pending)])
        taken = taken if view.deterministic else taken[:0]
        codes = best_designs(acquisition, state, view, at_target, random)
        chooser = Chooser(
            domain,
            at_target,
            option_of(settings.acquisition),
            log_cost(state, domain, settings.cost),
            unit_cost,
            codes[:_ANCHORS],
            at_target.model(codes),
            len(state),
            random,
        ).aimed(acquisition)
        chosen: list[Array] = []
        pace, lost = Pace(state.promise, state.turn), 0
        for _ in range(n):
            effort = _LATER if chosen else Effort()
            waiting = np.concatenate([pending, *chosen])
            point = to_confirm(acquisition, state, domain, at_target, waiting, chooser.cost)
            if point is None and chooser.option is None and not len(waiting) and not settings.cost_aware:
                point = _quadratic_point(acquisition, view, state, domain, at_target, random)
            if point is None:
                point, pace, finite = chooser.next(acquisition, taken, pace, effort)
                lost += not finite
            chosen.append(domain.canonical(point[None]))
            if len(chosen) < n:
                added = domain.model(chosen[-1])
                taken = np.concatenate([taken, added])
                acquisition = believing(acquisition, chosen[-1], domain, at_target, random)
        result = replace(view.state, promise=pace.promise, turn=pace.turn)
        return np.concatenate(chosen), counted(result, lost, settings)


def _quadratic_point(
    acquisition: Acquisition,
    view: View,
    state: BayesianState,
    domain: Domain,
    at_target: Domain,
    random: np.random.Generator,
) -> Array | None:
    """Return the full codes, at the target, of the minimum of a quadratic model of designs and fidelities.

    Only where processes promise little at a time and hold it possible that it improves: evaluations at all fidelities
    near the best prediction determine it, so that a few cheap ones may spare one at the target.
    """
    if not (acquisition.modes and is_apt(state, domain, view)):
        return None
    x, mode, aim = state.x.numpy()[view.order], acquisition.modes[0], targets(domain)
    mean = acquisition.predicted(at_target.model(at_target.hold(x)))
    rank = view.warp.inverse(mean * mode.standard.spread + mode.standard.shift)
    known = domain.to_unit(x)
    held = np.where(np.isnan(aim), np.nan, domain.to_unit(at_target.hold(x[:1]))[0])
    found = quadratic_minimum(known, state.values.numpy()[view.order, 0], rank, held)
    if found is None or np.abs(found - known).max(1).min() < APART:
        return None
    codes = at_target.hold(domain.from_unit(found[None]))
    mean, std = mode.predict(at_target.model(codes))
    return np.asarray(codes[0]) if mean[0] - std[0] <= acquisition.best else None


def _look(state: BayesianState, domain: Domain, random: np.random.Generator, settings: BayesianOptimization) -> View:
    noise = None if settings.noise == "auto" else float(settings.noise)
    return look(state, domain, Fitting(), random, noise=noise, warp=settings.warp, prior=prior_with_roles(settings))


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
    """Return full codes of evaluated designs, at the target, those with the best predictions there first."""
    codes = at_target.fill(state.x.numpy()[view.order[:_KNOWN]], random)
    if not acquisition.modes or not len(codes):
        return codes
    mean = acquisition.modes[0].predict(at_target.model(codes))[0]
    return np.asarray(codes[np.argsort(mean, kind="stable")])


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
