"""The surrogate behind slices and importance; fitted by the Bayesian optimization, on use."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from blackbox.errors import SettingError
from blackbox.plot.history import History

__all__ = ["explain", "fit"]


def explain() -> Any:
    """Return the module that explains surrogates."""
    return import_module("blackbox.algorithms.bayesian.explain")


def fit(run: History, column: int, picture: str) -> Any:
    """Return a surrogate of one objective of a history, infeasible evaluations included.

    Raises
    ------
    SettingError
        If fewer than two evaluations have a value.
    """
    usable = int((~run.failed).sum())
    if usable < 2:
        raise SettingError(f"{picture} needs two evaluations with a value to learn from, got {usable}")
    objective = run.objectives[column]
    return explain().fit_surrogate(run.space, run.x, run.values[:, column], maximize=objective.maximize)


def pick_objective(run: History, objective: str | None, picture: str) -> int:
    """Return the column of the objective to draw.

    Raises
    ------
    SettingError
        If there are several and none was named.
    """
    names = [o.name for o in run.objectives]
    if objective is None and len(names) > 1:
        raise SettingError(
            f"{picture} shows one objective and this history has {len(names)}: choose one of {names} with objective=..."
        )
    return run.objective_index(objective)
