"""The random numbers of which each particle needs a few: drawn for several steps at once.

A step of a small ensemble is a chain of small tensor operations, and half of them would be about these numbers. They
do not depend on what is told, so they are drawn ahead, and kept in the state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from blackbox.algorithms.consensus._noise import random_subset
from blackbox.algorithms.consensus._settings import Settings

__all__ = ["Draws", "apply_subset_and_jumps", "draw_ahead"]

_MOST_STEPS = 16
_MOST_PARTICLES = 2**13  # particles times runs times steps in one draw


@dataclass(frozen=True, slots=True)
class Draws:
    """Random numbers of K steps, n particles, B runs; of size zero where the settings need none.

    Parameters
    ----------
    rows : Tensor, shape (k, K, B, n), int64
        Particles, counted through all runs: members of each particle's own mini-batch, then two different ones whose
        difference is its noise.
    factors : Tensor, shape (K, B, n, 1)
        Log-normal factors of the difference, around sigma.
    places : Tensor, shape (K, B, n), int64
        The one coordinate that surely moves, counted through all particles and runs.
    threshold : Tensor, shape (K, B, n, 1), int16
        Other coordinates move where 16 random bits are below it; the least for particles that jump.
    leaps : Tensor, shape (K, B, n), bool
        Which particles jump.
    jumps : Tensor, shape (K, B, n)
        By how much.
    """

    rows: Tensor
    factors: Tensor
    places: Tensor
    threshold: Tensor
    leaps: Tensor
    jumps: Tensor

    @classmethod
    def none(cls, like: Tensor) -> Draws:
        """Return no draws at all."""
        empty = like.new_zeros((0, 0, 0))
        rows = empty.long()
        return cls(rows[None], empty[..., None], rows, rows.to(torch.int16)[..., None], rows.bool(), empty)

    @staticmethod
    def needed(settings: Settings) -> bool:
        """Return whether these settings use any."""
        own = settings.batch is not None and settings.batch.scope == "own"
        return own or settings.noise.kind == "difference" or settings.subset is not None or settings.jumps is not None

    def fits(self, step: int, runs: int, n: int) -> bool:
        """Return whether there are draws for step number `step` of this pool, of this size."""
        return step < len(self.places) and self.places.shape[1:] == (runs, n)

    def at(self, step: int) -> Draws:
        """Return the draws of one step, without its axis."""
        return Draws(
            self.rows[:, step],
            self.factors[step],
            self.places[step],
            self.threshold[step],
            self.leaps[step],
            self.jumps[step],
        )


def draw_ahead(settings: Settings, runs: int, n: int, many: int, like: Tensor, generator: torch.Generator) -> Draws:
    """Draw for n moving particles among `many`, in d = like.shape[-1] variables."""
    ahead = max(1, min(_MOST_STEPS, _MOST_PARTICLES // (runs * n)))
    shape, d, device = (ahead, runs, n), like.shape[-1], like.device
    batch = settings.batch.size if settings.batch is not None and settings.batch.scope == "own" else 0
    # 24 random bits each: exact in float32, and cheap; converted at the end where particles are float64.
    u = torch.rand((batch + 5, *shape), dtype=torch.float32, device=device, generator=generator)
    normals = torch.randn((2, *shape), dtype=torch.float32, device=device, generator=generator)
    # 24 random bits times a whole number, rounded down: never the number itself.
    rows = u[: batch + 2].mul(many).long()
    if many > 1:  # the last is another one than the last but one
        other = u[batch + 1].mul_(many - 1).long().add_(rows[batch]).add_(1)
        rows[batch + 1] = other.sub_((other >= many).long(), alpha=many)
    if runs > 1:
        rows.add_(torch.arange(0, runs * many, many, device=device)[:, None])
    first = torch.arange(0, runs * n * d, d, device=device).view(runs, n)
    places = u[-3].mul_(d).long().add_(first)
    jumps, subset = settings.jumps, settings.subset
    chance = jumps.probability if jumps is not None else 0.0
    leaps = u[-2] < chance
    amount = normals[1]
    if jumps is not None and chance > 0:  # given that it is below the chance, u / chance is uniform again
        width = math.log(jumps.largest / jumps.smallest)
        amount.mul_(u[-2].mul_(width / chance).exp_().mul_(jumps.smallest))
    threshold = leaps.new_zeros((*shape, 0), dtype=torch.int16)
    if subset is not None:
        moves = u[-1].log_().mul_(subset.exponent).exp_().sub_(1).mul_(math.log(d)).exp_()
        moves = moves.mul_(65536).sub_(32768).clamp_(max=32767).masked_fill_(leaps, -32768)
        threshold = moves.to(torch.int16)[..., None]
    factors = normals[0].mul_(settings.noise.spread).exp_().mul_(settings.noise.sigma)
    return Draws(rows, factors.to(like.dtype)[..., None], places, threshold, leaps, amount.to(like.dtype))


def apply_subset_and_jumps(settings: Settings, step: Tensor, draws: Draws, generator: torch.Generator) -> Tensor:
    """Return `step` (B, n, d) with zeros outside random subsets of coordinates; in some rows, one jump instead.

    Every row keeps at least one coordinate. May write to `step`.
    """
    if settings.subset is None and settings.jumps is None:
        return step
    places = draws.places.reshape(-1)
    chosen = step.view(-1).index_select(0, places)
    if settings.jumps is not None:
        chosen = torch.where(draws.leaps.reshape(-1), draws.jumps.reshape(-1), chosen)
    if settings.subset is not None:
        random_subset(draws.threshold, generator, out=(mask := torch.empty_like(step)))
        step = step.mul_(mask)
    else:
        step = step.masked_fill_(draws.leaps[..., None], 0.0)
    step.view(-1).index_copy_(0, places, chosen)
    return step
