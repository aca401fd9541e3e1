"""Pictures: what they show equals what was evaluated, they are written whole, and they leave matplotlib as it was."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.figure import Figure

from blackbox import Categorical, Integer, Objective, Optimizer, Ordinal, Problem, Real, Space, plot
from blackbox.algorithms.bayesian import explain
from blackbox.candidates import Evaluation
from blackbox.errors import SettingError, SpaceError, StorageError
from blackbox.plot import History

BOX = Space.box([-5, 0], [10, 15], names=["x1", "x2"])
MIXED = Space(
    {
        "model": Categorical(["svm", "mlp"]),
        "C": Real(1e-3, 1e3, log=True, when={"model": "svm"}),
        "kernel": Categorical(["rbf", "poly"], when={"model": "svm"}),
        "degree": Integer(2, 5, when={"kernel": "poly"}),
        "layers": Integer(1, 3, when={"model": "mlp"}),
        "size": Ordinal(["small", "medium", "large"]),
        "constant": Real(2.0, 2.0),
    }
)


def branin(x: torch.Tensor) -> torch.Tensor:
    a, b = x[:, 0], x[:, 1]
    left = (b - 5.1 / (4 * math.pi**2) * a**2 + 5 / math.pi * a - 6) ** 2
    return left + 10 * (1 - 1 / (8 * math.pi)) * torch.cos(a) + 10


def points(space: Space, n: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return space.from_unit(torch.rand((n, space.dim), generator=generator, dtype=torch.float64))


def branin_history(n: int = 30, seed: int = 0) -> History:
    x = points(BOX, n, seed)
    return History.of(BOX, x, branin(x))


def mixed_history(n: int = 40, *, maximize: bool = True) -> History:
    x = points(MIXED, n)
    values = 0.9 - 0.1 * x[:, 0] + 0.02 * x[:, 5] - 0.01 * torch.nan_to_num(x[:, 3])
    failed = torch.zeros(n, dtype=torch.bool)
    failed[[3, 11]] = True
    return History.of(MIXED, x, values, failed=failed, objectives=Objective("accuracy", maximize=maximize))


def many_objectives(m: int, n: int = 60, seed: int = 0, *, maximize: bool = False) -> History:
    space = Space.box([0] * 4, [1] * 4)
    x = points(space, n, seed)
    generator = torch.Generator().manual_seed(seed + 100)
    values = torch.rand((n, m), generator=generator, dtype=torch.float64)
    return History.of(space, x, values, objectives=[Objective(f"f{i + 1}", maximize=maximize) for i in range(m)])


def line(ax: Axes, label: str) -> Any:
    (found,) = [one for one in ax.get_lines() if one.get_label() == label]
    return found


def clouds(ax: Axes, label: str) -> list[Any]:
    return [one for one in ax.collections if str(one.get_label()).startswith(label)]


def texts(ax: Axes) -> list[str]:
    titles = [ax.get_title(loc=where) for where in ("left", "center", "right")]
    return [text.get_text() for text in ax.texts] + titles


def legend_texts(ax: Axes) -> list[str]:
    legend = ax.get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


def slow_best_so_far(history: History, column: int = 0) -> list[float]:
    best, found = math.nan, []
    maximize = history.objectives[column].maximize
    for row in range(len(history)):
        value = float(history.values[row, column])
        if not bool(history.failed[row]) and bool((history.violations[row] <= 0).all()):
            better = math.isnan(best) or (value > best if maximize else value < best)
            best = value if better else best
        found.append(best)
    return found


# -- histories ---------------------------------------------------------------------------------------------------------


def test_a_history_of_arrays_marks_failures_and_copies() -> None:
    x, values = points(BOX, 4), torch.tensor([1.0, math.inf, 3.0, 4.0])
    history = History.of(BOX, x, values, failed=[False, False, True, False], violations=[0.0, -1.0, 0.0, 2.0])
    assert history.failed.tolist() == [False, True, True, False]
    assert history.feasible.tolist() == [True, False, False, False]
    assert history.infeasible.tolist() == [False, False, False, True]
    assert torch.isnan(history.values[[1, 2]]).all()
    assert float(History.of(BOX, x[:1], [1e300]).values) == 1e300
    values[0], x[0, 0] = 99.0, 99.0
    assert float(history.values[0, 0]) == 1.0
    assert float(history.x[0, 0]) != 99.0


def test_a_history_is_made_of_problems_optimizers_batches_and_dictionaries() -> None:
    from blackbox.algorithms import RandomSearch

    problem = Problem.from_function(lambda c: c["x1"], BOX, objectives=Objective("gain", maximize=True))
    optimizer = Optimizer(problem, RandomSearch(), seed=0)
    batch = optimizer.ask(5)
    history = History.of(optimizer, batch, problem(batch.x))
    assert history.objectives[0].maximize
    assert torch.equal(history.x, batch.x)
    again = History.of(problem, batch.configs, Evaluation(batch.x[:, :1], violations=torch.ones(5, 2)))
    assert torch.equal(again.x, batch.x)
    assert not again.feasible.any()
    assert again.violations.shape == (5, 2)
    record = SimpleNamespace(space=BOX, objectives=1, x=batch.x, values=batch.x[:, 0])
    assert len(History.of(record)) == 5
    assert History.of(again) is again


@dataclass
class FakeRecord:
    id: int
    config: dict[str, Any]
    status: str
    values: tuple[float, ...] | None
    violations: tuple[float, ...] | None
    finished: float | None


def test_a_history_of_a_study_holds_what_is_finished_in_the_order_of_finishing() -> None:
    configs = BOX.decode(points(BOX, 5))
    records = [
        FakeRecord(0, configs[0], "told", (5.0,), (0.0,), 12.0),
        FakeRecord(1, configs[1], "pending", None, None, None),
        FakeRecord(2, configs[2], "failed", None, None, 10.0),
        FakeRecord(3, configs[3], "told", (3.0,), (1.0,), 11.0),
        FakeRecord(4, configs[4], "abandoned", None, None, 9.0),
    ]
    problem = SimpleNamespace(objectives=[Objective("loss")], n_constraints=1)
    study = SimpleNamespace(space=BOX, problem=problem, history=lambda: records)
    history = History.of(study)
    assert torch.equal(history.x, points(BOX, 5)[[2, 3, 0]])
    assert history.failed.tolist() == [True, False, False]
    assert history.feasible.tolist() == [False, False, True]
    assert history.values[1:, 0].tolist() == [3.0, 5.0]
    study.history = lambda: records[1:2]
    with pytest.raises(SettingError, match="at least one evaluation"):
        plot.convergence(study)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": [[0.0, 1.0]]}, "values: expected what was evaluated"),
        ({"values": [1.0]}, "x: expected what was evaluated"),
        ({"x": [[0.0]], "values": [1.0]}, r"x: expected shape \(n, 2\)"),
        ({"x": [[0.0, 1.0]], "values": [1.0, 2.0]}, "as many points as values"),
        ({"x": [[0.0, 1.0]], "values": ["a"]}, "values: expected numbers"),
        ({"x": [[0.0, 1.0]], "values": [None]}, "values: expected numbers"),
        ({"x": [[0.0, 1.0]], "values": [1.0 + 1.0j]}, "values: expected a real array"),
        ({"x": [[0.0, 1.0], [0.0]], "values": [1.0]}, "x: expected an array of numbers"),
        ({"x": [[0.0, 1.0]], "values": [1.0], "failed": [True, False]}, r"failed: expected shape \(1,\)"),
        ({"x": [[0.0, 1.0]], "values": [1.0], "violations": [1.0, 2.0]}, "violations: expected shape"),
        ({"x": [[0.0, 1.0]], "values": [1.0], "objectives": 2}, r"values: expected shape \(n, 2\)"),
    ],
)
def test_a_history_that_does_not_fit_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        History.of(BOX, **arguments)


def test_what_is_no_history_is_refused() -> None:
    with pytest.raises(SettingError, match=r"expected a Study or a History, got int.*History\.of"):
        plot.convergence(3)


def test_the_best_so_far_equals_a_loop() -> None:
    generator = torch.Generator().manual_seed(3)
    for maximize in (False, True):
        values = torch.randn(200, generator=generator, dtype=torch.float64)
        values[torch.rand(200, generator=generator) < 0.2] = math.nan
        limits = torch.randn((200, 2), generator=generator, dtype=torch.float64) - 0.5
        history = History.of(
            BOX, points(BOX, 200), values, violations=limits, objectives=Objective("v", maximize=maximize)
        )
        slow = slow_best_so_far(history)
        np.testing.assert_array_equal(history.best_so_far().numpy(), slow)
        row = history.best_row()
        assert row is not None
        assert float(history.values[row, 0]) == slow[-1]


# -- convergence -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("maximize", [False, True])
def test_convergence_draws_the_best_so_far(maximize: bool) -> None:
    history = mixed_history(maximize=maximize)
    ax = plot.convergence(history)
    drawn = line(ax, "best so far")
    np.testing.assert_array_equal(drawn.get_xdata(), np.arange(1, 41))
    np.testing.assert_array_equal(drawn.get_ydata(), slow_best_so_far(history))
    assert drawn.get_drawstyle() == "steps-post"
    assert ax.get_xlabel() == "evaluations"
    assert ax.get_ylabel() == f"accuracy ({'maximised' if maximize else 'minimised'})"
    assert ax.get_yscale() == "linear"
    low, high = ax.get_xlim()
    assert low < 1
    assert high > 40
    (failed,) = clouds(ax, "_failed")
    assert sorted(failed.get_offsets()[:, 0]) == [4.0, 12.0]
    assert legend_texts(ax) == ["failed (2)"]


def test_convergence_takes_a_logarithm_where_values_span_decades() -> None:
    history = branin_history(60, seed=2)
    assert plot.convergence(history).get_yscale() == "log"
    assert plot.convergence(history, scale="linear").get_yscale() == "linear"
    shifted = History.of(BOX, history.x, history.values - 50)
    assert plot.convergence(shifted).get_yscale() == "linear"
    with pytest.raises(SettingError, match='scale: "log" needs positive values'):
        plot.convergence(shifted, scale="log")
    with pytest.raises(SettingError, match="scale: expected"):
        plot.convergence(history, scale="cubic")  # type: ignore[arg-type]


def test_convergence_draws_the_distance_to_the_optimum() -> None:
    history = mixed_history()
    ax = plot.convergence(history, optimum=1.0)
    np.testing.assert_allclose(line(ax, "best so far").get_ydata(), 1.0 - np.array(slow_best_so_far(history)))
    assert ax.get_yscale() == "log"
    assert "optimum" in ax.get_ylabel()
    exact = History.of(BOX, points(BOX, 3), [3.0, 1.0, 1.0])
    assert line(plot.convergence(exact, optimum=1.0), "best so far").get_ydata()[-1] > 0


def test_convergence_compares_named_histories() -> None:
    first, second = branin_history(), branin_history(20, seed=5)
    ax = plot.convergence(first, label="Bayesian optimization", compare={"random search": second})
    for label, history in (("Bayesian optimization", first), ("random search", second)):
        drawn = line(ax, label)
        np.testing.assert_array_equal(drawn.get_ydata(), slow_best_so_far(history))
        assert any(text.startswith(label) for text in texts(ax))
    assert line(ax, "random search").get_color() != line(ax, "Bayesian optimization").get_color()
    assert ax.get_xlim()[1] > 30
    failing = plot.convergence(mixed_history(), compare={"other": mixed_history(12)})
    assert legend_texts(failing) == ["failed (2 + 2)"]
    labels = [text for text in ax.texts if text.get_text()]
    heights = sorted(text.xy[1] for text in labels)  # type: ignore[attr-defined]
    assert len(labels) == 2
    assert heights[1] - heights[0] > 0.05  # they do not overlap


def test_convergence_draws_median_and_quartiles_of_repetitions() -> None:
    runs = [branin_history(seed=seed) for seed in range(5)]
    ax = plot.convergence(runs)
    table = np.array([slow_best_so_far(run) for run in runs])
    np.testing.assert_array_equal(line(ax, "best so far").get_ydata(), np.sort(table, axis=0)[2])
    assert any(isinstance(part, PolyCollection) for part in ax.collections)
    assert legend_texts(ax) == ["quartiles of the runs, line: median"]


def test_convergence_marks_infeasible_evaluations_and_those_beyond_the_axis() -> None:
    x = points(BOX, 40)
    values = torch.linspace(1.0, -1.0, 40, dtype=torch.float64)
    values[20] = 1000.0
    ax = plot.convergence(History.of(BOX, x, values, violations=torch.where(torch.arange(40) < 10, 1.0, -1.0)))
    (rings,) = clouds(ax, "_infeasible")
    assert len(rings.get_offsets()) == 10
    assert np.isnan(line(ax, "best so far").get_ydata()[:10]).all()
    assert ax.get_ylim()[1] < 100
    (beyond,) = clouds(ax, "_beyond")
    assert beyond.get_offsets()[:, 0].tolist() == [21.0]
    assert legend_texts(ax) == ["infeasible (10)", "beyond the axis (1)"]


@pytest.mark.parametrize(
    ("values", "violations", "remark"),
    [
        ([3.0], None, ""),
        ([7.0] * 6, None, ""),
        ([1e300, 1.0, -2.0, 3.0, 0.5, 0.1, 0.2, 0.3], None, ""),
        ([math.nan] * 4, None, "all 4 evaluations failed"),
        ([1.0, 2.0], [1.0, 1.0], "no feasible evaluation"),
    ],
)
def test_convergence_of_odd_histories(values: list[float], violations: list[float] | None, remark: str) -> None:
    history = History.of(BOX, points(BOX, len(values)), values, violations=violations)
    ax = plot.convergence(history)
    ax.figure.canvas.draw()
    assert ax.get_title(loc="right") == remark
    assert ("beyond the axis (2)" in legend_texts(ax)) == (values[0] == 1e300)
    ends = [mark for mark in ax.get_lines() if mark.get_label() == "_end"]
    assert len(ends) == int(bool(history.feasible.any()))


def test_long_histories_make_small_files(tmp_path: Any) -> None:
    x = points(BOX, 20_000)
    history = History.of(BOX, x, branin(x))
    path = tmp_path / "long.svg"
    ax = plot.convergence(history, path=path)
    assert path.stat().st_size < 1_000_000
    drawn = line(ax, "best so far")
    slow = np.array(slow_best_so_far(history))
    assert len(drawn.get_xdata()) < 100
    at = np.searchsorted(drawn.get_xdata(), np.arange(1, 20_001), side="right") - 1
    np.testing.assert_array_equal(np.asarray(drawn.get_ydata())[at], slow)


def test_convergence_says_what_to_do_about_several_objectives() -> None:
    history = many_objectives(2)
    with pytest.raises(SettingError, match=r"has 2: choose one of \['f1', 'f2'\].*plot\.hypervolume or plot\.front"):
        plot.convergence(history)
    ax = plot.convergence(history, objective="f2")
    np.testing.assert_array_equal(line(ax, "best so far").get_ydata(), slow_best_so_far(history, 1))
    with pytest.raises(SettingError, match="objective: expected one of"):
        plot.convergence(history, objective="f3")


def test_comparisons_that_make_no_sense_are_refused() -> None:
    history = branin_history(5)
    with pytest.raises(SettingError, match="same objectives"):
        plot.convergence(history, compare={"other": many_objectives(2)})
    with pytest.raises(SettingError, match="names other than 'a'"):
        plot.convergence(history, label="a", compare={"a": history})
    with pytest.raises(SettingError, match="compare: expected a mapping"):
        plot.convergence(history, compare=[history])  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="at most 7"):
        plot.convergence(history, compare={str(i): history for i in range(8)})
    with pytest.raises(SettingError, match="empty list"):
        plot.convergence([])


# -- hypervolume and fronts --------------------------------------------------------------------------------------------


def slow_area(costs: np.ndarray[Any, Any], corner: np.ndarray[Any, Any]) -> float:
    """The dominated area by a sweep."""
    area, best = 0.0, float(corner[1])
    for a, b in sorted(costs.tolist()):
        if a < corner[0] and b < best:
            area += (corner[0] - a) * (best - b)
            best = b
    return area


@pytest.mark.parametrize("maximize", [False, True])
def test_hypervolume_equals_a_sweep_after_every_evaluation(maximize: bool) -> None:
    history = many_objectives(2, maximize=maximize)
    limits = torch.where(torch.arange(60) % 7 == 3, 1.0, -1.0)
    history = History.of(history.space, history.x, history.values, violations=limits, objectives=history.objectives)
    reference = [0.1, 0.2] if maximize else [0.9, 0.8]
    ax = plot.hypervolume(history, reference_point=reference)
    sign = -1.0 if maximize else 1.0
    corner = sign * np.array(reference)
    costs = sign * history.values.numpy()
    feasible = history.feasible.numpy()
    slow = [slow_area(costs[:n][feasible[:n]], corner) for n in range(1, 61)]
    np.testing.assert_allclose(line(ax, "best so far").get_ydata(), slow, atol=1e-12)
    stated = ", ".join(str(value) for value in reference)
    assert ax.get_title(loc="right") == f"reference point ({stated})"


def test_hypervolume_compares_and_shows_what_can_be_reached() -> None:
    first, second = many_objectives(3), many_objectives(3, seed=7)
    front = [[0.0, 0.0, 0.0]]
    ax = plot.hypervolume(
        first, label="a", compare={"b": [second, first]}, reference_point=[1.0, 1.0, 1.0], known_front=front
    )
    assert np.all(np.diff(line(ax, "a").get_ydata()) >= 0)
    assert line(ax, "known front").get_ydata()[0] == pytest.approx(1.0)
    assert ax.get_ylim()[1] > 1.0
    assert ax.get_ylim()[0] == 0.0
    assert legend_texts(ax) == ["quartiles of the runs, line: median"]


def test_the_default_reference_point_lies_beyond_every_front() -> None:
    first, second = many_objectives(2), many_objectives(2, seed=7)
    fronts = np.concatenate([slow_front(run.values.numpy()) for run in (first, second)])
    point = fronts.max(0) + 0.1 * (fronts.max(0) - fronts.min(0))
    ax = plot.hypervolume(first, label="a", compare={"b": second})
    assert line(ax, "b").get_ydata()[-1] == pytest.approx(slow_area(second.values.numpy(), point))
    given = History(**{**vars(first), "reference_point": torch.tensor([2.0, 3.0])})
    assert plot.hypervolume(given).get_title(loc="right") == "reference point (2, 3)"


def test_hypervolume_of_long_histories_ends_at_the_exact_value() -> None:
    history = many_objectives(2, n=1500)
    drawn = line(plot.hypervolume(history, reference_point=[1.0, 1.0]), "best so far").get_ydata()
    assert drawn[-1] == pytest.approx(slow_area(history.values.numpy(), np.ones(2)))
    assert np.all(np.diff(drawn) >= 0)


def test_hypervolume_says_why_it_is_zero_and_refuses_one_objective() -> None:
    history = many_objectives(2)
    ax = plot.hypervolume(history, reference_point=[-1.0, -1.0])
    assert ax.get_title(loc="right").startswith("nothing dominates the reference point")
    infeasible = History.of(history.space, history.x, history.values, violations=torch.ones(60))
    assert plot.hypervolume(infeasible).get_title(loc="right") == "no feasible evaluation"
    with pytest.raises(SettingError, match=r"this history has one: use plot\.convergence"):
        plot.hypervolume(branin_history())
    with pytest.raises(SettingError, match="reference_point: expected 2 finite numbers"):
        plot.hypervolume(history, reference_point=[1.0])
    with pytest.raises(SettingError, match=r"known_front: expected shape \(r, 2\)"):
        plot.hypervolume(history, known_front=[[1.0]])


def slow_front(costs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    kept = [not any((other <= row).all() and (other < row).any() for other in costs) for row in costs]
    return costs[kept]


@pytest.mark.parametrize("maximize", [False, True])
def test_front_of_two_objectives(maximize: bool) -> None:
    history = many_objectives(2, maximize=maximize)
    ax = plot.front(history, reference_point=[1.5, 1.5])
    sign = -1.0 if maximize else 1.0
    slow = sign * slow_front(sign * history.values.numpy())
    (best,) = clouds(ax, "non-dominated")
    assert {tuple(row) for row in np.asarray(best.get_offsets())} == {tuple(row) for row in slow}
    (rest,) = clouds(ax, "dominated")
    assert len(rest.get_offsets()) == 60 - len(slow)
    assert best.get_label() == f"non-dominated ({len(slow)})"
    (ideal,) = clouds(ax, "ideal")
    np.testing.assert_array_equal(ideal.get_offsets()[0], slow.max(0) if maximize else slow.min(0))
    (reference,) = clouds(ax, "reference point")
    np.testing.assert_array_equal(reference.get_offsets()[0], [1.5, 1.5])
    assert ax.get_xlabel() == f"f1 ({'maximised' if maximize else 'minimised'})"
    stairs = np.asarray(line(ax, "_front").get_xydata())
    assert len(stairs) == 2 * len(slow) - 1
    corners = stairs[1::2]
    for corner in corners:  # each corner is dominated by both of its neighbours, hence no better than the front
        assert (sign * slow <= sign * corner + 1e-12).all(1).any()


def test_front_of_three_objectives() -> None:
    history = many_objectives(3)
    ax: Any = plot.front(history)
    assert ax.name == "3d"
    slow = slow_front(history.values.numpy())
    (best,) = [part for part in ax.collections if part.get_label() == "_front"]
    assert len(best.get_offsets()) == len(slow)
    assert ax.get_zlabel() == "f3 (minimised)"
    assert any(text.startswith(f"non-dominated ({len(slow)})") for text in legend_texts(ax))
    ax = plot.front(history, compare={"other": many_objectives(3, seed=4)}, known_front=[[0.0, 0.0, 0.0]])
    assert {"known front", "ideal"} <= set(legend_texts(ax))


def test_front_marks_infeasible_and_failed_evaluations_and_takes_logarithms() -> None:
    history = many_objectives(2)
    values = history.values.clone()
    values[:, 0] = 10.0 ** (4 * values[:, 0])
    values[5] = math.nan
    limits = torch.where(torch.arange(60) < 12, 1.0, -1.0)
    ax = plot.front(History.of(history.space, history.x, values, violations=limits))
    assert ax.get_xscale() == "log"
    assert ax.get_yscale() == "linear"
    (rings,) = clouds(ax, "infeasible")
    assert len(rings.get_offsets()) == 11
    assert ax.get_title(loc="right") == "1 failed"
    nothing = History.of(history.space, history.x, history.values * math.nan, objectives=2)
    assert plot.front(nothing).get_title(loc="right") == "60 failed, no feasible evaluation"
    plot.front(History.of(history.space, history.x, many_objectives(3).values * math.nan, objectives=3))


def test_front_says_what_to_do_about_other_numbers_of_objectives() -> None:
    with pytest.raises(SettingError, match=r"has one: use plot\.convergence"):
        plot.front(branin_history())
    history = many_objectives(5)
    with pytest.raises(SettingError, match=r"has 5: choose some of .*objectives=\[\.\.\.\].*parallel_coordinates"):
        plot.front(history)
    ax = plot.front(history, objectives=["f4", "f2"])
    assert ax.get_xlabel() == "f4 (minimised)"
    (best,) = clouds(ax, "non-dominated")
    assert len(best.get_offsets()) == len(slow_front(history.values[:, [3, 1]].numpy()))
    with pytest.raises(SettingError, match="two or three distinct names"):
        plot.front(history, objectives=["f1", "f1"])
    with pytest.raises(SettingError, match="expected one history, got a list"):
        plot.front([many_objectives(2), many_objectives(2)])


# -- parallel coordinates ----------------------------------------------------------------------------------------------


def segments(ax: Axes, label: str) -> list[Any]:
    found = [one for one in ax.collections if isinstance(one, LineCollection) and one.get_label() == label]
    return [segment for one in found for segment in one.get_segments()]


def test_parallel_coordinates_lead_inactive_parameters_over_a_rung() -> None:
    history = mixed_history()
    ax = plot.parallel_coordinates(history)
    names = [label.get_text() for label in ax.get_xticklabels()]
    assert names == ["model", "C", "kernel", "degree", "layers", "size", "accuracy \N{UPWARDS ARROW}"]
    good, failed = segments(ax, "_feasible"), segments(ax, "_failed")
    assert len(good) == 38
    assert len(failed) == 2
    inactive = torch.isnan(history.x[:, [0, 1, 2, 3, 4, 5]])
    drawn = np.array([segment[:-1, 1] for segment in good + failed])
    assert (drawn < 0).sum() == int(inactive.sum())
    assert ((drawn < 0) | ((drawn >= 0) & (drawn <= 1))).all()
    assert all(segment[-1, 1] < 0 for segment in failed)
    written = texts(ax)
    assert written.count("inactive") == int(inactive.any(0).sum())
    assert "failed (2)" in written
    assert {"svm", "mlp", "rbf", "poly", "small", "large"} <= set(written)
    assert good[-1][-1, 1] == 1.0  # the best comes last, on top


def test_parallel_coordinates_colour_by_direction() -> None:
    for maximize in (False, True):
        ax = plot.parallel_coordinates(mixed_history(maximize=maximize))
        (lines,) = [part for part in ax.collections if part.get_label() == "_feasible"]
        brightness = np.asarray(lines.get_colors())[:, :3].sum(1)  # type: ignore[attr-defined]
        assert brightness[-1] < brightness[0]  # dark is good


def test_parallel_coordinates_of_many_parameters_and_evaluations() -> None:
    space = Space({f"a parameter with the long name {i}": Real(0, 1) for i in range(40)})
    x = points(space, 3000)
    history = History.of(space, x, x[:, 35] + 0.01 * x[:, 3])
    ax = plot.parallel_coordinates(history)
    assert len(ax.get_xticks()) == 31
    assert "30 of 40 parameters, by rank correlation; 500 of 3\N{THIN SPACE}000 evaluations" in texts(ax)
    assert len(segments(ax, "_feasible")) == 500
    shown = [label.get_text() for label in ax.get_xticklabels()]
    assert all(len(name) <= 22 for name in shown[:-1])
    assert any(name.endswith("name 35") for name in shown)
    ax = plot.parallel_coordinates(history, parameters=["a parameter with the long name 7"], most=10)
    assert len(ax.get_xticks()) == 2
    assert len(segments(ax, "_feasible")) == 10
    with pytest.raises(SpaceError, match="no such parameter"):
        plot.parallel_coordinates(history, parameters=["b"])
    with pytest.raises(SettingError, match="distinct names"):
        plot.parallel_coordinates(history, parameters=[])
    with pytest.raises(SettingError, match="most: expected an integer >= 1"):
        plot.parallel_coordinates(history, most=0)


def test_parallel_coordinates_of_several_objectives_show_them_all() -> None:
    history = many_objectives(3)
    limits = torch.where(torch.arange(60) < 12, 1.0, -1.0)
    ax = plot.parallel_coordinates(
        History.of(history.space, history.x, history.values, violations=limits), objective="f2"
    )
    assert [label.get_text() for label in ax.get_xticklabels()][-3:] == [f"f{i} \N{DOWNWARDS ARROW}" for i in (1, 2, 3)]
    assert len(segments(ax, "_infeasible")) == 12
    assert legend_texts(ax) == ["infeasible (12)"]
    best = segments(ax, "_feasible")[-1]
    assert best[5, 1] == min(segment[5, 1] for segment in segments(ax, "_feasible"))


@pytest.mark.parametrize("values", [[2.0], [2.0, 2.0, 2.0], [math.nan, math.nan]])
def test_parallel_coordinates_of_odd_histories(values: list[float]) -> None:
    ax = plot.parallel_coordinates(History.of(BOX, points(BOX, len(values)), values))
    ax.figure.canvas.draw()
    assert len(segments(ax, "_feasible") + segments(ax, "_failed")) == len(values)


# -- the surrogate's pictures ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixed_model() -> Any:
    history = mixed_history()
    return explain.fit_surrogate(MIXED, history.x, history.values[:, 0], maximize=True)


def test_slices_draw_the_surrogate_through_the_best_evaluation(mixed_model: Any) -> None:
    history = mixed_history()
    panels = plot.slices(history, model=mixed_model)
    names = ["model", "C", "kernel", "degree", "layers", "size"]
    assert [panel.get_xlabel() for panel in panels] == names
    row = history.best_row()
    assert row is not None
    best = history.x[row]
    for panel, name in zip(panels, names, strict=True):
        curve = explain.slice(mixed_model, name, at=best)
        np.testing.assert_allclose(line(panel, "_surrogate").get_ydata(), curve.middle)
        column = MIXED.index(name)
        active = ~torch.isnan(history.x[:, column]) & ~history.failed
        assert sum(len(cloud.get_offsets()) for cloud in clouds(panel, "_data")) == int(active.sum())
        marked = [mark for mark in panel.get_lines() if mark.get_label() == "_best"]
        assert len(marked) == int(not torch.isnan(best[column]))
        assert panel.get_ylim() == panels[0].get_ylim()
    assert panels[1].get_xscale() == "log"
    assert [tick.get_text() for tick in panels[0].get_xticklabels()] == ["svm", "mlp"]
    inactive = [panel.get_title(loc="left") for panel in panels if panel.get_title(loc="left").startswith("if ")]
    assert inactive
    assert set(inactive) <= {"if model = svm", "if kernel = poly", "if model = mlp"}


def test_slices_fit_their_own_surrogate_and_mark_infeasible_evaluations(tmp_path: Any) -> None:
    history = branin_history(25)
    limits = torch.where(torch.arange(25) < 5, 1.0, -1.0)
    (panel,) = plot.slices(
        History.of(BOX, history.x, history.values**2, violations=limits), parameters="x2", path=tmp_path / "slices.svg"
    )
    assert panel.get_yscale() == "log"
    assert (tmp_path / "slices.svg").stat().st_size > 5000
    assert len(clouds(panel, "_data")) >= 2
    keys = [text.get_text() for legend in panel.figure.legends for text in legend.get_texts()]
    assert "infeasible" in keys
    assert "best" in keys


def test_slices_of_odd_histories() -> None:
    constant = History.of(BOX, points(BOX, 6), torch.full((6,), 7.0))
    for panel in plot.slices(constant):
        low, high = panel.get_ylim()
        assert low < 7.0 < high
        assert high - low > 0.1
    with pytest.raises(SettingError, match="slices needs two evaluations with a value to learn from, got 1"):
        plot.slices(History.of(BOX, points(BOX, 2), [1.0, math.nan]))
    with pytest.raises(SettingError, match=r"slices shows one objective and this history has 2"):
        plot.slices(many_objectives(2))
    nothing = History.of(BOX, points(BOX, 6), branin(points(BOX, 6)), violations=torch.ones(6))
    panels = plot.slices(nothing)
    assert not [mark for panel in panels for mark in panel.get_lines() if mark.get_label() == "_best"]
    figure = Figure()
    with pytest.raises(SettingError, match="ax: expected 2 axes, one a parameter, got 1"):
        plot.slices(constant, ax=figure.add_subplot())


def test_slices_of_many_parameters_choose_those_that_matter() -> None:
    space = Space.box([0.0] * 15, [1.0] * 15)
    x = points(space, 60)
    history = History.of(space, x, (x[:, 14] - 0.4) ** 2 + 0.3 * x[:, 2])
    names = [panel.get_xlabel() for panel in plot.slices(history)]
    assert len(names) == 12
    assert {"x2", "x14"} <= set(names)


def test_importance_draws_the_surrogates_indices(mixed_model: Any) -> None:
    ax = plot.importance(mixed_history(), model=mixed_model)
    found = explain.importance(mixed_model)
    order = np.argsort(-found.total)
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names[:2] == [found.names[i] for i in order[:2]]
    assert "constant" not in names
    whole = [bar.get_width() for bar in ax.containers[0]]
    alone = [bar.get_width() for bar in ax.containers[1]]
    np.testing.assert_allclose(whole, [100 * found.total[found.names.index(name)] for name in names], atol=1e-9)
    assert whole == sorted(whole, reverse=True)
    assert all(a <= b for a, b in zip(alone, whole, strict=True))
    assert texts(ax)[0] == f"{whole[0]:.0f} %"
    assert set(legend_texts(ax)) == {"alone", "with interactions"}
    assert ax.get_xlabel() == "share of the variance of accuracy explained, %"


def test_importance_of_odd_histories() -> None:
    constant = History.of(BOX, points(BOX, 6), torch.full((6,), 7.0))
    assert plot.importance(constant).get_title(loc="right") == "the surrogate is constant: nothing to explain"
    space = Space.box([0.0] * 30, [1.0] * 30)
    x = points(space, 40)
    ax = plot.importance(History.of(space, x, x[:, 3]), most=8)
    assert ax.get_yticklabels()[0].get_text() == "x3"
    assert 6 <= len(ax.get_yticks()) <= 8
    assert "more, none above" in ax.get_title(loc="right")
    with pytest.raises(SettingError, match="most: expected an integer >= 1"):
        plot.importance(constant, most=0)
    with pytest.raises(SettingError, match="importance needs two evaluations"):
        plot.importance(History.of(BOX, points(BOX, 1), [1.0]))


# -- files, axes, and matplotlib's own state ---------------------------------------------------------------------------


def test_pictures_are_written_as_png_and_svg_and_twice_the_same(tmp_path: Any) -> None:
    history = branin_history(10)
    for suffix in (".png", ".svg", ".SVG"):
        files = [tmp_path / f"{name}{suffix}" for name in "ab"]
        for file in files:
            plot.convergence(history, title="Branin", path=str(file))
        assert files[0].read_bytes() == files[1].read_bytes()
    assert (tmp_path / "a.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert ElementTree.parse(tmp_path / "a.svg").getroot().tag.endswith("svg")
    assert sorted(os.listdir(tmp_path)) == ["a.SVG", "a.png", "a.svg", "b.SVG", "b.png", "b.svg"]


@pytest.mark.parametrize("path", ["picture.pdf", "picture", "picture.png.txt", 3])
def test_other_formats_are_refused_before_anything_is_drawn(path: Any, tmp_path: Any) -> None:
    with pytest.raises(SettingError, match=r"path: expected a file name ending in \.png or \.svg"):
        plot.convergence("not even a history", path=path)


def test_a_path_that_cannot_be_written_is_a_storage_error_and_leaves_nothing(tmp_path: Any) -> None:
    history = branin_history(5)
    missing = tmp_path / "missing" / "a.png"
    with pytest.raises(StorageError, match=r"path: cannot write .*missing.*: No such file or directory"):
        plot.convergence(history, path=missing)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(StorageError, match="cannot write"):
        plot.convergence(history, path=tmp_path / "folder.png")
    assert os.listdir(tmp_path) == ["folder.png"]


def test_pictures_are_drawn_on_given_axes(tmp_path: Any) -> None:
    figure = Figure(figsize=(8, 3))
    left, right = figure.subplots(1, 2)
    assert plot.convergence(branin_history(10), ax=left) is left
    assert plot.front(many_objectives(2), ax=right, path=tmp_path / "both.png") is right
    assert figure.axes == [left, right]
    assert tuple(figure.get_size_inches()) == (8.0, 3.0)
    panels = plot.slices(branin_history(10), ax=Figure().subplots(1, 2))
    assert len(panels) == 2
    part: Any = np.asarray(Figure().subfigures(1, 2))[0]
    plot.hypervolume(many_objectives(2), ax=part.add_subplot(), path=tmp_path / "part.svg")
    assert (tmp_path / "part.svg").exists()
    with pytest.raises(SettingError, match="ax: expected axes with projection='3d'"):
        plot.front(many_objectives(3), ax=right)
    with pytest.raises(SettingError, match="ax: expected matplotlib axes or None, got int"):
        plot.convergence(branin_history(10), ax=3)  # type: ignore[arg-type]


def test_names_with_dollars_and_great_length_are_drawn(tmp_path: Any) -> None:
    space = Space({"cost in $ of $steel": Real(0, 1), "a" * 80: Categorical(["$x", "y" * 60])})
    x = points(space, 12)
    history = History.of(space, x, x[:, 0] + x[:, 1], objectives="price_in_$_" + "z" * 90)
    for picture in (plot.convergence, plot.parallel_coordinates, plot.slices, plot.importance):
        picture(history, path=tmp_path / "odd.png")
    assert len(plot.convergence(history).get_ylabel()) < 70


def test_matplotlib_is_left_as_it_was() -> None:
    before = dict(dict.items(matplotlib.rcParams))
    history = mixed_history(12)
    plot.convergence(history)
    plot.parallel_coordinates(history)
    plot.front(many_objectives(3))
    with pytest.raises(SettingError):
        plot.hypervolume(history)
    assert dict(dict.items(matplotlib.rcParams)) == before


def test_matplotlib_is_loaded_on_use_and_pyplot_never() -> None:
    script = """
