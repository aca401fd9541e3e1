"""Which numbers matrix products are made of while a network is trained."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch

__all__ = ["PRECISIONS", "Precision", "product_dtype"]

Precision: TypeAlias = Literal["float32", "bfloat16", "auto"]
PRECISIONS = ("float32", "bfloat16", "auto")


def product_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the dtype of matrix products; "auto" is bfloat16 where the device has units for it.

    Such units are the tensor cores of a GPU and the tiles (AMX) of a CPU; elsewhere bfloat16 is no faster, or slower.

    Examples
    --------
    >>> product_dtype("float32", torch.device("cpu"))
    torch.float32
    """
    if precision == "auto":
        return torch.bfloat16 if _has_units(device) else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def _has_units(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device.type == "cpu":
        found = getattr(torch.cpu, "_is_amx_tile_supported", None)
        return bool(found is not None and found())
    return False
