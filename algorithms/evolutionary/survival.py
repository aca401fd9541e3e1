"""Survival: which rows of a merged population live on, as functions of tensors."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from blackbox.algorithms.evolutionary.crowding import crowding_distance
from blackbox.algorithms.evolutionary.niching import (
    associate,
    extreme_points,
    hyperplane_nadir,
    niche_survivors,
)
from blackbox.algorithms.evolutionary.ranking import finite_values, ranks_and_cutoff

__all__ = ["Normalization", "initial_normalization", "survive_nsga2", "survive_nsga3"]


class Normalization(NamedTuple):
    """What NSGA-III remembers about the range of the front.

    Attributes
    ----------
    ideal : Tensor, shape (..., m)
        Best feasible values ever seen; +inf at the start.
    extremes : Tensor, shape (..., m, m)
        Extreme points, one row for each axis; large values at the start.
    """

    ideal: Tensor
    extremes: Tensor


def initial_normalization(
    shape: tuple[int, ...],
    *,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
) -> Normalization:
    """Return the memory of a run that has seen nothing; `shape` is (..., m)."""
    ideal = torch.full(shape, torch.inf, dtype=dtype, device=device)
    extremes = torch.full((*shape, shape[-1]), _FAR, dtype=dtype, device=device)
    return Normalization(ideal, extremes)


_FAR = 1e30


def survive_nsga3(
    f: Tensor,
    n_survivors: int,
    directions: Tensor,
    memory: Normalization,
    uniforms: Tensor,
    *,
    divisions: int | None = None,
    violation: Tensor | None = None,
) -> tuple[Tensor, Tensor, Normalization]:
    """Return the survivors of NSGA-III, their fronts, and the new memory.

    Parameters
    ----------
    f : Tensor, shape (..., n, m)
        Values of parents and offspring, to minimise; n >= `n_survivors`. Rows with NaN rank last.
    directions : Tensor, shape (r, m)
    memory : Normalization
    uniforms : Tensor, shape (..., 3, n)
    divisions : int, optional
        Says that the directions are `das_dennis(m, divisions)`.
    violation : Tensor, shape (..., n), optional

    Returns
    -------
    indices, rank : Tensor, shape (..., n_survivors), int64
    memory : Normalization
    """
    rank, cutoff = ranks_and_cutoff(f, stop=n_survivors, violation=violation)
    clean = finite_values(f)
    columns = clean.mT.contiguous()
    stays, first = (rank <= cutoff).unsqueeze(-2), rank == 0
    if violation is None and clean is f:
        low = ideal = torch.minimum(memory.ideal, columns.amin(-1))
    else:
        usable = f.isfinite().all(-1) if violation is None else f.isfinite().all(-1) & (violation <= 0)
        best = torch.where(usable.unsqueeze(-2), columns, torch.inf).amin(-1)
        ideal = torch.minimum(memory.ideal, best)
        low = torch.where(ideal < torch.inf, ideal, torch.where(stays, columns, torch.inf).amin(-1))
    worst_front = torch.where(first.unsqueeze(-2), columns, -torch.inf).amax(-1)
    worst_all = torch.where(stays, columns, -torch.inf).amax(-1)
    extremes = extreme_points(columns.mT, low, first, memory.extremes, tolerance=1e-3 * (worst_front - low))
    if violation is not None:  # infeasible rows serve for the moment, but are not remembered
        known = (violation <= 0).any(-1)[..., None, None]
        memory = memory._replace(extremes=torch.where(known, extremes, memory.extremes))
    else:
        memory = memory._replace(extremes=extremes)
    nadir = hyperplane_nadir(extremes, low, worst_front, worst_all)
    h = (columns - low.unsqueeze(-1)) / (nadir - low).unsqueeze(-1)
    niche, distance = associate(h.clamp_(min=0.0).mT, directions, divisions=divisions)
    chosen = niche_survivors(rank, cutoff, niche, distance, n_survivors, len(directions), uniforms)
    return chosen, rank.gather(-1, chosen), memory._replace(ideal=ideal)


def survive_nsga2(
    f: Tensor, n_survivors: int, *, violation: Tensor | None = None, uniforms: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the survivors of NSGA-II, their fronts, and their crowding distances.

    Parameters
    ----------
    f : Tensor, shape (..., n, m)
    violation : Tensor, shape (..., n), optional
    uniforms : Tensor, shape (..., n), optional
        Order among equally crowded rows; without it the earlier row wins.

    Returns
    -------
    indices, rank, crowding : Tensor, shape (..., n_survivors)
        Best first.
    """
    rank, _ = ranks_and_cutoff(f, stop=n_survivors, violation=violation)
    crowding = crowding_distance(f, rank)
    order = crowding.argsort(dim=-1, descending=True, stable=True)
    if uniforms is not None:
        shuffle = uniforms.argsort(dim=-1, stable=True)
        order = shuffle.gather(-1, crowding.gather(-1, shuffle).argsort(dim=-1, descending=True, stable=True))
    order = order.gather(-1, rank.gather(-1, order).argsort(dim=-1, stable=True))[..., :n_survivors]
    return order, rank.gather(-1, order), crowding.gather(-1, order)
