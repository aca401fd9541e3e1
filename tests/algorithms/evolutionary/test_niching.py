"""NSGA-III parts against direct computations and against the textbook loop in frequency."""

import random

import pytest
import torch

from blackbox.algorithms.evolutionary import niching
from blackbox.algorithms.evolutionary.niching import (
    associate,
    associate_lattice,
    cell_size,
    extreme_points,
    hyperplane_nadir,
    niche_survivors,
)
from blackbox.algorithms.evolutionary.reference import das_dennis, two_layers

F64 = torch.float64


def rand(*shape, seed=0, dtype=F64):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def distances(h, directions):
    unit = directions / directions.norm(dim=-1, keepdim=True)
    along = h @ unit.mT
    return (h.unsqueeze(-2) - along.unsqueeze(-1) * unit).norm(dim=-1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_association_takes_the_nearest_line(dtype, monkeypatch):
    directions = two_layers(4, 3, 2, dtype=dtype)
    h = rand(2, 50, 4, dtype=dtype)
    table = distances(h, directions)
    niche, distance = associate(h, directions)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(distance, table.amin(-1), atol=tolerance, rtol=0)
    torch.testing.assert_close(table.gather(-1, niche[..., None])[..., 0], distance, atol=tolerance, rtol=0)
    monkeypatch.setattr(niching, "_BLOCK_CPU", 10)
    torch.testing.assert_close(associate(h[:, :7], directions)[1], distance[:, :7])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("m", "divisions"), [(2, 1), (2, 99), (3, 1), (3, 2), (3, 12), (3, 40)])
def test_lattice_search_is_exact_up_to_three_objectives(m, divisions, dtype):
    h = torch.cat([rand(1500, m), rand(1500, m, seed=1) ** 6, -rand(1500, m, seed=2).log() * 1e-3])
    counts = das_dennis(m, divisions)
    # Rows on the lattice, on its edges and half way between neighbours, where directions tie.
    h = torch.cat([h, counts * 3, (counts[1:] + counts[:-1]) / 2, torch.zeros(1, m, dtype=F64)]).to(dtype)
    directions = counts.to(dtype)
    niche, distance = associate_lattice(h, divisions)
    table = distances(h.double(), counts)
    scale = h.double().norm(dim=-1).clamp(min=1e-3)
    tolerance = 2e-4 if dtype == torch.float32 else 1e-7
    chosen = table.gather(-1, niche[:, None])[:, 0]
    assert bool(((chosen - table.amin(-1)) / scale < tolerance).all())
    assert bool(((distance - chosen).abs() / scale < tolerance).all())
    assert niche[-1] == associate(h[-1:], directions)[0][0] == 0


def test_lattice_search_is_nearly_exact_beyond():
    h = rand(4000, 5)
    directions = das_dennis(5, 8)
    _, found = associate_lattice(h, 8)
    best = distances(h, directions).amin(-1)
    assert float((found > best * (1 + 1e-9)).double().mean()) < 0.02
    assert float((found / best).max()) < 1.1


def test_lattice_search_in_blocks_and_batches(monkeypatch):
    h = rand(3, 130, 3)
    whole = associate_lattice(h, 10)
    monkeypatch.setattr(niching, "_BLOCK_CPU", 1)
    for found, expected in zip(associate_lattice(h, 10), whole, strict=True):
        assert torch.equal(found, expected)
    assert torch.equal(associate_lattice(h[1], 10)[0], whole[0][1])


def test_extreme_points_minimise_the_scalarising_function():
    f, ideal = rand(2, 40, 3), torch.zeros(2, 3, dtype=F64)
    mask = rand(2, 40, seed=1) < 0.5
    found = extreme_points(f, ideal, mask)
    for run in range(2):
        rows = f[run][mask[run]]
        for axis in range(3):
            weight = torch.full((3,), 1e-6, dtype=F64)
            weight[axis] = 1
            expected = rows[(rows / weight).amax(-1).argmin()]
            assert torch.equal(found[run, axis], expected)
    better = torch.eye(3, dtype=F64).expand(2, 3, 3) * 0.5
    assert torch.equal(extreme_points(f, ideal, mask, better), better)


def test_tolerance_keeps_far_rows_from_being_extreme():
    f = torch.tensor([[9.0, 0.0], [1.0, 1e-5], [0.0, 1.0]], dtype=F64)
    ideal, mask = torch.zeros(2, dtype=F64), torch.ones(3, dtype=torch.bool)
    assert extreme_points(f, ideal, mask)[0].tolist() == [9.0, 0.0]
    tolerance = torch.full((2,), 1e-3, dtype=F64)
    assert extreme_points(f, ideal, mask, tolerance=tolerance)[0].tolist() == [1.0, 1e-5]


def test_nadir_is_where_the_plane_meets_the_axes():
    extremes = torch.tensor([[2.5, 0.5, 0.5], [0.5, 3.5, 0.5], [0.5, 0.5, 4.5]], dtype=F64)
    ideal, far = torch.full((3,), 0.5, dtype=F64), torch.full((3,), 100.0, dtype=F64)
    torch.testing.assert_close(hyperplane_nadir(extremes, ideal, far, far), torch.tensor([2.5, 3.5, 4.5], dtype=F64))


