"""The one object with `ask` and `tell`: it drives every algorithm through the kernel protocol."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from blackbox import persistence
from blackbox._arguments import checked_device, whole_number
from blackbox._exclusive import Exclusive
from blackbox._known_extras import checked_extras
from blackbox.algorithm import Algorithm, Capabilities, Seen, Spec
from blackbox.candidates import Batch, Ids
from blackbox.delivery import Piece, compete, external_points, merge
from blackbox.errors import TellError, UnknownCandidateError
from blackbox.fixing import parse_fixed
from blackbox.handout import Queue, draw
from blackbox.incumbent import Incumbent
from blackbox.ledger import Ledger, parse_ids
from blackbox.objective import Objective, signs_of
from blackbox.outcomes import Outcome, TellReport, Terms, parse_told
from blackbox.problem import Problem
from blackbox.random import check_seed, make_generator
from blackbox.reduction import Reduction
from blackbox.result import Result, make_result, rows_of
from blackbox.serving import check_capabilities, constants_of, parse_dtype, parse_problem, reference_of
from blackbox.space import Space

__all__ = ["Optimizer", "TellReport"]


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
        self.space: Any
        self.space, self.objectives, self.n_constraints = parse_problem(problem, objectives, n_constraints)
        m, k = len(self.objectives), self.n_constraints
        budget = None if budget is None else whole_number(budget, "budget", 1)
        self.algorithm = algorithm
        self.capabilities: Capabilities = check_capabilities(algorithm, self.space, m, k)
        self.seed = check_seed(seed)
        self.device = checked_device(device)
        self.dtype = parse_dtype(dtype, self.device, self.capabilities)
        self._reduction = Reduction(self.space, constants_of(self.space, self.capabilities))
        signs, name = signs_of(self.objectives, self.dtype, self.device), type(algorithm).__name__
        self._spec = Spec(
            self._reduction.space,
            m,
            k,
            self.device,
            self.dtype,
            budget,
            () if signs is None else tuple(signs.tolist()),
            self._reduction.values,
            reference_of(problem, self.objectives),
        )
        self._generator = make_generator(self.seed, self.device)
        self._token = secrets.token_hex(8)  # tells batches of other optimizers apart; no part of the search
        self._terms = Terms(m, k, signs, self.dtype, self.device, self.capabilities.extras, name)
        self._ledger = Ledger()
        self._queue: Queue | None = None
        self._buffer: list[Piece] = []
        self._incumbent = Incumbent(m)
        self._n_told = self._n_failed = self._n_external = 0
        advice = "give each thread its own, or use a Study"
        self._exclusive = Exclusive(f"this optimizer is in use by another thread: {advice}")
        self._kernel: Any = None
        if self._spec.space is not None:
            self._kernel = algorithm.init(self._spec, self._generator)

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
        wanted = parse_ids(ids)
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
        with self._exclusive:
            self._ledger.replace(self._ledger.locate(batch.ids), x)

    def _no_points(self) -> Any:
        if hasattr(self.space, "no_points"):
            return self.space.no_points()
        return torch.zeros((0, self.space.dim), dtype=self.dtype, device=self.device)

    def _batch(self, points: Any, ids: Ids, context: Mapping[str, Tensor] | None = None) -> Batch:
        # A copy, so that an evaluation that writes to its input cannot change what we remember.
        own = points.clone() if isinstance(points, Tensor) else points
        return Batch(self.space, own, ids=ids, origin="asked", owner=self._token, context=context)

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
        with self._exclusive:
            codes = None if not fixed else parse_fixed(self.space, fixed, self._reduction)
            self._deliver()
            points, context = draw(self, n, codes)
            return self._batch(points, self._ledger.add(points), context)

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
        with self._exclusive:
            _check_batch(batch)
            outcome = parse_told(
                values,
                n=len(batch),
                terms=self._terms,
                violations=violations,
                variance=variance,
                failed=failed,
                extras=extras,
            )
            if outcome.extras:
                outcome = replace(outcome, extras=checked_extras(outcome.extras, self.space.dim, self._terms.signs))
            return self._accept(batch, outcome)

    def _accept(self, batch: Batch, outcome: Outcome) -> TellReport:
        ids = batch.ids
        external = batch.origin == "external"
        if external:
            points = external_points(batch, self.space, self.capabilities, self._terms)
            ids = self._ledger.skip(len(batch))
            self._n_external += len(ids)
        else:
            if batch.owner != self._token:
                raise UnknownCandidateError("batch: it was asked from another optimizer", argument="batch")
            points = self._ledger.take(ids)
            self._n_told += len(ids)
        if not len(ids):
            return TellReport(ids, 0, self._n_told)
        n_failed = outcome.n_failed
        self._n_failed += n_failed
        piece = Piece(ids, points, outcome, external)
        if self.capabilities.learns:
            self._buffer.append(piece)
        if not self.capabilities.own_result:
            compete(piece, self._incumbent, self._reduction)
        return TellReport(ids, n_failed, self._n_told)

    def abandon(self, batch: Batch) -> None:
        """Declare that pending candidates will never be told.

        Raises
        ------
        TellError
            If one is not pending; nothing has changed then.
        """
        with self._exclusive:
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
        seen: Seen | None = merge(self._buffer, self._reduction, len(self.objectives))
        if seen is not None and self._kernel is not None:  # there is none where every variable is fixed
            before = self._generator.get_state()
            try:
                self._kernel = self.algorithm.tell(self._spec, self._kernel, seen, self._generator)
            except BaseException:
                self._generator.set_state(before)
                raise
        self._buffer = []

    # -- result, state ---------------------------------------------------------------------------------------

    def result(self) -> Result:
        """Return the best point, or the Pareto set, among the feasible points that were told."""
        with self._exclusive:
            front, incumbent = None, self._incumbent
            if (self.capabilities.own_result or self._reduction.has_roles) and self._kernel is not None:
                self._deliver()
                front = self.algorithm.result(self._spec, self._kernel)
            if front is not None and self._buffer:  # what the kernel has not seen yet counts, too
                incumbent = Incumbent(len(self.objectives))
                incumbent.add(rows_of(front, self._reduction), None)
                for piece in self._buffer:
                    compete(piece, incumbent, self._reduction)
                front = None
            return make_result(self, front, incumbent, self._reduction)

    def state(self) -> dict[str, Any]:
        """Return everything needed to go on, as a tree of copies (see `blackbox.state`)."""
        with self._exclusive:
            return persistence.optimizer_to_tree(self)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become the optimizer whose `state()` this is.

        Raises
        ------
        StateError
            If it is damaged, or of another problem or algorithm; nothing has changed then.
        """
        with self._exclusive:
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
            f"Optimizer({type(self.algorithm).__name__}, d={self.space.dim}, m={len(self.objectives)}, "
            f"{self.n_evaluations} told, {self.n_pending} pending)"
        )


def _check_batch(batch: Any) -> None:
    if not isinstance(batch, Batch):
        raise TellError(
            f"batch: expected a Batch from ask or space.batch, got {type(batch).__name__}", argument="batch"
        )
