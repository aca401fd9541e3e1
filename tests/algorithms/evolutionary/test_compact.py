"""The NumPy twin gives what the tensor kernels give, and each run of a batch exactly what it gets alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from blackbox.algorithms.evolutionary.bitsets import bitset_fronts
from blackbox.algorithms.evolutionary.compact import Bounds, offspring
from blackbox.algorithms.evolutionary.compact_association import (
    Lattice,
    associate_columns,
    associate_lattice_columns,
)
from blackbox.algorithms.evolutionary.compact_niching import _widths, survivors_nsga3
from blackbox.algorithms.evolutionary.niching import associate, associate_lattice, hyperplane_nadir
from blackbox.algorithms.evolutionary.ranking import ranks
from blackbox.algorithms.evolutionary.reference import das_dennis, simplex_directions
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
    if seed == 1:
        lower, upper = torch.zeros_like(lower), torch.ones_like(upper)
    first, second = (lower + rand(3, q, d).round(decimals=1) * (upper - lower) for _ in range(2))
    rows = q if single else 2 * q
    crossing, mutating = rand(3, q, d), rand(3, 2, mutation_count(rows * d, probability))
    crossing[:, 0, 0] = torch.tensor([0.0, 0.25, 0.5], dtype=torch.float64)
    mutating[0, :, 0] = 0.0
    crossed = simulated_binary_crossover(first, second, crossing, lower, upper, eta=30.0, single=single)
    expected = polynomial_mutation(crossed, mutating, lower, upper, eta=20.0, probability=probability).numpy()

    def got(part: slice | int) -> np.ndarray:
        return offspring(
            first[part].numpy(),
            second[part].numpy(),
            crossing[part].numpy(),
            mutating[part].numpy(),
            Bounds.of(lower.numpy(), upper.numpy()),
            crossover_eta=30.0,
            crossover_probability=0.5,
            mutation_eta=20.0,
            mutation_probability=probability,
            single=single,
        )

    together = got(slice(None))
    np.testing.assert_allclose(together, expected, rtol=0, atol=1e-12)
    for run in range(3):
        assert np.array_equal(together[run], got(run))
    assert (together >= lower.numpy()).all()
    assert (together <= upper.numpy()).all()


@pytest.mark.parametrize("m", [1, 2, 3, 4, 10])
@pytest.mark.parametrize("n", [1, 5, 63, 64, 65, 200])
@pytest.mark.parametrize("decimals", [0, 1, 9])
def test_fronts_by_bits(m: int, n: int, decimals: int) -> None:
    GENERATOR.manual_seed(m + n)
    values = (rand(4, n, m) - 0.5).round(decimals=decimals) + 0.0
    columns = np.ascontiguousarray(values.numpy().transpose(2, 0, 1))
    for stop in {1, (n + 1) // 2, n}:
        assert np.array_equal(bitset_fronts(columns, stop), ranks(values, stop=stop, method="tensor").numpy())


@pytest.mark.parametrize(("m", "divisions"), [(2, 300), (2, 3), (2, 1), (3, 1), (3, 2), (3, 12), (3, 43), (3, 200)])
def test_lattice_association(m: int, divisions: int) -> None:
    GENERATOR.manual_seed(divisions)
    h = rand(m, 3000)
    h[:, :100] = h[:, :100].round(decimals=1)
    h[:, 100] = 0.0
    h[0, 100:200] = 0.0
    h[:, 200:230] *= 1e15
    h[0, 230:260] = h[1, 230:260]
    niche, squared = associate_lattice_columns(h.numpy(), divisions)
    expected, distance = associate_lattice(h.mT, divisions)
    directions = das_dennis(m, divisions)
    unit = directions / directions.norm(dim=-1, keepdim=True)
    size = (h * h).sum(0)
    scale = size.clamp(min=1e-9).numpy()
    np.testing.assert_allclose(squared / scale, distance.numpy() ** 2 / scale, atol=1e-14)
    cosine = (h.mT * unit[torch.from_numpy(niche)]).sum(1)
    assert torch.allclose(cosine, (h.mT * unit[expected]).sum(1), rtol=1e-14)
    clear = (h.mT @ unit.mT).topk(2, dim=-1).values.diff(dim=-1).abs()[:, 0] > 1e-12 * size.sqrt()
    assert clear.sum() > 2500
    assert np.array_equal(niche[clear.numpy()], expected[clear].numpy())


@pytest.mark.parametrize("m", [1, 4, 5, 10])
def test_association_with_any_directions(m: int) -> None:
    GENERATOR.manual_seed(m)
    directions, h = rand(300, m) + 0.01, rand(m, 700)
    unit = (directions / directions.norm(dim=-1, keepdim=True)).mT.contiguous()
    niche, squared = associate_columns(h.numpy(), Lattice(directions, unit.numpy(), None))
    expected, distance = associate(h.mT, directions)
    assert np.array_equal(niche, expected.numpy())
    np.testing.assert_allclose(squared, distance.numpy() ** 2, atol=1e-14)


@pytest.mark.parametrize("m", [2, 3, 6])
def test_widths(m: int) -> None:
    GENERATOR.manual_seed(m)
    extremes = torch.eye(m, dtype=torch.float64) * (1 + rand(60, m, 1)) + 0.1 * rand(60, m, m)
    extremes[0, 1] = extremes[0, 0]  # singular
    extremes[1] = 0.5
    extremes[2] = extremes[2].flip(0) * 1e-3  # flat
    ideal, front = -rand(60, m), extremes.amax(-2)
    everything = front + rand(60, m)
    front[3, 0] = everything[3, 0] = ideal[3, 0]  # a constant objective
    expected = hyperplane_nadir(extremes, ideal, front, everything) - ideal
    system = (extremes - ideal[:, None]).numpy()
    got = _widths(system, (front - ideal).numpy(), (everything - ideal).numpy(), ideal.numpy())
    np.testing.assert_allclose(got, expected.numpy(), rtol=1e-9)
    for run in range(60):
        part = slice(run, run + 1)
        one = _widths(
            system[part], (front - ideal)[part].numpy(), (everything - ideal)[part].numpy(), ideal[part].numpy()
        )
        assert np.array_equal(one[0], got[run])


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5, 10])
@pytest.mark.parametrize("seed", range(5))
def test_nsga3_survival(seed: int, m: int) -> None:
    GENERATOR.manual_seed(100 * seed + m)
    kept, runs = (20, 50, 100, 7, 400)[seed], 3
    directions, divisions = simplex_directions(kept, m)
    unit = (directions / directions.norm(dim=-1, keepdim=True)).mT.contiguous()
    lattice = Lattice(directions, unit.numpy(), divisions)
    memory = initial_normalization((runs, m))
    for step in range(4):
        values = rand(runs, 2 * kept, m) ** 2
        values = values / values.norm(dim=-1, keepdim=True) * (1 + 0.3 * rand(runs, 2 * kept, 1).round(decimals=step))
        if seed == 1:
            values = values.round(decimals=1)  # ties and duplicates
        if seed == 2 and step == 2:
            values = values[:, :1].expand(runs, 2 * kept, m).contiguous()
        if seed == 3:
            values[..., 0] = 3.0
        uniforms = rand(runs, 2, 2 * kept)
        ideal, extremes = memory.ideal.numpy(), memory.extremes.numpy()
        rows, *after = survivors_nsga3(values.numpy(), kept, lattice, ideal, extremes, uniforms.numpy())
        for run in range(runs):
            part = slice(run, run + 1)
            alone = survivors_nsga3(
                values[part].numpy(), kept, lattice, ideal[part], extremes[part], uniforms[part].numpy()
            )
            for one, all_runs in zip(alone, (rows, *after), strict=True):
                assert np.array_equal(one[0], all_runs[run])
        expected, front, memory = survive_nsga3(values, kept, directions, memory, uniforms, divisions=divisions)
        assert np.array_equal(after[0], memory.ideal.numpy())
        assert np.array_equal(after[1], memory.extremes.numpy())
        if seed in (0, 2, 4) and step == 3:  # without ties the same rows
            assert np.array_equal(rows, expected.numpy())
        found = ranks(values).gather(-1, torch.from_numpy(rows))
        assert torch.equal(found, front)
        memory = Normalization(*memory)
