"""One objective: points that promise an improvement, one after the other, each aware of those before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from blackbox.algorithm import Spec
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.models import Fitting
from blackbox.algorithms.bayesian.proposal import Pace, propose
from blackbox.algorithms.bayesian.search import Effort
from blackbox.algorithms.bayesian.state import BayesianState
from blackbox.algorithms.bayesian.view import look
from blackbox.surrogates.kernels import Array
from blackbox.surrogates.likelihood import Prior

if TYPE_CHECKING:
    from blackbox.algorithms.bayesian.algorithm import BayesianOptimization

__all__ = ["PRIOR", "SingleObjective"]

_LATER = Effort(spread=96, local=96, starts=3, evaluations=15, rounds=4)  # for all but the first of a batch
# Rougher than the plain prior, so less sure where nothing was evaluated, and alike in all columns until data speak.
PRIOR = Prior(shift=-1.4, together=0.15)


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
        view = look(state, domain, Fitting(), random, noise=noise, warp=settings.warp, prior=PRIOR)
        waiting = domain.model(pending)
        acquisition = view.acquisition.condition(waiting)
        if not domain.free.all():
            held = domain.model(domain.fill(state.x.numpy()[view.order], random))
            acquisition = acquisition.relative_to(held)
        taken = np.concatenate([domain.model(state.x.numpy()), waiting]) if view.deterministic else waiting
        anchors = domain.fill(state.x.numpy()[view.order[:5]], random)
        chosen: list[Array] = []
        pace = Pace(state.promise, state.turn)
        for _ in range(n):
            effort = _LATER if chosen else Effort()
            point, pace = propose(acquisition, domain, anchors, taken, pace, random, effort)
            chosen.append(domain.canonical(point[None]))
            if len(chosen) < n:
                added = domain.model(chosen[-1])
                taken = np.concatenate([taken, added])
                acquisition = acquisition.condition(added)
        return np.concatenate(chosen), replace(view.state, promise=pace.promise, turn=pace.turn)
