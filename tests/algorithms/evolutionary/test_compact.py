"""The NumPy twin gives the numbers of the tensor kernels, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from blackbox.algorithms.evolutionary.compact import Bounds, _associate_lattice, offspring, survivors_nsga3
from blackbox.algorithms.evolutionary.niching import associate_lattice
from blackbox.algorithms.evolutionary.reference import simplex_directions
from blackbox.algorithms.evolutionary.survival import Normalization, initial_normalization, survive_nsga3
from blackbox.algorithms.evolutionary.variation import (
    mutation_count,
    polynomial_mutation,
    simulated_binary_crossover,
)

GENERATOR = torch.Generator()


def rand(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=GENERATOR, dtype=torch.float64)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("single", [False, True])
def test_offspring(seed: int, single: bool) -> None:
    GENERATOR.manual_seed(seed)
    q, d = (5, 50, 131, 1, 7, 64)[seed], (1, 12, 30, 3, 500, 8)[seed]
    probability = (1.0, 1 / 12, 0.001, 0.3, 0.002, 0.5)[seed]
    lower, upper = -rand(d), rand(d)
    upper[0] = lower[0] if seed == 4 else upper[0]
    first, second = (lower + rand(q, d).round(decimals=1) * (upper - lower) for _ in range(2))
    rows = q if single else 2 * q
    crossing, mutating = rand(q, d), rand(2, mutation_count(rows * d, probability))
    crossing[0, 0] = 0.0
    crossed = simulated_binary_crossover(first, second, crossing, lower, upper, eta=30.0, single=single)
    expected = polynomial_mutation(crossed, mutating, lower, upper, eta=20.0, probability=probability)
    got = offspring(
        first.numpy(),
        second.numpy(),
        crossing.numpy(),
        mutating.numpy(),
        Bounds(lower.numpy(), upper.numpy()),
        crossover_eta=30.0,
        crossover_probability=0.5,
        mutation_eta=20.0,
        mutation_probability=probability,
        single=single,
    )
    assert np.array_equal(got, expected.numpy())


@pytest.mark.parametrize(("m", "divisions"), [(2, 300), (2, 3), (3, 23), (3, 43), (3, 200)])
def test_lattice_association(m: int, divisions: int) -> None:
    GENERATOR.manual_seed(divisions)
    h = rand(m, 3000)
    h[:, :100] = h[:, :100].round(decimals=1)
    h[:, 100] = 0.0
    h[0, 100:200] = 0.0
    h[:, 200:230] *= 1e15
    h[0, 230:260] = h[1, 230:260]
    expected = associate_lattice(h.mT, divisions)
    got = _associate_lattice(h.numpy(), divisions)
    assert np.array_equal(got[0], expected[0].numpy())
    assert np.array_equal(got[1], expected[1].numpy())


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5, 10])
@pytest.mark.parametrize("seed", range(5))
def test_nsga3_survival(seed: int, m: int) -> None:
    GENERATOR.manual_seed(100 * seed + m)
    kept = (20, 50, 100, 7, 400)[seed]
    directions, divisions = simplex_directions(kept, m)
    unit = (directions / directions.norm(dim=-1, keepdim=True)).mT.contiguous()
    memory = initial_normalization((m,))
    for step in range(4):
        values = rand(2 * kept, m) ** 2
        values = values / values.norm(dim=-1, keepdim=True) * (1 + 0.3 * rand(2 * kept, 1).round(decimals=step))
        if seed == 1:
            values = values.round(decimals=1)  # ties and duplicates
        if seed == 2 and step == 2:
            values = values[:1].expand(2 * kept, m).contiguous()
        if seed == 3:
            values[:, 0] = 3.0
        uniforms = rand(3, len(values))
        found = survivors_nsga3(
            values.numpy(),
            kept,
            directions,
            unit.numpy(),
            divisions,
            memory.ideal.numpy(),
            memory.extremes.numpy(),
            uniforms.numpy(),
        )
        rows, _, memory = survive_nsga3(values, kept, directions, memory, uniforms, divisions=divisions)
        assert np.array_equal(found[1], memory.ideal.numpy())
        assert np.array_equal(found[2], memory.extremes.numpy())
        assert np.array_equal(found[0], rows.numpy())
        memory = Normalization(*memory)
