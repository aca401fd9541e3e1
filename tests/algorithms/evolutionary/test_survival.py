import pytest
import torch

from blackbox.algorithm import Spec
from blackbox.algorithms import NSGA3
from blackbox.algorithms.evolutionary.ranking import ranks
from blackbox.algorithms.evolutionary.reference import das_dennis, simplex_directions
from blackbox.algorithms.evolutionary.rvea import neighbour_angles
from blackbox.algorithms.evolutionary.survival import (
    initial_normalization,
    survive_hype,
    survive_nsga2,
    survive_nsga3,
    survive_rvea,
)
from blackbox.metrics import hypervolume
from blackbox.space import Space

INF, NAN = float("inf"), float("nan")


def rand(*shape, seed=0, dtype=torch.float64):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def cases():
    """Tables that have broken evolutionary algorithms, each as a batch of runs."""
    yield rand(3, 40, 3)
    yield rand(3, 40, 5)
    yield (rand(3, 40, 3) * 3).floor()
    yield torch.ones(2, 10, 2, dtype=torch.float64)
    yield torch.full((2, 10, 3), NAN, dtype=torch.float64)
    yield torch.full((2, 10, 3), INF, dtype=torch.float64)
    yield rand(3, 20, 1)
    mixed = rand(3, 30, 3)
    mixed[0, :25] = NAN
    mixed[1, 3:9, 1] = INF
    mixed[2, 3:9, 2] = -INF
    yield mixed
    flat = rand(3, 30, 3)
    flat[..., 1] = 0.5
    yield flat
    line = rand(2, 30, 1)
    yield torch.cat([line, line, 1 - line], dim=-1)
    yield rand(2, 4, 2)


