from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import blackbox as bb
from blackbox.algorithms import BayesianOptimization
from blackbox.errors import SettingError
from blackbox.problems.synthetic import Ackley, Branin, Hartmann6

Config = dict[str, Any]
UNIT = bb.Space.box([0, 0], [1, 1])


def branin(c: Config) -> float:
    a, b = c["x0"], c["x1"]
    bend = b - 5.1 / (4 * math.pi**2) * a * a + 5 / math.pi * a - 6
    return float(bend**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(a) + 10)


def bowl(c: Config) -> float:
    return float(sum((v - 0.3) ** 2 for v in c.values()))


def search(
    space: bb.Space,
    f: Callable[[Config], float],
    evaluations: int,
    *,
    seed: int = 0,
    batch: int = 1,
    violation: Callable[[Config], float] | None = None,
    algorithm: BayesianOptimization | None = None,
) -> bb.Optimizer:
    optimizer = bb.Optimizer(
        space, algorithm or BayesianOptimization(), seed=seed, n_constraints=0 if violation is None else 1
    )
    while optimizer.n_evaluations < evaluations:
        asked = optimizer.ask(batch)
        space.check(asked.x)
        violations = None if violation is None else [[violation(c)] for c in asked.configs]
        optimizer.tell(asked, [f(c) for c in asked.configs], violations=violations)
    assert optimizer._kernel.fallbacks == 0
    return optimizer


def best(optimizer: bb.Optimizer) -> float:
    return float(optimizer.result().values.min())


def test_branin_is_solved_in_thirty_evaluations() -> None:
    space = bb.Space.box([-5, 0], [10, 15])
    regrets = [best(search(space, branin, 30, seed=seed)) - 0.3978873577 for seed in range(3)]
    assert np.median(regrets) < 1e-3
    assert max(regrets) < 0.05


def test_ackley_and_hartmann_in_six_variables() -> None:
    ackley = bb.Problem.from_function(
        lambda x: Ackley(dim=6)(x - 3.0).values, bb.Space.box([-30.0] * 6, [30.0] * 6), takes="batch"
    )
    hartmann = Hartmann6()
    ends = []
    for problem in (ackley, hartmann):
        optimizer = bb.Optimizer(problem, BayesianOptimization(), seed=1)
        for _ in range(50):
            batch = optimizer.ask()
            optimizer.tell(batch, problem(batch.x))
        ends.append(best(optimizer))
    assert ends[0] < 6.0  # Sobol: 17
    assert ends[1] < -3.15


def test_idle_columns_are_found_out() -> None:
    space = bb.Space.box([-5, 0] + [0] * 6, [10, 15] + [1] * 6)
    optimizer = search(space, branin, 45, seed=2)
    assert best(optimizer) < 0.45
    lengthscales = optimizer._kernel.objectives[0].thetas[0, :8].exp()
    assert float(lengthscales[:2].max()) < float(lengthscales[2:].median())


def test_batches_of_pending_points_differ_and_still_converge() -> None:
    optimizer = search(UNIT, bowl, 32, batch=8)
    assert best(optimizer) < 1e-4
    first, second = optimizer.ask(6), optimizer.ask(6)
    points = torch.cat([first.x, second.x])
    gaps = torch.cdist(points, points) + 9 * torch.eye(12, dtype=torch.float64)
    assert float(gaps.min()) > 1e-6


def test_noise_is_noticed_and_survived() -> None:
    noise = np.random.default_rng(0)
    optimizer = search(UNIT, lambda c: bowl(c) + 0.05 * float(noise.standard_normal()), 40)
    assert optimizer._kernel.objectives[0].noisy
    quiet = search(UNIT, bowl, 20)
    assert not quiet._kernel.objectives[0].noisy


def test_known_variance_is_used() -> None:
    optimizer = bb.Optimizer(UNIT, BayesianOptimization(), seed=0)
    noise = np.random.default_rng(1)
    for _ in range(25):
        batch = optimizer.ask()
        optimizer.tell(batch, [bowl(c) + 0.1 * noise.standard_normal() for c in batch.configs], variance=0.01)
    assert not optimizer._kernel.objectives[0].noisy
    assert optimizer._kernel.fallbacks == 0


