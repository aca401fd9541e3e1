from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import blackbox as bb
from blackbox.algorithms import BayesianOptimization, RandomSearch
from blackbox.algorithms.bayesian import advice, stopping_curve
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
    with pytest.raises(SettingError, match="expected one of BayesianOptimization"):
        advice(bb.Optimizer(UNIT, RandomSearch(), seed=0))
    assert math.isfinite(advice(run(8, lambda x: torch.ones(len(x)))).bound)
    never = run(4, lambda x: torch.full((len(x),), math.nan))
    with pytest.raises(SettingError, match="got 0"):
        advice(never)
