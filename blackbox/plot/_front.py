"""The front of two or three objectives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray

from blackbox.errors import SettingError
from blackbox.incumbent import non_dominated
from blackbox.plot._canvas import (
    INK,
    MUTED,
    check_path,
    figure_of,
    headline,
    new_axes,
    note,
    polish,
    save,
    style,
)
from blackbox.plot._hypervolume import parse_point
from blackbox.plot._labels import count, direction, shorten, solid_keys, wants_log
from blackbox.plot._series import Series, parse_series
from blackbox.plot.history import History

__all__ = ["Cloud", "Scene", "front"]

Array = NDArray[np.float64]


def front(
    history: Any,
    *,
    compare: Mapping[str, Any] | None = None,
    label: str | None = None,
    objectives: Sequence[str] | None = None,
    reference_point: Any = None,
    known_front: Any = None,
    title: str | None = None,
    ax: Axes | None = None,
    path: str | Path | None = None,
) -> Axes:
    """Draw the non-dominated evaluations of two or three objectives, the others faint.

    Parameters
    ----------
    history : Study or History
    compare : mapping of str to Study or History, optional
        Further runs by name, of the same objectives.
    label : str, optional
        The name of the first (default "this run" where there are several).
    objectives : sequence of str, optional
        Two or three names, where there are more objectives; points are compared by these only.
    reference_point : array-like, shape (m,), optional
        Drawn as a cross where given, or where the history has one; in the objectives' own directions.
    known_front : array-like, shape (r, m), optional
        Of the true front, drawn behind.
    title, path
        As for `convergence`.
    ax : matplotlib Axes, optional
        With `projection="3d"` for three objectives.

    Returns
    -------
    Axes

    Raises
    ------
    SettingError
        If an argument makes no sense, or there are not two or three objectives.
    StorageError
        If the file cannot be written.
    """
    target = check_path(path)
    series = parse_series(history, label, compare)
    if any(len(one.runs) > 1 for one in series):
        raise SettingError("history: expected one history, got a list; give repetitions by name with compare=...")
    m = len(series[0].first.objectives)
    columns = _columns(series[0].first, objectives)
    reference = parse_point(reference_point, m, "reference_point")
    if reference is None:
        reference = series[0].first.reference_point
    known = _known(known_front, m)
    scene = Scene(
        [_cloud(one, columns) for one in series],
        None if reference is None else reference[columns].numpy(),
        None if known is None else known[:, columns].numpy(),
        [series[0].first.objectives[c].maximize for c in columns],
    )
    with style():
        if len(columns) == 3:
            from blackbox.plot._front3d import draw_three, start_three

            axes: Axes = start_three(ax)
            names = [series[0].first.objectives[c] for c in columns]
            draw_three(axes, scene, names)
        else:
            axes = new_axes(ax, 5.2, 4.0)
            _draw_two(axes, scene)
            axes.set_xlabel(direction(series[0].first.objectives[columns[0]]))
            axes.set_ylabel(direction(series[0].first.objectives[columns[1]]))
            note(axes, scene.remark)
        headline(axes, title)
        save(figure_of(axes), target)
    return axes


@dataclass(frozen=True, slots=True)
class Cloud:
    """The points of one series, in the objectives' own directions."""

    name: str | None
    colour: str
    best: Array  # non-dominated among the feasible, shape (r, m)
    dominated: Array
    infeasible: Array
    n_failed: int


@dataclass(frozen=True, slots=True)
class Scene:
    """All that is drawn into one picture of a front."""

    clouds: list[Cloud]
    reference: Array | None
    known: Array | None
    maximize: list[bool]

    @property
    def ideal(self) -> Array | None:
        """The best value of each objective over all that is drawn as non-dominated."""
        best = np.concatenate([cloud.best for cloud in self.clouds])
        if not len(best):
            return None
        return np.asarray(np.where(self.maximize, best.max(0), best.min(0)), dtype=np.float64)

    @property
    def remark(self) -> str:
        """What cannot be seen: failures, or that nothing is feasible."""
        failed = sum(cloud.n_failed for cloud in self.clouds)
        parts = [f"{count(failed)} failed"] if failed else []
        if not any(len(cloud.best) for cloud in self.clouds):
            parts.append("no feasible evaluation")
        return ", ".join(parts)


def _columns(history: History, objectives: Sequence[str] | None) -> list[int]:
    names = [o.name for o in history.objectives]
    if objectives is not None:
        chosen = [objectives] if isinstance(objectives, str) else list(objectives)
        columns = [history.objective_index(name) for name in chosen]
        if len(columns) not in (2, 3) or len(set(columns)) < len(columns):
            raise SettingError(f"objectives: expected two or three distinct names, got {chosen}")
        return columns
    if len(names) == 1:
        raise SettingError("front needs two or three objectives and this history has one: use plot.convergence")
    if len(names) > 3:
        raise SettingError(
            f"front shows two or three objectives and this history has {len(names)}: choose some of {names} with "
            "objectives=[...], or use plot.parallel_coordinates or plot.hypervolume"
        )
    return list(range(len(names)))


