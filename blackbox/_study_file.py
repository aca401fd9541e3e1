"""Making study files, at once or not at all, and opening them: foreign, damaged and hostile files are refused."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

from blackbox._study_records import record_digest
from blackbox.errors import StorageError

__all__ = ["FORMAT", "connect", "create", "explain", "release"]

FORMAT = 1
_MAGIC = b"SQLite format 3\x00"
_APPLICATION_ID = 0x62626F78  # "bbox"
Inode: TypeAlias = tuple[int, int]
_held: Counter[Inode] = Counter()  # how often this process has each file open
_guard = threading.Lock()
SCHEMA = {
    "study": "CREATE TABLE study(key TEXT PRIMARY KEY, value TEXT NOT NULL, digest BLOB NOT NULL) WITHOUT ROWID",
    "log": "CREATE TABLE log(seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, payload TEXT NOT NULL, data BLOB, "
    "digest BLOB NOT NULL)",
    "candidates": "CREATE TABLE candidates(id INTEGER PRIMARY KEY, x BLOB NOT NULL, digest BLOB NOT NULL)",
    "outcomes": "CREATE TABLE outcomes(id INTEGER PRIMARY KEY, status TEXT NOT NULL, vals BLOB, violations BLOB, "
    "variance BLOB, details TEXT NOT NULL, digest BLOB NOT NULL)",
    "pending": "CREATE TABLE pending(id INTEGER PRIMARY KEY, owner TEXT, attempts INTEGER NOT NULL)",
    "owners": "CREATE TABLE owners(owner TEXT PRIMARY KEY, expires REAL NOT NULL) WITHOUT ROWID",
    "checkpoints": "CREATE TABLE checkpoints(seq INTEGER PRIMARY KEY, state BLOB NOT NULL, digest BLOB NOT NULL)",
}
_CAUSES = {
    "SQLITE_FULL": "no space is left on the device",
    "SQLITE_READONLY": "it, or its directory, is read-only",
    "SQLITE_CANTOPEN": "it cannot be opened; its directory may be missing or read-only",
    "SQLITE_PERM": "permission denied",
    "SQLITE_NOTADB": "it is damaged, or no study file",
    "SQLITE_CORRUPT": "it is damaged",
    "SQLITE_IOERR": "the device reported an input/output error (it may be full)",
    "SQLITE_BUSY": "another process holds its lock",
    "SQLITE_LOCKED": "another connection holds its lock",
    "SQLITE_TOOBIG": "a record is too large",
}


def explain(error: sqlite3.Error, path: str) -> StorageError:
    """Return a `StorageError` that says what went wrong with the study file, in words."""
    name = getattr(error, "sqlite_errorname", None) or ""
    cause = next((text for prefix, text in _CAUSES.items() if name.startswith(prefix)), None)
    if cause is None and "UTF-8" in str(error):
        cause = "it is damaged"
    shown = f"{cause} ({name}: {error})" if cause else str(error)
    return StorageError(f"{path}: {shown}; what was stored before is kept")


def create(path: Path, meta: Mapping[str, Any]) -> bool:
    """Make a study file with its description, all at once; return False where another process was faster.

    The file is made under a temporary name and then linked to its own, so that it is never seen half made.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    leftover = Path(f"{path}-wal")
    if leftover.exists():
        if path.exists():
            return False
        raise StorageError(f"{leftover}: left over from a study file that was removed; remove it as well")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        connection = sqlite3.connect(temporary, isolation_level=None)
        try:
            _fill(connection, meta)
            connection.execute("PRAGMA journal_mode=WAL")
        finally:
            connection.close()
        return _move_into_place(temporary, path)
    except sqlite3.Error as error:
        raise explain(error, str(path)) from error
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            Path(f"{temporary}{suffix}").unlink(missing_ok=True)


def _move_into_place(temporary: Path, path: Path) -> bool:
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        if path.exists():
            return False
        os.replace(temporary, path)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    return True


