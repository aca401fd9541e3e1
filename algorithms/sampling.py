"""Sampling without learning: the baselines that every other algorithm has to beat."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from blackbox._arguments import whole_number
from blackbox.algorithm import Candidates, Capabilities, Front, Request, Seen, Spec
from blackbox.errors import ExhaustedError, SettingError
from blackbox.space import Space

__all__ = ["RandomSearch", "Sobol"]

_MANY = 2**31
_SOBOL_BITS = 30
_SOBOL_DIM = 21201


@dataclass(frozen=True, slots=True)
class SamplingState:
    """How many points were drawn."""

    drawn: int


@dataclass(frozen=True, slots=True)
class RandomSearch:
    """Independent uniform points of the unit cube (so uniform in the logarithm on log scales).

    Any number of objectives and constraints, any kind of parameter, genomes; batches of any size. O(n d) time and
    memory.

    Parameters
    ----------
    batch_size : int, default 1
        What `ask()` hands out.

    References
    ----------
    Bergstra and Bengio, *Random Search for Hyper-Parameter Optimization*, JMLR 2012.

    Examples
    --------
    >>> import blackbox as bb
    >>> optimizer = bb.Optimizer(bb.Space.box([0], [1]), RandomSearch(), seed=0)
    >>> len(optimizer.ask(5))
    5
    """

    batch_size: int = 1

    def __post_init__(self) -> None:
        whole_number(self.batch_size, "batch_size", 1)

    @property
    def capabilities(self) -> Capabilities:
        """Everything."""
        return Capabilities(
            objectives=(1, None), constraints=True, genomes=True, natural_batch=self.batch_size, learns=False
        )

    def init(self, spec: Spec, generator: torch.Generator) -> SamplingState:
        """Return the empty state."""
        return SamplingState(0)

    def ready(self, spec: Spec, state: SamplingState, pending: int) -> int:
        """Return a number without meaning: any batch can be drawn."""
        return _MANY

    def ask(
        self, spec: Spec, state: SamplingState, request: Request, generator: torch.Generator
    ) -> tuple[SamplingState, Candidates]:
        """Draw `request.n` points."""
        state = replace(state, drawn=state.drawn + request.n)
        if not isinstance(spec.space, Space):
            return state, Candidates(spec.space.sample(request.n, generator))
        u = torch.rand((request.n, spec.dim), generator=generator, dtype=spec.dtype, device=spec.device)
        return state, Candidates(spec.space.from_unit(u))

    def tell(self, spec: Spec, state: SamplingState, seen: Seen, generator: torch.Generator) -> SamplingState:
        """Learn nothing."""
        return state

    def result(self, spec: Spec, state: SamplingState) -> Front | None:
        """Leave it to the optimizer."""
        return None


@dataclass(frozen=True, slots=True)
class SobolState:
    """A scrambled Sobol sequence between two points.

    Attributes
    ----------
    directions : Tensor, shape (d, 30), int64
        Scrambled direction numbers.
    point : Tensor, shape (d,), int64
        The next point, in units of 2**-30.
    drawn : int
        Points drawn so far.
    """

    directions: Tensor
    point: Tensor
    drawn: int


@dataclass(frozen=True, slots=True)
class Sobol:
    """A scrambled Sobol sequence: points that fill the unit cube more evenly than random ones.

    Any number of objectives and constraints, any kind of parameter, up to 21201 searched columns; O(n d) time.
    Powers of two are the natural sizes of a design.

    Parameters
    ----------
    batch_size : int, default 1
        What `ask()` hands out.
    scramble : bool, default True
        Whether to scramble (a random linear matrix and a digital shift).

    References
    ----------
    Sobol, *On the distribution of points in a cube and the approximate evaluation of integrals*, 1967; scrambling by
    Matousek 1998, direction numbers by Joe and Kuo 2008, both as in `torch.quasirandom.SobolEngine`.
    """

    batch_size: int = 1
    scramble: bool = True

    def __post_init__(self) -> None:
        whole_number(self.batch_size, "batch_size", 1)
        if not isinstance(self.scramble, bool):
            raise SettingError(f"scramble: expected True or False, got {self.scramble!r}")

    @property
    def capabilities(self) -> Capabilities:
        """Everything but genomes."""
        return Capabilities(
            objectives=(1, None),
            constraints=True,
            natural_batch=self.batch_size,
            max_dim=_SOBOL_DIM,
            learns=False,
        )

    def init(self, spec: Spec, generator: torch.Generator) -> SobolState:
        """Scramble the direction numbers."""
        seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
        engine = torch.quasirandom.SobolEngine(spec.dim, scramble=self.scramble, seed=seed)  # type: ignore[no-untyped-call]
        return SobolState(engine.sobolstate.to(spec.device), engine.quasi.to(spec.device), 0)

    def ready(self, spec: Spec, state: SobolState, pending: int) -> int:
        """Return how many points of the sequence are left."""
        left: int = 2**_SOBOL_BITS - state.drawn
        return left

    def ask(
        self, spec: Spec, state: SobolState, request: Request, generator: torch.Generator
    ) -> tuple[SobolState, Candidates]:
        """Draw the next `request.n` points of the sequence."""
        if state.drawn + request.n > 2**_SOBOL_BITS:
            raise ExhaustedError(f"the Sobol sequence ends after 2**{_SOBOL_BITS} points")
        points, following = _next_points(state, request.n)
        u = points.to(spec.dtype) * 2.0**-_SOBOL_BITS
        return following, Candidates(spec.space.from_unit(u))

    def tell(self, spec: Spec, state: SobolState, seen: Seen, generator: torch.Generator) -> SobolState:
        """Learn nothing."""
        return state

    def result(self, spec: Spec, state: SobolState) -> Front | None:
        """Leave it to the optimizer."""
        return None


def _next_points(state: SobolState, n: int) -> tuple[Tensor, SobolState]:
    """Return the next n points, shape (n, d), int64, and the state after them.

    The Gray-code order makes point i a linear function of the bits of i: an aligned block of 2**k points is its
    first point combined with one table, which doubling builds.
    """
    directions, point, index = state.directions, state.point, state.drawn
    blocks = []
    end = index + n
    while index < end:
        size = 1
        level = 0
        while index % (2 * size) == 0 and index + 2 * size <= end:
            size, level = 2 * size, level + 1
        block = point[None] ^ _table(directions, level)
        blocks.append(block)
        index += size
        point = block[-1] ^ directions[:, _trailing_zeros(index)]
    points = blocks[0] if len(blocks) == 1 else torch.cat(blocks)
    return points, SobolState(directions, point, index)


def _table(directions: Tensor, level: int) -> Tensor:
    """Return the 2**level offsets of an aligned block, shape (2**level, d)."""
    table = torch.zeros((1, len(directions)), dtype=directions.dtype, device=directions.device)
    for bit in range(level):
        step = directions[:, bit] ^ (directions[:, bit - 1] if bit else 0)
        table = torch.cat([table, table ^ step])
    return table


def _trailing_zeros(index: int) -> int:
    zeros: int = (index & -index).bit_length() - 1
    return min(zeros, _SOBOL_BITS - 1)
