"""Which process evaluates which candidate: what runs of one or several processes on a study file agree on."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from blackbox._owner import LEASE, Owner, is_gone
from blackbox._replica import Replica
from blackbox._study_history import checked_points
from blackbox.errors import ExhaustedError, NotReadyError
from blackbox.evaluation import Failure, Report
from blackbox.storage import Outcome, Storage

__all__ = ["Candidate", "Claims", "Taken", "report_to_outcome"]

_MANY = 8  # records of the log


@dataclass(slots=True)
class Candidate:
    """One candidate that this process evaluates.

    Attributes
    ----------
    id : int
    config : dict
    attempts : int
        How often its evaluation was started, as far as this is stored.
    is_started : bool
        Whether the present attempt is among them.
    """

    id: int
    config: dict[str, Any]
    attempts: int = 0
    is_started: bool = False


@dataclass(frozen=True, slots=True)
class Taken:
    """What `Claims.take` found.

    Attributes
    ----------
    candidates : list of Candidate
    lost : int
        Candidates that were given up, because they had killed their process too often.
    waiting : NotReadyError or None
        Why nothing more can be handed out now.
    exhausted : bool
        Nothing will ever be handed out again.
    n_elsewhere : int
        Candidates that other live processes evaluate.
    """

    candidates: list[Candidate]
    lost: int = 0
    waiting: NotReadyError | None = None
    exhausted: bool = False
    n_elsewhere: int = 0


class Claims:
    """The candidates that one run has in hand, and those that it may take.

    Parameters
    ----------
    storage, replica
        Of the study.
    owner : Owner
    max_attempts : int
        After so many evaluations that took their process down, a candidate is given up.
    """

    def __init__(self, storage: Storage, replica: Replica, owner: Owner, max_attempts: int) -> None:
        self._storage, self._replica, self._owner = storage, replica, owner
        self._max_attempts = max_attempts
        self._space = replica.optimizer.space
        self.held: dict[int, Candidate] = {}

    def take(self, n: int, *, start: int, target: int | None) -> Taken:
        """Take up to n candidates: first those that nobody evaluates any more, then new ones.

        Parameters
        ----------
        n : int
        start : int
            The first so many are about to be started.
        target : int, optional
            The study's total of finished evaluations that must not be exceeded.
        """
        if self._storage.refresh().seq - self._replica.applied > _MANY:
            self._replica.catch_up()  # the long part, outside of the lock
        with self._replica.in_step(), self._storage.transaction():
            if self._owner.due(time.monotonic()):
                self._storage.renew(self._owner.name, time.time() + LEASE)
            orphans, elsewhere = self._survey()
            lost = self._give_up(orphans)
            finished = self._storage.refresh().finished
            room = n if target is None else min(n, target - finished - len(self.held) - elsewhere)
            ids = list(orphans)[: max(0, room)]
            self._storage.claim(ids, self._owner.name, attempts=0)
            taken = [Candidate(i, config, orphans[i]) for i, config in zip(ids, self._configs(ids), strict=True)]
            waiting, exhausted = None, False
            if room > len(taken):
                try:
                    taken += self._ask(room - len(taken))
                except NotReadyError as error:
                    waiting = error
                except ExhaustedError:
                    exhausted = True
            self._mark_started(taken[:start])
        self.held |= {candidate.id: candidate for candidate in taken}
        return Taken(taken, lost, waiting, exhausted, elsewhere)

    def _survey(self) -> tuple[dict[int, int], int]:
        """Return the attempts of each candidate that nobody evaluates, and how many others evaluate."""
        orphans: dict[int, int] = {}
        elsewhere, gone = 0, {"": True}
        leases: Mapping[str, float] | None = None
        for i, (owner, attempts) in self._storage.pending().items():
            if owner is None or i in self.held:
                continue
            if owner == self._owner.name:
                orphans[i] = attempts  # claimed by an earlier run that could not let go of it
                continue
            if owner not in gone:
                leases = self._storage.owners() if leases is None else leases
                gone[owner] = is_gone(owner, leases)
            if gone[owner]:
                orphans[i] = attempts
            else:
                elsewhere += 1
        return orphans, elsewhere

    def _give_up(self, orphans: dict[int, int]) -> int:
        worn = [i for i, attempts in orphans.items() if attempts >= self._max_attempts]
        if worn:
            outcomes = [report_to_outcome(Report(failure=_lost(orphans.pop(i)))) for i in worn]
            self._storage.append_tell(worn, outcomes)
        return len(worn)

    def _ask(self, n: int) -> list[Candidate]:
        self._replica.catch_up()
        batch = self._replica.ask(n, None, owner=self._owner.name)
        return [Candidate(i, config) for i, config in zip(batch.ids, batch.configs, strict=True)]

    def _configs(self, ids: Sequence[int]) -> list[dict[str, Any]]:
        if not ids:
            return []
        configs: list[dict[str, Any]] = self._space.decode(checked_points(self._storage, self._space, ids))
        return configs

    def _mark_started(self, candidates: Sequence[Candidate]) -> None:
        if candidates:
            self._storage.claim([candidate.id for candidate in candidates], self._owner.name, attempts=1)
            for candidate in candidates:
                candidate.attempts += 1
                candidate.is_started = True

    def finish(self, candidate: Candidate, report: Report, started: Sequence[Candidate] = ()) -> bool:
        """Store what came of a candidate, and that others were started; return False if somebody was faster."""
        with self._storage.transaction():
            is_first = self._storage.outcomes([candidate.id])[0] is None
            if is_first:
                self._storage.append_tell([candidate.id], [report_to_outcome(report)], report.extras)
            self._mark_started(started)
        self.held.pop(candidate.id, None)
        return is_first

    def release(self) -> None:
        """Set free what is still in hand; a stop on purpose is no fault of a candidate's."""
        with self._storage.transaction():
            for candidate in self.held.values():
                self._storage.claim([candidate.id], "", attempts=-1 if candidate.is_started else 0)
        self.held.clear()


def report_to_outcome(report: Report) -> Outcome:
    """Return a report as it is stored."""
    details: dict[str, Any] = {"finished": time.time()}
    if report.worker:
        details |= {"started": report.started, "seconds": report.seconds, "worker": report.worker}
    if report.failure is not None:
        return Outcome("failed", details=details | {"reason": asdict(report.failure)})
    rows = [None if row is None else np.array(row) for row in (report.values, report.violations, report.variance)]
    return Outcome("told", rows[0], rows[1], rows[2], details)


def _lost(attempts: int) -> Failure:
    return Failure("Lost", f"the process that evaluated it died, {attempts} times")
