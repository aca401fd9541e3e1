import itertools
import math

import moocore
import numpy as np
import pytest
import torch

from blackbox.algorithms.evolutionary import hype
from blackbox.algorithms.evolutionary.hype import exact_contributions, hype_fitness, hype_weights

F64 = torch.float64


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def volume(rows, reference):
    """Hypervolume by inclusion and exclusion."""
    total = 0.0
    for size in range(1, len(rows) + 1):
        for subset in itertools.combinations(rows, size):
            sides = [max(0.0, c - max(v)) for c, v in zip(reference, zip(*subset, strict=True), strict=True)]
            total -= (-1) ** size * math.prod(sides)
    return total


def test_weights_are_those_of_the_paper():
    for n, k in ((1, 1), (5, 1), (5, 3), (8, 8)):
        expected = [0.0]
        for i in range(1, n + 1):
            product = math.prod((k - j) / (n - j) for j in range(1, i)) if i <= k else 0.0
            expected.append(product / i)
        torch.testing.assert_close(hype_weights(n, k), torch.tensor(expected, dtype=F64))
    assert bool((hype_weights(3000, 1500) >= 0).all())


@pytest.mark.parametrize(("m", "n"), [(1, 6), (2, 9), (3, 8), (4, 6)])
@pytest.mark.parametrize("levels", [0, 4])
def test_exact_contributions_are_losses_of_volume(m, n, levels):
    f = rand(2, n, m, seed=n)
    f = (f * levels).floor() / levels if levels else f
    reference = torch.full((m,), 0.9, dtype=F64)
    found = exact_contributions(f, reference)
    for run in range(2):
        rows = f[run].tolist()
        front = [
            i
            for i in range(n)
            if not any(all(a <= b for a, b in zip(other, rows[i], strict=True)) and other != rows[i] for other in rows)
        ]
        for i in range(n):
            rest = [rows[j] for j in front if j != i]
            whole = volume([rows[j] for j in front], reference.tolist())
            loss = whole - volume(rest, reference.tolist()) if i in front else 0.0
            assert float(found[run, i]) == pytest.approx(loss, abs=1e-12)
    bad = f.clone()
    bad[0, 0] = float("nan")
    bad[0, 1] = float("inf")
    assert exact_contributions(bad, reference)[0, :2].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("m", [2, 3])
def test_fitness_with_one_to_remove_is_the_exact_contribution(m):
    f = rand(40, m)
    f = f / f.norm(dim=-1, keepdim=True)
    reference = torch.full((m,), 1.1, dtype=F64)
    found = hype_fitness(f, reference, 1, rand(60_000, m, seed=1))
    exact = torch.from_numpy(moocore.hv_contributions(f.numpy(), ref=reference.numpy()))
    share = exact / 1.1**m
    error = 1.1**m * (share / 60_000).sqrt()
    assert bool(((found - exact).abs() < 5 * error + 1e-4).all())
    assert np.corrcoef(found.numpy(), exact.numpy())[0, 1] > 0.98


def test_fitness_equals_the_sum_over_samples(monkeypatch):
    f, uniforms = rand(2, 12, 3), rand(50, 3, seed=1)
    reference = torch.full((2, 3), 0.95, dtype=F64)
    mask = rand(2, 12, seed=2) < 0.8
    monkeypatch.setattr(hype, "_BLOCK_CPU", 100)
    found = hype_fitness(f, reference, 4, uniforms, mask=mask)
    for run in range(2):
        usable = [i for i in range(12) if bool(mask[run, i]) and float(f[run, i].max()) < 0.95]
        low = f[run, usable].amin(0)
        alpha = hype_weights(int(mask[run].sum()), 4)
        expected = torch.zeros(12, dtype=F64)
        for u in uniforms:
            point = low + (0.95 - low) * u
            above = [i for i in usable if bool((f[run, i] <= point).all())]
            expected[above] += alpha[len(above)]
        expected *= (0.95 - low).prod() / 50
        torch.testing.assert_close(found[run], expected)
        assert torch.equal(found[run], hype_fitness(f[run], reference[run], 4, uniforms, mask=mask[run]))


def test_nothing_below_the_reference():
    f, reference = torch.ones(3, 2, dtype=F64), torch.ones(2, dtype=F64)
    assert hype_fitness(f, reference, 2, rand(10, 2)).tolist() == [0.0] * 3
    assert exact_contributions(f, reference).tolist() == [0.0] * 3
