"""The risk of one outcome function drawn from the posterior: Thompson sampling where environments are random."""

from __future__ import annotations

from typing import cast

import numpy as np

from blackbox.algorithms.bayesian.acquisition import Acquisition
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.optima import n_levels
from blackbox.algorithms.bayesian.paths import Paths
from blackbox.algorithms.bayesian.scenarios import Averaged, Sampled
from blackbox.surrogates.kernels import Array

__all__ = ["RiskDraw"]

_STEP = 1e-5  # of differences that stand for gradients


class RiskDraw:
    """The negated risk of one drawn function, plus the log probability of being usable.

    Parameters
    ----------
    base : Acquisition
        Of the risk; what is pending is believed.
    domain : Domain
    features : int
        Random features of the prior.
    random : numpy Generator
    """

    def __init__(self, base: Acquisition, domain: Domain, features: int, random: np.random.Generator) -> None:
        weights = np.exp(base.log_weights - base.log_weights.max())
        chosen = int(random.choice(len(base.modes), p=weights / weights.sum()))
        self._base, self._features, self._random, self._domain = base, features, random, domain
        self._mode = cast("Averaged | Sampled", base.modes[chosen])
        self._paths = Paths(self._mode.process, 1, random, features=features, levels=n_levels(domain))
        layout, environments = self._mode.process.layout, self._mode.scenarios.columns
        self._columns = [c for c in np.flatnonzero(~np.array(layout.categorical)) if c not in environments]

    def __call__(self, x: Array) -> Array:
        """Return values at model points, shape (q,)."""
        return self._base.usable(x) - self._risk(x)

    def with_slopes(self, x: Array) -> tuple[Array, Array]:
        """Return values and gradients, by differences; 0 for environments."""
        moved = np.repeat(x[None], 2 * len(self._columns) + 1, axis=0)
        for i, c in enumerate(self._columns):
            moved[2 * i + 1, :, c] += _STEP
            moved[2 * i + 2, :, c] -= _STEP
        risks = self._risk(moved.reshape(-1, x.shape[1])).reshape(len(moved), len(x))
        value, slope = self._base.usable_with_slopes(x)
        for i, c in enumerate(self._columns):
            slope[:, c] -= np.nan_to_num((risks[2 * i + 1] - risks[2 * i + 2]) / (2.0 * _STEP))
        return value - risks[0], slope

    def condition(self, x: Array) -> RiskDraw:
        """Return another draw."""
        return RiskDraw(self._base.condition(x), self._domain, self._features, self._random)

    def _risk(self, x: Array) -> Array:
        scenarios = self._mode.scenarios
        outcomes = self._paths(scenarios.expand(x))[:, 0].reshape(len(x), len(scenarios))
        return outcomes.mean(1) if isinstance(self._mode, Averaged) else self._mode.risks(outcomes)
