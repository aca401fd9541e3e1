"""The shell, beyond what the contract checks for every algorithm."""

from __future__ import annotations

import math
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import blackbox as bb
from blackbox import Categorical, Evaluation, Integer, Objective, Optimizer, Problem, Real, Space
from blackbox.algorithms import NSGA2, NSGA3, RandomSearch, Sobol
from blackbox.errors import (
    CapabilityError,
    ConcurrentUseError,
    DuplicateTellError,
    ExhaustedError,
    SettingError,
    SpaceError,
    StateError,
    TellError,
    UnknownCandidateError,
)
from blackbox.state import save_file

BOX = Space.box([-1, -1], [1, 1])


def make(**options: Any) -> Optimizer:
    return Optimizer(BOX, RandomSearch(), seed=0, **options)


@settings(deadline=None, max_examples=30)
@given(st.permutations(range(10)), st.lists(st.integers(1, 9), max_size=4))
def test_any_order_and_grouping_has_one_result(order: list[int], cuts: list[int]) -> None:
    straight, shuffled = make(objectives=2), make(objectives=2)
    a, b = straight.ask(10), shuffled.ask(10)
    values = torch.stack([a.x[:, 0].round(decimals=1), a.x[:, 1].abs().round(decimals=1)], 1)
    straight.tell(a, values)
    edges = sorted({0, 10, *cuts})
    for start, end in pairwise(edges):
        rows = order[start:end]
        shuffled.tell(b[rows], values[rows])
    assert torch.equal(straight.result().x, shuffled.result().x)
    assert torch.equal(straight.result().values, shuffled.result().values)


def test_result_has_ties_resolved_by_id() -> None:
    optimizer = make()
    batch = optimizer.ask(4)
    optimizer.tell(batch[[3, 2]], [1.0, 1.0])
    optimizer.tell(batch[[1, 0]], [1.0, 1.0])
    assert torch.equal(optimizer.result().x, batch.x[:1])


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([1.0, 2.0], "(3, 1)"),
        ([[1.0, 2.0]] * 3, "(3, 1)"),
        (None, "None"),
        ([1.0, None, 2.0], "None"),
        (["1", "2", "3"], "strings"),
        ([1j, 2, 3], "complex"),
        ([True, False, True], "booleans"),
        ([[1.0], [2.0, 3.0], [4.0]], "ragged"),
        (object(), "object"),
        (torch.zeros(3, device="meta"), "meta"),
        ({"a": 1}, "objects"),
        (torch.ones(3).to_sparse(), "sparse"),
    ],
)
def test_bad_values_are_refused_by_name(values: Any, text: str) -> None:
    optimizer = make()
    batch = optimizer.ask(3)
    with pytest.raises(TellError, match="values") as caught:
        optimizer.tell(batch, values)
    assert text in str(caught.value)
    assert optimizer.n_pending == 3


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int8, np.uint32, np.int64])
def test_any_real_dtype_is_taken(kind: Any) -> None:
    optimizer = make()
    optimizer.tell(optimizer.ask(2), np.array([3, 1], dtype=kind))
    assert optimizer.result().values.tolist() == [[1.0]]


def test_read_only_and_strided_arrays_are_taken_and_not_written_to() -> None:
    optimizer = make()
    values = np.arange(8, dtype=np.float64)[::2]
    values.flags.writeable = False
    optimizer.tell(optimizer.ask(4), values)
    assert values.tolist() == [0, 2, 4, 6]


def test_a_value_too_large_for_the_dtype_is_refused() -> None:
    optimizer = make(dtype=torch.float32)
    with pytest.raises(TellError, match="1e\\+300"):
        optimizer.tell(optimizer.ask(1), torch.tensor([1e300], dtype=torch.float64))
    assert optimizer.n_pending == 1


def test_failed_rows_are_counted_and_never_win() -> None:
    optimizer = make()
    batch = optimizer.ask(4)
    report = optimizer.tell(batch, [math.nan, -math.inf, -5.0, 1.0], failed=[False, False, True, False])
    assert report.n_failed == 3
    assert optimizer.n_failed == 3
    assert optimizer.result().values.tolist() == [[1.0]]


