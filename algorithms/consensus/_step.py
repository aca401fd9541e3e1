"""The dynamics: an ensemble of particles for each of B independent runs, moved and taught as one tensor program.

`learn` takes the values of the positions in `Ensemble.x`, `propose` moves. Both are pure, apart from the generator:
they return new ensembles, and never evaluate anything.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from blackbox.algorithms.consensus._domain import Cube, move
from blackbox.algorithms.consensus._draws import Draws, apply_subset_and_jumps, draw_ahead
from blackbox.algorithms.consensus._ensemble import Ensemble, changed
from blackbox.algorithms.consensus._noise import covariance_noise, diffusion, pick_flat, pick_rows
from blackbox.algorithms.consensus._options import Alpha
from blackbox.algorithms.consensus._quick import is_quick, quick_points, rank_members
from blackbox.algorithms.consensus._settings import Settings
from blackbox.algorithms.consensus._sparse import draw_and_move, draw_moves, moved, remember, steps_ahead
from blackbox.algorithms.consensus._weights import (
    alpha_for_share,
    consensus_point,
    consensus_weights,
    polarised_consensus,
    scheduled_share,
    spread_of,
)

__all__ = ["alpha_of", "best_of", "learn", "merit", "propose"]

_CUBE = Cube()


# ---- learning --------------------------------------------------------------------------------------------------------


def merit(f: Tensor, v: Tensor, ensemble: Ensemble) -> Tensor:
    """Return f, or f plus the adaptive penalty of the violations v, for values shaped like `ensemble.f`."""
    if v.shape[-1] == 0:
        return f
    slope = _quartile_range(ensemble.f) / _quartile_range(torch.where(ensemble.v > 0, ensemble.v, math.inf))
    return f + torch.where(v > 0, (ensemble.weight * slope)[:, None] * v, 0.0)


def _quartile_range(f: Tensor) -> Tensor:
    """Return the interquartile range of the finite values of f (B, N), or half their range; 1 where that is 0."""
    known = torch.where(torch.isfinite(f), f, math.nan)
    low, high = torch.nanquantile(known, known.new_tensor([0.25, 0.75]), dim=-1)
    width = high - low
    return torch.where(torch.isfinite(width) & (width > 0), width, 1.0)


def learn(settings: Settings, ensemble: Ensemble, x: Tensor, f: Tensor, v: Tensor | None = None) -> Ensemble:
    """Return the ensemble that knows the values f (B, n) and violations v (B, n) at x (B, n, d).

    `x` is usually `ensemble.x`, but may be what was evaluated in its place. Values that are NaN or infinite are
    failed evaluations: they weigh nothing, and replace nothing that is finite.
    """
    if v is None and x.is_cpu and _only_remembers(settings, ensemble):
        y, f = remember(ensemble.y, ensemble.f, x, f.to(ensemble.f.dtype))
        return changed(ensemble, y=y, f=f, step=ensemble.step + 1)
    f = f.to(ensemble.f.dtype).nan_to_num(math.inf, math.inf, math.inf)
    v = f[:, :0] if v is None else torch.where(torch.isfinite(f), v, math.inf)
    e = ensemble
    best = _next_best(e, x, f, v) if _must_track(settings, e) else (e.best_x, e.best_f, e.best_v, e.stale)
    rows, all_rows = e.rows, e.rows.shape[1] == 0
    y, at = x, e.at
    if settings.memory is not None:
        at = e.at if settings.memory.greedy else x
        old_y, old_f, old_v = e.y, e.f, e.v
        if not all_rows:
            old_y, old_f = pick_rows(e.y, rows), e.f.gather(1, rows)
            old_v = e.v.gather(1, rows) if e.v.shape[1] else e.v
        better = merit(f, v, e) <= merit(old_f, old_v, e)
        y = torch.lerp(old_y, x, better.to(x.dtype)[..., None])  # exact at 0 and 1, and faster than `where`
        f = torch.where(better, f, old_f) if v.shape[1] else torch.minimum(f, old_f)
        v = torch.where(better, v, old_v) if v.shape[1] else v
    if not all_rows:
        index = rows[..., None].expand(-1, -1, x.shape[-1])
        y = e.y.scatter(1, index, y)
        at = at if at.shape[1] == 0 else e.at.scatter(1, index, at)
        f = e.f.scatter(1, rows, f)
        v = e.v.scatter(1, rows, v) if v.shape[1] else v
    e = changed(e, y=y, at=at, f=f, v=v, best_x=best[0], best_f=best[1], best_v=best[2], stale=best[3], step=e.step + 1)
    if v.shape[1]:
        e = changed(e, weight=_next_weight(settings, e))
    if settings.alpha.schedule == "multiply":
        e = _grow_alpha(settings.alpha, e)
    return e


def _only_remembers(settings: Settings, e: Ensemble) -> bool:
    """Return whether the better points of all particles are all that there is to learn."""
    greedy = settings.memory is not None and settings.memory.greedy
    return greedy and settings.alpha.schedule != "multiply" and e.rows.shape[1] == 0 and not _must_track(settings, e)


def _must_track(settings: Settings, e: Ensemble) -> bool:
    """Return whether the best point may be in no particle's memory."""
    keeps = settings.memory is not None and settings.size is None and settings.restarts is None
    return not keeps or e.v.shape[1] > 0


