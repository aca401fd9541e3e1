"""Settings and problems: every combination is honoured, or refused with what was given and what is expected."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

import blackbox as bb
from blackbox.algorithms import BayesianOptimization
from blackbox.algorithms.bayesian import Belief, LinearCost
from blackbox.errors import SettingError

BOX: dict[str, Any] = {"x": bb.Real(0, 1), "y": bb.Real(0, 1)}
FIDELITY = {**BOX, "s": bb.Real(0, 1, fidelity=True)}
SOURCE = {**BOX, "source": bb.Categorical(["rough", "exact"], fidelity="exact")}
TASK = {**BOX, "t": bb.Categorical(["new", "old"], task="new")}
RANDOM = {**BOX, "w": bb.Real(0, 1, environment="uniform")}


def own(x: Any, belief: Belief) -> Any:
    mean, std = belief.predict(x)
    return std - mean - belief.noise


def bowl(x: torch.Tensor) -> torch.Tensor:
    return (x[:, :2] - 0.3).square().sum(1) + 0.1 * x[:, 2:].sum(1)


@pytest.mark.parametrize(
    ("space", "settings"),
    [
        (FIDELITY, {"acquisition": "mes", "cost_aware": True}),
        (FIDELITY, {"acquisition": "kg"}),
        (FIDELITY, {"acquisition": "jes", "report": "predicted"}),
        (FIDELITY, {"acquisition": own}),
        (FIDELITY, {"cost_aware": True}),
        (SOURCE, {"acquisition": "mes"}),
        (SOURCE, {"acquisition": "log_nei"}),
        (SOURCE, {"acquisition": "ucb"}),
        (TASK, {"acquisition": "kg", "cost_aware": True}),
        (TASK, {"acquisition": own}),
        (TASK, {"batch": "joint", "replicate": True, "noise": 0.01}),
        (RANDOM, {"acquisition": "ucb"}),
        (RANDOM, {"acquisition": "thompson", "risk": "cvar"}),
        (RANDOM, {"acquisition": own, "risk": "worst_case"}),
        (RANDOM, {"cost_aware": True}),
    ],
    ids=lambda given: "-".join(str(key) for key in given),
)
@pytest.mark.parametrize("constraints", [0, 1])
def test_settings_are_honoured_with_every_role(space: Any, settings: dict[str, Any], constraints: int) -> None:
    searched = bb.Space(space)
    algorithm = BayesianOptimization(start=4, **settings)
    optimizer = bb.Optimizer(searched, algorithm, n_constraints=constraints, seed=0)

    def tell(batch: Any) -> None:
        violations = batch.x[:, :1] - 0.6 if constraints else None
        extras = {"cost": 0.1 + batch.x[:, 0]} if settings.get("cost_aware") else None
        optimizer.tell(batch, bowl(batch.x), violations=violations, extras=extras)

    if "t" in space:
        tell(searched.batch(torch.tensor([[0.1 * i, 1 - 0.1 * i, 1.0] for i in range(8)], dtype=torch.float64)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            batch = optimizer.ask(3)
            searched.check(batch.x)
            tell(batch)
        assert len(optimizer.result()) == 1
    assert optimizer._kernel.fallbacks == 0


@pytest.mark.parametrize(
    ("space", "settings", "objectives", "message"),
    [
        (RANDOM, {"acquisition": "mes"}, 1, "acquisition: expected \"log_ei\".*random, got 'mes'"),
        (RANDOM, {"batch": "joint"}, 1, 'batch: expected "greedy".*random'),
        (FIDELITY, {"batch": "joint"}, 1, 'batch: expected "greedy" where fidelities'),
        (FIDELITY, {"replicate": True}, 1, "replicate: expected False where fidelities"),
        (FIDELITY, {"risk": "cvar"}, 1, "risk: expected \"expectation\" where nothing is random, got 'cvar'"),
        (BOX, {"cost": LinearCost(base=1.0)}, 1, "cost: expected None where no fidelity"),
        (BOX, {"reference_point": (1.0, 1.0)}, 1, "reference_point: expected None with one objective"),
        (BOX, {"acquisition": "kg"}, 2, 'acquisition: expected "log_ei" or "log_nei" with 2 objectives'),
        (BOX, {"cost_aware": True}, 3, "cost_aware: expected False with 3 objectives"),
        (BOX, {"report": "predicted"}, 2, 'report: expected "observed" with 2 objectives'),
        (RANDOM, {"risk": "cvar"}, 2, 'risk: expected "expectation" with 2 objectives'),
        (FIDELITY, {"cost": LinearCost(base=1.0)}, 2, "cost: expected None with 2 objectives"),
    ],
)
def test_settings_without_meaning_are_refused(space: Any, settings: Any, objectives: int, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        bb.Optimizer(bb.Space(space), BayesianOptimization(**settings), objectives=objectives)


def test_an_acquisition_that_is_never_finite_is_replaced_with_a_warning_where_fidelities_are_chosen() -> None:
    def nothing(x: Any, belief: Belief) -> Any:
        return x[:, 0] * float("nan")

    for space in (FIDELITY, RANDOM):
        optimizer = bb.Optimizer(bb.Space(space), BayesianOptimization(acquisition=nothing, start=4), seed=0)
        batch = optimizer.ask(5)
        optimizer.tell(batch, bowl(batch.x))
        with pytest.warns(RuntimeWarning, match="finite nowhere"):
            optimizer.space.check(optimizer.ask().x)
        assert optimizer._kernel.fallbacks == 1


def test_the_predicted_result_is_a_point_at_the_target() -> None:
    optimizer = bb.Optimizer(bb.Space(SOURCE), BayesianOptimization(report="predicted", noise=1e-4, start=4), seed=0)
    for _ in range(8):
        batch = optimizer.ask(2)
        rough = batch.x[:, 2] == 0.0
        optimizer.tell(batch, bowl(batch.x) - 5.0 * rough)  # far better values that do not count
    result = optimizer.result()
    assert result.configs[0]["source"] == "exact"
    assert float(result.values[0, 0]) > -1.0


def test_costs_steer_designs_where_fidelities_are_chosen() -> None:
    def mean(cost_aware: bool) -> float:
        algorithm = BayesianOptimization(cost_aware=cost_aware, start=6)
        optimizer = bb.Optimizer(bb.Space(FIDELITY), algorithm, seed=1)
        for _ in range(14):
            batch = optimizer.ask()
            cost = (0.1 + batch.x[:, 2]) * torch.exp(4.0 * batch.x[:, 0])
            value = torch.sin(6.0 * batch.x[:, 1]) + 0.3 * torch.cos(12.0 * batch.x[:, 0])
            optimizer.tell(batch, value, extras={"cost": cost})
        return float(optimizer._kernel.x[6:, 0].mean())

    assert mean(True) < mean(False) - 0.1


def test_a_predicted_result_says_so_under_noise_only() -> None:
    for noise in (0.2, 0.0):
        optimizer = bb.Optimizer(bb.Space(BOX), BayesianOptimization(report="predicted", noise=noise**2), seed=0)
        random = torch.Generator().manual_seed(0)
        for _ in range(5):
            batch = optimizer.ask(3)
            optimizer.tell(batch, bowl(batch.x) + noise * torch.randn(3, generator=random))
        assert optimizer.result().predicted == (noise > 0)
