"""The contract that every algorithm must pass; shipped, so that yours can be run through it, too.

>>> from blackbox.algorithms import RandomSearch
>>> from blackbox.testing import ALGORITHM_CHECKS
>>> for check in ALGORITHM_CHECKS[:3]:
...     check(RandomSearch())

With pytest::

    @pytest.mark.parametrize("check", ALGORITHM_CHECKS, ids=lambda check: check.__name__)
    def test_contract(check):
        check(MyAlgorithm())

Every check raises AssertionError with a sentence, and makes its own small problem from the algorithm's capabilities.
"""

from __future__ import annotations

import math
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from blackbox.algorithm import Algorithm
from blackbox.candidates import Batch
from blackbox.errors import (
    AbandonedError,
    BlackboxError,
    DuplicateTellError,
    NotReadyError,
    TellError,
    UnknownCandidateError,
)
from blackbox.objective import Objective
from blackbox.optimizer import Optimizer
from blackbox.parameters import Categorical, Integer, Ordinal, Real
from blackbox.persistence import algorithm_from_tree, algorithm_to_tree
from blackbox.space import Space
from blackbox.state import pack

__all__ = ["ALGORITHM_CHECKS", "make_optimizer", "run_rounds", "values_at"]

_ROUNDS = 3


# -- small problems ------------------------------------------------------------------------------------------------


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


def run_rounds(optimizer: Optimizer, rounds: int = _ROUNDS) -> Tensor:
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


def _frozen(optimizer: Optimizer) -> bytes:
    return pack(optimizer.state())


# -- checks --------------------------------------------------------------------------------------------------------


def check_settings_are_a_frozen_record(algorithm: Algorithm[Any]) -> None:
    """Settings are immutable, equal to themselves, and survive their JSON form."""
    for name in algorithm_to_tree(algorithm)["settings"]:
        try:
            setattr(algorithm, name, None)
        except AttributeError:
            continue
        raise AssertionError(f"the setting {name} can be overwritten")
    if type(algorithm).__module__.startswith("blackbox."):
        assert algorithm_from_tree(algorithm_to_tree(algorithm)) == algorithm, "settings do not survive saving"


def check_candidates_are_in_the_space(algorithm: Algorithm[Any]) -> None:
    """Candidates have the space's shape, the optimizer's dtype and device, and lie within the bounds."""
    optimizer = make_optimizer(algorithm)
    for _ in range(_ROUNDS):
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


def check_order_and_grouping_do_not_matter(algorithm: Algorithm[Any]) -> None:
    """A shuffled, piecewise tell gives the same next candidates as one whole tell."""
    whole, pieces = make_optimizer(algorithm), make_optimizer(algorithm)
    for _ in range(2):
        batches = [o.ask(8) if o.capabilities.asynchronous else o.ask() for o in (whole, pieces)]
        tell(whole, batches[0])
        order = torch.randperm(len(batches[1]), generator=torch.Generator().manual_seed(3))
        for start in range(0, len(order), 3):
            tell(pieces, batches[1][order[start : start + 3]])
    assert same(whole.ask().x, pieces.ask().x), "order or grouping of tells changed the candidates"
    assert same(whole.result().x, pieces.result().x), "order or grouping of tells changed the result"


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


def check_failed_rows_are_survived(algorithm: Algorithm[Any]) -> None:
    """Non-finite values and marked rows fail; candidates stay finite and the result stays sound."""
    optimizer = make_optimizer(algorithm)
    for marker in (math.nan, math.inf, -math.inf):
        batch = optimizer.ask(8) if optimizer.capabilities.asynchronous else optimizer.ask()
        values = values_at(batch, optimizer)
        values[::2] = marker
        report = optimizer.tell(batch, values)
        assert report.n_failed == len(values[::2])
    batch = optimizer.ask()
    optimizer.space.check(batch.x)
    assert torch.isfinite(optimizer.result().values).all(), "a failed value got into the result"
    optimizer.tell(batch, None, failed=torch.ones(len(batch), dtype=torch.bool))


