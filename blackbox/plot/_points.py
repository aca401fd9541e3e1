"""Single evaluations as points over time, and the keys that explain them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from blackbox.plot._canvas import FAINT, MUTED
from blackbox.plot._labels import count
from blackbox.plot._series import Series
from blackbox.plot.history import History

__all__ = ["draw_keys", "draw_points"]

Array = NDArray[np.float64]


def draw_points(ax: Axes, series: Sequence[Series], values_of: Callable[[History], Array]) -> None:
    """Draw the evaluations of every series with one run; the limits of the values' axis must be final.

    Feasible ones are dots, infeasible ones rings, failed ones crosses at the lower edge, a row of them for each
    series; those beyond the axis are triangles at its end.
    """
    row = 0
    for one in series:
        if len(one.runs) > 1:
            continue
        run, values = one.first, values_of(one.first)
        _draw_inside(ax, run, values, one.colour)
        _draw_beyond(ax, values, one.colour)
        if bool(run.failed.any()):
            _draw_failed(ax, run, one.colour if len(series) > 1 else MUTED, 0.022 + 0.03 * row)
            row += 1


def _draw_inside(ax: Axes, run: History, values: Array, colour: str) -> None:
    low, high = ax.get_ylim()
    inside = (values >= low) & (values <= high)
    good, bad = run.feasible.numpy() & inside, run.infeasible.numpy() & inside
    x = np.arange(1.0, len(run) + 1.0)
    size, alpha = (4.0, 0.25) if len(run) > 400 else (11.0, 0.38)
    how: dict[str, Any] = {"zorder": 3, "rasterized": len(run) > 2000}
    ax.scatter(x[good], values[good], s=size, color=colour, alpha=alpha, linewidths=0, label="_evaluations", **how)
    if bad.any():
        ring: dict[str, Any] = {"facecolors": "none", "edgecolors": colour, "alpha": 0.6, "linewidths": 0.7, **how}
        ax.scatter(x[bad], values[bad], s=size + 3, label="_infeasible", **ring)


def _draw_beyond(ax: Axes, values: Array, colour: str) -> None:
    low, high = ax.get_ylim()
    for edge, marker, beyond in ((high, "^", values > high), (low, "v", values < low)):
        rows = np.flatnonzero(beyond)
        if len(rows):
            how: dict[str, Any] = {"s": 14, "marker": marker, "color": colour, "alpha": 0.55, "linewidths": 0}
            ax.scatter(rows + 1.0, np.full(len(rows), edge), clip_on=False, label="_beyond", zorder=4, **how)


def _draw_failed(ax: Axes, run: History, colour: str, height: float) -> None:
    rows = np.flatnonzero(run.failed.numpy())
    how: dict[str, Any] = {"s": 13, "marker": "x", "color": colour, "linewidths": 0.9, "zorder": 4, "clip_on": False}
    heights = np.full(len(rows), height)
    ax.scatter(rows + 1.0, heights, transform=ax.get_xaxis_transform(), label="_failed", **how)


def draw_keys(ax: Axes, series: Sequence[Series]) -> None:
    """Explain above the axes what was drawn, with numbers: one a series, in the order of the series."""
    single = [one for one in series if len(one.runs) == 1]
    colour = single[0].colour if len(series) == 1 and single else MUTED
    infeasible = [int(one.first.infeasible.sum()) for one in single]
    failed = [int(one.first.failed.sum()) for one in single]
    beyond = [part for part in ax.collections if part.get_label() == "_beyond"]
    keys: list[Any] = []
    mark: dict[str, Any] = {"linewidth": 0, "markersize": 4.0}
    if any(infeasible):
        label = f"infeasible ({_sum(infeasible)})"
        keys.append(
            Line2D([], [], marker="o", fillstyle="none", color=colour, markeredgewidth=0.7, label=label, **mark)
        )
    if any(failed):
        keys.append(Line2D([], [], marker="x", color=MUTED, label=f"failed ({_sum(failed)})", **mark))
    if beyond:
        n = sum(len(np.asarray(part.get_offsets())) for part in beyond)
        keys.append(Line2D([], [], marker="^", color=colour, alpha=0.7, label=f"beyond the axis ({count(n)})", **mark))
    if len(single) < len(series):
        keys.append(Patch(facecolor=FAINT, linewidth=0, label="quartiles of the runs, line: median"))
    if keys:
        where: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (-0.01, 1.0)}
        ax.legend(handles=keys, ncols=len(keys), columnspacing=1.3, **where)


def _sum(counts: Sequence[int]) -> str:
    return " + ".join(count(n) for n in counts)
