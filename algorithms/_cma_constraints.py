"""Constraints for CMA-ES: pycma's augmented Lagrangian, with its coefficients kept as numbers.

The Lagrangian is adapted as in Atamna, Auger and Hansen (FOGA 2017) with pycma's refinements; what is ranked is
f + sum(lam g + mu g^2 / 2), shifted so that the values of successive generations can be compared by stop criteria.
Values and constraints are divided by their spread in the run's first generation, so that units do not matter.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["penalised"]

Array = NDArray[np.float64]
Numbers = dict[str, Any]

_SAVED = ("lam", "mu", "_initialized", "f", "g", "count", "count_g_in_penalized_domain")
_FEASIBLE_FIRST = 22  # generations in which only violations count until something feasible is seen, as in pycma
_HUGE = float(np.finfo(np.float64).max)
_OFFSET = 1e4  # infeasible values stand above the first feasible ones, as in pycma


def penalised(numbers: Numbers, dim: int, generation: int, values: Array, violations: Array) -> tuple[Numbers, Array]:
    """Return the next coefficients and the values to rank by.

    Parameters
    ----------
    numbers : dict
        Coefficients from the last call; empty at the start of a run. It stays as it is.
    dim : int
        The number of variables d.
    generation : int
        How many generations the run has seen before this one.
    values : array, shape (n,)
        Finite.
    violations : array, shape (n, k)
        Finite; feasible at <= 0.

    Returns
    -------
    dict
    array, shape (n,)
    """
    scale = numbers.get("scale") or [_spread(values), *(_spread(column) for column in violations.T)]
    violations = violations / np.array(scale[1:])
    values = values / scale[0]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # pycma warns about constraints that do not vary within a generation
        lagrangian = _lagrangian_class()(dim)
        _load(lagrangian, numbers, violations.shape[1])
        lagrangian.set_coefficients(values.tolist(), violations)
        first = values + _penalties(lagrangian, violations)
        best = int(np.argmin(first))
        lagrangian.update(float(values[best]), violations[best])
        penalties = _penalties(lagrangian, violations)
    feasible = (violations <= 0).all(1)
    last = float(values[feasible].min()) if feasible.any() else numbers.get("last_feasible")
    after = {**_read(lagrangian), "last_feasible": last, "scale": scale}
    if last is None and generation < _FEASIBLE_FIRST:
        fitness = (np.maximum(violations, 0.0) ** 2).sum(1)
    else:
        fitness = values + penalties
    if last is None:
        fitness = fitness + _OFFSET + float(np.abs(penalties).max()) + max(0.0, float(values.max()))
    else:
        fitness = fitness + (last - float(fitness.min()))
        if not feasible.any():
            fitness = fitness + float(np.abs(penalties).min())
    with np.errstate(over="ignore"):
        return after, np.nan_to_num(fitness * scale[0], nan=_HUGE, posinf=_HUGE, neginf=-_HUGE)


def _spread(values: Array) -> float:
    """Return the interquartile range, or 1 where there is none: what coefficients should not depend on."""
    low, high = np.quantile(values, [0.25, 0.75])
    spread = float(high / 2 - low / 2) * 2  # the difference of huge values may not be representable
    return spread if 0 < spread < np.inf else 1.0


@cache
def _lagrangian_class() -> Any:
    """Return pycma's class without its loggers, which would make a folder in the working directory."""
    from cma.constraints_handler import AugmentedLagrangian

    class SilentLagrangian(AugmentedLagrangian):  # type: ignore[misc]
        def _init_(self) -> None:
            self.logging = 0
            self.loggers: list[Any] = []

    return SilentLagrangian


def _penalties(lagrangian: Any, violations: Array) -> Array:
    return np.array([sum(lagrangian(row)) for row in violations], dtype=np.float64)


def _load(lagrangian: Any, numbers: Numbers, n_constraints: int) -> None:
    if not numbers:
        return
    for name in _SAVED:
        value = numbers[name]
        setattr(lagrangian, name, value.copy() if isinstance(value, np.ndarray) else value)
    changes = lagrangian.count_mu_last_same_changes
    changes.init(n_constraints)
    changes.same_changes = list(numbers["same_changes"])
    lagrangian.g_history.extend(numbers["history"])


def _read(lagrangian: Any) -> Numbers:
    numbers: Numbers = {}
    for name in _SAVED:
        value = getattr(lagrangian, name)
        numbers[name] = value.copy() if isinstance(value, np.ndarray) else value
    numbers["same_changes"] = list(lagrangian.count_mu_last_same_changes.same_changes)
    numbers["history"] = np.array(lagrangian.g_history, dtype=np.float64)
    return numbers
