"""Sweeps: algorithms on problems over many seeds, compared.

All seeds of one algorithm on one problem run as one tensor program where the algorithm is a generational evolutionary
one (on a CPU, of at most 1,000 members: larger runs are as fast alone), shared among the cores where it pays; every
other run is a process of its own. A run gives exactly what `Optimizer(problem, algorithm, seed=seed)` gives alone; one
that plans ahead, as RVEA does, is told its budget: `budget=` evaluations, or generations times members.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, get_args

import torch

from blackbox._sweep_file import SweepFile
from blackbox._sweep_metrics import Metric
from blackbox._sweep_parts import Setting
from blackbox._sweep_plan import make_tasks, parse_algorithms, parse_budget, parse_problems, parse_seeds
from blackbox._sweep_result import Cell, SweepResult, SweepRun
from blackbox._sweep_work import Bar, Work, count_cores
from blackbox.algorithm import Algorithm
from blackbox.errors import SettingError
from blackbox.problem import Problem

__all__ = ["Cell", "Metric", "SweepResult", "SweepRun", "sweep"]


def sweep(
    algorithms: Algorithm[Any] | Iterable[Algorithm[Any]] | Mapping[str, Algorithm[Any]],
    problems: Problem | Iterable[Problem] | Mapping[str, Problem],
    *,
    seeds: int | Iterable[int] = range(31),
    evaluations: int | None = None,
    generations: int | None = None,
    metric: Metric = "auto",
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    workers: int | None = None,
    batched: bool = True,
    file: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> SweepResult:
    """Run every algorithm on every problem with every seed, and compare them.

    Parameters
    ----------
    algorithms : Algorithm, iterable of them, or mapping of name to Algorithm
        Those of one kind that differ in crossover_eta, crossover_probability and mutation_eta only share a program.
    problems : Problem, iterable of them, or mapping of name to Problem
        Each run evaluates a copy of its own. Where runs share a program, `evaluate` gets the rows of all of them in
        one call, and some rows twice to see that it treats them alike; problems for which it does not (noise that
        depends on the order of calls) are evaluated run by run. Functions of one point never share a program.
    seeds : int or iterable of int, default range(31)
        n stands for 0 ... n - 1.
    evaluations : int, optional
        How many evaluations each run has.
    generations : int, optional
        In place of `evaluations`: how many times each run asks and tells, one natural batch at a time.
    metric : "auto", "best", "hypervolume", "igd" or "igd_plus", default "auto"
        What the table shows. "auto" is "best" for one objective; for several "igd" where the true front is known,
        "hypervolume" elsewhere, with the problem's reference point, or one a tenth of the range beyond all runs.
        Final values are kept, so that the result can be shown with other metrics later.
    device : str or torch.device, default "cpu"
    dtype : torch.dtype, optional
        As for `Optimizer`.
    workers : int, optional
        How many processes work at once, this one included where runs share a program: programs of the box-constrained
        test problems of this package are shared with copies of this process (on Linux, while it has one thread), others
        with fresh processes where several seconds are left to do. 1 does everything in this process. Default: as many
        as there are cores, 1 on a GPU.
    batched : bool, default True
        False runs every run by itself.
    file : str or path, optional
        Keeps every finished run (SQLite); a sweep that was killed goes on where it was, and one with further seeds,
        algorithms or problems runs only those.
    progress : bool, default True
        A bar, where stderr is a terminal.

    Returns
    -------
    SweepResult
        Print it, or see `cells`, `table`, `to_csv`, `to_json`, and `blackbox.plot.comparison`.

    Raises
    ------
    SettingError
        If an argument makes no sense; the message names it.
    CapabilityError
        If an algorithm cannot serve a problem.
    StorageError
        If the file cannot be read or written, or is no file of a sweep.
    StudyError
        If runs cannot be sent to worker processes.

    Examples
    --------
    >>> from blackbox.algorithms import GA, RandomSearch
    >>> from blackbox.problems import Sphere
    >>> result = sweep([GA(population_size=20), RandomSearch()], Sphere(dim=3), seeds=8, evaluations=200, workers=1)
    >>> [(cell.algorithm, cell.verdict) for cell in result.cells()]
    [('GA', 'best'), ('RandomSearch', 'worse')]
    """
    named_algorithms, named_problems = parse_algorithms(algorithms), parse_problems(problems)
    chosen, budget = parse_seeds(seeds), parse_budget(evaluations, generations)
    _check_metric(metric)
    place = _place(device)
    workers = _count_workers(workers, place)
    tasks = make_tasks(named_algorithms, named_problems, chosen, budget, place, dtype)
    setting = Setting(named_algorithms, named_problems, budget, str(place), dtype)
    storage = SweepFile(file)
    try:
        finished = storage.load(tasks)
        missing = [task for task in tasks if task.key not in finished]
        failures: dict[str, str] = {}
        if missing:
            with Bar(len(tasks), len(finished), enabled=progress) as bar:
                work = Work(
                    setting, missing, workers=workers, batched=batched, file=storage, bar=bar, done=len(finished)
                )
                work.run()
            finished, failures = {**finished, **work.finished}, work.failures
    finally:
        storage.close()
    runs = []
    for task in tasks:
        run = finished.get(task.key)
        if run is not None:
            parts = (run.values, run.n_evaluations, run.n_failed, run.seconds, run.batched)
            runs.append(SweepRun(task.algorithm, task.problem, task.seed, *parts))
    reasons = {(t.algorithm, t.problem, t.seed): failures[t.key] for t in tasks if t.key in failures}
    return SweepResult(named_problems, list(named_algorithms), chosen, runs, reasons, metric)


def _check_metric(metric: str) -> None:
    if metric not in get_args(Metric):
        raise SettingError(f"metric: expected one of {list(get_args(Metric))}, got {metric!r}")


def _place(device: str | torch.device) -> torch.device:
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise SettingError(f"device: expected one that torch can use, got {device!r}: {reason}") from None


def _count_workers(workers: int | None, place: torch.device) -> int:
    if workers is None:
        return count_cores() if place.type == "cpu" else 1
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise SettingError(f"workers: expected an integer >= 1 or None, got {workers!r}")
    return workers
