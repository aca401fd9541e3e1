"""Derivative observations: covariances against gpytorch and differences, gradients of fits, what they teach."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from blackbox.errors import SettingError
from blackbox.surrogates.derivatives import (
    DerivativeProcess,
    _Evidence,
    derivative_covariance,
    fit_with_derivatives,
)
from blackbox.surrogates.gaussian_process import GaussianProcess
from blackbox.surrogates.kernels import Array, Hyperparameters, Index, Layout
from blackbox.surrogates.likelihood import Prior

PLAIN = Layout.plain(3)
H = Hyperparameters(np.array([0.4, 0.7, 1.1]), np.zeros(0), 1.3, 1e-4)


def everything(x: Array) -> tuple[Array, Index]:
    """Values, then the derivatives of each column."""
    n, d = x.shape
    return np.tile(x, (d + 1, 1)), np.repeat(np.arange(-1, d), n)


def test_covariances_equal_gpytorchs() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from gpytorch.kernels import Matern52KernelGrad

        kernel = Matern52KernelGrad(ard_num_dims=3).double()
    kernel.lengthscale = torch.from_numpy(H.lengthscale[None])
    random = np.random.default_rng(0)
    a, b = random.random((5, 3)), random.random((4, 3))
    ours = derivative_covariance(*everything(a), *everything(b), PLAIN, H)
    with torch.no_grad():
        theirs = 1.3 * kernel(torch.from_numpy(a), torch.from_numpy(b)).to_dense().numpy()
    theirs = theirs.reshape(5, 4, 4, 4).transpose(1, 0, 3, 2).reshape(20, 16)  # theirs go point by point
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_covariances_of_derivatives_are_derivatives_of_covariances_in_mixed_spaces() -> None:
    layout = Layout((False, True, False), (False, False, True))
    h = Hyperparameters(np.array([0.4, 0.7, 0.6]), np.array([0.3]), 1.3)
    a, b = np.array([[0.2, 1.0, np.nan], [0.7, 0.0, 0.3]]), np.array([[0.5, 1.0, 0.4], [0.1, 0.0, 0.9]])
    value, slope = np.full(2, -1), np.zeros(2, int)
    step = np.array([1e-5, 0.0, 0.0])
    up, down = (derivative_covariance(a, value, b + s, value, layout, h) for s in (step, -step))
    np.testing.assert_allclose(derivative_covariance(a, value, b, slope, layout, h), (up - down) / 2e-5, atol=1e-8)
    up, down = (derivative_covariance(a + s, value, b, slope, layout, h) for s in (step, -step))
    np.testing.assert_allclose(derivative_covariance(a, slope, b, slope, layout, h), (up - down) / 2e-5, atol=1e-7)


def test_without_derivatives_it_is_the_ordinary_process() -> None:
    random = np.random.default_rng(1)
    x, grid = random.random((12, 3)), random.random((6, 3))
    y = np.sin(4 * x).sum(1)
    ordinary = GaussianProcess.build(x, y, PLAIN, H)
    ours = DerivativeProcess.build(x, np.full(12, -1), ordinary.standard(y), PLAIN, H)
    for mine, other in zip(ours.predict_with_slopes(grid), ordinary.predict_with_slopes(grid), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-8)
    more = random.random((2, 3))
    np.testing.assert_allclose(ours.condition(more).predict(grid)[1], ordinary.condition(more).predict(grid)[1])
    np.testing.assert_allclose(ours.rougher(0.5).predict(grid)[1], ordinary.rougher(0.5).predict(grid)[1], atol=1e-7)


def test_gradients_of_predictions_and_interpolation_of_slopes() -> None:
    random = np.random.default_rng(2)
    points = random.random((6, 3))
    x, by = everything(points)
    keep = random.random(len(by)) > 0.3
    keep[:6] = True
    slopes = [4 * np.cos(4 * points[:, k]) for k in range(3)]
    y = np.concatenate([np.sin(4 * points).sum(1), *slopes])
    h = Hyperparameters(H.lengthscale, H.rho, 1.3, 1e-10)
    process = DerivativeProcess.build(x[keep], by[keep], y[keep], PLAIN, h)
    grid = random.random((5, 3))
    _, _, slope_mean, slope_std = process.predict_with_slopes(grid)
    for k in range(3):
        step = 1e-6 * np.eye(3)[k]
        up, down = process.predict(grid + step), process.predict(grid - step)
        np.testing.assert_allclose(slope_mean[:, k], (up[0] - down[0]) / 2e-6, atol=1e-5)
        np.testing.assert_allclose(slope_std[:, k], (up[1] - down[1]) / 2e-6, atol=1e-5)
    told = process.predict_with_slopes(points)[2]
    for k in range(3):
        seen = keep[6 * (k + 1) : 6 * (k + 2)]
        np.testing.assert_allclose(told[seen, k], slopes[k][seen], atol=1e-4)


@pytest.mark.parametrize("noise", [None, 1e-3])
def test_gradient_of_the_evidence(noise: float | None) -> None:
    random = np.random.default_rng(3)
    x, by = everything(random.random((7, 3)))
    keep = np.arange(len(by)) % 5 != 4
    evidence = _Evidence(x[keep], by[keep], random.normal(size=int(keep.sum())), PLAIN, Prior(together=0.3), noise)
    theta = evidence.plain.location + 0.2 * random.normal(size=len(evidence.plain.location)) - 0.5
    _, gradient = evidence(theta)
    steps = 1e-5 * np.eye(len(theta))
    numeric = np.array([(evidence(theta + s)[0] - evidence(theta - s)[0]) / 2e-5 for s in steps])
    np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-5)


def test_derivatives_are_worth_many_values() -> None:
    random = np.random.default_rng(4)
    points, grid = random.random((8, 3)), random.random((50, 3))
    x, by = everything(points)
    y = np.concatenate([np.sin(4 * points).sum(1), *(4 * np.cos(4 * points[:, k]) for k in range(3))])
    start = np.array([[0.0, 0.0, 0.0, 0.0]])
    errors = []
    for rows in (by == -1, np.ones(len(by), bool)):
        theta = fit_with_derivatives(x[rows], by[rows], y[rows], PLAIN, start, noise=1e-8)
        h = Hyperparameters.unpack(theta, PLAIN, 1e-8)
        process = DerivativeProcess.build(x[rows], by[rows], y[rows], PLAIN, h)
        errors.append(float(np.abs(process.predict(grid)[0] - np.sin(4 * grid).sum(1)).mean()))
    assert errors[1] < 0.3 * errors[0]


def test_derivatives_by_columns_that_have_none_are_refused() -> None:
    layout = Layout((False, True), (False, False))
    h = Hyperparameters(np.ones(2), np.zeros(0))
    with pytest.raises(SettingError, match="smooth"):
        DerivativeProcess.build(np.zeros((1, 2)), np.array([1]), np.zeros(1), layout, h)
    with pytest.raises(SettingError, match="smooth"):
        fit_with_derivatives(np.zeros((1, 2)), np.array([-1]), np.zeros(1), layout, np.zeros((1, 3)), noise=1e-6)
