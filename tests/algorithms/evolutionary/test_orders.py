"""Columns that are the keys of one permutation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

import blackbox as bb
from blackbox.algorithms import GA, MOEAD, NSGA2, NSGA3, RVEA, HypE
from blackbox.algorithms.evolutionary.orders import OrderKeys
from blackbox.errors import SettingError
from blackbox.parameters import Categorical, Integer, Real
from blackbox.sweeping import sweep


def tour_problem(n: int) -> bb.Problem:
    """Cities on a circle, in an order that says nothing: the shortest tour goes around it."""
    angle = torch.randperm(n, generator=torch.Generator().manual_seed(5)).double() * 2 * math.pi / n
    cities = torch.stack([angle.cos(), angle.sin()], dim=1)
    distance = torch.cdist(cities, cities)

    def length(x: torch.Tensor) -> torch.Tensor:
        tour = x.argsort(1)
        return distance[tour, tour.roll(-1, 1)].sum(1)

    return bb.Problem.from_function(length, bb.Space.box([0.0] * n, [2.0] * n), takes="batch")


def run(problem: bb.Problem, algorithm: Any, seed: int, generations: int) -> bb.Optimizer:
    optimizer = bb.Optimizer(problem, algorithm, seed=seed)
    for _ in range(generations):
        batch = optimizer.ask()
        optimizer.tell(batch, problem(batch.x))
    return optimizer


def test_a_tour_is_found_that_ordinary_variation_misses() -> None:
    problem, shortest = tour_problem(24), 2 * 24 * math.sin(math.pi / 24)
    names = tuple(problem.space.names)
    found = [float(run(problem, GA(60, permutation=names), seed, 100).result().values) for seed in range(3)]
    plain = [float(run(problem, GA(60), seed, 100).result().values) for seed in range(3)]
    assert sorted(found)[1] < 1.1 * shortest
    assert sorted(plain)[1] > 1.5 * shortest


def test_children_are_permutations_that_keep_what_parents_share() -> None:
    space = bb.Space.box([0.0] * 7, [2.0] * 7)
    keys = OrderKeys(bb.Optimizer(space, GA(4), seed=0)._spec, tuple(space.names))
    generator = torch.Generator().manual_seed(0)
    parents = 2 * torch.rand(3, 40, 7, generator=generator, dtype=torch.float64)
    uniforms = torch.rand(3, keys.draws(40), generator=generator, dtype=torch.float64)
    children = keys.children(parents, uniforms, single=False)
    levels = 2 * (torch.arange(7, dtype=torch.float64) + 0.5) / 7
    assert torch.equal(children.sort(-1).values, levels.expand(3, 40, 7))
    for part in range(3):
        assert torch.equal(children[part], keys.children(parents[part], uniforms[part], single=False))
    one = keys.children(parents, uniforms[:, : keys.draws(20)], single=True)
    assert torch.equal(one, children[:, :20])
    same = torch.cat([parents[:, :20], parents[:, :20]], dim=1)
    kept = keys.children(same, torch.full_like(uniforms, 0.999), single=False)
    assert torch.equal(kept.argsort(-1), same.argsort(-1))  # equal parents, no mutation


@pytest.mark.parametrize("kind", [NSGA2, NSGA3, MOEAD, HypE, RVEA])
def test_mixed_columns_and_several_objectives(kind: Any) -> None:
    space = bb.Space(
        {
            "speed": Real(1, 100, log=True),
            **{f"stop{i}": Real(-1, 1) for i in range(5)},
            "cars": Integer(1, 4),
            "fuel": Categorical(["a", "b"]),
        }
    )
    names = tuple(f"stop{i}" for i in range(5))
    optimizer = bb.Optimizer(space, kind(20, permutation=names), objectives=2, seed=1)
    for _ in range(6):
        batch = optimizer.ask()
        order = batch.x[:, 1:6].argsort(1).double()
        away = (order - torch.arange(5, dtype=torch.float64)).abs().sum(1)
        optimizer.tell(batch, torch.stack([away + batch.x[:, 6], 12 - away + batch.x[:, 0]], dim=1))
    levels = -1 + 2 * (torch.arange(5, dtype=torch.float64) + 0.5) / 5
    assert torch.equal(batch.x[:, 1:6].sort(1).values, levels.expand(20, 5))
    assert set(batch.x[:, 6].tolist()) <= {1.0, 2.0, 3.0, 4.0}
    assert 1 <= len(optimizer.result()) <= 20


def test_sweeps_and_saved_runs_go_on_alike(tmp_path: Path) -> None:
    problem = tour_problem(8)
    algorithm = GA(10, permutation=problem.space.names)  # a list becomes a tuple
    result = sweep(algorithm, problem, seeds=3, generations=6, workers=1)
    for found in result.runs:
        assert found.batched
        assert torch.equal(found.values, run(problem, algorithm, found.seed, 6).result().values)
    optimizer = run(problem, algorithm, 0, 3)
    optimizer.save(tmp_path / "run")
    assert torch.equal(bb.Optimizer.load(tmp_path / "run").ask().x, optimizer.ask().x)


def test_refusals() -> None:
    for wrong in (("a",), ("a", "a"), "ab", ("a", 1), 3):
        with pytest.raises(SettingError, match="permutation: expected"):
            GA(permutation=wrong)  # type: ignore[arg-type]
    space = bb.Space(
        {
            "a": Real(0, 1),
            "b": Real(0, 1),
            "wide": Real(0, 2),
            "log": Real(1, 2, log=True),
            "n": Integer(0, 1),
            "c": Real(0, 1, when={"n": 1}),
            "held": Real(1, 1),
        }
    )
    for names, message in (
        (("a", "z"), "no parameter 'z'"),
        (("a", "held"), "no parameter 'held' that varies"),
        (("a", "n"), "'n' is no real parameter"),
        (("a", "log"), "'log' is no real parameter"),
        (("a", "c"), "'c' is no real parameter"),
        (("a", "wide"), "same bounds"),
    ):
        with pytest.raises(SettingError, match=message):
            bb.Optimizer(space, GA(permutation=names), seed=0)
    bb.Optimizer(space, GA(permutation=("a", "b")), seed=0).ask()
