"""The reference point of a search for a front: given in the user's directions, or inferred and then settled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from blackbox.algorithm import Spec
from blackbox.algorithms.bayesian.pareto.cells import infer_reference, nondominated_rows
from blackbox.algorithms.bayesian.state import BayesianState
from blackbox.errors import SettingError
from blackbox.surrogates.kernels import Array

__all__ = ["checked_reference", "reference_of", "settled"]

_NAME = "reference"  # of the settled reference point in the memory of the state


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


def settled(state: BayesianState, spec: Spec, point: Sequence[float]) -> BayesianState:
    """Return the state with a reference point that is given in the user's directions.

    Raises
    ------
    SettingError
        If it does not have one number an objective.
    """
    if len(point) != spec.n_objectives:
        raise SettingError(f"reference_point: expected {spec.n_objectives} numbers, got {tuple(point)!r}")
    signs = spec.signs or (1.0,) * len(point)
    minimised = [sign * value for sign, value in zip(signs, point, strict=True)]
    return replace(state, memory={**state.memory, _NAME: torch.tensor(minimised, dtype=torch.float64)})


def reference_of(state: BayesianState, feasible: Array) -> tuple[Array, BayesianState]:
    """Return the minimised reference point and the state; settled once a point is better than the nadir throughout.

    Parameters
    ----------
    feasible : array, shape (n, m)
        Minimised values of the feasible evaluations, n >= 1.
    """
    if _NAME in state.memory:
        return state.memory[_NAME].numpy(), state
    reference = infer_reference(feasible)
    front = feasible[nondominated_rows(feasible)]
    if (front < front.max(0)).all(1).any():
        state = replace(state, memory={**state.memory, _NAME: torch.from_numpy(reference.copy())})
    return reference, state
