"""Spaces: encoding, conditions, the unit cube, and errors that name the parameter."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import blackbox as bb
from blackbox import Categorical, Integer, Ordinal, Real, Space
from blackbox.errors import SpaceError
from blackbox.reduction import Reduction
from blackbox.testing import same

FINITE = {"allow_nan": False, "allow_infinity": False}
LEVELS = st.lists(
    st.one_of(st.text(max_size=5), st.booleans(), st.integers(-5, 5), st.none()),
    min_size=1,
    max_size=6,
    unique_by=lambda v: (isinstance(v, bool), v),
)


@st.composite
def parameters(draw: st.DrawFn) -> Any:
    kind = draw(st.sampled_from(["real", "log", "integer", "logint", "categorical", "ordinal"]))
    if kind == "real":
        low, high = sorted([draw(st.floats(-1e9, 1e9, **FINITE)), draw(st.floats(-1e9, 1e9, **FINITE))])
        return Real(low, high)
    if kind == "log":
        low, high = sorted([draw(st.floats(1e-12, 1e12)), draw(st.floats(1e-12, 1e12))])
        return Real(low, high, log=True)
    if kind == "integer":
        low, high = sorted([draw(st.integers(-(10**6), 10**6)), draw(st.integers(-(10**6), 10**6))])
        return Integer(low, high)
    if kind == "logint":
        low, high = sorted([draw(st.integers(1, 10**6)), draw(st.integers(1, 10**6))])
        return Integer(low, high, log=True)
    return (Categorical if kind == "categorical" else Ordinal)(draw(LEVELS))


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    made: dict[str, Any] = {f"p{i}": draw(parameters()) for i in range(draw(st.integers(1, 5)))}
    parents = {name: p for name, p in made.items() if isinstance(p, (Categorical, Ordinal))}
    if parents and draw(st.booleans()):
        name = draw(st.sampled_from(sorted(parents)))
        made["child"] = Real(0, 1, when={name: draw(st.sampled_from(list(parents[name].levels)))})
        made["grandchild"] = Integer(1, 3, when={name: list(parents[name].levels)})
    return Space(made)


@settings(deadline=None, max_examples=60)
@given(spaces(), st.integers(0, 2**31))
def test_encoding_and_unit_cube_round_trip(space: Space, seed: int) -> None:
    u = torch.rand((20, space.dim), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    u[0], u[1] = 0.0, 1.0
    x = space.from_unit(u)
    space.check(x)
    configs = space.decode(x)
    assert same(space.encode(configs), x)
    assert space.decode(space.encode(configs)) == configs
    again = space.from_unit(space.to_unit(x))
    discrete = torch.from_numpy(space.kinds > 0)
    assert same(again[:, discrete], x[:, discrete])
    assert torch.allclose(again, x, rtol=1e-9, atol=1e-6, equal_nan=True)
    assert ((space.to_unit(x) >= 0) & (space.to_unit(x) <= 1)).all()


@settings(deadline=None, max_examples=40)
@given(spaces())
def test_json_gives_an_equal_space(space: Space) -> None:
    again = Space.from_json(json.loads(json.dumps(space.to_json())))
    assert again == space
    assert again.fingerprint() == space.fingerprint()


@pytest.mark.parametrize(
    "wrong",
    [
        Real(1, 0),
        Real(0, math.nan),
        Real(-math.inf, 1),
        Real(0, 1, log=True),
        Real(-1, 1, log=True),
        Real("a", 1),  # type: ignore[arg-type]
        Real(None, 1),  # type: ignore[arg-type]
        Real(-1.7e308, 1.7e308),
        Integer(0, 1.5),
        Integer(3, 2),
        Integer(0, 5, log=True),
        Integer(0, 2**60),
        Categorical([]),
        Categorical("ab"),
        Categorical(["a", "a"]),
        Categorical([["a"]]),  # type: ignore[list-item]
        Ordinal([1, 1.0]),
        Real(0, 1, when={"nobody": 1}),
        Real(0, 1, when={"other": "no such level"}),
        Real(0, 1, when={"other": []}),
        Real(0, 1, when={}),
        Real(0, 1, when={"real": 0.5}),
        Real(0, 1, fixed=2.0),
        Real(0, 1, fidelity=2.0),
        Real(0, 1, fidelity=True, task=True),
        Real(0, 1, environment="sometimes"),
        Real(0, 1, environment=[0.5, 2.0]),
        "no parameter",
        (0, 1),
    ],
)
def test_anything_wrong_names_the_parameter(wrong: Any) -> None:
    with pytest.raises(SpaceError, match="culprit") as caught:
        Space({"other": Categorical(["a", "b"]), "real": Real(0, 1), "culprit": wrong})
    assert caught.value.parameter == "culprit"


def test_cycles_are_refused() -> None:
    with pytest.raises(SpaceError, match="depends on itself"):
        Space({"a": Integer(0, 1, when={"b": 1}), "b": Integer(0, 1, when={"a": 1})})


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"lr": 0.01}, "kernel"),
        ({"lr": 0.01, "kernel": "rbf", "degree": 3}, "degree"),
        ({"lr": 0.01, "kernel": "poly"}, "degree"),
        ({"lr": 5.0, "kernel": "rbf"}, "lr"),
        ({"lr": math.nan, "kernel": "rbf"}, "lr"),
        ({"lr": "0.01", "kernel": "rbf"}, "lr"),
        ({"lr": True, "kernel": "rbf"}, "lr"),
        ({"lr": 0.01, "kernel": "sigmoid"}, "kernel"),
        ({"lr": 0.01, "kernel": ["rbf"]}, "kernel"),
        ({"lr": 0.01, "kernel": "poly", "degree": 2.5}, "degree"),
        ({"lr": 0.01, "kernel": "rbf", "typo": 1}, "typo"),
    ],
)
def test_wrong_configurations_name_the_parameter(config: dict[str, Any], name: str) -> None:
    space = Space(
        {
            "lr": Real(1e-5, 1e-1, log=True),
            "kernel": Categorical(["rbf", "poly"]),
            "degree": Integer(2, 5, when={"kernel": "poly"}),
        }
    )
    with pytest.raises(SpaceError, match=name) as caught:
        space.batch([config])
    assert caught.value.parameter == name


def test_levels_keep_their_types() -> None:
    space = Space({"c": Categorical([True, 1, "1", None, 2.5])})
    x = torch.arange(5, dtype=torch.float64)[:, None]
    values = [config["c"] for config in space.decode(x)]
    assert values == [True, 1, "1", None, 2.5]
    assert [type(v) for v in values] == [bool, int, str, type(None), float]
    assert same(space.encode([{"c": v} for v in values]), x)


def test_conditions_chain_through_inactive_parents() -> None:
    space = Space(
        {
            "leaf": Real(0, 1, when={"mid": 2}),
            "mid": Integer(1, 3, when={"root": ["a", "b"]}),
            "root": Categorical(["a", "b", "c"]),
        }
    )
    x = torch.tensor([[0.5, 2, 0], [0.5, 2, 2], [0.5, 1, 1]], dtype=torch.float64)
    assert space.activity(x).tolist() == [[True, True, True], [False, False, True], [False, True, True]]
    assert space.decode(space.canonical(x))[1] == {"root": "c"}


def test_several_parents_must_all_hold() -> None:
    space = Space({"a": Categorical([0, 1]), "b": Categorical([0, 1]), "c": Real(0, 1, when={"a": 1, "b": 1})})
    x = space.from_unit(torch.rand(200, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    assert ((~x[:, 2].isnan()) == ((x[:, 0] == 1) & (x[:, 1] == 1))).all()


def test_integers_fill_their_range_evenly() -> None:
    space = Space({"n": Integer(1, 4)})
    u = torch.linspace(0, 1, 4001, dtype=torch.float64)[:, None]
    counts = space.from_unit(u)[:, 0].to(torch.int64).bincount()[1:]
    assert (counts.max() - counts.min()) <= 2


def test_boxes_of_a_hundred_thousand_variables_are_cheap() -> None:
    start = time.process_time()
    space = Space.box(np.zeros(100_000), np.ones(100_000))
    optimizer = bb.Optimizer(space, bb.algorithms.RandomSearch(), seed=0)
    batch = optimizer.ask(10)
    optimizer.tell(batch, batch.x.sum(1))
    assert optimizer.result().x.shape == (1, 100_000)
    assert time.process_time() - start < 5, "a bound far above what it takes: it guards against a loop over columns"


@pytest.mark.parametrize(
    ("lower", "upper", "name"), [([0, 2], [1, 1], "x1"), ([0, math.nan], [1, 1], "x1"), ([-math.inf], [0], "x0")]
)
def test_boxes_name_the_column(lower: list[float], upper: list[float], name: str) -> None:
    with pytest.raises(SpaceError, match=name):
        Space.box(lower, upper)


@pytest.mark.parametrize("shapes", [([0.0], [1.0, 2.0]), ([], []), ([[0.0]], [[1.0]])])
def test_boxes_of_wrong_shape_are_refused(shapes: Any) -> None:
    with pytest.raises(SpaceError, match="lower, upper"):
        Space.box(*shapes)


def test_points_outside_are_refused_by_name() -> None:
    space = Space.box([0, 0], [1, 1])
    for points in ([[0.5, 1.5]], [[0.5, math.nan]], np.array([[0.5, -0.1]])):
        with pytest.raises(SpaceError, match="x1"):
            space.batch(points)
    with pytest.raises(SpaceError, match=r"\(n, 2\)"):
        space.batch(torch.zeros(3, 4))
    assert len(space.batch([0.5, 0.5])) == 1


def test_reduction_resolves_conditions_on_constants() -> None:
    space = Space(
        {
            "kernel": Categorical(["rbf", "poly"], fixed="poly"),
            "degree": Integer(2, 5, when={"kernel": "poly"}),
            "gamma": Real(0, 1, when={"kernel": "rbf"}),
            "c": Real(1, 1),
            "x": Real(0, 1),
        }
    )
    reduction = Reduction(space, space.fixed_columns)
    assert reduction.space is not None
    assert reduction.space.names == ["degree", "x"]
    full = reduction.expand(torch.tensor([[3.0, 0.5]], dtype=torch.float64))
    assert space.decode(full) == [{"kernel": "poly", "degree": 3, "c": 1.0, "x": 0.5}]
    assert reduction.restrict(full).tolist() == [[3.0, 0.5]]


def test_constant_parents_that_are_conditional_pass_their_condition_on() -> None:
    space = Space(
        {
            "root": Categorical(["a", "b"]),
            "mid": Integer(2, 2, when={"root": "a"}),
            "leaf": Real(0, 1, when={"mid": 2}),
        }
    )
    reduction = Reduction(space, space.fixed_columns)
    assert reduction.space is not None
    full = reduction.expand(reduction.space.encode([{"root": "a", "leaf": 0.5}, {"root": "b"}]))
    assert space.decode(full) == [{"root": "a", "mid": 2, "leaf": 0.5}, {"root": "b"}]


def test_roles_are_held_at_their_target() -> None:
    space = Space(
        {
            "x": Real(0, 1),
            "epochs": Integer(1, 81, fidelity=True),
            "site": Categorical(["a", "b"], task="b"),
            "wind": Real(0, 40, environment=bb.Normal(12, 3)),
        }
    )
    config = bb.Optimizer(space, bb.algorithms.RandomSearch(), seed=0).ask().configs[0]
    assert (config["epochs"], config["site"], config["wind"]) == (81, "b", 12.0)


def test_batches_slice_like_arrays() -> None:
    batch = Space.box([0], [1]).batch(torch.linspace(0, 1, 5, dtype=torch.float64)[:, None])
    assert batch[1:3].x[:, 0].tolist() == [0.25, 0.5]
    assert batch[-1].x.item() == 1.0
    assert batch[[0, 4]].x[:, 0].tolist() == [0.0, 1.0]
    assert batch[batch.x[:, 0] > 0.6].x[:, 0].tolist() == [0.75, 1.0]
    assert len(batch[[]]) == 0
    for wrong in (7, [9], [True], [0.5]):
        with pytest.raises(IndexError):
            batch[wrong]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Space({"wrong": Real(0, 10**400)}),
        lambda: Space({"wrong": Integer(-(10**400), 0)}),
        lambda: Space({"wrong": Categorical([10**400])}),
        lambda: Space({"wrong": Categorical({"a", "b"})}),
        lambda: Space({"wrong": Real(0, 1)}).encode([{"wrong": 10**400}]),
        lambda: Space({"wrong": Real(0, 1)}).encode([{"wrong": np.bool_(True)}]),
        lambda: Space({"wrong": Integer(0, 1)}).encode([{"wrong": 10**400}]),
        lambda: Space({"wrong": Categorical([1, 2])}).encode([{"wrong": np.array([1, 2])}]),
        lambda: Space({"wrong": Categorical([1, 2])}).encode([{"wrong": torch.tensor([1, 2])}]),
    ],
)
def test_values_that_no_float_can_hold_and_arrays_name_the_parameter(make: Any) -> None:
    with pytest.raises(SpaceError, match="wrong") as error:
        make()
    assert error.value.parameter == "wrong"


def test_a_target_of_zero_is_a_role() -> None:
    space = Space(
        {"f": Real(0, 10, fidelity=0), "t": Categorical([0, 1], task=0), "x": Real(0, 1), "y": Real(0, 1, task=False)}
    )
    assert space.role_columns == {0: "fidelity", 1: "task"}
    assert (space.parameters["f"].target, space.parameters["t"].target) == (0, 0)


def test_numpy_and_torch_scalars_make_the_space_that_plain_ones_make() -> None:
    given = Space(
        {
            "k": Integer(np.int64(0), 3),
            "a": Real(0, torch.tensor(1.0), when={"k": np.array([2, 3])}),
            "b": Real(0, 1, when={"k": range(2, 4)}, fixed=np.float32(0.5)),
            "f": Integer(1, 9, fidelity=np.int64(3)),
            "e": Real(0, 1, environment=np.array([0.5, 0.25])),
            "n": Real(0, 1, environment=bb.Normal(np.float32(0.5), torch.tensor(0.25))),
        }
    )
    plain = Space(
        {
            "k": Integer(0, 3),
            "a": Real(0, 1, when={"k": [2, 3]}),
            "b": Real(0, 1, when={"k": (2, 3)}, fixed=0.5),
            "f": Integer(1, 9, fidelity=3),
            "e": Real(0, 1, environment=[0.5, 0.25]),
            "n": Real(0, 1, environment=bb.Normal(0.5, 0.25)),
        }
    )
    assert given == plain
    assert given.fingerprint() == plain.fingerprint()
    assert Space.from_json(json.loads(json.dumps(given.to_json()))) == given


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"lower": ["a"], "upper": [1]}, "lower"),
        ({"lower": [0], "upper": [1j]}, "upper"),
        ({"lower": [[0], [1, 2]], "upper": [1]}, "lower"),
        ({"lower": [0], "upper": [1], "names": [["x"]]}, "names"),
        ({"lower": [0], "upper": [1], "names": 5}, "names"),
        ({"lower": [0, 0], "upper": [1, 1], "names": ["a", "a"]}, "names"),
    ],
)
def test_boxes_of_wrong_type_are_refused_by_name(arguments: dict[str, Any], name: str) -> None:
    with pytest.raises(SpaceError, match=name):
        Space.box(**arguments)


def test_names_may_come_from_a_generator() -> None:
    assert Space.box([0, 0], [1, 1], names=(name for name in "ab")).names == ["a", "b"]


def test_points_may_be_any_iterable_of_dictionaries() -> None:
    space = Space({"k": Categorical(["u", "v"]), "a": Real(0, 1, when={"k": "v"})})
    configs = [{"k": "u"}, {"k": "v", "a": 0.5}]
    assert space.batch(config for config in configs).configs == configs
    assert space.batch(tuple(configs)).configs == configs
    assert space.batch([]).x.shape == (0, 2)


def test_points_rounded_onto_a_bound_are_that_bound() -> None:
    space = Space({"a": Real(0.1, 0.3), "b": Real(0.7, 0.7 + 1e-10), "c": Real(-10, 10)})
    x = torch.tensor([[0.1, 0.7, 7.0], [0.3, 0.7, 0.1], [0.2, 0.7, 12.0]], dtype=torch.float32)
    configs = space.decode(x)
    assert (configs[0]["a"], configs[1]["a"]) == (0.1, 0.3)
    assert configs[2] == {"a": pytest.approx(0.2), "b": 0.7 + 1e-10, "c": 12.0}  # outside stays outside
    assert space.encode(configs[:2]).shape == (2, 3)
    optimizer = bb.Optimizer(space, bb.algorithms.RandomSearch(), seed=0)
    optimizer.tell(space.batch(x[:2].half()), [0.0, 1.0])
    space.check(optimizer.result().x)
