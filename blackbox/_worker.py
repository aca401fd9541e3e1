"""The inside of a worker process: takes calls from a pipe, and answers every one that it survives."""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from multiprocessing import connection, parent_process
from multiprocessing.connection import Connection
from typing import Any

from blackbox.evaluation import Report, describe

__all__ = ["TAIL", "read_tail", "work"]

TAIL = 4096  # bytes of a worker's output that are kept


def work(pipe: Connection, log: str, function: bytes | None, threads: int) -> None:
    """Answer calls until the pipe is closed.

    Messages in: (function or None, arguments), pickled by the parent process. Messages out: ("ready", None), then for
    each call ("done", result) or ("failed", Failure).

    Parameters
    ----------
    pipe : Connection
    log : str
        The file that takes what is printed; it is emptied after each call.
    function : bytes, optional
        A pickled function that calls without a function use.
    threads : int
        How many threads numerical libraries may use.
    """
    _divert_output(log)
    if hasattr(os, "setsid"):
        os.setsid()  # so that the whole group can be killed, and Ctrl-C reaches the parent process only
    else:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _limit_threads(threads)
    try:
        shared = None if function is None else pickle.loads(function)  # noqa: S301 - from our own parent process
    except BaseException as error:
        pipe.send(("failed", describe(error)))
        return
    pipe.send(("ready", None))
    while True:
        try:
            message = pipe.recv_bytes()
        except (EOFError, OSError):
            return
        _answer(pipe, shared, message)
        _empty_output()


def _answer(pipe: Connection, shared: Any, message: bytes) -> None:
    pid = os.getpid()
    try:
        called, arguments, keywords = pickle.loads(message)  # noqa: S301 - from our own parent process
        function: Callable[..., Any] = shared if called is None else called
        result = function(*arguments, **keywords)
        if isinstance(result, Report) and result.failure is not None:
            result = replace(result, failure=replace(result.failure, output=read_tail(1)))
        answer = pickle.dumps(("done", result))
    except BaseException as error:
        answer = pickle.dumps(("failed", describe(error, read_tail(1))))
    if os.getpid() != pid:
        os._exit(0)  # a copy of this worker that the call has forked
    try:
        pipe.send_bytes(answer)
    except OSError:
        os._exit(1)  # the parent process is gone


def _divert_output(log: str) -> None:
    file = os.open(log, os.O_RDWR | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    sys.stdout = open(1, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    faulthandler.enable(sys.stderr)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # closed or replaced by the call
            stream.flush()


def _empty_output() -> None:
    _flush()
    with suppress(OSError):
        os.ftruncate(1, 0)


def read_tail(file: int) -> str:
    """Return the end of a file, by its descriptor, as text."""
    if file == 1:
        _flush()
    try:
        size = os.fstat(file).st_size
        return os.pread(file, TAIL, max(0, size - TAIL)).decode("utf-8", "replace")
    except OSError:
        return ""


def _limit_threads(threads: int) -> None:
    """Share the processors among the workers, unless the user has decided otherwise."""
    if "OMP_NUM_THREADS" in os.environ:
        return
    os.environ["OMP_NUM_THREADS"] = str(threads)
    import torch

    torch.set_num_threads(threads)


def _die_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        if hasattr(os, "killpg"):
            os.killpg(0, signal.SIGKILL)
        os._exit(1)
