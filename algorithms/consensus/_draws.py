"""The random numbers of which each particle needs a few: drawn for several steps at once.

A step of a small ensemble is a chain of small tensor operations, and half of them would be about these numbers. They
do not depend on what is told, so they are drawn ahead, and kept in the state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from blackbox.algorithms.consensus._noise import random_below
from blackbox.algorithms.consensus._settings import Settings

__all__ = ["Draws", "apply_subset_and_jumps", "draw_ahead"]

_MOST_STEPS = 16
_MOST_PARTICLES = 2**13  # particles times runs times steps in one draw


@dataclass(frozen=True, slots=True)
class Draws:
    """Random numbers of K steps, n particles, B runs; of size zero where the settings need none.

    Parameters
    ----------
    rows : Tensor, shape (K, k, B, n), int64
        Particles: members of each particle's own mini-batch, then two different ones whose difference is its noise.
    factors : Tensor, shape (K, B, n, 1)
        Log-normal factors of the difference, around sigma.
    coordinate : Tensor, shape (K, B, n, 1), int64
        The one coordinate that surely moves.
    threshold : Tensor, shape (K, B, n, 1), int16
        Other coordinates move where 16 random bits are below it; the least for particles that jump.
    leaps : Tensor, shape (K, B, n, 1), bool
        Which particles jump.
    jumps : Tensor, shape (K, B, n, 1)
        By how much.
    """

    rows: Tensor
    factors: Tensor
    coordinate: Tensor
    threshold: Tensor
    leaps: Tensor
    jumps: Tensor

    @classmethod
    def none(cls, like: Tensor) -> Draws:
        """Return no draws at all."""
        empty = like.new_zeros((0, 0, 0, 1))
        rows = empty.long()
        return cls(rows, empty, rows, rows.to(torch.int16), rows.bool(), empty)

    @staticmethod
    def needed(settings: Settings) -> bool:
        """Return whether these settings use any."""
        own = settings.batch is not None and settings.batch.scope == "own"
        return own or settings.noise.kind == "difference" or settings.subset is not None or settings.jumps is not None

    def fits(self, step: int, runs: int, n: int) -> bool:
        """Return whether there are draws for step number `step` of this pool, of this size."""
        return step < len(self.rows) and self.rows.shape[2:] == (runs, n)

    def at(self, step: int) -> Draws:
        """Return the draws of one step, without the leading axis."""
        return Draws(
            self.rows[step],
            self.factors[step],
            self.coordinate[step],
            self.threshold[step],
            self.leaps[step],
            self.jumps[step],
        )


def draw_ahead(settings: Settings, runs: int, n: int, many: int, like: Tensor, generator: torch.Generator) -> Draws:
    """Draw for n moving particles among `many`, in d = like.shape[-1] variables."""
    ahead = max(1, min(_MOST_STEPS, _MOST_PARTICLES // (runs * n)))
    shape, d = (ahead, runs, n, 1), like.shape[-1]
    batch = settings.batch.size if settings.batch is not None and settings.batch.scope == "own" else 0
    u = torch.rand((ahead, 5 + batch, *shape[1:]), dtype=torch.float32, device=like.device, generator=generator)
    normals = torch.randn((2, *shape), dtype=like.dtype, device=like.device, generator=generator)
    # 24 random bits times a whole number, rounded down: never the number itself.
    rows = u[:, : batch + 2, ..., 0].mul(many).long()
    if many > 1:
        other = rows[:, -2] + u[:, batch + 1, ..., 0].mul(many - 1).long().add_(1)
        rows[:, -1] = other.sub_((other >= many).long(), alpha=many)
    coordinate = u[:, -3].mul(d).long()
    jumps, subset = settings.jumps, settings.subset
    chance = jumps.probability if jumps is not None else 0.0
    leaps = u[:, -2] < chance
    amount = normals[1]
    if jumps is not None and chance > 0:  # given that it is below the chance, u / chance is uniform again
        width = math.log(jumps.largest / jumps.smallest)
        amount.mul_(u[:, -2].mul(width / chance).exp_().mul_(jumps.smallest))
    threshold = leaps.new_zeros((ahead, runs, n, 0), dtype=torch.int16)
    if subset is not None:
        moves = u[:, -1].log().mul_(subset.exponent).exp_().sub_(1).mul_(math.log(d)).exp_()
        scaled = moves.mul_(65536).sub_(32768).clamp_(max=32767).to(torch.int16)
        threshold = torch.where(leaps, scaled.new_full((), -32768), scaled)
    factors = normals[0].mul_(settings.noise.spread).exp_().mul_(settings.noise.sigma)
    return Draws(rows, factors, coordinate, threshold, leaps, amount)


def apply_subset_and_jumps(settings: Settings, step: Tensor, draws: Draws, generator: torch.Generator) -> Tensor:
    """Return `step` (B, n, d) with zeros outside random subsets of coordinates; in some rows, one jump instead.

    Every row keeps at least one coordinate. May write to `step`.
    """
    if settings.subset is None and settings.jumps is None:
        return step
    chosen = step.gather(-1, draws.coordinate)
    if settings.jumps is not None:
        chosen = torch.where(draws.leaps, draws.jumps, chosen)
    if settings.subset is not None:
        step = step.mul_(random_below(draws.threshold, step.shape, generator).to(step.dtype))
    else:
        step = torch.where(draws.leaps, step.new_zeros(()), step)
    return step.scatter_(-1, draws.coordinate, chosen)
