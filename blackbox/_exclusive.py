"""One user at a time: a lock that refuses a second one instead of letting it wait."""

from __future__ import annotations

from threading import Lock

from blackbox.errors import ConcurrentUseError

__all__ = ["Exclusive"]


class Exclusive:
    """A context that can be entered once at a time.

    Parameters
    ----------
    refusal : str
        The message of the `ConcurrentUseError` that is raised where it is entered already.
    """

    __slots__ = ("_lock", "_refusal")

    def __init__(self, refusal: str) -> None:
        self._lock = Lock()
        self._refusal = refusal

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise ConcurrentUseError(self._refusal)

    def __exit__(self, *error: object) -> None:
        self._lock.release()
