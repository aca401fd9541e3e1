"""Points and bounds that come from outside: parsed and checked before anything is made of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from blackbox.errors import SpaceError, shown

if TYPE_CHECKING:
    from blackbox.space import Space

__all__ = ["check_points", "parse_bound", "parse_names", "parse_points"]


def parse_points(space: Space, points: Any) -> Tensor:
    """Return configurations, or an array of shape (n, d), as a checked tensor of its own memory."""
    if isinstance(points, Mapping):
        points = [points]
    elif isinstance(points, Iterator):
        points = list(points)
    if isinstance(points, (list, tuple)) and (not points or isinstance(points[0], Mapping)):
        return space.encode(points)
    if isinstance(points, Tensor):
        x = points
    else:
        array = _array(points)
        if array is None or array.dtype.kind not in "iuf":
            expected = f"dictionaries or real numbers of shape (n, {space.dim})"
            raise SpaceError(f"points: expected {expected}, got {shown(points)}")
        x = torch.from_numpy(array.astype(np.float64))
    if x.dim() == 1 and x.shape[0] == space.dim:
        x = x[None]
    if x.is_complex() or x.dtype == torch.bool:
        raise SpaceError(f"points: expected real numbers, got {x.dtype}")
    x = x.detach().to(x.dtype if x.is_floating_point() else torch.float64, copy=True)
    space.check(x)
    return x


def check_points(space: Space, x: Tensor) -> None:
    """Raise `SpaceError`, naming the first parameter at fault, unless every row of x is in the space."""
    low, high = space.bounds(x.dtype, x.device)
    wrong = ~((x >= low) & (x <= high))
    if space.kinds.any():
        discrete = np.flatnonzero(space.kinds)
        wrong[:, discrete] |= x[:, discrete] != x[:, discrete].round()
    if space.conditions:
        active = space.activity(x)
        wrong = torch.where(active, wrong, ~torch.isnan(x))
    if bool(wrong.any()):
        row, column = (int(i) for i in wrong.nonzero()[0])
        name = space.names[column]
        whole = " an integer" if space.kinds[column] else " a value"
        raise SpaceError(
            f"{name}: expected{whole} in [{space.lower[column]:g}, {space.upper[column]:g}] where active, NaN where "
            f"not, got {float(x[row, column])!r} in row {row}",
            parameter=name,
        )


def parse_bound(bound: Any, name: str) -> np.ndarray[Any, Any]:
    """Return given bounds as an array, or raise `SpaceError`."""
    try:
        array = np.asarray(bound.detach().cpu() if isinstance(bound, Tensor) else bound)
    except ValueError:  # ragged
        array = np.empty(0, dtype=object)
    if array.dtype.kind not in "iuf":
        raise SpaceError(f"{name}: expected an array of numbers of shape (d,), got {bound!r}")
    return array.astype(np.float64)


def parse_names(names: Sequence[str], dim: int) -> list[str]:
    """Return given names of columns as a list, or raise `SpaceError`."""
    listed = list(names) if isinstance(names, Iterable) else [names]
    if (
        not all(isinstance(name, str) and name for name in listed)
        or len(set(listed)) != len(listed)
        or len(listed) != dim
    ):
        raise SpaceError(f"names: expected {dim} distinct non-empty strings, got {shown(listed)}")
    return listed


def _array(points: Any) -> np.ndarray[Any, Any] | None:
    try:
        return np.asarray(points)
    except ValueError:  # ragged
        return None
