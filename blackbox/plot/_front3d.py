"""The front of three objectives, drawn in space."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from blackbox.objective import Objective
from blackbox.plot._canvas import INK, MUTED, new_axes
from blackbox.plot._labels import count, direction, shorten, solid_keys

if TYPE_CHECKING:
    from blackbox.plot._front import Scene

__all__ = ["draw_three", "start_three"]

HEIGHTS = "viridis"


def start_three(ax: Axes | None) -> Any:
    """Return axes in space: the caller's, or those of a new figure."""
    import_module("mpl_toolkits.mplot3d")  # makes projection="3d" known

    return new_axes(ax, 5.4, 4.6, projection="3d")


def draw_three(ax: Any, scene: Scene, objectives: Sequence[Objective]) -> None:
    """Draw a scene of three objectives."""
    single = len(scene.clouds) == 1
    _set_limits(ax, scene)
    for cloud in scene.clouds:
        faint = MUTED if single else cloud.colour
        many: dict[str, Any] = {"rasterized": True, "depthshade": False}
        if len(cloud.dominated):
            label = "dominated" if single else "_dominated"
            ax.scatter(*cloud.dominated.T, s=5, color=faint, alpha=0.16, linewidths=0, label=label, **many)
        if len(cloud.infeasible):
            label = f"infeasible ({count(len(cloud.infeasible))})"
            ax.scatter(
                *cloud.infeasible.T,
                s=9,
                facecolors="none",
                edgecolors=faint,
                alpha=0.4,
                linewidths=0.6,
                label=label,
                **many,
            )
        if len(cloud.best):
            _draw_best(ax, cloud, objectives[2].name, single=single)
    if scene.known is not None:
        ax.scatter(*scene.known.T, s=2, color=INK, alpha=0.25, linewidths=0, depthshade=False, label="known front")
    for point, marker, size, text in ((scene.ideal, "*", 60, "ideal"), (scene.reference, "X", 34, "reference point")):
        if point is not None:
            ax.scatter(*point[:, None], s=size, marker=marker, color=INK, linewidths=0, depthshade=False, label=text)
    _dress(ax, scene, objectives)


def _draw_best(ax: Any, cloud: Any, height: str, *, single: bool) -> None:
    """Draw a front; alone it is coloured by its height, because a shade helps to see depth."""
    x, y, z = cloud.best.T
    label = f"{shorten(cloud.name or 'non-dominated', 30)} ({count(len(z))})"
    how: dict[str, Any] = {"s": 24 if len(z) < 200 else 9, "edgecolors": "white", "linewidths": 0.4}
    if single and len(z) > 1:
        ax.scatter(x, y, z, c=z, cmap=HEIGHTS, depthshade=False, label="_front", **how)
        middle = matplotlib.colormaps[HEIGHTS](0.45)
        ax.scatter(
            [], [], [], color=middle, depthshade=False, label=f"{label}, coloured by {shorten(height, 20)}", **how
        )
    else:
        ax.scatter(x, y, z, color=cloud.colour, depthshade=False, label=label, **how)


def _set_limits(ax: Any, scene: Scene) -> None:
    parts = [part for cloud in scene.clouds for part in (cloud.best, cloud.dominated, cloud.infeasible)]
    parts += [] if scene.reference is None else [scene.reference[None]]
    points = np.concatenate(parts)
    if not len(points):
        return
    low, high = points.min(0), points.max(0)
    span = np.where(high > low, high - low, np.maximum(np.abs(high), 1.0) * 0.2)
    for k, set_limits in enumerate((ax.set_xlim, ax.set_ylim, ax.set_zlim)):
        set_limits(low[k] - 0.05 * span[k], high[k] + 0.05 * span[k])


def _dress(ax: Any, scene: Scene, objectives: Sequence[Objective]) -> None:
    """Labels, light panes, a legend above, and a view from the good corner."""
    for axis, objective in zip((ax.xaxis, ax.yaxis, ax.zaxis), objectives, strict=True):
        axis.set_label_text(direction(objective))
        axis.set_pane_color((1.0, 1.0, 1.0, 0.0))
        axis._axinfo["grid"].update(color="#E3E3E3", linewidth=0.6)  # the only door to it in matplotlib 3.8 to 3.11
        axis.set_major_locator(MaxNLocator(nbins=5))
        axis.labelpad = 4
    ax.tick_params(labelsize=8.0, pad=1)
    ax.view_init(elev=24, azim=42)
    ax.set_box_aspect((1, 1, 0.85), zoom=0.95)
    handles, _ = ax.get_legend_handles_labels()
    if handles:
        solid_keys(ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.04), ncols=3, columnspacing=1.4))
    if scene.remark:
        ax.text2D(0.98, 0.0, scene.remark, transform=ax.transAxes, ha="right", fontsize=7.5, color=MUTED)
