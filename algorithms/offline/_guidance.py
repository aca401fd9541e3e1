"""Guided sampling: N streams of designs that follow a flow and the gradient of what is predicted, and compete with
their neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from blackbox._arguments import whole_number
from blackbox.algorithms.offline._archive import Archive, Elite
from blackbox.algorithms.offline._streams import Frame, Scalarisation, Streams, alignment, worth
from blackbox.errors import SettingError
from blackbox.surrogates.flow import integrate
from blackbox.surrogates.reporting import report

__all__ = ["Box", "Guidance", "Sampled", "sample_guided"]

Cone = Literal["gain", "centred", "none"]
Velocity = Callable[[Tensor, float], Tensor]
Predict = Callable[[Tensor], Tensor]

_STAGE = "sampling designs"
_PARTS = (8, 4, 2, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guidance:
    """How designs are sampled.

    Parameters
    ----------
    streams : int, default 300
        Weight vectors, at least so many: the fewest that make a whole lattice.
    neighbours : int, optional
        Streams that exchange designs, itself included. Default: m + 1.
    offspring : int, default 5
        Noisy copies of each design a step.
    strength : float, default 5
        With a "unit" gradient, how far it carries a design in the first pass, in standard deviations of the data and
        root mean square of the columns; with each further pass by `closer` less. With a "plain" one, as published,
        gamma: the factor of (1 - t) / t times the gradient, of which 2 hardly moves anything.
    gradient : {"unit", "plain"}, default "unit"
        Whether the gradient of each design is scaled to the length sqrt(d), so that `strength` means the same
        whatever the predictors, and its factors (1 - t) / t to the sum 1.
    guided_from : float in (0, 1), default 0.8
        The time up to which the flow is followed alone.
    noise : float, default 0.5
        g: the deviation of offspring is g sqrt(dt); 0.1 as published.
    warm_steps : int, default 16
        Steps up to `guided_from`.
    method : {"heun", "euler"}, default "heun"
        How those steps are made.
    guided_steps : int, default 20
        Steps from `guided_from` to 1.
    rounds : int, default 8
        Passes of the guided part; one as published. From the second on, streams start from their archived designs,
        carried back along the straight path with fresh noise to a time that comes closer to 1 with each pass.
    closer : float in (0, 1], default 0.7
        What the time that is left, 1 - `guided_from`, is multiplied by from pass to pass.
    scalarisation : {"weighted_sum", "tchebycheff", "ray"}, default "tchebycheff"
        What a prediction is worth for a weight.
    cone : {"gain", "centred", "none"}, default "gain"
        Which of the neighbours' designs a stream may take: those whose gain (nadir - f) / (nadir - ideal), or whose
        -f in standardised units, as published, is within the cone of its weight; or any.
    cone_width : float, default 8
        What the opening angles of the cones are multiplied by; 1 as published.
    through_flow : bool, default False
        Whether the gradient goes through the velocity, too. As published, the velocity is a constant in it.
    elite : int, default 2000
        Designs seen on the way that are kept beside the archive; 0 for none, as published.
    """

    streams: int = 300
    neighbours: int | None = None
    offspring: int = 5
    strength: float = 5.0
    gradient: Literal["unit", "plain"] = "unit"
    guided_from: float = 0.8
    noise: float = 0.5
    warm_steps: int = 16
    method: Literal["heun", "euler"] = "heun"
    guided_steps: int = 20
    rounds: int = 8
    closer: float = 0.7
    scalarisation: Scalarisation = "tchebycheff"
    cone: Cone = "gain"
    cone_width: float = 8.0
    through_flow: bool = False
    elite: int = 2000

    def __post_init__(self) -> None:
        for name in ("streams", "offspring", "warm_steps", "guided_steps", "rounds"):
            whole_number(getattr(self, name), name, 1)
        whole_number(self.elite, "elite", 0)
        if self.neighbours is not None:
            whole_number(self.neighbours, "neighbours", 1)
        choices: dict[str, tuple[str, ...]] = {
            "method": ("heun", "euler"),
            "gradient": ("unit", "plain"),
            "scalarisation": get_args(Scalarisation),
            "cone": get_args(Cone),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise SettingError(f"{name}: expected one of {list(allowed)}, got {getattr(self, name)!r}")
        for name in ("strength", "noise", "cone_width"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise SettingError(f"{name}: expected a finite number >= 0, got {getattr(self, name)!r}")
        if not 0 < self.guided_from < 1:
            raise SettingError(f"guided_from: expected a number in (0, 1), got {self.guided_from!r}")
        if not 0 < self.closer <= 1:
            raise SettingError(f"closer: expected a number in (0, 1], got {self.closer!r}")

    @classmethod
    def published(cls) -> Guidance:
        """Return the settings of the paper: 1000 Euler steps, weighted sums, no elite.

        The cone is the sound one, not that of the code, and archives start with the best points, not the worst.
        """
        return cls(
            noise=0.1,
            strength=2.0,
            gradient="plain",
            warm_steps=800,
            method="euler",
            guided_steps=200,
            rounds=1,
            scalarisation="weighted_sum",
            cone_width=1.0,
            elite=0,
        )


@dataclass(frozen=True, slots=True)
class Box:
    """Bounds in the units of the model, each of shape (d,)."""

    lower: Tensor
    upper: Tensor

    def clip(self, x: Tensor) -> Tensor:
        """Return the nearest point inside."""
        return torch.minimum(torch.maximum(x, self.lower), self.upper)


@dataclass(frozen=True, slots=True)
class Sampled:
    """What was found.

    Attributes
    ----------
    archive : Archive
    elite : Elite
    way : list of Archive
        The archive at the start, after an eighth, a quarter and half of the first pass, and after each pass but the
        last: from the data to what is predicted to be best.
    """

    archive: Archive
    elite: Elite
    way: list[Archive]


@dataclass(frozen=True, slots=True)
class _Step:
    """Designs on their way at one time: where they are, their velocity there, and the design they lead to."""

    x: Tensor
    velocity: Tensor
    design: Tensor

    def __getitem__(self, rows: Tensor) -> _Step:
        return _Step(self.x[rows], self.velocity[rows], self.design[rows])


def sample_guided(
    velocity: Velocity,
    predict: Predict,
    start: Archive,
    streams: Streams,
    box: Box,
    settings: Guidance,
    generator: torch.Generator,
) -> Sampled:
    """Return the best design of each stream, the best of all designs on the way, and the way itself.

    Parameters
    ----------
    velocity : callable (x of shape (n, d), t) -> Tensor, shape (n, d)
        Of a flow from N(0, I) at time 0 to designs at time 1.
    predict : callable (x of shape (n, d)) -> Tensor, shape (n, m)
        Objectives to minimise, standardised, differentiable.
    start : Archive
        The best known design of each stream.
    streams : Streams
    box : Box
    settings : Guidance
    generator : torch.Generator
        On the device of the streams.

    References
    ----------
    Y. Yuan et al., ParetoFlow: guided flows in multi-objective optimization, ICLR 2025, section 3 and algorithm 1,
    equations 7 to 12. Deviations: second-order steps before guidance begins; the designs that streams lead to are
    clipped to the box and the streams moved accordingly; cones and scalarisations of `Guidance`; the velocity of a
    chosen offspring serves as that of the next step.
    """
    n, d = len(streams), start.x.shape[1]
    archive, elite = start, Elite(start.x, start.values, max(1, settings.elite))
    way = [start]
    marks = [{max(1, settings.guided_steps // part) for part in parts} for parts in (_PARTS, (1,))]
    for round_ in range(settings.rounds):
        early = 1.0 - (1.0 - settings.guided_from) * settings.closer**round_
        x = torch.randn((n, d), generator=generator, dtype=start.x.dtype, device=start.x.device)
        with torch.no_grad():
            if round_ == 0:
                x = integrate(velocity, x, 0.0, early, settings.warm_steps, method=settings.method)
            else:
                x = torch.lerp(x, archive.x, early)
            now = _seen(velocity, x, early, box)
        dt = (1.0 - early) / settings.guided_steps
        for step in range(settings.guided_steps):
            t = early + step * dt
            push = _push(settings, round_, t, dt)
            moved = now.x + now.velocity * dt
            frame = Frame.of(archive.values)
            if push:
                moved = moved + push * _uphill(velocity, predict, now, t, streams, frame, box, settings)
            now, values = _compete(velocity, predict, moved, t + dt, dt, streams, frame, box, settings, generator)
            archive = archive.improved(now.design, values, streams, frame, settings.scalarisation)
            if settings.elite:
                elite.add(now.design, values)
            if step + 1 in marks[round_ > 0]:
                way.append(archive)
            report(_STAGE, round_ * settings.guided_steps + step + 1, settings.rounds * settings.guided_steps)
    elite.settle()
    return Sampled(archive, elite, way[:-1])


def _seen(velocity: Velocity, x: Tensor, t: float, box: Box) -> _Step:
    """Return points at time t with the designs they lead to, both moved so that these are in the box."""
    v = velocity(x, t)
    ahead = x + (1.0 - t) * v
    design = box.clip(ahead)
    return _Step(x + (design - ahead), v, design)


def _push(settings: Guidance, round_: int, t: float, dt: float) -> float:
    """Return the factor of the gradient in the step from time t."""
    factor = dt * (1.0 - t) / max(t, dt)
    if settings.gradient == "plain":
        return settings.strength * factor
    left = (1.0 - settings.guided_from) * settings.closer**round_
    whole = -math.log1p(-left) - left  # the integral of (1 - t) / t
    return settings.strength * settings.closer**round_ * factor / whole


def _uphill(
    velocity: Velocity,
    predict: Predict,
    now: _Step,
    t: float,
    streams: Streams,
    frame: Frame,
    box: Box,
    settings: Guidance,
) -> Tensor:
    """Return the gradient of what the designs are worth, shape (N, d)."""
    with torch.enable_grad():
        x = (now.x if settings.through_flow else now.design).detach().requires_grad_()
        design = box.clip(x + (1.0 - t) * velocity(x, t)) if settings.through_flow else x
        total = worth(predict(design), streams.weights, frame, settings.scalarisation).sum()
        (gradient,) = torch.autograd.grad(total, x)
    if settings.gradient == "unit":
        length = gradient.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        gradient = gradient * (gradient.shape[1] ** 0.5 / length)
    return gradient


def _compete(
    velocity: Velocity,
    predict: Predict,
    moved: Tensor,
    t: float,
    dt: float,
    streams: Streams,
    frame: Frame,
    box: Box,
    settings: Guidance,
    generator: torch.Generator,
) -> tuple[_Step, Tensor]:
    """Return for each stream the best offspring of its neighbourhood, and what is predicted for it."""
    (n, d), copies = moved.shape, settings.offspring
    noise = torch.randn((n, copies, d), generator=generator, dtype=moved.dtype, device=moved.device)
    offspring = (moved.unsqueeze(1) + settings.noise * dt**0.5 * noise).reshape(n * copies, d)
    with torch.no_grad():
        born = _seen(velocity, offspring, t, box)
        values = predict(born.design)
    pool = streams.neighbours.unsqueeze(-1) * copies + torch.arange(copies, device=moved.device)
    pool = pool.reshape(n, -1)
    offered, weights = values[pool], streams.weights.unsqueeze(1)
    score = worth(offered, weights, frame, settings.scalarisation)
    if settings.cone != "none":
        cosine = alignment(offered, weights, frame, settings.scalarisation, centred=settings.cone == "centred")
        inside = cosine >= streams.cone.unsqueeze(-1)
        nearest = torch.where(inside.any(-1, keepdim=True), -torch.inf, cosine)
        score = torch.where(inside, score, nearest)  # none inside: the one with the smallest angle
    chosen = pool.gather(1, score.argmax(-1, keepdim=True)).squeeze(1)
    return born[chosen], values[chosen]
