"""Columns scaled to mean 0 and standard deviation 1, safely for constant, huge and tiny ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Scaling"]


@dataclass(frozen=True, slots=True)
class Scaling:
    """The means and standard deviations of the columns of a table.

    Attributes
    ----------
    mean, std : Tensor, shape (d,), float64
        `std` is 0 where a column is constant; such a column is divided by 1, and `invert` gives its mean back.

    Examples
    --------
    >>> table = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    >>> scaling = Scaling.of(table)
    >>> scaling.apply(table).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, table: Tensor) -> Scaling:
        """Return the scaling of a finite table of shape (n, d), n >= 1.

        Computed in float64 and in units of each column's largest absolute value, so that neither 1e300 nor 1e-300
        overflows or vanishes. The deviation is that of the population; it is 0 where it is within rounding of the
        largest absolute value.
        """
        wide = table.detach().to(torch.float64)
        unit = wide.abs().amax(0)
        unit = torch.where(unit > 0, unit, 1.0)
        relative = wide / unit
        mean = relative.mean(0)
        std = (relative - mean).square().mean(0).sqrt()
        varies = (wide != wide[:1]).any(0) & (std > 1e-15)
        return cls(mean * unit, torch.where(varies, std * unit, 0.0))

    def apply(self, table: Tensor) -> Tensor:
        """Return columns of the user's units, shape (..., d), as scaled ones; computed in float64, in their dtype."""
        half = table.to(torch.float64) / 2 - self.mean / 2  # halves, so that 1e308 and -1e308 can be told apart
        return (half / torch.where(self.std > 0, self.std / 2, 0.5)).to(table.dtype)

    def invert(self, scaled: Tensor) -> Tensor:
        """Return scaled columns, shape (..., d), in the user's units."""
        return (self.mean + self.std * scaled.to(torch.float64)).to(scaled.dtype)
