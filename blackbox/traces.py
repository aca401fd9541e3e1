"""How a search for a front went: the hypervolume over the evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from blackbox.errors import SettingError
from blackbox.metrics import Points, Vector, hypervolume

__all__ = ["hypervolume_history"]


def hypervolume_history(values: Points, reference: Vector, *, feasible: Sequence[bool] | Any | None = None) -> Tensor:
    """Return the hypervolume that the first 1, 2, ..., n evaluations dominate, shape (n,), float64, on the CPU.

    Parameters
    ----------
    values : shape (n, m)
        Minimised, in the order of the evaluations; rows that are not finite are failed ones and add nothing.
    reference : shape (m,)
        Finite.
    feasible : shape (n,), bool, optional
        Rows that count; all by default.

    Returns
    -------
    Tensor
        Never decreasing. One exact hypervolume (`blackbox.metrics.hypervolume`) a row that enters the front.

    Raises
    ------
    SettingError
        If shapes disagree or the reference is not finite.

    Examples
    --------
    >>> hypervolume_history([[1.0, 3.0], [3.0, 3.5], [2.0, 1.0]], [4.0, 4.0]).tolist()
    [3.0, 3.0, 7.0]
    """
    table = torch.as_tensor(values).detach().to("cpu", torch.float64).numpy()
    corner = torch.as_tensor(reference).detach().to("cpu", torch.float64).numpy()
    if table.ndim != 2 or corner.shape != table.shape[1:]:
        raise SettingError(f"values, reference: expected shapes (n, m) and (m,), got {table.shape} and {corner.shape}")
    if not np.isfinite(corner).all():
        raise SettingError(f"reference: expected finite numbers, got {corner.tolist()}")
    counts = np.isfinite(table).all(1) & (table < corner).all(1)
    if feasible is not None:
        allowed = torch.as_tensor(feasible).detach().cpu().numpy()
        if allowed.shape != counts.shape or allowed.dtype != bool:
            raise SettingError(f"feasible: expected {len(table)} booleans, got shape {allowed.shape}, {allowed.dtype}")
        counts = counts & allowed
    result, front, now = np.zeros(len(table)), table[:0], 0.0
    for i, row in enumerate(table):
        if counts[i] and not (front <= row).all(1).any():
            front = np.concatenate([front[~(front >= row).all(1)], row[None]])
            now = hypervolume(front, corner)
        result[i] = now
    return torch.from_numpy(result)
