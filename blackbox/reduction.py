"""A space without its constant columns, so that algorithms never meet a variable that cannot vary."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from blackbox.parameters import Parameter
from blackbox.roles import nominal
from blackbox.space import Space

__all__ = ["Reduction"]


class Reduction:
    """The map between a space and the part of it that is searched.

    Parameters
    ----------
    full : Space
    constants : mapping of column to code
        The columns that keep one value; columns that can then never be active are left out as well.

    Attributes
    ----------
    space : Space or None
        The searched part; None where nothing is left to search.
    columns : sequence of int
        The columns of `full` that `space` is made of, in order.
    has_roles : bool
        Whether fidelities, tasks or environments are among them.
    """

    def __init__(self, full: Space, constants: Mapping[int, float]) -> None:
        self.full = full
        self.constants = dict(constants)
        roles = {} if not isinstance(full, Space) else full.role_columns
        searched = [column for column in roles if column not in constants]
        self.has_roles = bool(searched)
        self._targets = {column: nominal(full, column) for column in searched if roles[column] != "environment"}
        self.is_identity = not constants
        if self.is_identity:
            self.space: Space | None = full
            self.columns: Sequence[int] = range(full.dim)
            return
        conditions = _conditions_by_child(full)
        resolved = {child: _resolve(child, conditions, constants) for child in conditions}
        never = {child for child, when in resolved.items() if when is None}
        self.columns = [c for c in range(full.dim) if c not in constants and c not in never]
        self._index = torch.tensor(self.columns, dtype=torch.int64)
        self._template = torch.full((full.dim,), math.nan, dtype=torch.float64)
        for column, code in constants.items():
            if column not in never:
                self._template[column] = code
        self.space = self._searched(resolved)

    def _searched(self, resolved: Mapping[int, dict[int, set[float]] | None]) -> Space | None:
        if not self.columns:
            return None
        names = self.full.names
        if self.full.is_box:
            return Space.box(
                self.full.lower[self.columns],
                self.full.upper[self.columns],
                names=[names[c] for c in self.columns],
            )
        parameters: dict[str, Parameter] = {}
        for column in self.columns:
            when = {
                names[p]: [self._value(p, code) for code in sorted(codes)]
                for p, codes in (resolved.get(column) or {}).items()
            }
            parameters[names[column]] = replace(self.full.parameters[names[column]], when=when or None)
        return Space(parameters)

    @property
    def values(self) -> dict[str, Any]:
        """What the constant columns are held at, by name."""
        if not self.constants:
            return {}
        names = self.full.names
        return {names[column]: self._value(column, code) for column, code in self.constants.items()}

    def _value(self, column: int, code: float) -> Any:
        row = self.full.canonical(torch.zeros((1, self.full.dim), dtype=torch.float64))
        row[0] = math.nan
        row[0, column] = code
        return self.full.decode(row)[0][self.full.names[column]]

    def expand(self, x: Tensor) -> Tensor:
        """Return points of the searched part, shape (n, d'), as points of the full space, shape (n, d)."""
        if self.is_identity:
            return x
        full = self._template.to(x.device, x.dtype).repeat(len(x), 1)
        full[:, self._index.to(x.device)] = x
        if self.full.conditions:
            full = full.masked_fill(~self.full.activity(full), math.nan)
        return full

    def restrict(self, x: Tensor) -> Tensor:
        """Return points of the full space, shape (n, d), as points of the searched part, shape (n, d')."""
        return x if self.is_identity else x[:, self._index.to(x.device)]

    def off_target(self, x: Any) -> Tensor | None:
        """Return which points have a searched fidelity or task that is not its target, shape (n,); None if none can."""
        if not self._targets or not isinstance(x, Tensor):
            return None
        columns = list(self._targets)
        target = torch.tensor([self._targets[c] for c in columns], dtype=torch.float64).to(x.device, x.dtype)
        part = x[:, columns]
        return ((part != target) & ~torch.isnan(part)).any(1)

    def elsewhere(self, x: Tensor) -> Tensor | None:
        """Return which points of the full space have other values in constant columns, shape (n,); None if none can."""
        if self.is_identity:
            return None
        template = self._template.to(x.device, x.dtype)
        return ((x != template) & ~torch.isnan(template) & ~torch.isnan(x)).any(1)


def _conditions_by_child(space: Space) -> dict[int, dict[int, set[float]]]:
    found: dict[int, dict[int, set[float]]] = {}
    for condition in space.conditions:
        found.setdefault(condition.child, {})[condition.parent] = set(condition.codes)
    return found


def _resolve(
    child: int, conditions: Mapping[int, dict[int, set[float]]], constants: Mapping[int, float]
) -> dict[int, set[float]] | None:
    """Return the conditions of `child` on columns that vary; None where it can never be active."""
    remaining: dict[int, set[float]] = {}
    for parent, codes in conditions.get(child, {}).items():
        if parent in constants:
            if constants[parent] not in codes:
                return None
            inherited = _resolve(parent, conditions, constants)  # the parent must be active, too
        else:
            inherited = {parent: codes} if _resolve(parent, conditions, constants) is not None else None
        if inherited is None:
            return None
        for ancestor, allowed in inherited.items():
            remaining[ancestor] = remaining.get(ancestor, allowed) & allowed
            if not remaining[ancestor]:
                return None
    return remaining
