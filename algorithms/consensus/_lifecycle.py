"""What changes an ensemble between two steps: fewer particles, a new start, points from outside."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from blackbox.algorithms.consensus._domain import Cube, enter, move
from blackbox.algorithms.consensus._ensemble import Ensemble, changed
from blackbox.algorithms.consensus._noise import pick_rows
from blackbox.algorithms.consensus._options import AdaptiveSize, Restarts
from blackbox.algorithms.consensus._settings import Settings
from blackbox.algorithms.consensus._step import merit

__all__ = ["ensemble_variance", "insert", "restart", "shrink"]


def ensemble_variance(x: Tensor) -> Tensor:
    """Return the mean squared distance of points x (B, N, d) to their mean, shape (B,)."""
    return (x - x.mean(1, keepdim=True)).square().sum(-1).mean(-1)


def shrink(options: AdaptiveSize, e: Ensemble, generator: torch.Generator) -> Ensemble:
    """Return the ensemble without the random particles that its falling variance makes unnecessary.

    All runs keep the same size: the one that the largest of their variances asks for.
    """
    points = e.y if e.at.shape[1] == 0 else e.at
    variance = float(ensemble_variance(points).amax())
    runs, n = e.f.shape
    size = n
    if e.variance > 0 and math.isfinite(variance):
        size = math.ceil(n * (1 + options.rate * (variance - e.variance) / e.variance))
        size = max(min(size, n), min(options.smallest, n))
    e = changed(e, variance=variance)
    if size == n:
        return e
    kept = torch.rand((runs, n), generator=generator, device=e.f.device).argsort(1)[:, :size]
    return changed(
        e,
        y=pick_rows(e.y, kept),
        at=pick_rows(e.at, kept) if e.at.shape[1] else e.at,
        f=e.f.gather(1, kept),
        v=e.v.gather(1, kept) if e.v.shape[1] else e.v,
        moments=torch.stack([pick_rows(m, kept) for m in e.moments]) if e.moments.shape[2] else e.moments,
        rows=e.rows[:, :0],
        moves=[],  # those are of the old size
    )


def restart(settings: Settings, options: Restarts, e: Ensemble, generator: torch.Generator, cube: Cube) -> Ensemble:
    """Return the ensemble whose runs without progress are shaken, or start anew.

    Their particles are placed without being evaluated: they have no values until the next step is told, so that
    step evaluates exactly these points. The best point of the run stays in `best_x`.
    """
    stuck = e.stale >= options.patience
    shape, like = e.y.shape, e.y
    if options.scale is None:
        fresh = torch.rand(shape, dtype=like.dtype, device=like.device, generator=generator)
        fresh = enter(fresh, settings.domain, cube)
    else:
        step = torch.randn(shape, dtype=like.dtype, device=like.device, generator=generator).mul_(options.scale)
        fresh = move(e.y if e.at.shape[1] == 0 else e.at, step, settings.domain, cube)
    here = stuck[:, None, None]
    return changed(
        e,
        y=torch.where(here, fresh, e.y),
        at=torch.where(here, fresh, e.at) if e.at.shape[1] else e.at,
        f=torch.where(stuck[:, None], math.inf, e.f),
        v=torch.where(stuck[:, None], math.inf, e.v) if e.v.shape[1] else e.v,
        moments=torch.where(here, 0.0, e.moments) if e.moments.shape[2] else e.moments,
        stale=torch.where(stuck, 0, e.stale),
    )


def insert(e: Ensemble, x: Tensor, f: Tensor, v: Tensor | None) -> Ensemble:
    """Return the ensemble in which points from outside stand in for the worst particles, where they are better.

    Parameters
    ----------
    e : Ensemble
    x : Tensor, shape (B, m, d)
    f : Tensor, shape (B, m)
        Not finite: ignored.
    v : Tensor, shape (B, m), or None
    """
    f = torch.where(torch.isfinite(f), f, math.inf)
    v = f[:, :0] if v is None else torch.where(torch.isfinite(f), v, math.inf)
    count = min(f.shape[1], e.f.shape[1])
    best = merit(f, v, e).argsort(dim=1, stable=True)[:, :count]
    worst = merit(e.f, e.v, e).argsort(dim=1, descending=True, stable=True)[:, :count]
    x, f = pick_rows(x, best), f.gather(1, best)
    v = v.gather(1, best) if v.shape[1] else v
    old_v = e.v.gather(1, worst) if v.shape[1] else v
    better = merit(f, v, e) < merit(e.f.gather(1, worst), old_v, e)
    index = worst[..., None].expand(-1, -1, x.shape[-1])
    new = torch.where(better[..., None], x, pick_rows(e.y, worst))
    return changed(
        e,
        y=e.y.scatter(1, index, new),
        at=e.at.scatter(1, index, torch.where(better[..., None], x, pick_rows(e.at, worst))) if e.at.shape[1] else e.at,
        f=e.f.scatter(1, worst, torch.where(better, f, e.f.gather(1, worst))),
        v=e.v.scatter(1, worst, torch.where(better, v, old_v)) if v.shape[1] else e.v,
    )
