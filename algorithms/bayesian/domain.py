"""The searched space as the Bayesian search sees it: full codes, model points, random points and neighbours.

*Full codes* are rows of the space's own units without NaN: an inactive column keeps a value that counts once a switch
turns it on. *Model points* (see `blackbox.surrogates.kernels`) are what the Gaussian processes see.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from blackbox.algorithms.bayesian.restrictions import Restrictions
from blackbox.space import Space
from blackbox.surrogates.kernels import Array, Layout

__all__ = ["Domain"]

_MAX_LEVELS = 24  # other levels of a categorical column that one neighbourhood holds, at most


class Domain:
    """A space with some columns held.

    Parameters
    ----------
    space : Space
        Without constant columns.
    fixed : array, shape (d,), optional
        Codes to hold, NaN where free.
    restrictions : Restrictions, optional
        Known constraints; what this domain hands out satisfies them once `anchor` is set.
    """

    def __init__(self, space: Space, fixed: Array | None = None, restrictions: Restrictions | None = None) -> None:
        self.space, self.dim = space, space.dim
        self.lower, self.upper = space.lower, space.upper
        self.categorical = space.kinds == 2
        self.discrete = space.kinds > 0
        conditional = np.zeros(self.dim, bool)
        conditional[[condition.child for condition in space.conditions]] = True
        self.conditional = conditional
        self.roles = space.role_columns
        self.layout = _layout(space, self.categorical, conditional)
        self.fixed = np.full(self.dim, np.nan) if fixed is None else fixed
        self.free = np.isnan(self.fixed)
        self.smooth = np.flatnonzero(self.free & ~self.discrete)  # columns that gradients move
        self.steps = np.flatnonzero(self.free & self.discrete)  # columns that neighbours move
        self.fidelities = [column for column, role in self.roles.items() if role == "fidelity"]
        self.environments = [column for column, role in self.roles.items() if role == "environment"]
        self.designs = [column for column in range(self.dim) if column not in self.roles]
        self.restrictions = restrictions
        self.anchor: Array | None = None  # full codes of a point that satisfies the restrictions
        self._projection = None if restrictions is None else restrictions.projection(self.smooth)
        self.loose = _without_conditions(space) if space.conditions else space  # without conditions

    def holding(self, fixed: Array) -> Domain:
        """Return this domain with further columns held at codes, shape (d,), NaN where free."""
        held = Domain(self.space, np.where(np.isnan(self.fixed), fixed, self.fixed), self.restrictions)
        held.anchor = None if self.anchor is None else held.hold(self.anchor[None])[0]
        return held

    @property
    def is_restricted(self) -> bool:
        """Whether constraints on inputs are known."""
        return self.restrictions is not None

    def feasible(self, codes: Array) -> NDArray[np.bool_]:
        """Return which full codes satisfy the restrictions, shape (n,)."""
        if self.restrictions is None:
            return np.ones(len(codes), bool)
        return np.asarray(self.restrictions.excess(codes, self.active(codes)) <= 0.0)

    def repair(self, moved: Array, base: Array | None = None) -> Array:
        """Return full codes, shape (n, d), as near to `moved` on the way from `base` as the restrictions allow.

        Parameters
        ----------
        moved : array, shape (n, d)
        base : array, shape (n, d), optional
            Where rows are not feasible, the anchor stands for them; the default for all.
        """
        if self.restrictions is None:
            return moved
        assert self.anchor is not None
        good = self.feasible(moved)
        if good.all():
            return moved
        result = moved.copy()
        start = np.broadcast_to(self.anchor, moved.shape) if base is None else base
        result[~good] = self._on_the_way(start[~good], moved[~good])
        return result

    def _on_the_way(self, base: Array, moved: Array) -> Array:
        assert self.anchor is not None
        start = np.where(self.feasible(base)[:, None], base, self.anchor)
        jumped = start.copy()
        jumped[:, self.steps] = moved[:, self.steps]
        start = np.where(self.feasible(jumped)[:, None], jumped, start)
        delta = np.zeros(start.shape)
        delta[:, self.smooth] = moved[:, self.smooth] - start[:, self.smooth]
        if self._projection is not None:
            span = self.upper - self.lower
            delta = ((delta / span) @ self._projection) * span
        share = _inside(start, delta, self.lower, self.upper)
        best = np.zeros(len(start))
        low, high = np.zeros(len(start)), share
        for step in range(14):
            middle = high if step == 0 else 0.5 * (low + high)
            good = self.feasible(start + middle[:, None] * delta)
            best = np.where(good, np.maximum(best, middle), best)
            low, high = np.where(good, middle, low), np.where(good, high, middle)
        if self._projection is None:
            best = best * (1.0 - 1e-9)  # not beyond the border by rounding
        return start + best[:, None] * delta

    @property
    def n_cells(self) -> float:
        """How many distinct points there are with the held columns held, conditions aside; inf with real columns."""
        if len(self.smooth):
            return float("inf")
        return float(np.prod(self.upper[self.steps] - self.lower[self.steps] + 1.0))

    def from_unit(self, u: Array) -> Array:
        """Return points of the unit cube, shape (n, d), as full codes with the held columns held."""
        return self.hold(self.loose.from_unit(torch.from_numpy(np.ascontiguousarray(u))).numpy())

    def to_unit(self, codes: Array) -> Array:
        """Return full codes as points of the unit cube."""
        return np.asarray(self.loose.to_unit(torch.from_numpy(np.ascontiguousarray(codes))).numpy())

    def hold(self, codes: Array) -> Array:
        """Return full codes with the held columns held."""
        return np.where(self.free, codes, self.fixed) if not self.free.all() else codes

    def canonical(self, codes: Array) -> Array:
        """Return full codes as points of the space: clamped, rounded, NaN where inactive."""
        return np.asarray(self.space.canonical(torch.from_numpy(np.ascontiguousarray(codes))).numpy())

    def active(self, codes: Array) -> NDArray[np.bool_]:
        """Return which columns of full codes are active, shape (n, d)."""
        if not self.space.conditions:
            return np.ones(codes.shape, bool)
        return np.asarray(self.space.activity(torch.from_numpy(np.ascontiguousarray(codes))).numpy())

    def model(self, codes: Array) -> Array:
        """Return model points of full codes, or of points of the space (NaN where inactive)."""
        points = np.asarray(self.space.to_unit(torch.from_numpy(np.ascontiguousarray(codes))).numpy())
        if self.categorical.any():
            points[:, self.categorical] = codes[:, self.categorical]
        if self.space.conditions:
            points[~self.active(codes)] = np.nan
        return points

    def fill(self, x: Array, random: np.random.Generator) -> Array:
        """Return points of the space as full codes, inactive columns drawn at random."""
        if not self.space.conditions:
            return self.hold(x)
        drawn = self.loose.from_unit(torch.from_numpy(random.random(x.shape))).numpy()
        return self.hold(np.where(np.isnan(x), drawn, x))

    def spread(self, n: int, random: np.random.Generator) -> Array:
        """Return n full codes that fill the space evenly: a randomly shifted Kronecker lattice, shape (n, d)."""
        if self.restrictions is None:
            return self.from_unit(lattice(n, self.dim, random))
        return self.only_feasible(self.from_unit(lattice(4 * n, self.dim, random)), n, random)

    def only_feasible(self, codes: Array, n: int, random: np.random.Generator) -> Array:
        """Return n feasible full codes: the first ones of `codes`, and where they do not suffice, others on the way."""
        found = codes[self.feasible(codes)][:n]
        missing = n - len(found)
        if not missing:
            return found
        rest = codes[~self.feasible(codes)]
        targets = rest[random.integers(len(rest), size=missing)]
        ends = self.repair(targets)
        base = np.concatenate([found, ends])[random.integers(len(found) + len(ends), size=missing)]
        other = self.repair(rest[random.integers(len(rest), size=missing)], base)
        share = random.random((missing, 1))
        mixed = other.copy()
        mixed[:, self.smooth] = (base + share * (other - base))[:, self.smooth]
        return np.concatenate([found, self.repair(mixed, base)])

    def perturb(self, codes: Array, n: int, random: np.random.Generator) -> Array:
        """Return n full codes near some of `codes`: Gaussian steps of random size on random subsets of columns."""
        chosen = codes[random.integers(len(codes), size=n)]
        u = self.to_unit(chosen)
        picked = random.random((n, self.dim)) < max(0.3, min(1.0, 2.0 / self.dim))
        picked[np.arange(n), random.integers(self.dim, size=n)] = True
        scale = 10.0 ** random.uniform(-3.0, -0.5, (n, 1))
        moved = u + scale * random.standard_normal((n, self.dim)) * picked
        moved = np.where((moved < 0.0) | (moved > 1.0), np.clip(2.0 * np.round(moved) - moved, 0.0, 1.0), moved)
        result = self.from_unit(np.where(picked, moved, u))
        if self.categorical.any():
            flips = picked & self.categorical & (random.random((n, self.dim)) < 0.5)
            levels = np.floor(random.random((n, self.dim)) * (self.upper + 1.0 - self.lower)) + self.lower
            result = np.where(self.categorical, np.where(flips, levels, chosen), result)
        untouched = np.where(picked, result, chosen)
        return self.repair(self.hold(np.clip(untouched, self.lower, self.upper)), chosen)

    def neighbours(self, codes: Array, random: np.random.Generator) -> Array:
        """Return full codes that differ from one point, shape (d,), in one active discrete column.

        Categorical columns take their other levels (a random part of many), integer and ordinal ones steps of
        1, 2, 4, ... in both directions.
        """
        active = self.active(codes[None])[0]
        found: list[Array] = []
        for c in self.steps:
            if not active[c]:
                continue
            values = self._other_values(int(c), codes[c], random)
            block = np.repeat(codes[None], len(values), axis=0)
            block[:, c] = values
            found.append(block)
        every = np.concatenate(found) if found else np.zeros((0, self.dim))
        return every if self.restrictions is None else every[self.feasible(every)]

    def _other_values(self, c: int, value: float, random: np.random.Generator) -> Array:
        low, high = self.lower[c], self.upper[c]
        if self.categorical[c]:
            others = np.delete(np.arange(low, high + 1.0), int(value - low))
            return others if len(others) <= _MAX_LEVELS else random.choice(others, _MAX_LEVELS, replace=False)
        reach = max(value - low, high - value)
        jumps = 2.0 ** np.arange(int(np.log2(max(reach, 1.0))) + 1)
        values = np.concatenate([value - jumps, value + jumps, [low, high]])
        values = np.unique(values[(values >= low) & (values <= high)])
        return np.asarray(values[values != value])

    def all_cells(self) -> Array:
        """Return every point of a space without free real columns as full codes."""
        axes = [np.arange(self.lower[c], self.upper[c] + 1.0) for c in self.steps]
        grid = np.zeros((1, 0))  # one cell where all columns are held
        if axes:
            grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
        codes = np.repeat(np.where(self.free, self.lower, self.fixed)[None], len(grid), axis=0)
        codes[:, self.steps] = grid
        if self.restrictions is not None:
            codes = codes[self.feasible(codes)]
        if not self.space.conditions:
            return codes
        canonical = np.where(self.active(codes), codes, np.inf)
        _, first = np.unique(canonical, axis=0, return_index=True)
        return codes[np.sort(first)]


def _layout(space: Space, categorical: NDArray[np.bool_], conditional: NDArray[np.bool_]) -> Layout:
    """Return the layout of a space: levels of a fidelity or task are related, other role columns are apart."""
    related, apart = [0] * space.dim, []
    for column, role in space.role_columns.items():
        if conditional[column]:
            continue
        if categorical[column]:
            related[column] = int(space.upper[column]) + 1 if role in ("fidelity", "task") else 0
        elif role == "fidelity":
            apart.append(column)
    counts = tuple(related) if any(related) else ()
    return Layout(tuple(categorical.tolist()), tuple(conditional.tolist()), counts, tuple(apart))


def _inside(start: Array, delta: Array, lower: Array, upper: Array) -> Array:
    """Return the largest shares of steps, at most 1, that stay between the bounds, shape (n,)."""
    with np.errstate(all="ignore"):
        room = np.where(delta > 0, (upper - start) / delta, np.where(delta < 0, (lower - start) / delta, np.inf))
    return np.asarray(np.clip(room.min(1), 0.0, 1.0))


def lattice(n: int, d: int, random: np.random.Generator) -> Array:
    """Return a Kronecker lattice with a random shift: n points of [0, 1)^d, well spread for any n.

    References
    ----------
    M. Roberts, The unreasonable effectiveness of quasirandom sequences, 2018 (the generalised golden ratio).
    """
    root = 2.0
    for _ in range(40):
        root = (1.0 + root) ** (1.0 / (d + 1.0))
    steps = (1.0 / root) ** np.arange(1, d + 1) if d <= 20 else random.random(d)
    return np.asarray((random.random(d) + np.arange(1, n + 1)[:, None] * steps) % 1.0)


def _without_conditions(space: Space) -> Space:
    parameters: dict[str, Any] = {name: replace(p, when=None) for name, p in space.parameters.items()}
    return Space(parameters)
