"""The best of what was told: one point for one objective, the Pareto set for several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from blackbox.candidates import Ids
from blackbox.errors import StateError

__all__ = ["Incumbent", "Rows", "non_dominated"]

_COMPACT_AT = 4096  # rows gathered before the Pareto set is computed anew


@dataclass(frozen=True, slots=True)
class Rows:
    """Told rows: ids (n,), points (n, d), minimised values (n, m), violations (n, k)."""

    ids: Ids
    x: Any
    values: Tensor
    violations: Tensor

    def __getitem__(self, index: Tensor) -> Rows:
        ids = torch.as_tensor(self.ids, dtype=torch.int64)
        return Rows(ids[index.cpu()], self.x[index], self.values[index], self.violations[index])

    def __len__(self) -> int:
        return len(self.values)


def non_dominated(values: Tensor) -> Tensor:
    """Return which rows of minimised values, shape (n, m), no other row dominates; equal rows are all kept."""
    import moocore

    if len(values) == 0:
        return torch.zeros(0, dtype=torch.bool, device=values.device)
    kept = moocore.is_nondominated(values.detach().to("cpu", torch.float64).numpy(), keep_weakly=True)
    return torch.as_tensor(kept, dtype=torch.bool, device=values.device)


class Incumbent:
    """Keeps the best feasible rows, and the least violated one; ties go to the smallest id."""

    def __init__(self, n_objectives: int) -> None:
        self._single = n_objectives == 1
        self._best: list[Rows] = []  # one row for m = 1; the Pareto set and rows not compared yet otherwise
        self._settled = 0  # rows of the Pareto set proper
        self._least: Rows | None = None
        self._least_total = float("inf")

    def add(self, rows: Rows, failed: Tensor) -> None:
        """Take told rows into account."""
        if not len(rows):
            return
        total = None
        if rows.violations.shape[1]:  # a sum beyond all floats is still one to be compared
            total = rows.violations.clamp(min=0).sum(1).clamp(max=torch.finfo(rows.violations.dtype).max)
        usable = ~failed if total is None else ~failed & (total <= 0)
        if self._single:
            self._add_single(rows, usable)
        elif bool(usable.any()):
            self._best.append(rows[usable.nonzero()[:, 0]])
            if sum(len(part) for part in self._best) > max(_COMPACT_AT, 2 * self._settled):
                self._compact()
        if total is not None:
            self._add_least(rows, torch.where(failed, torch.inf, total))

    def _add_single(self, rows: Rows, usable: Tensor) -> None:
        values = torch.where(usable, rows.values[:, 0], torch.inf)
        lowest = float(values.min())
        best = self._best[0] if self._best else None
        if lowest == float("inf") or (best is not None and lowest > float(best.values)):
            return
        better = _first(rows, values == lowest)
        if best is None or lowest < float(best.values) or int(better.ids[0]) < int(best.ids[0]):
            self._best = [_own(better)]

    def _add_least(self, rows: Rows, total: Tensor) -> None:
        lowest = float(total.min())
        if lowest == float("inf") or lowest > self._least_total:
            return
        nearest = _first(rows, total == lowest)
        if self._least is None or lowest < self._least_total or int(nearest.ids[0]) < int(self._least.ids[0]):
            self._least, self._least_total = _own(nearest), lowest

    def _compact(self) -> None:
        rows = _join(self._best)
        rows = rows[torch.as_tensor(rows.ids).argsort()]
        self._best = [_own(rows[non_dominated(rows.values).nonzero()[:, 0]])]
        self._settled = len(self._best[0])

    @property
    def best(self) -> Rows | None:
        """The best row, or the Pareto set sorted by id; None where nothing feasible was told."""
        if len(self._best) > 1 or (self._best and not self._single):
            self._compact()
        return self._best[0] if self._best else None

    @property
    def least_violated(self) -> Rows | None:
        """The row with the smallest sum of positive violations; None where none was told."""
        return self._least

    def state(self) -> dict[str, Any]:
        """Return a state tree."""
        return {"best": self.best, "least": self._least, "least_total": self._least_total}

    @classmethod
    def from_state(cls, tree: dict[str, Any], n_objectives: int, as_points: Any) -> Incumbent:
        """Return the incumbent of a state tree."""
        incumbent = cls(n_objectives)
        try:
            if tree["best"] is not None:
                incumbent._best = [_rows(tree["best"], as_points)]
                incumbent._settled = len(incumbent._best[0])
            if tree["least"] is not None:
                incumbent._least = _rows(tree["least"], as_points)
            incumbent._least_total = float(tree["least_total"])
        except (KeyError, TypeError) as error:
            raise StateError(f"state: the best rows are damaged: {error!r}") from None
        return incumbent


def _first(rows: Rows, marked: Tensor) -> Rows:
    """Return the marked row with the smallest id."""
    index = marked.nonzero()[:, 0]
    if len(index) > 1:
        ids = torch.as_tensor(rows.ids, dtype=torch.int64)
        index = index[ids[index.cpu()].argmin()].reshape(1)
    return rows[index]


def _own(rows: Rows) -> Rows:
    """Return rows that keep no larger tensor alive."""
    x = rows.x.clone() if isinstance(rows.x, Tensor) else rows.x
    return Rows(torch.as_tensor(rows.ids).clone(), x, rows.values.clone(), rows.violations.clone())


def _join(parts: list[Rows]) -> Rows:
    from blackbox.ledger import concatenate

    return Rows(
        torch.cat([torch.as_tensor(p.ids, dtype=torch.int64) for p in parts]),
        concatenate([p.x for p in parts]),
        torch.cat([p.values for p in parts]),
        torch.cat([p.violations for p in parts]),
    )


def _rows(tree: dict[str, Any], as_points: Any) -> Rows:
    x = as_points(tree["x"])
    where = {"device": x.device} if isinstance(x, Tensor) else {}
    return Rows(tree["ids"], x, tree["values"].to(**where), tree["violations"].to(**where))
