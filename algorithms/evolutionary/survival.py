"""Survival: which rows of a merged population live on, as functions of tensors."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from blackbox.algorithms.evolutionary.crowding import crowding_distance
from blackbox.algorithms.evolutionary.hype import exact_contributions, hype_fitness
from blackbox.algorithms.evolutionary.niching import (
    NEAR_AXIS,
    associate,
    cell_size,
    extreme_points,
    hyperplane_nadir,
    niche_survivors,
)
from blackbox.algorithms.evolutionary.pruning import prune
from blackbox.algorithms.evolutionary.ranking import finite_values, ranks_and_cutoff
from blackbox.algorithms.evolutionary.rvea import reference_winners

__all__ = [
    "Normalization",
    "initial_normalization",
    "survive_hype",
    "survive_nsga2",
    "survive_nsga3",
    "survive_rvea",
]


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
_FAR_OUT = 1e15  # in units of the front's range; its square is still a float32


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
    uniforms : Tensor, shape (..., 2, n)
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
    extremes = extreme_points(columns.mT, low, first, memory.extremes, tolerance=NEAR_AXIS * (worst_front - low))
    if violation is not None:  # infeasible rows serve for the moment, but are not remembered
        known = (violation <= 0).any(-1)[..., None, None]
        memory = memory._replace(extremes=torch.where(known, extremes, memory.extremes))
    else:
        memory = memory._replace(extremes=extremes)
    nadir = hyperplane_nadir(extremes, low, worst_front, worst_all)
    h = (columns - low.unsqueeze(-1)) / (nadir - low).unsqueeze(-1)
    niche, distance = associate(h.clamp_(0.0, _FAR_OUT).mT, directions, divisions=divisions)
    r = len(directions)
    chosen = niche_survivors(rank, cutoff, niche, distance, n_survivors, r, uniforms, cell=cell_size(r, f.shape[-1]))
    return chosen, rank.gather(-1, chosen), memory._replace(ideal=ideal)


def survive_nsga2(
    f: Tensor,
    n_survivors: int,
    *,
    violation: Tensor | None = None,
    uniforms: Tensor | None = None,
    pruning: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the survivors of NSGA-II, their fronts, and their crowding distances.

    Parameters
    ----------
    f : Tensor, shape (..., n, m)
    violation : Tensor, shape (..., n), optional
    uniforms : Tensor, shape (..., n), optional
        Order among equally crowded rows; without it the earlier row wins.
    pruning : bool, default False
        Let the most crowded rows of the last front go one by one, with the distances computed anew after each, rather
        than all at once; runs are handled one after the other.

    Returns
    -------
    indices, rank, crowding : Tensor, shape (..., n_survivors)
        Best first.
    """
    rank, cutoff = ranks_and_cutoff(f, stop=n_survivors, violation=violation)
    if pruning and n_survivors < f.shape[-2]:
        rows = _pruned(f, rank, cutoff, n_survivors, uniforms)
        f, rank = f.gather(-2, rows.unsqueeze(-1).expand(*rows.shape, f.shape[-1])), rank.gather(-1, rows)
        order, rank, crowding = _by_crowding(f, rank, None if uniforms is None else uniforms.gather(-1, rows))
        return rows.gather(-1, order), rank, crowding
    order, rank, crowding = _by_crowding(f, rank, uniforms)
    return order[..., :n_survivors], rank[..., :n_survivors], crowding[..., :n_survivors]


