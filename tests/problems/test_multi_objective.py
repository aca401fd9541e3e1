"""Multi-objective suites: values against pymoo and stored values, fronts, constraints."""

from __future__ import annotations

import math
from typing import Any

import moocore
import numpy as np
import pytest
import torch
from pymoo.problems import get_problem
from torch import Tensor

import blackbox.problems as problems
from blackbox import Problem
from blackbox.errors import SettingError
from blackbox.problems import combinatorial, constrained_dtlz, dtlz, lsmop, maf, multi_objective, wfg, zdt
from blackbox.problems._fronts import simplex, unit_grid

SCALABLE = [*dtlz.__all__, *constrained_dtlz.__all__, *wfg.__all__, *lsmop.__all__, *maf.__all__]
GOLDEN: dict[str, list[float]] = {  # computed by evomo 0.3.1 in float64 at `golden_point`; MaF with four objectives
    "LSMOP1": [2.6738891150235684, 1.76208611238175, 84.20560191293195],
    "LSMOP2": [0.09478208711388612, 0.04486699885051266, 0.9579236251597152],
    "LSMOP3": [3.531355198848805, 16729.569564630798, 92.6976266667332],
    "LSMOP4": [0.1950557302743369, 0.03262411452103884, 1.9173685551298014],
    "LSMOP5": [76.22970709981006, 109.79010981544263, 7.45084677164352],
    "LSMOP6": [746872.5784074867, 257014.57979207626, 52667.73995721579],
    "LSMOP7": [466862.7153414577, 1060830.7095336432, 0.36921282532384714],
    "LSMOP8": [32.75595569139114, 74.3952803223183, 0.19768188802217082],
    "LSMOP9": [0.1180339887498949, 0.7360679774997898, 454.43559644240827],
    "MaF1": [1.807680128891493, 1.7603980215554784, 1.8069561086431651, 0.22014025522547587],
    "MaF2": [0.4137947290113169, 0.3253135088901813, 0.7655328809894103, 0.4954633338124613],
    "MaF3": [11879421569.010818, 1774663746.7045815, 608792883656.3131, 32765.00472899389],
    "MaF4": [1303.5278518292905, 3106.625599706309, 788.6864565181459, 12814.294045897304],
    "MaF5": [29.8409307430166, 1.917503108486087e-44, 5.763213051228266e-13, 9.301449089992228e-93],
    "MaF6": [38.525497611422416, 31.096831552028373, 70.32651108215487, 16.13142815259013],
    "MaF7": [0.1180339887498949, 0.7360679774997898, 0.3541019662496847, 24.071481460516537],
    "MaF8": [8981.41019778702, 8981.08530298887, 8979.708896173232, 8980.033840769347],
    "MaF9": [8741.027595753558, 2062.6026737477982, 8739.613382196452, 2064.0168873154394],
    "MaF11": [0.6913048124056987, 0.7075437053676553, 0.6969305884554251, 8.614450300326945],
    "MaF12": [0.8886814842923014, 1.1646525654297462, 1.0588579026761575, 8.851698722212916],
    "MaF13": [8.630365156705896, 4.572153186653115, 3.821192692016201, 4655965.441077615],
    "MaF14": [1.3501318840896908, 13183.091935064618, 2.762606393238111, 1102337.4019761432],
    "MaF15": [57.455317972307974, 68.44303474942433, 4.6822660134022795, 37.887699557778696],
}


def make(name: str, m: int = 3) -> Any:
    return getattr(problems, name)(n_objectives=m)


