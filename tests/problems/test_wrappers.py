"""Wrappers: shifted, rotated, scaled, noisy and constrained problems."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from blackbox import Categorical, Problem, Real, Space
from blackbox.candidates import Evaluation
from blackbox.errors import SettingError
from blackbox.problems import (
    Ackley,
    Branin,
    Constrained,
    Gardner,
    Hartmann6,
    Noisy,
    Rastrigin,
    Rosenbrock,
    Rotated,
    Scaled,
    Shifted,
    Sphere,
)

FUNCTIONS = [Ackley(5), Branin(), Hartmann6(), Rastrigin(3), Rosenbrock(4)]


def points(problem: Problem, n: int, seed: int = 0) -> Tensor:
    u = torch.rand(n, problem.space.dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return problem.space.from_unit(u)


def first_below_one(x: Tensor) -> Tensor:
    return x[:, 0] - 1.0


@pytest.mark.parametrize("inner", FUNCTIONS, ids=lambda p: p.name)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_moving_keeps_the_optimum_inside_the_box(inner: Any, seed: int) -> None:
    for problem in (
        Shifted(inner, seed=seed),
        Rotated(inner, seed=seed),
        Rotated(Shifted(inner, seed=seed), seed=seed),
        Shifted(Rotated(inner, seed=seed), seed=seed + 1),
    ):
        assert problem.minimizers is not None
        problem.space.check(problem.minimizers)
        values = problem(problem.minimizers).values
        torch.testing.assert_close(values, torch.full_like(values, inner.optimum), rtol=1e-8, atol=1e-8)
        assert problem.optimum == inner.optimum
        assert float(problem(points(problem, 500)).values.min()) >= inner.optimum - 1e-9


def test_a_shift_moves_the_landscape() -> None:
    problem = Shifted(Sphere(2), [1.0, -2.0])
    x = points(problem, 20)
    torch.testing.assert_close(problem(x).values, Sphere(2)(x - torch.tensor([1.0, -2.0])).values)


def test_a_rotation_keeps_distances_in_units_of_the_box() -> None:
    problem = Rotated(Sphere(6), seed=3)
    x = points(problem, 50)
    torch.testing.assert_close(problem(x).values, Sphere(6)(x).values)  # a sphere looks the same from every side
    q = problem.rotation
    torch.testing.assert_close(q @ q.T, torch.eye(6, dtype=torch.float64))
    assert float(torch.linalg.det(q)) == pytest.approx(1.0)
    turned = Rotated(Rastrigin(6), seed=3)
    assert not torch.allclose(turned(x).values, Rastrigin(6)(x).values)


def test_seeds_decide() -> None:
    x = points(Ackley(5), 5)
    for wrapper in (Shifted, Rotated):
        first = wrapper(Ackley(5), seed=1)(x).values
        assert torch.equal(first, wrapper(Ackley(5), seed=1)(x).values)
        assert not torch.equal(first, wrapper(Ackley(5), seed=2)(x).values)


def test_an_optimum_that_may_be_beaten_outside_of_the_box_is_not_kept() -> None:
    assert Shifted(Gardner(), seed=0).optimum is None
    assert Rotated(Gardner(), seed=0).minimizers is None


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(SettingError, match="exactly one"):
        Shifted(Sphere(2))
    with pytest.raises(SettingError, match="exactly one"):
        Shifted(Sphere(2), 1.0, seed=2)
    with pytest.raises(SettingError, match="leaves none"):
        Shifted(Sphere(2), 6.0)
    with pytest.raises(SettingError, match="shift: expected a finite number or 2"):
        Shifted(Sphere(2), [1.0, 2.0, 3.0])
    with pytest.raises(SettingError, match="expected a Problem"):
        Rotated("sphere", seed=0)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="factor"):
        Scaled(Sphere(2), -1.0)
    with pytest.raises(SettingError, match="std"):
        Noisy(Sphere(2), math.nan, seed=0)
    mixed = Problem.from_function(len, Space({"a": Real(0, 1), "b": Categorical(["x", "y"])}))
    with pytest.raises(SettingError, match="box of real variables"):
        Shifted(mixed, 0.0)


def test_scaling_scales_values_optimum_and_variance() -> None:
    problem = Scaled(Noisy(Branin(), 2.0, seed=0, report_variance=True), 10.0)
    assert problem.optimum == pytest.approx(10 * Branin.optimum)
    evaluation = problem(points(problem, 4))
    assert evaluation.variance is not None
    assert evaluation.variance.flatten().tolist() == [400.0] * 4


def test_noise_is_normal_reproducible_and_new_at_every_evaluation() -> None:
    problem = Noisy(Sphere(3), 2.0, seed=5)
    x = points(problem, 20000)
    exact = Sphere(3)(x).values
    noise = (problem(x).values - exact)[:, 0] / 2.0
    assert float(noise.mean()) == pytest.approx(0.0, abs=0.03)
    assert float(noise.std()) == pytest.approx(1.0, abs=0.03)
    assert float((noise.abs() < 1).double().mean()) == pytest.approx(0.6827, abs=0.015)
    assert abs(float(torch.corrcoef(torch.stack([noise[1:], noise[:-1]]))[0, 1])) < 0.03
    again = Noisy(Sphere(3), 2.0, seed=5)
    assert torch.equal(again(x).values[:, 0], (exact[:, 0] + 2.0 * noise))
    assert not torch.equal(again(x).values, problem(x[:0].reshape(0, 3)).values)
    repeated = problem(x[:1].expand(500, 3)).values
    assert len(set(repeated.flatten().tolist())) == 500
    assert not torch.equal(Noisy(Sphere(3), 2.0, seed=6)(x).values, Noisy(Sphere(3), 2.0, seed=5)(x).values)


def test_copies_in_workers_do_not_share_their_noise() -> None:
    problem = Noisy(Sphere(2), 1.0, seed=0)
    one, two = copy.deepcopy(problem), copy.deepcopy(problem)
    x = points(problem, 2)
    noise = [one(x[:1]).values - Sphere(2)(x[:1]).values, two(x[1:]).values - Sphere(2)(x[1:]).values]
    assert abs(float(noise[0] - noise[1])) > 1e-6


def test_no_global_generator_is_read_or_written() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state(), np.random.get_state(legacy=False)["state"]["key"].tolist()  # noqa: NPY002
    for seed in (0, 1):
        problem = Noisy(Rotated(Shifted(Ackley(3), seed=seed), seed=seed), 0.1, seed=seed)
        problem(points(problem, 3))
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state(legacy=False)["state"]["key"].tolist()  # noqa: NPY002


def test_a_constraint_is_added_and_a_feasible_minimiser_keeps_the_optimum() -> None:
    problem = Constrained(Branin(), first_below_one)
    evaluation = problem([[0.0, 1.0], [5.0, 1.0]])
    assert evaluation.violations is not None
    assert evaluation.violations.tolist() == [[-1.0], [4.0]]
    assert problem.optimum == Branin.optimum
    assert problem.minimizers is not None
    assert problem.minimizers.shape == (1, 2)
    twice = Constrained(problem, first_below_one, optimum=3.0)
    assert twice.n_constraints == 2
    assert twice.optimum == 3.0
    assert twice([[0.0, 1.0]]).violations.shape == (1, 2)  # type: ignore[union-attr]


def test_a_constraint_that_excludes_all_minimisers_leaves_the_optimum_unknown() -> None:
    assert Constrained(Sphere(2), lambda x: 1.0 - x[:, 0]).optimum is None


def test_a_constraint_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(SettingError, match=r"constraint: expected shape \(1, 3\)"):
        Constrained(Sphere(2), first_below_one, n_constraints=3)
    with pytest.raises(SettingError, match="n_constraints"):
        Constrained(Sphere(2), first_below_one, n_constraints=0)


def test_wrappers_pass_extras_on() -> None:
    class WithExtras(Sphere):
        def evaluate(self, x: Tensor) -> Any:
            return Evaluation(super().evaluate(x), extras={"cost": x[:, 0]})

    problem = Noisy(Scaled(Shifted(WithExtras(2), 0.0), 2.0), 0.0, seed=0)
    evaluation = problem([[1.0, 2.0]])
    assert evaluation.extras["cost"].tolist() == [1.0]
    assert evaluation.values.tolist() == [[10.0]]
