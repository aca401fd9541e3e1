"""NSGA-II: fronts, and crowding distance within them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blackbox.algorithms.evolutionary.compact import is_compact
from blackbox.algorithms.evolutionary.compact_crowding import survivors_nsga2
from blackbox.algorithms.evolutionary.evolution import Evolution, Survivors
from blackbox.algorithms.evolutionary.survival import survive_nsga2
from blackbox.errors import SettingError
from blackbox.outcomes import has_finite_squares

__all__ = ["NSGA2"]


@dataclass(frozen=True, slots=True)
class NSGA2(Evolution):
    """NSGA-II: non-dominated sorting and crowding distance, for two or three objectives.

    Real, integer, ordinal, categorical and conditional parameters; constraints by total violation; failed rows rank
    last and mate only while there is nothing else; points that were not asked join the population. O(n log n) time a
    generation for m <= 3, O(m n^2) beyond.

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
    pruning : bool, default False
        Let the most crowded rows of the last front go one by one, with the distances computed anew after each: a more
        even front, for O(N^2) time a generation.

    References
    ----------
    K. Deb, A. Pratap, S. Agarwal, T. Meyarivan, A fast and elitist multiobjective genetic algorithm: NSGA-II, 2002;
    S. Kukkonen, K. Deb, 2006 (pruning). Deviation: crowding is known for every front, so tournaments see it everywhere.

    Examples
    --------
    >>> import blackbox as bb
    >>> optimizer = bb.Optimizer(bb.Space.box([0, 0], [1, 1]), NSGA2(population_size=20), objectives=2, seed=0)
    >>> for _ in range(5):
    ...     batch = optimizer.ask()
    ...     _ = optimizer.tell(batch, [[x, (1 + y) * (1 - x)] for x, y in batch.x.tolist()])
    >>> 1 <= len(optimizer.result()) <= 20
    True
    """

    pruning: bool = False

    def __post_init__(self) -> None:
        Evolution.__post_init__(self)
        if not isinstance(self.pruning, bool):
            raise SettingError(f"pruning: expected True or False, got {self.pruning!r}")

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
        """Return the first fronts, the last of them by crowding; best first."""
        if total is None and not self.pruning and is_compact(values):
            table = values.numpy()
            if has_finite_squares(table):
                return _compact(table, n_survivors, uniforms.numpy())
            if values.dim() == 3:
                return self.run_by_run(constants, values, n_survivors, memory, uniforms, told)
        rows, _, _ = survive_nsga2(values, n_survivors, violation=total, uniforms=uniforms, pruning=self.pruning)
        return Survivors(rows, {})


def _compact(values: NDArray[np.float64], n_survivors: int, uniforms: NDArray[np.float64]) -> Survivors:
    """Return the survivors of one run or of many, with NumPy."""
    if values.ndim == 3:
        rows = survivors_nsga2(values, n_survivors, uniforms)
    else:
        rows = survivors_nsga2(values[None], n_survivors, uniforms[None])[0]
    return Survivors(torch.from_numpy(rows), {}, is_sound=True)
