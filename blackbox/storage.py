"""A study's file: an append-only log of asks and tells in SQLite, with a digest for every record.

Tables: `study` (what is searched, how), `log` (the order of asks, tells and abandonments), `candidates` (the points,
written once), `outcomes` (what became of them, written once), `pending` and `owners` (who works on what: bookkeeping),
and `checkpoints` (states of the optimizer; they only save time, and can be deleted).

Write-ahead logging, one transaction an ask or tell. A transaction that returned survives the death of the process at
once. It is flushed to the device (against a loss of power) when the last flush was 20 ms to 1 s before, depending on
how long the device takes, and when a run ends or the study is closed.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from blackbox._study_file import Inode, connect, create, explain, release
from blackbox._study_records import Array, Counts, Event, Outcome, Reader, record_digest, row_bytes
from blackbox.errors import StateError, StorageError
from blackbox.state import pack, unpack

__all__ = ["Array", "Counts", "Event", "Outcome", "Storage"]

_FLUSH_EVERY = 0.02  # seconds, at the least
_FLUSH_LATEST = 1.0  # seconds
_FLUSH_SHARE = 0.02  # of the time that flushing may cost, up to the latest
_LOCK_TIMEOUT = 300.0  # seconds


class Storage:
    """A study file, open for reading and writing by this and other processes.

    Use `Storage.open` and `Storage.create`. Methods that write must be called inside `with storage.transaction()`.

    Attributes
    ----------
    meta : dict
        What the study was created with.
    counts : Counts
        As of the last `refresh` or transaction.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path | None, inode: Inode | None = None) -> None:
        self.path = path
        self.lock = threading.RLock()
        self._connection = connection
        self._inode = inode
        self._label = ":memory:" if path is None else str(path)
        self._reader = Reader(self._label)
        self._guard = _Guard(self._label)
        self._flushed = 0.0  # when, and how long it took
        self._flush_cost = 0.0
        self._dirty = False
        self.closed = False
        self.counts = Counts()
        with self._guard:
            self.meta = {key: self._reader.meta(key, *row) for key, *row in self._rows("SELECT * FROM study")}
            self._reader.width = self.meta.get("dim")
            with self.snapshot():
                self._verify()

    @classmethod
    def create(cls, path: str | os.PathLike[str] | None, meta: Mapping[str, Any]) -> Storage:
        """Make a study file and open it; where another process just made one, open that.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        if path is None:
            return cls(connect(None, meta)[0], None)
        create(Path(path), meta)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Storage:
        """Open an existing study file; every record is checked against its digest.

        Raises
        ------
        StorageError
            If it is missing, unreadable, damaged (the record is named), or no study file.
        """
        connection, inode = connect(Path(path))
        try:
            return cls(connection, Path(path), inode)
        except BaseException:
            connection.close()
            release(inode)
            raise

    def close(self) -> None:
        """Flush and close; closing twice is allowed."""
        with self.lock:
            if not self.closed:
                self.closed = True
                self.flush()
                self._connection.close()
                release(self._inode)

    # -- transactions ----------------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the file's write lock: all of the block is stored, or nothing.

        Raises
        ------
        StorageError
            If the lock cannot be had within 300 seconds, or the file cannot be written (no space, read-only).
        """
        with self.lock, self._guard:
            if self.closed:
                raise StorageError(f"{self._label}: this study was closed")
            self._check_place()
            started = time.monotonic()
            pause = min(max(_FLUSH_EVERY, self._flush_cost / _FLUSH_SHARE), _FLUSH_LATEST)
            flush = self.path is not None and started - self._flushed > pause
            if flush:
                self._connection.execute("PRAGMA synchronous=FULL")
            counts = self.counts
            try:
                self._begin()
                counts = replace(self.refresh())
                yield
                ready = time.monotonic()
                self._connection.execute("COMMIT")
            except BaseException:
                self.counts = counts
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            finally:
                if flush:
                    self._connection.execute("PRAGMA synchronous=NORMAL")
            self._dirty = not flush
            if flush:
                self._flushed = time.monotonic()
                self._flush_cost = self._flushed - ready

    def _check_place(self) -> None:
        """Refuse to write into a file that is no longer at its path: nobody would find it again."""
        if self.path is None:
            return
        try:
            status = self.path.stat()
        except OSError as error:
            raise StorageError(f"{self._label}: was removed while it was in use: {error.strerror or error}") from error
        if (status.st_dev, status.st_ino) != self._inode:
            raise StorageError(f"{self._label}: was replaced by another file while it was in use")

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
        with self.lock, self._guard:
            is_outer = not self._connection.in_transaction
            if is_outer:
                self._connection.execute("BEGIN")
            try:
                yield
            finally:
                if is_outer and self._connection.in_transaction:
                    self._connection.execute("COMMIT")

    def flush(self) -> None:
        """Flush what was stored to the device."""
        if self._dirty and self.path is not None:
            with self.lock, suppress(FileNotFoundError):
                log = os.open(f"{self.path}-wal", os.O_RDWR)
                try:
                    os.fsync(log)
                finally:
                    os.close(log)
                self._dirty = False

    # -- reading ---------------------------------------------------------------------------------------------

    def refresh(self) -> Counts:
        """Return the counts, after taking in what other processes (and this one) appended to the log."""
        with self._guard:
            rows = self._rows(
                "SELECT seq, kind, payload, data, digest FROM log WHERE seq > ? ORDER BY seq", self.counts.seq
            )
            for row in rows:
                self.counts.add(self._reader.event(self.counts.seq + 1, *row))
        return self.counts

    def changes(self) -> int:
        """Return a number that changes when another process has written."""
        with self.lock, self._guard:
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def events(self, after: int) -> list[Event]:
        """Return the records of the log with seq > `after`."""
        with self.lock, self._guard:
            rows = self._rows("SELECT seq, kind, payload, data, digest FROM log WHERE seq > ? ORDER BY seq", after)
            return [self._reader.event(after + 1 + place, *row) for place, row in enumerate(rows)]

    def points(self, ids: Sequence[int]) -> Array:
        """Return the points of candidates, shape (n, d), float64, in the order of `ids`."""
        with self.lock, self._guard:
            found = [self._reader.point(i, *self._one("candidates", "x, digest", i)) for i in ids]
        return np.stack(found) if found else np.zeros((0, 0))

    def outcomes(self, ids: Sequence[int]) -> list[Outcome | None]:
        """Return what became of candidates; None for those that are pending."""
        columns = "status, vals, violations, variance, details, digest"
        with self.lock, self._guard:
            rows = [self._one("outcomes", columns, i, missing=True) for i in ids]
            return [None if row is None else self._reader.outcome(i, *row) for i, row in zip(ids, rows, strict=True)]

    def pending(self) -> dict[int, tuple[str | None, int]]:
        """Return owner and number of attempts by pending candidate; owner None: asked by hand; "": free."""
        with self.lock, self._guard:
            rows = self._rows("SELECT id, owner, attempts FROM pending ORDER BY id")
            return {int(i): (owner, int(attempts)) for i, owner, attempts in rows}

    def owners(self) -> dict[str, float]:
        """Return until when (Unix time) each owner's lease lasts."""
        with self.lock, self._guard:
            return {str(owner): float(expires) for owner, expires in self._rows("SELECT * FROM owners")}

    def newest_checkpoint(self, after: int) -> tuple[int, Any] | None:
        """Return the newest undamaged checkpoint with seq > `after`, as (seq, state); None where there is none."""
        with self.lock, self._guard:
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
        """Store the points that were asked, shape (n, d); return their ids. Owner None: asked by hand."""
        ids = list(range(self.counts.asked, self.counts.asked + len(x)))
        self._insert_points(ids, x)
        self._many("INSERT INTO pending VALUES(?,?,0)", [(i, owner) for i in ids])
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

    def claim(self, ids: Sequence[int], owner: str | None, *, attempts: int) -> None:
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
        self._execute(f"DELETE FROM checkpoints WHERE seq NOT IN ({old})", ())

    def _append(self, kind: str, payload: Mapping[str, Any], ids: list[int], columns: Mapping[str, Any] | None) -> None:
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
                row_bytes(outcome.values),
                row_bytes(outcome.violations),
                row_bytes(outcome.variance),
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
        row = self._connection.execute(f"SELECT {columns} FROM {table} WHERE id = ?", (i,)).fetchone()
        if row is None and not missing:
            raise self._reader.damaged(table, i, "it is missing")
        return row

    def _verify(self) -> None:
        """Read every record once: digests, and that no record is missing."""
        self.refresh()
        for table, columns in (("candidates", "id, x, digest"), ("outcomes", "*")):
            cursor = self._connection.execute(f"SELECT {columns} FROM {table} ORDER BY id")
            for i, *fields in cursor:
                self._reader.check(table, i, fields[-1], *fields[:-1])
        counts = self.counts
        sums = "SELECT (SELECT COUNT(*) FROM candidates), (SELECT MAX(id) FROM candidates), "
        sums += "(SELECT COUNT(*) FROM outcomes), (SELECT COUNT(*) FROM pending)"
        asked, last, done, pending = self._rows(sums)[0]
        if asked != counts.asked or (asked and last != asked - 1):
            raise self._reader.damaged("candidates", "*", f"the log lists {counts.asked}, the table holds {asked}")
        if done != counts.finished + counts.abandoned:
            raise self._reader.damaged(
                "outcomes", "*", f"the log lists {counts.finished + counts.abandoned}, found {done}"
            )
        if pending != asked - done:
            raise self._reader.damaged("pending", "*", f"expected {asked - done} candidates, found {pending}")


class _Guard:
    """Turns errors of SQLite into `StorageError`."""

    def __init__(self, label: str) -> None:
        self._label = label

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, sqlite3.Error):
            raise explain(error, self._label) from error


def _failures(outcomes: Sequence[Outcome]) -> int:
    return sum(outcome.status == "failed" for outcome in outcomes)
