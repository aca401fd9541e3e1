"""The transformations of the WFG toolkit, element by element or over the last axis, clamped to [0, 1].

References
----------
Huband, Hingston, Barone, While. A Review of Multiobjective Test Problems and a Scalable Test Problem Toolkit, IEEE
Transactions on Evolutionary Computation 10, 2006, table XI.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = [
    "bias_flat",
    "bias_parameter",
    "bias_polynomial",
    "reduce_non_separable",
    "reduce_pairs",
    "shift_deceptive",
    "shift_linear",
    "shift_multimodal",
]


def bias_polynomial(y: Tensor, alpha: float) -> Tensor:
    """Return y^alpha."""
    return y.clamp(0.0, 1.0) ** alpha


def bias_flat(y: Tensor, a: float, b: float, c: float) -> Tensor:
    """Return y with the region [b, c] mapped to the value a."""
    below = (y - b).floor().clamp_max(0.0) * a * (b - y) / b
    above = (c - y).floor().clamp_max(0.0) * (1 - a) * (y - c) / (1 - c)
    return (a + below - above).clamp(0.0, 1.0)


def bias_parameter(y: Tensor, u: Tensor) -> Tensor:
    """Return y raised to a power between 0.02 and 50 that depends on u (A = 0.98 / 49.98)."""
    a = 0.98 / 49.98
    v = a - (1 - 2 * u) * ((0.5 - u).floor() + a).abs()
    return (y.clamp(0.0, 1.0) ** (0.02 + 49.98 * v)).clamp(0.0, 1.0)


def shift_linear(y: Tensor, a: float = 0.35) -> Tensor:
    """Return y folded at a, which becomes 0."""
    return ((y - a).abs() / ((a - y).floor() + a).abs()).clamp(0.0, 1.0)


def shift_deceptive(y: Tensor, a: float = 0.35, b: float = 0.001, c: float = 0.05) -> Tensor:
    """Return y with a narrow global optimum at a and deceptive ones at 0 and 1."""
    left = (y - a + b).floor() * (1 - c + (a - b) / b) / (a - b)
    right = (a + b - y).floor() * (1 - c + (1 - a - b) / b) / (1 - a - b)
    return (1 + ((y - a).abs() - b) * (left + right + 1 / b)).clamp(0.0, 1.0)


def shift_multimodal(y: Tensor, a: float, b: float, c: float = 0.35) -> Tensor:
    """Return y with its global optimum at c among many local ones."""
    away = (y - c).abs() / (2 * ((c - y).floor() + c))
    return ((1 + torch.cos((4 * a + 2) * math.pi * (0.5 - away)) + 4 * b * away.square()) / (b + 2)).clamp(0.0, 1.0)


def reduce_non_separable(y: Tensor) -> Tensor:
    """Return the non-separable reduction of y over its last axis, of full degree (A = k), shape (...,).

    The sum of all distances comes from one sort: time O(k log k), where the textbook form takes k^2.
    """
    k = y.shape[-1]
    half = math.ceil(k / 2)
    weights = 2 * torch.arange(1, k + 1, dtype=y.dtype, device=y.device) - (k + 1)
    distances = 2 * (y.sort(-1).values * weights).sum(-1)
    return ((y.sum(-1) + distances) / (half * (1 + 2 * k - 2 * half))).clamp(0.0, 1.0)


def reduce_pairs(y: Tensor) -> Tensor:
    """Return the non-separable reduction of neighbouring pairs (A = 2), shape (n, k / 2), of y of shape (n, k)."""
    first, second = y[:, 0::2], y[:, 1::2]
    return ((first + second + 2 * (first - second).abs()) / 3).clamp(0.0, 1.0)
