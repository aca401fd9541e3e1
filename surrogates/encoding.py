"""Points of any space as rows of real numbers, and back: what models that need smooth inputs see.

A categorical column with C levels becomes C - 1 logits: with p = 0.6 onehot + 0.4 / C, the numbers log p_c - log p_0
for the levels c >= 1. Level 0 is (-a, ..., -a), level c is a at place c and 0 elsewhere, where
a = log(1 + 1.5 C) (1.9459 for C = 4). Decoding puts a 0 before them and takes the largest. Any other column is its
coordinate in the unit cube (logarithmic scales and rounding are handled by the space).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from blackbox.space import Space

__all__ = ["Encoding"]

_KEPT = 0.6  # of the probability stays with the level itself; the rest is spread over all


@dataclass(frozen=True)
class Encoding:
    """The map between the codes of a space, shape (n, d), and features, shape (n, D).

    The features of the columns that are not categorical come first, then those of categorical ones, in the order of
    the columns. An inactive column is 0.5 or, where categorical, all zeros.

    Parameters
    ----------
    space : Space

    References
    ----------
    Trabucco, Geng, Kumar, Levine, *Design-Bench*, ICML 2022 (the soft logits of its discrete tasks).

    Examples
    --------
    >>> from blackbox.parameters import Categorical
    >>> encoding = Encoding(Space({"base": Categorical(list("ACGT")), "mass": Categorical([1, 2])}))
    >>> features = encoding.encode(torch.tensor([[2.0, 1.0]]))
    >>> [round(value, 4) for value in features[0].tolist()]
    [0.0, 1.9459, 0.0, 1.3863]
    >>> encoding.decode(features).tolist()
    [[2.0, 1.0]]
    """

    space: Space

    @cached_property
    def plain(self) -> list[int]:
        """The columns that are one feature each."""
        categorical = set(self.space.columns("categorical"))
        return [column for column in range(self.space.dim) if column not in categorical]

    @cached_property
    def levels(self) -> list[int]:
        """How many levels each categorical column has, in the order of the columns."""
        counts = self.space.upper - self.space.lower + 1
        return [int(counts[column]) for column in self.space.columns("categorical")]

    @property
    def dim(self) -> int:
        """The number of features D."""
        return len(self.plain) + sum(self.levels) - len(self.levels)

    @property
    def is_sequence(self) -> bool:
        """Whether every column is categorical and always active."""
        return not self.plain and not self.space.conditions

    @cached_property
    def _groups(self) -> dict[int, tuple[list[int], list[int]]]:
        """For each number of levels, the columns that have it, and their features, level by level within a column."""
        groups: dict[int, tuple[list[int], list[int]]] = {}
        start = len(self.plain)
        for column, count in zip(self.space.columns("categorical"), self.levels, strict=True):
            columns, features = groups.setdefault(count, ([], []))
            columns.append(column)
            features.extend(range(start, start + count - 1))
            start += count - 1
        return groups

    def codebook(self, levels: int, like: Tensor) -> Tensor:
        """Return the features of each level of a column, shape (levels, levels - 1), on the device of `like`."""
        size = math.log(1 + _KEPT / (1 - _KEPT) * levels)
        table = torch.diag(like.new_full((levels,), size))[:, 1:]
        table[0] = -size
        return table

    def encode(self, x: Tensor) -> Tensor:
        """Return the features of points of the space, shape (n, D)."""
        features = x.new_empty((len(x), self.dim))
        if self.plain:
            features[:, : len(self.plain)] = self.space.to_unit(x)[:, self.plain]
        for count, (columns, places) in self._groups.items():
            codes = x[:, columns]
            inactive = codes.isnan()
            rows = self.codebook(count, x)[codes.nan_to_num(nan=0.0).long()]
            features[:, places] = rows.masked_fill(inactive[..., None], 0.0).flatten(1)
        return features

    def decode(self, features: Tensor) -> Tensor:
        """Return features as canonical points of the space, shape (n, d): inside the bounds, NaN where inactive."""
        u = features.new_full((len(features), self.space.dim), 0.5)
        if self.plain:
            u[:, self.plain] = features[:, : len(self.plain)].clamp(0.0, 1.0)
        for count, (columns, places) in self._groups.items():
            logits = features[:, places].reshape(len(features), len(columns), count - 1)
            best, level = logits.max(-1)
            u[:, columns] = (torch.where(best > 0, level + 1, 0).to(u.dtype) + 0.5) / count
        return self.space.from_unit(u)  # the levels are chosen by now, and with them which columns are active
