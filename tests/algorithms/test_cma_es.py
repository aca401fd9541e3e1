"""CMA-ES: the trajectory of pycma, convergence, restarts, and everything that a run may meet."""

from __future__ import annotations

import math
import random
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cma
import numpy as np
import pytest
import torch
from torch import Tensor

from blackbox.algorithm import Request
from blackbox.algorithms import CMAES
from blackbox.algorithms._cma_box import SearchBox
from blackbox.algorithms._cma_ranking import fitness_of, match
from blackbox.algorithms._cma_run import Plan, next_run
from blackbox.errors import CapabilityError, ExhaustedError, NotReadyError, SettingError, StateError, TellError
from blackbox.optimizer import Optimizer
from blackbox.parameters import Categorical, Integer, Ordinal, Real
from blackbox.random import make_generator
from blackbox.space import Space
from blackbox.state import pack


def cube(d: int, low: float = -5.0, high: float = 5.0) -> Space:
    return Space.box([low] * d, [high] * d)


def sphere(x: Tensor) -> Tensor:
    return ((x - 1.23) ** 2).sum(1)


def ellipsoid(x: Tensor) -> Tensor:
    return (((x - 1.23) ** 2) * torch.logspace(0, 6, x.shape[1], dtype=x.dtype)).sum(1)


def rosenbrock(x: Tensor) -> Tensor:
    return (100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2).sum(1)


def rastrigin(x: Tensor) -> Tensor:
    z = x - 0.77
    return (10 + z**2 - 10 * torch.cos(2 * math.pi * z)).sum(1)


def run(optimizer: Optimizer, f: Callable[[Tensor], Tensor], *, to: float, most: int) -> int:
    """Run until the best value is below `to`; return the evaluations that it took."""
    while optimizer.n_evaluations < most:
        batch = optimizer.ask()
        values = f(batch.x)
        optimizer.tell(batch, values)
        if float(values.min()) < to:
            return optimizer.n_evaluations
    raise AssertionError(f"{float(optimizer.result().values)} after {optimizer.n_evaluations} evaluations")


# -- the same numbers as pycma -----------------------------------------------------------------------------------------


def bare_pycma(seed: int, x0: list[float], monkeypatch: pytest.MonkeyPatch, **options: Any) -> Any:
    """Return pycma that draws the normals (and uniforms) of our generator of that seed."""
    generator = make_generator(seed)

    def randn(*shape: int) -> np.ndarray[Any, Any]:
        return torch.randn(shape, generator=generator, dtype=torch.float64).numpy()

    def rand(*shape: int) -> Any:
        drawn = torch.rand(shape, generator=generator, dtype=torch.float64)
        return drawn.numpy() if shape else float(drawn)

    monkeypatch.setattr(np.random, "rand", rand)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cma.CMAEvolutionStrategy(
            x0, 0.25, {"verbose": -10, "randn": randn, "seed": np.nan, "conditioncov_alleviate": [1e8, 0], **options}
        )


