"""From a named, optional or user's own acquisition to what is maximised at one ask."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from scipy.special import ndtri

from blackbox.algorithms.bayesian.acquisition import Acquisition, Limit, log_mean
from blackbox.algorithms.bayesian.belief import Belief
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.gains import (
    Bound,
    Gain,
    JointInformation,
    Knowledge,
    MaxValueInformation,
    NoisyImprovement,
    noise_of,
)
from blackbox.algorithms.bayesian.optima import n_levels, sample_optima
from blackbox.algorithms.bayesian.options import (
    AcquisitionError,
    JointEntropy,
    KnowledgeGradient,
    MaxValueEntropy,
    NoisyExpectedImprovement,
    Option,
    ThompsonSampling,
    UpperConfidenceBound,
    UserAcquisition,
)
from blackbox.algorithms.bayesian.paths import Paths
from blackbox.surrogates.gaussian_process import GaussianProcess
from blackbox.surrogates.kernels import Array, Index

__all__ = ["Guarded", "Score", "distinct", "feasible", "lowest", "make_score"]

_BASELINE = 24  # evaluated points whose true values noisy improvement draws
_LOOK_AHEAD_MODES = 2  # sets of hyper-parameters that the costlier gains are averaged over
_STEP = 1e-6  # of differences that stand for gradients


class Score(Protocol):
    """What is maximised, and how it changes with what is being evaluated."""

    def __call__(self, x: Array) -> Array:
        """Return values at model points, shape (q,)."""
        ...

    def with_slopes(self, x: Array) -> tuple[Array, Array]:
        """Return values and gradients."""
        ...

    def condition(self, x: Array) -> Score:
        """Return the score once points of shape (p, d) are being evaluated."""
        ...


@dataclass(frozen=True, slots=True)
class Guarded:
    """Gains averaged over hyper-parameters, plus the log probability of being usable.

    Parameters
    ----------
    gains : tuple of Gain
        One for each set of hyper-parameters.
    log_weights : array
    base : Acquisition
        Constraints, failures, costs.
    logs : bool
        Whether gains are logarithms.
    """

    gains: tuple[Gain, ...]
    log_weights: Array
    base: Acquisition
    logs: bool

    def __call__(self, x: Array) -> Array:
        """Return values."""
        return self._mean(np.stack([gain(x) for gain in self.gains]))[0] + self.base.usable(x)

    def with_slopes(self, x: Array) -> tuple[Array, Array]:
        """Return values and gradients."""
        parts, slopes = zip(*(gain.with_slopes(x) for gain in self.gains), strict=True)
        value, share = self._mean(np.stack(parts))
        more, slope = self.base.usable_with_slopes(x)
        return value + more, slope + np.einsum("mq,mqd->qd", share, np.stack(slopes))

    def _mean(self, parts: Array) -> tuple[Array, Array]:
        if self.logs:
            return log_mean(parts, self.log_weights)
        weights = np.exp(self.log_weights)[:, None]
        return (weights * parts).sum(0), np.broadcast_to(weights, parts.shape)

    def condition(self, x: Array) -> Guarded:
        """Return the score with the points' outcomes believed, or drawn."""
        return replace(self, gains=tuple(gain.condition(x) for gain in self.gains), base=self.base.condition(x))


class Draw:
    """One function drawn from the posterior, negated; each further candidate gets another one."""

    def __init__(self, base: Acquisition, domain: Domain, features: int, random: np.random.Generator) -> None:
        self._base, self._domain, self._features, self._random = base, domain, features, random
        chosen = int(random.choice(len(base.modes), p=_shares(base.log_weights)))
        self._paths = Paths(base.modes[chosen], 1, random, features=features, levels=n_levels(domain))

    def __call__(self, x: Array) -> Array:
        """Return values."""
        return self._base.usable(x) - self._paths(x)[:, 0]

    def with_slopes(self, x: Array) -> tuple[Array, Array]:
        """Return values and gradients."""
        first: Index = np.zeros(len(x), dtype=np.intp)
        value, slope = self._paths.with_slopes(x, first)
        more, usable = self._base.usable_with_slopes(x)
        return more - value, usable - slope

    def condition(self, x: Array) -> Draw:
        """Return another draw."""
        return Draw(self._base, self._domain, self._features, self._random)


