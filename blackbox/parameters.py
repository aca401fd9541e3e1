"""The kinds of parameters that a space is made of.

Each is a small immutable record; `Space` checks it, so that an error can name the parameter, and turns it into
a column. Every kind takes the same keywords:

when : mapping of str to a value or a list of values
    The parameter is active only while every named parent is active and has one of the values.
fixed : value
    The parameter keeps this value; it is not searched.
fidelity : True or value
    How faithful an evaluation is; the value is the target (True: the upper bound or the last level).
task : True or value
    Which of several related tasks is evaluated; the value is the target (True: the first level or lower bound).
environment : "uniform", Normal, or a sequence of values
    Not ours to choose in reality: the distribution over which a design must be good.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self, TypeAlias

from blackbox.errors import SpaceError

__all__ = ["Categorical", "Integer", "Level", "Normal", "Ordinal", "Parameter", "Real"]

Level: TypeAlias = str | int | float | bool | None
_EXACT = 2**53  # integers beyond it have no exact float64


@dataclass(frozen=True, slots=True)
class Normal:
    """A normal distribution for an environment parameter, in the parameter's units.

    Parameters
    ----------
    mean : float
    std : float
        Must be positive.
    """

    mean: float
    std: float

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            object.__setattr__(self, name, _as_python(getattr(self, name)))
        if not (_is_number(self.mean) and _is_number(self.std) and self.std > 0):
            raise SpaceError(f"Normal: expected a finite mean and a positive std, got {self.mean!r}, {self.std!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Roles:
    """The keywords that every parameter takes (module docstring)."""

    when: Mapping[str, Any] | None = None
    fixed: Any = None
    fidelity: Any = None
    task: Any = None
    environment: Any = None

    @property
    def role(self) -> str:
        """One of "design", "fidelity", "task", "environment"."""
        for role in ("fidelity", "task", "environment"):
            if _is_given(getattr(self, role)):
                return role
        return "design"

    def _check_roles(self) -> None:
        given = [r for r in ("fidelity", "task", "environment") if _is_given(getattr(self, r))]
        if len(given) > 1:
            raise SpaceError(f"expected at most one role, got {' and '.join(given)}")
        if self.when is not None and (not isinstance(self.when, Mapping) or not self.when):
            raise SpaceError(f"when: expected a non-empty mapping of parameter to value(s), got {self.when!r}")

    def _plain_roles(self) -> dict[str, Any]:
        """Return the checked keywords with plain Python values, so that they can be compared and written as JSON."""
        self._check_roles()
        when = None if self.when is None else {name: _as_plain(values) for name, values in self.when.items()}
        roles = {name: _as_plain(getattr(self, name)) for name in ("fixed", "fidelity", "task", "environment")}
        return {"when": when, **roles}


def _is_given(role: Any) -> bool:
    """Return whether a role is given: a target of 0 is a value, where False and None are not."""
    return role is not None and role is not False


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer beyond all floats
        return False


def _as_python(value: Any) -> Any:
    """Return a plain Python scalar for a NumPy or torch one, so that records compare and print as expected."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value


def _as_plain(value: Any) -> Any:
    """Return plain Python scalars for NumPy and torch ones, in a list where there are several."""
    if isinstance(value, (list, tuple, set, frozenset, range)) or getattr(value, "ndim", 0) == 1:
        return [_as_python(item) for item in value]
    return _as_python(value)


@dataclass(frozen=True, slots=True)
class _Range(_Roles):
    """What real and integer parameters share: bounds and a log scale."""

    low: float
    high: float
    log: bool = field(default=False, kw_only=True)

    @property
    def target(self) -> Any:
        """The value at which results count, for a fidelity or a task; None for other roles."""
        if _is_given(self.fidelity):
            return self.high if self.fidelity is True else self.fidelity
        if _is_given(self.task):
            return self.low if self.task is True else self.task
        return None


def _check_log(low: float, log: bool, least: float) -> None:
    if not isinstance(log, bool):
        raise SpaceError(f"log: expected True or False, got {log!r}")
    if log and low < least:
        raise SpaceError(f"a log scale needs bounds {'> 0' if least < 1 else '>= 1'}, got low = {low!r}")


