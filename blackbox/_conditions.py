"""Which columns are active: conditions between the parameters of a space, parents first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from blackbox.errors import SpaceError
from blackbox.parameters import Parameter, Real

__all__ = ["Condition", "parse_conditions"]


@dataclass(frozen=True, slots=True)
class Condition:
    """Column `child` is active only where column `parent` is active and holds one of `codes`."""

    child: int
    parent: int
    codes: tuple[float, ...]


def parse_conditions(parameters: Mapping[str, Parameter], code: Callable[[str, Any], float]) -> tuple[Condition, ...]:
    """Return the conditions in an order in which each parent is settled before its children.

    Raises
    ------
    SpaceError
        For unknown or real-valued parents, values that the parent cannot have, and cycles.
    """
    columns = {name: column for column, name in enumerate(parameters)}
    found: list[Condition] = []
    for name, parameter in parameters.items():
        for parent, values in (parameter.when or {}).items():
            if parent not in columns:
                raise SpaceError(f"{name}: its condition names {parent!r}, which is no parameter", parameter=name)
            if isinstance(parameters[parent], Real):
                raise SpaceError(
                    f"{name}: its condition names {parent!r}, a real parameter; conditions need an integer, "
                    "categorical or ordinal parent",
                    parameter=name,
                )
            allowed = values if isinstance(values, list) else [values]
            if not allowed:
                raise SpaceError(f"{name}: its condition on {parent!r} allows no value", parameter=name)
            try:
                codes = tuple(code(parent, value) for value in allowed)
            except SpaceError as error:
                raise SpaceError(f"{name}: its condition cannot hold: {error}", parameter=name) from None
            found.append(Condition(columns[name], columns[parent], codes))
    return _parents_first(found, list(parameters))


def _parents_first(conditions: list[Condition], names: list[str]) -> tuple[Condition, ...]:
    ordered: list[Condition] = []
    waiting = conditions
    while waiting:
        open_children = {condition.child for condition in waiting}
        ready = [condition for condition in waiting if condition.parent not in open_children]
        if not ready:
            cycle = names[waiting[0].child]
            raise SpaceError(f"{cycle}: its condition depends on itself", parameter=cycle)
        # A child with several parents is settled only when all of them are.
        blocked = {condition.child for condition in waiting if condition.parent in open_children}
        ready = [condition for condition in ready if condition.child not in blocked] or ready
        ordered.extend(ready)
        waiting = [condition for condition in waiting if condition not in ready]
    return tuple(ordered)
