"""The kernel protocol: what an algorithm is, and what the optimizer hands to it.

An algorithm is a frozen dataclass of settings with `capabilities` and pure functions on an explicit state. It never
evaluates, prints, or touches a global generator. The optimizer (the shell) does ids, validation, directions, ordering,
pending candidates, failures, saving and restoring; a kernel may trust what it is given:

- values are minimised, rows are sorted by id, failed rows are marked and hold NaN;
- the space has no constant columns, and `seen.x` is what was evaluated, which may differ from what was proposed
  (`fixed=` values, external points);
- a generational kernel is told a whole generation at once, without the rows that were abandoned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

from blackbox.space import Space

__all__ = ["Algorithm", "Candidates", "Capabilities", "Front", "Request", "Seen", "Spec"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What an algorithm can serve; checked when an optimizer is constructed.

    Parameters
    ----------
    objectives : (int, int or None)
        The smallest and largest number of objectives m; None for no limit.
    constraints : bool
        Whether told violations are used (a problem with constraints is refused otherwise).
    discrete, conditional : bool
        Whether integer, categorical and ordinal columns, or conditions, are handled.
    categorical : bool
        Whether categorical columns are handled, where `discrete` is True.
    asynchronous : bool
        True: it answers while candidates are pending, and the optimizer tells it what has come in before each ask.
        False: generational; the optimizer hands out a generation in pieces and tells it when none is pending.
    natural_batch : int
        What `ask()` hands out for asynchronous algorithms; generational ones hand out the rest of their generation.
    needs_data : bool
        Offline: `ask` before data raises.
    accepts_external : bool
        Whether points that were not asked can be told.
    genomes : bool
        Whether genome spaces are served (and dense ones are not).
    roles : tuple of str
        The roles ("fidelity", "task", "environment") that it searches; others are held at their target.
    extras : tuple of str
        The names of further columns that `tell` accepts. Two have a meaning of their own: "gradient", shape (n, d),
        derivatives of the objective (a kernel gets those of its columns, for minimisation), and "cost", shape (n,).
    max_dim : int or None
        The largest number of searched columns.
    learns : bool
        Whether `tell` changes the state at all; False saves samplers the work.
    own_result : bool
        Whether `result` answers with a `Front` (populations); False leaves the best or the Pareto set to the optimizer,
        which then asks `result` only where fidelities, tasks or environments are searched.
    single_precision : bool
        Whether float32 is the default on a GPU (kernels of populations), float64 otherwise (models).
    """

    objectives: tuple[int, int | None] = (1, 1)
    constraints: bool = False
    discrete: bool = True
    categorical: bool = True
    conditional: bool = True
    asynchronous: bool = True
    natural_batch: int = 1
    needs_data: bool = False
    accepts_external: bool = True
    genomes: bool = False
    roles: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    max_dim: int | None = None
    learns: bool = True
    own_result: bool = False
    single_precision: bool = True


@dataclass(frozen=True)
class Spec:
    """What is searched, as a kernel sees it.

    Parameters
    ----------
    space : Space (or GenomeSpace)
        Without constant columns.
    n_objectives, n_constraints : int
    device : torch.device
    dtype : torch.dtype
        Of points and values.
    budget : int or None
        How many evaluations the user foresees, where known.
    signs : tuple of float, length m, optional
        -1 for objectives that the user maximises and 1 for others: what kernels see is the user's values times these.
        Empty where all are minimised.
    constants : mapping of str to value
        What the parameters are held at that `space` lacks, by their names.
    reference : tuple of float, length m, or None
        The problem's reference point, minimised as kernels see values, where it has one.
    """

    space: Any
    n_objectives: int = 1
    n_constraints: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float64
    budget: int | None = None
    signs: tuple[float, ...] = ()
    constants: Mapping[str, Any] = field(default_factory=dict)
    reference: tuple[float, ...] | None = None

    @property
    def dim(self) -> int:
        """The number of searched columns d."""
        return int(self.space.dim)

    @cached_property
    def lower(self) -> Tensor:
        """Lower bounds, shape (d,)."""
        space: Space = self.space
        return space.bounds(self.dtype, self.device)[0]

    @cached_property
    def upper(self) -> Tensor:
        """Upper bounds, shape (d,)."""
        space: Space = self.space
        return space.bounds(self.dtype, self.device)[1]

    def tensor(self, values: Any) -> Tensor:
        """Return `values` as a tensor on this device, of this dtype."""
        return torch.as_tensor(values, dtype=self.dtype, device=self.device)


