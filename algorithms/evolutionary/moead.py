"""MOEA/D: one member for each weight vector, improved by its neighbours, a whole generation at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blackbox.algorithm import Candidates, Request, Seen, Spec
from blackbox.algorithms.evolutionary.compact import is_compact
from blackbox.algorithms.evolutionary.compact_decomposition import Neighbourhoods, improved, is_small, mates, taken
from blackbox.algorithms.evolutionary.decomposition import Aggregation, neighbourhood_update, neighbours, scaled_weights
from blackbox.algorithms.evolutionary.draws import draw, split_draws
from blackbox.algorithms.evolutionary.evolution import FEW_OBJECTIVES, Evolution, Tools
from blackbox.algorithms.evolutionary.mating import take_rows
from blackbox.algorithms.evolutionary.niching import associate
from blackbox.algorithms.evolutionary.offspring import initial_points
from blackbox.algorithms.evolutionary.population import Population, check_count, empty_population, total_violation
from blackbox.algorithms.evolutionary.reference import even_sequence, spread_directions
from blackbox.algorithms.evolutionary.slots import filled, next_places, place_of, usable_members
from blackbox.errors import SettingError
from blackbox.outcomes import has_finite_squares

__all__ = ["MOEAD", "weight_vectors"]

_KINDS = ("tchebycheff", "pbi", "weighted_sum")


class _Constants(NamedTuple):
    weights: Tensor
    neighbours: Tensor
    neighbour_weights: Tensor
    compact: Neighbourhoods | None = None


def weight_vectors(spec: Spec, n: int) -> Tensor:
    """Return exactly n weights, shape (n, m): those of `spread_directions`, and an even sequence for the rest."""
    m = spec.n_objectives
    if m == 1:
        return torch.ones((n, 1), dtype=spec.dtype, device=spec.device)
    found, _ = spread_directions(n, m, dtype=spec.dtype, device=spec.device)
    if len(found) >= n:
        return found[:n]
    return torch.cat([found, even_sequence(n - len(found), m).to(found)])


@dataclass(frozen=True, slots=True)
class MOEAD(Evolution):
    """MOEA/D: decomposition into scalar problems that share their neighbours' progress.

    Every generation proposes one child for each weight; all children are offered to all their neighbourhoods at once,
    O(N T m) time and O(N T) memory for T neighbours. Real, integer, ordinal, categorical and conditional parameters;
    constraints by total violation; failed rows are never taken; points that were not asked are offered to the
    neighbourhood of the weight nearest to them.

    Parameters
    ----------
    population_size : int, default 100
        Members and weights N; any number from 2. Numbers of a simplex lattice (91, 105, 990 ... for m = 3) are
        spread most evenly.
    neighbours : int, default 20
        Size T of the neighbourhoods, at least 2.
    aggregation : "pbi", "tchebycheff" or "weighted_sum", default "pbi"
        How a weight turns the objectives into one number.
    theta : float, default 5
        Penalty of "pbi".
    normalize : bool, optional
        Whether objectives are divided by the range of the members. Default: for up to three objectives. With more,
        few members lie near the axes, the range shrinks with each that is lost, and the members gather in one place;
        scale such objectives beforehand, or use NSGA3.
    mating : float, default 0.9
        Chance that parents are neighbours, rather than any members.
    max_replace : int or None, default 2
        The most members that one child replaces; None for no limit, with which a few good children can displace whole
        parts of a front that has gaps.
    crossover_eta : float, default 20
        Distribution index of simulated binary crossover.
    crossover_probability : float, optional
        Chance of each variable to be crossed. Default: 0.5 for up to three objectives, 0.3 for more.
    mutation_eta : float, default 20
        Distribution index of polynomial mutation.
    mutation_probability : float, optional
        Chance of each variable to be mutated. Default: 1 / d.
    steady_state : bool, default False
        Answer while candidates are pending, and learn from any number of rows at once, instead of generations.
    permutation : tuple of str, default ()
        Names of real parameters, with the same bounds, that are keys of one permutation: only their order counts, and
        it is varied by order crossover, reversals and swaps.

    References
    ----------
    Q. Zhang, H. Li, MOEA/D: a multiobjective evolutionary algorithm based on decomposition, 2007; H. Li, Q. Zhang,
    2009 (mating from all members, limited replacement). Deviation: a generation is evaluated and taken at once.

    Examples
    --------
    >>> import blackbox as bb
    >>> optimizer = bb.Optimizer(bb.Space.box([0, 0], [1, 1]), MOEAD(population_size=20), objectives=2, seed=0)
    >>> for _ in range(5):
    ...     batch = optimizer.ask()
    ...     _ = optimizer.tell(batch, [[x, (1 + y) * (1 - x)] for x, y in batch.x.tolist()])
    >>> 1 <= len(optimizer.result()) <= 20
    True
    """

    crossover_eta: float = 20.0
    crossover_probability: float | None = None
    neighbours: int = 20
    aggregation: Aggregation = "pbi"
    theta: float = 5.0
    normalize: bool | None = None
    mating: float = 0.9
    max_replace: int | None = 2

    def __post_init__(self) -> None:
        Evolution.__post_init__(self)
        check_count("neighbours", self.neighbours, 2)
        if self.max_replace is not None:
            check_count("max_replace", self.max_replace, 1)
        if self.aggregation not in _KINDS:
            raise SettingError(f"aggregation: expected one of {_KINDS}, got {self.aggregation!r}")
        if not 0 <= self.theta < float("inf"):
            raise SettingError(f"theta: expected a finite number >= 0, got {self.theta!r}")
        if not 0 <= self.mating <= 1:
            raise SettingError(f"mating: expected a chance in [0, 1], got {self.mating!r}")

    def row_bytes(self, spec: Spec) -> float:
        """Return the memory for the neighbourhoods of one member, in bytes."""
        return (60.0 + 8 * spec.n_objectives) * self.neighbours

    def constants(self, spec: Spec) -> _Constants:
        """Return the weights and their neighbourhoods."""
        weights = weight_vectors(spec, self.population_size)
        table = neighbours(weights, min(self.neighbours, len(weights)))
        scaled = scaled_weights(weights, self.aggregation)
        found = _Constants(weights, table, torch.stack([column[table] for column in scaled]))
        if not is_small(table, self.max_replace):
            return found
        return found._replace(compact=Neighbourhoods.of(weights, table, self.aggregation))

    def first_memory(self, spec: Spec) -> dict[str, Tensor]:
        """Return an ideal point that has seen nothing."""
        return {"ideal": torch.full((spec.n_objectives,), torch.inf, dtype=spec.dtype, device=spec.device)}

    def init(self, spec: Spec, generator: torch.Generator) -> Population:
        """Return places without members."""
        state = Evolution.init(self, spec, generator)
        return empty_population(spec, self.population_size, memory=state.memory, tools=state.tools)

    # -- the steps, for any leading dimensions -----------------------------------------------------------------

    def place_draws(self, tools: Tools, count: int) -> int:
        """Return how many uniform numbers `place_offspring` takes."""
        return 3 * count + tools.reproduction.draws(count, single=True)

    def place_offspring(
        self, tools: Tools, x: Tensor, usable: Tensor | None, places: Tensor | None, uniforms: Tensor, *, early: bool
    ) -> Tensor:
        """Return a child for each place, shape (..., q, d).

        `usable`, shape (..., n), is None where all members are; `places` where they are all, in order.
        """
        n, compact = x.shape[-2], tools.constants.compact
        if compact is not None and usable is None and places is None and is_compact(x):
            numbers = uniforms.numpy()
            both = torch.from_numpy(mates(compact.neighbours, numbers[..., : 3 * n], self.mating))
            rest = uniforms[..., 3 * n :]
            return tools.reproduction.children(take_rows(x, both), rest, single=True, early=early)
        if places is None:
            places = torch.arange(n, device=x.device)
        q = len(places)
        local, pick, rest = split_draws(uniforms, (q, 1), (q, 2), (uniforms.shape[-1] - 3 * q,))
        table: Tensor = tools.constants.neighbours[places]
        is_local = local < self.mating
        size = torch.where(is_local, table.shape[-1], n)
        first = torch.minimum((pick[..., :1].double() * size).to(torch.int64), size - 1)
        second = torch.minimum((pick[..., 1:].double() * (size - 1)).to(torch.int64), size - 2)
        rows = torch.cat([first, second + (second >= first)], dim=-1)
        near = table.expand(*rows.shape[:-1], -1).gather(-1, rows.clamp(max=table.shape[-1] - 1))
        rows = torch.where(is_local, near, rows)
        if usable is not None:
            rows = filled(rows, usable, (pick * 1024) % 1)  # lower digits, as good as new
        both = rows.mT.flatten(-2)
        return tools.reproduction.children(take_rows(x, both), rest, single=True, early=early)

    def replacement(
        self,
        constants: _Constants,
        members: tuple[Tensor, Tensor | None],
        told: tuple[Tensor, Tensor | None],
        places: Tensor | None,
        memory: Mapping[str, Tensor],
        *,
        start: bool,
    ) -> tuple[Tensor, dict[str, Tensor], bool]:
        """Return which row every place holds, shape (..., n), the new memory, and whether all surely have values.

        Rows from n on are those that were told.

        Parameters
        ----------
        members, told : (Tensor of shape (..., n, m), Tensor of shape (..., n) or None)
            Values and total violations.
        places : Tensor, shape (q,), int64, or None
            -1 for rows without a place; None where row i has place i.
        start : bool
            Offer each row to its own place only.
        """
        (values, total), (new, new_total) = members, told
        normalize = self.normalize or (self.normalize is None and new.shape[-1] <= FEW_OBJECTIVES)
        if total is None and places is None and not start and constants.compact is not None and is_compact(values):
            tables = values.numpy(), new.numpy(), memory["ideal"].numpy()
            if all(map(has_finite_squares, tables)):
                return self._compact(constants.compact, *tables, normalize)
        known = new if new_total is None else torch.where((new_total <= 0).unsqueeze(-1), new, torch.inf)
        ideal = torch.minimum(memory["ideal"], known.nan_to_num(nan=torch.inf, posinf=torch.inf).amin(-2))
        everything = torch.cat([values, new], dim=-2)
        low = torch.where(ideal < torch.inf, ideal, everything.nan_to_num(nan=torch.inf).amin(-2))
        low = torch.where(low < torch.inf, low, 0.0)
        span = None
        if normalize:
            shown = values if not start else new
            span = shown.nan_to_num(nan=-torch.inf).amax(-2) - low
            span = torch.where((span > 0) & (span < torch.inf), span, 1.0)
        table, target_weights = constants.neighbours, None
        if places is None:
            targets = table
            target_weights = None if start else constants.neighbour_weights
        else:
            targets = table[places.clamp(min=0)]
            if bool((places < 0).any()):
                gap = (new - low.unsqueeze(-2)) / (1.0 if span is None else span.unsqueeze(-2))
                nearest, _ = associate(gap.nan_to_num(nan=1.0).clamp(0, 1e15), constants.weights)
                targets = torch.where((places < 0).unsqueeze(-1), table[nearest], targets)
        source = neighbourhood_update(
            values,
            new,
            targets[..., :1] if start else targets,
            constants.weights,
            low,
            kind=self.aggregation,
            theta=self.theta,
            span=span,
            max_replace=self.max_replace,
            violation=total,
            offspring_violation=new_total,
            target_weights=target_weights,
        )
        n = values.shape[-2]
        rows = torch.where(source >= 0, n + source, torch.arange(n, device=source.device))
        return rows, {"ideal": ideal}, False

    def _compact(
        self,
        known: Neighbourhoods,
        values: NDArray[np.float64],
        new: NDArray[np.float64],
        ideal: NDArray[np.float64],
        normalize: bool,
    ) -> tuple[Tensor, dict[str, Tensor], bool]:
        """Return what `replacement` does, with NumPy, for one run or for many."""
        is_one = values.ndim == 2
        if is_one:
            values, new, ideal = values[None], new[None], ideal[None]
        rows, ideal = improved(
            values,
            new,
            known,
            ideal,
            kind=self.aggregation,
            theta=self.theta,
            normalize=normalize,
            max_replace=self.max_replace,
        )
        if is_one:
            rows, ideal = rows[0], ideal[0]
        return torch.from_numpy(rows), {"ideal": torch.from_numpy(ideal)}, True

    # -- the kernel protocol -----------------------------------------------------------------------------------

    def ask(
        self, spec: Spec, state: Population, request: Request, generator: torch.Generator
    ) -> tuple[Population, Candidates]:
        """Propose random points until there were as many as members, then a child for each place in turn."""
        tools, count = state.tools or self.tools(spec), request.n
        if state.parents == 0 or max(state.asked, state.told) < self.population_size:
            x = initial_points(spec, draw(generator, count * spec.dim, dtype=spec.dtype).reshape(count, -1))
        else:
            places = None
            if self.steady_state or count != len(state):
                places = next_places(state, count, generational=not self.steady_state, device=spec.device)
            usable = None if state.parents == len(state) else usable_members(state.values)
            uniforms = draw(generator, self.place_draws(tools, count), dtype=spec.dtype)
            x = self.place_offspring(tools, state.x, usable, places, uniforms, early=self.is_early(state.told))
        return state.handed_out(count, tools), Candidates(x)

    def tell(self, spec: Spec, state: Population, seen: Seen, generator: torch.Generator) -> Population:
        """Offer what was told to the neighbourhoods."""
        tools = state.tools or self.tools(spec)
        places = place_of(state, seen, generational=not self.steady_state)
        rows, memory, _ = self.replacement(
            tools.constants,
            (state.values, total_violation(state.violations)),
            (seen.values, total_violation(seen.violations)),
            places,
            state.memory,
            start=state.told < self.population_size,
        )
        n = len(state)
        x, values = _taken(state.x, seen.x, rows), _taken(state.values, seen.values, rows)
        violations = state.violations
        if spec.n_constraints:
            violations = torch.cat([violations, seen.violations]).index_select(0, rows)
        return Population(
            x,
            values,
            violations,
            n if state.parents == n else int(usable_members(values).sum()),  # no member is ever lost
            state.asked,
            state.told + len(seen),
            state.external + (int(seen.external.sum()) if seen.may_have_external else 0),
            memory,
            tools,
        )


def _taken(members: Tensor, told: Tensor, rows: Tensor) -> Tensor:
    """Return rows of members and, from n on, of what was told."""
    if is_compact(members):
        return torch.from_numpy(taken(members.numpy(), told.numpy(), rows.numpy()))
    return torch.cat([members, told]).index_select(0, rows)