class Foreign:
    """A user's own acquisition, checked, with differences where it has no gradient."""

    def __init__(self, option: UserAcquisition, base: Acquisition, domain: Domain) -> None:
        self._option, self._base, self._domain = option, base, domain
        self._belief = Belief(domain.space, base.modes, base.log_weights, base.best)
        self._smooth = np.flatnonzero(~domain.categorical)

    def __call__(self, x: Array) -> Array:
        """Return values, -inf where the user's are not finite."""
        value = self._values(x)
        return np.where(np.isfinite(value), value + self._base.usable(x), -np.inf)

    def _values(self, x: Array) -> Array:
        try:
            given = self._option.function(x.copy(), self._belief)
        except Exception as error:
            raise AcquisitionError(
                f"acquisition: {self._option.name} raised {type(error).__name__}: {error}"
            ) from error
        return self._checked(given, (len(x),), "values")

    def _checked(self, given: object, shape: tuple[int, ...], what: str) -> Array:
        try:
            whole = np.asarray(given)
            value = np.zeros((0, 0, 0)) if np.iscomplexobj(whole) else whole.astype(np.float64)
        except (TypeError, ValueError):
            value = np.zeros((0, 0, 0))
        if value.shape != shape:
            kind = f"shape {value.shape}" if value.ndim < 3 else repr(given)[:80]
            raise AcquisitionError(f"acquisition: {self._option.name} must return {what} of shape {shape}, got {kind}")
        return value

    def with_slopes(self, x: Array) -> tuple[Array, Array]:
        """Return values and gradients, NaN where the user's are."""
        more, slope = self._base.usable_with_slopes(x)
        if hasattr(self._option.function, "with_slopes"):
            try:
                pair = self._option.function.with_slopes(x.copy(), self._belief)
                given, own = pair
            except Exception as error:
                raise AcquisitionError(f"acquisition: {self._option.name}.with_slopes raised {error!r}") from error
            value = self._checked(given, (len(x),), "values")
            return value + more, slope + self._checked(own, x.shape, "gradients")
        return self._by_differences(x, more, slope)

    def _by_differences(self, x: Array, more: Array, slope: Array) -> tuple[Array, Array]:
        q, columns = len(x), self._smooth
        moved = np.repeat(x[None], len(columns) + 1, axis=0)
        ahead = np.where(x > 0.5, -_STEP, _STEP)  # stay inside the box
        for i, c in enumerate(columns):
            moved[i + 1, :, c] += ahead[:, c]
        every = self._values(moved.reshape(-1, x.shape[1])).reshape(len(columns) + 1, q)
        slope = slope.copy()
        for i, c in enumerate(columns):
            change = (every[i + 1] - every[0]) / ahead[:, c]
            slope[:, c] += np.where(np.isnan(x[:, c]), 0.0, change)
        return every[0] + more, slope

    def condition(self, x: Array) -> Foreign:
        """Return it with the points' predicted means believed."""
        return Foreign(self._option, self._base.condition(x), self._domain)


def make_score(
    option: Option,
    base: Acquisition,
    domain: Domain,
    *,
    known: Array,
    anchors: Array,
    waiting: Array,
    n: int,
    random: np.random.Generator,
) -> Score:
    """Return what is maximised.

    Parameters
    ----------
    option : Option
    base : Acquisition
        With at least one model of the objective, before anything is believed about pending points.
    domain : Domain
    known : array, shape (k, d)
        Model points that were evaluated, most promising first.
    anchors : array, shape (a, d)
        Full codes of the best points.
    waiting : array, shape (p, d)
        Model points being evaluated.
    n : int
        Evaluations so far.
    random : numpy Generator
    """
    if isinstance(option, NoisyExpectedImprovement):
        return _noisy(option, base, known, waiting, random)
    base = base.condition(waiting)
    if isinstance(option, UserAcquisition):
        return Foreign(option, base, domain)
    if isinstance(option, ThompsonSampling):
        return Draw(base, domain, option.features, random)
    if isinstance(option, UpperConfidenceBound):
        beta = 0.2 * domain.dim * math.log(2.0 * max(n, 1)) if option.beta is None else option.beta
        return Guarded(tuple(Bound(mode, math.sqrt(beta)) for mode in base.modes), base.log_weights, base, False)
    modes, log_weights = base.modes[:_LOOK_AHEAD_MODES], base.log_weights[:_LOOK_AHEAD_MODES]
    log_weights = log_weights - math.log(float(np.exp(log_weights).sum()))
    gains = tuple(_informed(option, mode, base.limits, domain, known, anchors, random) for mode in modes)
    return Guarded(gains, log_weights, base, True)