def points(problem: Problem, n: int, seed: int = 0) -> Tensor:
    u = torch.rand(n, problem.space.dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return problem.space.from_unit(u)


def corners(problem: Problem, n: int) -> Tensor:
    u = torch.rand(n, problem.space.dim, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return problem.space.from_unit(torch.where(u < 0.1, u, u.round()))


def golden_point(problem: Problem) -> Tensor:
    u = (0.5 + 0.6180339887498949 * torch.arange(1, problem.space.dim + 1, dtype=torch.float64)) % 1
    return problem.space.from_unit(u[None])


@pytest.mark.parametrize("name", zdt.__all__)
def test_zdt_is_that_of_pymoo(name: str) -> None:
    problem = getattr(problems, name)()
    theirs = get_problem(name.lower(), **({"normalize": False} if name == "ZDT5" else {}))
    x = points(problem, 100)
    np.testing.assert_allclose(problem(x).values.numpy(), theirs.evaluate(x.numpy()), rtol=1e-10)
    low, high = problem.space.bounds()
    np.testing.assert_allclose(low.numpy(), theirs.xl)
    np.testing.assert_allclose(high.numpy(), theirs.xu)


@pytest.mark.parametrize("m", [2, 3, 5])
@pytest.mark.parametrize("name", [*dtlz.__all__, *constrained_dtlz.__all__, *wfg.__all__])
def test_scalable_problems_are_those_of_pymoo(name: str, m: int) -> None:
    problem = make(name, m)
    keywords = {"k": problem.k} if name in wfg.__all__ else {}
    theirs = get_problem(name.lower(), n_var=problem.dim, n_obj=m, **keywords)
    x = torch.cat([points(problem, 60), corners(problem, 30)])
    out = theirs.evaluate(x.numpy(), return_values_of=["F", "G"], return_as_dictionary=True)
    evaluation = problem(x)
    np.testing.assert_allclose(evaluation.values.numpy(), out["F"], rtol=1e-9, atol=1e-12)
    assert problem.n_constraints == out["G"].shape[1]
    if problem.n_constraints:
        np.testing.assert_allclose(evaluation.violations.numpy(), out["G"], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(torch.stack(problem.space.bounds()).numpy(), np.stack([theirs.xl, theirs.xu]))


@pytest.mark.parametrize("name", GOLDEN)
def test_lsmop_and_maf_are_those_of_another_implementation(name: str) -> None:
    problem = make(name, 4 if name.startswith("MaF") else 3)
    assert problem(golden_point(problem)).values[0].tolist() == pytest.approx(GOLDEN[name], rel=1e-9)


def test_maf10_is_wfg1() -> None:
    x = points(problems.MaF10(), 20)
    torch.testing.assert_close(problems.MaF10()(x).values, problems.WFG1(12, 3, k=2)(x).values)


@pytest.mark.parametrize("name", SCALABLE + [n for n in multi_objective.__all__ if n not in SCALABLE])
def test_the_front_is_mutually_non_dominated_and_not_dominated(name: str) -> None:
    problem = getattr(problems, name)() if name not in combinatorial.__all__ else getattr(problems, name)(12)
    front = problem.pareto_front(300)
    assert 10 <= len(front) <= 300 or name in combinatorial.__all__ or name in ("ZDT5", "RE34")
    signed = front.numpy() * np.array([o.sign for o in problem.objectives])
    assert np.isfinite(signed).all()
    # Points that differ by rounding only may dominate each other: compare on a grid of 1e-9.
    assert moocore.is_nondominated(signed.round(9), keep_weakly=True).all()
    evaluation = problem(points(problem, 4000))
    values = evaluation.values.numpy() * np.array([o.sign for o in problem.objectives])
    if evaluation.violations is not None:
        values = values[(evaluation.violations <= 0).all(-1).numpy()]
    width = signed.max(0) - signed.min(0)
    slack = 1e-3 if name == "VLMOP3" else 1e-9  # its front is taken from a grid
    assert not (values[:, None] + slack * width < signed[None]).all(-1).any()


@pytest.mark.parametrize("m", [2, 4])
@pytest.mark.parametrize("name", SCALABLE)
def test_fronts_and_references_for_other_numbers_of_objectives(name: str, m: int) -> None:
    if name in ("MaF8", "MaF9", "MaF13") and m == 2:
        with pytest.raises(SettingError, match="n_objectives: expected an integer >= 3"):
            make(name, m)
        return
    problem = make(name, m)
    front = problem.pareto_front(200)
    assert front.shape[1] == m
    assert front.dtype == torch.float64
    if name not in ("MaF8", "MaF9"):
        assert bool((front <= problem.reference_point).all())


@pytest.mark.parametrize("name", ["DTLZ1", "DTLZ2", "DTLZ3", "DTLZ5", "C1DTLZ1", "C2DTLZ2", "DC1DTLZ1", "DC3DTLZ3"])
def test_points_at_distance_zero_are_on_the_front(name: str) -> None:
    problem = make(name)
    x = points(problem, 2000)
    x[:, 2:] = 0.5
    evaluation = problem(x)
    values = evaluation.values
    if evaluation.violations is not None:
        values = values[(evaluation.violations <= 0).all(-1)]
    assert len(values) > 20
    away = torch.cdist(values, problem.pareto_front(5000)).amin(-1)
    assert float(away.max()) < 0.04


@pytest.mark.parametrize("name", ["WFG2", "WFG3", "WFG4", "WFG5", "WFG6", "WFG7", "LSMOP1", "LSMOP5", "LSMOP9"])
def test_optimal_distances_reach_the_front(name: str) -> None:
    problem = make(name)
    x = points(problem, 3000)
    if name.startswith("WFG"):
        high = problem.space.bounds()[1]
        x[:, problem.k :] = 0.35 * high[problem.k :]
        if name == "WFG3":
            x[:, : problem.k] = high[: problem.k] * torch.linspace(0, 1, 3000, dtype=torch.float64)[:, None]
    else:
        rank = torch.arange(problem.m, problem.dim + 1, dtype=torch.float64) / problem.dim
        factor = 1 + rank if problem.linear_linkage else 1 + torch.cos(0.5 * math.pi * rank)
        x[:, 0] *= 0.1  # so that the others stay inside of [0, 10]
        x[:, problem.m - 1 :] = 10 * x[:, :1] / factor
    values = problem(x).values
    front = problem.pareto_front(5000)
    if name in ("WFG2", "LSMOP9"):  # many positions are dominated there
        width = front.amax(0) - front.amin(0)
        assert not bool((values[:, None] + 1e-6 * width < front[None]).all(-1).any())
        best = torch.from_numpy(moocore.filter_dominated(values.numpy()))
        assert float((torch.cdist(best, front).amin(-1) < 0.25).double().mean()) > 0.95
    else:
        assert float(torch.cdist(values, front).amin(-1).max()) < 0.1


@pytest.mark.parametrize("name", SCALABLE)
def test_a_batch_is_its_rows_and_float32_stays_so(name: str) -> None:
    problem = make(name)
    x = points(problem, 5)
    whole = problem(x)
    torch.testing.assert_close(whole.values[3:4], problem(x[3]).values)
    assert problem(x.float()).values.dtype == torch.float32
    assert problem(x[:0]).values.shape == (0, 3)


def test_vehicle_safety_and_vlmop2_are_those_of_botorch() -> None:
    from botorch.test_functions.multi_objective import VehicleSafety

    ours, theirs = problems.VehicleSafety(), VehicleSafety()
    x = points(ours, 50)
    torch.testing.assert_close(ours(x).values, theirs(x))
    torch.testing.assert_close(ours.reference_point, theirs.ref_point)
    well = problems.VLMOP2(3)
    assert well([[1 / math.sqrt(3)] * 3]).values[0].tolist() == pytest.approx([0.0, 1 - math.exp(-4)])


def test_an_mnk_landscape_is_the_mean_of_its_contributions() -> None:
    problem = problems.MNKLandscape(7, 3, k=2, seed=4)
    x = points(problem, 20)
    for row, values in zip(x.tolist(), problem(x).values.tolist(), strict=True):
        for j in range(3):
            total = 0.0
            for i in range(7):
                others = problem.neighbours[j, i].tolist()
                assert others[0] == i
                assert len(set(others)) == 3
                total += problem.table[j, i, sum(int(row[o]) << p for p, o in enumerate(others))].item()
            assert values[j] == pytest.approx(total / 7)
    assert all(o.maximize for o in problem.objectives)
    same = problems.MNKLandscape(7, 3, k=2, seed=4)(x).values
    assert torch.equal(same, problem(x).values)
    assert not torch.equal(problems.MNKLandscape(7, 3, k=2, seed=5)(x).values, same)


def test_a_knapsack_counts_profits_and_loads() -> None:
    problem = problems.MultiObjectiveKnapsack(8, 2, seed=1)
    x = points(problem, 10)
    evaluation = problem(x)
    for row, values, violations in zip(x, evaluation.values, evaluation.violations, strict=True):  # type: ignore[arg-type]
        for j in range(2):
            taken = row == 1
            assert float(values[j]) == float(problem.profits[j][taken].sum())
            load = float(problem.weights[j][taken].sum())
            assert (float(violations[j]) <= 0) == (load <= float(problem.weights[j].sum()) / 2)
    with pytest.raises(SettingError, match="enumerated for up to 20"):
        problems.MultiObjectiveKnapsack(21).pareto_front()


def test_lattices_have_the_size_that_they_promise() -> None:
    assert simplex(91, 3).shape == (91, 3)
    assert simplex(100, 3).shape == (91, 3)
    assert simplex(1, 4).shape == (4, 4)
    torch.testing.assert_close(simplex(1000, 5).sum(-1), torch.ones(715, dtype=torch.float64))
    assert unit_grid(100, 2).shape == (100, 2)
    assert len({tuple(row) for row in simplex(300, 4).tolist()}) == len(simplex(300, 4))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: problems.DTLZ2(2, 3), "dim: expected an integer >= 3, got 2"),
        (lambda: problems.DTLZ2(5, 1), "n_objectives: expected an integer >= 2, got 1"),
        (lambda: problems.DTLZ4(alpha=0.0), "alpha"),
        (lambda: problems.WFG1(10, 3, k=3), "k: expected a multiple of n_objectives - 1 = 2, got 3"),
        (lambda: problems.WFG2(9, 3, k=4), "dim: expected k . an even number"),
        (lambda: problems.LSMOP1(12, 3), "dim: expected enough for subgroups"),
        (lambda: problems.MNKLandscape(5, k=5), "k: expected at most 4 for 5 variables"),
        (lambda: problems.ZDT1(1), "dim: expected an integer >= 2"),
    ],
)
def test_wrong_sizes_are_refused_by_name(build: Any, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        build()


@pytest.mark.parametrize(
    "problem", [problems.VLMOP1(5.0), problems.VLMOP3(), problems.OmniTest(2)], ids=lambda p: p.name
)
def test_small_problems_are_not_beaten_by_a_grid(problem: problems.OmniTest) -> None:
    """No point of a fine grid dominates the front, and every point of the front is reached by one nearby."""
    u = torch.linspace(0, 1, 241 if problem.dim == 2 else 4001, dtype=torch.float64)
    grid = torch.cartesian_prod(*[u] * problem.dim).reshape(-1, problem.dim)
    values = problem(problem.space.from_unit(grid)).values
    front = problem.pareto_front(60)
    better = (values[:, None] <= front[None] - 1e-3).all(2)
    assert not bool(better.any())
    near = (values[:, None] - front[None]).abs().amax(2).amin(0)
    assert float((near / (values.amax(0) - values.amin(0)).max()).max()) < 0.01
