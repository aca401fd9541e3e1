"""Values that no search should meet: every algorithm goes on, without a warning, and its result is sound."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from blackbox import Optimizer, Space
from blackbox.algorithms import DE, GA, MOEAD, NSGA2, NSGA3, RVEA, HypE
from blackbox.errors import SettingError

N = 5
ALGORITHMS = {
    "NSGA2": NSGA2(N),
    "pruning": NSGA2(N, pruning=True),
    "NSGA3": NSGA3(N),
    "more references than members": NSGA3(N, divisions=9),
    "MOEAD": MOEAD(N),
    "Tchebycheff": MOEAD(N, aggregation="tchebycheff", max_replace=None),
    "HypE": HypE(N, samples=50),
    "RVEA": RVEA(N),
    "GA": GA(N),
    "DE": DE(N),
    "steady NSGA3": NSGA3(N, steady_state=True),
    "steady MOEAD": MOEAD(N, steady_state=True),
}
HUGE = 1.7e308


def plain(x: Tensor, m: int) -> Tensor:
    return (x.mean(1, keepdim=True) - torch.linspace(0.1, 0.9, m, dtype=x.dtype)) ** 2 + 0.1 * x[:, :1]


def some(x: Tensor, m: int, bad: float) -> Tensor:
    marked = (x[:, 1:2] * torch.arange(3.0, 3.0 + m, dtype=x.dtype)) % 1 < 0.4
    return torch.where(marked, bad, plain(x, m))


SCENES: dict[str, Callable[[Tensor, int], Tensor]] = {
    "NaN": lambda x, m: some(x, m, torch.nan),
    "nothing but NaN": lambda x, m: torch.full((len(x), m), torch.nan, dtype=x.dtype),
    "one that is not NaN": lambda x, m: torch.where(torch.arange(len(x))[:, None] == 1, plain(x, m), torch.nan),
    "infinite": lambda x, m: some(x, m, torch.inf),
    "minus infinite": lambda x, m: some(x, m, -torch.inf),
    "huge": lambda x, m: some(x, m, HUGE),
    "huge both ways": lambda x, m: some(-HUGE * x[:, :1].expand(-1, 3), m, HUGE),
    "tiny": lambda x, m: 1e-318 * plain(x, m),
    "constant": lambda x, m: torch.full((len(x), m), 3.0, dtype=x.dtype),
    "zero": lambda x, m: torch.zeros((len(x), m), dtype=x.dtype),
    "one constant": lambda x, m: torch.cat([torch.full_like(x[:, :1], 1e6), plain(x, m)[:, 1:]], dim=1),
    "duplicates": lambda x, m: (2 * plain(x, m)).round(),
    "a line": lambda x, m: plain(x, 1).expand(-1, m).clone(),
    "far off": lambda x, m: plain(x, m) + 1e15,
    "of many sizes": lambda x, m: plain(x, m) * torch.logspace(-200, 200, m, dtype=x.dtype),
}


def cases() -> list[Any]:
    found = []
    for name, algorithm in ALGORITHMS.items():
        for m in (1,) if isinstance(algorithm, (GA, DE)) else (1, 3, 4):
            found.append(pytest.param(algorithm, m, id=f"{name}-{m}"))
    return found


def search(algorithm: Any, m: int, scene: Callable[[Tensor, int], Tensor], violation: Any = None) -> tuple[Any, Tensor]:
    told, k = [], 0 if violation is None else 2
    optimizer = Optimizer(Space.box([0.0] * 3, [1.0] * 3), algorithm, objectives=m, n_constraints=k, seed=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            batch = optimizer.ask(N if algorithm.steady_state else None)
            values = scene(batch.x, m)
            optimizer.tell(batch, values, violations=None if violation is None else violation(batch.x))
            told.append(values)
        optimizer.result()
    return optimizer, torch.cat(told)


@pytest.mark.parametrize(("algorithm", "m"), cases())
def test_values(algorithm: Any, m: int) -> None:
    for name, scene in SCENES.items():
        optimizer, told = search(algorithm, m, scene)
        usable, result = told[told.isfinite().all(1)], optimizer.result()
        assert (len(result) > 0) == (len(usable) > 0), name
        assert torch.isfinite(result.values).all(), name
        assert len(optimizer._kernel.values) == N, name
        for row in result.values:  # nothing in the result beats another
            assert not ((result.values <= row).all(1) & (result.values < row).any(1)).any(), name
        if m == 1 and len(usable):
            assert float(result.values.min()) == float(usable.min()), name


@pytest.mark.parametrize(("algorithm", "m"), cases())
def test_constraints(algorithm: Any, m: int) -> None:
    def infeasible(x: Tensor) -> Tensor:
        return 0.1 + x[:, :2]

    scenes: list[tuple[Callable[[Tensor], Tensor], bool]] = [
        (infeasible, False),
        (lambda x: torch.ones_like(x[:, :2]), False),
        (lambda x: torch.where(x[:, :2] < 0.4, torch.nan, x[:, :2]), False),
        (lambda x: torch.where(x[:, :2] < 0.4, torch.inf, torch.full_like(x[:, :2], 1e308)), False),
        (lambda x: torch.where(x[:, :1] < 0.4, torch.nan, -x[:, :1]).expand(-1, 2), True),
    ]
    for violation, feasible in scenes:
        optimizer, _ = search(algorithm, m, plain, violation)
        assert (len(optimizer.result()) > 0) == feasible
        assert optimizer._kernel.values.shape == (N, m)


@pytest.mark.parametrize("kind", [NSGA2, NSGA3, MOEAD, HypE, RVEA, GA, DE])
def test_a_population_that_cannot_fit_is_refused_with_an_estimate(kind: Any) -> None:
    with pytest.raises(SettingError, match=r"population_size: 100000000000 members .* need about .* GB, and cpu has"):
        Optimizer(Space.box([0.0] * 12, [1.0] * 12), kind(10**11), objectives=1 if kind in (GA, DE) else 3, seed=0)
