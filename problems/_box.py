"""What box-constrained test problems share: checked sizes, bounds, and constants on the right device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from blackbox.errors import SettingError
from blackbox.problem import Problem
from blackbox.space import Space

__all__ = ["BoxProblem", "check_count", "constant"]


class BoxProblem(Problem):
    """A problem over a box of real variables.

    Parameters
    ----------
    lower, upper : float or sequence of float
        Bounds; a number stands for all `dim` variables.
    dim : int, optional
        Number of variables; needed only where both bounds are numbers.
    objectives, n_constraints, name
        As for `Problem`.

    Attributes
    ----------
    minimizers : Tensor, shape (r, d), float64, or None
        Points at which `optimum` is attained, where known.
    optimum_is_global : bool
        Whether `optimum` is the best value over all of R^d and not just over the box, so that a problem that is
        shifted or rotated keeps it.
    """

    minimizers: Tensor | None = None
    optimum_is_global: bool = False

    def __init__(
        self,
        lower: float | Sequence[float],
        upper: float | Sequence[float],
        *,
        dim: int | None = None,
        objectives: Any = 1,
        n_constraints: int = 0,
        name: str | None = None,
    ) -> None:
        shape = np.shape(lower) if dim is None else (dim,)
        super().__init__(
            Space.box(np.broadcast_to(lower, shape), np.broadcast_to(upper, shape)),
            objectives=objectives,
            n_constraints=n_constraints,
            name=name,
        )

    @property
    def dim(self) -> int:
        """The number of variables."""
        return self.space.dim


def check_count(name: str, value: int, least: int) -> int:
    """Return `value`, or raise `SettingError` unless it is an integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise SettingError(f"{name}: expected an integer >= {least}, got {value!r}")
    return int(value)


def constant(values: Any, like: Tensor) -> Tensor:
    """Return numbers as a tensor of the dtype and on the device of `like`."""
    return torch.as_tensor(values, dtype=like.dtype, device=like.device)
