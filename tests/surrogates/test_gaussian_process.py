from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch

from blackbox.errors import SettingError
from blackbox.surrogates import _training
from blackbox.surrogates.classification import classify
from blackbox.surrogates.gaussian_process import GaussianProcess, Standard, fit
from blackbox.surrogates.kernels import Array, Hyperparameters, Layout, covariance
from blackbox.surrogates.likelihood import Evidence, Prior
from blackbox.surrogates.minimise import minimise_in_box
from blackbox.surrogates.outcomes import Warp, signed_log, yeo_johnson
from blackbox.surrogates.sparse_gaussian_process import fit_sparse

MIXED = Layout((False, False, True, False, True), (False, False, False, True, True))


def mixed_points(n: int, seed: int = 0) -> Array:
    random = np.random.default_rng(seed)
    x = random.random((n, 5))
    x[:, [2, 4]] = random.integers(0, 3, (n, 2))
    x[random.random(n) < 0.4, 3] = np.nan
    x[random.random(n) < 0.4, 4] = np.nan
    return x


def smooth_data(n: int = 30, d: int = 3, seed: int = 0) -> tuple[Array, Array]:
    x = np.random.default_rng(seed).random((n, d))
    return x, 40.0 * np.sin(3.0 * x).sum(1) + 500.0


