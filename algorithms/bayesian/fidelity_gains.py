"""What an evaluation at one fidelity tells about the target: about its optimal value, or about where its best mean is.

Both are functions of a design; the fidelity is held by a `Lookahead`. They are `Gain`s of model points at the target.
"""

from __future__ import annotations

import numpy as np

from blackbox.algorithms.bayesian.gains import expected_rise, hazard, logarithm
from blackbox.algorithms.bayesian.lookahead import Lookahead
from blackbox.algorithms.bayesian.reach import Reach
from blackbox.surrogates.kernels import Array

__all__ = ["FidelityInformation", "FidelityKnowledge"]

_MOST = 1.0 - 1e-12  # of the variance at the target that an evaluation takes away


class FidelityInformation:
    """The logarithm of the information about the target's optimal value (multi-fidelity max-value entropy search).

    With rho the correlation of the outcome and the value at the target, z = (mean - optimum) / std there and
    u = h(z) (z + h(z)), h the hazard, it is -log(1 - rho^2 u) / 2, averaged over samples of the optimum.

    Parameters
    ----------
    ahead : Lookahead
    values : array, shape (s,)
        Samples of the optimal value at the target.

    References
    ----------
    S. Takeno et al., Multi-fidelity Bayesian optimization with max-value entropy search and its parallelization, 2020.
    H. Moss et al., GIBBON: general-purpose information-based Bayesian optimisation, 2021, equation 11 (the lower bound
    that is used, which needs no integral).
    """

    def __init__(self, ahead: Lookahead, values: Array) -> None:
        self._ahead, self._values = ahead, values

    def __call__(self, x: Array) -> Array:
        """Return values at model points of the target, shape (q,)."""
        mean, change = self._ahead.predict(x)
        return self._parts(mean, self._ahead.process.predict(x)[1], change)[0]

    def with_slopes(self, x: Array) -> tuple[Array, Array]:
        """Return values and gradients."""
        mean, change, slope_mean, slope_change = self._ahead.predict_with_slopes(x)
        _, std, _, slope_std = self._ahead.process.predict_with_slopes(x)
        value, by_mean, by_std, by_change = self._parts(mean, std, change)
        slope = by_mean[:, None] * slope_mean + by_std[:, None] * slope_std + by_change[:, None] * slope_change
        return value, slope

    def condition(self, x: Array) -> FidelityInformation:
        """Return it with predicted means believed at model points, fidelities included."""
        return FidelityInformation(self._ahead.condition(x), self._values)

    def _parts(self, mean: Array, std: Array, change: Array) -> tuple[Array, Array, Array, Array]:
        share = np.minimum((change / std) ** 2, _MOST)
        z = (mean[:, None] - self._values) / std[:, None]
        h = hazard(z)
        u = np.clip(h * (z + h), 0.0, _MOST)
        left = 1.0 - share[:, None] * u
        by_z = 0.5 * share[:, None] * (h * (1.0 - u) - h * (z + h) ** 2) / left
        by_share = np.where(share < _MOST, (0.5 * u / left).mean(1), 0.0)
        value, rows = logarithm(-0.5 * np.log1p(-share[:, None] * u).mean(1))
        by_std = -(by_z * z).mean(1) / std - 2.0 * by_share * share / std
        by_change = 2.0 * by_share * change / std**2
        return value, (by_z / std[:, None]).mean(1) * rows, by_std * rows, by_change * rows


class FidelityKnowledge:
    """The logarithm of the knowledge gradient: how much lower the best mean at the target is expected to be.

    The means that are compared are those of points of interest and of the candidate's own design, at the target.

    Parameters
    ----------
    ahead : Lookahead
    points : array, shape (p, d)
        Model points at the target.

    References
    ----------
    J. Wu, S. Toscano-Palmerin, P. I. Frazier and A. G. Wilson, Practical multi-fidelity Bayesian optimization for
    hyperparameter tuning, 2019. Deviation: finitely many points, so that the expectation is exact.
    """

    def __init__(self, ahead: Lookahead, points: Array) -> None:
        self._ahead, self._reach = ahead, Reach(ahead.process, points)
        self._top = float(-self._reach.mean.min())

    def __call__(self, x: Array) -> Array:
        """Return values at model points of the target, shape (q,)."""
        mean, change = self._ahead.predict(x)
        c = self._reach.see(self._ahead.moved(x)).covariance
        return expected_rise(*self._lines(mean, change, c, self._spread(x)), self._top)[0]

    def with_slopes(self, x: Array) -> tuple[Array, Array]:
        """Return values and gradients."""
        mean, change, slope_mean, slope_change = self._ahead.predict_with_slopes(x)
        sight = self._reach.see(self._ahead.moved(x), slopes=True)
        t = self._spread(x)
        value, by_own, by_slope = expected_rise(*self._lines(mean, change, sight.covariance, t), self._top)
        by_variance = -0.5 * (by_slope[:, :-1] * sight.covariance).sum(1) / t**3
        slope = sight.pull(np.zeros(len(x)), by_variance, by_slope[:, :-1] / t[:, None])
        slope += by_slope[:, -1:] * slope_change - by_own[:, None] * slope_mean
        return value, slope

    def condition(self, x: Array) -> FidelityKnowledge:
        """Return it with predicted means believed at model points, fidelities included."""
        return FidelityKnowledge(self._ahead.condition(x), self._reach.points)

    def _spread(self, x: Array) -> Array:
        return np.sqrt(self._ahead.variance(x))

    def _lines(self, mean: Array, change: Array, c: Array, t: Array) -> tuple[Array, Array]:
        a = np.concatenate([np.broadcast_to(-self._reach.mean, c.shape), -mean[:, None]], axis=1)
        return a, np.concatenate([c / t[:, None], change[:, None]], axis=1)
