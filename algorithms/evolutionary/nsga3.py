"""NSGA-III: fronts, and niches around reference directions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blackbox.algorithm import Spec
from blackbox.algorithms.evolutionary.compact import is_compact
from blackbox.algorithms.evolutionary.compact_association import Lattice
from blackbox.algorithms.evolutionary.compact_niching import survivors_nsga3
from blackbox.algorithms.evolutionary.evolution import FEW_OBJECTIVES, Evolution, Survivors
from blackbox.algorithms.evolutionary.mating import choose_rows, choosing_draws
from blackbox.algorithms.evolutionary.population import check_count
from blackbox.algorithms.evolutionary.reference import das_dennis, das_dennis_size, spread_directions
from blackbox.algorithms.evolutionary.survival import Normalization, initial_normalization, survive_nsga3
from blackbox.errors import SettingError
from blackbox.outcomes import has_finite_squares

__all__ = ["NSGA3", "Directions", "make_directions"]

_MOST_DIRECTIONS = 100_000
# While members are little more than random points, mixing all their variables finds the best basin of each; later,
# children that keep most of one good parent make more of it.
_EARLY_CROSSING, _CROSSING, _CROSSING_OF_MANY = 0.85, 0.4, 0.3


class Directions(NamedTuple):
    """Reference directions, shape (r, m); their divisions where they are one lattice; the same for NumPy."""

    directions: Tensor
    divisions: int | None
    lattice: Lattice | None = None


def make_directions(spec: Spec, population_size: int, divisions: int | None) -> Directions:
    """Return the lattice with the given divisions, or directions for at most as many as there are members.

    Raises
    ------
    SettingError
        If `divisions` asks for more than 100,000 directions and 100 a member, which would not be served.
    """
    m = spec.n_objectives
    if divisions is None:
        found, lattice = spread_directions(population_size, m, dtype=spec.dtype, device=spec.device)
        return Directions(found, lattice)
    if das_dennis_size(m, divisions) > 100 * population_size + _MOST_DIRECTIONS:
        raise SettingError(
            f"divisions: {divisions} make {das_dennis_size(m, divisions)} directions of {m} objectives, "
            f"more than {_MOST_DIRECTIONS} and 100 for each of the {population_size} members"
        )
    return Directions(das_dennis(m, divisions, dtype=spec.dtype, device=spec.device), divisions)


@dataclass(frozen=True, slots=True)
class NSGA3(Evolution):
    """NSGA-III: non-dominated sorting and niches around reference directions, for three objectives and more.

    Real, integer, ordinal, categorical and conditional parameters; constraints by total violation; failed rows rank
    last and mate only while there is nothing else; points that were not asked join the population. Any number of
    members, equal to that of the directions or not.

    Parameters
    ----------
    population_size : int, default 100
        Members N; any number from 2.
    divisions : int, optional
        Of each axis of the lattice of directions (Das and Dennis). Default: the largest lattice with at most N
        directions; for many objectives two layers, and further directions between them, N in all.
    crossover_eta : float, default 30
        Distribution index of simulated binary crossover.
    crossover_probability : float, optional
        Chance of each variable to be crossed. Default: 0.85 in the first 50 generations, later 0.4 for up to three
        objectives, 0.3 for more.
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
    K. Deb, H. Jain, An evolutionary many-objective optimization algorithm using reference-point-based nondominated
    sorting approach, part I, 2014; H. Jain, K. Deb, part II, 2014 (constraints). Deviations: niching in closed form
    with the same distribution; extreme points are remembered; directions beside the two layers.

    Examples
    --------
    >>> import blackbox as bb
    >>> optimizer = bb.Optimizer(bb.Space.box([0, 0], [1, 1]), NSGA3(population_size=20), objectives=2, seed=0)
    >>> for _ in range(5):
    ...     batch = optimizer.ask()
    ...     _ = optimizer.tell(batch, [[x, (1 + y) * (1 - x)] for x, y in batch.x.tolist()])
    >>> 1 <= len(optimizer.result()) <= 20
    True
    """

    crossover_eta: float = 30.0
    crossover_probability: float | None = None
    divisions: int | None = None

    def __post_init__(self) -> None:
        Evolution.__post_init__(self)
        if self.divisions is not None:
            check_count("divisions", self.divisions, 1)

    def default_crossing(self, spec: Spec) -> tuple[float, float]:
        """Return a large chance early in the search, and a small one later."""
        return _CROSSING if spec.n_objectives <= FEW_OBJECTIVES else _CROSSING_OF_MANY, _EARLY_CROSSING

    def constants(self, spec: Spec) -> Directions:
        """Return the reference directions."""
        found = make_directions(spec, self.population_size, self.divisions)
        if spec.device.type != "cpu":
            return found
        unit = found.directions / found.directions.norm(dim=-1, keepdim=True)
        lattice = Lattice(found.directions, unit.mT.contiguous().double().numpy(), found.divisions)
        return found._replace(lattice=lattice)

    def first_memory(self, spec: Spec) -> dict[str, Tensor]:
        """Return a normalisation that has seen nothing."""
        return initial_normalization((spec.n_objectives,), dtype=spec.dtype, device=spec.device)._asdict()

    def mating_draws(self, n: int, count: int) -> int:
        """Return how many uniform numbers `parents` takes."""
        return 2 * choosing_draws(n, count)

    def parents(self, uniforms: Tensor, n: int, count: int, pool: int | Tensor, total: Tensor | None) -> Tensor:
        """Return random parents; with constraints, the less violated of two."""
        half = uniforms.shape[-1] // 2
        first = choose_rows(uniforms[..., :half], n, count, pool)
        if total is None:
            return first
        second = choose_rows(uniforms[..., half:], n, count, pool)
        known = total.nan_to_num(nan=torch.inf)
        return torch.where(known.gather(-1, second) < known.gather(-1, first), second, first)

    def survival_draws(self, constants: Any, n: int, m: int) -> int:
        """Return how many uniform numbers `survive` takes: two a row."""
        return 2 * n

    def survive(
        self,
        constants: Directions,
        values: Tensor,
        total: Tensor | None,
        n_survivors: int,
        memory: Mapping[str, Tensor],
        uniforms: Tensor,
        told: int,
    ) -> Survivors:
        """Return the first fronts, the last of them by niche; in the order of the fronts."""
        n = values.shape[-2]
        if total is None and constants.lattice is not None and is_compact(values):
            table = values.numpy()
            if has_finite_squares(table):  # so that nothing overflows on the way
                return _compact(constants.lattice, table, n_survivors, memory, uniforms.numpy())
            if values.dim() == 3:
                return self.run_by_run(constants, values, n_survivors, memory, uniforms, told)
        rows, _, memory_after = survive_nsga3(
            values,
            n_survivors,
            constants.directions,
            Normalization(memory["ideal"], memory["extremes"]),
            uniforms.reshape(*values.shape[:-2], 2, n),
            divisions=constants.divisions,
            violation=total,
        )
        return Survivors(rows, memory_after._asdict())


def _compact(
    lattice: Lattice, values: NDArray[np.float64], n_survivors: int, memory: Mapping[str, Tensor], uniforms: Any
) -> Survivors:
    """Return the survivors of one run or of many, with NumPy."""
    ideal, extremes = memory["ideal"].numpy(), memory["extremes"].numpy()
    if values.ndim == 3:
        lots = uniforms.reshape(len(values), 2, -1)
        rows, ideal, extremes = survivors_nsga3(values, n_survivors, lattice, ideal, extremes, lots)
    else:
        lots = uniforms.reshape(1, 2, -1)
        found = survivors_nsga3(values[None], n_survivors, lattice, ideal[None], extremes[None], lots)
        rows, ideal, extremes = found[0][0], found[1][0], found[2][0]
    after = {"ideal": torch.from_numpy(ideal), "extremes": torch.from_numpy(extremes)}
    return Survivors(torch.from_numpy(rows), after, is_sound=True)
