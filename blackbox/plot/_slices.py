"""The surrogate along each parameter through the best evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from blackbox.errors import SettingError
from blackbox.plot import _surrogate
from blackbox.plot._canvas import (
    COLOURS,
    INK,
    MUTED,
    check_path,
    figure_of,
    new_axes,
    new_figure,
    polish,
    save,
    style,
)
from blackbox.plot._columns import chosen_columns, condition_text, is_nominal, level_names, searched, strongest
from blackbox.plot._labels import direction, from_scale, number, shorten, to_scale, wants_log
from blackbox.plot.history import History

__all__ = ["slices"]

Array = NDArray[np.float64]
_MOST = 12
_BEST = COLOURS[1]


def slices(
    history: Any,
    *,
    parameters: Sequence[str] | None = None,
    objective: str | None = None,
    model: Any = None,
    title: str | None = None,
    ax: Axes | Sequence[Axes] | None = None,
    path: str | Path | None = None,
) -> list[Axes]:
    """Draw the surrogate's median and central 95 % along each parameter through the best evaluation, with the data.

    Evaluations are dots, the darker the nearer they are to the slice, triangles where they are beyond the axis;
    infeasible ones are rings, failed ones crosses at the lower edge. A parameter that is inactive at the best
    evaluation is drawn with its switches set, which is stated above its panel.

    Parameters
    ----------
    history : Study or History
    parameters : sequence of str, optional
        Which, in this order. Default: all that vary, of more than 12 those that matter most to the surrogate.
    objective : str, optional
        Which objective; needed where there are several.
    model : Surrogate, optional
        From `blackbox.algorithms.bayesian.explain.fit_surrogate`; by default one is fitted here, to at most 400
        evaluations (the best half of them, and others evenly by rank), which is stated.
    title : str, optional
    ax : matplotlib Axes or a sequence of them, optional
        As many as there are parameters; a new figure by default.
    path : str or Path, optional
        Where to save the figure, as PNG or SVG by its ending.

    Returns
    -------
    list of Axes
        One a parameter.

    Raises
    ------
    SettingError, SpaceError
        If an argument makes no sense, or fewer than two evaluations have a value.
    StorageError
        If the file cannot be written.
    """
    target = check_path(path)
    run = History.of(history)
    column = _surrogate.pick_objective(run, objective, "slices")
    chosen = chosen_columns(run.space, parameters)
    given, model = model, _surrogate.fit(run, column, "slices") if model is None else model
    columns = _most_important(run, column, model) if chosen is None else chosen
    row = run.best_row(run.objectives[column].name)
    at = model.best if row is None else run.x[row]
    curves = [_surrogate.explain().slice(model, run.space.names[c], at=at) for c in columns]
    with style():
        panels, figure = _panels(ax, len(columns))
        shades = _nearness(run, at)
        limits, log = _limits(run.values[:, column].numpy(), curves, maximize=run.objectives[column].maximize)
        for panel, curve, c in zip(panels, curves, columns, strict=True):
            _draw_panel(panel, run, column, c, curve, at, row, shades, limits, log)
        if figure is not None:
            _dress(figure, run, column, title, row, "" if given is not None else _surrogate.data_text(run))
        save(figure_of(panels[0]), target)
    return panels


def _most_important(run: History, column: int, model: Any) -> list[int]:
    varied = searched(run.space)
    if len(varied) <= _MOST:
        return varied
    varied = strongest(run, column, varied, 100)
    found = _surrogate.explain().importance(model, samples=128) if run.space.dim <= 100 else None
    if found is None:
        return strongest(run, column, varied, _MOST)
    kept = sorted(varied, key=lambda c: -found.total[c])[:_MOST]
    return sorted(kept)


def _panels(ax: Axes | Sequence[Axes] | None, k: int) -> tuple[list[Axes], Any]:
    """Return the caller's axes, or those of a new figure and that figure."""
    if ax is not None:
        given = [ax] if isinstance(ax, Axes) else list(ax)
        if len(given) != k:
            raise SettingError(
                f"ax: expected {k} axes, one a parameter, got {len(given)}; choose with parameters=[...]"
            )
        return [new_axes(one) for one in given], None
    across = k if k <= 3 else 4 if k > 4 else 2
    down = math.ceil(k / across)
    figure = new_figure(max(0.7 + 2.05 * across, 4.2), 0.75 + 1.95 * down)
    grid = figure.subplots(down, across, squeeze=False)
    flat = list(grid.ravel())
    for extra in flat[k:]:
        extra.remove()
    for i, panel in enumerate(flat[:k]):
        if i % across:
            panel.tick_params(labelleft=False)
    return flat[:k], figure


