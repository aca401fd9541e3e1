"""The runs of a sweep side by side: every run, quartiles and median of each algorithm, a panel a problem."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator

from blackbox.errors import SettingError
from blackbox.plot._canvas import COLOURS, INK, MUTED, check_path, new_figure, polish, save, style
from blackbox.plot._labels import number, shorten, wants_log

if TYPE_CHECKING:
    from blackbox.sweeping import Cell, SweepResult

__all__ = ["comparison"]

_COLUMNS = 3  # of panels, at most
_KEY = "grey band: best median; pale: worse than the best (Wilcoxon signed-rank, Holm, p < 0.05)"
_WORDS = {"best": "best value", "hypervolume": "hypervolume", "igd": "IGD", "igd_plus": "IGD+"}


def comparison(
    result: SweepResult,
    *,
    metric: str | None = None,
    problems: Sequence[str] | None = None,
    title: str | None = None,
    path: str | Path | None = None,
) -> list[Axes]:
    """Draw the runs of a sweep: a panel for each problem, a row in it for each algorithm.

    Every run is a dot, the bar spans the quartiles, the stroke across it is the median. Algorithms that are worse
    than the best at the level 0.05 (Wilcoxon signed-rank, Holm) are pale; the best stands on a grey band. Runs
    without a finite number are counted at the edge.

    Parameters
    ----------
    result : SweepResult
    metric : str, optional
        As for `SweepResult.cells`. Default: that of the sweep.
    problems : sequence of str, optional
        Which problems. Default: all.
    title : str, optional
    path : str or Path, optional
        Where to save the figure, as PNG or SVG by its ending.

    Returns
    -------
    list of Axes
        One for each problem.

    Raises
    ------
    SettingError
        If a problem is not in the sweep, or nothing has finished.
    StorageError
        If the file cannot be written.
    """
    target = check_path(path)
    names = list(result.problems if problems is None else problems)
    for name in names:
        if name not in result.problems:
            raise SettingError(f"problems: expected some of {result.problems}, got {name!r}")
    cells = {name: [cell for cell in result.cells(metric) if cell.problem == name] for name in names}
    names = [name for name in names if cells[name]]
    if not names:
        raise SettingError("result: expected a sweep with finished runs, got none")
    with style():
        columns = min(_COLUMNS, len(names))
        rows = -(-len(names) // columns)
        most = max(len(found) for found in cells.values())
        figure = new_figure(1.2 + 3.0 * columns, rows * (1.05 + 0.27 * most) + 0.25 + (0.3 if title else 0.0))
        panels = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
        for spare in panels[len(names) :]:
            spare.set_visible(False)
        for index, (ax, name) in enumerate(zip(panels, names, strict=False)):
            _draw(ax, result, cells[name], metric, has_names=index % columns == 0 or not _same_rows(cells, names))
        if title is not None:
            figure.suptitle(title, x=0.01, ha="left", fontsize=10.0, color=INK, fontweight="bold")
        if most > 1:
            figure.supxlabel(_KEY, fontsize=7.0, color=MUTED)
        save(figure, target)
    return panels[: len(names)]


def _same_rows(cells: dict[str, list[Cell]], names: Sequence[str]) -> bool:
    """Return whether all panels show the same algorithms, so that their names are written once a row."""
    listed = [[cell.algorithm for cell in cells[name]] for name in names]
    return all(one == listed[0] for one in listed)


def _draw(ax: Axes, result: SweepResult, cells: Sequence[Cell], metric: str | None, *, has_names: bool) -> None:
    problem = cells[0].problem
    measured = {c.algorithm: np.array(list(result.measured(c.algorithm, problem, metric).values())) for c in cells}
    every = np.concatenate(list(measured.values()))
    finite = every[np.isfinite(every)]
    is_log = bool(len(finite)) and bool((finite > 0).all()) and wants_log(finite)
    if is_log:
        ax.set_xscale("log")
    places = {name: result.algorithms.index(name) for name in measured}
    for row, cell in enumerate(cells):
        _draw_row(ax, -row, cell, measured[cell.algorithm], COLOURS[places[cell.algorithm] % len(COLOURS)])
    polish(ax, grid="x")
    ax.set_ylim(-len(cells) + 0.4, 0.6)
    ax.spines["left"].set_visible(False)
    ax.set_yticks([-row for row in range(len(cells))])
    ax.set_yticklabels([shorten(cell.algorithm, 28) for cell in cells] if has_names else [""] * len(cells))
    ax.tick_params(axis="y", length=0.0)
    _ticks(ax, is_log=is_log)
    ruler = result.ruler(problem, metric)
    word = "larger" if ruler.is_larger_better else "smaller"
    ax.set_xlabel(f"{_WORDS[ruler.metric]} ({word} is better)", fontsize=8.0, color=MUTED)
    ax.set_title(shorten(problem, 32), loc="left", fontsize=9.0, color=INK, pad=5.0)


def _draw_row(ax: Axes, y: float, cell: Cell, numbers: Any, colour: str) -> None:
    pale = cell.verdict == "worse"
    if cell.verdict == "best":
        ax.axhspan(y - 0.42, y + 0.42, color="#F1F1F1", linewidth=0.0, zorder=-1)
    finite = numbers[np.isfinite(numbers)]
    # Dots are spread by their rank in a fixed pattern: nothing is drawn at random.
    turn = (np.arange(len(finite)) * 0.61803398875) % 1.0
    heights = y + 0.42 * (turn - 0.5)
    ax.scatter(finite, heights, s=7.0, color=colour, alpha=0.35 if pale else 0.6, linewidths=0.0, zorder=3)
    bounds = np.array([cell.lower, cell.upper])
    if np.isfinite(bounds).all():
        ax.plot(
            bounds, [y, y], color=colour, linewidth=8.0, alpha=0.35 if pale else 0.75, zorder=4, solid_capstyle="butt"
        )
    if np.isfinite(cell.median):
        ax.plot([cell.median] * 2, [y - 0.24, y + 0.24], color="white", linewidth=3.2, zorder=5, solid_capstyle="butt")
        ax.plot([cell.median] * 2, [y - 0.22, y + 0.22], color=INK, linewidth=1.6, zorder=6, solid_capstyle="butt")
    lost = len(numbers) - len(finite)
    if lost:
        text = f"{lost} found nothing"
        ax.annotate(
            text, (1.0, y), xycoords=("axes fraction", "data"), ha="right", va="center", fontsize=7.0, color=MUTED
        )


def _ticks(ax: Axes, *, is_log: bool) -> None:
    if not is_log:
        ax.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]))
        ax.xaxis.set_major_formatter(lambda value, _: number(float(value)))
        return
    low, high = ax.get_xlim()
    if np.log10(high / low) > 1.5:
        ax.xaxis.set_major_locator(LogLocator(numticks=5))
        ax.xaxis.set_minor_formatter(NullFormatter())
        return
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=8))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(lambda value, _: number(float(value)))
