"""A study's file: an append-only log of asks and tells in SQLite, with a digest for every record.

Tables: `study` (what is searched, how), `log` (the order of asks, tells and abandonments), `candidates` (the points, written
once), `outcomes` (what became of them, written once), `pending` and `owners` (who works on what: bookkeeping), and
`checkpoints` (states of the optimizer; they only save time, and can be deleted).

Write-ahead logging, one transaction an ask or tell. A transaction that returned survives the death of the process at
once; it is flushed to the device at the latest when the next one comes more than 20 ms later, and when a run ends.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blackbox._study_file import connect, create, explain, record_digest
from blackbox.errors import StateError, StorageError
from blackbox.state import pack, unpack

__all__ = ["Counts", "Event", "Outcome", "Storage"]

_FLUSH_EVERY = 0.02  # seconds
_LOCK_TIMEOUT = 300.0  # seconds
_KINDS = ("ask", "tell", "external", "abandon")
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Event:
    """One record of the log.

    Attributes
    ----------
    seq : int
        Its place, from 1, without gaps.
    kind : "ask", "tell", "external" or "abandon"
    payload : dict
        For an ask: "n", "fixed", "dtype"; for a tell: "failed", the number of failures among its rows.
    ids : list of int
    columns : dict
        Columns by name (context of an ask, extras of a tell).
    """

    seq: int
    kind: str
    payload: dict[str, Any]
    ids: list[int]
    columns: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one candidate.

    Attributes
    ----------
    status : "told", "failed" or "abandoned"
    values : array, shape (m,), or None
        In the user's directions.
    violations, variance : array, shape (k,) and (m,), or None
    details : dict
        "reason" of a failure, "started" (Unix time), "seconds", "worker", "finished" (Unix time).
    """

    status: str
    values: Array | None = None
    violations: Array | None = None
    variance: Array | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def same(self, other: Outcome) -> bool:
        """Whether both say the same about the candidate (timings and reasons may differ)."""
        pairs = ((getattr(self, n), getattr(other, n)) for n in ("values", "violations", "variance"))
        return self.status == other.status and all(_bytes(a) == _bytes(b) for a, b in pairs)


@dataclass(slots=True)
class Counts:
    """How many candidates there are, by fate, up to record `seq` of the log."""

    seq: int = 0
    asked: int = 0
    told: int = 0
    failed: int = 0
    abandoned: int = 0

    @property
    def finished(self) -> int:
        """Told and failed."""
        return self.told + self.failed

    def add(self, kind: str, payload: Mapping[str, Any], n: int) -> None:
        """Count one record of the log."""
        self.seq += 1
        if kind in ("ask", "external"):
            self.asked += n
        if kind in ("tell", "external"):
            self.failed += int(payload["failed"])
            self.told += n - int(payload["failed"])
        if kind == "abandon":
            self.abandoned += n


