"""A random embedding: points of its subspace, learned from; others told, counted and left alone."""

from __future__ import annotations

import pytest
import torch

import blackbox as bb
from blackbox.algorithms import RandomEmbedding, RandomSearch
from blackbox.errors import SettingError


def hidden(dim: int) -> bb.Problem:
    """Return a problem of `dim` variables, two of which matter."""
    return bb.Problem.from_function(
        lambda x: (x[:, 3] - 0.7) ** 2 + (x[:, dim - 5] - 0.2) ** 2,
        bb.Space.box([0.0] * dim, [1.0] * dim),
        takes="batch",
    )


def test_it_finds_what_few_of_many_variables_decide() -> None:
    problem = hidden(500)
    values = []
    for algorithm in (RandomEmbedding(dim=6), RandomSearch()):
        optimizer = bb.Optimizer(problem, algorithm, seed=1, budget=40)
        for _ in range(40):
            batch = optimizer.ask(1)
            optimizer.tell(batch, problem(batch.x))
        values.append(float(optimizer.result().values[0, 0]))
    assert values[0] < 1e-3 < values[1]


def test_candidates_lie_in_one_subspace_and_all_coordinates_are_used() -> None:
    problem = hidden(40)
    optimizer = bb.Optimizer(problem, RandomEmbedding(dim=5, start=30), seed=0)
    x = 2.0 * optimizer.ask(30).x - 1.0
    assert torch.linalg.matrix_rank(x) == 5
    assert len(torch.unique(x.abs().round(decimals=9), dim=1).T) == 5


def test_points_told_from_outside_count_and_integers_work() -> None:
    space = bb.Space({**{f"n{i}": bb.Integer(0, 9) for i in range(30)}, "x": bb.Real(-1, 1)})
    problem = bb.Problem.from_function(lambda c: c["n0"] + c["x"] ** 2, space)
    optimizer = bb.Optimizer(problem, RandomEmbedding(dim=4, start=4), seed=0)
    outside = space.batch([{**{f"n{i}": i % 10 for i in range(30)}, "x": 0.5}])
    optimizer.tell(outside, [0.25])
    for _ in range(25):
        batch = optimizer.ask(1)
        optimizer.tell(batch, problem(batch.x))
    assert float(optimizer.result().values[0, 0]) <= 0.25
    assert optimizer.n_evaluations == 25


def test_bad_settings_are_refused() -> None:
    with pytest.raises(SettingError, match="dim: expected an integer >= 1, got 0"):
        RandomEmbedding(dim=0)
    with pytest.raises(SettingError, match="batch_size: expected"):
        RandomEmbedding(batch_size=0)
