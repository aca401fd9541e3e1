"""Genomes: recipes that decode to the same bits everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from blackbox import Optimizer, Space
from blackbox.algorithms import RandomSearch
from blackbox.errors import BlackboxError, CapabilityError, SpaceError
from blackbox.genome import GenomeSpace, standard_normals


def network() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(30, 20), torch.nn.Tanh(), torch.nn.Linear(20, 3))


def test_normals_depend_on_seed_and_index_only() -> None:
    whole = standard_normals(5, 0, 10_001)
    for start, stop in ((0, 1), (1, 2), (3, 1000), (999, 10_001)):
        assert torch.equal(whole[start:stop], standard_normals(5, start, stop))


def test_normals_are_normal_and_independent() -> None:
    z = torch.stack([standard_normals(seed, 0, 400_000) for seed in (0, 1, 2**40, 2**61)]).double()
    assert z.mean(1).abs().max() < 0.007
    assert (z.var(1) - 1).abs().max() < 0.01
    assert ((z**4).mean(1) - 3).abs().max() < 0.06
    assert (torch.corrcoef(z) - torch.eye(4)).abs().max() < 0.007
    lagged = torch.corrcoef(torch.stack([z[0, :-1], z[0, 1:]]))
    assert lagged[0, 1].abs() < 0.007


def test_a_chain_is_the_sum_of_its_steps() -> None:
    space = GenomeSpace(1000)
    genomes = space.sample(3, torch.Generator().manual_seed(0))
    child = genomes.mutated(torch.tensor([7, 8, 9]), 0.1).mutated(torch.tensor([1, 2, 3]), 0.2)
    seeds = [chain[0] for chain in child.chains()]
    dense = []
    for first, second, third in seeds:
        w = standard_normals(first, 0, 1000)
        w = w + standard_normals(second, 0, 1000) * 0.1
        dense.append(w + standard_normals(third, 0, 1000) * 0.2)
    assert torch.allclose(child.materialise(), torch.stack(dense), rtol=1e-6, atol=1e-6)


def test_rows_and_buffers_give_equal_bits() -> None:
    space = GenomeSpace(network())
    genomes = space.sample(5, torch.Generator().manual_seed(0)).mutated(torch.arange(5), 0.01)
    whole = genomes.materialise()
    out = torch.empty(2, space.dim)
    assert genomes.materialise([4, 1], out=out) is out
    assert torch.equal(out, whole[[4, 1]])
    assert torch.equal(genomes[1:3].materialise(), whole[1:3])
    assert torch.equal(genomes.concatenate([genomes[[4]], genomes[:2]]).materialise(), whole[[4, 0, 1]])
    with pytest.raises(SpaceError, match="out"):
        genomes.materialise(out=torch.empty(1, 1))


def test_start_weights_are_scaled_by_fan_in() -> None:
    space = GenomeSpace(torch.nn.Linear(400, 300))
    weights = space.sample(1, torch.Generator().manual_seed(0)).materialise()[0]
    assert weights[:120_000].std() == pytest.approx(1 / 20, rel=0.02)
    assert (weights[120_000:] == 0).all()


def test_four_million_weights_cost_two_integers_in_the_optimizer(tmp_path: Path) -> None:
    space = Space.genome(4_052_658)
    optimizer = Optimizer(space, RandomSearch(), seed=0)
    batch = optimizer.ask(1000)
    optimizer.tell(batch[:999], torch.arange(999, 0, -1, dtype=torch.float64))
    optimizer.save(tmp_path / "genomes.bb")
    assert (tmp_path / "genomes.bb").stat().st_size < 200_000
    resumed = Optimizer.load(tmp_path / "genomes.bb")
    assert torch.equal(resumed.pending.genomes.seeds, batch.genomes.seeds[999:])
    assert torch.equal(resumed.result().x.seeds, batch.genomes.seeds[998:999])
    assert torch.equal(resumed.ask(3).genomes.seeds, optimizer.ask(3).genomes.seeds)
    with pytest.raises(BlackboxError, match="materialise"):
        _ = batch.x


def test_weights_go_into_the_module() -> None:
    module = network()
    space = GenomeSpace(module)
    weights = space.sample(1, torch.Generator().manual_seed(3)).materialise()[0]
    space.load(module, weights)
    assert torch.equal(torch.nn.utils.parameters_to_vector(module.parameters()), weights)


def test_dense_algorithms_refuse_genomes() -> None:
    from blackbox.algorithms import Sobol

    with pytest.raises(CapabilityError, match=r"genomes.*RandomSearch"):
        Optimizer(Space.genome(10), Sobol())


@pytest.mark.parametrize("wrong", [0, -1, "x", 1.5])
def test_wrong_modules_are_refused(wrong: object) -> None:
    with pytest.raises(SpaceError, match="module"):
        Space.genome(wrong)
