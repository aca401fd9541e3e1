from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from blackbox.algorithms.consensus import (
    Alpha,
    Polarised,
    alpha_for_share,
    cluster_minima,
    consensus_point,
    consensus_weights,
    effective_sample_size,
    polarised_consensus,
)
from blackbox.algorithms.consensus._weights import scheduled_share


def values(seed: int, n: int = 40, runs: int = 3) -> Tensor:
    return torch.randn((runs, n), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_weights_are_the_softmax_of_minus_alpha_f() -> None:
    f = values(0)
    alpha = torch.tensor([0.0, 1.0, 30.0], dtype=torch.float64)
    assert torch.allclose(consensus_weights(f, alpha), torch.softmax(-alpha[:, None] * f, -1))


def test_a_constant_and_a_huge_alpha_change_nothing_and_overflow_nothing() -> None:
    f = (values(1) * 8).round() / 8  # exact under the shift
    for alpha in (1.0, 1e5):
        assert torch.equal(consensus_weights(f, alpha), consensus_weights(f + 1e6, alpha))
    w = consensus_weights(values(1), 1e300)
    assert torch.equal(w.argmax(-1), values(1).argmin(-1))
    assert torch.allclose(w.sum(-1), torch.ones(3, dtype=torch.float64))


def test_infinite_alpha_is_the_best_particle_and_ties_share() -> None:
    w = consensus_weights(torch.tensor([3.0, 1.0, 1.0, 2.0]), math.inf)
    assert w.tolist() == [0.0, 0.5, 0.5, 0.0]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_failed_values_weigh_nothing(bad: float) -> None:
    f = torch.tensor([[1.0, bad, 2.0], [bad, bad, bad]])
    w = consensus_weights(f, 1.0)
    assert w[0, 1] == 0
    assert torch.allclose(w[0, [0, 2]], torch.softmax(torch.tensor([-1.0, -2.0]), 0))
    assert (w[1] == 0).all()
    assert effective_sample_size(w)[1] == 0


@given(st.floats(0.05, 1.0), st.integers(0, 100), st.sampled_from([1e-12, 1.0, 1e9]), st.sampled_from([0.0, 1e6]))
def test_alpha_gives_the_share_of_particles_at_any_scale(share: float, seed: int, scale: float, shift: float) -> None:
    f = values(seed)
    w = consensus_weights(f, alpha_for_share(f, share))
    assert torch.allclose(
        effective_sample_size(w), torch.full((3,), max(share * 40, 1.0), dtype=torch.float64), rtol=0.02
    )
    if scale == 1.0 or shift == 0.0:
        moved = f * scale + shift
        again = consensus_weights(moved, alpha_for_share(moved, share))
        assert torch.allclose(w, again, atol=1e-3)


def test_alpha_survives_constant_failed_and_extreme_values() -> None:
    rows = [
        [2.0] * 4,
        [math.nan] * 4,
        [1.0, math.inf, 2.0, math.nan],
        [-1e300, 1e-300, 1e300, 0.0],
        [5e-324, 0.0, 1e-323, 0.0],
    ]
    f = torch.tensor(rows, dtype=torch.float64)
    alpha = alpha_for_share(f, 0.5)
    assert torch.isfinite(alpha).all()
    w = consensus_weights(f, alpha)
    assert torch.isfinite(w).all()
    assert torch.allclose(w[0], torch.full((4,), 0.25, dtype=torch.float64))


def test_the_share_shrinks_to_one_particle() -> None:
    schedule = Alpha(schedule="ess", share=0.5, last_share=0.01, shrink=0.9)
    assert scheduled_share(schedule, 0, 50) == 0.5
    assert scheduled_share(schedule, 1000, 50) == 1 / 50
    assert scheduled_share(schedule, 1000, 1000) == 0.01


@pytest.mark.parametrize("kernel", ["gaussian", "laplace", "ball", "inverse quadratic"])
def test_polarised_consensus_equals_a_loop(kernel: str) -> None:
    generator = torch.Generator().manual_seed(2)
    x = torch.rand((2, 15, 3), generator=generator, dtype=torch.float64)
    f = torch.rand((2, 15), generator=generator, dtype=torch.float64)
    f[0, 3] = math.nan
    alpha = torch.tensor([2.0, 7.0], dtype=torch.float64)
    options = Polarised(kernel=kernel, kappa=0.4, rows=4)  # type: ignore[arg-type]
    found = polarised_consensus(x, f, alpha, options)
    shapes: dict[str, Callable[[float], float]] = {
        "gaussian": lambda r: math.exp(-(r**2) / (2 * 0.4**2)),
        "laplace": lambda r: math.exp(-r / 0.4),
        "ball": lambda r: float(r <= 0.4),
        "inverse quadratic": lambda r: 1 / (1 + r**2 / 0.4**2),
    }
    for b in range(2):
        for i in range(15):
            total, mean = 0.0, torch.zeros(3, dtype=torch.float64)
            for j in range(15):
                if math.isfinite(float(f[b, j])):
                    w = shapes[kernel](float((x[b, i] - x[b, j]).norm())) * math.exp(-float(alpha[b] * f[b, j]))
                    total, mean = total + w, mean + w * x[b, j]
            expected = mean / total if total else x[b, i]
            assert torch.allclose(found[b, i], expected)


def test_consensus_point_is_the_weighted_mean() -> None:
    x = torch.rand((2, 5, 3), generator=torch.Generator().manual_seed(3))
    w = torch.softmax(torch.rand((2, 5), generator=torch.Generator().manual_seed(4)), -1)
    assert torch.allclose(consensus_point(x, w), (w[..., None] * x).sum(1))


def test_clusters_are_found_best_first() -> None:
    x = torch.tensor([[0.0, 0.0], [0.01, 0.0], [1.0, 1.0], [1.0, 1.02], [5.0, 5.0]])
    f = torch.tensor([2.0, 1.0, 0.5, 0.7, math.nan])
    points, least = cluster_minima(x, f, 0.1)
    assert torch.equal(points, x[[2, 1]])
    assert torch.equal(least, f[[2, 1]])
    assert len(cluster_minima(x[4:], f[4:], 0.1)[0]) == 0
