"""How good a run is, as one number, and whether two algorithms differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from blackbox import metrics
from blackbox.errors import SettingError
from blackbox.problem import Problem

__all__ = ["Metric", "Ruler", "holm", "make_ruler", "paired_p_value"]

Metric = Literal["auto", "best", "hypervolume", "igd", "igd_plus"]
_FRONT = 1000  # points of the true front, about


@dataclass(frozen=True, slots=True)
class Ruler:
    """Measures final values on one problem.

    Attributes
    ----------
    metric : str
    is_larger_better : bool
    signs : Tensor, shape (m,)
        Factors that turn values into minimisation.
    target : Tensor or None
        The true front, or the reference point, minimised.
    """

    metric: str
    is_larger_better: bool
    signs: Tensor
    target: Tensor | None

    def __call__(self, values: Tensor) -> float:
        """Return the metric of final values, shape (r, m); the worst possible number where nothing was found."""
        if not len(values):
            nothing = 0.0 if self.metric == "hypervolume" else math.inf
            return -nothing if self.is_larger_better and nothing else nothing
        if self.metric == "best":
            return float(values.max() if self.is_larger_better else values.min())
        minimised = values * self.signs
        assert self.target is not None
        if self.metric == "hypervolume":
            return metrics.hypervolume(minimised, self.target)
        measure = metrics.igd if self.metric == "igd" else metrics.igd_plus
        return measure(minimised, self.target)


def make_ruler(name: str, problem: Problem, metric: str, fronts: Sequence[Tensor]) -> Ruler:
    """Return what runs on a problem are measured with.

    Parameters
    ----------
    name : str
        Of the problem, for messages.
    problem : Problem
    metric : str
        "auto": "best" for one objective; for several "igd" where the true front is known, else "hypervolume".
    fronts : sequence of Tensor, shape (r, m)
        Final values of all runs: they make the reference point of hypervolumes where the problem has none, the worst
        value of each objective and a tenth of the range.

    Raises
    ------
    SettingError
        If the metric is unknown, or the problem cannot be measured with it.
    """
    if metric not in get_args(Metric):
        raise SettingError(f"metric: expected one of {list(get_args(Metric))}, got {metric!r}")
    objectives = problem.objectives
    signs = torch.tensor([objective.sign for objective in objectives], dtype=torch.float64)
    if len(objectives) == 1:
        if metric not in ("auto", "best"):
            raise SettingError(f'metric: {name} has one objective; expected "best", got {metric!r}')
        return Ruler("best", objectives[0].maximize, signs, None)
    if metric == "best":
        raise SettingError(f'metric: {name} has {len(objectives)} objectives; expected "igd" or "hypervolume"')
    front = None if metric == "hypervolume" else _true_front(problem)
    if front is None and metric in ("igd", "igd_plus"):
        raise SettingError(f'metric: the Pareto front of {name} is not known; expected "hypervolume", got {metric!r}')
    if front is not None:
        return Ruler("igd" if metric == "auto" else metric, False, signs, front * signs)
    return Ruler("hypervolume", True, signs, _reference(problem, signs, fronts))


def _true_front(problem: Problem) -> Tensor | None:
    try:
        return problem.pareto_front(_FRONT).to("cpu", torch.float64)
    except SettingError:
        return None


def _reference(problem: Problem, signs: Tensor, fronts: Sequence[Tensor]) -> Tensor:
    if problem.reference_point is not None:
        return problem.reference_point.to("cpu", torch.float64) * signs
    found = [front * signs for front in fronts if len(front)]
    if not found:
        return torch.ones_like(signs)
    table = torch.cat(found)
    low, high = table.amin(0), table.amax(0)
    return high + torch.where(high > low, 0.1 * (high - low), 1.0)


def paired_p_value(ours: Sequence[float], best: Sequence[float]) -> float:
    """Return the two-sided p-value of the Wilcoxon signed-rank test on pairs of numbers; 1 where all are equal.

    Infinities stand for the worst possible result, further away than any finite one.

    References
    ----------
    F. Wilcoxon, Individual comparisons by ranking methods, 1945; pairs without a difference as by J. Pratt, 1959.
    """
    from scipy.stats import wilcoxon

    one, two = np.asarray(ours, dtype=np.float64), np.asarray(best, dtype=np.float64)
    equal = one == two
    with np.errstate(invalid="ignore"):
        difference = np.where(equal, 0.0, one - two)
    finite = np.abs(difference[np.isfinite(difference)])
    far = 2.0 * float(finite.max()) + 1.0 if len(finite) else 1.0
    difference = np.where(np.isinf(difference), np.sign(difference) * far, difference)
    if not len(difference) or not difference.any():
        return 1.0
    return float(wilcoxon(difference, zero_method="pratt").pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for so many comparisons, in the same order.

    References
    ----------
    S. Holm, A simple sequentially rejective multiple test procedure, 1979.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for position, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - position) * p_values[index]))
        adjusted[index] = largest
    return adjusted
