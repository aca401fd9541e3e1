"""How often the host has to wait for numbers of the device in a generation, counted on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from blackbox import Optimizer
from blackbox.algorithm import Request, Seen
from blackbox.algorithms import MOEAD, NSGA2, NSGA3
from blackbox.algorithms.evolutionary import crowding, ranking, survival
from blackbox.space import Space

WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "equal", "is_nonzero")


class Transfers(TorchDispatchMode):
    """Counts operations whose result, or its shape, the host must know."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        with_mask = name == "index" and any(t is not None and t.dtype == torch.bool for t in args[1])
        if name in WAITING or with_mask:
            self.names.append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("algorithm", "most"), [(NSGA2(population_size=60), 1), (NSGA3(population_size=60), 1), (MOEAD(60), 0)]
)
def test_a_generation_waits_for_few_numbers(algorithm: Any, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # As on an accelerator: no compiled ranks, and no look at all values to see whether they are finite.
    monkeypatch.setattr(ranking, "_COMPILED_MAX_OBJECTIVES", 0)
    for module in (crowding, survival):
        monkeypatch.setattr(module, "finite_values", lambda f: f)
    optimizer = Optimizer(Space.box([0.0] * 4, [1.0] * 4), algorithm, objectives=3, seed=0, dtype=torch.float32)
    spec, generator = optimizer._spec, torch.Generator().manual_seed(0)
    state, counts = algorithm.init(spec, generator), []
    for generation in range(4):
        with Transfers() as found:
            state, candidates = algorithm.ask(spec, state, Request(60, gather=None), generator)
        x = candidates.x
        front = torch.nn.functional.normalize(x[:, :3] + 0.1, dim=1)  # all rows in one front
        ids = torch.arange(60 * generation, 60 * (generation + 1))
        nothing = torch.zeros(60, dtype=torch.bool)
        seen = Seen(ids, x, front, front[:, :0], nothing, nothing, may_have_failed=False, may_have_external=False)
        with found:
            state = algorithm.tell(spec, state, seen, generator)
        counts.append(len(found.names))
    assert max(counts[1:]) <= most, (counts, found.names)
