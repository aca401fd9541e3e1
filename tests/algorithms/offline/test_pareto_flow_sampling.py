"""The parts of ParetoFlow's sampling: streams, cones, archives, guidance with exact objectives, the last selection."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from blackbox.algorithms.evolutionary.survival import survive_nsga2
from blackbox.algorithms.offline._archive import Archive, assign
from blackbox.algorithms.offline._guidance import Box, Guidance, sample_guided
from blackbox.algorithms.offline._models import Targets
from blackbox.algorithms.offline._streams import Frame, Streams, alignment, make_streams, worth
from blackbox.algorithms.offline._subset import distinct, hedged_order, order_designs
from blackbox.metrics import hypervolume
from blackbox.surrogates.flow import integrate

CPU = torch.device("cpu")
UNIT = Frame(torch.zeros(2), torch.ones(2))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def zdt(concave: bool) -> Callable[[Tensor], Tensor]:
    """Return ZDT1 or ZDT2 of x = (1 + z) / 2, differentiable, with a root that is smooth at 0."""

    def values(z: Tensor) -> Tensor:
        x = ((1.0 + z) / 2.0).clamp(0.0, 1.0)
        g = 1.0 + 9.0 * x[:, 1:].mean(1)
        ratio = x[:, 0] / g
        shape = ratio.square() if concave else (ratio + 1e-6).sqrt()
        return torch.stack([x[:, 0], g * (1.0 - shape)], 1)

    return values


def data(values: Callable[[Tensor], Tensor], d: int = 10, n: int = 600) -> tuple[Tensor, Tensor]:
    z = torch.rand((n, d), generator=seeded(1)) * 2.0 - 1.0
    return z, values(z)


def normal_flow(x: Tensor, t: float) -> Tensor:
    """The exact velocity from N(0, I) to N(0, 0.33 I), the moments of the data."""
    s2 = 0.33
    return (t * s2 - (1.0 - t)) / ((1.0 - t) ** 2 + t * t * s2) * x


def run(concave: bool, guidance: Guidance, seed: int = 0) -> tuple[Archive, Archive, tuple[Tensor, Tensor], Streams]:
    f = zdt(concave)
    z, y = data(f)
    streams = make_streams(2, guidance.streams, guidance.neighbours, device=CPU)
    rows = survive_nsga2(y, len(streams))[0]
    start = assign(z[rows], y[rows], streams, Frame.of(y[rows]), guidance.scalarisation)
    box = Box(-torch.ones(z.shape[1]), torch.ones(z.shape[1]))
    found = sample_guided(normal_flow, f, start, streams, box, guidance, seeded(seed))
    return start, found.archive, (found.elite.x, found.elite.values), streams


# -- streams -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("m", "n"), [(2, 300), (3, 300), (4, 364), (8, 330)])
def test_there_are_about_as_many_weights_as_wanted(m: int, n: int) -> None:
    streams = make_streams(m, 300, None, device=CPU)
    assert len(streams) == n
    assert streams.neighbours.shape == (n, m + 1)
    assert (streams.weights > 0).all()
    torch.testing.assert_close(streams.weights.sum(1), torch.ones(n))


def test_a_lattice_that_leaps_is_replaced() -> None:
    assert (
        300 <= len(make_streams(20, 300, None, device=CPU)) <= 600 or len(make_streams(20, 300, None, device=CPU)) < 600
    )


def test_neighbours_are_the_nearest_angles_and_itself_comes_first() -> None:
    streams = make_streams(2, 11, None, device=CPU)
    assert streams.neighbours[:, 0].tolist() == list(range(11))
    assert set(streams.neighbours[5].tolist()) == {4, 5, 6}


def test_cones_are_the_mean_angle_to_the_nearest_other_weights() -> None:
    streams = make_streams(2, 9, None, device=CPU)
    unit = streams.weights / streams.weights.norm(dim=1, keepdim=True)
    angles = [math.acos(min(1.0, float(unit[4] @ unit[j]))) for j in (3, 5)]
    assert float(streams.cone[4]) == pytest.approx(math.cos(sum(angles) / 2), abs=1e-5)
    assert torch.isfinite(streams.cone).all()


@pytest.mark.parametrize("kind", ["tchebycheff", "ray"])
def test_what_a_stream_wants_lies_in_its_cone(kind: str) -> None:
    """On a concave front each stream's best point is where the vector that the cone watches is parallel to w."""
    t = torch.linspace(0.0, 1.0, 2001)
    front = torch.stack([t, 1.0 - t * t], 1)
    streams = make_streams(2, 21, None, device=CPU)
    best = worth(front.unsqueeze(0), streams.weights.unsqueeze(1), UNIT, kind).argmax(1)  # type: ignore[arg-type]
    cosine = alignment(front[best], streams.weights, UNIT, kind)  # type: ignore[arg-type]
    assert (cosine >= streams.cone).all()
    assert len(torch.unique(best)) == 21, "every stream has its own point"


