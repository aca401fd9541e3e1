"""Runs in a batch are the runs alone, bit for bit, on every kind of space, constraint and failure."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from blackbox import Optimizer, Problem
from blackbox.algorithm import Spec
from blackbox.algorithms import GA, MOEAD, NSGA2, NSGA3, RVEA, HypE
from blackbox.algorithms.evolutionary.batched import BatchedEvolution
from blackbox.candidates import Evaluation
from blackbox.errors import SettingError
from blackbox.parameters import Categorical, Integer, Real
from blackbox.random import make_generator
from blackbox.space import Space

ALGORITHMS = [
    NSGA2(population_size=14),
    NSGA3(population_size=13),
    MOEAD(population_size=15, neighbours=5),
    HypE(population_size=12, samples=100),
    RVEA(population_size=14, generations=4, adaptation=0.5),
    GA(population_size=11),
]


def check(algorithm: Any, problem: Problem, generations: int = 5) -> None:
    seeds = [3, 4, 10]
    m, k = len(problem.objectives), problem.n_constraints
    batch = BatchedEvolution([algorithm] * 3, Spec(problem.space, m, k), [make_generator(seed) for seed in seeds])
    for _ in range(generations):
        x = batch.ask()
        evaluation = problem(x.flatten(0, 1))
        violations = evaluation.violations if k else x.new_zeros((len(evaluation), 0))
        batch.tell(x, evaluation.values.reshape(*x.shape[:2], m), violations.reshape(*x.shape[:2], k))
    for run, seed in enumerate(seeds):
        optimizer = Optimizer(problem, algorithm, seed=seed)
        for _ in range(generations):
            asked = optimizer.ask()
            optimizer.tell(asked, problem(asked.x))
        optimizer._deliver()
        state = optimizer._kernel
        for ours, alone in ((batch.x[run], state.x), (batch.values[run], state.values)):
            assert torch.equal(ours.nan_to_num(nan=-7.0), alone.nan_to_num(nan=-7.0))


def squares(x: torch.Tensor, m: int) -> torch.Tensor:
    centres = torch.linspace(0.2, 0.8, m, dtype=x.dtype)
    distance = (x[:, None, 0] - centres) ** 2
    for k in range(1, x.shape[1]):
        distance = distance + (x[:, None, k] - centres) ** 2
    return distance


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda a: type(a).__name__)
@pytest.mark.parametrize("m", [2, 3, 5])
def test_each_seed_gets_what_it_gets_alone(algorithm: Any, m: int) -> None:
    m = 1 if isinstance(algorithm, GA) else m
    space = Space.box([0.0, 0.0, -1.0], [1.0, 1.0, 1.0])
    check(algorithm, Problem.from_function(lambda x: squares(x, m), space, takes="batch", objectives=m))


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda a: type(a).__name__)
def test_constraints_failures_and_mixed_columns(algorithm: Any) -> None:
    m = 1 if isinstance(algorithm, GA) else 2
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
        fails = (u[:, 2:3] == 2) & (u[:, 1:2] > 4)
        values, violations = (t.masked_fill(fails, torch.nan) for t in (values, 0.3 - u[:, :1]))
        return Evaluation(values, violations=violations)

    check(algorithm, Problem.from_function(evaluate, space, takes="batch", objectives=m, n_constraints=1))


def test_a_run_without_parents_starts_anew() -> None:
    def evaluate(x: torch.Tensor) -> torch.Tensor:
        values = squares(x, 2)
        return torch.where(x[:, :1] < 0.93, torch.nan, values)  # most first generations fail altogether

    problem = Problem.from_function(evaluate, Space.box([0.0] * 3, [1.0] * 3), takes="batch", objectives=2)
    for algorithm in (NSGA2(population_size=4), MOEAD(population_size=4, neighbours=2)):
        check(algorithm, problem, generations=8)


def test_populations_that_cannot_fit_together_are_refused() -> None:
    spec = Spec(Space.box([0.0] * 1000, [1.0] * 1000), 2)
    generators = [make_generator(seed) for seed in range(1000)]
    with pytest.raises(SettingError, match="population_size"):
        BatchedEvolution([NSGA2(population_size=10**5)] * 1000, spec, generators)
