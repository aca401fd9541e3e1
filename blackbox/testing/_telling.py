"""Checks of what is told: grouping, failures, refusals, directions, extremes, constraints."""

from __future__ import annotations

import math
from typing import Any

import torch

from blackbox.algorithm import Algorithm
from blackbox.errors import (
    AbandonedError,
    DuplicateTellError,
    TellError,
    UnknownCandidateError,
)
from blackbox.objective import Objective
from blackbox.testing._problems import ROUNDS, expect, frozen, make_optimizer, run_rounds, same, tell, values_at

__all__ = [
    "check_all_failed_is_survived",
    "check_bad_tells_change_nothing",
    "check_constant_and_extreme_values",
    "check_constraints",
    "check_directions_are_converted_once",
    "check_external_points",
    "check_failed_rows_are_survived",
    "check_identities_are_guarded",
    "check_order_and_grouping_do_not_matter",
    "check_several_objectives",
]


def check_order_and_grouping_do_not_matter(algorithm: Algorithm[Any]) -> None:
    """A shuffled, piecewise tell gives the same next candidates as one whole tell."""
    whole, pieces = make_optimizer(algorithm), make_optimizer(algorithm)
    for _ in range(2):
        batches = [o.ask(8) if o.capabilities.asynchronous else o.ask() for o in (whole, pieces)]
        tell(whole, batches[0])
        order = torch.randperm(len(batches[1]), generator=torch.Generator().manual_seed(3))
        for start in range(0, len(order), 3):
            tell(pieces, batches[1][order[start : start + 3]])
    assert same(whole.ask().x, pieces.ask().x), "order or grouping of tells changed the candidates"
    assert same(whole.result().x, pieces.result().x), "order or grouping of tells changed the result"


def check_failed_rows_are_survived(algorithm: Algorithm[Any]) -> None:
    """Non-finite values and marked rows fail; candidates stay finite and the result stays sound."""
    optimizer = make_optimizer(algorithm)
    for marker in (math.nan, math.inf, -math.inf):
        batch = optimizer.ask(8) if optimizer.capabilities.asynchronous else optimizer.ask()
        values = values_at(batch, optimizer)
        values[::2] = marker
        report = optimizer.tell(batch, values)
        assert report.n_failed == len(values[::2])
    batch = optimizer.ask()
    optimizer.space.check(batch.x)
    assert torch.isfinite(optimizer.result().values).all(), "a failed value got into the result"
    optimizer.tell(batch, None, failed=torch.ones(len(batch), dtype=torch.bool))


def check_all_failed_is_survived(algorithm: Algorithm[Any]) -> None:
    """Nothing but failures: candidates go on, and the result is empty rather than made up."""
    if algorithm.capabilities.needs_data:
        return
    optimizer = make_optimizer(algorithm)
    for _ in range(ROUNDS):
        batch = optimizer.ask(6) if optimizer.capabilities.asynchronous else optimizer.ask()
        optimizer.space.check(batch.x)
        optimizer.tell(batch, torch.full((len(batch), len(optimizer.objectives)), math.nan))
    optimizer.space.check(optimizer.ask().x)
    assert len(optimizer.result()) == 0, "a result without one successful evaluation"


def check_bad_tells_change_nothing(algorithm: Algorithm[Any]) -> None:
    """Every refused tell raises a `TellError` naming the argument and leaves the state as it was."""
    optimizer = make_optimizer(algorithm)
    batch = optimizer.ask()
    n, m = len(batch), len(optimizer.objectives)
    good = values_at(batch, optimizer)
    before = frozen(optimizer)
    bad: list[tuple[Any, dict[str, Any]]] = [
        (torch.zeros(n + 1, m), {}),
        (torch.zeros(n, m + 1), {}),
        (None, {}),
        ([[None] * m] * n, {}),
        ([["x"] * m] * n, {}),
        (good.to(torch.complex64), {}),
        (good > 0, {}),
        (good, {"violations": torch.zeros(n, 2)}),
        (good, {"failed": [True] * (n + 1)}),
        (good, {"failed": 1}),
        (good, {"variance": -torch.ones(n, m)}),
        (good, {"extras": {"no such column": torch.zeros(n)}}),
    ]
    for values, columns in bad:
        try:
            optimizer.tell(batch, values, **columns)
        except TellError as error:
            assert error.argument in str(error) or error.argument == "extras", str(error)
        else:
            raise AssertionError(f"accepted: values {values!r}, {columns!r}")
        assert frozen(optimizer) == before, "a refused tell changed the state"
    optimizer.tell(batch, good)