@dataclass(frozen=True, slots=True)
class Real(_Range):
    """A real number in [low, high].

    Parameters
    ----------
    low, high : float
        Finite bounds, both included; equal bounds make a fixed variable.
    log : bool, default False
        Search on a logarithmic scale; needs low > 0.

    Examples
    --------
    >>> Real(1e-5, 1e-1, log=True).low
    1e-05
    """

    kind: ClassVar[str] = "real"

    def checked(self) -> Self:
        """Return this record with plain Python bounds, or raise `SpaceError`."""
        low, high = _as_python(self.low), _as_python(self.high)
        for name, bound in (("low", low), ("high", high)):
            if not _is_number(bound):
                raise SpaceError(f"{name}: expected a finite number, got {bound!r}")
        if low > high:
            raise SpaceError(f"expected low <= high, got [{low!r}, {high!r}]")
        if not math.isfinite(float(high) - float(low)):
            raise SpaceError(f"expected bounds whose difference is finite, got [{low!r}, {high!r}]")
        _check_log(float(low), self.log, math.ulp(0.0))
        return replace(self, low=float(low), high=float(high), **self._plain_roles())


@dataclass(frozen=True, slots=True)
class Integer(_Range):
    """An integer in [low, high], both included.

    Parameters
    ----------
    low, high : int
        Bounds, at most 2**53 in size; equal bounds make a fixed variable.
    log : bool, default False
        Search on a logarithmic scale; needs low >= 1.

    Examples
    --------
    >>> Integer(1, 1000, log=True).high
    1000
    """

    kind: ClassVar[str] = "integer"

    def checked(self) -> Self:
        """Return this record with plain Python bounds, or raise `SpaceError`."""
        low, high = _as_python(self.low), _as_python(self.high)
        for name, bound in (("low", low), ("high", high)):
            if not _is_number(bound) or bound != int(bound) or abs(bound) > _EXACT:
                raise SpaceError(f"{name}: expected an integer of at most 2**53 in size, got {bound!r}")
        if low > high:
            raise SpaceError(f"expected low <= high, got [{low!r}, {high!r}]")
        _check_log(float(low), self.log, 1.0)
        return replace(self, low=int(low), high=int(high), **self._plain_roles())


@dataclass(frozen=True, slots=True)
class _Levels(_Roles):
    """What categorical and ordinal parameters share: a tuple of levels."""

    levels: Sequence[Level]

    def checked(self) -> Self:
        """Return this record with a plain tuple of levels, or raise `SpaceError`."""
        return replace(self, levels=_checked_levels(self.levels), **self._plain_roles())

    @property
    def target(self) -> Any:
        """The level at which results count, for a fidelity or a task; None for other roles."""
        if _is_given(self.fidelity):
            return self.levels[-1] if self.fidelity is True else self.fidelity
        if _is_given(self.task):
            return self.levels[0] if self.task is True else self.task
        return None


def _checked_levels(levels: Sequence[Level]) -> tuple[Level, ...]:
    unordered = (str, bytes, set, frozenset)  # a set has another order in the next process
    if isinstance(levels, unordered) or not hasattr(levels, "__iter__"):
        raise SpaceError(f"levels: expected a sequence of levels, got {levels!r}")
    plain = tuple(_as_python(level) for level in levels)
    if not plain:
        raise SpaceError("levels: expected at least one level, got none")
    for level in plain:
        if not (level is None or isinstance(level, (str, bool)) or _is_number(level)):
            raise SpaceError(f"levels: expected strings, numbers, booleans or None, got {level!r}")
    keys = [level_key(level) for level in plain]
    if len(set(keys)) < len(keys):
        twice = next(level for level, key in zip(plain, keys, strict=True) if keys.count(key) > 1)
        raise SpaceError(f"levels: expected distinct levels, got {twice!r} twice")
    return plain


def level_key(level: Any) -> tuple[bool, Any]:
    """Return a key under which True and 1 differ, while 1 and 1.0 are the same level."""
    return isinstance(level, bool), level


@dataclass(frozen=True, slots=True)
class Categorical(_Levels):
    """One of several levels without an order.

    Parameters
    ----------
    levels : sequence of str, int, float, bool or None
        Distinct; True and 1 are different levels.

    Examples
    --------
    >>> Categorical(["rbf", "poly"]).levels
    ['rbf', 'poly']
    """

    kind: ClassVar[str] = "categorical"


@dataclass(frozen=True, slots=True)
class Ordinal(_Levels):
    """One of several levels in their given order.

    Parameters
    ----------
    levels : sequence of str, int, float, bool or None
        Distinct, from first to last; neighbours are taken to be alike.

    Examples
    --------
    >>> Ordinal(["small", "medium", "large"]).levels[-1]
    'large'
    """

    kind: ClassVar[str] = "ordinal"


Parameter: TypeAlias = Real | Integer | Categorical | Ordinal
