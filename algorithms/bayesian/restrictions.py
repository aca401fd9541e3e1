"""Constraints on inputs that are known beforehand: no candidate ever violates them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from blackbox.errors import SettingError, StateError
from blackbox.space import Space
from blackbox.surrogates.kernels import Array, Index, Mask

__all__ = ["Columns", "InputConstraint", "LinearConstraint", "Restrictions", "UserConstraint", "checked_constraints"]

Columns: TypeAlias = Mapping[str, Any]
_EXACT = 1e-9  # of equalities, relative to the size of the terms


@dataclass(frozen=True, slots=True)
class LinearConstraint:
    """lower <= sum of coefficient * parameter <= upper.

    Parameters
    ----------
    coefficients : mapping of str to float
        By the names of real and integer parameters; those that are inactive count as 0.
    upper, lower : float, optional
        At least one of them. Equal ones make an equality, which holds up to 1e-9 of its terms: mixtures.

    Examples
    --------
    >>> LinearConstraint({"acid": 1.0, "base": 1.0}, upper=1.0).upper
    1.0
    """

    coefficients: dict[str, float]
    upper: float | None = None
    lower: float | None = None

    def __post_init__(self) -> None:
        given = self.coefficients
        if not isinstance(given, Mapping) or not given:
            raise SettingError(f"coefficients: expected a mapping of names to numbers, got {given!r}")
        for name, value in given.items():
            if not isinstance(name, str) or isinstance(value, bool) or not _finite(value):
                raise SettingError(f"coefficients: expected names and finite numbers, got {name!r}: {value!r}")
        object.__setattr__(self, "coefficients", {name: float(value) for name, value in given.items()})
        for side in ("upper", "lower"):
            value = getattr(self, side)
            if value is not None and not _finite(value):
                raise SettingError(f"{side}: expected a finite number or None, got {value!r}")
        if self.upper is None and self.lower is None:
            raise SettingError("upper, lower: expected at least one of them")
        if self.upper is not None and self.lower is not None and self.lower > self.upper:
            raise SettingError(f"lower: expected at most upper = {self.upper!r}, got {self.lower!r}")

    @property
    def is_equality(self) -> bool:
        """Whether both sides are equal."""
        return self.upper is not None and self.upper == self.lower

    def excess(self, columns: Columns, *, signed: bool = False) -> Array:
        """Return how much it is violated, shape (n,); feasible at <= 0. `signed`: of an equality, the difference."""
        terms = [
            c * np.nan_to_num(np.asarray(columns[name], dtype=np.float64)) for name, c in self.coefficients.items()
        ]
        total = np.asarray(sum(terms))
        if self.is_equality:
            assert self.upper is not None
            if signed:
                return np.asarray(total - self.upper)
            size = np.asarray(sum(np.abs(term) for term in terms)) + abs(self.upper)
            return np.maximum(np.abs(total - self.upper) - _EXACT * size, 0.0)
        above = -np.inf if self.upper is None else total - self.upper
        below = -np.inf if self.lower is None else self.lower - total
        return np.asarray(np.maximum(above, below))


@dataclass(frozen=True, slots=True)
class UserConstraint:
    """A user's own constraint in the settings. A saved search keeps its name, and needs `algorithm=` to be loaded.

    Parameters
    ----------
    function : callable
        From a mapping of names to columns, arrays of shape (n,), to what is feasible at <= 0, or to True where
        feasible. Numbers are floats, NaN where inactive; levels stand as themselves, None where inactive.
    """

    function: Callable[[Columns], Any]

    @property
    def name(self) -> str:
        """The function's name, with its module."""
        kind = self.function if hasattr(self.function, "__qualname__") else type(self.function)
        return f"{kind.__module__}.{kind.__qualname__}"

    def excess(self, columns: Columns, *, signed: bool = False) -> Array:
        """Return how much it is violated, shape (n,); feasible at <= 0."""
        n = len(next(iter(columns.values())))
        try:
            given = np.asarray(self.function(columns))
        except Exception as error:
            raise SettingError(f"input_constraints: {self.name} raised {error!r}") from error
        if given.shape != (n,) or given.dtype.kind not in "bfiu":
            raise SettingError(
                f"input_constraints: {self.name} must return {n} numbers or booleans, shape ({n},), got shape "
                f"{given.shape}, {given.dtype}"
            )
        if given.dtype == bool:
            return np.where(given, -1.0, 1.0)
        return np.where(np.isnan(given), np.inf, given.astype(np.float64))

    def to_tree(self) -> dict[str, str]:
        """Return what is saved."""
        return {"function": self.name}

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> UserConstraint:
        """Refuse: code is never loaded from a file."""
        raise StateError(f"input_constraints: {tree.get('function')} is your own; pass algorithm= when loading")


InputConstraint: TypeAlias = LinearConstraint | UserConstraint


