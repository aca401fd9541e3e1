"""How a bridge is trained: from epochs of pairs that are made as they are needed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from blackbox.errors import SettingError
from blackbox.surrogates.bridge import Bridge, BridgeSettings, Pairs, Schedule, network
from blackbox.surrogates.reporting import is_watched, report

__all__ = ["fit_bridge"]

_STAGE = "training the bridge"
_SPREAD = 0.02  # of the first weights
_HELD_OUT = 4096  # pairs that the loss of validation is computed on, at most: the latest ones
_GAIN = 1e-3  # by what share the loss of validation must fall to count as better


def fit_bridge(pairs: Iterable[Pairs], settings: BridgeSettings, generator: torch.Generator, *, epochs: int) -> Bridge:
    """Train a bridge, one pass over each of the given sets of pairs.

    The loss is the mean absolute error of x_t - x_0, with t uniform over 0 .. T - 1; `reporting.watching` hears of
    each epoch.

    Parameters
    ----------
    pairs : iterable of Pairs
        One an epoch; made while training goes on, if it is a generator. The device is theirs.
    settings : BridgeSettings
    generator : torch.Generator
        On the device of the pairs.
    epochs : int
        How many there are; the learning rate is planned with it.

    Raises
    ------
    SettingError
        If there is not one pair.
    """
    trainer: _Trainer | None = None
    for epoch, found in enumerate(pairs):
        if len(found):
            if trainer is None:
                trainer = _Trainer.start(found, settings, generator)
            held = int(len(found) * settings.validation_share) if settings.validation_share else 0
            trainer.epoch(found[held:], epoch, epochs)
            if held and (settings.patience is not None or is_watched()):
                trainer.validate(found[:held])
            report(_STAGE, epoch + 1, epochs, trainer.figures() if is_watched() else None)
            if trainer.is_done():
                break
    if trainer is None:
        raise SettingError("pairs: expected one pair at least, got none")
    return trainer.bridge()


@dataclass
class _Plateau:
    """Halves the learning rate where the loss stops falling; on the device, without waiting for it."""

    best: Tensor
    bad: Tensor
    cooling: Tensor

    @classmethod
    def start(cls, device: torch.device) -> _Plateau:
        return cls(torch.full((), math.inf, device=device), *(torch.zeros((), device=device) for _ in range(2)))

    def step(self, loss: Tensor, rate: Tensor) -> None:
        better = loss < self.best * (1 - 1e-4)
        self.best = torch.where(better, loss, self.best)
        resting = self.cooling > 0
        self.bad = torch.where(better | resting, 0.0, self.bad + 1)
        self.cooling = (self.cooling - 1).clamp(min=0.0)
        tired = self.bad > 200
        rate.copy_(torch.where(tired, (rate * 0.5).clamp(min=5e-7), rate))
        self.cooling = torch.where(tired, 200.0, self.cooling)
        self.bad = torch.where(tired, 0.0, self.bad)


@dataclass
class _Trainer:
    settings: BridgeSettings
    generator: torch.Generator
    schedule: Schedule
    parameters: list[Tensor]
    average: list[Tensor]
    optimizer: torch.optim.Adam
    rate: Tensor
    plateau: _Plateau
    steps: int = 0
    pairs: int = 0
    epochs: int = 0
    loss: Tensor | None = None
    held: Pairs | None = None
    best: tuple[float, list[Tensor]] | None = None
    validation: float = math.nan
    bad: int = 0

    @classmethod
    def start(cls, pairs: Pairs, settings: BridgeSettings, generator: torch.Generator) -> _Trainer:
        device, d = pairs.low.device, pairs.low.shape[1]
        widths = [d + 3, *[settings.width] * settings.depth, d]
        weights, biases = [], []
        for fan_in, fan_out in pairwise(widths):
            normal = torch.randn((fan_out, fan_in), generator=generator, device=device)
            uniform = torch.rand(fan_out, generator=generator, device=device)
            weights.append((normal * _SPREAD).requires_grad_())
            biases.append(((2 * uniform - 1) / math.sqrt(fan_in)).requires_grad_())
        parameters = weights + biases
        rate = torch.tensor(settings.learning_rate, device=device)
        optimizer = torch.optim.Adam(parameters, lr=rate, fused=True)
        average = [p.detach().clone() for p in parameters]
        schedule = Schedule.of(settings, device)
        return cls(settings, generator, schedule, parameters, average, optimizer, rate, _Plateau.start(device))

    def epoch(self, pairs: Pairs, epoch: int, epochs: int) -> None:
        """Pass once over the pairs, in random order."""
        low, high = pairs.low.to(torch.float32), pairs.high.to(torch.float32)
        first, second = pairs.high_value.to(torch.float32), pairs.low_value.to(torch.float32)
        n, size = len(pairs), self.settings.batch_size
        order = torch.randperm(n, generator=self.generator, device=low.device)
        total = torch.zeros((), device=low.device)
        for start in range(0, n, size):
            rows = order[start : start + size]
            if self.settings.schedule == "cosine":
                self.rate.fill_(self._cosine((epoch + start / n) / epochs))
            batch = (low[rows], high[rows], first[rows], second[rows])
            loss = self._loss(self.parameters, *batch, self.generator, dropping=True)
            self._step(loss)
            total += loss.detach() * len(rows)
        self.loss, self.pairs, self.epochs = total / max(n, 1), self.pairs + n, epoch + 1

    def _cosine(self, done: float) -> float:
        return self.settings.learning_rate * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))

    def _step(self, loss: Tensor) -> None:
        for parameter, gradient in zip(self.parameters, torch.autograd.grad(loss, self.parameters), strict=True):
            parameter.grad = gradient
        self.optimizer.step()
        if self.settings.schedule == "plateau":
            self.plateau.step(loss.detach(), self.rate)
        self.steps += 1
        if self.steps % self.settings.average_every == 0:
            self._move_average()

    @torch.no_grad()
    def _move_average(self) -> None:
        share = 1.0 if self.steps <= self.settings.average_from else 1 - self.settings.average_decay
        torch._foreach_lerp_(self.average, self.parameters, share)

    def _loss(
        self,
        parameters: list[Tensor],
        low: Tensor,
        high: Tensor,
        first: Tensor,
        second: Tensor,
        generator: torch.Generator,
        *,
        dropping: bool,
    ) -> Tensor:
        n, device = len(low), low.device
        t = torch.randint(self.settings.indices, (n,), generator=generator, device=device)
        x = self.schedule.between(high, low, t, torch.randn(low.shape, generator=generator, device=device))
        if dropping:
            told = torch.rand(n, generator=generator, device=device) >= self.settings.unconditional
            first, second = first * told, second * told
        time = t.to(x) if self.settings.time == "index" else self.schedule.share[t]
        layers = self.settings.depth + 1
        found = network(parameters[:layers], parameters[layers:], x, time, first, second)
        return (found - (x - high)).abs().mean()

    @torch.no_grad()
    def validate(self, pairs: Pairs) -> None:
        """Add held-out pairs, and compare the averaged weights with the best so far."""
        held = pairs if self.held is None else _joined(self.held, pairs)
        self.held = held[-_HELD_OUT:]
        self.settle()
        columns = (self.held.low, self.held.high, self.held.high_value, self.held.low_value)
        low, high, first, second = (column.to(torch.float32) for column in columns)
        same = torch.Generator(low.device).manual_seed(0)  # the same noise every time, and none of the run's own
        self.validation = float(self._loss(self.average, low, high, first, second, same, dropping=False))
        if self.settings.patience is None:
            return
        if self.best is None or self.validation < self.best[0] * (1 - _GAIN):
            self.best, self.bad = (self.validation, [a.clone() for a in self.average]), 0
        else:
            self.bad += 1

    def settle(self) -> None:
        """Copy the weights while the average is still a copy of them."""
        if self.steps <= self.settings.average_from:
            with torch.no_grad():
                torch._foreach_copy_(self.average, self.parameters)

    def is_done(self) -> bool:
        """Whether training has stopped early."""
        return self.settings.patience is not None and self.bad >= self.settings.patience

    def figures(self) -> dict[str, float]:
        """Return the losses of training and validation."""
        return {"loss": math.nan if self.loss is None else float(self.loss), "validation": self.validation}

    def bridge(self) -> Bridge:
        """Return the trained bridge."""
        self.settle()
        found = self.average if self.best is None else self.best[1]
        layers = self.settings.depth + 1
        loss = math.nan if self.loss is None else float(self.loss)
        return Bridge(found[:layers], found[layers:], self.settings, self.epochs, self.pairs, loss)


def _joined(first: Pairs, second: Pairs) -> Pairs:
    names = ("low", "high", "low_value", "high_value")
    return Pairs(*(torch.cat([getattr(first, name), getattr(second, name)]) for name in names))
