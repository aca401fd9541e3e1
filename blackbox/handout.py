"""A kernel's proposals on their way out: drawn, handed out in pieces, in the full space, with what a user fixed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from blackbox.algorithm import Request
from blackbox.errors import ExhaustedError, NotReadyError
from blackbox.fixing import fix_columns
from blackbox.reduction import Reduction

if TYPE_CHECKING:
    from blackbox.optimizer import Optimizer

__all__ = ["Queue", "draw", "in_full_space"]


@dataclass(frozen=True, slots=True)
class Queue:
    """What is left of a generation that was drawn whole: points of the searched part, and their context."""

    points: Any
    context: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(self.points)

    def split(self, n: int) -> tuple[Queue, Queue]:
        """Return the first n rows, and the rest."""
        first, rest = slice(0, n), slice(n, len(self.points))
        return (
            Queue(self.points[first], {name: column[first] for name, column in self.context.items()}),
            Queue(self.points[rest], {name: column[rest] for name, column in self.context.items()}),
        )


def draw(optimizer: Optimizer, n: int | None, codes: Tensor | None) -> tuple[Any, Mapping[str, Tensor]]:
    """Return the next at most n points of the full space, and their context.

    Parameters
    ----------
    optimizer : Optimizer
        Its kernel and its queue go on; on an error its generator is as it was.
    n : int or None
        None for a natural batch.
    codes : Tensor, shape (d,), or None
        What a user fixed, NaN where free.

    Raises
    ------
    NotReadyError, ExhaustedError
    """
    if optimizer._kernel is None:
        return _only_point(optimizer), {}
    generator = optimizer._generator
    before = generator.get_state()
    try:
        if optimizer.capabilities.asynchronous:
            proposed = _propose(optimizer, n, codes)
            return in_full_space(proposed.points, codes, optimizer._reduction, generator), proposed.context
        if optimizer._queue is None:  # a generation is drawn whole, and handed out in pieces
            optimizer._queue = _propose(optimizer, None, codes)
        piece, rest = optimizer._queue, None
        if n is not None and n < len(piece):
            piece, rest = piece.split(n)
        points = in_full_space(piece.points, codes, optimizer._reduction, generator)
        optimizer._queue = rest
        return points, piece.context
    except BaseException:
        generator.set_state(before)
        raise


def _only_point(optimizer: Optimizer) -> Any:
    """Return the one point of a space in which nothing is left to search."""
    if optimizer._ledger.next_id:
        raise ExhaustedError("every variable is fixed: there is one candidate, and it was handed out or told")
    return optimizer._reduction.expand(torch.zeros((1, 0), dtype=optimizer.dtype, device=optimizer.device))


def _propose(optimizer: Optimizer, n: int | None, codes: Tensor | None) -> Queue:
    """Return what the kernel proposes: of n points at most, or a whole generation."""
    capabilities, ledger, spec = optimizer.capabilities, optimizer._ledger, optimizer._spec
    pending, reduction = ledger.n_pending, optimizer._reduction
    if capabilities.needs_data and not (optimizer.n_evaluations or optimizer.n_external):
        raise NotReadyError("tell a data set first: optimizer.tell(space.batch(x), values)")
    wanted = optimizer.algorithm.ready(spec, optimizer._kernel, pending)
    if wanted < 1 or (pending and not capabilities.asynchronous):
        raise NotReadyError(
            f"nothing to hand out until more of the {pending} pending candidates are told", pending=pending
        )
    if capabilities.asynchronous:
        wanted = min(wanted, n or capabilities.natural_batch)

    def gather() -> Any:
        points = ledger.pending()[1]
        if points is None:
            return torch.zeros((0, spec.dim), dtype=spec.dtype, device=spec.device)
        return reduction.restrict(points) if isinstance(points, Tensor) else points

    searched = None if codes is None else reduction.restrict(codes[None])[0].to(spec.device, spec.dtype)
    request = Request(wanted, gather=gather, fixed=searched)
    optimizer._kernel, candidates = optimizer.algorithm.ask(spec, optimizer._kernel, request, optimizer._generator)
    return Queue(candidates.x, candidates.context)


def in_full_space(points: Any, codes: Tensor | None, reduction: Reduction, generator: torch.Generator) -> Any:
    """Return a kernel's points in the full space, with fixed values (`codes`, shape (d,), NaN where free) in place."""
    if not isinstance(points, Tensor):
        return points
    points, space = reduction.expand(points), reduction.full
    if codes is not None:
        points = fix_columns(space, points, codes, generator)
    return points if space.is_real else space.canonical(points)
