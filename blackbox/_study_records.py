"""The records of a study file: what they hold, their digests, and reading them back with every field checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blackbox.errors import StateError, StorageError
from blackbox.state import unpack

__all__ = ["Array", "Counts", "Event", "Outcome", "Reader", "record_digest", "row_bytes"]

Array = NDArray[np.float64]
_KINDS = ("ask", "tell", "external", "abandon")
_STATUSES = ("told", "failed", "abandoned")


@dataclass(frozen=True, slots=True)
class Event:
    """One record of the log.

    Attributes
    ----------
    seq : int
        Its place, from 1, without gaps.
    kind : "ask", "tell", "external" or "abandon"
    payload : dict
        For an ask: "n" and "fixed", as they were given; for a tell: "failed", the failures among its rows.
    ids : sequence of int
    columns : dict
        Columns by name (the context of an ask, the extras of a tell).
    """

    seq: int
    kind: str
    payload: dict[str, Any]
    ids: Sequence[int]
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
        "reason" of a failure, "started" and "finished" (Unix time), "seconds", "worker"; any of them may be missing.
    """

    status: str
    values: Array | None = None
    violations: Array | None = None
    variance: Array | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def same(self, other: Outcome) -> bool:
        """Whether both say the same about the candidate (timings and reasons may differ)."""
        pairs = ((getattr(self, n), getattr(other, n)) for n in ("values", "violations", "variance"))
        return self.status == other.status and all(row_bytes(a) == row_bytes(b) for a, b in pairs)


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

    @property
    def pending(self) -> int:
        """Neither finished nor abandoned."""
        return self.asked - self.finished - self.abandoned

    def add(self, event: Event) -> None:
        """Count one record of the log."""
        self.seq, n = event.seq, len(event.ids)
        if event.kind in ("ask", "external"):
            self.asked += n
        if event.kind in ("tell", "external"):
            self.failed += event.payload["failed"]
            self.told += n - event.payload["failed"]
        if event.kind == "abandon":
            self.abandoned += n


class Reader:
    """Turns rows of the tables into records, or says which record of which file is damaged."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.width: int | None = None  # of a point, once it is known

    def damaged(self, table: str, record: Any, what: str) -> StorageError:
        """Return the error that names a damaged record."""
        return StorageError(f"{self.label}: damaged: record {record} of {table}: {what}")

    def check(self, table: str, record: Any, digest: Any, *fields: Any) -> None:
        """Raise unless the fields have their digest."""
        try:
            right = digest == record_digest(table, record, *fields)
        except (TypeError, AttributeError):
            raise self.damaged(table, record, "a field has another type") from None
        if not right:
            raise self.damaged(table, record, "its digest does not match")

    def meta(self, key: str, text: str, digest: bytes) -> Any:
        """Return one entry of the study's description."""
        self.check("study", key, digest, text)
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self.damaged("study", key, f"not understood: {error!r}") from None

    def event(self, expected: int, seq: int, kind: str, text: str, data: bytes | None, digest: bytes) -> Event:
        """Return a record of the log."""
        if seq != expected:
            raise self.damaged("log", expected, "it is missing")
        self.check("log", seq, digest, kind, text, data)
        try:
            payload = json.loads(text)
            ids: Sequence[int]
            if "ids" in payload:
                ids = [int(i) for i in payload.pop("ids")]
                if len(ids) == 1:
                    ids = range(ids[0], ids[0] + 1)
            else:
                first = int(payload.pop("first"))
                ids = range(first, first + int(payload.pop("count")))
            if kind not in _KINDS or (kind in ("tell", "external") and not isinstance(payload["failed"], int)):
                raise ValueError(kind)
            columns = {} if data is None else unpack(data, source=f"record {seq} of log")
            return Event(seq, kind, payload, ids, columns)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, StateError) as error:
            raise self.damaged("log", seq, f"not understood: {error!r}") from None

    def point(self, i: int, x: bytes, digest: bytes) -> Array:
        """Return a candidate's point, shape (d,)."""
        self.check("candidates", i, digest, x)
        if self.width is not None and len(x) != 8 * self.width:
            raise self.damaged("candidates", i, f"expected a point of {self.width} numbers, got {len(x)} bytes")
        return self._row("candidates", i, x)

    def outcome(
        self, i: int, status: str, values: Any, violations: Any, variance: Any, details: str, digest: bytes
    ) -> Outcome:
        """Return what became of a candidate."""
        self.check("outcomes", i, digest, status, values, violations, variance, details)
        first, second, third = (
            None if b is None else self._row("outcomes", i, b) for b in (values, violations, variance)
        )
        try:
            parsed = json.loads(details)
            if status not in _STATUSES or not isinstance(parsed, dict):
                raise ValueError(status)
        except (ValueError, RecursionError) as error:
            raise self.damaged("outcomes", i, f"not understood: {error!r}") from None
        return Outcome(status, first, second, third, parsed)

    def _row(self, table: str, i: int, data: bytes) -> Array:
        if len(data) % 8:
            raise self.damaged(table, i, f"{len(data)} bytes are no row of numbers")
        return np.frombuffer(data, dtype="<f8").astype(np.float64)


def record_digest(table: str, *fields: str | bytes | int | None) -> bytes:
    """Return 16 bytes that change when any field of a record changes."""
    digest = hashlib.blake2b(digest_size=16)
    for entry in (table, *fields):
        if isinstance(entry, bytes):
            kind, data = b"b", entry
        elif entry is None:
            kind, data = b"n", b""
        else:
            kind, data = (b"s", entry.encode()) if isinstance(entry, str) else (b"i", b"%d" % entry)
        digest.update(b"%b%d:" % (kind, len(data)))
        digest.update(data)
    return digest.digest()


def row_bytes(array: Array | None) -> bytes | None:
    """Return a row of numbers as little-endian doubles."""
    return None if array is None else np.asarray(array, dtype="<f8").tobytes()
