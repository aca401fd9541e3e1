"""What is maximised in spaces with fidelities, by acquisition.

Log expected improvement, the knowledge gradient and max-value entropy search say themselves what an evaluation at any
fidelity is worth. The others choose a design at the target; its fidelity is the one whose evaluation takes away the
largest share of the variance there, per unit of cost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias, cast

import numpy as np

from blackbox.algorithms.bayesian.acquisition import Acquisition, log_mean
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.fidelity_gains import FidelityInformation, FidelityKnowledge
from blackbox.algorithms.bayesian.gains import Gain, noise_of
from blackbox.algorithms.bayesian.lookahead import Lookahead
from blackbox.algorithms.bayesian.optima import sample_optima
from blackbox.algorithms.bayesian.options import KnowledgeGradient, MaxValueEntropy
from blackbox.algorithms.bayesian.scores import Guarded, distinct, feasible, lowest
from blackbox.surrogates.gaussian_process import GaussianProcess, Standard
from blackbox.surrogates.kernels import Array, Index

__all__ = ["Aim", "Elsewhere", "Informed", "aims_of", "looking_ahead", "per_cost", "score_ahead", "variance_shares"]

_MODES = 2  # sets of hyper-parameters that knowledge and information are averaged over

Informed: TypeAlias = KnowledgeGradient | MaxValueEntropy
Aim: TypeAlias = Array  # of one set of hyper-parameters: samples of the optimal value, or points of interest


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A process at model points with other values of some columns."""

    process: GaussianProcess
    columns: Index
    values: Array

    @property
    def standard(self) -> Standard:
        """Of the process."""
        return self.process.standard

    def _moved(self, x: Array) -> Array:
        return Lookahead(self.process, self.columns, self.values).moved(x)

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation there."""
        return self.process.predict(self._moved(x))

    def predict_with_slopes(self, x: Array) -> tuple[Array, Array, Array, Array]:
        """Return mean and standard deviation there, and gradients; those in the columns themselves are of no use."""
        return self.process.predict_with_slopes(self._moved(x))


def looking_ahead(acquisition: Acquisition, columns: Index, values: Array) -> Acquisition:
    """Return the acquisition of evaluations with these model values of the fidelities."""
    modes = tuple(cast("GaussianProcess", Lookahead(mode, columns, values)) for mode in acquisition.modes)
    return replace(acquisition, modes=modes)


def per_cost(acquisition: Acquisition, cost: GaussianProcess | None, columns: Index, values: Array) -> Acquisition:
    """Return the acquisition per unit of cost at these model values of the fidelities."""
    if cost is None:
        return acquisition
    return replace(acquisition, cost=cast("GaussianProcess", Elsewhere(cost, columns, values)))


def aims_of(
    option: Informed,
    acquisition: Acquisition,
    at_target: Domain,
    known: Array,
    anchors: Array,
    random: np.random.Generator,
) -> tuple[Aim, ...]:
    """Return what evaluations should tell about, for each set of hyper-parameters.

    Parameters
    ----------
    known : array, shape (k, d)
        Model points of evaluated designs at the target, most promising first.
    anchors : array, shape (a, d)
        Full codes of the best designs.
    """
    aims, limits = [], acquisition.limits
    known = feasible(known, limits)
    for mode in acquisition.modes[:_MODES]:
        if isinstance(option, MaxValueEntropy):
            values = sample_optima(mode, at_target, anchors, option.maxima, random, limits=limits).values
            aims.append(np.minimum(values, lowest(mode, known)))
        else:
            optima = sample_optima(mode, at_target, anchors, option.points // 2, random, limits=limits).points
            aims.append(distinct(np.concatenate([known[: option.points - option.points // 2], optima])))
    return tuple(aims)


def score_ahead(option: Informed, aims: tuple[Aim, ...], ahead: Acquisition) -> Guarded:
    """Return what designs promise when they are evaluated where an acquisition that looks ahead has its fidelities."""
    modes = cast("tuple[Lookahead, ...]", ahead.modes[: len(aims)])
    gains: tuple[Gain, ...]
    if isinstance(option, MaxValueEntropy):
        gains = tuple(FidelityInformation(mode, aim) for mode, aim in zip(modes, aims, strict=True))
    else:
        gains = tuple(FidelityKnowledge(mode, aim) for mode, aim in zip(modes, aims, strict=True))
    weights = ahead.log_weights[: len(gains)]
    total = log_mean(np.zeros((len(gains), 1)), weights)[0][0]
    return Guarded(gains, weights - total, ahead, True)


def variance_shares(acquisition: Acquisition, columns: Index, aim: Array, values: Array) -> Array:
    """Return by which share evaluations of one design reduce the variance at the target, in logarithms, shape (q,).

    Parameters
    ----------
    aim : array, shape (1, d)
        The model point of the design at the target.
    values : array, shape (q, number of columns)
        Model values of the fidelities.
    """
    parts = np.zeros((len(acquisition.modes), len(values)))
    for m, mode in enumerate(acquisition.modes):
        variance = mode.predict(aim)[1] ** 2 + 1e-12 * (noise_of(mode) + mode.hyper.scale)
        for i, row in enumerate(values):
            change = Lookahead(mode, columns, row).predict(aim)[1]
            parts[m, i] = 2.0 * np.log(change[0]) - np.log(variance[0])
    return log_mean(parts, acquisition.log_weights)[0]