@pytest.mark.parametrize(
    "extremes",
    [
        [[1.0, 0.0], [1.0, 0.0]],  # singular
        [[2.0, 1.0], [3.0, 1.0]],  # a negative intercept
        [[0.0, 0.0], [0.0, 0.0]],
        [[1e30, 1e30], [1e30, 1e30]],
        [[1e-9, 0.0], [0.0, 1.0]],  # next to nothing on one axis
    ],
)
def test_nadir_falls_back_where_the_plane_is_ill_posed(extremes):
    ideal, worst = torch.zeros(2, dtype=F64), torch.tensor([3.0, 5.0], dtype=F64)
    nadir = hyperplane_nadir(torch.tensor(extremes, dtype=F64), ideal, worst, worst * 2)
    assert nadir.tolist() == [3.0, 5.0]
    flat = hyperplane_nadir(torch.tensor(extremes, dtype=F64), ideal, ideal, ideal)
    assert flat.tolist() == [1.0, 1.0]


def textbook(rank, cutoff, niche, distance, n_survivors, n_niches, rng):
    """Algorithm 4 of Deb and Jain, one row at a time."""
    taken = [i for i, r in enumerate(rank) if r < cutoff]
    count = [0] * n_niches
    for i in taken:
        count[niche[i]] += 1
    pool = {j: [i for i, r in enumerate(rank) if r == cutoff and niche[i] == j] for j in range(n_niches)}
    while len(taken) < n_survivors:
        open_niches = [j for j in range(n_niches) if pool[j]]
        least = min(count[j] for j in open_niches)
        j = rng.choice([j for j in open_niches if count[j] == least])
        if count[j] == 0:
            closest = min(distance[i] for i in pool[j])
            i = rng.choice([i for i in pool[j] if distance[i] == closest])
        else:
            i = rng.choice(pool[j])
        pool[j].remove(i)
        count[j] += 1
        taken.append(i)
    return taken


@pytest.mark.parametrize("case", range(3))
def test_niching_has_the_frequencies_of_the_textbook_loop(case):
    rng = random.Random(case)
    n, n_niches, wanted = 24, 7, 13
    rank = [0] * 5 + [1] * 14 + [2] * 5
    rng.shuffle(rank)
    niche = [rng.randrange(n_niches - case) for _ in range(n)]
    # Equal distances, as duplicates have them.
    distance = [float(rng.randrange(2 if case else 1000)) for _ in range(n)]
    draws = 6000
    loop = torch.zeros(n, dtype=F64)
    for _ in range(draws):
        loop[textbook(rank, 1, niche, distance, wanted, n_niches, rng)] += 1
    batch = [torch.tensor(v).expand(draws, n) for v in (rank, niche)]
    chosen = niche_survivors(
        batch[0],
        torch.ones(draws, 1, dtype=torch.int64),
        batch[1],
        torch.tensor(distance, dtype=F64).expand(draws, n),
        wanted,
        n_niches,
        rand(draws, 2, n, seed=case),
    )
    assert chosen.shape == (draws, wanted)
    closed = torch.zeros(n, dtype=F64).index_add_(0, chosen.flatten(), torch.ones(draws * wanted, dtype=F64))
    assert float(((closed - loop) / draws).abs().max()) < 4.5 * (0.5 / draws) ** 0.5
    pairs = [torch.zeros(n, n, dtype=F64), torch.zeros(n, n, dtype=F64)]
    member = torch.zeros(draws, n, dtype=F64).scatter_(-1, chosen, 1.0)
    pairs[0] = member.mT @ member
    for _ in range(draws):
        row = torch.zeros(n, dtype=F64)
        row[textbook(rank, 1, niche, distance, wanted, n_niches, rng)] = 1
        pairs[1] += torch.outer(row, row)
    assert float(((pairs[0] - pairs[1]) / draws).abs().max()) < 5 * (0.5 / draws) ** 0.5


def test_behind_the_nearest_come_rows_at_the_border_of_a_niche():
    draws, n = 4000, 6
    rank = torch.tensor([0, 1, 1, 1, 1, 1]).expand(draws, n)
    niche = torch.tensor([0, 0, 0, 1, 1, 1]).expand(draws, n)
    distance = torch.tensor([0.0, 0.01, 9.0, 0.1, 0.2, 9.0], dtype=F64).expand(draws, n)
    options = (niche, distance, 4, 2, rand(draws, 2, n, seed=3))
    chosen = niche_survivors(rank, torch.ones(draws, 1, dtype=torch.int64), *options, cell=0.01)
    share = torch.zeros(n, dtype=F64).index_add_(0, chosen.flatten(), torch.ones(4 * draws, dtype=F64)) / draws
    # Niche 1 is empty: its nearest row, and then the outer one, less surely, as row 4 is not in the middle either.
    assert share[0] == share[3] == 1.0
    assert share[2] == 1.0
    assert abs(float(share[5]) - 0.68) < 0.03
    even = niche_survivors(rank, torch.ones(draws, 1, dtype=torch.int64), *options)
    assert abs(float((even == 2).double().sum()) / draws - 0.5) < 0.05


def test_cells_are_about_half_as_wide_as_neighbours_are_apart():
    for m, divisions in ((2, 99), (3, 13)):
        directions = das_dennis(m, divisions)
        apart = float(torch.pdist(directions).min())
        assert 0.3 < cell_size(len(directions), m) ** 0.5 / apart < 0.7
    assert cell_size(1, 1) == 1.0
    assert cell_size(126, 5) is None


def test_niching_takes_all_when_all_fit_and_orders_by_front():
    rank = torch.tensor([2, 0, 1, 0])
    chosen = niche_survivors(
        rank, torch.tensor([2]), torch.zeros(4, dtype=torch.int64), rand(4), 4, 3, rand(2, 4, seed=1)
    )
    assert rank[chosen].tolist() == [0, 0, 1, 2]
    assert sorted(chosen.tolist()) == [0, 1, 2, 3]
