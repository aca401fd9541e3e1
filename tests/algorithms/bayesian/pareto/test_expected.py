from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch

from blackbox import metrics
from blackbox.algorithms.bayesian.acquisition import Acquisition, Limit, log_probability
from blackbox.algorithms.bayesian.pareto.acquisition import HypervolumeImprovement
from blackbox.algorithms.bayesian.pareto.cells import Cells
from blackbox.algorithms.bayesian.pareto.expected import log_hypervolume_improvement
from blackbox.algorithms.bayesian.pareto.limit import TailedLimit
from blackbox.algorithms.bayesian.pareto.outcome import Outcome, given_samples
from blackbox.algorithms.bayesian.pareto.scalarise import ScalarisedImprovement
from blackbox.surrogates.gaussian_process import GaussianProcess, fit
from blackbox.surrogates.kernels import Hyperparameters

Table = tuple[np.ndarray, Cells, list[np.ndarray], list[np.ndarray], list[np.ndarray]]


def some_case(m: int, k: int = 3, q: int = 5) -> Table:
    random = np.random.default_rng(m)
    front = np.abs(random.standard_normal((12, m)))
    front /= np.linalg.norm(front, axis=1, keepdims=True)
    means = [random.uniform(0.2, 1.2, (k, q)) for _ in range(m)]
    stds = [random.uniform(0.05, 0.4, (k, q)) for _ in range(m)]
    log_weights = [np.log(random.dirichlet(np.ones(k))) for _ in range(m)]
    return front, Cells.of(front, np.full(m, 1.1)), means, stds, log_weights


@pytest.mark.parametrize("m", [2, 3, 4])
def test_expectation_is_that_of_samples(m: int) -> None:
    front, cells, means, stds, log_weights = some_case(m)
    random, reference, n = np.random.default_rng(0), np.full(m, 1.1), 4000
    value = np.exp(log_hypervolume_improvement(cells, means, stds, log_weights)[0])
    before = metrics.hypervolume(front, reference)
    i = int(np.argmax(value))
    columns = []
    for j in range(m):
        pick = random.choice(3, n, p=np.exp(log_weights[j]))
        columns.append(means[j][pick, i] + stds[j][pick, i] * random.standard_normal(n))
    gains = [metrics.hypervolume(np.vstack([front, row]), reference) - before for row in np.stack(columns, 1)]
    assert value[i] == pytest.approx(np.mean(gains), abs=4.0 * np.std(gains) / np.sqrt(n))


