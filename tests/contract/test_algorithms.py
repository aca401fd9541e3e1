"""Every algorithm, through every check of the contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import blackbox.algorithms
from blackbox.algorithm import Algorithm
from blackbox.algorithms import (
    CMAES,
    DE,
    GA,
    MOEAD,
    NSGA2,
    NSGA3,
    ROOT,
    RVEA,
    BayesianOptimization,
    BestOfData,
    ConsensusBased,
    EvoX,
    GradientEstimation,
    HypE,
    ParetoFlow,
    Pymoo,
    RandomEmbedding,
    RandomSearch,
    Sobol,
    SurrogateAscent,
    SurrogateEvolution,
    TuRBO,
)
from blackbox.algorithms.offline import Guidance, Proposing, Synthetic, Walks
from blackbox.surrogates.bridge import BridgeSampling, BridgeSettings
from blackbox.surrogates.ensemble import EnsembleSettings
from blackbox.surrogates.flow import FlowSettings
from blackbox.testing import ALGORITHM_CHECKS

_TINY = EnsembleSettings(hidden=(8,), epochs=2)

# One line an algorithm: small settings, so that the whole table runs in a minute or so.
CASES: list[Algorithm[Any]] = [
    BayesianOptimization(),
    BayesianOptimization(several="hypervolume"),
    BayesianOptimization(several="scalarised"),
    ConsensusBased(particles=6),
    GradientEstimation(),
    RandomEmbedding(dim=3),
    TuRBO(batch_size=3, start=4),
    ROOT(
        batch_size=8,
        epochs=2,
        synthetic=Synthetic(per_epoch=2),
        walks=Walks(steps=3, starts=16),
        bridge=BridgeSettings(width=8, depth=1),
        sampling=BridgeSampling(steps=5),
        proposing=Proposing(oversample=2, rounds=2),
    ),
    ParetoFlow(
        designs=12,
        predictors=_TINY,
        flow=FlowSettings(hidden=(8,), epochs=2),
        guidance=Guidance(streams=8, warm_steps=2, guided_steps=2, rounds=2),
        refinement=2,
    ),
    RandomSearch(),
    RandomSearch(batch_size=5),
    Sobol(),
    CMAES(),
    CMAES(population_size=5, restarts="ipop", diagonal=True),
    NSGA2(population_size=12),
    NSGA2(population_size=7, steady_state=True),
    NSGA3(population_size=12),
    MOEAD(population_size=12),
    MOEAD(population_size=9, neighbours=4, aggregation="tchebycheff", max_replace=None, steady_state=True),
    HypE(population_size=12, samples=200),
    RVEA(population_size=12, generations=4),
    GA(population_size=12),
    GA(population_size=9, steady_state=True),
    DE(population_size=12),
    DE(population_size=9, strategy="current_to_best1", steady_state=True),
    NSGA3(population_size=12, divisions=20, steady_state=True),
    Pymoo("NSGA2", {"pop_size": 12}),
    Pymoo("DE", {"pop_size": 12}),
    Pymoo("MOPSO_CD", {"pop_size": 12}),
    EvoX("NSGA2", {"pop_size": 12}),
    EvoX("PSO", {"pop_size": 12}),
    BestOfData(),
    SurrogateAscent(batch_size=8, steps=3, ensemble=_TINY),
    SurrogateEvolution(batch_size=8, population_size=8, generations=2, ensemble=_TINY),
]


@pytest.mark.parametrize("check", ALGORITHM_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("algorithm", CASES, ids=repr)
def test_contract(algorithm: Algorithm[Any], check: Callable[[Algorithm[Any]], None]) -> None:
    check(algorithm)


def test_every_algorithm_is_in_the_table() -> None:
    assert {type(algorithm).__name__ for algorithm in CASES} == set(blackbox.algorithms.__all__)
