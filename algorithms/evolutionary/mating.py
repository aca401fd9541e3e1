"""Which rows become parents, from populations whose best rows stand first; rows of many runs."""

from __future__ import annotations

import torch
from torch import Tensor

from blackbox.algorithms.evolutionary.selection import random_rows

__all__ = ["choose_rows", "choosing_draws", "flat_rows", "take_rows"]


def choosing_draws(n: int, count: int) -> int:
    """Return how many uniform numbers it takes to choose `count` of n rows."""
    return n if 2 * count >= n else count


def choose_rows(uniforms: Tensor, n: int, count: int, pool: int | Tensor) -> Tensor:
    """Return `count` rows out of the first `pool` of n, each about equally often.

    The rows are shuffled and taken one after the other, in turns; where less than half of them are wanted, they are
    drawn with replacement.

    Parameters
    ----------
    uniforms : Tensor, shape (..., `choosing_draws(n, count)`)
    pool : int, or Tensor of shape (..., 1)
        At least 1, at most n.

    Returns
    -------
    Tensor, shape (..., count), int64
        O(n log n), or O(count).
    """
    if 2 * count < n:
        if isinstance(pool, int):
            return random_rows(uniforms, pool)
        return torch.minimum((uniforms.double() * pool).to(torch.int64), pool - 1)
    if isinstance(pool, int):
        if uniforms.device.type == "cpu":  # several times faster than torch's
            order = torch.from_numpy(uniforms.numpy()[..., :pool].argsort(kind="stable"))
        else:
            order = uniforms[..., :pool].argsort(dim=-1, stable=True)
        return order if count == pool else order[..., torch.arange(count, device=order.device) % pool]
    index = torch.arange(n, device=uniforms.device)
    order = torch.where(index < pool, uniforms, 2.0).argsort(dim=-1, stable=True)
    turn = torch.arange(count, device=order.device) % pool
    return order.gather(-1, turn.expand(*order.shape[:-1], count))


def flat_rows(rows: Tensor, n: int) -> Tensor:
    """Return where rows of runs of n rows, shape (B, q), stand in the table of all runs, shape (B q,)."""
    start = torch.arange(0, len(rows) * n, n, device=rows.device)
    return (rows + start.unsqueeze(-1)).flatten()


def take_rows(table: Tensor, rows: Tensor) -> Tensor:
    """Return rows of every run, shapes (B, n, c) and (B, q) -> (B, q, c)."""
    found = table.flatten(0, 1).index_select(0, flat_rows(rows, table.shape[1]))
    return found.reshape(*rows.shape, table.shape[-1])
