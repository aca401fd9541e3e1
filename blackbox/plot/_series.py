"""Named histories that are drawn into one picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from blackbox.errors import SettingError
from blackbox.plot._canvas import COLOURS
from blackbox.plot._labels import EndLabel, label_ends, number, shorten
from blackbox.plot.history import History

__all__ = ["Curve", "Series", "draw_curves", "parse_series"]

Array = NDArray[np.float64]
_MANY = 10_000  # steps of a line beyond which only its changes are drawn


@dataclass(frozen=True, slots=True)
class Series:
    """One run, or several repetitions of it, under one name and colour."""

    name: str | None
    runs: tuple[History, ...]
    colour: str

    @property
    def first(self) -> History:
        """The first run."""
        return self.runs[0]


@dataclass(frozen=True, slots=True)
class Curve:
    """What a series has reached after each evaluation: the median of its runs, and their quartiles."""

    series: Series
    evaluations: Array
    middle: Array
    lower: Array | None = None
    upper: Array | None = None


def parse_series(history: Any, label: str | None, compare: Mapping[str, Any] | None) -> list[Series]:
    """Return the main series and those that it is compared with.

    Raises
    ------
    SettingError
        If names clash, or objectives differ.
    """
    if compare is not None and not isinstance(compare, Mapping):
        raise SettingError(f"compare: expected a mapping of name to history, got {type(compare).__name__}")
    named: list[tuple[str | None, Any]] = [(label or ("this run" if compare else None), history)]
    named += list((compare or {}).items())
    names = [name for name, _ in named]
    if len(set(names)) < len(names):
        raise SettingError(f"compare: expected names other than {names[0]!r}, which is the label of the first history")
    if len(named) > len(COLOURS):
        raise SettingError(f"compare: expected at most {len(COLOURS) - 1} histories, got {len(named) - 1}")
    series = [Series(name, _runs(runs), COLOURS[i]) for i, (name, runs) in enumerate(named)]
    objectives = series[0].first.objectives
    for one in series:
        for run in one.runs:
            if run.objectives != objectives:
                raise SettingError(
                    f"compare: expected histories of the same objectives, {_names(objectives)}; "
                    f"{one.name!r} has {_names(run.objectives)}"
                )
    return series


def _names(objectives: Any) -> str:
    return ", ".join(f"{o.name} ({'max' if o.maximize else 'min'})" for o in objectives)


def _runs(history: Any) -> tuple[History, ...]:
    if isinstance(history, (list, tuple)):
        if not history:
            raise SettingError("history: expected at least one history, got an empty list")
        return tuple(History.of(run) for run in history)
    return (History.of(history),)


def make_curve(series: Series, reached: list[Array], *, maximize: bool) -> Curve:
    """Return the curve of a series from what each of its runs had reached after each evaluation (NaN: nothing yet)."""
    length = min(len(run) for run in reached)
    evaluations = np.arange(1.0, length + 1.0)
    if len(reached) == 1:
        return Curve(series, evaluations, reached[0])
    worst = -np.inf if maximize else np.inf
    table = np.stack([np.where(np.isnan(run[:length]), worst, run[:length]) for run in reached])
    # Order statistics only: a run that has nothing yet counts as the worst.
    middle, low, high = (np.quantile(table, q, axis=0, method="nearest") for q in (0.5, 0.25, 0.75))
    return Curve(series, evaluations, *(np.where(np.isfinite(part), part, np.nan) for part in (middle, low, high)))


def draw_curves(ax: Axes, curves: list[Curve], *, word: str = "") -> list[EndLabel]:
    """Draw curves as steps, the first on top, and return the labels of their ends; `word` stands for a missing name."""
    labels = []
    for rank, curve in enumerate(curves):
        colour, z = curve.series.colour, 5.0 - 0.1 * rank
        x, y = _steps(curve.evaluations, curve.middle)
        if curve.lower is not None and curve.upper is not None:
            ax.fill_between(
                curve.evaluations,
                curve.lower,
                curve.upper,
                step="post",
                color=colour,
                alpha=0.18,
                linewidth=0,
                zorder=z - 1,
            )
        ax.plot(x, y, drawstyle="steps-post", color=colour, zorder=z, label=curve.series.name or "best so far")
        if np.isfinite(y[-1]):
            ax.plot([x[-1]], [y[-1]], "o", markersize=4, color=colour, zorder=z + 1, clip_on=False, label="_end")
            name = shorten(curve.series.name, 28) if curve.series.name else word
            text = f"{name}\n{number(float(y[-1]))}".strip()
            labels.append(EndLabel(float(x[-1]), float(y[-1]), text, colour))
    return labels


def _steps(x: Array, y: Array) -> tuple[Array, Array]:
    if len(x) <= _MANY:
        return x, y
    changed = np.flatnonzero(np.diff(y, prepend=np.inf) != 0)  # NaN differs from NaN: kept, which draws nothing
    kept = np.unique(np.concatenate([changed[np.isfinite(y[changed])], [len(x) - 1]]))
    return x[kept], y[kept]


def finish_axes(ax: Axes, curves: list[Curve], labels: list[EndLabel]) -> None:
    """Set limits and ticks of the axis of evaluations, and write the labels of the ends."""
    last = max(float(curve.evaluations[-1]) for curve in curves)
    pad = max(0.02 * last, 0.5)
    ax.set_xlim(1 - pad, last + pad)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    ax.set_xlabel("evaluations")
    label_ends(ax, labels)