@pytest.mark.parametrize("variance", [None, 0.5])
def test_posterior_equals_botorchs_at_equal_hyperparameters(variance: float | None) -> None:
    x, y = smooth_data()
    known = None if variance is None else np.full(len(y), variance)
    model = fit(x, y, noise=0.01, variance=known)  # gpytorch raises noise to 1e-6 in standardised units
    grid = torch.rand((40, 3), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ours = model.posterior(grid)
    with torch.no_grad():
        theirs = model.to_botorch().posterior(grid)
    scale = model.standard.spread
    assert float((ours.mean - theirs.mean[:, 0]).abs().max()) / scale < 1e-8
    assert float((ours.variance - theirs.variance[:, 0]).abs().max()) / scale**2 < 2e-8
    assert float(ours.variance.min()) >= 0.0


def test_mixed_covariance_is_positive_semi_definite_and_matches_a_slow_loop() -> None:
    x = mixed_points(40)
    h = Hyperparameters(np.array([0.3, 0.5, 0.7, 0.2, 0.9]), np.array([0.3, 0.6]), 1.7)
    matrix = covariance(x, x, MIXED, h)
    assert np.linalg.eigvalsh(matrix).min() > -1e-10

    def matern(r: float) -> float:
        return float((1 + r + r * r / 3) * np.exp(-r))

    def slow(a: Array, b: Array) -> float:
        r = np.sqrt(5 * sum((a[k] - b[k]) ** 2 / h.lengthscale[k] ** 2 for k in (0, 1)))
        value = h.scale * matern(r) * np.exp(-float(a[2] != b[2]) / h.lengthscale[2])
        for j, k in enumerate((3, 4)):
            on = (not np.isnan(a[k])) + (not np.isnan(b[k]))
            if on == 1:
                value *= h.rho[j]
            elif on == 2:
                gap = np.sqrt(5) * abs(a[k] - b[k]) / h.lengthscale[k]
                own = matern(gap) if k == 3 else np.exp(-float(a[k] != b[k]) / h.lengthscale[k])
                value *= h.rho[j] + (1 - h.rho[j]) * own
        return float(value)

    expected = np.array([[slow(a, b) for b in x] for a in x])
    np.testing.assert_allclose(matrix, expected, rtol=1e-10)


@pytest.mark.parametrize("noise", [None, 1e-2])
@pytest.mark.parametrize("prior", [Prior(), Prior(shift=-1.0, together=0.3)], ids=["apart", "together"])
@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("layout", [Layout.plain(5), MIXED], ids=["plain", "mixed"])
def test_gradient_of_the_evidence(
    layout: Layout, stored: bool, prior: Prior, noise: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not stored:
        monkeypatch.setattr(_training, "_MAX_STORED", 0)
    random = np.random.default_rng(2)
    x = mixed_points(25) if layout is MIXED else random.random((25, 5))
    evidence = Evidence(x, random.standard_normal(25), layout, prior, noise=noise)
    theta = evidence.location - np.where(np.arange(len(evidence.location)) < 5, 1.5, 0.0)
    theta[:2] += np.array([0.4, -0.3])
    _, gradient = evidence(theta)
    steps = 1e-5 * np.eye(len(theta))
    numeric = np.array([(evidence(theta + s)[0] - evidence(theta - s)[0]) / 2e-5 for s in steps])
    np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mixed", [False, True])
def test_gradient_of_the_prediction(mixed: bool) -> None:
    x = mixed_points(30) if mixed else smooth_data(30, 5)[0]
    layout = MIXED if mixed else Layout.plain(5)
    y = np.nansum(x, axis=1) ** 2
    hyper = Hyperparameters(np.full(5, 0.8), np.full(len(layout.switched), 0.4), 1.3, 1e-4)
    model = GaussianProcess.build(x, y, layout, hyper)
    points = mixed_points(8, seed=5) if mixed else smooth_data(8, 5, seed=5)[0]
    _, _, slope_mean, slope_std = model.predict_with_slopes(points)
    for k in (0, 1, 3):
        step = np.zeros(5)
        step[k] = 1e-5
        (m1, s1), (m0, s0) = model.predict(points + step), model.predict(points - step)
        moving = ~np.isnan(points[:, k])
        np.testing.assert_allclose(slope_mean[moving, k], ((m1 - m0) / 2e-5)[moving], atol=1e-6)
        np.testing.assert_allclose(slope_std[moving, k], ((s1 - s0) / 2e-5)[moving], atol=1e-6)
        assert not slope_mean[~moving, k].any()


def test_conditioning_equals_building_and_belief_keeps_the_mean() -> None:
    x, y = smooth_data()
    new = np.random.default_rng(9).random((4, 3))
    model = fit(x, y, noise=1.0)
    grid = np.random.default_rng(10).random((20, 3))
    more = model.condition(new, np.arange(4.0) + 500)
    whole = GaussianProcess.build(
        np.concatenate([x, new]),
        np.concatenate([y, np.arange(4.0) + 500]),
        model.layout,
        model.hyper,
        standard=model.standard,
        mean=model.mean,
    )
    for a, b in zip(more.predict(grid), whole.predict(grid), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)
    believed = model.condition(new)
    np.testing.assert_allclose(believed.predict(grid)[0], model.predict(grid)[0], atol=1e-9)
    assert (believed.predict(new)[1] < model.predict(new)[1]).all()


def test_leave_one_out_equals_leaving_one_out() -> None:
    x, y = smooth_data(12)
    model = fit(x, y, noise=4.0)
    mean, std = model.leave_one_out()
    for i in range(3):
        keep = np.arange(12) != i
        rest = GaussianProcess.build(
            x[keep], y[keep], model.layout, model.hyper, standard=model.standard, mean=model.mean
        ).posterior(x[i : i + 1])
        noise = model.hyper.noise * model.standard.spread**2
        assert mean[i] == pytest.approx(float(rest.mean[0]), rel=1e-9)
        assert std[i] ** 2 == pytest.approx(float(rest.variance[0]) + noise, rel=1e-7)


def test_fit_recovers_relevance_and_noise() -> None:
    random = np.random.default_rng(3)
    x = random.random((80, 3))
    y = np.sin(6 * x[:, 0]) + 0.2 * random.standard_normal(80)
    model = fit(x, y)
    assert model.hyper.lengthscale[0] < 0.2 * model.hyper.lengthscale[1:].min()
    assert np.sqrt(model.hyper.noise) * model.standard.spread == pytest.approx(0.2, rel=0.3)
    again = fit(x, y, start=model)
    np.testing.assert_allclose(again.hyper.lengthscale[0], model.hyper.lengthscale[0], rtol=0.02)


def test_joint_samples_have_the_posteriors_moments() -> None:
    x, y = smooth_data(10)
    posterior = fit(x, y).posterior(np.random.default_rng(4).random((3, 3)), joint=True)
    draws = posterior.sample(20000, torch.Generator().manual_seed(0))
    assert posterior.covariance is not None
    assert torch.allclose(torch.cov(draws.T), posterior.covariance, rtol=0.1, atol=0.05 * float(draws.var()))


@pytest.mark.parametrize("y", [np.full(5, 3.0), np.zeros(5), 1e-300 * np.arange(5.0), 1e300 * np.arange(5.0)])
def test_extreme_outcomes_have_finite_predictions(y: Array) -> None:
    model = fit(np.random.default_rng(0).random((5, 2)), y)
    mean, std = model.predict(np.random.default_rng(1).random((9, 2)))
    assert np.isfinite(mean).all()
    assert (std > 0).all()


def test_repeated_points_are_factorised_with_jitter_or_noise() -> None:
    x = np.repeat(np.random.default_rng(0).random((3, 2)), 5, axis=0)
    model = fit(x, np.arange(15.0))
    assert np.isfinite(model.weights).all()
    assert model.hyper.noise > 0.01


def test_wrong_input_is_named() -> None:
    with pytest.raises(SettingError, match="y: expected finite"):
        fit(np.zeros((2, 1)), [1.0, np.nan])
    with pytest.raises(SettingError, match="x, y: expected shapes"):
        fit(np.zeros((2, 1)), [1.0])
    with pytest.raises(SettingError, match="noise"):
        fit(np.zeros((2, 1)), [1.0, 2.0], noise=-1.0)
    with pytest.raises(SettingError, match="to_botorch"):
        fit(mixed_points(5), np.arange(5.0), layout=MIXED).to_botorch()


def test_classification_separates_and_is_uncertain_at_the_border() -> None:
    x = np.random.default_rng(0).random((60, 2))
    model = classify(x, x[:, 0] < 0.5, Layout.plain(2))
    mean, std = model.predict(np.array([[0.1, 0.5], [0.5, 0.5], [0.9, 0.5]]))
    z = (mean + model.standard.shift) / np.sqrt(1 + std**2)
    assert z[0] > 1
    assert abs(z[1]) < 0.7
    assert z[2] < -1
    warm = classify(x, x[:, 0] < 0.5, Layout.plain(2), start=model.mode.theta, rounds=0)  # type: ignore[union-attr]
    np.testing.assert_allclose(warm.predict(x)[0], model.predict(x)[0], atol=1e-3)


def test_minimiser_respects_the_box_and_finds_optima_from_every_start() -> None:
    def rosenbrock(x: Array, rows: Array) -> tuple[Array, Array]:
        a, b = x.T
        value = (1 - a) ** 2 + 100 * (b - a * a) ** 2
        return value, np.stack([-2 * (1 - a) - 400 * a * (b - a * a), 200 * (b - a * a)], axis=1)

    starts = np.random.default_rng(0).uniform(-2, 2, (20, 2))
    x, f = minimise_in_box(rosenbrock, starts, np.full(2, -2.0), np.full(2, 2.0), evaluations=300)
    assert np.median(f) < 1e-9
    x, f = minimise_in_box(rosenbrock, starts, np.array([-2.0, -2.0]), np.array([0.5, 2.0]), evaluations=300)
    assert (x <= np.array([0.5, 2.0])).all()
    np.testing.assert_allclose(np.median(x, axis=0), [0.5, 0.25], atol=1e-4)


def test_minimiser_leaves_a_start_without_a_value_alone() -> None:
    x, f = minimise_in_box(
        lambda p, _: (np.where(p[:, 0] > 0.5, np.nan, p[:, 0] ** 2), 2 * p),
        np.array([[0.9], [0.4]]),
        np.zeros(1),
        np.ones(1),
    )
    assert x[0, 0] == 0.9
    assert x[1, 0] == pytest.approx(0.0, abs=1e-6)
    assert np.isnan(f[0])


def test_warp_is_monotone_invertible_and_used_for_long_bad_tails_only() -> None:
    random = np.random.default_rng(0)
    tail = np.exp(3 * random.standard_normal(100))
    warp = Warp.fit(tail)
    assert warp.power < 0.5
    grid = np.linspace(tail.min(), tail.max(), 500)
    assert (np.diff(warp(grid)) > 0).all()
    below = grid[grid < warp.ceiling]
    np.testing.assert_allclose(warp.inverse(warp(below)), below, rtol=1e-6, atol=1e-9)
    assert Warp.fit(-tail).power == 1.0
    assert Warp.fit(random.standard_normal(100)).power > 0.5
    assert Warp.fit(np.array([1.0, 2.0, 3.0, 1e12])).ceiling < 1e12 or Warp.fit(tail, warp=False).power == 1.0


def test_outliers_are_clipped_near_the_other_values() -> None:
    values = np.random.default_rng(0).random(30)
    plain = Warp.fit(values)
    for far in ([1e12], [1e12, 1e12, 1e9], [1e308]):
        warp = Warp.fit(np.concatenate([values, far]))
        assert warp.ceiling < 3.0
        assert abs(warp.power - plain.power) < 0.8
    growing = np.exp(np.linspace(0.0, 20.0, 30))  # a tail, and no outliers
    assert Warp.fit(growing).ceiling > growing[-3]


def test_yeo_johnson_matches_scipy_and_signed_log_keeps_signs() -> None:
    from scipy.stats import yeojohnson

    z = np.linspace(-3, 3, 13)
    for power in (-1.0, 0.0, 0.5):
        np.testing.assert_allclose(yeo_johnson(z, power), yeojohnson(z, power), rtol=1e-10)
    assert signed_log(np.array([-5.0, 0.0, 5.0])).tolist() == pytest.approx([-np.log(6), 0.0, np.log(6)])


def test_standard_is_safe_for_large_numbers() -> None:
    standard = Standard.of(np.array([1e308, -1e308]))
    assert np.isfinite(standard(np.array([1e308, -1e308]))).all()


def test_numbers_near_the_largest_float_are_warped_to_finite_ones() -> None:
    top = 1.7e308
    for values in (top * np.array([-1.0, 1, 1, -1, 1, -1, 0]), top * np.linspace(-1, 1, 9), np.r_[np.ones(8), -top]):
        warp = Warp.fit(values)
        warped = warp(values)
        assert np.isfinite(warped).all()
        assert (np.diff(warped[np.argsort(values, kind="stable")]) >= 0).all()
        assert not np.isnan(warp.inverse(warped)).any()


def test_wrong_data_are_named() -> None:
    x, y = np.random.default_rng(0).random((9, 2)), np.arange(9.0)
    unknown = x.copy()
    unknown[4, 1] = np.nan
    model = fit(x, y, noise="deterministic")
    wrong: dict[str, Any] = {
        "x: expected finite numbers, got nan in row 4, column 1": lambda: fit(unknown, y),
        "x: expected an array of real numbers": lambda: fit([["a", "b"]], [1.0]),  # type: ignore[arg-type]
        "y: expected an array of real numbers": lambda: fit(x, y * 1j),
        r"x: expected shape \(q, 3\)": lambda: fit(x, y, layout=Layout.plain(3)),
        "noise: expected a finite variance": lambda: fit(x, y, noise=None),  # type: ignore[arg-type]
        "variance: expected 9 finite numbers": lambda: fit(x, y, variance=np.ones(3)),
        "variance: expected 9 finite": lambda: fit(x, y, variance=np.full(9, np.nan)),
        "evaluations: expected an integer >= 1": lambda: fit(x, y, evaluations=0),
        "x: expected finite": lambda: model.posterior(unknown),
        "inducing: expected an integer >= 1": lambda: fit_sparse(x, y, inducing=0),
        "subset: expected an integer >= 1": lambda: fit_sparse(x, y, subset=2.5),  # type: ignore[arg-type]
        "x: expected finite numbers, got": lambda: fit_sparse(unknown, y),
    }
    for message, call in wrong.items():
        with pytest.raises(SettingError, match=message):
            call()


@pytest.mark.parametrize("size", [1e300, 8e307])
def test_outcomes_near_the_largest_float_are_modelled(size: float) -> None:
    x = np.random.default_rng(0).random((12, 2))
    shape = np.sign(x[:, 0] - 0.5) if size > 1e305 else (x**2).sum(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        posterior = fit(x, shape * size, noise="deterministic").posterior(x, joint=True)
    np.testing.assert_allclose(posterior.mean.numpy() / size, shape, atol=1e-2)
    assert not bool(posterior.variance.isnan().any())
