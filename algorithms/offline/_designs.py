"""Lists of designs without repeats."""

from __future__ import annotations

import torch
from torch import Tensor

from blackbox.space import Space

__all__ = ["among", "cells", "first_of_each", "one_changed", "perturbed", "spread_first"]

_CELLS = 100


def first_of_each(x: Tensor) -> Tensor:
    """Return the rows at which each distinct point of x, shape (n, d), comes first, in order."""
    _, group = torch.unique(_codes(x), dim=0, return_inverse=True)
    index = torch.arange(len(x), device=x.device)
    first = torch.full((len(x),), len(x), device=x.device).scatter_reduce(0, group, index, "amin")
    return first[first < len(x)].sort().values


def spread_first(space: Space, x: Tensor) -> Tensor:
    """Return all rows of x, shape (n, d), in order, but those that all but repeat an earlier one last; shape (n,).

    A row repeats another where both lie in one cell of a grid of a hundredth of the ranges of the real columns.
    """
    first = first_of_each(cells(space, x))
    later = torch.ones(len(x), dtype=torch.bool, device=x.device).index_fill_(0, first, False)
    return torch.cat([first, later.nonzero()[:, 0]])


def cells(space: Space, x: Tensor) -> Tensor:
    """Return the cells in which points lie, shape (n, d): real columns in hundredths of their ranges."""
    real = torch.as_tensor(space.kinds == 0, device=x.device) & ~x.isnan()
    return torch.where(real, (space.to_unit(x) * _CELLS).round(), x)


def among(x: Tensor, others: Tensor) -> Tensor:
    """Return which points of x, shape (n, d), are rows of others, shape (k, d); shape (n,), bool."""
    if not len(x) or not len(others):
        return torch.zeros(len(x), dtype=torch.bool, device=x.device)
    _, group = torch.unique(_codes(torch.cat([others, x])), dim=0, return_inverse=True)
    present = torch.zeros(len(group), dtype=torch.bool, device=x.device).index_fill_(0, group[: len(others)], True)
    return present[group[len(others) :]]


def _codes(x: Tensor) -> Tensor:
    """Return x with a number beyond all bounds in place of NaN, which equals nothing, and 0.0 in place of -0.0."""
    return torch.where(x.isnan(), torch.finfo(x.dtype).max, x + 0.0)


def perturbed(space: Space, x: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Return n points near those of x, shape (k, d): two of the columns changed, on average, one at least.

    Real columns move by a tenth of their range, others are drawn anew.
    """
    device, d = x.device, space.dim
    rows = torch.randint(len(x), (n,), generator=generator, device=device)
    u = space.to_unit(x[rows])
    chosen = torch.rand((n, d), generator=generator, device=device, dtype=u.dtype) < 2 / d
    chosen.scatter_(1, torch.randint(d, (n, 1), generator=generator, device=device), True)
    near = u + 0.1 * torch.randn(u.shape, generator=generator, device=device, dtype=u.dtype)
    anew = torch.rand(u.shape, generator=generator, device=device, dtype=u.dtype)
    real = torch.as_tensor(space.kinds == 0, device=device)
    moved = torch.where(real, (1 - (1 - near.abs()).abs()).clamp(0.0, 1.0), anew)
    return space.from_unit(torch.where(chosen, moved, u))


def one_changed(space: Space, x: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Return the points that differ from one of x, shape (k, d), in one categorical column: all, or `most` of them."""
    columns = space.columns("categorical")
    counts = [int(space.upper[column]) + 1 for column in columns]
    changes = [
        (column, shift, count) for column, count in zip(columns, counts, strict=True) for shift in range(1, count)
    ]
    if not changes or not len(x):
        return x[:0]
    column, shift, count = torch.tensor(changes, device=x.device).T
    index = torch.arange(len(x) * len(changes), device=x.device)
    if len(index) > most:
        index = torch.randint(len(index), (most,), generator=generator, device=x.device)
    rows, which = index // len(changes), index % len(changes)
    place = column[which, None]
    level = x[rows].gather(1, place)
    result = x[rows].scatter(1, place, (level + shift[which, None]) % count[which, None])
    if not space.conditions:
        return result
    low, high = space.bounds(x.dtype, x.device)
    return space.canonical(torch.where(result.isnan(), (low + high) / 2, result))  # a change may turn columns on