import sys
import blackbox.plot as plot
from blackbox import Space
history = plot.History.of(Space.box([0, 0], [1, 1]), [[0.1, 0.2], [0.3, 0.4]], [[1.0, 2.0], [2.0, 1.0]])
assert "matplotlib" not in sys.modules
plot.front(history)
plot.hypervolume(history)
assert "matplotlib.figure" in sys.modules
assert "matplotlib.pyplot" not in sys.modules
assert not hasattr(plot, "nothing")
assert "front" in dir(plot)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_scatters_of_many_points_are_rasterized() -> None:
    ax = plot.front(many_objectives(2, n=3000))
    (rest,) = clouds(ax, "dominated")
    assert isinstance(rest, PathCollection)
    assert rest.get_rasterized()


def test_surrogates_of_long_histories_learn_from_some_of_it_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from blackbox.plot import _surrogate

    monkeypatch.setattr(_surrogate, "_MOST", 30)
    x = points(BOX, 90)
    history = History.of(BOX, x, branin(x))
    panels = plot.slices(history)
    keys = [text.get_text() for legend in panels[0].figure.legends for text in legend.get_texts()]
    assert keys[0] == "surrogate's median from 30 of 90 evaluations"
    row = history.best_row()
    assert row is not None
    model = _surrogate.fit(history, 0, "slices")
    assert len(model.process) == 30
    assert torch.equal(model.best, history.x[row])
    assert plot.importance(history).get_title(loc="right") == "from 30 of 90 evaluations"
