"""The loop of a study: keep the workers fed, store what comes back, stop where told to."""

from __future__ import annotations

import pickle
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from blackbox._claims import Candidate, Claims
from blackbox._owner import LEASE
from blackbox.errors import ConcurrentUseError, NotReadyError, SettingError, StorageError, StudyError
from blackbox.evaluation import Evaluator, Failure, Report, describe
from blackbox.executors import DaemonThreads, Inline, ProcessWorkers, WorkerError
from blackbox.progress import Progress
from blackbox.surrogates.reporting import watching

if TYPE_CHECKING:
    from blackbox.study import Study

__all__ = ["Limits", "RunReport", "count_workers", "start_run"]

_REDRAW = 0.5  # seconds at most between two looks at progress and signals
_POLL = 0.05  # seconds between looks at what other processes have stored


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run was told; see `Study.run`."""

    evaluations: int | None = None
    seconds: float | None = None
    deadline: float | None = None
    max_failures_in_a_row: int | None = 20
    max_attempts: int = 2

    def checked(self) -> Limits:
        """Return the limits, or raise `SettingError` naming the one at fault."""
        if self.evaluations is None and self.seconds is None:
            raise SettingError("evaluations: expected an integer >= 1 (or seconds > 0), got neither")
        for name in ("evaluations", "max_failures_in_a_row", "max_attempts"):
            count = getattr(self, name)
            optional = name != "max_attempts"
            if not (_is_count(count) or (optional and count is None)):
                raise SettingError(f"{name}: expected an integer >= 1{' or None' * optional}, got {count!r}")
        for name in ("seconds", "deadline"):
            limit = getattr(self, name)
            number = isinstance(limit, (int, float)) and not isinstance(limit, bool)
            if limit is not None and not (number and limit > 0):
                raise SettingError(f"{name}: expected a number > 0 or None, got {limit!r}")
        return self


@dataclass(frozen=True, slots=True)
class RunReport:
    """How a run ended.

    Attributes
    ----------
    stopped : "evaluations", "seconds" or "exhausted"
        Which limit was reached; "exhausted": the algorithm will never hand out another candidate.
    n_evaluations, n_failed : int
        Of the study, over all runs.
    n_new : int
        Evaluations that this run has added.
    seconds : float
    """

    stopped: Literal["evaluations", "seconds", "exhausted"]
    n_evaluations: int
    n_failed: int
    n_new: int
    seconds: float


class Run:
    """One run of a study.

    Parameters
    ----------
    study : Study
    limits : Limits
    workers : int
        How many evaluations are in flight.
    executor : Executor, optional
        The user's own; None: inline, a thread or processes, as the limits ask for.
    progress : bool
    """

    def __init__(self, study: Study, limits: Limits, workers: int, executor: Executor | None, progress: bool) -> None:
        self._study, self._limits, self._workers = study, limits, workers
        self._started = time.monotonic()
        self._end = None if limits.seconds is None else self._started + limits.seconds
        self._storage = study.storage
        self._claims = Claims(study.storage, study.replica, study.owner, limits.max_attempts)
        self._evaluator = Evaluator(study.problem)
        self._own = executor is None
        self._executor = self._make_executor() if executor is None else executor
        if executor is not None:
            _check_sendable(executor, self._evaluator)
        self._prefetch = 0 if isinstance(self._executor, (Inline, DaemonThreads)) else 1
        self._active: dict[Future[Report], Candidate] = {}
        self._is_exhausted = False
        self._is_full = False  # nothing more to take at the moment
        self._changes = -1
        self._in_a_row: list[Failure] = []
        counts = study.storage.refresh()
        self._before = counts.finished
        self._progress = Progress(
            enabled=progress, total=limits.evaluations, seconds=limits.seconds, done=counts.finished
        )

    def _make_executor(self) -> Executor:
        if self._workers > 1 or self._limits.deadline is not None:
            return ProcessWorkers(self._workers, function=self._evaluator, deadline=self._limits.deadline)
        return Inline() if self._end is None else DaemonThreads()

    def execute(self) -> RunReport:
        """Run until a limit is reached.

        Raises
        ------
        StudyError, StorageError, NotReadyError
            As for `Study.run`.
        """
        try:
            with self._heartbeat(), watching(self._progress.hear):
                self._store_unsaved()
                stopped = self._loop()
        finally:
            self._clean_up()
        self._study.replica.catch_up()
        self._study.replica.checkpoint(force=True)
        self._storage.flush()
        counts = self._storage.refresh()
        seconds = time.monotonic() - self._started
        return RunReport(stopped, counts.finished, counts.failed, counts.finished - self._before, seconds)

    @contextmanager
    def _heartbeat(self) -> Iterator[None]:
        """Renew the lease while a run goes on, however long one evaluation takes."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(LEASE / 3):
                with suppress(StorageError), self._storage.transaction():
                    self._storage.renew(self._study.owner.name, time.time() + LEASE)

        thread = threading.Thread(target=beat, daemon=True, name="blackbox-lease")
        thread.start()
        try:
            yield
        finally:
            stop.set()

    def _clean_up(self) -> None:
        """End the workers, and set free what was not finished."""
        with suppress(StorageError):
            self._show(is_last=True)
        self._progress.stop()
        for future in self._active:
            future.cancel()
        if isinstance(self._executor, ProcessWorkers) and self._own:
            self._executor.kill()
        elif self._own:
            self._executor.shutdown(wait=False, cancel_futures=True)
        if self._claims.held:
            with suppress(StorageError):  # its lease is then recognised as left behind by the next run
                self._claims.release()

    # -- the loop --------------------------------------------------------------------------------------------

    def _loop(self) -> Literal["evaluations", "seconds", "exhausted"]:
        while True:
            if self._is_over:
                return "seconds"
            self._fill()
            self._study.replica.checkpoint()
            self._show()
            if not self._active:
                verdict = self._idle()
                if verdict is not None:
                    return verdict
                continue
            for future in self._finished():
                self._handle(future)

    @property
    def _is_over(self) -> bool:
        return self._end is not None and time.monotonic() >= self._end

    def _fill(self) -> None:
        """Submit what can be evaluated, and one more, so that no worker ever waits for an ask."""
        free = self._workers - len(self._active)
        wanted = free + self._prefetch
        if wanted < 1 or self._is_exhausted or (self._is_full and not self._has_changed()):
            return
        taken = self._claims.take(wanted, start=max(0, free), target=self._limits.evaluations)
        self._is_exhausted = taken.exhausted
        self._is_full = len(taken.candidates) < wanted
        for candidate in taken.candidates:
            self._submit(candidate)
        if self._is_full and not self._active and not taken.n_elsewhere:
            self._explain_waiting(taken.waiting)

    def _has_changed(self) -> bool:
        """Whether another process has stored something; true once a second in any case, since one may have died."""
        marks = (self._storage.changes(), int(time.monotonic()))
        if hash(marks) == self._changes:
            return False
        self._changes = hash(marks)
        return True

    def _submit(self, candidate: Candidate) -> None:
        try:
            self._active[self._executor.submit(self._evaluator, candidate.config)] = candidate
        except (BrokenExecutor, RuntimeError) as error:
            raise self._broken(error) from error

    def _finished(self) -> list[Future[Report]]:
        # Never without a timeout: a signal that comes just before a wait is handled after it only.
        timeout = _REDRAW if self._end is None else min(_REDRAW, max(0.0, self._end - time.monotonic()))
        if self._is_full and not self._is_exhausted:
            timeout = min(timeout, _POLL)
        return list(wait(self._active, timeout, FIRST_COMPLETED).done)

    def _handle(self, future: Future[Report]) -> None:
        candidate = self._active.pop(future)
        report = self._report(future, candidate)
        self._is_full = False
        if report is None:
            candidate.is_started = False
            self._submit(candidate)
            return
        started = [c for other, c in self._active.items() if not c.is_started and other.running()]
        try:
            is_first = self._claims.finish(candidate, report, started)
        except StorageError:
            self._study.unsaved.append((candidate, report))
            raise
        if is_first:
            self._count_failure(report)

    def _report(self, future: Future[Report], candidate: Candidate) -> Report | None:
        """Return what a future holds; None where the candidate is to be evaluated again."""
        try:
            report = future.result()
        except WorkerError as error:
            if error.failure.type == "NotStarted":
                raise StudyError(f"{error.failure.message}\n{error.failure.output}".strip()) from error
            died = error.failure.type == "WorkerDied" and error.is_outside
            if died and candidate.attempts < self._limits.max_attempts:
                return None
            return Report(failure=error.failure)
        except (BrokenExecutor, CancelledError) as error:
            raise self._broken(error) from error
        except BaseException as error:
            return Report(failure=describe(error))
        if not isinstance(report, Report):
            raise StudyError(f"executor: its futures return {type(report).__name__}, not what the call returned")
        return report

    def _broken(self, error: BaseException) -> StudyError:
        counts = self._storage.refresh()
        return StudyError(
            f"the executor cannot go on ({type(error).__name__}: {error}); {counts.finished} evaluations are stored, "
            "and those in flight are evaluated by the next run"
        )

    def _count_failure(self, report: Report) -> None:
        if report.failure is None:
            self._in_a_row.clear()
            return
        self._in_a_row.append(report.failure)
        limit = self._limits.max_failures_in_a_row
        if limit is not None and len(self._in_a_row) >= limit:
            kinds = Counter(str(failure).splitlines()[0][:200] for failure in self._in_a_row)
            shown = "\n".join(f"  {count} x {kind}" for kind, count in kinds.most_common(5))
            raise StudyError(
                f"{len(self._in_a_row)} evaluations failed in a row:\n{shown}\n"
                "They are stored with their tracebacks (study.history()); max_failures_in_a_row= sets this limit."
            )

    # -- with nothing to do ----------------------------------------------------------------------------------

    def _idle(self) -> Literal["evaluations", "exhausted"] | None:
        """Return why the run is over; None after a short wait for other processes."""
        target = self._limits.evaluations
        if target is not None and self._storage.refresh().finished >= target:
            return "evaluations"
        if self._is_exhausted:
            return "exhausted"
        pause = _POLL if self._end is None else min(_POLL, max(0.0, self._end - time.monotonic()))
        time.sleep(pause)
        return None

    def _explain_waiting(self, waiting: NotReadyError | None) -> None:
        """Raise where nobody but a person can make the algorithm go on."""
        if waiting is None:
            return
        by_hand = [i for i, (owner, _) in self._storage.pending().items() if owner is None]
        if not by_hand:
            raise waiting
        shown = ", ".join(str(i) for i in by_hand[:10]) + (", ..." if len(by_hand) > 10 else "")
        raise StudyError(
            f"the algorithm waits for candidates that were asked by hand: {shown}; tell or abandon them"
        ) from waiting

    def _store_unsaved(self) -> None:
        """Store what an earlier run could not, for want of space."""
        while self._study.unsaved:
            candidate, report = self._study.unsaved[0]
            self._claims.finish(candidate, report)
            self._study.unsaved.pop(0)

    def _show(self, *, is_last: bool = False) -> None:
        if self._progress.is_due or (is_last and self._progress.is_shown):
            counts = self._storage.refresh()
            self._progress.update(done=counts.finished, failed=counts.failed, best=self._study.best_text())


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def count_workers(workers: int, executor: Executor | None, deadline: float | None) -> int:
    """Return how many evaluations are to be in flight.

    Raises
    ------
    SettingError
        If an argument makes no sense, or a deadline is asked for that could not be enforced.
    """
    if not _is_count(workers):
        raise SettingError(f"workers: expected an integer >= 1, got {workers!r}")
    if executor is None:
        return workers
    if not callable(getattr(executor, "submit", None)):
        raise SettingError(f"executor: expected a concurrent.futures.Executor, got {executor!r}")
    if deadline is not None:
        raise SettingError(
            "deadline: cannot be enforced with an executor of yours, since its evaluations cannot be "
            "killed; use workers="
        )
    return max(1, int(getattr(executor, "_max_workers", 1))) if workers == 1 else workers


def start_run(study: Study, limits: Limits, workers: int, executor: Executor | None, progress: bool) -> RunReport:
    """Run a study, unless it has what it wants already.

    Raises
    ------
    ConcurrentUseError
        If it is running already, in another thread.
    """
    counts = study.storage.refresh()
    if limits.evaluations is not None and counts.finished >= limits.evaluations and not study.unsaved:
        return RunReport("evaluations", counts.finished, counts.failed, 0, 0.0)
    if not study.running.acquire(blocking=False):
        raise ConcurrentUseError("this study is running in another thread; ask for more workers instead")
    try:
        return Run(study, limits, workers, executor, progress).execute()
    finally:
        study.running.release()


def _check_sendable(executor: Executor, evaluator: Evaluator) -> None:
    """Raise before anything starts where an executor of processes could not be given the problem."""
    if not type(executor).__name__.startswith("ProcessPool"):
        return
    try:
        pickle.dumps(evaluator)
    except Exception as error:
        raise StudyError(
            f"executor: the objective cannot be sent to a process ({type(error).__name__}: {error}): use a function "
            "defined at the top level of a module, or a ThreadPoolExecutor"
        ) from error
