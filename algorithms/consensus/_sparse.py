"""The default dynamics on a CPU: only the coordinates that move are touched, and what moves is drawn ahead.

In a step of the default settings nearly all coordinates stay as they are: some particles jump in one coordinate, the
others move in a random subset. Which ones does not depend on what is told, so it is drawn for several steps at once,
as lists of places. These arrays are small: NumPy's calls cost a third of torch's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blackbox.algorithms.consensus._settings import Settings

__all__ = ["Move", "draw_and_move", "draw_moves", "moved", "remember", "steps_ahead"]

_MOST_STEPS = 16
# Of all runs and steps of one draw: few calls for many numbers, in arrays that fit a cache.
_MOST_PARTICLES, _MOST_COORDINATES = 2**14, 2**18

Array = NDArray[Any]


@dataclass(slots=True)
class Move:
    """What moves in one step: s particles in p cells in all, and j particles by a jump in one coordinate.

    Particles are counted through all runs, places through the coordinates of all particles, cells through those of
    the particles that move.

    Parameters
    ----------
    movers : array, shape (s,), int64
        The particles that move.
    members : array, shape (k, s), int64
        The particles of their mini-batches.
    cells : array, shape (p,), int64
        What moves of them.
    offsets : array, shape (3, s), int64
        From the cells of a mover to its places, and to those of the two particles whose difference is the noise.
    factors : array, shape (s,)
        Of the difference.
    leaps : array, shape (j,), int64
        The places that jump.
    jumps : array, shape (j,)
        By how much.
    """

    movers: Array
    members: Array
    cells: Array
    offsets: Array
    factors: Array
    leaps: Array
    jumps: Array


def steps_ahead(y: Tensor) -> int:
    """Return for how many steps of particles y (B, N, d) it pays to draw moves at once: at least one."""
    total = y.shape[0] * y.shape[1]
    return max(1, min(_MOST_STEPS, _MOST_PARTICLES // total, _MOST_COORDINATES // y.numel()))


def draw_and_move(settings: Settings, y: Tensor, f: Tensor, generator: torch.Generator) -> Tensor:
    """Return the next points of many runs, as `moved` does, drawn and moved a few runs at a time."""
    n, d = y.shape[1:]
    runs = max(1, min(_MOST_PARTICLES // n, _MOST_COORDINATES // (n * d)))
    points = torch.empty_like(y)
    for part in (slice(start, start + runs) for start in range(0, len(y), runs)):
        (move,) = draw_moves(settings, y[part], 1, generator)
        points[part] = moved(settings, y[part], f[part], move)
    return points


def draw_moves(settings: Settings, y: Tensor, ahead: int, generator: torch.Generator) -> list[Move]:
    """Return the moves of `ahead` steps of particles like y (B, n, d)."""
    runs, n, d = y.shape
    total = runs * n
    jumps = settings.jumps
    chance = 0.0 if jumps is None else jumps.probability
    # 24 random bits each: times a whole number and rounded down, never the number itself.
    kind, column = torch.rand((2, ahead * total), generator=generator).numpy()
    normals = torch.randn(ahead * total, generator=generator).numpy()
    is_leap = kind < chance
    leapers, steppers = np.flatnonzero(is_leap), np.flatnonzero(~is_leap)
    column = (column * np.float32(d)).astype(np.int64)
    movers, leaping = (rows - rows // total * total for rows in (steppers, leapers))
    members, others, cells = _draw_steps(settings, movers, column.take(steppers, mode="clip"), y.shape, generator)
    offsets = (np.concatenate((movers[None], others)) - np.arange(len(movers))) * d
    dtype = y.numpy().dtype
    factors = (np.exp(normals[: len(steppers)] * settings.noise.spread) * settings.noise.sigma).astype(dtype)
    amounts = normals[len(steppers) :].astype(dtype)
    if jumps is not None and chance > 0:  # given that it is below the chance, u / chance is uniform again
        width = math.log(jumps.largest / jumps.smallest)
        amounts *= np.exp(kind.take(leapers, mode="clip") * (width / chance)) * jumps.smallest
    leaps = leaping * d + column.take(leapers, mode="clip")
    edges = np.arange(ahead + 1) * total
    first, jump = np.searchsorted(steppers, edges), np.searchsorted(leapers, edges)
    cell = np.searchsorted(cells, first * d)
    moves = []
    for k in range(ahead):
        s, p, j = (slice(edge[k], edge[k + 1]) for edge in (first, cell, jump))
        start = first[k] * d
        own = (cells[p] - start, offsets[:, s] + start, factors[s])
        moves.append(Move(movers[s], members[:, s], *own, leaps[j], amounts[j]))
    return moves


def _draw_steps(
    settings: Settings, movers: Array, sure: Array, shape: torch.Size, generator: torch.Generator
) -> tuple[Array, Array, Array]:
    """Return the members of mini-batches, two others, and the cells of movers that surely move in column `sure`."""
    assert settings.batch is not None
    assert settings.subset is not None
    _, n, d = shape
    k, s = settings.batch.size, len(movers)
    u = torch.rand((k + 3, s), generator=generator).numpy()
    rows = (u[: k + 2] * np.float32(n)).astype(np.int64)
    if n > 1:  # the last is another one than the last but one
        rows[k + 1] = rows[k] + 1 + (u[k + 1] * np.float32(n - 1)).astype(np.int64)
        rows[k + 1] -= n * (rows[k + 1] >= n)
    if shape[0] > 1:
        rows += movers // n * n
    exponent = np.float32(settings.subset.exponent)
    share = np.exp((np.exp(np.log(1 - u[-1]) * exponent) - 1) * np.float32(math.log(d)))  # 1 - u is never 0
    threshold = np.minimum(share * 65536 - 32768, 32767).astype(np.int16)
    bits = torch.empty((s * d + 3) // 4, dtype=torch.int64).random_(-(2**63), None, generator=generator)
    moves = bits.numpy().view(np.int16)[: s * d].reshape(s, d) < threshold[:, None]
    moves.reshape(-1)[np.arange(s) * d + sure] = True
    return rows[:k], rows[k:], np.flatnonzero(moves)


def moved(settings: Settings, y: Tensor, f: Tensor, move: Move) -> Tensor:
    """Return the next points of B runs, shape (B, N, d).

    Parameters
    ----------
    settings : Settings
        Such that `is_quick`.
    y : Tensor, shape (B, N, d)
        The best point of each particle.
    f : Tensor, shape (B, N)
        The merit of these; inf where unknown.
    move : Move

    Notes
    -----
    What moves becomes c + factor (y_j - y_k), with c = y + lambda dt (consensus - y), or jumps. The consensus is the
    best member of the mini-batch, or the particle itself where no member has a finite value.
    """
    flat, values, d = y.numpy().reshape(-1), f.numpy().reshape(-1), y.shape[-1]
    told = values.take(move.members, mode="clip")  # the fastest mode; nothing is out of range
    best, least = move.members[0], told[0]
    for row, value in zip(move.members[1:], told[1:], strict=True):
        best = np.where(value < least, row, best)
        least = np.minimum(value, least)
    best = np.where(least < math.inf, best, move.movers)
    of = move.cells // d
    places, plus, minus = move.offsets.take(of, 1, mode="clip") + move.cells
    consensus = ((best - move.movers) * d).take(of, mode="clip")
    consensus += places
    point = flat.take(plus, mode="clip")
    point -= flat.take(minus, mode="clip")
    point *= move.factors.take(of, mode="clip")
    rate = settings.drift * settings.dt
    if rate == 1:
        point += flat.take(consensus, mode="clip")
    else:
        point += flat.take(consensus, mode="clip") * rate
        point += flat.take(places, mode="clip") * (1 - rate)
    point = np.concatenate((point, flat.take(move.leaps, mode="clip") + move.jumps))
    inside = point.clip(0, 1)
    if settings.domain.method != "clip":  # reflected at the faces, and clipped if more than one cube away
        inside += inside
        inside -= point
        inside.clip(0, 1, out=inside)
    x = flat.copy()
    x[places] = inside[: len(of)]
    x[move.leaps] = inside[len(of) :]
    return torch.from_numpy(x.reshape(y.shape))


def remember(y: Tensor, f: Tensor, x: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
    """Return the better ones of points y (B, N, d) with values f (B, N) and x with values `told`; on the CPU.

    Values that are NaN or infinite are worse than any other.
    """
    old, new, d = f.numpy().reshape(-1), told.numpy().reshape(-1), y.shape[-1]
    better = new <= old
    better &= new > -math.inf
    rows = better.nonzero()[0]
    points, values = y.numpy().copy(), old.copy()
    points.reshape(-1, d)[rows] = x.numpy().reshape(-1, d).take(rows, 0, mode="clip")
    values[rows] = new.take(rows, mode="clip")
    return torch.from_numpy(points), torch.from_numpy(values.reshape(f.shape))
