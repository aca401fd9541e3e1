import pytest
import torch

from blackbox.algorithms.evolutionary.crowding import crowding_distance

INF = float("inf")


def oracle(rows, front):
    """The textbook loop, front by front and objective by objective."""
    n, m = len(rows), len(rows[0])
    distance = [0.0] * n
    for label in set(front):
        members = [i for i in range(n) if front[i] == label]
        for k in range(m):
            order = sorted(members, key=lambda i: rows[i][k])
            span = rows[order[-1]][k] - rows[order[0]][k]
            if len(order) == 1:
                distance[order[0]] = INF
            elif span > 0:
                distance[order[0]] = distance[order[-1]] = INF
                for before, i, after in zip(order, order[1:], order[2:], strict=False):
                    distance[i] += (rows[after][k] - rows[before][k]) / span
    return distance


@pytest.mark.parametrize("m", [1, 2, 3, 5])
@pytest.mark.parametrize("levels", [0, 4])
def test_equals_the_loop_for_all_fronts_and_in_batches(m, levels):
    generator = torch.Generator().manual_seed(m)
    for n in (1, 2, 3, 40):
        f = torch.rand(3, n, m, generator=generator, dtype=torch.float64)
        f = (f * levels).floor() if levels else f
        rank = torch.randint(0, 4, (3, n), generator=generator)
        found = crowding_distance(f, rank)
        for run in range(3):
            expected = torch.tensor(oracle(f[run].tolist(), rank[run].tolist()), dtype=torch.float64)
            torch.testing.assert_close(found[run], expected)
            assert torch.equal(found[run], crowding_distance(f[run], rank[run]))


def test_duplicates_and_constants_have_none():
    assert crowding_distance(torch.ones(5, 3)).tolist() == [0.0] * 5
    f = torch.tensor([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    assert sorted(crowding_distance(f).tolist()) == [0.0, 0.0, INF, INF, INF, INF]


def test_infinite_values_give_no_nan():
    f = torch.tensor([[0.0, INF], [INF, 0.0], [1.0, 1.0], [-INF, 2.0], [INF, INF]])
    distance = crowding_distance(f)
    assert not bool(distance.isnan().any())
