import pytest
import torch

from blackbox.algorithms.evolutionary.draws import draw, split_draws
from blackbox.algorithms.evolutionary.selection import distinct_others, random_rows, tournament

F64 = torch.float64


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def test_tournament_takes_the_best_player_by_all_keys():
    uniforms = rand(2, 200, 3)
    rank = (rand(2, 9, seed=1) * 3).long()
    other = (rand(2, 9, seed=2) * 2).floor()
    other[0, 0] = float("nan")
    won = tournament(uniforms, rank, other)
    players = random_rows(uniforms, 9)
    for run in range(2):
        for q in range(200):
            keys = [
                (int(rank[run, i]), float("inf") if bool(other[run, i].isnan()) else float(other[run, i]))
                for i in players[run, q].tolist()
            ]
            first = min(range(3), key=lambda p, keys=keys: (keys[p], p))
            assert int(won[run, q]) == int(players[run, q, first])


def test_random_rows_stay_in_range():
    edge = torch.tensor([0.0, 1.0 - 2**-24], dtype=torch.float32)
    assert random_rows(edge, 10**6 + 1).tolist() == [0, 10**6]


@pytest.mark.parametrize(("n", "k"), [(2, 1), (4, 3), (6, 3), (9, 5)])
def test_distinct_others_are_distinct_and_uniform(n, k):
    picks = distinct_others(rand(3000, n, k), n)
    own = torch.arange(n).expand(3000, n).unsqueeze(-1)
    together = torch.cat([own, picks], dim=-1).sort(-1).values
    assert bool((together[..., 1:] != together[..., :-1]).all())
    assert int(together.max()) < n
    for j in range(k):
        share = torch.bincount(picks[:, 0, j], minlength=n)[1:].double() / 3000
        assert float((share - 1 / (n - 1)).abs().max()) < 5 * (1 / (n - 1) / 3000) ** 0.5


def test_draws_of_a_run_are_the_same_alone_and_in_a_batch():
    generators = [torch.Generator().manual_seed(seed) for seed in range(3)]
    batch = draw(generators, 11)
    assert torch.equal(batch[2], draw(torch.Generator().manual_seed(2), 11))
    first, second = split_draws(batch, (2, 3), (5,))
    assert torch.equal(torch.cat([first.flatten(1), second], dim=-1), batch)
