"""Test functions with a fidelity: cheap evaluations that are wrong in a way that fades towards the target.

The last variable is the fidelity s in [0, 1], with the role of one (`Real(0, 1, fidelity=True)`); results count at
s = 1. The extras hold the cost of every evaluation, `base_cost` at s = 0 and 1 at s = 1, linear between.

References
----------
J. Wu, S. Toscano-Palmerin, P. I. Frazier and A. G. Wilson, Practical multi-fidelity Bayesian optimization for
hyperparameter tuning, 2020 (the functions).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from blackbox.candidates import Evaluation
from blackbox.errors import SettingError
from blackbox.parameters import Real
from blackbox.problem import Problem
from blackbox.problems._box import constant
from blackbox.problems.synthetic import Branin, Hartmann6

__all__ = ["AugmentedBranin", "AugmentedHartmann"]


class _Augmented(Problem):
    """A test function with a fidelity as its last variable."""

    optimum: float
    _plain: Any

    def __init__(self, base_cost: float = 0.1) -> None:
        if not isinstance(base_cost, (int, float)) or not 0.0 < base_cost <= 1.0:
            raise SettingError(f"base_cost: expected a number in (0, 1], got {base_cost!r}")
        plain = self._plain()
        low, high = plain.space.lower, plain.space.upper
        design = {f"x{i}": Real(float(a), float(b)) for i, (a, b) in enumerate(zip(low, high, strict=True))}
        super().__init__({**design, "s": Real(0.0, 1.0, fidelity=True)})
        self.base_cost = float(base_cost)
        points = plain.minimizers
        self.minimizers = torch.cat([points, points.new_ones((len(points), 1))], dim=1)

    @property
    def dim(self) -> int:
        """The number of variables, the fidelity among them."""
        return int(self.space.dim)

    def cost(self, x: Tensor) -> Tensor:
        """Return the cost of points of shape (n, d), shape (n,)."""
        return self.base_cost + (1.0 - self.base_cost) * x[:, -1]

    def evaluate(self, x: Tensor) -> Evaluation:
        """Return the values of points of shape (n, d), and their costs among the extras."""
        return Evaluation(self._values(x[:, :-1], x[:, -1]), extras={"cost": self.cost(x)})

    def _values(self, x: Tensor, s: Tensor) -> Tensor:
        raise NotImplementedError


class AugmentedBranin(_Augmented):
    """Branin's function, its parabola bent at low fidelity; optimum 0.397887 at s = 1.

    Parameters
    ----------
    base_cost : float, default 0.1
        What an evaluation at s = 0 costs, in (0, 1]; at s = 1 it is 1.

    Examples
    --------
    >>> problem = AugmentedBranin()
    >>> problem(problem.minimizers).values.round(decimals=6).flatten().tolist()
    [0.397887, 0.397887, 0.397887]
    """

    optimum: float = Branin.optimum
    _plain = Branin

    def _values(self, x: Tensor, s: Tensor) -> Tensor:
        a, b = x[:, 0], x[:, 1]
        curve = b - (5.1 / (4 * math.pi**2) - 0.1 * (1 - s)) * a.square() + 5 / math.pi * a - 6
        return curve.square() + 10 * (1 - 1 / (8 * math.pi)) * torch.cos(a) + 10


class AugmentedHartmann(_Augmented):
    """Hartmann's function of six variables, one hill lower at low fidelity; optimum -3.32237 at s = 1.

    Parameters
    ----------
    base_cost : float, default 0.1
        What an evaluation at s = 0 costs, in (0, 1]; at s = 1 it is 1.
    """

    optimum: float = Hartmann6.optimum
    _plain = Hartmann6

    def _values(self, x: Tensor, s: Tensor) -> Tensor:
        sharpness, centres = constant(Hartmann6.sharpness, x), constant(Hartmann6.centres, x)
        hills = torch.exp(-(sharpness * (x[:, None, :] - centres * 1e-4).square()).sum(-1))
        heights = constant([1.0, 1.2, 3.0, 3.2], x).repeat(len(x), 1)
        heights[:, 0] -= 0.1 * (1 - s)
        return -(hills * heights).sum(1)
