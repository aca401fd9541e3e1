"""What a sweep is made of: named algorithms and problems, seeds, a budget, and a key for every run."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from blackbox.algorithm import Algorithm
from blackbox.errors import CapabilityError, SettingError
from blackbox.problem import Problem
from blackbox.random import check_seed
from blackbox.serving import check_capabilities

__all__ = [
    "Budget",
    "Task",
    "describe",
    "make_tasks",
    "parse_algorithms",
    "parse_budget",
    "parse_problems",
    "parse_seeds",
]

_DEPTH = 12  # of nested attributes that are looked at


@dataclass(frozen=True, slots=True)
class Budget:
    """How long each run lasts: evaluations, or rounds of ask and tell; one of the two is None."""

    evaluations: int | None
    generations: int | None

    def foreseen(self, algorithm: Any) -> int | None:
        """Return the evaluations that an algorithm may plan with, where they are known beforehand."""
        if self.evaluations is not None:
            return self.evaluations
        size = getattr(algorithm, "population_size", None)
        return size * self.generations if isinstance(size, int) and self.generations else None


@dataclass(frozen=True, slots=True)
class Task:
    """One run: an algorithm and a problem by name, a seed, and the key under which it is stored."""

    algorithm: str
    problem: str
    seed: int
    key: str


def parse_budget(evaluations: int | None, generations: int | None) -> Budget:
    """Return the budget of every run.

    Raises
    ------
    SettingError
        Unless exactly one of them is an integer >= 1.
    """
    for name, count in (("evaluations", evaluations), ("generations", generations)):
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
            raise SettingError(f"{name}: expected an integer >= 1, got {count!r}")
    if (evaluations is None) == (generations is None):
        raise SettingError(
            f"evaluations, generations: expected exactly one of them, got {evaluations!r} and {generations!r}"
        )
    return Budget(evaluations, generations)


def parse_seeds(seeds: int | Iterable[int]) -> tuple[int, ...]:
    """Return distinct seeds; an integer n stands for 0 ... n - 1.

    Raises
    ------
    SettingError
        If there is none, one stands in it twice, or one is no seed.
    """
    if isinstance(seeds, int) and not isinstance(seeds, bool):
        seeds = range(seeds)
    if isinstance(seeds, (str, bytes)) or not isinstance(seeds, Iterable):
        raise SettingError(f"seeds: expected integers, got {seeds!r}")
    listed = list(seeds)
    if None in listed:
        raise SettingError("seeds: expected integers, got None among them")
    try:
        checked = [check_seed(seed) for seed in listed]
    except SettingError as error:
        raise SettingError(f"seeds: {error}") from None
    if not checked:
        raise SettingError("seeds: expected at least one, got none")
    if len(set(checked)) < len(checked):
        twice = next(seed for seed in checked if checked.count(seed) > 1)
        raise SettingError(f"seeds: {twice} stands in it twice")
    return tuple(checked)


def parse_algorithms(given: Any) -> dict[str, Algorithm[Any]]:
    """Return algorithms by name: the caller's names, or kinds, with the settings in which those of one kind differ.

    Raises
    ------
    SettingError
        If there is none, one is no algorithm, or two are equal.
    """
    if isinstance(given, Mapping):
        named = _checked_names(given, "algorithms")
    else:
        listed = [given] if not isinstance(given, Iterable) else list(given)
        named = dict(zip(_algorithm_names(listed), listed, strict=True))
    if not named:
        raise SettingError("algorithms: expected at least one, got none")
    for name, algorithm in named.items():
        if isinstance(algorithm, type) or not isinstance(algorithm, Algorithm):
            hint = f"; did you mean {algorithm.__name__}()?" if isinstance(algorithm, type) else ""
            raise SettingError(f"algorithms: expected algorithms, got {algorithm!r} for {name!r}{hint}")
    return named


def _algorithm_names(listed: Sequence[Any]) -> list[str]:
    kinds = [one.__name__ if isinstance(one, type) else type(one).__name__ for one in listed]
    names = []
    for kind, algorithm in zip(kinds, listed, strict=True):
        alike = [other for other, k in zip(listed, kinds, strict=True) if k == kind]
        names.append(kind if len(alike) == 1 else f"{kind} {_differences(algorithm, alike)}".rstrip())
    for name in names:
        if names.count(name) > 1:
            raise SettingError(f"algorithms: {name} stands in it twice; give different names in a mapping")
    return names


def _differences(algorithm: Any, alike: Sequence[Any]) -> str:
    if not dataclasses.is_dataclass(algorithm):
        return ""
    shown = []
    for field in dataclasses.fields(algorithm):
        values = [getattr(other, field.name, None) for other in alike]
        if any(value != values[0] for value in values[1:]):
            shown.append(f"{field.name}={getattr(algorithm, field.name)}")
    return " ".join(shown)


def parse_problems(given: Any) -> dict[str, Problem]:
    """Return problems by name: the caller's names, or their own, with their sizes where those are equal.

    Raises
    ------
    SettingError
        If there is none, one is no problem, or two have the same name.
    """
    if isinstance(given, Mapping):
        named = _checked_names(given, "problems")
    else:
        listed = [given] if isinstance(given, Problem) or not isinstance(given, Iterable) else list(given)
        for problem in listed:
            _check_problem(problem)
        names = [problem.name for problem in listed]
        for index, problem in enumerate(listed):
            if [p.name for p in listed].count(problem.name) > 1:
                names[index] = f"{problem.name} d={problem.space.dim} m={len(problem.objectives)}"
        for name in names:
            if names.count(name) > 1:
                raise SettingError(f"problems: {name} stands in it twice; give different names in a mapping")
        named = dict(zip(names, listed, strict=True))
    if not named:
        raise SettingError("problems: expected at least one, got none")
    for problem in named.values():
        _check_problem(problem)
    return named


def _check_problem(problem: Any) -> None:
    if not isinstance(problem, Problem):
        raise SettingError(f"problems: expected problems, got {problem!r}")
    kind = type(problem)
    if kind.evaluate is Problem.evaluate and kind.evaluate_config is Problem.evaluate_config:
        raise SettingError(f"problems: {problem.name} has only a space, and cannot evaluate")


def _checked_names(given: Mapping[Any, Any], argument: str) -> dict[str, Any]:
    for name in given:
        if not isinstance(name, str) or not name.strip():
            raise SettingError(f"{argument}: expected names as keys, got {name!r}")
    return dict(given)


def make_tasks(
    algorithms: Mapping[str, Algorithm[Any]],
    problems: Mapping[str, Problem],
    seeds: Sequence[int],
    budget: Budget,
    device: torch.device,
    dtype: torch.dtype | None,
) -> list[Task]:
    """Return all runs, problem by problem.

    Raises
    ------
    CapabilityError
        If an algorithm cannot serve a problem.
    """
    tasks = []
    for problem_name, problem in problems.items():
        about_problem = describe(problem)
        for name, algorithm in algorithms.items():
            try:
                check_capabilities(algorithm, problem.space, len(problem.objectives), problem.n_constraints)
            except CapabilityError as error:
                raise CapabilityError(f"algorithms: {name} on {problem_name}: {error}") from None
            about = {
                "format": 1,
                "algorithm": describe(algorithm),
                "problem": about_problem,
                "budget": [budget.evaluations, budget.generations],
                "device": device.type,
                "dtype": str(dtype),
            }
            for seed in seeds:
                text = json.dumps({**about, "seed": seed}, sort_keys=True)
                tasks.append(Task(name, problem_name, seed, hashlib.sha256(text.encode()).hexdigest()))
    return tasks


def describe(value: Any, depth: int = 0) -> Any:
    """Return a JSON tree that differs between different settings, and is the same in every process.

    Objects are known by their type and attributes, functions by their name, code and what they enclose.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return describe(value.item(), depth)
    if isinstance(value, (Tensor, np.ndarray)):
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
        digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
        return [str(array.dtype), list(array.shape), digest]
    if isinstance(value, (torch.dtype, torch.device, bytes, complex)):
        return str(value)
    if depth > _DEPTH:
        return type(value).__qualname__
    deeper = depth + 1
    if isinstance(value, Mapping):
        return [[describe(key, deeper), describe(item, deeper)] for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return [describe(item, deeper) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(json.dumps(describe(item, deeper)) for item in value)
    return _describe_object(value, deeper)


def _describe_object(value: Any, depth: int) -> Any:
    name = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"
    if isinstance(value, types.FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        parts = [value.__defaults__, value.__kwdefaults__, cells]
        return [name, _describe_code(value.__code__), describe(parts, depth)]
    if isinstance(value, types.MethodType):
        return [name, describe(value.__self__, depth)]
    if isinstance(value, functools.partial):
        return ["partial", describe([value.func, value.args, value.keywords], depth)]
    if isinstance(value, (type, types.BuiltinFunctionType, types.ModuleType)):
        return name
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if hasattr(value, "to_json"):
        return [kind, describe(value.to_json(), depth)]
    if dataclasses.is_dataclass(value):
        return [kind, describe({f.name: getattr(value, f.name) for f in dataclasses.fields(value)}, depth)]
    return [kind, describe(getattr(value, "__dict__", {}), depth)]


def _describe_code(code: types.CodeType) -> str:
    digest = hashlib.sha256(code.co_code)
    for constant in code.co_consts:
        shown = _describe_code(constant) if isinstance(constant, types.CodeType) else repr(describe(constant))
        digest.update(shown.encode())
    digest.update(repr(code.co_names).encode())
    return digest.hexdigest()
