"""No offline algorithm can reach the oracle: it is never called, and nothing an optimizer holds leads to it."""

from __future__ import annotations

import gc
import types
from typing import Any

import pytest
import torch
from torch import Tensor

import blackbox as bb
import blackbox.algorithms
from blackbox.algorithm import Algorithm
from blackbox.algorithms import ROOT, BestOfData, ParetoFlow, SurrogateAscent, SurrogateEvolution
from blackbox.algorithms.offline import Guidance
from blackbox.problems import OfflineProblem, OfflineSet
from blackbox.space import Space
from blackbox.surrogates.bridge import BridgeSettings
from blackbox.surrogates.ensemble import EnsembleSettings
from blackbox.surrogates.flow import FlowSettings

TINY = EnsembleSettings(hidden=(8,), epochs=2)
# One line an offline algorithm, with small settings.
CASES: list[Algorithm[Any]] = [
    BestOfData(),
    SurrogateAscent(ensemble=TINY, steps=2),
    SurrogateEvolution(ensemble=TINY, generations=2),
    ROOT(batch_size=8, epochs=2, bridge=BridgeSettings(width=8, depth=1)),
    ParetoFlow(
        designs=8,
        predictors=TINY,
        flow=FlowSettings(hidden=(8,), epochs=2),
        guidance=Guidance(streams=8, warm_steps=2, guided_steps=2, rounds=2),
        refinement=2,
    ),
]


class Guarded(OfflineProblem):
    """A problem whose oracle may not be called; its data came from elsewhere."""

    def __init__(self, m: int) -> None:
        super().__init__(Space.box([0.0] * 3, [1.0] * 3), objectives=m)
        x = torch.rand((60, 3), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        self.rows = x, torch.stack([(x - 0.2 * j).square().sum(1) for j in range(m)], 1)

    def _load(self) -> tuple[Tensor, Tensor]:
        return self.rows

    def evaluate(self, x: Tensor) -> Tensor:
        raise AssertionError("the oracle was called")


def used(algorithm: Algorithm[Any], problem: OfflineProblem) -> bb.Optimizer:
    """Return an optimizer that was told, asked, told back and asked again."""
    optimizer = bb.Optimizer(problem, algorithm, seed=0)
    x, values = problem.dataset
    optimizer.tell(problem.space.batch(x), values)
    batch = optimizer.ask(4)
    optimizer.tell(batch, torch.ones((len(batch), len(problem.objectives))))
    optimizer.ask(2)
    optimizer.result()
    return optimizer


def reachable(root: object) -> list[object]:
    """Return every object that can be reached from `root` without passing through a class or a module."""
    seen: dict[int, object] = {}
    queue = [root]
    while queue:
        found = queue.pop()
        # Classes and modules lead to the whole program; a function's globals do, too.
        if id(found) in seen or isinstance(found, (type, types.ModuleType, types.FrameType)):
            continue
        seen[id(found)] = found
        if isinstance(found, types.FunctionType):
            queue.extend(cell for cell in found.__closure__ or ())
            continue
        queue.extend(gc.get_referents(found))
    return list(seen.values())


@pytest.mark.parametrize("algorithm", CASES, ids=lambda a: type(a).__name__)
def test_the_oracle_is_never_called(algorithm: Algorithm[Any]) -> None:
    used(algorithm, Guarded(algorithm.capabilities.objectives[0]))


@pytest.mark.parametrize("algorithm", CASES, ids=lambda a: type(a).__name__)
def test_nothing_leads_from_an_optimizer_to_the_oracle(algorithm: Algorithm[Any]) -> None:
    problem = Guarded(algorithm.capabilities.objectives[0])
    optimizer = used(algorithm, problem)
    found = reachable(optimizer)
    assert any(each is optimizer._kernel for each in found)
    assert not any(each is problem or each is problem.__dict__ for each in found)
    assert not any(isinstance(each, types.MethodType) and each.__self__ is problem for each in found)


def test_the_walk_would_find_an_oracle() -> None:
    problem = Guarded(1)
    optimizer = used(BestOfData(), problem)
    optimizer._queue_context = {"hidden": [lambda: problem]}  # type: ignore[dict-item]
    assert any(each is problem for each in reachable(optimizer))


def test_a_set_does_not_reach_its_problem_through_the_space() -> None:
    problem = OfflineSet("ZDT1", size=50)
    found = reachable(used(BestOfData(), problem))
    assert not any(each is problem or each is problem.oracle for each in found)


def test_every_offline_algorithm_is_in_the_table() -> None:
    kinds = (getattr(blackbox.algorithms, name) for name in blackbox.algorithms.__all__)
    offline = {kind.__name__ for kind in kinds if _needs_data(kind)}
    assert offline == {type(algorithm).__name__ for algorithm in CASES}


def _needs_data(kind: Any) -> bool:
    try:
        return bool(kind().capabilities.needs_data)
    except (TypeError, ValueError, ImportError):
        return False