def _informed(
    option: KnowledgeGradient | MaxValueEntropy | JointEntropy,
    mode: GaussianProcess,
    limits: tuple[Limit, ...],
    domain: Domain,
    known: Array,
    anchors: Array,
    random: np.random.Generator,
) -> Gain:
    known = feasible(known, limits)
    if isinstance(option, MaxValueEntropy):
        optima = sample_optima(mode, domain, anchors, option.maxima, random, limits=limits)
        return MaxValueInformation(mode, np.minimum(optima.values, lowest(mode, known)))
    if isinstance(option, JointEntropy):
        return JointInformation(mode, sample_optima(mode, domain, anchors, option.optima, random, limits=limits))
    optima = sample_optima(mode, domain, anchors, option.points // 2, random, limits=limits)
    return Knowledge(mode, distinct(np.concatenate([known[: option.points - option.points // 2], optima.points])))


def feasible(known: Array, limits: tuple[Limit, ...]) -> Array:
    """Return those of known points that probably satisfy the black-box constraints."""
    good = np.ones(len(known), bool)
    for limit in limits:
        good &= limit(known) > math.log(0.5)
    return known[good]


def lowest(mode: GaussianProcess, known: Array) -> float:
    """Return the lowest predicted mean among known points: the optimum is no higher where there is no noise."""
    if not len(known) or noise_of(mode) > 1e-6:
        return math.inf
    return float(mode.predict(known)[0].min())


def _noisy(
    option: NoisyExpectedImprovement, base: Acquisition, known: Array, waiting: Array, random: np.random.Generator
) -> Guarded:
    mean, std = Belief(None, base.modes, base.log_weights, base.best).predict(known)  # type: ignore[arg-type]
    rows = np.argsort(mean - 2.0 * std, kind="stable")[:_BASELINE]
    points = distinct(known[rows])
    width = min(len(points) + len(waiting) + 16, 512)
    engine = torch.quasirandom.SobolEngine(width, scramble=True, seed=int(random.integers(2**62)))  # type: ignore[no-untyped-call]
    normal = ndtri(np.clip(engine.draw(option.draws, dtype=torch.float64).numpy(), 1e-9, 1.0 - 1e-9))
    infeasible = None
    if base.limits:
        bad = np.zeros((option.draws, len(points)), bool)
        for limit in base.limits:
            at, spread = limit.process.predict(points)
            bad |= at + spread * random.standard_normal((option.draws, len(points))) > limit.threshold
        infeasible = bad
    gains: tuple[Gain, ...] = tuple(NoisyImprovement(mode, points, normal, infeasible) for mode in base.modes)
    score = Guarded(gains, base.log_weights, base, True)
    return score.condition(waiting) if len(waiting) else score


def distinct(points: Array, gap: float = 1e-4) -> Array:
    """Return points without those that lie within `gap` of an earlier one in every column."""
    kept: list[int] = []
    filled = np.nan_to_num(points, nan=-1.0)
    for i, row in enumerate(filled):
        if not kept or np.abs(filled[kept] - row).max(1).min() > gap:
            kept.append(i)
    return points[kept]


def _shares(log_weights: Array) -> Array:
    weights = np.exp(log_weights - log_weights.max())
    return np.asarray(weights / weights.sum())
