"""Text in pictures: numbers, names, and labels at the ends of lines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from blackbox.objective import Objective
from blackbox.plot._canvas import figure_of

__all__ = [
    "EndLabel",
    "count",
    "direction",
    "from_scale",
    "label_ends",
    "number",
    "shorten",
    "solid_keys",
    "spread",
    "to_scale",
    "wants_log",
    "wrap",
]

Array = NDArray[np.float64]
_DECADES = -320.0, 300.0  # beyond, ticks cannot be placed
_LINE = 11.0  # points between the baselines of two labels


def number(value: float, digits: int = 4) -> str:
    """Return a number with so many significant digits: 0.3979, 1 234, 3.2e-7 as 3.2 x 10^-7."""
    if not np.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    size = abs(value)
    if 1e-3 <= size < 10 ** max(digits, 5):
        whole = max(digits - 1 - int(np.floor(np.log10(size))), 0)
        text = f"{value:.{whole}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
        return text.replace("-", "\N{MINUS SIGN}")
    mantissa, exponent = f"{value:.{min(digits, 3) - 1}e}".split("e")
    mantissa = (mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa).replace("-", "\N{MINUS SIGN}")
    power = f"$10^{{{int(exponent)}}}$"
    return power if mantissa == "1" else f"{mantissa}\N{MULTIPLICATION SIGN}{power}"


def count(n: int) -> str:
    """Return an integer with thin spaces between thousands."""
    return f"{n:,}".replace(",", "\N{THIN SPACE}")


def shorten(name: str, length: int = 24) -> str:
    """Return a name with its middle replaced by an ellipsis where it is longer than `length`; `$` is kept literal."""
    if len(name) > length:
        head = (length - 1 + 1) // 2
        name = name[:head] + "\N{HORIZONTAL ELLIPSIS}" + name[len(name) - (length - 1 - head) :]
    return name.replace("$", r"\$")


def to_scale(values: Array, *, log: bool) -> Array:
    """Return values as their axis counts them: themselves, or their decimal logarithms."""
    return np.asarray(np.log10(values) if log else values, dtype=np.float64)


def from_scale(value: float, *, log: bool) -> float:
    """Return the value at a place of `to_scale`; within the range of floats."""
    return float(10.0 ** min(max(value, _DECADES[0]), _DECADES[1])) if log else float(value)


def wrap(name: str, width: int, lines: int = 3) -> str:
    """Return a name broken into lines at spaces, underscores, points, slashes and hyphens, shortened to fit."""
    if len(name) <= width:
        return shorten(name, width)
    broken = [""]
    for piece in re.findall(r"[^\s_./-]*[\s_./-]?", name):
        if broken[-1] and len((broken[-1] + piece).rstrip()) > width:
            broken.append("")
        broken[-1] += piece
    if len(broken) > lines:
        broken = [*broken[: lines - 1], "".join(broken[lines - 1 :])]
    return "\n".join(shorten(line.rstrip(" "), width + 1) for line in broken)


def direction(objective: Objective) -> str:
    """Return an objective's name with its direction."""
    return f"{shorten(objective.name, 40)} ({'maximised' if objective.maximize else 'minimised'})"


def wants_log(values: Array, *, bulk: bool = False) -> bool:
    """Return whether positive values span two decades; with `bulk`, whether most of them do, extremes aside."""
    values = values[np.isfinite(values)]
    if len(values) < 2 or values.min() <= 0:
        return False
    low, high = np.quantile(values, [0.05, 0.95]) if bulk else (values.min(), values.max())
    return bool(high / low >= 100.0)


@dataclass(frozen=True, slots=True)
class EndLabel:
    """A label at the right end of a line, in data coordinates."""

    x: float
    y: float
    text: str
    colour: str


def spread(wanted: Array, sizes: Array, height: float) -> Array:
    """Return centres of labels of these sizes, near the wanted ones (ascending), without overlap, within the height.

    Labels that would overlap form a stack, centred on the mean of what they want.
    """
    stacks = [([i], float(wanted[i])) for i in range(len(wanted))]
    merged = True
    while merged:
        merged = False
        for k, (rows, centre) in enumerate(stacks):
            half = 0.5 * float(sizes[rows].sum())
            stacks[k] = (rows, float(np.clip(centre, half, max(height - half, half))))
        for k in range(len(stacks) - 1):
            (low, at), (high, above) = stacks[k], stacks[k + 1]
            if above - at < 0.5 * float(sizes[low + high].sum()) - 1e-9:
                rows = low + high
                stacks[k : k + 2] = [(rows, float(wanted[rows].mean()))]
                merged = True
                break
    placed = np.zeros(len(wanted))
    for rows, centre in stacks:
        bottom = centre - 0.5 * float(sizes[rows].sum())
        placed[rows] = bottom + np.cumsum(sizes[rows]) - 0.5 * sizes[rows]
    return placed


def label_ends(ax: Axes, labels: Sequence[EndLabel]) -> None:
    """Write labels right of the axes, each at the height of its line's end, pushed apart where they would overlap.

    The limits of the axes must be final.
    """
    if not labels:
        return
    box = ax.get_position()
    height = float(box.height * figure_of(ax).get_figheight() * 72.0)  # points; near enough before the layout is made
    low, high = ax.transAxes.transform((0, 0))[1], ax.transAxes.transform((0, 1))[1]
    heights = np.array([ax.transData.transform((label.x, label.y))[1] for label in labels])
    wanted = np.clip((heights - low) / (high - low), 0.0, 1.0) * height
    order = np.argsort(wanted, kind="stable")
    sizes = np.array([labels[i].text.count("\n") + 1 for i in order]) * _LINE
    placed = spread(wanted[order], sizes, height)
    for i, y in zip(order, placed, strict=True):
        label = labels[i]
        ax.annotate(
            label.text,
            (1.0, float(y / height)),
            xycoords="axes fraction",
            xytext=(6, 0),
            textcoords="offset points",
            ha="left",
            va="center",
            color=label.colour,
            fontsize=8.0,
            annotation_clip=False,
            linespacing=1.15,
        )


def solid_keys(legend: Any) -> None:
    """Make the keys of a legend darker than the faint points that they stand for."""
    for handle in legend.legend_handles:
        handle.set_alpha(0.7 if (handle.get_alpha() or 1.0) < 1.0 else 1.0)
