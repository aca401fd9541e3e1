"""Every algorithm, through every check of the contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import blackbox.algorithms
from blackbox.algorithm import Algorithm
from blackbox.algorithms import CMAES, NSGA2, NSGA3, BayesianOptimization, RandomSearch, Sobol
from blackbox.testing import ALGORITHM_CHECKS

# One line an algorithm: small settings, so that the whole table runs in a minute or so.
CASES: list[Algorithm[Any]] = [
    BayesianOptimization(),
    RandomSearch(),
    RandomSearch(batch_size=5),
    Sobol(),
    CMAES(),
    CMAES(population_size=5, restarts="ipop", diagonal=True),
    NSGA2(population_size=12),
    NSGA2(population_size=7, steady_state=True),
    NSGA3(population_size=12),
    NSGA3(population_size=12, divisions=20, steady_state=True),
]


@pytest.mark.parametrize("check", ALGORITHM_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("algorithm", CASES, ids=repr)
def test_contract(algorithm: Algorithm[Any], check: Callable[[Algorithm[Any]], None]) -> None:
    check(algorithm)


def test_every_algorithm_is_in_the_table() -> None:
    assert {type(algorithm).__name__ for algorithm in CASES} == set(blackbox.algorithms.__all__)
