"""Walks go down and up, and tabulated ends equal walked ones."""

from __future__ import annotations

import torch
from torch import Tensor

from blackbox.surrogates.posterior_draws import PosteriorDraws, draw_posteriors
from blackbox.surrogates.walks import tabulate_walks, walk

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn((60, 3), generator=GENERATOR, dtype=torch.float64)
Y = torch.sin(X).sum(1)
START = X[:12]


def draw(lengths: Tensor, scales: Tensor) -> PosteriorDraws:
    return draw_posteriors(X, Y, lengths, scales, noise=0.1)


def test_high_ends_are_above_the_start_and_low_ones_below() -> None:
    functions = draw(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 1.0]))
    ends = walk(functions, START, steps=50, rate=0.05)
    start = functions.mean(START)
    assert (ends.high_value > start).all()
    assert (ends.low_value < start).all()
    torch.testing.assert_close(ends.high_value, functions.mean(ends.high))
    torch.testing.assert_close(ends.low_value, functions.mean(ends.low))


def test_a_walk_is_the_plain_gradient_recursion() -> None:
    functions = draw(torch.tensor([1.5]), torch.tensor([0.8]))
    up = START.clone()
    for _ in range(7):
        up = up + 0.03 * functions.mean_and_gradient(up)[1][0]
    torch.testing.assert_close(walk(functions, START, steps=7, rate=0.03).high[0], up)


def test_tabulated_ends_equal_walked_ones() -> None:
    table = tabulate_walks(draw, START, (1.3, 1.6), (0.8, 1.2), steps=40, rate=0.05, tolerance=1e-4)
    assert table is not None
    assert table.error <= 1e-4
    lengths = torch.tensor([1.31, 1.44, 1.59], dtype=torch.float64)
    scales = torch.tensor([1.17, 0.9, 0.81], dtype=torch.float64)
    found, truth = table.at(lengths, scales), walk(draw(lengths, scales), START, steps=40, rate=0.05)
    for name in ("low", "high", "low_value", "high_value"):
        torch.testing.assert_close(getattr(found, name), getattr(truth, name), rtol=0, atol=1e-3)


def test_a_tolerance_that_cannot_be_met_is_reported() -> None:
    assert tabulate_walks(draw, START, (0.2, 3.0), (0.1, 5.0), steps=40, rate=0.2, tolerance=1e-12) is None


def test_intervals_may_be_points() -> None:
    table = tabulate_walks(draw, START, (1.5, 1.5), (1.0, 1.0), steps=5, rate=0.05, tolerance=1e-9)
    assert table is not None
    assert table.ends.low.shape == (1, 12, 3)