@pytest.mark.parametrize("m", [2, 3, 4])
def test_expectation_is_that_of_botorch(m: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from botorch.acquisition.multi_objective.analytic import ExpectedHypervolumeImprovement
        from botorch.models.deterministic import GenericDeterministicModel
        from botorch.utils.multi_objective.box_decompositions.non_dominated import FastNondominatedPartitioning

        front, cells, means, stds, _ = some_case(m, k=1)
        value = log_hypervolume_improvement(cells, means, stds, [np.zeros(1)] * m)[0]

        class Known(GenericDeterministicModel):  # type: ignore[misc]
            def posterior(self, x: Any, **_: Any) -> Any:
                mean, std = (torch.from_numpy(np.stack([a[0] for a in part], -1)[:, None]) for part in (means, stds))
                return type("Posterior", (), {"mean": -mean, "variance": std**2})()

        partition = FastNondominatedPartitioning(torch.full((m,), -1.1, dtype=torch.float64), -torch.from_numpy(front))
        peer = ExpectedHypervolumeImprovement(Known(lambda x: x, m), [-1.1] * m, partition)
        expected = peer(torch.zeros((5, 1, 2), dtype=torch.float64))
    np.testing.assert_allclose(np.exp(value), expected.numpy(), rtol=1e-6)


@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_derivatives_in_means_and_spreads(m: int) -> None:
    _, cells, means, stds, log_weights = some_case(m)
    _, by_mean, by_std = log_hypervolume_improvement(cells, means, stds, log_weights, slopes=True)
    for table, slopes in ((means, by_mean), (stds, by_std)):
        for j in range(m):
            for k in range(3):
                ends = []
                for step in (1e-6, -1e-6):
                    table[j][k] += step
                    ends.append(log_hypervolume_improvement(cells, means, stds, log_weights)[0])
                    table[j][k] -= step
                np.testing.assert_allclose(slopes[j][k], (ends[0] - ends[1]) / 2e-6, rtol=1e-5, atol=1e-7)


def test_hopeless_candidates_have_finite_values_that_prefer_uncertainty() -> None:
    cells = Cells.of(np.random.default_rng(0).random((20, 2)), np.ones(2))
    means, stds = [np.full((1, 3), 1e6)] * 2, [np.array([[1e-8, 0.1, 1.0]])] * 2
    value, by_mean, by_std = log_hypervolume_improvement(cells, means, stds, [np.zeros(1)] * 2, slopes=True)
    assert np.isfinite(value).all()
    assert (np.diff(value) > 0).all()
    assert all(np.isfinite(part).all() for part in by_mean + by_std)


def models(m: int, *, modes: int = 2) -> tuple[Outcome, ...]:
    random = np.random.default_rng(5)
    x, outcomes = random.random((15, 3)), []
    for j in range(m):
        first = fit(x, ((x - 0.2 - 0.2 * j) ** 2).sum(1), noise=0.001)
        rough = Hyperparameters(0.4 * first.hyper.lengthscale, first.hyper.rho, first.hyper.scale, 1e-4)
        second = GaussianProcess.build(x, first.y, first.layout, rough)
        outcomes.append(Outcome((first, second)[:modes], np.log(np.array([0.7, 0.3]) if modes == 2 else np.ones(1))))
    return tuple(outcomes)


def chance() -> Acquisition:
    x = np.random.default_rng(1).random((10, 3))
    return Acquisition((), np.zeros(0), np.inf, (TailedLimit(fit(x, x[:, 0] - 0.5, noise=0.01), 0.1),))


def assert_gradient(score: Any) -> None:
    x = np.random.default_rng(3).random((12, 3))
    value, slope = score.with_slopes(x)
    np.testing.assert_allclose(value, score(x), rtol=1e-9)
    for k in range(3):
        step = np.eye(3)[k] * 1e-6
        np.testing.assert_allclose(slope[:, k], (score(x + step) - score(x - step)) / 2e-6, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("m", [2, 3])
def test_gradient_of_the_hypervolume_improvement(m: int) -> None:
    cells = Cells.of(np.random.default_rng(0).standard_normal((9, m)), np.full(m, 2.0))
    assert_gradient(HypervolumeImprovement(models(m), (cells,), chance()))


@pytest.mark.parametrize("m", [2, 6])
def test_gradient_of_the_scalarised_improvement(m: int) -> None:
    random = np.random.default_rng(2)
    weights = random.dirichlet(np.ones(m))
    assert_gradient(ScalarisedImprovement.of(models(m), (random.random((8, m)),), weights, chance(), random))


def test_gradient_given_samples_of_the_front() -> None:
    random = np.random.default_rng(2)
    x = random.random((6, 3))
    pairs = [given_samples(o.modes[0], x, random.standard_normal((6, 4))) for o in models(2, modes=1)]
    fronts = [np.stack([samples[s] for _, samples in pairs], axis=1) for s in range(4)]
    outcomes = tuple(outcome for outcome, _ in pairs)
    assert_gradient(HypervolumeImprovement(outcomes, tuple(Cells.of(f, np.full(2, 3.0)) for f in fronts), chance()))
    assert_gradient(ScalarisedImprovement.of(outcomes, tuple(fronts), np.array([0.3, 0.7]), chance(), random))


def test_outcomes_given_samples_pass_through_them() -> None:
    random = np.random.default_rng(2)
    x, process = random.random((6, 3)), models(1)[0].modes[0]
    outcome, samples = given_samples(process, x, random.standard_normal((6, 500)))
    mean, std = outcome.predict(x)
    np.testing.assert_allclose(mean[:, 0], samples, atol=1e-5)
    assert std.max() < 1e-3
    before = process.posterior(x, joint=True)
    scale = process.standard.spread
    assert before.covariance is not None
    np.testing.assert_allclose(np.cov(samples.T) * scale**2, before.covariance.numpy(), atol=0.2 * scale**2)
    elsewhere = random.random((4, 3))
    mean, std = outcome.predict(elsewhere)
    total = mean[:, 0].var(0) + std[0] ** 2  # the law of total variance
    np.testing.assert_allclose(total * scale**2, process.posterior(elsewhere).variance.numpy(), rtol=0.25)


def test_scalarised_improvement_is_that_of_samples() -> None:
    random, m = np.random.default_rng(4), 3
    front, outcomes = random.standard_normal((8, m)), models(3, modes=1)
    weights = np.array([0.2, 0.3, 0.5])
    score = ScalarisedImprovement.of(outcomes, (front,), weights, Acquisition((), np.zeros(0), np.inf), random)
    x = random.random((40, 3))
    value = np.exp(score.log_gain(x))
    mean, std = (np.stack([o.predict(x)[i].reshape(-1) for o in outcomes], 1) for i in (0, 1))

    def scalar(y: np.ndarray) -> np.ndarray:
        parts = weights * (y - front.min(0)) / np.ptp(front, axis=0)
        return np.asarray(parts.max(-1) + 0.05 * parts.sum(-1))

    draws = mean + std * random.standard_normal((20_000, 40, m))
    expected = np.maximum(scalar(front).min() - scalar(draws), 0.0).mean(0)
    np.testing.assert_allclose(value, expected, rtol=0.1, atol=0.01)


def test_tailed_limits_doubt_what_is_all_but_ruled_out() -> None:
    limit = chance().limits[0]
    x = np.random.default_rng(3).random((50, 3))
    sure, tailed = Limit(limit.process, limit.threshold)(x), limit(x)
    mean, std = limit.process.predict(x)
    z = (limit.threshold - mean) / std
    expected = np.log(0.9 * np.exp(log_probability(z)[0]) + 0.1 * np.exp(log_probability(z / 10.0)[0]))
    np.testing.assert_allclose(tailed, expected, rtol=1e-6)
    assert (tailed[sure < -10.0] > sure[sure < -10.0] + 2.0).all()
    assert (sure < -10.0).any()
