"""Several objectives through the optimizer: quality, constraints, failures, noise, batches, mixed spaces, bad input."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import blackbox as bb
from blackbox import metrics
from blackbox.algorithms import BayesianOptimization
from blackbox.errors import CapabilityError, SettingError
from blackbox.problems import C2DTLZ2, DTLZ2, ZDT1

Values = Callable[[torch.Tensor], torch.Tensor]


def two_wells(u: torch.Tensor) -> torch.Tensor:
    return torch.stack([((u - 0.25) ** 2).sum(1), ((u - 0.75) ** 2).sum(1)], 1)


def search(
    values: Values = two_wells,
    *,
    n: int = 25,
    batch: int = 1,
    m: int = 2,
    d: int = 2,
    violations: Values | None = None,
    **settings: Any,
) -> bb.Optimizer:
    optimizer = bb.Optimizer(
        bb.Space.box([0] * d, [1] * d),
        BayesianOptimization(**settings),
        objectives=m,
        n_constraints=0 if violations is None else 1,
        seed=0,
    )
    while optimizer.n_evaluations < n:
        points = optimizer.ask(batch)
        told = None if violations is None else violations(points.x)
        optimizer.tell(points, values(points.x), violations=told)
    return optimizer


def volume(optimizer: bb.Optimizer, reference: list[float]) -> float:
    return metrics.hypervolume(optimizer.result().values, reference)


def fallbacks(optimizer: bb.Optimizer) -> int:
    return int(optimizer._kernel.fallbacks)


@pytest.mark.parametrize(
    ("problem", "reference", "least"),
    [
        (ZDT1(dim=6), [11.0, 11.0], 120.50),
        (DTLZ2(dim=6, n_objectives=2), [1.1, 1.1], 0.34),
        (DTLZ2(dim=6, n_objectives=3), [1.1, 1.1, 1.1], 0.42),
        (C2DTLZ2(dim=6, n_objectives=2), [1.1, 1.1], 0.22),
    ],
)
def test_thirty_two_evaluations_reach_the_front(problem: bb.Problem, reference: list[float], least: float) -> None:
    optimizer = bb.Optimizer(problem, BayesianOptimization(reference_point=tuple(reference)), seed=1)
    while optimizer.n_evaluations < 32:
        batch = optimizer.ask()
        optimizer.tell(batch, problem(batch.x))
    assert volume(optimizer, reference) > least
    assert fallbacks(optimizer) == 0


def test_an_inferred_reference_point_serves_as_well_and_is_settled() -> None:
    optimizer = search(n=12)
    assert "reference" not in optimizer._kernel.memory
    while "reference" not in optimizer._kernel.memory and optimizer.n_evaluations < 45:
        batch = optimizer.ask()
        optimizer.tell(batch, two_wells(batch.x))
    settled = optimizer._kernel.memory["reference"].clone()
    for _ in range(3):
        batch = optimizer.ask()
        optimizer.tell(batch, two_wells(batch.x))
    assert torch.equal(optimizer._kernel.memory["reference"], settled)
    assert volume(optimizer, [0.6, 0.6]) > 0.24  # 0.2561 at most
    assert len(optimizer.result()) >= 10


def test_directions_are_the_users() -> None:
    told = {"reference_point": (-0.6, 0.6)}
    optimizer = bb.Optimizer(
        bb.Space.box([0, 0], [1, 1]),
        BayesianOptimization(**told),
        objectives=[bb.Objective("gain", maximize=True), "loss"],
        seed=0,
    )
    plain = bb.Optimizer(
        bb.Space.box([0, 0], [1, 1]), BayesianOptimization(reference_point=(0.6, 0.6)), objectives=2, seed=0
    )
    for _ in range(12):
        batch, other = optimizer.ask(), plain.ask()
        assert torch.equal(batch.x, other.x)
        values = two_wells(batch.x)
        optimizer.tell(batch, values * torch.tensor([-1.0, 1.0]))
        plain.tell(other, values)


def test_constraints_are_met_and_the_front_follows_them() -> None:
    optimizer = search(violations=lambda u: 0.5 - u[:, :1], n=25)
    result = optimizer.result()
    assert len(result) >= 5
    assert float(result.x[:, 0].min()) < 0.55  # at the border
    assert fallbacks(optimizer) == 0


def test_all_infeasible_moves_towards_feasibility() -> None:
    optimizer = search(violations=lambda u: 1.9 - u.sum(1, keepdim=True), n=14)
    assert len(optimizer.result()) >= 1


def test_every_evaluation_failed() -> None:
    optimizer = search(lambda u: torch.full((len(u), 2), math.nan), n=12)
    assert len(optimizer.result()) == 0
    assert fallbacks(optimizer) == 0


def test_a_crashing_half_is_left_alone() -> None:
    optimizer = search(lambda u: torch.where(u[:, :1] > 0.5, math.nan, two_wells(u)), n=30)
    assert optimizer.n_failed <= 18
    assert len(optimizer.result()) >= 4


def test_noise_is_averaged_over() -> None:
    generator = torch.Generator().manual_seed(0)

    def noisy(u: torch.Tensor) -> torch.Tensor:
        return two_wells(u) + 0.02 * torch.randn((len(u), 2), generator=generator, dtype=torch.float64)

    optimizer = search(noisy, n=20, noise=0.0004, reference_point=(0.6, 0.6))
    late = optimizer.result().x
    assert metrics.hypervolume(two_wells(late), [0.6, 0.6]) > 0.2
    learned = search(noisy, n=12)
    assert fallbacks(optimizer) == fallbacks(learned) == 0


def test_known_variances_are_used() -> None:
    optimizer = bb.Optimizer(bb.Space.box([0, 0], [1, 1]), BayesianOptimization(), objectives=2, seed=0)
    for _ in range(12):
        batch = optimizer.ask()
        values = two_wells(batch.x)
        optimizer.tell(batch, values, variance=torch.full_like(values, 1e-4))
    assert fallbacks(optimizer) == 0


@pytest.mark.parametrize("several", ["hypervolume", "scalarised"])
def test_batches_and_pending_points_spread_over_the_front(several: Any) -> None:
    optimizer = search(n=12, several=several, reference_point=(0.6, 0.6))
    batches = [optimizer.ask(4) for _ in range(3)]
    points = torch.cat([batch.x for batch in batches])
    gaps = torch.cdist(points, points) + 9.0 * torch.eye(12, dtype=torch.float64)
    assert float(gaps.min()) > 1e-4
    spread = float((points.max(0).values - points.min(0).values).max())
    assert spread > (0.25 if several == "hypervolume" else 0.1)
    for batch in reversed(batches):
        optimizer.tell(batch, two_wells(batch.x))
    assert fallbacks(optimizer) == 0


def test_scalarisations_serve_six_objectives() -> None:
    centres = torch.linspace(0.1, 0.9, 6, dtype=torch.float64)
    optimizer = search(lambda u: ((u[:, :, None] - centres) ** 2).sum(1), m=6, n=20)
    last = optimizer.result().x[-8:]
    # The Pareto set is the diagonal.
    assert float((last[:, 0] - last[:, 1]).abs().median()) < 0.1
    assert fallbacks(optimizer) == 0


def test_scalarisations_reach_the_front_of_two() -> None:
    optimizer = search(n=25, several="scalarised")
    assert volume(optimizer, [0.6, 0.6]) > 0.23


MIXED = bb.Space(
    {
        "x": bb.Real(0, 1),
        "n": bb.Integer(1, 8),
        "kind": bb.Categorical(["a", "b", "c"]),
        "deep": bb.Real(0, 1, when={"kind": "b"}),
    }
)


def mixed_values(config: dict[str, Any]) -> list[float]:
    bonus = (config["deep"] - 0.5) ** 2 if config["kind"] == "b" else 0.3
    first = config["x"] + bonus + abs(config["n"] - 6) / 8
    return [first, 1.0 - config["x"] + bonus + abs(config["n"] - 3) / 8]


def test_mixed_conditional_spaces_are_searched() -> None:
    optimizer = bb.Optimizer(MIXED, BayesianOptimization(), objectives=2, seed=0)
    while optimizer.n_evaluations < 35:
        batch = optimizer.ask()
        optimizer.tell(batch, [mixed_values(config) for config in batch.configs])
    configs = optimizer.result().configs
    good = [c for c in configs if c["kind"] == "b" and 3 <= c["n"] <= 6 and abs(c["deep"] - 0.5) < 0.2]
    assert len(good) >= 0.7 * len(configs)
    assert len(good) >= 5


def test_fixed_values_are_held_while_a_front_is_searched() -> None:
    optimizer = search(n=12)
    for _ in range(6):
        batch = optimizer.ask(fixed={"x0": 0.9})
        assert float(batch.x[0, 0]) == pytest.approx(0.9)
        optimizer.tell(batch, two_wells(batch.x))
    held = optimizer.ask(4, fixed={"x0": 0.9}).x  # in this slice the front is between 0.25 and 0.75
    assert int(((held[:, 1] > 0.15) & (held[:, 1] < 0.85)).sum()) >= 3


def test_a_finite_space_is_exhausted_without_repeats() -> None:
    space = bb.Space({"i": bb.Integer(0, 3), "j": bb.Integer(0, 3)})
    optimizer = bb.Optimizer(space, BayesianOptimization(), objectives=2, seed=0)
    seen = set()
    for _ in range(16):
        batch = optimizer.ask()
        seen.add(tuple(batch.x[0].tolist()))
        optimizer.tell(batch, two_wells(batch.x / 3.0))
    assert len(seen) == 16


@pytest.mark.parametrize(
    "values",
    [
        lambda u: torch.ones((len(u), 2), dtype=torch.float64),
        lambda u: torch.stack([u[:, 0], torch.full((len(u),), 3.0, dtype=torch.float64)], 1),
        lambda u: torch.where(u[:, :1] > 0.9, 1e12, two_wells(u)),
        lambda u: two_wells(u) * 1e-300,
        lambda u: two_wells(u) * 1e200,
        lambda u: torch.stack([u[:, 0], u[:, 0]], 1),
        lambda u: torch.where(u.sum(1, keepdim=True) > 1.2, math.inf, two_wells(u)),
    ],
    ids=["constant", "one constant", "outlier", "tiny", "huge", "equal objectives", "infinite"],
)
@pytest.mark.parametrize("several", ["hypervolume", "scalarised"])
def test_extreme_values_are_survived(values: Values, several: Any) -> None:
    optimizer = search(values, n=14, several=several)
    optimizer.space.check(optimizer.ask(2).x)
    assert fallbacks(optimizer) == 0


def test_a_reference_point_that_nothing_dominates_still_leads_somewhere() -> None:
    optimizer = search(n=20, reference_point=(0.13, 0.13))  # only the middle of the front, (0.125, 0.125), is better
    assert volume(optimizer, [0.13, 0.13]) > 0.0
    hopeless = search(n=12, reference_point=(-1.0, -1.0))
    assert fallbacks(hopeless) == 0


def test_repeated_points_with_different_values() -> None:
    optimizer = bb.Optimizer(bb.Space.box([0, 0], [1, 1]), BayesianOptimization(), objectives=2, seed=0)
    x = torch.full((6, 2), 0.5, dtype=torch.float64)
    optimizer.tell(optimizer.space.batch(x), torch.arange(12, dtype=torch.float64).reshape(6, 2))
    optimizer.tell(optimizer.space.batch(x[:1] * 0.5), [[1.0, 2.0]])
    for _ in range(3):
        batch = optimizer.ask(2)
        optimizer.tell(batch, two_wells(batch.x))
    assert fallbacks(optimizer) == 0


def test_four_objectives_by_hypervolume() -> None:
    centres = torch.linspace(0.2, 0.8, 4, dtype=torch.float64)
    optimizer = search(lambda u: ((u[:, :, None] - centres) ** 2).sum(1), m=4, n=16)
    assert fallbacks(optimizer) == 0
    last = optimizer.result().x[-5:]
    assert float((last[:, 0] - last[:, 1]).abs().median()) < 0.15


def test_a_restored_search_goes_on_bit_for_bit(tmp_path: Any) -> None:
    straight = search(n=12)
    pending = straight.ask(2)
    straight.save(tmp_path / "run.bb")
    resumed = bb.Optimizer.load(tmp_path / "run.bb")
    for optimizer in (straight, resumed):
        optimizer.tell(optimizer.pending, two_wells(pending.x))
    assert torch.equal(straight.ask(2).x, resumed.ask(2).x)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"reference_point": (1.0, math.nan)}, "reference_point"),
        ({"reference_point": "far"}, "reference_point"),
        ({"reference_point": 3.0}, "reference_point"),
        ({"reference_point": ()}, "reference_point"),
        ({"several": "both"}, "several"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(SettingError, match=f"^{name}: expected"):
        BayesianOptimization(**settings)


def test_what_does_not_fit_the_problem_is_refused() -> None:
    with pytest.raises(SettingError, match="reference_point: expected 3 numbers, got"):
        search(m=3, reference_point=(1.0, 1.0), n=1)
    with pytest.raises(CapabilityError, match="it has 5 objectives"):
        search(m=5, several="hypervolume", n=1)


@pytest.mark.parametrize("several", ["hypervolume", "scalarised"])
def test_known_constraints_on_inputs_are_kept(several: Any) -> None:
    optimizer = search(n=12, batch=4, several=several, input_constraints=(lambda c: 0.8 - c["x0"] - c["x1"],))
    assert (optimizer.result().x.sum(1) >= 0.8 - 1e-9).all()
    assert fallbacks(optimizer) == 0


def test_sparse_priors_find_the_two_columns_that_matter() -> None:
    optimizer = search(lambda u: two_wells(u[:, :2]), d=20, n=24, batch=2, sparse=True, reference_point=(0.6, 0.6))
    assert volume(optimizer, [0.6, 0.6]) > 0.2
    assert fallbacks(optimizer) == 0


def test_reference_points_may_be_arrays() -> None:
    assert BayesianOptimization(reference_point=np.array([1, 2])).reference_point == (1.0, 2.0)  # type: ignore[arg-type]


def test_a_problems_own_reference_point_counts_and_is_kept_in_a_study(tmp_path: Any) -> None:
    problem = DTLZ2(dim=3, n_objectives=2)
    given = bb.Optimizer(problem, BayesianOptimization(reference_point=(1.1, 1.1)), seed=0)
    own = bb.Optimizer(problem, BayesianOptimization(), seed=0)
    with bb.Study(problem, BayesianOptimization(), tmp_path / "run.db", seed=0) as study:
        study.run(evaluations=9, progress=False)
    with bb.Study.open(tmp_path / "run.db") as study:
        asked = study.ask()
    for _ in range(9):
        batch, same = given.ask(), own.ask()
        given.tell(batch, problem(batch.x))
        own.tell(same, problem(same.x))
    assert torch.equal(own._kernel.memory["reference"], torch.tensor([1.1, 1.1], dtype=torch.float64))
    x = own.ask().x
    assert torch.equal(given.ask().x, x)
    assert torch.equal(asked.x, x)
