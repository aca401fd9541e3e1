"""The quadratic model of the best evaluations, alone and inside a search."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import blackbox as bb
from blackbox.algorithms.bayesian.algorithm import BayesianOptimization
from blackbox.algorithms.bayesian.quadratic import FIRST, REASON, quadratic_minimum
from blackbox.surrogates.kernels import Array

CENTRE = np.array([0.3, 0.62, 0.45])


def ellipsoid(u: Array, turn: Array | None = None) -> Array:
    steps = u - CENTRE
    if turn is not None:
        steps = steps @ turn
    return np.asarray((10.0 ** np.array([0.0, 3.0, 6.0]) * steps**2).sum(1))


@pytest.mark.parametrize("seed", range(3))
def test_finds_the_minimum_of_a_turned_valley(seed: int) -> None:
    random = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(random.standard_normal((3, 3)))
    u = random.random((18, 3))
    found = quadratic_minimum(u, ellipsoid(u, turn))
    assert found is not None
    assert np.allclose(found, CENTRE, atol=1e-5)


def test_needs_fewer_rows_where_columns_are_apart() -> None:
    u = np.random.default_rng(0).random((9, 3))
    found = quadratic_minimum(u, ellipsoid(u))
    assert found is not None
    assert np.allclose(found, CENTRE, atol=1e-5)
    assert quadratic_minimum(u[:8], ellipsoid(u[:8])) is None


@pytest.mark.parametrize("seed", range(5))
def test_promises_nothing_of_noise(seed: int) -> None:
    random = np.random.default_rng(seed)
    u = random.random((30, 3))
    y = 10.0 * random.standard_normal(30)
    found = quadratic_minimum(u, y)
    assert found is None or ((found >= 0.0) & (found <= 1.0)).all()
    assert quadratic_minimum(u, np.full(30, 3.0)) is None
    assert quadratic_minimum(np.repeat(u[:1], 30, axis=0), y) is None


def test_stays_in_the_box_where_the_minimum_lies_outside() -> None:
    u = np.random.default_rng(1).random((20, 3))
    found = quadratic_minimum(u, ((u + 0.4) ** 2).sum(1))
    assert found is not None
    assert np.allclose(found, 0.0, atol=1e-9)


def test_tells_of_a_held_column_from_rows_elsewhere() -> None:
    """The valley is bent by the last column: its minimum is at another place, and lower, where that column is 1."""
    random = np.random.default_rng(5)
    u = np.concatenate([random.random((30, 2)), random.choice([0.0, 0.1, 0.3], (30, 1))], axis=1)
    at = np.array([0.3, 0.6]) + np.outer(1.0 - u[:, 2], [0.2, -0.1])
    y = ((u[:, :2] - at) ** 2 @ np.array([1.0, 50.0])) - u[:, 2]
    held = np.array([np.nan, np.nan, 1.0])
    found = quadratic_minimum(u, y, held=held)
    assert found is not None
    assert np.allclose(found, [0.3, 0.6, 1.0], atol=1e-6)


def test_scale_and_offset_do_not_matter() -> None:
    u = np.random.default_rng(2).random((25, 3))
    y = ellipsoid(u) + 40.0 * np.sin(5.0 * u).sum(1)
    first = quadratic_minimum(u, y)
    for factor in (1e-200, 1e200):
        again = quadratic_minimum(u, factor * y)
        assert (first is None) == (again is None)
        if first is not None and again is not None:
            assert np.allclose(first, again, atol=1e-6)


def _search(seed: int, noise: float = 0.0) -> tuple[float, int]:
    optimizer = bb.Optimizer(bb.Space.box([0.0] * 3, [1.0] * 3), BayesianOptimization(), seed=seed)
    generator = torch.Generator().manual_seed(seed)
    quadratics = 0
    for _ in range(30):
        batch = optimizer.ask()
        quadratics += optimizer.state()["kernel"]["reason"] == REASON
        value = ellipsoid(batch.x.numpy())
        optimizer.tell(batch, value + noise * torch.randn(1, generator=generator, dtype=torch.float64).numpy())
    return float(optimizer.result().values[0, 0]), quadratics


def test_a_search_solves_an_ill_conditioned_valley() -> None:
    value, quadratics = _search(0)
    assert value < 1e-12  # about 1e-3 without the quadratic
    assert quadratics > 0


def test_batches_take_it_for_one_of_their_points() -> None:
    optimizer = bb.Optimizer(bb.Space.box([0.0] * 3, [1.0] * 3), BayesianOptimization(), seed=0)
    reasons = set()
    for _ in range(6):
        batch = optimizer.ask(8)
        assert len(torch.unique(batch.x, dim=0)) == 8
        reasons.add(optimizer.state()["kernel"]["reason"])
        optimizer.tell(batch, ellipsoid(batch.x.numpy()))
    assert FIRST in reasons
    assert float(optimizer.result().values[0, 0]) < 1e-6


def test_is_not_used_where_values_are_noisy() -> None:
    batchless = bb.Optimizer(bb.Space.box([0.0] * 3, [1.0] * 3), BayesianOptimization(noise=1e3), seed=0)
    for _ in range(16):
        batch = batchless.ask()
        batchless.tell(batch, ellipsoid(batch.x.numpy()))
        assert batchless.state()["kernel"]["reason"] != REASON
