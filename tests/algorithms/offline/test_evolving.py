"""Evolution on predictions: better with every generation, from given designs, without evaluations."""

from __future__ import annotations

import torch
from torch import Tensor

from blackbox.algorithm import Spec
from blackbox.algorithms import GA, NSGA2
from blackbox.algorithms.offline._evolving import evolve
from blackbox.metrics import hypervolume
from blackbox.space import Space

SPEC = Spec(Space.box([0.0] * 4, [1.0] * 4), 2)


def bowls(x: Tensor) -> Tensor:
    return torch.stack([(x - 0.2).square().sum(1), (x - 0.8).square().sum(1)], 1)


def first(n: int) -> Tensor:
    return torch.rand((n, 4), generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_populations_on_the_way_get_better_and_stay_inside() -> None:
    seen = []

    def predict(x: Tensor) -> Tensor:
        seen.append(len(x))
        return bowls(x).float()

    stops, met = evolve(
        SPEC, NSGA2(population_size=32), first(20), 40, predict, torch.Generator().manual_seed(0), (4, 2, 1)
    )
    assert seen == [20] + 40 * [32]
    assert [len(each.values) for each in met] == seen
    worth = [hypervolume(bowls(x), [1.0, 1.0]) for x in (first(20), *stops)]
    assert len(worth) == 4
    assert min(worth[1:]) > 1.2 * worth[0]
    for x in stops:
        SPEC.space.check(x)
        assert x.shape == (32, 4)


def test_one_objective_and_a_generator_decide_what_comes_out() -> None:
    spec = Spec(SPEC.space, 1)

    def run(seed: int) -> Tensor:
        predict = lambda x: bowls(x)[:, :1]  # noqa: E731
        return evolve(spec, GA(population_size=16), first(16), 20, predict, torch.Generator().manual_seed(seed))[0][-1]

    assert torch.equal(run(0), run(0))
    assert not torch.equal(run(0), run(1))
    assert float(bowls(run(0))[:, 0].min()) < 0.2 * float(bowls(first(16))[:, 0].min())
