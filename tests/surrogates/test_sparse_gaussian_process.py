"""The sparse process: exact with all points inducing, calibrated with few; the sparse prior finds active columns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from blackbox.errors import SettingError
from blackbox.problems import Hartmann6
from blackbox.surrogates.gaussian_process import GaussianProcess
from blackbox.surrogates.kernels import Hyperparameters, Layout
from blackbox.surrogates.likelihood import Evidence, Prior, find_modes
from blackbox.surrogates.sparse_gaussian_process import _collapsed, _pivots, fit_sparse


def data(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand((n, 6), generator=generator, dtype=torch.float64)
    return x, Hartmann6()(x).values[:, 0]


def test_with_every_point_inducing_it_is_the_exact_process() -> None:
    x, y = data(80)
    layout, hyper = Layout.plain(6), Hyperparameters(np.full(6, 0.6), np.zeros(0), 1.2, 1e-2)
    exact = GaussianProcess.build(x.numpy(), y.numpy(), layout, hyper, mean=0.3)
    residual = exact.standard(y.numpy()) - 0.3
    sparse = _collapsed(x.numpy(), residual, x.numpy(), layout, hyper, exact.standard, 0.3)
    test = data(40, seed=1)[0]
    ours, theirs = sparse.posterior(test, joint=True), exact.posterior(test, joint=True)
    torch.testing.assert_close(ours.mean, theirs.mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours.variance, theirs.variance, rtol=1e-4, atol=1e-6)
    extra = data(3, seed=2)
    ours, theirs = (m.condition(extra[0].numpy(), extra[1].numpy()).posterior(test) for m in (sparse, exact))
    torch.testing.assert_close(ours.mean, theirs.mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.variance, theirs.variance, rtol=1e-3, atol=1e-5)


def test_it_predicts_thousands_of_outcomes_and_knows_its_error() -> None:
    x, y = data(5000)
    model = fit_sparse(x, y, inducing=200, subset=200)
    assert len(model) == 200
    test, truth = data(500, seed=1)
    posterior = model.posterior(test)
    error = posterior.mean - truth
    assert float((error**2).mean() / truth.var()) < 0.25
    assert 0.4 < float((error / posterior.variance.sqrt()).std()) < 1.6
    mean, std, slope, _ = model.predict_with_slopes(test[:3].numpy())
    step = 1e-6
    moved = test[:3].numpy().copy()
    moved[:, 2] += step
    assert np.allclose((model.predict(moved)[0] - mean) / step, slope[:, 2], atol=1e-4)
    assert (std > 0).all()


def test_pivots_are_distinct_and_stop_where_nothing_is_left() -> None:
    x = np.repeat(data(10)[0].numpy(), 3, axis=0)
    hyper = Hyperparameters(np.full(6, 0.3), np.zeros(0))
    chosen = _pivots(x, Layout.plain(6), hyper, 25)
    assert len(chosen) == 10
    assert len({x[i].tobytes() for i in chosen}) == 10


def test_few_outcomes_make_an_exact_process_and_bad_ones_are_refused() -> None:
    x, y = data(30)
    assert len(fit_sparse(x, y, inducing=64)) == 30
    with pytest.raises(SettingError, match="y: expected finite outcomes"):
        fit_sparse(x, torch.full((30,), torch.nan))
    with pytest.raises(SettingError, match=r"x, y: expected shapes"):
        fit_sparse(x, y[:4])


def test_the_sparse_prior_has_the_right_gradient_and_finds_the_active_columns() -> None:
    generator = np.random.default_rng(0)
    x = generator.random((60, 50))
    y = np.sin(5 * x[:, 7]) + 2.0 * (x[:, 31] - 0.4) ** 2 + x[:, 12]
    evidence = Evidence(x, (y - y.mean()) / y.std(), Layout.plain(50), Prior(sparse=0.1), noise=1e-6)
    theta = evidence.location + 0.1 * generator.standard_normal(len(evidence.location))
    _, gradient = evidence(theta)
    for j in (0, 7, 50):
        step = np.zeros_like(theta)
        step[j] = 1e-5
        slope = (evidence(theta + step)[0] - evidence(theta - step)[0]) / 2e-5
        assert np.isclose(gradient[j], slope, rtol=1e-4, atol=1e-5)
    mode = find_modes(evidence, evidence.location[None], evaluations=80, at_most=1)[0]
    assert set(np.argsort(mode.theta[:50])[:3]) == {7, 12, 31}
    assert (np.exp(np.sort(mode.theta[:50]))[3:] > 3.0).all(), "a column of that lengthscale hardly matters"
