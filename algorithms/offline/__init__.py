"""Algorithms that search with a told data set only: data in, designs out, no further evaluation needed.

The options of `ROOT` (`Synthetic`, `Walks`, `Proposing`) and of `ParetoFlow` (`Guidance`) are here, too; those of what
they train (`BridgeSettings`, `BridgeSampling`, `EnsembleSettings`, `FlowSettings`) are in `blackbox.surrogates`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blackbox.algorithms.offline.best_of_data import BestOfData as BestOfData
    from blackbox.algorithms.offline.pareto_flow import Guidance as Guidance
    from blackbox.algorithms.offline.pareto_flow import ParetoFlow as ParetoFlow
    from blackbox.algorithms.offline.root import ROOT as ROOT
    from blackbox.algorithms.offline.root import Proposing as Proposing
    from blackbox.algorithms.offline.root import Synthetic as Synthetic
    from blackbox.algorithms.offline.root import Walks as Walks
    from blackbox.algorithms.offline.surrogate_ascent import SurrogateAscent as SurrogateAscent
    from blackbox.algorithms.offline.surrogate_evolution import SurrogateEvolution as SurrogateEvolution

_HOMES = {
    "BestOfData": "best_of_data",
    "Guidance": "pareto_flow",
    "ParetoFlow": "pareto_flow",
    "Proposing": "root",
    "ROOT": "root",
    "SurrogateAscent": "surrogate_ascent",
    "SurrogateEvolution": "surrogate_evolution",
    "Synthetic": "root",
    "Walks": "root",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
