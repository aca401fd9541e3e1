"""EvoX's algorithms as ours: equal to EvoX's own workflow, saved at every evaluation, its randomness kept inside."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from blackbox import Optimizer, Space
from blackbox.algorithms import EvoX
from blackbox.errors import CapabilityError, ExhaustedError, MissingDependencyError, SettingError, StateError
from blackbox.problems import ZDT1

LOWER, UPPER = [-1.0, 0.0, 2.0], [2.0, 1.0, 5.0]
BOX = Space.box(LOWER, UPPER)
SEVERAL = ("NSGA2", "MOEAD", "HypE", "RVEAa")
SETTINGS: dict[str, dict[str, Any]] = {
    "PSO": {"pop_size": 10},
    "DE": {"pop_size": 10},
    "SaDE": {"pop_size": 10},
    "ODE": {"pop_size": 10},
    "SNES": {"pop_size": 10},
    "OpenES": {"pop_size": 10, "learning_rate": 0.05, "noise_stdev": 0.1, "center_init": [0.0, 0.5, 3.0]},
    "CLPSO": {"pop_size": 10},
    "NSGA2": {"pop_size": 12},
    "MOEAD": {"pop_size": 20},
    "HypE": {"pop_size": 12},
    "RVEAa": {"pop_size": 12, "max_gen": 20},
}


def make(name: str, seed: int = 1, **options: Any) -> Optimizer:
    options.setdefault("objectives", 2 if name in SEVERAL else 1)
    return Optimizer(options.pop("space", BOX), EvoX(name, SETTINGS[name]), seed=seed, **options)


def values_of(x: Tensor, m: int) -> Tensor:
    values = torch.stack([((x - j) ** 2).sum(1) for j in range(m)], 1)
    return values[:, 0] if m == 1 else values


def advance(optimizer: Optimizer, evaluations: int) -> Tensor:
    points, until = [], optimizer.n_evaluations + evaluations
    while optimizer.n_evaluations < until:
        batch = optimizer.ask()
        optimizer.tell(batch, values_of(batch.x.float(), len(optimizer.objectives)))
        points.append(batch.x)
    return torch.cat(points)


@pytest.mark.parametrize("name", [name for name in SETTINGS if name != "SaDE"])  # which has a generator of its own
def test_it_does_what_evoxs_own_workflow_does(name: str) -> None:
    from evox import algorithms
    from evox.core import Problem
    from evox.workflows import StdWorkflow

    class Recording(Problem):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[Tensor] = []

        def evaluate(self, pop: Tensor) -> Tensor:
            inside = torch.minimum(torch.maximum(pop, torch.tensor(LOWER)), torch.tensor(UPPER))
            self.seen.append(inside.clone())
            return values_of(inside, 2 if name in SEVERAL else 1)

    ours = make(name)
    options = {k: torch.tensor(v) if isinstance(v, list) else v for k, v in SETTINGS[name].items()}
    if name == "SNES":
        options["center_init"] = torch.tensor([0.5, 0.5, 3.5])
    elif name != "OpenES":
        options |= {"lb": torch.tensor(LOWER), "ub": torch.tensor(UPPER)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(ours._kernel.seed)
        problem = Recording()
        algorithm = getattr(algorithms, name)(**options, **({"n_objs": 2} if name in SEVERAL else {}))
        workflow = StdWorkflow(algorithm, problem)
        workflow.init_step()
        for _ in range(3):
            workflow.step()
    theirs = torch.cat(problem.seen)
    assert torch.equal(advance(ours, len(theirs))[: len(theirs)].float(), theirs)


@pytest.mark.parametrize("name", SETTINGS)
def test_it_resumes_equally_and_keeps_its_randomness(name: str, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    straight = make(name)
    advance(straight, 33)
    assert torch.equal(torch.get_rng_state(), before), "torch's global generator was used"
    batch = straight.ask()
    straight.tell(batch[: len(batch) // 2], values_of(batch.x[: len(batch) // 2], len(straight.objectives)))
    straight.save(tmp_path / "run.bb")
    resumed = Optimizer.load(tmp_path / "run.bb")
    torch.manual_seed(99)  # must not be read
    found = []
    for optimizer in (straight, resumed):
        optimizer.tell(optimizer.pending, values_of(optimizer.pending.x, len(optimizer.objectives)))
        found.append(advance(optimizer, 30))
        BOX.check(found[-1])
    assert torch.equal(*found), "a resumed run differs"
    assert not torch.equal(advance(make(name, seed=2), 33), advance(make(name), 33))


def test_the_global_generator_is_put_back_when_evox_fails() -> None:
    optimizer = make("PSO")

    def fail() -> None:
        torch.rand(3)
        raise RuntimeError("in the middle")

    optimizer._kernel.engine._module.init_step = fail
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="in the middle"):
        optimizer.ask()
    assert torch.equal(torch.get_rng_state(), before)
    del optimizer._kernel.engine._module.init_step
    assert torch.equal(optimizer.ask().x, make("PSO").ask().x)


def test_a_step_of_many_evaluations_is_saved_within(tmp_path: Path) -> None:
    optimizer = make("MOEAD")
    advance(optimizer, 26)  # the first generation, and some members of the second, one at a time
    assert len(optimizer.ask()) == 1
    assert len(optimizer._kernel.replies) >= 5
    optimizer.save(tmp_path / "run.bb")
    resumed = Optimizer.load(tmp_path / "run.bb")
    assert torch.equal(optimizer.pending.x, resumed.pending.x)


def test_failed_and_abandoned_rows_are_told_as_the_worst() -> None:
    optimizer = make("DE")
    batch = optimizer.ask()
    values = values_of(batch.x, 1)
    values[0] = torch.nan
    optimizer.abandon(batch[[1]])
    rows = [0, *range(2, len(batch))]
    optimizer.tell(batch[rows], values[rows])
    optimizer.result()
    optimizer._deliver()
    (told,) = optimizer._kernel.replies
    best, worst = float(values[2:].min()), float(values[2:].max())
    assert told[:2, 0].tolist() == pytest.approx([2 * worst - best] * 2)
    assert torch.equal(told[2:, 0], values[2:])


def test_nothing_usable_yet_means_another_start() -> None:
    optimizer = make("PSO")
    first = optimizer.ask()
    optimizer.tell(first, None, failed=torch.ones(len(first), dtype=torch.bool))
    second = optimizer.ask()
    assert not torch.equal(first.x, second.x)
    optimizer.abandon(second)
    third = optimizer.ask()
    assert not torch.equal(second.x, third.x)
    assert list(third.ids) == list(range(20, 30))


def test_rows_without_a_point_are_not_handed_out() -> None:
    optimizer = make("RVEAa")
    optimizer._kernel.numbers["pop"][:4] = torch.nan  # what truncation leaves
    batch = optimizer.ask()
    assert len(batch) == 8
    optimizer.tell(batch, values_of(batch.x, 2))
    optimizer.ask()
    assert torch.isfinite(optimizer._kernel.numbers["fit"]).all(1).tolist() == [False] * 4 + [True] * 8


def test_it_optimizes() -> None:
    problem = ZDT1(dim=5)
    optimizer = Optimizer(problem, EvoX("NSGA2", {"pop_size": 40}), seed=0)
    for _ in range(60):
        batch = optimizer.ask()
        optimizer.tell(batch, problem(batch.x))
    distance = torch.cdist(problem.pareto_front(200), optimizer.result().values).min(1).values.mean()
    assert float(distance) < 0.05
    single = make("PSO")
    advance(single, 600)
    assert float(single.result().values) == pytest.approx(4.0, abs=0.05)


def test_what_leaves_the_range_of_numbers_is_exhausted() -> None:
    optimizer = make("OpenES")
    optimizer._kernel.numbers["center"].fill_(torch.nan)
    with pytest.raises(ExhaustedError, match="OpenES has no finite point left"):
        optimizer.ask()


def test_settings_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingError, match=r"name: expected one of .*'PSO'.* got 'os'"):
        Optimizer(BOX, EvoX("os"))
    with pytest.raises(SettingError, match="got 'VirtualES'"):
        Optimizer(BOX, EvoX("VirtualES"))
    with pytest.raises(SettingError, match=r"OpenES needs \['learning_rate', 'noise_stdev'\]"):
        Optimizer(BOX, EvoX("OpenES"))
    with pytest.raises(SettingError, match="PSO takes no 'size'"):
        Optimizer(BOX, EvoX("PSO", {"size": 3}))
    with pytest.raises(SettingError, match="'lb' comes from the problem"):
        Optimizer(BOX, EvoX("PSO", {"lb": [0.0]}))
    with pytest.raises(SettingError, match="DE refuses"):
        Optimizer(BOX, EvoX("DE", {"base_vector": "worst"}))
    with pytest.raises(CapabilityError, match="constraints"):
        make("PSO", n_constraints=1)
    with pytest.raises(CapabilityError, match="2 objectives"):
        make("PSO", objectives=2)
    for module in [m for m in sys.modules if m.split(".")[0] == "evox"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "evox", None)
    with pytest.raises(MissingDependencyError, match=r"blackbox-toolkit\[evox\]"):
        Optimizer(BOX, EvoX("PSO"))


def test_another_default_precision_is_refused_on_resuming() -> None:
    optimizer = make("PSO")
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(StateError, match=r"set_default_dtype\(torch.float32\)"):
            optimizer.ask()
        wide = make("PSO")
        advance(wide, 20)
        assert wide._kernel.numbers["pop"].dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert len(optimizer.ask()) == 10