def check_identities_are_guarded(algorithm: Algorithm[Any]) -> None:
    """Told twice, foreign, never asked and abandoned candidates are refused, each with its own error."""
    optimizer, other = make_optimizer(algorithm), make_optimizer(algorithm)
    batch, foreign = optimizer.ask(), other.ask()
    tell(optimizer, batch)
    before = frozen(optimizer)
    expect(DuplicateTellError, lambda: tell(optimizer, batch))
    expect(UnknownCandidateError, lambda: tell(optimizer, foreign))
    assert frozen(optimizer) == before
    batch = optimizer.ask()
    optimizer.abandon(batch)
    assert optimizer.n_pending == 0
    expect(AbandonedError, lambda: tell(optimizer, batch))
    optimizer.space.check(optimizer.ask().x)


def check_directions_are_converted_once(algorithm: Algorithm[Any]) -> None:
    """Maximising f gives the candidates of minimising -f, and the result in f's own direction."""
    m = algorithm.capabilities.objectives[0]
    if algorithm.capabilities.needs_data:
        return
    low = make_optimizer(algorithm)
    high = make_optimizer(algorithm, objectives=[Objective(f"f{j}", maximize=True) for j in range(m)])
    for _ in range(ROUNDS):
        a, b = (o.ask(8) if o.capabilities.asynchronous else o.ask() for o in (low, high))
        assert same(a.x, b.x)
        low.tell(a, values_at(a, low))
        high.tell(b, -values_at(b, high))
    assert same(low.result().values, -high.result().values)


def check_external_points(algorithm: Algorithm[Any]) -> None:
    """Points that were not asked are taken, or refused with a clear error if that is declared."""
    optimizer = make_optimizer(algorithm)
    external = optimizer.space.batch([{"a": 0.5, "b": 0.1, "c": 0.9}, {"a": 1.5, "b": 10.0, "c": 0.1}])
    values = values_at(external, optimizer) - 100.0
    if not optimizer.capabilities.accepts_external:
        expect(TellError, lambda: optimizer.tell(external, values))
        return
    report = optimizer.tell(external, values)
    assert report.n_evaluations == 0, "a point that was not asked was counted as an evaluation"
    run_rounds(optimizer, 2)
    assert float(optimizer.result().values.min()) < -90, "an external point was forgotten"


def check_constant_and_extreme_values(algorithm: Algorithm[Any]) -> None:
    """Constant, huge and tiny values give candidates in the space."""
    for value in (0.0, 1e12, 1e-300, -1e300):
        optimizer = make_optimizer(algorithm)
        for _ in range(ROUNDS):
            batch = optimizer.ask(4) if optimizer.capabilities.asynchronous else optimizer.ask()
            optimizer.space.check(batch.x)
            optimizer.tell(batch, torch.full((len(batch), len(optimizer.objectives)), value, dtype=torch.float64))
        optimizer.space.check(optimizer.ask().x)


def check_constraints(algorithm: Algorithm[Any]) -> None:
    """With constraints the result is feasible; with nothing feasible it is empty, and the least violated is apart."""
    if not algorithm.capabilities.constraints:
        return
    optimizer = make_optimizer(algorithm, n_constraints=2)
    run_rounds(optimizer)
    result = optimizer.result()
    assert (result.violations <= 0).all(), "an infeasible point is in the result"
    never = make_optimizer(algorithm, n_constraints=1)
    for _ in range(ROUNDS):
        batch = never.ask(6) if never.capabilities.asynchronous else never.ask()
        u = never.space.to_unit(batch.x)
        never.tell(batch, values_at(batch, never), violations=1 + u[:, :1])
    result = never.result()
    if not algorithm.capabilities.needs_data:
        assert len(result) == 0, "an infeasible point was presented as a result"
        assert result.least_violated is not None
        assert float(result.least_violated.violations) >= 1
    never.space.check(never.ask().x)


def check_several_objectives(algorithm: Algorithm[Any]) -> None:
    """Two and three objectives, as far as declared: the result is a set without dominated points."""
    fewest, most = algorithm.capabilities.objectives
    for m in (2, 3):
        if not fewest <= m <= (most or m):
            continue
        optimizer = make_optimizer(algorithm, objectives=m)
        run_rounds(optimizer)
        values = optimizer.result().values
        assert len(values), "no Pareto set"
        worse = (values[:, None] <= values[None]).all(2) & (values[:, None] < values[None]).any(2)
        assert not worse.any(), "a dominated point is in the result"
