"""pymoo's algorithms as ours: equal to pymoo's own loop, saved without pickle, its randomness kept inside."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from blackbox import Categorical, Integer, Optimizer, Ordinal, Real, Space
from blackbox.algorithms import Pymoo
from blackbox.algorithms.adapters._pymoo_kinds import KINDS
from blackbox.errors import CapabilityError, ExhaustedError, MissingDependencyError, SettingError
from blackbox.problems import ZDT1, ConstrainedBranin
from blackbox.state import pack

BOX = Space.box([-1.0, 0.0, 2.0], [2.0, 1.0, 5.0])
NEEDED: dict[str, dict[str, Any]] = {
    "RNSGA2": {"ref_points": [[0.5, 0.2]]},
    "RNSGA3": {"ref_points": [[0.5, 0.2]], "pop_per_ref_point": 8},
    "BRKGA": {"n_elites": 4, "n_offsprings": 6, "n_mutants": 4},
    "ES": {"n_offsprings": 14},
    "SRES": {"n_offsprings": 14},
    "ISRES": {"n_offsprings": 14},
    "RandomSearch": {"n_points_per_iteration": 10},
    "DIRECT": {},
    "NelderMead": {},
    "PatternSearch": {},
    "SimpleCMAES": {},
}
NUMBA = importlib.util.find_spec("numba") is not None


def make(name: str, **options: Any) -> Optimizer:
    algorithm = Pymoo(name, NEEDED.get(name, {"pop_size": 10}), generations=10)
    options.setdefault("objectives", KINDS[name].objectives[0])
    return Optimizer(options.pop("space", BOX), algorithm, **{"seed": 1, **options})


def values_of(x: Tensor, m: int) -> Tensor:
    return torch.stack([((x.nan_to_num(0.5) - j) ** 2).sum(1) for j in range(m)], 1)


def advance(optimizer: Optimizer, evaluations: int) -> Tensor:
    points, until = [], optimizer.n_evaluations + evaluations
    while optimizer.n_evaluations < until:
        batch = optimizer.ask()
        optimizer.tell(batch, values_of(batch.x, len(optimizer.objectives)))
        points.append(batch.x)
    return torch.cat(points)


def globals_now() -> tuple[Any, ...]:
    state = np.random.get_state()  # noqa: NPY002
    return random.getstate(), state[1].tobytes(), state[2], torch.get_rng_state().numpy().tobytes()  # type: ignore[index,union-attr]


@pytest.mark.parametrize("name", [name for name in KINDS if NUMBA or not name.startswith("AGE")])
def test_every_algorithm_resumes_equally_and_keeps_its_randomness(name: str) -> None:
    before = globals_now()
    straight = make(name)
    start = advance(straight, 45)
    assert globals_now() == before, "a global generator was used"
    np.random.seed(123)  # noqa: NPY002  (must not be read)
    resumed = make(name, seed=2)
    resumed.restore(straight.state())
    np.random.seed(321)  # noqa: NPY002
    again = make(name)
    assert torch.equal(start, advance(again, 45)), "two runs with one seed differ"
    expected = advance(straight, 30)
    assert torch.equal(advance(resumed, 30), expected), "a resumed run differs"
    BOX.check(expected)
    assert torch.isfinite(straight.result().values).all()


def test_what_needs_numba_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "pymoo.algorithms.moo.age", raising=False)
    with pytest.raises(MissingDependencyError, match="pip install numba"):
        make("AGEMOEA")


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("NSGA2", {"pop_size": 20}),
        ("NSGA2", {"pop_size": 12, "crossover": {"kind": "SBX", "eta": 5, "prob": 0.8}, "mutation": {"kind": "PM"}}),
        ("NSGA3", {"ref_dirs": {"kind": "das-dennis", "n_partitions": 11}}),
        ("SMSEMOA", {"pop_size": 10, "n_offsprings": 5}),
    ],
)
def test_it_does_what_pymoos_own_loop_does(name: str, settings: dict[str, Any]) -> None:
    from pymoo.optimize import minimize
    from pymoo.problems import get_problem

    from blackbox.algorithms.adapters._pymoo_kinds import load_class, make_setting

    problem = get_problem("zdt1", n_var=4)
    optimizer = Optimizer(Space.box([0.0] * 4, [1.0] * 4), Pymoo(name, settings), objectives=2, seed=4)
    points = []
    for _ in range(8):
        batch = optimizer.ask()
        optimizer.tell(batch, problem.evaluate(batch.x.numpy()))
        points.append(batch.x.numpy())
    theirs = load_class(name)(**{key: make_setting(key, value, 2, 0) for key, value in settings.items()})
    seen: list[Any] = []
    minimize(
        problem,
        theirs,
        ("n_gen", 8),
        seed=optimizer._kernel.seed,
        callback=lambda algorithm: seen.append(algorithm.off.get("X") if algorithm.n_gen > 1 else None),
    )
    for ours, other in zip(points[1:], seen[1:], strict=True):
        np.testing.assert_array_equal(ours, other)


def test_a_file_has_no_pickle_and_needs_no_live_object(tmp_path: Path) -> None:
    straight = make("CMAES")
    advance(straight, 40)
    batch = straight.ask()
    straight.tell(batch[:3], values_of(batch.x[:3], 1))
    straight.save(tmp_path / "run.bb")
    resumed = Optimizer.load(tmp_path / "run.bb")
    assert resumed._kernel.engine is None
    assert pack(resumed.state()) == pack(straight.state())
    for optimizer in (straight, resumed):
        optimizer.tell(optimizer.pending, values_of(optimizer.pending.x, 1))
    assert torch.equal(advance(straight, 30), advance(resumed, 30))
    assert b"numpy._core.multiarray" not in (tmp_path / "run.bb").read_bytes()


def test_failed_and_abandoned_rows_are_told_as_the_worst() -> None:
    optimizer = make("GA")
    batch = optimizer.ask()
    values = values_of(batch.x, 1)
    values[0] = torch.nan
    optimizer.abandon(batch[[1]])
    rows = [0, *range(2, len(batch))]
    optimizer.tell(batch[rows], values[rows])
    optimizer.ask()
    told = next(iter(optimizer._kernel.history)).values[:, 0]
    best, worst = float(values[2:].min()), float(values[2:].max())
    assert told[:2] == pytest.approx([2 * worst - best] * 2)
    np.testing.assert_array_equal(told[2:], values[2:, 0].numpy())


def test_nothing_usable_yet_means_another_start() -> None:
    optimizer = make("GA")
    first = optimizer.ask()
    optimizer.tell(first, None, failed=torch.ones(len(first), dtype=torch.bool))
    second = optimizer.ask()
    assert len(optimizer._kernel.history) == 0
    assert not torch.equal(first.x, second.x)
    optimizer.abandon(second)
    third = optimizer.ask()
    assert not torch.equal(second.x, third.x)
    assert list(third.ids) == list(range(20, 30))
    optimizer.tell(third, values_of(third.x, 1))
    optimizer.abandon(optimizer.ask())  # a whole generation, after some success
    assert len(optimizer.ask()) == 10
    assert len(optimizer._kernel.history) == 2


def test_fixed_values_replace_pymoos() -> None:
    space = Space({"a": Real(0, 1), "n": Integer(0, 9), "k": Categorical(["u", "v"])})
    for name in ("GA", "DE"):
        searched = space if name == "GA" else Space({"a": Real(0, 1), "n": Integer(0, 9)})
        optimizer = make(name, space=searched)
        batch = optimizer.ask(fixed={"a": 0.25, "n": 3})
        optimizer.tell(batch, values_of(batch.x, 1))
        optimizer.ask()
        population = optimizer._kernel.engine._algorithm.pop.get("X")
        codes = [[row["x0"], row["x1"]] if isinstance(row, dict) else [row[0], row[1]] for row in population]
        assert np.array_equal(np.array(codes, dtype=float), [[0.25, 3.0]] * len(codes))


def test_mixed_and_conditional_variables_are_searched() -> None:
    space = Space(
        {
            "x": Real(1e-4, 1.0, log=True),
            "n": Integer(1, 100, log=True),
            "size": Ordinal(["s", "m", "l"]),
            "kind": Categorical(["u", "v", "w"]),
            "deep": Integer(0, 20, when={"kind": "v"}),
        }
    )

    def value(config: dict[str, Any]) -> float:
        wrong = abs(np.log10(config["x"]) + 2) + abs(config["n"] - 10) / 10 + (config["size"] != "m")
        return float(wrong + (abs(config["deep"] - 5) / 5 if config["kind"] == "v" else 3.0))

    optimizer = Optimizer(space, Pymoo("GA", {"pop_size": 20}), seed=0)
    for _ in range(30):
        batch = optimizer.ask()
        space.check(batch.x)
        optimizer.tell(batch, [value(config) for config in batch.configs])
    best = optimizer.result()
    assert best.configs[0]["kind"] == "v"
    assert best.configs[0]["size"] == "m"
    assert float(best.values) < 0.5
    with pytest.raises(CapabilityError, match="categorical"):
        Optimizer(space, Pymoo("DE"), seed=0)


def test_constraints_reach_pymoo() -> None:
    problem = ConstrainedBranin()
    optimizer = Optimizer(problem, Pymoo("GA", {"pop_size": 20}), seed=0)
    for _ in range(15):
        batch = optimizer.ask()
        optimizer.tell(batch, problem(batch.x))
    assert optimizer._kernel.engine._algorithm.pop.get("FEAS").all(), "pymoo's population does not know them"
    assert (optimizer.result().violations <= 0).all()
    with pytest.raises(CapabilityError, match="constraints"):
        Optimizer(problem, Pymoo("CMAES"))


def test_an_algorithm_that_has_converged_is_exhausted() -> None:
    optimizer = Optimizer(Space.box([-1.0, -1.0], [1.0, 2.0]), Pymoo("SimpleCMAES"), seed=0)
    with pytest.raises(ExhaustedError, match="SimpleCMAES has ended"):
        advance(optimizer, 100_000)
    assert float(optimizer.result().values) < 1e-8


def test_moead_hands_out_one_at_a_time_and_converges() -> None:
    problem = ZDT1(dim=4)
    optimizer = Optimizer(problem, Pymoo("MOEAD", {"pop_size": 20, "n_neighbors": 5}), seed=0)
    sizes = []
    while optimizer.n_evaluations < 600:
        batch = optimizer.ask()
        sizes.append(len(batch))
        optimizer.tell(batch, problem(batch.x))
    assert sizes[0] == 20
    assert set(sizes[1:]) == {1}
    assert float(optimizer.result().values.sum(1).min()) < 1.3


def test_settings_are_checked() -> None:
    def build(name: str, settings: Any, **options: Any) -> Optimizer:
        return Optimizer(BOX, Pymoo(name, settings), objectives=2, **options)

    with pytest.raises(SettingError, match=r"name: expected one of .*'NSGA2'.* got 'NSGA9'"):
        Pymoo("NSGA9")
    with pytest.raises(SettingError, match="generations"):
        Pymoo("RVEA", generations=0)
    with pytest.raises(SettingError, match="takes no 'population'"):
        build("NSGA2", {"population": 10})
    with pytest.raises(SettingError, match="'seed' belongs to pymoo's own loop"):
        build("NSGA2", {"seed": 1})
    with pytest.raises(SettingError, match="crossover: expected one of"):
        build("NSGA2", {"crossover": {"kind": "os.system"}})
    with pytest.raises(SettingError, match="crossover: SBX does not take"):
        build("NSGA2", {"crossover": {"kind": "SBX", "nu": 1}})
    with pytest.raises(SettingError, match=r"ref_dirs: expected shape \(r, 2\)"):
        build("NSGA3", {"ref_dirs": [[0.2, 0.3, 0.5]]})
    with pytest.raises(SettingError, match="crossover: expected numbers, strings"):
        Pymoo("NSGA2", {"crossover": object()})
    with pytest.raises(SettingError, match="give generations= or a budget"):
        build("RVEA", {"pop_size": 10})
    assert build("RVEA", {"pop_size": 10}, budget=100).ask().x.shape == (10, 3)
    assert Pymoo("NSGA3", {"ref_dirs": np.eye(2)}) == Pymoo("NSGA3", {"ref_dirs": ((1, 0), (0, 1))})
