"""What was evaluated, in order: the one record that every picture is drawn from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from blackbox.candidates import Batch, Evaluation
from blackbox.errors import SettingError
from blackbox.objective import Objective, parse_objectives
from blackbox.space import Space

__all__ = ["History"]


@dataclass(frozen=True, eq=False)
class History:
    """n evaluations in the order in which they came in.

    Attributes
    ----------
    space : Space
    objectives : tuple of Objective, length m
    x : Tensor, shape (n, d), float64, CPU
        Points in the space's own units; NaN where inactive.
    values : Tensor, shape (n, m), float64, CPU
        In the objectives' own directions; NaN in failed rows.
    violations : Tensor, shape (n, k), float64, CPU
        Feasible at <= 0; k = 0 without constraints.
    failed : Tensor, shape (n,), bool, CPU
        Evaluations that gave no usable value.
    reference_point : Tensor, shape (m,), or None
        For hypervolumes, where the problem knows one; in the objectives' own directions.

    Examples
    --------
    >>> history = History.of(Space.box([0], [1]), [[0.2], [0.9], [0.5]], [3.0, float("nan"), 1.0])
    >>> history.failed.tolist(), history.best_so_far().tolist()
    ([False, True, False], [3.0, 3.0, 1.0])
    """

    space: Space
    objectives: tuple[Objective, ...]
    x: Tensor
    values: Tensor
    violations: Tensor
    failed: Tensor
    reference_point: Tensor | None = None

    @classmethod
    def of(
        cls,
        source: Any,
        x: Any = None,
        values: Any = None,
        *,
        violations: Any = None,
        failed: Any = None,
        objectives: int | str | Objective | Sequence[str | Objective] | None = None,
    ) -> History:
        """Return the history of a study, or of a problem (or optimizer, or space) and what was evaluated.

        Parameters
        ----------
        source : Study, History, Problem, Optimizer, Space or mapping of parameters
            A study and a history need nothing else.
        x : array-like of shape (n, d), Batch, or list of dict
            The points in the order of their evaluation.
        values : array-like of shape (n, m), or (n,) for m = 1, or Evaluation
            In the objectives' own directions; a row with a non-finite value is a failed evaluation.
        violations : array-like, shape (n, k), optional
        failed : array-like of bool, shape (n,), optional
        objectives : int, str, Objective or a sequence of them, optional
            Default: the source's, or as many to minimise as `values` has columns.

        Raises
        ------
        SettingError
            If an argument is missing or of the wrong shape; the message names it.
        """
        if x is None and values is None:
            return _from_source(source)
        if x is None or values is None:
            raise SettingError(f"{'x' if x is None else 'values'}: expected what was evaluated, got None")
        space = source if isinstance(source, Space) else getattr(source, "space", source)
        space = Space(space) if isinstance(space, Mapping) else space
        if not isinstance(space, Space):
            raise SettingError(f"source: expected a study, a problem, an optimizer or a space, got {source!r}")
        if isinstance(values, Evaluation):
            violations = values.violations if violations is None else violations
            values = values.values
        table = _table(values, "values")
        given = getattr(source, "objectives", None) if objectives is None else objectives
        parsed = parse_objectives(table.shape[1] if given is None else given)
        return _checked(
            space, parsed, _points(space, x), table, violations, failed, getattr(source, "reference_point", None)
        )

    def __len__(self) -> int:
        return len(self.values)

    @property
    def feasible(self) -> Tensor:
        """Which evaluations gave values and violate nothing, shape (n,), bool."""
        return ~self.failed & (self.violations <= 0).all(1)

    @property
    def infeasible(self) -> Tensor:
        """Which evaluations gave values but violate a constraint, shape (n,), bool."""
        return ~self.failed & ~self.feasible

    @property
    def signs(self) -> Tensor:
        """The factors that make every objective one to minimise, shape (m,)."""
        return torch.tensor([objective.sign for objective in self.objectives], dtype=torch.float64)

    def objective_index(self, objective: str | None = None) -> int:
        """Return the column of an objective by name; the only one by default.

        Raises
        ------
        SettingError
            If there is none of that name, or none was named and there are several.
        """
        names = [o.name for o in self.objectives]
        if objective is None:
            if len(names) > 1:
                raise SettingError(f"objective: expected one of {names}, got None")
            return 0
        if objective not in names:
            raise SettingError(f"objective: expected one of {names}, got {objective!r}")
        return names.index(objective)

    def best_so_far(self, objective: str | None = None) -> Tensor:
        """Return the best feasible value up to each evaluation, shape (n,); NaN before the first feasible one."""
        column = self.objective_index(objective)
        sign = self.objectives[column].sign
        usable = torch.where(self.feasible, self.values[:, column] * sign, torch.inf)
        best = torch.cummin(usable, 0).values
        return torch.where(torch.isinf(best), torch.nan, best * sign)

    def best_row(self, objective: str | None = None) -> int | None:
        """Return the first row of the best feasible value; None where nothing is feasible."""
        column = self.objective_index(objective)
        if not bool(self.feasible.any()):
            return None
        usable = torch.where(self.feasible, self.values[:, column] * self.objectives[column].sign, torch.inf)
        return int(usable.argmin())


def _from_source(source: Any) -> History:
    if isinstance(source, History):
        record = source
    else:
        told = source.history() if callable(getattr(source, "history", None)) else source
        if isinstance(told, History):
            record = told
        elif isinstance(told, list):
            record = _from_candidates(told, source)
        elif all(hasattr(told, field) for field in ("x", "values")) and not isinstance(told, (Batch, Evaluation)):
            record = _from_record(told, source)
        else:
            raise SettingError(
                f"history: expected a Study or a History, got {type(source).__name__}; "
                "History.of(problem, x, values) makes one of what was evaluated"
            )
    if not len(record):
        raise SettingError("history: expected at least one evaluation, got none")
    return record


def _from_candidates(told: list[Any], study: Any) -> History:
    """Return the history of a study's records, in the order in which they were finished; pending ones left out."""
    done = [record for record in told if record.status in ("told", "failed")]
    if all(record.finished is not None for record in done):
        done.sort(key=lambda record: (record.finished, record.id))
    problem = getattr(study, "problem", study)
    objectives = parse_objectives(problem.objectives)
    nothing = (math.nan,) * len(objectives)
    values = [nothing if record.status == "failed" or record.values is None else record.values for record in done]
    widths = [len(record.violations) for record in done if record.violations is not None]
    k = max(widths, default=int(getattr(problem, "n_constraints", 0)))
    violations = [(math.nan,) * k if record.violations is None else record.violations for record in done]
    return _checked(
        study.space,
        objectives,
        study.space.encode([record.config for record in done]),
        torch.tensor(values, dtype=torch.float64).reshape(len(done), len(objectives)),
        torch.tensor(violations, dtype=torch.float64).reshape(len(done), k),
        None,
        getattr(problem, "reference_point", None),
    )


