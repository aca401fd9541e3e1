import math

import pytest
import torch

from blackbox.algorithms.evolutionary import rvea
from blackbox.algorithms.evolutionary.reference import das_dennis
from blackbox.algorithms.evolutionary.rvea import adapt_directions, neighbour_angles, reference_winners

F64 = torch.float64


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def angle(a, b):
    cosine = float(a @ b) / (float(a.norm()) * float(b.norm()))
    return math.acos(min(1.0, cosine))


def test_neighbour_angles_are_the_smallest(monkeypatch):
    monkeypatch.setattr(rvea, "_BLOCK_CPU", 60)
    directions = rand(20, 3)
    expected = [min(angle(a, b) for j, b in enumerate(directions) if j != i) for i, a in enumerate(directions)]
    torch.testing.assert_close(neighbour_angles(directions), torch.tensor(expected, dtype=F64), atol=1e-7, rtol=0)
    assert neighbour_angles(torch.ones(1, 3)).tolist() == [pytest.approx(math.pi / 2)]


@pytest.mark.parametrize("penalty", [0.0, 2.0])
def test_winners_equal_the_loop(penalty):
    directions = das_dennis(3, 4)
    angles = neighbour_angles(directions)
    f, ideal = rand(2, 30, 3), torch.zeros(2, 3, dtype=F64)
    mask = rand(2, 30, seed=1) < 0.7
    rows, valid = reference_winners(f, ideal, directions, angles, penalty, mask)
    for run in range(2):
        best = {}
        for i in range(30):
            if not mask[run, i]:
                continue
            all_angles = [angle(f[run, i], u) for u in directions]
            j = min(range(len(directions)), key=lambda j: all_angles[j])
            value = float(f[run, i].norm()) * (1 + penalty * all_angles[j] / float(angles[j]))
            if j not in best or value < best[j][0]:
                best[j] = (value, i)
        assert valid[run].tolist() == [j in best for j in range(len(directions))]
        assert [int(rows[run, j]) for j in best] == [i for _, i in best.values()]
        alone = reference_winners(f[run], ideal[run], directions, angles, penalty, mask[run])
        assert torch.equal(alone[0], rows[run])


def test_adapted_directions_follow_the_range():
    found = adapt_directions(das_dennis(2, 2), torch.tensor([0.0, 1.0]).double(), torch.tensor([1.0, 3.0]).double())
    torch.testing.assert_close(found[1], torch.tensor([1.0, 2.0], dtype=F64) / 5**0.5)
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(3, dtype=F64))
