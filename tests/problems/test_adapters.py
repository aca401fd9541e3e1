"""Problems of botorch and pymoo through our interface."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from botorch.test_functions import multi_objective as botorch_multi
from botorch.test_functions import synthetic as botorch_single
from pymoo.core.problem import ElementwiseProblem
from pymoo.core.problem import Problem as PymooBase
from pymoo.core.variable import Binary, Choice
from pymoo.core.variable import Integer as PymooInteger
from pymoo.core.variable import Real as PymooReal
from pymoo.problems import get_problem
from pymoo.problems.single.knapsack import create_random_knapsack_problem
from torch import Tensor

from blackbox import Problem
from blackbox.errors import SettingError
from blackbox.problems import from_botorch, from_pymoo


def points(problem: Problem, n: int = 30) -> Tensor:
    u = torch.rand(n, problem.space.dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return problem.space.from_unit(u)


def test_a_botorch_function_keeps_values_bounds_and_optimum() -> None:
    theirs = botorch_single.Hartmann(dim=6)
    problem = from_botorch(theirs)
    x = points(problem)
    torch.testing.assert_close(problem(x).values[:, 0], theirs(x))
    torch.testing.assert_close(torch.stack(problem.space.bounds()), theirs.bounds)
    assert problem.optimum == theirs.optimal_value
    assert not problem.objectives[0].maximize


def test_a_negated_botorch_function_is_maximised() -> None:
    problem = from_botorch(botorch_single.Branin(negate=True))
    assert problem.objectives[0].maximize
    assert problem.optimum == pytest.approx(-0.397887)
    assert float(problem(problem.minimizers).values.max()) == pytest.approx(-0.397887, abs=1e-5)  # type: ignore[attr-defined]


def test_botorch_slacks_become_violations() -> None:
    theirs = botorch_single.ConstrainedGramacy()
    problem = from_botorch(theirs)
    x = points(problem)
    evaluation = problem(x)
    assert problem.n_constraints == 2
    assert evaluation.violations is not None
    assert torch.equal((evaluation.violations <= 0).all(-1), theirs.is_feasible(x))


def test_botorch_problems_of_several_objectives() -> None:
    theirs = botorch_multi.C2DTLZ2(dim=6, num_objectives=3, negate=True)
    problem = from_botorch(theirs)
    x = points(problem)
    torch.testing.assert_close(problem(x).values, theirs(x))
    assert [o.maximize for o in problem.objectives] == [True] * 3
    assert torch.equal(problem.reference_point, theirs.ref_point)  # type: ignore[arg-type]
    assert problem(x).violations.shape == (30, 1)  # type: ignore[union-attr]
    before = torch.get_rng_state()
    assert from_botorch(botorch_multi.DTLZ2(dim=6)).pareto_front(50).shape == (50, 2)
    assert torch.equal(before, torch.get_rng_state())
    with pytest.raises(SettingError, match="Pareto front is not known"):
        from_botorch(botorch_multi.VehicleSafety()).pareto_front(10)


def test_botorch_noise_is_ours_and_reproducible() -> None:
    theirs = botorch_single.Branin(noise_std=0.5)
    before = torch.get_rng_state()
    problem = from_botorch(theirs, seed=3)
    x = points(problem)
    noisy = problem(x).values
    assert torch.equal(noisy, from_botorch(theirs, seed=3)(x).values)
    assert not torch.equal(noisy[:, 0], theirs(x, noise=False))
    assert torch.equal(before, torch.get_rng_state())


def test_discrete_and_categorical_variables_of_botorch() -> None:
    theirs = botorch_single.AckleyMixed(dim=13)
    problem = from_botorch(theirs)
    assert len(problem.space.columns("integer")) + len(problem.space.columns("categorical")) == 10
    x = points(problem)
    torch.testing.assert_close(problem(x).values[:, 0], theirs(x))


def test_a_pymoo_problem_keeps_values_constraints_and_front() -> None:
    theirs = get_problem("c2dtlz2", n_var=8, n_obj=3)
    problem = from_pymoo(theirs)
    x = points(problem)
    f, g = theirs.evaluate(x.numpy())
    evaluation = problem(x)
    np.testing.assert_allclose(evaluation.values.numpy(), f)
    np.testing.assert_allclose(evaluation.violations.numpy(), g)  # type: ignore[union-attr]
    assert from_pymoo(get_problem("zdt1")).pareto_front(33).shape == (33, 2)
    assert from_pymoo(get_problem("dtlz2")).pareto_front(100).shape == (91, 3)
    with pytest.raises(SettingError, match="Pareto front is not known"):
        from_pymoo(Equality()).pareto_front()


class Equality(ElementwiseProblem):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(n_var=2, n_obj=1, n_ieq_constr=1, n_eq_constr=1, xl=-1.0, xu=2.0)

    def _evaluate(self, x: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        out["F"], out["G"], out["H"] = x[0] + x[1], x[0] - 1.0, x[1] - 0.5


def test_equalities_of_pymoo_become_two_sided_violations() -> None:
    problem = from_pymoo(Equality(), tolerance=0.25)
    evaluation = problem([[0.0, 1.5], [2.0, 0.5]])
    assert evaluation.values.flatten().tolist() == [1.5, 2.5]
    assert evaluation.violations.tolist() == [[-1.0, 0.75], [1.0, -0.25]]  # type: ignore[union-attr]


class Mixed(ElementwiseProblem):  # type: ignore[misc]
    def __init__(self) -> None:
        variables = {
            "b": Binary(),
            "c": Choice(options=["nothing", "multiply"]),
            "i": PymooInteger(bounds=(-2, 2)),
            "r": PymooReal(bounds=(-5.0, 5.0)),
        }
        super().__init__(vars=variables, n_obj=1)

    def _evaluate(self, X: dict[str, Any], out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        assert isinstance(X["b"], bool)
        value = X["i"] ** 2 + X["r"]
        out["F"] = (100.0 if X["b"] else 1.0) * (value * 2 if X["c"] == "multiply" else value)


def test_mixed_variables_of_pymoo_are_ours() -> None:
    problem = from_pymoo(Mixed())
    assert [p.kind for p in problem.space.parameters.values()] == ["categorical", "categorical", "integer", "real"]
    configs = [
        {"b": True, "c": "multiply", "i": 2, "r": 0.5},
        {"b": False, "c": "nothing", "i": -1, "r": -0.5},
    ]
    assert problem(configs).values.flatten().tolist() == [900.0, 0.5]
    assert torch.isfinite(problem(points(problem)).values).all()


def test_binary_variables_of_pymoo_are_integers() -> None:
    theirs = create_random_knapsack_problem(20, seed=1)
    problem = from_pymoo(theirs)
    assert problem.space.columns("integer") == list(range(20))
    x = points(problem)
    f, g = theirs.evaluate(x.numpy().astype(bool))
    np.testing.assert_allclose(problem(x).values.numpy(), f)
    np.testing.assert_allclose(problem(x).violations.numpy(), g)  # type: ignore[union-attr]


def test_what_is_no_problem_is_refused() -> None:
    with pytest.raises(SettingError, match="test_function: expected a botorch test function"):
        from_botorch(get_problem("zdt1"))
    with pytest.raises(SettingError, match="problem: expected a pymoo problem"):
        from_pymoo(botorch_single.Branin())
    with pytest.raises(SettingError, match="tolerance"):
        from_pymoo(get_problem("zdt1"), tolerance=-1.0)
    with pytest.raises(SettingError, match="bounds for every variable"):
        from_pymoo(PymooBase(n_var=2, n_obj=1))
