"""The best of what was told: one point for one objective, the Pareto set for several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from blackbox.candidates import Ids, id_tensor
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

    def __getitem__(self, index: slice | Tensor) -> Rows:
        ids = self.ids[index] if isinstance(index, slice) else id_tensor(self.ids)[index.cpu()]
        return Rows(ids, self.x[index], self.values[index], self.violations[index])

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
        self._lowest = float("inf")  # of one objective
        self._gathered = self._settled = 0  # rows of `_best` in all, and of the Pareto set proper
        self._least: Rows | None = None
        self._least_total = float("inf")

    def add(self, rows: Rows, failed: Tensor | None) -> None:
        """Take told rows into account, but for those marked in `failed`, shape (n,); None where none is."""
        if not len(rows):
            return
        if failed is None and not rows.violations.shape[1]:
            self._add_usable(rows)
            return
        if failed is None:
            failed = torch.zeros(len(rows), dtype=torch.bool, device=rows.values.device)
        total = None
        if rows.violations.shape[1]:  # a sum beyond all floats is still one to be compared
            total = rows.violations.clamp(min=0).sum(1).clamp(max=torch.finfo(rows.violations.dtype).max)
        usable = ~failed if total is None else ~failed & (total <= 0)
        if self._single:
            self._add_single(rows, torch.where(usable, rows.values[:, 0], torch.inf))
        elif bool(usable.any()):
            self._gather(rows[usable.nonzero()[:, 0]])
        if total is not None:
            self._add_least(rows, torch.where(failed, torch.inf, total))

    def _add_usable(self, rows: Rows) -> None:
        if self._single:
            self._add_single(rows, rows.values[:, 0])
        else:  # a kernel gets these values, too
            self._gather(Rows(rows.ids, rows.x, rows.values.clone(), rows.violations))

    def _gather(self, rows: Rows) -> None:
        self._best.append(rows)
        self._gathered += len(rows)
        if self._gathered > max(_COMPACT_AT, 2 * self._settled):
            self._compact()

    def _add_single(self, rows: Rows, values: Tensor) -> None:
        """Take rows with values of shape (n,) into account, infinite for those that do not count."""
        lowest = values.min().item()
        if lowest == float("inf") or lowest > self._lowest:
            return
        is_tie = lowest == self._lowest and bool(self._best)
        if is_tie and isinstance(rows.ids, range) and rows.ids.start > int(self._best[0].ids[0]):
            return
        better = _first(rows, values, lowest)
        if not is_tie or int(better.ids[0]) < int(self._best[0].ids[0]):
            self._best, self._lowest = [_own(better)], lowest

    def _add_least(self, rows: Rows, total: Tensor) -> None:
        lowest = float(total.min())
        if lowest == float("inf") or lowest > self._least_total:
            return
        nearest = _first(rows, total, lowest)
        if self._least is None or lowest < self._least_total or int(nearest.ids[0]) < int(self._least.ids[0]):
            self._least, self._least_total = _own(nearest), lowest

    def _compact(self) -> None:
        rows = _join(self._best)
        rows = rows[id_tensor(rows.ids).argsort()]
        self._best = [_own(rows[non_dominated(rows.values).nonzero()[:, 0]])]
        self._gathered = self._settled = len(self._best[0])

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
                incumbent._gathered = incumbent._settled = len(incumbent._best[0])
                if incumbent._single and incumbent._settled:
                    incumbent._lowest = incumbent._best[0].values.min().item()
            if tree["least"] is not None:
                incumbent._least = _rows(tree["least"], as_points)
            incumbent._least_total = float(tree["least_total"])
        except (KeyError, TypeError) as error:
            raise StateError(f"state: the best rows are damaged: {error!r}") from None
        return incumbent


def _first(rows: Rows, values: Tensor, lowest: float) -> Rows:
    """Return the row of the smallest id among those with the lowest value, of values of shape (n,)."""
    if isinstance(rows.ids, range) and values.is_cpu:
        row = int(values.numpy().argmin())  # the first one, by NumPy's promise
        return rows[row : row + 1]
    marked = (values == lowest).nonzero()[:, 0].cpu()
    row = int(marked[0] if isinstance(rows.ids, range) else marked[rows.ids[marked].argmin()])
    return rows[row : row + 1]


def _own(rows: Rows) -> Rows:
    """Return rows that keep no larger tensor alive."""
    x = rows.x.clone() if isinstance(rows.x, Tensor) else rows.x
    return Rows(id_tensor(rows.ids).clone(), x, rows.values.clone(), rows.violations.clone())


def _join(parts: list[Rows]) -> Rows:
    from blackbox.ledger import concatenate

    return Rows(
        torch.cat([id_tensor(p.ids) for p in parts]),
        concatenate([p.x for p in parts]),
        torch.cat([p.values for p in parts]),
        torch.cat([p.violations for p in parts]),
    )


def _rows(tree: dict[str, Any], as_points: Any) -> Rows:
    x = as_points(tree["x"])
    where = {"device": x.device} if isinstance(x, Tensor) else {}
    return Rows(tree["ids"], x, tree["values"].to(**where), tree["violations"].to(**where))
