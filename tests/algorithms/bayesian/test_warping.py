"""Warps weighed by evidence, and what is expected of parameters with levels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import blackbox as bb
from blackbox.algorithms import BayesianOptimization
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.models import Fitting
from blackbox.algorithms.bayesian.single import PRIOR, prior_of
from blackbox.algorithms.bayesian.state import Fitted
from blackbox.algorithms.bayesian.warping import Outcome, model_warped
from blackbox.parameters import Ordinal
from blackbox.surrogates.kernels import Array
from blackbox.surrogates.outcomes import Warp

GRID = bb.Space({name: Ordinal(list(range(10))) for name in "abcd"})


def response(codes: Array) -> Array:
    """Return values that are least at a border, hardly depend on the last column, and far worse elsewhere."""
    first, second, third, last = codes.T
    return np.asarray(np.exp(0.35 * (9.0 - first)) / 9.0 + 0.1 * (second - 2.0) ** 2 + 0.02 * third + 0.01 * last)


def noisy_data(n: int = 48) -> tuple[Array, Array]:
    """Return points and values of a search that has come near the border, with noise."""
    random = np.random.default_rng(3)
    far = random.integers(0, 10, (n // 3, 4)).astype(float)
    near = np.stack([random.integers(low, high, n - len(far)) for low, high in ((6, 10), (0, 5), (0, 10), (0, 10))], 1)
    codes = np.concatenate([far, near.astype(float)])
    return codes, response(codes) + 0.3 * random.standard_normal(n)


def modelled(codes: Array, y: Array, fitted: Fitted, *, weighed: bool = True, power: float | None = None) -> Outcome:
    domain = Domain(GRID)
    return model_warped(
        domain.model(codes),
        y,
        None,
        domain,
        fitted,
        Fitting(),
        noise=None,
        warp=True,
        weighed=weighed,
        power=power,
        prior=prior_of(BayesianOptimization(), domain),
        random=np.random.default_rng(0),
    )


@pytest.mark.parametrize("power", [-1.3, 0.0, 0.5, 1.0])
def test_slope_of_a_warp(power: float) -> None:
    warp = Warp(2.0, 3.0, power)
    y, step = np.array([-4.0, 1.0, 2.5, 30.0]), 1e-5
    slope = (warp(y + step) - warp(y - step)) / (2.0 * step)
    np.testing.assert_allclose(np.exp(warp.log_slope(warp(y))), slope, rtol=1e-6)


def test_evidence_decides_between_powers_and_sees_the_noise() -> None:
    codes, y = noisy_data()
    normal = modelled(codes, y, Fitted(), weighed=False)
    chosen = modelled(codes, y, Fitted())
    assert normal.warp == Warp.fit(y)
    assert chosen.surprise < normal.surprise - 2.0
    assert chosen.warp.power > normal.warp.power
    assert chosen.fitted.noisy


def test_surprise_does_not_depend_on_units() -> None:
    codes, y = noisy_data(24)
    gain = modelled(codes, y, Fitted()).surprise - modelled(codes, 1e3 * y + 7.0, Fitted()).surprise
    assert gain == pytest.approx(-24 * np.log(1e3), abs=1e-3)


def test_power_is_kept_until_the_next_fit_from_scratch() -> None:
    codes, y = noisy_data()
    first = modelled(codes[:-1], y[:-1], Fitted())
    warm = modelled(codes, y, first.fitted, power=0.25)
    assert warm.warp.power == 0.25
    fresh = modelled(codes, y, replace(first.fitted, fits=5), power=0.25)
    assert fresh.warp.power in (0.0, 0.5, Warp.fit(y).power)


def test_levels_are_expected_to_be_smoother_and_less_alike() -> None:
    settings = BayesianOptimization()
    box = prior_of(settings, Domain(bb.Space.box([0.0] * 4, [1.0] * 4)))
    half = prior_of(settings, Domain(bb.Space({"a": bb.Real(0, 1), "b": bb.Integer(0, 9)})))
    grid = prior_of(settings, Domain(GRID))
    assert box == replace(PRIOR, shift=box.shift)  # real columns only: as ever
    assert box.shift < half.shift < grid.shift == 0.0
    assert box.together is not None
    assert half.together is not None
    assert grid.together is not None
    assert box.together < half.together < grid.together
    assert grid.noise[1] > box.noise[1]


def test_noisy_grid_is_searched_up_to_its_border() -> None:
    ends = []
    for seed in range(3):
        noise = np.random.default_rng([seed, 1])
        optimizer = bb.Optimizer(GRID, BayesianOptimization(), seed=seed)
        for _ in range(36):
            batch = optimizer.ask()
            optimizer.tell(batch, response(batch.x.numpy()) + 0.3 * noise.standard_normal(1))
        assert optimizer._kernel.fallbacks == 0
        assert optimizer._kernel.objectives[0].noisy
        ends.append(float(np.median(response(optimizer._kernel.x.numpy()[-12:]))))
    assert np.median(ends) < 0.36  # the best is 0.11, the median of all 1.98


def test_restored_search_keeps_the_power() -> None:
    straight = bb.Optimizer(GRID, BayesianOptimization(), seed=5)
    for _ in range(14):
        batch = straight.ask()
        straight.tell(batch, response(batch.x.numpy()))
    other = bb.Optimizer(GRID, BayesianOptimization(), seed=99)
    other.restore(straight.state())
    for _ in range(7):
        a, b = straight.ask(), other.ask()
        assert torch.equal(a.x, b.x)
        straight.tell(a, response(a.x.numpy()))
        other.tell(b, response(b.x.numpy()))
