"""Making a record of settings (an algorithm, a problem) from the keys of a TOML table."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from blackbox.cli.settings import refuse_unknown
from blackbox.errors import BlackboxError, SettingError

__all__ = ["make_record"]


def make_record(kind: type[Any], table: Mapping[str, Any], *, inside: str) -> Any:
    """Return `kind(**table)`, every key and the type of every value checked first.

    Parameters
    ----------
    kind : type
        A dataclass, or a class whose constructor takes named settings.
    table : mapping of str to value
        As TOML has them: lists become tuples, and tables nested records, where the setting is one.
    inside : str
        What stands before a key in messages, for example "algorithm.".

    Raises
    ------
    SettingError
        If a key is unknown (the nearest is named) or missing, or a value does not fit.

    Examples
    --------
    >>> from blackbox.objective import Objective
    >>> make_record(Objective, {"name": "loss"}, inside="objective.")
    Objective(name='loss', maximize=False)
    """
    hints = _hints(kind)
    refuse_unknown(table, hints, inside=inside)
    settings = {key: _fitted(f"{inside}{key}", value, hints[key]) for key, value in table.items()}
    try:
        return kind(**settings)
    except BlackboxError as error:
        raise SettingError(f"{inside}{error}") from error
    except (TypeError, ValueError) as error:
        raise SettingError(f"{inside.rstrip('.')}: {kind.__name__}: {error}") from error


def _hints(kind: type[Any]) -> dict[str, Any]:
    """Return the settings of a class with the types of their values, Any where unknown."""
    made = kind.__init__
    names = [
        name
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    try:
        found = typing.get_type_hints(made)
    except (NameError, TypeError):
        found = {}
    return {name: found.get(name, Any) for name in names}


def _fitted(name: str, value: Any, hint: Any) -> Any:
    """Return a TOML value as what a type hint wants, or raise `SettingError`."""
    try:
        return _converted(name, value, hint)
    except _Unfit:
        raise SettingError(f"{name}: expected {_shown(hint)}, got {value!r}") from None


class _Unfit(Exception):  # noqa: N818 - a signal, no error
    """A value does not fit a hint."""


def _converted(name: str, value: Any, hint: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        for one in arguments:
            try:
                return _converted(name, value, one)
            except _Unfit:
                continue
        raise _Unfit
    if origin is Literal:
        return _require(value in arguments and type(value) in {type(a) for a in arguments}, value)
    if hint in (str, bool):
        return _require(isinstance(value, hint), value)
    if hint is int:
        return _require(isinstance(value, int) and not isinstance(value, bool), value)
    if hint is float:
        _require(isinstance(value, (int, float)) and not isinstance(value, bool), value)
        return float(value)
    if hint is type(None):
        raise _Unfit
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return make_record(hint, _require(isinstance(value, dict), value), inside=f"{name}.")
    return _collection(name, value, origin, arguments)


def _collection(name: str, value: Any, origin: Any, arguments: tuple[Any, ...]) -> Any:
    if origin is tuple:
        _require(isinstance(value, list), value)
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_converted(name, item, arguments[0]) for item in value)
        _require(len(arguments) == len(value), value)
        return tuple(_converted(name, item, one) for item, one in zip(value, arguments, strict=True))
    if origin is list:
        return [_converted(name, item, arguments[0]) for item in _require(isinstance(value, list), value)]
    return value


def _require(fits: bool, value: Any) -> Any:
    if not fits:
        raise _Unfit
    return value


def _shown(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return " or ".join(map(repr, typing.get_args(hint)))
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(_shown(one) for one in typing.get_args(hint) if one is not type(None))
    names = {int: "an integer", float: "a number", bool: "true or false", str: "text"}
    return names.get(hint, str(getattr(hint, "__name__", hint)))
