"""The map between codes and the unit cube: log scales and the cells of discrete values, handled here, once."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["UnitMap"]


class UnitMap:
    """An axis-wise map of codes to [0, 1]: affine after an optional logarithm.

    A discrete parameter with k values has k cells of equal width (of equal ratio on a log scale), and a value maps
    to the middle of its cell.

    Parameters
    ----------
    lower, upper : array, shape (d,), float64
    discrete, log : array, shape (d,), bool
    """

    def __init__(
        self,
        lower: NDArray[np.float64],
        upper: NDArray[np.float64],
        discrete: NDArray[np.bool_],
        log: NDArray[np.bool_],
    ) -> None:
        half = np.where(discrete, 0.5, 0.0)
        low, high = lower - half, upper + half
        self._start, self._scale = low.copy(), high - low
        self._start[log] = np.log(low[log])
        self._scale[log] = np.log(high[log]) - np.log(low[log])
        self._single = lower == upper
        self._scale[self._single] = 1.0
        self._log_columns = torch.from_numpy(np.flatnonzero(log))
        self._constants = lru_cache(maxsize=8)(self._constants_on)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_constants"}  # a cache

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._constants = lru_cache(maxsize=8)(self._constants_on)

    def _constants_on(self, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, Tensor | None]:
        single = torch.from_numpy(self._single).to(device) if self._single.any() else None
        start, scale = (torch.from_numpy(a).to(device, dtype) for a in (self._start, self._scale))
        return start, scale, single

    @cached_property
    def _even(self) -> tuple[Tensor, float] | None:
        """Start and scale where they are the same in all columns, on a linear scale."""
        if len(self._log_columns) or not ((self._start == self._start[0]) & (self._scale == self._scale[0])).all():
            return None
        return torch.tensor(self._start[0]), float(self._scale[0])

    def to_unit(self, x: Tensor) -> Tensor:
        """Return codes of shape (n, d) in the unit cube; 0.5 for NaN and for columns with one value."""
        start, scale, single = self._constants(x.dtype, x.device)
        if len(self._log_columns):
            x = x.clone()
            x[:, self._log_columns] = x[:, self._log_columns].log()
        u = ((x - start) / scale).clamp_(0, 1)
        unknown = torch.isnan(u) if single is None else torch.isnan(u) | single
        return u.masked_fill_(unknown, 0.5)

    def from_unit(self, u: Tensor) -> Tensor:
        """Return points of the unit cube as codes, neither rounded nor clamped to the bounds."""
        if self._even is not None:  # numbers are spread over a tensor in a fraction of the time that rows take
            return torch.add(self._even[0].to(u.dtype), u, alpha=self._even[1])
        start, scale, _ = self._constants(u.dtype, u.device)
        x = torch.addcmul(start, u, scale)
        if len(self._log_columns):
            x[:, self._log_columns] = x[:, self._log_columns].exp()
        return x
