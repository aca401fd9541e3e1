"""The DTLZ problems with constraints: C1 to C3 and DC1 to DC3; feasible at violations <= 0.

References
----------
Jain, Deb. An Evolutionary Many-Objective Optimization Algorithm Using Reference-Point Based Nondominated Sorting
Approach, Part II, 2014 (C1, C2, C3).
Li, Chen, Fu, Yao. Two-Archive Evolutionary Algorithm for Constrained Multiobjective Optimization, 2019 (DC1 to DC3).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from blackbox.candidates import Evaluation
from blackbox.problems._fronts import simplex, sphere, unit_grid
from blackbox.problems._shapes import ManyObjectiveProblem, distance_multimodal, linear_shape, spherical_shape
from blackbox.problems.dtlz import DTLZ1, DTLZ2, DTLZ3, DTLZ4

__all__ = [
    "C1DTLZ1",
    "C1DTLZ3",
    "C2DTLZ2",
    "C3DTLZ1",
    "C3DTLZ4",
    "DC1DTLZ1",
    "DC1DTLZ3",
    "DC2DTLZ1",
    "DC2DTLZ3",
    "DC3DTLZ1",
    "DC3DTLZ3",
]


class _ConstrainedDTLZ(ManyObjectiveProblem):
    """One of DTLZ1 to DTLZ4 with constraints on its objectives or its variables."""

    base: type[DTLZ1 | DTLZ2] = DTLZ2

    def __init__(self, dim: int | None = None, n_objectives: int = 3) -> None:
        self.inner = self.base(dim, n_objectives)
        super().__init__(self.inner.dim, n_objectives, n_constraints=self._count(n_objectives))
        self.reference_point = self.inner.reference_point

    def _count(self, m: int) -> int:
        return 1

    def _violations(self, x: Tensor, values: Tensor) -> Tensor:
        raise NotImplementedError

    def evaluate(self, x: Tensor) -> Evaluation:
        """Return values, shape (n, m), and violations, shape (n, k), of points of shape (n, d)."""
        values = self.inner.evaluate(x)
        return Evaluation(values, self._violations(x, values))

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return at most n points of the constrained front, shape (r, m), float64."""
        return self.inner.pareto_front(n)


class C1DTLZ1(_ConstrainedDTLZ):
    """DTLZ1 where only a thin layer at the front is feasible; parameters as for `DTLZ1`."""

    base: type[DTLZ1 | DTLZ2] = DTLZ1

    def _violations(self, x: Tensor, values: Tensor) -> Tensor:
        return (values[:, -1:] / 0.6 + values[:, :-1].sum(-1, keepdim=True) / 0.5) - 1


class C1DTLZ3(_ConstrainedDTLZ):
    """DTLZ3 with a band of infeasible points in front of its front; parameters as for `DTLZ3`."""

    base: type[DTLZ1 | DTLZ2] = DTLZ3

    def _violations(self, x: Tensor, values: Tensor) -> Tensor:
        radius = 9.0 if self.m < 5 else 12.5 if self.m <= 12 else 15.0
        squares = values.square().sum(-1, keepdim=True)
        return -(squares - 16) * (squares - radius**2)


class C2DTLZ2(_ConstrainedDTLZ):
    """DTLZ2 of whose front only balls around the corners and the middle are feasible; parameters as for `DTLZ2`."""

    def _violations(self, x: Tensor, values: Tensor) -> Tensor:
        radius = {2: 0.2, 3: 0.4}.get(self.m, 0.5)
        squares = values.square().sum(-1)
        corner = (squares[:, None] - 2 * values + 1).amin(-1)
        middle = (values - 1 / math.sqrt(self.m)).square().sum(-1)
        return (torch.minimum(corner, middle) - radius**2)[:, None]

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return about n points of the constrained front, shape (r, m), float64."""
        for factor in (1, 2, 4, 8, 16, 32, 64):
            points = sphere(n * factor, self.m)
            points = points[self._violations(points, points)[:, 0] <= 1e-12]
            if len(points) >= 0.6 * n:
                break
        return points[torch.linspace(0, len(points) - 1, min(n, len(points))).round().to(torch.int64)]


class C3DTLZ1(_ConstrainedDTLZ):
    """DTLZ1 whose front is infeasible: m planes are the new one; parameters as for `DTLZ1`."""

    base: type[DTLZ1 | DTLZ2] = DTLZ1

    def __init__(self, dim: int | None = None, n_objectives: int = 3) -> None:
        super().__init__(dim, n_objectives)
        self._known_reference(1.0)

    def _count(self, m: int) -> int:
        return m

    def _violations(self, x: Tensor, values: Tensor) -> Tensor:
        return 1 - values - values.sum(-1, keepdim=True)

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return at most n points of the constrained front, shape (r, m), float64."""
        w = simplex(n, self.m)
        return w / (1 + w.amin(-1, keepdim=True))


