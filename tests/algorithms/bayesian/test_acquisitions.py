"""Every acquisition, on bad and rich input; a user's own one."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import blackbox as bb
from blackbox.algorithms import BayesianOptimization
from blackbox.algorithms.bayesian import (
    AcquisitionError,
    Belief,
    JointEntropy,
    KnowledgeGradient,
    MaxValueEntropy,
    NoisyExpectedImprovement,
    ThompsonSampling,
    UpperConfidenceBound,
)
from blackbox.errors import SettingError, StateError
from blackbox.surrogates.kernels import Array

Config = dict[str, Any]
UNIT = bb.Space.box([0, 0], [1, 1])
OTHERS = ["log_nei", "ucb", "thompson", "kg", "mes", "jes"]
MIXED = bb.Space(
    {
        "model": bb.Categorical(["rbf", "poly", "tree"]),
        "degree": bb.Integer(2, 5, when={"model": "poly"}),
        "gamma": bb.Real(1e-4, 10, log=True, when={"model": "rbf"}),
        "c": bb.Real(1e-3, 1e3, log=True),
        "size": bb.Ordinal(["s", "m", "l"]),
    }
)


def bowl(c: Config) -> float:
    return float(sum((v - 0.3) ** 2 for v in c.values()))


def mixed(c: Config) -> float:
    part = {"rbf": 0.0, "poly": 0.5, "tree": 1.0}[c["model"]] + (c["size"] != "m") * 0.5
    return float(
        part + 0.3 * c.get("degree", 0) + (math.log10(c["c"]) - 1) ** 2 + abs(math.log10(c.get("gamma", 0.01)) + 2)
    )


def search(
    space: bb.Space,
    f: Callable[[Config], float],
    evaluations: int,
    acquisition: Any,
    *,
    batch: int = 1,
    violation: Callable[[Config], float] | None = None,
    start: int = 5,
) -> bb.Optimizer:
    algorithm = BayesianOptimization(acquisition=acquisition, start=start)
    optimizer = bb.Optimizer(space, algorithm, seed=0, n_constraints=0 if violation is None else 1)
    while optimizer.n_evaluations < evaluations:
        asked = optimizer.ask(batch)
        space.check(asked.x)
        violations = None if violation is None else [[violation(c)] for c in asked.configs]
        optimizer.tell(asked, [f(c) for c in asked.configs], violations=violations)
    assert optimizer._kernel.fallbacks == 0
    return optimizer


@pytest.mark.parametrize("name", OTHERS)
def test_a_bowl_is_solved(name: str) -> None:
    assert float(search(UNIT, bowl, 14, name).result().values) < 0.01


@pytest.mark.parametrize(
    "f",
    [lambda c: 1.0, lambda c: 1e-300 * bowl(c), lambda c: 1e12 if c["x0"] > 0.9 else bowl(c), lambda c: math.nan],
    ids=["constant", "1e-300", "outlier", "all failed"],
)
@pytest.mark.parametrize("name", OTHERS)
def test_extreme_values_are_survived(name: str, f: Callable[[Config], float]) -> None:
    search(UNIT, f, 7, name)


@pytest.mark.parametrize("name", OTHERS)
def test_two_points_repeats_and_near_repeats(name: str) -> None:
    optimizer = bb.Optimizer(UNIT, BayesianOptimization(acquisition=name, start=1), seed=1)
    optimizer.tell(UNIT.batch([[0.5, 0.5], [0.2, 0.1]]), [1.0, 2.0])
    assert len(optimizer.ask(2)) == 2
    optimizer.tell(UNIT.batch([[0.5, 0.5]] * 3 + [[0.5 + 1e-9, 0.5]]), [1.5, 3, 2, 1])
    assert len(optimizer.ask()) == 1
    assert optimizer._kernel.fallbacks == 0


@pytest.mark.parametrize("name", OTHERS)
def test_constraints_steer(name: str) -> None:
    optimizer = search(UNIT, bowl, 12, name, violation=lambda c: 0.6 - c["x0"])
    assert float(optimizer.result().values) < 0.2
    never = search(UNIT, bowl, 8, name, violation=lambda c: 1.0 + c["x1"])
    assert len(never.result()) == 0


@pytest.mark.parametrize("name", ["mes", "jes", "kg"])
def test_information_is_about_the_feasible_optimum(name: str) -> None:
    optimizer = bb.Optimizer(UNIT, BayesianOptimization(acquisition=name), n_constraints=1, seed=0)
    for _ in range(24):
        batch = optimizer.ask()
        optimizer.tell(batch, batch.x.sum(1), violations=0.6 - (batch.x**2).sum(1, keepdim=True))
    best = optimizer.result()
    assert float(best.values) < math.sqrt(0.6) + 0.01  # on the circle, at one of its ends; the box's best is infeasible


@pytest.mark.parametrize("name", OTHERS)
def test_mixed_conditional_many_levels_and_one_variable(name: str) -> None:
    search(MIXED, mixed, 12, name, start=9)
    levels = bb.Space({"a": bb.Categorical([str(i) for i in range(1000)]), "x": bb.Real(0, 1)})
    search(levels, lambda c: float(int(c["a"]) % 7) + c["x"], 7, name)
    assert float(search(bb.Space.box([0], [1]), bowl, 9, name).result().values) < 0.01
    finite = bb.Space({"a": bb.Integer(0, 3), "b": bb.Categorical(["u", "v", "w"])})
    optimizer = search(finite, lambda c: float(c["a"] + (c["b"] == "u")), 12, name)
    assert len(optimizer.ask()) == 1
    assert len({tuple(row) for row in optimizer._kernel.x.tolist()}) == 12


@pytest.mark.parametrize("name", OTHERS)
def test_pending_batches_differ_and_fixed_values_hold(name: str) -> None:
    optimizer = search(UNIT, bowl, 8, name)
    points = torch.cat([optimizer.ask(2).x for _ in range(10)])  # 10 pending batches
    gaps = torch.cdist(points, points) + 9 * torch.eye(20, dtype=torch.float64)
    assert float(gaps.min()) > 1e-6
    assert optimizer.ask(fixed={"x0": 0.9}).x[0, 0] == 0.9


def test_search_is_saved_and_resumed_bit_for_bit(tmp_path: Path) -> None:
    for acquisition in ("log_nei", "thompson", UpperConfidenceBound(beta=3.0), MaxValueEntropy(maxima=4)):
        optimizer = search(UNIT, bowl, 7, acquisition)
        optimizer.save(tmp_path / "state")
        again = bb.Optimizer.load(tmp_path / "state")
        assert again.algorithm == optimizer.algorithm
        assert torch.equal(again.ask(2).x, optimizer.ask(2).x)


def lower_bound(x: Array, belief: Belief) -> Array:
    mean, std = belief.predict(x)
    return 2.0 * std - mean


class WithGradient:
    """The same with its gradient."""

    def __call__(self, x: Array, belief: Belief) -> Array:
        return lower_bound(x, belief)

    def with_slopes(self, x: Array, belief: Belief) -> tuple[Array, Array]:
        mean, std, slope_mean, slope_std = belief.predict_with_slopes(x)
        return 2.0 * std - mean, 2.0 * slope_std - slope_mean


def test_a_users_own_acquisition(tmp_path: Path) -> None:
    for own in (lower_bound, WithGradient()):
        optimizer = search(UNIT, bowl, 16, own)
        assert float(optimizer.result().values) < 1e-3
    optimizer.save(tmp_path / "state")
    with pytest.raises(StateError, match="pass algorithm="):
        bb.Optimizer.load(tmp_path / "state")
    again = bb.Optimizer.load(tmp_path / "state", algorithm=BayesianOptimization(acquisition=WithGradient(), start=5))
    assert torch.equal(again.ask().x, optimizer.ask().x)
    assert len(search(MIXED, mixed, 11, lower_bound, start=9).result()) == 1


def test_gradients_by_differences_are_those_given() -> None:
    belief = search(UNIT, bowl, 8, "ucb")
    first = bb.Optimizer(UNIT, BayesianOptimization(acquisition=lower_bound), seed=3)
    second = bb.Optimizer(UNIT, BayesianOptimization(acquisition=WithGradient()), seed=3)
    for optimizer in (first, second):
        optimizer.tell(UNIT.batch(belief._kernel.x), belief._kernel.values)
    np.testing.assert_allclose(first.ask().x.numpy(), second.ask().x.numpy(), atol=1e-3)


def test_an_acquisition_that_is_nowhere_finite_is_replaced_and_said() -> None:
    optimizer = search(UNIT, bowl, 6, lambda x, belief: np.where(x[:, 0] > 0.5, np.nan, -x[:, 1]))
    assert float(optimizer.ask().x[0, 0]) <= 0.5
    broken = bb.Optimizer(UNIT, BayesianOptimization(acquisition=lambda x, b: np.full(len(x), np.nan)), seed=0)
    batch = broken.ask(6)
    broken.tell(batch, [bowl(c) for c in batch.configs])
    with pytest.warns(RuntimeWarning, match="finite nowhere"):
        assert len(broken.ask()) == 1
    assert broken._kernel.fallbacks == 1
    assert "log expected improvement instead" in broken._kernel.reason


def raising(x: Array, belief: Belief) -> Array:
    raise ZeroDivisionError("half of nothing")


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (raising, "raising raised ZeroDivisionError"),
        (lambda x, belief: 1.0, r"shape \(\d+,\), got shape \(\)"),
        (lambda x, belief: "high", "must return values"),
        (lambda x, belief: np.full(len(x), 1j), "must return values"),
    ],
)
def test_wrong_acquisitions_are_named(own: Any, message: str) -> None:
    optimizer = bb.Optimizer(UNIT, BayesianOptimization(acquisition=own), seed=0)
    batch = optimizer.ask(6)
    optimizer.tell(batch, [bowl(c) for c in batch.configs])
    with pytest.raises(AcquisitionError, match=message):
        optimizer.ask()


def test_wrong_options_are_named() -> None:
    for wrong in ("ei", 3, UpperConfidenceBound):
        with pytest.raises(SettingError, match="acquisition"):
            BayesianOptimization(acquisition=wrong)  # type: ignore[arg-type]
    for make, name in (
        (lambda: UpperConfidenceBound(beta=-1), "beta"),
        (lambda: UpperConfidenceBound(beta="wide"), "beta"),  # type: ignore[arg-type]
        (lambda: NoisyExpectedImprovement(draws=0), "draws"),
        (lambda: ThompsonSampling(features=2), "features"),
        (lambda: KnowledgeGradient(points=1), "points"),
        (lambda: MaxValueEntropy(maxima=0), "maxima"),
        (lambda: JointEntropy(optima=True), "optima"),
    ):
        with pytest.raises(SettingError, match=name):
            make()  # type: ignore[no-untyped-call]
