"""The state of the dynamics: an ensemble of particles for each of B independent runs."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

from blackbox.algorithms.consensus._domain import Cube, enter
from blackbox.algorithms.consensus._draws import Draws
from blackbox.algorithms.consensus._settings import Settings
from blackbox.algorithms.consensus._sparse import Move

__all__ = ["Ensemble", "changed", "start"]

_CUBE = Cube()


@dataclass(slots=True)
class Ensemble:
    """N particles in the unit cube for each of B runs; never changed in place: see `changed`.

    Parameters
    ----------
    x : Tensor, shape (B, n, d)
        The points to evaluate: of all N particles, or of those in `rows`.
    at : Tensor, shape (B, N, d)
        Where the particles are, where that is not `y` (memory that is not greedy); otherwise (B, 0, d).
    y : Tensor, shape (B, N, d)
        The points that the consensus is made of: the best ones visited, or (without memory) the last ones.
    f : Tensor, shape (B, N)
        Their values; inf where failed or not evaluated.
    v : Tensor, shape (B, N)
        Their constraint violation, 0 where feasible; (B, 0) without constraints.
    rows : Tensor, shape (B, n), int64
        Which particles `x` belongs to; (B, 0) for all.
    best_x, best_f, best_v : Tensor, shapes (B, d), (B,), (B,)
        The best point told, as far as it may be in no particle's memory; see `best_of`.
    alpha, weight : Tensor, shape (B,)
        Of the "multiply" schedule; of the penalty.
    ceiling : Tensor, shape (B,)
        The largest alpha of the schedule.
    stale : Tensor, shape (B,), int64
        Steps since the best point changed.
    order : Tensor, shape (B, N) or (B, 0), int64
        The permutation that mini-batches are cut from.
    cursor : int
        Where the next block starts.
    moments : Tensor, shape (2, B, N, d) or (2, 0, 0, 0)
        Of Adam.
    variance : float
        Of the ensemble after the last step (for an adaptive size).
    draws : Draws
        Random numbers of this step and some to come.
    moves : list of Move
        What moves in this step and some to come, in place of `draws` on a CPU.
    drawn : int
        How many of these were used.
    step : int
        How many times values were told.
    """

    x: Tensor
    at: Tensor
    y: Tensor
    f: Tensor
    v: Tensor
    rows: Tensor
    best_x: Tensor
    best_f: Tensor
    best_v: Tensor
    alpha: Tensor
    weight: Tensor
    ceiling: Tensor
    stale: Tensor
    order: Tensor
    cursor: int
    moments: Tensor
    variance: float
    draws: Draws
    moves: list[Move]
    drawn: int
    step: int


_values_of = attrgetter(*(f.name for f in fields(Ensemble)))


def changed(ensemble: Ensemble, **new: Any) -> Ensemble:
    """Return a copy with other values of some fields, as `dataclasses.replace` does in many times the time."""
    other = Ensemble(*_values_of(ensemble))
    for name, value in new.items():
        setattr(other, name, value)
    return other


def start(
    settings: Settings,
    x: Tensor,
    *,
    constrained: bool = False,
    cube: Cube = _CUBE,
) -> Ensemble:
    """Return the ensemble whose first points are x (B, N, d), in the unit cube; they are moved into the domain."""
    runs, n = x.shape[:2]
    x = enter(x, settings.domain, cube)
    whole = torch.zeros((runs, 0), dtype=torch.int64, device=x.device)
    apart = settings.memory is not None and not settings.memory.greedy
    high = x.new_full((runs,), math.inf)
    return Ensemble(
        x=x,
        at=x if apart else x[:, :0],
        y=x,
        f=x.new_full((runs, n), math.inf),
        v=x.new_full((runs, n), math.inf) if constrained else x.new_zeros((runs, 0)),
        rows=whole,
        best_x=x[:, 0].clone(),
        best_f=high,
        best_v=high if constrained else x.new_zeros(runs),
        alpha=x.new_zeros(runs),
        weight=x.new_full((runs,), settings.penalty.weight),
        ceiling=high,
        stale=whole.new_zeros(runs),
        order=whole,
        cursor=0,
        moments=x.new_zeros((2, *x.shape)) if settings.adam else x.new_zeros((2, 0, 0, 0)),
        variance=math.nan,
        draws=Draws.none(x),
        moves=[],
        drawn=0,
        step=0,
    )
