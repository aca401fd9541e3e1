"""The bridge: marginals, a sampler that inverts a perfect network, training that learns, stops, and repeats itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from blackbox.errors import SettingError
from blackbox.state import from_tree, pack, unpack
from blackbox.surrogates.bridge import Bridge, BridgeSampling, BridgeSettings, Pairs, Schedule, sample_bridge
from blackbox.surrogates.bridge_training import fit_bridge
from blackbox.surrogates.reporting import Report, watching

SMALL = BridgeSettings(
    width=64, depth=2, batch_size=64, learning_rate=3e-3, average_from=10, average_every=1, average_decay=0.9
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shifted(n: int = 512, epochs: int = 1) -> Iterator[Pairs]:
    """Yield pairs whose high ends are the low ends moved by the difference of their values."""
    random = generator(9)
    for _ in range(epochs):
        low = 0.1 * torch.randn((n, 2), generator=random)
        gain = 1 + torch.rand(n, generator=random)
        yield Pairs(low, low + gain[:, None], -torch.ones(n), gain - 1)


@pytest.mark.parametrize(("variance", "factor"), [("paper", 1.0), ("doubled", 2.0)])
def test_marginals(variance: str, factor: float) -> None:
    schedule = Schedule.of(BridgeSettings(variance=variance))  # type: ignore[arg-type]
    assert schedule.share[[0, -1]].tolist() == pytest.approx([0.001, 0.999])
    high, low = torch.zeros((40_000, 1)), torch.full((40_000, 1), 2.0)
    for t in (0, 300, 999):
        m = float(schedule.share[t])
        normal = torch.randn((40_000, 1), generator=generator())
        x = schedule.between(high, low, torch.full((40_000,), t), normal)
        assert float(x.mean()) == pytest.approx(2 * m, abs=0.02)
        assert float(x.var()) == pytest.approx(factor * m * (1 - m), rel=0.03)


def test_indices_descend_in_equal_strides_to_one_and_zero() -> None:
    indices = Schedule.of(BridgeSettings()).indices(200)
    assert len(indices) == 200
    assert indices[0] == 999
    assert indices[-2:] == [1, 0]
    strides = {a - b for a, b in pairwise(indices[:-1])}
    assert strides <= {5, 6}
    assert Schedule.of(BridgeSettings(indices=5)).indices(200) == [4, 3, 2, 1, 0]
    assert Schedule.of(BridgeSettings()).indices(2) == [999, 0]


@pytest.mark.parametrize("variance", ["paper", "doubled"])
@pytest.mark.parametrize("steps", [2, 20, 200])
def test_a_perfect_network_gives_the_high_ends_back(variance: str, steps: int) -> None:
    high, low = torch.randn((6, 3), generator=generator(1)), torch.randn((6, 3), generator=generator(2))
    schedule = Schedule.of(BridgeSettings(variance=variance))  # type: ignore[arg-type]
    found = sample_bridge(lambda x, t: x - high, low, schedule, BridgeSampling(steps=steps), generator())
    torch.testing.assert_close(found, high)


def test_guidance_mixes_the_two_predictions_and_swapping_exchanges_the_values() -> None:
    bridge = fit_bridge(shifted(), SMALL, generator(), epochs=1)
    low, values, wanted = torch.zeros((1, 2)), torch.tensor([-1.0]), torch.tensor([0.5])

    def field(**how: float | bool) -> torch.Tensor:
        quiet = BridgeSampling(steps=2, noise=0.0, **how)  # type: ignore[arg-type]
        return bridge.sample(low, values, wanted, quiet, generator())

    def final(first: torch.Tensor, second: torch.Tensor, weight: float) -> torch.Tensor:
        """Return the two steps of the sampler, written out."""
        schedule = Schedule.of(SMALL)
        m, delta, zero = schedule.share, schedule.variance, torch.zeros(1)

        def out(x: torch.Tensor, t: int) -> torch.Tensor:
            time = m[t].expand(1)
            told, untold = bridge.predict(x, time, first, second), bridge.predict(x, time, zero, zero)
            return (1 + weight) * told - weight * untold

        start = low - out(low, 999)
        ratio = (1 - m[999]) / (1 - m[0])
        spread = (delta[999] - delta[0] * ratio**2) * delta[0] / delta[999]
        middle = (1 - m[999]) * start + m[999] * low
        x = (1 - m[0]) * start + m[0] * low + ((delta[0] - spread) / delta[999]).sqrt() * (low - middle)
        return x - out(x, 0)

    torch.testing.assert_close(field(), final(wanted, values, 0.0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(field(guidance=1.5), final(wanted, values, 1.5), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(field(guidance=-1.5, swapped=True), final(values, wanted, -1.5), rtol=1e-4, atol=1e-5)


def test_a_trained_bridge_moves_points_as_far_as_the_values_ask() -> None:
    bridge = fit_bridge(shifted(2048, 15), SMALL, generator(), epochs=15)
    low = torch.zeros((200, 2))
    for gain in (1.2, 1.8):
        wanted = torch.full((200,), gain - 1)
        found = bridge.sample(low, -torch.ones(200), wanted, BridgeSampling(steps=50), generator(3))
        assert float(found.mean()) == pytest.approx(gain, abs=0.15)


def test_training_repeats_itself_and_touches_no_global_generator() -> None:
    before = torch.get_rng_state()
    first, second = (fit_bridge(shifted(), SMALL, generator(4), epochs=1) for _ in range(2))
    for one, other in zip(first.weights, second.weights, strict=True):
        assert torch.equal(one, other)
    assert torch.equal(before, torch.get_rng_state())
    with watching(lambda told: None):  # being watched changes nothing
        watched = fit_bridge(shifted(), SMALL, generator(4), epochs=1)
    assert all(torch.equal(a, b) for a, b in zip(first.weights, watched.weights, strict=True))


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_training_lowers_the_loss_and_reports_it(schedule: str) -> None:
    heard: list[Report] = []
    settings = replace(SMALL, schedule=schedule)  # type: ignore[arg-type]
    with watching(heard.append):
        bridge = fit_bridge(shifted(1024, 8), settings, generator(), epochs=8)
    assert [told.done for told in heard] == list(range(1, 9))
    assert heard[-1].figures["loss"] < 0.7 * heard[0].figures["loss"]
    assert heard[-1].figures["validation"] < heard[0].figures["validation"]
    assert bridge.epochs == 8
    assert bridge.pairs == 8 * (1024 - 102)


def test_early_stopping_stops_and_keeps_the_best() -> None:
    def spoiled() -> Iterator[Pairs]:
        """Yield ten good epochs, and then some that cannot be learned."""
        yield from shifted(1024, 10)
        for pairs in shifted(1024, 40):
            far = 30 * torch.randn(pairs.high.shape, generator=generator(1))
            yield Pairs(pairs.low, far, pairs.low_value, pairs.high_value)

    settings = replace(SMALL, patience=5, schedule="plateau")
    bridge = fit_bridge(spoiled(), settings, generator(), epochs=50)
    assert 10 < bridge.epochs < 25
    found = bridge.sample(torch.zeros((50, 2)), -torch.ones(50), torch.full((50,), 0.5), BridgeSampling(), generator())
    assert float(found.mean()) == pytest.approx(1.5, abs=0.5)


def test_a_bridge_survives_saving() -> None:
    bridge = fit_bridge(shifted(), SMALL, generator(), epochs=1)
    restored = from_tree(Bridge, unpack(pack(bridge)))
    columns = (torch.ones((3, 2)), torch.zeros(3), torch.ones(3), BridgeSampling(steps=5))
    assert torch.equal(bridge.sample(*columns, generator()), restored.sample(*columns, generator()))
    assert restored.settings == bridge.settings


def test_wrong_settings_are_named() -> None:
    for name, value in (("width", 0), ("variance", "other"), ("unconditional", 1.5), ("learning_rate", 0.0)):
        with pytest.raises(SettingError, match=name):
            BridgeSettings(**{name: value})  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="steps"):
        BridgeSampling(steps=1)
    with pytest.raises(SettingError, match="validation_share"):
        BridgeSettings(patience=2, validation_share=0.0)
    with pytest.raises(SettingError, match="pairs"):
        fit_bridge(iter(()), SMALL, generator(), epochs=1)
