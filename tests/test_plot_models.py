"""Pictures of what a Bayesian search has learned: calibration, and when to stop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import blackbox as bb
from blackbox import plot
from blackbox.algorithms import BayesianOptimization
from blackbox.algorithms.bayesian import stopping_curve
from blackbox.errors import SettingError
from blackbox.plot import History
from blackbox.plot._labels import from_scale

UNIT = bb.Space.box([0, 0], [1, 1])


def test_calibration_draws_every_outcome_over_its_prediction(tmp_path: Path) -> None:
    x = torch.rand((25, 2), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    random = torch.randn(25, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    history = History.of(UNIT, x, (x[:, 0] - 0.3) ** 2 + 0.1 * random, objectives="loss")
    ax = plot.calibration(history, path=tmp_path / "calibration.png")
    drawn = sum(len(np.asarray(bars.lines[0].get_xdata())) for bars in ax.containers)
    assert drawn == 25
    assert "inside their 95 %" in ax.get_title(loc="right")
    assert ax.get_xlabel() == "loss predicted from the others (warped)"
    assert (tmp_path / "calibration.png").stat().st_size > 5000
    with pytest.raises(SettingError, match="calibration needs two evaluations"):
        plot.calibration(History.of(UNIT, x[:1], [1.0]))


def test_stopping_draws_the_advice_of_earlier_times(tmp_path: Path) -> None:
    optimizer = bb.Optimizer(UNIT, BayesianOptimization(), seed=0)
    for _ in range(14):
        batch = optimizer.ask()
        optimizer.tell(batch, ((batch.x - 0.3) ** 2).sum(1))
    curve = stopping_curve(optimizer, tolerance=0.05, points=4)
    ax = plot.stopping(curve, path=tmp_path / "stopping.svg")
    np.testing.assert_allclose(ax.lines[0].get_ydata(), np.maximum(curve.bound, 5e-5))
    assert ax.get_yscale() == "log"
    assert ax.get_title(loc="right").startswith("enough after")
    assert plot.stopping(optimizer, tolerance=1e-12).get_title(loc="right") == "go on"
    with pytest.raises(SettingError, match="optimizer"):
        plot.stopping(3)


def test_slices_of_values_up_to_1e300_have_an_axis(tmp_path: Path) -> None:
    optimizer = bb.Optimizer(UNIT, BayesianOptimization(), seed=0)
    points, values = [], []
    for _ in range(12):
        batch = optimizer.ask()
        points.append(batch.x)
        values.append(1e300 * ((batch.x - 0.65) ** 2).sum(1))
        optimizer.tell(batch, values[-1])
    for ax in plot.slices(History.of(UNIT, torch.cat(points), torch.cat(values)), path=tmp_path / "slices.png"):
        assert np.isfinite(ax.get_ylim()).all()
    assert from_scale(400.0, log=True) == 1e300  # where ticks can still be placed
