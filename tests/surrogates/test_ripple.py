"""A trend and a ripple: a process of two length scales."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from blackbox.algorithms.bayesian.paths import Features
from blackbox.surrogates.gaussian_process import GaussianProcess, fit
from blackbox.surrogates.kernels import Array, Hyperparameters, Layout, Ripple, covariance
from blackbox.surrogates.likelihood import Evidence, Prior

RIPPLED = replace(Layout.plain(3), ripple=Ripple(0.3, 0.1))
HYPER = Hyperparameters(np.array([0.9, 0.5, 0.7]), np.zeros(0), 1.7, 1e-6)


def points(n: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).random((n, 3))


def data() -> tuple[Array, Array]:
    x = points(30)
    return x, np.sin(3.0 * x).sum(1) + 0.2 * np.cos(40.0 * x).sum(1)


def test_the_covariance_is_the_sum_of_two_and_bends_near_the_point() -> None:
    x = points(20)

    def single(factor: float) -> Array:
        return covariance(x, x, Layout.plain(3), replace(HYPER, lengthscale=factor * HYPER.lengthscale))

    np.testing.assert_allclose(covariance(x, x, RIPPLED, HYPER), 0.7 * single(1.0) + 0.3 * single(0.1), atol=1e-12)


@pytest.mark.parametrize("noise", [None, 1e-6])
@pytest.mark.parametrize("stored", [True, False])
def test_gradient_of_the_evidence(noise: float | None, stored: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not stored:
        monkeypatch.setattr("blackbox.surrogates._training._MAX_STORED", 0)
    x, y = data()
    evidence = Evidence(x, (y - y.mean()) / y.std(), RIPPLED, Prior(), noise=noise)
    theta = np.append(np.log([0.9, 0.5, 0.7, 1.3]), [] if noise else [-4.0])
    _, gradient = evidence(theta)
    for k, step in enumerate(1e-5 * np.eye(len(theta))):
        slope = (evidence(theta + step)[0] - evidence(theta - step)[0]) / 2e-5
        assert gradient[k] == pytest.approx(slope, rel=1e-5, abs=1e-5)


def test_gradient_of_the_prediction() -> None:
    process = GaussianProcess.build(*data(), RIPPLED, HYPER)
    at = points(4, seed=1)
    _, _, slope_mean, slope_std = process.predict_with_slopes(at)
    for k, step in enumerate(1e-6 * np.eye(3)):
        above, below = process.predict(at + step), process.predict(at - step)
        np.testing.assert_allclose(slope_mean[:, k], (above[0] - below[0]) / 2e-6, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(slope_std[:, k], (above[1] - below[1]) / 2e-6, rtol=1e-5, atol=1e-6)


def test_posterior_equals_botorchs() -> None:
    x, y = data()
    process = GaussianProcess.build(x, y, RIPPLED, replace(HYPER, noise=0.01))
    grid = torch.from_numpy(points(40, seed=2))
    ours = process.posterior(grid)
    with torch.no_grad():
        theirs = process.to_botorch().posterior(grid)
    scale = process.standard.spread
    assert float((ours.mean - theirs.mean[:, 0]).abs().max()) / scale < 1e-7
    assert float((ours.variance - theirs.variance[:, 0]).abs().max()) / scale**2 < 1e-7


def test_features_have_the_covariance_as_their_expectation() -> None:
    x = np.concatenate([points(6), points(6) + 0.03])
    features = Features(60_000, RIPPLED, HYPER, 1, np.random.default_rng(0))(x)
    np.testing.assert_allclose(features @ features.T, covariance(x, x, RIPPLED, HYPER), atol=0.05)


def test_a_plain_process_has_no_ripple() -> None:
    assert fit(*data()).layout.ripple is None