class C3DTLZ4(_ConstrainedDTLZ):
    """DTLZ4 whose front is infeasible: m ellipsoids are the new one; parameters as for `DTLZ2`."""

    base: type[DTLZ1 | DTLZ2] = DTLZ4

    def __init__(self, dim: int | None = None, n_objectives: int = 3) -> None:
        super().__init__(dim, n_objectives)
        self._known_reference(2.0)

    def _count(self, m: int) -> int:
        return m

    def _violations(self, x: Tensor, values: Tensor) -> Tensor:
        squares = values.square()
        return 1 + 0.75 * squares - squares.sum(-1, keepdim=True)

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return at most n points of the constrained front, shape (r, m), float64."""
        points = sphere(n, self.m)
        return points / (1 - 0.75 * points.square().amax(-1, keepdim=True)).sqrt()


class _BandedDTLZ(_ConstrainedDTLZ):
    """DTLZ1 or DTLZ3 with constraints on positions (bands of the front) or on the distance (bands before it)."""

    def _distance_of(self, x: Tensor) -> Tensor:
        return distance_multimodal(x[:, self.m - 1 :])

    def _front_of_positions(self, n: int, allowed: str) -> Tensor:
        """Return at most n points of the inner front whose positions are feasible ("first" or "all" of them)."""
        bound = 0.95 if allowed == "first" else 0.5
        for factor in (1, 2, 4, 8, 16, 32, 64, 128):
            grid = unit_grid(n * factor, self.m - 1)
            seen = grid[:, :1] if allowed == "first" else grid
            kept = grid[(torch.cos(5 * math.pi * seen) >= bound).all(-1)]
            if len(kept) >= 0.6 * n:
                break
        kept = kept[torch.linspace(0, len(kept) - 1, min(n, len(kept))).round().to(torch.int64)]
        return 0.5 * linear_shape(kept) if self.base is DTLZ1 else spherical_shape(kept)


class DC1DTLZ1(_BandedDTLZ):
    """DTLZ1 of whose front only narrow cones are feasible; parameters as for `DTLZ1`."""

    base: type[DTLZ1 | DTLZ2] = DTLZ1

    def _violations(self, x: Tensor, values: Tensor) -> Tensor:
        return 0.95 - torch.cos(5 * math.pi * x[:, :1])

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return about n points of the constrained front, shape (r, m), float64."""
        return self._front_of_positions(n, "first")


class DC1DTLZ3(DC1DTLZ1):
    """DTLZ3 of whose front only narrow cones are feasible; parameters as for `DTLZ3`."""

    base: type[DTLZ1 | DTLZ2] = DTLZ3


class DC2DTLZ1(_BandedDTLZ):
    """DTLZ1 where few distances from the front are feasible; parameters as for `DTLZ1`."""

    base: type[DTLZ1 | DTLZ2] = DTLZ1

    def _count(self, m: int) -> int:
        return 2

    def _violations(self, x: Tensor, values: Tensor) -> Tensor:
        g = self._distance_of(x) / 100
        return torch.cat([0.9 - torch.cos(3 * math.pi * g), 0.9 - torch.exp(-g)], dim=-1)


class DC2DTLZ3(DC2DTLZ1):
    """DTLZ3 where few distances from the front are feasible; parameters as for `DTLZ3`."""

    base: type[DTLZ1 | DTLZ2] = DTLZ3


class DC3DTLZ1(_BandedDTLZ):
    """DTLZ1 with bands of feasible positions and of feasible distances; parameters as for `DTLZ1`."""

    base: type[DTLZ1 | DTLZ2] = DTLZ1

    def _count(self, m: int) -> int:
        return m

    def _violations(self, x: Tensor, values: Tensor) -> Tensor:
        bands = torch.cat([self._distance_of(x), x[:, : self.m - 1]], dim=-1)
        return 0.5 - torch.cos(5 * math.pi * bands)

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return about n points of the constrained front, shape (r, m), float64."""
        return self._front_of_positions(n, "all")


class DC3DTLZ3(DC3DTLZ1):
    """DTLZ3 with bands of feasible positions and of feasible distances; parameters as for `DTLZ3`."""

    base: type[DTLZ1 | DTLZ2] = DTLZ3
