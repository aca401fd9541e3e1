"""Who is pending: ids, the points behind them, and what became of each."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blackbox.candidates import Ids, id_tensor
from blackbox.errors import AbandonedError, DuplicateTellError, StateError, TellError, UnknownCandidateError

__all__ = ["Ledger", "concatenate", "parse_ids"]


def concatenate(parts: list[Any]) -> Any:
    """Return tensors (or genomes) one below the other; a single one is returned as it is."""
    if len(parts) == 1:
        return parts[0]
    return torch.cat(parts) if isinstance(parts[0], Tensor) else parts[0].concatenate(parts)


def parse_ids(ids: Any) -> Ids:
    """Return ids from outside as they are stored, or raise `UnknownCandidateError`."""
    if isinstance(ids, range) and ids.step == 1:
        return ids
    given = ids if isinstance(ids, (Tensor, np.ndarray)) else list(ids) if isinstance(ids, Iterable) else [ids]
    if not isinstance(given, Tensor):
        given = np.asarray(given if len(given) else np.zeros(0, dtype=np.int64))
        if given.dtype.kind not in "iu":
            raise UnknownCandidateError(f"ids: expected integers, got {ids!r}", argument="ids")
        given = torch.from_numpy(given.astype(np.int64))
    if given.is_floating_point() or given.dtype == torch.bool or given.dim() != 1:
        raise UnknownCandidateError(f"ids: expected integers, shape (n,), got {ids!r}", argument="ids")
    return given.to("cpu", torch.int64)


@dataclass(slots=True)
class _Block:
    """The rows that one ask handed out; `open` marks those still pending."""

    start: int
    points: Any
    open: NDArray[np.bool_]
    n_open: int


@dataclass(frozen=True, slots=True)
class Located:
    """Where told ids were found: per block its rows, and the positions of these ids in the told batch."""

    parts: list[tuple[_Block, slice | NDArray[np.int64], slice | NDArray[np.int64]]]
    n: int


class Ledger:
    """Contiguous ids from zero, never reused: asked, then told or abandoned.

    Finished ids cost no memory: an id below `next_id` that is neither pending nor abandoned was told.
    """

    def __init__(self) -> None:
        self.next_id = 0
        self.n_pending = 0
        self.abandoned: set[int] = set()
        self._blocks: list[_Block] = []  # sorted by start

    def add(self, points: Any) -> range:
        """Hand out the next ids for `points` and remember them as pending."""
        n = len(points)
        ids = self.skip(n)
        self._blocks.append(_Block(ids.start, points, np.ones(n, dtype=bool), n))
        self.n_pending += n
        return ids

    def skip(self, n: int) -> range:
        """Use up the next n ids for points that are told at once."""
        ids = range(self.next_id, self.next_id + n)
        self.next_id += n
        return ids

    def locate(self, ids: Ids) -> Located:
        """Return where pending ids are.

        Raises
        ------
        UnknownCandidateError, AbandonedError, DuplicateTellError
            If an id is not pending, or stands twice in `ids`.
        """
        if isinstance(ids, range) and ids.step == 1 and len(ids):
            block = self._block_of(ids.start)
            if block is not None and ids.stop <= block.start + len(block.open):
                rows = slice(ids.start - block.start, ids.stop - block.start)
                if block.open[rows].all():
                    return Located([(block, rows, slice(0, len(ids)))], len(ids))
        return self._locate_scattered(np.asarray(ids, dtype=np.int64))

    def _locate_scattered(self, ids: NDArray[np.int64]) -> Located:
        if len(np.unique(ids)) < len(ids):
            values, counts = np.unique(ids, return_counts=True)
            raise DuplicateTellError(f"batch: candidate {values[counts > 1][0]} stands in it twice", argument="batch")
        if len(ids) == 0:
            return Located([], 0)
        starts = np.array([block.start for block in self._blocks], dtype=np.int64)
        which = np.searchsorted(starts, ids, side="right") - 1
        parts: list[tuple[_Block, slice | NDArray[np.int64], slice | NDArray[np.int64]]] = []
        found = np.zeros(len(ids), dtype=bool)
        for index in np.unique(which[which >= 0]):
            block = self._blocks[index]
            positions = np.flatnonzero(which == index)
            rows = ids[positions] - block.start
            inside = rows < len(block.open)
            inside[inside] = block.open[rows[inside]]
            found[positions[inside]] = True
            parts.append((block, rows[inside], positions[inside]))
        if not found.all():
            self._refuse(ids[~found], np.flatnonzero(~found))
        return Located(parts, len(ids))

    def _refuse(self, ids: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
        worst, row = int(ids[0]), rows[:1]
        kind: type[TellError]
        if worst < 0 or worst >= self.next_id:
            kind, fate = UnknownCandidateError, "was never handed out"
        elif worst in self.abandoned:
            kind, fate = AbandonedError, "was abandoned"
        else:
            kind, fate = DuplicateTellError, "was told before"
        more = f" (and {len(ids) - 1} more)" if len(ids) > 1 else ""
        raise kind(f"batch: candidate {worst} {fate}{more}", argument="batch", rows=rows if more else row)

    def points(self, located: Located) -> Any:
        """Return the points of located ids, in the order of the ids."""
        if len(located.parts) == 1:
            block, rows, _ = located.parts[0]
            if isinstance(rows, slice):
                whole = rows == slice(0, len(block.open))
                return block.points if whole else block.points[rows]
            return block.points[torch.from_numpy(rows)]
        if not located.parts:
            return None
        gathered = concatenate([block.points[torch.as_tensor(rows)] for block, rows, _ in located.parts])
        order = np.argsort(np.concatenate([np.asarray(positions) for _, _, positions in located.parts]))
        return gathered[torch.from_numpy(order)]

    def take(self, ids: Ids) -> Any:
        """Return the points of pending ids, in the order of the ids, and mark them as no longer pending.

        None where there are no ids. Raises as `locate` does; nothing has changed then.
        """
        if self._blocks:
            block = self._blocks[-1]
            n = len(block.open)
            whole = isinstance(ids, range) and ids == range(block.start, block.start + n)
            if whole and n == block.n_open:  # what was asked last, all of it
                self._blocks.pop()
                self.n_pending -= n
                return block.points
        located = self.locate(ids)
        points = self.points(located)
        self.close(located)
        return points

    def close(self, located: Located) -> None:
        """Mark located ids as no longer pending."""
        for block, rows, positions in located.parts:
            n = len(range(located.n)[positions]) if isinstance(positions, slice) else len(positions)
            block.open[rows] = False
            block.n_open -= n
            self.n_pending -= n
        self._blocks = [block for block in self._blocks if block.n_open]

    def abandon(self, located: Located, ids: Ids) -> None:
        """Mark located ids as abandoned."""
        self.close(located)
        self.abandoned.update(id_tensor(ids).tolist())

    def pending(self) -> tuple[Tensor, Any]:
        """Return the pending ids, ascending, shape (p,), and their points; None where nothing is pending."""
        if not self._blocks:
            return torch.zeros(0, dtype=torch.int64), None
        ids, points = [], []
        for block in self._blocks:
            rows = torch.from_numpy(np.flatnonzero(block.open))
            ids.append(rows + block.start)
            points.append(block.points if block.n_open == len(block.open) else block.points[rows])
        return torch.cat(ids), concatenate(points)

    def replace(self, located: Located, points: Tensor) -> None:
        """Put other points behind located pending ids."""
        for block, rows, positions in located.parts:
            block.points = block.points.clone()
            block.points[rows] = points[positions].to(block.points)

    def _block_of(self, candidate: int) -> _Block | None:
        index = bisect_right(self._blocks, candidate, key=lambda block: block.start) - 1
        return self._blocks[index] if index >= 0 else None

    def state(self) -> dict[str, Any]:
        """Return a state tree."""
        blocks = [{"start": b.start, "points": b.points, "open": torch.from_numpy(b.open.copy())} for b in self._blocks]
        return {"next_id": self.next_id, "abandoned": sorted(self.abandoned), "blocks": blocks}

    @classmethod
    def from_state(cls, tree: dict[str, Any], as_points: Any) -> Ledger:
        """Return the ledger of a state tree; `as_points` puts loaded points where they belong."""
        ledger = cls()
        try:
            ledger.next_id = int(tree["next_id"])
            ledger.abandoned = {int(candidate) for candidate in tree["abandoned"]}
            for block in tree["blocks"]:
                marks = block["open"].numpy().astype(bool)
                points = as_points(block["points"])
                if len(points) != len(marks) or not 0 <= block["start"] <= ledger.next_id - len(marks):
                    raise StateError("state: a block of pending candidates does not fit its ids")
                ledger._blocks.append(_Block(int(block["start"]), points, marks, int(marks.sum())))
        except (KeyError, TypeError, AttributeError) as error:
            raise StateError(f"state: pending candidates are damaged: {error!r}") from None
        ledger.n_pending = sum(block.n_open for block in ledger._blocks)
        return ledger
