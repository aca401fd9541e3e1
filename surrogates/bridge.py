"""A conditional Brownian bridge: a diffusion from low-valued to high-valued points, told both values.

Index t = 0 .. T - 1, m_t from 0.001 to 0.999; between the high end x_0 and the low end x_T
x_t = (1 - m_t) x_0 + m_t x_T + sqrt(delta_t) e, with delta_t = c m_t (1 - m_t): c = 1 is the paper's bridge, c = 2 the
authors' program's. A network learns x_t - x_0 from x_t, t and the two values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from blackbox._arguments import whole_number
from blackbox.errors import SettingError

__all__ = ["Bridge", "BridgeSampling", "BridgeSettings", "Pairs", "Schedule", "sample_bridge"]

Predictor: TypeAlias = Callable[[Tensor, int], Tensor]

_ENDS = (0.001, 0.999)


@dataclass(frozen=True)
class Pairs:
    """Low and high ends with their standardised values.

    Attributes
    ----------
    low, high : Tensor, shape (n, d)
    low_value, high_value : Tensor, shape (n,)
    """

    low: Tensor
    high: Tensor
    low_value: Tensor
    high_value: Tensor

    def __len__(self) -> int:
        return len(self.low)

    def __getitem__(self, rows: slice | Tensor) -> Pairs:
        return Pairs(self.low[rows], self.high[rows], self.low_value[rows], self.high_value[rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeSettings:
    """How a bridge looks and learns.

    Parameters
    ----------
    width, depth : int, default 256, 3
        Of the hidden layers.
    indices : int, default 1000
        T.
    variance : {"paper", "doubled"}, default "paper"
        c = 1, equation 10 of the paper; or c = 2, the authors' program.
    time : {"scaled", "index"}, default "scaled"
        Whether the network sees m_t, or the number t as it is (the authors' program).
    unconditional : float, default 0.15
        The share of pairs whose two values are replaced by 0 (the mean), for guidance.
    learning_rate : float, default 1e-3
        Of Adam.
    schedule : {"cosine", "plateau"}, default "cosine"
        To zero over the epochs; or halved where the loss of single batches stops falling, 200 steps of patience and
        200 of cooldown (the authors' program).
    batch_size : int, default 128
        Pairs a step. (The authors' program adds the gradients of two batches of 64.)
    average_decay, average_every, average_from : float, int, int, default 0.95, 8, 200
        The average of weights that sampling uses: its decay, steps between updates, and the step until which it is
        a copy. (The authors' program: 0.995, 8, 2000, for ten times as many steps.)
    validation_share : float, default 0.1
        Share of an epoch's pairs that is held out.
    patience : int, optional
        Stop after so many epochs in which the loss on held-out pairs did not fall; the best weights are kept.
        Default: never stop early, keep the last.
    """

    width: int = 256
    depth: int = 3
    indices: int = 1000
    variance: Literal["paper", "doubled"] = "paper"
    time: Literal["scaled", "index"] = "scaled"
    unconditional: float = 0.15
    learning_rate: float = 1e-3
    schedule: Literal["cosine", "plateau"] = "cosine"
    batch_size: int = 128
    average_decay: float = 0.95
    average_every: int = 8
    average_from: int = 200
    validation_share: float = 0.1
    patience: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("width", 1), ("depth", 1), ("indices", 2), ("batch_size", 1), ("average_every", 1)):
            whole_number(getattr(self, name), name, least)
        whole_number(self.average_from, "average_from", 0)
        if self.patience is not None:
            whole_number(self.patience, "patience", 1)
        _choice("variance", self.variance, ("paper", "doubled"))
        _choice("time", self.time, ("scaled", "index"))
        _choice("schedule", self.schedule, ("cosine", "plateau"))
        for name, most in (("unconditional", 1.0), ("average_decay", 1.0), ("validation_share", 0.9)):
            _number(name, getattr(self, name), 0.0, most)
        if not self.learning_rate > 0:
            raise SettingError(f"learning_rate: expected a number > 0, got {self.learning_rate!r}")
        if self.patience is not None and not self.validation_share:
            raise SettingError("validation_share: expected a share > 0, since patience is set, got 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeSampling:
    """How points are sent from their low end to a high one.

    Parameters
    ----------
    steps : int, default 25
        Evaluations of the network, at most T.
    noise : float, default 1.0
        What the added noise is multiplied by; the mean of a step is that of noise 1. (The authors' program: 0.2.)
    guidance : float, default 0.0
        w of (1 + w) conditional - w unconditional: 0 is the conditional bridge, -1 the unconditional one.
    swapped : bool, default False
        Give the two values to the network in the wrong order, as the authors' program does in sampling.
    """

    steps: int = 25
    noise: float = 1.0
    guidance: float = 0.0
    swapped: bool = False

    def __post_init__(self) -> None:
        whole_number(self.steps, "steps", 2)
        _number("noise", self.noise, 0.0, 10.0)
        _number("guidance", self.guidance, -100.0, 100.0)
        if not isinstance(self.swapped, bool):
            raise SettingError(f"swapped: expected True or False, got {self.swapped!r}")


def _choice(name: str, value: object, options: tuple[str, ...]) -> None:
    if value not in options:
        raise SettingError(f"{name}: expected one of {', '.join(options)}, got {value!r}")


def _number(name: str, value: object, least: float, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise SettingError(f"{name}: expected a number in [{least:g}, {most:g}], got {value!r}")


@dataclass(frozen=True, slots=True)
class Schedule:
    """The bridge between its ends: the share m_t of the low end, and the variance delta_t, both of shape (T,)."""

    share: Tensor
    variance: Tensor

    @classmethod
    def of(cls, settings: BridgeSettings, device: torch.device | str = "cpu") -> Schedule:
        """Return the schedule of some settings, float32."""
        share = torch.linspace(*_ENDS, settings.indices, dtype=torch.float64)
        factor = 2.0 if settings.variance == "doubled" else 1.0
        variance = factor * (share - share.square())
        return cls(share.to(device, torch.float32), variance.to(device, torch.float32))

    def between(self, high: Tensor, low: Tensor, t: Tensor, normal: Tensor) -> Tensor:
        """Return x_t for ends of shape (n, d), indices (n,) and standard normal numbers (n, d)."""
        share = self.share[t, None]
        return torch.lerp(high, low, share) + self.variance[t, None].sqrt() * normal

    def indices(self, steps: int) -> list[int]:
        """Return at most so many indices from T - 1 down to 0, the last two 1 and 0."""
        last = len(self.share) - 1
        strided = torch.linspace(last, 1, min(steps, last + 1) - 1).round().long()
        return [*dict.fromkeys(strided.tolist()), 0]


@dataclass(frozen=True)
class Bridge:
    """A trained bridge; saved and restored as it stands.

    Attributes
    ----------
    weights, biases : list of Tensor, shapes (out, in) and (out,), float32
        The averaged weights of the layers.
    settings : BridgeSettings
    epochs : int
        How many were trained.
    pairs : int
        How many pairs were trained on, over all epochs.
    loss : float
        The mean absolute error of the last epoch.
    """

    weights: list[Tensor]
    biases: list[Tensor]
    settings: BridgeSettings
    epochs: int = 0
    pairs: int = 0
    loss: float = float("nan")

    def predict(self, x: Tensor, time: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Return x_t - x_0 as the network sees it, shape (n, d).

        Parameters
        ----------
        x : Tensor, shape (n, d)
        time : Tensor, shape (n,)
            m_t, or t for `time="index"`.
        first, second : Tensor, shape (n,)
            The values of the high and of the low end.
        """
        return network(self.weights, self.biases, x, time, first, second)

    def sample(
        self, low: Tensor, low_value: Tensor, high_value: Tensor, how: BridgeSampling, generator: torch.Generator
    ) -> Tensor:
        """Return a high end for each low end, shape (n, d), float32.

        Parameters
        ----------
        low : Tensor, shape (n, d)
        low_value, high_value : Tensor, shape (n,)
            Standardised: what the points have, and what is wanted.
        how : BridgeSampling
        generator : torch.Generator
        """
        low = low.to(torch.float32)
        values = [high_value.to(low), low_value.to(low)]
        first, second = reversed(values) if how.swapped else values
        schedule = Schedule.of(self.settings, low.device)
        zero = torch.zeros_like(first)

        def predict(x: Tensor, t: int) -> Tensor:
            time = torch.full_like(first, t) if self.settings.time == "index" else schedule.share[t].expand(len(x))
            if not how.guidance:
                return self.predict(x, time, first, second)
            both = [torch.cat(pair) for pair in ((x, x), (time, time), (first, zero), (second, zero))]
            told, untold = self.predict(both[0], both[1], both[2], both[3]).chunk(2)
            return torch.lerp(untold, told, 1 + how.guidance)

        return sample_bridge(predict, low, schedule, how, generator)


def network(
    weights: list[Tensor], biases: list[Tensor], x: Tensor, time: Tensor, first: Tensor, second: Tensor
) -> Tensor:
    """Return the output of the layers, with Swish between them, shape (n, d)."""
    hidden = torch.cat([x, time[:, None], first[:, None], second[:, None]], 1)
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        hidden = functional.silu(functional.linear(hidden, weight, bias))
    return functional.linear(hidden, weights[-1], biases[-1])


def sample_bridge(
    predict: Predictor, low: Tensor, schedule: Schedule, how: BridgeSampling, generator: torch.Generator
) -> Tensor:
    """Walk from the low ends back to t = 0 and return the high ends, shape (n, d).

    Parameters
    ----------
    predict : callable
        Returns x_t - x_0 for points x_t, shape (n, d), and an index t.
    low : Tensor, shape (n, d)

    References
    ----------
    Li, Xue, Liu, Lai, *BBDM: image-to-image translation with Brownian bridge diffusion models*, CVPR 2023,
    algorithm 2.
    """
    m, delta = schedule.share.to(low), schedule.variance.to(low)
    x = low
    for t, n in pairwise(schedule.indices(how.steps)):
        start = x - predict(x, t)
        ratio = (1 - m[t]) / (1 - m[n])
        spread = ((delta[t] - delta[n] * ratio**2) * delta[n] / delta[t]).clamp(min=0.0)
        keep = ((delta[n] - spread).clamp(min=0.0) / delta[t]).sqrt()
        normal = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        x = torch.lerp(start, low, m[n]) + keep * (x - torch.lerp(start, low, m[t]))
        x = x + how.noise * spread.sqrt() * normal
    return x - predict(x, 0)
