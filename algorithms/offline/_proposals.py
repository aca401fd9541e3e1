"""What the baselines share: told data, a fitted ensemble, and ranked designs that are handed out in turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from blackbox.algorithm import Candidates, Request, Spec
from blackbox.algorithms.offline._data import Told, TrainingSet, no_rows, training_set
from blackbox.algorithms.offline._designs import among, cells, first_of_each, perturbed
from blackbox.algorithms.offline._models import Targets
from blackbox.space import Space
from blackbox.surrogates.encoding import Encoding
from blackbox.surrogates.ensemble import Ensemble, EnsembleSettings, fit_ensemble

__all__ = ["ProposalState", "Search", "default_ensemble", "hand_out", "predicted", "start", "usable_rows"]

MANY = 2**31
_LARGE = 20_000  # rows
_ROUNDS = 4  # of changing designs at random until there are enough new ones


@dataclass(frozen=True)
class ProposalState:
    """The state of an offline baseline.

    Attributes
    ----------
    told : Told
        The data.
    used : int
        Rows that the ensemble and the waiting designs come from; 0 before the first search.
    ensemble : Ensemble or None
    waiting : Tensor, shape (p, d)
        Designs that were found and not handed out, best first.
    handed : Tensor, shape (h, d)
        Designs that were handed out since the last training.
    """

    told: Told
    used: int
    ensemble: Ensemble | None
    waiting: Tensor
    handed: Tensor


# From the spec, the rows, the ensemble, how many designs are wanted and a generator: designs, best first.
Search = Callable[[Spec, TrainingSet, Ensemble, int, torch.Generator], Tensor]


def start(spec: Spec) -> ProposalState:
    """Return the state without data."""
    nothing = torch.zeros((0, spec.dim), dtype=spec.dtype, device=spec.device)
    return ProposalState(no_rows(spec), 0, None, nothing, nothing)


def usable_rows(state: ProposalState, name: str) -> TrainingSet:
    """Return the distinct rows that the state's ensemble learned from."""
    told = state.told
    return training_set(Told(told.x[: state.used], told.values[: state.used], told.dropped), name=name)


def predicted(space: Space, ensemble: Ensemble, x: Tensor) -> Tensor:
    """Return the mean predictions at points of the space, standardised, to be minimised, shape (n, m)."""
    features = Encoding(space).encode(x)
    return ensemble.predict_scaled(ensemble.inputs.apply(features)).mean(0).to(x.dtype)


def hand_out(
    spec: Spec,
    state: ProposalState,
    request: Request,
    generator: torch.Generator,
    *,
    name: str,
    settings: EnsembleSettings | None,
    search: Search,
    batch_size: int,
    targets: Literal["standard", "log"] = "standard",
) -> tuple[ProposalState, Candidates]:
    """Fit anew where there are new data, search where too few designs are waiting, and hand out the next ones.

    No design is handed out twice or was told, as long as there are others.
    """
    state, ensemble = _fitted(spec, state, name, settings, targets, generator)
    if len(state.waiting) < request.n:
        wanted = max(request.n, batch_size)
        rows = usable_rows(state, name)
        found = torch.cat([state.waiting, search(spec, rows, ensemble, wanted, generator)])
        state = replace(state, waiting=_new(spec, state, found, request.n, generator))
    x = state.waiting[: request.n]
    gain = -predicted(spec.space, ensemble, x)
    context = {"predicted": gain[:, 0] if gain.shape[1] == 1 else gain, "known": among(x, state.told.x)}
    state = replace(state, waiting=state.waiting[len(x) :], handed=torch.cat([state.handed, x]))
    return state, Candidates(x, context)


def _fitted(
    spec: Spec,
    state: ProposalState,
    name: str,
    settings: EnsembleSettings | None,
    targets: Literal["standard", "log"],
    generator: torch.Generator,
) -> tuple[ProposalState, Ensemble]:
    """Return the state with an ensemble of all that was told, and that ensemble."""
    if state.ensemble is not None and state.used == len(state.told):
        return state, state.ensemble
    state = replace(state, used=len(state.told), waiting=state.waiting[:0], handed=state.handed[:0])
    rows = usable_rows(state, name)
    learned = rows.values if targets == "standard" else Targets.of(rows.values, targets).apply(rows.values)
    chosen = settings or default_ensemble(len(rows))
    ensemble = fit_ensemble(Encoding(spec.space).encode(rows.x), learned, chosen, generator)
    return replace(state, ensemble=ensemble), ensemble


def default_ensemble(rows: int) -> EnsembleSettings:
    """Return what is learned from so many rows: about as many rows in all, from 20000 on, as by 100 passes of those."""
    settings = EnsembleSettings(hidden=(256, 256), members=3, epochs=100, patience=20)
    if rows <= _LARGE:
        return settings
    epochs = max(10, 100 * _LARGE // rows)
    return replace(settings, epochs=epochs, batch_size=512, decay=0.02 ** (1 / epochs), precision="auto")


def _new(spec: Spec, state: ProposalState, found: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Return the designs that are new, then, while there are less than n, changed ones; all of them if none is new.

    With one objective, designs in one cell of a grid of a hundredth of the ranges count as one: the first of them.
    """
    found = found[first_of_each(cells(spec.space, found) if spec.n_objectives == 1 else found)]
    known = torch.cat([state.handed, state.told.x])
    fresh = found[~among(found, known)]
    for _ in range(_ROUNDS):
        if len(fresh) >= n:
            return fresh
        near = perturbed(spec.space, fresh if len(fresh) else found, 4 * n, generator)
        near = near[~among(near, torch.cat([known, fresh]))]
        fresh = torch.cat([fresh, near[first_of_each(near)]])
    return fresh if len(fresh) else found
