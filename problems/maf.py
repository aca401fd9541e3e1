"""The MaF suite for many objectives: fifteen problems; all are minimised.

MaF9 is without the published repair of points in regions where distances to lines mislead; MaF10, MaF11 and MaF12
are WFG1, WFG2 and WFG9.

References
----------
Cheng, Li, Tian, Zhang, Yang, Jin, Yao. A benchmark test suite for evolutionary many-objective optimization, Complex
and Intelligent Systems 3, 2017.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from blackbox.problems._box import check_count
from blackbox.problems._fronts import simplex, sphere, unit_grid
from blackbox.problems._shapes import (
    ManyObjectiveProblem,
    distance_multimodal,
    linear_shape,
    spherical_shape,
)
from blackbox.problems.dtlz import _DTLZ, DTLZ7
from blackbox.problems.lsmop import LSMOP3, LSMOP5, griewank_of, sphere_of
from blackbox.problems.wfg import WFG1, WFG2, WFG9

__all__ = [
    "MaF1",
    "MaF2",
    "MaF3",
    "MaF4",
    "MaF5",
    "MaF6",
    "MaF7",
    "MaF8",
    "MaF9",
    "MaF10",
    "MaF11",
    "MaF12",
    "MaF13",
    "MaF14",
    "MaF15",
]


class _MaF(_DTLZ):
    """Parameters: dim (default m + 9) and n_objectives (default 3), as for `DTLZ2`."""

    def __init__(self, dim: int | None = None, n_objectives: int = 3) -> None:
        super().__init__(dim, n_objectives)

    def _squares(self, x: Tensor) -> Tensor:
        return (x[:, self.m - 1 :] - 0.5).square().sum(-1, keepdim=True)

    def _powers(self, like: Tensor) -> Tensor:
        return 2.0 ** torch.arange(1, self.m + 1, dtype=like.dtype, device=like.device)


class MaF1(_MaF):
    """An inverted linear front; parameters as for `DTLZ2`."""

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, d), shape (n, m)."""
        return (1 + self._squares(x)) * (1 - linear_shape(x[:, : self.m - 1]))

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return the largest regular lattice of at most n points of the front, shape (r, m), float64."""
        return 1 - simplex(n, self.m)


class MaF2(_MaF):
    """The middle of a spherical front, with a distance for each objective; parameters as for `DTLZ2`."""

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, d), shape (n, m)."""
        z = (x[:, self.m - 1 :] / 2 + 0.25 - 0.5).square()
        size = z.shape[-1] // self.m
        groups = [z[:, i * size : (i + 1) * size] for i in range(self.m - 1)] + [z[:, (self.m - 1) * size :]]
        g = torch.stack([group.sum(-1) for group in groups], dim=-1)
        return (1 + g) * spherical_shape(x[:, : self.m - 1] / 2 + 0.25)

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return at most n points of the front (at least 2^(m-1)), a grid of angles, shape (r, m), float64."""
        return spherical_shape(unit_grid(n, self.m - 1) / 2 + 0.25)


class MaF3(_MaF):
    """A convex front behind many local ones; parameters as for `DTLZ2`."""

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, d), shape (n, m)."""
        values = (1 + distance_multimodal(x[:, self.m - 1 :])) * spherical_shape(x[:, : self.m - 1])
        return torch.cat([values[:, :-1] ** 4, values[:, -1:].square()], dim=-1)

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return at most n points of the front, a lattice of f_m + sum of sqrt f_i = 1, shape (r, m), float64."""
        points = simplex(n, self.m)
        return torch.cat([points[:, :-1].square(), points[:, -1:]], dim=-1)


class MaF4(_MaF):
    """An inverted spherical front of uneven scales behind many local ones; parameters as for `DTLZ2`."""

    def __init__(self, dim: int | None = None, n_objectives: int = 3) -> None:
        super().__init__(dim, n_objectives)
        self._known_reference(self._powers(torch.empty(0, dtype=torch.float64)).tolist())

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, d), shape (n, m)."""
        g = distance_multimodal(x[:, self.m - 1 :])
        return (1 + g) * (1 - spherical_shape(x[:, : self.m - 1])) * self._powers(x)

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return at most n points of the front, shape (r, m), float64."""
        points = sphere(n, self.m)
        return (1 - points) * self._powers(points)


class MaF5(_MaF):
    """A spherical front of uneven scales with few points but at its edges; parameters as for `DTLZ2`."""

    def __init__(self, dim: int | None = None, n_objectives: int = 3) -> None:
        super().__init__(dim, n_objectives)
        self._known_reference(self._powers(torch.empty(0, dtype=torch.float64)).flip(0).tolist())

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, d), shape (n, m)."""
        shape = spherical_shape(x[:, : self.m - 1] ** 100)
        return (1 + self._squares(x)) * shape * self._powers(x).flip(0)

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return at most n points of the front, shape (r, m), float64."""
        points = sphere(n, self.m)
        return points * self._powers(points).flip(0)


class MaF6(_MaF):
    """A front that is a curve; parameters as for `DTLZ2`."""

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, d), shape (n, m)."""
        g = self._squares(x)
        rest = (1 + 2 * g * x[:, 1 : self.m - 1]) / (2 * (1 + g))
        return (1 + 100 * g) * spherical_shape(torch.cat([x[:, :1], rest], dim=-1))

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return n points of the curve, shape (n, m), float64."""
        first = torch.linspace(0.0, 1.0, check_count("n", n, 1), dtype=torch.float64)[:, None]
        return spherical_shape(torch.cat([first, first.new_full((n, self.m - 2), 0.5)], dim=-1))


class MaF7(DTLZ7):
    """A front of 2^(m-1) pieces: DTLZ7; parameters as there."""


class _Polygon(ManyObjectiveProblem):
    """Points of the plane in [-10000, 10000]^2, against a regular polygon of m corners on the unit circle."""

    def __init__(self, n_objectives: int = 3) -> None:
        check_count("n_objectives", n_objectives, 3)
        super().__init__(2, n_objectives, lower=-10000.0, upper=10000.0, least_dim=2)

    def _corners(self, like: Tensor) -> Tensor:
        angle = math.pi / 2 - 2 * math.pi * torch.arange(1, self.m + 1, dtype=like.dtype, device=like.device) / self.m
        return torch.stack([angle.cos(), angle.sin()], dim=-1)

    def _inside(self, n: int) -> Tensor:
        """Return at most n points of the polygon, from a regular grid, shape (r, 2)."""
        for side in range(int(2.3 * math.sqrt(n)) + 3, 1, -1):
            x = 2 * unit_grid(side * side, 2) - 1
            corners = self._corners(x)
            following = corners.roll(-1, 0)
            edge, away = following - corners, x[:, None] - corners
            turn = edge[:, 0] * away[..., 1] - edge[:, 1] * away[..., 0]
            x = x[(turn <= 1e-12).all(-1)]
            if len(x) <= n:
                return x
        return x[:n]

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return at most n points of the front: those of a grid inside the polygon, shape (r, m), float64."""
        return self(self._inside(check_count("n", n, 4))).values


