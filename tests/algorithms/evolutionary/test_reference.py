import itertools

import numpy as np
import pytest
import torch
from pymoo.util.ref_dirs import get_reference_directions

from blackbox.algorithms.evolutionary import reference


@pytest.mark.parametrize(("m", "divisions"), [(1, 3), (2, 1), (2, 7), (3, 5), (4, 3), (6, 4)])
def test_lattice_is_every_composition_in_order_and_indexed(m, divisions):
    expected = [c for c in itertools.product(range(divisions + 1), repeat=m) if sum(c) == divisions]
    counts = reference.lattice(m, divisions)
    assert counts.tolist() == [list(c) for c in expected]
    assert len(counts) == reference.das_dennis_size(m, divisions)
    assert reference.lattice_index(counts.mT, divisions).tolist() == list(range(len(counts)))


def test_das_dennis_equals_pymoo():
    for m, divisions in ((2, 9), (3, 12), (5, 4)):
        theirs = get_reference_directions("das-dennis", m, n_partitions=divisions)
        ours = reference.das_dennis(m, divisions).numpy()
        np.testing.assert_allclose(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)], atol=1e-12)


@pytest.mark.parametrize("m", [1, 2, 3, 5, 8, 10, 15])
@pytest.mark.parametrize("n", [1, 2, 20, 100, 300])
def test_simplex_directions_are_at_most_n_and_distinct(m, n):
    directions, divisions = reference.simplex_directions(n, m)
    assert len(directions) <= max(n, m)
    torch.testing.assert_close(directions.sum(-1), torch.ones(len(directions), dtype=torch.float64))
    assert len(directions.unique(dim=0)) == len(directions)
    assert divisions is None or torch.equal(directions, reference.das_dennis(m, divisions))


@pytest.mark.parametrize(("n", "m"), [(2, 3), (105, 3), (105, 5), (70, 10), (105, 10), (105, 15), (8, 15)])
def test_spread_directions_fill_the_room_between_layers(n, m):
    directions, divisions = reference.spread_directions(n, m)
    layers, same = reference.simplex_directions(n, m)
    assert divisions == same
    assert torch.equal(directions[: len(layers)], layers)
    if divisions is None:
        assert len(directions) == max(n, m)
    torch.testing.assert_close(directions.sum(-1), torch.ones(len(directions), dtype=torch.float64))
    assert bool((directions >= 0).all())
    if len(directions) > len(layers):
        # What was added is farther from everything else than as many random directions are.
        even = torch.cat([layers, reference.even_sequence(n - len(layers), m)])
        assert torch.pdist(directions).min() > 1.5 * torch.pdist(even).min()
    assert torch.equal(reference.spread_directions(n, m, dtype=torch.float32)[0], directions.float())


def test_layers_of_tens_of_thousands_are_not_filled():
    directions, divisions = reference.spread_directions(21_000, 15)
    assert divisions is None
    assert torch.equal(directions, reference.simplex_directions(21_000, 15)[0])


def test_the_even_sequence_goes_on_and_covers_the_simplex():
    found = reference.even_sequence(400, 4)
    assert torch.equal(found[:50], reference.even_sequence(50, 4))
    torch.testing.assert_close(found.sum(-1), torch.ones(400, dtype=torch.float64))
    torch.testing.assert_close(found.mean(0), torch.full((4,), 0.25, dtype=torch.float64), atol=0.01, rtol=0)


def test_largest_divisions_is_the_largest():
    for m in (2, 3, 7):
        for n in (m, 50, 1000):
            divisions = reference.largest_divisions(n, m)
            assert reference.das_dennis_size(m, divisions) <= n < reference.das_dennis_size(m, divisions + 1)


@pytest.mark.parametrize(("n", "m"), [(1, 3), (3, 3), (30, 3), (40, 5)])
def test_riesz_directions_spread(n, m):
    generator = torch.Generator().manual_seed(0)
    directions = reference.riesz_directions(n, m, generator=generator, iterations=60)
    assert directions.shape == (n, m)
    assert bool((directions >= 0).all())
    torch.testing.assert_close(directions.sum(-1), torch.ones(n, dtype=torch.float64))
    again = reference.riesz_directions(n, m, generator=generator.manual_seed(0), iterations=60)
    assert torch.equal(directions, again)
    if n > m:
        sample = -torch.rand(n, m, generator=generator, dtype=torch.float64).log()
        sample = sample / sample.sum(-1, keepdim=True)
        assert float(torch.pdist(directions).min()) > 2 * float(torch.pdist(sample).min())


def test_riesz_does_not_depend_on_the_block():
    make = torch.Generator
    whole = reference.riesz_directions(25, 3, generator=make().manual_seed(1), iterations=20)
    parts = reference.riesz_directions(25, 3, generator=make().manual_seed(1), iterations=20, block=60)
    torch.testing.assert_close(whole, parts)