def _from_record(told: Any, source: Any) -> History:
    """Return the history of any record that has its fields; the study fills in what the record lacks."""
    found = {
        name: getattr(told, name) if hasattr(told, name) else getattr(source, name, None)
        for name in ("space", "objectives", "violations", "failed", "reference_point")
    }
    if not isinstance(found["space"], Space):
        raise SettingError(f"history: expected a space of named parameters, got {found['space']!r}")
    values = _table(told.values, "values")
    objectives = parse_objectives(values.shape[1] if found["objectives"] is None else found["objectives"])
    x = _points(found["space"], told.x)
    return _checked(
        found["space"], objectives, x, values, found["violations"], found["failed"], found["reference_point"]
    )


def _checked(
    space: Space,
    objectives: tuple[Objective, ...],
    x: Tensor,
    values: Tensor,
    violations: Any,
    failed: Any,
    reference_point: Any,
) -> History:
    n, m = values.shape
    if m != len(objectives):
        raise SettingError(f"values: expected shape (n, {len(objectives)}), got {tuple(values.shape)}")
    if len(x) != n:
        raise SettingError(f"x, values: expected as many points as values, got {len(x)} and {n}")
    limits = torch.zeros((n, 0), dtype=torch.float64) if violations is None else _table(violations, "violations")
    if len(limits) != n:
        raise SettingError(f"violations: expected shape ({n}, k), got {tuple(limits.shape)}")
    mask = ~torch.isfinite(values).all(1)
    if failed is not None:
        given = torch.as_tensor(failed).detach().to("cpu", torch.bool)
        if given.shape != (n,):
            raise SettingError(f"failed: expected shape ({n},), got {tuple(given.shape)}")
        mask = mask | given
    values = values.masked_fill(mask[:, None], torch.nan)
    reference = None if reference_point is None else _table(reference_point, "reference_point")[:, 0]
    if reference is not None and reference.shape != (m,):
        raise SettingError(f"reference_point: expected shape ({m},), got {tuple(reference.shape)}")
    return History(space, objectives, x, values, limits, mask, reference)


def _points(space: Space, x: Any) -> Tensor:
    if isinstance(x, Batch):
        return _table(x.x, "x")
    if isinstance(x, (list, tuple)) and x and isinstance(x[0], Mapping):
        return space.encode(x)
    points = _table(x, "x")
    if points.shape[1] != space.dim:
        raise SettingError(f"x: expected shape (n, {space.dim}), got {tuple(points.shape)}")
    return points


def _table(values: Any, name: str) -> Tensor:
    """Return anything array-like as a float64 matrix of its own on the CPU; a vector becomes one column."""
    if isinstance(values, Tensor):
        table = values.detach()
    else:  # through NumPy: torch would read a list of numbers as single precision
        try:
            array = np.asarray(values)
        except (TypeError, ValueError, RuntimeError) as error:
            raise SettingError(f"{name}: expected an array of numbers, got {type(values).__name__} ({error})") from None
        if array.dtype.kind not in "biufc":
            raise SettingError(f"{name}: expected numbers, got {type(values).__name__} of {array.dtype}")
        table = torch.as_tensor(array.astype(np.complex128 if array.dtype.kind == "c" else np.float64))
    if table.is_complex() or table.dim() not in (1, 2):
        raise SettingError(
            f"{name}: expected a real array of one or two dimensions, got {table.dtype} of shape {tuple(table.shape)}"
        )
    table = table.to("cpu", torch.float64, copy=True)
    return table[:, None] if table.dim() == 1 else table
