"""Tells by hand: checked as an optimizer would, then stored, without waking the optimizer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from blackbox.candidates import Batch, Evaluation
from blackbox.errors import AbandonedError, DuplicateTellError, TellError, UnknownCandidateError
from blackbox.evaluation import Failure
from blackbox.outcomes import TellReport, Terms, parse_told
from blackbox.storage import Array, Outcome, Storage

if TYPE_CHECKING:
    from blackbox.study import Study

__all__ = ["Told", "check_pending", "check_told", "ids_of", "store_told"]


@dataclass(frozen=True, slots=True)
class Told:
    """A checked tell.

    Attributes
    ----------
    ids : list of int, or None
        None for points that were not asked.
    x : array, shape (n, d), or None
        Of points that were not asked.
    outcomes : list of Outcome
    columns : dict of str to Tensor, shape (n, ...)
    dtype : str
    """

    ids: list[int] | None
    x: Array | None
    outcomes: list[Outcome]
    columns: dict[str, Any]
    dtype: str


def ids_of(batch: Batch | int | Sequence[int], study: str) -> list[int]:
    """Return the ids that are meant by a batch of a study, an id, or a sequence of ids.

    Raises
    ------
    UnknownCandidateError
        If the batch was asked from something else.
    DuplicateTellError
        If an id stands twice in it.
    TellError
        If it is something else.
    """
    if isinstance(batch, Batch):
        if batch.origin != "asked" or batch.owner != study:
            raise UnknownCandidateError("batch: it was not asked from this study", argument="batch")
        ids = [int(i) for i in batch.ids]
    else:
        given = [batch] if isinstance(batch, (int, np.integer)) and not isinstance(batch, bool) else batch
        try:
            ids = [int(i) for i in given]  # type: ignore[union-attr]
            if isinstance(given, (str, bytes)) or any(i != j or isinstance(j, bool) for i, j in zip(ids, given)):  # type: ignore[arg-type]  # noqa: B905
                raise TypeError
        except (TypeError, ValueError):
            raise TellError(f"batch: expected a Batch or ids, got {batch!r}", argument="batch") from None
    twice = {i for i in ids if ids.count(i) > 1} if len(set(ids)) < len(ids) else set()
    if twice:
        raise DuplicateTellError(f"batch: candidate {min(twice)} stands in it twice", argument="batch")
    return ids


def check_told(
    study: Study,
    batch: Batch | int | Sequence[int],
    values: Any,
    *,
    violations: Any,
    variance: Any,
    failed: Any,
    extras: Mapping[str, Any] | None,
    reason: str,
) -> Told:
    """Return what was told as it will be stored, or raise `TellError` naming the argument."""
    external = isinstance(batch, Batch) and batch.origin == "external"
    meta, problem = study.storage.meta, study.problem
    ids = None if external else ids_of(batch, meta["id"])
    n = len(batch) if isinstance(batch, Batch) else len(ids or [])
    if isinstance(values, Evaluation):
        violations = values.violations if violations is None else violations
        variance = values.variance if variance is None else variance
        extras = {**values.extras, **(extras or {})}
        values = values.values
    if isinstance(batch, (int, np.integer)):
        values, violations, variance = (_one_row(given) for given in (values, violations, variance))
    dtypes = dict.fromkeys([torch.float64, getattr(torch, meta["dtype"])])  # the second refuses what does not fit
    parsed, *_ = (
        parse_told(
            values,
            n=n,
            terms=Terms(
                len(problem.objectives),
                problem.n_constraints,
                None,
                dtype,
                torch.device("cpu"),
                study.algorithm.capabilities.extras,
                type(study.algorithm).__name__,
            ),
            violations=violations,
            variance=variance,
            failed=failed,
            extras=extras,
        )
        for dtype in dtypes
    )
    outcomes = _outcomes(parsed, values, problem.n_constraints, reason)
    x = None
    if external:
        assert isinstance(batch, Batch)
        x = _external_points(study, batch)
    return Told(ids, x, outcomes, dict(parsed.extras), meta["dtype"])


def _one_row(given: Any) -> Any:
    """Return a row (m,) as (1, m), for a single id."""
    if isinstance(given, (list, tuple)) and given and not isinstance(given[0], (list, tuple)):
        return [given]
    if isinstance(given, (np.ndarray, torch.Tensor)) and given.ndim == 1:
        return given[None]
    return given


def _external_points(study: Study, batch: Batch) -> Array:
    if not study.algorithm.capabilities.accepts_external:
        raise TellError(
            f"batch: {type(study.algorithm).__name__} cannot use points that were not asked", argument="batch"
        )
    if batch.space is not study.space and batch.space != study.space:
        raise TellError("batch: its points belong to another space", argument="batch")
    dtype = getattr(torch, study.storage.meta["dtype"])
    points: Array = batch.x.detach().to("cpu", dtype).to(torch.float64).numpy()
    return points


def _outcomes(parsed: Any, values: Any, k: int, reason: str) -> list[Outcome]:
    details = {"finished": time.time()}
    outcomes = []
    for row, failed in enumerate(parsed.failed.tolist()):
        if failed:
            kind = "Told" if reason or values is None else "NonFiniteValue"
            failure = asdict(Failure(kind, reason or "told as failed, or not finite"))
            outcomes.append(Outcome("failed", details={**details, "reason": failure}))
            continue
        spread = None if parsed.variance is None else parsed.variance[row].numpy()
        limits = parsed.violations[row].numpy() if k else None
        outcomes.append(Outcome("told", parsed.values[row].numpy(), limits, spread, details))
    return outcomes


def store_told(storage: Storage, told: Told) -> TellReport:
    """Store a checked tell, except rows that repeat what was told before.

    Raises
    ------
    UnknownCandidateError, AbandonedError, DuplicateTellError
        If a candidate was never asked, abandoned, or told something else; nothing is stored then.
    """
    with storage.transaction():
        if told.ids is None:
            assert told.x is not None
            ids = storage.append_external(told.x, told.outcomes, dtype=told.dtype, columns=told.columns)
            new = list(range(len(ids)))
        else:
            ids = told.ids
            new = _new_rows(storage, ids, told.outcomes)
            if new:
                columns = {name: column[new] for name, column in told.columns.items()}
                storage.append_tell([ids[row] for row in new], [told.outcomes[row] for row in new], columns)
    n_failed = sum(told.outcomes[row].status == "failed" for row in new)
    return TellReport(torch.tensor(ids, dtype=torch.int64), n_failed, storage.refresh().finished)


def _new_rows(storage: Storage, ids: list[int], outcomes: list[Outcome]) -> list[int]:
    """Return the rows that were not told before; raise where one was told something else."""
    _check_known(storage, ids)
    new = []
    for row, (i, before) in enumerate(zip(ids, storage.outcomes(ids), strict=True)):
        if before is None:
            new.append(row)
        elif before.status == "abandoned":
            raise AbandonedError(f"batch: candidate {i} was abandoned", argument="batch", rows=[row])
        elif not before.same(outcomes[row]):
            raise DuplicateTellError(
                f"batch: candidate {i} was told something else before: {_shown(before)}; the first tell counts",
                argument="batch",
                rows=[row],
            )
    return new


def check_pending(storage: Storage, ids: Sequence[int]) -> None:
    """Raise unless all candidates are pending."""
    _check_known(storage, ids)
    for i, before in zip(ids, storage.outcomes(ids), strict=True):
        if before is not None and before.status == "abandoned":
            raise AbandonedError(f"batch: candidate {i} was abandoned before", argument="batch")
        if before is not None:
            raise DuplicateTellError(f"batch: candidate {i} was told before: {_shown(before)}", argument="batch")


def _check_known(storage: Storage, ids: Sequence[int]) -> None:
    asked = storage.counts.asked
    for i in ids:
        if not 0 <= i < asked:
            raise UnknownCandidateError(
                f"batch: candidate {i} was never handed out; there are {asked}", argument="batch"
            )


def _shown(outcome: Outcome) -> str:
    return "failed" if outcome.values is None else str(outcome.values.tolist())
