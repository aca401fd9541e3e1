"""Data that nobody wishes for, under every strategy: candidates stay sound, and no arithmetic fails."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

import blackbox as bb
from blackbox.algorithms import BayesianOptimization, RandomEmbedding, TuRBO

FIDELITY: dict[str, Any] = {"s": bb.Real(0, 1, fidelity=True)}
RANDOM: dict[str, Any] = {"w": bb.Real(0, 1, environment="uniform")}
TASK: dict[str, Any] = {"t": bb.Categorical(["new", "old"], task="new")}
STRATEGIES: dict[str, tuple[Any, int, dict[str, Any]]] = {
    "plain": (BayesianOptimization(start=4), 1, {}),
    "sparse": (BayesianOptimization(start=4, sparse=True), 1, {}),
    "joint": (BayesianOptimization(start=4, batch="joint"), 1, {}),
    "two objectives": (BayesianOptimization(start=4), 2, {}),
    "five objectives": (BayesianOptimization(start=4), 5, {}),
    "fidelity": (BayesianOptimization(start=4), 1, FIDELITY),
    "fidelity entropy": (BayesianOptimization(start=4, acquisition="mes"), 1, FIDELITY),
    "environment": (BayesianOptimization(start=4, risk="cvar"), 1, RANDOM),
    "earlier task": (BayesianOptimization(start=4), 1, TASK),
    "gradients": (BayesianOptimization(start=4), 1, {}),
    "trust region": (TuRBO(start=4), 1, {}),
    "embedding": (RandomEmbedding(dim=2, start=4), 1, {}),
}
VALUES: dict[str, Any] = {
    "constant": lambda v: torch.full_like(v, 3.0),
    "outlier": lambda v: torch.where(torch.arange(len(v)) == 0, 1e12, v),
    "tiny": lambda v: v * 1e-300,
    "huge": lambda v: v * 1e300,
    "failed": lambda v: v * float("nan"),
    "infinite": lambda v: torch.where(torch.arange(len(v)) == 0, float("inf"), v),
    "infeasible": lambda v: v,
    "repeats": lambda v: v + torch.arange(len(v)),
}


def fallbacks(optimizer: bb.Optimizer) -> int:
    state: Any = optimizer._kernel
    return int((state.inner if hasattr(state, "inner") else state).fallbacks)


@pytest.mark.parametrize("values", list(VALUES))
@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_candidates_stay_sound(strategy: str, values: str) -> None:
    algorithm, m, more = STRATEGIES[strategy]
    space = bb.Space({"x": bb.Real(0, 1), "y": bb.Real(1e-3, 1, log=True), **more})
    constraints = int(values == "infeasible")
    optimizer = bb.Optimizer(space, algorithm, objectives=m, n_constraints=constraints, seed=0)

    def tell(batch: Any) -> None:
        value = VALUES[values]((batch.x[:, :2] - 0.3).square().sum(1))
        extras = {"gradient": 2.0 * (batch.x - 0.3)} if strategy == "gradients" else None
        violations = torch.ones(len(batch), 1) if constraints else None
        optimizer.tell(batch, torch.stack([value] * m, 1), violations=violations, extras=extras)

    if strategy == "earlier task":
        tell(space.batch([{"x": 0.1 * i, "y": 1.0 - 0.1 * i, "t": "old"} for i in range(6)]))
    if values == "repeats":
        point = space.from_unit(torch.full((3, space.dim), 0.4, dtype=torch.float64))
        tell(space.batch(point))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            batch = optimizer.ask(4)
            space.check(batch.x)
            tell(batch)
        assert len(torch.unique(optimizer.ask(2).x, dim=0)) == 2
        optimizer.result()
    assert fallbacks(optimizer) == 0


@pytest.mark.parametrize("strategy", ["plain", "two objectives", "fidelity", "earlier task"])
def test_many_levels_conditions_and_ten_pending_batches(strategy: str) -> None:
    algorithm, m, more = STRATEGIES[strategy]
    space = bb.Space(
        {
            "level": bb.Categorical([f"l{i}" for i in range(1000)]),
            "kind": bb.Categorical(["p", "q"]),
            "x": bb.Real(0, 1, when={"kind": "p"}),
            "k": bb.Integer(1, 9, when={"kind": "q"}),
            **more,
        }
    )
    optimizer = bb.Optimizer(space, algorithm, objectives=m, seed=0)
    first = optimizer.ask(6)
    optimizer.tell(first, torch.nan_to_num(first.x)[:, :m].contiguous())
    pending = [optimizer.ask(2) for _ in range(10)]
    for batch in pending:
        space.check(batch.x)
        optimizer.tell(batch, torch.nan_to_num(batch.x)[:, :m].contiguous())
    space.check(optimizer.ask(2).x)
    assert fallbacks(optimizer) == 0


def test_a_start_design_repeats_no_leaf_of_a_tree() -> None:
    chain: dict[str, Any] = {"a0": bb.Categorical(["on", "off"])}
    for i in range(1, 8):
        chain[f"a{i}"] = bb.Categorical(["on", "off"], when={f"a{i - 1}": "on"})
        chain[f"x{i}"] = bb.Real(0, 1, when={f"a{i}": "off"})
    space = bb.Space(chain)
    optimizer = bb.Optimizer(space, BayesianOptimization(), seed=0)
    for _ in range(24):  # half of all even points have a0 = "off", and nothing else to differ in
        batch = optimizer.ask()
        optimizer.tell(batch, [float(len(config)) for config in batch.configs])
    assert len(optimizer.ask(3, fixed={"a0": "off"})) == 3
    assert len(torch.unique(torch.nan_to_num(optimizer._kernel.x, nan=-1.0), dim=0)) == 24
