"""TuRBO: the box follows the best point, grows, shrinks and starts again; samples respect what is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import blackbox as bb
from blackbox.algorithms import CMAES, TuRBO
from blackbox.algorithms.bayesian._region import Region
from blackbox.algorithms.bayesian.state import BayesianState
from blackbox.errors import SettingError
from blackbox.problems import Ackley, Rosenbrock, Shifted


def run(problem: bb.Problem, algorithm: object, n: int, seed: int = 0) -> bb.Optimizer:
    optimizer = bb.Optimizer(problem, algorithm, seed=seed, budget=n)
    while optimizer.n_evaluations < n:
        batch = optimizer.ask() if isinstance(algorithm, CMAES) else optimizer.ask(min(10, n - optimizer.n_evaluations))
        optimizer.tell(batch, problem(batch.x))
    return optimizer


def state_with(values: list[float], violations: list[float] | None = None) -> BayesianState:
    state = BayesianState.empty(2, 1, 0 if violations is None else 1, 0)
    n = len(values)
    column = torch.tensor(values, dtype=torch.float64)[:, None]
    return BayesianState(
        **{
            **state.__dict__,
            "x": torch.zeros((n, 2), dtype=torch.float64),
            "values": column,
            "violations": torch.zeros((n, 0)) if violations is None else torch.tensor(violations)[:, None].double(),
            "variance": torch.full((n, 1), torch.nan, dtype=torch.float64),
            "failed": column.isnan()[:, 0],
        }
    )


def test_the_box_grows_after_successes_and_shrinks_after_failures() -> None:
    settings = TuRBO(successes=2, failures=4)
    region = Region(length=0.8, seen=2, value=1.0, violation=0.0)
    better = region.advanced(state_with([1, 1, 0.5]), settings, 2, 2)
    assert (better.length, better.successes, better.value) == (0.8, 1, 0.5)
    twice = better.advanced(state_with([1, 1, 0.5, 0.2]), settings, 2, 2)
    assert (twice.length, twice.successes) == (1.6, 0)
    thrice = twice.advanced(state_with([1, 1, 0.5, 0.2, 0.1]), settings, 2, 2)
    assert thrice.advanced(state_with([1, 1, 0.5, 0.2, 0.1, 0.0]), settings, 2, 2).length == 1.6, "no longer than that"
    worse = region.advanced(state_with([1, 1, 2, np.nan, 2]), settings, 2, 2)
    assert (worse.length, worse.failures) == (0.8, 3)
    assert worse.advanced(state_with([1, 1, 2, np.nan, 2, 1]), settings, 2, 2).length == 0.4
    assert region.advanced(state_with([1, 1]), settings, 2, 2) is region


def test_less_violation_is_progress_until_something_is_feasible() -> None:
    settings = TuRBO()
    region = Region(length=0.8, seen=1, violation=3.0)
    less = region.advanced(state_with([5, 5], [3.0, 2.0]), settings, 2, 1)
    assert (less.successes, less.violation, less.value) == (1, 2.0, np.inf)
    feasible = less.advanced(state_with([5, 5, 9], [3.0, 2.0, -1.0]), settings, 2, 1)
    assert (feasible.successes, feasible.value) == (2, 9.0)


def test_it_beats_an_evolution_strategy_where_evaluations_are_few() -> None:
    problem = Shifted(Ackley(dim=20), seed=0)
    ours, peer = (float(run(problem, a, 120).result().values[0, 0]) for a in (TuRBO(), CMAES()))
    assert ours < peer - 1.0


def test_hundreds_at_once_are_distinct_and_inside() -> None:
    problem = Rosenbrock(dim=30)
    optimizer = bb.Optimizer(problem, TuRBO(batch_size=200, start=40), seed=0)
    first = optimizer.ask(40)
    optimizer.tell(first, problem(first.x))
    batch = optimizer.ask()
    lower, upper = problem.space.bounds()
    assert batch.x.shape == (200, 30)
    assert len(torch.unique(batch.x, dim=0)) == 200
    assert bool(((batch.x >= lower) & (batch.x <= upper)).all())
    best = first.x[problem(first.x).values[:, 0].argmin()]
    changed = (batch.x != best).sum(1)
    assert float(changed.double().mean()) < 26, "about 20 of 30 variables move at a time"


def test_a_region_that_became_tiny_is_left_for_a_new_one() -> None:
    space = bb.Space.box([0.0, 0.0], [1.0, 1.0])
    optimizer = bb.Optimizer(space, TuRBO(start=4, failures=2, batch_size=2), seed=0)
    values = []
    while len(values) < 60:
        batch = optimizer.ask(2)
        values += [1.0, 1.0]
        optimizer.tell(batch, [1.0, 1.0])  # nothing ever improves: it halves every two evaluations
    spread = torch.stack([torch.tensor([c["x0"], c["x1"]]) for c in [optimizer.ask(1).configs[0] for _ in range(6)]])
    assert optimizer.result().n_evaluations >= 60
    assert float((spread - spread[0]).abs().max()) > 0.05


def test_constraints_and_crashes_are_avoided() -> None:
    def evaluate(config: dict[str, float]) -> dict[str, object]:
        x = np.array(list(config.values()))
        value = float("nan") if x[0] > 0.8 else float((x**2).sum())
        return {"value": value, "violations": [0.5 - x[1]]}  # x1 >= 0.5, so the optimum has x1 = 0.5

    problem = bb.Problem.from_function(evaluate, bb.Space.box([-1.0] * 6, [1.0] * 6), n_constraints=1)
    optimizer = run(problem, TuRBO(start=20), 120)
    result = optimizer.result()
    assert float(result.violations.max()) <= 0.0
    assert float(result.values[0, 0]) < 0.4
    assert optimizer.n_failed < 20


def test_mixed_and_conditional_spaces() -> None:
    space = bb.Space(
        {
            "kind": bb.Categorical(["a", "b", "c"]),
            "n": bb.Integer(1, 20),
            "x": bb.Real(0, 1),
            "y": bb.Real(0, 1, when={"kind": "b"}),
        }
    )

    def evaluate(c: dict[str, object]) -> float:
        return abs(c["n"] - 7) / 10 + (c["x"] - 0.3) ** 2 + (abs(c["y"] - 0.6) if c["kind"] == "b" else 0.4)  # type: ignore[operator]

    problem = bb.Problem.from_function(evaluate, space)
    result = run(problem, TuRBO(start=10), 80).result()
    assert result.configs[0]["kind"] == "b"
    assert float(result.values[0, 0]) < 0.15


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size: expected an integer >= 1, got 0"),
        ({"start": 1}, "start: expected an integer >= 2, got 1"),
        ({"length": 2.0}, "smallest, length, largest: expected 0 < smallest < length <= largest"),
        ({"length": "wide"}, "smallest, length, largest: expected .* got .*'wide'"),
        ({"length": None}, "smallest, length, largest: expected"),
        ({"smallest": 0.0}, "smallest, length, largest: expected"),
        ({"failures": 0}, "failures: expected an integer >= 1, got 0"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        TuRBO(**settings)  # type: ignore[arg-type]