def test_a_non_finite_violation_fails_the_row() -> None:
    optimizer = make(n_constraints=1)
    batch = optimizer.ask(2)
    assert optimizer.tell(batch, [1.0, 2.0], violations=[[math.nan], [0.0]]).n_failed == 1
    assert optimizer.result().values.tolist() == [[2.0]]


def test_constraints_are_feasible_at_zero() -> None:
    optimizer = make(n_constraints=2)
    batch = optimizer.ask(3)
    optimizer.tell(batch, [1.0, 2.0, 0.0], violations=[[0.0, 0.0], [-1.0, -1.0], [1e-9, -9.0]])
    result = optimizer.result()
    assert result.values.tolist() == [[1.0]]
    assert result.least_violated is not None
    assert result.least_violated.values.tolist() == [[1.0]]


def test_violations_must_fit_the_problem() -> None:
    optimizer = make(n_constraints=1)
    with pytest.raises(TellError, match=r"violations: expected shape \(1, 1\)"):
        optimizer.tell(optimizer.ask(), [1.0])
    unconstrained = make()
    batch = unconstrained.ask()
    with pytest.raises(TellError, match="no constraints"):
        unconstrained.tell(batch, [1.0], violations=[[0.0]])


def test_directions_are_the_users() -> None:
    optimizer = make(objectives=[Objective("gain", maximize=True), "cost"])
    batch = optimizer.ask(3)
    optimizer.tell(batch, [[1.0, 1.0], [2.0, 1.0], [3.0, 5.0]])
    assert optimizer.result().values.tolist() == [[2.0, 1.0], [3.0, 5.0]]


def test_large_archives_stay_exact() -> None:
    optimizer = make(objectives=2)
    generator = torch.Generator().manual_seed(0)
    everything = []
    for _ in range(12):
        batch = optimizer.ask(1000)
        values = torch.rand((1000, 2), generator=generator, dtype=torch.float64)
        everything.append(values)
        optimizer.tell(batch, values)
    values = torch.cat(everything)
    by_first = values[values[:, 0].argsort()]  # two objectives, no ties: a front falls strictly in the second
    front = by_first[by_first[:, 1] == by_first[:, 1].cummin(0).values]
    found = optimizer.result().values
    assert torch.equal(found[found[:, 0].argsort()], front)


def test_an_evaluation_can_be_told_as_it_is() -> None:
    problem = Problem(BOX, objectives=1, n_constraints=1)
    optimizer = Optimizer(problem, RandomSearch(), seed=0)
    batch = optimizer.ask(2)
    columns = {"unused": torch.zeros(2)}
    optimizer.tell(batch, Evaluation(batch.x[:, :1], batch.x[:, 1:], extras=columns))
    assert optimizer.n_evaluations == 2


def test_external_points_get_ids_and_are_not_evaluations() -> None:
    optimizer = make()
    report = optimizer.tell(BOX.batch([[0.5, 0.5], [0.1, 0.1]]), [1.0, 0.5])
    assert list(report.ids) == [0, 1]
    assert list(optimizer.ask(2).ids) == [2, 3]
    assert (optimizer.n_external, optimizer.n_evaluations) == (2, 0)
    assert optimizer.result().x.tolist() == [[0.1, 0.1]]


def test_foreign_spaces_are_refused() -> None:
    with pytest.raises(TellError, match="another space"):
        make().tell(Space.box([0], [1]).batch([[0.5]]), [1.0])


def test_a_batch_with_a_row_twice_is_refused() -> None:
    optimizer = make()
    batch = optimizer.ask(3)
    with pytest.raises(DuplicateTellError, match="twice"):
        optimizer.tell(batch[[0, 0]], [1.0, 1.0])
    assert optimizer.n_pending == 3


def test_one_bad_row_spoils_the_whole_tell() -> None:
    optimizer = make()
    first, second = optimizer.ask(2), optimizer.ask(2)
    optimizer.tell(second[0], [1.0])
    both = optimizer.pending
    optimizer.tell(first[1], [1.0])
    with pytest.raises(DuplicateTellError):
        optimizer.tell(both, [1.0] * 3)
    assert optimizer.n_pending == 2


