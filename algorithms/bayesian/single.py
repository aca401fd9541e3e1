"""One objective: points that promise an improvement, one after the other, each aware of those before."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from blackbox.algorithm import Spec
from blackbox.algorithms.bayesian.acquisition import Acquisition
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.joint import improve_jointly
from blackbox.algorithms.bayesian.models import Fitting
from blackbox.algorithms.bayesian.options import JointEntropy, KnowledgeGradient, UserAcquisition, option_of
from blackbox.algorithms.bayesian.proposal import ENUMERATE, LATER, LITTLE, RADIUS, Pace, Proposer, best_new
from blackbox.algorithms.bayesian.quadratic import FIRST, REASON, quadratic_point
from blackbox.algorithms.bayesian.repeats import with_repeats
from blackbox.algorithms.bayesian.scores import Score, make_score
from blackbox.algorithms.bayesian.search import Effort, first_new, maximise_near
from blackbox.algorithms.bayesian.state import BayesianState
from blackbox.algorithms.bayesian.unit_cost import cost_model
from blackbox.algorithms.bayesian.view import look
from blackbox.surrogates.kernels import Array
from blackbox.surrogates.likelihood import Prior

if TYPE_CHECKING:
    from blackbox.algorithms.bayesian.algorithm import BayesianOptimization

__all__ = ["PRIOR", "SPARSE", "SingleObjective", "candidates", "counted", "has_levels", "prior_of", "prior_with_roles"]

_KNOWN = 400  # evaluated points, most promising first, that other acquisitions look at
# Rougher than the plain prior, so less sure where nothing was evaluated, and alike in all columns until data speak.
PRIOR = Prior(shift=-1.4, together=0.15)
_ROUGHEST, _FROM, _TO = -1.8, 2, 10  # with one objective: as above for two variables, this for ten and more
# Responses to parameters with levels (of tuning, say) are smooth or monotone as a rule, and some matter little; what is
# told of them is often the outcome of a training, with noise of any size. By the share of such columns:
_SMOOTHEST, _APART, _NOISE = 0.0, 0.6, (-4.0, 2.0)
SPARSE = Prior(sparse=0.1)  # few columns matter


def prior_of(settings: BayesianOptimization, domain: Domain) -> Prior:
    """Return what is expected of hyper-parameters: rougher functions the more of ten variables there are.

    The larger the share of columns with levels, the smoother the functions, and the less alike the columns.
    """
    if settings.sparse:
        return SPARSE
    share = math.log(min(max(domain.dim, _FROM), _TO) / _FROM) / math.log(_TO / _FROM)
    prior = replace(PRIOR, shift=_ROUGHEST + (1.0 - share) * (PRIOR.shift - _ROUGHEST))
    levels = float(domain.discrete.mean())
    if not levels or prior.together is None:
        return prior
    shift = prior.shift + levels * (_SMOOTHEST - prior.shift)
    return replace(prior, shift=shift, together=prior.together * (_APART / prior.together) ** levels, noise=_NOISE)


def has_levels(domain: Domain) -> bool:
    """Return whether warps are weighed and ripples not looked for: on a grid, ripples and noise look alike."""
    return bool(domain.discrete.any())


def prior_with_roles(settings: BayesianOptimization) -> Prior:
    """Return what is expected of hyper-parameters where more is modelled than one objective over designs."""
    return SPARSE if settings.sparse else PRIOR


@dataclass(frozen=True, slots=True)
class SingleObjective:
    """The strategy for one objective, with constraints and failed evaluations."""

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
        noise = None if settings.noise == "auto" else float(settings.noise)
        prior, weighed = prior_of(settings, domain), has_levels(domain)
        fitting = Fitting(ripples=not weighed)
        view = look(state, domain, fitting, random, noise=noise, warp=settings.warp, prior=prior, weighed=weighed)
        waiting = domain.model(pending)
        base = view.acquisition
        if settings.cost_aware:
            cost, costed = cost_model(view.state, domain, Fitting(), prior, random)
            view, base = replace(view, state=costed), replace(base, cost=cost)
        best = state.x.numpy()[view.order]
        if not domain.free.all():
            base = base.relative_to(domain.model(domain.fill(best, random)))
        anchors = domain.fill(best[:5], random)
        taken = np.concatenate([domain.model(state.x.numpy()), waiting]) if view.deterministic else waiting
        quick = None
        if option_of(settings.acquisition) is None and not len(waiting) and not settings.cost_aware:
            quick = quadratic_point(state, domain, view, n)
        if quick is None:
            return candidates(base, view.state, domain, best, anchors, taken, waiting, n, random, settings)
        if n == 1:
            return quick, replace(view.state, reason=REASON)
        state, added = replace(view.state, reason=FIRST), domain.model(quick)
        taken = np.concatenate([taken, added])
        points, state = candidates(
            base, state, domain, best, anchors, taken, added, n - 1, random, settings, later=True
        )
        return np.concatenate([quick, points]), state


def candidates(
    base: Acquisition,
    state: BayesianState,
    domain: Domain,
    best: Array,
    anchors: Array,
    taken: Array,
    waiting: Array,
    n: int,
    random: np.random.Generator,
    settings: BayesianOptimization,
    *,
    later: bool = False,
) -> tuple[Array, BayesianState]:
    """Return n points by the acquisition of the settings, and the next state.

    Parameters
    ----------
    base : Acquisition
        Of exact Gaussian processes, before anything is believed about pending points.
    best : array, shape (k, d)
        Usable points of the space, most promising first.
    anchors : array, shape (a, d)
        Full codes of the first of them.
    taken, waiting : array, shape (t, d) and (p, d)
        Model points that are not to be proposed again, and those being evaluated.
    later : bool, default False
        Whether these points follow others of their batch, which were searched for thoroughly enough.
    """
    option = option_of(settings.acquisition)
    believed = base.condition(waiting)
    if option is None or not base.modes:
        points, pace = _improving(believed, domain, anchors, taken, n, random, state, later)
        state = replace(state, promise=pace.promise, turn=pace.turn)
    else:
        known = domain.model(domain.fill(best[:_KNOWN], random))
        score = make_score(
            option, base, domain, known=known, anchors=anchors, waiting=waiting, n=len(state), random=random
        )
        start = Pace(state.promise, state.turn) if isinstance(option, KnowledgeGradient | JointEntropy) else None
        points, lost, end = _scored(score, believed, domain, anchors, taken, n, random, start)
        if end is not None:
            state = replace(state, promise=end.promise, turn=end.turn)
        state = counted(state, lost, settings)
    if settings.batch == "joint" and len(points) > 1:
        points = domain.canonical(improve_jointly(believed, domain, points, random))
    if settings.replicate and believed.modes:
        points = with_repeats(points, believed, domain, best)
    return points, state


def counted(state: BayesianState, lost: int, settings: BayesianOptimization) -> BayesianState:
    """Return the state with how often an acquisition was finite nowhere, of which there is a warning."""
    if not lost:
        return state
    option = settings.acquisition
    name = option.name if isinstance(option, UserAcquisition) else option
    reason = f"the acquisition {name} was finite nowhere: log expected improvement instead"
    warnings.warn(reason, RuntimeWarning, stacklevel=2)
    return replace(state, fallbacks=state.fallbacks + lost, reason=reason)


def _improving(
    acquisition: Acquisition,
    domain: Domain,
    anchors: Array,
    taken: Array,
    n: int,
    random: np.random.Generator,
    state: BayesianState,
    later: bool,
) -> tuple[Array, Pace]:
    """Return n points by log expected improvement, global, local and bold steps in turn."""
    chosen: list[Array] = []
    proposer = Proposer(acquisition, domain, anchors, taken, Pace(state.promise, state.turn), random)
    if later:
        proposer.hasten()
    while True:
        chosen.append(domain.canonical(proposer.next()[None]))
        if len(chosen) == n:
            return np.concatenate(chosen), proposer.pace
        proposer.add(domain.model(chosen[-1]))


def _scored(
    score: Score,
    spare: Acquisition,
    domain: Domain,
    anchors: Array,
    taken: Array,
    n: int,
    random: np.random.Generator,
    pace: Pace | None = None,
) -> tuple[Array, int, Pace | None]:
    """Return n points by another acquisition, how often `spare` had to stand in for it, and the next pace.

    With a pace, every second point is one of `spare` near the best, as long as the others promise little improvement:
    knowledge of where the optimum is would never be used otherwise.
    """
    chosen: list[Array] = []
    lost = 0
    for _ in range(n):
        effort = LATER if chosen else Effort()
        point = None if pace is None else _near(spare, domain, anchors, taken, random, effort, pace)
        if pace is not None and point is not None:
            pace = Pace(pace.promise, pace.turn + 1)
        if point is None:
            point, value = best_new(score, domain, anchors, taken, random, effort)
            if not np.isfinite(value):
                lost += 1
                point, _ = best_new(spare, domain, anchors, taken, random, effort)
            if pace is not None:
                promise = float(spare.log_gain(domain.model(point[None]))[0])
                pace = Pace(promise, pace.turn + 1 if promise < LITTLE else 0)
        chosen.append(domain.canonical(point[None]))
        if len(chosen) < n:
            added = domain.model(chosen[-1])
            taken = np.concatenate([taken, added])
            score, spare = score.condition(added), spare.condition(added)
    return np.concatenate(chosen), lost, pace


def _near(
    spare: Acquisition,
    domain: Domain,
    anchors: Array,
    taken: Array,
    random: np.random.Generator,
    effort: Effort,
    pace: Pace,
) -> Array | None:
    """Return the full codes of a promising point near the best one, where it is the turn of one."""
    if pace.promise >= LITTLE or pace.turn % 2 == 0 or not len(anchors) or domain.n_cells <= ENUMERATE:
        return None
    found = maximise_near(spare, domain, anchors[0], RADIUS, random, effort)
    return None if found is None else first_new(spare, found, domain, taken, random)
