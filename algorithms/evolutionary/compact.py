"""Variation of small runs on the CPU, with NumPy: one run, or a batch of runs that gives each what it gets alone.

A generation of a hundred members is some two hundred operations on a few hundred numbers each, and a tensor operation
costs several times what a NumPy one does. Every number is computed by the same operation wherever it lies in an array,
so that a run gives the same points alone and in a batch.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, float64

__all__ = ["Bounds", "is_compact", "offspring"]

Array = NDArray[np.float64]
Setting = float | Array

_MOST = 1 << 17  # numbers in the largest table of a run
_TINY = float(np.finfo(np.float64).tiny)
_LEAST = 2 * float(np.finfo(np.float64).eps)


def is_compact(x: Tensor) -> bool:
    """Return whether tables of shape (n, d) or (B, n, d) are to be served with NumPy."""
    return x.is_cpu and x.dtype == float64 and 1 < x.dim() < 4 and x.shape[-2] * x.shape[-1] <= _MOST


class Bounds(NamedTuple):
    """Bounds of a box, each an array of shape (d,), or one number where all are alike."""

    lower: Setting
    upper: Setting

    @classmethod
    def of(cls, lower: Array, upper: Array) -> Bounds:
        """Return bounds, as numbers where they are alike."""
        return cls(*(float(bound[0]) if (bound == bound[0]).all() else bound for bound in (lower, upper)))


def offspring(
    first: Array,
    second: Array,
    crossing: Array,
    mutating: Array,
    bounds: Bounds,
    *,
    crossover_eta: Setting,
    crossover_probability: Setting,
    mutation_eta: Setting,
    mutation_probability: float,
    single: bool = False,
) -> Array:
    """Return what `simulated_binary_crossover` and then `polynomial_mutation` give, but for rounding; shapes as there.

    Settings that differ between runs are arrays, of shape (B, 1, 1), and (B, 1) for `mutation_eta`.
    """
    q = first.shape[-2]
    side = crossing * (2 / crossover_probability)
    side -= 1  # its sign says which child gets which side, its size is uniform below 1 where variables are crossed
    spread = np.abs(side)
    spread *= 2
    spread -= 1
    power = np.abs(spread)
    np.subtract(1, power, out=power)
    np.maximum(power, _LEAST, out=power)
    np.log(power, out=power)
    power /= crossover_eta + 1
    np.exp(np.copysign(power, spread, out=power), out=power)
    half = first - second
    half *= 0.5
    step = np.copysign(power, side, out=side)
    step *= half
    step -= half
    step *= crossing < crossover_probability
    x = np.empty((*first.shape[:-2], q if single else 2 * q, first.shape[-1]))
    np.add(first, step, out=x[..., :q, :])
    if not single:
        np.subtract(second, step, out=x[..., q:, :])
    np.maximum(x, bounds.lower, out=x)
    np.minimum(x, bounds.upper, out=x)
    _mutate(x, mutating, bounds, mutation_eta, mutation_probability)
    return x


def _mutate(x: Array, uniforms: Array, bounds: Bounds, eta: Setting, probability: float) -> None:
    flat, total = x.reshape(-1), x.shape[-2] * x.shape[-1]
    steps = uniforms[..., 1, :]
    if probability >= 1:
        place = np.broadcast_to(np.arange(min(total, steps.shape[-1])), steps.shape)
        valid = np.ones(steps.shape, dtype=bool)
    else:
        gaps = np.log1p(-uniforms[..., 0, :])
        gaps *= 1 / math.log1p(-probability)
        np.minimum(gaps, total, out=gaps)
        np.floor(gaps, out=gaps)
        place = np.add.accumulate(gaps, axis=-1, out=gaps)
        place += np.arange(place.shape[-1])
        valid = place < total
    if steps.ndim > 1:
        place = place + np.arange(0, flat.size, total)[:, None]
        eta = eta if isinstance(eta, (int, float)) else np.broadcast_to(eta, valid.shape)[valid]
    sites = place[valid].astype(np.int64)
    turn = 2 * steps[valid]
    turn -= 1
    old, low, high = flat.take(sites), bounds.lower, bounds.upper
    if not (isinstance(low, float) and isinstance(high, float)):
        variable = sites % x.shape[-1]
        low, high = (np.broadcast_to(bound, x.shape[-1:]).take(variable) for bound in bounds)
    span = max(high - low, _TINY) if isinstance(low, float) else np.maximum(high - low, _TINY)
    power = np.where(turn < 0, old - low, high - old)  # becomes the share of the range that is out of reach
    power /= span
    np.subtract(1, power, out=power)
    np.maximum(power, _TINY, out=power)
    np.log(power, out=power)
    power *= eta + 1
    np.exp(power, out=power)
    reach = np.abs(turn)
    power *= reach
    power += 1 - reach
    np.log(np.maximum(power, _TINY, out=power), out=power)
    power /= eta + 1
    np.exp(power, out=power)
    np.subtract(1, power, out=power)
    power *= span
    old += np.copysign(power, turn, out=power)
    flat[sites] = np.minimum(np.maximum(old, low, out=old), high, out=old)
