from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import blackbox as bb
from blackbox.algorithms import BayesianOptimization
from blackbox.algorithms.bayesian import LinearConstraint
from blackbox.errors import SettingError, StateError

Config = dict[str, Any]
UNIT = bb.Space.box([0, 0, 0], [1, 1, 1], names=["a", "b", "c"])


def search(
    space: bb.Space, f: Any, n: int, constraints: Any, holds: Any, batch: int = 1, **options: Any
) -> bb.Optimizer:
    optimizer = bb.Optimizer(space, BayesianOptimization(input_constraints=constraints, **options), seed=0)
    while optimizer.n_evaluations < n:
        asked = optimizer.ask(batch)
        for config in asked.configs:
            assert holds(config), config
        optimizer.tell(asked, [f(c) for c in asked.configs])
    assert optimizer._kernel.fallbacks == 0
    return optimizer


def far(c: Config) -> float:
    return float((c["a"] - 0.9) ** 2 + (c["b"] - 0.8) ** 2 + (c["c"] - 0.4) ** 2)


def test_optimum_on_a_linear_border() -> None:
    constraint = LinearConstraint({"a": 1.0, "b": 1.0}, upper=1.0)
    optimizer = search(UNIT, far, 26, [constraint], lambda c: c["a"] + c["b"] <= 1.0, batch=2)
    assert float(optimizer.result().values) == pytest.approx(0.245, abs=2e-3)


def test_mixture_keeps_its_sum() -> None:
    mixture = LinearConstraint({"a": 1.0, "b": 1.0, "c": 1.0}, lower=1.0, upper=1.0)
    optimizer = search(UNIT, far, 24, [mixture], lambda c: abs(sum(c.values()) - 1.0) <= 1e-8)
    assert float(optimizer.result().values) == pytest.approx(0.403, abs=5e-3)
    assert len({tuple(x) for x in optimizer._kernel.x.tolist()}) == len(optimizer._kernel.x)
    assert optimizer._kernel.x[:6].std(0).min() > 0.05  # the start design is spread


def test_narrow_ring_by_a_callable_and_every_acquisition() -> None:
    def ring(columns: Any) -> Any:
        return abs(columns["a"] ** 2 + columns["b"] ** 2 - 0.5) - 0.02

    for name in ("ucb", "thompson", "kg"):
        optimizer = search(UNIT, far, 8, [ring], lambda c: ring(c) <= 0, acquisition=name)
        assert len(optimizer.result()) == 1
    best = search(UNIT, far, 20, [ring], lambda c: ring(c) <= 0).result()
    assert float(best.values) < 0.245 + 0.01  # 0.23 at the outer edge


MIXED = bb.Space(
    {
        "kind": bb.Categorical(["u", "v"]),
        "n": bb.Integer(1, 20),
        "m": bb.Integer(1, 20),
        "rate": bb.Real(1e-3, 10, log=True),
        "extra": bb.Real(0, 5, when={"kind": "v"}),
    }
)


def test_integers_logarithms_levels_and_conditions() -> None:
    linear = LinearConstraint({"n": 2, "m": 1, "extra": 3.0, "rate": 1.0}, upper=15)

    def allowed(columns: Any) -> Any:
        return (columns["kind"] == "u") | (columns["n"] >= 2)

    def holds(c: Config) -> bool:
        total = 2 * c["n"] + c["m"] + 3.0 * c.get("extra", 0.0) + c["rate"]
        return total <= 15 and (c["kind"] == "u" or c["n"] >= 2)

    def value(c: Config) -> float:
        return -c["n"] - c["m"] * 0.1 + (c["kind"] == "u") + abs(math.log10(c["rate"]))

    optimizer = search(MIXED, value, 22, (linear, allowed), holds)
    assert float(optimizer.result().values) < -4.5
    assert optimizer.ask(fixed={"n": 6}).configs[0]["n"] == 6
    for config in optimizer.ask(3, fixed={"kind": "v"}).configs:
        assert holds(config)


def test_finite_spaces_are_enumerated_inside() -> None:
    space = bb.Space({"n": bb.Integer(0, 9), "m": bb.Integer(0, 9)})
    small = LinearConstraint({"n": 1, "m": 1}, upper=3)
    optimizer = search(space, lambda c: float(-c["n"] * c["m"]), 10, [small], lambda c: c["n"] + c["m"] <= 3)
    optimizer.ask()
    assert len({tuple(x) for x in optimizer._kernel.x.tolist()}) == 10  # all there are