def _by_crowding(f: Tensor, rank: Tensor, uniforms: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return the rows by front and crowding distance, best first, with their fronts and distances."""
    crowding = crowding_distance(f, rank)
    order = crowding.argsort(dim=-1, descending=True, stable=True)
    if uniforms is not None:
        shuffle = uniforms.argsort(dim=-1, stable=True)
        order = shuffle.gather(-1, crowding.gather(-1, shuffle).argsort(dim=-1, descending=True, stable=True))
    order = order.gather(-1, rank.gather(-1, order).argsort(dim=-1, stable=True))
    return order, rank.gather(-1, order), crowding.gather(-1, order)


def _pruned(f: Tensor, rank: Tensor, cutoff: Tensor, n_survivors: int, uniforms: Tensor | None) -> Tensor:
    """Return the rows that survive, shape (..., n_survivors), the last front pruned."""
    n, m = f.shape[-2:]
    lots = torch.arange(n, 0, -1, device=f.device) if uniforms is None else uniforms
    lots = lots.expand(rank.shape).reshape(-1, n)
    chosen = []
    for values, front, last, lot in zip(
        f.reshape(-1, n, m), rank.reshape(-1, n), cutoff.reshape(-1, 1), lots, strict=True
    ):
        certain, rows = (front < last).nonzero().squeeze(-1), (front == last).nonzero().squeeze(-1)
        chosen.append(torch.cat([certain, rows[prune(values[rows], n_survivors - len(certain), lot[rows])]]))
    return torch.stack(chosen).reshape(*rank.shape[:-1], n_survivors)


def survive_hype(
    f: Tensor,
    n_survivors: int,
    uniforms: Tensor,
    *,
    violation: Tensor | None = None,
    rounds: int = 8,
    exact: bool | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the survivors of HypE, their fronts, and the reference point that was used.

    From the front that does not fit, the rows with the least fitness go, in rounds, with the fitness computed
    anew in each; equal fitness (0 where no sample is dominated) is decided by crowding.

    Parameters
    ----------
    f : Tensor, shape (..., n, m)
    uniforms : Tensor, shape (s, m) or (..., s, m)
        Samples; not used where the contributions are exact.
    violation : Tensor, shape (..., n), optional
    rounds : int, at least 1
        1 removes all at once; the number of rows to go removes them one by one.
    exact : bool, optional
        Use exact contributions, as if one row were to go. Default with m = 2, and with m = 3 on the CPU.

    Returns
    -------
    indices, rank : Tensor, shape (..., n_survivors), int64
    reference : Tensor, shape (..., m)
        The worst of the rows up to that front plus a tenth of their range.

    Notes
    -----
    Runs are handled one after the other: the number of rows that go differs between them.
    """
    rank, cutoff = ranks_and_cutoff(f, stop=n_survivors, violation=violation)
    clean = finite_values(f)
    m = f.shape[-1]
    stays = (rank <= cutoff).unsqueeze(-1)
    high = torch.where(stays, clean, -torch.inf).amax(-2)
    low = torch.where(stays, clean, torch.inf).amin(-2)
    reference = high + torch.where(high > low, 0.1 * (high - low), 1.0)
    use_exact = (m == 2 or (m == 3 and f.device.type == "cpu")) if exact is None else exact
    lead, n = rank.shape[:-1], rank.shape[-1]
    draws = uniforms.expand(*lead, *uniforms.shape[-2:]).reshape(-1, *uniforms.shape[-2:])
    tables, corners = clean.reshape(-1, n, m), reference.reshape(-1, m)
    chosen = []
    for run, (front, last) in enumerate(zip(rank.reshape(-1, n), cutoff.reshape(-1, 1), strict=True)):
        order = front.argsort(dim=-1, stable=True)
        certain = order[: int((front < last).sum())]
        rows = (front == last).nonzero().squeeze(-1)
        kept = _trim(tables[run, rows], n_survivors - len(certain), corners[run], draws[run], rounds, use_exact)
        chosen.append(torch.cat([certain, rows[kept]]))
    indices = torch.stack(chosen).reshape(*lead, n_survivors)
    return indices, rank.gather(-1, indices), reference


def _trim(f: Tensor, n_kept: int, reference: Tensor, draws: Tensor, rounds: int, exact: bool) -> Tensor:
    """Return the rows of one front that stay, in their order."""
    alive = torch.arange(len(f), device=f.device)
    for left in range(min(rounds, len(f) - n_kept), 0, -1):
        surplus = len(alive) - n_kept
        here = f[alive]
        fitness = exact_contributions(here, reference) if exact else hype_fitness(here, reference, surplus, draws)
        order = crowding_distance(here).argsort(dim=-1, stable=True)
        order = order[fitness[order].argsort(dim=-1, stable=True)]
        alive = alive[order[-(-surplus // left) :]].sort().values
    return alive


def survive_rvea(
    f: Tensor,
    n_survivors: int,
    directions: Tensor,
    angles: Tensor,
    penalty: float,
    *,
    divisions: int | None = None,
    violation: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the survivors of RVEA: one row for each direction that has one, then others.

    Parameters
    ----------
    f : Tensor, shape (..., n, m)
    n_survivors : int
    directions, angles : Tensor, shapes (r, m) and (r,)
        Directions and `rvea.neighbour_angles` of them.
    penalty : float
        m (t / t_max)^alpha in the paper.
    violation : Tensor, shape (..., n), optional
        While some rows are feasible, only those compete for directions.

    Returns
    -------
    indices : Tensor, shape (..., n_survivors), int64
        Winners by front, then the others by front.
    is_winner : Tensor, shape (..., n_survivors), bool
        Which of them stand for a direction; the paper keeps only those.
    """
    rank, _ = ranks_and_cutoff(f, violation=violation)
    usable = f.isfinite().all(-1)
    if violation is not None:
        feasible = usable & (violation <= 0)
        usable = torch.where(feasible.any(-1, keepdim=True), feasible, usable)
    clean = finite_values(f)
    ideal = torch.where(usable.unsqueeze(-1), clean, torch.inf).amin(-2)
    ideal = torch.where(ideal < torch.inf, ideal, clean.amin(-2))
    rows, valid = reference_winners(clean, ideal, directions, angles, penalty, usable, divisions=divisions)
    wins = torch.zeros_like(rank).scatter_reduce(-1, rows, valid.to(torch.int64), "amax")
    order = (rank + (1 - wins) * f.shape[-2]).argsort(dim=-1, stable=True)[..., :n_survivors]
    return order, wins.gather(-1, order) == 1
