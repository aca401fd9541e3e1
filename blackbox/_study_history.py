"""The history of a study: one record a candidate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from blackbox.errors import SpaceError, StorageError
from blackbox.evaluation import Failure
from blackbox.objective import Objective
from blackbox.space import Space
from blackbox.storage import Outcome, Storage

__all__ = ["Best", "Record", "checked_points", "read_history"]


@dataclass(frozen=True, slots=True)
class Record:
    """One candidate of a study, and what became of it.

    Attributes
    ----------
    id : int
    config : dict
        Active parameters by name.
    status : "pending", "told", "failed" or "abandoned"
    values : tuple of float, or None
        In the objectives' own directions, m of them.
    violations, variance : tuple of float, or None
        Feasible at <= 0.
    reason : Failure or None
        Of a failed evaluation.
    started, finished : float or None
        Unix time; `started` where this library evaluated it.
    seconds : float or None
        How long the evaluation took.
    worker : str
        "host:pid" of the process that evaluated it.
    attempts : int
        Of a pending one: how often its evaluation was started.
    """

    id: int
    config: dict[str, Any]
    status: str
    values: tuple[float, ...] | None = None
    violations: tuple[float, ...] | None = None
    variance: tuple[float, ...] | None = None
    reason: Failure | None = None
    started: float | None = None
    finished: float | None = None
    seconds: float | None = None
    worker: str = ""
    attempts: int = 0

    @property
    def is_feasible(self) -> bool:
        """Whether it was told, and satisfies the constraints."""
        return self.status == "told" and all(violation <= 0 for violation in self.violations or ())


def read_history(storage: Storage, space: Space, ids: Sequence[int]) -> Iterator[Record]:
    """Yield the records of candidates, in the order of `ids`."""
    configs = space.decode(checked_points(storage, space, ids)) if ids else []
    pending = storage.pending()
    for i, config, outcome in zip(ids, configs, storage.outcomes(ids), strict=True):
        if outcome is None:
            yield Record(i, config, "pending", attempts=pending.get(i, (None, 0))[1])
        else:
            yield _record(i, config, outcome)


def checked_points(storage: Storage, space: Space, ids: Sequence[int]) -> Tensor:
    """Return stored points, shape (n, d), that are points of the space.

    Raises
    ------
    StorageError
        If one is not; somebody has then written to the file who should not.
    """
    x = torch.from_numpy(storage.points(ids).reshape(len(ids), space.dim))
    try:
        space.check(x)
    except SpaceError as error:
        raise StorageError(f"{storage.path}: damaged: a stored point is not in the space: {error}") from None
    return x


def _record(i: int, config: dict[str, Any], outcome: Outcome) -> Record:
    details = outcome.details
    reason = details.get("reason")
    rows = (outcome.values, outcome.violations, outcome.variance)
    values, violations, variance = (None if row is None else tuple(row.tolist()) for row in rows)
    return Record(
        i,
        config,
        outcome.status,
        values,
        violations,
        variance,
        None if reason is None else Failure(**reason),
        details.get("started"),
        details.get("finished"),
        details.get("seconds"),
        str(details.get("worker", "")),
    )


class Best:
    """The best feasible candidate for one objective, kept up to date from the log."""

    def __init__(self, storage: Storage, objectives: Sequence[Objective]) -> None:
        self._storage, self._objectives = storage, objectives
        self._seq = 0
        self.id: int | None = None
        self.value: float | None = None  # in the objective's own direction

    def text(self) -> str:
        """Return the best so far in a few words."""
        self.refresh()
        if len(self._objectives) > 1:
            return f"{len(self._objectives)} objectives"
        name = self._objectives[0].name
        return f"best {name} -" if self.value is None else f"best {name} {self.value:.6g}"

    def refresh(self) -> None:
        """Take in what was told since the last time."""
        if len(self._objectives) != 1 or self._storage.refresh().seq == self._seq:
            return
        sign = self._objectives[0].sign
        for event in self._storage.events(self._seq):
            self._seq = event.seq
            if event.kind not in ("tell", "external"):
                continue
            for i, outcome in zip(event.ids, self._storage.outcomes(event.ids), strict=True):
                if outcome is None or outcome.status != "told" or outcome.values is None:
                    continue
                if outcome.violations is not None and bool((outcome.violations > 0).any()):
                    continue
                value = float(outcome.values[0])
                if self.value is None or sign * value < sign * self.value:
                    self.id, self.value = i, value
