"""One candidate: a global step where much is promised, local and bold ones in turn where little is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from blackbox.algorithms.bayesian.acquisition import Acquisition
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.search import (
    ENUMERATE,
    Effort,
    Found,
    Pool,
    Scored,
    draw_pool,
    enumerate_cells,
    first_new,
    maximise,
    maximise_near,
)
from blackbox.surrogates.kernels import Array

__all__ = [
    "ENUMERATE",
    "LATER",
    "LITTLE",
    "MARGIN",
    "NOTHING",
    "RADIUS",
    "SHORTER",
    "Pace",
    "Proposer",
    "best_new",
    "propose",
]

LITTLE = -4.0  # log expected improvement, in standard deviations, below which every second step is local
NOTHING = math.log(1e-4)  # below it, the other steps are bold
RADIUS = 0.1  # of local steps, in the unit cube
LATER = Effort(spread=96, local=32, starts=2, evaluations=7, rounds=4)  # for all but the first of a batch
_BRIEF = Effort(spread=96, local=24, starts=2, evaluations=4, rounds=3)  # the same where there are many data
_ROUGH = Effort(spread=96, local=32, starts=1, evaluations=2, rounds=1)  # and of its local and bold steps
_MANY = 100
_KEPT = 128  # samples of the first search of a batch that the others start from
_LATER_MODES = 2  # sets of hyper-parameters that the others are averaged over
SHORTER, MARGIN = 0.5, 0.05  # what bold steps do to lengthscales, and to the value to improve


@dataclass(frozen=True, slots=True)
class Pace:
    """Where the search stands between global and local steps.

    Attributes
    ----------
    promise : float
        The log expected improvement of the last global candidate, in standard deviations of the outcomes.
    turn : int
        Candidates since the last one of large promise.
    """

    promise: float = 0.0
    turn: int = 0


class Proposer:
    """Hands out promising points one after the other, each aware of those before.

    The first search is thorough. What it found and the best of its samples are kept, with their predictions, as
    starting points for the others.

    Parameters
    ----------
    acquisition : Acquisition
        With what is pending believed.
    domain : Domain
    anchors : array, shape (a, d)
        Full codes of the best points, best first.
    taken : array, shape (t, d)
        Model points that are not to be proposed again.
    pace : Pace
    random : numpy Generator
    """

    def __init__(
        self,
        acquisition: Acquisition,
        domain: Domain,
        anchors: Array,
        taken: Array,
        pace: Pace,
        random: np.random.Generator,
    ) -> None:
        self.pace = pace
        self._acquisition = acquisition
        self._domain, self._anchors, self._taken, self._random = domain, anchors, taken, random
        self._finite = domain.n_cells <= ENUMERATE
        self._effort = self._aside = Effort()
        self._started = False  # whether the first of a batch was handed out
        self._pool: Pool | None = None
        self._bolder: Acquisition | None = None
        self._unseen = taken[:0]  # what `_bolder` does not know of yet

    def next(self) -> Array:
        """Return the full codes, shape (d,), of a promising point that is new, where there is one."""
        pace = self.pace
        if not self._finite and pace.promise < LITTLE and pace.turn % 2 == 1 and len(self._anchors):
            found = maximise_near(self._acquisition, self._domain, self._anchors[0], RADIUS, self._random, self._aside)
            if found is not None:
                self.pace = Pace(pace.promise, pace.turn + 1)
                return self._first(self._acquisition, found)
        bold = not self._finite and pace.promise < NOTHING and pace.turn >= 2
        score = self._bold() if bold else self._acquisition
        point = self._first(score, self._found(score, self._aside if bold else self._effort))
        if not self._finite:
            promise = pace.promise
            if not bold:
                promise = float(self._acquisition.log_gain(self._domain.model(point[None]))[0])
            self.pace = Pace(promise, pace.turn + 1 if promise < LITTLE else 0)
        return point

    def _found(self, score: Acquisition, effort: Effort) -> Found:
        pool = self._pool
        if self._finite:
            return enumerate_cells(score, self._domain, pool)
        if pool is not None:
            return maximise(score, self._domain, self._anchors, self._random, effort, pool)
        pool = draw_pool(self._domain, self._anchors, self._random, effort)
        values = score(pool.points)
        found = maximise(score, self._domain, self._anchors, self._random, effort, pool, values)
        self._pool = pool.best(values, _KEPT).longer(found.codes, self._domain)
        return found

    def _first(self, score: Acquisition, found: Found) -> Array:
        return _first(score, found, self._domain, self._taken, self._random)

    def _bold(self) -> Acquisition:
        if self._bolder is None:
            self._bolder = self._acquisition.bolder(SHORTER, MARGIN)
            if self._pool is not None:
                self._bolder = self._bolder.watch(self._pool.points)
        elif len(self._unseen):
            self._bolder = self._bolder.condition(self._unseen)
        self._unseen = self._unseen[:0]
        return self._bolder

    def add(self, x: Array) -> None:
        """Take into account that model points, shape (q, d), will be evaluated."""
        self._taken = np.concatenate([self._taken, x])
        self._acquisition = self._acquisition.condition(x)
        self._unseen = np.concatenate([self._unseen, x])
        if not self._started:
            self.hasten()

    def hasten(self) -> None:
        """Search less thoroughly from now on, from kept samples with known predictions."""
        self._started = True
        many = len(self._taken) > _MANY
        self._effort, self._aside = (_BRIEF, _ROUGH) if many else (LATER, LATER)
        if self._pool is None:
            self._pool = draw_pool(self._domain, self._anchors, self._random, self._effort)
        self._acquisition = self._acquisition.likeliest(_LATER_MODES).watch(self._pool.points)


def propose(
    acquisition: Acquisition,
    domain: Domain,
    anchors: Array,
    taken: Array,
    pace: Pace,
    random: np.random.Generator,
) -> tuple[Array, Pace]:
    """Return the full codes of one promising point that is none of `taken`, where there is one, and the next pace."""
    proposer = Proposer(acquisition, domain, anchors, taken, pace, random)
    return proposer.next(), proposer.pace


def best_new(
    score: Scored, domain: Domain, anchors: Array, taken: Array, random: np.random.Generator, effort: Effort
) -> tuple[Array, float]:
    """Return the full codes of the best point that is none of `taken`, and the largest score that was found."""
    if domain.n_cells <= ENUMERATE:
        found = enumerate_cells(score, domain)
    else:
        found = maximise(score, domain, anchors, random, effort)
    return _first(score, found, domain, taken, random), float(found.values[0])


def _first(score: Scored, found: Found, domain: Domain, taken: Array, random: np.random.Generator) -> Array:
    point = first_new(score, found, domain, taken, random)
    return np.asarray(found.codes[0]) if point is None else point
