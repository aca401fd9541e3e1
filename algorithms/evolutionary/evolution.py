"""The generation that genetic algorithms share: choose parents, vary them, merge what was told, let some survive.

Everything that computes is a function of tensors with any leading dimensions and of uniform numbers that were drawn
beforehand, so one program serves one run and a batch of runs (see `batched`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from blackbox.algorithm import Candidates, Capabilities, Front, Request, Seen, Spec
from blackbox.algorithms.evolutionary.draws import draw
from blackbox.algorithms.evolutionary.mating import choose_rows, choosing_draws, take_rows
from blackbox.algorithms.evolutionary.offspring import Reproduction, initial_points
from blackbox.algorithms.evolutionary.orders import check_names
from blackbox.algorithms.evolutionary.population import (
    Population,
    check_count,
    check_memory,
    check_variation,
    empty_population,
    front_of,
    joined,
    total_violation,
)

__all__ = ["FEW_OBJECTIVES", "Evolution", "Survivors", "Tools"]

_MANY = 2**31
FEW_OBJECTIVES = 3
_CROSSING, _CROSSING_OF_MANY = 0.5, 0.3  # with many objectives parents are far apart, and mixtures of them poor
_EARLY_GENERATIONS = 50


class Tools(NamedTuple):
    """Constants of one search: how to vary its points, and what the algorithm makes of its settings."""

    reproduction: Reproduction
    constants: Any


class Survivors(NamedTuple):
    """The rows that live on, shape (..., n), those that mate first; the new memory; how many mate, None for all.

    `is_sound` says that no row has failed, where that is known.
    """

    rows: Tensor
    memory: dict[str, Tensor]
    parents: Tensor | None = None
    is_sound: bool = False


@dataclass(frozen=True, slots=True)
class Evolution:
    """Settings and steps of a genetic algorithm; subclasses say who mates and who survives.

    Parameters
    ----------
    population_size : int, default 100
        Members N; any number from 2.
    crossover_eta : float
        Distribution index of simulated binary crossover.
    crossover_probability : float or None, default 0.5
        Chance of each variable to be crossed. None: 0.5 for up to three objectives, 0.3 for more; some kinds take
        another chance early in the search.
    mutation_eta : float
        Distribution index of polynomial mutation.
    mutation_probability : float, optional
        Chance of each variable to be mutated. Default: 1 / d.
    steady_state : bool, default False
        Answer while candidates are pending, and learn from any number of rows at once, instead of generations.
    permutation : tuple of str, default ()
        Names of real parameters, with the same bounds, that are keys of one permutation: only their order counts, and
        it is varied by order crossover, reversals and swaps.
    """

    population_size: int = 100
    crossover_eta: float = 15.0
    crossover_probability: float | None = 0.5
    mutation_eta: float = 20.0
    mutation_probability: float | None = None
    steady_state: bool = False
    permutation: tuple[str, ...] = ()

    _objectives: ClassVar[tuple[int, int | None]] = (1, None)
    _own_result: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_count("population_size", self.population_size, 2)
        check_variation(
            crossover_eta=self.crossover_eta,
            crossover_probability=self.crossover_probability,
            mutation_eta=self.mutation_eta,
            mutation_probability=self.mutation_probability,
        )
        object.__setattr__(self, "permutation", check_names(self.permutation))

    # -- what subclasses say ---------------------------------------------------------------------------------

    def constants(self, spec: Spec) -> Any:
        """Return constants that `survive` needs; called once for each search."""
        return None

    def crossing(self, spec: Spec) -> tuple[float, float]:
        """Return the chance of each variable to be crossed, and that chance early in the search."""
        if self.crossover_probability is not None:
            return self.crossover_probability, self.crossover_probability
        return self.default_crossing(spec)

    def default_crossing(self, spec: Spec) -> tuple[float, float]:
        """Return what `crossing` is where no `crossover_probability` is given."""
        chance = _CROSSING if spec.n_objectives <= FEW_OBJECTIVES else _CROSSING_OF_MANY
        return chance, chance

    def is_early(self, told: int) -> bool:
        """Return whether a search that was told so many rows is in its first 50 generations."""
        return told < _EARLY_GENERATIONS * self.population_size

    def first_memory(self, spec: Spec) -> dict[str, Tensor]:
        """Return what is remembered before anything was told."""
        return {}

    def row_bytes(self, spec: Spec) -> float:
        """Return the memory for each member beside points, values and ranks, in bytes."""
        return 0.0

    def mating_draws(self, n: int, count: int) -> int:
        """Return how many uniform numbers `parents` takes."""
        return 2 * choosing_draws(n, count)

    def parents(self, uniforms: Tensor, n: int, count: int, pool: int | Tensor, total: Tensor | None) -> Tensor:
        """Return `count` parents, shape (..., count), out of the first `pool` of n members: the better of two.

        `total` holds the total violations, shape (..., n), or is None without constraints.
        """
        half = uniforms.shape[-1] // 2
        first = choose_rows(uniforms[..., :half], n, count, pool)
        return torch.minimum(first, choose_rows(uniforms[..., half:], n, count, pool))

    def survival_draws(self, constants: Any, n: int, m: int) -> int:
        """Return how many uniform numbers `survive` takes for n rows with m objectives."""
        return 0

    def survive(
        self,
        constants: Any,
        values: Tensor,
        total: Tensor | None,
        n_survivors: int,
        memory: Mapping[str, Tensor],
        uniforms: Tensor,
        told: int,
    ) -> Survivors:
        """Return the survivors of values (..., n, m) with total violations (..., n), failed rows last.

        `told` is the number of rows that were told so far, these included.
        """
        raise NotImplementedError

    def run_by_run(
        self,
        constants: Any,
        values: Tensor,
        n_survivors: int,
        memory: Mapping[str, Tensor],
        uniforms: Tensor,
        told: int,
    ) -> Survivors:
        """Return the survivors of runs of which some have failed rows, each as it would be alone."""
        found = []
        for run, table in enumerate(values):
            own = {name: column[run] for name, column in memory.items()}
            found.append(self.survive(constants, table, None, n_survivors, own, uniforms[run], told))
        after = {name: torch.stack([one.memory[name] for one in found]) for name in memory}
        return Survivors(torch.stack([one.rows for one in found]), after)

    # -- the steps, for any leading dimensions -----------------------------------------------------------------

    def offspring_draws(self, tools: Tools, n: int, count: int) -> int:
        """Return how many uniform numbers `offspring` takes."""
        pairs = (count + 1) // 2
        return self.mating_draws(n, 2 * pairs) + tools.reproduction.draws(pairs)

    def offspring(
        self,
        tools: Tools,
        x: Tensor,
        total: Tensor | None,
        pool: int | Tensor,
        count: int,
        uniforms: Tensor,
        *,
        early: bool,
    ) -> Tensor:
        """Return `count` children, shape (..., count, d), of members x of shape (..., n, d)."""
        n, pairs = x.shape[-2], (count + 1) // 2
        cut = self.mating_draws(n, 2 * pairs)
        chosen = self.parents(uniforms[..., :cut], n, 2 * pairs, pool, total)
        children = tools.reproduction.children(take_rows(x, chosen), uniforms[..., cut:], early=early)
        return children if 2 * pairs == count else children[..., :count, :]

    # -- the kernel protocol -----------------------------------------------------------------------------------

    @property
    def capabilities(self) -> Capabilities:
        """Constraints, every kind of parameter, external points; asynchronous if `steady_state`."""
        return Capabilities(
            objectives=self._objectives,
            constraints=True,
            asynchronous=self.steady_state,
            own_result=self._own_result,
        )

    def tools(self, spec: Spec) -> Tools:
        """Return the constants of a search."""
        later, early = self.crossing(spec)
        reproduction = Reproduction(
            spec,
            crossover_eta=self.crossover_eta,
            crossover_probability=later,
            early_crossover_probability=early,
            mutation_eta=self.mutation_eta,
            mutation_probability=self.mutation_probability,
            permutation=self.permutation,
        )
        return Tools(reproduction, self.constants(spec))

    def init(self, spec: Spec, generator: torch.Generator) -> Population:
        """Return a population without members.

        Raises
        ------
        SettingError
            If the population cannot fit in memory.
        """
        check_memory(spec, self.population_size, extra=self.row_bytes(spec))
        return empty_population(spec, memory=self.first_memory(spec), tools=self.tools(spec))

    def ready(self, spec: Spec, state: Population, pending: int) -> int:
        """Return the size of a generation; without limit in steady state."""
        return _MANY if self.steady_state else self.population_size

    def ask(
        self, spec: Spec, state: Population, request: Request, generator: torch.Generator
    ) -> tuple[Population, Candidates]:
        """Propose random points until there were as many as members, then children."""
        n, count = len(state), request.n
        tools = state.tools or self.tools(spec)
        if state.parents == 0 or max(state.asked, state.told) < self.population_size:
            x = initial_points(spec, draw(generator, count * spec.dim, dtype=spec.dtype).reshape(count, -1))
        else:
            uniforms = draw(generator, self.offspring_draws(tools, n, count), dtype=spec.dtype)
            total, early = total_violation(state.violations), self.is_early(state.told)
            x = self.offspring(tools, state.x, total, state.parents, count, uniforms, early=early)
        return state.handed_out(count, tools), Candidates(x)

    def tell(self, spec: Spec, state: Population, seen: Seen, generator: torch.Generator) -> Population:
        """Merge what was told with the members; N of them survive."""
        tools = state.tools or self.tools(spec)
        x, values, violations = joined(state, seen)
        n, m = values.shape
        uniforms = draw(generator, self.survival_draws(tools.constants, n, m), dtype=spec.dtype)
        total = total_violation(violations)
        kept = min(n, self.population_size)
        told = state.told + len(seen)
        rows, memory, parents, is_sound = self.survive(
            tools.constants, values, total, kept, state.memory, uniforms, told
        )
        x, values = take_rows(x, rows), take_rows(values, rows)
        if total is not None:
            violations = take_rows(violations, rows)
        elif len(violations) != kept:
            violations = violations.new_zeros((kept, 0))
        is_sound = is_sound or (not seen.may_have_failed and state.parents == len(state))
        usable = kept if is_sound else kept - int(values[:, 0].isnan().sum())
        pool = usable if parents is None else max(1, min(int(parents), usable)) if usable else 0
        return Population(x, values, violations, pool, state.asked, told, 0, memory, tools)

    def result(self, spec: Spec, state: Population) -> Front | None:
        """Return the members that are feasible and not dominated."""
        return front_of(state) if self._own_result else None
