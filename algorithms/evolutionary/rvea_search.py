"""RVEA: one member for each reference vector, by a distance that is penalised by the angle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from blackbox.algorithm import Spec
from blackbox.algorithms.evolutionary.evolution import FEW_OBJECTIVES, Evolution, Survivors
from blackbox.algorithms.evolutionary.mating import choose_rows, choosing_draws
from blackbox.algorithms.evolutionary.nsga3 import make_directions
from blackbox.algorithms.evolutionary.population import check_count, check_number
from blackbox.algorithms.evolutionary.ranking import finite_values
from blackbox.algorithms.evolutionary.rvea import adapt_directions, neighbour_angles
from blackbox.algorithms.evolutionary.survival import survive_rvea

__all__ = ["RVEA"]

_GENERATIONS = 100
_PENALTY = 0.2


class _Constants(NamedTuple):
    directions: Tensor
    angles: Tensor
    divisions: int | None
    generations: int


@dataclass(frozen=True, slots=True)
class RVEA(Evolution):
    """RVEA: reference vectors and angle-penalised distance, for three objectives and more.

    Convergence counts first and spread later, so it plans with a number of generations; it may go on beyond.
    Population members that win a reference vector mate; others fill up to N and wait. Real, integer, ordinal,
    categorical and conditional parameters; constraints by total violation; failed rows rank last and mate only while
    there is nothing else; points that were not asked join the population.

    Parameters
    ----------
    population_size : int, default 100
        Members N; any number from 2.
    generations : int, optional
        Generations foreseen. Default: the optimizer's budget over N, or 100.
    alpha : float, default 2
        How late the penalty grows: it is `penalty` m (t / generations)^alpha.
    adaptation : float, default 0.1
        The vectors are scaled to the range of the front each time this share of the generations has passed.
    penalty : float, optional
        How much the penalty weighs in the end, in units of m for each angle between neighbouring vectors. Default: 0.2
        for up to three objectives, where vectors are so close together that a larger one holds back the front; 1, as in
        the paper, for more.
    crossover_eta : float, default 30
        Distribution index of simulated binary crossover.
    crossover_probability : float, optional
        Chance of each variable to be crossed. Default: 0.5 for up to three objectives, 0.3 for more.
    mutation_eta : float, default 20
        Distribution index of polynomial mutation.
    mutation_probability : float, optional
        Chance of each variable to be mutated. Default: 1 / d.
    steady_state : bool, default False
        Answer while candidates are pending, and merge any number of told rows at once, instead of generations.
    permutation : tuple of str, default ()
        Names of real parameters, with the same bounds, that are keys of one permutation: only their order counts, and
        it is varied by order crossover, reversals and swaps.

    References
    ----------
    R. Cheng, Y. Jin, M. Olhofer, B. Sendhoff, A reference vector guided evolutionary algorithm for many-objective
    optimization, 2016. Deviations: the population keeps N members; those that win no vector do not mate; `penalty`.

    Examples
    --------
    >>> import blackbox as bb
    >>> optimizer = bb.Optimizer(bb.Space.box([0, 0], [1, 1]), RVEA(population_size=20), objectives=2, seed=0)
    >>> for _ in range(5):
    ...     batch = optimizer.ask()
    ...     _ = optimizer.tell(batch, [[x, (1 + y) * (1 - x)] for x, y in batch.x.tolist()])
    >>> 1 <= len(optimizer.result()) <= 20
    True
    """

    crossover_eta: float = 30.0
    crossover_probability: float | None = None
    generations: int | None = None
    alpha: float = 2.0
    adaptation: float = 0.1
    penalty: float | None = None

    def __post_init__(self) -> None:
        Evolution.__post_init__(self)
        if self.generations is not None:
            check_count("generations", self.generations, 1)
        check_number("alpha", self.alpha, 0, 100)
        if self.penalty is not None:
            check_number("penalty", self.penalty, 0, 1e6)
        check_number("adaptation", self.adaptation, 0, 1)

    def constants(self, spec: Spec) -> _Constants:
        """Return the unit vectors of the lattice, the angles between neighbours, and the generations foreseen."""
        found = make_directions(spec, self.population_size, None)
        unit = found.directions / found.directions.norm(dim=-1, keepdim=True)
        planned = max(1, spec.budget // self.population_size) if spec.budget else _GENERATIONS
        return _Constants(unit, neighbour_angles(unit), found.divisions, self.generations or planned)

    def first_memory(self, spec: Spec) -> dict[str, Tensor]:
        """Return the range of a front that was not seen, and the angles between vectors that were not scaled."""
        span = torch.ones(spec.n_objectives, dtype=spec.dtype, device=spec.device)
        return {"span": span, "angles": self.constants(spec).angles}

    def mating_draws(self, n: int, count: int) -> int:
        """Return how many uniform numbers `parents` takes."""
        return choosing_draws(n, count)

    def parents(self, uniforms: Tensor, n: int, count: int, pool: int | Tensor, total: Tensor | None) -> Tensor:
        """Return random parents out of those that have a vector."""
        return choose_rows(uniforms, n, count, pool)

    def survive(
        self,
        constants: _Constants,
        values: Tensor,
        total: Tensor | None,
        n_survivors: int,
        memory: Mapping[str, Tensor],
        uniforms: Tensor,
        told: int,
    ) -> Survivors:
        """Return the winners of the vectors, and others by front."""
        if values.dim() > 2:  # every run has vectors of its own
            runs = range(values.shape[0])
            parts = [
                self.survive(
                    constants,
                    values[run],
                    None if total is None else total[run],
                    n_survivors,
                    {name: column[run] for name, column in memory.items()},
                    uniforms[run],
                    told,
                )
                for run in runs
            ]
            memories = {name: torch.stack([part.memory[name] for part in parts]) for name in memory}
            pools = torch.stack([part.parents for part in parts if part.parents is not None])
            return Survivors(torch.stack([part.rows for part in parts]), memories, pools)
        progress = min(1.0, told / (self.population_size * constants.generations))
        span, angles = memory["span"], memory["angles"]
        weight = (_PENALTY if values.shape[-1] <= FEW_OBJECTIVES else 1.0) if self.penalty is None else self.penalty
        is_scaled = bool((span != 1).any())
        directions = adapt_directions(constants.directions, torch.zeros_like(span), span)
        rows, wins = survive_rvea(
            values,
            n_survivors,
            directions,
            angles,
            weight * values.shape[-1] * progress**self.alpha,
            divisions=None if is_scaled else constants.divisions,
            violation=total,
        )
        period = self.adaptation * constants.generations * self.population_size
        if int(told / period) > int((told - self.population_size) / period):
            winners = finite_values(values[rows[wins]]) if bool(wins.any()) else values[:0]
            if len(winners):
                span = winners.amax(-2) - winners.amin(-2)
                span = torch.where(span > 0, span, 1.0)
                angles = neighbour_angles(adapt_directions(constants.directions, torch.zeros_like(span), span))
        return Survivors(rows, {"span": span, "angles": angles}, wins.sum(-1, keepdim=True))
