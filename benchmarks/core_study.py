"""Durable studies beside Optuna's storages: tells a second from one process and from four, and how workers are fed.

Called by `core.py`; files are written to the system's directory for temporary files, so the device counts.
"""

from __future__ import annotations

import logging
import multiprocessing
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from table import Row

import blackbox as bb
from blackbox.algorithms import Sobol
from blackbox.study import Study

DIM = 6
N_TOLD = 300  # candidates, by one process
N_EACH = 60  # candidates, by each of four processes
N_SCALED = 200  # evaluations of 20 ms
NAMES = [f"x{i}" for i in range(DIM)]


def objective(config: dict[str, Any]) -> float:
    """Return the sum of squares."""
    return float(sum(value**2 for value in config.values()))


def slow_objective(config: dict[str, Any]) -> float:
    """Return the same after 20 ms."""
    time.sleep(0.02)
    return objective(config)


def make_problem(function: Callable[[dict[str, Any]], float] = objective) -> bb.Problem:
    """Return the problem that all of them search."""
    return bb.Problem.from_function(function, bb.Space.box([0.0] * DIM, [1.0] * DIM))


# -- one process asks and tells --------------------------------------------------------------------------------------


def our_loop(path: str, n: int) -> float:
    """Ask and tell n candidates one by one; return candidates a second."""
    with Study(make_problem(), Sobol(), path, seed=0) as study:
        start = time.perf_counter()
        for _ in range(n):
            batch = study.ask(1)
            study.tell(batch, [objective(batch.configs[0])])
        return n / (time.perf_counter() - start)


def optuna_loop(path: str, n: int) -> float:
    """The same through Optuna with random search; `path` is an SQLite file, or a journal if it ends so."""
    import optuna

    optuna.logging.set_verbosity(logging.ERROR)
    study = _optuna_study(path)
    distributions = {name: optuna.distributions.FloatDistribution(0, 1) for name in NAMES}
    start = time.perf_counter()
    for _ in range(n):
        trial = study.ask(distributions)
        study.tell(trial, objective(trial.params))
    return n / (time.perf_counter() - start)


def _optuna_study(path: str) -> Any:
    import optuna
    from optuna.storages.journal import JournalFileBackend

    storage: Any = f"sqlite:///{path}"
    if path.endswith(".journal"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is marked as experimental
            storage = optuna.storages.JournalStorage(JournalFileBackend(path))
    return optuna.create_study(
        storage=storage, sampler=optuna.samplers.RandomSampler(seed=0), study_name="bench", load_if_exists=True
    )


def tells_only(path: str, n: int) -> float:
    """Return acknowledged tells a second, one by one, of candidates that were asked before."""
    with Study(make_problem(), Sobol(), path, seed=0) as study:
        batch = study.ask(n)
        start = time.perf_counter()
        for row in range(n):
            study.tell(batch[row], [1.0])
        return n / (time.perf_counter() - start)


# -- four processes --------------------------------------------------------------------------------------------------


def _member(loop: Callable[[str, int], float], path: str, n: int, start: Any, stop: Any) -> None:
    import optuna

    optuna.logging.set_verbosity(logging.ERROR)
    start.wait(120)
    loop(path, n)
    stop.wait(120)


def together(loop: Callable[[str, int], float], path: str, n: int) -> float:
    """Let four processes ask and tell n candidates each; return candidates a second of all of them."""
    loop(path, 1)  # makes the file: Optuna's creation is not safe with several processes at once
    context = multiprocessing.get_context("spawn")
    start, stop = context.Barrier(5), context.Barrier(5)
    members = [context.Process(target=_member, args=(loop, path, n, start, stop)) for _ in range(4)]
    for member in members:
        member.start()
    start.wait(120)
    began = time.perf_counter()
    stop.wait(120)
    seconds = time.perf_counter() - began
    for member in members:
        member.join()
    return 4 * n / seconds


def lost_or_doubled(path: str, n: int) -> int:
    """Return by how much a study of n candidates differs from one in which each was told once."""
    with Study.open(path) as study:
        told = sum(record.values == (objective(record.config),) for record in study.history())
        points = {tuple(record.config.values()) for record in study.history()}
        return abs(n - told) + abs(n - len(points)) + study.n_pending


# -- workers ---------------------------------------------------------------------------------------------------------


def efficiency(path: str, workers: int) -> float:
    """Return the share of the time, once all have started, that workers spend in evaluations of 20 ms."""
    with Study(make_problem(slow_objective), Sobol(), path, seed=0) as study:
        study.run(evaluations=N_SCALED, workers=workers, progress=False)
        history = study.history()
    shares = []
    for worker in {record.worker for record in history}:
        rows = sorted((r.started or 0.0, r.seconds or 0.0) for r in history if r.worker == worker)[5:]
        shares.append(sum(seconds for _, seconds in rows) / (rows[-1][0] + rows[-1][1] - rows[0][0]))
    return statistics.mean(shares)


def run_overhead(path: str) -> float:
    """Return milliseconds that an inline run adds to each evaluation."""
    with Study(make_problem(), Sobol(), path, seed=0) as study:
        start = time.process_time()
        study.run(evaluations=N_TOLD, progress=False)
        return (time.process_time() - start) / N_TOLD * 1e3


def run() -> Iterator[Row]:
    """Yield the rows of the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peers = {"Optuna SQLite": "o.db", "Optuna journal": "o.journal"}
        alone = {label: optuna_loop(str(folder / file), 100) for label, file in peers.items()}
        shared = {label: together(optuna_loop, str(folder / f"4{file}"), 25) for label, file in peers.items()}
        tells = tells_only(str(folder / "a.db"), N_TOLD)
        pairs = our_loop(str(folder / "b.db"), N_TOLD)
        four = together(our_loop, str(folder / "c.db"), N_EACH)
        wrong = lost_or_doubled(str(folder / "c.db"), 4 * N_EACH + 1)
        yield Row("durable study: tells alone, one process", tells, "tells/s", target=">= 500 tells/s")
        for label, rate in alone.items():
            yield Row("durable study: ask + tell, one process", 1e3 / pairs, "ms", 1e3 / rate, label)
        for label, rate in shared.items():
            yield Row("durable study: ask + tell, 4 processes on a file", 1e3 / four, "ms", 1e3 / rate, label)
        yield Row("candidates lost or doubled by the 4 processes", float(wrong), "candidates", target="0")
        yield Row("study.run, one worker: CPU added to an evaluation", run_overhead(str(folder / "d.db")), "ms")
        share = efficiency(str(folder / "e.db"), 2)
        yield Row("2 workers, 20 ms of work: share of time at work", 100 * share, "%", target=">= 95 % (idle machine)")
