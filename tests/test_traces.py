from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from blackbox import metrics
from blackbox.errors import SettingError
from blackbox.traces import hypervolume_history


@pytest.mark.parametrize("m", [1, 2, 3])
def test_every_entry_is_the_hypervolume_so_far(m: int) -> None:
    values = torch.rand((30, m), generator=torch.Generator().manual_seed(m), dtype=torch.float64)
    curve = hypervolume_history(values, [0.9] * m)
    expected = [metrics.hypervolume(values[: i + 1], [0.9] * m) for i in range(30)]
    assert curve.tolist() == pytest.approx(expected)
    assert (curve.diff() >= 0).all()


def test_failed_and_infeasible_rows_add_nothing() -> None:
    values = [[1.0, 1.0], [math.nan, 0.0], [-math.inf, 0.0], [0.0, 0.0], [2.0, 0.5]]
    curve = hypervolume_history(values, [3.0, 3.0], feasible=[True, True, True, False, True])
    assert curve.tolist() == [4.0, 4.0, 4.0, 4.0, 4.5]
    assert hypervolume_history(torch.zeros((0, 2)), [1.0, 1.0]).shape == (0,)


@pytest.mark.parametrize(
    ("arguments", "options", "name"),
    [
        (([1.0, 2.0], [1.0, 1.0]), {}, "values"),
        (([[1.0, 2.0]], [1.0]), {}, "values"),
        (([[1.0, 2.0]], [1.0, math.inf]), {}, "reference"),
        (([[1.0, 2.0]], [1.0, 1.0]), {"feasible": [True, False]}, "feasible"),
        (([[1.0, 2.0]], [1.0, 1.0]), {"feasible": [1]}, "feasible"),
    ],
)
def test_wrong_arguments_are_named(arguments: Any, options: dict[str, Any], name: str) -> None:
    with pytest.raises(SettingError, match=name):
        hypervolume_history(*arguments, **options)
