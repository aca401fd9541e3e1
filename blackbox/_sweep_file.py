"""The file of a sweep: one row for each finished run, and checkpoints of those that are under way, in SQLite."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Set
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from blackbox._study_file import explain
from blackbox._sweep_plan import Task
from blackbox._sweep_runs import Finished
from blackbox.errors import StateError, StorageError
from blackbox.state import pack, unpack

__all__ = ["SweepFile"]

_APPLICATION_ID = 0x62627377  # "bbsw"
_FORMAT = 1
_SCHEMA = (
    "CREATE TABLE runs(key TEXT PRIMARY KEY, algorithm TEXT NOT NULL, problem TEXT NOT NULL, seed INTEGER NOT NULL, "
    "rows INTEGER NOT NULL, columns INTEGER NOT NULL, vals BLOB NOT NULL, evaluations INTEGER NOT NULL, "
    "failed INTEGER NOT NULL, seconds REAL NOT NULL, batched INTEGER NOT NULL, digest TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE checkpoints(key TEXT PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID",
)
_TABLES = {"runs", "checkpoints"}


class SweepFile:
    """What is kept of a sweep; in memory where there is no path.

    Every run is written in a transaction of its own, so that a process that is killed loses none that was finished.

    Parameters
    ----------
    path : str or Path, optional

    Raises
    ------
    StorageError
        If it cannot be opened, or is no file of a sweep.
    """

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self.path = None if path is None else Path(path)
        self._shown = "the sweep" if path is None else str(path)
        if self.path is not None and self.path.is_file() and self.path.stat().st_size:
            with self.path.open("rb") as file:
                if not file.read(16).startswith(b"SQLite format 3"):
                    raise StorageError(f"{self._shown}: no file of a sweep; use another path")
        try:
            address = ":memory:" if self.path is None else self.path
            self._connection = sqlite3.connect(address, isolation_level=None, timeout=30.0)
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise
        except sqlite3.Error as error:
            raise explain(error, self._shown) from error

    def _prepare(self) -> None:
        connection = self._connection
        connection.execute("PRAGMA trusted_schema=OFF")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("BEGIN IMMEDIATE")
        tables = {str(row[0]) for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables:
            connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version={_FORMAT}")
            for statement in _SCHEMA:
                connection.execute(statement)
        connection.execute("COMMIT")
        known = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if known != _APPLICATION_ID or (tables and tables != _TABLES):
            raise StorageError(f"{self._shown}: no file of a sweep; use another path")
        if version != _FORMAT:
            raise StorageError(f"{self._shown}: made by another version (format {version}, expected {_FORMAT})")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def load(self, tasks: Iterable[Task]) -> dict[str, Finished]:
        """Return what is stored of these runs, by key.

        Raises
        ------
        StorageError
            If a run is damaged.
        """
        found = {}
        query = "SELECT rows, columns, vals, evaluations, failed, seconds, batched, digest FROM runs WHERE key = ?"
        try:
            for task in tasks:
                row = self._connection.execute(query, (task.key,)).fetchone()
                if row is not None:
                    found[task.key] = self._finished(task, row)
        except sqlite3.Error as error:
            raise explain(error, self._shown) from error
        return found

    def _finished(self, task: Task, row: Any) -> Finished:
        rows, columns, data, evaluations, failed, seconds, batched, digest = row
        if _digest(task.key, data, rows, columns, evaluations, failed) != digest or len(data) != 8 * rows * columns:
            raise StorageError(
                f"{self._shown}: the run of {task.algorithm} on {task.problem} with seed {task.seed} is damaged"
            )
        values = torch.from_numpy(np.frombuffer(data, dtype="<f8").astype(np.float64)).reshape(rows, columns)
        return Finished(values, evaluations, failed, seconds, bool(batched))

    def store(self, finished: Iterable[tuple[Task, Finished]], *, checkpoint: str | None = None) -> None:
        """Write runs, and remove the checkpoint of that key; all of it or nothing."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for task, run in finished:
                data = run.values.contiguous().numpy().astype("<f8").tobytes()
                rows, columns = run.values.shape
                digest = _digest(task.key, data, rows, columns, run.n_evaluations, run.n_failed)
                counts = (rows, columns, data, run.n_evaluations, run.n_failed, run.seconds, int(run.batched), digest)
                record = (task.key, task.algorithm, task.problem, task.seed, *counts)
                self._connection.execute(f"INSERT OR REPLACE INTO runs VALUES({','.join('?' * 12)})", record)
            if checkpoint is not None:
                self._connection.execute("DELETE FROM checkpoints WHERE key = ?", (checkpoint,))
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise explain(error, self._shown) from error

    def save_checkpoint(self, key: str, state: Any) -> None:
        """Keep the state of runs that are under way."""
        try:
            self._connection.execute("INSERT OR REPLACE INTO checkpoints VALUES(?,?)", (key, pack(state)))
        except sqlite3.Error as error:
            raise explain(error, self._shown) from error

    def checkpoints(self, wanted: Set[str]) -> dict[str, Any]:
        """Return the states that were kept of some of the runs that are wanted, by the keys of their runs."""
        found = {}
        try:
            for key in self._checkpoint_keys():
                if not wanted.isdisjoint(key.split(",")):
                    row = self._connection.execute("SELECT state FROM checkpoints WHERE key = ?", (key,)).fetchone()
                    with suppress(StateError):  # damaged: those runs start anew
                        found[key] = unpack(row[0], source=self._shown)
        except sqlite3.Error as error:
            raise explain(error, self._shown) from error
        return found

    def drop_checkpoints(self, finished: Iterable[str]) -> None:
        """Remove the states of which runs were finished: the others among them have a state of their own."""
        known = set(finished)
        try:
            keys = [(key,) for key in self._checkpoint_keys() if not known.isdisjoint(key.split(","))]
            self._connection.executemany("DELETE FROM checkpoints WHERE key = ?", keys)
        except sqlite3.Error as error:
            raise explain(error, self._shown) from error

    def _checkpoint_keys(self) -> list[str]:
        return [str(row[0]) for row in self._connection.execute("SELECT key FROM checkpoints ORDER BY key")]


def _digest(key: str, data: bytes, *counts: int) -> str:
    return hashlib.sha256(key.encode() + data + repr(counts).encode()).hexdigest()
