"""Every evaluation as a line through its parameters and objectives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from blackbox.errors import SettingError
from blackbox.plot._canvas import INK, MUTED, check_path, figure_of, headline, new_axes, note, save, style
from blackbox.plot._columns import chosen_columns, is_nominal, searched, strongest, unit, unit_ticks
from blackbox.plot._labels import count, number, shorten, wants_log, wrap
from blackbox.plot.history import History

__all__ = ["parallel_coordinates"]

Array = NDArray[np.float64]
_MOST_COLUMNS = 30
_RUNG = -0.13  # where a line passes a column that is inactive, or an objective that failed
_MAP = "viridis"


def parallel_coordinates(
    history: Any,
    *,
    parameters: Sequence[str] | None = None,
    objective: str | None = None,
    most: int = 500,
    title: str | None = None,
    ax: Axes | None = None,
    path: str | Path | None = None,
) -> Axes:
    """Draw each evaluation as a line through its parameters and objectives; good ones dark and on top.

    Where a parameter is inactive, the line passes a rung below its axis; so it does at the objectives of a failed
    evaluation. Infeasible evaluations are dashed. Lines through one level of a categorical parameter are spread a
    little, the best in the middle.

    Parameters
    ----------
    history : Study or History
    parameters : sequence of str, optional
        Which, in this order. Default: all that vary, of more than 30 those whose ranks correlate most with the
        objective.
    objective : str, optional
        By which lines are coloured, the first by default.
    most : int, default 500
        How many lines, at most: the best tenth of them, and others evenly by rank. It is stated in the picture.
    title, ax, path
        As for `convergence`. A new figure is as wide as its columns need.

    Returns
    -------
    Axes

    Raises
    ------
    SettingError, SpaceError
        If an argument makes no sense; the message names it.
    StorageError
        If the file cannot be written.
    """
    target = check_path(path)
    run = History.of(history)
    main = run.objective_index(objective if objective is not None else run.objectives[0].name)
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise SettingError(f"most: expected an integer >= 1, got {most!r}")
    columns = chosen_columns(run.space, parameters)
    varied = searched(run.space) if columns is None else columns
    columns = strongest(run, main, varied, _MOST_COLUMNS) if columns is None else columns
    shown = _thin(run, main, most)
    table = _Table.make(run, columns, main, shown)
    with style():
        tilted = table.width > 14
        pitch = 0.52 if tilted else 0.8
        axes = new_axes(ax, max(5.6, 0.7 + pitch * table.width), 4.2 if tilted else 3.7)
        _draw_lines(axes, table)
        _draw_columns(axes, run, columns, table, tilted=tilted)
        parts = []
        if len(columns) < len(varied) and parameters is None:
            parts.append(f"{len(columns)} of {count(len(varied))} parameters, by rank correlation")
        if len(shown) < len(run):
            parts.append(f"{count(len(shown))} of {count(len(run))} evaluations")
        note(axes, "; ".join(parts))
        headline(axes, title)
        save(figure_of(axes), target)
    return axes


def _thin(run: History, main: int, most: int) -> NDArray[np.intp]:
    """Return the rows to draw, worst first: failed, infeasible, then feasible from worst to best."""
    costs = (run.values[:, main] * run.objectives[main].sign).numpy()
    group = np.where(run.failed.numpy(), 2, np.where(run.feasible.numpy(), 0, 1))
    order = np.lexsort((np.nan_to_num(costs), group))  # best first
    if len(order) > most:
        head = max(most // 10, 1)
        rest = np.unique(np.linspace(head, len(order) - 1, most - head).round().astype(np.intp))
        order = np.concatenate([order[:head], order[rest]])
    return order[::-1].copy()


@dataclass(frozen=True, slots=True)
class _Axis:
    """The scale of one objective."""

    low: float
    high: float
    log: bool

    @classmethod
    def of(cls, values: Array) -> _Axis:
        """Return the scale of the finite ones of some values."""
        values = values[np.isfinite(values)]
        if not len(values):
            return cls(0.0, 0.0, False)
        low, high = float(values.min()), float(values.max())
        if low == high:
            margin = 0.5 * abs(low) or 0.5
            return cls(low - margin, high + margin, False)
        return cls(low, high, wants_log(values, bulk=True))

    def __call__(self, values: Array) -> Array:
        """Return heights on [0, 1]."""
        if self.low == self.high:
            return np.full(values.shape, np.nan)
        if self.log:
            return np.asarray(np.log(values / self.low) / np.log(self.high / self.low))
        return (values - self.low) / (self.high - self.low)

    def ticks(self) -> Array:
        """Return round values to write; none where there are no values at all."""
        if self.low == self.high:
            return np.zeros(0)
        if self.log:
            first, last = np.ceil(np.log10(self.low) - 1e-9), np.floor(np.log10(self.high) + 1e-9)
            decades = np.asarray(10.0 ** np.arange(first, last + 1.0), dtype=np.float64)
            if len(decades) >= 2:
                return decades
        found = np.asarray(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high))
        return found[(found >= self.low) & (found <= self.high)]


@dataclass(frozen=True, slots=True)
class _Table:
    """Heights of lines: r rows by parameters and objectives, on [0, 1], at the rung where there is no value."""

    heights: Array
    missing: NDArray[np.bool_]
    colours: Array  # of each row, on [0, 1], 1 the best; NaN where failed
    infeasible: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    axes: list[_Axis]
    main: int  # the column of the objective that colours
    maximize: bool

    @property
    def width(self) -> int:
        """The number of columns, objectives included."""
        return int(self.heights.shape[1])

    @classmethod
    def make(cls, run: History, columns: list[int], main: int, rows: NDArray[np.intp]) -> _Table:
        """Return the table of some rows of a history."""
        places = unit(run.space, run.x[rows], columns)
        for i, column in enumerate(columns):
            if is_nominal(run.space, column):
                places[:, i] = _spread(places[:, i], int(run.space.upper[column]) + 1)
        axes = [_Axis.of(run.values[:, j].numpy()) for j in range(len(run.objectives))]
        ends = np.stack([axis(run.values[rows, j].numpy()) for j, axis in enumerate(axes)], axis=1)
        heights = np.concatenate([places, ends], axis=1)
        missing = np.isnan(heights)
        objective = run.objectives[main]
        quality = ends[:, main] if objective.maximize else 1.0 - ends[:, main]
        heights = np.where(missing, _RUNG, heights)
        infeasible, failed = run.infeasible.numpy()[rows], run.failed.numpy()[rows]
        return cls(heights, missing, quality, infeasible, failed, axes, len(columns) + main, objective.maximize)


def _spread(places: Array, levels: int) -> Array:
    """Return heights with the lines of one level spread over part of its cell, the last (best) in the middle."""
    spread = places.copy()
    width = min(0.5 / levels, 0.09)
    for place in np.unique(places[~np.isnan(places)]):
        rows = np.flatnonzero(places == place)[::-1]  # best first
        steps = np.arange(len(rows))
        offsets = np.where(steps % 2 == 0, steps / 2.0, -(steps + 1.0) / 2.0)
        reach = max(len(rows) / 2.0, 1.0)
        spread[rows] = place + offsets * min(width / reach, 0.02)
    return spread


def _draw_lines(ax: Axes, table: _Table) -> None:
    """Draw one line a row; the best come last and are the darkest and thickest."""
    n, width = table.heights.shape
    x = np.arange(width, dtype=np.float64)
    segments = np.stack([np.broadcast_to(x, (n, width)), table.heights], axis=2)
    usable = ~table.failed & ~table.infeasible
    shade = matplotlib.colormaps[_MAP]
    quality = np.nan_to_num(table.colours)
    colours = shade(0.95 * (1.0 - quality))  # dark is good
    rank = np.zeros(n)
    n_usable = int(usable.sum())
    rank[usable] = np.linspace(0.0, 1.0, n_usable)  # rows are in order, worst first
    top = np.zeros(n)
    top[usable] = np.exp(-np.arange(n_usable)[::-1] / np.clip(n_usable / 20.0, 2.0, 6.0))  # the few best stand out
    base = 0.6 if n <= 150 else (0.3 if n <= 400 else 0.12)
    colours[:, 3] = np.where(usable, base * (0.4 + 0.6 * rank) + (0.95 - base) * top, 0.3)
    widths = 0.8 + 1.0 * top
    many = n > 300
    for rows, how, label in (
        (table.failed, {"colors": [(0.45, 0.45, 0.45, 0.55)], "linestyles": (0, (1, 2))}, "_failed"),
        (table.infeasible, {"colors": colours[table.infeasible], "linestyles": (0, (4, 2))}, "_infeasible"),
        (usable, {"colors": colours[usable], "linewidths": widths[usable]}, "_feasible"),
    ):
        if rows.any():
            given: dict[str, Any] = {"linewidths": 0.8, **how}
            lines = LineCollection(list(segments[rows]), zorder=2, rasterized=many, label=label, **given)
            lines.set_capstyle("round")
            lines.set_joinstyle("round")
            ax.add_collection(lines)
    if table.infeasible.any():
        label = f"infeasible ({count(int(table.infeasible.sum()))})"
        key = Line2D([], [], color=MUTED, linewidth=1.0, linestyle=(0, (4, 2)), label=label)
        ax.legend(handles=[key], loc="upper right", bbox_to_anchor=(1.0, -0.01))


def _draw_columns(ax: Axes, run: History, columns: list[int], table: _Table, *, tilted: bool) -> None:
    """Draw the vertical axes with their ticks, names, and rungs."""
    ax.set_xlim(-0.25, table.width - 0.2)
    ax.set_ylim((_RUNG if table.missing.any() else 0.0) - 0.05, 1.04)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set_yticks([])
    names = [run.space.names[c] for c in columns] + [o.name for o in run.objectives]
    for j, objective in enumerate(run.objectives):
        names[len(columns) + j] += " \N{UPWARDS ARROW}" if objective.maximize else " \N{DOWNWARDS ARROW}"
    shown = [shorten(name, 22) if tilted else wrap(name, 12) for name in names]
    ax.xaxis.tick_top()
    ax.set_xticks(range(table.width))
    ax.set_xticklabels(
        shown,
        fontsize=8.0,
        color=INK,
        linespacing=1.1,
        rotation=35 if tilted else 0,
        ha="left" if tilted else "center",
        rotation_mode="anchor" if tilted else "default",
        va="baseline",
    )
    ax.tick_params(axis="x", length=0, pad=2)
    for j, label in enumerate(ax.get_xticklabels()):
        if j >= len(columns):
            label.set_fontweight("bold")
    for i in range(table.width):
        ax.plot([i, i], [0, 1], color="#444444", linewidth=0.9, zorder=4, label="_axis", solid_capstyle="butt")
        if table.missing[:, i].any():
            ax.plot([i - 0.12, i + 0.12], [_RUNG, _RUNG], color="#444444", linewidth=1.4, zorder=4, label="_rung")
        if i < len(columns):
            places, texts = unit_ticks(run.space, columns[i])
        else:
            axis = table.axes[i - len(columns)]
            ticks = axis.ticks()
            places, texts = axis(ticks), [number(float(t)) for t in ticks]
        for y, text in zip(places, texts, strict=True):
            ax.plot([i, i + 0.045], [y, y], color="#444444", linewidth=0.8, zorder=4, label="_tick")
            ax.text(
                i + 0.07,
                y,
                text,
                fontsize=7.0,
                color=INK,
                va="center",
                ha="left",
                zorder=5,
                bbox={"facecolor": "white", "alpha": 0.72, "edgecolor": "none", "pad": 0.6},
            )
    _name_rungs(ax, table, len(columns))
    _draw_scale(ax, table)


def _name_rungs(ax: Axes, table: _Table, n_parameters: int) -> None:
    """Write what the rungs mean, once."""
    inactive = np.flatnonzero(table.missing[:, :n_parameters].any(0))
    how: dict[str, Any] = {"fontsize": 7.5, "color": MUTED, "va": "top", "ha": "center", "style": "italic"}
    for i in inactive[np.diff(inactive, prepend=-2) > 1] if table.width > 14 else inactive:
        ax.text(float(i), _RUNG - 0.03, "inactive", **how)
    if table.failed.any():
        ax.text(float(table.main), _RUNG - 0.03, f"failed ({count(int(table.failed.sum()))})", **how)


def _draw_scale(ax: Axes, table: _Table) -> None:
    """Colour the axis of the main objective as the lines are."""
    at = float(table.main)
    ramp = np.linspace(0.0, 1.0, 128)[:, None]
    shades = matplotlib.colormaps[_MAP](0.95 * (1.0 - (ramp if table.maximize else 1.0 - ramp)))
    ax.imshow(shades, extent=(at - 0.07, at, 0.0, 1.0), origin="lower", aspect="auto", zorder=3.5)
    ax.set_xlim(-0.25, table.width - 0.2)
    ax.set_ylim((_RUNG if table.missing.any() else 0.0) - 0.05, 1.04)
