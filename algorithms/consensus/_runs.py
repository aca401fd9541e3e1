"""Many independent runs as one tensor program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from blackbox.algorithms.consensus._domain import Cube
from blackbox.algorithms.consensus._ensemble import Ensemble, start
from blackbox.algorithms.consensus._lifecycle import restart, shrink
from blackbox.algorithms.consensus._settings import Settings
from blackbox.algorithms.consensus._step import best_of, learn, propose

__all__ = ["Runs", "minimize_many", "next_points"]


@dataclass(frozen=True, slots=True)
class Runs:
    """What B independent runs found.

    Parameters
    ----------
    x : Tensor, shape (B, d)
        The best point of each run.
    values : Tensor, shape (B,)
    n_evaluations : int
        Of each run.
    ensemble : Ensemble
        The last state, points in the unit cube.
    """

    x: Tensor
    values: Tensor
    n_evaluations: int
    ensemble: Ensemble


def next_points(
    settings: Settings, ensemble: Ensemble, generator: torch.Generator, *, cube: Cube | None = None
) -> Ensemble:
    """Return the ensemble with new points: size and restarts first, then the move (see `propose`)."""
    cube = Cube() if cube is None else cube
    if settings.size is not None:
        ensemble = shrink(settings.size, ensemble, generator)
    if settings.restarts is not None:
        ensemble = restart(settings, settings.restarts, ensemble, generator, cube)
    return propose(settings, ensemble, generator, cube=cube)


def minimize_many(
    objective: Callable[[Tensor], Tensor],
    lower: Tensor,
    upper: Tensor,
    *,
    runs: int,
    evaluations: int,
    generator: torch.Generator,
    particles: int = 20,
    settings: Settings | None = None,
    start_lower: Tensor | None = None,
    start_upper: Tensor | None = None,
    watch: Callable[[Tensor, Tensor, int], None] | None = None,
) -> Runs:
    """Minimise one function in B independent runs at once.

    Parameters
    ----------
    objective : function of a Tensor (B, n, d) that returns a Tensor (B, n)
        NaN and infinite values are failed evaluations.
    lower, upper : Tensor, shape (d,)
        The box; dtype and device of everything are theirs.
    runs : int
        B.
    evaluations : int
        Of each run, at most; at least one generation is made.
    generator : torch.Generator
        On the device of the bounds.
    particles : int
        N.
    settings : Settings, optional
    start_lower, start_upper : Tensor, shape (d,) or (B, 1, d), optional
        The part of the box in which particles start.
    watch : function of (x, values, n_evaluations), optional
        Called after each evaluation with the points and values of this step.

    Returns
    -------
    Runs
        Equal generators give equal results. Runs share draws with nothing: each has its own rows of them.
    """
    settings = Settings() if settings is None else settings
    d = lower.shape[0]
    u = torch.rand((runs, particles, d), dtype=lower.dtype, device=lower.device, generator=generator)
    first = lower if start_lower is None else start_lower
    last = upper if start_upper is None else start_upper
    u = (first + u * (last - first) - lower) / (upper - lower)
    cube = Cube(lower, upper)
    ensemble = start(settings, u, cube=cube)
    used = 0
    while True:
        x = torch.addcmul(lower, ensemble.x, upper - lower)
        values = objective(x)
        used += x.shape[1]
        if watch is not None:
            watch(x, values, used)
        ensemble = learn(settings, ensemble, ensemble.x, values)
        size = ensemble.f.shape[1] if ensemble.rows.shape[1] == 0 else ensemble.rows.shape[1]
        if used + size > evaluations:
            best, value, _ = best_of(ensemble)
            return Runs(cube.to_box(best), value, used, ensemble)
        ensemble = next_points(settings, ensemble, generator, cube=cube)
