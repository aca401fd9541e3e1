"""Pictures of a search, drawn with matplotlib: each returns its axes, and saves them where a path is given.

::

    from blackbox import plot

    plot.convergence(study, path="convergence.png")
    plot.convergence(study, compare={"random search": other}, label="Bayesian optimization")
    plot.comparison(bb.sweep(algorithms, problems, evaluations=1000))
    plot.front(History.of(problem, batch.x, values), path="front.svg")

The first argument is a `Study`, a `History`, or anything with the fields of a `History`; `History.of` makes one of
plain arrays. No global state of matplotlib is changed: no backend, no pyplot figure, no setting. Matplotlib is loaded
when the first picture is drawn.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from blackbox.plot.history import History

if TYPE_CHECKING:
    from blackbox.plot._calibration import calibration as calibration
    from blackbox.plot._comparison import comparison as comparison
    from blackbox.plot._convergence import convergence as convergence
    from blackbox.plot._front import front as front
    from blackbox.plot._hypervolume import hypervolume as hypervolume
    from blackbox.plot._importance import importance as importance
    from blackbox.plot._parallel import parallel_coordinates as parallel_coordinates
    from blackbox.plot._slices import slices as slices
    from blackbox.plot._stopping import stopping as stopping

_HOMES = {
    "calibration": "_calibration",
    "comparison": "_comparison",
    "convergence": "_convergence",
    "front": "_front",
    "hypervolume": "_hypervolume",
    "importance": "_importance",
    "parallel_coordinates": "_parallel",
    "slices": "_slices",
    "stopping": "_stopping",
}

__all__ = ["History", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
