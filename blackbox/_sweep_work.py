"""Doing what is missing of a sweep: shapes that can be one program here, everything else in processes."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch

from blackbox._sweep_file import SweepFile
from blackbox._sweep_plan import Budget, Task
from blackbox._sweep_runs import BatchRun, Finished, UnevenError, run_one
from blackbox.algorithm import Algorithm
from blackbox.algorithms.evolutionary.batched import can_batch, same_program
from blackbox.errors import BlackboxError, StateError
from blackbox.evaluation import describe as describe_failure
from blackbox.executors import ProcessWorkers, WorkerError
from blackbox.problem import FunctionProblem, Problem

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["Bar", "Setting", "Work", "count_cores"]

_CHECKPOINT_EVERY = 20.0  # seconds
_MOST_BYTES = 1 << 30  # of the points of one program
_ROW_COPIES = 12  # tables of the size of the population that a generation makes


@dataclass(frozen=True, slots=True)
class Setting:
    """What all runs of a sweep share."""

    algorithms: Mapping[str, Algorithm[Any]]
    problems: Mapping[str, Problem]
    budget: Budget
    device: str
    dtype: torch.dtype | None


def count_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Bar:
    """Progress over the runs, where stderr is a terminal."""

    def __init__(self, total: int, done: int, *, enabled: bool) -> None:
        self._bar: Progress | None = None
        if not (enabled and sys.stderr is not None and sys.stderr.isatty()):
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        columns = (
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:.0f}/{task.total} runs"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=Console(stderr=True), expand=True)
        self._task = self._bar.add_task("sweep", total=total, completed=done)
        self._bar.start()

    def show(self, done: float, what: str) -> None:
        """Show how many runs are done, and at which pair the work is."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, description=what)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()


