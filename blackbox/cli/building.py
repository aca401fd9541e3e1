"""From a study's settings to the objects: problem, algorithm, study."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blackbox.cli.records import make_record
from blackbox.cli.settings import Settings, nearest
from blackbox.errors import SettingError, SpaceError

if TYPE_CHECKING:
    from blackbox.algorithm import Algorithm
    from blackbox.problem import Problem
    from blackbox.space import Space

__all__ = ["load_function", "make_algorithm", "make_problem", "ready_made"]


def make_problem(settings: Settings, *, evaluates: bool) -> Problem:
    """Return the problem that settings describe.

    Parameters
    ----------
    settings : Settings
    evaluates : bool
        Whether it is to be evaluated here: then there must be an objective, and it is imported. Otherwise only the
        space and what is told are made, so that nothing of the user's code runs.

    Raises
    ------
    SettingError
        If the space, the objective or a setting is wrong; the message names it.
    """
    from blackbox.objective import Objective
    from blackbox.problem import Problem

    if settings.problem is not None:
        return ready_made(settings.problem, inside="problem.")
    space = make_space(settings)
    given = settings.objectives
    objectives = given if isinstance(given, int) else [Objective(name, maximize) for name, maximize in given]
    if not evaluates:
        return Problem(space, objectives=objectives, n_constraints=settings.constraints, name=settings.name)
    return Problem.from_function(
        _evaluator(settings, space),
        space,
        takes="keywords" if settings.takes == "keywords" else "config",
        objectives=objectives,
        n_constraints=settings.constraints,
        name=settings.name,
    )


def _evaluator(settings: Settings, space: Space) -> Callable[..., Any]:
    if settings.command is not None:
        from blackbox.cli.external import ExternalCommand

        return ExternalCommand(settings.command, tuple(space.names), str(settings.folder), settings.deadline)
    if settings.objective is None:
        raise SettingError(
            'objective: missing; expected objective = "module:function", command = [...] or problem = "..."'
        )
    return load_function(settings.objective, settings.folder)


def make_space(settings: Settings) -> Space:
    """Return the space of the settings.

    Raises
    ------
    SettingError
        If a parameter is wrong; the message names it and the key.
    """
    from blackbox.space import Space
    from blackbox.space_json import parameter_from_json

    parameters = {}
    for name, table in settings.space.items():
        try:
            parameters[name] = parameter_from_json(table)
        except (SpaceError, TypeError) as error:
            raise SettingError(f"space.{name}: {error}") from error
    try:
        return Space(parameters)
    except SpaceError as error:
        raise SettingError(f"space.{error}") from error


def ready_made(table: Mapping[str, Any], *, inside: str) -> Problem:
    """Return a problem of `blackbox.problems`; a wrapper's own problem is a table in the table."""
    from blackbox import problems
    from blackbox.problem import Problem

    settings = dict(table)
    kind = settings.pop("kind", None)
    names = [name for name in problems.__all__ if name[:1].isupper()]
    if kind not in names:
        near = nearest(str(kind), names)
        raise SettingError(f"{inside}kind: no problem is called {kind!r}{near} (blackbox problems lists all)")
    inner = settings.get("problem")
    if inner is not None:
        inner = {"kind": inner} if isinstance(inner, str) else inner
        if not isinstance(inner, dict):
            raise SettingError(f"{inside}problem: expected a table with kind and settings, got {inner!r}")
        settings["problem"] = ready_made(inner, inside=f"{inside}problem.")
    made = make_record(getattr(problems, str(kind)), settings, inside=inside)
    if not isinstance(made, Problem):
        raise SettingError(f"{inside}kind: {kind} makes a {type(made).__name__}, no problem")
    return made


def make_algorithm(settings: Settings, problem: Problem) -> tuple[Algorithm[Any], str]:
    """Return the algorithm, and in one line what it is and why.

    Raises
    ------
    SettingError
        If there is none of that kind, or a setting is wrong; the message names the nearest right one.
    CapabilityError
        If no algorithm can serve the problem.
    """
    if settings.algorithm is None:
        from blackbox.auto import choose

        evaluations = 100 if settings.foreseen is None else settings.foreseen
        choice = choose(problem, evaluations=evaluations, workers=settings.workers)
        return choice.algorithm, choice.reason
    from blackbox import algorithms

    table = dict(settings.algorithm)
    kind = str(table.pop("kind"))
    if kind not in algorithms.__all__:
        near = nearest(kind, algorithms.__all__)
        raise SettingError(f"algorithm.kind: no algorithm is called {kind!r}{near} (blackbox algorithms lists all)")
    algorithm: Algorithm[Any] = make_record(getattr(algorithms, kind), table, inside="algorithm.")
    return algorithm, f"{kind}: as the settings say"


def load_function(address: str, folder: Path) -> Callable[..., Any]:
    """Import "module:function"; modules of the current folder and of `folder` can be imported.

    Raises
    ------
    SettingError
        If the module cannot be imported (its own exception is the cause), or has no such function.
    """
    module_name, _, attribute = address.partition(":")
    for path in (str(folder.resolve()), str(Path.cwd())):
        if path not in sys.path:
            sys.path.insert(0, path)
    importlib.invalidate_caches()
    try:
        found: Any = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # whatever a module of the user does while it is imported
        raise SettingError(f"objective: cannot import {module_name!r}: {type(error).__name__}: {error}") from error
    for name in attribute.split("."):
        if not hasattr(found, name):
            near = nearest(name, [n for n in vars(found) if callable(getattr(found, n)) and not n.startswith("_")])
            raise SettingError(f"objective: {module_name!r} has no {name!r}{near}")
        found = getattr(found, name)
    if not callable(found):
        raise SettingError(f"objective: {address} is no function but {found!r}")
    function: Callable[..., Any] = found
    return function
