"""What was told, cleaned: failed rows dropped and counted, repeated points merged, too little refused with a reason."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from blackbox.algorithm import Seen, Spec
from blackbox.algorithms.offline._data import Told, no_rows, training_set, with_seen
from blackbox.errors import NotReadyError
from blackbox.space import Space

SPEC = Spec(Space.box([0, 0], [1, 1]))


def seen(x: Tensor, values: Tensor) -> Seen:
    failed = ~torch.isfinite(values).all(1)
    n = len(x)
    return Seen(torch.arange(n), x, values, torch.zeros((n, 0)), failed, torch.ones(n, dtype=torch.bool))


def told(rows: list[list[float]], values: list[float]) -> Told:
    x, y = torch.tensor(rows, dtype=torch.float64), torch.tensor(values, dtype=torch.float64)[:, None]
    return with_seen(no_rows(SPEC), seen(x, y))


def test_failed_rows_are_dropped_and_counted() -> None:
    data = told([[0, 0], [0, 1], [1, 0], [1, 1]], [1.0, math.nan, math.inf, 2.0])
    assert (len(data), data.dropped) == (2, 2)
    more = with_seen(data, seen(torch.tensor([[0.5, 0.5]]).double(), torch.tensor([[-math.inf]]).double()))
    assert (len(more), more.dropped) == (2, 3)
    assert training_set(more).dropped == 3


def test_repeated_points_are_merged_into_their_mean() -> None:
    data = told([[1, 0], [0, 0], [1, 0], [-0.0, 0], [1, 1]], [3.0, 1.0, 5.0, 1.0, 7.0])
    rows = training_set(data)
    assert rows.x.tolist() == [[1, 0], [0, 0], [1, 1]]
    assert rows.values[:, 0].tolist() == [4.0, 1.0, 7.0]
    assert rows.repeats.tolist() == [2, 2, 1]
    assert rows.merged == 2


def test_merging_is_exact_where_values_agree_and_never_overflows() -> None:
    rows = training_set(told([[0, 0]] * 3 + [[1, 1]] * 2, [0.1, 0.1, 0.1, 1.5e308, 1.6e308]))
    assert rows.values[0, 0] == 0.1
    assert rows.values[1, 0] == pytest.approx(1.55e308)


def test_inactive_columns_are_equal_to_each_other() -> None:
    rows = training_set(told([[0, math.nan], [0, math.nan], [0, 0.5]], [1.0, 3.0, 0.0]))
    assert rows.values[:, 0].tolist() == [2.0, 0.0]
    assert bool(rows.x[0, 1].isnan())


def test_too_little_data_is_refused_with_the_counts() -> None:
    with pytest.raises(NotReadyError, match=r"tell a data set first: optimizer\.tell\(space\.batch\(x\), values\)"):
        training_set(no_rows(SPEC))
    with pytest.raises(NotReadyError, match="2 rows without a finite value were dropped"):
        training_set(told([[0, 0], [1, 1]], [math.nan, math.nan]))
    with pytest.raises(NotReadyError, match=r"ROOT needs at least 3 distinct points with values, got 1 \(3 repeated"):
        training_set(told([[0.5, 0.5]] * 4, [1.0, 2.0, 3.0, 4.0]), least=3, name="ROOT")
    with pytest.raises(NotReadyError, match=r"all 2 points have the same value \(2\.5\)"):
        training_set(told([[0, 0], [1, 1]], [2.5, 2.5]))


def test_best_rows_by_value_and_by_fronts() -> None:
    rows = training_set(told([[0, 0], [0, 1], [1, 0], [1, 1]], [3.0, 1.0, 2.0, 1.0]))
    assert rows.best(3).tolist() == [1, 3, 2]
    assert len(rows.best(10)) == 4
    values = torch.tensor([[2.0, 2.0], [0.0, 3.0], [3.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    several = training_set(Told(torch.rand((4, 2), generator=torch.Generator().manual_seed(0)).double(), values))
    assert set(several.best(3).tolist()) == {1, 2, 3}
