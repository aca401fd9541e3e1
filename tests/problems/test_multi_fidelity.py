"""Functions with a fidelity: values against botorch, optima at the target, costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from botorch.test_functions import multi_fidelity as peer

from blackbox.errors import SettingError
from blackbox.problems import AugmentedBranin, AugmentedHartmann


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(AugmentedBranin, peer.AugmentedBranin), (AugmentedHartmann, peer.AugmentedHartmann)],
    ids=["Branin", "Hartmann"],
)
def test_values_equal_botorchs(ours: Callable[[], Any], theirs: Callable[[], Any]) -> None:
    problem = ours()
    generator = torch.Generator().manual_seed(0)
    x = problem.space.from_unit(torch.rand((50, problem.dim), generator=generator, dtype=torch.float64))
    torch.testing.assert_close(
        problem(x).values[:, 0], theirs()(x), rtol=1e-6, atol=1e-9
    )  # their constants are float32


@pytest.mark.parametrize("problem", [AugmentedBranin(), AugmentedHartmann(base_cost=0.02)], ids=["Branin", "Hartmann"])
def test_the_optimum_is_at_the_target(problem: Any) -> None:
    assert problem.space.role_columns == {problem.dim - 1: "fidelity"}
    told = problem(problem.minimizers)
    torch.testing.assert_close(told.values, torch.full_like(told.values, problem.optimum), rtol=1e-5, atol=0)
    assert told.extras["cost"].tolist() == [1.0] * len(told.values)
    cheap = problem.minimizers[:1].clone()
    cheap[:, -1] = 0.0
    assert problem(cheap).extras["cost"].item() == problem.base_cost


@pytest.mark.parametrize("base_cost", [0.0, 1.5, "cheap"])
def test_costs_that_make_no_sense_are_refused(base_cost: Any) -> None:
    with pytest.raises(SettingError, match="base_cost"):
        AugmentedBranin(base_cost)
