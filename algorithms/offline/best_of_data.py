"""The best of the data, handed out again: what every offline algorithm has to beat."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from blackbox._arguments import whole_number
from blackbox.algorithm import Candidates, Capabilities, Front, Request, Seen, Spec
from blackbox.algorithms.offline._data import Told, no_rows, training_set, with_seen

__all__ = ["BestOfData"]

_MANY = 2**31


@dataclass(frozen=True, slots=True)
class BestOfDataState:
    """The data, and how many of its best rows were handed out since it changed last."""

    told: Told
    handed: int


@dataclass(frozen=True, slots=True)
class BestOfData:
    """Hand out the best points of the data, best first; the baseline without any model.

    Any number of objectives (by fronts and crowding distance), no constraints, any kind of parameter. After the last
    point it begins anew. O(n log n) time.

    Parameters
    ----------
    batch_size : int, default 128
        What `ask()` hands out.

    Raises
    ------
    NotReadyError
        By `ask`: without usable data.

    Examples
    --------
    >>> import blackbox as bb
    >>> space = bb.Space.box([0], [1])
    >>> optimizer = bb.Optimizer(space, BestOfData(), seed=0)
    >>> optimizer.tell(space.batch([[0.1], [0.5], [0.9]]), [3.0, 1.0, 2.0]).n_failed
    0
    >>> optimizer.ask(2).x[:, 0].tolist()
    [0.5, 0.9]
    """

    batch_size: int = 128

    def __post_init__(self) -> None:
        whole_number(self.batch_size, "batch_size", 1)

    @property
    def capabilities(self) -> Capabilities:
        """Any number of objectives, no constraints, any kind of parameter; a data set is needed."""
        return Capabilities(objectives=(1, None), natural_batch=self.batch_size, needs_data=True)

    def init(self, spec: Spec, generator: torch.Generator) -> BestOfDataState:
        """Return the state without data."""
        return BestOfDataState(no_rows(spec), 0)

    def ready(self, spec: Spec, state: BestOfDataState, pending: int) -> int:
        """Return a number without meaning: there is always a best point."""
        return _MANY

    def tell(self, spec: Spec, state: BestOfDataState, seen: Seen, generator: torch.Generator) -> BestOfDataState:
        """Add to the data, and begin anew."""
        return BestOfDataState(with_seen(state.told, seen), 0)

    def ask(
        self, spec: Spec, state: BestOfDataState, request: Request, generator: torch.Generator
    ) -> tuple[BestOfDataState, Candidates]:
        """Hand out the next best points."""
        rows = training_set(state.told, least=1, name="BestOfData", constant=True)
        begin = state.handed % len(rows)
        chosen = rows.best(begin + request.n)[begin:]
        return replace(state, handed=begin + len(chosen)), Candidates(rows.x[chosen])

    def result(self, spec: Spec, state: BestOfDataState) -> Front | None:
        """Leave it to the optimizer."""
        return None
