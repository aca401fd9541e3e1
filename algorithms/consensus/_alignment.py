"""Told rows in the places of the candidates of a generation, where some candidates were abandoned."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["told_places"]


def told_places(told: Tensor, proposed: Tensor) -> Tensor:
    """Return for each told point (m, d) the row of the candidate that it answers, of proposed points (n, d); (m,).

    Told rows keep the order of the candidates. Where some are missing, the nearest candidate is meant: exact, unless
    `fixed=` values or rounding moved a candidate next to another one. O(m n d).
    """
    if len(told) == len(proposed):
        return torch.arange(len(told), device=told.device)
    return torch.cdist(told, proposed).argmin(-1)