def _fill(connection: sqlite3.Connection, meta: Mapping[str, Any]) -> None:
    connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version={FORMAT}")
    connection.execute("BEGIN")
    for statement in SCHEMA.values():
        connection.execute(statement)
    for key, value in meta.items():
        text = json.dumps(value)
        connection.execute("INSERT INTO study VALUES(?,?,?)", (key, text, record_digest("study", key, text)))
    connection.execute("COMMIT")


def connect(path: Path | None, meta: Mapping[str, Any] | None = None) -> tuple[sqlite3.Connection, Inode | None]:
    """Return a connection to an existing study file whose header, schema and structure were checked.

    Parameters
    ----------
    path : Path or None
        None makes a study in memory from `meta`.

    Returns
    -------
    connection : sqlite3.Connection
    inode : tuple or None
        To be given to `release` once the connection is closed.

    Raises
    ------
    StorageError
        If it is missing, unreadable, damaged, or anything else than a study file of ours.
    """
    if path is None:
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        _fill(connection, meta or {})
        return connection, None
    inode = _hold(path)
    try:
        return _connect(path), inode
    except BaseException as error:
        release(inode)
        if isinstance(error, sqlite3.Error):
            raise explain(error, str(path)) from error
        raise


def _connect(path: Path) -> sqlite3.Connection:
    address = f"file:{quote(str(path.absolute()))}?mode=rw"
    connection = sqlite3.connect(address, uri=True, isolation_level=None, timeout=1.0, check_same_thread=False)
    try:
        connection.execute("PRAGMA trusted_schema=OFF")
        connection.execute("PRAGMA cell_size_check=ON")
        connection.execute("PRAGMA mmap_size=0")
        _check_structure(connection, path)
        connection.execute("PRAGMA synchronous=NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def _hold(path: Path) -> Inode:
    """Check the header of a file, unless this process has it open already, and count it as open.

    Closing any descriptor of a file drops all locks that a process has on it (POSIX), those of SQLite included, so a
    file that is in use must not be opened and closed beside SQLite.
    """
    with _guard:
        try:
            status = path.stat()
        except OSError as error:
            raise StorageError(f"{path}: cannot be read: {error.strerror or error}") from error
        inode = (status.st_dev, status.st_ino)
        if not _held[inode]:
            _check_header(path)
        _held[inode] += 1
    return inode


def release(inode: Inode | None) -> None:
    """Count a file as open once less."""
    if inode is not None:
        with _guard:
            _held[inode] -= 1


def _check_header(path: Path) -> None:
    """Refuse what is no study file before SQLite sees (and perhaps changes) it."""
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not header:
        raise StorageError(f"{path}: is empty, no study file; remove it to start a new study there")
    if len(header) < 100 or header[:16] != _MAGIC:
        raise StorageError(f"{path}: no study file (or its beginning is damaged)")
    if int.from_bytes(header[68:72], "big") != _APPLICATION_ID:
        raise StorageError(f"{path}: a database, but no study file of blackbox (or its beginning is damaged)")
    version = int.from_bytes(header[60:64], "big")
    if version != FORMAT:
        raise StorageError(f"{path}: format {version}; this version reads format {FORMAT}")


def _check_structure(connection: sqlite3.Connection, path: Path) -> None:
    found = connection.execute("SELECT type, name, sql FROM sqlite_schema").fetchall()
    for kind, name, text in found:
        if kind != "table" or SCHEMA.get(name) != text:
            raise StorageError(f"{path}: no study file of this version: it holds the {kind} {name!r}")
    if len(found) != len(SCHEMA):
        raise StorageError(f"{path}: damaged: tables are missing: {sorted(set(SCHEMA) - {n for _, n, _ in found})}")
    problems = [text for (text,) in connection.execute("PRAGMA quick_check(5)")]
    if problems != ["ok"]:
        raise StorageError(f"{path}: damaged: {'; '.join(problems)}")
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        connection.execute("PRAGMA journal_mode=WAL")
