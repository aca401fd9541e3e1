"""Joint batches, repeats of noisy points, predicted results, costs and contexts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import blackbox as bb
from blackbox.algorithms import BayesianOptimization
from blackbox.algorithms.bayesian.acquisition import Acquisition, Limit
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.joint import JointImprovement, improve_jointly
from blackbox.errors import SettingError
from blackbox.surrogates.gaussian_process import fit
from blackbox.testing import ALGORITHM_CHECKS

UNIT = bb.Space.box([0, 0], [1, 1])


def told(x: Any) -> Any:
    return ((x - 0.35) ** 2).sum(1)


def acquisition(limited: bool = False) -> Acquisition:
    random = np.random.default_rng(0)
    x = random.random((9, 2))
    process = fit(x, ((x - 0.4) ** 2).sum(1) + 0.3 * np.sin(9 * x[:, 0]), noise="deterministic")
    limits = (Limit(fit(x, x[:, 0] - 0.5, noise=0.01), 0.1),) if limited else ()
    return Acquisition((process,), np.zeros(1), float(process.standard(process.y).min()), limits)


@pytest.mark.parametrize("limited", [False, True])
def test_joint_improvement_has_the_gradient_of_its_value(limited: bool) -> None:
    joint = JointImprovement(acquisition(limited), 3, np.random.default_rng(0))
    x = np.random.default_rng(1).random((3, 2))
    _, slope = joint(x)
    for i in range(3):
        for k in range(2):
            step = np.zeros((3, 2))
            step[i, k] = 1e-6
            numeric = (joint(x + step)[0] - joint(x - step)[0]) / 2e-6
            assert slope[i, k] == pytest.approx(numeric, rel=1e-3, abs=1e-4)


def test_joint_improvement_is_the_expected_best_of_the_batch() -> None:
    score = acquisition()
    x = np.random.default_rng(2).random((4, 2))
    process = score.modes[0]
    draws = process.posterior(x, joint=True).sample(100_000, torch.Generator().manual_seed(0)).numpy()
    draws = (draws - process.standard.shift) / process.standard.spread
    expected = np.log(np.maximum(score.best - draws.min(1), 0.0).mean())
    value, _ = JointImprovement(score, 4, np.random.default_rng(0))(x)
    assert value == pytest.approx(expected, abs=0.25)  # smoothing raises it a little


def test_a_joint_batch_is_at_least_as_good_as_where_it_started() -> None:
    score, domain = acquisition(), Domain(UNIT)
    start = np.random.default_rng(3).random((4, 2))
    ends = improve_jointly(score, domain, start, np.random.default_rng(0))
    judge = JointImprovement(score, 4, np.random.default_rng(0))
    assert judge(domain.model(ends))[0] > judge(domain.model(start))[0] + 0.1


def run(settings: BayesianOptimization, f: Any, n: int, *, batch: int = 1, **options: Any) -> bb.Optimizer:
    optimizer = bb.Optimizer(UNIT, settings, seed=0, **options)
    while optimizer.n_evaluations < n:
        asked = optimizer.ask(batch)
        optimizer.tell(asked, f(asked.x))
    assert optimizer._kernel.fallbacks == 0
    return optimizer


def test_joint_batches_solve() -> None:
    optimizer = run(BayesianOptimization(batch="joint"), told, 24, batch=6)
    assert float(optimizer.result().values) < 1e-3
    points = optimizer.ask(6).x
    assert float((torch.cdist(points, points) + 9 * torch.eye(6)).min()) > 1e-6


def noisy(x: Any, random: np.random.Generator) -> Any:
    return told(x) + torch.from_numpy(0.1 * random.standard_normal(len(x)))


def test_noisy_points_are_measured_again_only_where_wanted() -> None:
    distinct = {}
    for replicate in (False, True):
        random = np.random.default_rng(1)
        settings = BayesianOptimization(replicate=replicate, noise=0.01)
        x = run(settings, lambda x, random=random: noisy(x, random), 24)._kernel.x
        distinct[replicate] = len({tuple(row) for row in x.tolist()})
    assert distinct[False] == 23
    assert 8 <= distinct[True] < 21
    quiet = run(BayesianOptimization(replicate=True), told, 15)._kernel.x
    assert len({tuple(row) for row in quiet.tolist()}) == len(quiet)


def test_predicted_result_is_nearer_to_the_truth_than_the_best_observation() -> None:
    errors = {"observed": 0.0, "predicted": 0.0}
    for report in errors:
        for seed in range(2):
            random = np.random.default_rng(seed)
            optimizer = bb.Optimizer(UNIT, BayesianOptimization(report=report, noise=0.01), seed=seed)  # type: ignore[arg-type]
            for _ in range(16):
                batch = optimizer.ask()
                optimizer.tell(batch, noisy(batch.x, random))
            best = optimizer.result()
            assert any(torch.equal(best.x[0], row) for row in optimizer._kernel.x) or report == "observed"
            errors[report] += abs(float(best.values) - float(told(best.x)))
    assert errors["predicted"] < 0.6 * errors["observed"]  # the luckiest of 20 noisy values is too good


def test_predicted_result_in_odd_cases() -> None:
    settings = BayesianOptimization(report="predicted")
    assert len(bb.Optimizer(UNIT, settings, seed=0).result()) == 0
    exact = run(settings, told, 9)
    assert float(exact.result().values) == float(exact._kernel.values.min())
    upward = run(settings, lambda x: -told(x), 9, objectives=bb.Objective("gain", maximize=True))
    assert float(upward.result().values) == -float(upward._kernel.values.min())
    never = bb.Optimizer(UNIT, settings, n_constraints=1, seed=0)
    never.tell(never.ask(3), [1.0, 2.0, 3.0], violations=[[3.0], [1.0], [2.0]])
    assert len(never.result()) == 0
    assert float(never.result().least_violated.violations) == 1.0  # type: ignore[union-attr]
    failing = bb.Optimizer(UNIT, settings, seed=0)
    failing.tell(failing.ask(3), [math.nan] * 3)
    assert len(failing.result()) == 0


def test_cheap_points_are_preferred_per_unit_of_cost() -> None:
    spent = {}
    for aware in (False, True):
        optimizer = bb.Optimizer(UNIT, BayesianOptimization(cost_aware=aware), seed=0)
        total = 0.0
        for _ in range(18):
            batch = optimizer.ask()
            x = batch.x
            cost = torch.exp(4.0 * x[:, 0])
            total += float(cost)
            value = (x[:, 1] - 0.4) ** 2 + 0.05 * torch.sin(12 * x[:, 0])
            optimizer.tell(batch, value, extras={"cost": cost})
        spent[aware] = total
    assert spent[True] < 0.7 * spent[False]


def test_costs_may_be_missing_or_useless() -> None:
    optimizer = bb.Optimizer(UNIT, BayesianOptimization(cost_aware=True, start=3), seed=0)
    for cost in ([1.0], [math.nan], None, [2.0], [3.0], [1e300]):
        batch = optimizer.ask()
        optimizer.tell(batch, told(batch.x), extras=None if cost is None else {"cost": cost})
    optimizer.ask(2)
    assert optimizer._kernel.fallbacks == 0


def test_each_context_is_served_by_what_was_learned_in_others() -> None:
    """The best x0 follows the context x1, which is given at each ask."""
    random = np.random.default_rng(0)
    optimizer = bb.Optimizer(UNIT, BayesianOptimization(), seed=0)
    gaps = []
    for _ in range(36):
        context = float(random.random())
        batch = optimizer.ask(fixed={"x1": context})
        assert float(batch.x[0, 1]) == context
        gaps.append(abs(float(batch.x[0, 0]) - (0.2 + 0.6 * context**2)))
        optimizer.tell(batch, (batch.x[:, 0] - 0.2 - 0.6 * batch.x[:, 1] ** 2) ** 2)
    assert np.median(gaps[-10:]) < 0.04  # each context is new


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"batch": "all"}, "batch"),
        ({"report": "guessed"}, "report"),
        ({"cost_aware": True, "acquisition": "ucb"}, "cost_aware"),
        ({"batch": "joint", "acquisition": "kg"}, "batch"),
        ({"noise": None}, "noise: expected"),
        ({"noise": [0.1]}, "noise: expected"),
        ({"noise": 10**400}, "noise: expected"),
        ({"noise": torch.tensor(0.1)}, "noise: expected"),
        ({"warp": "no"}, "warp: expected True or False, got 'no'"),
        ({"sparse": 1}, "sparse: expected True or False, got 1"),
        ({"replicate": "yes"}, "replicate: expected True or False"),
        ({"cost_aware": None}, "cost_aware: expected True or False"),
    ],
)
def test_wrong_settings_are_named(options: dict[str, Any], name: str) -> None:
    with pytest.raises(SettingError, match=name):
        BayesianOptimization(**options)


def test_numbers_of_numpy_are_settings_too() -> None:
    settings = BayesianOptimization(noise=np.float64(0.5), start=np.int64(7), batch_size=np.int32(2))  # type: ignore[arg-type]
    assert settings == BayesianOptimization(noise=0.5, start=7, batch_size=2)
    assert type(settings.start) is int


CHECKS = ("same_seed", "failed", "save_and", "mixed", "constraints", "external", "order_and")


@pytest.mark.parametrize(
    "check", [c for c in ALGORITHM_CHECKS if any(word in c.__name__ for word in CHECKS)], ids=lambda c: c.__name__
)
def test_contract_with_everything_on(check: Any) -> None:
    check(BayesianOptimization(batch="joint", replicate=True, report="predicted", cost_aware=True, noise="auto"))
