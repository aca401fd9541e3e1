"""Parts of a sweep: runs that are one tensor program, in this process or in one beside it."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import torch

from blackbox._main_guard import check_main_guard
from blackbox._sweep_plan import Budget, Task
from blackbox._sweep_runs import BatchRun, Finished, UnevenError
from blackbox.algorithm import Algorithm
from blackbox.errors import StateError, StudyError
from blackbox.problem import Problem
from blackbox.problems._box import BoxProblem

__all__ = ["Helper", "Part", "Setting", "can_fork", "can_spawn", "run_part"]

_REPORT_EVERY = 0.1  # seconds


@dataclass(frozen=True, slots=True)
class Setting:
    """What all runs of a sweep share."""

    algorithms: Mapping[str, Algorithm[Any]]
    problems: Mapping[str, Problem]
    budget: Budget
    device: str
    dtype: torch.dtype | None


@dataclass(frozen=True, slots=True)
class Part:
    """Runs that are one program: from the start, or from a state of `BatchRun`.

    Attributes
    ----------
    tasks : tuple of Task
    state : mapping, optional
    stays : bool
        It runs in this process and is not shared: it has failed in another one.
    """

    tasks: tuple[Task, ...]
    state: Mapping[str, Any] | None = None
    stays: bool = False

    @property
    def key(self) -> str:
        """What its checkpoint is known by: the keys of its runs."""
        return ",".join(task.key for task in self.tasks)

    @property
    def generation(self) -> int:
        """How many generations are done."""
        return 0 if self.state is None else int(self.state["generation"])

    def taken(self, rows: Sequence[int]) -> Part:
        """Return the part that holds some of the runs, by their places."""
        tasks = tuple(self.tasks[row] for row in rows)
        return Part(tasks, None if self.state is None else _taken(self.state, rows))

    def cut(self, counts: Sequence[int]) -> list[Part]:
        """Return parts of so many runs each, one after the other."""
        starts = [sum(counts[:i]) for i in range(len(counts))]
        return [self.taken(range(start, start + count)) for start, count in zip(starts, counts, strict=True)]


def _taken(state: Mapping[str, Any], rows: Sequence[int]) -> dict[str, Any]:
    """Return the state of some of the runs."""
    chosen, batch = list(rows), state["batch"]
    share = len(chosen) / len(state["failed"])
    return {
        "batch": {
            **{name: batch[name][chosen] for name in ("x", "values", "violations", "pool")},
            "memory": {name: tensor[chosen] for name, tensor in batch["memory"].items()},
            "told": batch["told"],
            "generators": [batch["generators"][row] for row in chosen],
        },
        "best": None if state["best"] is None else state["best"][chosen],
        "failed": state["failed"][chosen],
        "generation": state["generation"],
        "seconds": share * state["seconds"],
    }


def run_part(
    setting: Setting, part: Part, look: Callable[[BatchRun], bool]
) -> tuple[list[Finished] | None, dict[str, Any] | None]:
    """Return what the runs end with, or their state where `look`, called after every generation, has said to stop."""
    algorithms = [setting.algorithms[task.algorithm] for task in part.tasks]
    problem, seeds = setting.problems[part.tasks[0].problem], [task.seed for task in part.tasks]
    for apart in (False, True):
        batch = BatchRun(algorithms, problem, seeds, setting.budget, setting.device, setting.dtype, apart=apart)
        if part.state is not None and not apart:
            _restore(batch, part.state)
        try:
            runs = batch.run(look)
        except UnevenError:
            continue
        return runs, batch.state() if runs is None else None
    raise AssertionError("runs that are evaluated apart cannot be uneven")


def _restore(batch: BatchRun, state: Mapping[str, Any]) -> None:
    try:
        batch.restore(state)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise StateError(f"file: the checkpoint of a group of runs is damaged: {error!r}") from None


def can_fork(problem: Problem) -> bool:
    """Return whether a copy of this process can go on with runs on a problem.

    It starts at once, and is safe for what only computes with tensors, in a process with one thread: the test problems
    of this package do. What else a problem may hold (locks, sockets, libraries with threads) may not survive it.
    """
    of_the_package = isinstance(problem, BoxProblem) and type(problem).__module__.startswith("blackbox.problems.")
    return of_the_package and sys.platform == "linux" and threading.active_count() == 1


def can_spawn() -> bool:
    """Return whether the running script lets itself be imported by other processes."""
    try:
        check_main_guard()
    except StudyError:
        return False
    return True


class Helper:
    """A process that goes on with a part, reports how far it is, and can be asked to give it back.

    Parameters
    ----------
    setting : Setting
    part : Part
    forked : bool
        Whether it is a copy of this process, or a fresh one that is sent everything.
    checkpoint_every : float
        Seconds between two states that it sends.
    beside : sequence of Connection, default ()
        The pipes of other helpers. A copy of this process closes them, as it closes this end of its own: only then does
        a process that writes to one see that the first process was killed.

    Raises
    ------
    OSError
        If no process can be started.
    StudyError
        If the part cannot be sent to another process.
    """

    def __init__(
        self,
        setting: Setting,
        part: Part,
        *,
        forked: bool,
        checkpoint_every: float,
        beside: Sequence[Connection] = (),
    ) -> None:
        self.part, self.state, self.generation, self.recalled = part, part.state, part.generation, False
        self.begun = time.monotonic()
        order = (setting, part, checkpoint_every)
        context: Any = multiprocessing.get_context("fork" if forked else "spawn")
        self._order = None if forked else _pickled(order)  # sent once it can be read
        self.pipe, other = multiprocessing.Pipe()
        inherited = (order, (self.pipe, *beside)) if forked else (None, ())
        self._process = context.Process(target=_serve, args=(other, *inherited), daemon=True)
        try:
            with warnings.catch_warnings():  # of threads: see `can_fork`
                warnings.simplefilter("ignore", DeprecationWarning)
                self._process.start()
        except BaseException:
            self.pipe.close()
            raise
        finally:
            other.close()

    def messages(self) -> Iterator[tuple[str, Any]]:
        """Yield what it has to say; the last one is "done" with the runs, "back" with a state, or "failed"."""
        try:
            while self.pipe.poll():
                kind, content = pickle.loads(self.pipe.recv_bytes())  # noqa: S301 - from our own process
                if kind == "ready" and self._order is not None:
                    self.pipe.send_bytes(self._order)
                    self._order = None
                elif kind == "at":
                    self.generation = content
                yield kind, content
                if kind in ("done", "back", "failed"):
                    return
        except (EOFError, OSError, pickle.UnpicklingError):
            yield "failed", None

    def recall(self) -> None:
        """Ask for the part; runs that cannot be saved are finished first."""
        if self._order is not None:
            return  # it has not begun
        self.recalled = True
        with suppress(OSError):
            self.pipe.send_bytes(b"")

    def end(self) -> None:
        """Kill the process, unless it has ended."""
        self._process.kill()
        self._process.join()
        self._process.close()
        self.pipe.close()


def _serve(pipe: Connection, order: tuple[Setting, Part, float] | None, foreign: Sequence[Connection]) -> None:
    """Go on with a part, in the other process."""
    for each in foreign:
        each.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process sees to Ctrl-C
    torch.set_num_threads(1)
    try:
        if order is None:
            pipe.send_bytes(_pickled(("ready", None)))
        setting, part, every = order or pickle.loads(pipe.recv_bytes())  # noqa: S301 - from our own process
        runs, state = run_part(setting, part, _reporting(pipe, every))
        message = _pickled(("back", state) if runs is None else ("done", runs))
    except BaseException:  # it is tried again in the first process, which sees what is wrong
        message = _pickled(("failed", None))
    with suppress(OSError):
        pipe.send_bytes(message)


def _reporting(pipe: Connection, every: float) -> Callable[[BatchRun], bool]:
    last = saved = time.monotonic()
    first = multiprocessing.parent_process()

    def look(batch: BatchRun) -> bool:
        nonlocal last, saved
        now = time.monotonic()
        if now - last < _REPORT_EVERY:
            return False
        if first is not None and os.getppid() != first.pid:
            os._exit(1)  # it was killed
        last = now
        pipe.send_bytes(_pickled(("at", batch.generation)))
        if batch.can_be_saved and now - saved >= every:
            pipe.send_bytes(_pickled(("state", batch.state())))
            saved = now
        return batch.can_be_saved and pipe.poll()

    return look


def _pickled(content: Any) -> bytes:
    try:
        return pickle.dumps(content)
    except Exception as error:  # whatever a user's object raises
        raise StudyError(f"runs cannot be sent to another process ({type(error).__name__}: {error})") from error