class MaF8(_Polygon):
    """Distances to the m corners of a regular polygon in the plane.

    Parameters
    ----------
    n_objectives : int, default 3
        At least 3.
    """

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, 2), shape (n, m)."""
        return (x[:, None] - self._corners(x)).square().sum(-1).sqrt()


class MaF9(_Polygon):
    """Distances to the m lines through the edges of a regular polygon in the plane.

    Without the published repair of points outside of the polygon that lie between two of the lines.

    Parameters
    ----------
    n_objectives : int, default 3
        At least 3.
    """

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, 2), shape (n, m)."""
        corners = self._corners(x)
        edge = corners.roll(-1, 0) - corners
        away = x[:, None] - corners
        return (edge[:, 0] * away[..., 1] - edge[:, 1] * away[..., 0]).abs() / edge.square().sum(-1).sqrt()


class MaF10(WFG1):
    """WFG1 with m - 1 position parameters.

    Parameters
    ----------
    dim : int, optional
        Default: m + 9.
    n_objectives : int, default 3
        The m above.
    """

    def __init__(self, dim: int | None = None, n_objectives: int = 3) -> None:
        m = check_count("n_objectives", n_objectives, 2)
        super().__init__(m + 9 if dim is None else dim, m, k=m - 1)


class MaF11(WFG2):
    """WFG2 with m - 1 position parameters; parameters as for `MaF10`."""

    def __init__(self, dim: int | None = None, n_objectives: int = 3) -> None:
        m = check_count("n_objectives", n_objectives, 2)
        super().__init__(m + 9 if dim is None else dim, m, k=m - 1)


