"""Multi-objective test problems: ZDT, DTLZ and its constrained versions, WFG, MaF, LSMOP, bit strings, and small ones.

All are batched and give a `pareto_front(n)` where it is known. The scalable ones are made with a number of variables
and of objectives: `DTLZ2(dim=12, n_objectives=3)`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from blackbox.errors import SettingError
from blackbox.problems._box import BoxProblem, check_count
from blackbox.problems._fronts import front_of
from blackbox.problems._re_three import RE34
from blackbox.problems.combinatorial import MNKLandscape, MultiObjectiveKnapsack
from blackbox.problems.constrained_dtlz import (
    C1DTLZ1,
    C1DTLZ3,
    C2DTLZ2,
    C3DTLZ1,
    C3DTLZ4,
    DC1DTLZ1,
    DC1DTLZ3,
    DC2DTLZ1,
    DC2DTLZ3,
    DC3DTLZ1,
    DC3DTLZ3,
)
from blackbox.problems.dtlz import DTLZ1, DTLZ2, DTLZ3, DTLZ4, DTLZ5, DTLZ6, DTLZ7
from blackbox.problems.lsmop import LSMOP1, LSMOP2, LSMOP3, LSMOP4, LSMOP5, LSMOP6, LSMOP7, LSMOP8, LSMOP9
from blackbox.problems.maf import (
    MaF1,
    MaF2,
    MaF3,
    MaF4,
    MaF5,
    MaF6,
    MaF7,
    MaF8,
    MaF9,
    MaF10,
    MaF11,
    MaF12,
    MaF13,
    MaF14,
    MaF15,
)
from blackbox.problems.wfg import WFG1, WFG2, WFG3, WFG4, WFG5, WFG6, WFG7, WFG8, WFG9
from blackbox.problems.zdt import ZDT1, ZDT2, ZDT3, ZDT4, ZDT5, ZDT6

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
    "DTLZ1",
    "DTLZ2",
    "DTLZ3",
    "DTLZ4",
    "DTLZ5",
    "DTLZ6",
    "DTLZ7",
    "LSMOP1",
    "LSMOP2",
    "LSMOP3",
    "LSMOP4",
    "LSMOP5",
    "LSMOP6",
    "LSMOP7",
    "LSMOP8",
    "LSMOP9",
    "VLMOP1",
    "VLMOP2",
    "VLMOP3",
    "WFG1",
    "WFG2",
    "WFG3",
    "WFG4",
    "WFG5",
    "WFG6",
    "WFG7",
    "WFG8",
    "WFG9",
    "ZDT1",
    "ZDT2",
    "ZDT3",
    "ZDT4",
    "ZDT5",
    "ZDT6",
    "MNKLandscape",
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
    "MultiObjectiveKnapsack",
    "OmniTest",
    "VehicleSafety",
]


class VLMOP1(BoxProblem):
    """Two parabolas over one variable (Schaffer's problem): a convex front.

    Parameters
    ----------
    bound : float, default 1000
        The variable lies in [-bound, bound]; at least 2. The front is [0, 2].

    References
    ----------
    Van Veldhuizen, Lamont. Multiobjective Evolutionary Algorithm Test Suites, 1999.
    """

    def __init__(self, bound: float = 1000.0) -> None:
        if isinstance(bound, bool) or not isinstance(bound, (int, float)) or not 2 <= bound < math.inf:
            raise SettingError(f"bound: expected a finite number >= 2, got {bound!r}")
        super().__init__([-float(bound)], [float(bound)], objectives=2)
        self.reference_point = torch.tensor([4.4, 4.4], dtype=torch.float64)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, 1), shape (n, 2)."""
        return torch.cat([x.square(), (x - 2).square()], dim=-1)

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return n points of the front, evenly spaced in x, shape (n, 2), float64."""
        return self(torch.linspace(0.0, 2.0, check_count("n", n, 1), dtype=torch.float64)[:, None]).values


class VLMOP2(BoxProblem):
    """Two Gaussian wells, a concave front; variables in [-2, 2].

    Parameters
    ----------
    dim : int, default 2

    References
    ----------
    Van Veldhuizen, Lamont. Multiobjective Evolutionary Algorithm Test Suites, 1999.
    """

    def __init__(self, dim: int = 2) -> None:
        super().__init__(-2.0, 2.0, dim=check_count("dim", dim, 1), objectives=2)
        self.reference_point = torch.tensor([1.1, 1.1], dtype=torch.float64)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, d), shape (n, 2)."""
        centre = 1 / math.sqrt(self.dim)
        wells = [(x - centre).square().sum(-1), (x + centre).square().sum(-1)]
        return 1 - torch.exp(-torch.stack(wells, dim=-1))

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return n points of the front: those of the segment between the wells, shape (n, 2), float64."""
        along = torch.linspace(-1.0, 1.0, check_count("n", n, 1), dtype=torch.float64) / math.sqrt(self.dim)
        return self(along[:, None].expand(-1, self.dim)).values


class VLMOP3(BoxProblem):
    """Viennet's problem: three objectives of two variables in [-3, 3], a curved band as front.

    References
    ----------
    Van Veldhuizen, Lamont. Multiobjective Evolutionary Algorithm Test Suites, 1999.
    """

    def __init__(self) -> None:
        super().__init__(-3.0, 3.0, dim=2, objectives=3)
        self.reference_point = torch.tensor([11.0, 66.0, 1.1], dtype=torch.float64)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, 2), shape (n, 3)."""
        a, b = x.unbind(-1)
        square = a.square() + b.square()
        second = (3 * a - 2 * b + 4).square() / 8 + (a - b + 1).square() / 27 + 15
        third = 1 / (square + 1) - 1.1 * torch.exp(-square)
        return torch.stack([0.5 * square + torch.sin(square), second, third], dim=-1)

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return at most n points near the front, the best of a 401 x 401 grid, shape (r, 3), float64."""
        axis = torch.linspace(-3.0, 3.0, 401, dtype=torch.float64)
        front = front_of(self(torch.cartesian_prod(axis, axis)).values)
        count = min(check_count("n", n, 1), len(front))
        return front[torch.linspace(0, len(front) - 1, count, dtype=torch.float64).round().to(torch.int64)]


class OmniTest(BoxProblem):
    """Sums of sines and cosines: 3^d equal Pareto sets behind one convex front; variables in [0, 6].

    Parameters
    ----------
    dim : int, default 2

    References
    ----------
    Deb, Tiwari. Omni-optimizer: a generic evolutionary algorithm for single and multi-objective optimization, 2008.
    """

    def __init__(self, dim: int = 2) -> None:
        super().__init__(0.0, 6.0, dim=check_count("dim", dim, 1), objectives=2)
        self.reference_point = torch.tensor([0.1 * dim, 0.1 * dim], dtype=torch.float64)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, d), shape (n, 2)."""
        return torch.stack([torch.sin(math.pi * x).sum(-1), torch.cos(math.pi * x).sum(-1)], dim=-1)

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return n points of the front, a quarter of a circle, shape (n, 2), float64."""
        along = torch.linspace(1.0, 1.5, check_count("n", n, 1), dtype=torch.float64)
        return self(along[:, None].expand(-1, self.dim)).values


class VehicleSafety(RE34):
    """Vehicle crashworthiness: mass, acceleration, intrusion of the toe board; RE34 under its other name.

    The reference point is that of the literature on Bayesian optimization, (1864.72022, 11.81993945, 0.2903999384).
    """

    @property
    def reference_point(self) -> Tensor:  # type: ignore[override]
        """The point of the literature, shape (3,)."""
        return torch.tensor([1864.72022, 11.81993945, 0.2903999384], dtype=torch.float64)