def test_constraint_on_the_border() -> None:
    optimizer = search(UNIT, bowl, 25, violation=lambda c: 0.6 - c["x0"])
    assert best(optimizer) == pytest.approx(0.09, abs=5e-3)


def test_all_infeasible_moves_towards_feasibility() -> None:
    optimizer = search(UNIT, bowl, 15, violation=lambda c: 1.0 + (c["x0"] - 0.8) ** 2)
    assert len(optimizer.result().values) == 0
    late = optimizer._kernel.x[-5:, 0]
    assert float((late - 0.8).abs().min()) < 0.15


@pytest.mark.parametrize("seed", [0, 1])
def test_half_of_the_box_crashes(seed: int) -> None:
    """The unconstrained optimum lies where evaluations fail; the best feasible value is 0.09."""
    failures: list[bool] = []

    def crashing(c: Config) -> float:
        failures.append(c["x0"] > 0.5)
        return math.nan if failures[-1] else (c["x0"] - 0.8) ** 2 + (c["x1"] - 0.3) ** 2

    optimizer = search(UNIT, crashing, 45, seed=seed)
    assert best(optimizer) <= 0.093
    assert sum(failures[-20:]) <= 12


def test_every_evaluation_failed() -> None:
    optimizer = search(UNIT, lambda c: math.nan, 12)
    optimizer.ask()
    x = optimizer._kernel.x
    gaps = torch.cdist(x, x) + 9 * torch.eye(12, dtype=torch.float64)
    assert float(gaps.min()) > 1e-3  # it keeps looking elsewhere


MIXED = bb.Space(
    {
        "model": bb.Categorical(["rbf", "poly", "tree"]),
        "degree": bb.Integer(2, 5, when={"model": "poly"}),
        "gamma": bb.Real(1e-4, 10, log=True, when={"model": "rbf"}),
        "c": bb.Real(1e-3, 1e3, log=True),
        "size": bb.Ordinal(["s", "m", "l"]),
    }
)


def mixed(c: Config) -> float:
    part = {"rbf": 0.0, "poly": 0.5, "tree": 1.0}[c["model"]] + (c["size"] != "m") * 0.5
    if c["model"] == "rbf":
        part += (math.log10(c["gamma"]) + 2) ** 2
    if c["model"] == "poly":
        part += 0.2 * c["degree"]
    return part + (math.log10(c["c"]) - 1) ** 2


def test_mixed_conditional_space_is_solved() -> None:
    values = [best(search(MIXED, mixed, 40, seed=seed)) for seed in range(3)]
    assert np.median(values) < 0.1  # random search: 0.85


def test_finite_space_is_exhausted_without_repeats() -> None:
    space = bb.Space({"a": bb.Integer(0, 3), "b": bb.Categorical(["u", "v", "w"])})
    optimizer = search(space, lambda c: float(c["a"] + (c["b"] == "u")), 12)
    assert len(optimizer.ask()) == 1  # nothing new is left; it still answers
    seen = {tuple(row) for row in optimizer._kernel.x.tolist()}
    assert len(seen) == 12


def test_fixed_values_are_held_while_the_others_are_optimised() -> None:
    optimizer = search(UNIT, bowl, 15)
    values = []
    for _ in range(4):
        batch = optimizer.ask(fixed={"x0": 0.9})
        assert batch.x[0, 0] == 0.9
        values.append(bowl(batch.configs[0]))
        optimizer.tell(batch, values[-1:])
    assert min(values) < 0.36 + 0.01
    conditional = search(MIXED, mixed, 12)
    assert conditional.ask(fixed={"model": "poly"}).configs[0]["model"] == "poly"


