"""The reference point of a search for a front: given in the user's directions, or inferred and then settled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from blackbox.algorithm import Spec
from blackbox.algorithms.bayesian.pareto.cells import infer_reference, nondominated_rows
from blackbox.algorithms.bayesian.state import BayesianState
from blackbox.errors import SettingError
from blackbox.surrogates.kernels import Array

__all__ = ["checked_reference", "reference_of", "settled"]

_NAME, _LAST = "reference", "inferred"  # in the memory of the state: settled; inferred, with the evaluations then
_HARDLY, _LONG = 0.1, 20  # ranges of the front that a point may move, and for how many evaluations, to be settled


def checked_reference(point: Any) -> tuple[float, ...]:
    """Return a reference point as a tuple.

    Raises
    ------
    SettingError
        If it is no sequence of finite numbers.
    """
    try:
        numbers = tuple(float(value) for value in point)
    except (TypeError, ValueError):
        numbers = ()
    if not numbers or not all(math.isfinite(value) for value in numbers):
        raise SettingError(f"reference_point: expected one finite number an objective, got {point!r}")
    return numbers


def settled(state: BayesianState, spec: Spec, point: Sequence[float] | None) -> BayesianState:
    """Return the state with the reference point that is given in the user's directions, or else the problem's, if any.

    Raises
    ------
    SettingError
        If it does not have one number an objective.
    """
    if point is None:
        minimised = spec.reference if spec.n_objectives > 1 else None
    elif len(point) != spec.n_objectives:
        raise SettingError(f"reference_point: expected {spec.n_objectives} numbers, got {tuple(point)!r}")
    else:
        signs = spec.signs or (1.0,) * len(point)
        minimised = tuple(sign * value for sign, value in zip(signs, point, strict=True))
    if minimised is None:
        return state
    return replace(state, memory={**state.memory, _NAME: torch.tensor(minimised, dtype=torch.float64)})


def reference_of(state: BayesianState, feasible: Array) -> tuple[Array, BayesianState]:
    """Return the minimised reference point and the state; inferred anew until it is settled.

    It is settled once some value is better than the front's nadir in all objectives and the inferred point has hardly
    moved during 20 evaluations.

    Parameters
    ----------
    feasible : array, shape (n, m)
        Minimised values of the feasible evaluations, n >= 1.
    """
    memory = state.memory
    if _NAME in memory:
        return memory[_NAME].numpy(), state
    reference, n = infer_reference(feasible), len(state)
    last = memory[_LAST].numpy() if _LAST in memory else np.full(len(reference) + 1, np.inf)
    front = feasible[nondominated_rows(feasible)]
    moved = np.abs(reference - last[:-1]) > _HARDLY * np.ptp(front, axis=0)
    if moved.any():
        memory = {**memory, _LAST: torch.from_numpy(np.append(reference, float(n)))}
    elif n - last[-1] >= _LONG and (front < front.max(0)).all(1).any():
        memory = {**memory, _NAME: torch.from_numpy(reference.copy())}
    return reference, replace(state, memory=memory)
