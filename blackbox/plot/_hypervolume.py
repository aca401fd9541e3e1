"""The hypervolume that is dominated, over the evaluations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from blackbox.errors import SettingError
from blackbox.incumbent import non_dominated
from blackbox.plot._canvas import MUTED, check_path, figure_of, headline, new_axes, note, polish, save, style
from blackbox.plot._labels import number
from blackbox.plot._points import draw_keys
from blackbox.plot._series import draw_curves, finish_axes, make_curve, parse_series
from blackbox.plot.history import History

__all__ = ["default_reference", "hypervolume", "over_time", "parse_point"]

_CHECKPOINTS = 400  # evaluations at which the hypervolume of a long run is computed


def hypervolume(
    history: Any,
    *,
    compare: Mapping[str, Any] | None = None,
    label: str | None = None,
    reference_point: Any = None,
    known_front: Any = None,
    title: str | None = None,
    ax: Axes | None = None,
    path: str | Path | None = None,
) -> Axes:
    """Draw the hypervolume that the feasible evaluations dominate, over the evaluations.

    Parameters
    ----------
    history : Study, History, or a list of them
        Of two or more objectives. A list holds repetitions of one run: their median and quartiles are drawn.
    compare : mapping of str to Study, History or a list of them, optional
        Further runs by name, of the same objectives.
    label : str, optional
        The name of the first (default "this run" where there are several).
    reference_point : array-like, shape (m,), optional
        In the objectives' own directions. Default: the history's; else the worst values of what is non-dominated
        within each history, and a tenth of their range beyond. It is stated in the picture.
    known_front : array-like, shape (r, m), optional
        Of the true front: its hypervolume is drawn as a line to reach.
    title, ax, path
        As for `convergence`.

    Returns
    -------
    Axes

    Raises
    ------
    SettingError
        If an argument makes no sense, or there is one objective only.
    StorageError
        If the file cannot be written.

    Notes
    -----
    Histories with more than 400 evaluations better than the reference point are looked at after 400 of them; between
    two the curve stays at the earlier, hence lower, value. The last value is exact.
    """
    target = check_path(path)
    series = parse_series(history, label, compare)
    m = len(series[0].first.objectives)
    if m < 2:
        raise SettingError("hypervolume needs two or more objectives and this history has one: use plot.convergence")
    runs = [run for one in series for run in one.runs]
    signs = runs[0].signs
    reference = parse_point(reference_point, m, "reference_point")
    if reference is None:
        reference = runs[0].reference_point if runs[0].reference_point is not None else default_reference(runs)
    curves = [make_curve(one, [over_time(run, reference).numpy() for run in one.runs], maximize=True) for one in series]
    with style():
        axes = new_axes(ax)
        labels = draw_curves(axes, curves)
        top = max(float(np.nanmax(c.middle if c.upper is None else c.upper)) for c in curves)
        if known_front is not None:
            front = torch.as_tensor(known_front, dtype=torch.float64)
            if front.dim() != 2 or front.shape[1] != m or not len(front):
                raise SettingError(f"known_front: expected shape (r, {m}), r >= 1, got {tuple(front.shape)}")
            goal = volume(front * signs, reference * signs)
            axes.axhline(goal, color=MUTED, linewidth=1.0, linestyle=(0, (4, 3)), zorder=2, label="known front")
            axes.annotate(
                f"known front {number(goal)}",
                (0.01, goal),
                xycoords=("axes fraction", "data"),
                xytext=(0, 3),
                textcoords="offset points",
                ha="left",
                va="bottom",
                fontsize=7.5,
                color=MUTED,
            )
            top = max(top, goal)
        axes.set_ylim(0.0, 1.09 * top if top > 0 else 1.0)
        polish(axes)
        axes.set_ylabel("hypervolume")
        finish_axes(axes, curves, labels)
        draw_keys(axes, [one for one in series if len(one.runs) > 1])
        note(axes, _remark(runs, reference, reached=top > 0))
        headline(axes, title)
        save(figure_of(axes), target)
    return axes


def _remark(runs: list[History], reference: Tensor, *, reached: bool) -> str:
    """Return what the hypervolume is relative to."""
    if not any(bool(run.feasible.any()) for run in runs):
        return "no feasible evaluation"
    point = ", ".join(number(float(v), 3) for v in reference)
    return f"reference point ({point})" if reached else f"nothing dominates the reference point ({point})"


def parse_point(point: Any, m: int, name: str) -> Tensor | None:
    """Return a point of m objectives, or None.

    Raises
    ------
    SettingError
        If it has another shape or is not finite.
    """
    if point is None:
        return None
    try:
        checked = torch.as_tensor(point, dtype=torch.float64).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        raise SettingError(f"{name}: expected {m} numbers, got {point!r}") from None
    if checked.shape != (m,) or not bool(torch.isfinite(checked).all()):
        raise SettingError(f"{name}: expected {m} finite numbers, got {point!r}")
    return checked


def default_reference(runs: list[History]) -> Tensor:
    """Return the worst values of what is non-dominated within each run, and a tenth of their range beyond, (m,)."""
    signs = runs[0].signs
    fronts = [run.values[run.feasible] * signs for run in runs]
    front = torch.cat([values[non_dominated(values)] for values in fronts])
    if not len(front):
        return torch.zeros(len(signs), dtype=torch.float64)
    worst, best = front.max(0).values, front.min(0).values
    margin = torch.where(worst > best, 0.1 * (worst - best), 0.1 * worst.abs().clamp(min=1.0))
    return (worst + margin) * signs


def over_time(run: History, reference: Tensor) -> Tensor:
    """Return the hypervolume of the feasible evaluations up to each one, shape (n,)."""
    signs = run.signs
    costs, corner = run.values * signs, reference * signs
    counts = run.feasible & (costs < corner).all(1)
    rows = counts.nonzero()[:, 0]
    result = torch.zeros(len(run), dtype=torch.float64)
    if not len(rows):
        return result
    if len(rows) > _CHECKPOINTS:
        steps = torch.linspace(0, len(rows) - 1, _CHECKPOINTS, dtype=torch.float64).round().long()
    else:
        steps = torch.arange(len(rows))
    front, start = costs[:0], 0
    for i, step in enumerate(steps.tolist()):
        front = torch.cat([front, costs[rows[start : step + 1]]])
        front, start = front[non_dominated(front)], step + 1
        end = int(rows[steps[i + 1]]) if i + 1 < len(steps) else len(run)
        result[int(rows[step]) : end] = volume(front, corner)
    return result


def volume(costs: Tensor, corner: Tensor) -> float:
    """Return the hypervolume of minimised points, shape (r, m), below a corner, shape (m,)."""
    import moocore

    inside = costs[(costs < corner).all(1)]
    return float(moocore.hypervolume(inside.numpy(), ref=corner.numpy())) if len(inside) else 0.0
