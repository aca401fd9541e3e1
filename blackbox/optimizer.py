"""The one object with `ask` and `tell`: it drives every algorithm through the kernel protocol."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from blackbox import persistence
from blackbox._arguments import checked_device, whole_number
from blackbox.algorithm import Algorithm, Capabilities, Request, Seen, Spec
from blackbox.candidates import Batch, Evaluation, Ids
from blackbox.delivery import Piece, merge
from blackbox.errors import (
    ConcurrentUseError,
    ExhaustedError,
    NotReadyError,
    SettingError,
    TellError,
    UnknownCandidateError,
)
from blackbox.fixing import fix_columns, parse_fixed
from blackbox.incumbent import Incumbent, Rows
from blackbox.ledger import Ledger
from blackbox.objective import Objective, parse_objectives
from blackbox.outcomes import Outcome, parse_told
from blackbox.problem import Problem
from blackbox.random import check_seed, make_generator
from blackbox.reduction import Reduction
from blackbox.result import Result, make_result, rows_of
from blackbox.serving import check_capabilities, constants_of
from blackbox.space import Space

__all__ = ["Optimizer", "TellReport"]


@dataclass(frozen=True, slots=True)
class TellReport:
    """What a tell did.

    Attributes
    ----------
    ids : range or Tensor
        The ids of the told rows; external points get theirs here.
    n_failed : int
        Rows without a usable value (non-finite, or marked as failed).
    n_evaluations : int
        Asked candidates told so far, failed ones included.
    """

    ids: Ids
    n_failed: int
    n_evaluations: int


class Optimizer:
    """Ask for candidates, tell what came out; one class for every algorithm.

    Parameters
    ----------
    problem : Problem, Space, or mapping of parameters
        What is searched. With a space, `objectives` and `n_constraints` say what is told.
    algorithm : Algorithm
        Settings of the algorithm, for example `NSGA3(population_size=100)`.
    objectives : int, str, Objective or a sequence of them, optional
        Default: the problem's, or one to minimise.
    n_constraints : int, optional
        Default: the problem's, or 0. Violations are feasible at <= 0.
    seed : int, optional
        In [0, 2**63); drawn from the operating system and kept in `seed` where None.
    device : str or torch.device, default "cpu"
        Where points and state live.
    dtype : torch.dtype, optional
        Of points and values: float32 or float64. Default: float64, on a GPU float32 for populations.
    budget : int, optional
        How many evaluations are foreseen; some algorithms plan with it.

    Raises
    ------
    CapabilityError
        If the algorithm cannot serve the problem; the message names one that can.

    Examples
    --------
    >>> from blackbox.algorithms import RandomSearch
    >>> optimizer = Optimizer(Space.box([-1, -1], [1, 1]), RandomSearch(), seed=0)
    >>> batch = optimizer.ask(8)
    >>> optimizer.tell(batch, (batch.x**2).sum(1)).n_evaluations
    8
    >>> optimizer.result().values.shape
    torch.Size([1, 1])
    """

    def __init__(
        self,
        problem: Problem | Space | Mapping[str, Any],
        algorithm: Algorithm[Any],
        *,
        objectives: int | str | Objective | Sequence[str | Objective] | None = None,
        n_constraints: int | None = None,
        seed: int | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        budget: int | None = None,
    ) -> None:
        space: Any = problem.space if hasattr(problem, "space") else problem
        self.space: Any = Space(space) if isinstance(space, Mapping) else space
        if not hasattr(self.space, "dim"):
            raise SettingError(f"problem: expected a Problem, a Space or a mapping of parameters, got {problem!r}")
        given = getattr(problem, "objectives", 1) if objectives is None else objectives
        self.objectives = parse_objectives(given)
        given = getattr(problem, "n_constraints", 0) if n_constraints is None else n_constraints
        self.n_constraints = whole_number(given, "n_constraints", 0)
        budget = None if budget is None else whole_number(budget, "budget", 1)
        self.algorithm = algorithm
        self.capabilities: Capabilities = check_capabilities(
            algorithm, self.space, len(self.objectives), self.n_constraints
        )
        self.seed = check_seed(seed)
        self.device = checked_device(device)
        on_gpu = self.device.type != "cpu" and self.capabilities.single_precision
        self.dtype = dtype or (torch.float32 if on_gpu else torch.float64)
        if self.dtype not in (torch.float32, torch.float64):
            raise SettingError(f"dtype: expected torch.float32 or torch.float64, got {self.dtype}")
        self._reduction = Reduction(self.space, constants_of(self.space, self.capabilities))
        self._signs = self._make_signs()
        self._spec = Spec(
            self._reduction.space,
            len(self.objectives),
            self.n_constraints,
            self.device,
            self.dtype,
            budget,
            () if self._signs is None else tuple(self._signs.tolist()),
        )
        self._generator = make_generator(self.seed, self.device)
        self._token = secrets.token_hex(8)  # tells batches of other optimizers apart; no part of the search
        self._ledger = Ledger()
        self._queue: Any = None  # what is left of a generation
        self._queue_context: dict[str, Tensor] = {}
        self._buffer: list[Piece] = []
        self._incumbent = Incumbent(len(self.objectives))
        self._n_told = self._n_failed = self._n_external = 0
        self._lock = Lock()
        self._kernel: Any = None
        if self._spec.space is not None:
            self._kernel = algorithm.init(self._spec, self._generator)

    def _make_signs(self) -> Tensor | None:
        if not any(objective.maximize for objective in self.objectives):
            return None
        signs = [objective.sign for objective in self.objectives]
        return torch.tensor(signs, dtype=self.dtype, device=self.device)

    # -- counts ----------------------------------------------------------------------------------------------

    @property
    def n_evaluations(self) -> int:
        """Asked candidates that were told, failed ones included."""
        return self._n_told

    @property
    def n_failed(self) -> int:
        """Told rows without a usable value."""
        return int(self._n_failed)

    @property
    def n_external(self) -> int:
        """Points that were told without having been asked."""
        return self._n_external

    @property
    def n_pending(self) -> int:
        """Candidates that were handed out and neither told nor abandoned."""
        return self._ledger.n_pending

    @property
    def pending(self) -> Batch:
        """The pending candidates as a batch, in the order of their ids."""
        ids, points = self._ledger.pending()
        if points is None:
            points = self._no_points()
        return self._batch(points, ids)

    def pending_batch(self, ids: Any) -> Batch:
        """Return a batch of pending ids, in that order.

        Raises
        ------
        UnknownCandidateError, DuplicateTellError, AbandonedError
            If one is not pending.
        """
        wanted: Ids = ids
        if not (isinstance(ids, range) and ids.step == 1):
            wanted = _id_tensor(ids)
        points = self._ledger.points(self._ledger.locate(wanted))
        return self._batch(self._no_points() if points is None else points, wanted)

    @property
    def n_undelivered(self) -> int:
        """How many tells the algorithm has not learned from yet; it does so before the next ask."""
        return len(self._buffer)

    def adopt(self, batch: Batch, x: Tensor) -> None:
        """Put other points behind pending candidates: those that were really handed out, where a record knows better.

        Parameters
        ----------
        batch : Batch
            Pending candidates of this optimizer.
        x : Tensor, shape (n, d)
        """
        with self._exclusive():
            self._ledger.replace(self._ledger.locate(batch.ids), x)

    def _no_points(self) -> Any:
        if hasattr(self.space, "no_points"):
            return self.space.no_points()
        return torch.zeros((0, self.space.dim), dtype=self.dtype, device=self.device)

    def _batch(self, points: Any, ids: Ids, context: Mapping[str, Tensor] | None = None) -> Batch:
        # A copy, so that an evaluation that writes to its input cannot change what we remember.
        own = points.clone() if isinstance(points, Tensor) else points
        return Batch(self.space, own, ids=ids, origin="asked", owner=self._token, context=context)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        if not self._lock.acquire(blocking=False):
            raise ConcurrentUseError(
                "this optimizer is in use by another thread: give each thread its own, or use a Study"
            )
        try:
            yield
        finally:
            self._lock.release()

    # -- ask -------------------------------------------------------------------------------------------------

    def ask(self, n: int | None = None, *, fixed: Mapping[str, Any] | None = None) -> Batch:
        """Hand out candidates to evaluate; never blocks, never evaluates.

        Parameters
        ----------
        n : int, optional
            At most so many, at least one. Default: the algorithm's natural batch (what is left of a generation).
        fixed : mapping of str to value, optional
            Values that every candidate of this request must have.

        Raises
        ------
        NotReadyError
            If a generation is all out and pending, or an offline algorithm has no data.
        ExhaustedError
            If there will never be another candidate.
        SpaceError
            If `fixed` is not in the space.
        """
        n = None if n is None else whole_number(n, "n", 1)
        with self._exclusive():
            codes = None if not fixed else parse_fixed(self.space, fixed, self._reduction)
            if self._kernel is None:
                return self._ask_single_point()
            self._deliver()
            before = self._generator.get_state()
            try:
                points, context = self._draw(n, codes)
            except BaseException:
                self._generator.set_state(before)
                raise
            return self._batch(points, self._ledger.add(points), context)

    def _ask_single_point(self) -> Batch:
        if self._ledger.next_id:
            raise ExhaustedError("every variable is fixed: there is one candidate, and it was handed out")
        point = self._reduction.expand(torch.zeros((1, 0), dtype=self.dtype, device=self.device))
        return self._batch(point, self._ledger.add(point))

    def _draw(self, n: int | None, codes: Tensor | None) -> tuple[Any, dict[str, Tensor]]:
        pending = self._ledger.n_pending
        if self.capabilities.needs_data and not (self._n_told or self._n_external):
            raise NotReadyError("tell a data set first: optimizer.tell(space.batch(x), values)")
        if not self.capabilities.asynchronous and self._queue is not None:
            return self._take_from_queue(n, codes)
        limit = self.algorithm.ready(self._spec, self._kernel, pending)
        if limit < 1 or (pending and not self.capabilities.asynchronous):
            raise NotReadyError(
                f"nothing to hand out until more of the {pending} pending candidates are told",
                pending=pending,
            )
        wanted = limit  # a generation is drawn whole, and handed out in pieces
        if self.capabilities.asynchronous:
            wanted = min(limit, n or self.capabilities.natural_batch)
        searched = None if codes is None else self._reduction.restrict(codes[None])[0].to(self.device, self.dtype)
        request = Request(wanted, gather=self._gather_pending, fixed=searched)
        self._kernel, candidates = self.algorithm.ask(self._spec, self._kernel, request, self._generator)
        points, context = candidates.x, dict(candidates.context)
        if self.capabilities.asynchronous:
            return self._finish(points, codes), context
        self._queue, self._queue_context = points, context
        return self._take_from_queue(n, codes)

    def _take_from_queue(self, n: int | None, codes: Tensor | None) -> tuple[Any, dict[str, Tensor]]:
        count = min(n or len(self._queue), len(self._queue))
        rows, rest = slice(0, count), slice(count, len(self._queue))
        points = self._queue if count == len(self._queue) else self._queue[rows]
        context = {name: column[rows] for name, column in self._queue_context.items()}
        finished = self._finish(points, codes)
        self._queue_context = {name: column[rest] for name, column in self._queue_context.items()}
        self._queue = self._queue[rest] if count < len(self._queue) else None
        return finished, context

    def _finish(self, points: Any, codes: Tensor | None) -> Any:
        """Return a kernel's points in the full space, with fixed values in place."""
        if not isinstance(points, Tensor):
            return points
        points = self._reduction.expand(points)
        if codes is not None:
            points = fix_columns(self.space, points, codes, self._generator)
        return points if self.space.is_real else self.space.canonical(points)

    def _gather_pending(self) -> Any:
        _, points = self._ledger.pending()
        if points is None:
            return torch.zeros((0, self._spec.dim), dtype=self.dtype, device=self.device)
        return self._reduction.restrict(points) if isinstance(points, Tensor) else points

    # -- tell ------------------------------------------------------------------------------------------------

    def tell(
        self,
        batch: Batch,
        values: Any,
        *,
        violations: Any = None,
        variance: Any = None,
        failed: Any = None,
        extras: Mapping[str, Any] | None = None,
    ) -> TellReport:
        """Tell what came out; in any order, any subset, any grouping, all or nothing.

        Parameters
        ----------
        batch : Batch
            What was asked (or `batch[rows]` of it), or `space.batch(points)` for points that were not.
        values : array-like of shape (n, m), or (n,) for m = 1, or Evaluation, or None for failed rows
            In the objectives' own directions. A row with a non-finite value is a failed evaluation.
        violations : array-like, shape (n, k), optional
            Feasible at <= 0; required where the problem has constraints.
        variance : array-like, shape (n, m), or a number, optional
            Variance of each value; NaN where unknown.
        failed : bool or array-like of bool, shape (n,), optional
            Rows whose evaluation failed; their values are not looked at.
        extras : mapping of str to array-like, shape (n, ...), optional
            Further columns that the algorithm declares.

        Raises
        ------
        TellError
            If something does not fit; the message names the argument, and nothing has changed.
        """
        with self._exclusive():
            _check_batch(batch)
            if isinstance(values, Evaluation):
                violations = values.violations if violations is None else violations
                variance = values.variance if variance is None else variance
                known = {name: c for name, c in values.extras.items() if name in self.capabilities.extras}
                extras = {**known, **(extras or {})}
                values = values.values
            if extras is not None and not isinstance(extras, Mapping):
                raise TellError(f"extras: expected a mapping of name to column, got {extras!r}", argument="extras")
            unknown = sorted(set(extras or {}) - set(self.capabilities.extras), key=str)
            if unknown:
                used = f"{type(self.algorithm).__name__} uses {list(self.capabilities.extras)}"
                raise TellError(f"extras: unknown column {unknown[0]!r}; {used}", argument="extras")
            outcome = parse_told(
                values,
                violations=violations,
                variance=variance,
                failed=failed,
                extras=extras or {},
                n=len(batch),
                objectives=self.objectives,
                n_constraints=self.n_constraints,
                signs=self._signs,
                dtype=self.dtype,
                device=self.device,
            )
            return self._accept(batch, outcome)

    def _accept(self, batch: Batch, outcome: Outcome) -> TellReport:
        if batch.origin == "external":
            ids: Ids = range(self._ledger.next_id, self._ledger.next_id + len(batch))
            points = self._external_points(batch)
            self._ledger.skip(len(batch))
            self._n_external += len(batch)
        else:
            if batch.owner != self._token:
                raise UnknownCandidateError("batch: it was asked from another optimizer", argument="batch")
            located = self._ledger.locate(batch.ids)
            points = self._ledger.points(located)
            ids = batch.ids
            if points is None:
                return TellReport(ids, 0, self._n_told)
            self._ledger.close(located)
            self._n_told += len(batch)
        n_failed = outcome.n_failed
        self._n_failed += n_failed
        piece = Piece(ids, points, outcome, batch.origin == "external")
        if self.capabilities.learns:
            self._buffer.append(piece)
        if not self.capabilities.own_result and len(batch):
            self._compare(self._incumbent, piece)
        return TellReport(ids, n_failed, self._n_told)

    def _compare(self, incumbent: Incumbent, piece: Piece) -> None:
        """Let told rows compete for the result, but for external ones that lie outside of what is searched."""
        out = piece.outcome
        elsewhere = self._reduction.elsewhere(piece.points) if piece.external else None
        excluded = out.failed if elsewhere is None else out.failed | elsewhere
        incumbent.add(Rows(piece.ids, piece.points, out.values, out.violations), excluded)

    def _external_points(self, batch: Batch) -> Any:
        if not self.capabilities.accepts_external:
            raise TellError(
                f"batch: {type(self.algorithm).__name__} cannot use points that were not asked",
                argument="batch",
            )
        if batch.space is not self.space and batch.space != self.space:
            raise TellError("batch: its points belong to another space", argument="batch")
        points = batch.points
        return self.space.widened(points.to(self.device), self.dtype) if isinstance(points, Tensor) else points

    def abandon(self, batch: Batch) -> None:
        """Declare that pending candidates will never be told.

        Raises
        ------
        TellError
            If one is not pending; nothing has changed then.
        """
        with self._exclusive():
            _check_batch(batch)
            if batch.owner != self._token:
                raise UnknownCandidateError("batch: it was asked from another optimizer", argument="batch")
            self._ledger.abandon(self._ledger.locate(batch.ids), batch.ids)

    def _deliver(self) -> None:
        """Tell the kernel what has come in; for generational ones only when no row of a generation is pending."""
        if not self._buffer:
            return
        if not self.capabilities.asynchronous and (self._ledger.n_pending or self._queue is not None):
            return
        seen: Seen | None = merge(self._buffer, self._reduction, self._n_objectives)
        if seen is not None:
            before = self._generator.get_state()
            try:
                self._kernel = self.algorithm.tell(self._spec, self._kernel, seen, self._generator)
            except BaseException:
                self._generator.set_state(before)
                raise
        self._buffer = []

    @property
    def _n_objectives(self) -> int:
        return len(self.objectives)

    # -- result, state ---------------------------------------------------------------------------------------

    def result(self) -> Result:
        """Return the best point, or the Pareto set, among the feasible points that were told."""
        with self._exclusive():
            if self.capabilities.own_result and self._kernel is not None:
                self._deliver()
                front = self.algorithm.result(self._spec, self._kernel)
            else:
                front = None
            incumbent = self._incumbent
            if front is not None and self._buffer:  # what the kernel has not seen yet counts, too
                incumbent = Incumbent(self._n_objectives)
                known = rows_of(front, self._reduction)
                incumbent.add(known, torch.zeros(len(known), dtype=torch.bool, device=self.device))
                for piece in self._buffer:
                    self._compare(incumbent, piece)
                front = None
            return make_result(self, front, incumbent, self._reduction)

    def state(self) -> dict[str, Any]:
        """Return everything needed to go on, as a tree of copies (see `blackbox.state`)."""
        with self._exclusive():
            return persistence.optimizer_to_tree(self)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become the optimizer whose `state()` this is.

        Raises
        ------
        StateError
            If it is damaged, or of another problem or algorithm; nothing has changed then.
        """
        with self._exclusive():
            persistence.restore_optimizer(self, state)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `state()` to a file, atomically; no pickle.

        Raises
        ------
        StateError
            If the file cannot be written; what was there before is untouched.
        """
        from blackbox.state import save_file

        save_file(path, self.state())

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        algorithm: Algorithm[Any] | None = None,
        device: str | torch.device | None = None,
    ) -> Optimizer:
        """Return the optimizer of a file from `save`; it goes on bit for bit on the same device.

        Parameters
        ----------
        path : str or path
        algorithm : Algorithm, optional
            Needed only for algorithms from outside this package; must equal the one that was saved.
        device : str or torch.device, optional
            Default: the one that it was saved from.

        Raises
        ------
        StateError
            If the file is missing, truncated, altered, or no state file of ours.
        """
        from blackbox.state import load_file

        return persistence.load_optimizer(cls, load_file(path), algorithm, device)

    def __repr__(self) -> str:
        return (
            f"Optimizer({type(self.algorithm).__name__}, d={self.space.dim}, m={self._n_objectives}, "
            f"{self.n_evaluations} told, {self.n_pending} pending)"
        )


def _check_batch(batch: Any) -> None:
    if not isinstance(batch, Batch):
        raise TellError(
            f"batch: expected a Batch from ask or space.batch, got {type(batch).__name__}", argument="batch"
        )


def _id_tensor(ids: Any) -> Tensor:
    """Return ids from outside as a tensor of shape (n,), int64."""
    given = ids if isinstance(ids, (Tensor, np.ndarray)) else list(ids) if isinstance(ids, Iterable) else [ids]
    if not isinstance(given, Tensor):
        given = np.asarray(given if len(given) else np.zeros(0, dtype=np.int64))
        if given.dtype.kind not in "iu":
            raise UnknownCandidateError(f"ids: expected integers, got {ids!r}", argument="ids")
        given = torch.from_numpy(given.astype(np.int64))
    if given.is_floating_point() or given.dtype == torch.bool or given.dim() != 1:
        raise UnknownCandidateError(f"ids: expected integers, shape (n,), got {ids!r}", argument="ids")
    return given.to("cpu", torch.int64)