def test_pending_batches_by_id() -> None:
    optimizer = make()
    x = torch.cat([optimizer.ask(3).x, optimizer.ask(2).x])
    assert torch.equal(optimizer.pending.x, x)
    batch = optimizer.pending_batch([4, 0])
    assert torch.equal(batch.x, x[[4, 0]])
    optimizer.tell(batch, [1.0, 2.0])
    with pytest.raises(UnknownCandidateError):
        optimizer.pending_batch([99])
    assert optimizer.pending.ids.tolist() == [1, 2, 3]  # type: ignore[union-attr]


def test_fixed_values_hold_and_activate_children() -> None:
    space = Space(
        {"kernel": Categorical(["rbf", "poly"]), "degree": Integer(2, 5, when={"kernel": "poly"}), "x": Real(0, 1)}
    )
    optimizer = Optimizer(space, RandomSearch(), seed=0)
    configs = optimizer.ask(20, fixed={"kernel": "poly", "x": 0.25}).configs
    assert all(c["kernel"] == "poly" and c["x"] == 0.25 and 2 <= c["degree"] <= 5 for c in configs)
    for fixed, name in (({"degree": 3}, "degree"), ({"x": 2.0}, "x"), ({"typo": 1}, "typo")):
        with pytest.raises(SpaceError, match=name):
            optimizer.ask(fixed=fixed)


def test_all_variables_fixed_means_one_candidate() -> None:
    optimizer = Optimizer(Space.box([1, 2], [1, 2]), RandomSearch(), seed=0)
    batch = optimizer.ask()
    assert batch.x.tolist() == [[1.0, 2.0]]
    with pytest.raises(ExhaustedError, match="fixed"):
        optimizer.ask()
    optimizer.tell(batch, [3.0])
    assert optimizer.result().values.tolist() == [[3.0]]


def test_problems_that_cannot_be_served_are_refused_with_a_name() -> None:
    with pytest.raises(CapabilityError, match=r"22000 variables.*RandomSearch"):
        Optimizer(Space.box([0] * 22_000, [1] * 22_000), Sobol())


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"dtype": torch.int64}, "dtype"),
        ({"budget": 0}, "budget"),
        ({"objectives": 0}, "objectives"),
        ({"objectives": ["a", "a"]}, "objectives"),
        ({"objectives": -1}, "objectives"),
        ({"budget": True}, "budget"),
        ({"n_constraints": -1}, "n_constraints"),
        ({"n_constraints": 1.5}, "n_constraints"),
        ({"n_constraints": "two"}, "n_constraints"),
        ({"device": "nowhere"}, "device"),
        ({"device": "meta"}, "device"),
    ],
)
def test_bad_settings_are_named(options: dict[str, Any], name: str) -> None:
    with pytest.raises(SettingError, match=name):
        Optimizer(BOX, RandomSearch(), **options)


def test_a_class_in_place_of_an_algorithm_is_explained() -> None:
    with pytest.raises(SettingError, match=r"did you mean RandomSearch\(\)"):
        Optimizer(BOX, RandomSearch)  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "3"])
def test_bad_counts_are_refused(n: Any) -> None:
    with pytest.raises(SettingError, match="n: expected"):
        make().ask(n)


def test_concurrent_use_is_an_error_not_corruption() -> None:
    optimizer = make()
    inside, leave = threading.Event(), threading.Event()

    class Slow(list):  # type: ignore[type-arg]
        def __array__(self, *_: Any, **__: Any) -> Any:
            inside.set()
            leave.wait(10)
            return np.array([1.0])

    batch = optimizer.ask()
    thread = threading.Thread(target=lambda: optimizer.tell(batch, Slow([1.0])))
    thread.start()
    assert inside.wait(10)
    with pytest.raises(ConcurrentUseError):
        optimizer.ask()
    leave.set()
    thread.join()
    assert optimizer.n_evaluations == 1