def check_all_failed_is_survived(algorithm: Algorithm[Any]) -> None:
    """Nothing but failures: candidates go on, and the result is empty rather than made up."""
    if algorithm.capabilities.needs_data:
        return
    optimizer = make_optimizer(algorithm)
    for _ in range(_ROUNDS):
        batch = optimizer.ask(6) if optimizer.capabilities.asynchronous else optimizer.ask()
        optimizer.space.check(batch.x)
        optimizer.tell(batch, torch.full((len(batch), len(optimizer.objectives)), math.nan))
    optimizer.space.check(optimizer.ask().x)
    assert len(optimizer.result()) == 0, "a result without one successful evaluation"


def check_bad_tells_change_nothing(algorithm: Algorithm[Any]) -> None:
    """Every refused tell raises a `TellError` naming the argument and leaves the state as it was."""
    optimizer = make_optimizer(algorithm)
    batch = optimizer.ask()
    n, m = len(batch), len(optimizer.objectives)
    good = values_at(batch, optimizer)
    before = _frozen(optimizer)
    bad: list[tuple[Any, dict[str, Any]]] = [
        (torch.zeros(n + 1, m), {}),
        (torch.zeros(n, m + 1), {}),
        (None, {}),
        ([[None] * m] * n, {}),
        ([["x"] * m] * n, {}),
        (good.to(torch.complex64), {}),
        (good > 0, {}),
        (good, {"violations": torch.zeros(n, 2)}),
        (good, {"failed": [True] * (n + 1)}),
        (good, {"failed": 1}),
        (good, {"variance": -torch.ones(n, m)}),
        (good, {"extras": {"no such column": torch.zeros(n)}}),
    ]
    for values, columns in bad:
        try:
            optimizer.tell(batch, values, **columns)
        except TellError as error:
            assert error.argument in str(error) or error.argument == "extras", str(error)
        else:
            raise AssertionError(f"accepted: values {values!r}, {columns!r}")
        assert _frozen(optimizer) == before, "a refused tell changed the state"
    optimizer.tell(batch, good)


def check_identities_are_guarded(algorithm: Algorithm[Any]) -> None:
    """Told twice, foreign, never asked and abandoned candidates are refused, each with its own error."""
    optimizer, other = make_optimizer(algorithm), make_optimizer(algorithm)
    batch, foreign = optimizer.ask(), other.ask()
    tell(optimizer, batch)
    before = _frozen(optimizer)
    _expect(DuplicateTellError, lambda: tell(optimizer, batch))
    _expect(UnknownCandidateError, lambda: tell(optimizer, foreign))
    assert _frozen(optimizer) == before
    batch = optimizer.ask()
    optimizer.abandon(batch)
    assert optimizer.n_pending == 0
    _expect(AbandonedError, lambda: tell(optimizer, batch))
    optimizer.space.check(optimizer.ask().x)


def _expect(kind: type[BlackboxError], action: Callable[[], Any]) -> None:
    try:
        action()
    except kind:
        return
    raise AssertionError(f"expected {kind.__name__}")


def check_save_and_restore_go_on_equally(algorithm: Algorithm[Any]) -> None:
    """With pending and buffered rows in place, a saved, loaded optimizer gives bit-equal candidates."""
    straight = make_optimizer(algorithm)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.bb"
        _advance(straight)
        straight.save(path)
        own = not type(algorithm).__module__.startswith("blackbox.")
        resumed = Optimizer.load(path, algorithm=algorithm if own else None)
        assert _frozen(resumed) == _frozen(straight), "a loaded optimizer has another state"
        assert same(_finish(straight), _finish(resumed)), "a resumed run differs from a straight one"


