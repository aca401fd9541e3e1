from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import blackbox as bb
from blackbox.algorithms.bayesian import explain
from blackbox.errors import SettingError

SPACE = bb.Space(
    {
        "kind": bb.Categorical(["a", "b"]),
        "rate": bb.Real(1e-4, 1, log=True),
        "depth": bb.Integer(1, 9, when={"kind": "b"}),
        "idle": bb.Real(0, 1),
    }
)


def data(n: int = 60) -> tuple[torch.Tensor, list[float]]:
    x = SPACE.from_unit(torch.rand((n, 4), generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    values = [
        (np.log10(c["rate"]) + 2) ** 2 + (c["kind"] == "b") * (0.3 * abs(c.get("depth", 0) - 4) + 0.2)
        for c in SPACE.decode(x)
    ]
    return x, values


@pytest.mark.parametrize("maximize", [False, True])
def test_slices_follow_the_truth_with_uncertainty(maximize: bool) -> None:
    x, values = data()
    sign = -1.0 if maximize else 1.0
    model = explain.fit_surrogate(SPACE, x, [sign * v for v in values], maximize=maximize)
    at = SPACE.encode([{"kind": "a", "rate": 0.01, "idle": 0.5}])[0]
    curve = explain.slice(model, "rate", at=at, points=21)
    truth = sign * (np.log10(curve.codes) + 2) ** 2
    assert np.abs(curve.middle - truth)[3:-3].max() < 0.25
    assert (curve.low <= curve.middle).all()
    assert (curve.middle <= curve.high).all()
    assert curve.labels == pytest.approx(curve.codes.tolist())
    levels = explain.slice(model, "kind")
    assert levels.labels == ["a", "b"]
    depth = explain.slice(model, "depth", at=at)  # the switch is set so that it is active
    assert depth.labels == list(range(1, 10))
    assert (int(np.argmax(depth.middle)) if maximize else int(np.argmin(depth.middle))) in (2, 3, 4)


def test_importance_ranks_parameters() -> None:
    x, values = data()
    found = explain.importance(explain.fit_surrogate(SPACE, x, values))
    by_name = dict(zip(found.names, found.total, strict=True))
    assert max(by_name, key=lambda name: by_name[name]) == "rate"
    assert by_name["idle"] < 0.05
    assert (found.main <= found.total + 0.1).all()


def test_partial_dependence_and_calibration() -> None:
    x, values = data()
    model = explain.fit_surrogate(SPACE, x, values)
    curve = explain.partial_dependence(model, "rate", points=9, background=32)
    assert int(np.argmin(curve.middle)) in (3, 4, 5)
    assert (curve.low < curve.high).all()
    check = explain.leave_one_out(model)
    assert 0.8 <= check.coverage <= 1.0
    assert np.corrcoef(check.observed, check.predicted)[0, 1] > 0.9


def test_failures_are_left_out_and_too_little_is_refused() -> None:
    x, values = data(12)
    values[3] = float("nan")
    assert len(explain.fit_surrogate(SPACE, x, values).process) == 11
    with pytest.raises(SettingError, match="at least two finite"):
        explain.fit_surrogate(SPACE, x[:2], [1.0, float("nan")])
    with pytest.raises(SettingError, match="x, values"):
        explain.fit_surrogate(SPACE, x, [1.0])


def test_wrong_arguments_are_named() -> None:
    x, values = data(12)
    model = explain.fit_surrogate(SPACE, x, values)
    far, unknown = x.clone(), x.clone()
    far[3, 0], unknown[2, 0] = 1e6, math.nan
    wrong = {
        "x: expected an array of shape": lambda: explain.fit_surrogate(SPACE, "points", values),
        "in row 3": lambda: explain.fit_surrogate(SPACE, far, values),
        "got nan in row 2": lambda: explain.fit_surrogate(SPACE, unknown, values),
        "values: expected numbers": lambda: explain.fit_surrogate(SPACE, x, "values"),
        "noise: expected": lambda: explain.fit_surrogate(SPACE, x, values, noise=-1.0),
        "level: expected": lambda: model.quantile(x, 2.0),
        "at: expected shape": lambda: explain.slice(model, "rate", at=x[0, :1]),
        "points: expected an integer >= 1, got 0": lambda: explain.slice(model, "rate", points=0),
        "points: expected an integer >= 1, got -1": lambda: explain.partial_dependence(model, "rate", points=-1),
        "background: expected": lambda: explain.partial_dependence(model, "rate", background=0),
        "samples: expected": lambda: explain.importance(model, samples=0),
    }
    for message, call in wrong.items():
        with pytest.raises(SettingError, match=message):
            call()
    rounded = explain.fit_surrogate(SPACE, x.float(), values)  # single precision is no error
    assert len(rounded.process) == 12
    configs = SPACE.decode(x)
    np.testing.assert_array_equal(explain.fit_surrogate(SPACE, configs, values).process.x, model.process.x)
