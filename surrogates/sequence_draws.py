"""Posterior means of Gaussian processes on sequences, without a sum over the data.

Every position of a sequence holds one of a few levels, so a covariance between a point and a datum is a product of
one number a position, and the data are cells of a table with one axis a position. Cut the positions into two halves
with N1 and N2 combinations of levels. Then K = s K1 (x) K2 on the whole table, and a posterior mean at any point is
u' A v, where A (N1, N2) holds the weights of the data, and u, v the products over the two halves: two small matrix
products in place of n exponentials. The weights solve (K + noise I) a = y on the observed cells by conjugate
gradients. Eigenvalues of K fall fast, so that its largest eigenvectors, products of those of K1 and K2, and a multiple
of the identity are all but its inverse, once it is known how the observed cells mix these few.

Equal to `draw_posteriors` up to the tolerance, and hundreds of times faster for 30000 sequences of length 8.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from blackbox.errors import SettingError

__all__ = ["SequenceDraws", "Table", "draw_sequence_posteriors"]

_LARGEST = 1 << 10  # combinations of one half
_BLOCK = 1 << 20  # numbers in one half's products that one block holds
_LEADING = 600  # eigenvectors that are inverted exactly
_ROUNDING = 1e-6  # of sums in float32


@dataclass(frozen=True)
class Table:
    """The table of all sequences, cut into two halves.

    Attributes
    ----------
    levels : list of Tensor, shapes (C_p, w_p)
        The features of the levels of each position, position by position; their widths w_p add up to d.
    cut : int
        The first half has so many positions.
    """

    levels: list[Tensor]
    cut: int

    @classmethod
    def of(cls, levels: list[Tensor]) -> Table | None:
        """Return the table whose larger half is smallest; None where that half has more than 1024 combinations."""
        counts = [len(level) for level in levels]
        if len(counts) < 2:
            return None
        cut = min(range(1, len(counts)), key=lambda c: max(math.prod(counts[:c]), math.prod(counts[c:])))
        fits = max(math.prod(counts[:cut]), math.prod(counts[cut:])) <= _LARGEST
        return cls(levels, cut) if fits else None

    @property
    def halves(self) -> tuple[range, range]:
        """The positions of the two halves."""
        return range(self.cut), range(self.cut, len(self.levels))

    @property
    def shape(self) -> tuple[int, int]:
        """The combinations (N1, N2) of the two halves."""
        first, second = (math.prod(len(self.levels[p]) for p in half) for half in self.halves)
        return first, second

    @property
    def offsets(self) -> list[int]:
        """Where the features of each position begin, and where the last ones end."""
        ends = [0]
        for level in self.levels:
            ends.append(ends[-1] + level.shape[1])
        return ends

    def cells(self, codes: Tensor) -> Tensor:
        """Return the cell of each sequence of level numbers, shape (n, positions), in row-major order, int64."""
        cell = torch.zeros(len(codes), dtype=torch.int64, device=codes.device)
        for position, level in enumerate(self.levels):
            cell = cell * len(level) + codes[:, position].long()
        return cell

    def members(self, half: range) -> Tensor:
        """Return which combinations of a half hold which level, shape (N, sum of C_p), as zeros and ones."""
        counts = [len(self.levels[p]) for p in half]
        parts = []
        for place, count in enumerate(counts):
            before, after = math.prod(counts[:place]), math.prod(counts[place + 1 :])
            parts.append(torch.eye(count).repeat_interleave(after, 0).repeat(before, 1))
        return torch.cat(parts, 1).to(self.levels[0])

    def covariance(self, half: range, lengthscale: Tensor) -> Tensor:
        """Return the correlations of a half's combinations under each lengthscale, shape (S, N, N), float64."""
        result = torch.ones((len(lengthscale), 1, 1), dtype=torch.float64, device=lengthscale.device)
        for position in half:
            level = self.levels[position].to(torch.float64)
            squares = (level[:, None] - level[None]).square().sum(-1)
            kernel = torch.exp(-squares / (2 * lengthscale[:, None, None] ** 2))
            result = torch.einsum("sab,scd->sacbd", result, kernel).flatten(3, 4).flatten(1, 2)
        return result


