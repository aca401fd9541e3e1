import pytest
import torch

from blackbox.algorithms.evolutionary import discrete


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def permutations(n, d, seed=0):
    return rand(n, d, seed=seed).argsort(dim=-1)


def segment(u, d):
    return sorted(min(int(v * d), d - 1) for v in u.tolist())


@pytest.mark.parametrize("d", [1, 2, 3, 9])
def test_order_crossover_equals_the_loop(d):
    first, second, uniforms = permutations(50, d), permutations(50, d, 1), rand(50, 2, seed=2)
    found = discrete.order_crossover(first, second, uniforms)
    for i in range(50):
        begin, end = segment(uniforms[i], d)
        a, b = first[i].tolist(), second[i].tolist()
        child = [None] * d
        child[begin : end + 1] = a[begin : end + 1]
        rest = [b[(end + 1 + j) % d] for j in range(d)]
        rest = [v for v in rest if v not in a[begin : end + 1]]
        for j, value in enumerate(rest):
            child[(end + 1 + j) % d] = value
        assert found[i].tolist() == child


def test_swap_and_inversion_equal_the_loop():
    x, uniforms = permutations(60, 7), rand(60, 2, seed=1)
    swapped, inverted = discrete.swap_positions(x, uniforms), discrete.invert_segment(x, uniforms)
    for i in range(60):
        begin, end = segment(uniforms[i], 7)
        row = x[i].tolist()
        assert inverted[i].tolist() == row[:begin] + row[begin : end + 1][::-1] + row[end + 1 :]
        row[begin], row[end] = row[end], row[begin]
        assert swapped[i].tolist() == row


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float32])
def test_crossovers_and_flips_of_bits(dtype):
    first, second = torch.zeros(2, 30, 8, dtype=dtype), torch.ones(2, 30, 8, dtype=dtype)
    one, two = discrete.uniform_crossover(first, second, rand(2, 30, 8), probability=0.3)
    assert bool((one != two).all())
    assert 0.2 < float(one.double().mean()) < 0.4
    one, two = discrete.k_point_crossover(first, second, rand(2, 30, 1))
    steps = one[..., 1:].double() - one[..., :-1].double()
    assert bool((one != two).all())
    assert bool((steps.sum(-1) == 1).all())
    assert int((steps != 0).sum(-1).max()) == 1
    two_points = discrete.k_point_crossover(first, second, rand(2, 30, 2))[0].double()
    assert int((two_points[..., 1:] != two_points[..., :-1]).sum(-1).max()) == 2
    flipped = discrete.bit_flip(first, rand(2, 30, 8), probability=0.25)
    assert flipped.dtype == dtype
    assert 0.15 < float(flipped.double().mean()) < 0.35
    assert torch.equal(discrete.k_point_crossover(first[..., :1], second[..., :1], rand(2, 30, 1))[0], first[..., :1])


def test_category_reset_reaches_all_others_alike():
    sizes = torch.tensor([1, 2, 5])
    x = torch.tensor([0, 1, 2]).expand(20_000, 3)
    found = discrete.category_reset(x, rand(20_000, 3), sizes, probability=0.4)
    assert bool((found[:, 0] == 0).all())
    changed = (found != x).double().mean(0)
    assert changed[1:].tolist() == pytest.approx([0.4, 0.4], abs=0.02)
    share = torch.bincount(found[:, 2], minlength=5).double() / 20_000
    assert share.tolist() == pytest.approx([0.1, 0.1, 0.6, 0.1, 0.1], abs=0.015)


def test_integer_steps_stay_in_bounds_and_move():
    lower, upper = torch.tensor([0.0, -3.0, 2.0]), torch.tensor([9.0, 3.0, 2.0])
    x = torch.tensor([[0.0, 3.0, 2.0], [5.0, 0.0, 2.0]]).expand(4000, 2, 3)
    found = discrete.integer_step(x, rand(4000, 2, 2, 3), lower, upper, probability=1.0, mean_step=2.0)
    assert bool(((found >= lower) & (found <= upper) & (found == found.round())).all())
    assert bool((found[..., :2] != x[..., :2]).all())
    assert float((found - x).abs()[:, 1, 0].mean()) == pytest.approx(2.0, abs=0.2)
    whole = discrete.integer_step(x.long(), rand(4000, 2, 2, 3), lower, upper, probability=0.0)
    assert torch.equal(whole, x.long())


def test_rounding_keeps_to_the_bounds():
    x = torch.tensor([[0.4, 0.6, 0.6]])
    is_integer = torch.tensor([True, True, False])
    lower, upper = torch.tensor([0.2, 0.0, 0.0]), torch.tensor([3.0, 0.7, 1.0])
    torch.testing.assert_close(discrete.round_integers(x, is_integer, lower, upper), torch.tensor([[1.0, 0.0, 0.6]]))
