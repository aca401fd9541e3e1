"""Random environments and errors of implementation: risks, their moments, robust designs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from botorch.acquisition import risk_measures as peer

import blackbox as bb
from blackbox.algorithms import BayesianOptimization
from blackbox.algorithms.bayesian import robust
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.risk import CVaR, Expectation, InputNoise, Risk, VaR, WorstCase
from blackbox.algorithms.bayesian.scenarios import Averaged, Sampled, scenarios_of
from blackbox.errors import SettingError
from blackbox.surrogates.gaussian_process import GaussianProcess
from blackbox.surrogates.kernels import Hyperparameters

SPACE = bb.Space({"x": bb.Real(0, 1), "w": bb.Real(0, 1, environment="uniform")})


def narrow_or_wide(x: torch.Tensor) -> torch.Tensor:
    """A deep valley at 0.2 that the environment moves, and a shallower one at 0.7 that it leaves alone."""
    at, w = x[:, 0], x[:, 1]
    deep = -2.0 * torch.exp(-((at - 0.2 - 0.6 * (w - 0.5)) ** 2) / 0.004)
    return deep - torch.exp(-((at - 0.7) ** 2) / 0.05)


@pytest.mark.parametrize("n", [5, 16])
@pytest.mark.parametrize("level", [0.3, 0.8, 0.95])
def test_risks_equal_botorchs(n: int, level: float) -> None:
    outcomes = np.random.default_rng(0).normal(size=(7, n))
    maximised = -torch.from_numpy(outcomes).reshape(7 * n, 1)  # botorch maximises
    pairs: list[tuple[Risk, Any]] = [
        (Expectation(), peer.Expectation(n_w=n)),
        (VaR(level), peer.VaR(alpha=level, n_w=n)),
        (CVaR(level), peer.CVaR(alpha=level, n_w=n)),
        (WorstCase(), peer.WorstCase(n_w=n)),
    ]
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours(outcomes), -theirs(maximised).numpy(), rtol=1e-12)


def make_process(domain: Domain) -> GaussianProcess:
    random = np.random.default_rng(2)
    x = random.random((12, domain.dim))
    h = Hyperparameters(np.array([0.3, 0.7]), np.zeros(0), 1.2, 1e-4)
    return GaussianProcess.build(x, np.sin(5 * x).sum(1), domain.layout, h)


def test_moments_of_the_average_equal_those_of_the_joint_posterior() -> None:
    domain = Domain(SPACE)
    process, scenarios = make_process(domain), scenarios_of(domain, Expectation(scenarios=8), None, 0)
    averaged = Averaged(process, scenarios)
    points = np.random.default_rng(1).random((5, 2))
    mean, std, slope_mean, slope_std = averaged.predict_with_slopes(points)
    for i, point in enumerate(points):
        joint = process.posterior(scenarios.expand(point[None]), joint=True)
        assert joint.covariance is not None
        scale = process.standard.spread
        assert mean[i] * scale + process.standard.shift == pytest.approx(float(joint.mean.mean()))
        assert std[i] * scale == pytest.approx(float(joint.covariance.mean().sqrt()))
    step = np.array([1e-6, 0.0])
    up, down = averaged.predict(points + step), averaged.predict(points - step)
    np.testing.assert_allclose(slope_mean[:, 0], (up[0] - down[0]) / 2e-6, atol=1e-5)
    np.testing.assert_allclose(slope_std[:, 0], (up[1] - down[1]) / 2e-6, atol=1e-5)
    assert not slope_mean[:, 1].any()


def test_sampled_moments_of_the_expectation_agree_with_the_closed_form() -> None:
    domain = Domain(SPACE)
    process, scenarios = make_process(domain), scenarios_of(domain, Expectation(scenarios=8), None, 0)
    points = np.random.default_rng(1).random((5, 2))
    exact = Averaged(process, scenarios).predict(points)
    drawn = Sampled.draw(process, scenarios, Expectation(), 0).predict(points)
    np.testing.assert_allclose(drawn[0], exact[0], atol=1e-8)  # mirrored samples
    np.testing.assert_allclose(drawn[1], exact[1], rtol=0.35)


@pytest.mark.parametrize("risk", ["expectation", CVaR(0.8), WorstCase(scenarios=8)], ids=str)
def test_the_robust_design_is_found_and_its_risk_predicted(risk: Any) -> None:
    optimizer = bb.Optimizer(SPACE, BayesianOptimization(risk=risk), seed=0)
    for _ in range(22):
        batch = optimizer.ask()
        optimizer.tell(batch, narrow_or_wide(batch.x))
    result = optimizer.result()
    assert result.predicted
    assert float(result.x[0, 0]) == pytest.approx(0.7, abs=0.03)
    assert float(result.values[0, 0]) == pytest.approx(-1.0, abs=0.1)
    assert float(optimizer._kernel.x[:, 1].std()) > 0.15  # environments vary


def test_errors_of_implementation_favour_the_wide_valley() -> None:
    space = bb.Space.box([0], [1])

    def f(x: torch.Tensor) -> torch.Tensor:
        return narrow_or_wide(torch.cat([x, torch.full_like(x, 0.5)], 1))

    for noise, expected in ((InputNoise(std=0.1), "wide"), (InputNoise({"x0": 0.001}), None)):
        optimizer = bb.Optimizer(space, BayesianOptimization(input_noise=noise), seed=0)
        for _ in range(16):
            batch = optimizer.ask()
            optimizer.tell(batch, f(batch.x))
        result = optimizer.result()
        assert result.predicted
        if expected is None:  # hardly any error: the risk is the value itself
            assert float(result.values) == pytest.approx(float(f(result.x)), abs=0.02)
        else:
            assert 0.6 < float(result.x[0, 0]) < 0.8
            made = (result.x + 0.1 * torch.randn((4000, 1), generator=torch.Generator().manual_seed(0))).double()
            assert float(result.values) == pytest.approx(float(f(made).mean()), abs=0.15)


def test_a_constraint_holds_in_most_environments() -> None:
    optimizer = bb.Optimizer(SPACE, BayesianOptimization(risk=CVaR(0.9)), n_constraints=1, seed=0)
    for _ in range(16):  # x + w / 2 <= 1 in nine of ten environments: x <= 0.55
        batch = optimizer.ask()
        optimizer.tell(batch, -batch.x[:, :1], violations=batch.x[:, :1] + batch.x[:, 1:] / 2 - 1.0)
    assert 0.4 < float(optimizer.result().x[0, 0]) < 0.58


def test_listed_and_normal_environments_make_the_scenarios() -> None:
    space = bb.Space(
        {
            "x": bb.Real(0, 1),
            "load": bb.Real(0, 10, environment=[2.0, 5.0, 9.0]),
            "kind": bb.Categorical(["dry", "wet"], environment=["dry", "wet"]),
        }
    )
    scenarios = scenarios_of(Domain(space), Expectation(), None, 0)
    assert sorted(map(tuple, scenarios.values.tolist())) == [(a, b) for a in (0.2, 0.5, 0.9) for b in (0.0, 1.0)]
    normal = bb.Space({"x": bb.Real(0, 1), "w": bb.Real(-5, 5, environment=bb.Normal(1.0, 0.5))})
    values = 10 * scenarios_of(Domain(normal), Expectation(scenarios=64), None, 0).values[:, 0] - 5
    assert values.mean() == pytest.approx(1.0, abs=0.01)
    assert values.std() == pytest.approx(0.5, abs=0.03)


def test_save_and_resume_go_on_alike(tmp_path: Any) -> None:
    def advance(optimizer: bb.Optimizer, n: int) -> None:
        for _ in range(n):
            batch = optimizer.ask()
            optimizer.tell(batch, narrow_or_wide(batch.x))

    straight = bb.Optimizer(SPACE, BayesianOptimization(risk=VaR(0.7)), seed=5)
    advance(straight, 8)
    straight.save(tmp_path / "run.bb")
    loaded = bb.Optimizer.load(tmp_path / "run.bb")
    assert loaded.algorithm == straight.algorithm
    advance(straight, 3)
    advance(loaded, 3)
    torch.testing.assert_close(straight._kernel.x, loaded._kernel.x, rtol=0, atol=0)


@pytest.mark.parametrize("wrong", ["median", 3, Risk])
def test_wrong_risks_are_refused(wrong: Any) -> None:
    with pytest.raises(SettingError, match="risk"):
        BayesianOptimization(risk=wrong)
    with pytest.raises(SettingError, match="level"):
        CVaR(1.0)
    with pytest.raises(SettingError, match="std"):
        InputNoise(-0.1)


def test_errors_of_unknown_parameters_are_named() -> None:
    with pytest.raises(SettingError, match="speed"):
        bb.Optimizer(SPACE, BayesianOptimization(input_noise=InputNoise({"speed": 0.1})), seed=0)


@pytest.mark.parametrize("risk", [Expectation(), CVaR(0.8)])
def test_of_many_designs_the_promising_ones_are_compared(risk: Risk) -> None:
    x = torch.rand((900, 2), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    algorithm = BayesianOptimization(risk=risk)
    optimizer = bb.Optimizer(SPACE, algorithm, seed=0)
    optimizer.tell(SPACE.batch(x), narrow_or_wide(x))
    optimizer.ask()
    state, domain = optimizer._kernel, Domain(SPACE)
    view = robust._look(state, domain, np.random.default_rng(0), algorithm)
    scenarios = scenarios_of(domain, risk, None, 0)
    acquisition = robust.risky(view, scenarios, risk, 0)
    designs = domain.holding(robust.centres(domain))
    known = designs.model(designs.fill(state.x.numpy(), np.random.default_rng(0)))
    rows = robust._promising(view, known, np.ones(900, bool), scenarios, risk)
    assert len(rows) == 300
    every = acquisition.predicted(known)
    assert every[rows].min() <= every.min() + 0.02 * (every.max() - every.min())
    np.testing.assert_array_equal(
        robust._promising(view, known[:200], np.ones(200, bool), scenarios, risk), np.arange(200)
    )
