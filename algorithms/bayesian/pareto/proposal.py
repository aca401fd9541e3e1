"""What the strategies for several objectives share: the models of an ask, fronts under belief, and the search."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from blackbox.algorithms.bayesian.acquisition import Acquisition
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.models import Fitting
from blackbox.algorithms.bayesian.pareto.outcome import Outcome
from blackbox.algorithms.bayesian.pareto.view import look
from blackbox.algorithms.bayesian.search import (
    ENUMERATE,
    Effort,
    Pool,
    Scored,
    draw_pool,
    enumerate_cells,
    first_new,
    maximise,
)
from blackbox.algorithms.bayesian.single import PRIOR, SPARSE
from blackbox.algorithms.bayesian.state import BayesianState
from blackbox.surrogates.kernels import Array

if TYPE_CHECKING:
    from blackbox.algorithms.bayesian.algorithm import BayesianOptimization

__all__ = ["LATER", "Fronts", "Ready", "Shared", "prepare"]


LATER = Effort(spread=48, local=64, starts=2, evaluations=6, rounds=3)  # for all but the first of a batch
_KEPT = 80  # samples of the first search of a batch that the others start from


@dataclass(frozen=True, slots=True)
class Fronts:
    """Models of the objectives and what is to be improved on.

    Parameters
    ----------
    outcomes : tuple of Outcome
        One an objective; none while nothing feasible is known.
    fronts : tuple of arrays, shape (f, m)
        Minimised standardised values: of one front, or of one a sample of the objectives.
    chance : Acquisition
        Of constraints and failures.
    """

    outcomes: tuple[Outcome, ...]
    fronts: tuple[Array, ...]
    chance: Acquisition

    def condition(self, x: Array) -> Fronts:
        """Return these once points of shape (q, d) are being evaluated: their predicted means believed."""
        if not len(x):
            return self
        usable = np.ones(len(x), bool)
        for limit in self.chance.limits:
            usable &= limit(x) > math.log(0.5)
        fronts = self.fronts
        if self.outcomes and usable.any():
            believed = self._means(x[usable])
            fronts = tuple(np.concatenate([front, new]) for front, new in zip(fronts, believed, strict=True))
        outcomes = tuple(outcome.condition(x) for outcome in self.outcomes)
        return Fronts(outcomes, fronts, self.chance.condition(x))

    def watch(self, pool: Array) -> Fronts:
        """Return these with their predictions at model points, shape (p, d), kept while they are conditioned."""
        return Fronts(tuple(outcome.watch(pool) for outcome in self.outcomes), self.fronts, self.chance.watch(pool))

    def relative_to(self, x: Array) -> Fronts:
        """Return these with the predicted means at points, shape (q, d), as what is to be improved on."""
        if not len(x) or not self.outcomes:
            return self
        return Fronts(self.outcomes, tuple(self._means(x)), self.chance)

    def _means(self, x: Array) -> list[Array]:
        """Return predicted means, one array of shape (q, m) a front."""
        columns = [outcome.means(x) for outcome in self.outcomes]
        return [np.stack([column[s] for column in columns], axis=1) for s in range(len(self.fronts))]


@dataclass(frozen=True, slots=True)
class Ready:
    """What one ask starts from.

    Attributes
    ----------
    fronts : Fronts
    reference : array, shape (m,)
        In standardised units.
    anchors : array, shape (a, d)
        Full codes to look around.
    taken : array, shape (t, d)
        Model points that are not to be proposed again.
    state : BayesianState
    """

    fronts: Fronts
    reference: Array
    anchors: Array
    taken: Array
    state: BayesianState


class Shared:
    """Hands out promising points of one batch; what the first search found are starting points for the others.

    Parameters
    ----------
    domain : Domain
    anchors : array, shape (a, d)
        Full codes to look around.
    random : numpy Generator
    """

    def __init__(self, domain: Domain, anchors: Array, random: np.random.Generator) -> None:
        self._domain, self._anchors, self._random = domain, anchors, random
        self._pool: Pool | None = None

    @property
    def points(self) -> Array | None:
        """Model points whose predictions will be wanted again, shape (p, d); None where there are none."""
        return None if self._pool is None else self._pool.points

    def next(self, score: Scored, taken: Array) -> Array:
        """Return the full codes, shape (d,), of the best point that is none of `taken`, where there is one."""
        domain, random, pool = self._domain, self._random, self._pool
        if domain.n_cells <= ENUMERATE:
            found = enumerate_cells(score, domain)
        elif pool is not None:
            found = maximise(score, domain, self._anchors, random, LATER, pool)
        else:
            pool = draw_pool(domain, self._anchors, random, Effort())
            values = score(pool.points)
            found = maximise(score, domain, self._anchors, random, Effort(), pool, values)
            self._pool = pool.best(values, _KEPT).longer(found.codes, domain)
        point = first_new(score, found, domain, taken, random)
        return np.asarray(found.codes[0]) if point is None else point


def prepare(
    state: BayesianState, domain: Domain, pending: Array, random: np.random.Generator, settings: BayesianOptimization
) -> Ready:
    """Return the models of the data, aware of what is pending and held."""
    noise = None if settings.noise == "auto" else float(settings.noise)
    view = look(state, domain, Fitting(), random, noise=noise, prior=SPARSE if settings.sparse else PRIOR)
    known, waiting = domain.model(state.x.numpy()), domain.model(pending)
    anchors = domain.fill(state.x.numpy()[view.best], random)
    fronts = Fronts(view.outcomes, view.fronts, view.chance)
    if not domain.free.all():
        held = domain.fill(state.x.numpy()[state.usable], random)
        fronts = fronts.relative_to(domain.model(held))
    taken = np.concatenate([known, waiting]) if view.exact else waiting
    return Ready(fronts.condition(waiting), view.reference, anchors, taken, view.state)
