"""MOEA/D with NumPy beside MOEA/D with tensors, bit for bit, and its parts beside slow ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import blackbox as bb
from blackbox.algorithms import MOEAD
from blackbox.algorithms.evolutionary import moead
from blackbox.algorithms.evolutionary.compact_decomposition import Neighbourhoods, improved, mates
from blackbox.algorithms.evolutionary.decomposition import aggregate
from blackbox.problems import DTLZ1, DTLZ2, DTLZ7, ZDT1, Sphere


def found(algorithm: MOEAD, problem: bb.Problem) -> bb.Result:
    optimizer = bb.Optimizer(problem, algorithm, seed=3)
    for _ in range(25):
        batch = optimizer.ask()
        optimizer.tell(batch, problem(batch.x))
    return optimizer.result()


@pytest.mark.parametrize(
    "settings",
    [
        {"population_size": 50},
        {"population_size": 91, "max_replace": None},
        {"population_size": 60, "aggregation": "tchebycheff", "normalize": False},
        {"population_size": 40, "aggregation": "weighted_sum", "max_replace": 3},
        {"population_size": 30, "mating": 0.0, "neighbours": 2},
        {"population_size": 15, "neighbours": 40, "theta": 1.0},
        {"population_size": 2},
    ],
)
def test_a_run_is_the_same_with_tensors(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    problems = (DTLZ2(12, 3), ZDT1(), DTLZ1(9, 5), DTLZ7(), Sphere(3))
    compact = [found(MOEAD(**settings), problem) for problem in problems]
    monkeypatch.setattr(moead, "is_small", lambda *arguments: False)
    for one, problem in zip(compact, problems, strict=True):
        other = found(MOEAD(**settings), problem)
        assert torch.equal(one.x, other.x)
        assert torch.equal(one.values, other.values)


def test_mates_are_two_different_neighbours_or_members() -> None:
    table = np.stack([(i + np.arange(4)) % 30 for i in range(30)])
    uniforms = np.random.default_rng(0).random((200, 90))
    uniforms[0], uniforms[1] = 0.0, np.nextafter(1, 0)
    pairs = mates(table, uniforms, 0.75).reshape(200, 2, 30)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert (np.sort(np.unique(pairs)) == np.arange(30)).all()
    is_near = (pairs[..., None] == table).any(-1).all(1)
    assert is_near[uniforms[:, :30] < 0.75].all()
    assert is_near.mean() == pytest.approx(0.75, abs=0.03)
    counts = np.bincount((pairs - np.arange(30))[:, :, :][np.broadcast_to(is_near[:, None], pairs.shape)] % 30)[:4]
    assert counts / counts.sum() == pytest.approx([0.25] * 4, abs=0.02)
    assert np.array_equal(mates(table, uniforms[7], 0.75), mates(table, uniforms, 0.75)[7])


@pytest.mark.parametrize("max_replace", [None, 2])
def test_places_take_the_best_that_is_offered_as_in_a_double_loop(max_replace: int | None) -> None:
    rng, n = np.random.default_rng(1), 12
    weights = torch.from_numpy(rng.random((n, 2)))
    table = torch.stack([torch.tensor([(i + k) % n for k in range(5)]) for i in range(n)])
    values, new = rng.random((3, n, 2)), rng.random((3, n, 2))
    new[0, 3], new[1, :] = values[0, 3], values[1, :]  # equal to the incumbent: not better
    known = Neighbourhoods.of(weights, table, "pbi")
    start = np.full((3, 2), np.inf)
    rows, ideal = improved(values, new, known, start, kind="pbi", theta=5.0, normalize=False, max_replace=max_replace)
    assert np.array_equal(ideal, new.min(1))
    for run in range(3):
        low = torch.from_numpy(ideal[run])

        def value(f: Any, place: int, low: torch.Tensor = low) -> float:
            return float(aggregate(torch.from_numpy(f), weights[place], low, kind="pbi", theta=5.0))

        own = [value(values[run, i], i) for i in range(n)]
        best, expected = list(own), list(range(n))
        for i in range(n):
            targets = [int(place) for place in table[i]]
            targets.sort(key=lambda place: -(own[place] - value(new[run, i], place)))
            for place in targets[:max_replace]:
                if value(new[run, i], place) < best[place]:
                    best[place], expected[place] = value(new[run, i], place), n + i
        assert rows[run].tolist() == expected
    assert (rows[0] >= n).any()
