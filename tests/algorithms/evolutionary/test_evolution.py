"""Generational and steady-state algorithms on unusual input."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from blackbox import Optimizer
from blackbox.algorithms import DE, GA, MOEAD, NSGA2, NSGA3, RVEA, HypE
from blackbox.errors import SettingError
from blackbox.parameters import Categorical, Integer, Real
from blackbox.space import Space

KINDS: list[Any] = [NSGA2, NSGA3, MOEAD, HypE, RVEA]


def box(d: int = 4) -> Space:
    return Space.box([0.0] * d, [1.0] * d)


def values_of(x: torch.Tensor, m: int) -> torch.Tensor:
    centres = torch.linspace(0.2, 0.8, m, dtype=x.dtype)
    return ((x.unsqueeze(1) - centres[:, None]) ** 2).sum(-1)


def members(optimizer: Optimizer) -> Any:
    optimizer.result()  # delivers what was told
    return optimizer._kernel


@pytest.mark.parametrize("kind", [*KINDS, GA, DE])
@pytest.mark.parametrize("n", [4, 7, 10])
@pytest.mark.parametrize("m", [1, 2, 4])
def test_any_population_size_and_number_of_objectives(kind: Any, n: int, m: int) -> None:
    if m > 1 and kind in (GA, DE):
        return
    optimizer = Optimizer(box(), kind(population_size=n), objectives=m, seed=1)
    for _ in range(4):
        batch = optimizer.ask()
        assert len(batch) == n
        optimizer.tell(batch, values_of(batch.x, m))
    optimizer.ask()
    state = optimizer._kernel
    assert len(state) == n
    assert torch.isfinite(state.values).all()


@pytest.mark.parametrize("kind", [*KINDS, GA])
def test_two_members(kind: Any) -> None:
    optimizer = Optimizer(box(), kind(population_size=2), objectives=1 if kind is GA else 3, seed=1)
    for _ in range(4):
        batch = optimizer.ask()
        optimizer.tell(batch, values_of(batch.x, 1 if kind is GA else 3))
    assert len(members(optimizer)) == 2


@pytest.mark.parametrize("divisions", [1, 40])
def test_fewer_and_more_directions_than_members(divisions: int) -> None:
    optimizer = Optimizer(box(), NSGA3(population_size=20, divisions=divisions), objectives=3, seed=1)
    for _ in range(4):
        batch = optimizer.ask()
        optimizer.tell(batch, values_of(batch.x, 3))
    assert len(members(optimizer)) == 20


@pytest.mark.parametrize("kind", KINDS)
def test_abandoned_rows_are_missing(kind: Any) -> None:
    optimizer = Optimizer(box(), kind(population_size=8), objectives=2, seed=1)
    for _ in range(4):
        batch = optimizer.ask()
        optimizer.tell(batch[[5, 1, 2]], values_of(batch.x[[5, 1, 2]], 2))
        optimizer.abandon(batch[[0, 3, 4, 6, 7]])
    state = members(optimizer)
    assert len(optimizer.result()) >= 1
    assert len(state) == 8


@pytest.mark.parametrize("kind", KINDS)
def test_failed_rows_are_no_parents_while_others_exist(kind: Any) -> None:
    optimizer = Optimizer(box(), kind(population_size=8, mutation_probability=1e-9), objectives=2, seed=1)
    batch = optimizer.ask()
    good = batch.x[2]
    values = torch.full((8, 2), math.nan, dtype=torch.float64)
    values[2] = 1.0
    optimizer.tell(batch, values)
    assert torch.equal(optimizer.ask().x, good.expand(8, 4)), "there was one possible parent"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", ["equal", "constant", "line", "infeasible", "duplicates", "huge"])
def test_degenerate_values(kind: Any, case: str) -> None:
    k = 1 if case == "infeasible" else 0
    optimizer = Optimizer(box(), kind(population_size=10), objectives=3, n_constraints=k, seed=1)
    for _ in range(4):
        batch = optimizer.ask()
        values = values_of(batch.x, 3)
        if case == "equal":
            values = torch.ones_like(values)
        elif case == "constant":
            values[:, 1] = 4.0
        elif case == "line":
            values = values[:, :1].expand(-1, 3)
        elif case == "duplicates":
            values = values[:1].expand(10, -1)
        elif case == "huge":
            values = values * 1e300
        violations = 1 + batch.x[:, :1] if k else None
        optimizer.tell(batch, values, violations=violations)
        optimizer.space.check(optimizer.pending.x)
    result = optimizer.result()
    if k:
        assert len(result) == 0
        assert result.least_violated is not None
    else:
        assert torch.isfinite(result.values).all()
        assert len(result) >= 1


@pytest.mark.parametrize("kind", [NSGA2, NSGA3, MOEAD, HypE, RVEA, GA, DE])
def test_external_points_join(kind: Any) -> None:
    m = 1 if kind in (GA, DE) else 2
    optimizer = Optimizer(box(), kind(population_size=8), objectives=m, seed=1)
    for start in (False, True):
        if start:
            batch = optimizer.ask()
            optimizer.tell(batch, values_of(batch.x, m) + 1)
        x = torch.full((3, 4), 0.5, dtype=torch.float64)
        optimizer.tell(optimizer.space.batch(x), torch.full((3, m), -1.0 - start, dtype=torch.float64))
    assert float(optimizer.result().values.min()) == -2
    optimizer.ask()
    assert (optimizer._kernel.x == 0.5).all(-1).any()


@pytest.mark.parametrize("kind", [NSGA2, NSGA3, MOEAD, HypE, RVEA, GA, DE])
def test_steady_state_takes_any_number_of_rows(kind: Any) -> None:
    m = 1 if kind in (GA, DE) else 2
    optimizer = Optimizer(box(), kind(population_size=6, steady_state=True), objectives=m, seed=1)
    waiting = []
    for count in (1, 4, 9, 2, 1, 13, 1, 5):
        batch = optimizer.ask(count)
        assert len(batch) == count
        waiting.append(batch)
        if len(waiting) == 3:
            done = waiting.pop(1)
            optimizer.tell(done, values_of(done.x, m))
    assert len(members(optimizer)) == 6
    optimizer.ask(3)
    assert len(optimizer._kernel) == 6


def test_mixed_spaces_reach_every_kind_of_value() -> None:
    space = Space(
        {
            "lr": Real(1e-5, 1.0, log=True),
            "n": Integer(1, 1000),
            "units": Integer(1, 1000, log=True),
            "kind": Categorical(["a", "b", "c", "d"]),
            "only_b": Real(0, 1, when={"kind": "b"}),
        }
    )
    optimizer = Optimizer(space, GA(population_size=40), seed=2)
    for _ in range(40):
        batch = optimizer.ask()
        values = [
            abs(math.log10(c["lr"]) + 2)
            + abs(c["n"] - 700) / 100
            + abs(math.log(c["units"] / 30))
            + (abs(c["only_b"] - 0.9) if c["kind"] == "b" else 1.0)
            for c in batch.configs
        ]
        optimizer.tell(batch, values)
    best = optimizer.result().configs[0]
    assert float(optimizer.result().values) < 0.3
    assert best["kind"] == "b"


def test_parents_are_chosen_about_equally_often() -> None:
    from blackbox.algorithms.evolutionary.mating import choose_rows, choosing_draws

    generator = torch.Generator().manual_seed(0)
    for n, count, pool in ((10, 10, 10), (10, 25, 7), (11, 12, 11), (50, 4, 50)):
        u = torch.rand(2000, choosing_draws(n, count), generator=generator, dtype=torch.float64)
        rows = choose_rows(u, n, count, pool)
        assert rows.shape == (2000, count)
        share = torch.bincount(rows.flatten(), minlength=n) / rows.numel()
        assert (share[:pool] - 1 / pool).abs().max() < 0.03
        assert (share[pool:] == 0).all()
        one = choose_rows(u[3], n, count, torch.tensor([pool]))
        assert torch.equal(one, choose_rows(u[3], n, count, pool))


@pytest.mark.parametrize("budget", [None, 240])  # it does not depend on what is foreseen
def test_nsga3_mixes_more_at_first(budget: int | None) -> None:
    def optimizer(**settings: Any) -> Optimizer:
        return Optimizer(box(), NSGA3(4, **settings), objectives=3, seed=2, budget=budget)

    default, early = optimizer(), optimizer(crossover_probability=0.85)
    for turn in range(51):
        one, two = default.ask(), early.ask()
        assert torch.equal(one.x, two.x) == (turn < 50)
        default.tell(one, values_of(one.x, 3))
        early.tell(two, values_of(two.x, 3))


@pytest.mark.parametrize("kind", [NSGA2, NSGA3, MOEAD, HypE, RVEA, GA, DE])
def test_a_population_that_cannot_fit_is_refused_before_allocation(kind: Any) -> None:
    m = 1 if kind in (GA, DE) else 3
    with pytest.raises(SettingError, match=r"population_size: 10000000000 members .* GB"):
        Optimizer(box(), kind(population_size=10**10), objectives=m)


@pytest.mark.parametrize(
    ("kind", "settings", "name"),
    [
        (NSGA2, {"population_size": 1}, "population_size"),
        (NSGA2, {"population_size": 10.0}, "population_size"),
        (NSGA2, {"crossover_eta": -1.0}, "crossover_eta"),
        (NSGA2, {"mutation_probability": 1.5}, "mutation_probability"),
        (NSGA3, {"crossover_probability": 0.0}, "crossover_probability"),
        (NSGA3, {"divisions": 0}, "divisions"),
        (MOEAD, {"neighbours": 1}, "neighbours"),
        (MOEAD, {"aggregation": "sum"}, "aggregation"),
        (MOEAD, {"theta": math.nan}, "theta"),
        (HypE, {"samples": 0}, "samples"),
        (RVEA, {"generations": 0}, "generations"),
        (RVEA, {"penalty": 0.0}, "penalty"),
        (DE, {"population_size": 3}, "population_size"),
        (DE, {"strategy": "best2"}, "strategy"),
        (DE, {"scale": math.nan}, "scale"),
    ],
)
def test_wrong_settings_are_named(kind: Any, settings: dict[str, Any], name: str) -> None:
    with pytest.raises(SettingError, match=name):
        kind(**settings)


def test_directions_that_no_population_can_serve_are_refused() -> None:
    with pytest.raises(SettingError, match="divisions"):
        Optimizer(box(), NSGA3(population_size=10, divisions=10_000), objectives=3)
