from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import norm

from blackbox.algorithms.bayesian.acquisition import Acquisition, Limit
from blackbox.algorithms.bayesian.gains import (
    Bound,
    Gain,
    JointInformation,
    Knowledge,
    MaxValueInformation,
    NoisyImprovement,
)
from blackbox.algorithms.bayesian.optima import Optima
from blackbox.algorithms.bayesian.paths import Features, Paths
from blackbox.surrogates.gaussian_process import GaussianProcess, fit
from blackbox.surrogates.kernels import Array, Hyperparameters, Layout, covariance

RANDOM = np.random.default_rng(0)
POINTS = RANDOM.random((18, 3))


def outcomes(x: Array) -> Array:
    return np.asarray(((x - 0.4) ** 2).sum(1) + 0.2 * np.sin(7 * x[:, 0]))


def process(noise: float = 1e-8) -> GaussianProcess:
    values = outcomes(POINTS)
    if noise > 1e-6:
        values = values + 0.1 * RANDOM.standard_normal(len(values))
    hyper = Hyperparameters(np.array([0.5, 0.8, 0.7]), np.zeros(0), 1.3, noise)
    return GaussianProcess.build(POINTS, values, Layout.plain(3), hyper)


def optima_of(model: GaussianProcess, s: int) -> Optima:
    points = np.random.default_rng(5).random((s, 3)) * 0.3 + 0.3
    return Optima(points, model.predict(points)[0] - np.linspace(0.05, 0.6, s))


NORMAL = np.random.default_rng(9).standard_normal((16, 40))
GAINS: dict[str, Callable[[float], Gain]] = {
    "bound": lambda noise: Bound(process(noise), 2.0),
    "mes": lambda noise: MaxValueInformation(process(noise), np.array([-2.5, -2.0, -1.7])),
    "jes": lambda noise: JointInformation(process(noise), optima_of(process(noise), 5)),
    "kg": lambda noise: Knowledge(process(noise), np.concatenate([POINTS[:5], optima_of(process(), 4).points])),
    "nei": lambda noise: NoisyImprovement(process(noise), POINTS[:8], NORMAL, None),
}


@pytest.mark.parametrize("noise", [1e-8, 0.05])
@pytest.mark.parametrize("name", GAINS)
def test_gradients_are_those_of_the_values(name: str, noise: float) -> None:
    gain = GAINS[name](noise).condition(np.array([[0.9, 0.9, 0.1]]))
    x = np.random.default_rng(3).random((20, 3))
    value, slope = gain.with_slopes(x)
    np.testing.assert_allclose(value, gain(x), rtol=1e-10)
    for k in range(3):
        step = np.zeros(3)
        step[k] = 1e-6
        numeric = (gain(x + step) - gain(x - step)) / 2e-6
        np.testing.assert_allclose(slope[:, k], numeric, rtol=2e-4, atol=2e-4)


def test_knowledge_gradient_is_the_expected_fall_of_the_best_mean() -> None:
    model = process(0.05)
    disc = np.concatenate([POINTS[:6], RANDOM.random((6, 3))])
    x = RANDOM.random((3, 3))
    value = Knowledge(model, disc)(x)
    z = norm.ppf((np.arange(4000) + 0.5) / 4000)
    for i, point in enumerate(x):
        every = np.concatenate([disc, point[None]])
        joint = model.posterior(np.concatenate([every, point[None]]), joint=True)
        assert joint.covariance is not None
        scale = model.standard.spread
        cov = joint.covariance.numpy()[:-1, -1] / scale**2
        mean = (joint.mean.numpy()[:-1] - model.standard.shift) / scale
        after = mean[:, None] + np.outer(cov, z) / np.sqrt(cov[-1] + 0.05)
        expected = mean[:-1].min() - after.min(0).mean()
        assert np.exp(value[i]) == pytest.approx(expected, rel=2e-3)


def test_knowledge_gradient_is_never_negative_and_accurate_when_tiny() -> None:
    model = process(1e-8)
    known = Knowledge(model, POINTS)(POINTS[:4])  # nothing is learned where all is known
    far = Knowledge(model, POINTS)(RANDOM.random((50, 3)))
    assert (known < -6).all()
    assert np.isfinite(far).all()


def test_information_about_the_optimal_value_is_a_difference_of_entropies() -> None:
    model = process()
    best = np.array([-2.2, -1.9])
    x = RANDOM.random((4, 3))
    mean, std = model.predict(x)
    value = np.exp(MaxValueInformation(model, best)(x))
    for i in range(4):
        grid = np.linspace(mean[i] - 9 * std[i], mean[i] + 9 * std[i], 400001)
        total = 0.0
        for bound in best:
            density = norm.pdf(grid, mean[i], std[i]) * (grid >= bound)
            density /= density.sum()
            step = grid[1] - grid[0]
            entropy = -(density[density > 0] * np.log(density[density > 0] / step)).sum()
            total += 0.5 * np.log(2 * np.pi * np.e * std[i] ** 2) - entropy
        assert value[i] == pytest.approx(total / 2, rel=1e-3, abs=1e-4)


