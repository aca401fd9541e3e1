"""Choosing an algorithm, and the one-call way in: `minimize`."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from blackbox._arguments import whole_number
from blackbox.algorithm import Algorithm
from blackbox.errors import CapabilityError, SettingError
from blackbox.objective import Objective
from blackbox.problem import Problem
from blackbox.serving import obstacle, suitable
from blackbox.space import Space

if TYPE_CHECKING:
    from blackbox.result import Result

__all__ = ["Choice", "choose", "minimize"]

_MODEL_EVALUATIONS = 1000  # beyond, the time of a model outweighs what it saves
_FRONT_EVALUATIONS = 300  # the same with more than three objectives
_MODEL_DIM = 100


@dataclass(frozen=True, slots=True)
class Choice:
    """An algorithm, and in one line why it was chosen."""

    algorithm: Algorithm[Any]
    reason: str


def choose(problem: Problem, *, evaluations: int, workers: int = 1, noisy: bool = False) -> Choice:
    """Return an algorithm for a problem and a budget.

    Parameters
    ----------
    problem : Problem
    evaluations : int
        How many evaluations are foreseen.
    workers : int, default 1
        How many evaluations run at once.
    noisy : bool, default False
        Whether equal points give different values.

    Raises
    ------
    CapabilityError
        If no algorithm of this package can serve the problem.

    Examples
    --------
    >>> from blackbox.space import Space
    >>> problem = Problem(Space.box([0] * 4, [1] * 4))
    >>> choose(problem, evaluations=50).reason
    'BayesianOptimization: 1 objective, 4 variables, 50 evaluations: few enough for a model to pay'
    """
    evaluations, workers = whole_number(evaluations, "evaluations", 1), whole_number(workers, "workers", 1)
    space, m, k = problem.space, len(problem.objectives), problem.n_constraints
    counts = ((m, "objective"), (space.dim, "variable"), (evaluations, "evaluation"))
    shape = ", ".join(f"{n} {word}{'s' * (n != 1)}" for n, word in counts)
    for name, settings, applies, why in _preferences(space, m, evaluations, workers, noisy):
        algorithm = _make(name, settings) if applies else None
        if algorithm is not None and obstacle(algorithm.capabilities, space, m, k) is None:
            return Choice(algorithm, f"{name}: {shape}: {why}")
    raise CapabilityError(
        f"no algorithm can serve this problem ({shape}, {k} constraints); able: {suitable(space, m, k)}"
    )


def _preferences(
    space: Any, m: int, evaluations: int, workers: int, noisy: bool
) -> list[tuple[str, dict[str, Any], bool, str]]:
    """Return (name, settings, whether it applies, why), best first."""
    dim = space.dim
    continuous = isinstance(space, Space) and not space.conditions and not space.columns("categorical")
    modest = isinstance(space, Space) and dim <= _MODEL_DIM and evaluations <= _MODEL_EVALUATIONS and workers <= 100
    population = min(max(100, 4 * dim), max(20, evaluations // 10))
    model = "few enough for a model to pay" + (", noise is modelled" if noisy else "")
    return [
        ("BayesianOptimization", {}, modest and (m <= 3 or evaluations <= _FRONT_EVALUATIONS), model),
        (
            "CMAES",
            {"restarts": "bipop"},
            m == 1 and continuous,
            "too many for a model, and it learns scales and rotations",
        ),
        ("NSGA2", {"population_size": population}, m == 2, "a population spreads over the front"),
        (
            "NSGA3",
            {"population_size": population},
            m > 1,
            "reference directions keep a population spread in many objectives",
        ),
        ("GA", {"population_size": population}, m == 1, "a population handles mixed parameters and large budgets"),
        ("RandomSearch", {}, True, "nothing else can serve this kind of candidate"),
    ]


def _make(name: str, settings: Mapping[str, Any]) -> Algorithm[Any] | None:
    from blackbox import algorithms

    if name not in algorithms.__all__:
        return None
    made: Algorithm[Any] = getattr(algorithms, name)(**settings)
    return made


def minimize(
    function: Callable[..., Any] | Problem,
    space: Space | Mapping[str, Any] | None = None,
    *,
    evaluations: int = 100,
    seconds: float | None = None,
    objectives: int | str | Objective | Sequence[str | Objective] = 1,
    n_constraints: int = 0,
    takes: Literal["config", "keywords", "batch"] = "config",
    noisy: bool = False,
    algorithm: Algorithm[Any] | None = None,
    path: str | os.PathLike[str] | None = None,
    workers: int = 1,
    executor: Executor | None = None,
    seed: int | None = None,
    progress: bool = True,
    quiet: bool = False,
) -> Result:
    """Minimise a function (or maximise: `objectives=Objective("accuracy", maximize=True)`); choose how, and say why.

    Parameters
    ----------
    function : callable or Problem
        Called with a dictionary of parameters; see `Problem.from_function` for what it may return.
    space : Space or mapping of str to parameter
        Not needed for a Problem.
    evaluations : int, default 100
        How many evaluations to spend.
    seconds : float, optional
        A time budget besides.
    objectives, n_constraints, takes
        As for `Problem.from_function`.
    noisy : bool, default False
        Whether equal points give different values.
    algorithm : Algorithm, optional
        Default: chosen by objectives, variables, budget and workers; the choice is printed in one line to stderr.
    path : str or path, optional
        A study file that makes the run durable and resumable; default: nothing is stored.
    workers, executor, progress
        As for `Study.run`.
    seed : int, optional
    quiet : bool, default False
        Do not print the choice.

    Returns
    -------
    Result
        Best point or Pareto set; empty if nothing feasible was found.

    Examples
    --------
    >>> import blackbox as bb
    >>> result = bb.minimize(lambda p: (p["x"] - 1) ** 2, {"x": bb.Real(-3, 3)}, evaluations=15, seed=0, quiet=True)
    >>> bool(result.values[0, 0] < 1e-3)
    True
    """
    from blackbox.study import Study

    if isinstance(function, Problem):
        problem = function
    elif space is None:
        raise SettingError("space: expected a Space or a mapping of parameters, got None")
    else:
        problem = Problem.from_function(
            function, space, takes=takes, objectives=objectives, n_constraints=n_constraints
        )
    evaluations, workers = whole_number(evaluations, "evaluations", 1), whole_number(workers, "workers", 1)
    if algorithm is None:
        choice = choose(problem, evaluations=evaluations, workers=workers, noisy=noisy)
        algorithm = choice.algorithm
        if not quiet:
            print(choice.reason, file=sys.stderr)
    with Study(problem, algorithm, path, seed=seed, budget=evaluations) as study:
        study.run(evaluations=evaluations, seconds=seconds, workers=workers, executor=executor, progress=progress)
        if study.n_failed == study.n_evaluations > 0:
            reasons = Counter(str(record.reason) for record in study.history() if record.reason is not None)
            reason, count = reasons.most_common(1)[0]
            print(f"every evaluation failed; {count} of {study.n_failed} with {reason}", file=sys.stderr)
        return study.result()
