"""Offline problems: a data set to learn from, and an oracle that only scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from blackbox.candidates import Batch
from blackbox.errors import SettingError
from blackbox.problem import Problem

__all__ = ["OfflineProblem", "OfflineScore", "percentile"]

PERCENTS = (100, 80, 50)


def percentile(values: Tensor, percent: float) -> float:
    """Return a percentile of values, shape (n,); between two of them the larger one.

    Examples
    --------
    >>> percentile(torch.tensor([1.0, 2.0, 3.0, 4.0]), 50)
    3.0
    """
    return float(torch.quantile(values.to(torch.float64), percent / 100, interpolation="higher"))


@dataclass(frozen=True, slots=True)
class OfflineScore:
    """How good a batch of designs is, by the oracle.

    Attributes
    ----------
    n : int
        Designs with a finite value.
    n_failed : int
        Designs without one; they do not count.
    percentiles : mapping of int to float
        What the batch is worth at 100, 80 and 50 percent; larger is better. With one objective: the percentile of the
        designs' normalised values. With several: the hypervolume of all designs, of those that are left without the
        best 20 %, and without the better half (by fronts and crowding distance).
    best_of_data : float
        The same figure, at 100 percent, of the data set.
    ceiling : float
        Of the true or best known optimum or front; NaN where it is not known.
    """

    n: int
    n_failed: int
    percentiles: Mapping[int, float]
    best_of_data: float
    ceiling: float

    @property
    def gap_closed(self) -> float:
        """The share of the gap between the best of the data and the ceiling that is closed; negative if worse."""
        return (self.percentiles[100] - self.best_of_data) / (self.ceiling - self.best_of_data)

    def __float__(self) -> float:
        return self.percentiles[100]


class OfflineProblem(Problem):
    """A problem that is optimized from a fixed data set; its oracle is for scoring only.

    An optimizer takes nothing from it but the space and the objectives, so no algorithm can evaluate anything.
    Subclasses give `_load` (the data set), `evaluate` (the oracle) and, with one objective, `scale`.

    Examples
    --------
    The whole use, for any offline problem and algorithm::

        optimizer = bb.Optimizer(problem, algorithm, seed=0)
        x, values = problem.dataset
        optimizer.tell(problem.space.batch(x), values)
        problem.score(optimizer.ask(128)).percentiles
    """

    scale: tuple[float, float] = (0.0, 1.0)  # the values that normalise to 0 and 1

    @property
    def dataset(self) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """The points, shape (n, d), and values, shape (n, m), to be told; in the problem's own directions."""
        return self._data

    @cached_property
    def _data(self) -> tuple[Tensor, Tensor]:
        return self._load()

    def _load(self) -> tuple[Tensor, Tensor]:
        raise TypeError(f"{type(self).__name__} has no data set: implement _load()")

    @property
    def ceiling(self) -> float:
        """What the best possible batch is worth, where known; NaN otherwise."""
        return math.nan if self.optimum is None else self._normalised(torch.tensor([self.optimum])).item()

    @cached_property
    def best_of_data(self) -> float:
        """What the data set is worth, at the 100th percentile."""
        return self._worth(self.dataset[1])[100]

    def score(self, designs: Any) -> OfflineScore:
        """Score a batch of designs by the oracle.

        Parameters
        ----------
        designs : Batch, Tensor or array of shape (n, d), or an iterable of dictionaries

        Raises
        ------
        SpaceError
            If a design is not in the space: nothing outside of the bounds is scored.
        SettingError
            If there is no design.
        """
        x = self._as_tensor(designs.x if isinstance(designs, Batch) else designs).to("cpu", torch.float64)
        if not len(x):
            raise SettingError("designs: expected at least one")
        self.space.check(x)
        values = self(x).values
        finite = torch.isfinite(values).all(-1)
        n = int(finite.sum())
        worth = self._worth(values[finite]) if n else dict.fromkeys(PERCENTS, -math.inf)
        return OfflineScore(n, len(x) - n, worth, self.best_of_data, self.ceiling)

    def _worth(self, values: Tensor) -> dict[int, float]:
        """Return what values, shape (n, m), are worth at each percent."""
        normalised = self._normalised(values[:, 0])
        return {percent: percentile(normalised, percent) for percent in PERCENTS}

    def _normalised(self, values: Tensor) -> Tensor:
        low, high = self.scale
        return (values.to(torch.float64) - low) / (high - low)
