from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest

from blackbox.algorithms.bayesian.acquisition import Acquisition, Limit, log_improvement, log_probability
from blackbox.surrogates.classification import classify
from blackbox.surrogates.gaussian_process import GaussianProcess, fit
from blackbox.surrogates.kernels import Hyperparameters, Layout


def test_log_improvement_is_accurate_in_the_far_tail() -> None:
    z = np.array([-1e6, -1e4, -300.0, -40.0, -5.0, -1.0, -0.5, 0.0, 3.0, 40.0])
    value, slope = log_improvement(z)
    for i, point in enumerate(z):
        with mpmath.workdps(60):
            t = mpmath.mpf(float(point))
            share = mpmath.erfc(-t / mpmath.sqrt(2)) / 2
            h = mpmath.exp(-t * t / 2) / mpmath.sqrt(2 * mpmath.pi) + t * share
            if h <= 0 or abs(point) > 1e3:
                continue
            assert value[i] == pytest.approx(float(mpmath.log(h)), rel=1e-9, abs=1e-9)
            assert slope[i] == pytest.approx(float(share / h), rel=1e-6)
    assert value[0] == pytest.approx(-0.5e12, rel=1e-6)
    assert np.isfinite(slope).all()


def test_log_probability_slope() -> None:
    z = np.array([-30.0, -2.0, 0.0, 2.0])
    numeric = (log_probability(z + 1e-6)[0] - log_probability(z - 1e-6)[0]) / 2e-6
    np.testing.assert_allclose(log_probability(z)[1], numeric, rtol=1e-5)


def make_acquisition() -> Acquisition:
    random = np.random.default_rng(0)
    x = random.random((20, 3))
    y = ((x - 0.4) ** 2).sum(1)
    first = fit(x, y, noise="deterministic")
    rough = Hyperparameters(0.4 * first.hyper.lengthscale, first.hyper.rho, first.hyper.scale, 1e-6)
    second = GaussianProcess.build(x, y, first.layout, rough)
    limit = Limit(fit(x, x[:, 0] - 0.5, noise=0.01), 0.1)
    success = classify(x, x[:, 1] < 0.7, Layout.plain(3))
    weights = np.log(np.array([0.7, 0.3]))
    return Acquisition((first, second), weights, float(first.standard(y).min()), (limit,), success)


def test_gradient_of_the_whole_acquisition() -> None:
    acquisition = make_acquisition()
    x = np.random.default_rng(3).random((12, 3))
    value, slope = acquisition.with_slopes(x)
    np.testing.assert_allclose(value, acquisition(x), rtol=1e-12)
    for k in range(3):
        step = np.zeros(3)
        step[k] = 1e-6
        numeric = (acquisition(x + step) - acquisition(x - step)) / 2e-6
        np.testing.assert_allclose(slope[:, k], numeric, rtol=1e-4, atol=1e-4)


def test_pending_points_lose_their_promise() -> None:
    acquisition = make_acquisition()
    grid = np.random.default_rng(4).random((200, 3))
    top = grid[[int(np.argmax(acquisition(grid)))]]
    after = acquisition.condition(top)
    assert float(after(top)[0]) < float(acquisition(top)[0]) - 1.0
    assert after.best <= acquisition.best
    assert math.isfinite(float(after(grid).max()))
