"""An optimizer that follows the log of a study file: the same record applied by any process gives the same state."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from blackbox._study_meta import problem_of
from blackbox.algorithm import Algorithm
from blackbox.candidates import Batch
from blackbox.errors import BlackboxError, StateError, StorageError
from blackbox.optimizer import Optimizer
from blackbox.result import Result
from blackbox.storage import Array, Event, Outcome, Storage

__all__ = ["Replica"]

_SHARE = 0.1  # of the computing time that checkpoints may cost
_SLOWEST = 30.0  # seconds of computing after which a checkpoint is due in any case


class Replica:
    """The optimizer of a study as of record `applied` of its log.

    It is changed by records only, in their order: told values reach it when it catches up. An ask that could not be
    stored, or an error in the middle, throws it away; it is then made anew from the file.

    Parameters
    ----------
    storage : Storage
    algorithm : Algorithm
    device : str or torch.device
    """

    def __init__(self, storage: Storage, algorithm: Algorithm[Any], device: str | torch.device) -> None:
        self._storage = storage
        self._algorithm = algorithm
        self._device = device
        self._optimizer: Optimizer | None = None
        self.applied = 0
        self._computed = 0.0  # seconds since the last checkpoint
        self._cost = 0.005  # seconds that a checkpoint takes
        self._saved = 0  # seq of the last checkpoint

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer, made on first use."""
        if self._optimizer is None:
            meta = self._storage.meta
            self._optimizer = Optimizer(
                problem_of(meta, str(self._storage.path)),
                self._algorithm,
                seed=meta["seed"],
                device=self._device,
                dtype=getattr(torch, meta["dtype"]),
                budget=meta["budget"],
            )
            self.applied = 0
        return self._optimizer

    def forget(self) -> None:
        """Throw the optimizer away; it is made anew when it is needed."""
        self._optimizer, self.applied = None, 0

    def catch_up(self) -> None:
        """Apply the records of the log that are new: from the newest checkpoint on, where there is a newer one.

        Raises
        ------
        StateError
            If the algorithm cannot repeat what it did (another version of it, another library).
        StorageError
            If a record is damaged.
        """
        with self._storage.snapshot():
            if self._storage.refresh().seq == self.applied:
                return
            started = time.perf_counter()
            try:
                self._load_checkpoint()
                for event in self._storage.events(self.applied):
                    self._apply(event)
                    self.applied = event.seq
            except BaseException:
                self.forget()
                raise
            self._computed += time.perf_counter() - started

    def _load_checkpoint(self) -> None:
        found = self._storage.newest_checkpoint(self.applied)
        if found is not None:
            seq, tree = found
            self.optimizer.restore(tree)
            self.applied = self._saved = seq
            self._computed = 0.0

    def _apply(self, event: Event) -> None:
        optimizer = self.optimizer
        try:
            if event.kind == "ask":
                batch = optimizer.ask(event.payload["n"], fixed=event.payload["fixed"])
                self._adopt(batch, event)
            elif event.kind == "abandon":
                optimizer.abandon(optimizer.pending_batch(event.ids))
            else:
                self._tell(event)
        except (StorageError, StateError):
            raise
        except (BlackboxError, KeyError, TypeError, ValueError) as error:
            raise self._diverged(event, repr(error)) from error

    def _adopt(self, batch: Batch, event: Event) -> None:
        """Put the points that were really handed out in place of recomputed ones that differ in a bit."""
        if list(batch.ids) != list(event.ids):
            raise self._diverged(event, f"it hands out candidates {list(batch.ids)}, not {list(event.ids)}")
        stored = self._tensor(self._storage.points(event.ids))
        if stored.cpu().numpy().tobytes() != batch.x.cpu().numpy().tobytes():
            self.optimizer.adopt(batch, stored)

    def _tell(self, event: Event) -> None:
        optimizer = self.optimizer
        if event.kind == "external":
            batch = optimizer.space.batch(self._tensor(self._storage.points(event.ids)))
        else:
            batch = optimizer.pending_batch(event.ids)
        columns = told_columns(self._storage.outcomes(event.ids), len(optimizer.objectives), optimizer.n_constraints)
        extras = {name: c for name, c in event.columns.items() if name in optimizer.capabilities.extras}
        optimizer.tell(batch, extras=extras, **columns)

    def _tensor(self, x: Array) -> Tensor:
        optimizer = self.optimizer
        return torch.from_numpy(x).to(optimizer.device, optimizer.dtype)

    def _diverged(self, event: Event, what: str) -> StateError:
        name = type(self._algorithm).__name__
        made = self._storage.meta.get("library")
        return StateError(
            f"record {event.seq} of the log cannot be repeated by this version of {name} (the study was made by "
            f"blackbox {made}): {what}; what was stored can still be shown and exported"
        )

    def ask(self, n: int | None, fixed: Mapping[str, Any] | None, *, owner: str | None) -> Batch:
        """Ask, and store what was asked; inside a transaction, and inside `in_step`.

        Parameters
        ----------
        n, fixed
            As for `Optimizer.ask`.
        owner : str, optional
            Who evaluates; None: asked by hand.
        """
        self.catch_up()
        optimizer = self.optimizer
        waiting = optimizer.n_undelivered
        started = time.perf_counter()
        try:
            batch = optimizer.ask(n, fixed=fixed)
        except BaseException:
            if optimizer.n_undelivered != waiting:  # it has learned at a moment that the log does not show
                self.forget()
            raise
        finally:
            self._computed += time.perf_counter() - started
        self.applied += 1
        x = batch.x.detach().to("cpu", torch.float64).numpy()
        payload = {"n": n, "fixed": None if fixed is None else dict(fixed)}
        ids = self._storage.append_ask(x, owner=owner, payload=payload, columns=batch.context)
        if ids != list(batch.ids):
            raise StateError(
                f"candidates {list(batch.ids)} do not follow those of the file, which goes on with {ids[0]}"
            )
        return batch

    @contextmanager
    def in_step(self) -> Iterator[None]:
        """Throw the optimizer away where the transaction inside fails, and it knows what was not stored."""
        try:
            yield
        except BaseException:
            if self.applied > self._storage.counts.seq:
                self.forget()
            raise

    def result(self) -> Result:
        """Return the result as of the last record; the optimizer is as before afterwards."""
        self.catch_up()
        optimizer = self.optimizer
        if not (optimizer.capabilities.own_result and optimizer.n_undelivered):
            return optimizer.result()
        before = optimizer.state()
        try:
            return optimizer.result()
        finally:
            optimizer.restore(before)

    def checkpoint(self, *, force: bool = False) -> None:
        """Store a checkpoint where enough was computed since the last one that it pays."""
        due = force or self._computed > min(self._cost / _SHARE, _SLOWEST)
        if not due or self._optimizer is None or self.applied <= self._saved or not self._computed:
            return
        started = time.perf_counter()
        with self._storage.transaction():
            self._storage.write_checkpoint(self.applied, self._optimizer.state())
        self._saved, self._computed = self.applied, 0.0
        self._cost = time.perf_counter() - started


def told_columns(outcomes: Sequence[Outcome | None], m: int, k: int) -> dict[str, Any]:
    """Return outcomes as the arguments of `Optimizer.tell`."""
    rows = [outcome if outcome is not None else Outcome("failed") for outcome in outcomes]
    failed = np.array([row.status != "told" for row in rows], dtype=bool)
    variance = None
    if any(row.variance is not None for row in rows):
        variance = _stack([row.variance for row in rows], m)
    return {
        "values": _stack([row.values for row in rows], m),
        "violations": _stack([row.violations for row in rows], k) if k else None,
        "variance": variance,
        "failed": failed,
    }


def _stack(rows: Sequence[Array | None], width: int) -> Array:
    blank = np.full(width, np.nan)
    return np.stack([blank if row is None else row for row in rows])
