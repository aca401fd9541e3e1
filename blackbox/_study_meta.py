"""What a study is: written once into its file, and compared when somebody comes back to it."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

import torch

import blackbox
from blackbox.algorithm import Algorithm
from blackbox.errors import SettingError, StateError, StorageError, shown
from blackbox.optimizer import Optimizer
from blackbox.persistence import algorithm_to_tree, space_from_tree
from blackbox.problem import Problem
from blackbox.space import Space

__all__ = ["as_problem", "check_evaluates", "compare", "describe_study", "problem_of", "settings_of"]


def as_problem(given: Any, name: str | None) -> Problem:
    """Return a problem, also where only its space was given."""
    if isinstance(given, Problem):
        return given
    if isinstance(given, Mapping):
        given = Space(given)
    if not isinstance(given, Space):
        raise SettingError(f"problem: expected a Problem, a Space or a mapping of parameters, got {given!r}")
    return Problem(given, name=name or "study")


def check_evaluates(problem: Problem) -> None:
    """Raise `SettingError` where a problem is no more than a space and objectives."""
    kind = type(problem)
    if kind.evaluate is Problem.evaluate and kind.evaluate_config is Problem.evaluate_config:
        raise SettingError("problem: this study has only a space, and cannot evaluate; make it with a Problem")


def describe_study(optimizer: Optimizer, name: str, notes: Mapping[str, str]) -> dict[str, Any]:
    """Return what is written into a new file."""
    return {
        "id": secrets.token_hex(8),
        "name": name,
        "space": optimizer.space.to_json(),
        "dim": optimizer.space.dim,
        "objectives": [[objective.name, objective.maximize] for objective in optimizer.objectives],
        "n_constraints": optimizer.n_constraints,
        "reference_point": _reference_of(optimizer),
        "algorithm": settings_of(optimizer.algorithm),
        "seed": optimizer.seed,
        "device": str(optimizer.device),
        "dtype": str(optimizer.dtype).removeprefix("torch."),
        "budget": optimizer._spec.budget,
        "library": blackbox.__version__,
        "created": time.time(),
        "notes": dict(notes),
    }


def _reference_of(optimizer: Optimizer) -> list[float] | None:
    """Return the problem's reference point in the objectives' own directions, where it has one."""
    point = optimizer._spec.reference
    if point is None:
        return None
    return [value * objective.sign for value, objective in zip(point, optimizer.objectives, strict=True)]


def settings_of(algorithm: Algorithm[Any]) -> dict[str, Any]:
    """Return kind and settings of an algorithm as a JSON tree."""
    tree: dict[str, Any] = _plain(algorithm_to_tree(algorithm))
    return tree


def compare(
    meta: Mapping[str, Any], path: str, problem: Problem | None, algorithm: Algorithm[Any] | None, seed: int | None
) -> None:
    """Raise `StateError`, naming both sides, where a file belongs to another study than the one that is asked for."""
    wanted: dict[str, Any] = {}
    if problem is not None:
        wanted["space"] = _plain(problem.space.to_json())
        wanted["objectives"] = [[o.name, o.maximize] for o in problem.objectives]
        wanted["n_constraints"] = problem.n_constraints
    if algorithm is not None:
        wanted["algorithm"] = settings_of(algorithm)
    if seed is not None:
        wanted["seed"] = int(seed)
    for key, value in wanted.items():
        if json.dumps(meta[key]) != json.dumps(value):  # as text: the order of parameters counts
            found, expected = _difference(meta[key], value)
            raise StateError(
                f"{path}: belongs to another study: its {key} is {found}, here it is {expected}; use another path, or "
                "the same settings as before"
            )


def problem_of(meta: Mapping[str, Any], path: str) -> Problem:
    """Return a problem without an evaluation, as a file describes it."""
    from blackbox.objective import Objective

    try:
        space: Space = space_from_tree(meta["space"])
        objectives = [Objective(name, maximize) for name, maximize in meta["objectives"]]
        problem = Problem(space, objectives=objectives, n_constraints=meta["n_constraints"], name=meta["name"])
        point = meta.get("reference_point")
        problem.reference_point = None if point is None else torch.tensor(point, dtype=torch.float64)
        return problem
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise StorageError(f"{path}: its description is not understood: {error!r}") from None


def _difference(found: Any, expected: Any) -> tuple[str, str]:
    """Return both sides as text, without what they share."""
    if isinstance(found, Mapping) and isinstance(expected, Mapping):
        keys = [k for k in {**found, **expected} if found.get(k, _MISSING) != expected.get(k, _MISSING)]
        if not keys:  # equal but for the order
            return f"ordered {list(found)}", f"ordered {list(expected)}"
        if len(found) == len(expected) == 1 or (len(keys) == 1 and keys[0] in found and keys[0] in expected):
            inner = _difference(found[keys[0]], expected[keys[0]])
            return f"{keys[0]}: {inner[0]}", f"{keys[0]}: {inner[1]}"
        found, expected = ({k: side[k] for k in keys if k in side} for side in (found, expected))
    return shown(found, 200), shown(expected, 200)


_MISSING = object()


def _plain(tree: Any) -> Any:
    """Return a tree as JSON would give it back."""
    if isinstance(tree, Mapping):
        return {str(key): _plain(item) for key, item in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_plain(item) for item in tree]
    return _plain(tree.tolist()) if hasattr(tree, "tolist") else tree