class Storage:
    """A study file, open for reading and writing by this and other processes.

    Use `Storage.open` and `Storage.create`. Every method that writes must be called inside `with storage.transaction()`.

    Attributes
    ----------
    meta : dict
        What the study was created with.
    counts : Counts
        As of the last `refresh` or transaction.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path | None) -> None:
        self.path = path
        self.lock = threading.RLock()
        self._connection = connection
        self._label = ":memory:" if path is None else str(path)
        self._flushed = 0.0
        self._dirty = False
        self.counts = Counts()
        with self._guard():
            self.meta = {key: self._meta_value(key, *row) for key, *row in self._rows("SELECT * FROM study")}
            with self.snapshot():
                self._verify()

    @classmethod
    def create(cls, path: str | Path | None, meta: Mapping[str, Any]) -> Storage:
        """Make a study file and open it; where another process just made one, open that.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        if path is None:
            return cls(connect(None, meta), None)
        create(Path(path), meta)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> Storage:
        """Open an existing study file; every record is checked against its digest.

        Raises
        ------
        StorageError
            If it is missing, unreadable, damaged (the record is named), or no study file.
        """
        connection = connect(Path(path))
        try:
            return cls(connection, Path(path))
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """Flush and close; closing twice is allowed."""
        with self.lock:
            self.flush()
            self._connection.close()

    # -- transactions ----------------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the file's write lock: all of the block is stored, or nothing.

        Raises
        ------
        StorageError
            If the lock cannot be had within 300 seconds, or the file cannot be written (no space, read-only).
        """
        with self.lock, self._guard():
            now = time.monotonic()
            flush = self.path is not None and now - self._flushed > _FLUSH_EVERY
            if flush:
                self._connection.execute("PRAGMA synchronous=FULL")
            self._begin()
            try:
                self.refresh()
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            finally:
                if flush:
                    self._connection.execute("PRAGMA synchronous=NORMAL")
            self._dirty = not flush
            if flush:
                self._flushed = time.monotonic()

    def _begin(self) -> None:
        give_up = time.monotonic() + _LOCK_TIMEOUT
        while True:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if not (error.sqlite_errorname or "").startswith("SQLITE_BUSY") or time.monotonic() > give_up:
                    raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read everything in the block as of one instant."""
        with self.lock, self._guard():
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("COMMIT")

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise explain(error, self._label) from error

    def flush(self) -> None:
        """Flush what was stored to the device."""
        if self._dirty and self.path is not None:
            with self.lock, self._guard():
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")  # syncs the log first
                self._dirty = False

    # -- reading ---------------------------------------------------------------------------------------------

    def refresh(self) -> Counts:
        """Return the counts, after taking in what other processes (and this one) appended to the log."""
        with self._guard():
            rows = self._rows(
                "SELECT seq, kind, payload, data, digest FROM log WHERE seq > ? ORDER BY seq", self.counts.seq
            )
            for row in rows:
                event = self._event(self.counts.seq + 1, *row)
                self.counts.add(event.kind, event.payload, len(event.ids))
        return self.counts

    def changes(self) -> int:
        """Return a number that changes when another process has written."""
        with self.lock, self._guard():
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def events(self, after: int) -> list[Event]:
        """Return the records of the log with seq > `after`."""
        with self.lock, self._guard():
            rows = self._rows("SELECT seq, kind, payload, data, digest FROM log WHERE seq > ? ORDER BY seq", after)
            return [self._event(after + 1 + place, *row) for place, row in enumerate(rows)]

    def points(self, ids: Sequence[int]) -> Array:
        """Return the points of candidates, shape (n, d), float64, in the order of `ids`."""
        with self.lock, self._guard():
            found = [self._point(i, *self._one("candidates", "x, digest", i)) for i in ids]
        return np.stack(found) if found else np.zeros((0, 0))

    def outcomes(self, ids: Sequence[int]) -> list[Outcome | None]:
        """Return what became of candidates; None for those that are pending."""
        columns = "status, vals, violations, variance, details, digest"
        with self.lock, self._guard():
            rows = [self._one("outcomes", columns, i, missing=True) for i in ids]
            return [None if row is None else self._outcome(i, *row) for i, row in zip(ids, rows, strict=True)]

    def pending(self) -> dict[int, tuple[str | None, int]]:
        """Return owner and number of attempts by pending candidate; owner None: asked by hand; "": free."""
        with self.lock, self._guard():
            rows = self._rows("SELECT id, owner, attempts FROM pending ORDER BY id")
            return {int(i): (owner, int(attempts)) for i, owner, attempts in rows}

    def owners(self) -> dict[str, float]:
        """Return until when (Unix time) each owner's lease lasts."""
        with self.lock, self._guard():
            return {str(owner): float(expires) for owner, expires in self._rows("SELECT * FROM owners")}

    def newest_checkpoint(self, after: int) -> tuple[int, Any] | None:
        """Return the newest undamaged checkpoint with seq > `after`, as (seq, state); None where there is none."""
        with self.lock, self._guard():
            rows = self._rows("SELECT seq, state, digest FROM checkpoints WHERE seq > ? ORDER BY seq DESC", after)
        for seq, state, digest in rows:
            try:
                if digest != record_digest("checkpoints", seq, state):
                    raise StateError("its digest does not match")
                return int(seq), unpack(state, source=f"{self._label}: checkpoint {seq}")
            except (StateError, TypeError, AttributeError) as error:
                message = f"{self._label}: checkpoint {seq} is damaged ({error}); replaying the log instead"
                warnings.warn(message, RuntimeWarning, stacklevel=2)
        return None

    # -- writing, inside a transaction -----------------------------------------------------------------------

    def append_ask(
        self, x: Array, *, owner: str | None, payload: Mapping[str, Any], columns: Mapping[str, Any] | None = None
    ) -> list[int]:
        """Store the points that were asked, shape (n, d); return their ids."""
        ids = list(range(self.counts.asked, self.counts.asked + len(x)))
        self._insert_points(ids, x)
        attempts = 0 if owner is None else 1
        self._many("INSERT INTO pending VALUES(?,?,?)", [(i, owner, attempts) for i in ids])
        self._append("ask", payload, ids, columns)
        return ids

    def append_tell(
        self, ids: Sequence[int], outcomes: Sequence[Outcome], columns: Mapping[str, Any] | None = None
    ) -> None:
        """Store what became of pending candidates."""
        self._insert_outcomes(ids, outcomes)
        self._many("DELETE FROM pending WHERE id = ?", [(i,) for i in ids])
        self._append("tell", {"failed": _failures(outcomes)}, list(ids), columns)

    def append_external(
        self, x: Array, outcomes: Sequence[Outcome], *, dtype: str, columns: Mapping[str, Any] | None = None
    ) -> list[int]:
        """Store points that were not asked, with their outcomes; return their ids."""
        ids = list(range(self.counts.asked, self.counts.asked + len(x)))
        self._insert_points(ids, x)
        self._insert_outcomes(ids, outcomes)
        self._append("external", {"failed": _failures(outcomes), "dtype": dtype}, ids, columns)
        return ids

    def append_abandon(self, ids: Sequence[int], details: Mapping[str, Any]) -> None:
        """Store that pending candidates will never be told."""
        self._insert_outcomes(ids, [Outcome("abandoned", details=details)] * len(ids))
        self._many("DELETE FROM pending WHERE id = ?", [(i,) for i in ids])
        self._append("abandon", {}, list(ids), None)

    def claim(self, ids: Sequence[int], owner: str | None, *, attempts: int = 1) -> None:
        """Give pending candidates to an owner ("" sets them free), and add to their number of attempts."""
        rows = [(owner, attempts, i) for i in ids]
        self._many("UPDATE pending SET owner = ?, attempts = attempts + ? WHERE id = ?", rows)

    def renew(self, owner: str, expires: float) -> None:
        """Let an owner's lease last until `expires` (Unix time); forget leases that ended a day before."""
        self._execute("INSERT OR REPLACE INTO owners VALUES(?,?)", (owner, expires))
        self._execute("DELETE FROM owners WHERE expires < ?", (expires - 86400.0,))

    def write_checkpoint(self, seq: int, tree: Any) -> None:
        """Store the optimizer's state after record `seq`; the last two are kept."""
        data = pack(tree)
        row = (seq, data, record_digest("checkpoints", seq, data))
        self._execute("INSERT OR REPLACE INTO checkpoints VALUES(?,?,?)", row)
        old = "SELECT seq FROM checkpoints ORDER BY seq DESC LIMIT 2"
        self._execute(f"DELETE FROM checkpoints WHERE seq NOT IN ({old})", ())  # noqa: S608 - constant text

    def _append(
        self, kind: str, payload: Mapping[str, Any], ids: list[int], columns: Mapping[str, Any] | None
    ) -> None:
        consecutive = len(ids) > 1 and ids == list(range(ids[0], ids[0] + len(ids)))
        shown = {"first": ids[0], "count": len(ids)} if consecutive else {"ids": ids}
        text = json.dumps({**payload, **shown})
        data = pack(dict(columns)) if columns else None
        seq = self.counts.seq + 1
        row = (seq, kind, text, data, record_digest("log", seq, kind, text, data))
        self._execute("INSERT INTO log VALUES(?,?,?,?,?)", row)

    def _insert_points(self, ids: Sequence[int], x: Array) -> None:
        blobs = [row.astype("<f8").tobytes() for row in x]
        rows = [(i, b, record_digest("candidates", i, b)) for i, b in zip(ids, blobs, strict=True)]
        self._many("INSERT INTO candidates VALUES(?,?,?)", rows)

    def _insert_outcomes(self, ids: Sequence[int], outcomes: Sequence[Outcome]) -> None:
        rows = []
        for i, outcome in zip(ids, outcomes, strict=True):
            fields = (
                outcome.status,
                _bytes(outcome.values),
                _bytes(outcome.violations),
                _bytes(outcome.variance),
                json.dumps(dict(outcome.details)),
            )
            rows.append((i, *fields, record_digest("outcomes", i, *fields)))
        self._many("INSERT INTO outcomes VALUES(?,?,?,?,?,?,?)", rows)

    # -- records ---------------------------------------------------------------------------------------------

    def _rows(self, sql: str, *arguments: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, arguments).fetchall()

    def _execute(self, sql: str, row: tuple[Any, ...]) -> None:
        self._connection.execute(sql, row)

    def _many(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        self._connection.executemany(sql, rows)

    def _one(self, table: str, columns: str, i: int, *, missing: bool = False) -> Any:
        row = self._connection.execute(f"SELECT {columns} FROM {table} WHERE id = ?", (i,)).fetchone()  # noqa: S608
        if row is None and not missing:
            raise self._damaged(table, i, "it is missing")
        return row

    def _damaged(self, table: str, record: Any, what: str) -> StorageError:
        return StorageError(f"{self._label}: damaged: record {record} of {table}: {what}")

    def _check(self, table: str, record: Any, digest: Any, *fields: Any) -> None:
        try:
            if digest != record_digest(table, record, *fields):
                raise self._damaged(table, record, "its digest does not match")
        except (TypeError, AttributeError):
            raise self._damaged(table, record, "a field has another type") from None

    def _meta_value(self, key: str, text: str, digest: bytes) -> Any:
        self._check("study", key, digest, text)
        return json.loads(text)

    def _event(self, expected: int, seq: int, kind: str, text: str, data: bytes | None, digest: bytes) -> Event:
        if seq != expected:
            raise self._damaged("log", expected, "it is missing")
        self._check("log", seq, digest, kind, text, data)
        try:
            payload = json.loads(text)
            if kind not in _KINDS:
                raise ValueError(kind)
            ids = payload.pop("ids", None)
            if ids is None:
                first = int(payload.pop("first"))
                ids = range(first, first + int(payload.pop("count")))
            columns = {} if data is None else unpack(data, source=f"{self._label}: record {seq} of log")
            return Event(seq, kind, payload, [int(i) for i in ids], columns)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._damaged("log", seq, f"not understood: {error!r}") from None

    def _point(self, i: int, x: bytes, digest: bytes) -> Array:
        self._check("candidates", i, digest, x)
        return self._array("candidates", i, x)

    def _outcome(
        self, i: int, status: str, values: Any, violations: Any, variance: Any, details: str, digest: bytes
    ) -> Outcome:
        self._check("outcomes", i, digest, status, values, violations, variance, details)
        arrays = [None if b is None else self._array("outcomes", i, b) for b in (values, violations, variance)]
        return Outcome(status, *arrays, details=json.loads(details))

    def _array(self, table: str, i: int, data: bytes) -> Array:
        if len(data) % 8:
            raise self._damaged(table, i, f"{len(data)} bytes are no row of numbers")
        return np.frombuffer(data, dtype="<f8").astype(np.float64)

    def _verify(self) -> None:
        """Read every record once: digests, and that no record is missing."""
        self.refresh()
        for table, columns in (("candidates", "id, x, digest"), ("outcomes", "*")):
            cursor = self._connection.execute(f"SELECT {columns} FROM {table} ORDER BY id")  # noqa: S608
            for i, *fields in cursor:
                self._check(table, i, fields[-1], *fields[:-1])
        counts = self.counts
        sums = "SELECT (SELECT COUNT(*) FROM candidates), (SELECT MAX(id) FROM candidates), "
        sums += "(SELECT COUNT(*) FROM outcomes), (SELECT COUNT(*) FROM pending)"
        asked, last, done, pending = self._rows(sums)[0]
        if asked != counts.asked or (asked and last != asked - 1):
            raise self._damaged("candidates", "*", f"the log lists {counts.asked}, the table holds {asked}")
        if done != counts.finished + counts.abandoned:
            raise self._damaged("outcomes", "*", f"the log lists {counts.finished + counts.abandoned}, found {done}")
        if pending != asked - done:
            raise self._damaged("pending", "*", f"expected {asked - done} candidates, found {pending}")


def _bytes(array: Array | None) -> bytes | None:
    return None if array is None else np.asarray(array, dtype="<f8").tobytes()


def _failures(outcomes: Sequence[Outcome]) -> int:
    return sum(outcome.status == "failed" for outcome in outcomes)
