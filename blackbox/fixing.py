"""`ask(fixed=...)`: values that every candidate of one request must have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from blackbox.errors import SpaceError
from blackbox.reduction import Reduction
from blackbox.space import Space

__all__ = ["fix_columns", "parse_fixed"]


def parse_fixed(space: Space, fixed: Mapping[str, Any], reduction: Reduction) -> Tensor:
    """Return the codes of fixed values, shape (d,), NaN where free.

    Raises
    ------
    SpaceError
        If a value is not in the space, contradicts a constant column, or belongs to a parameter whose condition
        is not fixed along with it.
    """
    if not isinstance(fixed, Mapping):
        raise SpaceError(f"fixed: expected a mapping of parameter to value, got {fixed!r}")
    if not isinstance(space, Space):
        raise SpaceError(f"fixed: a genome has no named parameters to fix, got {fixed!r}")
    codes = torch.full((space.dim,), math.nan, dtype=torch.float64)
    for name, value in fixed.items():
        codes[space.index(name)] = space.code(name, value)
    constants = reduction.constants
    for name in fixed:
        column = space.index(name)
        if column in constants and constants[column] != float(codes[column]):
            raise SpaceError(
                f"{name}: it is constant in this search and cannot be fixed to {fixed[name]!r}",
                parameter=name,
            )
        for condition in space.conditions:
            settled = constants.get(condition.parent, float(codes[condition.parent]))
            if condition.child == column and settled not in condition.codes:
                parent = space.names[condition.parent]
                raise SpaceError(
                    f"{name}: to fix it, fix {parent!r} to a value under which it is active, too",
                    parameter=name,
                )
    return codes


def fix_columns(space: Space, x: Tensor, codes: Tensor, generator: torch.Generator) -> Tensor:
    """Return points with fixed columns in place; columns that become active by it are drawn at random."""
    codes = codes.to(x.device, x.dtype)
    x = torch.where(torch.isnan(codes), x, codes)
    if space.conditions:
        missing = torch.isnan(x) & space.activity(x)
        if bool(missing.any()):
            drawn = space.from_unit(torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device))
            drawn = torch.where(missing & torch.isnan(drawn), space.bounds(x.dtype, x.device)[0], drawn)
            x = torch.where(missing, drawn, x)
    return x