def test_seed_zero_is_a_seed_and_none_draws_one() -> None:
    assert torch.equal(make().ask().x, make().ask().x)
    first, second = (Optimizer(BOX, RandomSearch()) for _ in range(2))
    assert first.seed != second.seed
    assert torch.equal(Optimizer(BOX, RandomSearch(), seed=first.seed).ask().x, first.ask().x)


def test_restore_refuses_another_problem_or_algorithm() -> None:
    state = make().state()
    others = [
        Optimizer(Space.box([0, 0], [1, 1]), RandomSearch(), seed=0),
        Optimizer(BOX, Sobol(), seed=0),
        Optimizer(BOX, RandomSearch(batch_size=2), seed=0),
        Optimizer(BOX, RandomSearch(), objectives=[Objective("value", maximize=True)], seed=0),
        Optimizer(BOX, RandomSearch(), n_constraints=1, seed=0),
    ]
    for other, part in zip(others, ["space", "algorithm", "algorithm", "objectives", "n_constraints"], strict=True):
        before = other.ask().x
        with pytest.raises(StateError, match=part):
            other.restore(state)
        assert torch.equal(other.pending.x, before)


def test_a_million_rows_cost_memory_in_proportion() -> None:
    optimizer = Optimizer(Space.box([0.0] * 10, [1.0] * 10), RandomSearch(), seed=0, dtype=torch.float32)
    batch = optimizer.ask(1_000_000)
    assert isinstance(batch.ids, range)
    optimizer.tell(batch, batch.x.sum(1))
    assert optimizer.n_pending == 0
    assert float(optimizer.result().values) == float(batch.x.sum(1).min())


def test_lazy_package_names_resolve() -> None:
    for name in dir(bb):
        assert getattr(bb, name) is not None
    with pytest.raises(AttributeError):
        bb.nothing_of_this_name  # noqa: B018


@pytest.mark.parametrize("problem", [None, 5, "box"])
def test_what_is_no_problem_is_refused_by_name(problem: Any) -> None:
    with pytest.raises(SettingError, match="problem: expected"):
        Optimizer(problem, RandomSearch())


def test_counts_may_be_numpy_integers() -> None:
    optimizer = Optimizer(
        BOX, RandomSearch(), objectives=np.int64(2), n_constraints=np.int32(1), budget=np.int64(9), seed=np.int64(0)
    )
    assert len(optimizer.ask(np.int64(3))) == 3
    assert (len(optimizer.objectives), optimizer.n_constraints) == (2, 1)


def test_lists_of_tensors_and_scalar_variances_are_taken() -> None:
    for variance in (0.1, np.float32(0.1), torch.tensor(0.1), np.array(0.1)):
        optimizer = make()
        values = [torch.tensor(2.0, requires_grad=True), torch.tensor([1.0]).sum()]
        optimizer.tell(optimizer.ask(2), values, variance=variance)
        assert optimizer.result().values.tolist() == [[1.0]]


def test_no_violations_are_accepted_where_there_are_no_constraints() -> None:
    optimizer = make()
    optimizer.tell(optimizer.ask(2), Evaluation(torch.ones(2, 1), torch.zeros(2, 0)))
    assert optimizer.n_evaluations == 2


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"failed": ["a", "b"]}, "failed"),
        ({"failed": "yes"}, "failed"),
        ({"failed": [None, True]}, "failed"),
        ({"failed": [[True], [True, False]]}, "failed"),
        ({"extras": 5}, "extras"),
        ({"extras": ["gradient"]}, "extras"),
        ({"variance": "small"}, "variance"),
    ],
)
def test_other_columns_are_refused_by_name(arguments: dict[str, Any], name: str) -> None:
    optimizer = make()
    batch = optimizer.ask(2)
    with pytest.raises(TellError, match=f"{name}: ") as caught:
        optimizer.tell(batch, [1.0, 2.0], **arguments)
    assert caught.value.argument == name
    assert optimizer.n_pending == 2


