"""Choosing parents: tournaments, and distinct random members."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["distinct_others", "random_rows", "tournament"]


def random_rows(uniforms: Tensor, n: int) -> Tensor:
    """Return uniform integers below `n` from uniform numbers in [0, 1); same shape, int64."""
    return (uniforms.double() * n).to(torch.int64).clamp_(max=n - 1)


def tournament(uniforms: Tensor, *keys: Tensor) -> Tensor:
    """Return the winners of tournaments between random rows.

    Parameters
    ----------
    uniforms : Tensor, shape (..., q, s)
        One uniform number for each of the `s` players of each of the `q` tournaments, with replacement.
    keys : Tensor, shape (..., n)
        What decides, in this order; smaller is better. Players that are equal in all keys: the first, which
        is a random one, wins. NaN loses against everything else.

    Returns
    -------
    Tensor, shape (..., q), int64
        O(q s) time and memory for each key.
    """
    players = random_rows(uniforms, keys[0].shape[-1])
    lead, (q, s) = players.shape[:-2], players.shape[-2:]
    flat = players.reshape(*lead, q * s)
    standings = [key.nan_to_num(nan=torch.inf) if key.is_floating_point() else key for key in keys]
    values = [key.expand(*lead, -1).gather(-1, flat).reshape(*lead, q, s) for key in standings]
    winner, best = players[..., 0], [value[..., 0] for value in values]
    for player in range(1, s):
        other = [value[..., player] for value in values]
        wins = other[-1] < best[-1]
        for mine, theirs in zip(best[-2::-1], other[-2::-1], strict=True):
            wins = (theirs < mine) | ((theirs == mine) & wins)
        winner = torch.where(wins, players[..., player], winner)
        best = [torch.where(wins, theirs, mine) for mine, theirs in zip(best, other, strict=True)]
    return winner


def distinct_others(uniforms: Tensor, n: int, rows: Tensor | None = None) -> Tensor:
    """Return for each of n rows some rows that differ from it and from each other, uniformly.

    Parameters
    ----------
    uniforms : Tensor, shape (..., q, k)
        With k < n; q = n unless `rows` is given.
    rows : Tensor, shape (q,), int64, optional
        For which of the n rows. Default: all.

    Returns
    -------
    Tensor, shape (..., q, k), int64
        O(q k^2).
    """
    rows = torch.arange(n, device=uniforms.device) if rows is None else rows
    taken = rows.expand(uniforms.shape[:-1]).unsqueeze(-1)
    picks = []
    for j in range(uniforms.shape[-1]):
        pick = random_rows(uniforms[..., j], n - 1 - j)
        # The pick counts the rows that are still free: step over the taken ones, smallest first.
        for i in range(j + 1):
            pick = pick + (pick >= taken[..., i]).to(torch.int64)
        picks.append(pick)
        taken = torch.cat([taken, pick.unsqueeze(-1)], dim=-1).sort(dim=-1).values
    return torch.stack(picks, dim=-1)
