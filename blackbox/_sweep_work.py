"""Doing what is missing of a sweep: shapes that can be one program here, everything else in processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch

from blackbox._sweep_file import SweepFile
from blackbox._sweep_parts import Part, Setting
from blackbox._sweep_plan import Task
from blackbox._sweep_runs import Finished, run_one
from blackbox._sweep_team import Team, resumed
from blackbox.algorithms.evolutionary.batched import can_batch, same_program
from blackbox.evaluation import describe as describe_failure
from blackbox.executors import ProcessWorkers, WorkerError
from blackbox.problem import FunctionProblem

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["Bar", "Work", "count_cores"]

_CHECKPOINT_EVERY = 20.0  # seconds
_MOST_BYTES = 1 << 30  # of the points of one program
_MOST_ROWS_CPU = 1 << 13  # of one program: beyond, it leaves the cache
_MOST_MEMBERS_CPU = 1000  # of one run: with more, runs are as fast alone, and can use all cores
_ROW_COPIES = 12  # tables of the size of the population that a generation makes


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
        self._bar = Progress(*columns, console=Console(stderr=True), expand=True, auto_refresh=False)
        self._task = self._bar.add_task("sweep", total=total, completed=done)

    def start(self, *, by_itself: bool) -> None:
        """Begin; whether a thread of its own moves it on, or `show` alone, so that this process can be forked."""
        if self._bar is not None:
            self._bar.live.auto_refresh = by_itself
            self._bar.start()

    def show(self, done: float, what: str | None) -> None:
        """Show how many runs are done, and at which pair the work is, where that has changed."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, description=what, refresh=True)

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
        self._bar.start(by_itself=not self._groups)
        try:
            if self._workers > 1 and len(self._single) > 1:
                self._start_pool()
                self._submit(self._single)
            if self._groups:
                self._run_programs()
            self._run_single()
        finally:
            if self._pool is not None:
                self._pool.kill()

    # -- programs: what a team asks and tells ------------------------------------------------------------------

    def _run_programs(self) -> None:
        states = self._file.checkpoints({task.key for group in self._groups for task in group})
        parts = [part for group in self._groups for part in resumed(Part(tuple(group)), states)]
        Team(self._setting, self, parts, checkpoint_every=_CHECKPOINT_EVERY).run()
        self._file.drop_checkpoints(self.finished)

    def keep(self, part: Part, runs: Sequence[Finished]) -> None:
        """Store what the runs of a part ended with."""
        self._keep(list(zip(part.tasks, runs, strict=True)), checkpoint=part.key)
        self._bar.show(self._n_done, None)

    def save(self, part: Part) -> None:
        """Keep a checkpoint."""
        self._file.save_checkpoint(part.key, part.state)

    def give_up(self, part: Part) -> None:
        """Do the runs of a part one by one: it is then known which of them fail."""
        if self._pool is None:
            self._single += part.tasks
        else:
            self._submit(part.tasks)

    def tick(self, under_way: float, name: str) -> None:
        """Show how many runs are done, and store what worker processes have finished."""
        self._bar.show(self._n_done + under_way, name)
        if self._running:
            self._collect(0.0)

    def free_cores(self) -> int:
        """Return how many processes there may be beside this one."""
        return max(0, self._workers - 1 - len(self._running))

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
            self._collect(0.5)
        if self._pool is not None:
            return
        for task in self._single:
            self._bar.show(self._n_done, f"{task.algorithm} on {task.problem}")
            try:
                self._keep([(task, run_one(*self._arguments(task)))])
            except Exception as error:  # a failing run is reported, and the others go on
                self._fail(task, str(describe_failure(error)))

    def _collect(self, seconds: float) -> None:
        """Store what worker processes have finished, after waiting that long for it."""
        ready, _ = wait(self._running, seconds, FIRST_COMPLETED)
        for future in ready:
            task = self._running.pop(future)
            try:
                self._keep([(task, future.result())])
            except WorkerError as error:
                if error.failure.type == "NotStarted":
                    raise
                self._fail(task, str(error.failure))
            self._bar.show(self._n_done, f"{task.algorithm} on {task.problem}")
        if not ready:
            self._bar.show(self._n_done, None)

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
        most = int(_MOST_BYTES / (8 * _ROW_COPIES * shape.population_size * row))
        if setting.device.startswith("cpu"):
            few = shape.population_size <= _MOST_MEMBERS_CPU
            most = min(most, _MOST_ROWS_CPU // shape.population_size) if few else 1
        most = max(1, most)
        parts += [tasks[start : start + most] for start in range(0, len(tasks), most)]
    single += [part[0] for part in parts if len(part) == 1]
    return [part for part in parts if len(part) > 1], single
