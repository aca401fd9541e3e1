"""Surrogates: models learned from data that algorithms draw on."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blackbox.surrogates.bridge import Bridge as Bridge
    from blackbox.surrogates.bridge import BridgeSampling as BridgeSampling
    from blackbox.surrogates.bridge import BridgeSettings as BridgeSettings
    from blackbox.surrogates.bridge_training import fit_bridge as fit_bridge
    from blackbox.surrogates.encoding import Encoding as Encoding
    from blackbox.surrogates.ensemble import Ensemble as Ensemble
    from blackbox.surrogates.ensemble import EnsembleSettings as EnsembleSettings
    from blackbox.surrogates.ensemble import fit_ensemble as fit_ensemble
    from blackbox.surrogates.flow import Flow as Flow
    from blackbox.surrogates.flow import FlowSettings as FlowSettings
    from blackbox.surrogates.flow import fit_flow as fit_flow
    from blackbox.surrogates.gaussian_process import GaussianProcess as GaussianProcess
    from blackbox.surrogates.gaussian_process import Posterior as Posterior
    from blackbox.surrogates.posterior_draws import PosteriorDraws as PosteriorDraws
    from blackbox.surrogates.posterior_draws import draw_posteriors as draw_posteriors
    from blackbox.surrogates.sequence_draws import draw_sequence_posteriors as draw_sequence_posteriors

_HOMES = {
    "Bridge": "bridge",
    "BridgeSampling": "bridge",
    "BridgeSettings": "bridge",
    "fit_bridge": "bridge_training",
    "draw_posteriors": "posterior_draws",
    "draw_sequence_posteriors": "sequence_draws",
    "Encoding": "encoding",
    "PosteriorDraws": "posterior_draws",
    "Ensemble": "ensemble",
    "EnsembleSettings": "ensemble",
    "Flow": "flow",
    "FlowSettings": "flow",
    "fit_flow": "flow",
    "GaussianProcess": "gaussian_process",
    "Posterior": "gaussian_process",
    "fit_ensemble": "ensemble",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
