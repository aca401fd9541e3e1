"""From told pieces to what a kernel sees: one table, sorted by id, so that order and grouping cannot matter."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from blackbox.algorithm import Capabilities, Seen
from blackbox.candidates import Batch, Ids, id_tensor
from blackbox.errors import TellError
from blackbox.incumbent import Incumbent, Rows
from blackbox.ledger import concatenate
from blackbox.outcomes import Outcome, Terms
from blackbox.reduction import Reduction

__all__ = ["Piece", "compete", "external_points", "merge"]


@dataclass(frozen=True, slots=True)
class Piece:
    """The rows of one tell that the kernel has not seen yet; `points` are those of the full space."""

    ids: Ids
    points: Any
    outcome: Outcome
    external: bool

    @property
    def id_tensor(self) -> Tensor:
        """The ids, shape (n,), int64."""
        return id_tensor(self.ids)


def compete(piece: Piece, incumbent: Incumbent, reduction: Reduction) -> None:
    """Let told rows compete for the result, but for those elsewhere or not where results count."""
    outcome = piece.outcome
    excluded = outcome.failed if outcome.may_have_failed else None
    elsewhere = reduction.elsewhere(piece.points) if piece.external else None
    for reason in (elsewhere, reduction.off_target(piece.points)):
        if reason is not None:
            excluded = reason if excluded is None else excluded | reason
    incumbent.add(Rows(piece.ids, piece.points, outcome.values, outcome.violations), excluded)


def merge(pieces: list[Piece], reduction: Reduction, n_objectives: int) -> Seen | None:
    """Return told pieces as one table sorted by id; None where nothing in them concerns the searched part."""
    pieces = [piece for piece in pieces if piece.outcome.failed.shape[0]]
    if not pieces:
        return None
    if len(pieces) == 1 and reduction.is_identity and isinstance(pieces[0].ids, range):
        return _whole(pieces[0])
    points = concatenate([piece.points for piece in pieces])
    outcomes = [piece.outcome for piece in pieces]
    flags = [torch.full((len(p.points),), p.external, dtype=torch.bool) for p in pieces]
    seen = Seen(
        concatenate([piece.id_tensor for piece in pieces]),
        points,
        concatenate([o.values for o in outcomes]),
        concatenate([o.violations for o in outcomes]),
        concatenate([o.failed for o in outcomes]),
        concatenate(flags).to(outcomes[0].values.device),
        _merge_variance(outcomes, n_objectives),
        _merge_extras(outcomes),
        may_have_failed=any(outcome.may_have_failed for outcome in outcomes),
        may_have_external=any(piece.external for piece in pieces),
    )
    whole = len(pieces) == 1 and isinstance(pieces[0].ids, range)  # told as it was asked: sorted
    keep = _order(seen, reduction, sorted_already=whole)
    if keep is not None:
        seen = _pick(seen, keep)
    if not len(seen):
        return None
    if reduction.is_identity:
        return seen
    extras = dict(seen.extras)
    if "gradient" in extras:
        extras["gradient"] = reduction.restrict(extras["gradient"])
    return replace(seen, x=reduction.restrict(seen.x), extras=extras)


def external_points(batch: Batch, space: Any, capabilities: Capabilities, terms: Terms) -> Any:
    """Return points that were not asked, as an optimizer of this space keeps them, or raise `TellError`."""
    if not capabilities.accepts_external:
        raise TellError(f"batch: {terms.algorithm} cannot use points that were not asked", argument="batch")
    if batch.space is not space and batch.space != space:
        raise TellError("batch: its points belong to another space", argument="batch")
    points = batch.points
    return space.widened(points.to(terms.device), terms.dtype) if isinstance(points, Tensor) else points


def _whole(piece: Piece) -> Seen:
    """Return one piece, told as it was asked, as what a kernel sees."""
    outcome = piece.outcome
    return Seen(
        piece.id_tensor,
        piece.points,
        outcome.values,
        outcome.violations,
        outcome.failed,
        torch.ones_like(outcome.failed) if piece.external else torch.zeros_like(outcome.failed),
        outcome.variance,
        _merge_extras([outcome]) if outcome.extras else {},
        may_have_failed=outcome.may_have_failed,
        may_have_external=piece.external,
    )


def _order(seen: Seen, reduction: Reduction, *, sorted_already: bool) -> Tensor | None:
    """Return the rows to keep, by id; None to keep all as they stand."""
    if not sorted_already:
        sorted_already = bool((seen.ids[1:] > seen.ids[:-1]).all())
    elsewhere = reduction.elsewhere(seen.x) if isinstance(seen.x, Tensor) else None
    if elsewhere is None and sorted_already:
        return None
    order = seen.ids.argsort(stable=True)
    if elsewhere is None:
        return order
    # External points with other values of a constant column lie outside the searched part.
    return order[~(elsewhere & seen.external).cpu()[order]]


def _pick(seen: Seen, rows: Tensor) -> Seen:
    on_device = rows.to(seen.values.device)
    return Seen(
        seen.ids[rows],
        seen.x[on_device],
        seen.values[on_device],
        seen.violations[on_device],
        seen.failed[on_device],
        seen.external[on_device],
        None if seen.variance is None else seen.variance[on_device],
        {name: column[on_device] for name, column in seen.extras.items()},
        may_have_failed=seen.may_have_failed,
        may_have_external=seen.may_have_external,
    )


def _merge_variance(outcomes: list[Outcome], n_objectives: int) -> Tensor | None:
    if all(outcome.variance is None for outcome in outcomes):
        return None
    unknown = [outcome.values.new_full((len(outcome.values), n_objectives), torch.nan) for outcome in outcomes]
    return torch.cat([u if o.variance is None else o.variance for o, u in zip(outcomes, unknown, strict=True)])


def _merge_extras(outcomes: list[Outcome]) -> dict[str, Tensor]:
    columns: dict[str, Tensor] = {}
    for name in sorted({name for outcome in outcomes for name in outcome.extras}):
        known = next(outcome.extras[name] for outcome in outcomes if name in outcome.extras)
        dtype = known.dtype if known.is_floating_point() else torch.float64
        parts = []
        for outcome in outcomes:
            missing = torch.full((len(outcome.values), *known.shape[1:]), torch.nan, dtype=dtype, device=known.device)
            parts.append(outcome.extras.get(name, missing).to(dtype))
        columns[name] = torch.cat(parts)
    return columns
