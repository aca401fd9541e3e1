"""Checks of what is handed out: candidates, ids, seeds, order, spaces."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from blackbox.algorithm import Algorithm
from blackbox.errors import (
    NotReadyError,
)
from blackbox.optimizer import Optimizer
from blackbox.parameters import Real
from blackbox.space import Space
from blackbox.testing._problems import ROUNDS, make_optimizer, mixed_space, run_rounds, same, tell

__all__ = [
    "check_asking_twice_never_blocks",
    "check_candidates_are_in_the_space",
    "check_degenerate_spaces",
    "check_fixed_values_are_kept",
    "check_ids_are_contiguous",
    "check_mixed_spaces",
    "check_same_seed_same_candidates",
    "check_single_precision",
]


def check_candidates_are_in_the_space(algorithm: Algorithm[Any]) -> None:
    """Candidates have the space's shape, the optimizer's dtype and device, and lie within the bounds."""
    optimizer = make_optimizer(algorithm)
    for _ in range(ROUNDS):
        batch = optimizer.ask()
        assert len(batch) >= 1, "ask() handed out nothing"
        assert batch.x.shape == (len(batch), 3), f"x has shape {tuple(batch.x.shape)}"
        assert batch.x.dtype == optimizer.dtype, f"x has dtype {batch.x.dtype}"
        optimizer.space.check(batch.x)
        assert len(batch.configs) == len(batch)
        tell(optimizer, batch)


def check_ids_are_contiguous(algorithm: Algorithm[Any]) -> None:
    """Ids count from zero without gaps, whatever the size of the pieces."""
    optimizer = make_optimizer(algorithm)
    expected = optimizer.n_external
    for n in (1, 2, 3):
        try:
            batch = optimizer.ask(n)
        except NotReadyError:
            break
        assert 1 <= len(batch) <= n, f"ask({n}) handed out {len(batch)}"
        assert list(batch.ids) == list(range(expected, expected + len(batch)))
        expected += len(batch)


def check_same_seed_same_candidates(algorithm: Algorithm[Any]) -> None:
    """Equal seeds give equal runs, other seeds give other ones."""
    first, second = run_rounds(make_optimizer(algorithm)), run_rounds(make_optimizer(algorithm))
    assert same(first, second), "two runs with one seed differ"
    other = run_rounds(make_optimizer(algorithm, seed=8))
    assert not same(first, other) or algorithm.capabilities.needs_data, "another seed gives the same candidates"


def check_asking_twice_never_blocks(algorithm: Algorithm[Any]) -> None:
    """`ask` before `tell` hands out other candidates or raises `NotReadyError` with the pending count."""
    optimizer = make_optimizer(algorithm)
    optimizer.ask()
    before = optimizer.n_pending
    try:
        batch = optimizer.ask()
    except NotReadyError as error:
        assert error.pending == before
        assert not optimizer.capabilities.asynchronous, "an asynchronous algorithm must answer"
    else:
        assert optimizer.n_pending == before + len(batch)


def check_degenerate_spaces(algorithm: Algorithm[Any]) -> None:
    """One variable, fixed variables among others, and tiny or far-away boxes are served."""
    spaces = [
        Space.box([0.0], [1.0]),
        Space.box([0.0, 2.0, -1.0], [1.0, 2.0, 1.0]),
        Space.box([1e6, -1e-9], [1e6 + 1, 1e-9]),
    ]
    for space in spaces:
        optimizer = make_optimizer(algorithm, space=space)
        space.check(run_rounds(optimizer, 2))


def check_mixed_spaces(algorithm: Algorithm[Any]) -> None:
    """Integer, ordinal, categorical and conditional parameters, as far as declared: canonical, and resumable."""
    if not algorithm.capabilities.discrete:
        return
    space = mixed_space(algorithm)
    optimizer = make_optimizer(algorithm, space=space)
    x = run_rounds(optimizer)
    space.check(x)
    assert same(space.encode(space.decode(x)), x.to(torch.float64)), "a candidate is not canonical"
    with tempfile.TemporaryDirectory() as folder:
        optimizer.save(Path(folder) / "state.bb")
        resumed = Optimizer.load(Path(folder) / "state.bb", algorithm=algorithm)
    assert same(optimizer.ask().x, resumed.ask().x)


def check_fixed_values_are_kept(algorithm: Algorithm[Any]) -> None:
    """`ask(fixed=...)` holds for every candidate of the request, before and after data."""
    optimizer = make_optimizer(algorithm)
    for _ in range(2):
        batch = optimizer.ask(4, fixed={"a": 1.25})
        assert (batch.x[:, 0] == 1.25).all()
        optimizer.space.check(batch.x)
        tell(optimizer, batch)
        if not optimizer.capabilities.asynchronous and optimizer.n_pending == 0:
            while optimizer._queue is not None:
                tell(optimizer, optimizer.ask())


def check_single_precision(algorithm: Algorithm[Any]) -> None:
    """float32 points and values are served."""
    space = Space({"a": Real(-2, 3), "b": Real(0.001, 100, log=True), "c": Real(0, 1)})
    optimizer = make_optimizer(algorithm, space=space, dtype=torch.float32)
    x = run_rounds(optimizer)
    assert x.dtype == torch.float32
    optimizer.space.check(x)
    assert optimizer.result().values.dtype == torch.float32
