"""The surrogate behind slices and importance; fitted by the Bayesian optimization, on use."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch

from blackbox.errors import SettingError
from blackbox.plot._labels import count
from blackbox.plot.history import History

__all__ = ["data_text", "explain", "fit", "pick_objective"]

_MOST = 400  # evaluations that a picture's surrogate learns from; cubic in time


def explain() -> Any:
    """Return the module that explains surrogates."""
    return import_module("blackbox.algorithms.bayesian.explain")


def fit(run: History, column: int, picture: str) -> Any:
    """Return a surrogate of one objective of a history, infeasible evaluations included.

    Of more than 400 evaluations with a value it learns from 400: the best half of them, and others evenly by rank.

    Raises
    ------
    SettingError
        If fewer than two evaluations have a value.
    """
    usable = (~run.failed).nonzero()[:, 0]
    if len(usable) < 2:
        raise SettingError(f"{picture} needs two evaluations with a value to learn from, got {len(usable)}")
    objective = run.objectives[column]
    if len(usable) > _MOST:
        order = usable[(run.values[usable, column] * objective.sign).argsort(stable=True)]
        rest = torch.linspace(_MOST // 2, len(order) - 1, _MOST - _MOST // 2, dtype=torch.float64).round().long()
        usable = torch.cat([order[: _MOST // 2], order[rest]])
    values = run.values[usable, column]
    return explain().fit_surrogate(run.space, run.x[usable], values, maximize=objective.maximize)


def data_text(run: History) -> str:
    """Return from how many evaluations `fit` learns, where these are not all: "from 400 of 10 000 evaluations"."""
    usable = int((~run.failed).sum())
    return f"from {_MOST} of {count(usable)} evaluations" if usable > _MOST else ""


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
