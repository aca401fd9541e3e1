"""Linear algebra on one thread.

For the matrices here (at most 2000 rows) forking and joining costs as much as it saves, a busy machine makes it ten
times slower, and results would depend on the number of cores.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

__all__ = ["one_thread"]


@cache
def _controller() -> Any:
    """Return what sets the threads of the loaded BLAS libraries; None where threadpoolctl is not installed."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    import scipy.linalg  # noqa: F401  # so that its BLAS is loaded, and found

    return ThreadpoolController().select(user_api="blas")


@contextmanager
def one_thread() -> Iterator[None]:
    """Run a block with one BLAS thread, where threadpoolctl is installed; restored afterwards."""
    controller = _controller()
    if controller is None:
        yield
        return
    with controller.limit(limits=1):
        yield
