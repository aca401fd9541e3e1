from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import blackbox as bb
from blackbox import testing
from blackbox.algorithms import GradientEstimation
from blackbox.algorithms.gradient_estimation import SGD, Adam, Estimator, Lion
from blackbox.errors import SettingError

KINDS = ["gaussian", "spsa", "orthogonal"]
CHECKS = [check for check in testing.ALGORITHM_CHECKS if "fresh_process" not in check.__name__]
SLOPE = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)


def many(estimator: Estimator, f: Callable[[Tensor], Tensor], x: Tensor, times: int) -> Tensor:
    """Return `times` independent estimates at x, shape (times, d)."""
    here = x.expand(times, -1)
    u = estimator.draw(here, torch.Generator().manual_seed(0))
    return estimator.estimate(f(estimator.points(here, u)), u).gradient


@pytest.mark.parametrize("two_sided", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_linear_functions_have_unbiased_estimates(kind: Any, two_sided: bool) -> None:
    estimator = Estimator(kind=kind, directions=3, two_sided=two_sided)
    g = many(estimator, lambda x: x @ SLOPE, torch.zeros(4, dtype=torch.float64), 20_000)
    assert ((g.mean(0) - SLOPE).abs() < 4 * g.std(0) / math.sqrt(20_000)).all()


def test_a_full_orthogonal_block_is_exact_on_linear_functions() -> None:
    g = many(Estimator(kind="orthogonal", directions=8), lambda x: x @ SLOPE, torch.zeros(4, dtype=torch.float64), 5)
    assert torch.allclose(g, SLOPE.expand(5, -1))


def test_orthogonal_directions_cost_memory_linear_in_the_number_of_variables() -> None:
    u = Estimator(kind="orthogonal", directions=3).draw(torch.zeros(100_000), torch.Generator().manual_seed(0))
    assert torch.allclose(u @ u.T, 100_000 * torch.eye(3), rtol=1e-4, atol=1.0)


def test_directions_have_unit_covariance_and_blocks_are_orthogonal() -> None:
    x = torch.zeros((5_000, 4), dtype=torch.float64)
    for kind in KINDS:
        u = Estimator(kind=kind, directions=3).draw(x, torch.Generator().manual_seed(0))  # type: ignore[arg-type]
        covariance = torch.einsum("bqi,bqj->ij", u, u) / (3 * len(x))
        assert (covariance - torch.eye(4, dtype=torch.float64)).abs().max() < 0.05
    u = Estimator(kind="orthogonal", directions=6).draw(x[:2], torch.Generator().manual_seed(0))
    assert torch.allclose(u[:, :4] @ u[:, :4].mT, 4 * torch.eye(4, dtype=torch.float64).expand(2, -1, -1))


@pytest.mark.parametrize("kind", KINDS)
def test_the_bias_of_two_sided_estimates_is_quadratic_in_the_radius(kind: Any) -> None:
    """On a cubic function, the same directions at half the radius have a quarter of the bias."""

    def cubic(x: Tensor) -> Tensor:
        return (x**3).sum(-1) + x @ SLOPE

    x = torch.full((4,), 0.3, dtype=torch.float64)
    wide, half, fine = (many(Estimator(kind=kind, radius=r), cubic, x, 4_000).mean(0) for r in (0.2, 0.1, 1e-4))
    assert torch.allclose((half - fine) * 4, wide - fine, rtol=0.01)
    one_sided = [many(Estimator(kind=kind, radius=r, two_sided=False), cubic, x, 400) for r in (0.02, 0.01, 1e-5)]
    error = [(g - one_sided[2]).norm(dim=-1).mean() for g in one_sided[:2]]
    assert 1.8 < float(error[0] / error[1]) < 2.2


def test_the_variance_falls_with_directions_and_grows_with_variables() -> None:
    def spread(d: int, q: int) -> float:
        slope = torch.ones(d, dtype=torch.float64) / math.sqrt(d)
        g = many(
            Estimator(kind="gaussian", directions=q), lambda x: x @ slope, torch.zeros(d, dtype=torch.float64), 4_000
        )
        return float((g - slope).square().sum(-1).mean())

    assert spread(10, 4) / spread(10, 16) == pytest.approx(4, rel=0.15)
    assert spread(40, 8) / spread(10, 8) == pytest.approx(41 / 11, rel=0.15)


def test_the_reported_variance_is_that_of_the_estimates() -> None:
    estimator = Estimator(kind="gaussian", directions=10)
    here = torch.zeros((4_000, 4), dtype=torch.float64)
    u = estimator.draw(here, torch.Generator().manual_seed(0))
    seen = estimator.estimate(estimator.points(here, u) @ SLOPE, u)
    assert torch.allclose(seen.variance.mean(0), seen.gradient.var(0), rtol=0.15)


def test_pairs_with_a_failure_do_not_count() -> None:
    estimator = Estimator(kind="gaussian", directions=4)
    x = torch.zeros(4, dtype=torch.float64)
    u = estimator.draw(x, torch.Generator().manual_seed(0))
    values = estimator.points(x, u) @ SLOPE
    values[1], values[6] = math.nan, math.inf
    two = Estimator(kind="gaussian", directions=2)
    kept = u[[0, 3]]
    expected = two.estimate(two.points(x, kept) @ SLOPE, kept)
    assert torch.allclose(estimator.estimate(values, u).gradient, expected.gradient)
    assert (estimator.estimate(torch.full_like(values, math.nan), u).gradient == 0).all()


def test_ranks_see_the_order_only() -> None:
    estimator = Estimator(kind="gaussian", directions=6, ranks=True)
    x = torch.zeros(4, dtype=torch.float64)
    u = estimator.draw(x, torch.Generator().manual_seed(0))
    values = estimator.points(x, u) @ SLOPE
    g = estimator.estimate(values, u).gradient
    assert torch.equal(g, estimator.estimate(values.exp() * 1e6, u).gradient)
    assert g @ SLOPE > 0


ALGORITHMS = {
    "adam": GradientEstimation(),
    "lion": GradientEstimation(rule=Lion(), estimator=Estimator(kind="gaussian")),
    "spall": GradientEstimation(
        rule=SGD(learning_rate=0.05, power=0.602, offset=20.0),
        estimator=Estimator(kind="spsa", directions=1),
        radius_power=0.101,
    ),
    "momentum": GradientEstimation(rule=SGD(learning_rate=0.002, momentum=0.9), estimator=Estimator(two_sided=False)),
    "ranks": GradientEstimation(estimator=Estimator(kind="gaussian", directions=16, ranks=True)),
    "forward": GradientEstimation(estimator=Estimator(kind="forward", directions=2)),
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", ["lion", "spall", "momentum", "ranks"])
def test_every_variant_keeps_the_contract(name: str, check: Callable[[Any], None]) -> None:
    check(ALGORITHMS[name])


@pytest.mark.parametrize("name", [name for name in ALGORITHMS if name != "forward"])
def test_a_quadratic_is_descended(name: str) -> None:
    optimizer = bb.Optimizer(bb.Space.box([-2] * 6, [4] * 6), ALGORITHMS[name], seed=0)
    for _ in range(300):
        batch = optimizer.ask()
        optimizer.tell(batch, (batch.x - 0.5).square().sum(1))
    assert optimizer.result().values < 0.05


@pytest.mark.parametrize("column", ["derivatives", "gradient"])
def test_forward_gradients_descend(column: str) -> None:
    def f(x: Tensor) -> Tensor:
        return (x - 0.5).square().sum(-1) / 36

    optimizer = bb.Optimizer(bb.Space.box([-2] * 6, [4] * 6), ALGORITHMS["forward"], seed=0)
    for _ in range(400):
        batch = optimizer.ask()
        told = (batch.x - 0.5) / 18
        if column == "derivatives":
            told = (batch.context["tangent"] @ told[..., None])[..., 0]
        optimizer.tell(batch, f(batch.x), extras={column: told})
    assert optimizer.result().values < 1e-3


def test_forward_gradients_need_a_plain_box() -> None:
    space = bb.Space({"a": bb.Real(1e-3, 1, log=True)})
    with pytest.raises(SettingError, match="logarithmic"):
        bb.Optimizer(space, ALGORITHMS["forward"], seed=0)


def test_pairs_share_a_seed() -> None:
    optimizer = bb.Optimizer(bb.Space.box([0] * 3, [1] * 3), GradientEstimation(), seed=0)
    seeds = optimizer.ask().context["seed"]
    assert torch.equal(seeds[:8], seeds[8:])
    assert len(set(seeds.tolist())) == 8


def test_the_best_of_told_points_is_the_start() -> None:
    optimizer = bb.Optimizer(bb.Space.box([0, 0], [1, 1]), GradientEstimation(), seed=0)
    points = torch.tensor([[0.2, 0.3], [0.9, 0.9]], dtype=torch.float64)
    optimizer.tell(optimizer.space.batch(points), torch.tensor([1.0, 2.0]))
    assert (optimizer.ask().x - points[0]).abs().max() < 0.05


def test_rules_are_free_of_scale_where_they_say_so() -> None:
    g = torch.tensor([0.3, -2.0, 1e-3], dtype=torch.float64)
    zero = torch.zeros_like(g)
    for rule in (Adam(), Lion()):
        assert torch.allclose(rule.step(g, zero, zero, 0)[0], rule.step(1e6 * g, zero, zero, 0)[0], rtol=1e-6)
    assert torch.allclose(Adam().step(g, zero, zero, 0)[0], -0.02 * g.sign())
