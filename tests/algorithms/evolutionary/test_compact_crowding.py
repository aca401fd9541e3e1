"""The NumPy survival of NSGA-II beside the one with tensors, and one run beside a batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import blackbox as bb
from blackbox.algorithms import NSGA2
from blackbox.algorithms.evolutionary.compact_crowding import survivors_nsga2
from blackbox.algorithms.evolutionary.survival import survive_nsga2
from blackbox.problems import DTLZ2

KINDS = ("cloud", "ties", "front", "constant", "equal rows")


def tables(kind: str, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    runs, n, m = int(rng.integers(1, 5)), int(rng.integers(2, 90)), int(rng.integers(1, 5))
    values = rng.random((runs, n, m))
    if kind == "ties":
        values = np.round(values * 3)
    elif kind == "front":
        values /= values.sum(-1, keepdims=True)
        values[:, : n // 3, 0] = 0.0
    elif kind == "constant":
        values[:, :, 0] = 1.0
    elif kind == "equal rows":
        values[:] = values[:, rng.integers(0, 1 + n // 4, n)]
    return values, rng.random((runs, n)), int(rng.integers(1, n + 1))


@pytest.mark.parametrize("kind", KINDS)
def test_the_survivors_are_those_of_the_tensors_alone_and_in_a_batch(kind: str) -> None:
    rng = np.random.default_rng(KINDS.index(kind))
    for _ in range(120):
        values, uniforms, count = tables(kind, rng)
        kept = values.copy()
        rows = survivors_nsga2(values, count, uniforms)
        expected = survive_nsga2(torch.from_numpy(values), count, uniforms=torch.from_numpy(uniforms))[0]
        assert np.array_equal(rows, expected.numpy())
        alone = [
            survivors_nsga2(values[run : run + 1], count, uniforms[run : run + 1])[0] for run in range(len(values))
        ]
        assert np.array_equal(rows, np.stack(alone))
        assert np.array_equal(values, kept)


class Failing(DTLZ2):
    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        return super().evaluate(x).masked_fill((x[:, :1] * 7 % 1) < 0.2, torch.nan)


def test_failed_rows_do_not_make_a_batched_run_another_one() -> None:
    result = bb.sweep(NSGA2(16), Failing(), seeds=5, generations=12, workers=1)
    assert all(run.batched for run in result.runs)
    for run in result.runs:
        optimizer = bb.Optimizer(Failing(), NSGA2(16), seed=run.seed)
        for _ in range(12):
            batch = optimizer.ask()
            optimizer.tell(batch, Failing()(batch.x))
        assert torch.equal(optimizer.result().values, run.values)
