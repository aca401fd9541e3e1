"""Parameters that are not ours to choose: fidelities, tasks and environments, and the values where results count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from blackbox.errors import SpaceError
from blackbox.parameters import Normal, Parameter

if TYPE_CHECKING:
    from blackbox.space import Space

__all__ = ["check_roles", "nominal"]


def check_roles(name: str, parameter: Parameter, code: Callable[[str, Any], float]) -> None:
    """Raise `SpaceError` unless the fixed value, the target and the scenarios of a parameter are values of it."""
    for value in (parameter.fixed, parameter.target):
        if value is not None:
            code(name, value)
    scenarios = parameter.environment
    if scenarios is None or scenarios is False or isinstance(scenarios, Normal):
        return
    if isinstance(scenarios, str) and scenarios == "uniform":
        return
    if isinstance(scenarios, str) or not isinstance(scenarios, Sequence) or not scenarios:
        expected = 'environment: expected "uniform", Normal(mean, std) or a sequence of values'
        raise SpaceError(f"{name}: {expected}, got {scenarios!r}", parameter=name)
    for value in scenarios:
        code(name, value)


def nominal(space: Space, column: int) -> float:
    """Return the encoded value of a role column where results count: the target, or an environment's centre."""
    name = space.names[column]
    parameter = space.parameters[name]
    if parameter.target is not None:
        return space.code(name, parameter.target)
    scenarios = parameter.environment
    if isinstance(scenarios, Normal):
        return float(np.clip(scenarios.mean, space.lower[column], space.upper[column]))
    if isinstance(scenarios, str):  # "uniform"
        return float(space.from_unit(torch.full((1, space.dim), 0.5, dtype=torch.float64))[0, column])
    return space.code(name, next(iter(scenarios)))
