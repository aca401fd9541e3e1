"""Commands must not outlive us: a small process that kills their groups when this process has gone, however it went."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading

__all__ = ["Lifeline"]

# Reads "+group" and "-group" until its input ends, which it does when its parent has died (even of SIGKILL).
_GUARD = """
import os, signal, sys
groups = set()
for line in sys.stdin:
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass
"""


class Lifeline:
    """Remembers process groups, outside of this process, for as long as this process lives.

    Where there are no process groups, it does nothing.

    Attributes
    ----------
    held : set of int
        The groups that would be killed.

    Examples
    --------
    >>> lifeline = Lifeline()
    >>> lifeline.start()
    >>> lifeline.close()
    """

    def __init__(self) -> None:
        self.held: set[int] = set()
        self._guard: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the guard, if it does not run yet."""
        with self._lock:
            if self._guard is None and hasattr(os, "killpg"):
                self._guard = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _GUARD],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )

    def hold(self, group: int) -> None:
        """Have a group killed when this process ends before `release`."""
        with self._lock:
            self._write(f"+{group}\n")
            self.held.add(group)

    def release(self, group: int) -> None:
        """Forget a group that has ended."""
        with self._lock:
            self._write(f"-{group}\n")
            self.held.discard(group)

    def _write(self, line: str) -> None:
        if self._guard is not None and self._guard.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # the guard was killed: we go on without
                self._guard.stdin.write(line.encode())
                self._guard.stdin.flush()

    def close(self) -> None:
        """End the guard; what it still held is killed."""
        with self._lock:
            if self._guard is not None and self._guard.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    self._guard.stdin.close()
                self._guard.wait()
            self._guard = None
