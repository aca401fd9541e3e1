"""Differential evolution for one objective."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from blackbox.algorithm import Candidates, Capabilities, Front, Request, Seen, Spec
from blackbox.algorithms.evolutionary.draws import draw, split_draws
from blackbox.algorithms.evolutionary.offspring import initial_points
from blackbox.algorithms.evolutionary.population import (
    Population,
    check_count,
    check_memory,
    check_number,
    empty_population,
    total_violation,
)
from blackbox.algorithms.evolutionary.selection import distinct_others
from blackbox.algorithms.evolutionary.slots import filled, next_places, place_of, usable_members
from blackbox.algorithms.evolutionary.variation import binomial_crossover, differential
from blackbox.errors import SettingError

__all__ = ["DE"]

_MANY = 2**31
_STRATEGIES = ("rand1", "best1", "current_to_best1")


@dataclass(frozen=True, slots=True)
class DE:
    """Differential evolution for one objective: members move along differences of others.

    Searches the unit cube of the space, so logarithms and whole numbers are handled; a category comes from one of the
    members that make the difference. Constraints by total violation, which counts before the value; failed rows are
    never taken; points that were not asked compete with the worst members. O(N d) time a generation.

    Parameters
    ----------
    population_size : int, default 50
        Members N, at least 4.
    strategy : "rand1", "best1" or "current_to_best1", default "rand1"
        What the difference is added to: a random member, the best one, or the member itself and a step to the best.
    scale : float, default 0.5
        Smallest factor of a difference.
    dither : float, default 0.3
        The factor is drawn for each candidate from [scale, scale + dither].
    crossover_rate : float, default 0.9
        Chance of each variable to come from the mutant.
    steady_state : bool, default False
        Answer while candidates are pending, and learn from any number of rows at once, instead of generations.

    References
    ----------
    R. Storn, K. Price, Differential evolution, 1997; S. Das, A. Konar, U. K. Chakraborty, 2005 (dither). Variables
    beyond a bound go half-way from the member to the bound.

    Examples
    --------
    >>> import blackbox as bb
    >>> optimizer = bb.Optimizer(bb.Space.box([-5, -5], [5, 5]), DE(population_size=20), seed=0)
    >>> for _ in range(40):
    ...     batch = optimizer.ask()
    ...     _ = optimizer.tell(batch, (batch.x**2).sum(1))
    >>> float(optimizer.result().values) < 0.01
    True
    """

    population_size: int = 50
    strategy: Literal["rand1", "best1", "current_to_best1"] = "rand1"
    scale: float = 0.5
    dither: float = 0.3
    crossover_rate: float = 0.9
    steady_state: bool = False

    def __post_init__(self) -> None:
        check_count("population_size", self.population_size, 4)
        check_number("scale", self.scale, 0, 10)
        check_number("crossover_rate", self.crossover_rate, 0, 1)
        if not 0 <= self.dither <= 10:
            raise SettingError(f"dither: expected a number in [0, 10], got {self.dither!r}")
        if self.strategy not in _STRATEGIES:
            raise SettingError(f"strategy: expected one of {_STRATEGIES}, got {self.strategy!r}")

    @property
    def capabilities(self) -> Capabilities:
        """One objective, constraints, every kind of parameter, external points; asynchronous if `steady_state`."""
        return Capabilities(constraints=True, asynchronous=self.steady_state)

    def init(self, spec: Spec, generator: torch.Generator) -> Population:
        """Return places without members.

        Raises
        ------
        SettingError
            If the population cannot fit in memory.
        """
        check_memory(spec, self.population_size)
        return empty_population(spec, self.population_size)

    def ready(self, spec: Spec, state: Population, pending: int) -> int:
        """Return the size of a generation; without limit in steady state."""
        return _MANY if self.steady_state else self.population_size

    # -- the steps, for any leading dimensions -----------------------------------------------------------------

    def trial_draws(self, dim: int, count: int) -> int:
        """Return how many uniform numbers `trials` takes."""
        return count * (3 + 3 + 1 + dim + 1)

    def trials(
        self, spec: Spec, x: Tensor, values: Tensor, total: Tensor | None, places: Tensor, uniforms: Tensor
    ) -> Tensor:
        """Return a trial point for each place, shape (..., q, d)."""
        n, q, d = x.shape[-2], len(places), x.shape[-1]
        picks, spare, factor, crossing = split_draws(uniforms, (q, 3), (q, 3), (q, 1), (q, d + 1))
        rows = distinct_others(picks, n, places)
        usable = usable_members(values)
        own = places.expand(rows.shape[:-1]).unsqueeze(-1)
        if not bool(usable.all()):
            rows = filled(rows, usable, spare)
            own = filled(own, usable, spare[..., :1])
        unit: Tensor = spec.space.to_unit(x.reshape(-1, d)).reshape(x.shape)

        def member(index: Tensor) -> Tensor:
            return unit.gather(-2, index.unsqueeze(-1).expand(*index.shape, d))

        target, base, plus, minus = member(own[..., 0]), *(member(rows[..., k]) for k in range(3))
        scale = self.scale + self.dither * factor
        if self.strategy != "rand1":
            best = member(_best(values, total).expand(own[..., 0].shape))
            base = best if self.strategy == "best1" else differential(target, best, target, scale)
        mutant = differential(base, plus, minus, scale)
        categorical = spec.space.columns("categorical")
        if categorical:
            donor = torch.where(plus == minus, base, plus)
            mutant[..., categorical] = donor[..., categorical]
        mutant = torch.where(mutant < 0, 0.5 * target, torch.where(mutant > 1, 0.5 * (1 + target), mutant))
        trial = binomial_crossover(target, mutant, crossing, rate=self.crossover_rate)
        moved = initial_points(spec, trial)
        old = x.gather(-2, own.expand(*own.shape[:-1], d))
        # Variables that did not move keep their bits; conditions decide which of them are there.
        kept = (trial == target) & ~old.isnan() & ~moved.isnan()
        return torch.where(kept, old, moved)

    def replacement(self, values: Tensor, total: Tensor | None, places: Tensor | None, n: int) -> Tensor:
        """Return which row holds each place afterwards, shape (..., n).

        Parameters
        ----------
        values : Tensor, shape (..., n + q, 1)
            Members, then rows that were told.
        places : Tensor, shape (q,), int64, or None
            -1 for rows without a place (a single run only); None where row i has place i.
        """
        order = _order(values, total)
        index = torch.arange(order.shape[-1], device=order.device).expand_as(order)
        standing = torch.empty_like(order).scatter_(-1, order, index)
        if places is None:
            best = torch.minimum(standing[..., :n], standing[..., n:])
        else:
            # A row takes its place if it stands before the member and before other rows for that place.
            given = _give_places(places, standing, n)
            best = standing[:n].scatter_reduce(0, given, standing[n:], "amin")
        return order.gather(-1, best)

    # -- the kernel protocol -----------------------------------------------------------------------------------

    def ask(
        self, spec: Spec, state: Population, request: Request, generator: torch.Generator
    ) -> tuple[Population, Candidates]:
        """Propose random points until there were as many as members, then a trial for each place in turn."""
        count = request.n
        if state.parents == 0 or max(state.asked, state.told) < self.population_size:
            x = initial_points(spec, draw(generator, count * spec.dim, dtype=spec.dtype).reshape(count, -1))
        else:
            places = next_places(state, count, generational=not self.steady_state, device=spec.device)
            uniforms = draw(generator, self.trial_draws(spec.dim, count), dtype=spec.dtype)
            x = self.trials(spec, state.x, state.values, total_violation(state.violations), places, uniforms)
        return state.handed_out(count), Candidates(x)

    def tell(self, spec: Spec, state: Population, seen: Seen, generator: torch.Generator) -> Population:
        """Put what was told in the places of members that are worse."""
        n = len(state)
        values = torch.cat([state.values, seen.values])
        violations = torch.cat([state.violations, seen.violations])
        places = place_of(state, seen, generational=not self.steady_state)
        rows = self.replacement(values, total_violation(violations), places, n)
        values = values[rows]
        return Population(
            torch.cat([state.x, seen.x])[rows],
            values,
            violations[rows],
            int(usable_members(values).sum()),
            state.asked,
            state.told + len(seen),
            state.external + int(seen.external.sum()),
        )

    def result(self, spec: Spec, state: Population) -> Front | None:
        """Leave it to the optimizer."""
        return None


def _order(values: Tensor, total: Tensor | None) -> Tensor:
    """Return the order of rows, shape (..., n), best first; earlier rows first among equals, failed ones last."""
    order = values[..., 0].nan_to_num(nan=torch.inf).argsort(dim=-1, stable=True)
    if total is None:
        return order
    known = total.nan_to_num(nan=torch.inf)
    return order.gather(-1, known.gather(-1, order).argsort(dim=-1, stable=True))


def _best(values: Tensor, total: Tensor | None) -> Tensor:
    """Return the best row of each run, shape (..., 1)."""
    return _order(values, total)[..., :1]


def _give_places(places: Tensor, standing: Tensor, n: int) -> Tensor:
    """Return places in which rows without one compete with the worst members, the best of them with the worst."""
    homeless = (places < 0).nonzero().squeeze(-1)
    if not len(homeless):
        return places
    worst = standing[:n].argsort(descending=True, stable=True)
    best_first = homeless[standing[n:][homeless].argsort(stable=True)]
    places = places.clone()
    places[best_first] = worst[torch.arange(len(best_first), device=places.device) % n]
    return places
