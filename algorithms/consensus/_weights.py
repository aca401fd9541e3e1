"""Weights and consensus points: stable softmax, effective sample size, polarised consensus, clusters."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from blackbox.algorithms.consensus._options import Alpha, Polarised

__all__ = [
    "alpha_for_share",
    "cluster_minima",
    "consensus_point",
    "consensus_weights",
    "effective_sample_size",
    "polarised_consensus",
    "scheduled_share",
    "spread_of",
]

_LOG_RANGE = (-14.0, 40.0)  # of alpha times the mean gap; beyond it, ties and single particles are exact anyway


def shifted(f: Tensor) -> tuple[Tensor, Tensor]:
    """Return f - min f over the last axis, inf where f is not finite, and which are finite."""
    finite = torch.isfinite(f)
    f = torch.where(finite, f, math.inf)
    lowest = f.amin(-1, keepdim=True)
    return f - torch.where(torch.isfinite(lowest), lowest, 0.0), finite


def consensus_weights(f: Tensor, alpha: Tensor | float) -> Tensor:
    """Return softmax(-alpha f) over the last axis, 0 where f is not finite, and all 0 where none is.

    Parameters
    ----------
    f : Tensor, shape (..., n)
        Minimised; NaN and infinite values are failed evaluations.
    alpha : float or Tensor, shape (...)
        Infinite for the best particles (ties share).

    Returns
    -------
    Tensor, shape (..., n)
        The minimum is subtracted first: adding a constant to f changes nothing, and nothing overflows.
    """
    gap, finite = shifted(f)
    factor = torch.as_tensor(alpha, dtype=f.dtype, device=f.device)
    if factor.dim():
        factor = factor[..., None]
    z = torch.where(gap == 0, 0.0, gap * factor)  # 0 * inf is 0 here
    w = torch.where(finite, torch.exp(-z), 0.0)
    total = w.sum(-1, keepdim=True)
    return w / torch.where(total > 0, total, 1.0)


def effective_sample_size(w: Tensor) -> Tensor:
    """Return (sum w)^2 / sum w^2 over the last axis, 0 where all weights are 0."""
    square = (w * w).sum(-1)
    return torch.where(square > 0, w.sum(-1) ** 2 / torch.where(square > 0, square, 1.0), 0.0)


def alpha_for_share(f: Tensor, share: float) -> Tensor:
    """Return the alpha at which the effective sample size is `share` of the finite particles, at least one.

    Parameters
    ----------
    f : Tensor, shape (..., n)
    share : float in (0, 1]

    Returns
    -------
    Tensor, shape (...)
        Zero where f is constant. Scaling f by a scales alpha by 1/a: the weights are the same.

    Notes
    -----
    Log alpha is found by repeated sections into eight (the sample size falls monotonically), for f shifted by its
    minimum and divided by its mean: 5 rounds for an accuracy of 54 / 8^5 = 0.002 in log alpha. O(n) time and memory,
    no synchronisation with the device.
    """
    gap, finite = shifted(f)
    gap = torch.where(finite, gap, 0.0)
    n = finite.sum(-1)
    largest = gap.amax(-1)  # divided by it first: no overflow and no underflow in the mean
    unit = torch.where(largest > 0, largest, 1.0)
    mean = (gap / unit[..., None]).sum(-1) / n.clamp_min(1)
    scale = unit * torch.where(mean > 0, mean, 1.0)
    z = torch.where(finite, gap / scale[..., None], math.inf)[..., None, :]
    target = (share * n).clamp_min(1.0)[..., None]
    low = torch.full_like(scale, _LOG_RANGE[0])
    width = _LOG_RANGE[1] - _LOG_RANGE[0]
    ticks = torch.arange(1, 8, dtype=f.dtype, device=f.device) / 8
    for _ in range(5):
        w = torch.exp(-torch.exp(low[..., None] + width * ticks)[..., None] * z)
        too_small = effective_sample_size(w) >= target  # alpha can still grow
        low = low + too_small.sum(-1) * (width / 8)
        width = width / 8
    alpha = (torch.exp(low + width / 2) / scale).clamp_max(torch.finfo(f.dtype).max)
    return torch.where(largest > 0, alpha, 0.0)


def scheduled_share(schedule: Alpha, step: int, n: int) -> float:
    """Return the share of particles that count in step `step` of n particles."""
    return max(schedule.share * schedule.shrink**step, min(schedule.last_share, schedule.share), 1.0 / n)


def spread_of(f: Tensor) -> Tensor:
    """Return median - min of the finite values over the last axis, 1 where that is 0 or undefined."""
    gap, finite = shifted(f)
    middle = torch.where(finite, gap, math.nan).nanmedian(-1).values
    return torch.where(torch.isfinite(middle) & (middle > 0), middle, 1.0)


def consensus_point(x: Tensor, w: Tensor) -> Tensor:
    """Return the weighted mean of points x (..., n, d) with weights w (..., n), shape (..., d)."""
    return torch.matmul(w[..., None, :], x)[..., 0, :]


def polarised_consensus(x: Tensor, f: Tensor, alpha: Tensor, options: Polarised) -> Tensor:
    """Return the consensus of each particle: the mean with weights k(x_i, x_j) exp(-alpha f_j).

    Parameters
    ----------
    x : Tensor, shape (B, n, d)
    f : Tensor, shape (B, n)
    alpha : Tensor, shape (B,)
    options : Polarised

    Returns
    -------
    Tensor, shape (B, n, d)
        A particle that no finite one is near stays its own consensus. O(B n^2 d) time, O(B rows n) memory.

    References
    ----------
    Bungert, Wacker, Roith, "Polarized consensus-based dynamics for optimization and sampling" (2022). The kernel is
    not raised to the power alpha here.
    """
    gap, finite = shifted(f)
    exponent = torch.where(finite, -gap * alpha[:, None], -math.inf)[:, None, :]
    blocks = []
    for start in range(0, x.shape[1], options.rows):
        here = x[:, start : start + options.rows]
        logits = exponent + _log_kernel(torch.cdist(here, x), options)
        top = logits.amax(-1, keepdim=True)
        w = torch.exp(logits - torch.where(torch.isfinite(top), top, 0.0))
        total = w.sum(-1, keepdim=True)
        mean = torch.matmul(w, x) / torch.where(total > 0, total, 1.0)
        blocks.append(torch.where(total > 0, mean, here))
    return torch.cat(blocks, 1)


def _log_kernel(r: Tensor, options: Polarised) -> Tensor:
    s = r / options.kappa
    if options.kernel == "gaussian":
        return -0.5 * s * s
    if options.kernel == "laplace":
        return -s
    if options.kernel == "ball":
        return torch.where(s <= 1, 0.0, -math.inf)
    return -torch.log1p(s * s)


def cluster_minima(x: Tensor, f: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """Return the best point of each cluster of points, best first.

    Parameters
    ----------
    x : Tensor, shape (n, d)
    f : Tensor, shape (n,)
        Rows that are not finite are left out.
    radius : float
        Greedy: the best point is a minimum, all within `radius` of it belong to it, and so on.

    Returns
    -------
    (Tensor, shape (r, d), Tensor, shape (r,))
        Points and values of the r clusters. O(r n d); one step a cluster.
    """
    keep = torch.isfinite(f)
    order = torch.argsort(f[keep], stable=True)
    x, f = x[keep][order], f[keep][order]
    points, values = [], []
    while len(f):
        points.append(x[0])
        values.append(f[0])
        far = torch.linalg.vector_norm(x - x[0], dim=-1) > radius
        x, f = x[far], f[far]
    if not points:
        return x, f
    return torch.stack(points), torch.stack(values)
