"""The best value so far over the evaluations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from blackbox.errors import SettingError
from blackbox.plot._canvas import (
    check_path,
    figure_of,
    headline,
    new_axes,
    note,
    polish,
    save,
    style,
)
from blackbox.plot._labels import count, direction, from_scale, number, shorten, to_scale, wants_log
from blackbox.plot._points import draw_keys, draw_points
from blackbox.plot._series import Curve, Series, draw_curves, finish_axes, make_curve, parse_series
from blackbox.plot.history import History

__all__ = ["convergence"]

Array = NDArray[np.float64]
_FLOOR = 1e-16  # what a distance of 0 to the optimum is drawn as, at least


def convergence(
    history: Any,
    *,
    compare: Mapping[str, Any] | None = None,
    label: str | None = None,
    objective: str | None = None,
    optimum: float | None = None,
    scale: Literal["auto", "linear", "log"] = "auto",
    title: str | None = None,
    ax: Axes | None = None,
    path: str | Path | None = None,
) -> Axes:
    """Draw the best feasible value so far over the evaluations.

    Each evaluation is a dot, an infeasible one a ring, a failed one a cross at the lower edge; values beyond the axis
    are triangles at its end. Nothing is drawn as "best" before the first feasible evaluation.

    Parameters
    ----------
    history : Study, History, or a list of them
        A list holds repetitions of one run: their median and quartiles are drawn.
    compare : mapping of str to Study, History or a list of them, optional
        Further runs by name, of the same objectives; at most seven.
    label : str, optional
        The name of the first; needed only where there are several (default "this run").
    objective : str, optional
        Which objective; needed where there are several.
    optimum : float, optional
        The known best value: the distance to it is drawn instead, on a logarithmic axis.
    scale : "auto", "linear" or "log", default "auto"
        Of the axis of values; "auto" takes a logarithm where positive values span two decades.
    title : str, optional
    ax : matplotlib Axes, optional
        Where to draw; a new figure of 5.6 x 3.5 inches by default.
    path : str or Path, optional
        Where to save the figure, as PNG or SVG by its ending.

    Returns
    -------
    Axes

    Raises
    ------
    SettingError
        If an argument makes no sense; the message names it.
    StorageError
        If the file cannot be written.
    """
    target = check_path(path)
    series = parse_series(history, label, compare)
    column = _column(series[0].first, objective)
    view = _View(series[0].first, column, optimum)
    if scale not in ("auto", "linear", "log"):
        raise SettingError(f'scale: expected "auto", "linear" or "log", got {scale!r}')
    with style():
        axes = new_axes(ax)
        curves = [make_curve(one, [view.reached(run) for run in one.runs], maximize=view.maximize) for one in series]
        _set_scale(axes, view, series, curves, scale)
        labels = draw_curves(axes, curves, word="best")
        draw_points(axes, series, view.values)
        polish(axes)
        axes.set_ylabel(view.label)
        finish_axes(axes, curves, labels)
        draw_keys(axes, series)
        note(axes, _remark(series))
        headline(axes, title)
        save(figure_of(axes), target)
    return axes


def _column(history: History, objective: str | None) -> int:
    names = [o.name for o in history.objectives]
    if objective is None and len(names) > 1:
        raise SettingError(
            f"convergence shows one objective and this history has {len(names)}: choose one of {names} with "
            "objective=..., or use plot.hypervolume or plot.front"
        )
    return history.objective_index(objective)


class _View:
    """What is drawn of a value: itself, or its distance to the optimum."""

    def __init__(self, history: History, column: int, optimum: float | None) -> None:
        objective = history.objectives[column]
        self.name, self.column, self.optimum = objective.name, column, optimum
        self.sign = objective.sign
        self.maximize = objective.maximize and optimum is None
        name = shorten(objective.name, 40)
        distance = f"optimum \N{MINUS SIGN} {name}" if objective.maximize else f"{name} \N{MINUS SIGN} optimum"
        self.label = direction(objective) if optimum is None else f"{distance} ({number(optimum or 0.0)})"
        if optimum is not None and not np.isfinite(optimum):
            raise SettingError(f"optimum: expected a finite number, got {optimum!r}")

    def __call__(self, values: Array) -> Array:
        if self.optimum is None:
            return values
        distance = (values - self.optimum) * self.sign
        return np.where(np.isnan(distance), np.nan, np.maximum(distance, _FLOOR))

    def reached(self, run: History) -> Array:
        """Return what a run had reached after each evaluation."""
        return self(run.best_so_far(self.name).numpy())

    def values(self, run: History) -> Array:
        """Return what is drawn for each evaluation."""
        return self(run.values[:, self.column].numpy())


def _set_scale(ax: Axes, view: _View, series: list[Series], curves: list[Curve], scale: str) -> None:
    """Choose scale and limits of the axis of values: all that was reached, and most of what was evaluated."""
    every = np.concatenate([view.values(run) for one in series for run in one.runs])
    every = every[np.isfinite(every)]
    bands = [part for c in curves for part in (c.middle, c.lower, c.upper) if part is not None]
    reached = np.concatenate(bands)
    reached = reached[np.isfinite(reached)]
    if not len(every):
        ax.set_ylim(0.0, 1.0)
        ax.set_yticks([])
        return
    if scale == "log" and every.min() <= 0:
        raise SettingError(f'scale: "log" needs positive values, got {number(float(every.min()))}')
    log = scale == "log" or (scale == "auto" and (wants_log(every) or (view.optimum is not None and every.min() > 0)))
    low, high = (float(v) for v in to_scale(np.array([every.min(), every.max()]), log=log))
    if len(reached):
        seen = to_scale(every, log=log), to_scale(reached, log=log)
        low, high = _without_outliers(*seen, low, high, maximize=view.maximize)
    pad = 0.06 * (high - low) if high > low else max(abs(high) * 0.1, 0.5)
    if log:
        ax.set_yscale("log")
    # There is room for crosses at the lower edge.
    ax.set_ylim(from_scale(low - 1.4 * pad, log=log), from_scale(high + pad, log=log))


def _without_outliers(every: Array, reached: Array, low: float, high: float, *, maximize: bool) -> tuple[float, float]:
    """Return limits that hold what was reached, and leave out far outliers on the bad side."""
    sign = -1.0 if maximize else 1.0
    cost, best = sign * every, float((sign * reached).min())
    usual = float(np.quantile(cost, 0.85, method="lower"))
    limit, start = best + 1.3 * (usual - best), float((sign * reached).max())
    if start - best > 4.0 * (limit - best):  # a first value so bad that all others would look alike
        start = float(np.quantile(sign * reached, 0.9, method="lower"))
    limit = max(limit, start)
    if limit <= best or cost.max() <= best + 1.3 * (limit - best):
        return low, high
    return (low, min(high, limit)) if not maximize else (max(low, -limit), high)


def _remark(series: list[Series]) -> str:
    run = series[0].first
    if len(series) > 1 or len(series[0].runs) > 1 or bool(run.feasible.any()):
        return ""
    if bool(run.failed.all()):
        return f"all {count(len(run))} evaluations failed"
    return "no feasible evaluation"
