"""Algorithms in which every member has a place of its own, and candidate i competes for certain places."""

from __future__ import annotations

import torch
from torch import Tensor

from blackbox.algorithm import Seen
from blackbox.algorithms.evolutionary.population import Population

__all__ = ["filled", "next_places", "place_of", "usable_members"]


def next_places(state: Population, count: int, *, generational: bool, device: torch.device) -> Tensor:
    """Return the places of the next candidates, in turn, shape (count,), int64."""
    index = torch.arange(count, device=device)
    n = len(state)
    return index % n if generational else (index + (state.asked + state.external)) % n


def place_of(state: Population, seen: Seen, *, generational: bool) -> Tensor | None:
    """Return the place of every told row, shape (q,), int64; -1 for points that were not asked.

    None where row i has place i.

    A generation that is told whole stands in the order of its places; otherwise the id says which it is.
    """
    n = len(state)
    if generational and len(seen) == n and not seen.may_have_external:
        return None
    external = seen.external.cpu()
    if generational and len(seen) == n and not bool(external.any()):
        return None
    if not generational:
        places = seen.ids % n
    elif int((~external).sum()) == n:
        places = torch.cumsum((~external).to(torch.int64), 0) - 1
    else:
        places = (seen.ids - (state.asked - n + state.external)).clamp(0, n - 1)
    return torch.where(external, -1, places).to(seen.values.device)


def usable_members(values: Tensor) -> Tensor:
    """Return which places hold a member with values, shape (..., n), bool."""
    return ~values[..., 0].isnan()


def filled(rows: Tensor, usable: Tensor, uniforms: Tensor) -> Tensor:
    """Return rows with the unusable ones replaced by random usable ones.

    Parameters
    ----------
    rows : Tensor, shape (..., q, s), int64
    usable : Tensor, shape (..., n), bool
        At least one in each run.
    uniforms : Tensor, shape (..., q, s)
    """
    order = (~usable).to(torch.int8).argsort(dim=-1, stable=True)
    count = usable.sum(-1)[..., None, None]
    pick = torch.minimum((uniforms.double() * count).to(torch.int64), count - 1)
    flat = rows.flatten(-2)
    spare = order.gather(-1, pick.flatten(-2))
    return torch.where(usable.gather(-1, flat), flat, spare).reshape(rows.shape)
