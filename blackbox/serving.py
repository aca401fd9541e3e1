"""What a problem is, and whether an algorithm can serve it: checked once, with a sentence that names one that can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from blackbox._arguments import whole_number
from blackbox.algorithm import Algorithm, Capabilities
from blackbox.errors import CapabilityError, SettingError
from blackbox.objective import Objective, parse_objectives
from blackbox.roles import nominal
from blackbox.space import Space

__all__ = ["check_capabilities", "constants_of", "obstacle", "parse_dtype", "parse_problem", "reference_of", "suitable"]


def parse_problem(problem: Any, objectives: Any, n_constraints: Any) -> tuple[Any, tuple[Objective, ...], int]:
    """Return what is searched, the objectives, and the number of constraints; None stands for the problem's own.

    Raises
    ------
    SettingError, SpaceError
        If one makes no sense; the message names it.
    """
    space = problem.space if hasattr(problem, "space") else problem
    if isinstance(space, Mapping):
        space = Space(space)
    if not hasattr(space, "dim"):
        raise SettingError(f"problem: expected a Problem, a Space or a mapping of parameters, got {problem!r}")
    parsed = parse_objectives(getattr(problem, "objectives", 1) if objectives is None else objectives)
    given = getattr(problem, "n_constraints", 0) if n_constraints is None else n_constraints
    return space, parsed, whole_number(given, "n_constraints", 0)


def parse_dtype(dtype: Any, device: torch.device, capabilities: Capabilities) -> torch.dtype:
    """Return the dtype of points and values: the one that is given, or the default on this device."""
    if dtype is None:
        return torch.float32 if device.type != "cpu" and capabilities.single_precision else torch.float64
    if dtype not in (torch.float32, torch.float64):
        raise SettingError(f"dtype: expected torch.float32 or torch.float64, got {dtype}")
    chosen: torch.dtype = dtype
    return chosen


def check_capabilities(algorithm: Algorithm[Any], space: Any, m: int, k: int) -> Capabilities:
    """Return an algorithm's capabilities; raise `CapabilityError` unless it serves m objectives and k constraints."""
    if isinstance(algorithm, type) or not isinstance(algorithm, Algorithm):
        hint = f"; did you mean {algorithm.__name__}()?" if isinstance(algorithm, type) else ""
        raise SettingError(f"algorithm: expected an algorithm, got {algorithm!r}{hint}")
    capabilities = algorithm.capabilities
    reason = obstacle(capabilities, space, m, k)
    if reason is not None:
        others = suitable(space, m, k)
        advice = f"; use {' or '.join(others)}" if others else ""
        raise CapabilityError(f"{type(algorithm).__name__} cannot serve this problem: {reason}{advice}")
    return capabilities


def obstacle(capabilities: Capabilities, space: Any, m: int, k: int) -> str | None:
    """Return why these capabilities do not cover a problem, or None if they do."""
    fewest, most = capabilities.objectives
    if not fewest <= m <= (most or m):
        allowed = f"{fewest} to {most}" if most else f"{fewest} or more"
        allowed = str(fewest) if fewest == most else allowed
        return f"it has {m} objectives, {allowed} can be optimized"
    if k and not capabilities.constraints:
        return f"it has {k} constraints"
    if not isinstance(space, Space):
        return None if capabilities.genomes else "its candidates are genomes"
    if capabilities.genomes and not capabilities.discrete:
        return "its candidates are no genomes"
    searched = (
        [c for c in range(space.dim) if c not in constants_of(space, capabilities)] if not space.is_real else None
    )
    return _space_obstacle(capabilities, space, searched)


def _space_obstacle(capabilities: Capabilities, space: Space, searched: list[int] | None) -> str | None:
    dim = space.dim if searched is None else len(searched)
    if capabilities.max_dim is not None and dim > capabilities.max_dim:
        return f"it has {dim} variables, at most {capabilities.max_dim} can be searched"
    if searched is None:
        return None
    kinds = set(space.kinds[searched].tolist())
    if kinds - {0} and not capabilities.discrete:
        return "it has integer, categorical or ordinal parameters"
    if 2 in kinds and not capabilities.categorical:
        return "it has categorical parameters"
    children = {condition.child for condition in space.conditions}
    if children & set(searched) and not capabilities.conditional:
        return "it has conditional parameters"
    return None


def constants_of(space: Any, capabilities: Capabilities) -> dict[int, float]:
    """Return the codes of the columns that are not searched: fixed ones, and roles that the algorithm cannot use."""
    if not isinstance(space, Space):
        return {}
    constants = dict(space.fixed_columns)
    for column, role in space.role_columns.items():
        if role not in capabilities.roles:
            constants.setdefault(column, nominal(space, column))
    return constants


def suitable(space: Any, m: int, k: int) -> list[str]:
    """Return the names of algorithms of this package whose defaults can serve a problem."""
    from blackbox import algorithms

    found = []
    for name in algorithms.__all__:
        kind = getattr(algorithms, name)
        try:
            capabilities = kind().capabilities
        except (TypeError, ValueError, AttributeError, ImportError):
            continue  # no algorithm, or one that needs settings
        if isinstance(capabilities, Capabilities) and obstacle(capabilities, space, m, k) is None:
            found.append(name)
    return found


def reference_of(problem: Any, objectives: Sequence[Objective]) -> tuple[float, ...] | None:
    """Return a problem's reference point, minimised, where it has a finite one for these objectives."""
    point = getattr(problem, "reference_point", None)
    if point is None:
        return None
    point = torch.as_tensor(point).detach().to("cpu", torch.float64).reshape(-1)
    if len(point) != len(objectives) or not bool(torch.isfinite(point).all()):
        return None
    return tuple((point * torch.tensor([objective.sign for objective in objectives], dtype=torch.float64)).tolist())
