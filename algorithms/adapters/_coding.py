"""A space as a box of real numbers, which is what a library of real-coded algorithms can search."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blackbox.space import Space

__all__ = ["BoxCoding"]

Array = NDArray[np.float64]


class BoxCoding:
    """The map between a space's codes and genotypes in a box.

    Real columns keep their own units, so that a library sees the bounds that its user would have given it; columns on
    a log scale become their natural logarithm; a discrete value becomes the cell of width one around it, and
    genotypes are rounded.

    Parameters
    ----------
    space : Space

    Attributes
    ----------
    lower, upper : array, shape (d,)
        The box of genotypes.
    discrete, categorical, log : array, shape (d,), bool
    """

    def __init__(self, space: Space) -> None:
        self._low, self._high = space.lower, space.upper
        self.log: NDArray[np.bool_] = space.log
        self.discrete: NDArray[np.bool_] = space.kinds != 0
        self.categorical: NDArray[np.bool_] = space.kinds == 2
        half = np.where(self.discrete, 0.5, 0.0)
        self.lower, self.upper = space.lower - half, space.upper + half
        self.lower[self.log] = np.log(self.lower[self.log])
        self.upper[self.log] = np.log(self.upper[self.log])

    def decode(self, genotypes: Array, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Return genotypes, shape (n, d), as points of the space; what lies outside the box is put on its faces."""
        codes = np.clip(genotypes, self.lower, self.upper)
        codes[:, self.log] = np.exp(codes[:, self.log])
        codes[:, self.discrete] = np.ceil(codes[:, self.discrete] - 0.5)
        codes = np.clip(codes, self._low, self._high)
        x = torch.from_numpy(codes).to(device, dtype)
        if dtype == torch.float64:
            return x
        low, high = (torch.from_numpy(bound).to(device, dtype) for bound in (self._low, self._high))
        return torch.maximum(torch.minimum(x, high), low)

    def encode(self, x: Tensor) -> Array:
        """Return points, shape (n, d), as genotypes; NaN stays NaN."""
        genotypes: Array = x.detach().cpu().to(torch.float64).numpy().copy()
        genotypes[:, self.log] = np.log(genotypes[:, self.log])
        return genotypes
