"""Related levels (tasks, information sources): the covariance against gpytorch, its gradient, what it transfers."""

from __future__ import annotations

import gpytorch
import numpy as np
import pytest
import torch

from blackbox.surrogates import _training
from blackbox.surrogates.gaussian_process import GaussianProcess, fit
from blackbox.surrogates.kernels import Array, Hyperparameters, Layout, covariance, relatedness
from blackbox.surrogates.likelihood import Evidence, Prior

TASKS = Layout((False, False, True), (False, False, False), related=(0, 0, 4))


def task_points(n: int, levels: int = 4, seed: int = 0) -> Array:
    random = np.random.default_rng(seed)
    x = random.random((n, 3))
    x[:, 2] = random.integers(0, levels, n)
    return x


def test_covariance_and_posterior_equal_gpytorchs_coregionalisation() -> None:
    random = np.random.default_rng(1)
    loadings = random.normal(size=(4, 2))
    h = Hyperparameters(np.array([0.3, 0.8, 1.0]), np.zeros(0), 1.7, 1e-4, (loadings,))
    x, grid = task_points(25), task_points(10, seed=2)
    y = np.sin(4 * x[:, 0]) + 0.3 * x[:, 2]
    smooth = gpytorch.kernels.MaternKernel(nu=2.5, ard_num_dims=2).double()
    smooth.lengthscale = torch.tensor([[0.3, 0.8]], dtype=torch.float64)
    tasks = gpytorch.kernels.IndexKernel(num_tasks=4, rank=2).double()
    size = np.sqrt(1.0 + (loadings**2).sum(1))
    with torch.no_grad():  # W W' + I, every level scaled to a variance of one
        tasks.covar_factor.copy_(torch.from_numpy(loadings / size[:, None]))
        tasks.var = torch.from_numpy(1.0 / size**2)

        def kernel(a: Array, b: Array) -> torch.Tensor:
            s, t = torch.from_numpy(a), torch.from_numpy(b)
            between = tasks.covar_matrix.to_dense()[s[:, 2].long()][:, t[:, 2].long()]
            return 1.7 * smooth(s[:, :2], t[:, :2]).to_dense() * between

        expected = kernel(x, x)
        np.testing.assert_allclose(covariance(x, x, TASKS, h), expected.numpy(), atol=1e-10)
        process = GaussianProcess.build(x, y, TASKS, h, mean=0.0)
        gram = expected + 1e-4 * torch.eye(25, dtype=torch.float64)
        target = torch.from_numpy(process.standard(y))
        mean = kernel(grid, x) @ torch.linalg.solve(gram, target)
        ours = process.posterior(grid).mean.numpy()
        theirs = mean.numpy() * process.standard.spread + process.standard.shift
    np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("stored", [True, False])
def test_gradient_of_the_evidence_with_related_and_apart_columns(stored: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not stored:
        monkeypatch.setattr(_training, "_MAX_STORED", 0)
    layout = Layout((False, False, True, True), (False, False, False, True), related=(0, 0, 4, 0), apart=(1,))
    random = np.random.default_rng(3)
    x = np.column_stack([task_points(30), random.integers(0, 3, 30).astype(float)])
    x[random.random(30) < 0.4, 3] = np.nan
    evidence = Evidence(x, random.normal(size=30), layout, Prior(together=0.3), noise=None)
    theta = evidence.location + 0.3 * random.normal(size=len(evidence.location))
    _, gradient = evidence(theta)
    for i in range(len(theta)):
        step = np.zeros(len(theta))
        step[i] = 1e-5
        slope = (evidence(theta + step)[0] - evidence(theta - step)[0]) / 2e-5
        assert gradient[i] == pytest.approx(slope, rel=1e-5, abs=1e-6)


def test_a_task_with_three_points_learns_from_one_with_thirty() -> None:
    layout = Layout((False, True), (False, False), related=(0, 2))
    old = np.column_stack([np.linspace(0, 1, 30), np.zeros(30)])
    new = np.array([[0.1, 1.0], [0.5, 1.0], [0.9, 1.0]])
    x = np.concatenate([old, new])
    grid = np.column_stack([np.linspace(0, 1, 50), np.ones(50)])
    truth = np.sin(6 * grid[:, 0])
    model = fit(x, np.sin(6 * x[:, 0]), layout=layout, noise="deterministic")
    alone = fit(new[:, :1], np.sin(6 * new[:, 0]), noise="deterministic")
    error = np.abs(model.posterior(grid).mean.numpy() - truth).max()
    assert error < 0.3 * np.abs(alone.posterior(grid[:, :1]).mean.numpy() - truth).max()
    assert relatedness(model.hyper.loadings[0])[0, 1] > 0.8


def test_unrelated_tasks_do_not_disturb() -> None:
    random = np.random.default_rng(5)
    layout = Layout((False, True), (False, False), related=(0, 2))
    x = np.column_stack([random.random(40), (np.arange(40) % 2).astype(float)])
    y = np.where(x[:, 1] == 1.0, np.sin(6 * x[:, 0]), random.normal(size=40))
    model = fit(x, y, layout=layout)
    assert abs(relatedness(model.hyper.loadings[0])[0, 1]) < 0.8
