"""State files: exact, digested, and harmless whatever they hold."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from blackbox import Optimizer, Space
from blackbox.algorithms import RandomSearch
from blackbox.errors import StateError
from blackbox.state import from_tree, load_file, pack, save_file, to_tree, unpack

LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False), st.text(max_size=8)
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(max_size=4).filter(lambda k: not k.startswith("$")), inner, max_size=3),
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=60)
@given(TREES)
def test_trees_round_trip(tree: Any) -> None:
    assert unpack(pack({"tree": tree})) == {"tree": tree}


@dataclass
class Inner:
    values: torch.Tensor
    pair: tuple[int, float]


@dataclass
class Outer:
    inner: Inner | None
    many: list[Inner]
    named: dict[str, Inner]
    array: np.ndarray[Any, Any]


def test_dataclasses_round_trip_with_tensors() -> None:
    inner = Inner(torch.randn(3, generator=torch.Generator().manual_seed(0)), (1, 0.1))
    outer = Outer(inner, [inner, inner], {"a": inner}, np.arange(4.0))
    again = from_tree(Outer, unpack(pack(outer)))
    assert isinstance(again.inner, Inner)
    assert again.inner.pair == (1, 0.1)
    assert torch.equal(again.many[1].values, inner.values)
    assert torch.equal(again.named["a"].values, inner.values)
    assert isinstance(again.array, np.ndarray)
    assert from_tree(Outer, to_tree(Outer(None, [], {}, outer.array))).inner is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool])
def test_tensors_of_any_shape_round_trip(dtype: torch.dtype) -> None:
    for shape in ((), (0,), (0, 3), (2, 3)):
        tensor = torch.ones(shape).to(dtype)
        again = unpack(pack({"t": tensor}))["t"]
        assert again.dtype == dtype
        assert again.shape == tensor.shape
        assert torch.equal(again, tensor)


def saved(tmp_path: Path) -> Path:
    optimizer = Optimizer(Space.box([0] * 3, [1] * 3), RandomSearch(), seed=0)
    optimizer.tell(optimizer.ask(20), torch.arange(20.0))
    optimizer.ask(5)
    optimizer.save(tmp_path / "state.bb")
    return tmp_path / "state.bb"


def test_truncation_at_every_length_is_an_error(tmp_path: Path) -> None:
    path = saved(tmp_path)
    data = path.read_bytes()
    for length in [0, 1, 7, 8, 9, *range(10, len(data), max(1, len(data) // 60))]:
        path.write_bytes(data[:length])
        with pytest.raises(StateError, match=r"state\.bb"):
            Optimizer.load(path)


def test_every_flipped_bit_is_seen(tmp_path: Path) -> None:
    path = saved(tmp_path)
    data = path.read_bytes()
    for position in range(0, len(data), max(1, len(data) // 150)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << (position % 8)
        path.write_bytes(bytes(damaged))
        with pytest.raises(StateError):
            Optimizer.load(path)


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.target),))


def test_pickles_are_never_run(tmp_path: Path) -> None:
    target = tmp_path / "pwned"
    for data in (pickle.dumps(Bomb(target)), _torch_pickle(Bomb(target))):
        (tmp_path / "evil.bb").write_bytes(data)
        with pytest.raises(StateError):
            Optimizer.load(tmp_path / "evil.bb")
    assert not target.exists()


def _torch_pickle(thing: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(thing, buffer)
    return buffer.getvalue()


def test_absurd_headers_allocate_nothing(tmp_path: Path) -> None:
    path = tmp_path / "absurd.bb"
    for header in (b"\xff" * 8, (2**40).to_bytes(8, "little"), (2**27).to_bytes(8, "little")):
        path.write_bytes(header + b"{}" * 10)
        with pytest.raises(StateError):
            load_file(path)


def test_only_our_own_algorithms_are_looked_up(tmp_path: Path) -> None:
    tree = Optimizer(Space.box([0], [1]), RandomSearch(), seed=0).state()
    for kind in ("os.system", "__class__", "SystemExit", 3, None):
        tree["algorithm"]["kind"] = kind
        save_file(tmp_path / "other.bb", tree)
        with pytest.raises(StateError, match="algorithm"):
            Optimizer.load(tmp_path / "other.bb")


@pytest.mark.parametrize("key", ["generator", "ledger", "kernel", "counts", "buffer", "incumbent", "token"])
def test_missing_and_mangled_members_leave_the_optimizer_as_it_was(key: str) -> None:
    optimizer = Optimizer(Space.box([0] * 2, [1] * 2), RandomSearch(), seed=0)
    optimizer.tell(optimizer.ask(3), [1.0, 2.0, 3.0])
    good = optimizer.state()
    before = pack(good)
    for mangled in ({k: v for k, v in good.items() if k != key}, {**good, key: ["nonsense"]}):
        if key == "token" and key in mangled:
            continue  # any text is a token
        with pytest.raises(StateError):
            optimizer.restore(mangled)
        assert pack(optimizer.state()) == before


def test_missing_files_and_directories_are_named(tmp_path: Path) -> None:
    optimizer = Optimizer(Space.box([0], [1]), RandomSearch(), seed=0)
    with pytest.raises(StateError, match="nowhere"):
        optimizer.save(tmp_path / "nowhere" / "state.bb")
    with pytest.raises(StateError, match=r"none\.bb"):
        Optimizer.load(tmp_path / "none.bb")


_FULL = """
import resource, signal, sys
from blackbox import Optimizer, Space
from blackbox.algorithms import RandomSearch
from blackbox.errors import StateError
path = sys.argv[1]
optimizer = Optimizer(Space.box([0] * 3, [1] * 3), RandomSearch(), seed=0)
optimizer.save(path)
optimizer.ask(100000)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50000, resource.RLIM_INFINITY))
try:
    optimizer.save(path)
except StateError as error:
    print("refused:", error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(Optimizer.load(path).n_pending)
optimizer.save(path)
print(Optimizer.load(path).n_pending)
"""


def test_a_write_that_does_not_fit_leaves_the_old_file(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FULL, str(tmp_path / "state.bb")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("refused:")
    assert "cannot be written" in lines[0]
    assert lines[1:] == ["0", "100000"]
    assert [p.name for p in tmp_path.iterdir()] == ["state.bb"]
