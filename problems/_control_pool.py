"""Robot simulations spread over processes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

import numpy as np

import blackbox
from blackbox.problems._control_mujoco import Array, Moments, Outcome
from blackbox.problems._control_worker import receive, send

__all__ = ["MujocoPool"]


class MujocoPool:
    """Processes that each simulate a part of a batch; started at the first batch, ended with this object.

    Parameters
    ----------
    task : str
        A key of `TASKS`.
    workers : int
        Number of processes.
    """

    def __init__(self, task: str, workers: int) -> None:
        self.task = task
        self.workers = workers
        self._processes: list[tuple[subprocess.Popen[bytes], IO[bytes]]] = []

    def simulate(self, weights: Array, moments: Moments | None, steps: int, seeds: list[int]) -> Outcome:
        """Return what policies of shape (n, w) do; the same whatever the number of processes.

        Raises
        ------
        RuntimeError
            If a process ends; the message has what it printed last.
        """
        # Interleaved rows: neighbours in a population run for about as long, and falling robots end early.
        parts = [weights[start :: self.workers] for start in range(min(self.workers, len(weights)))]
        while len(self._processes) < len(parts):
            self._processes.append(self._start())
        request = {"steps": np.array(float(steps)), "seeds": np.array(seeds, dtype=np.float64)}
        if moments is not None:
            request |= {"mean": moments.mean, "std": moments.std}
        try:
            for part, (process, _) in zip(parts, self._processes, strict=False):
                assert process.stdin is not None
                send(process.stdin, weights=part, **request)
            replies = [self._reply(*pair) for pair in self._processes[: len(parts)]]
        except BaseException as error:
            self.close()  # requests are under way: what comes next must not read their replies
            if isinstance(error, BrokenPipeError):
                raise RuntimeError(f"{self.task}: a simulation process ended: {error}") from None
            raise
        outcome = Outcome(*(np.zeros((len(weights), *replies[0][name].shape[1:])) for name in Outcome._fields))
        for start, reply in enumerate(replies):
            outcome.values[start :: self.workers] = reply["values"]
            outcome.sums[start :: self.workers] = reply["sums"]
        return outcome

    @staticmethod
    def _reply(process: subprocess.Popen[bytes], errors: IO[bytes]) -> dict[str, Array]:
        assert process.stdout is not None
        reply = receive(process.stdout)
        if reply is None:
            raise BrokenPipeError(_last_words(errors))
        return reply

    def close(self) -> None:
        """End the processes."""
        for process, errors in self._processes:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, errors):
                if stream is not None:
                    with contextlib.suppress(BrokenPipeError):  # an unsent rest of a request
                        stream.close()
        self._processes = []

    def __del__(self) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {"task": self.task, "workers": self.workers, "_processes": []}  # a copy starts its own

    def _start(self) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
        errors = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the process
        environment = dict(os.environ)
        given = [str(Path(path).absolute()) for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
        environment["PYTHONPATH"] = os.pathsep.join([str(Path(blackbox.__file__).absolute().parent.parent), *given])
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[name] = "1"  # a process is a core's worth of work
        command = [sys.executable, "-m", "blackbox.problems._control_worker", self.task]
        pipe, place = subprocess.PIPE, tempfile.gettempdir()  # where MuJoCo may write its log
        process = subprocess.Popen(command, env=environment, cwd=place, stdin=pipe, stdout=pipe, stderr=errors)
        return process, errors


def _last_words(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it printed nothing"
