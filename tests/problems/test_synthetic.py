"""Synthetic problems: values against botorch, optima, dtypes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from botorch.test_functions import synthetic as peer
from torch import Tensor

from blackbox.errors import SettingError
from blackbox.problems import (
    Ackley,
    Branin,
    ConstrainedBranin,
    Ellipsoid,
    Gardner,
    Gramacy,
    Griewank,
    Hartmann3,
    Hartmann6,
    Levy,
    Rastrigin,
    Rosenbrock,
    Sphere,
    StyblinskiTang,
)
from blackbox.problems._box import BoxProblem

SCALABLE = [Ackley, Ellipsoid, Griewank, Levy, Rastrigin, Rosenbrock, Sphere, StyblinskiTang]
PAIRS: list[tuple[Callable[[], BoxProblem], Callable[[], Any]]] = [
    (Branin, peer.Branin),
    (Hartmann3, lambda: peer.Hartmann(dim=3)),
    (Hartmann6, lambda: peer.Hartmann(dim=6)),
    *[
        (lambda ours=ours, dim=dim: ours(dim), lambda theirs=theirs, dim=dim: theirs(dim=dim))
        for dim in (2, 7)
        for ours, theirs in [
            (Ackley, peer.Ackley),
            (Griewank, peer.Griewank),
            (Levy, peer.Levy),
            (Rastrigin, peer.Rastrigin),
            (Rosenbrock, peer.Rosenbrock),
            (StyblinskiTang, peer.StyblinskiTang),
        ]
    ],
]


def uniform(problem: BoxProblem, n: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    low, high = problem.space.bounds()
    return low + (high - low) * torch.rand(n, problem.dim, generator=generator, dtype=torch.float64)


def everything() -> list[BoxProblem]:
    fixed: list[BoxProblem] = [Branin(), Hartmann3(), Hartmann6(), ConstrainedBranin(), Gardner(), Gramacy()]
    return fixed + [make(dim) for make in SCALABLE for dim in (2, 5)]


@pytest.mark.parametrize("pair", PAIRS)
def test_values_and_bounds_are_those_of_botorch(pair: Any) -> None:
    ours, theirs = pair[0](), pair[1]()
    x = uniform(ours, 200)
    tolerance = 1e-7 if "Hartmann" in ours.name else 1e-10  # botorch keeps Hartmann's constants in float32
    torch.testing.assert_close(ours(x).values[:, 0], theirs(x), rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(torch.stack(ours.space.bounds()), theirs.bounds)
    assert ours.optimum == pytest.approx(theirs.optimal_value, rel=1e-5, abs=1e-12)


@pytest.mark.parametrize("problem", everything(), ids=lambda p: f"{p.name}-{p.dim}")
def test_the_optimum_is_attained_and_never_beaten(problem: BoxProblem) -> None:
    assert problem.optimum is not None
    assert problem.minimizers is not None
    problem.space.check(problem.minimizers)
    at = problem(problem.minimizers)
    torch.testing.assert_close(at.values, torch.full_like(at.values, problem.optimum), rtol=1e-9, atol=1e-9)
    low, high = problem.space.bounds()
    nearby = problem.minimizers[:1] + 0.01 * (uniform(problem, 2000, 1) - (low + high) / 2)
    x = torch.cat([uniform(problem, 2000), nearby.clamp(low, high)])
    evaluation = problem(x)
    feasible = torch.ones(len(x), dtype=torch.bool)
    if evaluation.violations is not None:
        assert at.violations is not None
        assert float(at.violations.max()) <= 1e-9
        feasible = (evaluation.violations <= 0).all(-1)
        assert 10 < int(feasible.sum()) < len(x)
    assert float(evaluation.values[feasible].min()) >= problem.optimum - 1e-12


@pytest.mark.parametrize("problem", everything(), ids=lambda p: f"{p.name}-{p.dim}")
def test_a_batch_is_its_rows_and_keeps_the_dtype(problem: BoxProblem) -> None:
    x = uniform(problem, 7)
    whole = problem(x)
    rows = [problem(row) for row in x]
    torch.testing.assert_close(whole.values, torch.cat([r.values for r in rows]), rtol=1e-12, atol=1e-12)
    assert whole.values.shape == (7, 1)
    single = problem(x.float())
    assert single.values.dtype == torch.float32
    torch.testing.assert_close(single.values.double(), whole.values, rtol=1e-3, atol=1e-3)
    assert problem(x[:0]).values.shape == (0, 1)


def test_gramacy_is_that_of_botorch() -> None:
    ours, theirs = Gramacy(), peer.ConstrainedGramacy()
    x = uniform(ours, 100)
    evaluation = ours(x)
    torch.testing.assert_close(evaluation.values[:, 0], theirs(x))
    torch.testing.assert_close(evaluation.violations, -theirs.evaluate_slack(x))


def test_ellipsoid_has_the_condition_that_it_was_given() -> None:
    problem = Ellipsoid(3, condition=100.0)
    assert problem(torch.eye(3, dtype=torch.float64)).values[:, 0].tolist() == pytest.approx([1, 10, 100])
    assert Ellipsoid(1)([[2.0]]).values.item() == 4.0


@pytest.mark.parametrize("dim", [0, -1, 2.0, "two", True])
def test_a_wrong_dimension_is_refused_by_name(dim: Any) -> None:
    with pytest.raises(SettingError, match="dim: expected an integer >= 1"):
        Sphere(dim)


def test_rosenbrock_needs_two_variables_and_ellipsoid_a_condition() -> None:
    with pytest.raises(SettingError, match="dim: expected an integer >= 2, got 1"):
        Rosenbrock(1)
    with pytest.raises(SettingError, match="condition"):
        Ellipsoid(3, condition=0.5)


def test_wrong_points_are_refused() -> None:
    with pytest.raises(SettingError, match=r"x: expected shape \(n, 2\)"):
        Branin()([[1.0, 2.0, 3.0]])
