"""What the fault tests run in processes of their own, and a small algorithm whose every step depends on all before."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import blackbox as bb
from blackbox.algorithm import Candidates, Capabilities, Front, Request, Seen, Spec
from blackbox.problem import Problem

SPACE = bb.Space({"x": bb.Real(-3.0, 3.0), "k": bb.Integer(0, 3)})


@dataclass(frozen=True)
class Walk:
    """The best point so far, and how many points were told."""

    best: Tensor
    value: float
    told: int


@dataclass(frozen=True)
class HillClimb:
    """Steps from the best point so far: every candidate depends on all that was told, in order."""

    step: float = 0.2
    generation: int = 0  # 0: asynchronous

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(objectives=(1, 1), asynchronous=not self.generation)

    def init(self, spec: Spec, generator: torch.Generator) -> Walk:
        return Walk(spec.space.to_unit(((spec.lower + spec.upper) / 2).round()[None])[0], float("inf"), 0)

    def ready(self, spec: Spec, state: Walk, pending: int) -> int:
        return self.generation or 2**20

    def ask(self, spec: Spec, state: Walk, request: Request, generator: torch.Generator) -> tuple[Walk, Candidates]:
        noise = torch.randn((request.n, spec.dim), generator=generator, dtype=spec.dtype)
        u = (state.best + self.step * noise + 1e-6 * state.told).clamp(0, 1)
        return state, Candidates(spec.space.from_unit(u))

    def tell(self, spec: Spec, state: Walk, seen: Seen, generator: torch.Generator) -> Walk:
        state = replace(state, told=state.told + len(seen))
        usable = seen.values[~seen.failed]
        if len(usable) and float(usable.min()) < state.value:
            row = seen.values[:, 0].nan_to_num(nan=float("inf")).argmin()
            state = replace(state, best=spec.space.to_unit(seen.x[row][None])[0], value=float(seen.values[row, 0]))
        return state

    def result(self, spec: Spec, state: Walk) -> Front | None:
        return None


def bowl(config: Mapping[str, Any]) -> float:
    """A deterministic objective."""
    return float((config["x"] - 1.0) ** 2 + 0.1 * config["k"])


def problem(function: Callable[[Mapping[str, Any]], Any] = bowl) -> Problem:
    return Problem.from_function(function, SPACE)


class Noted:
    """The bowl, noting each start in a file, a line with the process id and the point."""

    def __init__(self, notes: Path, seconds: float) -> None:
        self.notes, self.seconds = notes, seconds

    def __call__(self, config: Mapping[str, Any]) -> float:
        note(self.notes, f"{os.getpid()} {config['x']!r} {config['k']}")
        time.sleep(self.seconds)
        return bowl(config)


def note(path: Path, line: str) -> None:
    """Append a line in one write, so that lines of several processes do not mix."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, f"{line}\n".encode())
    os.close(file)


def mishap(config: Mapping[str, Any]) -> float:
    """An objective that goes wrong in the way that `kind` names."""
    kind = config["kind"]
    if kind == "exits":
        os._exit(7)
    if kind == "quits":
        sys.exit("enough")
    if kind == "interrupts":
        raise KeyboardInterrupt
    if kind == "crashes":
        ctypes.string_at(0)
    if kind == "hangs":
        time.sleep(600)
    if kind == "shouts":
        for _ in range(100):
            os.write(1, b"x" * 1_000_000)
        raise RuntimeError("after 100 MB")
    if kind == "unpicklable":
        raise UnpicklableError(lambda: None)
    if kind == "unprintable":
        raise UnprintableError
    if kind == "forks" and os.fork() == 0:
        return 0.0
    if kind == "starts" and os.fork() == 0:  # a child that outlives its parent, unless the group is killed
        time.sleep(600)
    if kind == "hangs_with_child":
        if os.fork() == 0:
            note(Path(os.environ["BLACKBOX_TEST_NOTES"]), str(os.getpid()))
        time.sleep(600)
    if kind == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    return 1.0


class UnpicklableError(Exception):
    """Holds what cannot be sent to another process."""


class UnprintableError(Exception):
    """Cannot even be shown."""

    def __str__(self) -> str:
        raise RuntimeError("broken")
