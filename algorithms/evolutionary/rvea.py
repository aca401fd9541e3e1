"""RVEA: angles to reference vectors, and the angle-penalised distance that picks one row for each."""

from __future__ import annotations

import torch
from torch import Tensor

from blackbox.algorithms.evolutionary.niching import associate

__all__ = ["adapt_directions", "neighbour_angles", "reference_winners"]

_BLOCK_CPU = 1 << 22
_BLOCK_ACCELERATOR = 1 << 26


def neighbour_angles(directions: Tensor) -> Tensor:
    """Return for each direction the smallest angle to another one, in radians.

    Parameters
    ----------
    directions : Tensor, shape (r, m)

    Returns
    -------
    Tensor, shape (r,)
        At least 1e-6; pi / 2 for a single direction. O(r^2 m) time, O(block) memory.
    """
    unit = directions / directions.norm(dim=-1, keepdim=True)
    r = len(unit)
    block = _BLOCK_CPU if unit.device.type == "cpu" else _BLOCK_ACCELERATOR
    rows = max(1, block // r)
    parts = []
    for start in range(0, r, rows):
        here = unit[start : start + rows]
        # The length of the chord keeps small angles apart, where the cosine is 1 to rounding.
        chord = torch.cdist(here, unit, compute_mode="donot_use_mm_for_euclid_dist")
        own = torch.arange(start, start + len(here), device=unit.device).unsqueeze(-1)
        parts.append(chord.scatter(-1, own, 2**0.5).amin(-1))
    return 2 * torch.asin((torch.cat(parts) / 2).clamp(max=0.5**0.5)).clamp(min=5e-7)


def reference_winners(
    f: Tensor,
    ideal: Tensor,
    directions: Tensor,
    angles: Tensor,
    penalty: float | Tensor,
    mask: Tensor,
    *,
    divisions: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Return for each reference direction the row with the least angle-penalised distance.

    The distance is |f - z| (1 + penalty * angle / angle between neighbours); each row competes for the
    direction nearest to it.

    Parameters
    ----------
    f : Tensor, shape (..., n, m)
        Finite values.
    ideal : Tensor, shape (..., m)
    directions : Tensor, shape (r, m)
    angles : Tensor, shape (r,)
        From `neighbour_angles`.
    penalty : float
        m (t / t_max)^alpha in the paper.
    mask : Tensor, shape (..., n), bool
        Rows that take part.
    divisions : int, optional
        Says that the directions are `das_dennis(m, divisions)`, unscaled.

    Returns
    -------
    rows : Tensor, shape (..., r), int64
        Index of the winner, the first of equals; 0 where there is none.
    valid : Tensor, shape (..., r), bool
        Directions that have a row.

    References
    ----------
    R. Cheng, Y. Jin, M. Olhofer, B. Sendhoff, A reference vector guided evolutionary algorithm for
    many-objective optimization, 2016, equations 7 to 10 and algorithm 3.
    """
    n, r = f.shape[-2], len(directions)
    gap = (f - ideal.unsqueeze(-2)).clamp(min=0)
    niche, far = associate(gap, directions, divisions=divisions)
    length = (gap * gap).sum(-1).sqrt()
    sine = (far / torch.where(length > 0, length, 1.0)).clamp(0, 1)
    distance = length * (1 + penalty * torch.asin(sine) / angles[niche])
    distance = torch.where(mask, distance, torch.inf)
    shape = (*f.shape[:-2], r)
    least = torch.full(shape, torch.inf, dtype=f.dtype, device=f.device)
    least = least.scatter_reduce(-1, niche, distance, "amin")
    index = torch.arange(n, device=f.device).expand_as(niche)
    index = torch.where(mask & (distance == least.gather(-1, niche)), index, n)
    winner = torch.full(shape, n, dtype=torch.int64, device=f.device).scatter_reduce(-1, niche, index, "amin")
    valid = winner < n
    return torch.where(valid, winner, 0), valid


def adapt_directions(directions: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return the directions scaled by the range of the front, to unit length.

    Parameters
    ----------
    directions : Tensor, shape (r, m)
    low, high : Tensor, shape (..., m)
        A range of 0 counts as 1.

    Returns
    -------
    Tensor, shape (..., r, m)

    References
    ----------
    R. Cheng and others, 2016, equation 11.
    """
    span = (high - low).unsqueeze(-2)
    scaled = directions * torch.where(span > 0, span, 1.0)
    length: Tensor = scaled.norm(dim=-1, keepdim=True)
    return scaled / length
