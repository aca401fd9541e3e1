"""Studies: an optimizer, a problem, a file and an executor; the loop that most users want, durable and resumable."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from blackbox._claims import Candidate
from blackbox._owner import Owner
from blackbox._replica import Replica
from blackbox._run import Limits, RunReport, count_workers, start_run
from blackbox._study_history import Best, Record, checked_points, read_history
from blackbox._study_meta import as_problem, check_evaluates, compare, describe_study, problem_of, settings_of
from blackbox._study_tell import check_pending, check_told, ids_of, store_told
from blackbox.algorithm import Algorithm
from blackbox.candidates import Batch
from blackbox.errors import SettingError, StateError
from blackbox.evaluation import Failure, Report
from blackbox.optimizer import Optimizer, TellReport
from blackbox.persistence import algorithm_from_tree
from blackbox.problem import Problem
from blackbox.result import Result
from blackbox.space import Space
from blackbox.storage import Storage

__all__ = ["Failure", "Record", "RunReport", "Study"]

_FORESEEN = 100  # evaluations, for the choice of an algorithm where no budget is given


class Study:
    """A search that is stored in a file as it goes: made anew, or resumed where the file exists.

    The file (SQLite) holds every ask and tell and checkpoints of the optimizer. A process that is killed at any instant
    loses nothing that was acknowledged; what it was evaluating is evaluated again by the next run. Several processes
    may work on one file at once, by `run` or by `ask` and `tell`.

    Parameters
    ----------
    problem : Problem, Space or mapping of parameters
        `run` needs a problem; the others can be asked and told by hand.
    algorithm : Algorithm, optional
        Default: the file's own, or for a new file one that is chosen (`blackbox.auto.choose`).
    path : str or path, optional, default "runs.db"
        The study file. None or ":memory:": nothing is stored.
    name : str, optional
        A label. Default: the problem's name.
    seed : int, optional
        Default: the file's own, or drawn from the operating system.
    device : str or torch.device, default "cpu"
        Where the optimizer works.
    budget : int, optional
        How many evaluations are foreseen; some algorithms plan with it. An existing file keeps its own.
    notes : mapping of str to str, optional
        Texts that a new file keeps beside the study, for example where it comes from. An existing file keeps its own.

    Raises
    ------
    StateError
        If the file belongs to another space, other objectives, another algorithm or seed; the message names both.
    StorageError
        If the file cannot be read or written, is damaged, or no study file.
    CapabilityError
        If the algorithm cannot serve the problem.

    Examples
    --------
    >>> from blackbox.algorithms import Sobol
    >>> problem = Problem.from_function(lambda p: (p["x"] - 1) ** 2, {"x": Space.box([-3], [3]).parameters["x0"]})
    >>> with Study(problem, Sobol(), path=None, seed=0) as study:
    ...     report = study.run(evaluations=64)
    >>> report.n_evaluations, report.stopped
    (64, 'evaluations')
    """

    def __init__(
        self,
        problem: Problem | Space | Mapping[str, Any],
        algorithm: Algorithm[Any] | None = None,
        path: str | os.PathLike[str] | None = "runs.db",
        *,
        name: str | None = None,
        seed: int | None = None,
        device: str | torch.device = "cpu",
        budget: int | None = None,
        notes: Mapping[str, str] | None = None,
    ) -> None:
        made = as_problem(problem, name)
        where = None if path is None or str(path) == ":memory:" else Path(path)
        if where is not None and os.path.exists(where):
            storage = Storage.open(where)
        else:
            if algorithm is None:
                from blackbox.auto import choose

                algorithm = choose(made, evaluations=budget or _FORESEEN).algorithm
            optimizer = Optimizer(made, algorithm, seed=seed, device=device, budget=budget)
            storage = Storage.create(where, describe_study(optimizer, name or made.name, notes or {}))
        try:
            compare(storage.meta, str(where), made, algorithm, seed)
            self._set_up(made, algorithm, storage, device)
        except BaseException:
            storage.close()
            raise

    def _set_up(
        self, problem: Problem, algorithm: Algorithm[Any] | None, storage: Storage, device: str | torch.device
    ) -> None:
        self.problem = problem
        self.storage = storage
        self.owner = Owner()
        self.unsaved: list[tuple[Candidate, Report]] = []
        self._algorithm = algorithm
        self._device = device
        self._replica: Replica | None = None
        self._best = Best(storage, problem.objectives)
        self.running = threading.Lock()

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        problem: Problem | None = None,
        *,
        algorithm: Algorithm[Any] | None = None,
        device: str | torch.device | None = None,
    ) -> Study:
        """Return the study of an existing file.

        Parameters
        ----------
        path : str or path
        problem : Problem, optional
            Default: space and objectives of the file; such a study cannot evaluate, but everything else.
        algorithm : Algorithm, optional
            Needed only for algorithms from outside this package.
        device : str or torch.device, optional
            Default: the one that the study was made for.

        Raises
        ------
        StateError, StorageError
            As for the class.
        """
        if not (problem is None or isinstance(problem, Problem)):
            raise SettingError(f"problem: expected a Problem or None (the file has its own space), got {problem!r}")
        storage = Storage.open(path)
        try:
            compare(storage.meta, str(path), problem, algorithm, None)
            study = cls.__new__(cls)
            made = problem_of(storage.meta, str(path)) if problem is None else problem
            study._set_up(made, algorithm, storage, storage.meta["device"] if device is None else device)
        except BaseException:
            storage.close()
            raise
        return study

    @property
    def path(self) -> Path | None:
        """The study file; None for a study in memory."""
        return self.storage.path

    @property
    def name(self) -> str:
        """The label that it was made with."""
        return str(self.storage.meta["name"])

    @property
    def seed(self) -> int:
        """The seed that it was made with."""
        return int(self.storage.meta["seed"])

    @property
    def notes(self) -> dict[str, str]:
        """The texts that the file was made with."""
        return dict(self.storage.meta["notes"])

    @property
    def space(self) -> Space:
        """What is searched."""
        return self.problem.space

    @property
    def algorithm(self) -> Algorithm[Any]:
        """The algorithm: what was given, or what the file says."""
        if self._algorithm is None:
            self._algorithm = algorithm_from_tree(self.storage.meta["algorithm"])
            if settings_of(self._algorithm) != self.storage.meta["algorithm"]:
                raise StateError(f"{self.path}: its algorithm has other settings in this version of blackbox")
        return self._algorithm

    @property
    def replica(self) -> Replica:
        """The optimizer that follows the file; made on first use."""
        if self._replica is None:
            self._replica = Replica(self.storage, self.algorithm, self._device)
        return self._replica

    @property
    def n_evaluations(self) -> int:
        """Finished evaluations: told or failed, by any process; points told without having been asked included."""
        return self.storage.refresh().finished

    @property
    def n_failed(self) -> int:
        """Failed evaluations."""
        return self.storage.refresh().failed

    @property
    def n_pending(self) -> int:
        """Candidates that were asked, and neither told nor abandoned."""
        return self.storage.refresh().pending

    def ask(self, n: int | None = None, *, fixed: Mapping[str, Any] | None = None) -> Batch:
        """Ask for candidates, and store them; they stay pending until they are told or abandoned.

        Parameters
        ----------
        n, fixed
            As for `Optimizer.ask`.

        Raises
        ------
        NotReadyError, ExhaustedError, SpaceError
            As for `Optimizer.ask`.
        StorageError
            If they cannot be stored; then nothing was asked.
        """
        replica = self.replica
        replica.catch_up()  # the long part, outside of the lock
        with replica.in_step(), self.storage.transaction():
            batch = replica.ask(n, fixed, owner=None)
        replica.checkpoint()
        return self._batch(batch.x, batch.ids, batch.context)

    def tell(
        self,
        batch: Batch | int | Sequence[int],
        values: Any,
        *,
        violations: Any = None,
        variance: Any = None,
        failed: Any = None,
        extras: Mapping[str, Any] | None = None,
        reason: str = "",
    ) -> TellReport:
        """Tell what came out, and store it: once this returns, it is not lost.

        Telling the same again is allowed and changes nothing.

        Parameters
        ----------
        batch : Batch, int or sequence of int
            What was asked from this study (in any process), ids of such candidates, or `space.batch(points)` for points
            that were not asked.
        values, violations, variance, failed, extras
            As for `Optimizer.tell`; for a single id, one row without brackets is fine.
        reason : str, optional
            Why rows failed.

        Raises
        ------
        TellError
            If something does not fit; the message names the argument, and nothing was stored.
        DuplicateTellError
            If a candidate was told something else before.
        StorageError
            If it cannot be stored.
        """
        told = check_told(
            self, batch, values, violations=violations, variance=variance, failed=failed, extras=extras, reason=reason
        )
        return store_told(self.storage, told)

    def abandon(self, batch: Batch | int | Sequence[int]) -> None:
        """Declare that pending candidates will never be told.

        Raises
        ------
        UnknownCandidateError, DuplicateTellError, AbandonedError
            If one is not pending; then nothing was stored.
        """
        ids = ids_of(batch, self.storage.meta["id"])
        with self.storage.transaction():
            check_pending(self.storage, ids)
            self.storage.append_abandon(ids, {"finished": time.time()})

    @property
    def pending(self) -> Batch:
        """The pending candidates as a batch, in the order of their ids."""
        ids = list(self.storage.pending())
        x = checked_points(self.storage, self.space, ids)
        return self._batch(x, torch.tensor(ids, dtype=torch.int64), {})

    def _batch(self, x: Tensor, ids: Any, context: Mapping[str, Tensor]) -> Batch:
        return Batch(self.space, x, ids=ids, origin="asked", owner=self.storage.meta["id"], context=context)

    def run(
        self,
        evaluations: int | None = None,
        seconds: float | None = None,
        workers: int = 1,
        executor: Executor | None = None,
        progress: bool = True,
        deadline: float | None = None,
        max_failures_in_a_row: int | None = 20,
        max_attempts: int = 2,
    ) -> RunReport:
        """Ask, evaluate and tell until a limit is reached; first what an earlier run left unfinished.

        Ctrl-C stops it: what is finished is stored, what is in flight is evaluated by the next run. An evaluation that
        raises, returns no finite numbers of the right count, or takes its worker process down, fails alone.

        Parameters
        ----------
        evaluations : int, optional
            The study's total of finished evaluations, those of earlier runs and other processes included.
        seconds : float, optional
            A time limit. Evaluations that run in worker processes are killed then; one in a thread is left behind. All
            stay pending for the next run. An ask that is being computed is waited for.
        workers : int, default 1
            How many evaluations run at once. 1: in the caller's thread (with `seconds`, in a thread of its own); more,
            or with a deadline: in as many processes (`blackbox.executors.ProcessWorkers`). With an executor: how many
            are in flight; 1 then means as many as it has workers.
        executor : concurrent.futures.Executor, optional
            Threads, processes, or an engine that speaks this interface.
        progress : bool, default True
            Whether to show live progress on stderr, where that is a terminal.
        deadline : float, optional
            Seconds that one evaluation may take; its worker process is killed then, and the candidate fails.
        max_failures_in_a_row : int, optional, default 20
            After so many, the run stops with a summary of the reasons. None: never.
        max_attempts : int, default 2
            A candidate whose evaluation was cut short so often, by the death of its process, has failed.

        Returns
        -------
        RunReport
            An algorithm that will never hand out another candidate ends the run normally: `stopped` is "exhausted".

        Raises
        ------
        ConcurrentUseError
            If this study is running already, in another thread.
        StudyError
            If evaluations fail in a row, the objective cannot be sent to workers, or the executor breaks.
        StorageError
            If the file cannot be written; what was stored before is kept, and a later run goes on.
        """
        limits = Limits(evaluations, seconds, deadline, max_failures_in_a_row, max_attempts).checked()
        workers = count_workers(workers, executor, deadline)
        check_evaluates(self.problem)
        return start_run(self, limits, workers, executor, progress)

    def result(self) -> Result:
        """Return the best point, or the Pareto set, among the feasible points that were told."""
        with self.storage.lock:
            return self.replica.result()

    @property
    def best(self) -> Record | None:
        """The best feasible evaluation of a single objective; None where there is none yet, or several objectives."""
        self._best.refresh()
        return None if self._best.id is None else next(read_history(self.storage, self.space, [self._best.id]))

    def best_text(self) -> str:
        """Return the best so far in a few words."""
        return self._best.text()

    def history(self) -> list[Record]:
        """Return one record a candidate, by id; pending ones included."""
        with self.storage.snapshot():
            return list(read_history(self.storage, self.space, range(self.storage.refresh().asked)))

    def close(self) -> None:
        """Flush and close the file; closing twice is allowed."""
        self.storage.close()

    def __enter__(self) -> Study:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        counts = self.storage.counts
        return f"Study({self.name!r}, {self.path}, {counts.finished} evaluations, {counts.pending} pending)"
