"""Several objectives: points that promise hypervolume, one after the other, each aware of those before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from blackbox.algorithm import Spec
from blackbox.algorithms.bayesian.acquisition import Acquisition
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.pareto.acquisition import HypervolumeImprovement
from blackbox.algorithms.bayesian.pareto.cells import Cells
from blackbox.algorithms.bayesian.pareto.proposal import Fronts, Shared, prepare
from blackbox.algorithms.bayesian.state import BayesianState
from blackbox.surrogates.kernels import Array

if TYPE_CHECKING:
    from blackbox.algorithms.bayesian.algorithm import BayesianOptimization

__all__ = ["Hypervolume", "improvement"]


@dataclass(frozen=True, slots=True)
class Hypervolume:
    """The strategy for two to four objectives: log expected hypervolume improvement, exactly.

    References
    ----------
    S. Daulton, M. Balandat, E. Bakshy, Parallel Bayesian optimization of multiple noisy objectives with expected
    hypervolume improvement, 2021. Deviations: closed form in place of samples of the candidate; the means of pending
    points are believed.
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
        ready = prepare(state, domain, pending, random, settings)
        fronts, taken = ready.fronts, ready.taken
        chosen: list[Array] = []
        search = Shared(domain, ready.anchors, random)
        for _ in range(n):
            point = search.next(improvement(fronts, ready.reference), taken)
            chosen.append(domain.canonical(point[None]))
            if len(chosen) == n:
                break
            if len(chosen) == 1 and search.points is not None:
                fronts = fronts.watch(search.points)
            added = domain.model(chosen[-1])
            taken, fronts = np.concatenate([taken, added]), fronts.condition(added)
        return np.concatenate(chosen), ready.state


def improvement(fronts: Fronts, reference: Array) -> HypervolumeImprovement | Acquisition:
    """Return what is maximised: the chance to be usable alone while nothing feasible is known."""
    if not fronts.outcomes:
        return fronts.chance
    cells = tuple(Cells.of(front, reference) for front in fronts.fronts)
    return HypervolumeImprovement(fronts.outcomes, cells, fronts.chance)
