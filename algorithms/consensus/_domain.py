"""Sets that points must lie in: projections and mirror maps, batched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from blackbox.algorithms.consensus._settings import Domain

__all__ = [
    "Cube",
    "enter",
    "move",
    "project_ball",
    "project_both",
    "project_hyperplane",
    "project_simplex",
    "project_sphere",
    "reflect",
]

_EDGE = 1e-6  # how near to its boundary a mirror map is still used


def reflect(u: Tensor) -> Tensor:
    """Reflect points at the faces of the unit cube, and clip what is more than one cube away."""
    return torch.lerp(u, u.clamp(0, 1), 2.0).clamp_(0, 1)


def project_ball(x: Tensor, radius: float) -> Tensor:
    """Return the nearest points of the ball |x| <= radius to x (..., d)."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x.mul(radius / length.clamp_min(radius))


def project_sphere(x: Tensor, radius: float) -> Tensor:
    """Return the nearest points of the sphere |x| = radius to x (..., d); the first pole for the centre."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    pole = torch.zeros_like(x)
    pole[..., 0] = radius
    return torch.where(length > 0, x * (radius / torch.where(length > 0, length, 1.0)), pole)


def project_hyperplane(x: Tensor, normal: Tensor, offset: float) -> Tensor:
    """Return the nearest points with normal . x = offset to x (..., d)."""
    return x - ((x @ normal - offset) / (normal @ normal))[..., None] * normal


def project_simplex(x: Tensor, total: float = 1.0) -> Tensor:
    """Return the nearest points with x >= 0, sum x = total to x (..., d), by sorting: O(d log d) a point.

    References
    ----------
    Held, Wolfe, Crowder, "Validation of subgradient optimization" (1974).
    """
    ordered = x.sort(-1, descending=True).values
    excess = ordered.cumsum(-1) - total
    count = torch.arange(1, x.shape[-1] + 1, dtype=x.dtype, device=x.device)
    used = (ordered * count > excess).sum(-1, keepdim=True).clamp_min(1)
    return (x - excess.gather(-1, used - 1) / used).clamp_min(0)


@dataclass(frozen=True)
class Cube:
    """The box that the unit cube stands for; None for the cube itself.

    Parameters
    ----------
    lower, upper : Tensor, shape (d,), or None
    """

    lower: Tensor | None = None
    upper: Tensor | None = None

    def to_box(self, u: Tensor) -> Tensor:
        """Return points of the cube in the units of the box."""
        if self.lower is None or self.upper is None:
            return u
        return self.lower + u * (self.upper - self.lower)

    def corners(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return the lower and upper corner of the box, of the dtype of `like` (..., d)."""
        if self.lower is None or self.upper is None:
            return like.new_zeros(like.shape[-1]), like.new_ones(like.shape[-1])
        return self.lower, self.upper

    def from_box(self, x: Tensor) -> Tensor:
        """Return points of the box as points of the cube, clipped."""
        if self.lower is None or self.upper is None:
            return x.clamp(0, 1)
        return ((x - self.lower) / (self.upper - self.lower)).clamp(0, 1)


def move(base: Tensor, step: Tensor, domain: Domain, cube: Cube) -> Tensor:
    """Return base + step in the domain, points of the unit cube; `step` may be written to.

    Parameters
    ----------
    base, step : Tensor, shape (..., d)
    domain : Domain
    cube : Cube
        The units in which ball, sphere, simplex and hyperplane are given.

    Notes
    -----
    Where the set sticks out of the box, the result is a point of both, if there is one (see `project_both`). Mirror
    maps are scaled so that a small step at the centre of the set is made as it is.
    """
    if domain.kind == "box":
        if domain.method == "mirror":
            inner = base.clamp(_EDGE, 1 - _EDGE)
            return torch.sigmoid(torch.logit(inner) + 4 * step)
        u = step.add_(base)
        return u.clamp_(0, 1) if domain.method == "clip" else reflect(u)
    x = cube.to_box(base)
    step = cube.to_box(base + step) - x
    x = _mirror(x, step, domain) if domain.method == "mirror" else _project(x + step, domain)
    lower, upper = cube.corners(x)
    if bool(((x < lower) | (x > upper)).any()):
        x = project_both(x, domain, lower, upper)
    return cube.from_box(x)