class MaF12(WFG9):
    """WFG9 with m - 1 position parameters; parameters as for `MaF10`."""

    def __init__(self, dim: int | None = None, n_objectives: int = 3) -> None:
        m = check_count("n_objectives", n_objectives, 2)
        super().__init__(m + 9 if dim is None else dim, m, k=m - 1)


class MaF13(ManyObjectiveProblem):
    """A concave front that is a surface in three objectives; all further ones agree with each other.

    Parameters
    ----------
    dim : int, default 5
        At least 4.
    n_objectives : int, default 3
        At least 3.
    """

    def __init__(self, dim: int = 5, n_objectives: int = 3) -> None:
        check_count("n_objectives", n_objectives, 3)
        check_count("dim", dim, 4)
        super().__init__(
            dim, n_objectives, lower=[0.0] * 2 + [-2.0] * (dim - 2), upper=[1.0] * 2 + [2.0] * (dim - 2), least_dim=4
        )
        self._known_reference(1.0)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, d), shape (n, m)."""
        index = torch.arange(1, self.dim + 1, dtype=x.dtype, device=x.device)
        away = x - 2 * x[:, 1:2] * torch.sin(2 * math.pi * x[:, :1] + index * math.pi / self.dim)
        y = away.square()
        a, b = x[:, 0] * (math.pi / 2), x[:, 1] * (math.pi / 2)
        shape = torch.stack([a.sin(), a.cos() * b.sin(), a.cos() * b.cos()], dim=-1)
        groups = [y[:, start::3] for start in (3, 4, 2)]  # the second one is empty for four variables
        distances = [2 * group.mean(-1) if group.shape[-1] else torch.zeros_like(a) for group in groups]
        return _extended13(shape + torch.stack(distances, dim=-1), self.m, 2 * y[:, 3:].mean(-1, keepdim=True))

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return at most n points of the front, shape (r, m), float64."""
        points = sphere(check_count("n", n, 3), 3)
        return _extended13(points, self.m, 0.0)


def _extended13(points: Tensor, m: int, rest: Tensor | float) -> Tensor:
    """Return three objectives, shape (n, 3), and m - 3 further ones that are functions of them, shape (n, m)."""
    further = points[:, :1].square() + points[:, 1:2] ** 10 + points[:, 2:3] ** 10 + rest
    return torch.cat([points, further.expand(-1, m - 3)], dim=-1)


class MaF14(LSMOP3):
    """LSMOP3 with 20 variables an objective in two subgroups each.

    Parameters
    ----------
    dim : int, optional
        Default: 20 m.
    n_objectives : int, default 3
        The m above.
    """

    variables_per_objective = 20
    default_subgroups = 2

    def __init__(self, dim: int | None = None, n_objectives: int = 3) -> None:
        super().__init__(dim, n_objectives)


class MaF15(LSMOP5):
    """LSMOP8 with an inverted front, 20 variables an objective in two subgroups each; parameters as for `MaF14`."""

    bases = (griewank_of, sphere_of)
    variables_per_objective = 20
    default_subgroups = 2

    def __init__(self, dim: int | None = None, n_objectives: int = 3) -> None:
        super().__init__(dim, n_objectives)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, d), shape (n, m)."""
        return self._correlated(self._distances(x)) * (1 - spherical_shape(x[:, : self.m - 1]))

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return at most n points of the front, shape (r, m), float64."""
        return 1 - sphere(n, self.m)
