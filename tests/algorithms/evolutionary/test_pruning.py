"""Pruning equals removing a row and computing all distances anew, row by row."""

from __future__ import annotations

import pytest
import torch

from blackbox import Optimizer, Space
from blackbox.algorithms import NSGA2
from blackbox.algorithms.evolutionary.crowding import crowding_distance
from blackbox.algorithms.evolutionary.pruning import prune
from blackbox.algorithms.evolutionary.ranking import ranks
from blackbox.algorithms.evolutionary.survival import survive_nsga2
from blackbox.errors import SettingError
from blackbox.metrics import igd
from blackbox.problems import DTLZ2


def oracle(f: torch.Tensor, n_kept: int, lots: torch.Tensor) -> list[int]:
    left = list(range(len(f)))
    while len(left) > n_kept:
        distance = crowding_distance(f[left]).tolist()
        row = min(range(len(left)), key=lambda i: (round(distance[i], 12), float(lots[left[i]])))
        left.pop(row)
    return left


@pytest.mark.parametrize("m", [1, 2, 3, 5])
@pytest.mark.parametrize("kind", ["random", "ties", "constant", "infinite", "equal"])
def test_equals_removal_one_by_one(m: int, kind: str) -> None:
    generator = torch.Generator().manual_seed(m)
    for n, n_kept in ((1, 1), (2, 1), (9, 0), (30, 11), (30, 3)):
        f = torch.rand(n, m, generator=generator, dtype=torch.float64)
        if kind == "ties":
            f = (4 * f).round()
        elif kind == "constant":
            f[:, 0] = 7.0
        elif kind == "infinite":
            f[0, 0], f[-1, -1] = torch.inf, -torch.inf
        elif kind == "equal":
            f[:] = f[0].clone()
        lots = torch.rand(n, generator=generator, dtype=torch.float64)
        assert prune(f, n_kept, lots).tolist() == oracle(f, n_kept, lots)


def test_survival_prunes_the_last_front_of_every_run() -> None:
    generator = torch.Generator().manual_seed(0)
    f = torch.rand(3, 40, 2, generator=generator, dtype=torch.float64)
    f[1, :7] = torch.nan
    violation = (torch.rand(3, 40, generator=generator, dtype=torch.float64) - 0.7).clamp(min=0)
    uniforms = torch.rand(3, 40, generator=generator, dtype=torch.float64)
    for total in (None, violation):
        rows, rank, crowding = survive_nsga2(f, 17, violation=total, uniforms=uniforms, pruning=True)
        for run in range(3):
            own = None if total is None else total[run]
            front = ranks(f[run], violation=own)
            assert len(set(rows[run].tolist())) == 17
            assert torch.equal(front[rows[run]], rank[run])
            assert rank[run].tolist() == front.sort().values[:17].tolist()
            assert torch.equal(crowding[run], crowding_distance(f[run][rows[run]], rank[run]))
            alone = survive_nsga2(f[run], 17, violation=own, uniforms=uniforms[run], pruning=True)
            assert torch.equal(alone[0], rows[run])


def test_a_pruned_front_is_more_even() -> None:
    problem, distance = DTLZ2(7, 2), {}
    for pruning in (False, True):
        optimizer = Optimizer(problem, NSGA2(30, pruning=pruning), seed=1)
        for _ in range(60):
            batch = optimizer.ask()
            optimizer.tell(batch, problem(batch.x))
        distance[pruning] = float(igd(optimizer.result().values, problem.pareto_front(500)))
    assert distance[True] < 0.9 * distance[False]


def test_settings() -> None:
    with pytest.raises(SettingError, match="pruning: expected True or False, got 1"):
        NSGA2(pruning=1)  # type: ignore[arg-type]
    optimizer = Optimizer(Space.box([0.0], [1.0]), NSGA2(2, pruning=True), objectives=2, seed=0)
    for _ in range(4):
        batch = optimizer.ask()
        optimizer.tell(batch, torch.cat([batch.x, 1 - batch.x], dim=1))
    assert len(optimizer.result()) == 2
