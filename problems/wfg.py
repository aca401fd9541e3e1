"""The WFG suite: nine problems of any number of objectives, made of transformations; all are minimised.

Variable i is in [0, 2 i]; objective j is scaled by 2 j. The first k variables choose a position.

References
----------
Huband, Hingston, Barone, While. A Review of Multiobjective Test Problems and a Scalable Test Problem Toolkit, IEEE
Transactions on Evolutionary Computation 10, 2006.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from blackbox.errors import SettingError
from blackbox.problems import _wfg_transforms as t
from blackbox.problems._box import check_count
from blackbox.problems._fronts import front_of, sphere, unit_grid
from blackbox.problems._shapes import ManyObjectiveProblem, linear_shape, pyramid, records

__all__ = ["WFG1", "WFG2", "WFG3", "WFG4", "WFG5", "WFG6", "WFG7", "WFG8", "WFG9"]


class _WFG(ManyObjectiveProblem):
    """Variables in units of their range are transformed, reduced to m numbers, and shaped.

    Parameters
    ----------
    dim : int, optional
        Number of variables; default: k + 20.
    n_objectives : int, default 3
    k : int, optional
        Position parameters, a multiple of m - 1; default: 2 (m - 1), 4 for two objectives.
    """

    pairs: bool = False  # whether distance parameters are reduced in pairs, so that their number must be even

    def __init__(self, dim: int | None = None, n_objectives: int = 3, *, k: int | None = None) -> None:
        m = check_count("n_objectives", n_objectives, 2)
        self.k = check_count("k", (4 if m == 2 else 2 * (m - 1)) if k is None else k, 1)
        if self.k % (m - 1):
            raise SettingError(f"k: expected a multiple of n_objectives - 1 = {m - 1}, got {k!r}")
        dim = check_count("dim", self.k + 20 if dim is None else dim, self.k + 1)
        if self.pairs and (dim - self.k) % 2:
            raise SettingError(f"dim: expected k + an even number of distance parameters, got {dim} with k = {self.k}")
        super().__init__(dim, m, lower=0.0, upper=[2.0 * (i + 1) for i in range(dim)])
        self._known_reference([2.0 * (j + 1) for j in range(m)])

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, d), shape (n, m)."""
        y = x / (2 * torch.arange(1, self.dim + 1, dtype=x.dtype, device=x.device))
        position, distance = self._reduce(y)
        return distance[:, None] + self._scales(x) * self._shape(self._degenerate(position, distance))

    def _scales(self, like: Tensor) -> Tensor:
        return 2 * torch.arange(1, self.m + 1, dtype=like.dtype, device=like.device)

    def _reduce(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return positions, shape (n, m - 1), and the distance, shape (n,), of y in the unit cube."""
        raise NotImplementedError

    def _degenerate(self, position: Tensor, distance: Tensor) -> Tensor:
        return position

    def _groups(self, y: Tensor) -> Tensor:
        """Return position parameters in their m - 1 groups, shape (n, m - 1, k / (m - 1))."""
        return y[:, : self.k].reshape(len(y), self.m - 1, self.k // (self.m - 1))

    def _means(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return self._groups(y).mean(-1), y[:, self.k :].mean(-1)

    def _shape(self, position: Tensor) -> Tensor:
        angle = position * (math.pi / 2)
        return pyramid(angle.sin(), angle.cos())

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return at most n points of the front, shape (r, m), float64."""
        points = sphere(n, self.m)
        return points * self._scales(points)


def _convex(position: Tensor, last: Tensor) -> Tensor:
    angle = position * (math.pi / 2)
    shape = pyramid(1 - angle.cos(), 1 - angle.sin())
    return torch.cat([shape[:, :-1], last], dim=-1)


class WFG1(_WFG):
    """A convex, wavy front; flat regions and a strong bias.

    Parameters
    ----------
    dim : int, optional
        Number of variables; default: k + 20.
    n_objectives : int, default 3
        The number m of objectives.
    k : int, optional
        Position parameters, a multiple of m - 1; default: 2 (m - 1), 4 for two objectives.
    """

    def _reduce(self, y: Tensor) -> tuple[Tensor, Tensor]:
        far = t.bias_flat(t.shift_linear(y[:, self.k :]), 0.8, 0.75, 0.85)
        y = t.bias_polynomial(torch.cat([y[:, : self.k], far], dim=-1), 0.02)
        weights = 2 * torch.arange(1, self.dim + 1, dtype=y.dtype, device=y.device)
        near, rest = weights[: self.k].reshape(self.m - 1, -1), weights[self.k :]
        position = (self._groups(y) * near).sum(-1) / near.sum(-1)
        return position, (y[:, self.k :] * rest).sum(-1) / rest.sum()

    def _shape(self, position: Tensor) -> Tensor:
        first = position[:, :1]
        return _convex(position, 1 - first - torch.cos(10 * math.pi * first + math.pi / 2) / (10 * math.pi))

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return at most n points of the front (at least 2^(m-1)), shape (r, m), float64."""
        points = self._shape(unit_grid(check_count("n", n, 1), self.m - 1))
        return front_of(points * self._scales(points))


class WFG2(_WFG):
    """A convex front of several pieces; distance parameters interact in pairs.

    Parameters
    ----------
    dim : int, optional
        k plus an even number; default: k + 20.
    n_objectives, k
        As for `WFG1`.
    """

    pairs = True

    def _reduce(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return self._groups(y).mean(-1), t.reduce_pairs(t.shift_linear(y[:, self.k :])).mean(-1)

    def _shape(self, position: Tensor) -> Tensor:
        first = position[:, :1]
        return _convex(position, 1 - first * torch.cos(5 * math.pi * first).square())

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return at most n points of the front (at least 2^(m-1)), shape (r, m), float64."""
        side = max(2, int(check_count("n", n, 1) ** (1 / (self.m - 1)) + 1e-9))
        fine = torch.linspace(0.0, 1.0, max(100_001, 10 * side), dtype=torch.float64)
        first = records(fine, fine * torch.cos(5 * math.pi * fine).square(), side)
        others = [torch.linspace(0.0, 1.0, side, dtype=torch.float64)] * (self.m - 2)
        points = self._shape(torch.cartesian_prod(first, *others).reshape(-1, self.m - 1))
        return front_of(points * self._scales(points))


class WFG3(WFG2):
    """A linear front that is a line; distance parameters interact in pairs; parameters as for `WFG2`.

    With three and more objectives there are Pareto-optimal points beside the line, too; `pareto_front` gives the
    line, as published.
    """

    def _degenerate(self, position: Tensor, distance: Tensor) -> Tensor:
        rest = distance[:, None] * (position[:, 1:] - 0.5) + 0.5
        return torch.cat([position[:, :1], rest], dim=-1)

    def _shape(self, position: Tensor) -> Tensor:
        return linear_shape(position)

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return n points of the line, shape (n, m), float64."""
        first = torch.linspace(0.0, 1.0, check_count("n", n, 1), dtype=torch.float64)[:, None]
        points = linear_shape(torch.cat([first, first.new_full((n, self.m - 2), 0.5)], dim=-1))
        return points * self._scales(points)


class WFG4(_WFG):
    """A concave front; every variable is multi-modal; parameters as for `WFG1`."""

    def _reduce(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return self._means(t.shift_multimodal(y, 30.0, 10.0))


class WFG5(_WFG):
    """A concave front; every variable is deceptive; parameters as for `WFG1`."""

    def _reduce(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return self._means(t.shift_deceptive(y))


class WFG6(_WFG):
    """A concave front; variables interact; parameters as for `WFG1`."""

    def _reduce(self, y: Tensor) -> tuple[Tensor, Tensor]:
        far = t.shift_linear(y[:, self.k :])
        return t.reduce_non_separable(self._groups(y)), t.reduce_non_separable(far)


def _mean_of_later(y: Tensor) -> Tensor:
    """Return the mean of all later columns, for every column but the last, shape (n, d - 1)."""
    sums = y.flip(-1).cumsum(-1).flip(-1)[:, 1:]
    return sums / torch.arange(y.shape[-1] - 1, 0, -1, dtype=y.dtype, device=y.device)


class WFG7(_WFG):
    """A concave front; positions are biased by all later variables; parameters as for `WFG1`."""

    def _reduce(self, y: Tensor) -> tuple[Tensor, Tensor]:
        near = t.bias_parameter(y[:, : self.k], _mean_of_later(y)[:, : self.k])
        return self._means(torch.cat([near, t.shift_linear(y[:, self.k :])], dim=-1))


class WFG8(_WFG):
    """A concave front; distances are biased by all earlier variables; parameters as for `WFG1`."""

    def _reduce(self, y: Tensor) -> tuple[Tensor, Tensor]:
        counts = torch.arange(1, self.dim, dtype=y.dtype, device=y.device)
        earlier = (y.cumsum(-1)[:, :-1] / counts)[:, self.k - 1 :]
        far = t.shift_linear(t.bias_parameter(y[:, self.k :], earlier))
        return self._means(torch.cat([y[:, : self.k], far], dim=-1))


class WFG9(_WFG):
    """A concave front; biased, deceptive, multi-modal, and variables interact; parameters as for `WFG1`."""

    def _reduce(self, y: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.cat([t.bias_parameter(y[:, :-1], _mean_of_later(y)), y[:, -1:]], dim=-1)
        near, far = t.shift_deceptive(y[:, : self.k]), t.shift_multimodal(y[:, self.k :], 30.0, 95.0)
        groups = self._groups(near)
        return t.reduce_non_separable(groups), t.reduce_non_separable(far)
