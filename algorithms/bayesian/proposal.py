"""One candidate: a global step where much is promised, local and bold ones in turn where little is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from blackbox.algorithms.bayesian.acquisition import Acquisition
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.search import (
    Effort,
    Found,
    Scored,
    enumerate_cells,
    first_new,
    maximise,
    maximise_near,
)
from blackbox.surrogates.kernels import Array

__all__ = ["ENUMERATE", "Pace", "best_new", "propose"]

ENUMERATE = 1e4  # spaces with at most so many points are enumerated
_LITTLE = -4.0  # log expected improvement, in standard deviations, below which every second step is local
_NOTHING = math.log(1e-4)  # below it, the other steps are bold
_RADIUS = 0.1  # of local steps, in the unit cube
_SHORTER, _MARGIN = 0.5, 0.05  # what bold steps do to lengthscales, and to the value to improve


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


def propose(
    acquisition: Acquisition,
    domain: Domain,
    anchors: Array,
    taken: Array,
    pace: Pace,
    random: np.random.Generator,
    effort: Effort | None = None,
) -> tuple[Array, Pace]:
    """Return the full codes of a promising point that is none of `taken`, where there is one, and the next pace."""
    effort = effort or Effort()
    if domain.n_cells <= ENUMERATE:
        return _first(acquisition, enumerate_cells(acquisition, domain), domain, taken, random), pace
    little = pace.promise < _LITTLE
    if little and pace.turn % 2 == 1 and len(anchors):
        found = maximise_near(acquisition, domain, anchors[0], _RADIUS, random, effort)
        if found is not None:
            return _first(acquisition, found, domain, taken, random), Pace(pace.promise, pace.turn + 1)
    bold = pace.promise < _NOTHING and pace.turn >= 2
    score = acquisition.bolder(_SHORTER, _MARGIN) if bold else acquisition
    point = _first(score, maximise(score, domain, anchors, random, effort), domain, taken, random)
    promise = pace.promise if bold else float(acquisition.log_gain(domain.model(point[None]))[0])
    return point, Pace(promise, pace.turn + 1 if promise < _LITTLE else 0)


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
