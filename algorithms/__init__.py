"""Algorithms: small immutable records of settings that an `Optimizer` drives.

Each is loaded on first use, so that importing this package stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blackbox.algorithms.adapters.evox import EvoX as EvoX
    from blackbox.algorithms.adapters.pymoo import Pymoo as Pymoo
    from blackbox.algorithms.bayesian import BayesianOptimization as BayesianOptimization
    from blackbox.algorithms.bayesian.embedding import RandomEmbedding as RandomEmbedding
    from blackbox.algorithms.bayesian.trust_region import TuRBO as TuRBO
    from blackbox.algorithms.cma_es import CMAES as CMAES
    from blackbox.algorithms.consensus import ConsensusBased as ConsensusBased
    from blackbox.algorithms.evolutionary.de import DE as DE
    from blackbox.algorithms.evolutionary.ga import GA as GA
    from blackbox.algorithms.evolutionary.hype_search import HypE as HypE
    from blackbox.algorithms.evolutionary.moead import MOEAD as MOEAD
    from blackbox.algorithms.evolutionary.nsga2 import NSGA2 as NSGA2
    from blackbox.algorithms.evolutionary.nsga3 import NSGA3 as NSGA3
    from blackbox.algorithms.evolutionary.rvea_search import RVEA as RVEA
    from blackbox.algorithms.gradient_estimation import GradientEstimation as GradientEstimation
    from blackbox.algorithms.offline.best_of_data import BestOfData as BestOfData
    from blackbox.algorithms.offline.pareto_flow import ParetoFlow as ParetoFlow
    from blackbox.algorithms.offline.root import ROOT as ROOT
    from blackbox.algorithms.offline.surrogate_ascent import SurrogateAscent as SurrogateAscent
    from blackbox.algorithms.offline.surrogate_evolution import SurrogateEvolution as SurrogateEvolution
    from blackbox.algorithms.sampling import RandomSearch as RandomSearch
    from blackbox.algorithms.sampling import Sobol as Sobol

_HOMES = {
    "BayesianOptimization": "bayesian",
    "BestOfData": "offline.best_of_data",
    "CMAES": "cma_es",
    "ConsensusBased": "consensus",
    "DE": "evolutionary.de",
    "EvoX": "adapters.evox",
    "GA": "evolutionary.ga",
    "GradientEstimation": "gradient_estimation",
    "HypE": "evolutionary.hype_search",
    "MOEAD": "evolutionary.moead",
    "NSGA2": "evolutionary.nsga2",
    "NSGA3": "evolutionary.nsga3",
    "ParetoFlow": "offline.pareto_flow",
    "Pymoo": "adapters.pymoo",
    "ROOT": "offline.root",
    "RVEA": "evolutionary.rvea_search",
    "RandomEmbedding": "bayesian.embedding",
    "RandomSearch": "sampling",
    "Sobol": "sampling",
    "TuRBO": "bayesian.trust_region",
    "SurrogateAscent": "offline.surrogate_ascent",
    "SurrogateEvolution": "offline.surrogate_evolution",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