@pytest.mark.parametrize(
    "f",
    [
        lambda c: 1.0,
        lambda c: 0.0,
        lambda c: 1e12 * bowl(c),
        lambda c: 1e-300 * bowl(c),
        lambda c: 1e300 * bowl(c),
        lambda c: 1e12 if c["x0"] > 0.9 else bowl(c),
    ],
    ids=["constant", "zero", "1e12", "1e-300", "1e300", "outlier"],
)
def test_extreme_values_are_survived(f: Callable[[Config], float]) -> None:
    search(UNIT, f, 12)


def test_scale_of_the_values_does_not_matter() -> None:
    small, large = (best(search(UNIT, lambda c, k=k: k * bowl(c), 15)) / k for k in (1.0, 1e12))  # type: ignore[misc]
    assert small < 1e-3
    assert large < 1e-3


def test_thousand_levels_and_one_variable() -> None:
    levels = bb.Space({"a": bb.Categorical([str(i) for i in range(1000)]), "x": bb.Real(0, 1)})
    optimizer = search(levels, lambda c: float(int(c["a"]) % 7) + c["x"], 15)
    assert best(optimizer) < 1.5
    assert best(search(bb.Space.box([0], [1]), bowl, 12)) < 1e-4


def test_conflicting_repeats_and_one_point() -> None:
    optimizer = bb.Optimizer(UNIT, BayesianOptimization(), seed=1)
    optimizer.tell(UNIT.batch([[0.5, 0.5]] * 6), [1, 2, 3, 1.5, 2, 3])
    assert len(optimizer.ask(3)) == 3
    assert optimizer._kernel.objectives[0].noisy
    lone = bb.Optimizer(UNIT, BayesianOptimization(start=1), seed=1)
    lone.tell(UNIT.batch([[0.5, 0.5]]), [1.0])
    assert len(lone.ask(8)) == 8
    assert optimizer._kernel.fallbacks == lone._kernel.fallbacks == 0


def test_start_design_counts_attempts_and_respects_the_budget() -> None:
    optimizer = bb.Optimizer(UNIT, BayesianOptimization(), seed=3, budget=12)
    batch = optimizer.ask(3)
    assert optimizer._kernel.started == 3
    assert batch.x[0].tolist() == [0.5, 0.5]
    optimizer.tell(batch, [math.nan] * 3)
    optimizer.ask()
    assert optimizer._kernel.modelled == 1


def test_restored_search_goes_on_bit_for_bit() -> None:
    straight = search(MIXED, mixed, 12, seed=5)
    other = bb.Optimizer(MIXED, BayesianOptimization(), seed=99)
    other.restore(straight.state())
    for _ in range(5):
        a, b = straight.ask(2), other.ask(2)
        assert torch.equal(a.x.nan_to_num(-1), b.x.nan_to_num(-1))
        for optimizer, batch in ((straight, a), (other, b)):
            optimizer.tell(batch, [mixed(c) for c in batch.configs])


def test_many_data_are_served() -> None:
    optimizer = bb.Optimizer(bb.Space.box([0] * 4, [1] * 4), BayesianOptimization(), seed=0)
    x = torch.rand((1200, 4), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    optimizer.tell(optimizer.space.batch(x), ((x - 0.3) ** 2).sum(1))
    assert float((optimizer.ask().x - 0.3).abs().max()) < 0.1
    assert optimizer._kernel.fallbacks == 0


@pytest.mark.parametrize("options", [{"noise": -1.0}, {"noise": "high"}, {"start": 0}, {"batch_size": 0}])
def test_wrong_settings_are_named(options: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=next(iter(options))):
        BayesianOptimization(**options)


def test_one_outlier_does_not_slow_the_search() -> None:
    problem = Branin()
    regrets = []
    for seed in range(3):
        optimizer = bb.Optimizer(problem, BayesianOptimization(), seed=seed)
        optimizer.tell(problem.space.batch(np.array([[9.0, 14.0]])), [1e12])
        for _ in range(28):
            batch = optimizer.ask()
            optimizer.tell(batch, problem(batch.x))
        regrets.append(float(optimizer.result().values) - problem.optimum)
    assert np.median(regrets) < 1e-4
