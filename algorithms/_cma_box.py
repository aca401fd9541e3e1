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
        self._bottom, self._top = self.lower - self._below, self.upper + self._above
        self._four_below, self._four_above = 4 * self._below, 4 * self._above
        self._scale = space.upper - space.lower if space.is_box else None
        self._inner_low, self._inner_high = self.lower + self._below, self.upper - self._above

    @property
    def dim(self) -> int:
        """The number of columns d."""
        return len(self.lower)

    def fold(self, genotypes: Array) -> Array:
        """Return search vectors, shape (n, d), folded into the box, shape (n, d); the arithmetic is pycma's."""
        y = genotypes
        below, above = y < self._inner_low, y > self._inner_high
        some_below, some_above = bool(below.any()), bool(above.any())
        if not (some_below or some_above):
            return y
        if (some_below and (y < self._bottom).any()) or (some_above and (y > self._top).any()):
            y = self._mirror(y)
            below, above = y < self._inner_low, y > self._inner_high
            some_below = some_above = True
        if some_below:
            y = np.where(below, self.lower + (y - self._bottom) ** 2 / self._four_below, y)
        if some_above:
            y = np.where(above, self.upper - (y - self._top) ** 2 / self._four_above, y)
        return y

    def _mirror(self, y: Array) -> Array:
        """Shift and mirror vectors into [bottom, top], where the quadratic ends reach the bounds."""
        start = self.lower - 2 * self._below - (self.upper - self.lower) / 2.0
        far = (y < start) | (y > self.upper + 2 * self._above + (self.upper - self.lower) / 2.0)
        period = 2 * (self.upper - self.lower + self._below + self._above)
        y = np.where(far, y - period * ((y - start) // period), y)
        y = np.where(y > self._top, y - 2 * (y - self.upper - self._above), y)
        return np.where(y < self._bottom, y + 2 * (self._bottom - y), y)

    def unfold(self, inside: Array) -> Array:
        """Return the search vectors nearest to the box, shape (n, d), that fold to points inside it, shape (n, d)."""
        y = np.clip(inside, self.lower, self.upper)
        low = self._bottom + 2 * np.sqrt(self._below * np.maximum(y - self.lower, 0.0))
        high = self._top - 2 * np.sqrt(self._above * np.maximum(self.upper - y, 0.0))
        unfolded: Array = np.where(y < self._inner_low, low, np.where(y > self._inner_high, high, y))
        return unfolded

    def points(self, genotypes: Array, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Return the points of the space, shape (n, d), that search vectors, shape (n, d), stand for."""
        inside = self.fold(genotypes)
        if self._scale is not None:
            scaled = inside * self._scale
            scaled += self._space.lower
            x = torch.from_numpy(np.minimum(scaled, self._space.upper, out=scaled))  # for the last bit
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