class Work:
    """The missing runs of one sweep.

    Parameters
    ----------
    setting : Setting
    missing : sequence of Task
    workers : int
    batched : bool
        Whether runs of one shape may be one program.
    file : SweepFile
    bar : Bar
    done : int
        Runs that were stored before.
    """

    def __init__(
        self,
        setting: Setting,
        missing: Sequence[Task],
        *,
        workers: int,
        batched: bool,
        file: SweepFile,
        bar: Bar,
        done: int,
    ) -> None:
        self._setting, self._workers, self._file, self._bar, self._n_done = setting, workers, file, bar, done
        self.finished: dict[str, Finished] = {}
        self.failures: dict[str, str] = {}
        self._groups, self._single = _grouped(setting, missing) if batched else ([], list(missing))
        self._pool: ProcessWorkers | None = None
        self._running: dict[Future[Finished], Task] = {}

    def run(self) -> None:
        """Do everything; each run is stored as soon as it is finished."""
        try:
            if self._workers > 1 and len(self._single) > 1:
                self._start_pool()
                self._submit(self._single)
            for group in self._groups:
                self._run_group(group)
            self._run_single()
        finally:
            if self._pool is not None:
                self._pool.kill()

    # -- one program -------------------------------------------------------------------------------------------

    def _run_group(self, tasks: Sequence[Task]) -> None:
        key = hashlib.sha256("".join(task.key for task in tasks).encode()).hexdigest()
        try:
            runs = self._together(tasks, key)
        except (KeyboardInterrupt, SystemExit, BlackboxError, MemoryError):
            raise
        except Exception:  # whatever the problem raises: run by run, it is known which of them fail
            if self._pool is None:
                self._single += tasks
            else:
                self._submit(tasks)
            return
        self._keep(list(zip(tasks, runs, strict=True)), checkpoint=key)

    def _together(self, tasks: Sequence[Task], key: str) -> list[Finished]:
        for apart in (False, True):
            batch = self._make_batch(tasks, apart=apart)
            if not apart:
                self._restore(batch, key)
            try:
                return batch.run(self._watch(tasks, key))
            except UnevenError:
                continue
        raise AssertionError("runs that are evaluated apart cannot be uneven")

    def _make_batch(self, tasks: Sequence[Task], *, apart: bool) -> BatchRun:
        setting = self._setting
        algorithms = [setting.algorithms[task.algorithm] for task in tasks]
        problem, seeds = setting.problems[tasks[0].problem], [task.seed for task in tasks]
        return BatchRun(algorithms, problem, seeds, setting.budget, setting.device, setting.dtype, apart=apart)

    def _restore(self, batch: BatchRun, key: str) -> None:
        state = self._file.checkpoint(key)
        if state is not None:
            try:
                batch.restore(state)
            except (KeyError, TypeError, ValueError, RuntimeError) as error:
                raise StateError(f"file: the checkpoint of a group of runs is damaged: {error!r}") from None

    def _watch(self, tasks: Sequence[Task], key: str) -> Callable[[BatchRun], None]:
        last = time.monotonic()
        name = f"{tasks[0].algorithm} on {tasks[0].problem}"

        def look(batch: BatchRun) -> None:
            nonlocal last
            share = batch.generation / max(1, batch.generations)
            self._bar.show(self._n_done + share * len(tasks), name)
            if time.monotonic() - last > _CHECKPOINT_EVERY:
                if batch.can_be_saved:
                    self._file.save_checkpoint(key, batch.state())
                self._collect(wait_for_one=False)
                last = time.monotonic()

        return look

    # -- one by one --------------------------------------------------------------------------------------------

    def _start_pool(self) -> None:
        self._pool = ProcessWorkers(min(self._workers, len(self._single)), function=run_one)

    def _submit(self, tasks: Iterable[Task]) -> None:
        assert self._pool is not None
        for task in tasks:
            self._running[self._pool.submit(run_one, *self._arguments(task))] = task

    def _arguments(self, task: Task) -> tuple[Any, ...]:
        setting = self._setting
        algorithm, problem = setting.algorithms[task.algorithm], setting.problems[task.problem]
        return algorithm, problem, task.seed, setting.budget, setting.device, setting.dtype

    def _run_single(self) -> None:
        while self._running:
            self._collect(wait_for_one=True)
        if self._pool is not None:
            return
        for task in self._single:
            self._bar.show(self._n_done, f"{task.algorithm} on {task.problem}")
            try:
                self._keep([(task, run_one(*self._arguments(task)))])
            except Exception as error:  # a failing run is reported, and the others go on
                self._fail(task, str(describe_failure(error)))

    def _collect(self, *, wait_for_one: bool) -> None:
        """Store what worker processes have finished."""
        ready, _ = wait(self._running, None if wait_for_one else 0, FIRST_COMPLETED)
        for future in ready:
            task = self._running.pop(future)
            try:
                self._keep([(task, future.result())])
            except WorkerError as error:
                if error.failure.type == "NotStarted":
                    raise
                self._fail(task, str(error.failure))
            self._bar.show(self._n_done, f"{task.algorithm} on {task.problem}")

    def _keep(self, runs: Sequence[tuple[Task, Finished]], *, checkpoint: str | None = None) -> None:
        self._file.store(runs, checkpoint=checkpoint)
        self.finished.update({task.key: run for task, run in runs})
        self._n_done += len(runs)

    def _fail(self, task: Task, reason: str) -> None:
        self.failures[task.key] = reason
        self._n_done += 1


def _grouped(setting: Setting, missing: Sequence[Task]) -> tuple[list[list[Task]], list[Task]]:
    """Return groups of runs that can be one program, and the other runs."""
    groups: dict[tuple[str, Any], list[Task]] = {}
    single = []
    dtype = setting.dtype or (torch.float64 if setting.device.startswith("cpu") else torch.float32)
    for task in missing:
        algorithm, problem = setting.algorithms[task.algorithm], setting.problems[task.problem]
        by_rows = isinstance(problem, FunctionProblem) and problem.takes != "batch"
        if by_rows or not can_batch(algorithm):
            single.append(task)
        else:
            shape = same_program(algorithm, dtype)  # type: ignore[arg-type]
            groups.setdefault((task.problem, shape), []).append(task)
    parts: list[list[Task]] = []
    for (name, shape), tasks in groups.items():
        row = setting.problems[name].space.dim + 4 * len(setting.problems[name].objectives)
        most = max(1, int(_MOST_BYTES / (8 * _ROW_COPIES * shape.population_size * row)))
        parts += [tasks[start : start + most] for start in range(0, len(tasks), most)]
    single += [part[0] for part in parts if len(part) == 1]
    return [part for part in parts if len(part) > 1], single
