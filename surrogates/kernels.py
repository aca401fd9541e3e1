"""The covariance function of the exact Gaussian process: smooth, categorical and conditional columns.

Model points are float64 arrays of shape (n, d): smooth columns (real, integer, ordinal) in [0, 1], categorical columns
hold level indices, and inactive columns NaN. With s2 the output scale, the covariance of two points is

    s2 * M(r) * prod_c exp(-[x_c != x'_c] / l_c) * prod_j g_j,      M(r) = (1 + r + r^2 / 3) exp(-r),

r^2 = 5 sum_k (x_k - x'_k)^2 / l_k^2 over the smooth columns that are always active, c over the categorical ones that
are, and for each conditional column j

    g_j = rho_j + (1 - rho_j) k_j where both are active, rho_j where one is, 1 where none is,

k_j being M of that column alone, or its exponential for a categorical one. g_j is a constant plus a direct sum, hence
positive semi-definite.

Columns of related levels (tasks, information sources) have a learned correlation of each pair of levels instead, that
of W W' + I for loadings W of one row a level: the intrinsic coregionalisation model with every task standardised, so
that the variance of a point stays s2.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Cross", "Hyperparameters", "Index", "Layout", "Mask", "Ripple", "covariance"]

Array: TypeAlias = NDArray[np.float64]
Index: TypeAlias = NDArray[np.intp]
Mask: TypeAlias = NDArray[np.bool_]


class Ripple(NamedTuple):
    """The share of the variance that changes over lengthscales `ratio` times those of the smooth columns."""

    share: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Layout:
    """What the d columns of model points are.

    Parameters
    ----------
    categorical : tuple of bool, length d
        Columns of level indices; the others are smooth.
    conditional : tuple of bool, length d
        Columns that may be NaN, where they are inactive.
    related : tuple of int, length d or 0
        How many related levels each column has, 0 for the other columns; a related column is categorical as well, and
        never conditional. Empty where there is none.
    apart : tuple of int
        Smooth columns whose lengthscale has nothing to do with those of the others (fidelities, environments).
    ripple : Ripple or None
        What changes over shorter distances than the rest.
    """

    categorical: tuple[bool, ...]
    conditional: tuple[bool, ...]
    related: tuple[int, ...] = ()
    apart: tuple[int, ...] = ()
    ripple: Ripple | None = None
    smooth: Index = field(init=False, compare=False)
    levels: Index = field(init=False, compare=False)
    switched: Index = field(init=False, compare=False)
    joined: Index = field(init=False, compare=False)

    def __post_init__(self) -> None:
        category, condition = np.array(self.categorical, bool), np.array(self.conditional, bool)
        joined = np.array(self.related, int) > 0 if self.related else np.zeros(len(category), bool)
        object.__setattr__(self, "smooth", np.flatnonzero(~category & ~condition))
        object.__setattr__(self, "levels", np.flatnonzero(category & ~condition & ~joined))
        object.__setattr__(self, "switched", np.flatnonzero(condition))
        object.__setattr__(self, "joined", np.flatnonzero(joined))

    @classmethod
    def plain(cls, dim: int) -> Layout:
        """Return the layout of `dim` smooth columns that are always active."""
        return cls((False,) * dim, (False,) * dim)

    @property
    def dim(self) -> int:
        """The number of columns d."""
        return len(self.categorical)

    @property
    def loadings(self) -> list[tuple[int, int]]:
        """The shapes of the loadings of the related columns, (levels, rank) each."""
        counts = [self.related[c] for c in self.joined]
        return [(n, 1 if n <= 3 else 2) for n in counts]

    @property
    def n_parameters(self) -> int:
        """How many hyper-parameters there are without the noise."""
        return self.dim + len(self.switched) + 1 + sum(n * rank for n, rank in self.loadings)

    @property
    def is_plain(self) -> bool:
        """Whether every column is smooth and always active."""
        return len(self.smooth) == self.dim


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """The hyper-parameters of one Gaussian process, for standardised outcomes.

    Parameters
    ----------
    lengthscale : array, shape (d,)
        One a column, positive; in units of the unit cube, or of the exponent for categorical columns.
    rho : array, shape (number of conditional columns,)
        In (0, 1): the correlation that remains when one of two points lacks the column.
    scale : float
        The output scale s2, a variance.
    noise : float
        The variance of the noise that is added to the diagonal.
    loadings : tuple of array, shape (levels, rank)
        One a related column.
    """

    lengthscale: Array
    rho: Array
    scale: float = 1.0
    noise: float = 1e-6
    loadings: tuple[Array, ...] = ()

    @classmethod
    def unpack(cls, theta: Array, layout: Layout, noise: float | None = None) -> Hyperparameters:
        """Return the record of a vector.

        It holds log lengthscales, logit rho, log scale, loadings row by row and, unless given, log noise.
        """
        d, c = layout.dim, len(layout.switched)
        level = float(np.exp(theta[-1])) if noise is None else noise
        rho = 1.0 / (1.0 + np.exp(-theta[d : d + c]))
        loadings, at = [], d + c + 1
        for n, rank in layout.loadings:
            loadings.append(theta[at : at + n * rank].reshape(n, rank))
            at += n * rank
        return cls(np.exp(theta[:d]), rho, float(np.exp(theta[d + c])), level, tuple(loadings))


def relatedness(loadings: Array) -> Array:
    """Return the correlations of levels, shape (levels, levels), from their loadings."""
    size = np.sqrt(1.0 + (loadings * loadings).sum(1))
    matrix: Array = (loadings @ loadings.T) / np.outer(size, size)
    np.fill_diagonal(matrix, 1.0)
    return matrix


def relatedness_slope(loadings: Array, weights: Array) -> Array:
    """Return sum(weights * dC/dW) / 2 for symmetric weights, C = relatedness(W), shape (levels, rank)."""
    squares = 1.0 + (loadings * loadings).sum(1)
    size = np.sqrt(squares)
    off = weights - np.diag(np.diagonal(weights))
    pull: Array = (off / np.outer(size, size)) @ loadings
    push: Array = ((off * relatedness(loadings)).sum(1) / squares)[:, None] * loadings
    return pull - push


def matern(r: Array) -> tuple[Array, Array]:
    """Return M(r) and -2 dM/d(r^2 / 5) * 3 / 5 = (1 + r) exp(-r)."""
    decay = np.exp(-r)
    linear = (1.0 + r) * decay
    return linear + (r * r / 3.0) * decay, linear


def radial(r: Array, ripple: Ripple | None) -> tuple[Array, Array]:
    """Return what `matern` does, for the sum of a trend and a ripple."""
    value, slope = matern(r)
    if ripple is None:
        return value, slope
    share, ratio = ripple
    fine, steep = matern(r / ratio)
    return (1.0 - share) * value + share * fine, (1.0 - share) * slope + (share / ratio**2) * steep


def squared_distance(a: Array, b: Array) -> Array:
    """Return squared Euclidean distances, shape (len(a), len(b))."""
    r2: Array = a @ (-2.0 * b.T)
    r2 += np.einsum("ij,ij->i", a, a)[:, None]
    r2 += np.einsum("ij,ij->i", b, b)
    np.maximum(r2, 0.0, out=r2)
    return r2


def _differ(a: Array, b: Array) -> Array:
    differ: Array = (a[:, None] != b[None, :]).astype(np.float64)
    return differ


def conditional_factor(
    a: Array, b: Array, lengthscale: float, rho: float, categorical: bool
) -> tuple[Array, Array, Array]:
    """Return g, k_j (0 unless both are active) and the slope factor of one conditional column, each (len(a), len(b)).

    The slope factor s is such that dk_j/da = -(5/3) s (a - b) / l^2, and dk_j/dlog l = (5/3) s (a - b)^2 / l^2 for a
    smooth column; dk_j/dlog l = s / l for a categorical one.
    """
    on_a, on_b = ~np.isnan(a), ~np.isnan(b)
    both = on_a[:, None] & on_b[None, :]
    x, y = np.where(on_a, a, 0.0), np.where(on_b, b, 0.0)
    if categorical:
        differ = _differ(x, y)
        k = np.exp(-differ / lengthscale) * both
        slope = differ * k
    else:
        k, slope = matern(np.sqrt(5.0) * np.abs(x[:, None] - y[None, :]) / lengthscale)
        k, slope = k * both, slope * both
    neither = ~on_a[:, None] & ~on_b[None, :]
    return np.where(neither, 1.0, rho + (1.0 - rho) * k), k, slope


class Cross:
    """The covariances of points `a`, shape (b, d), with points of the data, and their slopes in `a`.

    Attributes
    ----------
    matrix : array, shape (b, n)
    """

    __slots__ = ("_a", "_b", "_factors", "_h", "_layout", "_rest", "_slope", "matrix")

    def __init__(self, a: Array, b: Array, layout: Layout, h: Hyperparameters, *, slopes: bool = False) -> None:
        self._a, self._b, self._layout, self._h = a, b, layout, h
        columns = layout.smooth
        scale = h.lengthscale[columns]
        if layout.is_plain:
            r = np.sqrt(5.0 * squared_distance(a / scale, b / scale))
        elif len(columns):
            r = np.sqrt(5.0 * squared_distance(a[:, columns] / scale, b[:, columns] / scale))
        else:
            r = np.zeros((len(a), len(b)))
        value, slope = radial(r, layout.ripple)
        rest: Array | float = h.scale
        for c in layout.levels:
            rest = rest * np.exp(_differ(a[:, c], b[:, c]) / -h.lengthscale[c])
        for c, loadings in zip(layout.joined, h.loadings, strict=True):
            rest = rest * relatedness(loadings)[np.ix_(a[:, c].astype(np.intp), b[:, c].astype(np.intp))]
        self._factors: list[tuple[int, Array, Array]] = []
        for j, c in enumerate(layout.switched):
            category = layout.categorical[c]
            g, _, bend = conditional_factor(a[:, c], b[:, c], h.lengthscale[c], h.rho[j], category)
            rest = rest * g
            if slopes and not category:
                self._factors.append((int(c), (1.0 - h.rho[j]) * bend / g, g))
        self.matrix: Array = value * rest
        self._slope = slope * rest if slopes else None

    def contract(self, weights: Array) -> Array:
        """Return sum_i weights[p, i] dk(a_p, b_i)/da_p, shape (b, d); 0 in categorical and inactive columns.

        Parameters
        ----------
        weights : array, shape (b, n)
        """
        assert self._slope is not None
        gradient = np.zeros(self._a.shape)
        columns = self._layout.smooth
        product = weights * self._slope
        a, b = self._a[:, columns], self._b[:, columns]
        scale = self._h.lengthscale[columns]
        gradient[:, columns] = (-5.0 / 3.0) * (a * product.sum(1)[:, None] - product @ b) / (scale * scale)
        for c, ratio, _ in self._factors:
            x, y = np.nan_to_num(self._a[:, c]), np.nan_to_num(self._b[:, c])
            part = weights * self.matrix * ratio
            total = x * part.sum(1) - part @ y
            gradient[:, c] = (-5.0 / 3.0) * total / self._h.lengthscale[c] ** 2
        return gradient


def covariance(a: Array, b: Array, layout: Layout, h: Hyperparameters) -> Array:
    """Return the covariances of points of shape (p, d) and (q, d), shape (p, q), without noise."""
    return Cross(a, b, layout, h).matrix
