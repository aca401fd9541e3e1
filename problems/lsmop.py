"""The LSMOP suite: nine problems with hundreds to thousands of variables; all are minimised.

The first m - 1 variables, in [0, 1], choose a position; the others, in [0, 10], are linked to the first one and fall
into one group an objective, of uneven size, each made of equal subgroups.

References
----------
Cheng, Jin, Olhofer, Sendhoff. Test Problems for Large-Scale Multiobjective and Many-Objective Optimization, IEEE
Transactions on Cybernetics 47, 2017.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from blackbox.errors import SettingError
from blackbox.problems._box import check_count
from blackbox.problems._fronts import simplex, sphere
from blackbox.problems._shapes import ManyObjectiveProblem, linear_shape, spherical_shape
from blackbox.problems.dtlz import separable_front

__all__ = ["LSMOP1", "LSMOP2", "LSMOP3", "LSMOP4", "LSMOP5", "LSMOP6", "LSMOP7", "LSMOP8", "LSMOP9"]

Basis: TypeAlias = Callable[[Tensor], Tensor]


def sphere_of(z: Tensor) -> Tensor:
    """Return the sum of squares over the last axis."""
    return z.square().sum(-1)


def schwefel_of(z: Tensor) -> Tensor:
    """Return the largest absolute value over the last axis."""
    return z.abs().amax(-1)


def rosenbrock_of(z: Tensor) -> Tensor:
    """Return Rosenbrock's function over the last axis."""
    head = z[..., :-1]
    return (100 * (head.square() - z[..., 1:]).square() + (head - 1).square()).sum(-1)


def rastrigin_of(z: Tensor) -> Tensor:
    """Return Rastrigin's function over the last axis."""
    return (z.square() - 10 * torch.cos(2 * math.pi * z) + 10).sum(-1)


def griewank_of(z: Tensor) -> Tensor:
    """Return Griewank's function over the last axis."""
    root = torch.arange(1, z.shape[-1] + 1, dtype=z.dtype, device=z.device).sqrt()
    return z.square().sum(-1) / 4000 - torch.cos(z / root).prod(-1) + 1


def ackley_of(z: Tensor) -> Tensor:
    """Return Ackley's function over the last axis."""
    radius, waves = z.square().mean(-1).sqrt(), torch.cos(2 * math.pi * z).mean(-1)
    return 20 - 20 * torch.exp(-0.2 * radius) - torch.exp(waves) + math.e


class _LSMOP(ManyObjectiveProblem):
    """Parameters as for `LSMOP1`; `bases` are the functions of objectives 1, 3, ... and 2, 4, ..."""

    bases: tuple[Basis, Basis] = (sphere_of, sphere_of)
    linear_linkage: bool = True
    default_subgroups: int = 5
    variables_per_objective: int = 100

    def __init__(self, dim: int | None = None, n_objectives: int = 3, *, n_subgroups: int | None = None) -> None:
        m = check_count("n_objectives", n_objectives, 2)
        self.n_subgroups = check_count("n_subgroups", self.default_subgroups if n_subgroups is None else n_subgroups, 1)
        dim = self.variables_per_objective * m if dim is None else dim
        super().__init__(check_count("dim", dim, m), m, upper=[1.0] * (m - 1) + [10.0] * (dim - m + 1), least_dim=m)
        self.group_sizes = self._sizes()
        if min(self.group_sizes) < 2:
            raise SettingError(
                f"dim: expected enough for subgroups of two variables, got {dim} for {m} objectives of "
                f"{self.n_subgroups} subgroups each"
            )
        self._known_reference(1.0)

    def _sizes(self) -> list[int]:
        """Return the size of a subgroup for each objective, from the logistic map."""
        chaos = [3.8 * 0.1 * (1 - 0.1)]
        for _ in range(self.m - 1):
            chaos.append(3.8 * chaos[-1] * (1 - chaos[-1]))
        share = (self.dim - self.m + 1) / self.n_subgroups
        return [math.floor(c / sum(chaos) * share) for c in chaos]

    def _linked(self, x: Tensor) -> Tensor:
        """Return the distance variables linked to the first one, shape (n, d - m + 1)."""
        rank = torch.arange(self.m, self.dim + 1, dtype=x.dtype, device=x.device) / self.dim
        factor = 1 + rank if self.linear_linkage else 1 + torch.cos(0.5 * math.pi * rank)
        return factor * x[:, self.m - 1 :] - 10 * x[:, :1]

    def _distances(self, x: Tensor) -> Tensor:
        """Return the distance of each objective, shape (n, m)."""
        z, start, columns = self._linked(x), 0, []
        for i, size in enumerate(self.group_sizes):
            stop = start + size * self.n_subgroups
            group = z[:, start:stop].reshape(len(x), self.n_subgroups, size)
            columns.append(self.bases[i % 2](group).sum(-1) / (size * self.n_subgroups))
            start = stop
        return torch.stack(columns, dim=-1)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, d), shape (n, m)."""
        return (1 + self._distances(x)) * linear_shape(x[:, : self.m - 1])

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return the largest regular lattice of at most n points of the front, shape (r, m), float64."""
        return simplex(n, self.m)


