"""Permutations as random keys: columns of which only the order counts, varied as permutations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from blackbox.algorithm import Spec
from blackbox.algorithms.evolutionary.discrete import invert_segment, order_crossover, swap_positions
from blackbox.errors import SettingError

__all__ = ["OrderKeys", "check_names"]

_INVERTED = 0.2  # chance that a child has a segment reversed
_SWAPPED = 0.1  # chance that it has two places exchanged instead


def check_names(permutation: Any) -> tuple[str, ...]:
    """Return the names of the keys, or raise `SettingError` unless they are none, or two or more different strings."""
    names = tuple(permutation) if isinstance(permutation, (list, tuple)) else None
    if names is None or len(names) == 1 or not all(isinstance(name, str) for name in names):
        raise SettingError(f"permutation: expected the names of two or more parameters, got {permutation!r}")
    if len(set(names)) < len(names):
        raise SettingError(f"permutation: expected different names, got {permutation!r}")
    return names


class OrderKeys:
    """Crossover and mutation of the order of some columns; their values become evenly spaced.

    Each child keeps a segment of one parent's order, and the order of the other for the rest; then a segment may be
    reversed, or two places exchanged.

    Parameters
    ----------
    spec : Spec
    names : sequence of str
        Real parameters of `spec.space` with the same bounds, always active, on a linear scale.

    Raises
    ------
    SettingError
        If there is no such parameter in the space.
    """

    def __init__(self, spec: Spec, names: tuple[str, ...]) -> None:
        space = spec.space
        columns = {name: column for column, name in enumerate(space.names)}
        conditional = {condition.child for condition in space.conditions}
        for name in names:
            if name not in columns:
                raise SettingError(f"permutation: the space has no parameter {name!r} that varies")
            column = columns[name]
            if space.kinds[column] or space.log[column] or column in conditional:
                raise SettingError(f"permutation: {name!r} is no real parameter on a linear scale, always active")
        self.columns = torch.tensor([columns[name] for name in names], device=spec.device)
        low, high = spec.lower[self.columns], spec.upper[self.columns]
        if bool((low != low[0]).any() or (high != high[0]).any()):
            raise SettingError("permutation: expected parameters with the same bounds, so that they can be ordered")
        place = (torch.arange(len(names), dtype=spec.dtype, device=spec.device) + 0.5) / len(names)
        self._levels = low[0] + place * (high[0] - low[0])

    def draws(self, children: int) -> int:
        """Return how many uniform numbers `children` takes for so many of them."""
        return 5 * children

    def children(self, parents: Tensor, uniforms: Tensor, *, single: bool) -> Tensor:
        """Return the keys of the children.

        Parameters
        ----------
        parents : Tensor, shape (..., 2 q, c)
            Keys of the first of all pairs, then of the second of all pairs.
        uniforms : Tensor, shape (..., `draws(2 q)`), or (..., `draws(q)`) if `single`
        single : bool
            Return the first child of every pair only.

        Returns
        -------
        Tensor, shape (..., 2 q, c), or (..., q, c) if `single`
            O(q c log c) time.
        """
        q = parents.shape[-2] // 2
        order = parents.argsort(dim=-1, stable=True)
        first, second = order[..., :q, :], order[..., q:, :]
        if not single:
            first, second = order, torch.cat([second, first], dim=-2)
        lots = uniforms.reshape(*uniforms.shape[:-1], first.shape[-2], 5)
        child = order_crossover(first, second, lots[..., :2])
        choice = lots[..., 2:3]
        inverted, swapped = invert_segment(child, lots[..., 3:]), swap_positions(child, lots[..., 3:])
        child = torch.where(choice < _INVERTED, inverted, torch.where(choice < _INVERTED + _SWAPPED, swapped, child))
        return self._levels[child.argsort(dim=-1)]
