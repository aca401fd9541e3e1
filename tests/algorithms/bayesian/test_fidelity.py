"""Several fidelities and sources of information: where and how to look, costs, results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import blackbox as bb
from blackbox.algorithms import BayesianOptimization
from blackbox.algorithms.bayesian.costs import LinearCost, log_cost
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.fidelity_gains import FidelityInformation, FidelityKnowledge
from blackbox.algorithms.bayesian.lookahead import Lookahead
from blackbox.algorithms.bayesian.restrictions import LinearConstraint
from blackbox.algorithms.bayesian.state import BayesianState
from blackbox.errors import SettingError, TellError
from blackbox.problems import AugmentedBranin
from blackbox.surrogates.gaussian_process import GaussianProcess
from blackbox.surrogates.kernels import Hyperparameters, Layout

SOURCES = bb.Space(
    {"x": bb.Real(0, 1), "y": bb.Real(0, 1), "source": bb.Categorical(["rough", "exact"], fidelity="exact")}
)


def bowl(x: torch.Tensor) -> torch.Tensor:
    truth = (x[:, 0] - 0.3).square() + (x[:, 1] - 0.6).square()
    return torch.where(x[:, 2] == 1.0, truth, 1.3 * truth + 0.1 * x[:, 0] - 0.2)


def run(optimizer: bb.Optimizer, problem: Any, budget: float) -> float:
    spent = 0.0
    while spent < budget:
        batch = optimizer.ask()
        told = problem(batch.x)
        optimizer.tell(batch, told)
        spent += float(told.extras["cost"].sum())
    return spent


def test_cheap_fidelities_find_the_optimum_at_the_target_for_less() -> None:
    problem = AugmentedBranin(base_cost=0.05)
    optimizer = bb.Optimizer(problem, BayesianOptimization(), seed=3)
    run(optimizer, problem, 5.0)
    result = optimizer.result()
    assert not result.predicted
    assert float(result.x[0, -1]) == 1.0
    assert float(result.values[0, 0]) < problem.optimum + 0.5  # the target alone: five evaluations of a start design
    assert float((torch.as_tensor(optimizer._kernel.x)[:, -1] < 0.6).double().mean()) > 0.5


def test_the_result_is_a_prediction_until_something_is_evaluated_at_the_target() -> None:
    problem = AugmentedBranin()
    optimizer = bb.Optimizer(problem, BayesianOptimization(), seed=0)
    assert len(optimizer.result()) == 0
    for _ in range(8):
        batch = optimizer.ask(fixed={"s": 0.5})
        assert batch.x[0, -1] == 0.5
        optimizer.tell(batch, problem(batch.x))
    guess = optimizer.result()
    assert guess.predicted
    assert guess.x[0, -1] == 1.0
    assert "predicted" in repr(guess)
    told = optimizer.ask(fixed={"s": 1.0})
    optimizer.tell(told, problem(told.x))
    result = optimizer.result()
    assert not result.predicted
    torch.testing.assert_close(result.x, told.x)


def test_a_biased_source_helps_and_never_becomes_the_result() -> None:
    optimizer = bb.Optimizer(SOURCES, BayesianOptimization(cost=LinearCost(levels={"source": (0.1, 1.0)})), seed=1)
    spent = 0.0
    while spent < 6.0:
        batch = optimizer.ask()
        optimizer.tell(batch, bowl(batch.x))
        spent += float(torch.where(batch.x[:, 2] == 1.0, 1.0, 0.1).sum())
    result = optimizer.result()
    assert result.configs[0]["source"] == "exact"
    assert float(result.values[0, 0]) < 0.01  # the rough source goes down to -0.2
    assert float((optimizer._kernel.x[:, 2] == 0.0).double().mean()) > 0.5


def test_told_costs_are_learned_and_extrapolated() -> None:
    space = bb.Space({"x": bb.Real(0, 1), "epochs": bb.Integer(1, 100, log=True, fidelity=True)})
    domain = Domain(space)
    random = np.random.default_rng(0)
    codes = np.column_stack([random.random(20), random.integers(1, 30, 20).astype(float)])
    cost = (2.0 + 3.0 * codes[:, 1]) * np.exp(codes[:, 0])
    state = BayesianState.empty(2, 1, 0, 0)
    state.extras["cost"] = torch.from_numpy(cost)
    state = BayesianState(**{**vars(state), "x": torch.from_numpy(codes)})
    model = log_cost(state, domain, None)
    test = np.array([[0.2, 5.0], [0.9, 20.0], [0.5, 100.0]])
    truth = np.log((2.0 + 3.0 * test[:, 1]) * np.exp(test[:, 0]))
    np.testing.assert_allclose(model(test), truth, atol=0.15)


def test_without_costs_numeric_fidelities_cost_their_share_of_the_target() -> None:
    space = bb.Space({"x": bb.Real(0, 1), "epochs": bb.Integer(1, 100, log=True, fidelity=True)})
    model = log_cost(BayesianState.empty(2, 1, 0, 0), Domain(space), None)
    np.testing.assert_allclose(model(np.array([[0.5, 50.0], [0.5, 100.0]])), np.log([0.5, 1.0]))


def test_lookahead_is_the_change_of_the_mean_and_has_the_right_gradient() -> None:
    random = np.random.default_rng(0)
    layout = Layout((False, False, False), (False,) * 3, apart=(2,))
    x = random.random((15, 3))
    h = Hyperparameters(np.array([0.4, 0.6, 1.5]), np.zeros(0), 1.3, 1e-3)
    process = GaussianProcess.build(x, np.sin(5 * x).sum(1), layout, h)
    ahead = Lookahead(process, np.array([2]), np.array([0.25]))
    points = np.column_stack([random.random((6, 2)), np.ones(6)])
    mean, std, slope_mean, slope_std = ahead.predict_with_slopes(points)
    for i, point in enumerate(points):  # the spread of the mean, over outcomes of the cheap evaluation
        cheap = point.copy()
        cheap[2] = 0.25
        mu, sigma = (float(part[0]) for part in process.predict(cheap[None]))
        total = np.sqrt(sigma**2 + h.noise)
        higher = np.array([mu + total]) * process.standard.spread + process.standard.shift
        raised = process.condition(cheap[None], higher)
        assert abs(raised.predict(point[None])[0][0] - mean[i]) == pytest.approx(std[i], rel=1e-4)
    for k in (0, 1):
        step = np.zeros(3)
        step[k] = 1e-6
        up, down = ahead.predict(points + step), ahead.predict(points - step)
        np.testing.assert_allclose(slope_mean[:, k], (up[0] - down[0]) / 2e-6, atol=1e-5)
        np.testing.assert_allclose(slope_std[:, k], (up[1] - down[1]) / 2e-6, atol=1e-5)


def test_batches_and_pending_points_are_distinct_and_stay_in_the_space() -> None:
    problem = AugmentedBranin()
    optimizer = bb.Optimizer(problem, BayesianOptimization(), seed=0)
    first = optimizer.ask(6)
    optimizer.tell(first, problem(first.x))
    batches = [optimizer.ask(3), optimizer.ask(2)]
    points = torch.cat([batch.x for batch in batches])
    assert len(torch.unique(points.round(decimals=6), dim=0)) == 5
    low, high = problem.space.bounds()
    assert bool(((points >= low) & (points <= high)).all())


@pytest.mark.parametrize("cost", [[-1.0], [0.0], [float("inf")]])
def test_costs_that_cannot_be_are_refused_and_nothing_changes(cost: list[float]) -> None:
    optimizer = bb.Optimizer(AugmentedBranin(), BayesianOptimization(), seed=0)
    batch = optimizer.ask()
    with pytest.raises(TellError, match="cost"):
        optimizer.tell(batch, [1.0], extras={"cost": cost})
    assert optimizer.n_pending == 1
    optimizer.tell(batch, [1.0], extras={"cost": [float("nan")]})


def test_wrong_cost_settings_name_what_is_wrong() -> None:
    with pytest.raises(SettingError, match="epochs"):
        bb.Optimizer(SOURCES, BayesianOptimization(cost=LinearCost(weights={"epochs": 1.0})))
    with pytest.raises(SettingError, match="2 levels"):
        bb.Optimizer(SOURCES, BayesianOptimization(cost=LinearCost(levels={"source": (1.0, 2.0, 3.0)})))
    with pytest.raises(SettingError, match="0 throughout"):
        LinearCost()
    with pytest.raises(SettingError, match=">= 0"):
        LinearCost(base=-1.0)
    with pytest.raises(SettingError, match="levels: expected a sequence of costs of the levels of 'source', got 3"):
        LinearCost(levels={"source": 3.0})  # type: ignore[dict-item]
    with pytest.raises(SettingError, match="cost: expected a LinearCost"):
        BayesianOptimization(cost=3.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "roles",
    [
        {"f": bb.Real(0, 1, fidelity=True), "g": bb.Categorical(["a", "b", "c"], fidelity="c")},
        {"k": bb.Categorical(["a", "b"]), "f": bb.Real(0, 1, fidelity=True, when={"k": "a"})},
        {"f": bb.Ordinal([1, 10, 100], fidelity=True), "w": bb.Categorical(["u", "v"], environment=["u", "v"])},
    ],
    ids=["two", "conditional", "with an environment"],
)
@pytest.mark.parametrize("told", ["values", "constant", "failed", "two objectives"])
def test_any_mixture_of_roles_gets_sound_candidates(roles: dict[str, Any], told: str) -> None:
    space = bb.Space({"x": bb.Real(0, 1), **roles})
    objectives = 2 if told == "two objectives" else 1
    optimizer = bb.Optimizer(space, BayesianOptimization(start=3), seed=0, objectives=objectives)
    for _ in range(3):
        batch = optimizer.ask(2)
        space.check(batch.x)
        value = torch.nan_to_num(batch.x, nan=0.3).sub(0.3).square().sum(1)
        values: Any = {"constant": [1.0, 1.0], "failed": None}.get(told, value)
        if objectives == 2:
            values = torch.stack([value, -value], 1)
        optimizer.tell(batch, values, failed=[told == "failed"] * 2)
    space.check(optimizer.ask(2).x)
    assert optimizer._kernel.fallbacks == 0
    assert len(optimizer.result()) == 0 or told != "failed"


def test_a_space_of_roles_only_is_searched() -> None:
    space = bb.Space({"f": bb.Real(0, 1, fidelity=True)})
    optimizer = bb.Optimizer(space, BayesianOptimization(start=2), seed=0)
    for _ in range(4):
        batch = optimizer.ask()
        optimizer.tell(batch, batch.x[:, 0] - 1.0)
    space.check(optimizer.ask(2).x)


@pytest.mark.parametrize("acquisition", ["thompson", "mes"])
def test_other_acquisitions_work_on_tasks(acquisition: str) -> None:
    space = bb.Space({"x": bb.Real(0, 1), "t": bb.Categorical(["here", "there"], task="here")})
    optimizer = bb.Optimizer(space, BayesianOptimization(start=3, acquisition=acquisition), seed=0)
    for _ in range(6):
        batch = optimizer.ask()
        assert batch.configs[0]["t"] == "here"
        optimizer.tell(batch, (batch.x[:, 0] - 0.4).square())
    assert optimizer._kernel.fallbacks == 0


@pytest.mark.parametrize("fidelity", [0.25, 1.0])
def test_information_and_knowledge_about_the_target_have_the_right_gradients(fidelity: float) -> None:
    random = np.random.default_rng(0)
    layout = Layout((False, False, False), (False,) * 3, apart=(2,))
    x = random.random((12, 3))
    h = Hyperparameters(np.array([0.4, 0.6, 1.5]), np.zeros(0), 1.3, 1e-3)
    process = GaussianProcess.build(x, np.sin(5 * x).sum(1), layout, h)
    ahead = Lookahead(process, np.array([2]), np.array([fidelity]))
    interest = np.column_stack([random.random((5, 2)), np.ones(5)])
    points = np.column_stack([random.random((6, 2)), np.ones(6)])
    for gain in (FidelityInformation(ahead, np.array([-2.0, -1.5, -1.8])), FidelityKnowledge(ahead, interest)):
        value, slope = gain.with_slopes(points)
        np.testing.assert_allclose(value, gain(points))
        for k in (0, 1):
            step = np.zeros(3)
            step[k] = 1e-6
            by_differences = (gain(points + step) - gain(points - step)) / 2e-6
            np.testing.assert_allclose(slope[:, k], by_differences, rtol=1e-4, atol=1e-4)


def test_knowledge_is_the_expected_fall_of_the_best_mean_at_the_target() -> None:
    random = np.random.default_rng(1)
    layout = Layout((False, False), (False,) * 2, apart=(1,))
    h = Hyperparameters(np.array([0.3, 1.0]), np.zeros(0), 1.0, 1e-2)
    process = GaussianProcess.build(random.random((8, 2)), random.standard_normal(8), layout, h)
    interest = np.column_stack([np.linspace(0, 1, 7), np.ones(7)])
    point, cheap = np.array([[0.4, 1.0]]), np.array([[0.4, 0.2]])
    gain = FidelityKnowledge(Lookahead(process, np.array([1]), np.array([0.2])), interest)
    mean, std = process.predict(cheap)
    spread = float(np.sqrt(std[0] ** 2 + h.noise))
    every = np.concatenate([interest, point])
    before = process.predict(interest)[0].min()
    falls = []
    for z in np.linspace(-4.0, 4.0, 401):
        outcome = np.array([mean[0] + spread * z]) * process.standard.spread + process.standard.shift
        best = process.condition(cheap, outcome).predict(every)[0].min()
        falls.append((before - best) * np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi) * 0.02)
    assert float(np.exp(gain(point)[0])) == pytest.approx(sum(falls), rel=1e-2)


def test_the_start_design_repeats_a_design_at_a_higher_fidelity() -> None:
    optimizer = bb.Optimizer(AugmentedBranin(), BayesianOptimization(start=8), seed=0)
    x = optimizer.ask(8).x
    torch.testing.assert_close(x[3, :2], x[0, :2])
    torch.testing.assert_close(x[7, :2], x[1, :2])
    assert x[:, 2].tolist() == [0.0, 0.0, 0.0, 0.25, 0.0, 0.0, 0.0, 0.5]
    held = bb.Optimizer(AugmentedBranin(), BayesianOptimization(start=8), seed=0).ask(8, fixed={"s": 0.5}).x
    assert len(torch.unique(held, dim=0)) == 8


def test_start_designs_with_known_constraints_are_cheap_too() -> None:
    space = bb.Space({"x": bb.Real(0, 1), "y": bb.Real(0, 1), "s": bb.Real(0, 1, fidelity=True)})
    rule = LinearConstraint({"x": 1.0, "y": 1.0}, upper=0.8)
    x = bb.Optimizer(space, BayesianOptimization(start=5, input_constraints=(rule,)), seed=0).ask(5).x
    assert float((x[:, 0] + x[:, 1]).max()) <= 0.8 + 1e-9
    assert x[:, 2].tolist() == [0.0, 0.0, 0.0, 0.25, 0.0]
