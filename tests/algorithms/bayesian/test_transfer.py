"""Earlier tasks: a head start where they are related, little harm where they are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import blackbox as bb
from blackbox.algorithms import BayesianOptimization
from blackbox.algorithms.bayesian import earlier_tasks, transfer
from blackbox.algorithms.bayesian.guided import Guided, ranking_weights
from blackbox.errors import SettingError
from blackbox.problems import Hartmann3
from blackbox.surrogates.gaussian_process import fit

SPACE = Hartmann3().space
Function = Callable[[torch.Tensor], torch.Tensor]


def task(k: int) -> Function:
    """Hartmann's function, moved a little, stretched and raised."""
    generator = torch.Generator().manual_seed(100 + k)
    shift = 0.05 * torch.randn(3, generator=generator, dtype=torch.float64)
    raised = 10.0 * float(torch.randn(1, generator=generator))
    return lambda x: (1.0 + 0.3 * k) * Hartmann3().evaluate((x[:, :3] + shift).clamp(0, 1)) + raised


def data(k: int, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.rand((n, 3), generator=torch.Generator().manual_seed(k), dtype=torch.float64)
    return x, task(k)(x)


def best_after(optimizer: bb.Optimizer, f: Function, n: int) -> float:
    for _ in range(n):
        batch = optimizer.ask()
        optimizer.tell(batch, f(batch.x))
    return float(optimizer.result().values)


@pytest.mark.parametrize("rows", [20, 70], ids=["joint", "ensemble"])
def test_three_related_tasks_beat_a_cold_start(rows: int) -> None:
    f = task(0)
    warm, cold = [], []
    for seed in range(2):
        tasks = earlier_tasks(SPACE, {f"run {k}": data(k, rows) for k in (1, 2, 3)})
        optimizer = bb.Optimizer(tasks.space, BayesianOptimization(), seed=seed)
        tasks.tell(optimizer)
        assert len(optimizer.result()) == 0  # nothing of the new task yet
        warm.append(best_after(optimizer, f, 5))
        assert optimizer.result().configs[0]["task"] == "new"
        assert optimizer._kernel.fallbacks == 0
        cold.append(best_after(bb.Optimizer(SPACE, BayesianOptimization(), seed=seed), f, 5))
    assert max(warm) < min(cold)
    assert np.mean(warm) < np.mean(cold) - 0.3


def test_unrelated_tasks_do_not_prevent_success() -> None:
    f = task(0)
    x = torch.rand((80, 3), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    noise = torch.randn(80, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    tasks = earlier_tasks(SPACE, {"noise": (x, noise), "opposite": (x, -f(x)), "more": (x, noise.flip(0))})
    optimizer = bb.Optimizer(tasks.space, BayesianOptimization(), seed=0)
    tasks.tell(optimizer)
    sampled = torch.rand((30, 3), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    assert best_after(optimizer, f, 12) < float(f(sampled).min())


def test_weights_go_to_guides_that_rank_well() -> None:
    random = np.random.default_rng(0)
    y = random.normal(size=15)
    predictions = np.stack([3.0 * y + 1.0, -y, random.normal(size=15)])
    weights = ranking_weights(predictions, random.normal(size=15), y, random)
    assert weights[0] > 0.9
    assert weights.sum() <= 1.0 + 1e-12
    assert ranking_weights(predictions[1:], y, y, random).max() < 0.1  # its own model is better


def test_guided_predictions_have_the_right_gradients() -> None:
    random = np.random.default_rng(1)
    x = random.random((20, 3))
    guides = (fit(x, np.sin(4 * x).sum(1)), fit(x, np.cos(3 * x).sum(1)))
    guided = Guided(fit(x[:6], random.normal(size=6)), guides, np.array([0.7, 0.2]), 1.4)
    points = random.random((4, 3))
    mean, std, slope_mean, slope_std = guided.predict_with_slopes(points)
    np.testing.assert_allclose(mean, guided.predict(points)[0])
    np.testing.assert_allclose(std, guided.predict(points)[1])
    for k in range(3):
        step = 1e-6 * np.eye(3)[k]
        up, down = guided.predict(points + step), guided.predict(points - step)
        np.testing.assert_allclose(slope_mean[:, k], (up[0] - down[0]) / 2e-6, atol=1e-5)
        np.testing.assert_allclose(slope_std[:, k], (up[1] - down[1]) / 2e-6, atol=1e-5)


def test_studies_of_the_same_space_are_earlier_tasks(tmp_path: Path) -> None:
    problem = bb.Problem.from_function(lambda c: c["x0"] + c["x1"], SPACE)
    with bb.Study(problem, BayesianOptimization(), path=tmp_path / "old.db", seed=0) as study:
        study.run(evaluations=4)
        tasks = earlier_tasks(SPACE, {"old": study}, name="when", new="now")
    assert len(tasks.batch) == 4
    assert {config["when"] for config in tasks.batch.configs} == {"old"}
    expected = [c["x0"] + c["x1"] for c in tasks.batch.configs]
    np.testing.assert_allclose(tasks.values[:, 0].numpy(), expected)


def test_save_and_resume_go_on_alike(tmp_path: Path) -> None:
    tasks = earlier_tasks(SPACE, {f"run {k}": data(k, 60) for k in (1, 2, 3)})
    straight = bb.Optimizer(tasks.space, BayesianOptimization(), seed=0)
    tasks.tell(straight)
    best_after(straight, task(0), 2)
    straight.save(tmp_path / "run.bb")
    loaded = bb.Optimizer.load(tmp_path / "run.bb")
    best_after(straight, task(0), 2)
    best_after(loaded, task(0), 2)
    torch.testing.assert_close(straight._kernel.x, loaded._kernel.x, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("earlier", "options", "match"),
    [
        ({}, {}, "at least one task"),
        ({"old": ([[0.1, 0.2, 0.3]], [1.0, 2.0])}, {}, "1 points, 2 values"),
        ({"old": 3}, {}, "expected \\(points, values\\)"),
        ({"new": data(1, 3)}, {}, "earlier task"),
        ({"old": data(1, 3)}, {"name": "x0"}, "parameter of the space"),
    ],
)
def test_wrong_data_are_named(earlier: Any, options: Any, match: str) -> None:
    with pytest.raises(SettingError, match=match):
        earlier_tasks(SPACE, earlier, **options)


def test_few_rows_share_one_process_and_many_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    original = transfer.look
    monkeypatch.setattr(transfer, "look", lambda state, *a, **k: seen.append(len(state)) or original(state, *a, **k))
    for rows in (10, 100):
        tasks = earlier_tasks(SPACE, {"a": data(1, rows), "b": data(2, rows)})
        optimizer = bb.Optimizer(tasks.space, BayesianOptimization(), seed=0)
        tasks.tell(optimizer)
        best_after(optimizer, task(0), 3)
    assert seen == [20, 21, 22, 100, 1, 2]
