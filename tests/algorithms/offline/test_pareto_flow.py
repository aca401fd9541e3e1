"""ParetoFlow: what a user sees. Distinct designs in the bounds, trained once, saved, honest about bad data."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import blackbox as bb
from blackbox.algorithms import ParetoFlow
from blackbox.algorithms.offline import Guidance, pareto_flow
from blackbox.errors import NotReadyError, SettingError, SpaceError
from blackbox.parameters import Categorical, Integer, Ordinal, Real
from blackbox.surrogates.ensemble import EnsembleSettings
from blackbox.surrogates.flow import FlowSettings
from blackbox.surrogates.reporting import Report, watching

BETTER = EnsembleSettings(hidden=(64,), epochs=80, batch_size=32, activation="silu")
TINY = ParetoFlow(
    predictors=EnsembleSettings(hidden=(32,), epochs=15, batch_size=32, activation="silu", learning_rate=3e-3),
    flow=FlowSettings(hidden=(32,), epochs=15, batch_size=32),
    guidance=Guidance(streams=40, warm_steps=4, guided_steps=8, rounds=2),
    refinement=5,
)


def objectives(x: Tensor) -> Tensor:
    """Two bowls, shape (n, 2): the best trade-offs lie between their centres."""
    return torch.stack([(x - 0.2).square().sum(1), (x - 0.8).square().sum(1)], 1)


def points(n: int, d: int, seed: int = 1) -> Tensor:
    return torch.rand((n, d), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def told(n: int = 200, d: int = 3, algorithm: ParetoFlow = TINY, **options: Any) -> bb.Optimizer:
    optimizer = bb.Optimizer(bb.Space.box([0.0] * d, [1.0] * d), algorithm, objectives=2, seed=0, **options)
    x = points(n, d)
    optimizer.tell(optimizer.space.batch(x), objectives(x))
    return optimizer


def assert_sound(optimizer: bb.Optimizer, x: Tensor, n: int) -> None:
    assert x.shape == (n, optimizer.space.dim)
    optimizer.space.check(x)
    assert len(torch.unique(x, dim=0)) == n


def test_256_distinct_designs_better_than_the_data() -> None:
    optimizer = told(400)
    x = optimizer.ask().x
    assert_sound(optimizer, x, 256)
    reference = [0.8, 0.8]
    assert bb.metrics.hypervolume(objectives(x), reference) > bb.metrics.hypervolume(
        objectives(points(400, 3)), reference
    )


def test_asking_again_trains_nothing_and_repeats_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    fits = []
    original = pareto_flow.fit_models
    monkeypatch.setattr(pareto_flow, "fit_models", lambda *a: fits.append(1) or original(*a))  # type: ignore[func-returns-value]
    optimizer = told()
    x = torch.cat([optimizer.ask(64).x for _ in range(7)])
    assert_sound(optimizer, x, 7 * 64)
    assert len(fits) == 1
    batch = optimizer.ask(8)
    optimizer.tell(batch, objectives(batch.x))
    optimizer.ask(8)
    assert len(fits) == 1, "what became of designs does not train at once"
    more = points(20, 3, seed=2)
    optimizer.tell(optimizer.space.batch(more), objectives(more))
    optimizer.ask(8)
    assert len(fits) == 2, "more data train anew"


def test_ask_before_data_says_what_to_do() -> None:
    optimizer = bb.Optimizer(bb.Space.box([0], [1]), TINY, objectives=2, seed=0)
    with pytest.raises(NotReadyError, match="tell a data set first"):
        optimizer.ask()


def test_too_few_rows_are_refused_and_more_may_be_told() -> None:
    optimizer = told(5)
    with pytest.raises(NotReadyError, match="at least 8 distinct points with values, got 5"):
        optimizer.ask()
    x = points(40, 3, seed=2)
    optimizer.tell(optimizer.space.batch(x), objectives(x))
    assert len(optimizer.ask(16)) == 16


def test_failed_rows_are_dropped_and_counted() -> None:
    optimizer = bb.Optimizer(bb.Space.box([0, 0], [1, 1]), TINY, objectives=2, seed=0)
    x = points(60, 2)
    values = objectives(x)
    values[3, 0], values[7, 1], values[9] = math.nan, math.inf, -math.inf
    assert optimizer.tell(optimizer.space.batch(x), values).n_failed == 3
    assert_sound(optimizer, optimizer.ask(32).x, 32)
    assert optimizer.n_failed == 3


@pytest.mark.parametrize("constant", [0.0, 1e9])
def test_one_constant_objective_is_served_and_all_constant_ones_are_refused(constant: float) -> None:
    x = points(60, 2)
    values = objectives(x)
    values[:, 1] = constant
    optimizer = bb.Optimizer(bb.Space.box([0, 0], [1, 1]), TINY, objectives=2, seed=0)
    optimizer.tell(optimizer.space.batch(x), values)
    assert_sound(optimizer, optimizer.ask(32).x, 32)
    optimizer = bb.Optimizer(bb.Space.box([0, 0], [1, 1]), TINY, objectives=2, seed=0)
    optimizer.tell(optimizer.space.batch(x), torch.full((60, 2), constant))
    with pytest.raises(NotReadyError, match="the same value"):
        optimizer.ask()


def test_repeated_rows_and_equal_points_are_merged() -> None:
    optimizer = bb.Optimizer(bb.Space.box([0, 0], [1, 1]), TINY, objectives=2, seed=0)
    x = points(20, 2).repeat(5, 1)
    optimizer.tell(optimizer.space.batch(x), objectives(x) + 0.01 * points(100, 2))
    assert_sound(optimizer, optimizer.ask(16).x, 16)
    optimizer = bb.Optimizer(bb.Space.box([0, 0], [1, 1]), TINY, objectives=2, seed=0)
    optimizer.tell(optimizer.space.batch(torch.full((50, 2), 0.5)), points(50, 2))
    with pytest.raises(NotReadyError, match="got 1"):
        optimizer.ask()


def test_points_outside_of_the_bounds_are_refused_by_name() -> None:
    space = bb.Space.box([0, 0], [1, 1])
    with pytest.raises(SpaceError, match="x1"):
        space.batch(torch.tensor([[0.5, 1.5]]))


def test_a_column_that_is_constant_in_the_data_stays() -> None:
    optimizer = bb.Optimizer(bb.Space.box([0, 0], [1, 1]), TINY, objectives=2, seed=0)
    x = points(60, 2)
    x[:, 1] = 0.25
    optimizer.tell(optimizer.space.batch(x), objectives(x))
    torch.testing.assert_close(optimizer.ask(16).x[:, 1], torch.full((16,), 0.25, dtype=torch.float64))


def test_one_column_many_columns_and_many_objectives() -> None:
    assert_sound(told(60, 1), told(60, 1).ask(16).x, 16)
    assert_sound(told(60, 500), told(60, 500).ask(16).x, 16)
    x = points(60, 6)
    optimizer = bb.Optimizer(bb.Space.box([0] * 6, [1] * 6), TINY, objectives=6, seed=0)
    optimizer.tell(optimizer.space.batch(x), x + points(60, 6, seed=3))
    assert_sound(optimizer, optimizer.ask(16).x, 16)


def test_discrete_designs_are_distinct_and_a_finite_space_runs_out_gently() -> None:
    space = bb.Space({"n": Integer(1, 4), "size": Ordinal(["s", "m", "l"]), "a": Real(0, 1)})
    optimizer = bb.Optimizer(space, TINY, objectives=2, seed=0)
    x = space.from_unit(points(80, 3))
    optimizer.tell(space.batch(x), objectives(space.to_unit(x)))
    assert_sound(optimizer, optimizer.ask(64).x, 64)
    small = bb.Space({"n": Integer(1, 4), "size": Ordinal(["s", "m", "l"])})
    optimizer = bb.Optimizer(small, TINY, objectives=2, seed=0)
    x = small.from_unit(points(80, 2))
    optimizer.tell(small.batch(x), objectives(small.to_unit(x)))
    found = optimizer.ask(64).x
    assert 1 <= len(found) <= 12
    assert_sound(optimizer, found, len(found))
    assert len(optimizer.ask(4)) >= 1


def test_categorical_columns_are_learned() -> None:
    """Two objectives count letters: the designs found have none of the letters that both dislike."""
    space = bb.Space({f"p{k}": Categorical(list("ACGT")) for k in range(6)})
    optimizer = bb.Optimizer(space, TINY, objectives=2, seed=0)
    x = space.from_unit(points(300, 6))
    values = torch.stack([(x != 0).double().sum(1), (x != 1).double().sum(1)], 1)
    optimizer.tell(space.batch(x), values)
    found = optimizer.ask(32).x
    assert_sound(optimizer, found, 32)
    assert float((found <= 1).double().mean()) > 0.75 > float((x <= 1).double().mean())


def test_known_points_can_be_left_out() -> None:
    optimizer = told(60, algorithm=replace(TINY, known=False))
    x = optimizer.ask(64).x
    assert float(torch.cdist(x, points(60, 3)).min()) > 1e-4


def test_what_is_predicted_and_what_is_known_comes_with_the_designs() -> None:
    """Standardised with the data, larger is better, one column an objective: as the baselines say it."""
    optimizer = told(400, algorithm=replace(TINY, predictors=BETTER))
    data, batch = objectives(points(400, 3)), optimizer.ask(64)
    predicted, known = batch.context["predicted"], batch.context["known"]
    assert predicted.shape == (64, 2)
    measured = (data.mean(0) - objectives(batch.x)) / data.std(0, correction=0)
    for j in range(2):
        assert float(torch.corrcoef(torch.stack([predicted[:, j], measured[:, j]]))[0, 1]) > 0.9
    assert float((predicted - measured).abs().median()) < 0.5
    distance = (batch.x.unsqueeze(1) - points(400, 3)).abs().amax(-1).amin(1)
    assert torch.equal(known, distance < 1e-6)
    assert torch.equal(known, distance == 0), "a point of the data is handed out as it was told"
    assert bool(known.any())


def test_saved_and_loaded_it_goes_on_without_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    straight = told()
    straight.ask(100)
    straight.save(tmp_path / "state.bb")
    loaded = bb.Optimizer.load(tmp_path / "state.bb")
    monkeypatch.setattr(pareto_flow, "fit_models", None)
    for n in (50, 200):
        assert torch.equal(straight.ask(n).x, loaded.ask(n).x)


def test_training_can_be_watched() -> None:
    heard: list[Report] = []
    with watching(heard.append):
        told(40).ask(4)
    assert {report.stage for report in heard} == {"training predictors", "training flow", "sampling designs"}


def test_published_settings_are_those_of_the_paper() -> None:
    published = ParetoFlow.published(exact=True)
    assert published.predictors == EnsembleSettings(hidden=(2048, 2048), epochs=200, batch_size=128)
    assert published.predictors is not None
    assert published.flow is not None
    assert (published.flow.hidden, published.flow.epochs, published.flow.time) == ((512,) * 3, 1000, "added")
    guidance = published.guidance
    assert (guidance.strength, guidance.noise, guidance.offspring, guidance.guided_from) == (2.0, 0.1, 5, 0.8)
    assert guidance.warm_steps + guidance.guided_steps == 1000
    fast = ParetoFlow.published()
    assert fast.predictors is not None
    assert fast.flow is not None
    assert fast.predictors.hidden == published.predictors.hidden
    assert (fast.flow.hidden, fast.flow.epochs) == (published.flow.hidden, published.flow.epochs)
    last = [p.learning_rate * p.decay**p.epochs for p in (fast.predictors, published.predictors)]
    assert last[0] == pytest.approx(2 * last[1], rel=0.1), "twice the rate goes with larger batches"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("designs", 0),
        ("refinement", -1),
        ("targets", "rank"),
        ("selection", "best"),
        ("pessimism", -1.0),
        ("guidance", None),
        ("flow", 3),
    ],
)
def test_settings_are_checked(name: str, value: object) -> None:
    with pytest.raises(SettingError, match=name):
        ParetoFlow(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [("streams", 0), ("noise", -0.1), ("guided_from", 1.0), ("closer", 0.0), ("cone", "wide"), ("neighbours", 0)],
)
def test_guidance_is_checked(name: str, value: object) -> None:
    with pytest.raises(SettingError, match=name):
        Guidance(**{name: value})  # type: ignore[arg-type]
