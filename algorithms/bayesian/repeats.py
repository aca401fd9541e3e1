"""Noisy points measured again: where that tells more than a new point does."""

from __future__ import annotations

import numpy as np

from blackbox.algorithms.bayesian.acquisition import Acquisition
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.gains import Knowledge, noise_of
from blackbox.surrogates.kernels import Array

__all__ = ["with_repeats"]

_REPEATED = 16  # evaluated points that may be measured again, the most promising ones
_QUIET = 1e-6  # noise variance, standardised, below which nothing is measured twice


def with_repeats(points: Array, acquisition: Acquisition, domain: Domain, known: Array) -> Array:
    """Return a batch in which points give way to evaluated ones whose knowledge gradient is larger.

    Parameters
    ----------
    points : array, shape (n, d)
        Proposed points of the space.
    acquisition : Acquisition
        With what is pending believed.
    domain : Domain
    known : array, shape (k, d)
        Evaluated points of the space, most promising first; those that `fixed=` rules out are left out.
    """
    held = np.where(domain.free | np.isnan(known), True, known == domain.fixed).all(1)
    known = known[held][:_REPEATED]
    if not acquisition.modes or not len(known):
        return points
    process = acquisition.modes[0]
    if noise_of(process) < _QUIET:
        return points
    targets = domain.model(known)
    gain = Knowledge(process, targets)
    chosen = points.copy()
    for i, point in enumerate(domain.model(points)):
        usable = acquisition.usable(np.concatenate([point[None], targets]))
        values = gain(np.concatenate([point[None], targets])) + usable
        best = int(np.argmax(values))
        if best > 0:
            chosen[i] = known[best - 1]
        gain = gain.condition(domain.model(chosen[i][None]))
    return chosen
