"""Settings of another library's algorithm: JSON, so that they can be saved and compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from blackbox.errors import SettingError

__all__ = ["json_settings"]


def json_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of `settings` in which tuples, arrays and tensors are lists.

    Raises
    ------
    SettingError
        If an entry is not made of numbers, strings, lists and dictionaries.
    """
    if not isinstance(settings, Mapping):
        raise SettingError(f"settings: expected a mapping of name to value, got {settings!r}")
    made: dict[str, Any] = {}
    for name, value in settings.items():
        if not isinstance(name, str) or not name:
            raise SettingError(f"settings: expected names of arguments as keys, got {name!r}")
        try:
            made[name] = json.loads(json.dumps(value, default=_plain))
        except (TypeError, ValueError):
            raise SettingError(
                f"settings: {name}: expected numbers, strings, lists and dictionaries, got {value!r}; an operator is "
                'named as {"kind": "SBX", "eta": 15}'
            ) from None
    return made


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError
