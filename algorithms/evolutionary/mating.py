"""Which rows become parents, from populations whose best rows stand first; rows of many runs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from blackbox.algorithms.evolutionary.compact import is_compact
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
        if uniforms.is_cpu:  # several times faster than torch's
            order = torch.from_numpy(uniforms.numpy()[..., :pool].argsort())
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
    """Return rows of one run, shapes (n, c) and (q,) -> (q, c), or of every run, (B, n, c) and (B, q) -> (B, q, c)."""
    if is_compact(table):  # several times faster than torch's
        flat, index = table.numpy(), rows.numpy()
        if flat.ndim == 3:
            start = np.arange(0, flat.shape[0] * flat.shape[1], flat.shape[1])
            flat, index = flat.reshape(-1, flat.shape[2]), index + start[:, None]
        return torch.from_numpy(flat.take(index, axis=0))
    if table.dim() == 2:
        return table.index_select(0, rows)
    found = table.flatten(0, 1).index_select(0, flat_rows(rows, table.shape[1]))
    return found.reshape(*rows.shape, table.shape[-1])
