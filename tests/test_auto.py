"""Choosing an algorithm, saying why, and the one-call way in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import blackbox as bb
from blackbox import Categorical, Objective, Problem, Real, Space
from blackbox.algorithms import RandomSearch
from blackbox.errors import SettingError

LINE = {"x": Real(-1, 1)}
MIXED = Space({"a": Categorical(["u", "v"]), "b": Real(0, 1, when={"a": "u"})})


def square(config: dict[str, Any]) -> float:
    return float((config["x"] - 0.3) ** 2)


def search(function: Any = square, space: Any = LINE, **options: Any) -> bb.Result:
    settings = {"evaluations": 8, "seed": 0, "progress": False, "quiet": True, "algorithm": RandomSearch(), **options}
    return bb.minimize(function, space, **settings)


@pytest.mark.parametrize(
    ("problem", "evaluations", "name"),
    [
        (Problem(Space.box([0] * 4, [1] * 4)), 50, "BayesianOptimization"),
        (Problem(MIXED, n_constraints=1), 50, "BayesianOptimization"),
        (Problem(Space.box([0] * 4, [1] * 4), objectives=2), 60, "BayesianOptimization"),
        (Problem(MIXED, objectives=3, n_constraints=2), 200, "BayesianOptimization"),
        (Problem(Space.box([0] * 4, [1] * 4), objectives=6), 100, "BayesianOptimization"),
        (Problem(Space.box([0] * 4, [1] * 4), objectives=6), 900, "NSGA3"),
        (Problem(Space.box([0] * 4, [1] * 4)), 20_000, "CMAES"),
        (Problem(Space.box([0] * 4, [1] * 4), n_constraints=2), 20_000, "CMAES"),
        (Problem(Space.box(np.zeros(100_000), np.ones(100_000))), 500, "CMAES"),
        (Problem(MIXED), 20_000, "GA"),
        (Problem(MIXED, objectives=2), 20_000, "NSGA2"),
        (Problem(MIXED, objectives=5), 20_000, "NSGA3"),
        (Problem(Space.genome(10)), 50, "RandomSearch"),
    ],
)
def test_the_choice_follows_objectives_variables_and_budget(problem: Problem, evaluations: int, name: str) -> None:
    choice = bb.choose(problem, evaluations=evaluations)
    assert type(choice.algorithm).__name__ == name
    m, d = len(problem.objectives), problem.space.dim
    assert choice.reason.startswith(f"{name}: {m} objective{'s' * (m > 1)}, {d} variables, {evaluations} evaluations: ")
    bb.Optimizer(problem, choice.algorithm, seed=0)  # it can serve the problem


def test_it_says_in_one_line_what_it_chose_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    search(algorithm=None, evaluations=3, quiet=False)
    said = capsys.readouterr().err
    assert said == "BayesianOptimization: 1 objective, 1 variable, 3 evaluations: few enough for a model to pay\n"
    search(algorithm=None, evaluations=3)
    assert capsys.readouterr().err == ""


def test_directions_and_constraints_are_the_users() -> None:
    result = search(
        lambda config: {"gain": config["x"], "violations": [config["x"] - 0.5]},
        objectives=Objective("gain", maximize=True),
        n_constraints=1,
        evaluations=40,
    )
    assert 0.2 < float(result.values) <= 0.5
    assert result.configs[0]["x"] == float(result.values)


def test_a_search_without_a_usable_value_has_an_empty_result() -> None:
    result = search(lambda config: float("nan"))
    assert (len(result), result.n_evaluations, result.n_failed) == (0, 8, 8)


def test_counts_may_be_numpy_integers() -> None:
    assert search(evaluations=np.int64(5), workers=np.int64(1)).n_evaluations == 5


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"evaluations": 0}, "evaluations"),
        ({"evaluations": 2.5}, "evaluations"),
        ({"workers": 0}, "workers"),
        ({"workers": "two"}, "workers"),
        ({"seconds": -1}, "seconds"),
        ({"seed": -1}, "seed"),
        ({"space": None}, "space"),
        ({"space": "box"}, "space"),
        ({"function": "square"}, "function"),
        ({"takes": "rows"}, "takes"),
        ({"n_constraints": -1}, "n_constraints"),
        ({"objectives": 0}, "objectives"),
        ({"algorithm": "cma"}, "algorithm"),
    ],
)
def test_wrong_arguments_are_named(options: dict[str, Any], name: str) -> None:
    with pytest.raises(SettingError, match=f"{name}: "):
        search(**options)


def test_a_search_without_one_success_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    def broken(config: dict[str, float]) -> float:
        raise RuntimeError("no licence for the solver")

    result = bb.minimize(broken, {"x": bb.Real(0, 1)}, evaluations=5, seed=0, progress=False)
    assert len(result) == 0
    assert "every evaluation failed; 5 of 5 with RuntimeError: no licence for the solver" in capsys.readouterr().err
