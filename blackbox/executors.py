"""Where evaluations run: a small pool of processes that can be killed, and daemon threads.

Both are `concurrent.futures.Executor`s; a study works with any other one as well.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import pickle
import signal
import tempfile
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from blackbox._main_guard import check_main_guard
from blackbox._worker import read_tail, work
from blackbox.errors import SettingError, StudyError
from blackbox.evaluation import Failure

__all__ = ["DaemonThreads", "Inline", "ProcessWorkers", "WorkerError"]

T = TypeVar("T")
_pools: weakref.WeakSet[ProcessWorkers] = weakref.WeakSet()


class WorkerError(StudyError):
    """A call failed in its worker process, or with it.

    Attributes
    ----------
    failure : Failure
        Its type is that of the exception, "DeadlineExceeded", "WorkerDied", or "NotStarted".
    exitcode : int or None
        Of a worker that died; negative: the number of the signal.
    """

    def __init__(self, failure: Failure, exitcode: int | None = None) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.exitcode = exitcode

    @property
    def is_outside(self) -> bool:
        """Whether the worker was killed in a way that hardly is the call's own doing (SIGKILL, SIGTERM)."""
        return self.exitcode in (-signal.SIGTERM, -getattr(signal, "SIGKILL", 9))


class _Tasks(Executor):
    """What both executors share: a queue of calls, and threads that serve it."""

    def __init__(self, workers: int) -> None:
        if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
            raise SettingError(f"workers: expected an integer >= 1, got {workers!r}")
        self._max_workers = workers
        self._queue: SimpleQueue[tuple[Future[Any], Any] | None] = SimpleQueue()
        self._closed = False
        self._lock = threading.Lock()

    def _start(self, serve: list[Callable[[], None]]) -> None:
        self._threads = [threading.Thread(target=target, daemon=True, name="blackbox-worker") for target in serve]
        for thread in self._threads:
            thread.start()

    def _enqueue(self, call: Any) -> Future[Any]:
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            future: Future[Any] = Future()
            self._queue.put((future, call))
            return future

    def _serve(self, answer: Callable[[Any], Any], prepare: Callable[[], None] | None = None) -> None:
        while True:
            if prepare is not None:
                prepare()
            task = self._queue.get()
            if task is None:
                return
            future, call = task
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(answer(call))
                except BaseException as error:
                    future.set_exception(error)
            del task, future, call  # no result is kept while waiting

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls, and end the workers once the queue is empty."""
        with self._lock:
            if not self._closed:
                self._closed = True
                if cancel_futures:
                    self._cancel_queue()
                for _ in self._threads:
                    self._queue.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def _cancel_queue(self) -> None:
        with suppress(Empty):  # a worker may take the last task between two looks
            while True:
                task = self._queue.get_nowait()
                if task is not None:
                    task[0].cancel()


class Inline(Executor):
    """Calls at once, in the caller's thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Return the finished future of a call; Ctrl-C passes through."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class DaemonThreads(_Tasks):
    """Threads that do not keep the interpreter from ending; a call that hangs can be left behind.

    Parameters
    ----------
    workers : int, default 1
    """

    def __init__(self, workers: int = 1) -> None:
        super().__init__(workers)
        self._start([lambda: self._serve(lambda call: call())] * workers)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Schedule a call."""
        return self._enqueue(lambda: fn(*args, **kwargs))


class ProcessWorkers(_Tasks):
    """Processes that survive their calls: a call that hangs is killed at its deadline, one that crashes fails alone.

    Each worker is a fresh interpreter (spawn) with its own pipe, in its own process group: killing it kills what it
    has started. What it prints goes to a temporary file that is emptied after each call; the last 4 kB are part of a
    failure. A worker that died is replaced. Exceptions travel as text: `Future.exception()` is a `WorkerError`.

    Parameters
    ----------
    workers : int, default 2
    function : callable, optional
        Sent to each worker once; `submit(function, ...)` then sends only the arguments.
    deadline : float, optional
        Seconds that one call may take. Default: no limit.

    Raises
    ------
    StudyError
        If `function` cannot be sent to another process, or the running script has no `__main__` guard.
    """

    def __init__(
        self, workers: int = 2, *, function: Callable[..., Any] | None = None, deadline: float | None = None
    ) -> None:
        super().__init__(workers)
        if deadline is not None and (isinstance(deadline, bool) or not deadline > 0):
            raise SettingError(f"deadline: expected seconds > 0 or None, got {deadline!r}")
        check_main_guard()
        self._function = function
        pickled = None if function is None else _pickled(function)
        threads = max(1, (os.cpu_count() or 1) // workers)
        self._slots = [_Slot(pickled, deadline, threads) for _ in range(workers)]
        _pools.add(self)
        self._start([self._serving(slot) for slot in self._slots])

    def _serving(self, slot: _Slot) -> Callable[[], None]:
        def serve() -> None:
            try:
                self._serve(slot.call, slot.prepare)
            finally:
                slot.end()

        return serve

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Schedule a call; function and arguments are sent to a worker, so they must be picklable."""
        called = None if fn is self._function and fn is not None else fn
        return self._enqueue(_pickled((called, args, kwargs)))

    def kill(self) -> None:
        """Kill all workers at once; running calls fail with "WorkerDied", waiting ones are cancelled."""
        for slot in self._slots:
            slot.closed.set()
        with self._lock:
            self._cancel_queue()
        for slot in self._slots:
            slot.kill()
        self.shutdown(wait=True, cancel_futures=True)

    def process_ids(self) -> list[int]:
        """Return the process ids of the workers that run now."""
        return [process.pid for slot in self._slots if (process := slot.process) and process.pid]


