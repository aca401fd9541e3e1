"""The offline baselines: better than the data where they should be, resumed exactly, and sound on bad data."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import blackbox as bb
from blackbox.algorithm import Algorithm
from blackbox.algorithms import ROOT, BestOfData, RandomSearch, SurrogateAscent, SurrogateEvolution
from blackbox.errors import NotReadyError, SettingError, SpaceError
from blackbox.parameters import Categorical, Integer, Real
from blackbox.problems import OfflineSet
from blackbox.space import Space
from blackbox.surrogates.ensemble import EnsembleSettings
from blackbox.surrogates.reporting import Report, watching

NET = EnsembleSettings(hidden=(32, 32), epochs=40, batch_size=32)
TINY = EnsembleSettings(hidden=(8,), epochs=2)
ASCENT = SurrogateAscent(ensemble=NET, steps=50, batch_size=16)
EVOLUTION = SurrogateEvolution(ensemble=NET, generations=30, population_size=32, batch_size=16)
MODELS = [ASCENT, EVOLUTION]
EVERY = [*MODELS, BestOfData(16)]
BOX = Space.box([0.0] * 3, [1.0] * 3)


def bowl(x: Tensor) -> Tensor:
    return (x - 0.7).square().sum(1)


def told(algorithm: Algorithm[Any], n: int = 300, seed: int = 0, space: Space = BOX, **options: Any) -> bb.Optimizer:
    """Return an optimizer that knows the worse part of a bowl."""
    optimizer = bb.Optimizer(space, algorithm, seed=seed, **options)
    u = torch.rand((4 * n, space.dim), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    u = u[bowl(u).argsort()[-n:]]
    x = space.from_unit(u)
    m = len(optimizer.objectives)
    values = torch.stack([bowl(u) if j == 0 else (u - 0.2).square().sum(1) for j in range(m)], 1)
    optimizer.tell(space.batch(x), values)
    return optimizer


@pytest.mark.parametrize("algorithm", MODELS, ids=lambda a: type(a).__name__)
def test_it_goes_beyond_the_data(algorithm: Algorithm[Any]) -> None:
    optimizer = told(algorithm)
    best = float(optimizer.result().values)
    x = optimizer.ask(16).x
    assert float(bowl(x).median()) < 0.5 * best
    assert len(torch.unique(x, dim=0)) == 16
    assert not bool(optimizer.ask(16).context["known"].any())


@pytest.mark.parametrize("algorithm", MODELS, ids=lambda a: type(a).__name__)
def test_predictions_come_with_the_designs(algorithm: Algorithm[Any]) -> None:
    batch = told(algorithm).ask(16)
    predicted = batch.context["predicted"]
    assert predicted.shape == (16,)
    assert bool((predicted[:-1] >= predicted[1:]).all()), "the best predicted design comes first"
    assert float(predicted[0]) > 1.5  # standard deviations above the mean of the data


def test_several_objectives_beat_the_data_and_cover_the_front() -> None:
    problem = OfflineSet("VLMOP2", size=2000)
    algorithm = SurrogateEvolution(ensemble=NET, generations=60, batch_size=64)
    optimizer = bb.Optimizer(problem, algorithm, seed=0)
    x, values = problem.dataset
    optimizer.tell(problem.space.batch(x), values)
    assert problem.score(optimizer.ask(64)).gap_closed > 0.5
    random = bb.Optimizer(problem, RandomSearch(), seed=0)
    random.tell(problem.space.batch(x), values)
    assert problem.score(random.ask(64)).gap_closed < 0


def test_targets_on_another_scale_lead_to_the_same_front() -> None:
    """Values over orders of magnitude: the logarithm tells the good ones apart."""
    x = torch.rand((400, 3), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    values = torch.stack([10 ** (6 * bowl(x)), x[:, 0]], 1)
    found = {}
    for targets in ("standard", "log"):
        algorithm = SurrogateEvolution(ensemble=NET, generations=20, batch_size=32, targets=targets)  # type: ignore[arg-type]
        optimizer = bb.Optimizer(BOX, algorithm, objectives=2, seed=0)
        optimizer.tell(BOX.batch(x), values)
        found[targets] = float(bowl(optimizer.ask(32).x).median())
    assert found["log"] < found["standard"]


def test_the_best_of_the_data_begins_anew_after_its_last_row() -> None:
    optimizer = bb.Optimizer(Space.box([0], [9]), BestOfData(), seed=0)
    optimizer.tell(optimizer.space.batch([[3.0], [1.0], [2.0], [1.0]]), [3.0, 1.0, 2.0, 1.0])
    handed = [optimizer.ask(2).x[:, 0].tolist() for _ in range(3)]
    assert handed == [[1.0, 2.0], [3.0], [1.0, 2.0]]
    several = bb.Optimizer(Space.box([0], [9]), BestOfData(), objectives=2, seed=0)
    several.tell(several.space.batch([[0.0], [1.0], [2.0], [3.0]]), [[0, 3], [3, 0], [4, 4], [1, 1]])
    assert set(several.ask(3).x[:, 0].tolist()) == {0.0, 1.0, 3.0}


@pytest.mark.parametrize("algorithm", EVERY, ids=lambda a: type(a).__name__)
def test_told_results_are_learned_from(algorithm: Algorithm[Any], tmp_path: Path) -> None:
    optimizer = told(algorithm)
    batch = optimizer.ask(4)
    optimizer.save(tmp_path / "state")
    resumed = bb.Optimizer.load(tmp_path / "state")
    for each in (optimizer, resumed):
        each.tell(each.pending, bowl(batch.x))
        each.tell(each.space.batch([[0.7, 0.7, 0.7]]), [-5.0])
    assert torch.equal(optimizer.ask(8).x, resumed.ask(8).x)
    assert float(optimizer.result().values) == -5.0


@pytest.mark.parametrize("algorithm", MODELS, ids=lambda a: type(a).__name__)
def test_maximising_is_minimising_the_negative(algorithm: Algorithm[Any]) -> None:
    low, high = (
        bb.Optimizer(BOX, algorithm, objectives=bb.Objective("f", maximize=up), seed=3) for up in (False, True)
    )
    x = torch.rand((60, 3), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    low.tell(BOX.batch(x), bowl(x))
    high.tell(BOX.batch(x), -bowl(x))
    assert torch.equal(low.ask(8).x, high.ask(8).x)


@pytest.mark.parametrize("algorithm", MODELS, ids=lambda a: type(a).__name__)
def test_mixed_spaces_find_the_good_category(algorithm: Algorithm[Any]) -> None:
    space = Space({"kind": Categorical(["bad", "good", "poor"]), "n": Integer(1, 20), "x": Real(1e-3, 1, log=True)})
    optimizer = bb.Optimizer(space, algorithm, objectives=bb.Objective("y", maximize=True), seed=0)
    u = torch.rand((300, 3), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    x = space.from_unit(u)
    optimizer.tell(space.batch(x), (x[:, 0] == 1) + 0.05 * x[:, 1])
    configs = optimizer.ask(8).configs
    assert sum(config["kind"] == "good" for config in configs) >= 6
    assert sum(config["n"] for config in configs) >= 8 * 13


@pytest.mark.parametrize("algorithm", MODELS, ids=lambda a: type(a).__name__)
def test_training_is_heard_of(algorithm: Algorithm[Any]) -> None:
    heard: list[Report] = []
    optimizer = told(algorithm)
    with watching(heard.append):
        optimizer.ask(4)
        n = len(heard)
        optimizer.ask(4)
    assert n == 40
    assert len(heard) == n, "nothing is trained anew without new data"


# -- bad data ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", EVERY, ids=lambda a: type(a).__name__)
def test_without_data_it_says_what_to_do(algorithm: Algorithm[Any]) -> None:
    optimizer = bb.Optimizer(BOX, algorithm, seed=0)
    with pytest.raises(NotReadyError, match="tell a data set first"):
        optimizer.ask()
    optimizer.tell(BOX.batch([[0.1, 0.2, 0.3]]), [math.nan])
    with pytest.raises(NotReadyError, match="1 rows without a finite value were dropped"):
        optimizer.ask()


@pytest.mark.parametrize("algorithm", MODELS, ids=lambda a: type(a).__name__)
def test_too_little_and_constant_data_are_refused(algorithm: Algorithm[Any]) -> None:
    optimizer = bb.Optimizer(BOX, algorithm, seed=0)
    optimizer.tell(BOX.batch([[0.5, 0.5, 0.5]] * 4), [1.0, 2.0, 3.0, 4.0])  # all-equal x
    with pytest.raises(NotReadyError, match=r"at least 2 distinct points with values, got 1 \(3 repeated rows"):
        optimizer.ask()
    optimizer.tell(BOX.batch([[0.1, 0.2, 0.3]]), [2.5])
    with pytest.raises(NotReadyError, match=r"all 2 points have the same value \(2.5\)"):
        optimizer.ask()
    optimizer.tell(BOX.batch([[0.9, 0.9, 0.9]]), [2.0])
    BOX.check(optimizer.ask().x)


@pytest.mark.parametrize("algorithm", EVERY, ids=lambda a: type(a).__name__)
def test_bad_rows_are_dropped_and_repeated_ones_merged(algorithm: Algorithm[Any]) -> None:
    clean, dirty = (bb.Optimizer(BOX, algorithm, seed=0) for _ in range(2))
    x = torch.rand((50, 3), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    clean.tell(BOX.batch(x), bowl(x))
    bad = torch.tensor([math.nan, math.inf, -math.inf], dtype=torch.float64)
    rows = torch.cat([x, x[:7], x[:3] / 2])
    report = dirty.tell(BOX.batch(rows), torch.cat([bowl(x), bowl(x[:7]), bad]))
    assert report.n_failed == dirty.n_failed == 3
    assert torch.equal(clean.ask(8).x, dirty.ask(8).x)


@pytest.mark.parametrize("algorithm", EVERY, ids=lambda a: type(a).__name__)
def test_designs_outside_the_bounds_are_refused_by_name(algorithm: Algorithm[Any]) -> None:
    optimizer = bb.Optimizer(BOX, algorithm, seed=0)
    with pytest.raises(SpaceError, match=r"x1: expected a value in \[0, 1\]"):
        optimizer.tell(BOX.batch([[0.5, 1.5, 0.5]]), [1.0])


@pytest.mark.parametrize("algorithm", MODELS, ids=lambda a: type(a).__name__)
def test_one_column_and_a_constant_column(algorithm: Algorithm[Any]) -> None:
    line = Space.box([-1.0], [2.0])
    optimizer = bb.Optimizer(line, algorithm, seed=0)
    x = torch.linspace(-1, 0.5, 80, dtype=torch.float64)[:, None]
    optimizer.tell(line.batch(x), (x[:, 0] - 1).square())
    assert float(optimizer.ask(4).x.mean()) > 0.5
    optimizer = bb.Optimizer(BOX, algorithm, seed=0)
    x = torch.rand((500, 3), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x[:, 1] = 0.25
    optimizer.tell(BOX.batch(x), bowl(x))
    found = optimizer.ask(8).x
    assert float(bowl(found).min()) < 0.45**2 + 0.1


@pytest.mark.parametrize("kind", [SurrogateAscent, SurrogateEvolution])
def test_many_columns_and_many_rows(kind: Any) -> None:
    for n, d in ((300, 500), (100_000, 4)):
        space = Space.box([0.0] * d, [1.0] * d)
        short = EnsembleSettings(hidden=(8,), epochs=1, batch_size=4096 if n > 1000 else 64)
        optimizer = bb.Optimizer(space, kind(ensemble=short), seed=0)
        x = torch.rand((n, d), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        optimizer.tell(space.batch(x), bowl(x))
        batch = optimizer.ask(8)
        assert len(batch) == 8
        space.check(batch.x)


def test_a_finite_space_runs_out_of_new_designs() -> None:
    space = Space({"a": Categorical(["x", "y"]), "b": Categorical(["x", "y"])})
    x = space.from_unit(torch.tensor([[0.1, 0.1], [0.1, 0.9], [0.9, 0.1]], dtype=torch.float64))
    for algorithm in MODELS:
        optimizer = bb.Optimizer(space, algorithm, seed=0)
        optimizer.tell(space.batch(x), [1.0, 2.0, 3.0])
        assert optimizer.ask(4).configs == [{"a": "y", "b": "y"}]
        assert 1 <= len(optimizer.ask(4)) <= 4


def test_wrong_settings_are_refused() -> None:
    for kind, settings in (
        (SurrogateAscent, {"steps": 0}),
        (SurrogateAscent, {"step_size": 0.0}),
        (SurrogateAscent, {"method": "newton"}),
        (SurrogateEvolution, {"generations": 0}),
        (SurrogateEvolution, {"population_size": 1}),
        (SurrogateEvolution, {"targets": "square"}),
        (BestOfData, {"batch_size": 0}),
    ):
        with pytest.raises(SettingError, match=next(iter(settings))):
            kind(**settings)


@pytest.mark.parametrize("algorithm", [ASCENT, EVOLUTION, ROOT(batch_size=8, epochs=2)], ids=lambda a: type(a).__name__)
def test_proposals_for_one_objective_are_no_near_repetitions(algorithm: Algorithm[Any]) -> None:
    x = told(algorithm).ask(8).x
    apart = (x[:, None] - x[None]).abs().amax(2) + torch.eye(8)
    assert float(apart.min()) > 1e-3
    assert len(torch.unique((x * 100).round(), dim=0)) == 8