def project_both(x: Tensor, domain: Domain, lower: Tensor, upper: Tensor) -> Tensor:
    """Return points of a domain that is no box and of the box between two corners (d,), near x (..., d).

    Notes
    -----
    All of these sets are met where one number is zero, and it is monotone along a curve in the box: clip(x - t normal)
    for hyperplane and simplex, clip(center + t (x - center)) for ball and sphere with a center in the box. The number t
    is found by bisection, 60 times. The points are the nearest ones for hyperplane and simplex. Where the box does not
    meet the set, they are those of the box that are near it.
    """
    if domain.kind in ("ball", "sphere"):
        center = _center(domain, x).clamp(lower, upper)
        radius = domain.radius
        away = x - center
        far = (upper - lower).norm() / away.norm(dim=-1, keepdim=True).clamp_min(1e-30)

        def along(t: Tensor) -> Tensor:
            return torch.minimum(torch.maximum(center + t * away, lower), upper)

        def too_far(y: Tensor) -> Tensor:
            beyond: Tensor = torch.linalg.vector_norm(y - _center(domain, x), dim=-1, keepdim=True) > radius
            return beyond

        most = torch.ones_like(far)
        if domain.kind == "sphere":  # where the box ends before the sphere, turn to its farthest corner
            corner = torch.where(upper - center > center - lower, 1.0, -1.0)
            turned = (away.abs() + 1e-3 * radius) * corner
            away = torch.where(too_far(along(far)), away, turned)
            most = torch.maximum(far, (upper - lower).norm() / (1e-3 * radius))
        return along(_bisect(lambda t: too_far(along(t)), torch.zeros_like(far), most))
    if domain.kind == "simplex":
        lower, normal, offset = lower.clamp_min(0), torch.ones_like(lower), domain.radius
    else:
        normal = x.new_tensor(domain.normal) if domain.normal else torch.ones_like(lower)
        offset = domain.offset

    def shifted(t: Tensor) -> Tensor:
        return torch.minimum(torch.maximum(x - t * normal, lower), upper)

    used = torch.where(normal == 0, 1.0, normal)
    ends = torch.stack([(x - lower) / used, (x - upper) / used])
    ends = torch.where(normal == 0, 0.0, ends)
    first, last = ends.amin((0, -1))[..., None], ends.amax((0, -1))[..., None]
    return shifted(_bisect(lambda t: (shifted(t) @ normal)[..., None] < offset, first, last))


def _bisect(is_beyond: Callable[[Tensor], Tensor], low: Tensor, high: Tensor) -> Tensor:
    """Return numbers between `low` and `high` (..., 1) up to which `is_beyond` is False, and then True."""
    for _ in range(60):
        middle = (low + high) / 2
        beyond = is_beyond(middle)
        low, high = torch.where(beyond, low, middle), torch.where(beyond, middle, high)
    return low


def enter(x: Tensor, domain: Domain, cube: Cube) -> Tensor:
    """Return drawn points x (..., d) of the unit cube, moved into the domain by projection.

    For a mirror map they are then moved a tenth of the way to the centre: at the boundary it would hold them.
    """
    if domain.kind == "box":
        return x
    x = move(x, torch.zeros_like(x), replace(domain, method="project"), cube)
    if domain.method != "mirror":
        return x
    middle = _center(domain, x) if domain.kind == "ball" else x.new_full((x.shape[-1],), domain.radius / x.shape[-1])
    middle = project_both(middle, replace(domain, method="project"), *cube.corners(x))
    return torch.lerp(x, cube.from_box(middle), 0.1)


def _center(domain: Domain, x: Tensor) -> Tensor:
    return x.new_tensor(domain.center) if domain.center else x.new_zeros(x.shape[-1])


def _project(x: Tensor, domain: Domain) -> Tensor:
    if domain.kind == "simplex":
        return project_simplex(x, domain.radius)
    if domain.kind == "hyperplane":
        normal = x.new_tensor(domain.normal) if domain.normal else x.new_ones(x.shape[-1])
        return project_hyperplane(x, normal, domain.offset)
    center = _center(domain, x)
    onto = project_ball if domain.kind == "ball" else project_sphere
    return center + onto(x - center, domain.radius)


def _mirror(x: Tensor, step: Tensor, domain: Domain) -> Tensor:
    r = domain.radius
    if domain.kind == "simplex":
        dual = (x / r).clamp_min(_EDGE).log() + step * (x.shape[-1] / r)
        return r * torch.softmax(dual, -1)
    center = _center(domain, x)
    z = (x - center) / r
    z = z * ((1 - _EDGE) / torch.linalg.vector_norm(z, dim=-1, keepdim=True).clamp_min(1 - _EDGE))
    dual = z / (1 - z.square().sum(-1, keepdim=True)).sqrt() + step / r
    return torch.addcdiv(center, dual, (1 + dual.square().sum(-1, keepdim=True)).sqrt(), value=r)