def test_the_least_violated_point_is_found_though_its_sum_overflows() -> None:
    optimizer = make(n_constraints=2)
    optimizer.tell(optimizer.ask(2), [1.0, 2.0], violations=[[1.5e308, 1.5e308], [float("nan"), 0.0]])
    least = optimizer.result().least_violated
    assert least is not None
    assert least.values.tolist() == [[1.0]]


@pytest.mark.parametrize("ids", [None, [0.7], ["a"], [10**30], [[0]], [True], torch.tensor([0.7])])
def test_ids_that_are_no_integers_are_unknown(ids: Any) -> None:
    optimizer = make()
    optimizer.ask(2)
    with pytest.raises(UnknownCandidateError, match="ids: expected integers"):
        optimizer.pending_batch(ids)
    assert optimizer.pending_batch(i for i in (1, 0)).ids.tolist() == [1, 0]


def test_only_batches_can_be_abandoned() -> None:
    with pytest.raises(TellError, match="batch: expected a Batch"):
        make().abandon([0])  # type: ignore[arg-type]


def test_fixed_values_are_a_mapping_of_named_parameters() -> None:
    for fixed in (["x0"], "x0"):
        with pytest.raises(SpaceError, match="fixed: expected a mapping"):
            make().ask(fixed=fixed)  # type: ignore[arg-type]
    with pytest.raises(SpaceError, match="genome"):
        Optimizer(Space.genome(10), RandomSearch(), seed=0).ask(fixed={"x0": 0.5})


@pytest.mark.parametrize("make_algorithm", [RandomSearch, Sobol])
def test_sampling_refuses_batches_of_no_size(make_algorithm: Any) -> None:
    for size in (0, -1, 1.5, "a", True):
        with pytest.raises(SettingError, match="batch_size"):
            make_algorithm(batch_size=size)
    with pytest.raises(SettingError, match="scramble"):
        Sobol(scramble="yes")  # type: ignore[arg-type]


@pytest.mark.parametrize("k", [0, 2])
@pytest.mark.parametrize("algorithm", [NSGA2(population_size=8), NSGA3(population_size=8), RandomSearch()])
def test_results_before_a_generation_is_complete_have_what_was_told(algorithm: Any, k: int) -> None:
    optimizer = Optimizer(BOX, algorithm, seed=0, objectives=["a", Objective("b", maximize=True)], n_constraints=k)
    assert len(optimizer.result()) == 0
    for _ in range(3):
        batch = optimizer.ask(6)
        before = optimizer.result().values.tolist()
        worst, best = [[5.0, -5.0]], [[-float(optimizer.n_evaluations) - 1, 1.0]]
        optimizer.tell(batch[:1], worst, violations=[[1.0] * k] if k else None)
        assert optimizer.result().values.tolist() == (before if k else before or worst)
        optimizer.tell(batch[1:2], best, violations=[[-1.0] * k] if k else None)
        assert best[0] in optimizer.result().values.tolist()
        rest = batch[2:]
        optimizer.tell(rest, [[9.0, -9.0]] * len(rest), violations=[[0.0] * k] * len(rest) if k else None)
        assert best[0] in optimizer.result().values.tolist()


def test_external_points_outside_of_what_is_searched_are_no_result() -> None:
    space = Space({"x": Real(0, 1), "f": Real(1, 9, fidelity=True), "c": Real(0, 1, fixed=0.5)})
    optimizer = Optimizer(space, RandomSearch(), seed=0)
    points = [{"x": 0.1, "f": 1, "c": 0.5}, {"x": 0.2, "f": 9, "c": 0.4}, {"x": 0.3, "f": 9, "c": 0.5}]
    optimizer.tell(space.batch(points), [0.0, 1.0, 2.0])
    assert optimizer.result().configs == points[2:]
    assert optimizer.n_failed == 0


def test_a_state_with_other_objectives_than_names_and_directions_is_damaged(tmp_path: Path) -> None:
    tree = {**make().state(), "objectives": [["a", True, 2]]}
    save_file(tmp_path / "altered", tree)
    with pytest.raises(StateError, match="damaged"):
        Optimizer.load(tmp_path / "altered")
