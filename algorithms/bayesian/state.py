"""What a Bayesian search remembers: the data, warm hyper-parameters, and a few counters."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from blackbox.algorithm import Seen
from blackbox.surrogates.kernels import Mask

__all__ = ["BayesianState", "Fitted"]


@dataclass(frozen=True)
class Fitted:
    """Hyper-parameters of one outcome.

    Attributes
    ----------
    thetas : Tensor, shape (modes, p), float64
        Modes of their posterior density, best first; none yet where empty.
    values : Tensor, shape (modes,)
        Negative log densities.
    n : int
        How many outcomes they were fitted to.
    fits : int
        How often they were fitted.
    noisy : bool
        Whether the noise was learned (the last entry of each vector is its logarithm then).
    share, ratio : float
        Of the ripple of the process (`blackbox.surrogates.kernels.Ripple`); a share of 0 means none.
    """

    thetas: Tensor = field(default_factory=lambda: torch.zeros((0, 0), dtype=torch.float64))
    values: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    n: int = 0
    fits: int = 0
    noisy: bool = False
    share: float = 0.0
    ratio: float = 1.0


@dataclass(frozen=True)
class BayesianState:
    """The state of `BayesianOptimization`.

    Attributes
    ----------
    x : Tensor, shape (n, d), float64
        What was evaluated, in the space's units, NaN where inactive.
    values : Tensor, shape (n, m)
    violations : Tensor, shape (n, k)
    variance : Tensor, shape (n, m)
        NaN where unknown.
    failed : Tensor, shape (n,), bool
    objectives, constraints : list of Fitted
        Warm hyper-parameters of each outcome.
    success : Fitted
        Of the model of failed evaluations.
    design_seed : int
        Of the start design.
    started : int
        Points of the start design handed out.
    modelled : int
        Points handed out that came from a model.
    promise, turn : float, int
        Where the search stands between global and local steps (`Pace`).
    fallbacks : int
        How often the arithmetic of the models failed and evenly spread points were handed out.
    reason : str
        How the last candidates were chosen (`blackbox.algorithms.bayesian.strategy`).
    extras : dict of str to Tensor, shape (n, ...)
        Further columns that were told, NaN where they were not.
    memory : dict of str to Tensor
        What a strategy remembers, under names of its own.
    """

    x: Tensor
    values: Tensor
    violations: Tensor
    variance: Tensor
    failed: Tensor
    objectives: list[Fitted]
    constraints: list[Fitted]
    success: Fitted
    design_seed: int
    started: int = 0
    modelled: int = 0
    promise: float = 0.0
    turn: int = 0
    fallbacks: int = 0
    reason: str = ""
    extras: dict[str, Tensor] = field(default_factory=dict)
    memory: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def empty(cls, d: int, m: int, k: int, design_seed: int) -> BayesianState:
        """Return the state before anything is known."""
        return cls(
            x=torch.zeros((0, d), dtype=torch.float64),
            values=torch.zeros((0, m), dtype=torch.float64),
            violations=torch.zeros((0, k), dtype=torch.float64),
            variance=torch.zeros((0, m), dtype=torch.float64),
            failed=torch.zeros(0, dtype=torch.bool),
            objectives=[Fitted() for _ in range(m)],
            constraints=[Fitted() for _ in range(k)],
            success=Fitted(),
            design_seed=design_seed,
        )

    def __len__(self) -> int:
        return len(self.x)

    def learn(self, seen: Seen) -> BayesianState:
        """Return the state with more data."""

        def on_cpu(column: Any) -> Tensor:
            return torch.as_tensor(column).detach().to("cpu", torch.float64)

        failed = seen.failed.to("cpu") | ~torch.isfinite(on_cpu(seen.values)).all(1)
        if self.violations.shape[1]:
            failed = failed | ~torch.isfinite(on_cpu(seen.violations)).all(1)
        variance = (
            torch.full(seen.values.shape, math.nan, dtype=torch.float64)
            if seen.variance is None
            else on_cpu(seen.variance)
        )
        return replace(
            self,
            x=torch.cat([self.x, on_cpu(seen.x)]),
            values=torch.cat([self.values, on_cpu(seen.values)]),
            violations=torch.cat([self.violations, on_cpu(seen.violations)]),
            variance=torch.cat([self.variance, variance]),
            failed=torch.cat([self.failed, failed]),
            extras=self._longer_extras(seen, on_cpu),
        )

    def _longer_extras(self, seen: Seen, on_cpu: Callable[[Any], Tensor]) -> dict[str, Tensor]:
        columns = {}
        for name in sorted(set(self.extras) | set(seen.extras)):
            shape = (self.extras.get(name, seen.extras.get(name))).shape[1:]  # type: ignore[union-attr]
            old = torch.full((len(self), *shape), math.nan, dtype=torch.float64)
            new = torch.full((len(seen), *shape), math.nan, dtype=torch.float64)
            parts = [self.extras.get(name, old), on_cpu(seen.extras.get(name, new))]
            columns[name] = torch.cat(parts)
        return columns

    @property
    def usable(self) -> Mask:
        """Which evaluations gave a value, shape (n,), bool."""
        return np.asarray((~self.failed).numpy())