def _known(known_front: Any, m: int) -> torch.Tensor | None:
    if known_front is None:
        return None
    known = torch.as_tensor(known_front, dtype=torch.float64).detach().cpu()
    if known.dim() != 2 or known.shape[1] != m:
        raise SettingError(f"known_front: expected shape (r, {m}), got {tuple(known.shape)}")
    return known


def _cloud(series: Series, columns: list[int]) -> Cloud:
    run = series.first
    values = run.values[:, columns]
    feasible = run.feasible
    kept = torch.zeros(len(run), dtype=torch.bool)
    kept[feasible] = non_dominated(values[feasible] * run.signs[columns])
    best, dominated, infeasible = (values[rows].numpy() for rows in (kept, feasible & ~kept, run.infeasible))
    return Cloud(series.name, series.colour, best, dominated, infeasible, int(run.failed.sum()))


def _draw_two(ax: Axes, scene: Scene) -> None:
    single = len(scene.clouds) == 1
    for i, cloud in enumerate(scene.clouds):
        faint = MUTED if single else cloud.colour
        dense = len(cloud.dominated) > 400
        drawn: dict[str, Any] = {"rasterized": len(cloud.dominated) + len(cloud.infeasible) > 2000}
        if len(cloud.dominated):
            ax.scatter(
                cloud.dominated[:, 0],
                cloud.dominated[:, 1],
                s=5 if dense else 11,
                color=faint,
                alpha=0.22,
                linewidths=0,
                zorder=2,
                label="dominated" if single else "_dominated",
                **drawn,
            )
        if len(cloud.infeasible):
            ax.scatter(
                cloud.infeasible[:, 0],
                cloud.infeasible[:, 1],
                s=13,
                facecolors="none",
                edgecolors=faint,
                alpha=0.5,
                linewidths=0.7,
                zorder=2,
                label=f"infeasible ({count(len(cloud.infeasible))})",
                **drawn,
            )
        if len(cloud.best):
            order = np.lexsort((cloud.best[:, 1], cloud.best[:, 0]))
            stairs = _stairs(cloud.best[order], scene.maximize)
            ax.plot(stairs[:, 0], stairs[:, 1], color=cloud.colour, linewidth=1.0, alpha=0.6, zorder=4, label="_front")
            ax.scatter(
                cloud.best[order, 0],
                cloud.best[order, 1],
                s=22 if len(order) < 150 else 9,
                color=cloud.colour,
                edgecolors="white",
                linewidths=0.5,
                zorder=5 - 0.1 * i,
                label=f"{shorten(cloud.name or 'non-dominated', 30)} ({count(len(order))})",
            )
    _set_scales(ax, scene)
    _mark(ax, scene)
    polish(ax, grid="both")
    handles, _ = ax.get_legend_handles_labels()
    if handles:
        n = sum(len(cloud.dominated) + len(cloud.infeasible) + len(cloud.best) for cloud in scene.clouds)
        solid_keys(ax.legend(loc="best" if n <= 5000 else _empty_corner(scene)))


def _empty_corner(scene: Scene) -> Any:
    """Return the corner behind the front, where few points are; to search a place takes long among many points."""
    worst_right, worst_top = (not maximize for maximize in scene.maximize)
    return f"{'upper' if worst_top else 'lower'} {'right' if worst_right else 'left'}"


def _mark(ax: Axes, scene: Scene) -> None:
    """Draw the known front, the ideal point and the reference point."""
    if scene.known is not None and len(scene.known):
        known = scene.known[np.argsort(scene.known[:, 0])]
        ax.plot(known[:, 0], known[:, 1], ".", markersize=2.0, color=INK, alpha=0.5, zorder=1, label="known front")
    for point, marker, size, text in ((scene.ideal, "*", 60, "ideal"), (scene.reference, "X", 34, "reference point")):
        if point is not None:
            ax.scatter(
                point[:1],
                point[1:],
                s=size,
                marker=marker,
                color=INK,
                linewidths=0,
                zorder=6,
                label=text,
                clip_on=False,
            )


def _set_scales(ax: Axes, scene: Scene) -> None:
    """Take logarithms where positive values span decades."""
    clouds = [part for cloud in scene.clouds for part in (cloud.best, cloud.dominated, cloud.infeasible)]
    points = np.concatenate([*clouds, *([] if scene.reference is None else [scene.reference[None]])])
    for axis in (0, 1):
        if wants_log(points[:, axis], bulk=True):
            (ax.set_xscale if axis == 0 else ax.set_yscale)("log")


def _stairs(best: Array, maximize: list[bool]) -> Array:
    """Return the corners of the attained region's edge through sorted non-dominated points."""
    if len(best) < 2:
        return best
    # Between two neighbours the edge passes the corner that is worse in both objectives than neither alone.
    corners = np.stack(
        [(np.minimum if maximize[k] else np.maximum)(best[:-1, k], best[1:, k]) for k in (0, 1)],
        axis=1,
    )
    path = np.empty((2 * len(best) - 1, 2))
    path[0::2], path[1::2] = best, corners
    return path
