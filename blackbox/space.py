"""The space that is searched: named parameters, their encoding as columns, and their map to the unit cube."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from blackbox._conditions import parse_conditions
from blackbox._points import check_points, parse_bound, parse_names, parse_points
from blackbox._unit_cube import UnitMap
from blackbox.candidates import Batch
from blackbox.errors import SpaceError
from blackbox.parameters import Categorical, Integer, Ordinal, Parameter, Real, level_key
from blackbox.roles import check_roles
from blackbox.space_json import parameter_from_json, parameter_to_json

if TYPE_CHECKING:
    from blackbox.genome import GenomeSpace

__all__ = ["Space"]

_KINDS = {"real": 0, "integer": 1, "categorical": 2, "ordinal": 3}


class Space:
    """Named parameters, some of them active under conditions only.

    Points are encoded as rows of a float64 tensor of shape (n, d), one column a parameter: the value itself for
    real and integer parameters, the index of the level for categorical and ordinal ones, NaN where inactive.

    Parameters
    ----------
    parameters : mapping of str to Real, Integer, Categorical or Ordinal
        In the order of the columns.

    Raises
    ------
    SpaceError
        If a parameter is wrong; the message names it.

    Examples
    --------
    >>> space = Space({"kernel": Categorical(["rbf", "poly"]), "degree": Integer(2, 5, when={"kernel": "poly"})})
    >>> space.encode([{"kernel": "rbf"}, {"kernel": "poly", "degree": 3}])
    tensor([[0., nan],
            [1., 3.]], dtype=torch.float64)
    """

    def __init__(self, parameters: Mapping[str, Parameter]) -> None:
        if not isinstance(parameters, Mapping) or not parameters:
            raise SpaceError(f"parameters: expected a non-empty mapping of name to parameter, got {parameters!r}")
        checked: dict[str, Parameter] = {}
        for name, parameter in parameters.items():
            if not isinstance(name, str) or not name:
                raise SpaceError(f"parameters: expected non-empty strings as names, got {name!r}")
            if not isinstance(parameter, (Real, Integer, Categorical, Ordinal)):
                raise SpaceError(
                    f"{name}: expected a Real, Integer, Categorical or Ordinal, got {parameter!r}",
                    parameter=name,
                )
            try:
                checked[name] = parameter.checked()
            except SpaceError as error:
                raise SpaceError(f"{name}: {error}", parameter=name) from None
        self._parameters: dict[str, Parameter] | None = checked
        self._names: list[str] | None = list(checked)
        columns = list(checked.values())
        self.kinds = np.array([_KINDS[p.kind] for p in columns], dtype=np.uint8)
        self.lower = np.array([0.0 if isinstance(p, (Categorical, Ordinal)) else p.low for p in columns])
        self.upper = np.array(
            [len(p.levels) - 1 if isinstance(p, (Categorical, Ordinal)) else p.high for p in columns],
            dtype=float,
        )
        self.log = np.array([isinstance(p, (Real, Integer)) and p.log for p in columns], dtype=bool)
        self.conditions = parse_conditions(checked, self.code)
        for name, parameter in checked.items():
            check_roles(name, parameter, self.code)

    @classmethod
    def box(cls, lower: Any, upper: Any, *, names: Sequence[str] | None = None) -> Space:
        """Return a space of real parameters `x0`, `x1`, ... between bounds; cheap up to millions of columns.

        Parameters
        ----------
        lower, upper : array-like, shape (d,)
            Finite bounds with lower <= upper; equal bounds make fixed variables.
        names : sequence of str, optional
            Names in place of x0, x1, ...

        Examples
        --------
        >>> Space.box([0, 0], [1, 2]).dim
        2
        """
        low, high = parse_bound(lower, "lower"), parse_bound(upper, "upper")
        if low.ndim != 1 or low.shape != high.shape or low.size == 0:
            raise SpaceError(
                f"lower, upper: expected two arrays of one shape (d,), d >= 1, got {low.shape} and {high.shape}"
            )
        with np.errstate(over="ignore", invalid="ignore"):
            wrong = ~(np.isfinite(low) & np.isfinite(high) & (low <= high) & np.isfinite(high - low))
        space = cls.__new__(cls)
        space._names = None if names is None else parse_names(names, low.size)
        if wrong.any():
            column = int(wrong.argmax())
            name = f"x{column}" if space._names is None else space._names[column]
            raise SpaceError(
                f"{name}: expected finite low <= high, got [{low[column]}, {high[column]}]", parameter=name
            )
        space._parameters = None
        space.lower, space.upper = low.copy(), high.copy()
        space.kinds = np.zeros(low.size, dtype=np.uint8)
        space.log = np.zeros(low.size, dtype=bool)
        space.conditions = ()
        return space

    @staticmethod
    def genome(module: Any, **options: Any) -> GenomeSpace:
        """Return the space of a network's weights; see `blackbox.genome.GenomeSpace`."""
        from blackbox.genome import GenomeSpace

        return GenomeSpace(module, **options)

    # -- what it is ------------------------------------------------------------------------------------------

    @property
    def dim(self) -> int:
        """The number of columns d."""
        return len(self.lower)

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        if self._names is None:
            self._names = [f"x{column}" for column in range(self.dim)]
        return self._names

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The parameters by name."""
        if self._parameters is None:
            bounds = zip(self.names, self.lower.tolist(), self.upper.tolist(), strict=True)
            self._parameters = {name: Real(low, high) for name, low, high in bounds}
        return self._parameters

    @cached_property
    def is_box(self) -> bool:
        """Whether every column is real, on a linear scale and always active."""
        return not (self.kinds.any() or self.log.any() or self.conditions)

    @cached_property
    def is_real(self) -> bool:
        """Whether every column is real and always active (a log scale is allowed)."""
        return not (self.kinds.any() or self.conditions)

    def columns(self, kind: str) -> list[int]:
        """Return the columns of one kind: "real", "integer", "categorical" or "ordinal"."""
        return np.flatnonzero(self.kinds == _KINDS[kind]).tolist()

    def index(self, name: str) -> int:
        """Return the column of a parameter.

        Raises
        ------
        SpaceError
            If there is none of that name.
        """
        try:
            return self._index[name]
        except KeyError:
            raise SpaceError(
                f"{name}: no such parameter; expected one of {_some(self.names)}", parameter=str(name)
            ) from None

    @cached_property
    def _index(self) -> dict[str, int]:
        return {name: column for column, name in enumerate(self.names)}

    @cached_property
    def fixed_columns(self) -> dict[int, float]:
        """The encoded value of each column that is not searched: `fixed=`, equal bounds, or a single level."""
        fixed = {int(column): float(self.lower[column]) for column in np.flatnonzero(self.lower == self.upper)}
        if self._parameters is not None:
            for column, (name, parameter) in enumerate(self._parameters.items()):
                if parameter.fixed is not None:
                    fixed[column] = self.code(name, parameter.fixed)
        return fixed

    @cached_property
    def role_columns(self) -> dict[int, str]:
        """The columns whose role is not design: "fidelity", "task" or "environment"."""
        if self._parameters is None:
            return {}
        roles = {column: parameter.role for column, parameter in enumerate(self._parameters.values())}
        return {column: role for column, role in roles.items() if role != "design"}

    # -- configurations and codes ----------------------------------------------------------------------------

    def code(self, name: str, value: Any) -> float:
        """Return the encoded value of one parameter.

        Raises
        ------
        SpaceError
            If the value is of the wrong type or out of range; the message names the parameter.
        """
        column = self.index(name)
        if self._parameters is not None:
            levels = self._level_codes.get(column)
            if levels is not None:
                try:
                    return levels[level_key(value.item() if hasattr(value, "item") else value)]
                except (KeyError, TypeError, ValueError, RuntimeError):  # no level, or no scalar
                    raise SpaceError(
                        f"{name}: expected one of {_some(self._level_lists[column])}, got {value!r}",
                        parameter=name,
                    ) from None
        try:
            if isinstance(value, (bool, np.bool_, str, bytes)):
                raise TypeError
            number = float(value)
        except OverflowError:  # an integer beyond all floats
            number = math.inf
        except (TypeError, ValueError):
            raise SpaceError(f"{name}: expected a number, got {value!r}", parameter=name) from None
        if not self.lower[column] <= number <= self.upper[column]:
            raise SpaceError(
                f"{name}: expected a value in [{self.lower[column]:g}, {self.upper[column]:g}], got {value!r}",
                parameter=name,
            )
        if self.kinds[column] == 1 and number != round(number):
            raise SpaceError(f"{name}: expected an integer, got {value!r}", parameter=name)
        return number

    @cached_property
    def _level_lists(self) -> dict[int, tuple[Any, ...]]:
        pairs = enumerate([] if self._parameters is None else self._parameters.values())
        return {column: tuple(p.levels) for column, p in pairs if isinstance(p, (Categorical, Ordinal))}

    @cached_property
    def _level_codes(self) -> dict[int, dict[Any, float]]:
        return {c: {level_key(v): float(i) for i, v in enumerate(levels)} for c, levels in self._level_lists.items()}

    def encode(self, configs: Iterable[Mapping[str, Any]]) -> Tensor:
        """Return configurations as a tensor of shape (n, d), float64; NaN where inactive.

        Raises
        ------
        SpaceError
            For unknown keys, missing active keys, keys of inactive parameters, and values out of range; the
            message names the parameter.
        """
        if isinstance(configs, Mapping):
            raise SpaceError("configs: expected a list of dictionaries, got one dictionary; put it into a list")
        if not isinstance(configs, Iterable):
            raise SpaceError(f"configs: expected a list of dictionaries, got {configs!r}")
        configs = list(configs)
        rows = np.full((len(configs), self.dim), np.nan)
        for row, config in enumerate(configs):
            if not isinstance(config, Mapping):
                raise SpaceError(f"configs: expected dictionaries, got {config!r} in row {row}")
            for name, value in config.items():
                rows[row, self.index(name)] = self.code(name, value)
        x = torch.from_numpy(rows)
        active = self.activity(x).numpy()
        for row, column in zip(*np.nonzero(active == np.isnan(rows)), strict=True):
            name = self.names[column]
            if active[row, column]:
                raise SpaceError(f"{name}: missing from configuration {row}", parameter=name)
            raise SpaceError(
                f"{name}: given in configuration {row}, where its condition `when` does not hold",
                parameter=name,
            )
        return x

    def decode(self, x: Tensor) -> list[dict[str, Any]]:
        """Return rows of a tensor of shape (n, d) as dictionaries with active keys only."""
        rows = self.widened(self._as_rows(x).to("cpu"), torch.float64).tolist()
        integers = set(self.columns("integer"))
        names, levels = self.names, self._level_lists
        configs = []
        for row in rows:
            config: dict[str, Any] = {}
            for column, code in enumerate(row):
                if code != code:  # NaN: inactive
                    continue
                if column in levels:
                    config[names[column]] = levels[column][int(code)]
                else:
                    config[names[column]] = int(code) if column in integers else code
            configs.append(config)
        return configs

    def widened(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """Return x in another dtype; what was rounded onto a bound is that bound."""
        converted = x.to(dtype)
        if x.dtype != dtype:
            ours, theirs = self.bounds(dtype, x.device), self.bounds(x.dtype, x.device)
            for bound, rounded in zip(ours, theirs, strict=True):
                converted = torch.where(x == rounded, bound, converted)
        return converted

    def activity(self, x: Tensor) -> Tensor:
        """Return which columns are active, shape (n, d), bool: decided by the parents' codes, not by NaN in x."""
        x = self._as_rows(x)
        active = torch.ones(x.shape, dtype=torch.bool, device=x.device)
        for condition in self.conditions:  # parents stand before their children in this order
            parent = x[:, condition.parent]
            holds = torch.zeros_like(parent, dtype=torch.bool)
            for code in condition.codes:
                holds |= parent == code
            active[:, condition.child] &= holds & active[:, condition.parent]
        return active

    def canonical(self, x: Tensor) -> Tensor:
        """Return x of shape (n, d) clamped to the bounds, rounded where discrete, and NaN where inactive."""
        x = self._as_rows(x)
        low, high = self.bounds(x.dtype, x.device)
        x = torch.minimum(torch.maximum(x, low), high)
        if self.kinds.any():
            discrete = np.flatnonzero(self.kinds)
            x[:, discrete] = x[:, discrete].round()
        if self.conditions:
            x = x.masked_fill(~self.activity(x), math.nan)
        return x

    def bounds(self, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
        """Return the lower and upper bounds of the codes, each of shape (d,)."""
        cache = self.__dict__.setdefault("_bounds", {})
        key = (dtype, str(device))
        if key not in cache:
            cache[key] = tuple(torch.from_numpy(b).to(device, dtype) for b in (self.lower, self.upper))
        return cache[key]  # type: ignore[no-any-return]

    # -- unit cube -------------------------------------------------------------------------------------------

    def to_unit(self, x: Tensor) -> Tensor:
        """Return points of shape (n, d) as points of the unit cube; 0.5 where inactive and for fixed columns.

        A discrete parameter with k values has k cells of equal width (of equal ratio on a log scale), and a
        value maps to the middle of its cell.
        """
        return self._unit.to_unit(self._as_rows(x))

    def from_unit(self, u: Tensor) -> Tensor:
        """Return points of the unit cube, shape (n, d), as canonical points of this space."""
        x = self._unit.from_unit(self._as_rows(u))
        if not self.is_real:
            return self.canonical(x)
        if self._even_bounds is not None:  # numbers are spread over a tensor in a fraction of the time that rows take
            return x.clamp_(*self._even_bounds)
        return x.clamp_(*self.bounds(x.dtype, x.device))

    @cached_property
    def _even_bounds(self) -> tuple[float, float] | None:
        """The bounds, where they are the same in all columns."""
        if (self.lower == self.lower[0]).all() and (self.upper == self.upper[0]).all():
            return float(self.lower[0]), float(self.upper[0])
        return None

    @cached_property
    def _unit(self) -> UnitMap:
        return UnitMap(self.lower, self.upper, self.kinds > 0, self.log)

    # -- batches, identity -----------------------------------------------------------------------------------

    def batch(self, points: Any) -> Batch:
        """Return a batch of points that were not asked: to be told as they are, or to be evaluated.

        Parameters
        ----------
        points : Tensor or array of shape (n, d), or an iterable of dictionaries

        Raises
        ------
        SpaceError
            If a point is not in the space; the message names the parameter.
        """
        return Batch(self, parse_points(self, points))

    def check(self, x: Tensor) -> None:
        """Raise `SpaceError`, naming the first parameter at fault, unless every row of x is in this space."""
        check_points(self, self._as_rows(x))

    def to_json(self) -> dict[str, Any]:
        """Return a JSON tree from which `from_json` makes an equal space."""
        if self._parameters is None and self.is_box:
            return {
                "box": [self.lower.tolist(), self.upper.tolist()],
                "names": self._names if self._named else None,
            }
        return {"parameters": {name: parameter_to_json(p) for name, p in self.parameters.items()}}

    @property
    def _named(self) -> bool:
        return self._names is not None and self._names != [f"x{column}" for column in range(self.dim)]

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Space:
        """Return the space of a tree from `to_json`."""
        if "box" in tree:
            return cls.box(*tree["box"], names=tree["names"])
        return cls({name: parameter_from_json(p) for name, p in tree["parameters"].items()})

    def fingerprint(self) -> str:
        """Return a short digest of names, kinds, bounds, levels, conditions and roles."""
        text = json.dumps(self.to_json(), sort_keys=False)
        return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(self.fingerprint())

    def __len__(self) -> int:
        return self.dim

    def __repr__(self) -> str:
        shown = self._names or [f"x{column}" for column in range(min(self.dim, 9))]
        return f"Space({self.dim} parameters: {_some(shown)})"

    def _as_rows(self, x: Tensor) -> Tensor:
        if not isinstance(x, Tensor):
            raise SpaceError(f"x: expected a tensor of shape (n, {self.dim}), got {type(x).__name__}")
        if x.dim() != 2 or x.shape[1] != self.dim:
            raise SpaceError(f"x: expected shape (n, {self.dim}), got {tuple(x.shape)}")
        return x


def _some(names: Iterable[Any]) -> str:
    """Return the first names as text, with an ellipsis where there are more."""
    listed = list(names)
    return ", ".join(repr(name) for name in listed[:8]) + (", ..." if len(listed) > 8 else "")