def test_agreement_with_botorch() -> None:
    from botorch.acquisition import UpperConfidenceBound
    from botorch.acquisition.joint_entropy_search import qJointEntropySearch
    from botorch.acquisition.objective import ScalarizedPosteriorTransform
    from botorch.models import SingleTaskGP

    model = process(0.01)
    other: SingleTaskGP = model.to_botorch()
    x = torch.from_numpy(RANDOM.random((6, 3)))[:, None]
    flip = ScalarizedPosteriorTransform(torch.tensor([-1.0], dtype=torch.float64))
    scale, shift = model.standard.spread, model.standard.shift
    theirs = UpperConfidenceBound(other, beta=4.0, posterior_transform=flip)(x)
    ours = Bound(model, 2.0)(x[:, 0].numpy()) * scale - shift
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-6)
    optima = optima_of(model, 4)
    search = qJointEntropySearch(
        other,
        torch.from_numpy(optima.points),
        torch.from_numpy(optima.values * scale + shift)[:, None],
        posterior_transform=flip,
        estimation_type="LB",
    )
    found = np.exp(JointInformation(model, optima)(x[:, 0].numpy()))
    reference = search(x).detach().numpy()
    assert np.corrcoef(found, reference)[0, 1] > 0.98


def test_noisy_improvement_is_that_over_true_values() -> None:
    model = process(0.05)
    baseline, x = POINTS[:4], RANDOM.random((3, 3))
    normal = np.random.default_rng(1).standard_normal((4000, 4))
    value = np.exp(NoisyImprovement(model, baseline, normal, None)(x))
    for i, point in enumerate(x):
        joint = model.posterior(np.concatenate([baseline, point[None]]), joint=True)
        draws = joint.sample(60000, torch.Generator().manual_seed(0)).numpy() / model.standard.spread
        expected = np.maximum(draws[:, :4].min(1) - draws[:, 4], 0.0).mean()
        assert value[i] == pytest.approx(expected, rel=0.08, abs=2e-3)


LAYOUT = Layout((False, True, False, True, False), (False, False, True, True, False))
HYPER = Hyperparameters(np.array([0.5, 0.9, 0.4, 1.2, 0.7]), np.array([0.3, 0.6]), 1.4, 1e-4)


def mixed_points(n: int) -> Array:
    x = RANDOM.random((n, 5))
    x[:, 1], x[:, 3] = RANDOM.integers(0, 3, n), RANDOM.integers(0, 4, n)
    x[RANDOM.random(n) < 0.4, 2] = np.nan
    x[RANDOM.random(n) < 0.4, 3] = np.nan
    return x


def test_random_features_have_the_covariance_as_their_product() -> None:
    x = mixed_points(25)
    features = Features(60_000, LAYOUT, HYPER, 4, np.random.default_rng(0))(x)
    np.testing.assert_allclose(features @ features.T, covariance(x, x, LAYOUT, HYPER), atol=0.05)


def test_paths_follow_the_posterior_and_their_gradients_hold() -> None:
    x = mixed_points(15)
    y = np.nan_to_num(x).sum(1)
    model = GaussianProcess.build(x, y, LAYOUT, HYPER)
    paths = Paths(model, 3000, np.random.default_rng(1), features=2048, levels=4)
    points = mixed_points(12)
    draws = paths(points)
    mean, std = model.predict(points)
    np.testing.assert_allclose(draws.mean(1), mean, atol=0.1)
    np.testing.assert_allclose(draws.std(1), std, atol=0.1)
    assert np.abs(paths(x) - (y - model.standard.shift)[:, None] / model.standard.spread).max() < 0.1
    which = np.arange(12)
    value, slope = paths.with_slopes(points, which)
    np.testing.assert_allclose(value, draws[which, which], rtol=1e-9)
    for k in (0, 2, 4):
        step = np.zeros(5)
        step[k] = 1e-6
        numeric = (paths(points + step) - paths(points - step))[which, which] / 2e-6
        np.testing.assert_allclose(slope[:, k], np.nan_to_num(numeric), rtol=1e-4, atol=1e-4)


def test_cost_makes_gains_those_per_unit() -> None:
    model = process()
    costs = fit(POINTS, 3.0 * POINTS[:, 0], noise=1e-4)
    plain = Acquisition((model,), np.zeros(1), -1.5, (Limit(model, 0.0),))
    aware = Acquisition((model,), np.zeros(1), -1.5, (Limit(model, 0.0),), cost=costs)
    x = RANDOM.random((9, 3))
    difference = plain(x) - aware(x)
    np.testing.assert_allclose(difference - difference[0], 3.0 * (x[:, 0] - x[0, 0]), atol=0.1)
    value, slope = aware.with_slopes(x)
    np.testing.assert_allclose(value, aware(x), rtol=1e-10)
    step = np.array([1e-6, 0, 0])
    np.testing.assert_allclose(slope[:, 0], (aware(x + step) - aware(x - step)) / 2e-6, rtol=1e-4, atol=1e-4)
