from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from blackbox.algorithms.consensus import (
    Adam,
    AdaptiveSize,
    Alpha,
    Domain,
    Jumps,
    Memory,
    MiniBatch,
    Noise,
    Restarts,
    Settings,
    Subset,
    cluster_minima,
    learn,
    minimize_many,
    next_points,
    propose,
    start,
)
from blackbox.algorithms.consensus._draws import draw_ahead
from blackbox.algorithms.consensus._ensemble import Ensemble
from blackbox.algorithms.consensus._noise import covariance_noise, diffusion, random_subset
from blackbox.algorithms.consensus._quick import is_quick, quick_points
from blackbox.algorithms.consensus._sparse import draw_moves, moved
from blackbox.algorithms.consensus._step import best_of

CLASSIC = Settings.classic()
VARIANTS = {
    "default": Settings(),
    "classic": CLASSIC,
    "isotropic": replace(CLASSIC, noise=Noise(kind="isotropic", sigma=0.3)),
    "constant": replace(CLASSIC, noise=Noise(kind="constant", sigma=0.3, cooling="logarithmic")),
    "covariance": replace(CLASSIC, noise=Noise(kind="covariance", sigma=1.4), alpha=Alpha(), dt=0.1),
    "truncated": replace(CLASSIC, noise=Noise(kind="component", sigma=8.0, truncation=0.3)),
    "difference": replace(CLASSIC, noise=Noise(kind="difference", sigma=0.5)),
    "full batches": replace(CLASSIC, batch=MiniBatch(size=5, scope="full")),
    "partial batches": replace(CLASSIC, batch=MiniBatch(size=5, scope="partial")),
    "partial, memory": replace(CLASSIC, batch=MiniBatch(size=5, scope="partial"), memory=Memory(greedy=False)),
    "partial, greedy, jumps": replace(Settings(), batch=MiniBatch(size=5, scope="partial")),
    "partial, adam": replace(CLASSIC, batch=MiniBatch(size=5, scope="partial"), adam=Adam()),
    "own batches, soft": replace(Settings(), alpha=Alpha(), batch=MiniBatch(size=4)),
    "own covariance": replace(Settings(), noise=Noise(kind="covariance", sigma=1.0)),
    "memory": replace(CLASSIC, memory=Memory(greedy=False, sigma=2.0)),
    "ess": replace(CLASSIC, alpha=Alpha(schedule="ess")),
    "hard": replace(CLASSIC, alpha=Alpha(schedule="hard")),
    "jumps only": replace(CLASSIC, jumps=Jumps(probability=0.2)),
    "subset only": replace(CLASSIC, subset=Subset(exponent=1.0)),
    "adam": replace(CLASSIC, adam=Adam(), noise=Noise(kind="constant", sigma=0.1)),
    "adaptive": replace(CLASSIC, size=AdaptiveSize(smallest=4)),
    "restarts": replace(Settings(), restarts=Restarts(patience=3)),
    "shaken": replace(CLASSIC, restarts=Restarts(patience=3, scale=0.1)),
    "polarised": Settings.several_minima(),
    "hopping": Settings.hops(learning_rate=0.01, radius=0.05),
    "mirror": replace(Settings(), domain=Domain(method="mirror")),
}


def sphere(x: Tensor) -> Tensor:
    return (x - 0.3).square().sum(-1)


def himmelblau(x: Tensor) -> Tensor:
    a, b = x[..., 0], x[..., 1]
    return (a * a + b - 11) ** 2 + (a + b * b - 7) ** 2


def run(settings: Settings, *, seed: int = 0, runs: int = 2, n: int = 12, d: int = 3, steps: int = 25) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    e = start(settings, torch.rand((runs, n, d), generator=generator, dtype=torch.float64))
    for _ in range(steps):
        e = learn(settings, e, e.x, sphere(e.x))
        e = next_points(settings, e, generator)
        assert ((e.x >= 0) & (e.x <= 1)).all()
        assert not e.x.isnan().any()
    return e.x


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_stays_in_the_cube_and_repeats_itself(name: str) -> None:
    settings = VARIANTS[name]
    assert torch.equal(run(settings), run(settings))
    assert not torch.equal(run(settings), run(settings, seed=1))
    assert run(settings, n=1, d=1, steps=4).shape[-1] == 1


