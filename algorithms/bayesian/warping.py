"""Outcomes and their model: the power of the warp, where it is open, is the one that the model explains best."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.models import Data, Fitting, is_cold, merge_repeats, model_outcome
from blackbox.algorithms.bayesian.state import Fitted
from blackbox.surrogates.gaussian_process import GaussianProcess
from blackbox.surrogates.kernels import Array
from blackbox.surrogates.likelihood import Prior
from blackbox.surrogates.outcomes import Warp

__all__ = ["Outcome", "model_warped"]

_POWERS = (0.0, 0.5)  # tried besides the one under which the outcomes alone are most like a normal sample


@dataclass(frozen=True, slots=True)
class Outcome:
    """The model of one outcome, warped.

    Attributes
    ----------
    warp : Warp
    data : Data
        Warped.
    modes : list of GaussianProcess
    log_weights : array, shape (number of modes,)
    fitted : Fitted
    """

    warp: Warp
    data: Data
    modes: list[GaussianProcess]
    log_weights: Array
    fitted: Fitted

    @property
    def surprise(self) -> float:
        """The negative log posterior density of the likeliest hyper-parameters, for outcomes as they were told."""
        slope = float(self.warp.log_slope(self.data.y).sum())
        return float(self.fitted.values[0]) - slope + len(self.data.y) * float(np.log(self.modes[0].standard.spread))


def model_warped(
    points: Array,
    values: Array,
    variance: Array | None,
    domain: Domain,
    fitted: Fitted,
    fitting: Fitting,
    *,
    noise: float | None,
    warp: bool,
    weighed: bool,
    power: float | None,
    prior: Prior,
    random: np.random.Generator,
) -> Outcome:
    """Return the model of outcomes and how they were warped.

    A search puts most of its points where values are best. The power that makes such a sample most like a normal one
    spreads the best values out, and their noise with them, until noise looks like a rough function. Where powers are
    weighed, the evidence of the process decides: the warp's slope is part of it.

    Parameters
    ----------
    points, values : array, shape (n, d) and (n,)
        Usable evaluations.
    variance : array, shape (n,), optional
        Known variances of the values.
    noise : float, optional
        See `model_outcome`.
    warp, weighed : bool
        Whether there is a warp, and whether its power is weighed.
    power : float, optional
        What was chosen the last time; kept until hyper-parameters are fitted from scratch.

    References
    ----------
    E. Snelson, C. E. Rasmussen and Z. Ghahramani, Warped Gaussian processes, 2004 (the evidence).
    """

    def model(first: Warp) -> Outcome:
        slope = None if variance is None else _warped_variance(first, values, variance)
        data = merge_repeats(points, first(values), slope)
        return Outcome(
            first, data, *model_outcome(data, domain.layout, fitted, fitting, noise=noise, prior=prior, random=random)
        )

    likeliest = Warp.fit(values, warp=warp)
    if not (warp and weighed):
        return model(likeliest)
    distinct = len(merge_repeats(points, likeliest(values), None).y)
    if is_cold(distinct, fitted, fitting):
        powers = [likeliest.power, *(other for other in _POWERS if other != likeliest.power)]
    else:
        powers = [likeliest.power if power is None else power]
    found = [model(replace(likeliest, power=each)) for each in powers]
    return min(found, key=lambda outcome: outcome.surprise)


def _warped_variance(warp: Warp, values: Array, variance: Array) -> Array:
    """Return variances after the warp, from its slope over one standard deviation."""
    std = np.sqrt(variance)
    return np.asarray(((warp(values + std) - warp(values - std)) / 2.0) ** 2)
