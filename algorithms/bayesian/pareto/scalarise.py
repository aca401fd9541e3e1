"""Several objectives as one at a time: log expected improvement of a random augmented Tchebycheff scalarisation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.special import ndtri

from blackbox.algorithm import Spec
from blackbox.algorithms.bayesian.acquisition import Acquisition
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.pareto.outcome import Outcome
from blackbox.algorithms.bayesian.pareto.proposal import LATER, Fronts, prepare
from blackbox.algorithms.bayesian.proposal import best_new
from blackbox.algorithms.bayesian.search import Effort
from blackbox.algorithms.bayesian.state import BayesianState
from blackbox.surrogates.kernels import Array, Index

if TYPE_CHECKING:
    from blackbox.algorithms.bayesian.algorithm import BayesianOptimization

__all__ = ["Scalarised", "ScalarisedImprovement"]

_DRAWS = 128  # quasi-random samples of the objectives
_AUGMENT = 0.05  # of the sum of the objectives that is added to their maximum
_SMOOTH_MAX, _SMOOTH_STEP = 1e-2, 1e-3  # in units of the front's range


@dataclass(frozen=True, slots=True)
class ScalarisedImprovement:
    """Log expected improvement of max_j v_j + 0.05 sum_j v_j, v_j = weight_j (y_j - ideal_j) / range_j, by samples.

    Maximum and positive part are smoothed, the latter with a heavy tail, so that gradients do not vanish.

    Parameters
    ----------
    outcomes : tuple of Outcome
        One an objective.
    fronts : tuple of arrays, shape (f, m)
        What is to be improved on, in standardised units: of one front, or of one a sample of the objectives.
    scale, shift : array, shape (m,)
        v_j = scale_j y_j + shift_j.
    normal : array, shape (draws, m)
        Quasi-random standard normal numbers.
    picks : array, shape (draws, m), int
        Which set of hyper-parameters each of them is of.
    chance : Acquisition
        Of constraints and failures alone.
    """

    outcomes: tuple[Outcome, ...]
    fronts: tuple[Array, ...]
    scale: Array
    shift: Array
    normal: Array
    picks: Index
    chance: Acquisition

    @classmethod
    def of(
        cls,
        outcomes: tuple[Outcome, ...],
        fronts: tuple[Array, ...],
        weights: Array,
        chance: Acquisition,
        random: np.random.Generator,
    ) -> ScalarisedImprovement:
        """Return the improvement for weights, shape (m,), of objectives over the range of the first front."""
        front, m = fronts[0], len(outcomes)
        ideal = front.min(0)
        span = np.ptp(front, axis=0)
        scale = weights / np.where(span > 1e-12, span, 1.0)
        engine = torch.quasirandom.SobolEngine(m, scramble=True, seed=int(random.integers(2**31)))  # type: ignore[no-untyped-call]
        uniform = engine.draw(_DRAWS, dtype=torch.float64).numpy()
        picks = np.zeros((_DRAWS, m), np.intp)
        even = (np.arange(_DRAWS) + 0.5) / _DRAWS
        for j, outcome in enumerate(outcomes):
            share = np.cumsum(np.exp(outcome.log_weights))
            picks[:, j] = random.permutation(np.minimum(np.searchsorted(share, even), len(share) - 1))
        normal = ndtri(np.clip(uniform, 1e-9, 1.0 - 1e-9))
        return cls(outcomes, fronts, scale, -scale * ideal, normal, picks, chance)

    def _scenario(self) -> Index:
        return np.arange(_DRAWS) % len(self.fronts)

    def _best(self) -> Array:
        """Return the value to improve on of each draw, shape (draws,)."""
        lows = []
        for front in self.fronts:
            parts = self.scale * front + self.shift
            lows.append(float((parts.max(1) + _AUGMENT * parts.sum(1)).min()))
        return np.array(lows)[self._scenario()]

    def _scored(self, means: list[Array], stds: list[Array]) -> tuple[Array, Array]:
        """Return log expected improvements, shape (q,), and their derivatives in the draws, shape (draws, q, m)."""
        parts = np.empty((_DRAWS, means[0].shape[-1], len(means)))
        scenario = self._scenario()
        for j, (mean, std) in enumerate(zip(means, stds, strict=True)):
            at = self.picks[:, j]
            drawn = mean[scenario, at] + std[at] * self.normal[:, j, None]
            parts[:, :, j] = self.scale[j] * drawn + self.shift[j]
        top = parts.max(2)
        share = np.exp((parts - top[..., None]) / _SMOOTH_MAX)
        total = share.sum(2)
        value = top + _SMOOTH_MAX * np.log(total) + _AUGMENT * parts.sum(2)
        gain = self._best()[:, None] - value
        root = np.sqrt(gain * gain + 4.0 * _SMOOTH_STEP**2)
        step = np.where(gain > 0.0, 0.5 * (gain + root), 2.0 * _SMOOTH_STEP**2 / (root - gain))
        mean = step.mean(0)
        pull = -(step / root) / (mean * _DRAWS)
        return np.log(mean), pull[..., None] * (share / total[..., None] + _AUGMENT) * self.scale

    def log_gain(self, x: Array) -> Array:
        """Return the logarithm of the expected improvement alone, shape (q,), in units of the front's range."""
        predicted = [outcome.predict(x) for outcome in self.outcomes]
        return self._scored([p[0] for p in predicted], [p[1] for p in predicted])[0]

    def __call__(self, x: Array) -> Array:
        """Return values at model points, shape (q,); larger is better."""
        return self.log_gain(x) + self.chance(x)

    def with_slopes(self, x: Array) -> tuple[Array, Array]:
        """Return values, shape (q,), and gradients, shape (q, d); 0 in categorical and inactive columns."""
        predicted = [outcome.predict_with_slopes(x) for outcome in self.outcomes]
        value, pull = self._scored([p[0] for p in predicted], [p[1] for p in predicted])
        slope, scenario = np.zeros(x.shape), self._scenario()
        for j, (mean, std, slope_mean, slope_std) in enumerate(predicted):
            by_mean, by_std = np.zeros(mean.shape), np.zeros(std.shape)
            np.add.at(by_mean, (scenario, self.picks[:, j]), pull[:, :, j])
            np.add.at(by_std, self.picks[:, j], pull[:, :, j] * self.normal[:, j, None])
            slope += np.einsum("skq,skqd->qd", by_mean, slope_mean) + np.einsum("kq,kqd->qd", by_std, slope_std)
        chance, more = self.chance.with_slopes(x)
        return value + chance, slope + more

    def condition(self, x: Array) -> ScalarisedImprovement:
        """Return this acquisition once points of shape (q, d) are being evaluated: their predicted means believed."""
        fronts = Fronts(self.outcomes, self.fronts, self.chance).condition(x)
        return replace(self, outcomes=fronts.outcomes, fronts=fronts.fronts, chance=fronts.chance)


@dataclass(frozen=True, slots=True)
class Scalarised:
    """The strategy for any number of objectives: each candidate improves a random scalarisation of them.

    References
    ----------
    J. Knowles, ParEGO: a hybrid algorithm with on-line landscape approximation for expensive multiobjective
    optimization problems, 2006. Deviations: one model an objective, samples of them scalarised (S. Daulton,
    M. Balandat, E. Bakshy, 2020), the logarithm of the expected improvement, continuous weights.
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
        for _ in range(n):
            score: ScalarisedImprovement | Acquisition = fronts.chance
            if fronts.outcomes:
                weights = random.dirichlet(np.ones(spec.n_objectives))
                score = ScalarisedImprovement.of(fronts.outcomes, fronts.fronts, weights, fronts.chance, random)
            point = best_new(score, domain, ready.anchors, taken, random, LATER if chosen else Effort())[0]
            chosen.append(domain.canonical(point[None]))
            added = domain.model(chosen[-1])
            taken, fronts = np.concatenate([taken, added]), fronts.condition(added)
        return np.concatenate(chosen), ready.state
