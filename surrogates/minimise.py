"""A projected quasi-Newton method that minimises many starts at once inside a box."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from blackbox.surrogates.kernels import Array, Index, Mask

__all__ = ["minimise_in_box"]

BatchFunction: TypeAlias = Callable[[Array, Index], tuple[Array, Array]]


def minimise_in_box(
    function: BatchFunction,
    starts: Array,
    lower: Array,
    upper: Array,
    *,
    evaluations: int = 40,
    first_step: float = 0.1,
    gradient_tolerance: float = 1e-6,
    value_tolerance: float = 1e-9,
) -> tuple[Array, Array]:
    """Return the best points found from each start, shape (b, d), and their values, shape (b,).

    Every start runs its own BFGS method with projection on the box and backtracking; each round evaluates all
    starts that have not converged in one call. No start ends above where it began; a start whose value is not
    finite stays where it is.

    Parameters
    ----------
    function : callable
        Maps points of shape (p, d), and the starts (p,) that they belong to, to values (p,) and gradients (p, d).
    starts : array, shape (b, d)
    lower, upper : array, shape (d,)
    evaluations : int, default 40
        Rounds, at most; every start is evaluated at most once a round.
    first_step : float, default 0.1
        Length of the first trial step, in units of the coordinates.
    gradient_tolerance : float, default 1e-6
        On the largest entry of the projected gradient.
    value_tolerance : float, default 1e-9
        On the decrease of one step, relative to 1 + |value|; two such steps in a row end a start.

    References
    ----------
    D. P. Bertsekas, Projected Newton methods for optimization problems with simple constraints, 1982. Deviations:
    BFGS in place of the Hessian, all starts in lockstep.
    """
    b, d = starts.shape
    x = np.clip(starts, lower, upper)
    with np.errstate(all="ignore"):
        f, g = function(x, np.arange(b))
    f, g = f.copy(), g.copy()
    inverse = np.broadcast_to(np.eye(d), (b, d, d)).copy()
    fresh = np.ones(b, bool)  # whether `inverse` is still a multiple of the identity
    small = np.zeros(b, int)
    live = np.isfinite(f) & np.isfinite(g).all(1)
    step = np.ones(b)
    direction = np.zeros_like(x)
    _aim(np.flatnonzero(live), x, g, inverse, fresh, lower, upper, direction, step, first_step)
    for _ in range(evaluations - 1):
        rows = np.flatnonzero(live)
        steep = _projected(x[rows], g[rows], lower, upper) > gradient_tolerance
        if not steep.all():
            live[rows[~steep]] = False
            rows = rows[steep]
        if not len(rows):
            break
        trial = np.clip(x[rows] + step[rows, None] * direction[rows], lower, upper)
        with np.errstate(all="ignore"):
            value, slope = function(trial, rows)
        move = trial - x[rows]
        expected = (g[rows] * move).sum(1)
        finite = np.isfinite(value) & np.isfinite(slope).all(1)
        good = finite & (value <= f[rows] + 1e-4 * np.minimum(expected, 0.0)) & (value <= f[rows])
        _shorten(rows[~good], value[~good], finite[~good], expected[~good], f, step, live)
        taken = rows[good]
        if not len(taken):
            continue
        gain = f[taken] - value[good]
        _update(taken, move[good], slope[good] - g[taken], inverse, fresh)
        x[taken], f[taken], g[taken] = trial[good], value[good], slope[good]
        small[taken] = np.where(gain <= value_tolerance * (1.0 + np.abs(f[taken])), small[taken] + 1, 0)
        live[taken] = small[taken] < 2
        _aim(taken, x, g, inverse, fresh, lower, upper, direction, step, first_step)
    return x, f


def _projected(x: Array, g: Array, lower: Array, upper: Array) -> Array:
    gradient: Array = np.abs(np.clip(x - g, lower, upper) - x).max(1)
    return gradient


def _aim(
    rows: Index,
    x: Array,
    g: Array,
    inverse: Array,
    fresh: Mask,
    lower: Array,
    upper: Array,
    direction: Array,
    step: Array,
    first_step: float,
) -> None:
    """Write the next direction and step of some rows."""
    slope = g[rows]
    blocked = ((x[rows] <= lower) & (slope > 0)) | ((x[rows] >= upper) & (slope < 0))
    slope = np.where(blocked, 0.0, slope)
    aim = -(inverse[rows] @ slope[:, :, None])[:, :, 0]
    aim[blocked] = 0.0
    lost = (aim * slope).sum(1) >= -1e-14 * (slope * slope).sum(1)
    if lost.any():
        aim[lost] = -slope[lost]
        inverse[rows[lost]] = np.eye(x.shape[1])
        fresh[rows[lost]] = True
    direction[rows] = aim
    new = fresh[rows]
    step[rows] = 1.0
    if new.any():
        length = np.maximum(np.sqrt((aim[new] * aim[new]).sum(1)), 1e-300)
        step[rows[new]] = np.minimum(1.0, first_step / length)


def _shorten(rows: Index, value: Array, finite: Mask, expected: Array, f: Array, step: Array, live: Mask) -> None:
    """Shorten the steps of rows whose trial was not good enough, by a parabola where it is known."""
    if not len(rows):
        return
    with np.errstate(all="ignore"):
        ratio = -0.5 * expected / (value - f[rows] - expected)
    ratio = np.where(finite & np.isfinite(ratio), np.clip(ratio, 0.1, 0.5), 0.2)
    step[rows] *= ratio
    live[rows[step[rows] < 1e-10]] = False


def _update(rows: Index, s: Array, y: Array, inverse: Array, fresh: Mask) -> None:
    """Apply the BFGS update to the inverse Hessians of some rows, where the curvature is positive."""
    sy, yy = (s * y).sum(1), (y * y).sum(1)
    fit = sy > 1e-10 * np.sqrt(yy * (s * s).sum(1))
    if not fit.all():
        rows, s, y, sy, yy = rows[fit], s[fit], y[fit], sy[fit], yy[fit]
        if not len(rows):
            return
    first = fresh[rows]
    if first.any():
        inverse[rows[first]] *= (sy / yy)[first, None, None]
        fresh[rows[first]] = False
    h = inverse[rows]
    hy = (h @ y[:, :, None])[:, :, 0]
    # H + u s' + s u', the inverse BFGS update written with one outer product.
    u = (0.5 * (1.0 + (y * hy).sum(1) / sy) / sy)[:, None] * s - hy / sy[:, None]
    outer = u[:, :, None] * s[:, None, :]
    inverse[rows] = h + outer + outer.transpose(0, 2, 1)
