"""What the problems of the RE suite share: violations as an objective, snapping, stored Pareto sets."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from blackbox.problems._box import BoxProblem, check_count, constant

__all__ = ["EngineeringProblem", "snap", "violation"]

_SETS = Path(__file__).parent / "data" / "re_pareto_sets.npz"


class EngineeringProblem(BoxProblem):
    """A problem of the RE suite.

    Attributes
    ----------
    ideal, nadir : Tensor, shape (m,), float64
        The least and the largest value of each objective on the approximated Pareto front.
    reference_point : Tensor, shape (m,), float64
        ideal + 1.1 (nadir - ideal).
    """

    lower: Sequence[float]
    upper: Sequence[float]
    m: int

    def __init__(self) -> None:
        super().__init__(self.lower, self.upper, objectives=self.m)

    @property
    def pareto_set(self) -> Tensor:
        """The stored points whose values approximate the Pareto front, shape (r, d), float64."""
        low, high = self.space.bounds()
        return (
            torch.from_numpy(_stored_sets()["RE34" if self.name == "VehicleSafety" else self.name])
            .to(torch.float64)
            .clamp(low, high)
        )

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return an approximation of the Pareto front of at most n points, shape (r, m), float64.

        It was found by evolution; r is 400 to 2500 (28, the whole front, for RE36). The first n points are those that
        a greedy selection by distance took first, so fewer points still cover the front.
        """
        return self(self.pareto_set[: check_count("n", n, 1)]).values

    @property
    def ideal(self) -> Tensor:
        """The least value of each objective on the front, shape (m,)."""
        return _extremes(self.name)[0].clone()

    @property
    def nadir(self) -> Tensor:
        """The largest value of each objective on the front, shape (m,)."""
        return _extremes(self.name)[1].clone()

    @property
    def reference_point(self) -> Tensor:  # type: ignore[override]
        """The point ideal + 1.1 (nadir - ideal), shape (m,)."""
        low, high = _extremes(self.name)
        return low + 1.1 * (high - low)


@cache
def _stored_sets() -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    with np.load(_SETS, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@cache
def _extremes(name: str) -> tuple[Tensor, Tensor]:
    problem: EngineeringProblem = getattr(import_module("blackbox.problems"), name)()
    front = problem.pareto_front(10**9)
    return front.amin(0), front.amax(0)


def violation(*margins: Tensor) -> Tensor:
    """Return the sum of max(0, -g) over constraints that are met at g >= 0, each of shape (n,)."""
    return torch.stack([(-margin).clamp_min(0.0) for margin in margins]).sum(0)


def snap(x: Tensor, levels: Sequence[float]) -> Tensor:
    """Return each entry of x, shape (n,), moved to the nearest of ascending levels (to the smaller of two)."""
    grid = constant(levels, x)
    right = torch.searchsorted(grid, x.contiguous()).clamp(1, len(levels) - 1)
    low, high = grid[right - 1], grid[right]
    return torch.where(x - low <= high - x, low, high)