def test_a_weighted_sum_finds_the_ends_of_a_concave_front_only() -> None:
    t = torch.linspace(0.0, 1.0, 101)
    front = torch.stack([t, 1.0 - t * t], 1)
    streams = make_streams(2, 21, None, device=CPU)
    best = worth(front.unsqueeze(0), streams.weights.unsqueeze(1), UNIT, "weighted_sum").argmax(1)
    assert set(best.tolist()) == {0, 100}


def test_frames_are_those_of_the_front() -> None:
    frame = Frame.of(torch.tensor([[0.0, 2.0], [1.0, 1.0], [3.0, 3.0], [5.0, 0.5]]))
    torch.testing.assert_close(frame.ideal, torch.tensor([-0.25, 0.425]))
    torch.testing.assert_close(frame.nadir, torch.tensor([5.25, 2.075]))
    single = Frame.of(torch.tensor([[1.0, 1.0], [2.0, 2.0]]))
    assert torch.isfinite(single.gain(torch.ones(1, 2))).all()


# -- archive -------------------------------------------------------------------------------------------------------


def test_an_archive_starts_with_the_best_points_not_the_worst() -> None:
    values = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.25, 0.25], [5.0, 5.0], [6.0, 6.0]])
    streams = make_streams(2, 3, None, device=CPU)
    archive = assign(values.clone(), values, streams, Frame.of(values), "tchebycheff")
    assert sorted(archive.values.tolist()) == [[0.0, 1.0], [0.25, 0.25], [1.0, 0.0]]


def test_fewer_points_than_streams_are_dealt_out_again() -> None:
    values = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    archive = assign(values, values, make_streams(2, 7, None, device=CPU), UNIT, "tchebycheff")
    assert len(archive.x) == 7


@pytest.mark.parametrize("kind", ["weighted_sum", "tchebycheff", "ray"])
def test_archive_values_never_get_worse(kind: str) -> None:
    streams = make_streams(2, 15, None, device=CPU)
    archive = Archive(torch.zeros(15, 3), torch.full((15, 2), 2.0))
    before = worth(archive.values, streams.weights, UNIT, kind)  # type: ignore[arg-type]
    for seed in range(20):
        values = torch.rand((15, 2), generator=seeded(seed)) * 3.0
        offered = torch.full((15, 3), 1.0 + seed)
        archive = archive.improved(offered, values, streams, UNIT, kind)  # type: ignore[arg-type]
        after = worth(archive.values, streams.weights, UNIT, kind)  # type: ignore[arg-type]
        assert (after >= before).all()
        kept = (archive.x == offered).all(1)
        assert torch.equal(archive.values[kept], values[kept])
        before = after


# -- sampling ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("concave", "ceiling"), [(False, 1.1 * 1.1 - 1 / 3), (True, 1.1 * 1.1 - 2 / 3)])
def test_with_exact_objectives_the_front_is_reached(concave: bool, ceiling: float) -> None:
    start, archive, (_, elite), _ = run(concave, Guidance(streams=60))
    best = hypervolume(torch.cat([archive.values, elite]), [1.1, 1.1])
    assert hypervolume(start.values, [1.1, 1.1]) < 0.1
    assert best > 0.97 * ceiling, best


def test_every_stream_keeps_its_own_segment_of_a_concave_front() -> None:
    _, archive, _, streams = run(True, Guidance(streams=21))
    order = archive.values[streams.weights[:, 0].argsort(), 0]
    assert (order.diff() > -0.05).all()
    assert order.diff().max() < 0.25
    assert order.max() - order.min() > 0.9


def test_without_a_gradient_noise_and_choice_it_is_the_plain_flow() -> None:
    guidance = Guidance(
        streams=30,
        strength=0.0,
        noise=0.0,
        offspring=1,
        neighbours=1,
        rounds=1,
        cone="none",
        warm_steps=8,
        guided_steps=12,
    )
    f = zdt(True)
    wide = Box(torch.full((4,), -50.0), torch.full((4,), 50.0))
    streams = make_streams(2, 30, 1, device=CPU)
    worst = Archive(torch.zeros(30, 4), torch.full((30, 2), 1e3))
    elite = sample_guided(normal_flow, f, worst, streams, wide, replace(guidance, elite=10**6), seeded(4)).elite
    x = torch.randn((30, 4), generator=seeded(4))
    x = integrate(normal_flow, x, 0.0, 0.8, 8)
    x = integrate(normal_flow, x, 0.8, 1.0, 12, method="euler")
    distance = torch.cdist(x, elite.x).amin(1)  # at time 1 the design is the point itself
    assert float(distance.max()) < 2e-3


