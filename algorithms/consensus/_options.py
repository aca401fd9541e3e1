"""Typed records of options for consensus-based optimization; every length is in units of the unit cube."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from blackbox.errors import SettingError

__all__ = [
    "Adam",
    "AdaptiveSize",
    "Alpha",
    "Hopping",
    "Jumps",
    "Memory",
    "MiniBatch",
    "Noise",
    "Polarised",
    "Restarts",
    "Subset",
]


def require(good: bool, name: str, value: object, expected: str) -> None:
    """Raise a `SettingError` that names the setting, unless `good`."""
    if not good:
        raise SettingError(f"{name}: expected {expected}, got {value!r}")


def positive(name: str, value: float) -> None:
    """Raise a `SettingError` unless 0 < value < inf."""
    require(math.isfinite(value) and value > 0, name, value, "a finite number > 0")


def not_negative(name: str, value: float) -> None:
    """Raise a `SettingError` unless 0 <= value < inf."""
    require(math.isfinite(value) and value >= 0, name, value, "a finite number >= 0")


def one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise a `SettingError` unless `value` is a choice."""
    require(value in choices, name, value, f"one of {', '.join(choices)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """The diffusion term.

    Parameters
    ----------
    kind : str
        "component": (x - c) * xi, one normal a coordinate; "isotropic": |x - c| xi; "constant": xi;
        "covariance": a draw with the weighted covariance about c (consensus-based sampling), from its low-rank factor;
        "difference": the difference of two other particles, a draw with (twice) the covariance of the ensemble that
        costs no factorisation and no normals.
    sigma : float
        Strength. It is multiplied by sqrt(dt), except for "difference", where it is the factor itself.
    truncation : float or None
        The largest length that |x - c| counts for ("component" and "isotropic"): tails stay sub-Gaussian.
    spread : float
        "difference" only: the standard deviation of the logarithm of the factor, drawn for each particle.
    cooling : "none" or "logarithmic"
        Divide sigma by log(k + e) in step k = 0, 1, ...
    """

    kind: Literal["component", "isotropic", "constant", "covariance", "difference"] = "component"
    sigma: float = 5.1
    truncation: float | None = None
    spread: float = 0.0
    cooling: Literal["none", "logarithmic"] = "none"

    def __post_init__(self) -> None:
        one_of("kind", self.kind, ("component", "isotropic", "constant", "covariance", "difference"))
        not_negative("sigma", self.sigma)
        not_negative("spread", self.spread)
        if self.truncation is not None:
            positive("truncation", self.truncation)
        one_of("cooling", self.cooling, ("none", "logarithmic"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Alpha:
    """How strongly better particles count: weights are exp(-alpha (f - min f)).

    Parameters
    ----------
    schedule : str
        "hard": infinite, the best particle of the (mini-)batch; "ess": solved in each step so that the effective
        sample size is `share` of the finite particles; "multiply": `start`, times `factor` a step, up to `largest`.
    share, last_share : float in (0, 1]
        Of "ess": the share in the first step, and the one that it shrinks to (never below one particle).
    shrink : float in (0, 1]
        Of "ess": the factor on the share in each step.
    start, factor, largest : float
        Of "multiply". `start` is in units of 1 / (median - min) of the first ensemble where `relative` holds.
    relative : bool
        Of "multiply": keep the schedule free of the scale of f.
    """

    schedule: Literal["hard", "ess", "multiply"] = "ess"
    share: float = 0.5
    last_share: float = 0.01
    shrink: float = 0.99
    start: float = 30.0
    factor: float = 1.05
    largest: float = 1e5
    relative: bool = True

    def __post_init__(self) -> None:
        one_of("schedule", self.schedule, ("hard", "ess", "multiply"))
        for name in ("share", "last_share", "shrink"):
            require(0 < getattr(self, name) <= 1, name, getattr(self, name), "a number in (0, 1]")
        for name in ("start", "factor", "largest"):
            positive(name, getattr(self, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class MiniBatch:
    """A consensus of a random part of the ensemble.

    Parameters
    ----------
    size : int
        Particles in a batch; fewer where the ensemble is smaller.
    scope : str
        "own": every particle draws its own batch in each step, with replacement; "full": blocks of one random
        permutation, and a block's consensus moves all particles; "partial": it moves, and evaluates, the block only.
    """

    size: int = 2
    scope: Literal["own", "full", "partial"] = "own"

    def __post_init__(self) -> None:
        require(self.size >= 1, "size", self.size, "an integer >= 1")
        one_of("scope", self.scope, ("own", "full", "partial"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The best point that each particle has visited; the consensus is taken over these.

    Parameters
    ----------
    greedy : bool
        True: a particle moves on from its best point. False: from where it is, with a drift to its best point.
    rate, sigma : float
        Of the second move, if not greedy: drift rate (times dt) and strength of component-wise noise
        (times sqrt(dt)) towards the particle's best point.
    """

    greedy: bool = True
    rate: float = 0.4
    sigma: float = 0.0

    def __post_init__(self) -> None:
        not_negative("rate", self.rate)
        not_negative("sigma", self.sigma)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subset:
    """Each particle moves in a random subset of its coordinates, at least one.

    Parameters
    ----------
    exponent : float
        A coordinate moves with probability d**(r - 1), r = u**exponent, u uniform in (0, 1) for each particle: from
        one coordinate to all of them. A larger exponent favours few.
    """

    exponent: float = 1.5

    def __post_init__(self) -> None:
        positive("exponent", self.exponent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Jumps:
    """Now and then, a particle jumps in one random coordinate instead of its ordinary move.

    Parameters
    ----------
    probability : float in [0, 1]
        Of a jump, for each particle and step; of a Poisson process of that rate, 1 - exp(-rate dt).
    smallest, largest : float
        The standard deviation of a jump is log-uniform between these, in units of the cube.
    """

    probability: float = 0.4
    smallest: float = 0.01
    largest: float = 0.5

    def __post_init__(self) -> None:
        require(0 <= self.probability <= 1, "probability", self.probability, "a number in [0, 1]")
        positive("smallest", self.smallest)
        require(self.largest >= self.smallest, "largest", self.largest, f"at least {self.smallest}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Polarised:
    """Every particle has its own consensus, of the particles near it: several minima at once.

    Parameters
    ----------
    kernel : str
        "gaussian" exp(-r^2 / (2 kappa^2)), "laplace" exp(-r / kappa), "ball" r <= kappa, or
        "inverse quadratic" 1 / (1 + r^2 / kappa^2).
    kappa : float
        The reach, in units of the cube.
    rows : int
        Particles handled at a time: memory is O(rows N) for each run.
    """

    kernel: Literal["gaussian", "laplace", "ball", "inverse quadratic"] = "gaussian"
    kappa: float = 0.1
    rows: int = 1024

    def __post_init__(self) -> None:
        one_of("kernel", self.kernel, ("gaussian", "laplace", "ball", "inverse quadratic"))
        positive("kappa", self.kappa)
        require(self.rows >= 1, "rows", self.rows, "an integer >= 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hopping:
    """Consensus hopping: all particles are redrawn around the last consensus (lambda dt = 1).

    Parameters
    ----------
    learning_rate : float
        tau, in units of the cube squared over units of f: a step is close to -tau grad f.
    radius : float
        s, the standard deviation around the consensus, in units of the cube; alpha = tau / s^2.
    """

    learning_rate: float
    radius: float

    def __post_init__(self) -> None:
        positive("learning_rate", self.learning_rate)
        positive("radius", self.radius)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adam:
    """Moments of the drift, as in Adam: x <- x - lambda dt m / (sqrt(v) + epsilon) + noise.

    Parameters
    ----------
    first, second : float in [0, 1)
        Decay of the mean and of the mean square.
    epsilon : float
    """

    first: float = 0.9
    second: float = 0.99
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        for name in ("first", "second"):
            require(0 <= getattr(self, name) < 1, name, getattr(self, name), "a number in [0, 1)")
        positive("epsilon", self.epsilon)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveSize:
    """Fewer particles as the ensemble's variance S falls: N <- ceil(N (1 + rate (S' - S) / S)), never more.

    Parameters
    ----------
    rate : float in (0, 1]
    smallest : int
    """

    rate: float = 0.15
    smallest: int = 10

    def __post_init__(self) -> None:
        require(0 < self.rate <= 1, "rate", self.rate, "a number in (0, 1]")
        require(self.smallest >= 2, "smallest", self.smallest, "an integer >= 2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarts:
    """Start again when nothing improves; the best point so far is kept apart.

    Parameters
    ----------
    patience : int
        Steps without a better point.
    scale : float or None
        Standard deviation of the noise added to all particles, in units of the cube; None to draw them anew.
    """

    patience: int = 200
    scale: float | None = None

    def __post_init__(self) -> None:
        require(self.patience >= 1, "patience", self.patience, "an integer >= 1")
        if self.scale is not None:
            positive("scale", self.scale)
