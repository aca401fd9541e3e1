"""Uniform numbers for kernels, drawn from one generator per run."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["draw", "split_draws"]


def draw(
    generators: torch.Generator | Sequence[torch.Generator],
    count: int,
    *,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """Return `count` uniform numbers in [0, 1) from each generator.

    Parameters
    ----------
    generators : torch.Generator or a sequence of them
        One run, or one generator for each of B runs; a run gets the same numbers alone and in a batch.

    Returns
    -------
    Tensor, shape (count,) or (B, count), on the generators' device
    """
    if isinstance(generators, torch.Generator):
        return torch.rand(count, generator=generators, dtype=dtype, device=generators.device)
    table = torch.empty((len(generators), count), dtype=dtype, device=generators[0].device)
    for row, generator in zip(table.unbind(), generators, strict=True):
        row.uniform_(generator=generator)
    return table


def split_draws(uniforms: Tensor, *shapes: tuple[int, ...]) -> list[Tensor]:
    """Return views of the given shapes, cut one after the other from the last dimension.

    Examples
    --------
    >>> [tuple(part.shape) for part in split_draws(torch.zeros(5, 10), (2, 3), (4,))]
    [(5, 2, 3), (5, 4)]
    """
    lead, start, parts = uniforms.shape[:-1], 0, []
    for shape in shapes:
        size = 1
        for length in shape:
            size *= length
        parts.append(uniforms[..., start : start + size].reshape(*lead, *shape))
        start += size
    return parts
