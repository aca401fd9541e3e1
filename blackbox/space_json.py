"""Parameters as JSON trees, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from blackbox.errors import SpaceError
from blackbox.parameters import Categorical, Integer, Normal, Ordinal, Parameter, Real

__all__ = ["parameter_from_json", "parameter_to_json"]

_KINDS: dict[str, type[Parameter]] = {p.kind: p for p in (Real, Integer, Categorical, Ordinal)}


def parameter_to_json(parameter: Parameter) -> dict[str, Any]:
    """Return a JSON tree of one parameter, defaults left out."""
    tree: dict[str, Any] = {"kind": parameter.kind}
    for field in fields(parameter):
        value = getattr(parameter, field.name)
        if value is None or (field.name == "log" and value is False):
            continue
        if field.name == "environment" and isinstance(value, Normal):
            value = {"mean": value.mean, "std": value.std}
        elif field.name == "when":
            value = dict(value)
        elif isinstance(value, (list, tuple)):
            value = list(value)
        tree[field.name] = value
    return tree


def parameter_from_json(tree: Mapping[str, Any]) -> Parameter:
    """Return the parameter of a tree from `parameter_to_json`; also what a study's TOML file holds.

    Raises
    ------
    SpaceError
        If the kind or a key is unknown.
    """
    if not isinstance(tree, Mapping):
        raise SpaceError(f"expected a table of kind, bounds or levels, got {tree!r}")
    kind = tree.get("kind", "categorical" if "levels" in tree else "real")
    if kind not in _KINDS:
        raise SpaceError(f"kind: expected one of {', '.join(_KINDS)}, got {kind!r}")
    known = [field.name for field in fields(_KINDS[kind])]
    unknown = sorted(set(tree) - set(known) - {"kind"})
    if unknown:
        raise SpaceError(f"{unknown[0]}: no such key for kind {kind!r}; expected some of {', '.join(known)}")
    settings = {key: value for key, value in tree.items() if key != "kind"}
    if isinstance(settings.get("environment"), Mapping):
        settings["environment"] = Normal(**settings["environment"])
    required = ["levels"] if kind in ("categorical", "ordinal") else ["low", "high"]
    for key in required:
        if key not in settings:
            raise SpaceError(f"{key}: missing for kind {kind!r}")
    return _KINDS[kind](**settings)
