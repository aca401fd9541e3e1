"""The default dynamics in a few whole-tensor operations: what `propose` does in general, in a fifth of the passes.

For noise from differences of particles, mini-batches of each particle's own with alpha = infinity, greedy memory and
random subsets of coordinates, a step leaves most of a particle as it is: the new coordinates are written into the
memory where the subset says so, in place of adding a step that is mostly zero.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from blackbox.algorithms.consensus._draws import Draws
from blackbox.algorithms.consensus._noise import random_subset
from blackbox.algorithms.consensus._settings import Settings

__all__ = ["is_quick", "quick_points", "rank_members"]


def is_quick(settings: Settings) -> bool:
    """Return whether `quick_points` does what these settings ask for."""
    return (
        settings.noise.kind == "difference"
        and settings.noise.cooling == "none"
        and settings.alpha.schedule == "hard"
        and settings.batch is not None
        and settings.batch.scope == "own"
        and settings.memory is not None
        and settings.memory.greedy
        and settings.subset is not None
        and settings.adam is None
        and settings.domain.kind == "box"
        and settings.domain.method != "mirror"
    )


def quick_points(settings: Settings, y: Tensor, f: Tensor, draws: Draws, generator: torch.Generator) -> Tensor:
    """Return the next points of B runs, shape (B, N, d).

    Parameters
    ----------
    settings : Settings
        Such that `is_quick`.
    y : Tensor, shape (B, N, d)
        The best point of each particle.
    f : Tensor, shape (B, N)
        The merit of these; inf where unknown.
    draws : Draws
        Of this step.
    generator : torch.Generator

    Notes
    -----
    Point i is y_i, but in a random subset of its coordinates c_i + s_i (y_j - y_k), with c_i = y_i + lambda dt
    (consensus - y_i); or y_i with a jump in one coordinate. Two buffers of the size of y are used.
    """
    flat, d = y.reshape(-1, y.shape[-1]), y.shape[-1]
    rows = draws.rows.flatten(1).unbind(0)
    weights = flat.index_select(0, rows[-2])
    points = flat.index_select(0, rows[-1])
    difference = weights.sub_(points)
    points = torch.index_select(flat, 0, rank_members(f.reshape(-1), list(rows[:-2])), out=points)
    rate = settings.drift * settings.dt
    if rate != 1:
        torch.lerp(flat, points, rate, out=points)
    points.addcmul_(difference, draws.factors.view(-1, 1))
    places = draws.places.view(-1)
    chosen = points.view(-1).index_select(0, places)
    if settings.jumps is not None:
        jumped = flat.view(-1).index_select(0, places).add_(draws.jumps.view(-1))
        chosen = torch.where(draws.leaps.view(-1), jumped, chosen)
    random_subset(draws.threshold.view(-1, 1), generator, out=weights)
    torch.lerp(flat, points, weights, out=points)  # exact at 0 and 1, and faster than `where`
    points.view(-1).index_copy_(0, places, chosen)
    if settings.domain.method != "clip":  # reflected at the faces
        torch.lerp(points, torch.clamp(points, 0, 1, out=weights), 2.0, out=points)
    return points.clamp_(0, 1).view(-1, y.shape[1], d)


def rank_members(f: Tensor, members: list[Tensor]) -> Tensor:
    """Return the best member of each particle's mini-batch; the particle itself where no member has a finite value.

    Parameters
    ----------
    f : Tensor, shape (n,)
        Of the particles of all runs.
    members : list of Tensor, shape (n,), int64
        One member of each particle's mini-batch.
    """
    best = members[0]
    least = f.index_select(0, best)
    for row in members[1:]:
        value = f.index_select(0, row)
        best = torch.where(value < least, row, best)
        least = torch.minimum(value, least)
    return torch.where(least < math.inf, best, torch.arange(len(f), device=f.device))