@dataclass(frozen=True)
class SequenceDraws:
    """Posterior means on sequences under S pairs of lengthscale and scale; `draw_sequence_posteriors` makes them.

    Attributes
    ----------
    table : Table
    lengthscale, scale : Tensor, shape (S,)
    weights : Tensor, shape (S, N1, N2)
        0 in cells without data.
    residual : float
        The largest relative residual that was left.
    iterations : int
    """

    table: Table
    lengthscale: Tensor
    scale: Tensor
    weights: Tensor
    residual: float
    iterations: int

    @property
    def size(self) -> int:
        """The number of functions S."""
        return len(self.lengthscale)

    def mean(self, points: Tensor) -> Tensor:
        """Return values, shape (S, q), at points of shape (q, d), or (S, q, d): own points for each function.

        O(S q N1 N2) time.
        """
        return self._evaluate(points, gradients=False)[0]

    def mean_and_gradient(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return values, shape (S, q), and gradients, shape (S, q, d), at points of shape (q, d) or (S, q, d)."""
        return self._evaluate(points, gradients=True)

    def _evaluate(self, points: Tensor, *, gradients: bool) -> tuple[Tensor, Tensor]:
        q, d = points.shape[-2:]
        points = points.expand(self.size, q, d)
        values = points.new_empty((self.size, q))
        slopes = points.new_empty((self.size, q, d) if gradients else (self.size, 0, d))
        members = [self.table.members(half) for half in self.table.halves] if gradients else []
        block = max(1, _BLOCK // max(self.table.shape))
        for s in range(self.size):
            for start in range(0, q, block):
                rows = slice(start, start + block)
                here = points[s, rows]
                first, second = (self._products(here, half, s) for half in self.table.halves)
                right = (first @ self.weights[s]).mul_(second)
                values[s, rows] = right.sum(1) * self.scale[s]
                if gradients:
                    left = (second @ self.weights[s].T).mul_(first)
                    mass = torch.cat([left @ members[0], right @ members[1]], 1) * self.scale[s]
                    pull = self._pull(mass) - here * values[s, rows, None]
                    slopes[s, rows] = pull / self.lengthscale[s] ** 2
        return values, slopes

    def _products(self, points: Tensor, half: range, s: int) -> Tensor:
        """Return the products over the positions of a half for every combination, shape (q, N)."""
        result = points.new_ones((len(points), 1))
        inner = -0.5 / self.lengthscale[s] ** 2
        for position in half:
            start, end = self.table.offsets[position : position + 2]
            differences = points[:, start:end, None] - self.table.levels[position].T
            factor = differences.square_().sum(1).mul_(inner).exp_()
            result = (result[:, :, None] * factor[:, None, :]).flatten(1)
        return result

    def _pull(self, mass: Tensor) -> Tensor:
        """Return sum_i k_i a_i x_i, shape (q, d), from the mass on each level of each position, (q, sum of C_p)."""
        bounds = [0]
        for level in self.table.levels:
            bounds.append(bounds[-1] + len(level))
        pairs = zip(self.table.levels, pairwise(bounds), strict=True)
        return torch.cat([mass[:, start:end] @ level for level, (start, end) in pairs], 1)


def draw_sequence_posteriors(
    table: Table,
    cells: Tensor,
    y: Tensor,
    lengthscale: Tensor,
    scale: Tensor,
    *,
    noise: float = 0.01,
    tolerance: float = 1e-3,
    iterations: int = 2000,
) -> SequenceDraws:
    """Condition S Gaussian processes on one data set of sequences.

    O(S (n p^2 + iterations (N1 N2 (N1 + N2) + p^2))) time, p <= 600, O(S (N1 N2 + p^2)) memory, float64.

    Parameters
    ----------
    table : Table
        Its dtype and device are those of later evaluations.
    cells : Tensor, shape (n,), int64
        From `Table.cells`, all different.
    y : Tensor, shape (n,)
        Standardised outcomes.
    lengthscale, scale : Tensor, shape (S,)
    noise : float, default 0.01
        Variance of the noise, > 0.
    tolerance : float, default 1e-3
        Of the residual of the solution, relative to y.
    iterations : int, default 2000
        At most so many.

    Raises
    ------
    SettingError
        If shapes disagree, or a cell comes twice.

    References
    ----------
    Saatci, *Scalable inference for structured Gaussian process models*, 2011, section 5.2 (products of kernels on
    grids); Golub and Van Loan, *Matrix Computations*, section 11.5 (preconditioned conjugate gradients).
    """
    if cells.dim() != 1 or y.shape != cells.shape or lengthscale.dim() != 1 or lengthscale.shape != scale.shape:
        raise SettingError(
            "cells, y, lengthscale, scale: expected shapes (n,), (n,), (S,), (S,), got "
            f"{tuple(cells.shape)}, {tuple(y.shape)}, {tuple(lengthscale.shape)}, {tuple(scale.shape)}"
        )
    first, second = table.shape
    like = table.levels[0]
    lengths, scales = (t.to(like.device, torch.float64) for t in (lengthscale, scale))
    seen = torch.zeros(first * second, dtype=torch.float64, device=like.device)
    seen.index_fill_(0, cells, 1.0)
    if int(seen.sum()) != len(cells):
        raise SettingError("cells: expected each sequence once; merge repeated rows first")
    target = torch.zeros_like(seen).index_copy_(0, cells, y.to(like.device, torch.float64))
    system = _System.of(table, lengths, scales, seen.view(first, second), noise)
    weights, residual, used = system.solve(target.view(first, second), tolerance, iterations)
    return SequenceDraws(table, lengths.to(like.dtype), scales.to(like.dtype), weights.to(like.dtype), residual, used)


@dataclass(frozen=True)
class _System:
    """The matrix K + noise I on the observed cells, for S pairs of hyper-parameters, and an approximate inverse."""

    left: Tensor
    right: Tensor
    left_vectors: Tensor
    right_vectors: Tensor
    leading: Tensor
    factor: Tensor
    rest: Tensor
    seen: Tensor
    noise: float

    @classmethod
    def of(cls, table: Table, lengths: Tensor, scales: Tensor, seen: Tensor, noise: float) -> _System:
        """Return the system of a table whose observed cells are ones in `seen`, shape (N1, N2)."""
        left, right = (table.covariance(half, lengths) for half in table.halves)
        left = left * scales[:, None, None]
        (a, left_vectors), (b, right_vectors) = torch.linalg.eigh(left), torch.linalg.eigh(right)
        spectrum = (a.clamp(min=0)[:, :, None] * b.clamp(min=0)[:, None, :]).flatten(1)
        count = max(1, min(_LEADING, int(seen.sum()) // 4))
        large, leading = spectrum.topk(count, dim=1)
        # All other eigenvalues as one: a cell's share of them.
        rest = noise + (spectrum.sum(1) - large.sum(1)).clamp(min=0) / seen.numel()
        overlaps = _overlaps(left_vectors, right_vectors, leading, seen)
        overlaps.diagonal(dim1=1, dim2=2).add_(rest[:, None] / large.clamp(min=1e-12) + _ROUNDING)
        factor = torch.linalg.cholesky(overlaps)
        return cls(left, right, left_vectors, right_vectors, leading, factor, rest[:, None, None], seen, noise)

    def apply(self, v: Tensor) -> Tensor:
        return (self.left @ v @ self.right).mul_(self.seen).add_(v, alpha=self.noise)

    def precondition(self, v: Tensor) -> Tensor:
        """Return (U L U' + rest I)^-1 v, U the leading eigenvectors on the observed cells (Woodbury's identity)."""
        modes = (self.left_vectors.mT @ v @ self.right_vectors).flatten(1)
        inner = torch.cholesky_solve(modes.gather(1, self.leading)[:, :, None], self.factor)[:, :, 0]
        modes = torch.zeros_like(modes).scatter_(1, self.leading, inner).view_as(v)
        return (v - (self.left_vectors @ modes @ self.right_vectors.mT).mul_(self.seen)) / self.rest

    def solve(self, target: Tensor, tolerance: float, iterations: int) -> tuple[Tensor, float, int]:
        """Return the solutions, shape (S, N1, N2), the largest relative residual, and the iterations made."""
        r = target.expand(len(self.left), *target.shape).clone()
        x = torch.zeros_like(r)
        size = target.norm().clamp(min=1e-300)
        z = self.precondition(r)
        p, rz = z, (r * z).sum((1, 2), keepdim=True)
        for done in range(iterations):
            if done % 8 == 0 and bool(r.norm(dim=(1, 2)).max() <= tolerance * size):
                break
            moved = self.apply(p)
            step = rz / (p * moved).sum((1, 2), keepdim=True).clamp(min=1e-300)
            x = x + step * p
            r = r - step * moved
            z = self.precondition(r)
            following = (r * z).sum((1, 2), keepdim=True)
            p = z + following / rz.clamp(min=1e-300) * p
            rz = following
        else:
            done = iterations
        return x, float(r.norm(dim=(1, 2)).max() / size), done


def _overlaps(left: Tensor, right: Tensor, leading: Tensor, seen: Tensor) -> Tensor:
    """Return the products of the leading eigenvectors on the observed cells, shape (S, p, p), float64."""
    cells = seen.flatten().nonzero()[:, 0]
    first, second = cells // seen.shape[1], cells % seen.shape[1]
    sums = leading.new_zeros((*leading.shape, leading.shape[1]), dtype=torch.float64)
    block = max(1, _BLOCK // leading.shape[1])
    for s, chosen in enumerate(leading):  # in float32: twice as fast, and only a preconditioner
        a, b = left[s][:, chosen // seen.shape[1]].float(), right[s][:, chosen % seen.shape[1]].float()
        for start in range(0, len(cells), block):
            rows = a[first[start : start + block]] * b[second[start : start + block]]
            sums[s] += rows.T @ rows
    return sums
