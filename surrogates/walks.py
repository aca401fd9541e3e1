"""Walks down and up many functions at once, from the same starts: the pairs that a bridge learns from."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from blackbox.surrogates.posterior_draws import SmoothFunctions

__all__ = ["Ends", "Interval", "WalkTable", "tabulate_walks", "walk"]

Interval: TypeAlias = tuple[float, float]
Draw: TypeAlias = Callable[[Tensor, Tensor], SmoothFunctions]

_SIZES = ((3, 2), (5, 2), (7, 3))  # nodes in the lengthscale and in the scale
_CHECK = (0.0, 1.0)  # where an interpolation is compared with the walk itself: the corner that is hardest to meet


@dataclass(frozen=True)
class Ends:
    """Where walks from q starts on S functions ended.

    Attributes
    ----------
    low, high : Tensor, shape (S, q, d)
        The ends of descent and of ascent.
    low_value, high_value : Tensor, shape (S, q)
        The functions there.
    """

    low: Tensor
    high: Tensor
    low_value: Tensor
    high_value: Tensor

    def __getitem__(self, rows: slice) -> Ends:
        return Ends(self.low[rows], self.high[rows], self.low_value[rows], self.high_value[rows])


def walk(functions: SmoothFunctions, start: Tensor, *, steps: int, rate: float) -> Ends:
    """Walk down and up S functions by plain gradient steps, all at once.

    Parameters
    ----------
    functions : SmoothFunctions
    start : Tensor, shape (q, d)
        Common to all functions and both directions.
    steps : int
    rate : float
        x <- x +- rate * gradient.

    References
    ----------
    Dao et al., *ROOT: Rethinking Offline Optimization as Distributional Translation via Probabilistic Bridge*, NeurIPS
    2025, equations 12 and 13.
    """
    q = len(start)
    points = start.repeat(2, 1).expand(functions.size, -1, -1).clone()
    signed = points.new_full((2 * q, 1), rate)
    signed[:q] = -rate
    for _ in range(steps):
        points.addcmul_(functions.mean_and_gradient(points)[1], signed)
    values = functions.mean(points)
    return Ends(points[:, :q], points[:, q:], values[:, :q], values[:, q:])


@dataclass(frozen=True)
class WalkTable:
    """Ends of walks as a function of lengthscale and scale: polynomials through Chebyshev nodes.

    Attributes
    ----------
    lengthscales, scales : Tensor, shapes (L,), (R,)
        The nodes.
    ends : Ends
        On the L R functions, the scale running fastest.
    error : float
        The largest root mean square error of ends where it was checked, relative to that of high - low; 0 unchecked.
    """

    lengthscales: Tensor
    scales: Tensor
    ends: Ends
    error: float = 0.0

    def at(self, lengthscale: Tensor, scale: Tensor) -> Ends:
        """Return the ends for S pairs, each of shape (S,)."""
        a, b = _lagrange(self.lengthscales, lengthscale), _lagrange(self.scales, scale)
        mix = (a[:, :, None] * b[:, None, :]).flatten(1)

        def mixed(table: Tensor) -> Tensor:
            return (mix.to(table) @ table.flatten(1)).reshape(len(mix), *table.shape[1:])

        ends = self.ends
        return Ends(mixed(ends.low), mixed(ends.high), mixed(ends.low_value), mixed(ends.high_value))


def tabulate_walks(
    draw: Draw,
    start: Tensor,
    lengthscale: Interval,
    scale: Interval,
    *,
    steps: int,
    rate: float,
    tolerance: float,
    like: WalkTable | None = None,
) -> WalkTable | None:
    """Return the ends of walks for every lengthscale and scale in two intervals; None where interpolation fails.

    The functions change smoothly with their hyper-parameters, and so do the ends of walks on them. A few walks at
    Chebyshev nodes therefore stand for any number of draws. The number of nodes grows until a walk in
    a corner, where polynomials through such nodes err most, is met within the tolerance.

    Parameters
    ----------
    draw : callable
        Returns the functions of lengthscales and scales, each of shape (S,).
    start : Tensor, shape (q, d)
    lengthscale, scale : (float, float)
    steps, rate : int, float
        Of the walks.
    tolerance : float
        Relative to the root mean square of high - low.
    like : WalkTable, optional
        Of functions of the same kind (of another sample of the data, say): its nodes are taken, without a check.
    """
    if like is not None:
        table = _tabulate(draw, start, like.lengthscales, like.scales, steps, rate)
        return WalkTable(table.lengthscales, table.scales, table.ends, like.error)
    pairs = zip((lengthscale, scale), _CHECK, strict=True)
    lengths, scales = (torch.tensor([low + (high - low) * share], dtype=torch.float64) for (low, high), share in pairs)
    truth = walk(draw(lengths, scales), start, steps=steps, rate=rate)
    for n_lengths, n_scales in _SIZES:
        table = _tabulate(draw, start, _nodes(lengthscale, n_lengths), _nodes(scale, n_scales), steps, rate)
        error = _error(table.at(lengths, scales), truth)
        if error <= tolerance:
            return WalkTable(table.lengthscales, table.scales, table.ends, error)
    return None


def _tabulate(draw: Draw, start: Tensor, lengths: Tensor, scales: Tensor, steps: int, rate: float) -> WalkTable:
    pairs = torch.tensor(list(itertools.product(lengths.tolist(), scales.tolist())), dtype=torch.float64)
    return WalkTable(lengths, scales, walk(draw(pairs[:, 0], pairs[:, 1]), start, steps=steps, rate=rate))


def _nodes(interval: Interval, count: int) -> Tensor:
    """Return Chebyshev nodes of the first kind in an interval; one node where it is a point."""
    low, high = interval
    if low == high:
        return torch.tensor([low], dtype=torch.float64)
    angles = (torch.arange(count, dtype=torch.float64) + 0.5) * (torch.pi / count)
    return (low + high) / 2 - (high - low) / 2 * torch.cos(angles)


def _lagrange(nodes: Tensor, places: Tensor) -> Tensor:
    """Return the values of the Lagrange polynomials of the nodes at the places, shape (S, nodes)."""
    places, nodes = places.to("cpu", torch.float64), nodes.to("cpu", torch.float64)
    gaps = nodes[:, None] - nodes[None]
    factors = (places[:, None, None] - nodes[None, None, :]) / gaps.fill_diagonal_(1.0)
    same = torch.eye(len(nodes), dtype=torch.bool)
    return factors.masked_fill(same, 1.0).prod(-1)


def _error(found: Ends, truth: Ends) -> float:
    size = (truth.high - truth.low).square().mean().sqrt().clamp(min=1e-300)
    misses = [(getattr(found, end) - getattr(truth, end)).square().mean().sqrt() for end in ("low", "high")]
    return float(torch.stack(misses).max() / size)
