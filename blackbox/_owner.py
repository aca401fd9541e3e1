"""Who evaluates: a name for one study object in one process, and whether the one behind a name is still there."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
import sys
import threading
import time
import weakref
from collections.abc import Mapping
from functools import cache
from pathlib import Path

__all__ = ["LEASE", "Owner", "is_gone"]

LEASE = 60.0  # seconds; renewed every third of it while a run goes on
_live: weakref.WeakValueDictionary[str, Owner] = weakref.WeakValueDictionary()


class Owner:
    """The owner of the candidates that one study object evaluates.

    Attributes
    ----------
    name : str
        "host:pid:start:token": host with its boot and process namespace, and when the process started, so that a
        number that is used again is not taken for the same process.
    """

    def __init__(self) -> None:
        self.token = secrets.token_hex(4)
        self.name = f"{_host()}:{os.getpid()}:{_started(os.getpid())}:{self.token}"
        self._renewed = 0.0
        self._lock = threading.Lock()
        _live[self.token] = self

    def due(self, now: float) -> bool:
        """Whether the lease should be renewed now; answers yes once a third of a lease."""
        with self._lock:
            if now - self._renewed < LEASE / 3:
                return False
            self._renewed = now
            return True


def is_gone(name: str, leases: Mapping[str, float]) -> bool:
    """Whether the owner of that name will not finish what it began.

    On the same host the process is looked up; elsewhere its lease decides.

    Parameters
    ----------
    name : str
        As in `Owner.name`; "" for candidates that were set free.
    leases : mapping of name to Unix time
        Until when each lease lasts.
    """
    parts = name.split(":")
    if len(parts) != 4:
        return True
    host, pid, started, token = parts
    if host != _host() or sys.platform == "win32" or not pid.isdigit():
        return leases.get(name, 0.0) < time.time()
    if int(pid) == os.getpid() and started == _started(os.getpid()):
        return token not in _live
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass  # it exists, and belongs to another user
    return _started(int(pid)) not in (started, "")


@cache
def _host() -> str:
    """Return a name of this host, its boot, and its process namespace, without colons."""
    parts = [socket.gethostname()]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    except OSError:
        pass  # not Linux: the host's name alone
    suffix = hashlib.blake2b(" ".join(parts).encode(), digest_size=4).hexdigest()
    return f"{parts[0].replace(':', '-')}-{suffix}"


def _started(pid: int) -> str:
    """Return when a process started, in the kernel's ticks; "" where that is not known; "dead" for a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()
    return "dead" if fields[0] in "ZX" else fields[19]
