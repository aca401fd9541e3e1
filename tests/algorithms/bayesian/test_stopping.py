from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import blackbox as bb
from blackbox.algorithms import BayesianOptimization, RandomSearch
from blackbox.algorithms.bayesian import InputNoise, advice, stopping_curve, why
from blackbox.errors import SettingError

UNIT = bb.Space.box([0, 0], [1, 1])


def run(n: int, f: Any, **options: Any) -> bb.Optimizer:
    optimizer = bb.Optimizer(UNIT, BayesianOptimization(), seed=0, **options)
    for _ in range(n):
        batch = optimizer.ask()
        optimizer.tell(batch, f(batch.x))
    return optimizer


def bowl(x: Any) -> Any:
    return 3.0 + ((x - 0.35) ** 2).sum(1)


def test_the_bound_falls_and_holds() -> None:
    early, late = advice(run(6, bowl)), advice(run(25, bowl))
    assert late.bound < 0.2 * early.bound
    assert late.expected_improvement <= late.bound
    assert late.stop
    assert not advice(run(6, bowl), tolerance=1e-9).stop
    assert late.bound >= float(late.best - 3.0) - 1e-9
    assert late.best == pytest.approx(3.0, abs=1e-3)
    assert late.reason.startswith("stop: the best of 25 evaluations is at most")


def test_maximised_and_noisy() -> None:
    up = advice(run(20, lambda x: -bowl(x), objectives=bb.Objective("gain", maximize=True)))
    assert up.best == pytest.approx(-3.0, abs=1e-3)
    random = np.random.default_rng(0)
    noisy = advice(run(25, lambda x: bowl(x) + torch.from_numpy(0.1 * random.standard_normal(len(x)))))
    assert 0.03 < noisy.tolerance < 0.3  # the noise
    assert noisy.bound > 0.0


def test_the_curve_is_the_advice_of_earlier_times() -> None:
    optimizer = run(15, bowl)
    curve = stopping_curve(optimizer, tolerance=0.01, points=4)
    assert curve.n[-1] == 15
    assert curve.bound[-1] == pytest.approx(advice(optimizer).bound, rel=1e-6)
    assert (curve.tolerance == 0.01).all()


def test_what_cannot_be_advised_is_said() -> None:
    with pytest.raises(SettingError, match="at least two feasible values"):
        advice(run(1, bowl))
    with pytest.raises(SettingError, match="tolerance"):
        advice(run(3, bowl), tolerance=-1)
    for wrong in ("small", [1.0], True):
        with pytest.raises(SettingError, match="tolerance: expected a positive number"):
            advice(run(3, bowl), tolerance=wrong)  # type: ignore[arg-type]
    for few in (0, 1.5, "all"):
        with pytest.raises(SettingError, match="points: expected an integer >= 2"):
            stopping_curve(run(3, bowl), points=few)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="expected one of BayesianOptimization"):
        advice(bb.Optimizer(UNIT, RandomSearch(), seed=0))
    assert math.isfinite(advice(run(8, lambda x: torch.ones(len(x)))).bound)
    never = run(4, lambda x: torch.full((len(x),), math.nan))
    with pytest.raises(SettingError, match="got 0"):
        advice(never)


def test_an_outlier_does_not_make_the_rest_indifferent() -> None:
    told = advice(run(12, lambda x: torch.where((x == 0.5).all(1), 1e12, bowl(x))))
    assert told.tolerance < 0.01
    huge = stopping_curve(run(8, lambda x: (x[:, 0] - 0.5).sign() * 1.7e308), points=3)
    assert np.isfinite(huge.bound).all()


def test_advice_is_about_the_target_and_not_about_random_environments() -> None:
    space = bb.Space({"x": bb.Real(0, 1), "s": bb.Real(0, 1, fidelity=True)})
    optimizer = bb.Optimizer(space, BayesianOptimization(), seed=0)
    for _ in range(20):
        batch = optimizer.ask()
        optimizer.tell(batch, (batch.x[:, 0] - 0.3) ** 2 + batch.x[:, 1])  # 1 more at the target than at no fidelity
    assert advice(optimizer).best == pytest.approx(1.0, abs=0.02)
    reason = why(optimizer, space.batch(np.array([[0.3, 0.0]])))[0]
    assert reason.predicted == pytest.approx(1.0, abs=0.05)
    assert reason.best == pytest.approx(1.0, abs=0.05)
    random = bb.Space({"x": bb.Real(0, 1), "w": bb.Real(0, 1, environment="uniform")})
    robust = bb.Optimizer(random, BayesianOptimization(), seed=0)
    for _ in range(6):
        batch = robust.ask()
        robust.tell(batch, (batch.x[:, 0] - batch.x[:, 1]) ** 2)
    with pytest.raises(SettingError, match="random environments"):
        advice(robust)


def test_values_that_never_differ_are_enough_after_the_start_design() -> None:
    def level(x: torch.Tensor) -> torch.Tensor:
        return torch.full((len(x),), 7.0, dtype=torch.float64)

    assert not advice(run(3, level)).stop
    late = advice(run(10, level))
    assert late.stop
    assert late.best == 7.0
    assert 0.0 < late.bound <= late.tolerance


def test_advice_is_refused_where_implementations_are_random() -> None:
    optimizer = bb.Optimizer(UNIT, BayesianOptimization(input_noise=InputNoise(0.05)), seed=0)
    for _ in range(6):
        batch = optimizer.ask()
        optimizer.tell(batch, bowl(batch.x))
    with pytest.raises(SettingError, match="random implementations"):
        advice(optimizer)
