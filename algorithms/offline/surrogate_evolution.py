"""Evolution on a learned surrogate: a genetic algorithm for one objective, NSGA-II for several ("multiple models")."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from blackbox._arguments import whole_number
from blackbox.algorithm import Candidates, Capabilities, Front, Request, Seen, Spec
from blackbox.algorithms.evolutionary.evolution import Evolution
from blackbox.algorithms.evolutionary.ga import GA
from blackbox.algorithms.evolutionary.nsga2 import NSGA2
from blackbox.algorithms.evolutionary.survival import survive_nsga2
from blackbox.algorithms.offline._data import TrainingSet, with_seen
from blackbox.algorithms.offline._designs import first_of_each
from blackbox.algorithms.offline._evolving import evolve
from blackbox.algorithms.offline._proposals import MANY, ProposalState, hand_out, predicted, start
from blackbox.errors import SettingError
from blackbox.surrogates.ensemble import Ensemble, EnsembleSettings

__all__ = ["SurrogateEvolution"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SurrogateEvolution:
    """Evolve the best points of the data on an ensemble of networks; a baseline, and a strong one.

    One objective: a genetic algorithm. Several: NSGA-II on one network an objective, the "multiple models" of the
    literature. Real, integer, ordinal, categorical and conditional columns; designs are inside the bounds. The first
    `ask` after data trains. The column "predicted" of `batch.context` is the predicted value (one column an objective
    where there are several), standardised, larger is better; "known" marks rows of the data.

    Parameters
    ----------
    batch_size : int, default 128
        What `ask()` hands out.
    generations : int, default 100
    population_size : int, optional
        Default: as many members as designs are asked, and 128 at least.
    ensemble : EnsembleSettings, optional
        Default: 3 members of 2 x 256 units, at most 100 epochs, patience 20; from 20000 rows on larger batches, and
        the fewer epochs the more rows there are.
    targets : {"standard", "log"}, default "standard"
        What the networks learn: objectives as they are, or on the scale of `ParetoFlow` that spreads values near the
        front ("predicted" is then on that scale, too).

    Raises
    ------
    NotReadyError
        By `ask`: without data, with fewer than 2 distinct usable points, or if all values are equal.

    References
    ----------
    Xue, Tan, Huang, Qian, *Offline multi-objective optimization*, ICML 2024 (multiple models with NSGA-II).

    Examples
    --------
    >>> import blackbox as bb
    >>> space = bb.Space.box([0, 0], [1, 1])
    >>> small = SurrogateEvolution(ensemble=EnsembleSettings(hidden=(16,), epochs=20), generations=5)
    >>> optimizer = bb.Optimizer(space, small, objectives=2, seed=0)
    >>> x = torch.rand((50, 2), generator=torch.Generator().manual_seed(0))
    >>> optimizer.tell(space.batch(x), torch.stack([x[:, 0], 1 - x[:, 0] + x[:, 1]], 1)).n_failed
    0
    >>> len(optimizer.ask(4))
    4
    """

    batch_size: int = 128
    generations: int = 100
    population_size: int | None = None
    ensemble: EnsembleSettings | None = None
    targets: Literal["standard", "log"] = "standard"

    def __post_init__(self) -> None:
        whole_number(self.batch_size, "batch_size", 1)
        if self.ensemble is not None and not isinstance(self.ensemble, EnsembleSettings):
            raise SettingError(f"ensemble: expected EnsembleSettings or None, got {self.ensemble!r}")
        whole_number(self.generations, "generations", 1)
        if self.population_size is not None:
            whole_number(self.population_size, "population_size", 2)
        if self.targets not in ("standard", "log"):
            raise SettingError(f'targets: expected "standard" or "log", got {self.targets!r}')

    @property
    def capabilities(self) -> Capabilities:
        """Any number of objectives, no constraints, any kind of parameter; a data set is needed."""
        return Capabilities(
            objectives=(1, None), natural_batch=self.batch_size, needs_data=True, single_precision=False
        )

    def init(self, spec: Spec, generator: torch.Generator) -> ProposalState:
        """Return the state without data."""
        return start(spec)

    def ready(self, spec: Spec, state: ProposalState, pending: int) -> int:
        """Return a number without meaning: any batch can be made."""
        return MANY

    def tell(self, spec: Spec, state: ProposalState, seen: Seen, generator: torch.Generator) -> ProposalState:
        """Add to the data."""
        return replace(state, told=with_seen(state.told, seen))

    def ask(
        self, spec: Spec, state: ProposalState, request: Request, generator: torch.Generator
    ) -> tuple[ProposalState, Candidates]:
        """Train where there are new data, evolve, and hand out the best predicted designs."""
        return hand_out(
            spec,
            state,
            request,
            generator,
            name="SurrogateEvolution",
            settings=self.ensemble,
            search=self._search,
            batch_size=self.batch_size,
            targets=self.targets,
        )

    def result(self, spec: Spec, state: ProposalState) -> Front | None:
        """Leave it to the optimizer."""
        return None

    def _search(self, spec: Spec, rows: TrainingSet, ensemble: Ensemble, n: int, generator: torch.Generator) -> Tensor:
        """Return the last population, best first, and with one objective all that was met, best predicted first."""
        size = self.population_size or max(128, n)
        kernel: Evolution = (GA if spec.n_objectives == 1 else NSGA2)(population_size=size)
        stops, met = evolve(
            spec,
            kernel,
            rows.x[rows.best(size)],
            self.generations,
            lambda x: predicted(spec.space, ensemble, x),
            generator,
        )
        if spec.n_objectives == 1:
            values = torch.cat([seen.values[:, 0] for seen in met])
            return torch.cat([seen.x for seen in met])[values.argsort(stable=True)]
        x = stops[-1][first_of_each(stops[-1])]
        return x[survive_nsga2(predicted(spec.space, ensemble, x), len(x))[0]]
