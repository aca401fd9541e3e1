"""Many Gaussian-process posterior means at once: functions that agree with the data, and their gradients.

Zero mean, covariance s exp(-|x - x'|^2 / (2 l^2)), noise of a given variance: for each pair (l, s) the posterior mean
is g(x) = sum_i k(x, x_i) a_i with a = (K + noise I)^-1 y, and its gradient is sum_i k(x, x_i) a_i (x_i - x) / l^2.
There is no fitting and no automatic differentiation here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from blackbox.errors import SettingError

__all__ = ["PosteriorDraws", "SmoothFunctions", "draw_posteriors"]

_BLOCK = 1 << 21  # covariances between points and data that one block holds
_FACTORS = 1 << 27  # numbers in the factorisations that are made together
_JITTER = (1e-8, 1e-6, 1e-4, 1e-2, 1.0)  # relative to the diagonal; the last is never used


class SmoothFunctions(Protocol):
    """S functions that can be evaluated with their gradients."""

    @property
    def size(self) -> int:
        """The number of functions S."""
        ...

    def mean(self, points: Tensor) -> Tensor:
        """Return values, shape (S, q), at points of shape (q, d), or (S, q, d): own points for each function."""
        ...

    def mean_and_gradient(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return values, shape (S, q), and gradients, shape (S, q, d), at points of shape (q, d) or (S, q, d)."""
        ...


@dataclass(frozen=True)
class PosteriorDraws:
    """Posterior means under S pairs of lengthscale and scale; `draw_posteriors` makes them.

    Attributes
    ----------
    x : Tensor, shape (n, d)
        The data.
    lengthscale, scale : Tensor, shape (S,)
    weights : Tensor, shape (S, n)
        a = (K + noise I)^-1 y of each function.
    jitter : Tensor, shape (S,)
        What had to be added to the diagonal, relative to it; 0 as a rule.
    """

    x: Tensor
    lengthscale: Tensor
    scale: Tensor
    weights: Tensor
    jitter: Tensor

    @property
    def size(self) -> int:
        """The number of functions S."""
        return len(self.lengthscale)

    def mean(self, points: Tensor) -> Tensor:
        """Return values, shape (S, q), at points of shape (q, d), or (S, q, d): own points for each function.

        O(S q n d) time; memory in blocks of points.
        """
        return self._evaluate(points, gradients=False)[0]

    def mean_and_gradient(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return values, shape (S, q), and gradients, shape (S, q, d), at points of shape (q, d) or (S, q, d)."""
        return self._evaluate(points, gradients=True)

    def _evaluate(self, points: Tensor, *, gradients: bool) -> tuple[Tensor, Tensor]:
        shared = points.dim() == 2
        q, d = points.shape[-2:]
        values = points.new_empty((self.size, q))
        slopes = points.new_empty((self.size, q, d) if gradients else (self.size, 0, d))
        block = max(1, _BLOCK // len(self.x))
        squares = self.x.square().sum(1) / 2
        for start in range(0, q, block):
            rows = slice(start, start + block)
            shared_half = _half_distances(points[rows], self.x, squares) if shared else None
            for s in range(self.size):
                here = points[rows] if shared else points[s, rows]
                half = _half_distances(here, self.x, squares) if shared_half is None else shared_half
                inner = self.lengthscale[s] ** -2
                terms = (half * -inner).exp_().mul_(self.weights[s] * self.scale[s])
                values[s, rows] = terms.sum(1)
                if gradients:
                    slopes[s, rows] = (terms @ self.x - here * values[s, rows, None]) * inner
        return values, slopes


def _half_distances(points: Tensor, x: Tensor, squares: Tensor) -> Tensor:
    """Return |p - x|^2 / 2 of every pair, shape (q, n)."""
    half = torch.addmm(squares, points, x.T, alpha=-1.0)
    return half.add_(points.square().sum(1, keepdim=True), alpha=0.5).clamp_(min=0.0)


def draw_posteriors(x: Tensor, y: Tensor, lengthscale: Tensor, scale: Tensor, *, noise: float = 0.01) -> PosteriorDraws:
    """Condition S Gaussian processes on one data set.

    The squared distances are shared by all; factorisations are in float64, as many together as memory allows.
    O(S n^3) time.

    Parameters
    ----------
    x : Tensor, shape (n, d)
        Finite; its dtype is that of later evaluations.
    y : Tensor, shape (n,)
        Standardised outcomes.
    lengthscale, scale : Tensor, shape (S,)
        l and s; positive.
    noise : float, default 0.01
        Variance of the noise, > 0.

    Raises
    ------
    SettingError
        If shapes disagree, or a covariance cannot be factorised even with jitter.

    References
    ----------
    Rasmussen and Williams, *Gaussian Processes for Machine Learning*, 2006, equation 2.25.

    Examples
    --------
    >>> x = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    >>> draws = draw_posteriors(x, torch.tensor([0.0, 1.0]), torch.tensor([0.5, 2.0]), torch.ones(2), noise=1e-6)
    >>> draws.mean(x).round(decimals=3).abs().tolist()
    [[0.0, 1.0], [0.0, 1.0]]
    """
    if x.dim() != 2 or y.shape != x.shape[:1] or not len(x):
        raise SettingError(f"x, y: expected shapes (n, d) and (n,), n >= 1, got {tuple(x.shape)} and {tuple(y.shape)}")
    if lengthscale.dim() != 1 or lengthscale.shape != scale.shape:
        raise SettingError(
            f"lengthscale, scale: expected one shape (S,), got {tuple(lengthscale.shape)} and {tuple(scale.shape)}"
        )
    wide, targets = x.to(torch.float64), y.to(x.device, torch.float64)
    half = _half_distances(wide, wide, wide.square().sum(1) / 2).fill_diagonal_(0.0)
    lengths, scales = (t.to(x.device, torch.float64) for t in (lengthscale, scale))
    together = max(1, _FACTORS // len(x) ** 2)
    parts, jitters = [], []
    for start in range(0, len(lengths), together):
        some = slice(start, start + together)
        kernel = torch.exp(half * -(lengths[some, None, None] ** -2)).mul_(scales[some, None, None])
        weights, jitter = _solve(kernel, targets, noise)
        parts.append(weights)
        jitters.append(jitter)
    weights = torch.cat(parts).to(x.dtype)
    return PosteriorDraws(x, lengths.to(x.dtype), scales.to(x.dtype), weights, torch.cat(jitters))


def _solve(kernel: Tensor, targets: Tensor, noise: float) -> tuple[Tensor, Tensor]:
    """Return (K + noise I)^-1 y, shape (b, n), and the jitter that each needed, shape (b,); overwrites the kernel."""
    diagonal = kernel.diagonal(dim1=-2, dim2=-1)
    diagonal.add_(noise)
    size = diagonal.mean(-1)
    jitter = torch.zeros_like(size)
    for following in _JITTER:
        factor, info = torch.linalg.cholesky_ex(kernel)
        failed = info > 0
        if not bool(failed.any()):
            return torch.cholesky_solve(targets[:, None], factor)[..., 0], jitter
        diagonal.add_(torch.where(failed, (following - jitter) * size, 0.0)[:, None])
        jitter = torch.where(failed, following, jitter)
    raise SettingError(f"x: the covariance of the data cannot be factorised with noise {noise:g}; is a row not finite?")
