"""Runs in a batch are the runs alone, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from blackbox import Optimizer, Problem
from blackbox.algorithms import DE, GA, MOEAD, NSGA2, NSGA3, RVEA, HypE
from blackbox.algorithms.evolutionary.batched import run_batched
from blackbox.candidates import Evaluation
from blackbox.errors import SettingError
from blackbox.objective import Objective
from blackbox.parameters import Categorical, Integer, Real
from blackbox.space import Space

ALGORITHMS = [
    NSGA2(population_size=14),
    NSGA3(population_size=13),
    MOEAD(population_size=15, neighbours=5),
    HypE(population_size=12, samples=100),
    RVEA(population_size=14, generations=4, adaptation=0.5),
    GA(population_size=11),
    DE(population_size=10, strategy="current_to_best1"),
]


def check(algorithm: Any, problem: Problem, generations: int = 5) -> None:
    seeds = [3, 4, 10]
    runs = run_batched(algorithm, problem, seeds, generations)
    for run, seed in enumerate(seeds):
        optimizer = Optimizer(problem, algorithm, seed=seed)
        for _ in range(generations):
            batch = optimizer.ask()
            optimizer.tell(batch, problem(batch.x))
        optimizer._deliver()
        state = optimizer._kernel
        signs = runs.signs
        assert torch.equal((runs.values[run] * signs).nan_to_num(nan=-7.0), state.values.nan_to_num(nan=-7.0))
        whole = optimizer._reduction.expand(state.x).nan_to_num(nan=-7.0)
        assert torch.equal(runs.x[run].nan_to_num(nan=-7.0), whole)
        if len(problem.objectives) > 1:
            assert torch.equal(runs.front(run).values, optimizer.result().values)


def squares(x: torch.Tensor, m: int) -> torch.Tensor:
    centres = torch.linspace(0.2, 0.8, m, dtype=x.dtype)
    distance = (x[:, None, 0] - centres) ** 2
    for k in range(1, x.shape[1]):
        distance = distance + (x[:, None, k] - centres) ** 2
    return distance


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda a: type(a).__name__)
@pytest.mark.parametrize("m", [2, 3, 5])
def test_each_seed_gets_what_it_gets_alone(algorithm: Any, m: int) -> None:
    m = 1 if isinstance(algorithm, (GA, DE)) else m
    space = Space.box([0.0, 0.5, 0.0, -1.0], [1.0, 0.5, 1.0, 1.0])  # one column is constant
    check(algorithm, Problem.from_function(lambda x: squares(x, m), space, takes="batch", objectives=m))


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda a: type(a).__name__)
def test_constraints_failures_and_mixed_columns(algorithm: Any) -> None:
    m = 1 if isinstance(algorithm, (GA, DE)) else 2
    space = Space(
        {
            "a": Real(0.01, 1, log=True),
            "n": Integer(0, 9),
            "kind": Categorical(["u", "v", "w"]),
            "b": Real(0, 1, when={"kind": "v"}),
        }
    )

    def evaluate(x: torch.Tensor) -> Evaluation:
        u = x.nan_to_num(nan=0.3)
        values = squares(u[:, [0, 1, 3]] * torch.tensor([1.0, 0.1, 1.0], dtype=x.dtype), m)
        values = torch.where((u[:, 2:3] == 2) & (u[:, 1:2] > 4), torch.nan, values)
        return Evaluation(-values, violations=0.3 - u[:, :1])

    objectives = [Objective(f"f{j}", maximize=True) for j in range(m)]
    problem = Problem.from_function(evaluate, space, takes="batch", objectives=objectives, n_constraints=1)
    check(algorithm, problem)


def test_a_run_without_parents_starts_anew() -> None:
    def evaluate(x: torch.Tensor) -> torch.Tensor:
        values = squares(x, 2)
        return torch.where(x[:, :1] < 0.93, torch.nan, values)  # most first generations fail altogether

    problem = Problem.from_function(evaluate, Space.box([0.0] * 3, [1.0] * 3), takes="batch", objectives=2)
    for algorithm in (NSGA2(population_size=4), MOEAD(population_size=4, neighbours=2)):
        check(algorithm, problem, generations=8)


def test_refusals() -> None:
    problem = Problem.from_function(lambda x: squares(x, 2), Space.box([0.0], [1.0]), takes="batch", objectives=2)
    with pytest.raises(SettingError, match="steady_state"):
        run_batched(NSGA2(steady_state=True), problem, [0], 1)
    with pytest.raises(SettingError, match="seeds"):
        run_batched(NSGA2(), problem, [], 1)
    with pytest.raises(SettingError, match="generations"):
        run_batched(NSGA2(), problem, [0], 0)
