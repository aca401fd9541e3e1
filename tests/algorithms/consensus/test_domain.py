from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from blackbox.algorithms.consensus import Domain
from blackbox.algorithms.consensus._domain import (
    Cube,
    enter,
    move,
    project_ball,
    project_hyperplane,
    project_simplex,
    project_sphere,
    reflect,
)


def points(n: int = 200, d: int = 4, seed: int = 0) -> Tensor:
    return torch.randn((2, n, d), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_reflection_keeps_points_in_the_cube_and_inner_ones_where_they_are() -> None:
    u = torch.tensor([0.0, 0.3, 1.0, 1.25, -0.25, 2.5, -7.0], dtype=torch.float64)
    assert torch.allclose(reflect(u), torch.tensor([0.0, 0.3, 1.0, 0.75, 0.25, 0.0, 1.0], dtype=torch.float64))


def is_nearest(x: Tensor, projected: Tensor, members: Tensor) -> bool:
    """No random member of the set is nearer to x than its projection."""
    return bool(((x - projected).norm(dim=-1) <= torch.cdist(x, members).amin(-1) + 1e-9).all())


def test_projections_are_members_and_nearest() -> None:
    x = points()
    normal = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
    simplex = project_simplex(x, 2.0)
    assert (simplex >= 0).all()
    assert torch.allclose(simplex.sum(-1), torch.full(x.shape[:-1], 2.0, dtype=torch.float64))
    exponential = -torch.rand(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).log()
    assert is_nearest(x, simplex, 2 * exponential / exponential.sum(-1, keepdim=True))
    plane = project_hyperplane(x, normal, 0.7)
    assert torch.allclose(plane @ normal, torch.full(x.shape[:-1], 0.7, dtype=torch.float64))
    assert is_nearest(x, plane, project_hyperplane(points(seed=5), normal, 0.7))
    ball, sphere = project_ball(x, 1.5), project_sphere(x, 1.5)
    assert (ball.norm(dim=-1) <= 1.5 + 1e-12).all()
    assert torch.allclose(sphere.norm(dim=-1), torch.full(x.shape[:-1], 1.5, dtype=torch.float64))
    other = project_sphere(points(seed=6), 1.5)
    assert is_nearest(x, sphere, other)
    assert is_nearest(x, ball, other)
    assert project_sphere(torch.zeros(3), 2.0).tolist() == [2.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "domain",
    [
        Domain(kind="box", method="clip"),
        Domain(kind="box", method="mirror"),
        Domain(kind="ball", radius=0.8),
        Domain(kind="ball", radius=0.8, method="mirror"),
        Domain(kind="sphere", radius=0.8),
        Domain(kind="simplex"),
        Domain(kind="simplex", method="mirror"),
        Domain(kind="hyperplane", normal=(1.0, 1.0, -1.0), offset=0.2),
    ],
    ids=lambda domain: f"{domain.kind}-{domain.method}",
)
def test_moves_end_in_the_domain_and_small_ones_are_made_as_they_are(domain: Domain) -> None:
    cube = Cube(torch.full((3,), -1.0, dtype=torch.float64), torch.full((3,), 1.0, dtype=torch.float64))
    generator = torch.Generator().manual_seed(0)
    base = torch.rand((2, 50, 3), generator=generator, dtype=torch.float64)
    base = move(
        base,
        torch.zeros_like(base),
        Domain(kind=domain.kind, radius=domain.radius, normal=domain.normal, offset=domain.offset),
        cube,
    )
    step = torch.randn(base.shape, generator=generator, dtype=torch.float64)
    moved = move(base, step, domain, cube)
    x = cube.to_box(moved)
    assert ((moved >= 0) & (moved <= 1)).all()
    if domain.kind in ("ball", "sphere"):
        assert (x.norm(dim=-1) <= domain.radius + 1e-9).all()
        assert domain.kind == "ball" or (x.norm(dim=-1) - domain.radius).abs().max() < 1e-9
    if domain.kind == "simplex":
        assert x.min() >= -1e-12
        assert (x.sum(-1) - 1).abs().max() < 1e-9
    if domain.kind == "hyperplane":
        assert (x @ torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64) - 0.2).abs().max() < 1e-3
    assert (move(base, torch.zeros_like(base), domain, cube) - base).abs().max() < 1e-6
    if domain.kind in ("box", "ball"):  # at the centre, the map is the identity to first order
        small = torch.full((1, 1, 3), 1e-5, dtype=torch.float64)
        center = torch.full((1, 1, 3), 0.5, dtype=torch.float64)
        assert (move(center, small.clone(), domain, cube) - center - small).abs().max() < 1e-9


CORNERS = ((-1.0, -0.5, 0.0, -2.0), (0.6, 1.0, 2.0, 0.3))
SIDE = torch.tensor([1.2, 0.0, 0.0, 0.0], dtype=torch.float64)


@pytest.mark.parametrize(
    ("domain", "gap"),
    [
        (
            Domain(kind="hyperplane", normal=(1.0, 2.0, -1.0, 0.0), offset=0.3),
            lambda x: x[..., 0] + 2 * x[..., 1] - x[..., 2] - 0.3,
        ),
        (Domain(kind="simplex", radius=2.0), lambda x: x.sum(-1) - 2),
        (Domain(kind="simplex", radius=2.0, method="mirror"), lambda x: x.sum(-1) - 2),
        (Domain(kind="sphere", radius=1.2), lambda x: x.norm(dim=-1) - 1.2),
        (Domain(kind="sphere", center=(1.2, 0.0, 0.0, 0.0)), lambda x: (x - SIDE).norm(dim=-1) - 1),
        (Domain(kind="ball", radius=1.2), lambda x: (x.norm(dim=-1) - 1.2).clamp_min(0)),
        (Domain(kind="ball", center=(1.2, 0.0, 0.0, 0.0)), lambda x: ((x - SIDE).norm(dim=-1) - 1).clamp_min(0)),
    ],
)
def test_sets_that_stick_out_of_the_box_are_kept_to_exactly(domain: Domain, gap: Callable[[Tensor], Tensor]) -> None:
    generator = torch.Generator().manual_seed(0)
    cube = Cube(*(torch.tensor(corner, dtype=torch.float64) for corner in CORNERS))
    u = enter(torch.rand((2, 300, 4), generator=generator, dtype=torch.float64), domain, cube)
    for _ in range(4):
        u = move(u, 0.7 * torch.randn(u.shape, generator=generator, dtype=torch.float64), domain, cube)
        x = cube.to_box(u)
        assert gap(x).abs().max() < 1e-9
        assert (u >= 0).all()
        assert (u <= 1).all()
    assert u.std(1).min() > 0.01
