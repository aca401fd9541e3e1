"""Arguments that are checked in the same way in many places."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from blackbox.errors import SettingError

__all__ = ["checked_device", "is_finite", "is_whole", "whole_number"]


def is_whole(value: Any, least: int) -> bool:
    """Return whether a value is an integer, NumPy's included and booleans not, of at least `least`."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and bool(value >= least)


def is_finite(value: Any) -> bool:
    """Return whether a value is a finite real number, NumPy's included, booleans and tensors not."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the range of floats
        return False


def whole_number(value: Any, name: str, least: int) -> int:
    """Return an integer argument as an int.

    Raises
    ------
    SettingError
        If it is none, or smaller than `least`; the message names the argument.
    """
    if not is_whole(value, least):
        raise SettingError(f"{name}: expected an integer >= {least}, got {value!r}")
    return int(value)


def checked_device(device: Any) -> torch.device:
    """Return a device with its index, on which memory can be had.

    Raises
    ------
    SettingError
        If there is no such device here.
    """
    try:
        found = torch.empty(0, device=device).device
    except (RuntimeError, TypeError, AssertionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SettingError(f"device: expected one that can be used here, got {device!r}: {reason}") from None
    if found.type == "meta":
        raise SettingError(f"device: expected one that holds data, got {device!r}")
    return found