def _advance(optimizer: Optimizer) -> None:
    run_rounds(optimizer, 2)
    batch = optimizer.ask(4)
    tell(optimizer, batch[: len(batch) // 2])


def _finish(optimizer: Optimizer) -> Tensor:
    tell(optimizer, optimizer.pending)
    return run_rounds(optimizer, 2)


_RESUME = """
import sys, torch
from blackbox.optimizer import Optimizer
from blackbox.testing import _finish
x = _finish(Optimizer.load(sys.argv[1]))
sys.stdout.buffer.write(x.nan_to_num(nan=-77.0).numpy().tobytes())
"""


def check_resume_in_a_fresh_process(algorithm: Algorithm[Any]) -> None:
    """A run that is saved, loaded in a new process and continued gives bit-equal candidates."""
    if not type(algorithm).__module__.startswith("blackbox."):
        return  # a class of the caller's cannot be looked up by name in another process
    straight = make_optimizer(algorithm)
    _advance(straight)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.bb"
        straight.save(path)
        root = Path(__file__).parent.parent
        command = [sys.executable, "-c", _RESUME, str(path)]
        done = subprocess.run(command, capture_output=True, cwd=root, check=False)
    assert done.returncode == 0, done.stderr.decode()
    expected = _finish(straight).nan_to_num(nan=-77.0).numpy().tobytes()
    assert done.stdout == expected, "a run resumed in a fresh process differs"


def check_global_generators_are_untouched(algorithm: Algorithm[Any]) -> None:
    """Neither reads nor writes the global generators of random, NumPy and torch."""
    runs = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002  (the global one is what is watched)
        torch.default_generator.manual_seed(seed)
        before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state())  # type: ignore[index]  # noqa: NPY002
        runs.append(run_rounds(make_optimizer(algorithm)))
        assert random.getstate() == before[0], "random was used"
        assert np.random.get_state()[1].tolist() == before[1], "numpy.random was used"  # type: ignore[index]  # noqa: NPY002
        assert torch.equal(torch.get_rng_state(), before[2]), "torch's global generator was used"
    assert same(*runs), "a global generator was read"


def check_users_memory_is_their_own(algorithm: Algorithm[Any]) -> None:
    """Writing to batch.x or to told values changes nothing, and told arrays are not written to."""
    clean, dirty = make_optimizer(algorithm), make_optimizer(algorithm)
    for _ in range(2):
        expected = clean.ask()
        tell(clean, expected)
        batch = dirty.ask()
        values = values_at(batch, dirty)
        copy = values.clone()
        batch.x.fill_(0.123)
        dirty.tell(batch, values)
        assert torch.equal(values, copy), "told values were written to"
        values.fill_(-5.0)
    assert same(clean.ask().x, dirty.ask().x), "the optimizer shares memory with the user"


def check_directions_are_converted_once(algorithm: Algorithm[Any]) -> None:
    """Maximising f gives the candidates of minimising -f, and the result in f's own direction."""
    m = algorithm.capabilities.objectives[0]
    if algorithm.capabilities.needs_data:
        return
    low = make_optimizer(algorithm)
    high = make_optimizer(algorithm, objectives=[Objective(f"f{j}", maximize=True) for j in range(m)])
    for _ in range(_ROUNDS):
        a, b = (o.ask(8) if o.capabilities.asynchronous else o.ask() for o in (low, high))
        assert same(a.x, b.x)
        low.tell(a, values_at(a, low))
        high.tell(b, -values_at(b, high))
    assert same(low.result().values, -high.result().values)


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


def check_external_points(algorithm: Algorithm[Any]) -> None:
    """Points that were not asked are taken, or refused with a clear error if that is declared."""
    optimizer = make_optimizer(algorithm)
    external = optimizer.space.batch([{"a": 0.5, "b": 0.1, "c": 0.9}, {"a": 1.5, "b": 10.0, "c": 0.1}])
    values = values_at(external, optimizer) - 100.0
    if not optimizer.capabilities.accepts_external:
        _expect(TellError, lambda: optimizer.tell(external, values))
        return
    report = optimizer.tell(external, values)
    assert report.n_evaluations == 0, "a point that was not asked was counted as an evaluation"
    run_rounds(optimizer, 2)
    assert float(optimizer.result().values.min()) < -90, "an external point was forgotten"


def check_constant_and_extreme_values(algorithm: Algorithm[Any]) -> None:
    """Constant, huge and tiny values give candidates in the space."""
    for value in (0.0, 1e12, 1e-300, -1e300):
        optimizer = make_optimizer(algorithm)
        for _ in range(_ROUNDS):
            batch = optimizer.ask(4) if optimizer.capabilities.asynchronous else optimizer.ask()
            optimizer.space.check(batch.x)
            optimizer.tell(batch, torch.full((len(batch), len(optimizer.objectives)), value, dtype=torch.float64))
        optimizer.space.check(optimizer.ask().x)


def check_constraints(algorithm: Algorithm[Any]) -> None:
    """With constraints the result is feasible; with nothing feasible it is empty, and the least violated is apart."""
    if not algorithm.capabilities.constraints:
        return
    optimizer = make_optimizer(algorithm, n_constraints=2)
    run_rounds(optimizer)
    result = optimizer.result()
    assert (result.violations <= 0).all(), "an infeasible point is in the result"
    never = make_optimizer(algorithm, n_constraints=1)
    for _ in range(_ROUNDS):
        batch = never.ask(6) if never.capabilities.asynchronous else never.ask()
        u = never.space.to_unit(batch.x)
        never.tell(batch, values_at(batch, never), violations=1 + u[:, :1])
    result = never.result()
    if not algorithm.capabilities.needs_data:
        assert len(result) == 0, "an infeasible point was presented as a result"
        assert result.least_violated is not None
        assert float(result.least_violated.violations) >= 1
    never.space.check(never.ask().x)


def check_several_objectives(algorithm: Algorithm[Any]) -> None:
    """Two and three objectives, as far as declared: the result is a set without dominated points."""
    fewest, most = algorithm.capabilities.objectives
    for m in (2, 3):
        if not fewest <= m <= (most or m):
            continue
        optimizer = make_optimizer(algorithm, objectives=m)
        run_rounds(optimizer)
        values = optimizer.result().values
        assert len(values), "no Pareto set"
        worse = (values[:, None] <= values[None]).all(2) & (values[:, None] < values[None]).any(2)
        assert not worse.any(), "a dominated point is in the result"


def check_single_precision(algorithm: Algorithm[Any]) -> None:
    """float32 points and values are served."""
    space = Space({"a": Real(-2, 3), "b": Real(0.001, 100, log=True), "c": Real(0, 1)})
    optimizer = make_optimizer(algorithm, space=space, dtype=torch.float32)
    x = run_rounds(optimizer)
    assert x.dtype == torch.float32
    optimizer.space.check(x)
    assert optimizer.result().values.dtype == torch.float32


ALGORITHM_CHECKS: list[Callable[[Algorithm[Any]], None]] = [
    check_settings_are_a_frozen_record,
    check_candidates_are_in_the_space,
    check_ids_are_contiguous,
    check_same_seed_same_candidates,
    check_order_and_grouping_do_not_matter,
    check_asking_twice_never_blocks,
    check_failed_rows_are_survived,
    check_all_failed_is_survived,
    check_bad_tells_change_nothing,
    check_identities_are_guarded,
    check_save_and_restore_go_on_equally,
    check_resume_in_a_fresh_process,
    check_global_generators_are_untouched,
    check_users_memory_is_their_own,
    check_directions_are_converted_once,
    check_degenerate_spaces,
    check_mixed_spaces,
    check_fixed_values_are_kept,
    check_external_points,
    check_constant_and_extreme_values,
    check_constraints,
    check_several_objectives,
    check_single_precision,
]