@pytest.mark.parametrize("name", VARIANTS)
def test_failures_attract_nothing_and_poison_nothing(name: str) -> None:
    settings = VARIANTS[name]
    generator = torch.Generator().manual_seed(0)
    e = start(settings, torch.rand((2, 12, 3), generator=generator, dtype=torch.float64))
    bad = torch.tensor([math.nan, math.inf, -math.inf, math.nan], dtype=torch.float64)
    for k in range(12):
        f = sphere(e.x)
        failing = torch.rand(f.shape, generator=generator) < (1.0 if k in (0, 5) else 0.3)
        f = torch.where(failing, bad[torch.randint(4, f.shape, generator=generator)], f)
        e = next_points(settings, learn(settings, e, e.x, f), generator)
        assert torch.isfinite(e.x).all()
    x, f, _ = best_of(e)
    assert torch.isfinite(f).all()
    assert torch.allclose(sphere(x), f)


def test_a_particle_that_fails_is_no_ones_consensus() -> None:
    settings = replace(CLASSIC, noise=Noise(sigma=0.0), dt=1.0)
    x = torch.tensor([[[0.1], [0.5], [0.9]]], dtype=torch.float64)
    e = learn(settings, start(settings, x), x, torch.tensor([[math.nan, 2.0, 2.0]], dtype=torch.float64))
    assert torch.allclose(propose(settings, e, torch.Generator()).x, torch.full((1, 3, 1), 0.7, dtype=torch.float64))


@pytest.mark.parametrize("name", [n for n in VARIANTS if n != "hopping"])
def test_scaling_and_shifting_the_objective_changes_nothing(name: str) -> None:
    settings, finals = VARIANTS[name], []
    for scale, shift in ((1.0, 0.0), (2.0**20, 0.0), (1.0, 1024.0)):
        generator = torch.Generator().manual_seed(0)
        e = start(settings, torch.rand((2, 12, 3), generator=generator, dtype=torch.float64))
        for _ in range(6):
            f = (sphere(e.x) * 2**20).round() / 2**20  # exact under both
            e = next_points(settings, learn(settings, e, e.x, f * scale + shift), generator)
        finals.append(e.x)
    assert torch.allclose(finals[0], finals[1], atol=1e-9)
    assert torch.allclose(finals[0], finals[2], atol=1e-9)