def checked_constraints(given: Any) -> tuple[InputConstraint, ...]:
    """Return constraints as records.

    Raises
    ------
    SettingError
        If one is neither a `LinearConstraint` nor callable.
    """
    if isinstance(given, (LinearConstraint, UserConstraint)) or callable(given) or not isinstance(given, Sequence):
        raise SettingError(f"input_constraints: expected a sequence of constraints, got {given!r}")
    found: list[InputConstraint] = []
    for one in given:
        if isinstance(one, (LinearConstraint, UserConstraint)):
            found.append(one)
        elif callable(one) and not isinstance(one, type):
            found.append(UserConstraint(one))
        else:
            raise SettingError(f"input_constraints: expected LinearConstraint or a callable, got {one!r}")
    return tuple(found)


class Restrictions:
    """Known constraints on the points of a space.

    Parameters
    ----------
    space : Space
        Without constant columns.
    constraints : sequence of InputConstraint
    constants : mapping of str to value
        Of the parameters that the space lacks.

    Raises
    ------
    SettingError
        If a name is unknown, or a linear constraint names a parameter that is no number.
    """

    def __init__(self, space: Space, constraints: Sequence[InputConstraint], constants: Mapping[str, Any]) -> None:
        self.constraints, self._space, self._constants = tuple(constraints), space, dict(constants)
        self._labels = [self._labels_of(column) for column in range(space.dim)]
        for one in self.constraints:
            if isinstance(one, LinearConstraint):
                self._check_names(one)
        rows = [self._row(one) for one in self.constraints if isinstance(one, LinearConstraint) and one.is_equality]
        self.equalities: Array = np.array(rows).reshape(len(rows), space.dim) * (space.upper - space.lower)

    def _labels_of(self, column: int) -> Any:
        if self._space.kinds[column] == 0 or self._space.is_box:
            return None
        levels = getattr(self._space.parameters[self._space.names[column]], "levels", None)
        return None if levels is None else np.array([*levels, None], dtype=object)

    def _check_names(self, one: LinearConstraint) -> None:
        for name in one.coefficients:
            if name in self._constants:
                number = isinstance(self._constants[name], (int, float)) and not isinstance(self._constants[name], bool)
            elif name in self._space.names:
                number = self._labels[self._space.index(name)] is None
            else:
                known = ", ".join([*self._space.names[:8], *self._constants][:8])
                raise SettingError(f"input_constraints: no parameter is named {name!r}; there are {known}")
            if not number:
                raise SettingError(f"input_constraints: {name!r} is no number; use a callable for its levels")

    def _row(self, one: LinearConstraint) -> Array:
        return np.array([one.coefficients.get(name, 0.0) for name in self._space.names])

    def linear(self) -> tuple[Array, Array, Array]:
        """Return coefficients, shape (l, d), and both sides, of the linear constraints, constants taken over."""
        rows, lower, upper = [], [], []
        for one in self.constraints:
            if isinstance(one, LinearConstraint):
                held = sum(c * float(self._constants[n]) for n, c in one.coefficients.items() if n in self._constants)
                rows.append(self._row(one))
                lower.append(-math.inf if one.lower is None else one.lower - held)
                upper.append(math.inf if one.upper is None else one.upper - held)
        return np.array(rows).reshape(len(rows), self._space.dim), np.array(lower), np.array(upper)

    def columns(self, codes: Array, active: Mask) -> dict[str, Any]:
        """Return the columns of full codes by name, as a user's constraint sees them."""
        found: dict[str, Any] = {name: np.full(len(codes), value) for name, value in self._constants.items()}
        for c, name in enumerate(self._space.names):
            labels = self._labels[c]
            if labels is None:
                found[name] = np.where(active[:, c], codes[:, c], np.nan)
            else:
                found[name] = labels[np.where(active[:, c], codes[:, c], len(labels) - 1).astype(np.intp)]
        return found

    def excess(self, codes: Array, active: Mask) -> Array:
        """Return the largest violation of each row of full codes, shape (n,); feasible at <= 0."""
        if not len(codes):
            return np.zeros(0)
        columns = self.columns(codes, active)
        return np.asarray(np.max([one.excess(columns) for one in self.constraints], axis=0))

    def each(self, codes: Array, active: Mask) -> Array:
        """Return the violation of each constraint, shape (n, c); of equalities, the difference of their sides."""
        columns = self.columns(codes, active)
        return np.stack([one.excess(columns, signed=True) for one in self.constraints], axis=1)

    def only(self, kind: type) -> Restrictions:
        """Return the restrictions of one kind of constraint."""
        return Restrictions(self._space, [c for c in self.constraints if isinstance(c, kind)], self._constants)

    def projection(self, movable: Index) -> Array | None:
        """Return what keeps the equalities of steps of some columns in units of their ranges, shape (d, d)."""
        if not len(self.equalities):
            return None
        part = self.equalities[:, movable]
        projection = np.zeros((self._space.dim, self._space.dim))
        projection[np.ix_(movable, movable)] = np.eye(len(movable)) - np.linalg.pinv(part) @ part
        return projection


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and math.isfinite(value)