@pytest.mark.parametrize(
    ("diagonal", "optimum", "population_size"), [(False, 0.31, None), (False, 0.999, 13), (True, 0.98, None)]
)
def test_its_trajectory_is_pycmas(
    diagonal: bool, optimum: float, population_size: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    d = 6
    algorithm = CMAES(x0=[0.4] * d, restarts="none", diagonal=diagonal, population_size=population_size)
    optimizer = Optimizer(cube(d, 0.0, 1.0), algorithm, seed=3)
    options = {"popsize": population_size} if population_size else {}
    es = bare_pycma(3, [0.4] * d, monkeypatch, bounds=[0, 1], CMA_diagonal=diagonal, **options)
    weights = torch.logspace(0, 4, d, dtype=torch.float64)
    for _ in range(150):
        assert not es.stop()
        theirs, batch = es.ask(), optimizer.ask()
        np.testing.assert_array_equal(batch.x.numpy(), np.array(theirs))
        values = ((batch.x - optimum) ** 2) @ weights
        es.tell(theirs, values.tolist())
        optimizer.tell(batch, values)
    while not es.stop():
        theirs, batch = es.ask(), optimizer.ask()
        np.testing.assert_array_equal(batch.x.numpy(), np.array(theirs))
        values = ((batch.x - optimum) ** 2) @ weights
        es.tell(theirs, values.tolist())
        optimizer.tell(batch, values)
    with pytest.raises(ExhaustedError):
        optimizer.ask()


def test_its_trajectory_with_integers_is_pycmas(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space({"n": Integer(0, 9), "m": Integer(0, 40), "a": Real(0, 1), "b": Real(0, 1)})
    optimizer = Optimizer(space, CMAES(x0=[3, 20, 0.4, 0.4], restarts="none"), seed=5)
    es = bare_pycma(
        5,
        [3.0, 20.0, 0.4, 0.4],
        monkeypatch,
        bounds=[[-0.5, -0.5, 0, 0], [9.5, 40.5, 1, 1]],
        integer_variables=[0, 1],
        CMA_stds=[10.0, 41.0, 1.0, 1.0],
    )
    target = torch.tensor([7.0, 3.0, 0.3, 0.9], dtype=torch.float64)
    for _ in range(60):
        theirs, batch = es.ask(), optimizer.ask()
        np.testing.assert_allclose(batch.x.numpy(), np.clip(theirs, [0, 0, 0, 0], [9, 40, 1, 1]), atol=1e-9)
        values = ((batch.x - target) ** 2).sum(1)
        es.tell(theirs, values.tolist())
        optimizer.tell(batch, values)
    assert optimizer.result().x[0, :2].tolist() == [7.0, 3.0]


def test_the_fold_is_pycmas_and_has_an_inverse() -> None:
    box = SearchBox(Space({"a": Real(0, 1), "n": Integer(0, 9), "m": Integer(3, 4)}))
    handler = cma.BoundTransform([box.lower, box.upper])
    far = np.random.default_rng(0).normal(0, 8, (500, 3))
    folded = box.fold(far)
    np.testing.assert_array_equal(folded, np.array([handler.repair(row) for row in far]))
    np.testing.assert_allclose(box.fold(box.unfold(folded)), folded, atol=1e-12)


# -- convergence -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "budget"),
    # Evaluations to 1e-8 with the default population, in the order of Hansen's tutorial and of the COCO records.
    [(sphere, 2500), (ellipsoid, 8000), (rosenbrock, 10000)],
    ids=["sphere", "ellipsoid", "rosenbrock"],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_it_reaches_1e_8_in_ten_dimensions(f: Callable[[Tensor], Tensor], budget: int, seed: int) -> None:
    run(Optimizer(cube(10), CMAES(), seed=seed), f, to=1e-8, most=budget)


@pytest.mark.parametrize("restarts", ["ipop", "bipop"])
def test_restarts_solve_rastrigin(restarts: Any) -> None:
    optimizer = Optimizer(cube(5), CMAES(restarts=restarts), seed=1)
    run(optimizer, rastrigin, to=1e-8, most=60_000)
    assert optimizer._kernel.plan.n_runs >= 1


def test_one_variable() -> None:
    optimizer = Optimizer(Space({"a": Real(-5, 5)}), CMAES(), seed=0)
    assert run(optimizer, sphere, to=1e-10, most=1500) > 0


def test_a_log_scale_is_searched_as_the_logarithm() -> None:
    space = Space({"lr": Real(1e-8, 1.0, log=True), "n": Integer(1, 4096, log=True), "a": Real(0, 1)})

    def f(x: Tensor) -> Tensor:
        return (x[:, 0].log() - math.log(3e-6)) ** 2 + (x[:, 1].log() - math.log(20)) ** 2 + (x[:, 2] - 0.2) ** 2

    optimizer = Optimizer(space, CMAES(), seed=0)
    run(optimizer, f, to=1e-6, most=4000)
    assert optimizer.result().configs[0]["n"] == 20


def test_integers_and_ordinals() -> None:
    space = Space(
        {"n": Integer(-3, 12), "size": Ordinal(["s", "m", "l", "xl"]), "flag": Integer(0, 1), "a": Real(-1, 1)}
    )

    def f(x: Tensor) -> Tensor:
        return (x[:, 0] - 9) ** 2 + (x[:, 1] - 2) ** 2 + (1 - x[:, 2]) + 5 * (x[:, 3] - 0.3) ** 2

    optimizer = Optimizer(space, CMAES(), seed=2)
    run(optimizer, f, to=1e-6, most=6000)
    assert optimizer.result().configs[0]["size"] == "l"


def test_only_integers() -> None:
    optimizer = Optimizer(Space({"n": Integer(0, 30), "m": Integer(5, 6)}), CMAES(), seed=0)
    run(optimizer, lambda x: (x[:, 0] - 17) ** 2 + (x[:, 1] - 6) ** 2, to=0.5, most=1000)


def test_an_active_linear_constraint() -> None:
    # min |x|^2 subject to x0 + x1 >= 2: at (1, 1, 0, 0), value 2.
    optimizer = Optimizer(cube(4), CMAES(), n_constraints=1, seed=0)
    while optimizer.n_evaluations < 3000:
        batch = optimizer.ask()
        optimizer.tell(batch, (batch.x**2).sum(1), violations=2 - batch.x[:, 0] - batch.x[:, 1])
    result = optimizer.result()
    assert float(result.values) == pytest.approx(2.0, abs=1e-4)
    assert float(result.violations.max()) <= 0
    torch.testing.assert_close(result.x[0], torch.tensor([1.0, 1, 0, 0], dtype=torch.float64), atol=0.02, rtol=0)


def test_constraints_that_cannot_be_met_end_in_nothing_feasible() -> None:
    optimizer = Optimizer(cube(3), CMAES(), n_constraints=2, seed=0)
    for _ in range(60):
        batch = optimizer.ask()
        one = (batch.x**2).sum(1) + 1
        optimizer.tell(batch, batch.x.sum(1), violations=torch.stack([one, one - 30], 1))
    result = optimizer.result()
    assert len(result.x) == 0
    assert result.least_violated is not None


def test_a_maximum() -> None:
    from blackbox.objective import Objective

    optimizer = Optimizer(cube(3), CMAES(), objectives=[Objective("gain", maximize=True)], seed=0)
    for _ in range(80):
        batch = optimizer.ask()
        optimizer.tell(batch, 7 - sphere(batch.x))
    assert float(optimizer.result().values) == pytest.approx(7.0, abs=1e-6)


# -- pieces, order, failures -------------------------------------------------------------------------------------------


def trajectory(optimizer: Optimizer, generations: int) -> Tensor:
    points = []
    for _ in range(generations):
        batch = optimizer.ask()
        points.append(batch.x)
        optimizer.tell(batch, ellipsoid(batch.x))
    return torch.cat(points)


def test_pieces_and_shuffled_tells_change_nothing() -> None:
    whole = trajectory(Optimizer(cube(5), CMAES(population_size=9), seed=4), 6)
    optimizer = Optimizer(cube(5), CMAES(population_size=9), seed=4)
    shuffle = random.Random(0)
    points = []
    for _ in range(6):
        pieces = [optimizer.ask(n) for n in (2, 4, 3)]
        with pytest.raises(NotReadyError):
            optimizer.ask()
        points += [piece.x for piece in pieces]
        rows = [piece[[row]] for piece in pieces for row in range(len(piece))]
        shuffle.shuffle(rows)
        for row in rows:
            optimizer.tell(row, ellipsoid(row.x))
    assert torch.equal(torch.cat(points), whole)


def test_a_refused_tell_changes_nothing() -> None:
    optimizer = Optimizer(cube(4), CMAES(), seed=0)
    trajectory(optimizer, 3)
    batch = optimizer.ask()
    before = pack(optimizer.state())
    for values in ("bad", sphere(batch.x)[:-1], torch.zeros(len(batch), 2), None):
        with pytest.raises(TellError):
            optimizer.tell(batch, values)
    assert pack(optimizer.state()) == before


def test_a_kernel_call_leaves_its_state_as_it_was() -> None:
    optimizer = Optimizer(cube(4), CMAES(), seed=0)
    trajectory(optimizer, 5)
    algorithm, spec, state = optimizer.algorithm, optimizer._spec, optimizer._kernel
    before = pack(state)

    def onwards(kernel: Any) -> list[Tensor]:
        generator = make_generator(9)
        points = []
        from blackbox.algorithm import Seen

        for _ in range(4):
            n = algorithm.ready(spec, kernel, 0)
            kernel, candidates = algorithm.ask(spec, kernel, Request(n, gather=lambda: None), generator)
            points.append(candidates.x)
            none = torch.zeros(n, dtype=torch.bool)
            seen = Seen(torch.arange(n), candidates.x, ellipsoid(candidates.x)[:, None], torch.zeros(n, 0), none, none)
            kernel = algorithm.tell(spec, kernel, seen, generator)
        return points

    first = onwards(state)
    assert pack(state) == before
    assert all(torch.equal(a, b) for a, b in zip(first, onwards(state), strict=True))


def test_an_error_of_pycma_leaves_the_state_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    optimizer = Optimizer(cube(4), CMAES(), seed=0)
    trajectory(optimizer, 3)
    batch = optimizer.ask()
    optimizer.tell(batch, sphere(batch.x))
    before = pack(optimizer.state())
    twin = Optimizer(cube(4), CMAES(), seed=0)
    twin.restore(optimizer.state())

    def broken(*_: Any) -> None:
        raise MemoryError("in the middle of an update")

    with monkeypatch.context() as patch:
        patch.setattr(optimizer._kernel.engine._es, "_stds_into_limits", broken)
        patch.setattr(optimizer._kernel.engine, "_limit_stds", broken)
        with pytest.raises(MemoryError):
            optimizer.ask()
    assert pack(optimizer.state()) == before
    assert torch.equal(optimizer.ask().x, twin.ask().x)


def test_a_numerical_breakdown_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    optimizer = Optimizer(cube(4), CMAES(restarts="none"), seed=0)
    batch = optimizer.ask()
    optimizer.tell(batch, sphere(batch.x))

    def broken() -> None:
        raise np.linalg.LinAlgError("no eigenvalues")

    monkeypatch.setattr(optimizer._kernel.engine, "_limit_stds", broken)
    with pytest.raises(ExhaustedError, match="no eigenvalues"):
        optimizer.ask()


def test_failed_rows_are_ranked_last() -> None:
    failed = Optimizer(cube(4), CMAES(population_size=8), seed=0)
    worst = Optimizer(cube(4), CMAES(population_size=8), seed=0)
    for optimizer, value in ((failed, math.nan), (worst, 1e9)):
        batch = optimizer.ask()
        values = sphere(batch.x)
        values[values.argmin()] = value
        optimizer.tell(batch, values)
    assert failed.n_failed == 1
    assert torch.equal(failed.ask().x, worst.ask().x)


def test_it_converges_although_a_third_fails() -> None:
    optimizer = Optimizer(cube(5), CMAES(), seed=0)
    failing = random.Random(0)
    for _ in range(250):
        batch = optimizer.ask()
        values = sphere(batch.x)
        values[[failing.random() < 0.33 for _ in range(len(batch))]] = math.inf
        optimizer.tell(batch, values)
    assert float(optimizer.result().values) < 1e-8
    assert optimizer.n_failed > 200


def test_a_generation_in_which_all_failed_changes_nothing_of_the_distribution() -> None:
    optimizer = Optimizer(cube(4), CMAES(), seed=0)
    trajectory(optimizer, 3)
    batch = optimizer.ask()
    numbers = optimizer._kernel.numbers
    optimizer.tell(batch, None, failed=True)
    again = optimizer.ask()
    assert optimizer._kernel.numbers is numbers
    assert not torch.equal(again.x, batch.x)
    assert torch.isfinite(again.x).all()


def test_abandoned_rows_are_left_out() -> None:
    optimizer = Optimizer(cube(4), CMAES(population_size=8), seed=0)
    for generation in range(110):
        batch = optimizer.ask()
        keep = [row for row in range(8) if (row + generation) % 3]
        optimizer.abandon(batch[[row for row in range(8) if row not in keep]])
        optimizer.tell(batch[keep], sphere(batch.x[keep]))
    assert float(optimizer.result().values) < 1e-4
    batch = optimizer.ask()
    optimizer.abandon(batch)
    assert len(optimizer.ask()) == 8


def test_abandoned_rows_stand_in_the_middle() -> None:
    optimizer = Optimizer(cube(4), CMAES(population_size=8), seed=0)
    batch = optimizer.ask()
    state = optimizer._kernel
    rows, changed, genotypes = match(state.engine.box, state.genotypes, state.x, batch.x[[1, 4, 7]])
    assert (rows, changed) == ([1, 4, 7], [])
    assert genotypes is state.genotypes or np.array_equal(genotypes, state.genotypes)
    fitness = fitness_of(8, rows, np.array([5.0, math.nan, 1.0]))
    assert fitness == [3.0, 5.0, 3.0, 3.0, 9.0, 3.0, 3.0, 1.0]


def test_fixed_values_are_evaluated_and_learned_from() -> None:
    optimizer = Optimizer(cube(3), CMAES(), seed=0)
    for _ in range(110):
        batch = optimizer.ask(fixed={"x1": 4.0})
        assert (batch.x[:, 1] == 4.0).all()
        optimizer.tell(batch, sphere(batch.x))
    best = optimizer.result().x[0]
    torch.testing.assert_close(best, torch.tensor([1.23, 4.0, 1.23], dtype=torch.float64), atol=1e-3, rtol=0)


def test_fixed_values_and_abandoned_rows_at_once() -> None:
    optimizer = Optimizer(cube(3), CMAES(population_size=8), seed=0)
    first, rest = optimizer.ask(4, fixed={"x0": 0.5}), optimizer.ask(4)
    optimizer.abandon(first[[1]])
    told = first[[0, 2, 3]]
    optimizer.tell(told, sphere(told.x))
    optimizer.tell(rest, sphere(rest.x))
    state = optimizer._kernel
    seen = torch.cat([told.x, rest.x])
    rows, changed, _ = match(state.engine.box, state.genotypes, state.x, seen)
    assert rows == [0, 2, 3, 4, 5, 6, 7]
    assert changed == [0, 2, 3]
    assert torch.isfinite(optimizer.ask().x).all()


@pytest.mark.parametrize("value", [0.0, 1e308, -1e308, 1e-320])
def test_flat_values_do_no_harm(value: float) -> None:
    optimizer = Optimizer(cube(3), CMAES(), seed=0)
    for _ in range(20):
        batch = optimizer.ask()
        optimizer.tell(batch, torch.full((len(batch),), value, dtype=torch.float64))
        assert ((batch.x >= -5) & (batch.x <= 5)).all()


@pytest.mark.parametrize(("unit", "constraint_unit"), [(1e6, 1e-6), (1e-3, 1e6)])
def test_units_of_values_and_constraints_do_not_matter(unit: float, constraint_unit: float) -> None:
    optimizer = Optimizer(cube(4), CMAES(), n_constraints=1, seed=2)
    while optimizer.n_evaluations < 1500:
        batch = optimizer.ask()
        optimizer.tell(batch, unit * (batch.x**2).sum(1), violations=constraint_unit * (1 - batch.x[:, 0]))
    assert float(optimizer.result().values) == pytest.approx(unit, rel=1e-4)


def test_huge_values_with_constraints() -> None:
    optimizer = Optimizer(cube(3), CMAES(), n_constraints=1, seed=0)
    for _ in range(40):
        batch = optimizer.ask()
        optimizer.tell(batch, sphere(batch.x) * 1e306 - 8e307, violations=(1 - batch.x[:, :1]) * 1e307)
    assert torch.isfinite(optimizer.ask().x).all()


def test_huge_and_tiny_values() -> None:
    optimizer = Optimizer(cube(3), CMAES(), seed=0)
    for _ in range(30):
        batch = optimizer.ask()
        optimizer.tell(batch, sphere(batch.x) * 1e306)
    assert torch.isfinite(optimizer.ask().x).all()


# -- external points ---------------------------------------------------------------------------------------------------


def test_a_data_set_sets_the_start() -> None:
    optimizer = Optimizer(cube(4), CMAES(sigma0=0.02), seed=0)
    data = optimizer.space.batch(torch.tensor([[4.0, 4, 4, 4], [-3, 2, 1, 4.9], [0, 0, 0, 0]]))
    optimizer.tell(data, [3.0, 1.0, math.nan])
    batch = optimizer.ask()
    assert float((batch.x - data.x[1]).abs().max()) < 1.2
    assert optimizer.n_evaluations == 0


def test_a_better_point_is_injected_and_a_worse_one_is_not() -> None:
    optimizer = Optimizer(cube(4), CMAES(), seed=0)
    trajectory(optimizer, 2)
    good = optimizer.space.batch(torch.full((1, 4), 1.23))
    bad = optimizer.space.batch(torch.full((1, 4), -4.9))
    batch = optimizer.ask()
    optimizer.tell(good, [0.0])
    optimizer.tell(bad, [1e9])
    optimizer.tell(batch, sphere(batch.x))
    following = optimizer.ask()
    assert optimizer._kernel.injected == 1
    # The first candidate lies on the line from the mean to the injected point.
    towards, mean = optimizer._kernel.engine.box, optimizer._kernel.numbers["es.mean"]
    direction = towards.genotypes(good.x.double())[0] - mean
    step = optimizer._kernel.genotypes[0] - mean
    cosine = direction @ step / np.linalg.norm(direction) / np.linalg.norm(step)
    assert cosine == pytest.approx(1.0, abs=1e-9)
    optimizer.tell(following, sphere(following.x))
    optimizer.ask()
    assert optimizer._kernel.injected == 0


# -- restarts and their ends -------------------------------------------------------------------------------------------


def test_without_restarts_it_ends_with_the_reason() -> None:
    optimizer = Optimizer(cube(3), CMAES(restarts="none"), seed=0)
    with pytest.raises(ExhaustedError, match="differ by less than") as raised:
        trajectory(optimizer, 1000)
    assert 'restarts="ipop"' in str(raised.value)
    with pytest.raises(ExhaustedError):
        optimizer.ask()
    assert float(optimizer.result().values) < 1e-10


@pytest.mark.parametrize(
    ("values", "reason"), [([1.0] * 20, "differ by less than"), ([1.0] * 19 + [2.0], "flat fitness")]
)
def test_flat_fitness_ends_with_the_reason(values: list[float], reason: str) -> None:
    optimizer = Optimizer(cube(3), CMAES(restarts="none", population_size=20), seed=0)

    def go() -> None:
        for _ in range(50):
            optimizer.tell(optimizer.ask(), values)

    with pytest.raises(ExhaustedError, match=reason):
        go()


def test_ipop_doubles_and_starts_over() -> None:
    generator, plan, sizes = make_generator(0), Plan(10), []
    for _ in range(11):
        plan, following = next_run(plan, "ipop", 500, np.zeros(2), 0.3, generator)
        sizes.append(following.population_size)
    assert sizes == [20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10, 20]


def test_bipop_balances_both_kinds_of_runs() -> None:
    generator, plan = make_generator(0), Plan(10)
    kinds = []
    for _ in range(40):
        plan, following = next_run(plan, "bipop", 1000 if plan.in_large else 120, np.zeros(2), 0.3, generator)
        kinds.append(plan.in_large)
        assert 10 <= following.population_size <= 10 * 2**plan.doublings
        if not plan.in_large:
            assert 0.003 <= following.sigma <= 0.3
            assert following.max_generations >= 1
    assert kinds[0]
    assert 4 < kinds.count(True) < 9
    assert 0.5 < plan.small / plan.large < 1.5


# -- saving ------------------------------------------------------------------------------------------------------------

_RESUME = """
import sys
sys.path.insert(0, {folder!r})
from test_cma_es import resume_and_go_on
for name in {names!r}:
    resume_and_go_on({path!r} + name, {path!r} + name + ".out")
"""


def values_of(batch: Any, optimizer: Optimizer) -> dict[str, Any]:
    u = optimizer.space.to_unit(batch.x)
    values = ((u - 0.4) ** 2).sum(1)
    values[u[:, 0] > 0.9] = math.nan
    violations = 0.5 - u[:, :1] if optimizer.n_constraints else None
    return {"values": values, "violations": violations}


def go_on(optimizer: Optimizer, generations: int) -> Tensor:
    points = []
    for _ in range(generations):
        batch = optimizer.ask()
        points.append(batch.x)
        optimizer.tell(batch, **values_of(batch, optimizer))
    return torch.cat(points)


def resume_and_go_on(path: str, out: str) -> None:
    optimizer = Optimizer.load(path)
    pending = optimizer.pending
    optimizer.tell(pending, **values_of(pending, optimizer))
    torch.save({"points": go_on(optimizer, 25), "pending": pending.x}, out)


RESUMED: dict[str, tuple[Space, int, CMAES]] = {
    "box": (cube(6), 0, CMAES()),
    "constrained": (cube(6), 1, CMAES(restarts="ipop")),
    "mixed": (
        Space({"a": Real(-1, 2), "lr": Real(1e-5, 1, log=True), "n": Integer(0, 9), "k": Integer(1, 2)}),
        1,
        CMAES(),
    ),
    "one": (Space({"a": Real(-1, 2)}), 0, CMAES(diagonal=True)),
    "many": (cube(320), 0, CMAES(diagonal=True)),
}


def test_it_resumes_bit_for_bit_in_a_new_process(tmp_path: Path) -> None:
    expected = {}
    for name, (space, k, algorithm) in RESUMED.items():
        optimizer = Optimizer(space, algorithm, n_constraints=k, seed=8)
        go_on(optimizer, 14)
        external = space.batch(space.from_unit(torch.full((1, space.dim), 0.41).double()))
        first = optimizer.ask(3)
        optimizer.ask(1)
        told = first[[2, 0]]  # buffered: the generation is not complete
        optimizer.tell(told, **values_of(told, optimizer))
        optimizer.tell(external, [-1.0], violations=[[-1.0]] if k else None)
        optimizer.save(tmp_path / name)
        pending = optimizer.pending
        optimizer.tell(pending, **values_of(pending, optimizer))
        expected[name] = (pending.x, go_on(optimizer, 25))
    script = _RESUME.format(folder=str(Path(__file__).parent), names=list(RESUMED), path=f"{tmp_path}/")
    subprocess.run([sys.executable, "-c", script], check=True, timeout=240)
    for name, (pending, points) in expected.items():
        found = torch.load(tmp_path / f"{name}.out", weights_only=True)
        assert torch.equal(found["pending"], pending), name
        assert torch.equal(found["points"], points), name


def test_saving_at_any_generation_changes_nothing() -> None:
    plain = Optimizer(cube(3), CMAES(population_size=6), seed=2)
    saved = Optimizer(cube(3), CMAES(population_size=6), seed=2)
    for _ in range(120):  # through convergence, a stop and a restart
        a, b = plain.ask(), saved.ask()
        assert torch.equal(a.x, b.x)
        plain.tell(a, sphere(a.x))
        saved.tell(b, sphere(b.x))
        saved.restore(saved.state())
    assert plain._kernel.plan.n_runs >= 1


def test_a_state_of_another_shape_is_refused() -> None:
    optimizer = Optimizer(cube(3), CMAES(), seed=0)
    trajectory(optimizer, 2)
    for name, value in (("C", np.eye(4)), ("es.mean", np.zeros(2)), ("es.surplus", 1.0)):
        tree = optimizer.state()
        tree["kernel"]["numbers"][name] = value
        other = Optimizer(cube(3), CMAES(), seed=0)
        other.restore(tree)
        with pytest.raises(StateError, match=name):
            other.ask()


# -- what it must leave alone ------------------------------------------------------------------------------------------


def test_no_global_random_state_no_output_no_files(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cma_signals.in").write_text("{'timeout': 0}")

    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("a global generator was used")

    for name in ("rand", "randn", "randint", "seed", "normal", "uniform", "random", "standard_normal", "set_state"):
        monkeypatch.setattr(np.random, name, forbidden)
    for name in ("random", "gauss", "seed", "getrandbits"):
        monkeypatch.setattr(random, name, forbidden)
    numpy_before, torch_before = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    space = Space({"a": Real(0, 1), "n": Integer(0, 9), "m": Integer(0, 3)})
    for algorithm in (CMAES(), CMAES(diagonal=True, restarts="ipop")):
        optimizer = Optimizer(space, algorithm, n_constraints=1, seed=0)
        for _ in range(40):
            batch = optimizer.ask()
            optimizer.tell(batch, batch.x.sum(1), violations=1 - batch.x[:, :1])
    assert all(np.array_equal(a, b) for a, b in zip(numpy_before, np.random.get_state(), strict=True))  # noqa: NPY002
    assert torch.equal(torch_before, torch.get_rng_state())
    assert capfd.readouterr() == ("", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cma_signals.in"]


def test_it_leaves_the_users_own_pycma_as_loud_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    from cma.utilities import utils

    before, filters = utils.global_verbosity, list(warnings.filters)
    trajectory(Optimizer(cube(3), CMAES(), seed=0), 3)
    assert utils.global_verbosity == before
    assert warnings.filters == filters


def test_importing_the_package_does_not_load_pycma() -> None:
    script = "import sys, blackbox, blackbox.algorithms.cma_es; sys.exit('cma' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def test_the_first_use_warns_of_nothing_and_leaves_global_generators_alone() -> None:
    script = """
import random, numpy, torch
from blackbox.algorithms import CMAES
from blackbox.optimizer import Optimizer
from blackbox.space import Space
def states():
    return str(numpy.random.get_state()), str(random.getstate()), torch.get_rng_state().tolist()
before = states()
Optimizer(Space.box([0.0], [1.0]), CMAES(), seed=0).ask()
assert states() == before
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], check=True, timeout=120, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("", "")


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"population_size": 3}, "population_size"),
        ({"population_size": 4.5}, "population_size"),
        ({"population_size": True}, "population_size"),
        ({"sigma0": 0}, "sigma0"),
        ({"sigma0": math.nan}, "sigma0"),
        ({"sigma0": "0.3"}, "sigma0"),
        ({"restarts": "often"}, "restarts"),
        ({"restarts": 3}, "restarts"),
        ({"diagonal": "yes"}, "diagonal"),
        ({"diagonal": 1}, "diagonal"),
        ({"x0": [math.inf]}, "x0"),
        ({"x0": "abc"}, "x0"),
        ({"x0": 3.0}, "x0"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingError, match=f"^{named}: expected"):
        CMAES(**settings)


def test_a_start_of_another_size_or_outside_is_refused() -> None:
    with pytest.raises(SettingError, match="x0: expected 3 values"):
        Optimizer(cube(3), CMAES(x0=[0.0, 0.0]))
    with pytest.raises(ValueError, match="x1"):
        Optimizer(cube(3), CMAES(x0=[0.0, 9.0, 0.0]))


def test_categories_conditions_and_several_objectives_are_refused() -> None:
    with pytest.raises(CapabilityError, match="categorical"):
        Optimizer(Space({"a": Real(0, 1), "kind": Categorical(["u", "v"])}), CMAES())
    with pytest.raises(CapabilityError, match="conditional"):
        Optimizer(Space({"n": Integer(0, 1), "a": Real(0, 1, when={"n": [1]})}), CMAES())
    with pytest.raises(CapabilityError, match="objectives"):
        Optimizer(cube(2), CMAES(), objectives=2)


def test_a_covariance_matrix_that_does_not_fit_is_refused() -> None:
    with pytest.raises(CapabilityError, match=r"200000 variables takes about \d+\.\d GiB.*diagonal=True"):
        Optimizer(cube(200_000), CMAES(diagonal=False))


@pytest.mark.parametrize("parameter", [Real(0, 1), Real(-3, 30), Integer(0, 3), Integer(1, 1000, log=True)])
@pytest.mark.parametrize("sigma0", [1.0, 0.25, 0.001])
def test_a_single_variable_is_searched_until_it_has_converged(parameter: Real | Integer, sigma0: float) -> None:
    optimizer = Optimizer(Space({"a": parameter}), CMAES(sigma0=sigma0, restarts="none"), seed=0)
    with pytest.raises(ExhaustedError, match="after") as stop:
        run(optimizer, lambda x: (x[:, 0] - 0.3) ** 2, to=-1, most=5000)
    assert "breakdown" not in str(stop.value)
    # A flat neighbourhood ends a run over integers: one of the two values beside the optimum is what can be asked for.
    assert float(optimizer.result().values) < (0.5 if parameter.kind == "integer" else 1e-9)


def test_the_step_size_of_many_variables_follows_the_evolution_path(monkeypatch: pytest.MonkeyPatch) -> None:
    d = 320
    optimizer = Optimizer(cube(d, 0.0, 1.0), CMAES(x0=[0.4] * d, diagonal=True), seed=1)
    adaptation = cma.sigma_adaptation.CMAAdaptSigmaCSA
    es = bare_pycma(1, [0.4] * d, monkeypatch, bounds=[0, 1], CMA_diagonal=True, AdaptSigma=adaptation)
    for _ in range(12):
        theirs, batch = es.ask(), optimizer.ask()
        np.testing.assert_array_equal(batch.x.numpy(), np.array(theirs))
        values = ((batch.x - 0.4) ** 2).sum(1)
        es.tell(theirs, values.tolist())
        optimizer.tell(batch, values)


def test_many_variables_are_searched_with_a_diagonal() -> None:
    optimizer = Optimizer(cube(30_000), CMAES(), seed=0)
    batch = optimizer.ask()
    optimizer.tell(batch, sphere(batch.x))
    assert optimizer.ask().x.shape == batch.x.shape
    assert max(np.size(value) for value in optimizer._kernel.numbers.values()) == 30_000

    optimizer = Optimizer(cube(1200), CMAES(sigma0=0.05), seed=0)
    values = []
    for _ in range(60):
        batch = optimizer.ask()
        values.append(float(sphere(batch.x).mean()))
        optimizer.tell(batch, sphere(batch.x))
    assert values[-1] < 0.75 * values[0]


def test_single_precision() -> None:
    optimizer = Optimizer(cube(3), CMAES(), seed=0, dtype=torch.float32)
    for _ in range(60):
        batch = optimizer.ask()
        assert batch.x.dtype == torch.float32
        assert ((batch.x >= -5) & (batch.x <= 5)).all()
        optimizer.tell(batch, sphere(batch.x))
    assert float(optimizer.result().values) < 1e-5