def _nearness(run: History, at: torch.Tensor) -> Array:
    """Return how near each evaluation is to the best one, (n, d) by column left out, 1 near to 0 far."""
    points, centre = run.x, at[None].to(torch.float64)
    u, c = run.space.to_unit(points).numpy(), run.space.to_unit(centre).numpy()
    gap = np.abs(u - c)
    categorical = run.space.kinds == 2
    differ = points[:, categorical].numpy() != centre[:, categorical].numpy()
    gap[:, categorical] = np.where(differ, 0.7, 0.0)
    gap[np.isnan(points.numpy()) != np.isnan(centre.numpy())] = 0.5
    gap[np.isnan(points.numpy()) & np.isnan(centre.numpy())] = 0.0
    square = gap**2
    others = square.sum(1, keepdims=True) - square
    return np.asarray(np.exp(-others / (2.0 * 0.25**2 * max(1.0, 0.25 * run.space.dim))))


def _limits(values: Array, curves: list[Any], *, maximize: bool) -> tuple[tuple[float, float], bool]:
    """Return common limits of the objective: all medians, most of the data, and whether to take a logarithm."""
    data = values[np.isfinite(values)]
    middle = np.concatenate([curve.middle for curve in curves])
    spread = np.concatenate([part for curve in curves for part in (curve.low, curve.high)])
    log = wants_log(data) and bool(middle.min() > 0)
    floor = float(data.min()) * 0.1 if log else -np.inf
    sign = -1.0 if maximize else 1.0
    usual = np.sort(sign * data)[: max(1, math.ceil(0.9 * len(data)))] * sign
    seen = to_scale(np.concatenate([middle, usual]), log=log)
    low, high = float(seen.min()), float(seen.max())
    room = high - low
    bands = to_scale(np.maximum(spread, floor), log=log)
    low = min(low, max(float(np.quantile(bands, 0.02)), low - 0.25 * room))
    high = max(high, min(float(np.quantile(bands, 0.98)), high + 0.25 * room))
    flat = high - low <= 1e-9 * max(abs(high), abs(low), 1e-300)
    pad = max(0.1 * abs(high), 0.5) if flat else 0.07 * (high - low)
    return (from_scale(low - pad, log=log), from_scale(high + pad, log=log)), log


def _draw_panel(
    ax: Axes,
    run: History,
    column: int,
    c: int,
    curve: Any,
    at: torch.Tensor,
    row: int | None,
    shades: Array,
    limits: tuple[float, float],
    log: bool,
) -> None:
    """Draw one parameter's slice."""
    space, blue = run.space, COLOURS[0]
    if log:
        ax.set_yscale("log")
        ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_ylim(*limits)
    _set_parameter_axis(ax, run, c)
    if is_nominal(space, c):
        ax.vlines(
            curve.codes,
            curve.low,
            curve.high,
            color=blue,
            alpha=0.2,
            linewidth=9,
            capstyle="butt",
            zorder=2,
            label="_band",
        )
        ax.plot(
            curve.codes, curve.middle, "_", color=blue, markersize=15, markeredgewidth=1.8, zorder=5, label="_surrogate"
        )
    else:
        ax.fill_between(curve.codes, curve.low, curve.high, color=blue, alpha=0.18, linewidth=0, zorder=2)
        marker = "o" if space.kinds[c] and len(curve.codes) <= 20 else ""
        ax.plot(curve.codes, curve.middle, color=blue, marker=marker, markersize=3, zorder=3, label="_surrogate")
    _draw_data(ax, run, column, c, shades[:, c])
    value = float(at[c])
    if math.isnan(value):
        ax.set_title(condition_text(space, c), loc="left", fontsize=7.5, color=MUTED, pad=3.0)
    elif row is not None:
        ax.axvline(value, color=_BEST, linewidth=0.9, linestyle=(0, (3, 2)), zorder=2.5)
        height = float(run.values[row, column])
        ax.plot([value], [height], marker="D", markersize=4.5, color=_BEST, zorder=6, clip_on=False, label="_best")
        text = level_names(space, c)[int(value)] if is_nominal(space, c) else number(value, 3)
        ax.set_title(f"best: {text}", loc="left", fontsize=7.5, color=_BEST, pad=3.0)
    ax.set_xlabel(shorten(space.names[c], 26), labelpad=2.0)
    polish(ax)