def best_of(e: Ensemble) -> tuple[Tensor, Tensor, Tensor]:
    """Return the best point told, its value and its violation for each run: (B, d), (B,), (B,), feasible first."""
    return _next_best(e, e.y, e.f, e.v)[:3]


def _next_best(e: Ensemble, x: Tensor, f: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the best point, its value and violation, and the steps since it changed."""
    if v.shape[1]:  # the least violated first, then the least value
        new_f, row = torch.where(v == v.amin(1, keepdim=True), f, math.inf).min(1)
        new_v = v.amin(1)
        better = (new_v < e.best_v) | ((new_v == e.best_v) & (new_f < e.best_f))
        best_v = torch.where(better, new_v, e.best_v)
    else:
        new_f, row = f.min(1)
        better = new_f < e.best_f
        best_v = e.best_v
    best_x = torch.where(better[:, None], pick_rows(x, row[:, None])[:, 0], e.best_x)
    return best_x, torch.where(better, new_f, e.best_f), best_v, (e.stale + 1).masked_fill_(better, 0)


def _next_weight(settings: Settings, e: Ensemble) -> Tensor:
    penalty = settings.penalty
    leader = merit(e.f, e.v, e).argmin(1, keepdim=True)
    outside = e.v.gather(1, leader)[:, 0] > 0
    weight = torch.where(outside, e.weight * penalty.factor, e.weight / penalty.factor**0.25)
    return weight.clamp(penalty.weight, penalty.largest)


def _grow_alpha(schedule: Alpha, e: Ensemble) -> Ensemble:
    if e.step > 1:
        return changed(e, alpha=torch.minimum(e.alpha * schedule.factor, e.ceiling))
    unit = spread_of(merit(e.f, e.v, e)) if schedule.relative else torch.ones_like(e.alpha)
    return changed(e, alpha=schedule.start / unit, ceiling=schedule.largest / unit)


# ---- moving ----------------------------------------------------------------------------------------------------------


def propose(settings: Settings, ensemble: Ensemble, generator: torch.Generator, *, cube: Cube = _CUBE) -> Ensemble:
    """Return the ensemble with new points to evaluate.

    Notes
    -----
    A particle moves from its base (its best point, or where it is) by -lambda dt (base - c) plus noise, in a random
    subset of its coordinates; some jump instead. Where no value is finite there is no drift.
    """
    e = ensemble
    scope = settings.batch.scope if settings.batch else None
    if scope in ("full", "partial"):
        e = _next_block(settings, e, generator)
    partial = scope == "partial"
    base = e.y if e.at.shape[1] == 0 else e.at
    own = pick_rows(base, e.rows) if partial else base
    if own.is_cpu and is_quick(settings):
        return _propose_sparse(settings, e, generator)
    pool, drawn = e.draws, e.drawn
    if Draws.needed(settings) and settings.hopping is None:
        if not pool.fits(drawn, own.shape[0], own.shape[1]):
            pool, drawn = draw_ahead(settings, own.shape[0], own.shape[1], e.f.shape[1], own, generator), 0
        draws, drawn = pool.at(drawn), drawn + 1
    else:
        draws = pool
    if is_quick(settings):
        x = quick_points(settings, e.y, merit(e.f, e.v, e), draws, generator)
        return changed(e, x=x, rows=e.rows[:, :0], draws=pool, drawn=drawn)
    gap, w, source = _gap_to_consensus(settings, e, own, draws.rows)
    if settings.hopping is not None:
        noise = torch.randn(own.shape, dtype=own.dtype, device=own.device, generator=generator)
        step, base = noise.mul_(settings.hopping.radius), own - gap
        return changed(e, x=move(base, step, settings.domain, cube))
    drift = gap
    if settings.adam is not None:
        drift, moments = _adam(settings, e, gap, partial)
        e = changed(e, moments=moments)
    step = _noise(settings, e, own, gap, w, source, draws, generator)
    step = step.sub_(drift, alpha=settings.drift * settings.dt)
    if settings.memory is not None and not settings.memory.greedy:
        step = _pull_to_memory(settings, e, own, step, generator, partial)
    step = apply_subset_and_jumps(settings, step, draws, generator)
    x = move(own, step, settings.domain, cube)
    return changed(e, x=x, rows=e.rows if partial else e.rows[:, :0], draws=pool, drawn=drawn)


def _propose_sparse(settings: Settings, e: Ensemble, generator: torch.Generator) -> Ensemble:
    f, moves, drawn = merit(e.f, e.v, e), e.moves, e.drawn
    if drawn >= len(moves):
        ahead = steps_ahead(e.y)
        if ahead == 1 and len(f) > 1:
            return changed(e, x=draw_and_move(settings, e.y, f, generator), rows=e.rows[:, :0])
        moves, drawn = draw_moves(settings, e.y, ahead, generator), 0
    x = moved(settings, e.y, f, moves[drawn])
    return changed(e, x=x, rows=e.rows[:, :0], moves=moves, drawn=drawn + 1)


def alpha_of(settings: Settings, f: Tensor, e: Ensemble) -> Tensor:
    """Return the alpha of this step for merits f (B, n), shape (B,); infinite for "hard"."""
    if settings.hopping is not None:
        return torch.full_like(e.alpha, settings.hopping.learning_rate / settings.hopping.radius**2)
    if settings.alpha.schedule == "hard":
        return torch.full_like(e.alpha, math.inf)
    if settings.alpha.schedule == "multiply":
        return e.alpha
    return alpha_for_share(f, scheduled_share(settings.alpha, max(e.step - 1, 0), f.shape[-1]))


def _gap_to_consensus(
    settings: Settings, e: Ensemble, own: Tensor, rows: Tensor
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Return own - c, the weights of a common consensus if there is one, and the points they are of."""
    f = merit(e.f, e.v, e)
    batch = settings.batch
    if settings.polarised is not None:
        c = polarised_consensus(e.y, f, alpha_of(settings, f, e), settings.polarised)
        return own - c, None, e.y
    if batch is not None and batch.scope == "own":
        return own - _own_consensus(settings, e, f, own, rows[: batch.size]), None, e.y
    source = e.y
    if batch is not None:
        f, source = f.gather(1, e.rows), pick_rows(e.y, e.rows)
    if settings.alpha.schedule == "hard" and settings.hopping is None:
        value, row = f.min(1, keepdim=True)
        c, known = pick_rows(source, row), torch.isfinite(value)
        w = torch.zeros_like(f).scatter_(1, row, 1.0) if settings.noise.kind == "covariance" else None
    else:
        w = consensus_weights(f, alpha_of(settings, f, e))
        c, known = consensus_point(source, w)[:, None], torch.isfinite(f).any(1, keepdim=True)
    return torch.where(known[..., None], own - c, 0.0), w, source


def _own_consensus(settings: Settings, e: Ensemble, f: Tensor, own: Tensor, rows: Tensor) -> Tensor:
    """Return the consensus of the batch `rows` (size, B, N) of each particle, shape (B, N, d)."""
    members = [row.reshape(-1) for row in rows.unbind(0)]
    if settings.alpha.schedule == "hard":
        return pick_flat(e.y, rank_members(f.reshape(-1), members).view(f.shape))
    told = torch.stack([f.reshape(-1).index_select(0, row).view(f.shape) for row in members], -1)
    w = consensus_weights(told, alpha_of(settings, f, e)[:, None].expand_as(f))
    points = torch.stack([pick_flat(e.y, row) for row in rows.unbind(0)], -2)
    known = torch.isfinite(told).any(-1)[..., None]
    return torch.where(known, consensus_point(points, w), own)


def _noise(
    settings: Settings,
    e: Ensemble,
    own: Tensor,
    gap: Tensor,
    w: Tensor | None,
    source: Tensor,
    draws: Draws,
    generator: torch.Generator,
) -> Tensor:
    """Return the noise of one step at full strength, a new tensor shaped like `own`."""
    options = settings.noise
    cooling = math.log(max(e.step - 1, 0) + math.e) if options.cooling == "logarithmic" else 1.0
    if options.kind == "difference":
        noise = pick_flat(e.y, draws.rows[-2]).sub_(pick_flat(e.y, draws.rows[-1]))
        return noise.mul_(draws.factors if cooling == 1 else draws.factors / cooling)
    if options.kind == "covariance":
        f = merit(e.f, e.v, e)
        w = consensus_weights(f, alpha_of(settings, f, e)) if w is None else w
        source = e.y if w.shape[1] == e.y.shape[1] else source
        noise = covariance_noise(source - consensus_point(source, w)[:, None], w, own.shape[1], generator)
    else:
        xi = torch.randn(own.shape, dtype=own.dtype, device=own.device, generator=generator)
        noise = xi if options.kind == "constant" else diffusion(gap, xi, options.kind, options.truncation)
    return noise.mul_(options.sigma / cooling * math.sqrt(settings.dt))


def _adam(settings: Settings, e: Ensemble, gap: Tensor, partial: bool) -> tuple[Tensor, Tensor]:
    options = settings.adam
    assert options is not None
    old = torch.stack([pick_rows(m, e.rows) for m in e.moments]) if partial else e.moments
    mean = old[0] * options.first + gap * (1 - options.first)
    square = old[1] * options.second + gap * gap * (1 - options.second)
    k = e.step
    drift = (mean / (1 - options.first**k)) / ((square / (1 - options.second**k)).sqrt() + options.epsilon)
    moments = torch.stack([mean, square])
    if partial:
        index = e.rows[..., None].expand(-1, -1, gap.shape[-1])
        moments = e.moments.scatter(2, index.expand(2, -1, -1, -1), moments)
    return drift, moments


def _pull_to_memory(
    settings: Settings, e: Ensemble, own: Tensor, step: Tensor, generator: torch.Generator, partial: bool
) -> Tensor:
    """Add the second move of a memory that is not greedy (Grassi and Pareschi 2021; Riedl 2023)."""
    memory = settings.memory
    assert memory is not None
    away = own - (pick_rows(e.y, e.rows) if partial else e.y)
    step = step.sub_(away, alpha=memory.rate * settings.dt)
    if memory.sigma > 0:
        xi = torch.randn(own.shape, dtype=own.dtype, device=own.device, generator=generator)
        step = step.addcmul_(away, xi, value=memory.sigma * math.sqrt(settings.dt))
    return step


def _next_block(settings: Settings, e: Ensemble, generator: torch.Generator) -> Ensemble:
    """Return the ensemble whose `rows` are the next block of the permutation, drawn anew where it is used up."""
    assert settings.batch is not None
    runs, n = e.f.shape
    size = min(settings.batch.size, n)
    order, cursor = e.order, e.cursor
    if order.shape[1] != n or cursor + size > n:
        order = torch.rand((runs, n), generator=generator, device=e.f.device).argsort(1)
        cursor = 0
    return changed(e, rows=order[:, cursor : cursor + size], order=order, cursor=cursor + size)
