"""Bad data, as users have them, told to every offline algorithm: a clear error, or distinct designs in the bounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import blackbox as bb
from blackbox.algorithm import Algorithm
from blackbox.algorithms import ROOT, BestOfData, ParetoFlow, SurrogateAscent, SurrogateEvolution
from blackbox.algorithms.offline import Guidance, Synthetic, Walks
from blackbox.errors import ExhaustedError, NotReadyError, SettingError, SpaceError
from blackbox.parameters import Categorical, Integer, Real
from blackbox.space import Space
from blackbox.surrogates.bridge import BridgeSampling, BridgeSettings
from blackbox.surrogates.ensemble import EnsembleSettings
from blackbox.surrogates.flow import FlowSettings

TINY = EnsembleSettings(hidden=(8,), epochs=2)
SINGLE: list[Algorithm[Any]] = [
    BestOfData(),
    SurrogateAscent(ensemble=TINY, steps=2),
    SurrogateEvolution(ensemble=TINY, generations=2, population_size=16),
    ROOT(
        epochs=1,
        synthetic=Synthetic(per_epoch=2),
        walks=Walks(starts=16, steps=3),
        bridge=BridgeSettings(width=8, depth=1),
        sampling=BridgeSampling(steps=5),
    ),
]
SEVERAL: list[Algorithm[Any]] = [
    BestOfData(),
    SINGLE[2],
    ParetoFlow(
        predictors=TINY,
        flow=FlowSettings(hidden=(8,), epochs=2),
        guidance=Guidance(streams=10, warm_steps=2, guided_steps=2, rounds=2),
        refinement=2,
    ),
]
CASES = [(a, 1) for a in SINGLE] + [(a, 2) for a in SEVERAL]
SPACES = {
    "real": Space.box([0.0] * 3, [1.0] * 3),
    "one column": Space.box([0.0], [1.0]),
    "sequence": Space({f"p{k}": Categorical(list("ACGT")) for k in range(4)}),
    "mixed": Space({"k": Categorical(list("abc")), "n": Integer(1, 9), "r": Real(1, 2, when={"k": "a"})}),
}
each = pytest.mark.parametrize(
    ("algorithm", "m"), CASES, ids=lambda v: type(v).__name__ if v != 1 and v != 2 else str(v)
)
anywhere = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)


def uniform(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def bowls(space: Space, x: Tensor, m: int) -> Tensor:
    return torch.stack([(space.to_unit(x) - 0.2 - 0.6 * j).square().sum(1) for j in range(m)], 1)


def told(algorithm: Algorithm[Any], m: int, space: Space, x: Tensor, values: Tensor) -> tuple[bb.Optimizer, int]:
    optimizer = bb.Optimizer(space, algorithm, objectives=m, seed=0)
    return optimizer, optimizer.tell(space.batch(x), values).n_failed


def assert_sound(optimizer: bb.Optimizer, most: int = 8) -> None:
    batch = optimizer.ask(most)
    optimizer.space.check(batch.x)
    assert 1 <= len(batch) <= most
    assert len(torch.unique(batch.x.nan_to_num(-1.0), dim=0)) == len(batch)
    predicted = batch.context.get("predicted")
    assert predicted is None or bool(torch.isfinite(predicted).all())


@each
def test_ask_before_data_says_what_to_do(algorithm: Algorithm[Any], m: int) -> None:
    optimizer = bb.Optimizer(SPACES["real"], algorithm, objectives=m, seed=0)
    with pytest.raises(NotReadyError, match=r"optimizer\.tell\(space\.batch\(x\), values\)"):
        optimizer.ask()


@each
@anywhere
def test_failed_and_repeated_rows(algorithm: Algorithm[Any], m: int, space: Space) -> None:
    x = space.from_unit(uniform(30, space.dim)).repeat(2, 1)
    values = bowls(space, x, m) + 0.01 * uniform(60, m)
    values[0, 0], values[1, -1], values[2] = math.nan, math.inf, -math.inf
    optimizer, failed = told(algorithm, m, space, x, values)
    assert failed == 3
    assert_sound(optimizer)


@each
@anywhere
@pytest.mark.parametrize("change", [lambda v: v * 1e300, lambda v: v * 1e-300, lambda v: 1e6 + v, lambda v: -v])
def test_values_of_any_size(
    algorithm: Algorithm[Any], m: int, space: Space, change: Callable[[Tensor], Tensor]
) -> None:
    x = space.from_unit(uniform(30, space.dim))
    assert_sound(told(algorithm, m, space, x, change(bowls(space, x, m)))[0])


@each
@anywhere
def test_constant_values_and_constant_points(algorithm: Algorithm[Any], m: int, space: Space) -> None:
    x = space.from_unit(uniform(30, space.dim))
    optimizer, _ = told(algorithm, m, space, x, torch.full((30, m), 3.0))
    if isinstance(algorithm, BestOfData):
        assert_sound(optimizer)
    else:
        with pytest.raises(NotReadyError, match=r"the same value|distinct points"):
            optimizer.ask()
    optimizer, _ = told(algorithm, m, space, x[:1].repeat(30, 1), uniform(30, m))
    if isinstance(algorithm, BestOfData):
        assert len(optimizer.ask()) == 1
    else:
        with pytest.raises(NotReadyError, match=r"distinct points with values, got 1 \(29 repeated rows were merged\)"):
            optimizer.ask()
    if m == 2:  # one of two is constant
        values = bowls(space, x, m)
        values[:, 0] = 3.0
        distinct = len(torch.unique(x.nan_to_num(-1.0), dim=0))
        if distinct >= 8:
            assert_sound(told(algorithm, m, space, x, values)[0])


@each
@pytest.mark.parametrize("n", [1, 2, 7])
def test_too_few_rows(algorithm: Algorithm[Any], m: int, n: int) -> None:
    space = SPACES["real"]
    x = uniform(n, 3)
    optimizer, _ = told(algorithm, m, space, x, bowls(space, x, m))
    needed = 8 if isinstance(algorithm, ParetoFlow) else 1 if isinstance(algorithm, BestOfData) else 2
    if n >= needed:
        assert_sound(optimizer)
    else:
        with pytest.raises(NotReadyError, match=f"at least {needed} distinct points with values, got {n}"):
            optimizer.ask()


@each
def test_rows_without_any_value_and_points_outside(algorithm: Algorithm[Any], m: int) -> None:
    space = SPACES["real"]
    optimizer, failed = told(algorithm, m, space, uniform(9, 3), torch.full((9, m), math.nan))
    assert failed == 9
    with pytest.raises(NotReadyError, match="9 rows without a finite value were dropped"):
        optimizer.ask()
    for wrong in (7.0, math.nan, math.inf):
        x = uniform(9, 3)
        x[4, 1] = wrong
        with pytest.raises(SpaceError, match=r"x1: expected a value in \[0, 1\].*row 4"):
            told(algorithm, m, space, x, uniform(9, m))


@each
def test_a_space_in_which_nothing_varies(algorithm: Algorithm[Any], m: int) -> None:
    space = Space.box([0.5, 1.0], [0.5, 1.0])
    optimizer, _ = told(algorithm, m, space, torch.tensor([[0.5, 1.0]] * 9), uniform(9, m))
    with pytest.raises(ExhaustedError, match="every variable is fixed"):
        optimizer.ask()
    assert optimizer.result().x.tolist()[0] == [0.5, 1.0]


@pytest.mark.parametrize("kind", [SurrogateAscent, SurrogateEvolution])
def test_wrong_settings_are_named(kind: type[Any]) -> None:
    with pytest.raises(SettingError, match="ensemble: expected EnsembleSettings or None, got 3"):
        kind(ensemble=3)
