"""Parameters on the axes of pictures: which to show, where their values lie, and how these are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.ticker import LogLocator, MaxNLocator
from numpy.typing import NDArray

from blackbox.errors import SettingError
from blackbox.plot._labels import number, shorten
from blackbox.plot.history import History
from blackbox.space import Space

__all__ = ["chosen_columns", "condition_text", "level_names", "rank_correlation", "strongest", "unit", "unit_ticks"]

Array = NDArray[np.float64]


def chosen_columns(space: Space, parameters: Sequence[str] | None) -> list[int] | None:
    """Return the columns of named parameters, or None where none are named.

    Raises
    ------
    SettingError, SpaceError
        If a name is unknown or named twice, or the list is empty.
    """
    if parameters is None:
        return None
    names = [parameters] if isinstance(parameters, str) else list(parameters)
    if not names or len(set(names)) < len(names):
        raise SettingError(f"parameters: expected distinct names of parameters, got {names}")
    return [space.index(name) for name in names]


def searched(space: Space) -> list[int]:
    """Return the columns that vary; all of them where none does."""
    varied = [c for c in range(space.dim) if c not in space.fixed_columns]
    return varied or list(range(space.dim))


def rank_correlation(a: Array, b: Array) -> float:
    """Return Spearman's rank correlation of two vectors; 0 where one is constant."""
    if len(a) < 3:
        return 0.0
    first, second = (np.unique(v, return_inverse=True) for v in (a, b))
    ranks = [(np.cumsum(np.bincount(inverse)) - 0.5 * np.bincount(inverse))[inverse] for _, inverse in (first, second)]
    spread = [float(r.std()) for r in ranks]
    if min(spread) == 0.0:
        return 0.0
    return float(((ranks[0] - ranks[0].mean()) * (ranks[1] - ranks[1].mean())).mean() / (spread[0] * spread[1]))


def strongest(history: History, column: int, candidates: list[int], limit: int) -> list[int]:
    """Return at most `limit` columns, those with the largest rank correlation with an objective, in their order."""
    if len(candidates) <= limit:
        return candidates
    rows = ~history.failed
    values = history.values[rows, column].numpy()
    x = history.x[rows].numpy()
    strength = []
    for c in candidates:
        active = ~np.isnan(x[:, c])
        strength.append(abs(rank_correlation(x[active, c], values[active])))
    kept = np.argsort(-np.array(strength), kind="stable")[:limit]
    return [candidates[i] for i in sorted(kept)]


def unit(space: Space, x: torch.Tensor, columns: list[int]) -> Array:
    """Return columns of points, shape (n, len(columns)), on [0, 1]; NaN where inactive."""
    u = space.to_unit(x)[:, columns].numpy().copy()
    u[np.isnan(x[:, columns].numpy())] = np.nan
    return u


def level_names(space: Space, column: int, length: int = 14) -> list[str]:
    """Return the levels of a categorical or ordinal parameter as text."""
    parameter: Any = space.parameters[space.names[column]]
    return [shorten(str(level), length) for level in parameter.levels]


def is_nominal(space: Space, column: int) -> bool:
    """Return whether a column holds level indices."""
    return int(space.kinds[column]) in (2, 3)


def unit_ticks(space: Space, column: int, most: int = 6) -> tuple[Array, list[str]]:
    """Return where to put ticks on [0, 1] for one parameter, and what to write there."""
    low, high = float(space.lower[column]), float(space.upper[column])
    if is_nominal(space, column):
        names = level_names(space, column)
        step = max(1, -(-len(names) // 12))
        codes = np.arange(0, len(names), step, dtype=np.float64)
        labels = [names[int(code)] for code in codes]
    elif low == high:
        codes, labels = np.array([low]), [number(low)]
    else:
        codes = _round_values(low, high, log=bool(space.log[column]), whole=bool(space.kinds[column]), most=most)
        labels = [number(float(code)) for code in codes]
    x = torch.full((len(codes), space.dim), torch.nan, dtype=torch.float64)
    x[:, column] = torch.from_numpy(codes)
    return space.to_unit(x)[:, column].numpy(), labels


def _round_values(low: float, high: float, *, log: bool, whole: bool, most: int) -> Array:
    """Return round values within [low, high]; the ends where there are too few."""
    if log and high / low >= 50.0:
        ticks = LogLocator(numticks=most).tick_values(low, high)
    elif log:
        ticks = LogLocator(subs=(1.0, 2.0, 5.0), numticks=most + 3).tick_values(low, high)
    else:
        ticks = MaxNLocator(nbins=most - 1, integer=whole, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    slack = 1e-9 * (high - low)
    inside = np.array([t for t in ticks if low - slack <= t <= high + slack], dtype=np.float64)
    return np.clip(inside, low, high) if len(inside) >= 2 else np.array([low, high])


def condition_text(space: Space, column: int, length: int = 28) -> str:
    """Return when a parameter is active, as "if kernel = poly"; empty where it always is."""
    when = space.parameters[space.names[column]].when if space.conditions else None
    if not when:
        return ""
    parts = []
    for parent, wanted in when.items():
        levels = wanted if isinstance(wanted, (list, tuple, set, frozenset)) else [wanted]
        parts.append(f"{parent} = {' or '.join(str(level) for level in levels)}")
    return shorten("if " + " and ".join(parts), length)