class Request:
    """What is asked for.

    Attributes
    ----------
    n : int
        How many candidates, at most. A generational kernel gets what it answered from `ready`.
    pending : Tensor, shape (p, d)
        The points that were handed out and not told yet (gathered on first use; empty for generational kernels).
    fixed : Tensor, shape (d,), or None
        Codes that every candidate must have, NaN where free. The optimizer enforces them afterwards in any case.
    """

    __slots__ = ("_gather", "_pending", "fixed", "n")

    def __init__(self, n: int, *, gather: Any, fixed: Tensor | None = None) -> None:
        self.n = n
        self.fixed = fixed
        self._gather = gather
        self._pending: Tensor | None = None

    @property
    def pending(self) -> Tensor:
        """The pending points, shape (p, d)."""
        if self._pending is None:
            self._pending = self._gather()
        assert self._pending is not None
        return self._pending


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a kernel proposes.

    Parameters
    ----------
    x : Tensor, shape (n, d), or Genomes
        In the space's own units, within the bounds; n is at least one and at most what was requested. The kernel
        must not write to it afterwards.
    context : mapping of str to Tensor, shape (n, ...)
        Columns that the user should see with the request.
    """

    x: Any
    context: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was told since the last time, cleaned: minimised, sorted by id, one row a candidate.

    Attributes
    ----------
    ids : Tensor, shape (n,), int64, on the CPU
    x : Tensor, shape (n, d), or Genomes
    values : Tensor, shape (n, m)
        NaN in failed rows.
    violations : Tensor, shape (n, k)
        Feasible at <= 0; NaN in failed rows.
    failed : Tensor, shape (n,), bool
    external : Tensor, shape (n,), bool
        Points that were told without having been asked.
    variance : Tensor, shape (n, m), or None
        NaN where unknown; None where never given.
    extras : dict of str to Tensor, shape (n, ...)
    may_have_failed, may_have_external : bool
        False where surely no row of `failed`, or of `external`, is True; known without waiting for a device.

    Notes
    -----
    Tensors may be kept, but not written to: the optimizer keeps them, too.
    """

    ids: Tensor
    x: Any
    values: Tensor
    violations: Tensor
    failed: Tensor
    external: Tensor
    variance: Tensor | None = None
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    may_have_failed: bool = True
    may_have_external: bool = True

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Front:
    """A kernel's own answer to `result`: points with minimised values, feasible ones only.

    Parameters
    ----------
    x : Tensor, shape (r, d)
    values : Tensor, shape (r, m)
    violations : Tensor, shape (r, k)
    predicted : bool
        Whether values and violations are a model's predictions, not what was told.
    """

    x: Tensor
    values: Tensor
    violations: Tensor
    predicted: bool = False


S = TypeVar("S")


@runtime_checkable
class Algorithm(Protocol[S]):
    """The kernel protocol; implement it with a frozen dataclass of JSON-like settings.

    The state `S` is a dataclass of tensors, arrays, numbers, strings, and lists, dicts and dataclasses of them, so
    that saving and restoring are generic. Functions return new states; they may reuse tensors of the old one.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What can be served with these settings."""
        ...

    def init(self, spec: Spec, generator: torch.Generator) -> S:
        """Return the first state."""
        ...

    def ready(self, spec: Spec, state: S, pending: int) -> int:
        """Return how many candidates could be handed out now: the generation's size, or a limit; 0 to wait."""
        ...

    def ask(self, spec: Spec, state: S, request: Request, generator: torch.Generator) -> tuple[S, Candidates]:
        """Return the next state and at most `request.n` candidates, at least one."""
        ...

    def tell(self, spec: Spec, state: S, seen: Seen, generator: torch.Generator) -> S:
        """Return the state that has learned from `seen`."""
        ...

    def result(self, spec: Spec, state: S) -> Front | None:
        """Return the kernel's own Pareto set; None to leave it to the optimizer, which keeps what was told."""
        ...
