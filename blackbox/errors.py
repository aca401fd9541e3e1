"""The errors that `blackbox` raises, by cause.

::

    BlackboxError
      SettingError (ValueError)            a setting or an argument makes no sense; names it
      SpaceError (ValueError)              a space or a configuration is wrong; names the parameter
      TellError (ValueError)               values cannot be accepted; names the argument
        UnknownCandidateError              an id that this optimizer never handed out
        DuplicateTellError                 an id that was told before
        AbandonedError                     an id that was abandoned
      CapabilityError (TypeError)          the algorithm cannot serve this problem
      NotReadyError (RuntimeError)         nothing to hand out now
      ExhaustedError (RuntimeError)        nothing will ever be handed out again
      ConcurrentUseError (RuntimeError)    two threads used one optimizer at once
      StateError (ValueError)              a state or state file is damaged or belongs to something else
      StorageError (OSError)               a study file cannot be read or written
      StudyError (RuntimeError)            a run cannot go on: hopeless failures, a broken executor
      MissingDependencyError (ImportError) an optional package is not installed
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AbandonedError",
    "BlackboxError",
    "CapabilityError",
    "ConcurrentUseError",
    "DuplicateTellError",
    "ExhaustedError",
    "MissingDependencyError",
    "NotReadyError",
    "SettingError",
    "SpaceError",
    "StateError",
    "StorageError",
    "StudyError",
    "TellError",
    "UnknownCandidateError",
    "shown",
]


class BlackboxError(Exception):
    """The root of every error that this package raises on purpose."""


class SettingError(BlackboxError, ValueError):
    """A setting or an argument makes no sense; the message names it and what was expected."""


class SpaceError(BlackboxError, ValueError):
    """A space, or a configuration of it, is wrong.

    Attributes
    ----------
    parameter : str or None
        The parameter at fault, where there is one.
    """

    def __init__(self, message: str, *, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter


class TellError(BlackboxError, ValueError):
    """Told values cannot be accepted; the optimizer is as it was.

    Attributes
    ----------
    argument : str
        The argument at fault, as it is named in `Optimizer.tell`.
    rows : list of int
        The rows at fault (positions in the batch), where that makes sense.
    """

    def __init__(self, message: str, *, argument: str = "values", rows: Any = ()) -> None:
        super().__init__(message)
        self.argument = argument
        self.rows = [int(row) for row in rows]


class UnknownCandidateError(TellError):
    """An id was told that this optimizer never handed out."""


class DuplicateTellError(TellError):
    """An id was told that had been told before."""


class AbandonedError(TellError):
    """An id was told that had been abandoned."""


class CapabilityError(BlackboxError, TypeError):
    """The algorithm cannot serve this problem; the message names one that can."""


class NotReadyError(BlackboxError, RuntimeError):
    """Nothing can be handed out now.

    Attributes
    ----------
    pending : int
        How many candidates are waiting to be told.
    """

    def __init__(self, message: str, *, pending: int = 0) -> None:
        super().__init__(message)
        self.pending = pending


class ExhaustedError(BlackboxError, RuntimeError):
    """Nothing will ever be handed out again: the space is finite, or the algorithm has ended."""


class ConcurrentUseError(BlackboxError, RuntimeError):
    """Two threads used one optimizer at the same time."""


class StateError(BlackboxError, ValueError):
    """A state is damaged, or belongs to another optimizer; the object is as it was."""


class StorageError(BlackboxError, OSError):
    """A study file cannot be read or written."""


class StudyError(BlackboxError, RuntimeError):
    """A run cannot go on; what was told so far is stored."""


class MissingDependencyError(BlackboxError, ImportError):
    """An optional package is not installed; the message names the extra to install."""


def shown(value: Any, limit: int = 80) -> str:
    """Return a value as messages show it: its repr on one line, cut to `limit` characters."""
    text = repr(value).replace("\n", " ")
    return text if len(text) <= limit else text[: limit - 3] + "..."
