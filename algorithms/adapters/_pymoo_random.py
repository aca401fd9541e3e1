"""pymoo's randomness, all of it from a seed.

Most of pymoo draws from a generator that an algorithm makes from its seed. Some of its functions are called without it
and then make one from the operating system's entropy, through one decorator in `pymoo.util`; and pycma and
scikit-learn, which some algorithms use, draw from NumPy's global generator. `PymooRandom` gives both a source that
belongs to one run.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import numpy as np

__all__ = ["PymooRandom"]

_SPARE: ContextVar[np.random.Generator | None] = ContextVar("pymoo's spare generator", default=None)


def _default_rng(seed: Any = None) -> np.random.Generator:
    spare = _SPARE.get()
    if seed is None and spare is not None:
        return np.random.default_rng(int(spare.integers(2**63)))
    return np.random.default_rng(seed)


def _redirect() -> None:
    """Let the decorator ask `_default_rng`, which outside of `PymooRandom.use` is what it was before."""
    import pymoo.util

    if pymoo.util.np is np:
        pymoo.util.np = SimpleNamespace(random=SimpleNamespace(default_rng=_default_rng))


class PymooRandom:
    """The sources of one run besides the algorithm's own generator.

    Parameters
    ----------
    seed : int
        In [0, 2**32).
    global_numpy : bool
        Whether NumPy's global generator is used, too. Its state is exchanged for the time of `use`; another thread that
        draws from it meanwhile would see that.
    """

    def __init__(self, seed: int, *, global_numpy: bool) -> None:
        _redirect()
        self._spare = np.random.default_rng([seed, 1])
        self._numpy: Any = np.random.RandomState(seed).get_state() if global_numpy else None

    def copy(self) -> PymooRandom:
        """Return one that goes on equally."""
        return copy.deepcopy(self)

    @contextmanager
    def use(self) -> Iterator[None]:
        """Make these the sources of what is called within, and put the global one back afterwards."""
        token = _SPARE.set(self._spare)
        before = None if self._numpy is None else np.random.get_state()  # noqa: NPY002
        if before is not None:
            np.random.set_state(self._numpy)  # noqa: NPY002
        try:
            yield
        finally:
            if before is not None:
                self._numpy = np.random.get_state()  # noqa: NPY002
                np.random.set_state(before)  # noqa: NPY002
            _SPARE.reset(token)