class _Slot:
    """One worker process, started when needed; used by one thread."""

    def __init__(self, function: bytes | None, deadline: float | None, threads: int) -> None:
        self.process: SpawnProcess | None = None
        self.closed = threading.Event()
        self._function, self._deadline, self._threads = function, deadline, threads
        self._pipe: Connection | None = None
        self._log = -1
        self._not_started: WorkerError | None = None

    def prepare(self) -> None:
        """Start the worker ahead of its next call; an error is kept for that call."""
        try:
            if not self.closed.is_set():
                self._ensure()
        except WorkerError as error:
            self._not_started = error

    def call(self, message: bytes) -> Any:
        """Return what the worker answers.

        Raises
        ------
        WorkerError
            If the call raised, died with its worker, or met the deadline.
        """
        if self._not_started is not None:
            raise self._not_started
        pipe = self._ensure()
        try:
            pipe.send_bytes(message)
            answer = self._receive(self._deadline)
        except OSError:
            answer = None
        if answer is None:
            raise self._buried("WorkerDied", "the worker process")
        kind, content = answer
        if kind == "done":
            return content
        raise WorkerError(content)

    def _receive(self, timeout: float | None) -> Any:
        """Return a message; None where the worker has died."""
        assert self._pipe is not None
        assert self.process is not None
        ready = wait([self._pipe, self.process.sentinel], timeout)
        if not ready:
            self.kill()
            failure = Failure("DeadlineExceeded", f"no result after {timeout:g} seconds; the worker process was killed")
            raise self._buried(failure.type, failure.message)
        try:
            return self._pipe.recv() if self._pipe.poll() else None
        except (EOFError, OSError, pickle.UnpicklingError):
            return None

    def _ensure(self) -> Connection:
        if self._pipe is not None:
            return self._pipe
        if self.closed.is_set():
            raise WorkerError(Failure("WorkerDied", "the workers were killed"), -signal.SIGTERM)
        self._log, name = tempfile.mkstemp(prefix="blackbox-worker-")
        try:
            self._pipe, other = multiprocessing.get_context("spawn").Pipe()
            arguments = (other, name, self._function, self._threads)
            self.process = multiprocessing.get_context("spawn").Process(target=work, args=arguments)
            try:
                self.process.start()
            except (OSError, RuntimeError) as error:
                raise WorkerError(Failure("NotStarted", f"no worker process could be started: {error}")) from error
            finally:
                other.close()
            if self.closed.is_set():
                self.kill()  # killed while it was being started
            answer = self._receive(None)
        finally:
            with suppress(OSError):
                os.unlink(name)
        if answer is None:
            raise self._buried("NotStarted", "a worker process could not start; it")
        if answer[0] == "failed":
            failure: Failure = answer[1]
            self.end()
            message = (
                f"the objective cannot be loaded in a worker process ({failure}): define it at the top level of a "
                "module or of the script, not in an interactive session, or use workers=1 or a thread pool"
            )
            raise WorkerError(Failure("NotStarted", message, failure.traceback, failure.output))
        return self._pipe

    def kill(self) -> None:
        """Kill the worker and what it has started."""
        process = self.process
        if process is None or process.pid is None:
            return
        with suppress(OSError, AttributeError):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(OSError, ValueError, AttributeError):
            process.kill()

    def _buried(self, kind: str, subject: str) -> WorkerError:
        """Return the error for a worker that died, after clearing it away."""
        output, code = read_tail(self._log), self.end()
        if kind != "DeadlineExceeded":
            subject = f"{subject} {_fate(code)}"
        return WorkerError(Failure(kind, subject, output=output), code)

    def end(self) -> int | None:
        """Close the pipe, which ends an idle worker; return its exit code."""
        code: int | None = None
        if self._pipe is not None:
            self._pipe.close()
        if self.process is not None and self.process.pid is not None:
            self.process.join(1.0)
            self.kill()
            self.process.join()
            code = self.process.exitcode
            self.process.close()
        if self._log >= 0:
            os.close(self._log)
        self._pipe, self.process, self._log = None, None, -1
        return code


def _fate(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = "unknown"
        return f"was killed by signal {-code} ({name})"
    return f"ended with exit code {code}"


def _pickled(value: Any) -> bytes:
    try:
        return pickle.dumps(value)
    except Exception as error:
        raise StudyError(
            f"the objective or its arguments cannot be sent to a worker process ({type(error).__name__}: {error}): use "
            "a function defined at the top level of a module (no lambda, no function inside a function), or workers=1, "
            "or a thread pool: executor=ThreadPoolExecutor(n)"
        ) from error


@atexit.register
def _kill_pools() -> None:
    for pool in list(_pools):
        for slot in pool._slots:
            slot.closed.set()
            slot.kill()
