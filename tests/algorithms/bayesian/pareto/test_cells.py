from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blackbox import metrics
from blackbox.algorithms.bayesian.pareto.cells import Cells, decompose, infer_reference, nondominated_rows


def some_front(n: int, m: int, seed: int, *, ties: bool = False) -> np.ndarray:
    random = np.random.default_rng(seed)
    values = random.random((n, m)) if not ties else random.integers(0, 4, (n, m)) / 4.0
    return np.asarray(values[nondominated_rows(values)])


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("n", [0, 1, 7, 40])
@pytest.mark.parametrize("ties", [False, True])
def test_boxes_fill_what_the_front_leaves(n: int, m: int, ties: bool) -> None:
    front, reference = some_front(max(n, 1), m, 3, ties=ties)[:n], np.full(m, 1.25)
    low, high = decompose(front, reference)
    volume = np.prod(high - np.maximum(low, 0.0), axis=1).sum()
    dominated = metrics.hypervolume(front, reference) if len(front) else 0.0
    assert volume + dominated == pytest.approx(1.25**m, rel=1e-12)
    points = np.random.default_rng(1).random((500, m)) * 1.25
    inside = ((points[:, None] > low) & (points[:, None] < high)).all(2).sum(1)
    free = ~(front[None] <= points[:, None]).all(2).any(1) if len(front) else np.ones(500, bool)
    np.testing.assert_array_equal(inside, free.astype(int))  # disjoint, and nothing else


def test_the_number_of_boxes_grows_linearly_up_to_three_objectives() -> None:
    directions = np.abs(np.random.default_rng(0).standard_normal((50, 3)))
    sphere = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    assert len(Cells.of(sphere, np.full(3, 1.1))) <= 101
    circle = sphere[:, :2] / np.linalg.norm(sphere[:, :2], axis=1, keepdims=True)
    assert len(Cells.of(circle, np.full(2, 1.1))) == 51


@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_nondominated_rows_are_those_of_a_slow_loop(seed: int, n: int, m: int) -> None:
    values = np.random.default_rng(seed).integers(0, 4, (n, m)).astype(float)
    expected = [
        i
        for i in range(n)
        if not any((values[j] <= values[i]).all() and ((values[j] < values[i]).any() or j < i) for j in range(n))
    ]
    assert nondominated_rows(values).tolist() == expected


def test_dominated_rows_and_rows_beyond_the_reference_do_not_count() -> None:
    front = np.array([[0.2, 0.8], [0.8, 0.2], [0.9, 0.9], [0.1, 2.0]])
    cells = Cells.of(front, np.ones(2))
    assert len(cells) == 3
    assert cells.knots[0].tolist() == [-np.inf, 0.2, 0.8, 1.0]


def test_inferred_reference_points_lie_a_tenth_beyond_the_nadir() -> None:
    np.testing.assert_allclose(infer_reference(np.array([[0.0, 10.0], [1.0, 0.0], [5.0, 20.0]])), [1.1, 11.0])
    single = infer_reference(np.array([[1.0, 2.0], [3.0, 6.0]]))  # one point in the front: the range of all counts
    np.testing.assert_allclose(single, [1.2, 2.4])
    assert (infer_reference(np.array([[3.0, 0.0]])) > [3.0, -1e-9]).all()
