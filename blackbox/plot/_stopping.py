"""How much improvement is left, over the evaluations of a Bayesian search."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from blackbox.plot._canvas import COLOURS, MUTED, check_path, figure_of, headline, new_axes, note, polish, save, style

__all__ = ["stopping"]


def stopping(
    optimizer: Any,
    *,
    tolerance: float | None = None,
    title: str | None = None,
    ax: Axes | None = None,
    path: str | Path | None = None,
) -> Axes:
    """Draw how far from the optimum the best point may be, and the expected improvement, beside what does not matter.

    Parameters
    ----------
    optimizer : Optimizer or StoppingCurve
        Of one objective, driven by `BayesianOptimization`; or from `stopping_curve`.
    tolerance : float, optional
        As for `blackbox.algorithms.bayesian.advice`; a curve has its own.
    title, ax, path
        As for `convergence`.

    Returns
    -------
    Axes

    Raises
    ------
    SettingError
        As `advice` does.
    StorageError
        If the file cannot be written.
    """
    target = check_path(path)
    module = import_module("blackbox.algorithms.bayesian.stopping")
    curve = optimizer
    if not isinstance(optimizer, module.StoppingCurve):
        curve = module.stopping_curve(optimizer, tolerance=tolerance)
    floor = max(1e-3 * float(curve.tolerance.min()), 1e-300)
    with style():
        axes = new_axes(ax)
        for values, colour, label in (
            (curve.bound, COLOURS[0], "distance from the optimum, at most"),
            (curve.expected_improvement, COLOURS[1], "expected improvement"),
        ):
            axes.plot(curve.n, np.maximum(values, floor), marker="o", markersize=3.5, color=colour, label=label)
        axes.plot(curve.n, curve.tolerance, color=MUTED, linestyle="--", linewidth=1.0, label="does not matter")
        axes.set_yscale("log")
        axes.set_xlabel("evaluations")
        axes.set_ylabel("amount, in units of the objective")
        axes.legend(loc="best")
        polish(axes)
        below = np.flatnonzero(curve.bound <= curve.tolerance)
        note(axes, f"enough after {int(curve.n[below[0]])} evaluations" if len(below) else "go on")
        headline(axes, title)
        save(figure_of(axes), target)
    return axes
