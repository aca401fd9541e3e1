"""Flow matching: it learns distributions, stops when it should, is deterministic, saved, and silent."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from blackbox.errors import SettingError
from blackbox.state import from_tree, pack, to_tree, unpack
from blackbox.surrogates.flow import Flow, FlowSettings, fit_flow, integrate
from blackbox.surrogates.reporting import Report, watching

SMALL = FlowSettings(hidden=(16,), epochs=3, batch_size=64)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mixture(n: int) -> Tensor:
    """Two wells, (-1.5, 0.5) with weight 0.3 and (0.7, -0.2) with 0.7, of deviation 0.3."""
    generator = seeded(5)
    first = torch.rand(n, generator=generator) < 0.3
    centre = torch.where(first.unsqueeze(1), torch.tensor([-1.5, 0.5]), torch.tensor([0.7, -0.2]))
    return centre + 0.3 * torch.randn((n, 2), generator=generator)


@pytest.mark.parametrize(
    ("time", "path", "slack"), [("fourier", "straight", 1), ("fourier", "lipman", 1), ("added", "straight", 2.5)]
)
def test_samples_of_a_mixture_have_its_moments(time: str, path: str, slack: float) -> None:
    """With the time added, as published, less exactly."""
    data = mixture(4000)
    settings = FlowSettings(hidden=(64, 64), epochs=40, batch_size=256, path=path, time=time)  # type: ignore[arg-type]
    flow = fit_flow(data, settings, seeded())
    drawn = flow.sample(4000, seeded(1))
    torch.testing.assert_close(drawn.mean(0), data.mean(0), atol=0.1 * slack, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), data.T.cov(), atol=0.17 * slack, rtol=0)
    share = float((drawn[:, 0] < -0.4).float().mean())
    assert abs(share - 0.3) < 0.06 * slack, share
    between = float((drawn[:, 0].abs() < 0.15).float().mean())  # next to no data there
    assert between < 0.1 * slack, between


def test_the_velocity_of_a_normal_distribution_is_the_known_one() -> None:
    """From N(0, 1) to N(mu, s^2): v = mu + (t s^2 - (1 - t)) / ((1 - t)^2 + t^2 s^2) (x - t mu)."""
    mu, s = 1.0, 0.5
    data = mu + s * torch.randn((8000, 1), generator=seeded(2))
    flow = fit_flow(data, FlowSettings(hidden=(64, 64), epochs=40, batch_size=256), seeded())
    for t in (0.1, 0.5, 0.9):
        spread = ((1 - t) ** 2 + t**2 * s**2) ** 0.5
        x = t * mu + spread * torch.tensor([[-1.0], [0.0], [1.0]])
        expected = mu + (t * s**2 - (1 - t)) / spread**2 * (x - t * mu)
        torch.testing.assert_close(flow.velocity(x, t), expected, atol=0.15, rtol=0)


def test_heun_steps_are_of_second_order_and_euler_steps_of_first() -> None:
    def error(steps: int, method: str) -> float:
        end = integrate(lambda x, t: -x, torch.ones(1, 1).double(), 0.0, 1.0, steps, method=method)  # type: ignore[arg-type]
        return abs(float(end) - 0.36787944117)

    assert 3.5 < error(10, "heun") / error(20, "heun") < 4.5
    assert 1.8 < error(10, "euler") / error(20, "euler") < 2.2


def test_training_stops_when_the_held_out_loss_does_not_fall() -> None:
    data = torch.randn((60, 3), generator=seeded())
    settings = FlowSettings(hidden=(64,), epochs=400, batch_size=20, patience=5, schedule="constant")
    flow = fit_flow(data, settings, seeded())
    assert flow.epochs < 400


def test_the_weights_that_are_kept_are_the_best() -> None:
    losses: list[float] = []
    flow = fit_flow(mixture(300), replace(SMALL, epochs=12), seeded(), lambda epoch, loss: losses.append(loss))
    assert flow.loss == min(losses)
    assert len(losses) == 12


def test_progress_is_heard_of() -> None:
    heard: list[Report] = []
    with watching(heard.append):
        fit_flow(mixture(100), SMALL, seeded())
    assert [(r.stage, r.done, r.total) for r in heard] == [("training flow", k, 3) for k in (1, 2, 3)]


def test_equal_seeds_give_equal_flows_and_nothing_global_is_drawn() -> None:
    before = torch.get_rng_state()
    first, second, other = (fit_flow(mixture(200), SMALL, seeded(seed)) for seed in (0, 0, 1))
    assert pack(to_tree(first)) == pack(to_tree(second))
    assert pack(to_tree(first)) != pack(to_tree(other))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_saved_flow_draws_the_same() -> None:
    flow = fit_flow(mixture(200), SMALL, seeded())
    again = from_tree(Flow, unpack(pack(to_tree(flow))))
    assert torch.equal(flow.sample(5, seeded(3)), again.sample(5, seeded(3)))


def test_the_moving_average_is_of_the_weights() -> None:
    data = mixture(300)
    plain = fit_flow(data, replace(SMALL, average=0.0, epochs=1), seeded())
    mean = fit_flow(data, replace(SMALL, average=0.9, epochs=1), seeded())
    assert not torch.allclose(plain.weights[0], mean.weights[0])


@pytest.mark.parametrize("rows", [1, 2, 9, 11])
def test_few_rows_are_served(rows: int) -> None:
    assert torch.isfinite(fit_flow(mixture(rows), SMALL, seeded()).sample(4, seeded())).all()


def test_constant_columns_stay_near_their_value() -> None:
    data = torch.cat([mixture(2000), torch.zeros(2000, 1)], 1)
    drawn = fit_flow(data, FlowSettings(hidden=(32, 32), epochs=20, batch_size=64), seeded()).sample(500, seeded())
    assert float(drawn[:, 2].std()) < 0.15


def test_half_precision_products_learn_as_well() -> None:
    data = mixture(2000)
    settings = FlowSettings(hidden=(32, 32), epochs=15, batch_size=256)
    full, half = (fit_flow(data, replace(settings, precision=p), seeded()) for p in ("float32", "bfloat16"))  # type: ignore[arg-type]
    assert half.weights[0].dtype == torch.float32
    assert abs(half.loss - full.loss) < 0.03 * full.loss


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden", ()),
        ("hidden", (0,)),
        ("epochs", 0),
        ("batch_size", True),
        ("activation", "relu6"),
        ("time", "none"),
        ("learning_rate", 0.0),
        ("average", 1.0),
        ("precision", "float16"),
    ],
)
def test_settings_are_checked(name: str, value: object) -> None:
    with pytest.raises(SettingError, match=name):
        FlowSettings(**{name: value})  # type: ignore[arg-type]
