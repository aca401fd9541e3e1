"""A genetic algorithm for one objective."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from blackbox.algorithms.evolutionary.evolution import Evolution, Survivors

__all__ = ["GA"]


@dataclass(frozen=True, slots=True)
class GA(Evolution):
    """A genetic algorithm for one objective: the N best of members and children survive.

    Real, integer, ordinal, categorical and conditional parameters; constraints by total violation, which counts
    before the value; failed rows rank last and mate only while there is nothing else; points that were not asked join
    the population. O(N d + N log N) time a generation.

    Parameters
    ----------
    population_size : int, default 100
        Members N; any number from 2.
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
    K. Deb, An efficient constraint handling method for genetic algorithms, 2000 (tournaments and constraints).

    Examples
    --------
    >>> import blackbox as bb
    >>> optimizer = bb.Optimizer(bb.Space.box([-5, -5], [5, 5]), GA(population_size=20), seed=0)
    >>> for _ in range(30):
    ...     batch = optimizer.ask()
    ...     _ = optimizer.tell(batch, (batch.x**2).sum(1))
    >>> float(optimizer.result().values) < 0.1
    True
    """

    _objectives: ClassVar[tuple[int, int | None]] = (1, 1)
    _own_result: ClassVar[bool] = False

    def survival_draws(self, constants: Any, n: int, m: int) -> int:
        """Return how many uniform numbers `survive` takes: one a row."""
        return n

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
        """Return the best rows, equal ones in random order."""
        order = uniforms.argsort(dim=-1, stable=True)
        keys = [values[..., 0]] if total is None else [values[..., 0], total]
        for key in [*keys, values[..., 0].isnan().to(values.dtype)]:
            known = key.nan_to_num(nan=torch.inf)
            order = order.gather(-1, known.gather(-1, order).argsort(dim=-1, stable=True))
        return Survivors(order[..., :n_survivors], {})
