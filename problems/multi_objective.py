"""Multi-objective test problems: ZDT, DTLZ and its constrained versions, WFG, MaF, LSMOP, bit strings, and small ones.

All are batched and give a `pareto_front(n)` where it is known. The scalable ones are made with a number of variables
and of objectives: `DTLZ2(dim=12, n_objectives=3)`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from blackbox.problems._box import BoxProblem, check_count
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
    "VLMOP2",
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
    "VehicleSafety",
]


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


class VehicleSafety(RE34):
    """Vehicle crashworthiness: mass, acceleration, intrusion of the toe board; RE34 under its other name.

    The reference point is that of the literature on Bayesian optimization, (1864.72022, 11.81993945, 0.2903999384).
    """

    @property
    def reference_point(self) -> Tensor:  # type: ignore[override]
        """The point of the literature, shape (3,)."""
        return torch.tensor([1864.72022, 11.81993945, 0.2903999384], dtype=torch.float64)
