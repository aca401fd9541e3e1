"""Algorithms of other libraries through our interface; each library is imported when its adapter is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blackbox.algorithms.adapters.evox import EvoX as EvoX
    from blackbox.algorithms.adapters.pymoo import Pymoo as Pymoo

_HOMES = {"EvoX": "evox", "Pymoo": "pymoo"}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
