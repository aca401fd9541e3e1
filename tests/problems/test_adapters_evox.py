"""Problems of EvoX through our interface."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from evox.core import Problem as EvoxBase
from evox.problems import numerical
from torch import Tensor

from blackbox.errors import SettingError
from blackbox.problems import DTLZ2, from_evox
from blackbox.problems.adapters import EvoxProblem


def points(problem: EvoxProblem, n: int = 30) -> Tensor:
    u = torch.rand(n, problem.space.dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return problem.space.from_unit(u)


@pytest.mark.parametrize("name", [f"DTLZ{i}" for i in range(1, 8)])
def test_its_dtlz_suite_keeps_values_and_front(name: str) -> None:
    theirs = getattr(numerical, name)(d=9, m=3, ref_num=20)
    problem = from_evox(theirs)
    x = points(problem)
    torch.testing.assert_close(problem(x).values, theirs.evaluate(x).to(torch.float64))
    assert torch.equal(torch.stack(problem.space.bounds()), torch.tensor([[0.0] * 9, [1.0] * 9]).double())
    front = problem.pareto_front(25)
    assert front.shape[1] == 3
    assert 5 <= len(front) <= 25


def test_its_dtlz2_is_ours() -> None:
    problem = from_evox(numerical.DTLZ2(d=9, m=3))
    x = points(problem)
    torch.testing.assert_close(problem(x).values, DTLZ2(dim=9)(x).values)


def test_functions_with_tables_and_without_bounds() -> None:
    cec = from_evox(numerical.CEC2022(problem_number=1, dimension=10))
    x = points(cec)
    assert cec(x).values.shape == (30, 1)
    torch.testing.assert_close(cec(x).values[:, 0].float(), numerical.CEC2022(1, 10).evaluate(x.float()))
    assert cec.space.bounds()[1].tolist() == [100.0] * 10
    sphere = from_evox(numerical.Sphere(), [-5.0] * 4, [5.0] * 4)
    assert sphere([[1.0, 2.0, 0.0, 0.0]]).values.tolist() == [[5.0]]
    with pytest.raises(SettingError, match="Pareto front is not known"):
        sphere.pareto_front()


class Noise(EvoxBase):  # type: ignore[misc]
    def evaluate(self, pop: Tensor) -> Tensor:
        return torch.stack([pop.sum(1), torch.randn(len(pop))], 1)


def test_draws_are_reproducible_and_the_global_generator_is_kept() -> None:
    before = torch.get_rng_state()
    problem = from_evox(Noise(), [0.0], [1.0], n_objectives=2, seed=3)
    values = problem(points(problem)).values
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(5)
    assert torch.equal(values, problem(points(problem)).values)
    other = from_evox(Noise(), [0.0], [1.0], n_objectives=2, seed=4)
    assert not torch.equal(values, other(points(problem)).values)


def test_what_does_not_fit_is_refused() -> None:
    bad: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
        ((object(),), {}, "problem: expected an EvoX problem"),
        ((numerical.Sphere(),), {}, "lower, upper: EvoX's Sphere has no bounds"),
        ((numerical.Sphere(), [0.0], [1.0]), {"n_objectives": 2}, "n_objectives"),
        ((numerical.Sphere(), [0.0], [1.0]), {"seed": -1}, "seed"),
    ]
    for arguments, options, message in bad:
        with pytest.raises(SettingError, match=message):
            from_evox(*arguments, **options)
