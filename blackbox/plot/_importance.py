"""How much each parameter matters, according to a surrogate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from blackbox.errors import SettingError
from blackbox.plot import _surrogate
from blackbox.plot._canvas import COLOURS, MUTED, check_path, figure_of, headline, new_axes, note, save, style
from blackbox.plot._columns import searched
from blackbox.plot._labels import count, shorten
from blackbox.plot.history import History

__all__ = ["importance"]

_WORK = 120_000  # predictions, at most
_LEAST = 6  # bars that are drawn however small they are
_NEGLIGIBLE = 0.01


def importance(
    history: Any,
    *,
    objective: str | None = None,
    most: int = 20,
    model: Any = None,
    title: str | None = None,
    ax: Axes | None = None,
    path: str | Path | None = None,
) -> Axes:
    """Draw how much of an objective's variation over the space each parameter explains, the largest on top.

    The dark part of a bar is what the parameter explains alone, the whole bar what it explains together with others
    (first-order and total Sobol' indices of the mean of a Gaussian process fitted to the history).

    Parameters
    ----------
    history : Study or History
    objective : str, optional
        Which objective; needed where there are several.
    most : int, default 20
        How many parameters, at most. Beyond the first six those below 1 % are left out as well; how many is stated.
    model : Surrogate, optional
        From `blackbox.algorithms.bayesian.explain.fit_surrogate`; by default one is fitted here, to at most 400
        evaluations (the best half of them, and others evenly by rank), which is stated.
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
    column = _surrogate.pick_objective(run, objective, "importance")
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise SettingError(f"most: expected an integer >= 1, got {most!r}")
    learned = _surrogate.data_text(run) if model is None else ""
    model = _surrogate.fit(run, column, "importance") if model is None else model
    samples = int(np.clip(_WORK // (run.space.dim + 2), 32, 1024))
    found = _surrogate.explain().importance(model, samples=samples)
    varied = {run.space.names[c] for c in searched(run.space)}
    rows = [i for i, name in enumerate(found.names) if name in varied]
    order = sorted(rows, key=lambda i: -found.total[i])
    kept = [i for rank, i in enumerate(order[:most]) if rank < _LEAST or found.total[i] >= _NEGLIGIBLE]
    with style():
        axes = new_axes(ax, 5.2, 0.95 + 0.235 * max(len(kept), 2))
        _draw_bars(axes, [found.names[i] for i in kept], 100 * found.main[kept], 100 * found.total[kept])
        axes.set_xlabel(f"share of the variance of {shorten(run.objectives[column].name, 36)} explained, %")
        remarks = [learned] if learned else []
        if not found.total.any():
            remarks.append("the surrogate is constant: nothing to explain")
        elif len(kept) < len(order):
            bound = max(100 * found.total[order[len(kept)]], 100 * _NEGLIGIBLE)
            remarks.append(f"{count(len(order) - len(kept))} more, none above {np.ceil(bound):.0f} %")
        note(axes, "; ".join(remarks))
        headline(axes, title)
        save(figure_of(axes), target)
    return axes


def _draw_bars(ax: Axes, names: list[str], main: np.ndarray[Any, Any], total: np.ndarray[Any, Any]) -> None:
    y = np.arange(len(names))[::-1]
    alone = np.minimum(main, total)
    ax.barh(y, total, height=0.62, color=COLOURS[0], alpha=0.3, linewidth=0, label="with interactions")
    ax.barh(y, alone, height=0.62, color=COLOURS[0], linewidth=0, label="alone")
    for at, value in zip(y, total, strict=True):
        text = f"{value:.0f} %" if value >= 0.95 else ("< 1 %" if value > 0 else "0 %")
        ax.annotate(
            text, (value, at), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8.0, color=MUTED
        )
    ax.set_yticks(y, [shorten(name, 30) for name in names])
    ax.set_ylim(-0.6, len(names) - 0.4)
    ax.set_xlim(0.0, 1.13 * max(float(total.max(initial=0.0)), 1.0))
    for side in ("top", "right", "bottom"):
        ax.spines[side].set_visible(False)
    ax.tick_params(axis="y", length=0, labelsize=8.5)
    ax.set_xticks([])
    if len(names) > 1 and float(total.max(initial=0.0)) > 0:
        handles, labels = ax.get_legend_handles_labels()
        ax.legend(handles[::-1], labels[::-1], loc="lower right")
