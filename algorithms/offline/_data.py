"""The data set of an offline algorithm: what was told, cleaned, as the table that a model is trained on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from blackbox.algorithm import Seen, Spec
from blackbox.algorithms.evolutionary.survival import survive_nsga2
from blackbox.errors import NotReadyError

__all__ = ["Told", "TrainingSet", "no_rows", "training_set", "with_seen"]


@dataclass(frozen=True, slots=True)
class Told:
    """Every usable row that was told, in the order of their ids within each tell; part of an algorithm's saved state.

    Attributes
    ----------
    x : Tensor, shape (n, d)
        In the units of the searched space; NaN where inactive.
    values : Tensor, shape (n, m)
        Finite, to be minimised.
    dropped : int
        Rows that were told without a usable value (NaN, infinite, or marked as failed).
    """

    x: Tensor
    values: Tensor
    dropped: int = 0

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Distinct rows: what a model learns from.

    Attributes
    ----------
    x : Tensor, shape (n, d)
        Distinct rows in the units of the searched space, in the order in which they came first; NaN where inactive.
    values : Tensor, shape (n, m)
        To be minimised; the mean of what was told where a point was told more than once.
    repeats : Tensor, shape (n,), int64
        How often each point was told.
    dropped : int
        Rows that were told without a usable value.
    """

    x: Tensor
    values: Tensor
    repeats: Tensor
    dropped: int = 0

    def __len__(self) -> int:
        return len(self.values)

    @property
    def merged(self) -> int:
        """How many told rows were repetitions of others."""
        return int(self.repeats.sum()) - len(self)

    def best(self, count: int) -> Tensor:
        """Return the best rows, best first, shape (r,), r <= count, int64.

        By value for one objective, ties by order; by fronts and crowding distance for several, as NSGA-II survives.
        """
        count = min(count, len(self))
        if self.values.shape[1] == 1:
            return self.values[:, 0].argsort(stable=True)[:count]
        return survive_nsga2(self.values, count)[0]


def no_rows(spec: Spec) -> Told:
    """Return a data set without rows."""
    return Told(
        torch.zeros((0, spec.dim), dtype=spec.dtype, device=spec.device),
        torch.zeros((0, spec.n_objectives), dtype=spec.dtype, device=spec.device),
    )


def with_seen(told: Told, seen: Seen) -> Told:
    """Return the data set with the usable rows of `seen` added; failed rows are dropped and counted."""
    usable = ~seen.failed & torch.isfinite(seen.values).all(-1)
    rows = usable.nonzero()[:, 0]
    x, values = seen.x.index_select(0, rows), seen.values.index_select(0, rows)
    if len(told):
        x, values = torch.cat([told.x, x]), torch.cat([told.values, values])
    return Told(x, values, told.dropped + len(seen) - len(rows))


def training_set(told: Told, *, least: int = 2, name: str = "this algorithm", constant: bool = False) -> TrainingSet:
    """Return the distinct rows of a data set; rows of one point are merged into their mean.

    O(n d log n) time.

    Parameters
    ----------
    told : Told
    least : int, default 2
        How many distinct rows are needed.
    name : str
        Of the algorithm, for messages.
    constant : bool, default False
        Whether points that all have the same value will do.

    Raises
    ------
    NotReadyError
        If there are fewer distinct rows, or if all values are equal and `constant` is False; the message says what was
        told and what to do.
    """
    if not len(told):
        raise NotReadyError(f"no usable data{_counts(told, 0)}; tell a data set first: {_HOW}")
    x, values, repeats = _distinct(told.x, told.values)
    if len(values) < least:
        raise NotReadyError(
            f"{name} needs at least {least} distinct points with values, got {len(values)}"
            f"{_counts(told, len(told) - len(values))}; tell more data: {_HOW}"
        )
    if not constant and len(values) > 1 and not bool((values != values[:1]).any()):
        shown = ", ".join(f"{value:g}" for value in values[0].tolist())
        raise NotReadyError(
            f"all {len(values)} points have the same value ({shown}), so there is nothing to learn"
            f"{_counts(told, len(told) - len(values))}; tell points with other values: {_HOW}"
        )
    return TrainingSet(x, values, repeats, told.dropped)


_HOW = "optimizer.tell(space.batch(x), values)"


def _counts(told: Told, merged: int) -> str:
    """Return in brackets how many rows were dropped and merged; nothing where none were."""
    parts = []
    if told.dropped:
        parts.append(f"{told.dropped} rows without a finite value were dropped")
    if merged:
        parts.append(f"{merged} repeated rows were merged")
    return f" ({', '.join(parts)})" if parts else ""


def _distinct(x: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return distinct points in the order of their first rows, their mean values, and how often each came."""
    # Inactive columns are NaN, which equals nothing: a number beyond all bounds stands for it. -0.0 is 0.0.
    codes = torch.where(x.isnan(), torch.finfo(x.dtype).max, x + 0.0)
    _, group, repeats = torch.unique(codes, dim=0, return_inverse=True, return_counts=True)
    if len(repeats) == len(x):
        return x, values, torch.ones(len(x), dtype=torch.int64, device=x.device)
    index = torch.arange(len(x), device=x.device)
    first = torch.full((len(repeats),), len(x), device=x.device).scatter_reduce(0, group, index, "amin")
    order = first.argsort()
    share = values / repeats[group].unsqueeze(-1)  # divided before it is added, so that nothing overflows
    mean = values.new_zeros((len(repeats), values.shape[1])).index_add_(0, group, share)
    # The mean of equal values is that value, exactly.
    one = values.index_select(0, first)
    differ = torch.zeros_like(mean).index_add_(0, group, (values != one[group]).to(mean.dtype))
    mean = torch.where(differ > 0, mean, one)
    return x[first[order]], mean[order], repeats[order]