class LSMOP1(_LSMOP):
    """A linear front; sphere functions.

    Parameters
    ----------
    dim : int, optional
        Default: 100 m.
    n_objectives : int, default 3
        The m above.
    n_subgroups : int, default 5
        Equal subgroups of each objective's variables.
    """


class LSMOP2(_LSMOP):
    """A linear front; Griewank's and Schwefel's functions; parameters as for `LSMOP1`."""

    bases = (griewank_of, schwefel_of)


class LSMOP3(_LSMOP):
    """A linear front; Rastrigin's and Rosenbrock's functions; parameters as for `LSMOP1`."""

    bases = (rastrigin_of, rosenbrock_of)


class LSMOP4(_LSMOP):
    """A linear front; Ackley's and Griewank's functions; parameters as for `LSMOP1`."""

    bases = (ackley_of, griewank_of)


class LSMOP5(_LSMOP):
    """A spherical front; sphere functions, nonlinear linkage; parameters as for `LSMOP1`."""

    linear_linkage = False

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, d), shape (n, m)."""
        return self._correlated(self._distances(x)) * spherical_shape(x[:, : self.m - 1])

    def _correlated(self, g: Tensor) -> Tensor:
        """Return 1 + the distances of each objective and of the next one."""
        return 1 + g + torch.cat([g[:, 1:], torch.zeros_like(g[:, :1])], dim=-1)

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return at most n points of the front, a lattice cast on the sphere, shape (r, m), float64."""
        return sphere(n, self.m)


class LSMOP6(LSMOP5):
    """A spherical front; Rosenbrock's and Schwefel's functions; parameters as for `LSMOP1`."""

    bases = (rosenbrock_of, schwefel_of)


class LSMOP7(LSMOP5):
    """A spherical front; Ackley's and Rosenbrock's functions; parameters as for `LSMOP1`."""

    bases = (ackley_of, rosenbrock_of)


class LSMOP8(LSMOP5):
    """A spherical front; Griewank's and sphere functions; parameters as for `LSMOP1`."""

    bases = (griewank_of, sphere_of)


class LSMOP9(_LSMOP):
    """A front of 2^(m-1) pieces; sphere and Ackley's functions; parameters as for `LSMOP1`."""

    linear_linkage = False
    bases = (sphere_of, ackley_of)

    def __init__(self, dim: int | None = None, n_objectives: int = 3, *, n_subgroups: int | None = None) -> None:
        super().__init__(dim, n_objectives, n_subgroups=n_subgroups)
        self._known_reference([1.0] * (self.m - 1) + [2.0 * self.m])

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, d), shape (n, m)."""
        f = x[:, : self.m - 1]
        g = 1 + self._distances(x).sum(-1, keepdim=True)
        waves = (f * (1 + torch.sin(3 * math.pi * f))).sum(-1, keepdim=True)
        return torch.cat([f, self.m * (1 + g) - waves], dim=-1)

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return at most n points of the front (at least 2^(m-1)), shape (r, m), float64."""
        return separable_front(n, self.m)
