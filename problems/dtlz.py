"""The DTLZ suite: seven problems of any number of objectives over the unit cube; all are minimised.

The first m - 1 variables choose a position, the others the distance from the front.

References
----------
Deb, Thiele, Laumanns, Zitzler. Scalable Test Problems for Evolutionary Multiobjective Optimization, 2005.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from blackbox.problems._box import check_count
from blackbox.problems._fronts import simplex, sphere
from blackbox.problems._shapes import (
    ManyObjectiveProblem,
    check_power,
    distance_multimodal,
    linear_shape,
    records,
    spherical_shape,
)

__all__ = ["DTLZ1", "DTLZ2", "DTLZ3", "DTLZ4", "DTLZ5", "DTLZ6", "DTLZ7"]


class _DTLZ(ManyObjectiveProblem):
    extra: int = 9  # the default number of variables is that of objectives and this

    def __init__(self, dim: int | None = None, n_objectives: int = 3, *, n_constraints: int = 0) -> None:
        check_count("n_objectives", n_objectives, 2)
        super().__init__(n_objectives + self.extra if dim is None else dim, n_objectives, n_constraints=n_constraints)
        self._known_reference(1.0)


class DTLZ1(_DTLZ):
    """A linear front (a simplex) behind many local ones.

    Parameters
    ----------
    dim : int, optional
        At least m; default: m + 4.
    n_objectives : int, default 3
        The m above.
    """

    extra = 4

    def __init__(self, dim: int | None = None, n_objectives: int = 3) -> None:
        super().__init__(dim, n_objectives)
        self._known_reference(0.5)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, d), shape (n, m)."""
        return (0.5 + 0.5 * distance_multimodal(x[:, self.m - 1 :])) * linear_shape(x[:, : self.m - 1])

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return the largest regular lattice of at most n points of the front, shape (r, m), float64."""
        return 0.5 * simplex(n, self.m)


class DTLZ2(_DTLZ):
    """A spherical front.

    Parameters
    ----------
    dim : int, optional
        At least m; default: m + 9.
    n_objectives : int, default 3
        The m above.

    Examples
    --------
    >>> problem = DTLZ2(dim=12, n_objectives=3)
    >>> problem(torch.full((5, 12), 0.5)).values.shape
    torch.Size([5, 3])
    """

    def __init__(self, dim: int | None = None, n_objectives: int = 3) -> None:
        super().__init__(dim, n_objectives)

    def _distance(self, z: Tensor) -> Tensor:
        return (z - 0.5).square().sum(-1, keepdim=True)

    def _position(self, position: Tensor, g: Tensor) -> Tensor:
        return position

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, d), shape (n, m)."""
        g = self._distance(x[:, self.m - 1 :])
        return (1 + g) * spherical_shape(self._position(x[:, : self.m - 1], g))

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return at most n points of the front, a lattice cast on the sphere, shape (r, m), float64."""
        return sphere(n, self.m)


class DTLZ3(DTLZ2):
    """A spherical front behind many local ones; parameters as for `DTLZ2`."""

    def _distance(self, z: Tensor) -> Tensor:
        return distance_multimodal(z)


class DTLZ4(DTLZ2):
    """A spherical front with few points but at its edges.

    Parameters
    ----------
    dim, n_objectives
        As for `DTLZ2`.
    alpha : float, default 100.0
        The power to which positions are raised, > 0.
    """

    def __init__(self, dim: int | None = None, n_objectives: int = 3, *, alpha: float = 100.0) -> None:
        super().__init__(dim, n_objectives)
        self.alpha = check_power("alpha", alpha)

    def _position(self, position: Tensor, g: Tensor) -> Tensor:
        return position**self.alpha


class DTLZ5(DTLZ2):
    """A front that is a curve; parameters as for `DTLZ2`.

    With four and more objectives there are Pareto-optimal points beside the curve, too; `pareto_front` gives the
    curve.
    """

    def _position(self, position: Tensor, g: Tensor) -> Tensor:
        rest = (1 + 2 * g * position[:, 1:]) / (2 * (1 + g))
        return torch.cat([position[:, :1], rest], dim=-1)

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return n points of the curve, shape (n, m), float64."""
        first = torch.linspace(0.0, 1.0, check_count("n", n, 1), dtype=torch.float64)[:, None]
        return spherical_shape(torch.cat([first, torch.full((n, self.m - 2), 0.5, dtype=torch.float64)], dim=-1))


class DTLZ6(DTLZ5):
    """A front that is a curve, hard to reach; parameters as for `DTLZ2`."""

    def _distance(self, z: Tensor) -> Tensor:
        return (z**0.1).sum(-1, keepdim=True)


class DTLZ7(_DTLZ):
    """A front of 2^(m-1) pieces.

    Parameters
    ----------
    dim : int, optional
        At least m; default: m + 19.
    n_objectives : int, default 3
        The m above.
    """

    extra = 19

    def __init__(self, dim: int | None = None, n_objectives: int = 3) -> None:
        super().__init__(dim, n_objectives)
        self._known_reference([1.0] * (self.m - 1) + [2.0 * self.m])

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, d), shape (n, m)."""
        f = x[:, : self.m - 1]
        g = 1 + 9 * x[:, self.m - 1 :].mean(-1, keepdim=True)
        waves = (f * (1 + torch.sin(3 * math.pi * f))).sum(-1, keepdim=True)
        return torch.cat([f, self.m * (1 + g) - waves], dim=-1)

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return at most n points of the front, a grid of its m - 1 first objectives, shape (r, m), float64.

        A point is optimal where each of these objectives is, on its own, against its wave.
        """
        return separable_front(n, self.m)


def separable_front(n: int, m: int) -> Tensor:
    """Return at most n points (at least 2^(m-1)) of the front f_m = 2 m - sum f_i (1 + sin(3 pi f_i))."""
    side = max(2, int(check_count("n", n, 1) ** (1 / (m - 1)) + 1e-9))
    fine = torch.linspace(0.0, 1.0, max(100_001, 10 * side), dtype=torch.float64)
    axis = records(fine, fine * (1 + torch.sin(3 * math.pi * fine)), side)
    f = torch.cartesian_prod(*[axis] * (m - 1)).reshape(-1, m - 1)
    return torch.cat([f, 2 * m - (f * (1 + torch.sin(3 * math.pi * f))).sum(-1, keepdim=True)], dim=-1)
