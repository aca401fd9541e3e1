"""Black-box and evolutionary optimization through one ask/tell interface.

A problem says what is searched, an algorithm how, and an `Optimizer` has the two verbs::

    import blackbox as bb
    from blackbox.algorithms import BayesianOptimization

    optimizer = bb.Optimizer({"x": bb.Real(-5, 10), "y": bb.Real(0, 15)}, BayesianOptimization(), seed=0)
    for _ in range(30):
        batch = optimizer.ask()
        optimizer.tell(batch, [measure(config) for config in batch.configs])
    print(optimizer.result())

Everything is loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blackbox import algorithms as algorithms
    from blackbox import errors as errors
    from blackbox import metrics as metrics
    from blackbox import plot as plot
    from blackbox import problems as problems
    from blackbox import surrogates as surrogates
    from blackbox.auto import choose as choose
    from blackbox.auto import minimize as minimize
    from blackbox.candidates import Batch as Batch
    from blackbox.candidates import Evaluation as Evaluation
    from blackbox.objective import Objective as Objective
    from blackbox.optimizer import Optimizer as Optimizer
    from blackbox.optimizer import TellReport as TellReport
    from blackbox.parameters import Categorical as Categorical
    from blackbox.parameters import Integer as Integer
    from blackbox.parameters import Normal as Normal
    from blackbox.parameters import Ordinal as Ordinal
    from blackbox.parameters import Real as Real
    from blackbox.problem import Problem as Problem
    from blackbox.result import Result as Result
    from blackbox.space import Space as Space
    from blackbox.study import Study as Study
    from blackbox.sweeping import SweepResult as SweepResult
    from blackbox.sweeping import sweep as sweep
    from blackbox.tables import Table as Table
    from blackbox.tables import read_csv as read_csv

__version__ = "0.1.0"

_HOMES = {
    "Batch": "candidates",
    "Categorical": "parameters",
    "Evaluation": "candidates",
    "Integer": "parameters",
    "Normal": "parameters",
    "Objective": "objective",
    "Optimizer": "optimizer",
    "Ordinal": "parameters",
    "Problem": "problem",
    "Real": "parameters",
    "Result": "result",
    "Space": "space",
    "Study": "study",
    "SweepResult": "sweeping",
    "Table": "tables",
    "TellReport": "optimizer",
    "choose": "auto",
    "minimize": "auto",
    "read_csv": "tables",
    "sweep": "sweeping",
}

_MODULES = ("algorithms", "errors", "metrics", "plot", "problems", "surrogates")

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])