def _set_parameter_axis(ax: Axes, run: History, c: int) -> None:
    """Set scale, limits and ticks of a parameter's axis, in the parameter's units."""
    space = run.space
    low, high = float(space.lower[c]), float(space.upper[c])
    if is_nominal(space, c):
        names = level_names(space, c, 9)
        step = max(1, -(-len(names) // 8))
        places = list(range(0, len(names), step))
        long = sum(len(names[i]) for i in places) > 22
        ax.set_xticks(places, [names[i] for i in places], rotation=28 if long else 0, ha="right" if long else "center")
        ax.set_xlim(-0.6, len(names) - 0.4)
    elif low == high:
        ax.set_xticks([low], [number(low)])
    elif space.log[c]:
        ax.set_xscale("log")
        ratio = (high / low) ** 0.03
        ax.set_xlim(low / ratio, high * ratio)
        if high / low > 100:
            ax.xaxis.set_major_locator(LogLocator(numticks=5))
            ax.xaxis.set_minor_formatter(NullFormatter())
    else:
        pad = 0.03 * (high - low)
        ax.set_xlim(low - pad, high + pad)
        ax.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=bool(space.kinds[c]), steps=[1, 2, 5, 10]))


def _draw_data(ax: Axes, run: History, column: int, c: int, shade: Array) -> None:
    """Draw the evaluations over one parameter."""
    x, values = run.x[:, c].numpy().copy(), run.values[:, column].numpy()
    if is_nominal(run.space, c):
        x = x + 0.24 * (np.modf(np.arange(len(x)) * 0.618034)[0] - 0.5) + 0.0
    many = len(x) > 2000
    low, high = ax.get_ylim()
    alpha = (0.1 if len(x) > 400 else 0.16) + 0.6 * shade
    solid, ring = {"color": INK, "linewidths": 0}, {"facecolors": "none", "edgecolors": INK, "linewidths": 0.6}
    above, below = values > high, values < low
    for kind, how in ((run.feasible.numpy(), solid), (run.infeasible.numpy(), ring)):
        for place, marker in ((~(above | below), "o"), (above, "^"), (below, "v")):
            rows = kind & place & ~np.isnan(x)
            if rows.any():
                inside = marker == "o"
                shaded = inside and how is solid  # rings take no array of alphas
                given: dict[str, Any] = {**how, "marker": marker, "alpha": alpha[rows] if shaded else 0.45}
                heights = np.clip(values[rows], low, high)
                ax.scatter(
                    x[rows],
                    heights,
                    s=9 if inside else 13,
                    zorder=4,
                    rasterized=many,
                    clip_on=inside,
                    label="_data",
                    **given,
                )
    failed = run.failed.numpy() & ~np.isnan(x)
    if failed.any():
        ax.scatter(
            x[failed],
            np.full(failed.sum(), 0.035),
            s=12,
            marker="x",
            color=MUTED,
            linewidths=0.8,
            transform=ax.get_xaxis_transform(),
            zorder=4,
            label="_failed",
        )


def _dress(figure: Any, run: History, column: int, title: str | None, row: int | None, learned: str) -> None:
    """Name the objective once, and explain the marks above the panels."""
    figure.supylabel(direction(run.objectives[column]), fontsize=9.0, color=INK)
    blue = COLOURS[0]
    keys: list[Any] = [
        Line2D([], [], color=blue, label=f"surrogate's median {learned}".strip()),
        Patch(facecolor=(*_rgb(blue), 0.2), linewidth=0, label="central 95 %"),
        Line2D([], [], color=INK, marker="o", markersize=3.5, linewidth=0, label="evaluations, darker if near"),
    ]
    if row is not None:
        keys.append(Line2D([], [], color=_BEST, marker="D", markersize=4.5, linewidth=0, label="best"))
    if bool(run.infeasible.any()):
        keys.append(
            Line2D([], [], color=INK, marker="o", fillstyle="none", markersize=3.5, linewidth=0, label="infeasible")
        )
    if bool(run.failed.any()):
        keys.append(Line2D([], [], color=MUTED, marker="x", markersize=4, linewidth=0, label="failed"))
    across = max(2, int(figure.get_figwidth() / 1.6))
    figure.legend(handles=keys, loc="outside upper center", ncols=min(across, len(keys)), columnspacing=1.3)
    if title is not None:
        figure.suptitle(title, fontsize=10.0, fontweight="bold", x=0.02, ha="left")


def _rgb(colour: str) -> tuple[float, float, float]:
    return tuple(int(colour[i : i + 2], 16) / 255.0 for i in (1, 3, 5))  # type: ignore[return-value]
