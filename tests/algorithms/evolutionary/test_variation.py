import pytest
import torch

from blackbox.algorithms.evolutionary.variation import (
    binomial_crossover,
    differential,
    mutation_count,
    mutation_sites,
    polynomial_mutation,
    simulated_binary_crossover,
)

F64 = torch.float64


def rand(*shape, seed=0, dtype=F64):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def bounds(d, dtype=F64):
    return torch.linspace(-2, 0, d, dtype=dtype), torch.linspace(1, 5, d, dtype=dtype)


def sbx_scalar(a, b, u, low, high, eta, probability, bounded):
    """Deb's crossover of one variable, with the spread drawn from the rest of the uniform number."""
    if u >= probability:
        return a, b
    side = 2 * u / probability - 1
    swap, v = side < 0, abs(side)

    def spread(room):
        alpha = 2.0 if not bounded else 2.0 - (1 + 2 * room) ** -(eta + 1)
        if v <= 1 / alpha:
            return (v * alpha) ** (1 / (eta + 1))
        return (1 / (2 - v * alpha)) ** (1 / (eta + 1))

    small, large = min(a, b), max(a, b)
    gap = max(large - small, 1e-300)
    one = 0.5 * (small + large - spread((small - low) / gap) * (large - small))
    two = 0.5 * (small + large + spread((high - large) / gap) * (large - small))
    one, two = (min(max(c, low), high) for c in (one, two))
    if (a > b) != swap:
        one, two = two, one
    return one, two


@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize("probability", [0.5, 1.0])
def test_sbx_equals_the_textbook(bounded, probability):
    q, d = 40, 5
    lower, upper = bounds(d)
    first, second = (lower + (upper - lower) * rand(q, d, seed=s) for s in (1, 2))
    second[0] = first[0]
    first[1] = lower
    uniforms = rand(q, d)
    found = simulated_binary_crossover(
        first, second, uniforms, lower, upper, eta=7.0, probability=probability, bounded=bounded
    )
    for i in range(q):
        for k in range(d):
            arguments = (first[i, k], second[i, k], uniforms[i, k], lower[k], upper[k])
            one, two = sbx_scalar(*map(float, arguments), 7.0, probability, bounded)
            assert float(found[i, k]) == pytest.approx(one, abs=1e-9)
            assert float(found[q + i, k]) == pytest.approx(two, abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("bounded", [False, True])
def test_sbx_stays_in_bounds_and_batches_exactly(dtype, bounded):
    lower, upper = bounds(7, dtype)
    upper[3] = lower[3]
    first, second = (lower + (upper - lower) * rand(3, 11, 7, seed=s, dtype=dtype) for s in (1, 2))
    uniforms = rand(3, 11, 7, dtype=dtype)
    uniforms[0, :2] = 0.0
    uniforms[0, 2:4] = 0.5 - 2**-24
    found = simulated_binary_crossover(first, second, uniforms, lower, upper, bounded=bounded)
    assert found.dtype == dtype
    assert bool(((found >= lower) & (found <= upper)).all())
    for run in range(3):
        alone = simulated_binary_crossover(first[run], second[run], uniforms[run], lower, upper, bounded=bounded)
        assert torch.equal(found[run], alone)
    kept = uniforms >= 0.5
    assert torch.equal(found[:, :11][kept], first[kept])


@pytest.mark.parametrize("probability", [0.001, 0.08, 0.5, 1.0])
def test_mutation_sites_are_independent_with_the_given_chance(probability):
    total, runs = 60, 3000
    count = mutation_count(total, probability)
    sites, source = mutation_sites(rand(runs, count), probability, total)
    hit = torch.zeros(runs, total)
    mask = source == torch.arange(count)
    hit.scatter_(-1, torch.where(mask, sites, sites[:, :1]), mask.float() + (~mask) * mask[:, :1])
    share = hit.mean(0)
    assert float((share - probability).abs().max()) <= 5 * (probability * (1 - probability) / runs) ** 0.5
    together = (hit.mT @ hit / runs).fill_diagonal_(probability**2)
    bound = 5.5 * (probability**2 * (1 - probability**2) / runs) ** 0.5 + 1 / runs
    assert float((together - probability**2).abs().max()) <= bound


def mutate_scalar(x, u, low, high, eta):
    span = high - low
    if span <= 0:
        return x
    if u < 0.5:
        room = (x - low) / span
        return x + ((2 * u + (1 - 2 * u) * (1 - room) ** (eta + 1)) ** (1 / (eta + 1)) - 1) * span
    room = (high - x) / span
    return x + (1 - (2 - 2 * u + (2 * u - 1) * (1 - room) ** (eta + 1)) ** (1 / (eta + 1))) * span


@pytest.mark.parametrize("probability", [None, 0.02, 1.0])
def test_polynomial_mutation_equals_the_textbook_at_its_sites(probability):
    n, d, runs = 9, 6, 4
    lower, upper = bounds(d)
    upper[2] = lower[2]
    x = lower + (upper - lower) * rand(runs, n, d)
    x[:, 0], x[:, 1] = lower, upper
    p = 1 / d if probability is None else probability
    uniforms = rand(runs, 2, mutation_count(n * d, p), seed=3)
    before = x.clone()
    found = polynomial_mutation(x, uniforms, lower, upper, eta=9.0, probability=probability)
    assert torch.equal(x, before)
    for run in range(runs):
        sites, source = mutation_sites(uniforms[run, 0], p, n * d)
        expected = x[run].flatten().clone()
        for j, site in enumerate(sites.tolist()):
            if int(source[j]) == j:
                k = site % d
                expected[site] = mutate_scalar(
                    float(expected[site]), float(uniforms[run, 1, j]), float(lower[k]), float(upper[k]), 9.0
                )
        torch.testing.assert_close(found[run].flatten(), expected)
        alone = polynomial_mutation(x[run], uniforms[run], lower, upper, eta=9.0, probability=probability)
        assert torch.equal(alone, found[run])
    assert bool(((found >= lower) & (found <= upper)).all())
    polynomial_mutation(x, uniforms, lower, upper, eta=9.0, probability=probability, in_place=True)
    assert torch.equal(x, found)


def test_mutation_without_a_site_changes_nothing():
    x = rand(2, 3)
    lower, upper = torch.zeros(3, dtype=F64), torch.ones(3, dtype=F64)
    uniforms = torch.full((2, mutation_count(6, 0.01)), 0.999999, dtype=F64)
    assert torch.equal(polynomial_mutation(x, uniforms, lower, upper, probability=0.01), x)


def test_differential_evolution():
    a, b, c = rand(4, 3), rand(4, 3, seed=1), rand(4, 3, seed=2)
    torch.testing.assert_close(differential(a, b, c, 0.5), a + 0.5 * b - 0.5 * c)
    assert torch.equal(binomial_crossover(a, b, rand(4, 4), rate=1.0), b)
    alone = binomial_crossover(a, b, rand(4, 4), rate=0.0)
    assert (alone != a).sum(-1).tolist() == [1] * 4
    uniforms = rand(5000, 1, 4)
    share = (binomial_crossover(a[:1], b[:1], uniforms, rate=0.4) == b[:1]).double().mean((0, 1))
    assert float((share - (1 / 3 + 2 / 3 * 0.4)).abs().max()) < 0.03
