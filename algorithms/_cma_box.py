"""The coordinates in which CMA-ES searches: a box per variable, and a smooth fold of the whole space into it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blackbox.space import Space

__all__ = ["SearchBox"]

Array = NDArray[np.float64]


class SearchBox:
    """A map from unbounded search vectors ("genotypes") to points of a space.

    A real variable, and any variable on a log scale, is one side of the unit cube. An integer or ordinal variable
    on a linear scale with k values is the interval [-1/2, k - 1/2], so that rounding gives the index of its value,
    which is what pycma's handling of integers expects. Vectors outside the box are folded into it as pycma's
    `BoundTransform` does: the identity inside, quadratic within a margin of each bound, periodic beyond; so every
    point lies in the box, and the map has a continuous derivative.

    Parameters
    ----------
    space : Space
        Without conditions and categorical parameters.

    Attributes
    ----------
    lower, upper : array, shape (d,)
        The box.
    integers : list of int
        The columns that are rounded to an index.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        stepped = (space.kinds > 0) & ~space.log
        self.integers: list[int] = np.flatnonzero(stepped).tolist()
        values = space.upper - space.lower + 1.0
        self.lower: Array = np.where(stepped, -0.5, 0.0)
        self.upper: Array = np.where(stepped, values - 0.5, 1.0)
        self.width: Array = self.upper - self.lower
        # Margins of pycma's BoxConstraintsLinQuadTransformation (cma.transformations.margin_width2).
        self._below = np.minimum(self.width / 2, np.maximum(1.0, np.abs(self.lower)) / 20)
        self._above = np.minimum(self.width / 2, np.maximum(1.0, np.abs(self.upper)) / 20)
        self._scale = space.upper - space.lower if space.is_box else None
        self._inner_low, self._inner_high = self.lower + self._below, self.upper - self._above

    @property
    def dim(self) -> int:
        """The number of columns d."""
        return len(self.lower)

    def fold(self, genotypes: Array) -> Array:
        """Return search vectors, shape (n, d), folded into the box, shape (n, d)."""
        outside = (genotypes < self._inner_low) | (genotypes > self._inner_high)
        rows, columns = outside.nonzero()
        if not len(rows):
            return genotypes
        y = genotypes.copy()
        y[rows, columns] = self._fold(genotypes[rows, columns], columns)
        return y

    def _fold(self, y: Array, columns: NDArray[np.int64]) -> Array:
        """Fold entries, shape (e,), of the given columns; the arithmetic is pycma's, step by step."""
        low, high = self.lower[columns], self.upper[columns]
        below, above = self._below[columns], self._above[columns]
        bottom, top = low - below, high + above
        outside = (y < bottom) | (y > top)
        if outside.any():
            start = low - 2 * below - (high - low) / 2.0
            far = (y < start) | (y > high + 2 * above + (high - low) / 2.0)
            period = 2 * (high - low + below + above)
            y = np.where(far, y - period * ((y - start) // period), y)
            y = np.where(y > top, y - 2 * (y - high - above), y)
            y = np.where(y < bottom, y + 2 * (bottom - y), y)
        near_low = y < self._inner_low[columns]
        near_high = y > self._inner_high[columns]
        y = np.where(near_low, low + (y - bottom) ** 2 / 4 / below, y)
        y = np.where(near_high, high - (y - top) ** 2 / 4 / above, y)
        return np.minimum(np.maximum(y, low), high)

    def unfold(self, inside: Array) -> Array:
        """Return the search vectors nearest to the box, shape (n, d), that fold to points inside it, shape (n, d)."""
        y = np.clip(inside, self.lower, self.upper)
        low = (self.lower - self._below) + 2 * np.sqrt(self._below * np.maximum(y - self.lower, 0.0))
        high = (self.upper + self._above) - 2 * np.sqrt(self._above * np.maximum(self.upper - y, 0.0))
        unfolded: Array = np.where(y < self._inner_low, low, np.where(y > self._inner_high, high, y))
        return unfolded

    def points(self, genotypes: Array, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Return the points of the space, shape (n, d), that search vectors, shape (n, d), stand for."""
        inside = self.fold(genotypes)
        if self._scale is not None:
            x = torch.from_numpy(np.minimum(self._space.lower + inside * self._scale, self._space.upper))
            return x if x.dtype == dtype and x.device == device else x.to(device, dtype)
        if self.integers:
            inside = inside.copy() if inside is genotypes else inside
            columns = self.integers
            rounded = np.rint(inside[:, columns])
            # The edge k - 1/2 may round to k: half-way cases go to the even neighbour.
            inside[:, columns] = np.clip(rounded, 0.0, self.upper[columns] - 0.5)
            inside = (inside - self.lower) / self.width
        x = self._space.from_unit(torch.from_numpy(np.ascontiguousarray(inside)))
        return x.to(device, dtype)

    def genotypes(self, x: Any) -> Array:
        """Return search vectors, shape (n, d), of points of the space, shape (n, d)."""
        unit = self._space.to_unit(x.detach().to("cpu", torch.float64)).numpy()
        return self.unfold(self.lower + unit * self.width)
