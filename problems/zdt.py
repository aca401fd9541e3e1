"""The ZDT suite: six problems of two objectives; all are minimised.

References
----------
Zitzler, Deb, Thiele. Comparison of Multiobjective Evolutionary Algorithms: Empirical Results, Evolutionary
Computation 8, 2000.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from blackbox.parameters import Integer
from blackbox.problem import Problem
from blackbox.problems._box import check_count
from blackbox.problems._shapes import ManyObjectiveProblem, records
from blackbox.space import Space

__all__ = ["ZDT1", "ZDT2", "ZDT3", "ZDT4", "ZDT5", "ZDT6"]


class _ZDT(ManyObjectiveProblem):
    """f1 is a function of the first variable; f2 = g h(f1, g), with g = 1 on the front."""

    def __init__(self, dim: int, *, spread: float | None = None) -> None:
        lower = 0.0 if spread is None else [0.0] + [-spread] * (dim - 1)
        upper = 1.0 if spread is None else [1.0] + [spread] * (dim - 1)
        super().__init__(dim, 2, lower=lower, upper=upper)
        self._known_reference(1.0)

    def _first(self, x: Tensor) -> Tensor:
        return x[:, 0]

    def _distance(self, x: Tensor) -> Tensor:
        return 1 + 9 * x[:, 1:].mean(-1)

    def _shape(self, f1: Tensor, g: Tensor | float) -> Tensor:
        return 1 - (f1 / g).sqrt()

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, d), shape (n, 2)."""
        f1, g = self._first(x), self._distance(x)
        return torch.stack([f1, g * self._shape(f1, g)], dim=-1)

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return n points of the front, evenly spaced in the first objective, shape (n, 2), float64."""
        f1 = torch.linspace(0.0, 1.0, check_count("n", n, 1), dtype=torch.float64)
        return torch.stack([f1, self._shape(f1, 1.0)], dim=-1)


class ZDT1(_ZDT):
    """A convex front; variables in [0, 1].

    Parameters
    ----------
    dim : int, default 30
        At least 2.
    """

    def __init__(self, dim: int = 30) -> None:
        check_count("dim", dim, 2)
        super().__init__(dim)


class ZDT2(ZDT1):
    """A concave front; variables in [0, 1]."""

    def _shape(self, f1: Tensor, g: Tensor | float) -> Tensor:
        return 1 - (f1 / g).square()


class ZDT3(ZDT1):
    """A front of five pieces; variables in [0, 1]."""

    def _shape(self, f1: Tensor, g: Tensor | float) -> Tensor:
        return 1 - (f1 / g).sqrt() - (f1 / g) * torch.sin(10 * math.pi * f1)

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return n points of the front, shape (n, 2), float64."""
        fine = torch.linspace(0.0, 1.0, max(100_001, 10 * check_count("n", n, 1)), dtype=torch.float64)
        f1 = records(fine, -self._shape(fine, 1.0), n)
        return torch.stack([f1, self._shape(f1, 1.0)], dim=-1)


class ZDT4(_ZDT):
    """A convex front behind 21^9 local ones; the first variable in [0, 1], the others in [-5, 5].

    Parameters
    ----------
    dim : int, default 10
        At least 2.
    """

    def __init__(self, dim: int = 10) -> None:
        super().__init__(check_count("dim", dim, 2), spread=5.0)

    def _distance(self, x: Tensor) -> Tensor:
        z = x[:, 1:]
        return 1 + 10 * z.shape[-1] + (z.square() - 10 * torch.cos(4 * math.pi * z)).sum(-1)


class ZDT5(Problem):
    """Strings of bits, deceptive: one of 30 bits and `n_groups` of 5; as integers in {0, 1}.

    As published, without the normalisation that some libraries add.

    Parameters
    ----------
    n_groups : int, default 10
    """

    def __init__(self, n_groups: int = 10) -> None:
        self.n_groups = check_count("n_groups", n_groups, 1)
        space = Space({f"x{i}": Integer(0, 1) for i in range(30 + 5 * n_groups)})
        super().__init__(space, objectives=2)
        self.reference_point = torch.tensor([34.1, 1.1 * n_groups], dtype=torch.float64)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, d), shape (n, 2)."""
        f1 = 1 + x[:, :30].sum(-1)
        ones = x[:, 30:].reshape(len(x), self.n_groups, 5).sum(-1)
        g = torch.where(ones == 5, torch.ones_like(ones), 2 + ones).sum(-1)
        return torch.stack([f1, g / f1], dim=-1)

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return the whole front, 31 points, shape (31, 2), float64."""
        f1 = torch.arange(1, 32, dtype=torch.float64)
        return torch.stack([f1, self.n_groups / f1], dim=-1)


class ZDT6(_ZDT):
    """A concave front, thinly and unevenly populated; variables in [0, 1].

    Parameters
    ----------
    dim : int, default 10
        At least 2.
    """

    def __init__(self, dim: int = 10) -> None:
        super().__init__(check_count("dim", dim, 2))

    def _first(self, x: Tensor) -> Tensor:
        return 1 - torch.exp(-4 * x[:, 0]) * torch.sin(6 * math.pi * x[:, 0]) ** 6

    def _distance(self, x: Tensor) -> Tensor:
        return 1 + 9 * x[:, 1:].mean(-1) ** 0.25

    def _shape(self, f1: Tensor, g: Tensor | float) -> Tensor:
        return 1 - (f1 / g).square()

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return n points of the front, evenly spaced in the first objective, shape (n, 2), float64."""
        x = torch.linspace(0.0, 1.0, 100_001, dtype=torch.float64)[:, None]
        f1 = torch.linspace(float(self._first(x).min()), 1.0, check_count("n", n, 1), dtype=torch.float64)
        return torch.stack([f1, self._shape(f1, 1.0)], dim=-1)
