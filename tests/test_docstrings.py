"""The examples in docstrings are true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import blackbox

NAMES = [
    info.name for info in pkgutil.walk_packages(blackbox.__path__, "blackbox.") if not info.name.endswith("__main__")
]


@pytest.mark.parametrize("name", NAMES)
def test_examples_of(name: str) -> None:
    module = importlib.import_module(name)
    found = doctest.testmod(module)
    assert found.failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder()
    modules = [importlib.import_module(name) for name in NAMES]
    assert sum(bool(test.examples) for module in modules for test in finder.find(module)) >= 40
