"""Small problems for the checks, and what several checks do with an optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from blackbox.algorithm import Algorithm
from blackbox.candidates import Batch
from blackbox.errors import (
    BlackboxError,
)
from blackbox.optimizer import Optimizer
from blackbox.parameters import Categorical, Integer, Ordinal, Real
from blackbox.space import Space
from blackbox.state import pack

__all__ = [
    "ROUNDS",
    "advance",
    "expect",
    "finish",
    "frozen",
    "make_optimizer",
    "mixed_space",
    "run_rounds",
    "same",
    "small_space",
    "tell",
    "tell_data",
    "values_at",
    "violations_at",
]


ROUNDS = 3


def make_optimizer(
    algorithm: Algorithm[Any], *, space: Space | None = None, seed: int = 7, **options: Any
) -> Optimizer:
    """Return an optimizer of a small problem that the algorithm can serve."""
    capabilities = algorithm.capabilities
    options.setdefault("objectives", capabilities.objectives[0])
    optimizer = Optimizer(space or small_space(algorithm), algorithm, seed=seed, **options)
    if capabilities.needs_data:
        tell_data(optimizer)
    return optimizer


def small_space(algorithm: Algorithm[Any]) -> Space:
    """Return a box of three variables, one of them on a log scale."""
    return Space({"a": Real(-2, 3), "b": Real(1e-3, 1e2, log=True), "c": Real(0, 1)})


def mixed_space(algorithm: Algorithm[Any]) -> Space:
    """Return the richest space that the algorithm can serve."""
    capabilities = algorithm.capabilities
    parameters: dict[str, Any] = {"a": Real(-2, 3), "n": Integer(1, 9), "size": Ordinal(["s", "m", "l"])}
    if capabilities.categorical:
        parameters["kind"] = Categorical(["u", "v", "w"])
        if capabilities.conditional:
            parameters["only_v"] = Integer(1, 100, log=True, when={"kind": "v"})
            parameters["deep"] = Real(0, 1, when={"only_v": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]})
    return Space(parameters)


def tell_data(optimizer: Optimizer, n: int = 40) -> None:
    """Tell n random points, for algorithms that need a data set."""
    generator = torch.Generator().manual_seed(11)
    x = optimizer.space.from_unit(torch.rand((n, optimizer.space.dim), generator=generator, dtype=torch.float64))
    batch = optimizer.space.batch(x)
    optimizer.tell(batch, values_at(batch, optimizer), violations=violations_at(batch, optimizer))


def values_at(batch: Batch, optimizer: Optimizer) -> Tensor:
    """Return smooth values, shape (n, m), of the points of a batch, on the CPU, to be minimised."""
    u = batch.space.to_unit(batch.x.to("cpu", torch.float64))
    columns = [((u - 0.2 - 0.5 * j / len(optimizer.objectives)) ** 2).sum(1) for j in range(len(optimizer.objectives))]
    return torch.stack(columns, 1) + 0.01 * torch.sin(20 * u).sum(1, keepdim=True)


def violations_at(batch: Batch, optimizer: Optimizer) -> Tensor | None:
    """Return violations, shape (n, k), of the points of a batch."""
    if not optimizer.n_constraints:
        return None
    u = batch.space.to_unit(batch.x.to("cpu", torch.float64))
    return torch.stack([0.3 - u[:, 0] + 0.1 * j for j in range(optimizer.n_constraints)], 1)


def tell(optimizer: Optimizer, batch: Batch) -> None:
    """Tell the values of a batch."""
    optimizer.tell(batch, values_at(batch, optimizer), violations=violations_at(batch, optimizer))


def run_rounds(optimizer: Optimizer, rounds: int = ROUNDS) -> Tensor:
    """Ask and tell whole batches; return all points, shape (n, d)."""
    points = []
    for _ in range(rounds):
        batch = optimizer.ask(8) if optimizer.capabilities.asynchronous else optimizer.ask()
        points.append(batch.x)
        tell(optimizer, batch)
    return torch.cat(points)


def same(a: Tensor, b: Tensor) -> bool:
    """Return whether two tensors are equal bit for bit, NaN equal to NaN."""
    return a.shape == b.shape and torch.equal(a.nan_to_num(nan=-77.0), b.nan_to_num(nan=-77.0))


def frozen(optimizer: Optimizer) -> bytes:
    return pack(optimizer.state())


def expect(kind: type[BlackboxError], action: Callable[[], Any]) -> None:
    try:
        action()
    except kind:
        return
    raise AssertionError(f"expected {kind.__name__}")


def advance(optimizer: Optimizer) -> None:
    run_rounds(optimizer, 2)
    batch = optimizer.ask(4)
    tell(optimizer, batch[: len(batch) // 2])


def finish(optimizer: Optimizer) -> Tensor:
    tell(optimizer, optimizer.pending)
    return run_rounds(optimizer, 2)
