"""What is handed out to be evaluated: batches of candidates, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from blackbox.errors import BlackboxError

if TYPE_CHECKING:
    from blackbox.genome import Genomes
    from blackbox.space import Space

__all__ = ["Batch", "Evaluation", "Ids", "Rows", "id_tensor"]

Ids: TypeAlias = range | Tensor
Rows: TypeAlias = int | slice | Sequence[int] | Sequence[bool] | Tensor | np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a problem returns for n points.

    Parameters
    ----------
    values : Tensor, shape (n, m)
        Objective values in the problem's own directions; a non-finite row is a failed evaluation.
    violations : Tensor, shape (n, k), optional
        Constraint values; feasible at <= 0.
    variance : Tensor, shape (n, m), optional
        Variance of each value, where the problem knows it.
    extras : mapping of str to Tensor, shape (n, ...), optional
        Further columns by name (gradients, behaviour descriptors, costs).
    """

    values: Tensor
    violations: Tensor | None = None
    variance: Tensor | None = None
    extras: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Rows) -> Evaluation:
        index = row_index(rows, len(self))
        pick = None if self.violations is None else self.violations[index]
        spread = None if self.variance is None else self.variance[index]
        return Evaluation(
            self.values[index], pick, spread, {name: column[index] for name, column in self.extras.items()}
        )


class Batch:
    """Candidates to be evaluated: n points, their ids, and what the algorithm adds to the request.

    Batches come from `Optimizer.ask` and from `Space.batch`; `batch[rows]` is a batch again.

    Attributes
    ----------
    x : Tensor, shape (n, d)
        The points in the space's own units (a copy: writing to it changes nothing). Columns of
        categorical and ordinal parameters hold level indices; inactive columns hold NaN.
    configs : list of dict
        The same points as dictionaries with active keys only.
    ids : range or Tensor, shape (n,), int64
        Identities; empty for points that were not asked.
    context : dict of str to Tensor, shape (n, ...)
        Columns that the algorithm added to the request.
    genomes : Genomes
        For genome spaces: the recipe of each candidate; `x` is not available then.
    """

    __slots__ = ("_genomes", "_x", "context", "ids", "origin", "owner", "space")

    def __init__(
        self,
        space: Space,
        x: Tensor | Genomes,
        *,
        ids: Ids = range(0),
        origin: Literal["asked", "external"] = "external",
        owner: str = "",
        context: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.space = space
        self._x: Tensor | None = x if isinstance(x, Tensor) else None
        self._genomes: Genomes | None = None if isinstance(x, Tensor) else x
        self.ids = ids
        self.origin = origin
        self.owner = owner
        self.context = dict(context or {})

    @property
    def x(self) -> Tensor:
        """The points, shape (n, d), in the space's own units."""
        if self._x is None:
            raise BlackboxError("batch.x is not available for genomes: use batch.genomes.materialise(rows)")
        return self._x

    @property
    def genomes(self) -> Genomes:
        """The recipes of the candidates of a genome space."""
        if self._genomes is None:
            raise BlackboxError("batch.genomes is available for genome spaces only: use batch.x")
        return self._genomes

    @property
    def points(self) -> Tensor | Genomes:
        """`x`, or `genomes` for a genome space."""
        return self._x if self._x is not None else self.genomes

    @property
    def configs(self) -> list[dict[str, Any]]:
        """The points as dictionaries, active keys only."""
        return self.space.decode(self.x)

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, rows: Rows) -> Batch:
        index = row_index(rows, len(self))
        if len(self.ids) == 0:
            ids: Ids = range(0)
        elif isinstance(index, slice):
            ids = self.ids[index]
        else:
            ids = id_tensor(self.ids)[index.cpu()]
        context = {name: column[index] for name, column in self.context.items()}
        points = self.points[index]
        return Batch(self.space, points, ids=ids, origin=self.origin, owner=self.owner, context=context)

    def __repr__(self) -> str:
        kind = "genomes" if self._x is None else f"x {tuple(self.x.shape)} {self.x.dtype} on {self.x.device}"
        return f"Batch({len(self)} {self.origin}, {kind})"


def id_tensor(ids: Ids) -> Tensor:
    """Return ids as a tensor of shape (n,), int64, on the CPU."""
    if isinstance(ids, range):
        return torch.from_numpy(np.arange(ids.start, ids.stop, ids.step, dtype=np.int64))
    return ids


def row_index(rows: Rows, n: int) -> slice | Tensor:
    """Return `rows` as a slice of step one, or as an int64 index, for n rows.

    Raises
    ------
    IndexError
        If a row is out of range, or a mask has another length.
    """
    if isinstance(rows, slice):
        start, stop, step = rows.indices(n)
        if step == 1:
            return slice(start, max(start, stop))
        return torch.arange(n)[torch.as_tensor(range(start, stop, step), dtype=torch.int64)]
    if isinstance(rows, (int, np.integer)) and not isinstance(rows, bool):
        if not -n <= rows < n:
            raise IndexError(f"row {rows} of a batch of {n}")
        return slice(int(rows) % n, int(rows) % n + 1)
    index = rows if isinstance(rows, Tensor) else torch.as_tensor(np.asarray(rows))
    if index.dtype == torch.bool:
        if index.shape != (n,):
            raise IndexError(f"a mask of shape {tuple(index.shape)} for a batch of {n}")
        return index.nonzero()[:, 0]
    if index.numel() == 0:
        return torch.zeros(0, dtype=torch.int64)
    if index.dim() != 1 or index.is_floating_point() or index.is_complex():
        raise IndexError(f"rows: expected integers or a mask, got {rows!r}")
    index = index.to(torch.int64)
    if bool(((index < -n) | (index >= n)).any()):
        raise IndexError(f"rows: expected 0 <= row < {n}, got {index.tolist()}")
    return index % n