@pytest.mark.parametrize("through_flow", [False, True])
def test_guidance_improves_what_the_flow_gives(through_flow: bool) -> None:
    base = Guidance(streams=20, rounds=1, guided_steps=10, noise=0.0, elite=0, through_flow=through_flow)
    plain, guided = (run(False, replace(base, strength=s))[1] for s in (0.0, 3.0))
    assert hypervolume(guided.values, [1.1, 10.0]) > hypervolume(plain.values, [1.1, 10.0]) + 0.1


def test_designs_are_in_the_box_and_the_published_settings_run() -> None:
    for guidance in (
        Guidance(streams=10, guided_steps=5),
        replace(Guidance.published(), streams=10, warm_steps=8, guided_steps=5),
        Guidance(streams=10, guided_steps=5, scalarisation="weighted_sum", cone="centred"),
    ):
        _, archive, (x, _), _ = run(True, guidance)
        for designs in (archive.x, x):
            assert float(designs.abs().max()) <= 1.0


def test_equal_seeds_sample_equally() -> None:
    first, second, other = (run(True, Guidance(streams=12, guided_steps=4), seed)[1].x for seed in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


# -- selection -----------------------------------------------------------------------------------------------------


def test_distinct_rows_are_the_first_of_their_kind() -> None:
    x = torch.tensor([[1.0], [2.0], [1.0], [2.0004], [math.nan], [math.nan]])
    assert distinct(x).tolist() == [0, 1, 3, 4]
    assert distinct(x, 1e-3).tolist() == [0, 1, 4]


def test_the_subset_by_hypervolume_beats_the_one_by_crowding() -> None:
    t = torch.rand(400, generator=seeded(2), dtype=torch.float64)
    front = torch.stack([t, (1.0 - t).square()], 1)
    best = {
        kind: hypervolume(front[order_designs(front, 20, kind, seeded())[:20]], [1.1, 1.1])  # type: ignore[arg-type]
        for kind in ("hypervolume", "crowding")
    }
    assert best["hypervolume"] > best["crowding"]


@pytest.mark.parametrize("m", [2, 3, 5])
def test_orders_are_permutations_with_the_front_first(m: int) -> None:
    values = torch.rand((300, m), generator=seeded(3), dtype=torch.float64)
    for kind in ("hypervolume", "crowding"):
        order = order_designs(values, 50, kind, seeded())  # type: ignore[arg-type]
        assert sorted(order.tolist()) == list(range(300))
    dominated = (values[order[0]] <= values).all(1).sum()
    assert dominated >= 1
    nearly = order_designs(values, 20, "hypervolume", seeded())[:20]
    by_crowding = order_designs(values, 20, "crowding", seeded())[:20]
    reference = [1.1] * m
    assert hypervolume(values[nearly], reference) >= 0.99 * hypervolume(values[by_crowding], reference)


def test_a_share_of_every_beginning_is_from_the_way() -> None:
    values = torch.rand((100, 2), generator=seeded(5), dtype=torch.float64)
    level = torch.arange(100) % 4
    order = hedged_order(values, level, 40, 0.25, "hypervolume", seeded())
    assert sorted(order.tolist()) == list(range(100))
    for n in (8, 20, 32):
        stations = level[order[:n]]
        assert int((stations > 0).sum()) in (n // 4, n // 4 + 1)
    assert set(level[order[:32]].tolist()) == {0, 1, 2, 3}
    plain = hedged_order(values, level, 40, 0.0, "hypervolume", seeded())
    assert (level[plain[:25]] == 0).all()


# -- targets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["log", "standard"])
def test_targets_are_standardised_monotone_and_inverted(kind: str) -> None:
    generator = seeded(4)
    wild = torch.randn(500, generator=generator).mul(4).exp()
    values = torch.stack([wild, torch.rand(500, generator=generator), 1.0 - wild / wild.max()], 1)
    targets = Targets.of(values, kind)  # type: ignore[arg-type]
    scaled = targets.apply(values)
    torch.testing.assert_close(scaled.mean(0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(targets.invert(scaled), values.double(), rtol=2e-3, atol=1e-4)
    for j in range(3):
        assert (scaled[values[:, j].argsort(), j].diff() >= 0).all()
    bent = (scaled.std(0) > 0) & ~targets.near.isinf()
    assert bent.tolist() == ([True, False, True] if kind == "log" else [False] * 3)
    below = targets.invert(scaled.amin(0, keepdim=True) - 0.1)
    assert (below < values.amin(0)).all()


def test_huge_tiny_and_constant_targets_are_finite() -> None:
    values = torch.tensor([[1e300, 1e-300, 5.0], [-1e300, 2e-300, 5.0], [0.0, 3e-300, 5.0]], dtype=torch.float64)
    for kind in ("log", "standard"):
        assert torch.isfinite(Targets.of(values, kind).apply(values)).all()  # type: ignore[arg-type]
