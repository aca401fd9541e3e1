"""Gradients told beside values: units, directions, partial ones, what they save."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import blackbox as bb
from blackbox.algorithms import BayesianOptimization
from blackbox.algorithms.bayesian import gradients
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.errors import TellError
from blackbox.surrogates.outcomes import Warp

SPACE = bb.Space({"a": bb.Real(-2, 3), "rate": bb.Real(1e-3, 10, log=True), "b": bb.Real(0, 5)})


def valley(x: torch.Tensor) -> torch.Tensor:
    return (x[:, 0] - 1).square() + (x[:, 1].log() + 2).square() + 3 * (x[:, 2] - x[:, 0] - 1).square()


def with_gradient(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    x = x.clone().requires_grad_(True)
    values = valley(x)
    (slope,) = torch.autograd.grad(values.sum(), x)
    return values.detach(), slope


def run(n: int, *, told: bool = True, sign: float = 1.0, hidden: float = 0.0, **options: Any) -> bb.Optimizer:
    optimizer = bb.Optimizer(SPACE, BayesianOptimization(), seed=0, **options)
    generator = torch.Generator().manual_seed(0)
    for _ in range(n):
        batch = optimizer.ask()
        values, slope = with_gradient(batch.x)
        slope[torch.rand(slope.shape, generator=generator) < hidden] = torch.nan
        optimizer.tell(batch, sign * values, extras={"gradient": sign * slope} if told else None)
    return optimizer


def test_gradients_find_the_optimum_sooner() -> None:
    taught, plain = run(12), run(12, told=False)
    assert float(taught.result().values) < 0.3 * float(plain.result().values)
    assert "gradient" in taught._kernel.reason


def test_directions_do_not_matter_and_parts_may_be_missing() -> None:
    down = run(9)
    up = run(9, sign=-1.0, objectives=[bb.Objective("gain", maximize=True)])
    torch.testing.assert_close(down._kernel.x, up._kernel.x)
    partial = run(12, hidden=0.5)
    assert float(partial.result().values) < 0.5
    assert partial._kernel.fallbacks == 0


def test_model_units_follow_ranges_logarithms_and_the_warp() -> None:
    optimizer = run(6)
    optimizer.ask()
    state, domain = optimizer._kernel, Domain(SPACE)
    warp = Warp.fit(state.values.numpy()[:, 0])
    slopes = gradients.in_model_units(state, domain, warp)
    u = domain.to_unit(state.x.numpy())
    for k in range(3):
        step = 1e-6 * np.eye(3)[k]
        ends = [warp(valley(torch.from_numpy(domain.from_unit(u + s))).numpy()) for s in (step, -step)]
        inside = (u[:, k] > 1e-5) & (u[:, k] < 1 - 1e-5)
        np.testing.assert_allclose(slopes[inside, k], ((ends[0] - ends[1]) / 2e-6)[inside], rtol=1e-4, atol=1e-5)


def test_gradients_of_bad_points_are_dropped_first(monkeypatch: pytest.MonkeyPatch) -> None:
    optimizer = run(8)
    monkeypatch.setattr(gradients, "_MOST", 8 + 3 * 3)
    state, domain = optimizer._kernel, Domain(SPACE)
    from blackbox.algorithms.bayesian.models import Fitting
    from blackbox.algorithms.bayesian.single import PRIOR
    from blackbox.algorithms.bayesian.view import look

    optimizer.ask()
    state = optimizer._kernel
    view = look(state, domain, Fitting(), np.random.default_rng(0), noise=0.0, warp=True, prior=PRIOR)
    x, by, _ = gradients.observations(view, state, domain)
    best = domain.model(state.x.numpy()[view.order[:3]])
    assert (by >= 0).sum() == 9
    np.testing.assert_allclose(np.unique(x[by >= 0], axis=0), np.unique(best, axis=0))


def test_searching_with_fixed_and_discrete_parameters_goes_on() -> None:
    space = bb.Space({"a": bb.Real(-2, 3), "c": bb.Categorical(["u", "v"]), "k": bb.Real(0, 5, fixed=2.0)})
    optimizer = bb.Optimizer(space, BayesianOptimization(), seed=0)
    for _ in range(10):
        batch = optimizer.ask()
        slope = torch.zeros((1, 3), dtype=torch.float64)
        slope[:, 0] = 2 * (batch.x[:, 0] - 1)
        optimizer.tell(batch, (batch.x[:, 0] - 1).square() + batch.x[:, 1], extras={"gradient": slope})
    assert float(optimizer.result().values) < 0.05
    assert optimizer._kernel.fallbacks == 0


@pytest.mark.parametrize("wrong", [[1.0, 2.0, 3.0], [[1.0, 2.0]], [[[1.0, 2.0, 3.0]]]])
def test_gradients_of_another_shape_are_refused_and_nothing_changes(wrong: Any) -> None:
    optimizer = bb.Optimizer(SPACE, BayesianOptimization(), seed=0)
    batch = optimizer.ask()
    with pytest.raises(TellError, match="gradient"):
        optimizer.tell(batch, [1.0], extras={"gradient": wrong})
    assert optimizer.n_pending == 1


def test_save_and_resume_go_on_alike(tmp_path: Any) -> None:
    straight = run(8)
    straight.save(tmp_path / "run.bb")
    loaded = bb.Optimizer.load(tmp_path / "run.bb")
    for optimizer in (straight, loaded):
        for _ in range(3):
            batch = optimizer.ask()
            values, slope = with_gradient(batch.x)
            optimizer.tell(batch, values, extras={"gradient": slope})
    torch.testing.assert_close(straight._kernel.x, loaded._kernel.x, rtol=0, atol=0)


def test_hyper_parameters_are_fitted_to_a_part_of_many_observations() -> None:
    by = np.concatenate([np.full(500, -1), np.tile(np.arange(3), 400)])
    some = gradients._telling(by)
    assert len(some) == 600
    assert (by[some] == -1).sum() == 300
    np.testing.assert_array_equal(some[300:], np.arange(500, 800))  # gradients of the best points come first
    few = np.concatenate([np.full(100, -1), np.tile(np.arange(3), 100)])
    np.testing.assert_array_equal(gradients._telling(few), np.arange(400))