@pytest.mark.parametrize("case", range(11))
@pytest.mark.parametrize("constrained", [False, True])
def test_exactly_n_distinct_survivors_and_batches_equal_single_runs(case, constrained):
    f = list(cases())[case]
    runs, n, m = f.shape
    directions, divisions = simplex_directions(max(n // 2, 2), m)
    violation = (rand(runs, n, seed=5) * 4 - 2).floor() if constrained else None
    if violation is not None:
        violation[0] = violation[0].abs() + 1
    uniforms = rand(runs, 2, n, seed=1)
    memory = initial_normalization((runs, m))
    alone = [initial_normalization((m,)) for _ in range(runs)]
    for wanted in (n // 2, n - 1, n):
        chosen, rank, memory = survive_nsga3(
            f, wanted, directions, memory, uniforms, divisions=divisions, violation=violation
        )
        second = survive_nsga2(f, wanted, violation=violation, uniforms=uniforms[:, 0])
        full = ranks(f, violation=violation)
        for run in range(runs):
            v = None if violation is None else violation[run]
            for found in (chosen, second[0]):
                assert len(set(found[run].tolist())) == wanted
                kept = full[run][found[run]].sort().values
                assert torch.equal(kept, full[run].sort().values[:wanted])
            one, one_rank, alone[run] = survive_nsga3(
                f[run], wanted, directions, alone[run], uniforms[run], divisions=divisions, violation=v
            )
            assert torch.equal(one, chosen[run])
            assert torch.equal(one_rank, rank[run])
            assert torch.equal(alone[run].ideal, memory.ideal[run])
            assert torch.equal(alone[run].extremes, memory.extremes[run])
            other = survive_nsga2(f[run], wanted, violation=v, uniforms=uniforms[run, 0])
            assert torch.equal(other[0], second[0][run])
            assert torch.equal(other[2], second[2][run])


@pytest.mark.parametrize("m", [2, 3, 4])
def test_larger_batches_equal_single_runs_bit_for_bit(m):
    runs, n = 5, 700
    directions, divisions = simplex_directions(350, m)
    f, uniforms = rand(runs, n, m), rand(runs, 2, n, seed=1)
    memory = initial_normalization((runs, m))
    chosen, _, after = survive_nsga3(f, 350, directions, memory, uniforms, divisions=divisions)
    for run in range(runs):
        one, _, memory = survive_nsga3(
            f[run], 350, directions, initial_normalization((m,)), uniforms[run], divisions=divisions
        )
        assert torch.equal(one, chosen[run])
        assert torch.equal(memory.extremes, after.extremes[run])


def test_ideal_is_remembered_and_never_from_infeasible_rows():
    f = torch.tensor([[0.0, 5.0], [1.0, 1.0], [2.0, 0.5], [3.0, 0.4]], dtype=torch.float64)
    violation = torch.tensor([1.0, 0.0, 0.0, 0.0])
    directions = das_dennis(2, 2)
    memory = initial_normalization((2,))
    _, _, memory = survive_nsga3(f, 2, directions, memory, rand(2, 4), violation=violation)
    assert memory.ideal.tolist() == [1.0, 0.4]
    _, _, memory = survive_nsga3(f + 1, 2, directions, memory, rand(2, 4), violation=violation)
    assert memory.ideal.tolist() == [1.0, 0.4]
    _, _, again = survive_nsga3(f - 9, 2, directions, memory, rand(2, 4), violation=torch.ones(4))
    assert again.ideal.tolist() == [1.0, 0.4]
    assert torch.equal(again.extremes, memory.extremes)


def test_float32_and_many_more_references_than_rows():
    f = rand(10, 3, dtype=torch.float32)
    directions, divisions = simplex_directions(500, 3, dtype=torch.float32)
    chosen, _, memory = survive_nsga3(
        f, 5, directions, initial_normalization((3,), dtype=torch.float32), rand(2, 10), divisions=divisions
    )
    assert len(set(chosen.tolist())) == 5
    assert memory.ideal.dtype == torch.float32


def test_crowded_survivors_are_ordered_best_first():
    f = torch.tensor([[0.0, 1.0], [0.5, 0.5], [0.51, 0.49], [1.0, 0.0], [2.0, 2.0]])
    chosen, rank, crowding = survive_nsga2(f, 3)
    assert set(chosen[:2].tolist()) == {0, 3}
    assert rank.tolist() == [0, 0, 0]
    assert crowding.tolist() == sorted(crowding.tolist(), reverse=True)


@pytest.mark.parametrize("case", range(11))
@pytest.mark.parametrize("constrained", [False, True])
def test_hype_and_rvea_give_exactly_n_and_batches_equal_single_runs(case, constrained):
    f = list(cases())[case]
    runs, n, m = f.shape
    directions, divisions = simplex_directions(max(n // 2, 2), m)
    angles = neighbour_angles(directions)
    violation = (rand(runs, n, seed=5) * 4 - 2).floor() if constrained else None
    draws, full = rand(200, m, seed=6), ranks(f, violation=violation)
    for wanted in (n // 2, n):
        options = [{"violation": None if violation is None else violation[run]} for run in range(runs)]
        chosen, _, reference = survive_hype(f, wanted, draws, violation=violation)
        sampled, *_ = survive_hype(f, wanted, draws, violation=violation, exact=False, rounds=3)
        winners, is_winner = survive_rvea(f, wanted, directions, angles, 1.0, divisions=divisions, violation=violation)
        for run in range(runs):
            for found in (chosen, sampled):
                assert len(set(found[run].tolist())) == wanted
                kept = full[run][found[run]].sort().values
                assert torch.equal(kept, full[run].sort().values[:wanted])
            assert len(set(winners[run].tolist())) == wanted
            one = survive_hype(f[run], wanted, draws, **options[run])
            assert torch.equal(one[0], chosen[run])
            assert torch.equal(one[2], reference[run])
            other = survive_rvea(f[run], wanted, directions, angles, 1.0, divisions=divisions, **options[run])
            assert torch.equal(other[0], winners[run])
            assert torch.equal(other[1], is_winner[run])


def test_hype_keeps_the_hypervolume_better_than_chance():
    f = rand(60, 3)
    f = f / f.norm(dim=-1, keepdim=True)
    chosen, _, reference = survive_hype(f, 20, rand(2000, 3, seed=1), rounds=40)
    one_shot, *_ = survive_hype(f, 20, rand(2000, 3, seed=1), exact=False, rounds=4)
    volumes = [hypervolume(f[rows], reference) for rows in (chosen, one_shot, torch.arange(20))]
    assert volumes[0] > volumes[2]
    assert volumes[1] > volumes[2]
    # Removal of the least contribution one at a time, by the definition.
    rows = list(range(60))
    while len(rows) > 20:
        whole = [hypervolume(f[[j for j in rows if j != i]], reference) for i in rows]
        rows.pop(max(range(len(rows)), key=lambda k: whole[k]))
    assert sorted(chosen.tolist()) == rows


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])  # float64 is served with NumPy where it can
def test_a_row_far_out_that_is_a_shade_nearer_to_an_axis_does_not_set_the_range(dtype):
    front = torch.tensor([[1.0, 4e-4], [0.6, 0.4], [0.4, 0.6], [0.0, 1.0], [50.0, 0.0]], dtype=dtype)
    spec = Spec(Space.box([0.0], [1.0]), 2, dtype=dtype)
    kernel = NSGA3(population_size=4)
    found = kernel.survive(
        kernel.constants(spec), front, None, 4, kernel.first_memory(spec), torch.full((10,), 0.5, dtype=dtype), 5
    )
    assert torch.equal(found.memory["extremes"], front[[0, 3]])
