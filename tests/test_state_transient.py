"""Fields that are no part of a state tree."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from blackbox.errors import StateError
from blackbox.state import TRANSIENT, from_tree, pack, to_tree, unpack


@dataclass
class Cached:
    numbers: np.ndarray
    cache: object = field(default=None, metadata=TRANSIENT)


@dataclass
class Holder:
    inner: Cached | None


def test_a_transient_field_is_left_out_and_takes_its_default() -> None:
    tree = unpack(pack(Holder(Cached(np.arange(3.0), cache=object()))))
    assert set(tree["inner"]) == {"numbers"}
    back = from_tree(Holder, tree)
    assert isinstance(back.inner, Cached)
    assert back.inner.cache is None
    np.testing.assert_array_equal(back.inner.numbers, np.arange(3.0))


def test_a_tree_that_names_a_transient_field_is_refused() -> None:
    tree = {**to_tree(Cached(np.arange(3.0))), "cache": "anything"}
    with pytest.raises(StateError, match="expected the fields"):
        from_tree(Cached, tree)
