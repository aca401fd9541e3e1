"""Small single-objective test problems with black-box constraints and a known constrained optimum."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from blackbox.candidates import Evaluation
from blackbox.problems._box import BoxProblem
from blackbox.problems.synthetic import Branin

__all__ = ["ConstrainedBranin", "Gardner", "Gramacy"]


class ConstrainedBranin(BoxProblem):
    """Branin's function inside the disk (x1 - 2.5)^2 + (x2 - 7.5)^2 <= 50; optimum 0.397887 at (pi, 2.275).

    Of the three minimisers of `Branin`, the disk leaves one.

    References
    ----------
    Gelbart, Snoek, Adams. Bayesian Optimization with Unknown Constraints, 2014.
    """

    optimum: float = Branin.optimum
    optimum_is_global = True

    def __init__(self) -> None:
        self._branin = Branin()
        super().__init__([-5.0, 0.0], [10.0, 15.0], n_constraints=1)
        self.minimizers = torch.tensor([[math.pi, 2.275]], dtype=torch.float64)

    def evaluate(self, x: Tensor) -> Evaluation:
        """Return values, shape (n,), and violations, shape (n, 1), of points of shape (n, 2)."""
        outside = (x[:, :1] - 2.5).square() + (x[:, 1:] - 7.5).square() - 50
        return Evaluation(self._branin.evaluate(x), outside)


class Gardner(BoxProblem):
    """Minimise cos(2 x1) cos(x2) + sin(x1) over [0, 6]^2, where cos(x1) cos(x2) - sin(x1) sin(x2) <= -0.5.

    The feasible region is two bands, cos(x1 + x2) <= -0.5; the first simulation of the reference, optimum -1.88875.

    References
    ----------
    Gardner, Kusner, Xu, Weinberger, Cunningham. Bayesian Optimization with Inequality Constraints, 2014.
    """

    optimum: float = -1.8887513614505922

    def __init__(self) -> None:
        super().__init__(0.0, 6.0, dim=2, n_constraints=1)
        self.minimizers = torch.tensor([[4.6226409366, 10 * math.pi / 3 - 4.6226409366]], dtype=torch.float64)

    def evaluate(self, x: Tensor) -> Evaluation:
        """Return values, shape (n,), and violations, shape (n, 1), of points of shape (n, 2)."""
        a, b = x[:, 0], x[:, 1]
        values = torch.cos(2 * a) * torch.cos(b) + torch.sin(a)
        return Evaluation(values, (torch.cos(a + b) + 0.5)[:, None])


class Gramacy(BoxProblem):
    """Minimise x1 + x2 over the unit square under two constraints, one of them wavy; optimum 0.599788.

    The constraints are 1.5 - x1 - 2 x2 - 0.5 sin(2 pi (x1^2 - 2 x2)) <= 0 and x1^2 + x2^2 <= 1.5; the first binds
    at the optimum.

    References
    ----------
    Gramacy, Gray, Le Digabel, Lee, Ranjan, Wells, Wild. Modeling an Augmented Lagrangian for Blackbox Constrained
    Optimization, 2016.
    """

    optimum: float = 0.5997880520084914

    def __init__(self) -> None:
        super().__init__(0.0, 1.0, dim=2, n_constraints=2)
        self.minimizers = torch.tensor([[0.19512268861, 0.40466536340]], dtype=torch.float64)

    def evaluate(self, x: Tensor) -> Evaluation:
        """Return values, shape (n,), and violations, shape (n, 2), of points of shape (n, 2)."""
        a, b = x[:, 0], x[:, 1]
        waves = 1.5 - a - 2 * b - 0.5 * torch.sin(2 * math.pi * (a.square() - 2 * b))
        return Evaluation(a + b, torch.stack([waves, a.square() + b.square() - 1.5], dim=-1))
