"""Offspring in any space: crossover and mutation by the kind of each column, for all pairs at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from blackbox.algorithm import Spec
from blackbox.algorithms.evolutionary.compact import Bounds, is_compact
from blackbox.algorithms.evolutionary.compact import offspring as compact_offspring
from blackbox.algorithms.evolutionary.discrete import category_reset, integer_step, round_integers
from blackbox.algorithms.evolutionary.draws import split_draws
from blackbox.algorithms.evolutionary.orders import OrderKeys
from blackbox.algorithms.evolutionary.variation import (
    mutation_count,
    polynomial_mutation,
    simulated_binary_crossover,
)

__all__ = ["Reproduction", "initial_points"]

_WIDE_STEP = 0.05  # mean step of a whole number, as a share of its range


def _plain(setting: Any) -> Any:
    """Return a number as it is, and a tensor as an array."""
    return setting.numpy() if isinstance(setting, Tensor) else setting


def initial_points(spec: Spec, uniforms: Tensor) -> Tensor:
    """Return uniform numbers, shape (..., n, d), as points of the space."""
    points: Tensor = spec.space.from_unit(uniforms.reshape(-1, spec.dim))
    return points.reshape(uniforms.shape)


@dataclass(frozen=True, slots=True)
class _Mixed:
    """Columns by kind, for spaces that are not plain boxes; each an index, shape (c,), int64."""

    log: Tensor
    real: Tensor
    whole: Tensor
    categorical: Tensor
    conditional: bool
    sizes: Tensor
    log_whole: Tensor


class Reproduction:
    """Crossover and mutation of the points of one space.

    Real columns: simulated binary crossover and polynomial mutation, on the scale on which they are searched (log
    or linear). Whole numbers and ordinal levels: the same crossover, rounded, and geometric steps. Categories:
    uniform crossover, and other categories. A column that is inactive in one parent takes the other's value, and a
    random one where it is inactive in both.

    Parameters
    ----------
    spec : Spec
    crossover_eta, mutation_eta : float
        Distribution indices.
    crossover_probability : float
        Chance of each variable to be crossed.
    mutation_probability : float, optional
        Chance of each variable to be mutated; default 1 / d.
    early_crossover_probability : float, optional
        That chance early in the search; default the same.
    permutation : tuple of str, optional
        Names of parameters that are varied as one permutation; see `OrderKeys`.

    Raises
    ------
    SettingError
        If `permutation` does not fit the space.
    """

    def __init__(
        self,
        spec: Spec,
        *,
        crossover_eta: float,
        crossover_probability: float,
        mutation_eta: float,
        mutation_probability: float | None,
        early_crossover_probability: float | None = None,
        permutation: tuple[str, ...] = (),
    ) -> None:
        self.space: Any = spec.space
        self.dim = spec.dim
        self.lower, self.upper = spec.lower, spec.upper
        self.low, self.high = self.lower, self.upper  # on the scale that is searched
        self.crossover_eta, self.crossover_probability = crossover_eta, crossover_probability
        early = early_crossover_probability
        self.early_crossover_probability = crossover_probability if early is None else early
        self.mutation_eta = mutation_eta
        self.mutation_probability = min(1.0, 1 / spec.dim if mutation_probability is None else mutation_probability)
        self.mixed: _Mixed | None = None
        self.orders = OrderKeys(spec, permutation) if permutation else None
        self._draws: dict[tuple[int, bool], int] = {}
        self._bounds = Bounds.of(*(bound.cpu().double().numpy() for bound in (self.lower, self.upper)))
        if not spec.space.is_box:
            self._sort_columns(spec)

    def _sort_columns(self, spec: Spec) -> None:
        kinds, log = spec.space.kinds, spec.space.log

        def index(mask: Any) -> Tensor:
            return torch.from_numpy(np.flatnonzero(mask)).to(spec.device)

        whole = (kinds == 1) | (kinds == 3)
        self.mixed = _Mixed(
            index(log),
            index(kinds == 0),
            index(whole),
            index(kinds == 2),
            bool(spec.space.conditions),
            (self.upper[index(kinds == 2)] + 1).to(torch.int64),
            torch.from_numpy(log[whole]).to(spec.device),
        )
        self.low, self.high = self._scaled(self.lower), self._scaled(self.upper)

    def _scaled(self, x: Tensor) -> Tensor:
        """Return points with logarithms in the columns that are searched on a log scale."""
        if self.mixed is None or not self.mixed.log.numel():
            return x
        out = x.clone()
        out[..., self.mixed.log] = out[..., self.mixed.log].log()
        return out

    def _unscaled(self, z: Tensor) -> Tensor:
        if self.mixed is None or not self.mixed.log.numel():
            return z
        out = z.clone()
        out[..., self.mixed.log] = out[..., self.mixed.log].exp()
        return out.clamp_(self.lower, self.upper)

    def _shapes(self, pairs: int, rows: int) -> list[tuple[int, ...]]:
        real = self.dim if self.mixed is None else self.mixed.real.numel()
        shapes: list[tuple[int, ...]] = [(pairs, self.dim)]
        shapes.append((2, mutation_count(rows * real, self.mutation_probability) if real else 0))
        if self.mixed is not None:
            c = self.mixed.categorical.numel()
            shapes += [(2, rows, self.mixed.whole.numel()), (pairs, c), (rows, c)]
            shapes.append((pairs, self.dim) if self.mixed.conditional else (0,))
        return shapes

    def draws(self, pairs: int, *, single: bool = False) -> int:
        """Return how many uniform numbers `children` takes for so many pairs of parents."""
        key = (pairs, single)
        if key not in self._draws:
            rows = pairs if single else 2 * pairs
            count = sum(math.prod(shape) for shape in self._shapes(pairs, rows))
            self._draws[key] = count + (0 if self.orders is None else self.orders.draws(rows))
        return self._draws[key]

    def children(self, parents: Tensor, uniforms: Tensor, *, single: bool = False, early: bool = False) -> Tensor:
        """Return the children of pairs of parents.

        Parameters
        ----------
        parents : Tensor, shape (..., 2 q, d)
            The first of all pairs, then the second of all pairs.
        uniforms : Tensor, shape (..., `draws(q)`)
        single : bool, default False
            Return the first child of every pair only.
        early : bool, default False
            Cross with the chance for the beginning of the search.

        Returns
        -------
        Tensor, shape (..., 2 q, d), or (..., q, d) if `single`
        """
        chance = self.early_crossover_probability if early else self.crossover_probability
        if self.orders is None:
            return self._varied(parents, uniforms, single, chance)
        rows = parents.shape[-2] // (2 if single else 1)
        cut = uniforms.shape[-1] - self.orders.draws(rows)
        x = self._varied(parents, uniforms[..., :cut], single, chance)
        keys = parents[..., self.orders.columns]
        x[..., self.orders.columns] = self.orders.children(keys, uniforms[..., cut:], single=single)
        return x

    def _varied(self, parents: Tensor, uniforms: Tensor, single: bool, chance: Any) -> Tensor:
        q = parents.shape[-2] // 2
        if self.mixed is None and is_compact(parents):
            table, numbers = parents.numpy(), uniforms.numpy()
            cut, lead = q * self.dim, numbers.shape[:-1]
            x = compact_offspring(
                table[..., :q, :],
                table[..., q:, :],
                numbers[..., :cut].reshape(*lead, q, self.dim),
                numbers[..., cut:].reshape(*lead, 2, -1),
                self._bounds,
                crossover_eta=_plain(self.crossover_eta),
                crossover_probability=_plain(chance),
                mutation_eta=_plain(self.mutation_eta),
                mutation_probability=self.mutation_probability,
                single=single,
            )
            return torch.from_numpy(x)
        first, second = parents[..., :q, :], parents[..., q:, :]
        parts = split_draws(uniforms, *self._shapes(q, q if single else 2 * q))
        if self.mixed is None:
            crossed = self._crossed(first, second, parts[0], single, chance)
            return self._mutated(crossed, parts[1])
        return self._mixed_children(first, second, parts, single, self.mixed, chance)

    def _crossed(self, first: Tensor, second: Tensor, uniforms: Tensor, single: bool, chance: Any) -> Tensor:
        return simulated_binary_crossover(
            first,
            second,
            uniforms,
            self.low,
            self.high,
            eta=self.crossover_eta,
            probability=chance,
            single=single,
        )

    def _mutated(self, x: Tensor, uniforms: Tensor) -> Tensor:
        return polynomial_mutation(
            x,
            uniforms,
            self.low,
            self.high,
            eta=self.mutation_eta,
            probability=self.mutation_probability,
            in_place=True,
        )

    def _mixed_children(
        self, first: Tensor, second: Tensor, parts: list[Tensor], single: bool, mixed: _Mixed, chance: Any
    ) -> Tensor:
        first, second = self._scaled(first), self._scaled(second)
        if mixed.conditional:
            first, second = self._filled(first, second, parts[5], mixed)
        z = self._crossed(first, second, parts[0], single, chance)
        if mixed.categorical.numel():
            one, two = first[..., mixed.categorical], second[..., mixed.categorical]
            swap = parts[3] < 0.5
            kept = torch.where(swap, two, one)
            both = kept if single else torch.cat([kept, torch.where(swap, one, two)], dim=-2)
            z[..., mixed.categorical] = both
        if mixed.real.numel():
            low, high = self.low[mixed.real], self.high[mixed.real]
            z[..., mixed.real] = polynomial_mutation(
                z[..., mixed.real],
                parts[1],
                low,
                high,
                eta=self.mutation_eta,
                probability=self.mutation_probability,
            )
        x = self._unscaled(z)
        if mixed.whole.numel():
            x[..., mixed.whole] = self._stepped(x[..., mixed.whole], parts[2], mixed)
        if mixed.categorical.numel():
            old = x[..., mixed.categorical]
            new = category_reset(old, parts[4], mixed.sizes, probability=self.mutation_probability)
            x[..., mixed.categorical] = new
        canonical: Tensor = self.space.canonical(x.reshape(-1, self.dim))
        return canonical.reshape(x.shape)

    def _filled(self, first: Tensor, second: Tensor, uniforms: Tensor, mixed: _Mixed) -> tuple[Tensor, Tensor]:
        """Put values into inactive columns, on the scale that is searched."""
        fresh = self.low + uniforms * (self.high - self.low)
        levels = uniforms[..., mixed.categorical] * mixed.sizes
        fresh[..., mixed.categorical] = torch.minimum(levels.floor(), self.upper[mixed.categorical])
        one = torch.where(first.isnan(), torch.where(second.isnan(), fresh, second), first)
        return one, torch.where(second.isnan(), one, second)

    def _stepped(self, x: Tensor, uniforms: Tensor, mixed: _Mixed) -> Tensor:
        lower, upper = self.lower[mixed.whole], self.upper[mixed.whole]
        x = round_integers(x, torch.ones_like(lower, dtype=torch.bool), lower, upper)
        linear = _WIDE_STEP * (upper - lower)
        mean = torch.where(mixed.log_whole, _WIDE_STEP * (upper / lower.clamp(min=1)).log() * x.abs(), linear)
        probability = self.mutation_probability
        return integer_step(x, uniforms, lower, upper, probability=probability, mean_step=mean.clamp(min=1))
