from __future__ import annotations

import math

import pytest
import torch

import blackbox as bb
from blackbox.algorithms import BayesianOptimization
from blackbox.algorithms.bayesian import why
from blackbox.errors import SettingError

SPACE = bb.Space({"a": bb.Real(0, 1), "b": bb.Real(0, 1), "held": bb.Real(2, 2)})


def search(sign: float, n: int = 14) -> bb.Optimizer:
    optimizer = bb.Optimizer(
        SPACE, BayesianOptimization(), objectives=bb.Objective("v", maximize=sign < 0), n_constraints=1, seed=0
    )
    for _ in range(n):
        batch = optimizer.ask()
        a, b = batch.x[:, 0], batch.x[:, 1]
        values = sign * ((a - 0.3) ** 2 + (b - 0.6) ** 2)
        failed = b > 0.95
        optimizer.tell(batch, values, violations=(a - 0.8)[:, None], failed=failed)
    return optimizer


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_reasons_tell_what_is_known(sign: float) -> None:
    optimizer = search(sign)
    points = SPACE.batch([{"a": 0.35, "b": 0.55, "held": 2.0}, {"a": 0.97, "b": 0.1, "held": 2.0}])
    near, far = why(optimizer, points)
    assert near.predicted == pytest.approx(sign * 0.005, abs=0.02)
    assert near.interval[0] <= near.predicted <= near.interval[1]
    assert near.correlation > far.correlation - 0.2
    assert near.probability_feasible > 0.8 > 0.5 > far.probability_feasible
    assert near.best == pytest.approx(float(optimizer.result().values), abs=1e-3)
    assert set(near.nearest) == {"a", "b", "held"}
    asked = why(optimizer, optimizer.ask(2))
    assert len(asked) == 2
    assert asked[0].expected_improvement >= 0.0
    assert asked[0].sentence.split(":")[0] in ("exploits", "refines", "explores")


def test_without_values_there_is_no_reason() -> None:
    optimizer = bb.Optimizer(SPACE, BayesianOptimization(), seed=0)
    batch = optimizer.ask(3)
    optimizer.tell(batch, torch.full((3,), math.nan))
    with pytest.raises(SettingError, match="at least one feasible value"):
        why(optimizer, optimizer.ask())


def test_what_is_no_batch_is_named() -> None:
    optimizer = bb.Optimizer(SPACE, BayesianOptimization(), seed=0)
    for wrong in (None, [[0.5, 0.5]], "batch"):
        with pytest.raises(SettingError, match="batch: expected a Batch"):
            why(optimizer, wrong)