def test_constant_parameters_count() -> None:
    space = bb.Space({"a": bb.Real(0, 1), "b": bb.Real(0, 1), "held": bb.Real(0.75, 0.75)})
    constraint = LinearConstraint({"a": 1, "b": 1, "held": 1}, upper=1)
    search(space, lambda c: -c["a"] - c["b"], 9, [constraint], lambda c: c["a"] + c["b"] + 0.75 <= 1 + 1e-12)
    search(space, lambda c: -c["a"], 7, [lambda c: c["a"] + c["held"] <= 1], lambda c: c["a"] + 0.75 <= 1)


def test_infeasible_sets_are_refused_at_once() -> None:
    with pytest.raises(SettingError, match="no point satisfies the linear ones"):
        bb.Optimizer(UNIT, BayesianOptimization(input_constraints=[LinearConstraint({"a": 1}, lower=2)]))
    with pytest.raises(SettingError, match="no point that satisfies all of them was found"):
        bb.Optimizer(UNIT, BayesianOptimization(input_constraints=[lambda c: c["a"] + 1.0]))
    optimizer = bb.Optimizer(
        UNIT, BayesianOptimization(input_constraints=[LinearConstraint({"a": 1, "b": 1}, upper=0.5)]), seed=0
    )
    with pytest.raises(SettingError, match="with a held by fixed="):
        optimizer.ask(fixed={"a": 0.75})
    assert float(optimizer.ask(fixed={"a": 0.4}).x[0, 1]) <= 0.1


def test_pending_batches_failures_and_external_points() -> None:
    constraint = LinearConstraint({"a": 1, "b": 1}, upper=0.5)
    optimizer = bb.Optimizer(UNIT, BayesianOptimization(input_constraints=[constraint], start=3), seed=0)
    optimizer.tell(UNIT.batch([[0.9, 0.9, 0.4]] * 2), [0.0, 0.0])  # infeasible and best: only what was told
    points = torch.cat([optimizer.ask(2).x for _ in range(6)])
    assert (points[:, 0] + points[:, 1] <= 0.5).all()
    gaps = torch.cdist(points, points) + 9 * torch.eye(12, dtype=torch.float64)
    assert float(gaps.min()) > 1e-6


def test_saved_and_resumed(tmp_path: Path) -> None:
    constraint = LinearConstraint({"a": 1, "b": 1}, upper=1.0)
    optimizer = search(UNIT, far, 8, [constraint], lambda c: c["a"] + c["b"] <= 1)
    optimizer.save(tmp_path / "state")
    again = bb.Optimizer.load(tmp_path / "state")
    assert again.algorithm == optimizer.algorithm
    assert torch.equal(again.ask(2).x, optimizer.ask(2).x)
    own = search(UNIT, far, 3, [lambda c: c["a"] <= 0.5], lambda c: c["a"] <= 0.5)
    own.save(tmp_path / "own")
    with pytest.raises(StateError, match="pass algorithm="):
        bb.Optimizer.load(tmp_path / "own")


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        ([LinearConstraint({"z": 1}, upper=1)], "no parameter is named 'z'"),
        ([3], "expected LinearConstraint or a callable"),
        (LinearConstraint({"a": 1}, upper=1), "expected a sequence"),
        ([lambda c: 1.0], "must return"),
        ([lambda c: c["q"]], "raised KeyError"),
    ],
)
def test_wrong_constraints_are_named(constraints: Any, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        bb.Optimizer(UNIT, BayesianOptimization(input_constraints=constraints))


def test_wrong_linear_constraints_are_named() -> None:
    for coefficients, options, name in (
        ({}, {"upper": 1}, "coefficients"),
        ({"a": np.nan}, {"upper": 1}, "coefficients"),
        ({"a": 1}, {}, "upper, lower"),
        ({"a": 1}, {"upper": np.inf}, "upper"),
        ({"a": 1}, {"upper": 0, "lower": 1}, "lower"),
    ):
        with pytest.raises(SettingError, match=name):
            LinearConstraint(coefficients, **options)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="is no number"):
        bb.Optimizer(MIXED, BayesianOptimization(input_constraints=[LinearConstraint({"kind": 1}, upper=1)]))
