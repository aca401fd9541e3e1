"""How training says how far it is, and how a terminal or a study listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeAlias

__all__ = ["Report", "Watcher", "is_watched", "report", "watching"]


@dataclass(frozen=True, slots=True)
class Report:
    """How far a model's training is.

    Attributes
    ----------
    stage : str
        What is being done, for example "training predictors".
    done, total : int
        Steps done, and steps in all (fewer may be needed).
    figures : mapping of str to float
        Losses and the like.
    """

    stage: str
    done: int
    total: int
    figures: Mapping[str, float] = field(default_factory=dict)


Watcher: TypeAlias = Callable[[Report], None]

_watcher: ContextVar[Watcher | None] = ContextVar("blackbox_watcher", default=None)


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Let `watcher` hear of every training inside a block; the innermost block counts.

    Examples
    --------
    >>> heard = []
    >>> with watching(heard.append):
    ...     report("training", 1, 10)
    >>> heard[0].done
    1
    """
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def is_watched() -> bool:
    """Return whether anybody listens, so that figures need not be computed where nobody does."""
    return _watcher.get() is not None


def report(stage: str, done: int, total: int, figures: Mapping[str, float] | None = None) -> None:
    """Tell whoever listens how far a stage is; nothing happens where nobody does."""
    watcher = _watcher.get()
    if watcher is not None:
        watcher(Report(stage, done, total, figures or {}))