def test_hopping_is_a_gradient_step() -> None:
    """Section 9 (2): c - x = -tau grad f on a quadratic, within 3 s / sqrt(N) in each coordinate."""
    n, tau, radius = 20_000, 1e-3, 0.02
    settings = Settings.hops(learning_rate=tau, radius=radius)
    slopes = torch.tensor([1.0, 4.0, 9.0], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    center = torch.tensor([0.6, 0.45, 0.55], dtype=torch.float64)
    cloud = center + radius * torch.randn((8, n, 3), generator=generator, dtype=torch.float64)
    e = learn(settings, start(settings, cloud), cloud, 0.5 * ((cloud - 0.5).square() * slopes).sum(-1))
    following = propose(settings, e, generator).x
    gradient = (center - 0.5) * slopes
    noise = 3 * radius / math.sqrt(n)
    steps = following.mean(1) - center  # the mean of the next cloud, so twice the sampling error
    assert ((steps + tau * gradient).abs() < 2 * noise).all()
    assert ((steps.mean(0) + tau * gradient).abs() < noise / 2).all()
    assert (following.std(1) / radius - 1).abs().max() < 0.05


def test_hopping_descends() -> None:
    x = run(Settings.hops(learning_rate=0.1, radius=0.02), n=200, steps=40)
    assert (x.mean(1) - 0.3).abs().max() < 0.01


def test_variance_decays_at_the_rate_of_the_mean_field() -> None:
    """Section 9 (3): exp(-(2 lambda - sigma^2) t) for component-wise noise on f = 0, 5 %."""
    sigma, dt, steps = 0.5, 0.01, 100
    settings = replace(CLASSIC, noise=Noise(kind="component", sigma=sigma), dt=dt)
    generator = torch.Generator().manual_seed(0)
    e = start(settings, 0.5 + 0.02 * torch.randn((6, 1000, 4), generator=generator, dtype=torch.float64))

    def variance(x: Tensor) -> float:
        return float((x - x.mean(1, keepdim=True)).square().mean())

    first = variance(e.x)
    for _ in range(steps):
        e = propose(settings, learn(settings, e, e.x, torch.zeros(e.x.shape[:2], dtype=torch.float64)), generator)
    rate = -math.log(variance(e.x) / first) / (steps * dt)
    assert abs(rate / (2 - sigma**2) - 1) < 0.05


def test_same_normals_same_trajectory_as_numpy() -> None:
    """Section 9 (6): an independent NumPy loop, fed with the same normals, agrees to 1e-6."""
    settings = Settings.classic(sigma=5.1, alpha=Alpha(schedule="multiply", start=2.0, relative=False))
    generator, twin = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    x0 = torch.rand((1, 15, 4), generator=generator, dtype=torch.float64)
    x = torch.rand((1, 15, 4), generator=twin, dtype=torch.float64)[0].numpy().copy()
    e, alpha = start(settings, x0), 2.0
    for _ in range(50):
        e = propose(settings, learn(settings, e, e.x, sphere(e.x)), generator)
        f = ((x - 0.3) ** 2).sum(1)
        w = np.exp(-alpha * (f - f.min()))
        consensus = w @ x / w.sum()
        xi = torch.randn((1, 15, 4), generator=twin, dtype=torch.float64)[0].numpy()
        gap = x - consensus
        x = x - 0.01 * gap + 5.1 * 0.1 * gap * xi
        x = np.clip(np.where(x < 0, -x, np.where(x > 1, 2 - x, x)), 0, 1)
        alpha = min(alpha * 1.05, 1e5)
        assert np.abs(e.x[0].numpy() - x).max() < 1e-6


def test_polarised_runs_find_all_four_minima_of_himmelblau() -> None:
    """Section 9 (7): in at least 95 of 100 runs."""
    minima = torch.tensor([[3, 2], [-2.805118, 3.131312], [-3.779310, -3.283186], [3.584428, -1.848126]])
    lower = torch.full((2,), -5.0)
    options = {"runs": 100, "evaluations": 8000, "particles": 100, "settings": Settings.several_minima()}
    done = minimize_many(himmelblau, lower, -lower, generator=torch.Generator().manual_seed(0), **options)  # type: ignore[arg-type]
    found = 0
    for y, f in zip(done.ensemble.y, done.ensemble.f, strict=True):
        points, least = cluster_minima(-5 + 10 * y, f, 1.0)
        points = points[least < 1]
        found += len(points) == 4 and bool((torch.cdist(minima, points).amin(1) < 0.25).all())
    assert found >= 95


def test_diffusions_are_what_they_say() -> None:
    pair = torch.randn((2, 5, 3), generator=torch.Generator().manual_seed(0))
    gap, xi = pair[:1], pair[1:]
    assert torch.equal(diffusion(gap, xi, "component"), gap * xi)
    assert torch.allclose(diffusion(gap, xi, "isotropic"), gap.norm(dim=-1, keepdim=True) * xi)
    assert diffusion(gap, xi, "constant") is xi
    cut = diffusion(gap, torch.ones_like(xi), "component", truncation=0.5)
    assert torch.allclose(cut.norm(dim=-1), gap.norm(dim=-1).clamp_max(0.5))
    assert torch.allclose(
        diffusion(gap, xi, "isotropic", truncation=0.5), gap.norm(dim=-1, keepdim=True).clamp_max(0.5) * xi
    )


@pytest.mark.parametrize("m", [3, 40])
def test_covariance_noise_has_the_weighted_covariance(m: int) -> None:
    generator = torch.Generator().manual_seed(0)
    gap = torch.randn((1, m, 5), generator=generator, dtype=torch.float64)
    w = torch.softmax(torch.randn((1, m), generator=generator, dtype=torch.float64), -1)
    draws = covariance_noise(gap, w, 200_000, generator)[0]
    expected = (gap[0].T * w[0]) @ gap[0]
    assert (draws.T @ draws / len(draws) - expected).abs().max() < 0.02 * float(expected.abs().max())


def test_random_bits_have_their_probability() -> None:
    threshold = torch.tensor([-32768, -16384, 0, 32767], dtype=torch.int16)[None, :, None]
    out = torch.empty((1, 4, 100_001), dtype=torch.float64)
    events = random_subset(threshold, torch.Generator().manual_seed(0), out=out).mean(-1)[0]
    assert (events - torch.tensor([0, 0.25, 0.5, 1.0], dtype=torch.float64)).abs().max() < 0.006


def test_draws_are_what_the_settings_say() -> None:
    settings = Settings(jumps=Jumps(probability=0.25, smallest=0.1, largest=0.1))
    like = torch.zeros((1, 1, 10), dtype=torch.float64)
    draws = draw_ahead(settings, 4, 1000, 7, like, torch.Generator().manual_seed(0))
    assert draws.rows.shape == (4, draws.places.shape[0], 4, 1000)
    run = torch.arange(4)[:, None]
    assert (draws.rows // 7 == run).all(), "a particle of another run"
    assert len(draws.rows.unique()) == 28
    assert (draws.rows[2] != draws.rows[3]).all(), "a difference of a particle with itself"
    assert (draws.places // 10 == torch.arange(4000).view(4, 1000)).all()
    assert len((draws.places % 10).unique()) == 10
    assert abs(float(draws.leaps.double().mean()) - 0.25) < 0.01
    assert abs(float(draws.jumps[draws.leaps].std()) - 0.1) < 0.005
    assert (draws.threshold[draws.leaps] == -32768).all()


def test_moves_are_what_the_settings_say() -> None:
    settings = Settings(jumps=Jumps(probability=0.25, smallest=0.1, largest=0.1))
    y = torch.zeros((4, 100, 10), dtype=torch.float64)
    moves = draw_moves(settings, y, 5, torch.Generator().manual_seed(0))
    assert len(moves) > 1
    for move in moves:
        of, column = np.divmod(move.cells, 10)
        own, plus, minus = move.offsets[:, of] + move.cells
        places = np.concatenate((own, move.leaps))
        assert len(np.unique(places)) == len(places), "a place twice"
        assert set((places // 10).tolist()) == set(range(400)), "a particle that does not move"
        assert (move.movers[of] * 10 + column == own).all()
        assert (move.members // 100 == move.movers // 100).all(), "a particle of another run"
        for other in (plus, minus):
            assert (other % 10 == column).all()
            assert (other // 1000 == own // 1000).all()
        assert (plus != minus).all(), "a difference of a particle with itself"
    assert abs(sum(len(move.jumps) for move in moves) / (400 * len(moves)) - 0.25) < 0.02
    assert abs(float(np.concatenate([move.jumps for move in moves]).std()) - 0.1) < 0.01
    factors = np.log(np.concatenate([move.factors for move in moves]) / settings.noise.sigma)
    assert abs(factors.std() / settings.noise.spread - 1) < 0.05


def some_ensemble(runs: int = 3, n: int = 50, d: int = 4) -> Ensemble:
    generator = torch.Generator().manual_seed(0)
    e = start(Settings(), torch.rand((runs, n, d), generator=generator, dtype=torch.float64))
    return learn(Settings(), e, e.x, sphere(e.x))


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(jumps=None, dt=0.7),
        Settings(batch=MiniBatch(size=4), domain=Domain(method="clip")),
    ],
)
def test_a_few_operations_do_what_the_general_ones_do(settings: Settings) -> None:
    """The dense tensor program agrees with the general step, fed with the same draws."""
    e = some_ensemble()
    assert is_quick(settings)
    general = replace(settings, noise=replace(settings.noise, cooling="logarithmic"))  # cooling by log(e) = 1 in step 1
    assert not is_quick(general)
    draws = draw_ahead(settings, 3, 50, 50, e.y, torch.Generator().manual_seed(1))
    e.draws, e.drawn = draws, 0
    slow = propose(general, e, torch.Generator().manual_seed(2)).x
    quick = quick_points(settings, e.y, e.f, draws.at(0), torch.Generator().manual_seed(2))
    assert torch.allclose(slow, quick, rtol=0, atol=1e-12)
    assert (quick == e.y).any(-1).any()


@pytest.mark.parametrize("rate", [1.0, 0.7])
def test_sparse_moves_equal_a_loop(rate: float) -> None:
    """An independent loop over particles, fed with the same draws."""
    settings, e = Settings(dt=rate, batch=MiniBatch(size=3)), some_ensemble()
    e.f[1, 7] = math.inf
    move = draw_moves(settings, e.y, 3, torch.Generator().manual_seed(1))[2]
    points = moved(settings, e.y, e.f, move).reshape(-1, 4)
    y, f = e.y.reshape(-1, 4).numpy(), e.f.reshape(-1).numpy()
    expected = y.copy()
    for cell in move.cells:
        of, column = divmod(cell, 4)
        place, plus, minus = move.offsets[:, of] + cell
        best = min(move.members[:, of], key=lambda row: f[row])
        own = y[move.movers[of], column]
        center = own + rate * (y[best, column] - own)
        noise = move.factors[of] * (y.reshape(-1)[plus] - y.reshape(-1)[minus])
        expected[divmod(place, 4)] = center + noise
    for place, jump in zip(move.leaps, move.jumps, strict=True):
        expected[divmod(place, 4)] += jump
    expected = np.where(expected < 0, -expected, np.where(expected > 1, 2 - expected, expected)).clip(0, 1)
    assert np.abs(points.numpy() - expected).max() < 1e-12


def test_adaptive_size_shrinks_with_the_variance_and_keeps_the_best() -> None:
    settings = replace(CLASSIC, noise=Noise(sigma=0.5), dt=0.2, size=AdaptiveSize(rate=0.5, smallest=6))
    lower = torch.zeros(3, dtype=torch.float64)
    done = minimize_many(
        sphere,
        lower,
        lower + 1,
        runs=3,
        particles=60,
        evaluations=3000,
        settings=settings,
        generator=torch.Generator().manual_seed(0),
    )
    assert done.ensemble.f.shape[1] == 6
    assert torch.allclose(sphere(done.x), done.values)


def test_restarts_draw_stuck_runs_anew_and_remember_the_best() -> None:
    settings = replace(Settings(), restarts=Restarts(patience=2))
    generator = torch.Generator().manual_seed(0)
    e = start(settings, torch.rand((2, 30, 2), generator=generator, dtype=torch.float64))
    e = learn(settings, e, e.x, sphere(e.x))
    best = best_of(e)[1]
    for _ in range(2):
        e = learn(settings, next_points(settings, e, generator), e.x, torch.full((2, 30), 9.0, dtype=torch.float64))
    assert (e.stale == 2).all()
    e = next_points(settings, e, generator)
    assert (e.stale == 0).all()
    assert e.f.isinf().all()
    assert torch.equal(best_of(e)[1], best)


def test_mini_batches_go_round_the_whole_ensemble() -> None:
    settings = replace(CLASSIC, batch=MiniBatch(size=4, scope="partial"))
    generator = torch.Generator().manual_seed(0)
    e = start(settings, torch.rand((3, 12, 2), generator=generator, dtype=torch.float64))
    e = learn(settings, e, e.x, sphere(e.x))
    moved = torch.zeros((3, 12), dtype=torch.int64)
    for _ in range(6):
        e = propose(settings, e, generator)
        assert e.x.shape == (3, 4, 2)
        moved.scatter_add_(1, e.rows, torch.ones_like(e.rows))
        e = learn(settings, e, e.x, sphere(e.x))
    assert (moved == 2).all()


def test_float32_runs_stay_float32() -> None:
    lower = torch.zeros(3)
    done = minimize_many(sphere, lower, lower + 1, runs=4, evaluations=2000, generator=torch.Generator().manual_seed(0))
    assert done.x.dtype == torch.float32
    assert done.n_evaluations == 2000
    assert done.values.max() < 1e-4
