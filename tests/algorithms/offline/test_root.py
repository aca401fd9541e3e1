"""ROOT through ask and tell: what it answers to good and bad data, and that it finds better designs."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import blackbox as bb
from blackbox.algorithm import Spec
from blackbox.algorithms.offline._data import Told, training_set
from blackbox.algorithms.offline._designs import one_changed
from blackbox.algorithms.offline._root_data import Standardised
from blackbox.algorithms.offline._root_training import PairSource
from blackbox.algorithms.offline.root import ROOT, Proposing, ROOTState, Synthetic, Walks
from blackbox.errors import NotReadyError, SettingError, SpaceError
from blackbox.parameters import Categorical, Integer, Real
from blackbox.surrogates.bridge import BridgeSampling, BridgeSettings
from blackbox.surrogates.reporting import Report, watching

DATA = Path(__file__).parents[3] / ".." / "shared" / "data"
SMALL = ROOT(
    batch_size=16,
    epochs=3,
    synthetic=Synthetic(per_epoch=4),
    walks=Walks(starts=64, steps=20, rate=0.2),
    bridge=BridgeSettings(width=64, depth=2, batch_size=32),
    sampling=BridgeSampling(steps=10),
    proposing=Proposing(sources=16, oversample=4, rounds=2),
)
BOX = bb.Space.box([-1.0, -1.0, 0.0], [1.0, 1.0, 2.0])


def optimizer(space: bb.Space = BOX, algorithm: ROOT = SMALL, seed: int = 0, maximize: bool = False) -> bb.Optimizer:
    return bb.Optimizer(space, algorithm, seed=seed, objectives=[bb.Objective("f", maximize=maximize)])


def points(n: int, space: bb.Space = BOX, seed: int = 0) -> Tensor:
    u = torch.rand((n, space.dim), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return space.from_unit(u)


def bowl(x: Tensor) -> Tensor:
    return ((x - torch.tensor([0.5, -0.5, 1.5])) ** 2).sum(1)


def state_of(told: bb.Optimizer) -> ROOTState:
    state = told._kernel
    assert isinstance(state, ROOTState)
    return state


# -- good data -----------------------------------------------------------------------------------------------------


def test_designs_are_better_than_the_data_and_best_predicted_first() -> None:
    told = optimizer()
    x = points(200)
    value = bowl(x)
    worse = value > value.quantile(0.5)  # the better half is held back
    told.tell(BOX.batch(x[worse]), value[worse])
    batch = told.ask(16)
    BOX.check(batch.x)
    assert float(bowl(batch.x).median()) < float(value[worse].min())
    predicted = batch.context["predicted"]
    assert (predicted[1:] <= predicted[:-1]).all()
    assert not batch.context["known"].any()


def test_maximising_gives_the_designs_of_minimising_the_negative() -> None:
    low, high = optimizer(), optimizer(maximize=True)
    x = points(60)
    low.tell(BOX.batch(x), bowl(x))
    high.tell(BOX.batch(x), -bowl(x))
    assert torch.equal(low.ask().x, high.ask().x)


def test_later_asks_give_other_designs_without_training_again() -> None:
    told = optimizer()
    x = points(60)
    told.tell(BOX.batch(x), bowl(x))
    heard: list[Report] = []
    with watching(heard.append):
        first = told.ask(16)
        assert heard, "nobody was told of the training"
        heard.clear()
        others = [told.ask(n) for n in (1, 40, 90)]
        assert not heard, "it was trained again without new data"
    everything = torch.cat([first.x, *(batch.x for batch in others)])
    assert len(torch.unique(everything, dim=0)) == len(everything) == 147


def test_new_data_train_again_once_there_are_enough() -> None:
    for after, expected in ((1, True), (1000, False)):
        told = optimizer(algorithm=replace(SMALL, retrain_after=after))
        x = points(60)
        told.tell(BOX.batch(x), bowl(x))
        batch = told.ask(4)
        told.tell(batch, bowl(batch.x))
        heard: list[Report] = []
        with watching(heard.append):
            told.ask(4)
        assert bool(heard) == expected


def test_sequences_give_distinct_sequences() -> None:
    space = bb.Space({f"p{i}": Categorical(list("ACGT")) for i in range(6)})
    x = points(300, space)
    value = (x == 2).sum(1).double() + 0.5 * (x[:, 0] == 1)
    told = optimizer(space, maximize=True)
    known = value <= 2
    told.tell(space.batch(x[known]), value[known])
    batch = told.ask(32)
    assert len(torch.unique(batch.x, dim=0)) == 32
    assert float((batch.x == 2).sum(1).double().median()) >= 3, "no better than the data, whose best had two"


def test_mixed_spaces_and_fixed_values() -> None:
    space = bb.Space({"a": Real(1e-3, 10, log=True), "n": Integer(1, 9), "kind": Categorical(["u", "v", "w"])})
    x = points(80, space)
    told = optimizer(space)
    told.tell(space.batch(x), (x[:, 1] - 4).abs() + x[:, 2])
    space.check(told.ask(16).x)
    held = told.ask(8, fixed={"kind": "v"})
    assert (held.x[:, 2] == 1).all()
    space.check(held.x)


def test_a_space_that_is_used_up_is_served_with_what_there_is() -> None:
    space = bb.Space({"a": Categorical([1, 2]), "b": Categorical([1, 2, 3])})
    x = torch.cartesian_prod(torch.arange(2.0), torch.arange(3.0)).double()
    told = optimizer(space)
    told.tell(space.batch(x), x.sum(1))
    batch = told.ask(4)
    assert 1 <= len(batch) <= 4
    assert batch.context["known"].all(), "there are no unknown points"


def test_saved_and_loaded_it_goes_on_equally(tmp_path: Path) -> None:
    told = optimizer()
    x = points(60)
    told.tell(BOX.batch(x), bowl(x))
    told.ask(5)
    told.save(tmp_path / "state.bb")
    loaded = bb.Optimizer.load(tmp_path / "state.bb")
    for n in (5, 100):
        assert torch.equal(told.ask(n).x, loaded.ask(n).x)


# -- bad data ------------------------------------------------------------------------------------------------------


def test_asking_before_data_says_what_to_do() -> None:
    with pytest.raises(NotReadyError, match=r"tell a data set first: optimizer\.tell\(space\.batch\(x\), values\)"):
        optimizer().ask(128)


@pytest.mark.parametrize(
    ("x", "values", "message"),
    [
        (points(1), [1.0], "at least 2 distinct points with values, got 1"),
        (points(1).repeat(50, 1), list(range(50)), "at least 2 distinct points.*49 repeated rows were merged"),
        (points(9), [3.0] * 9, "same value"),
        (points(9), [float("nan")] * 9, "9 rows without a finite value were dropped"),
    ],
)
def test_data_without_information_are_refused(x: Tensor, values: list[float], message: str) -> None:
    told = optimizer()
    told.tell(BOX.batch(x), values)
    with pytest.raises(NotReadyError, match=message):
        told.ask(4)


def test_rows_that_are_not_finite_are_dropped_and_counted() -> None:
    x = points(60)
    value = bowl(x)
    spoiled = value.clone()
    spoiled[::7] = torch.nan
    spoiled[3] = torch.inf
    told, clean = optimizer(), optimizer()
    assert told.tell(BOX.batch(x), spoiled).n_failed == int((~spoiled.isfinite()).sum())
    good = spoiled.isfinite()
    clean.tell(BOX.batch(x[good]), value[good])
    assert torch.equal(told.ask().x, clean.ask().x)


def test_points_outside_of_the_bounds_are_refused_by_name() -> None:
    told = optimizer()
    x = points(5)
    x[2, 1] = 7.0
    with pytest.raises(SpaceError, match="x1"):
        told.tell(BOX.batch(x), bowl(x))


@pytest.mark.parametrize("scale", [1e-300, 1e-8, 1e8, 1e300])
def test_values_of_any_size_give_the_same_designs(scale: float) -> None:
    x = points(50)
    value = bowl(x) / bowl(x).max()
    plain, scaled = optimizer(), optimizer()
    plain.tell(BOX.batch(x), value)
    scaled.tell(BOX.batch(x), value * scale)
    torch.testing.assert_close(scaled.ask().x, plain.ask().x, atol=1e-2, rtol=0)


@pytest.mark.parametrize(("n", "d"), [(2, 1), (30, 1), (40, 500), (100_000, 2)])
def test_small_wide_and_long_tables(n: int, d: int) -> None:
    space = bb.Space.box([0.0] * d, [1.0] * d)
    x = points(n, space)
    told = optimizer(space, replace(SMALL, synthetic=Synthetic(per_epoch=4, rows=300)))
    told.tell(space.batch(x), ((x - 0.3) ** 2).sum(1))
    batch = told.ask(16)
    assert len(torch.unique(batch.x, dim=0)) == 16
    space.check(batch.x)


def test_columns_that_never_vary_do_no_harm() -> None:
    x = points(40)
    x[:, 1] = 0.25
    told = optimizer()
    told.tell(BOX.batch(x), bowl(x))
    batch = told.ask(8)
    BOX.check(batch.x)


# -- settings ------------------------------------------------------------------------------------------------------


def test_published_settings_run() -> None:
    published = ROOT.published(sequences=False, epochs=2, best_possible=0.0)
    assert published.sampling.swapped
    assert published.bridge.variance == "doubled"
    small = replace(published, batch_size=8, bridge=replace(published.bridge, width=16))
    told = optimizer(algorithm=replace(small, walks=replace(published.walks, starts=20, steps=5)))
    x = points(40)
    told.tell(BOX.batch(x), bowl(x))
    BOX.check(told.ask().x)


def test_wrong_settings_are_named() -> None:
    for name, value in (("batch_size", 0), ("epochs", 2.5)):
        with pytest.raises(SettingError, match=name):
            ROOT(**{name: value})  # type: ignore[arg-type]
    for name, value in (("target", float("nan")), ("ranked", 1), ("judges", ((1.0, -1.0),)), ("rounds", 0)):
        with pytest.raises(SettingError, match=name):
            Proposing(**{name: value})  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="lengthscale"):
        Synthetic(lengthscale=(2.0, 1.0))
    with pytest.raises(SettingError, match="pool"):
        Walks(pool="best")  # type: ignore[arg-type]


# -- a measured landscape ------------------------------------------------------------------------------------------


@pytest.mark.skipif(not (DATA / "tf_bind_8").exists(), reason="the TF-Bind-8 table is not there")
def test_designs_for_a_measured_landscape() -> None:
    x = torch.from_numpy(np.load(DATA / "tf_bind_8" / "tf_bind_8-x-0.npy").astype(float))
    y = torch.from_numpy(np.load(DATA / "tf_bind_8" / "tf_bind_8-y-0.npy")).double()[:, 0]
    space = bb.Space({f"p{i}": Categorical(list("ACGT")) for i in range(8)})
    powers = 4.0 ** torch.arange(7, -1, -1, dtype=torch.float64)
    table = torch.zeros(4**8, dtype=torch.float64).index_copy_(0, (x @ powers).long(), y)
    visible = y <= y.median()
    told = optimizer(
        space, replace(SMALL, batch_size=128, proposing=Proposing(sources=128, oversample=16, rounds=2)), maximize=True
    )
    told.tell(space.batch(x[visible][::30]), y[visible][::30])
    scores = table[(told.ask(128).x @ powers).long()]
    assert float(scores.median()) > float(y[visible].max()) + 0.1


# -- neighbours ----------------------------------------------------------------------------------------------------


def test_every_design_with_one_column_changed() -> None:
    space = bb.Space({"a": Categorical([1, 2, 3]), "r": Real(0, 1), "b": Categorical([1, 2])})
    x = torch.tensor([[0.0, 0.5, 0.0], [2.0, 0.25, 1.0]], dtype=torch.float64)
    found = one_changed(space, x, 100, torch.Generator())
    expected = [[1, 0.5, 0], [2, 0.5, 0], [0, 0.5, 1], [0, 0.25, 1], [1, 0.25, 1], [2, 0.25, 0]]
    assert sorted(found.tolist()) == sorted(expected)
    assert len(one_changed(space, x, 4, torch.Generator())) == 4
    assert len(one_changed(BOX, points(3), 4, torch.Generator())) == 0


def test_a_changed_column_may_turn_others_on() -> None:
    space = bb.Space({"kind": Categorical(["u", "v"]), "only_v": Integer(1, 9, when={"kind": "v"})})
    x = space.encode([{"kind": "u"}, {"kind": "v", "only_v": 3}])
    found = one_changed(space, x, 100, torch.Generator())
    space.check(found)
    assert [sorted(config) for config in space.decode(found)] == [["kind", "only_v"], ["kind"]]


@pytest.mark.parametrize("per_epoch", [8, 16])  # the published number; so many that walks are tabulated
def test_published_settings_for_sequences_draw_other_rows_for_every_epoch(per_epoch: int) -> None:
    space = bb.Space({f"p{i}": Categorical(list("ACGT")) for i in range(6)})
    x = points(300, space)
    published = ROOT.published(sequences=True, rows=100, epochs=2, best_possible=-6.0)
    small = replace(
        published,
        synthetic=replace(published.synthetic, per_epoch=per_epoch),
        bridge=replace(published.bridge, width=16),
        walks=replace(published.walks, starts=64, steps=5),
    )
    told = optimizer(space, small, maximize=True)
    told.tell(space.batch(x), (x == 2).sum(1).double())
    batch = told.ask(20)
    assert len(torch.unique(batch.x, dim=0)) == 20
    learned = state_of(told).learned
    assert learned is not None
    assert math.isnan(learned.tabulated) if per_epoch == 8 else learned.tabulated <= published.walks.tolerance
    data = Standardised.of(Spec(space), training_set(Told(x, -(x == 2).sum(1, keepdim=True).double())))
    source = PairSource.of(data, small.synthetic, small.walks, 2, torch.Generator().manual_seed(0))
    drawn = []
    for _ in source.epochs():
        assert source.rows is not None
        drawn.append(set(source.rows.tolist()))
    assert [len(rows) for rows in drawn] == [100, 100]
    assert drawn[0] != drawn[1]
