"""What a library was told so far: enough to bring a new object of it to the same point."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blackbox.errors import StateError

__all__ = ["History", "Told"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Told:
    """One generation: values, shape (n, m), violations, shape (n, k), and changed genotypes, shape (n, d), or None."""

    values: Array
    violations: Array
    changed: Array | None = None


class History:
    """Generations in the order in which they were told; adding one costs the same however many there are.

    Histories that grew out of each other share their rows; none is ever written to.

    Parameters
    ----------
    items : sequence of Told
    """

    def __init__(self, items: list[Told] | None = None, length: int | None = None) -> None:
        self._items = [] if items is None else items
        self._length = len(self._items) if length is None else length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Told]:
        return iter(self._items[: self._length])

    def plus(self, told: Told) -> History:
        """Return this history with one generation more."""
        items = self._items if len(self._items) == self._length else self._items[: self._length]
        items.append(told)
        return History(items, self._length + 1)

    def to_tree(self) -> dict[str, Any]:
        """Return all rows as three arrays, and the sizes of the generations."""
        items = list(self)
        if not items:
            return {"sizes": [], "values": None, "violations": None, "changed": None}
        changed = None
        if any(told.changed is not None for told in items):
            width = next(told.changed.shape[1] for told in items if told.changed is not None)
            none = [np.full((len(told.values), width), np.nan) for told in items]
            changed = np.concatenate([n if t.changed is None else t.changed for n, t in zip(none, items, strict=True)])
        return {
            "sizes": [len(told.values) for told in items],
            "values": np.concatenate([told.values for told in items]),
            "violations": np.concatenate([told.violations for told in items]),
            "changed": changed,
        }

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> History:
        """Return the history of a tree from `to_tree`."""
        try:
            sizes = [int(size) for size in tree["sizes"]]
            if not sizes:
                return cls()
            values, violations, changed = tree["values"], tree["violations"], tree["changed"]
            if not (sum(sizes) == len(values) == len(violations)) or (
                changed is not None and len(changed) != sum(sizes)
            ):
                raise StateError("state: damaged: the history's sizes do not add up")
            edges = np.cumsum([0, *sizes]).tolist()
        except (KeyError, TypeError, ValueError):
            raise StateError("state: damaged: no history of generations") from None
        items = []
        for start, stop in pairwise(edges):
            own = None if changed is None or np.isnan(changed[start:stop]).all() else changed[start:stop]
            items.append(Told(values[start:stop], violations[start:stop], own))
        return cls(items)
