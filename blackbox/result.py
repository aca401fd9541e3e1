"""What a search has found so far."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from blackbox.algorithm import Front
from blackbox.incumbent import Incumbent, Rows
from blackbox.reduction import Reduction

if TYPE_CHECKING:
    from blackbox.optimizer import Optimizer

__all__ = ["Result", "make_result", "rows_of"]


@dataclass(frozen=True)
class Result:
    """The best point, or the Pareto set, among the feasible points that were told; r rows, none if none was feasible.

    Attributes
    ----------
    x : Tensor, shape (r, d), or Genomes
    values : Tensor, shape (r, m)
        In the objectives' own directions.
    violations : Tensor, shape (r, k)
    n_evaluations : int
        Asked candidates that were told, failed ones included.
    n_failed : int
    least_violated : Result or None
        The point with the smallest sum of positive violations, where the problem has constraints.
    predicted : bool
        Whether values and violations are a model's predictions: of the risk over environments, or at a target fidelity
        that was never evaluated.
    """

    space: Any
    x: Any
    values: Tensor
    violations: Tensor
    n_evaluations: int
    n_failed: int
    least_violated: Result | None = None
    predicted: bool = False

    @property
    def configs(self) -> list[dict[str, Any]]:
        """The points as dictionaries."""
        configs: list[dict[str, Any]] = self.space.decode(self.x)
        return configs

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        if len(self) == 1 and isinstance(self.x, Tensor) and self.x.shape[1] <= 20:
            told = "predicted values" if self.predicted else "values"
            best = f"{told}={self.values[0].tolist()}, config={self.configs[0]}"
            return f"Result({best}, n_evaluations={self.n_evaluations})"
        return f"Result({len(self)} points, n_evaluations={self.n_evaluations})"


def make_result(optimizer: Optimizer, front: Front | None, incumbent: Incumbent, reduction: Reduction) -> Result:
    """Return the result of an optimizer, from its kernel's own front or from its incumbent."""
    if front is not None:
        best, least = _split(front, reduction)
    else:
        best, least = incumbent.best, incumbent.least_violated
    predicted = front is not None and front.predicted
    nearest = replace(_result(optimizer, least, None), predicted=predicted) if least is not None else None
    return replace(_result(optimizer, best, nearest), predicted=predicted)


def rows_of(front: Front, reduction: Reduction) -> Rows:
    """Return the rows of a kernel's front in the full space."""
    x = reduction.expand(front.x) if isinstance(front.x, Tensor) else front.x
    return Rows(torch.arange(len(front.values)), x, front.values, front.violations)


def _split(front: Front, reduction: Reduction) -> tuple[Rows | None, Rows | None]:
    rows = rows_of(front, reduction)
    total = front.violations.clamp(min=0).sum(1)
    feasible = (total <= 0).nonzero()[:, 0]
    if front.values.shape[1] == 1 and len(feasible):  # ties of a single objective: one point, as everywhere
        feasible = feasible[front.values[feasible, 0].argmin()].reshape(1)
    least = rows[total.argmin().reshape(1)] if front.violations.shape[1] and len(rows) else None
    return (rows[feasible] if len(feasible) else None), least


def _result(optimizer: Optimizer, rows: Rows | None, least: Result | None) -> Result:
    pending = optimizer.n_evaluations, optimizer.n_failed
    if rows is None:
        empty = torch.zeros((0, len(optimizer.objectives)), dtype=optimizer.dtype, device=optimizer.device)
        return Result(
            optimizer.space,
            optimizer._no_points(),
            empty,
            empty.new_zeros((0, optimizer.n_constraints)),
            *pending,
            least,
        )
    signs = optimizer._terms.signs
    values = rows.values.clone() if signs is None else rows.values * signs
    x = rows.x.clone() if isinstance(rows.x, Tensor) else rows.x
    return Result(optimizer.space, x, values, rows.violations.clone(), *pending, least)
