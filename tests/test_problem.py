"""Problems: what a function may return, and what may be evaluated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from blackbox import Categorical, Integer, Objective, Problem, Real, Space
from blackbox.errors import SettingError, SpaceError
from blackbox.problem import parse_outcome

SPACE = Space({"k": Categorical(["u", "v"]), "a": Real(0, 1, when={"k": "v"}), "n": Integer(1, 3)})
CONFIGS = [{"k": "u", "n": 2}, {"k": "v", "a": 0.5, "n": 3}]


def cost(config: dict[str, Any]) -> float:
    return float(config["n"] + config.get("a", 0.0))


def test_points_may_be_one_dictionary_any_iterable_or_an_array() -> None:
    problem = Problem.from_function(cost, SPACE)
    expected = [[2.0], [3.5]]
    for points in (CONFIGS, tuple(CONFIGS), iter(CONFIGS), (c for c in CONFIGS), SPACE.encode(CONFIGS)):
        assert problem(points).values.tolist() == expected
    assert problem(CONFIGS[1]).values.tolist() == [[3.5]]
    assert problem(SPACE.encode(CONFIGS).numpy()).values.tolist() == expected
    assert problem([]).values.shape == (0, 1)


@pytest.mark.parametrize("points", ["a", [["x", 1, 2]], 5j, [[1, 2], [3]], {1, 2}, None])
def test_what_is_no_point_is_refused_by_name(points: Any) -> None:
    with pytest.raises(SettingError, match="x: expected"):
        Problem.from_function(cost, SPACE)(points)


def test_the_space_may_be_a_mapping_and_must_be_a_space() -> None:
    assert Problem({"a": Real(0, 1)}).space == Space({"a": Real(0, 1)})
    with pytest.raises(SpaceError, match="a: "):
        Problem({"a": 5})  # type: ignore[dict-item]
    for wrong in (None, "a", [1]):
        with pytest.raises(SettingError, match="space: expected"):
            Problem(wrong)  # type: ignore[arg-type]
        with pytest.raises(SettingError, match="space: expected"):
            Problem.from_function(cost, wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("outcome", [1.5, np.float32(1.5), torch.tensor(1.5), [1.5], np.array([[1.5]]), {"value": 1.5}])
def test_one_value_may_come_in_many_forms(outcome: Any) -> None:
    assert parse_outcome(outcome, [Objective()]).values.tolist() == [[1.5]]


@pytest.mark.parametrize(
    "outcome", [None, "1.0", True, 1j, 10**400, [1.0, 2.0], {"cost": 1.0}, {"value": 1.0, 2: 3.0, "a": 1.0}, object()]
)
def test_what_is_no_value_is_refused(outcome: Any) -> None:
    with pytest.raises(SettingError, match=r"(outcome|values): "):
        parse_outcome(outcome, [Objective()])


@pytest.mark.parametrize("name", ["variance", "violations", "extras", "values"])
def test_an_objective_may_have_the_name_of_another_column(name: str) -> None:
    evaluation = parse_outcome({"return": 1.0, name: 2.0}, [Objective("return", maximize=True), Objective(name)])
    assert evaluation.values.tolist() == [[1.0, 2.0]]
    assert evaluation.variance is None
    assert evaluation.violations is None
