"""Many posterior means at once: equal to gpytorch's, with true gradients; tables of sequences equal the dense path."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from blackbox.errors import SettingError
from blackbox.surrogates.posterior_draws import SmoothFunctions, draw_posteriors
from blackbox.surrogates.sequence_draws import Table, draw_sequence_posteriors

LENGTHS, SCALES = torch.tensor([1.3, 2.0, 0.7]), torch.tensor([1.0, 0.5, 3.0])


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def autograd_of(functions: SmoothFunctions, lengths: Tensor, scales: Tensor, x: Tensor, points: Tensor) -> Tensor:
    """Return gradients of an independent, plain form of the posterior means, shape (S, q, d)."""
    rows = []
    for s in range(len(lengths)):
        variable = points.clone().requires_grad_()
        kernel = scales[s] * torch.exp(-(torch.cdist(variable, x) ** 2) / (2 * lengths[s] ** 2))
        (gradient,) = torch.autograd.grad((kernel @ functions.weights[s]).sum(), variable)  # type: ignore[attr-defined]
        rows.append(gradient)
    return torch.stack(rows)


def test_means_equal_those_of_gpytorch() -> None:
    import gpytorch

    x, y, points = random(40, 3), random(40, seed=1), random(7, 3, seed=2)
    draws = draw_posteriors(x, y, LENGTHS, SCALES, noise=0.01)
    for s in range(3):

        class Model(gpytorch.models.ExactGP):  # type: ignore[misc]
            def __init__(self) -> None:
                likelihood = gpytorch.likelihoods.GaussianLikelihood()
                super().__init__(x, y, likelihood)
                self.mean_module = gpytorch.means.ZeroMean()
                self.covar_module = gpytorch.kernels.ScaleKernel(gpytorch.kernels.RBFKernel())

            def forward(self, z: Tensor) -> gpytorch.distributions.MultivariateNormal:
                return gpytorch.distributions.MultivariateNormal(self.mean_module(z), self.covar_module(z))

        model = Model().double()
        model.covar_module.base_kernel.lengthscale = float(LENGTHS[s])
        model.covar_module.outputscale = float(SCALES[s])
        model.likelihood.noise = 0.01
        model.eval()
        with torch.no_grad(), gpytorch.settings.fast_computations(False, False, False):
            expected = model(points).mean
        torch.testing.assert_close(draws.mean(points)[s], expected, rtol=1e-6, atol=1e-7)


def test_gradients_equal_those_of_autograd() -> None:
    x, y, points = random(40, 3), random(40, seed=1), random(7, 3, seed=2)
    draws = draw_posteriors(x, y, LENGTHS, SCALES)
    values, gradients = draws.mean_and_gradient(points)
    torch.testing.assert_close(values, draws.mean(points))
    torch.testing.assert_close(gradients, autograd_of(draws, draws.lengthscale, draws.scale, x, points))


def test_each_function_may_have_its_own_points() -> None:
    x, y, points = random(30, 2), random(30, seed=1), random(3, 5, 2, seed=2)
    draws = draw_posteriors(x, y, LENGTHS, SCALES)
    values, gradients = draws.mean_and_gradient(points)
    for s in range(3):
        alone = draws.mean_and_gradient(points[s])
        torch.testing.assert_close(values[s], alone[0][s])
        torch.testing.assert_close(gradients[s], alone[1][s])


def test_blocks_do_not_change_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, points = random(30, 2), random(30, seed=1), random(11, 2, seed=2)
    whole = draw_posteriors(x, y, LENGTHS, SCALES)
    expected = whole.mean_and_gradient(points)
    monkeypatch.setattr("blackbox.surrogates.posterior_draws._BLOCK", 70)
    monkeypatch.setattr("blackbox.surrogates.posterior_draws._FACTORS", 1)
    pieces = draw_posteriors(x, y, LENGTHS, SCALES)
    torch.testing.assert_close(pieces.weights, whole.weights)
    for found, wanted in zip(pieces.mean_and_gradient(points), expected, strict=True):
        torch.testing.assert_close(found, wanted)


def test_a_singular_covariance_gets_jitter() -> None:
    x = torch.zeros((400, 2), dtype=torch.float64)
    draws = draw_posteriors(x, torch.ones(400), torch.ones(2), torch.tensor([1.0, 1e6]), noise=1e-12)
    assert float(draws.jitter.max()) > 0
    torch.testing.assert_close(draws.mean(x[:1]), torch.ones((2, 1), dtype=torch.float64), rtol=1e-3, atol=0)


def test_wrong_shapes_and_values_are_named() -> None:
    with pytest.raises(SettingError, match="x, y: expected shapes"):
        draw_posteriors(random(3, 2), random(4), LENGTHS, SCALES)
    with pytest.raises(SettingError, match="lengthscale, scale"):
        draw_posteriors(random(3, 2), random(3), LENGTHS, SCALES[:2])
    with pytest.raises(SettingError, match="cannot be factorised"):
        draw_posteriors(torch.full((3, 2), torch.nan), random(3), LENGTHS, SCALES)


COUNTS = (4, 3, 2, 4, 3)


def sequences() -> tuple[Table, Tensor, Tensor]:
    """Return a table with positions of different sizes, some of its sequences, and their features."""
    levels = [random(count, count - 1, seed=count + 10 * place) for place, count in enumerate(COUNTS)]
    table = Table.of(levels)
    assert table is not None
    everything = torch.cartesian_prod(*(torch.arange(count) for count in COUNTS))
    codes = everything[torch.randperm(len(everything), generator=torch.Generator().manual_seed(5))[:120]]
    return table, codes, torch.cat([level[codes[:, place]] for place, level in enumerate(levels)], 1)


def test_tables_equal_the_dense_path() -> None:
    table, codes, x = sequences()
    y, points = random(120, seed=1), random(9, x.shape[1], seed=2)
    dense = draw_posteriors(x, y, LENGTHS, SCALES, noise=0.05)
    fast = draw_sequence_posteriors(table, table.cells(codes), y, LENGTHS, SCALES, noise=0.05, tolerance=1e-10)
    assert fast.residual <= 1e-10
    for found, expected in zip(fast.mean_and_gradient(points), dense.mean_and_gradient(points), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(fast.mean(x), dense.mean(x), rtol=1e-6, atol=1e-8)


def test_tables_that_are_too_large_or_too_short_are_declined() -> None:
    assert Table.of([torch.randn(4, 3)] * 14) is None
    assert Table.of([torch.randn(4, 3)]) is None
    halved = Table.of([torch.randn(4, 3)] * 8)
    assert halved is not None
    assert halved.shape == (256, 256)


def test_a_sequence_may_come_once_only() -> None:
    table, codes, _ = sequences()
    cells = table.cells(codes)
    assert len(cells.unique()) == len(cells)
    with pytest.raises(SettingError, match="cells: expected each sequence once"):
        draw_sequence_posteriors(table, cells.repeat(2), random(240), LENGTHS, SCALES)
