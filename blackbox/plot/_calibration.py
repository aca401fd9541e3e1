"""How well a surrogate predicts each outcome from all others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from blackbox.plot import _surrogate
from blackbox.plot._canvas import COLOURS, MUTED, check_path, figure_of, headline, new_axes, note, polish, save, style
from blackbox.plot._labels import shorten
from blackbox.plot.history import History

__all__ = ["calibration"]


def calibration(
    history: Any,
    *,
    objective: str | None = None,
    model: Any = None,
    title: str | None = None,
    ax: Axes | None = None,
    path: str | Path | None = None,
) -> Axes:
    """Draw each outcome over its prediction from all others, with the central 95 % of that prediction.

    Axes are in warped units, in which the surrogate is Gaussian; the share of outcomes in their intervals is stated.

    Parameters
    ----------
    history : Study or History
    objective : str, optional
        Which objective; needed where there are several.
    model : Surrogate, optional
        As for `importance`.
    title, ax, path
        As for `convergence`.

    Returns
    -------
    Axes

    Raises
    ------
    SettingError
        If an argument makes no sense, or fewer than two evaluations have a value.
    StorageError
        If the file cannot be written.
    """
    target = check_path(path)
    run = History.of(history)
    column = _surrogate.pick_objective(run, objective, "calibration")
    model = _surrogate.fit(run, column, "calibration") if model is None else model
    found = _surrogate.explain().leave_one_out(model)
    inside = np.abs(found.observed - found.predicted) <= 1.96 * found.std
    with style():
        axes = new_axes(ax, 4.4, 4.0)
        for rows, colour, label in ((inside, COLOURS[0], "inside"), (~inside, COLOURS[1], "outside of its 95 %")):
            if rows.any():
                axes.errorbar(
                    found.predicted[rows],
                    found.observed[rows],
                    xerr=1.96 * found.std[rows],
                    fmt="o",
                    markersize=4,
                    linewidth=0.8,
                    alpha=0.8,
                    color=colour,
                    label=label,
                )
        ends = np.array([found.observed.min(), found.observed.max()])
        axes.plot(ends, ends, color=MUTED, linewidth=1.0, zorder=0)
        name = shorten(run.objectives[column].name, 36)
        axes.set_xlabel(f"{name} predicted from the others (warped)")
        axes.set_ylabel(f"{name} observed (warped)")
        axes.legend(loc="best")
        polish(axes, grid=None)
        note(axes, f"{100 * found.coverage:.0f} % inside their 95 %; mean log density {found.log_density:.2f}")
        headline(axes, title)
        save(figure_of(axes), target)
    return axes
