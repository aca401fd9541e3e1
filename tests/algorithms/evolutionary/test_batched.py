"""Runs in a batch are the runs alone, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from blackbox import Optimizer, Problem
from blackbox.algorithms import DE, GA, MOEAD, NSGA2, NSGA3, RVEA, HypE
from blackbox.algorithms.evolutionary.batched import BatchedEvolution, can_batch, same_program
from blackbox.candidates import Evaluation
from blackbox.errors import SettingError
from blackbox.handout import in_full_space
from blackbox.objective import Objective
from blackbox.parameters import Categorical, Integer, Real
from blackbox.random import make_generator
from blackbox.space import Space
from blackbox.state import pack, unpack

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
    seeds, n = [3, 4, 10], algorithm.population_size
    optimizers = [Optimizer(problem, algorithm, seed=seed) for seed in seeds]
    shell = optimizers[0]
    runs = BatchedEvolution([algorithm] * 3, shell._spec, [make_generator(seed) for seed in seeds])
    for generation in range(generations):
        if generation == 2:  # through the state, too
            other = BatchedEvolution([algorithm] * 3, shell._spec, [make_generator(0)] * 3)
            other.restore(unpack(pack(runs.state())))
            runs = other
        x = runs.ask()
        points = in_full_space(x.flatten(0, 1), None, shell._reduction, shell._generator)
        told = [optimizer.ask() for optimizer in optimizers]
        assert torch.equal(points.nan_to_num(nan=-7.0), torch.cat([b.x for b in told]).nan_to_num(nan=-7.0))
        for optimizer, batch in zip(optimizers, told, strict=True):
            optimizer.tell(batch, problem(batch.x))
        outcomes = [optimizer._buffer[0].outcome for optimizer in optimizers]
        values, violations = (torch.stack([getattr(o, name) for o in outcomes]) for name in ("values", "violations"))
        runs.tell(shell._reduction.restrict(points).reshape(3, n, -1), values, violations)
    for run, optimizer in enumerate(optimizers):
        optimizer._deliver()
        state = optimizer._kernel
        assert torch.equal(runs.values[run].nan_to_num(nan=-7.0), state.values.nan_to_num(nan=-7.0))
        assert torch.equal(runs.x[run].nan_to_num(nan=-7.0), state.x.nan_to_num(nan=-7.0))
        front = runs.front(run)
        assert (front is None) == (len(problem.objectives) == 1)
        if front is not None and len(optimizer.result()):
            signs = 1.0 if optimizer._terms.signs is None else optimizer._terms.signs
            assert torch.equal(front.values * signs, optimizer.result().values)


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
    spec = Optimizer(Space.box([0.0], [1.0]), NSGA2(), objectives=2, seed=0)._spec
    generators = [make_generator(0), make_generator(1)]
    for wrong in ([NSGA2(steady_state=True)] * 2, [NSGA2(), NSGA2(20)], [NSGA2(), NSGA3()], [NSGA2()], []):
        with pytest.raises(SettingError, match="algorithms: expected"):
            BatchedEvolution(wrong, spec, generators)
    with pytest.raises(SettingError, match="population_size"):
        BatchedEvolution([NSGA2(10**9)] * 2, spec, generators)
    assert not can_batch(NSGA2(steady_state=True))
    assert not can_batch(NSGA2)
    assert same_program(NSGA3(crossover_eta=3)) == same_program(NSGA3(crossover_eta=4))
    assert same_program(NSGA3(crossover_eta=3), torch.float32) != same_program(NSGA3(crossover_eta=4), torch.float32)


def test_populations_that_cannot_fit_together_are_refused() -> None:
    spec = Optimizer(Space.box([0.0] * 1000, [1.0] * 1000), NSGA2(), objectives=2, seed=0)._spec
    generators = [make_generator(seed) for seed in range(1000)]
    with pytest.raises(SettingError, match="population_size"):
        BatchedEvolution([NSGA2(population_size=10**5)] * 1000, spec, generators)
