"""All options of the dynamics in one record, with the sets and constraints that points must keep to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from blackbox.algorithms.consensus._options import (
    Adam,
    AdaptiveSize,
    Alpha,
    Hopping,
    Jumps,
    Memory,
    MiniBatch,
    Noise,
    Polarised,
    Restarts,
    Subset,
    one_of,
    positive,
    require,
)

__all__ = ["Domain", "Penalty", "Settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """A set that all points must lie in, in the units of the space (the box holds in any case).

    Parameters
    ----------
    kind : str
        "box"; "ball" |x - center| <= radius; "sphere" |x - center| = radius; "simplex" x >= 0, sum x = radius;
        "hyperplane" normal . x = offset.
    method : str
        "project" (reflection at the faces of a box), "clip" (of a box), or "mirror": moves are made in the dual
        variables of a mirror map (entropy for the simplex, logarithmic barrier for the box, -sqrt(r^2 - |x|^2) for
        the ball).
    center : tuple of float
        Of ball and sphere; empty for the origin.
    radius : float
    normal : tuple of float
        Of a hyperplane; empty for all ones.
    offset : float
    """

    kind: Literal["box", "ball", "sphere", "simplex", "hyperplane"] = "box"
    method: Literal["project", "clip", "mirror"] = "project"
    center: tuple[float, ...] = ()
    radius: float = 1.0
    normal: tuple[float, ...] = ()
    offset: float = 0.0

    def __post_init__(self) -> None:
        one_of("kind", self.kind, ("box", "ball", "sphere", "simplex", "hyperplane"))
        one_of("method", self.method, ("project", "clip", "mirror"))
        positive("radius", self.radius)
        has_mirror = self.kind in ("box", "ball", "simplex")
        require(has_mirror or self.method != "mirror", "method", self.method, f"'project' for a {self.kind}")
        require(self.kind == "box" or self.method != "clip", "method", self.method, "'clip' for a box only")
        require(not self.normal or any(self.normal), "normal", self.normal, "a vector that is not zero")


@dataclass(frozen=True, slots=True, kw_only=True)
class Penalty:
    """Inequality constraints: f + weight * spread of f * violation, the weight adapted.

    Parameters
    ----------
    weight : float
        The first weight, relative to the interquartile range of f over that of the violations.
    factor : float > 1
        The weight is multiplied by it in a step whose best particle is infeasible, and divided by its fourth root
        (not below `weight`) otherwise.
    largest : float
    """

    weight: float = 1.0
    factor: float = 1.2
    largest: float = 1e9

    def __post_init__(self) -> None:
        positive("weight", self.weight)
        require(self.factor > 1, "factor", self.factor, "a number > 1")
        require(self.largest >= self.weight, "largest", self.largest, f"at least {self.weight}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All options of the dynamics; the defaults are what `ConsensusBased()` runs.

    Parameters
    ----------
    drift : float
        lambda, the rate of the drift to the consensus.
    dt : float
        The step of time; drift * dt = 1 moves onto the consensus.
    """

    drift: float = 1.0
    dt: float = 1.0
    noise: Noise = field(default_factory=lambda: Noise(kind="difference", sigma=0.5, spread=0.5))
    alpha: Alpha = field(default_factory=lambda: Alpha(schedule="hard"))
    batch: MiniBatch | None = field(default_factory=MiniBatch)
    memory: Memory | None = field(default_factory=Memory)
    subset: Subset | None = field(default_factory=Subset)
    jumps: Jumps | None = field(default_factory=Jumps)
    polarised: Polarised | None = None
    hopping: Hopping | None = None
    adam: Adam | None = None
    size: AdaptiveSize | None = None
    restarts: Restarts | None = None
    domain: Domain = field(default_factory=Domain)
    penalty: Penalty = field(default_factory=Penalty)

    def __post_init__(self) -> None:
        positive("drift", self.drift)
        positive("dt", self.dt)
        partial = self.batch is not None and self.batch.scope == "partial"
        require(not (partial and self.size), "size", self.size, "None with partial mini-batches")
        require(not (partial and self.hopping), "hopping", self.hopping, "None with partial mini-batches")
        require(not (self.hopping and self.memory), "memory", self.memory, "None with hopping")
        if self.polarised is not None:
            require(self.batch is None, "batch", self.batch, "None with a polarised consensus")
            require(self.hopping is None, "hopping", self.hopping, "None with a polarised consensus")
            require(self.alpha.schedule != "hard", "alpha", self.alpha, "a finite alpha with a polarised consensus")

    @classmethod
    def classic(cls, *, sigma: float = 10.1, dt: float = 0.01, alpha: Alpha | None = None) -> Settings:
        """Return the textbook dynamics: component-wise noise, one consensus of all, no memory.

        Parameters
        ----------
        sigma, dt : float
            Without the factor sqrt(2) of continuous-time papers.
        alpha : Alpha, optional
            Growing by 5 % a step unless given.
        """
        growing = Alpha(schedule="multiply") if alpha is None else alpha
        noise = Noise(kind="component", sigma=sigma)
        return cls(dt=dt, noise=noise, alpha=growing, batch=None, memory=None, subset=None, jumps=None)

    @classmethod
    def several_minima(cls, *, kappa: float = 0.1) -> Settings:
        """Return a polarised dynamics that keeps several minima apart; use a hundred particles or more.

        Parameters
        ----------
        kappa : float
            The reach of a particle's consensus, in units of the cube: below the distance of two minima.
        """
        return cls(
            dt=0.2,
            noise=Noise(kind="component", sigma=1.0),
            alpha=Alpha(schedule="multiply", start=10.0),
            batch=None,
            subset=None,
            jumps=None,
            polarised=Polarised(kappa=kappa),
        )

    @classmethod
    def hops(cls, *, learning_rate: float, radius: float) -> Settings:
        """Return consensus hopping: steps close to -learning_rate * gradient, of f smoothed over `radius`."""
        hopping = Hopping(learning_rate=learning_rate, radius=radius)
        return cls(batch=None, memory=None, subset=None, jumps=None, hopping=hopping)
