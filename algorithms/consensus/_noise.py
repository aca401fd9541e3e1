"""Random moves: the diffusion terms. All draws come from the generator that is given."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

__all__ = [
    "covariance_noise",
    "diffusion",
    "pick_flat",
    "pick_rows",
    "random_subset",
]


def diffusion(
    gap: Tensor, xi: Tensor, kind: Literal["component", "isotropic", "constant"], truncation: float | None = None
) -> Tensor:
    """Return the noise of each particle, without its strength sigma sqrt(dt).

    Parameters
    ----------
    gap : Tensor, shape (..., d)
        x - c.
    xi : Tensor, shape (..., d)
        Standard normals.
    kind : str
        "component": gap * xi; "isotropic": |gap| xi; "constant": xi.
    truncation : float, optional
        Gaps longer than this count as this long (truncated noise: Fornasier, Richtarik, Riedl, Sun 2023).
    """
    if kind == "constant":
        return xi
    if truncation is None:
        return gap.mul(xi) if kind == "component" else _length(gap).mul(xi)
    length = _length(gap)
    if kind == "isotropic":
        return length.clamp_max(truncation).mul(xi)
    return gap.mul(xi).mul_(length.clamp_min(truncation).reciprocal_().mul_(truncation))


def _length(gap: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(gap, dim=-1, keepdim=True)
    return length


def covariance_noise(gap: Tensor, w: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Return n draws with the weighted covariance C = sum_j w_j gap_j gap_j'.

    Parameters
    ----------
    gap : Tensor, shape (B, m, d)
        x_j - c.
    w : Tensor, shape (B, m)
    n : int
    generator : torch.Generator

    Returns
    -------
    Tensor, shape (B, n, d)
        With fewer particles than variables, normals times the m columns gap_j sqrt(w_j); otherwise times the
        triangular factor of these, R'R = C. No eigenvalue can come out negative, and no d x d root is made for
        m < d. O(B (n + d) m d).
    """
    factor = gap * w[..., None].sqrt()
    if factor.shape[-2] > factor.shape[-1]:
        factor = torch.linalg.qr(factor, mode="r").R
    shape = (factor.shape[0], n, factor.shape[-2])
    return torch.randn(shape, dtype=gap.dtype, device=gap.device, generator=generator) @ factor


def pick_rows(x: Tensor, rows: Tensor) -> Tensor:
    """Return x[b, rows[b]] for points x (B, n, d) and rows (B, k), shape (B, k, d)."""
    runs, n, d = x.shape
    if runs > 1:
        rows = rows + torch.arange(0, runs * n, n, device=x.device)[:, None]
    return x.reshape(runs * n, d).index_select(0, rows.reshape(-1)).reshape(runs, -1, d)


def pick_flat(x: Tensor, rows: Tensor) -> Tensor:
    """Return points x (B, n, d) at rows (B, k) that are counted through all runs, shape (B, k, d)."""
    runs, n, d = x.shape
    return x.reshape(runs * n, d).index_select(0, rows.reshape(-1)).view(*rows.shape, d)


def random_subset(threshold: Tensor, generator: torch.Generator, *, out: Tensor) -> Tensor:
    """Fill `out` (B, n, d) with ones of probability threshold / 2**16 + 1/2 (B, n, 1), int16, and zeros; return it.

    Four coordinates share one draw of 64 bits.
    """
    count = out.numel()
    bits = torch.empty((count + 3) // 4, dtype=torch.int64, device=out.device)
    bits = bits.random_(-(2**63), None, generator=generator).view(torch.int16)[:count].view(out.shape)
    return out.copy_((bits < threshold).view(torch.uint8))  # converted faster than bool
