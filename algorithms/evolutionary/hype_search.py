"""HypE: fronts, and shares of the hypervolume within the front that does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from blackbox.algorithm import Spec
from blackbox.algorithms.evolutionary.evolution import Evolution, Survivors
from blackbox.algorithms.evolutionary.hype import exact_contributions, hype_fitness
from blackbox.algorithms.evolutionary.population import Population, check_bytes, check_count
from blackbox.algorithms.evolutionary.ranking import finite_values
from blackbox.algorithms.evolutionary.survival import survive_hype

__all__ = ["HypE"]


@dataclass(frozen=True, slots=True)
class HypE(Evolution):
    """HypE: non-dominated sorting and hypervolume contributions, for three objectives and more.

    Contributions are exact for two objectives, and for three on the CPU; otherwise estimated from common random
    samples, O(samples N m) time a round. Real, integer, ordinal, categorical and conditional parameters; constraints
    by total violation; failed rows rank last and mate only while there is nothing else; points that were not asked
    join the population.

    Parameters
    ----------
    population_size : int, default 100
        Members N; any number from 2.
    samples : int, default 10000
        Random samples of the hypervolume, where it is estimated.
    rounds : int, default 8
        In how many rounds the surplus of the last front is removed; 1 is the one-shot rule, more are nearer to
        removing rows one by one.
    crossover_eta : float, default 15
        Distribution index of simulated binary crossover.
    crossover_probability : float, default 0.5
        Chance of each variable to be crossed.
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
    J. Bader, E. Zitzler, HypE: an algorithm for fast hypervolume-based many-objective optimization, 2011. Deviations:
    the reference point follows the front (a tenth of its range beyond), contributions are exact where that is cheap.

    Examples
    --------
    >>> import blackbox as bb
    >>> optimizer = bb.Optimizer(bb.Space.box([0, 0], [1, 1]), HypE(population_size=20), objectives=2, seed=0)
    >>> for _ in range(5):
    ...     batch = optimizer.ask()
    ...     _ = optimizer.tell(batch, [[x, (1 + y) * (1 - x)] for x, y in batch.x.tolist()])
    >>> 1 <= len(optimizer.result()) <= 20
    True
    """

    samples: int = 10_000
    rounds: int = 8

    def __post_init__(self) -> None:
        Evolution.__post_init__(self)
        check_count("samples", self.samples, 1)
        check_count("rounds", self.rounds, 1)

    def _is_exact(self, m: int, device: torch.device) -> bool:
        return m <= 2 or (m == 3 and device.type == "cpu")

    def init(self, spec: Spec, generator: torch.Generator) -> Population:
        """Return a population without members.

        Raises
        ------
        SettingError
            If the population, or the samples, cannot fit in memory.
        """
        if not self._is_exact(spec.n_objectives, spec.device):
            check_bytes("samples", self.samples, 3.0 * self.samples * spec.n_objectives * 8, spec.device)
        return Evolution.init(self, spec, generator)

    def constants(self, spec: Spec) -> bool:
        """Return whether contributions are exact."""
        return self._is_exact(spec.n_objectives, spec.device)

    def survival_draws(self, constants: Any, n: int, m: int) -> int:
        """Return how many uniform numbers `survive` takes: samples of the unit cube."""
        return m if constants else m * self.samples

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
        """Return the first fronts, the last of them by contribution; by front and contribution."""
        m, lead = values.shape[-1], values.shape[:-2]
        draws = uniforms.reshape(*lead, -1, m)
        rows, rank, reference = survive_hype(
            values, n_survivors, draws, violation=total, rounds=self.rounds, exact=constants
        )
        chosen = values.gather(-2, rows.unsqueeze(-1).expand(*rows.shape, m))
        clean = finite_values(chosen)
        if constants:
            fitness = exact_contributions(clean, reference)
        else:
            fitness = hype_fitness(clean, reference, n_survivors, draws)
        order = fitness.argsort(dim=-1, descending=True, stable=True)
        order = order.gather(-1, rank.gather(-1, order).argsort(dim=-1, stable=True))
        return Survivors(rows.gather(-1, order), {})
