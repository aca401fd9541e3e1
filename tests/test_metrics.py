import math

import moocore
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from blackbox import metrics
from blackbox.errors import SettingError


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_known_values():
    points, reference = [[1.0, 3.0], [2.0, 1.0], [5.0, 0.0]], [4.0, 4.0]
    assert metrics.hypervolume(points, reference) == 7.0
    assert metrics.hypervolume(np.array(points), torch.tensor(reference)) == 7.0
    assert metrics.hypervolume([[3.0], [1.0]], [4.0]) == 3.0
    assert metrics.hypervolume([], reference) == 0.0
    assert metrics.hypervolume([[4.0, 0.0]], reference) == 0.0
    assert metrics.hypervolume([[-math.inf, 0.0]], reference) == math.inf
    assert metrics.hypervolume_contributions(points, reference).tolist() == [1.0, 4.0, 0.0]
    assert metrics.hypervolume_contributions([[3.0], [1.0]], [4.0]).tolist() == [0.0, 3.0]
    assert metrics.hypervolume_contributions([[1.0, 1.0]] * 2, reference).tolist() == [0.0, 0.0]


tables = st.integers(2, 4).flatmap(
    lambda m: st.lists(st.lists(st.integers(0, 4), min_size=m, max_size=m), min_size=1, max_size=7)
)


@given(tables)
@settings(max_examples=60, deadline=None)
def test_hypervolume_counts_unit_cells(rows):
    table = torch.tensor(rows, dtype=torch.float64)
    m = table.shape[-1]
    cells = torch.cartesian_prod(*[torch.arange(5, dtype=torch.float64)] * m)
    inside = (table.unsqueeze(0) <= cells.unsqueeze(1)).all(-1).any(-1)
    assert metrics.hypervolume(table, [5.0] * m) == pytest.approx(float(inside.sum()))
    assert metrics.hypervolume(table.flip(0), [5.0] * m) == pytest.approx(float(inside.sum()))


def test_monte_carlo_is_within_its_error():
    points = rand(30, 4)
    exact = metrics.hypervolume(points, [1.0] * 4)
    off = []
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        found = metrics.hypervolume_monte_carlo(points, [1.0] * 4, generator=generator, n_samples=4000)
        off.append((found.value - exact) / found.standard_error)
    assert max(map(abs, off)) < 4
    assert 0.5 < np.std(off) < 1.6
    generator = torch.Generator().manual_seed(0)
    wide = metrics.hypervolume_monte_carlo(points, [1.0] * 4, generator=generator, ideal=[-0.5] * 4)
    assert abs(wide.value - exact) < 5 * wide.standard_error
    assert metrics.hypervolume_monte_carlo([[2.0]], [1.0], generator=generator) == (0.0, 0.0)
    assert metrics.hypervolume_monte_carlo([[0.0]], [1.0], generator=generator).standard_error > 0


def test_distances_equal_the_definitions(monkeypatch):
    points, front = rand(23, 3), rand(17, 3, seed=1)
    table = (points.unsqueeze(0) - front.unsqueeze(1)).numpy()
    expected = {
        "igd": np.linalg.norm(table, axis=-1).min(1).mean(),
        "gd": np.linalg.norm(table, axis=-1).min(0).mean(),
        "igd_plus": np.linalg.norm(np.maximum(table, 0), axis=-1).min(1).mean(),
        "epsilon": table.max(-1).min(1).max(),
    }
    own = np.abs(points.numpy()[:, None] - points.numpy()[None]).sum(-1)
    np.fill_diagonal(own, np.inf)
    for block in (1 << 22, 40):
        monkeypatch.setattr(metrics, "_BLOCK", block)
        for name, value in expected.items():
            assert getattr(metrics, name)(points, front.numpy()) == pytest.approx(value), name
        assert metrics.spacing(points) == pytest.approx(own.min(1).std(ddof=1))
    assert metrics.igd(points, front) == pytest.approx(moocore.igd(points.numpy(), front.numpy()))
    assert metrics.igd_plus(points, front) == pytest.approx(moocore.igd_plus(points.numpy(), front.numpy()))
    assert metrics.epsilon(points, front) == pytest.approx(moocore.epsilon_additive(points.numpy(), front.numpy()))


def test_perfect_and_empty_sets():
    front = rand(9, 2)
    for name in ("igd", "igd_plus", "gd", "epsilon"):
        metric = getattr(metrics, name)
        assert metric(front, front) == pytest.approx(0.0, abs=1e-12)
        assert metric([], front) == math.inf
        assert metric(torch.zeros(0, 2), front) == math.inf
    assert metrics.spacing(front[:2]) == 0.0
    assert metrics.igd([[math.inf, 0.0]], [[0.0, 0.0]]) == math.inf
    assert metrics.spacing([[math.inf, 0.0], [1.0, 1.0], [2.0, 0.0]]) == math.inf
    large = torch.tensor([[0.0, 3.0], [1.0, 1.0], [4.0, 0.0]], dtype=torch.float64)
    assert metrics.spacing(1e300 * large) == pytest.approx(1e300 * metrics.spacing(large))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: metrics.hypervolume([[1.0, math.nan]], [2.0, 2.0]), "points.*row 0"),
        (lambda: metrics.hypervolume([1.0, 2.0], [2.0, 2.0]), "points"),
        (lambda: metrics.hypervolume([["a"]], [2.0]), "points"),
        (lambda: metrics.hypervolume([[1.0, 2.0]], [2.0]), "reference"),
        (lambda: metrics.hypervolume([[1.0, 2.0]], [2.0, math.inf]), "reference"),
        (lambda: metrics.igd([[1.0, 2.0]], [[1.0]]), "points.*1 objectives"),
        (lambda: metrics.igd([[1.0]], [[math.inf]]), "front"),
        (lambda: metrics.igd([[1.0]], []), "front"),
        (
            lambda: metrics.hypervolume_monte_carlo([[1.0]], [2.0], generator=torch.Generator(), n_samples=1),
            "n_samples",
        ),
        (
            lambda: metrics.hypervolume_monte_carlo([[1.0]], [2.0], generator=torch.Generator(), n_samples=2.5),
            "n_samples: expected an integer",
        ),
        (
            lambda: metrics.hypervolume_monte_carlo([[1.0]], [2.0], generator=torch.Generator(), ideal=[math.nan]),
            "ideal: expected a corner below",
        ),
        (
            lambda: metrics.hypervolume_monte_carlo([[1.0]], [2.0], generator=torch.Generator(), ideal=[1.5]),
            "ideal",
        ),
        (lambda: metrics.hypervolume_contributions([[-math.inf, 0.0]], [2.0, 2.0]), "points"),
    ],
)
def test_errors_name_the_argument(call, name):
    with pytest.raises(SettingError, match=name):
        call()


def test_input_is_not_written_to():
    points = rand(5, 2)
    copy = points.clone()
    metrics.hypervolume(points, [1.0, 1.0])
    metrics.hypervolume_contributions(points, [1.0, 1.0])
    metrics.igd_plus(points, points)
    metrics.spacing(points)
    assert torch.equal(points, copy)
