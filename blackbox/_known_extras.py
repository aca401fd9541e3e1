"""Further columns with a meaning of their own: gradients follow the objective's direction, costs are positive."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from blackbox.errors import TellError

__all__ = ["checked_extras"]


def checked_extras(extras: Mapping[str, Tensor], dim: int, signs: Tensor | None) -> dict[str, Tensor]:
    """Return told columns, gradients for minimisation; raise `TellError` where a known one makes no sense.

    Parameters
    ----------
    extras : mapping of str to Tensor, shape (n, ...)
        "gradient", shape (n, dim): derivatives of the one objective in the space's units, NaN where unknown.
        "cost", shape (n,) or (n, 1): what the evaluation cost, positive, NaN where unknown.
    dim : int
        The number of columns of the whole space.
    signs : Tensor, shape (m,), or None
        Factors that turn the user's directions into minimisation; None where all are one.
    """
    columns = dict(extras)
    gradient = columns.get("gradient")
    if gradient is not None:
        if gradient.dim() != 2 or gradient.shape[1] != dim:
            shape = f"({len(gradient)}, {dim})"
            raise TellError(
                f"extras['gradient']: expected shape {shape}, got {tuple(gradient.shape)}", argument="extras"
            )
        gradient = torch.where(torch.isfinite(gradient), gradient, torch.nan)
        columns["gradient"] = gradient if signs is None else gradient * signs[0]
    cost = columns.get("cost")
    if cost is not None:
        if cost.dim() == 2 and cost.shape[1] == 1:
            cost = columns["cost"] = cost[:, 0]
        if cost.dim() != 1:
            raise TellError(
                f"extras['cost']: expected shape ({len(cost)},), got {tuple(cost.shape)}", argument="extras"
            )
        wrong = (cost <= 0) | torch.isinf(cost)
        if bool(wrong.any()):
            row = int(wrong.nonzero()[0])
            raise TellError(
                f"extras['cost']: expected positive numbers or NaN, got {float(cost[row])!r} in row {row}",
                argument="extras",
                rows=[row],
            )
    return columns
