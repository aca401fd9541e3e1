"""Figures without pyplot: our style, new axes, and saving as PNG or SVG."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from blackbox.errors import SettingError, StorageError

__all__ = [
    "COLOURS",
    "FAINT",
    "INK",
    "MUTED",
    "check_path",
    "new_axes",
    "new_figure",
    "note",
    "polish",
    "save",
    "style",
]

# Okabe and Ito, Color universal design, 2008: told apart with any common colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#000000")
INK = "#222222"
MUTED = "#6B6B6B"
FAINT = "#D9D9D9"
WIDTH, HEIGHT = 5.6, 3.5  # inches, of a picture with one panel
_DPI = 200

_STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib, so that a picture is the same everywhere
    "font.size": 9.0,
    "axes.labelsize": 9.0,
    "axes.titlesize": 9.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#555555",
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": False,
    "axes.unicode_minus": True,
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-4, 5),
    "axes.formatter.use_mathtext": True,
    "axes.xmargin": 0.03,
    "axes.ymargin": 0.06,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.handlelength": 1.2,
    "legend.handletextpad": 0.5,
    "legend.borderaxespad": 0.2,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.bbox": None,
    "mathtext.default": "regular",
    "mathtext.fontset": "dejavusans",
    "path.simplify": True,
    "svg.fonttype": "path",
    "svg.hashsalt": "blackbox",  # the same picture gives the same bytes
}


@contextmanager
def style() -> Iterator[None]:
    """Apply our style inside the block only."""
    with matplotlib.rc_context(_STYLE):
        yield


def check_path(path: str | Path | None) -> Path | None:
    """Return the path of a picture to be saved.

    Raises
    ------
    SettingError
        Unless it ends in .png or .svg.
    """
    if path is None:
        return None
    try:
        checked = Path(path)
    except TypeError:
        raise SettingError(f"path: expected a file name ending in .png or .svg, got {path!r}") from None
    if checked.suffix.lower() not in (".png", ".svg"):
        raise SettingError(f"path: expected a file name ending in .png or .svg, got {str(path)!r}")
    return checked


def new_figure(width: float = WIDTH, height: float = HEIGHT) -> Figure:
    """Return an empty figure of this size in inches, unknown to pyplot."""
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06)  # type: ignore[union-attr, call-arg]
    return figure


def new_axes(ax: Axes | None, width: float = WIDTH, height: float = HEIGHT, *, projection: str | None = None) -> Axes:
    """Return the axes to draw on: the caller's, or those of a new figure.

    Raises
    ------
    SettingError
        If `ax` is no matplotlib axes, or not of the projection that is needed.
    """
    if ax is None:
        return new_figure(width, height).add_subplot(projection=projection)
    if not isinstance(ax, Axes):
        raise SettingError(f"ax: expected matplotlib axes or None, got {type(ax).__name__}")
    if (ax.name == "3d") != (projection == "3d"):
        raise SettingError(f"ax: expected axes with projection={projection!r}, got {ax.name!r}")
    return ax


def polish(ax: Axes, *, grid: str | None = "y") -> None:
    """Give axes our ticks, and hairlines along one axis ("x", "y", "both" or None)."""
    ax.tick_params(which="major", length=3.0, width=0.8, color="#555555", labelcolor=INK, labelsize=8.0)
    ax.tick_params(which="minor", length=1.6, width=0.6, color="#999999")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    if grid is not None:
        ax.grid(visible=True, axis=grid, color="#ECECEC", linewidth=0.7, zorder=0)  # type: ignore[arg-type]


def note(ax: Axes, text: str) -> None:
    """Write a small remark above the axes, at the right."""
    if text:
        ax.set_title(text, loc="right", fontsize=7.5, color=MUTED, pad=_above_keys(ax, 5.0))


def headline(ax: Axes, title: str | None) -> None:
    """Write a title above the axes, at the left."""
    if title is not None:
        pad = _above_keys(ax, 8.0)
        ax.set_title(title, loc="left", fontsize=10.0, color=INK, pad=pad, fontweight="bold")


def _above_keys(ax: Axes, pad: float) -> float:
    """Return the distance of a title from the axes in points, above a legend that stands there."""
    legend = ax.get_legend()
    stands = legend is not None and legend.get_bbox_to_anchor().transformed(ax.transAxes.inverted()).y0 >= 1.0
    return 20.0 if stands else pad


def save(figure: Any, path: Path | None) -> None:
    """Write a figure as PNG or SVG, whole or not at all.

    Raises
    ------
    StorageError
        If the file cannot be written.
    """
    if path is None:
        return
    kind = path.suffix.lower()[1:]
    buffer = io.BytesIO()
    metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {"Software": None}
    figure.savefig(buffer, format=kind, dpi=_DPI, metadata=metadata)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_bytes(buffer.getvalue())
        os.replace(partial, path)
    except OSError as error:
        with_reason = error.strerror or str(error)
        raise StorageError(f"path: cannot write {str(path)!r}: {with_reason}") from error
    finally:
        with suppress(OSError):  # where the directory is not ours to write to, nothing was left there
            partial.unlink(missing_ok=True)


def figure_of(ax: Axes) -> Any:
    """Return the whole figure that axes belong to."""
    figure: Any = ax.figure
    return figure if isinstance(figure, Figure) else figure.figure
