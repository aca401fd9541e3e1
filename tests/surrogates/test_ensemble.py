"""The ensemble of regression networks: equal to networks trained alone, good, saved, differentiable."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from blackbox.errors import SettingError
from blackbox.state import from_tree, pack, to_tree, unpack
from blackbox.surrogates.ensemble import Ensemble, EnsembleSettings, _correlation, _fit, fit_ensemble
from blackbox.surrogates.precision import product_dtype
from blackbox.surrogates.reporting import Report, watching
from blackbox.surrogates.scaling import Scaling

SMALL = EnsembleSettings(hidden=(16, 16), epochs=12, batch_size=32)


def table(n: int = 200, d: int = 3) -> tuple[Tensor, Tensor]:
    x = torch.rand((n, d), generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 4 - 1
    return x, torch.stack([x.square().sum(1), 100 - 50 * x[:, 0]], 1)


def fit(settings: EnsembleSettings = SMALL, seed: int = 0, **shape: int) -> Ensemble:
    return fit_ensemble(*table(**shape), settings, torch.Generator().manual_seed(seed))


def test_a_group_equals_its_networks_trained_alone() -> None:
    x, y = table()
    settings = EnsembleSettings(hidden=(16, 16), epochs=8, batch_size=32, members=2)
    generator = torch.Generator().manual_seed(3)
    seeds = torch.randint(2**62, (2, 2), generator=generator)
    orders = torch.randint(2**62, (2,), generator=generator)
    whole = _fit(x, y, settings, seeds, orders, None).predict(x)
    for member in range(2):
        for j in range(2):
            alone = _fit(
                x, y[:, j : j + 1], settings, seeds[member : member + 1, j : j + 1], orders[member : member + 1], None
            )
            torch.testing.assert_close(alone.predict(x)[0, :, 0], whole[member, :, j], rtol=1e-3, atol=1e-3)
    assert not torch.allclose(whole[0], whole[1])


def test_one_step_is_adam_on_the_mean_squared_error() -> None:
    """An independent network with the same weights takes the same first steps."""
    x, y = table(n=40)
    settings = EnsembleSettings(hidden=(8,), activation="relu", epochs=3, batch_size=40, validation_share=0)
    seeds, orders = torch.tensor([[5]]), torch.tensor([6])
    start = _fit(x, y[:, :1], EnsembleSettings(hidden=(8,), epochs=1, learning_rate=1e-30), seeds, orders, None)
    model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    with torch.no_grad():
        for layer, i in ((model[0], 0), (model[2], 1)):
            layer.weight.copy_(start.weights[i][0].T)
            layer.bias.copy_(start.biases[i][0, 0])
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.ExponentialLR(adam, 0.98)
    z, t = Scaling.of(x).apply(x).float(), Scaling.of(y[:, :1]).apply(y[:, :1]).float()
    for _ in range(3):
        adam.zero_grad()
        torch.nn.functional.mse_loss(model(z), t).backward()
        adam.step()
        schedule.step()
    ours = _fit(x, y[:, :1], settings, seeds, orders, None)
    with torch.no_grad():
        torch.testing.assert_close(ours.predict_scaled(z)[0], model(z), rtol=1e-4, atol=1e-5)


def test_it_learns_in_the_users_units() -> None:
    x, y = table(n=600)
    settings = EnsembleSettings(hidden=(64, 64), epochs=60, batch_size=32, members=2)
    ensemble = fit_ensemble(x, y, settings, torch.Generator().manual_seed(0))
    fresh = torch.rand((100, 3), generator=torch.Generator().manual_seed(9), dtype=torch.float64) * 4 - 1
    target = torch.stack([fresh.square().sum(1), 100 - 50 * fresh[:, 0]], 1)
    error = (ensemble.mean(fresh) - target).square().mean(0).sqrt() / target.std(0)
    assert bool((error < 0.1).all()), error
    assert bool((ensemble.scores > 0.99).all())
    assert ensemble.predict(fresh).dtype == torch.float64


def test_the_best_epoch_is_kept() -> None:
    """With a rate that destroys the networks later on, what is kept scores as it says."""
    x, y = table()
    settings = EnsembleSettings(hidden=(16,), epochs=30, batch_size=32, learning_rate=0.3, decay=1.0)
    seeds, orders = torch.tensor([[1, 2]]), torch.tensor([3])
    ensemble = _fit(x, y, settings, seeds, orders, None)
    held = torch.randperm(200, generator=torch.Generator().manual_seed(3))[:20]
    found = _correlation(ensemble.predict(x)[0, held].mT, y[held].mT)
    torch.testing.assert_close(found, ensemble.scores[0], rtol=0, atol=1e-4)


def test_early_stopping_stops_when_nothing_gets_better() -> None:
    x, y = table()
    settings = EnsembleSettings(hidden=(16,), epochs=500, batch_size=32, learning_rate=1e-30, patience=3)
    ensemble = fit_ensemble(x, y, settings, torch.Generator().manual_seed(0))
    assert ensemble.epochs == 4  # the first is better than nothing, and three are not
    patient = EnsembleSettings(hidden=(16,), epochs=12, batch_size=32, patience=12)
    assert fit(patient).epochs == 12


def test_same_seed_same_networks_and_no_global_generator() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = fit().predict(table()[0])
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(first, fit().predict(table()[0]))
    assert not torch.equal(first, fit(seed=1).predict(table()[0]))


def test_progress_is_told_every_epoch() -> None:
    calls: list[tuple[int, Tensor]] = []
    heard: list[Report] = []
    with watching(heard.append):
        fit_ensemble(*table(), SMALL, torch.Generator().manual_seed(0), lambda epoch, loss: calls.append((epoch, loss)))
    assert [epoch for epoch, _ in calls] == list(range(1, 13))
    assert calls[0][1].shape == (1, 2)
    assert float(calls[-1][1].mean()) < float(calls[0][1].mean())
    assert [r.done for r in heard] == list(range(1, 13))
    assert heard[0].total == 12
    assert set(heard[0].figures) == {"loss", "correlation"}


def test_state_is_saved_and_restored() -> None:
    ensemble = fit()
    again = from_tree(Ensemble, unpack(pack(to_tree(ensemble))))
    x = table()[0]
    assert torch.equal(again.predict(x), ensemble.predict(x))
    assert again.epochs == ensemble.epochs


def test_predictions_are_differentiable_and_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble = fit()
    x = table(n=5)[0].requires_grad_()
    (gradient,) = torch.autograd.grad(ensemble.mean(x)[:, 0].sum(), x)
    step = 1e-3  # float32 inside
    for j in range(3):
        shift = torch.zeros(3, dtype=torch.float64)
        shift[j] = step
        slope = (ensemble.mean(x + shift)[:, 0] - ensemble.mean(x - shift)[:, 0]) / (2 * step)
        torch.testing.assert_close(gradient[:, j], slope.detach(), rtol=0.05, atol=0.02)
    whole = ensemble.predict(x.detach())
    monkeypatch.setattr("blackbox.surrogates.ensemble._BLOCK", 64)
    torch.testing.assert_close(ensemble.predict(x.detach()), whole)
    assert ensemble.predict(x.detach()[:0]).shape == (1, 0, 2)


@pytest.mark.parametrize("factor", [1e-300, 1e-30, 1e150, 1e300])
def test_extreme_and_constant_columns(factor: float) -> None:
    x, y = table(n=60)
    x = torch.cat([x * factor, torch.full((60, 1), 7.0, dtype=torch.float64)], 1)
    y = torch.cat([y * factor, torch.full((60, 1), factor, dtype=torch.float64)], 1)
    found = fit_ensemble(x, y, SMALL, torch.Generator().manual_seed(0)).predict(x)
    assert bool(torch.isfinite(found).all())
    plain = fit_ensemble(x / factor, y / factor, SMALL, torch.Generator().manual_seed(0)).predict(x / factor)
    torch.testing.assert_close(found / factor, plain, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found[..., 2] / factor, torch.ones(1, 60, dtype=torch.float64))


def test_scaling_holds_huge_values_of_both_signs() -> None:
    column = torch.tensor([[1.7e308], [-1.7e308], [0.0]], dtype=torch.float64)
    scaling = Scaling.of(column)
    assert bool(torch.isfinite(scaling.apply(column)).all())
    torch.testing.assert_close(scaling.invert(scaling.apply(column)), column)


@pytest.mark.parametrize("n", [1, 2, 5, 19, 20])
def test_few_rows(n: int) -> None:
    x, y = table(n=n)
    found = fit_ensemble(x, y, SMALL, torch.Generator().manual_seed(0)).predict(x)
    assert found.shape == (1, n, 2)
    assert bool(torch.isfinite(found).all())


def test_the_precision_that_a_device_is_fast_in(monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device("cpu")
    assert product_dtype("float32", device) == torch.float32
    assert product_dtype("bfloat16", device) == torch.bfloat16
    for supported, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda supported=supported: supported, raising=False)
        assert product_dtype("auto", device) == expected
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    assert product_dtype("auto", device) == torch.float32
    assert product_dtype("auto", torch.device("meta")) == torch.float32


def test_half_precision_is_as_good() -> None:
    x, y = table(n=600)
    settings = EnsembleSettings(hidden=(64, 64), epochs=40, batch_size=32, precision="bfloat16")
    ensemble = fit_ensemble(x, y, settings, torch.Generator().manual_seed(0))
    assert bool((ensemble.scores > 0.99).all())


def test_wrong_settings_and_tables_are_refused() -> None:
    wrong: list[dict[str, object]] = [
        {"hidden": ()},
        {"hidden": (0,)},
        {"activation": "sine"},
        {"epochs": 0},
        {"patience": 0},
        {"learning_rate": 0.0},
        {"decay": 1.1},
        {"validation_share": 1.0},
        {"precision": "half"},
    ]
    for settings in wrong:
        with pytest.raises(SettingError, match=next(iter(settings))):
            EnsembleSettings(**settings)  # type: ignore[arg-type]
    x, y = table(n=10)
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(SettingError, match="y: expected 10 rows"):
        fit_ensemble(x, y[:9], SMALL, generator)
    with pytest.raises(SettingError, match="x: expected finite"):
        fit_ensemble(torch.where(x == x[0, 0], math.nan, x), y, SMALL, generator)
    with pytest.raises(SettingError, match="x: expected shape"):
        fit_ensemble(x[:0], y[:0], SMALL, generator)
