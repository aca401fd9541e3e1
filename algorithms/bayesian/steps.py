"""One step of the searches that choose a design first: global where much is promised, local or bold where little is."""

from __future__ import annotations

import numpy as np

from blackbox.algorithms.bayesian.acquisition import Acquisition
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.proposal import ENUMERATE, LITTLE, MARGIN, NOTHING, RADIUS, SHORTER, Pace, best_new
from blackbox.algorithms.bayesian.search import Effort, first_new, maximise_near
from blackbox.surrogates.kernels import Array

__all__ = ["step"]


def step(
    acquisition: Acquisition,
    domain: Domain,
    anchors: Array,
    taken: Array,
    pace: Pace,
    random: np.random.Generator,
    effort: Effort,
) -> tuple[Array, Pace]:
    """Return the full codes of a promising design that is none of `taken`, where there is one, and the next pace.

    Parameters
    ----------
    acquisition : Acquisition
        Of designs; what is pending is believed.
    domain : Domain
        With the other columns held.
    anchors : array, shape (a, d)
        Full codes of the best designs, best first.
    taken : array, shape (t, d)
        Model points.
    """
    if domain.n_cells <= ENUMERATE:
        return best_new(acquisition, domain, anchors, taken, random, effort)[0], pace
    little = pace.promise < LITTLE
    if little and pace.turn % 2 == 1 and len(anchors):
        found = maximise_near(acquisition, domain, anchors[0], RADIUS, random, effort)
        if found is not None:
            point = first_new(acquisition, found, domain, taken, random)
            return np.asarray(found.codes[0] if point is None else point), Pace(pace.promise, pace.turn + 1)
    bold = pace.promise < NOTHING and pace.turn >= 2
    score = acquisition.bolder(SHORTER, MARGIN) if bold else acquisition
    codes, _ = best_new(score, domain, anchors, taken, random, effort)
    promise = pace.promise if bold else float(acquisition.log_gain(domain.model(codes[None]))[0])
    return codes, Pace(promise, pace.turn + 1 if promise < LITTLE else 0)
