"""What evolutionary algorithms share: the population as tensors, its checks, and its answer to `result`."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from blackbox.algorithm import Front, Seen, Spec
from blackbox.algorithms.evolutionary.ranking import ranks
from blackbox.errors import SettingError
from blackbox.state import TRANSIENT

__all__ = [
    "Population",
    "check_bytes",
    "check_count",
    "check_memory",
    "check_number",
    "check_variation",
    "empty_population",
    "front_of",
    "joined",
    "total_violation",
]


@dataclass(frozen=True, slots=True)
class Population:
    """The members of one run, the best first, and what the algorithm remembers beside them.

    Attributes
    ----------
    x : Tensor, shape (n, d)
    values : Tensor, shape (n, m)
        NaN in rows whose evaluation failed; those stand last.
    violations : Tensor, shape (n, k)
    parents : int
        How many of the first rows may become parents.
    asked : int
        Candidates proposed so far.
    told : int
        Rows told so far, external ones included.
    external : int
        Of these, rows that were not asked.
    memory : dict of str to Tensor
    tools : object
        Constants made from the settings and the space; no part of the saved state.
    """

    x: Tensor
    values: Tensor
    violations: Tensor
    parents: int = 0
    asked: int = 0
    told: int = 0
    external: int = 0
    memory: dict[str, Tensor] = field(default_factory=dict)
    tools: Any = field(default=None, metadata=TRANSIENT, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.values)

    def handed_out(self, count: int, tools: Any = None) -> Population:
        """Return the same members after `count` more candidates were handed out."""
        return Population(
            self.x,
            self.values,
            self.violations,
            self.parents,
            self.asked + count,
            self.told,
            self.external,
            self.memory,
            tools,
        )


def empty_population(
    spec: Spec, n: int = 0, *, memory: dict[str, Tensor] | None = None, tools: Any = None
) -> Population:
    """Return a population of n rows without values."""
    x = torch.zeros((n, spec.dim), dtype=spec.dtype, device=spec.device)
    values = torch.full((n, spec.n_objectives), torch.nan, dtype=spec.dtype, device=spec.device)
    violations = torch.full((n, spec.n_constraints), torch.nan, dtype=spec.dtype, device=spec.device)
    return Population(x, values, violations, memory=memory or {}, tools=tools)


def joined(state: Population, seen: Seen) -> tuple[Tensor, Tensor, Tensor]:
    """Return points, values and violations of the members and of what was told, one below the other.

    Without constraints the violations are any table without columns.
    """
    if not len(state):
        return seen.x, seen.values, seen.violations
    violations = seen.violations
    if violations.shape[1]:
        violations = torch.cat([state.violations, violations])
    return torch.cat([state.x, seen.x]), torch.cat([state.values, seen.values]), violations


def total_violation(violations: Tensor) -> Tensor | None:
    """Return the sum of the positive violations, shape (..., n); None for k = 0. NaN where unknown."""
    return violations.clamp(min=0).sum(-1) if violations.shape[-1] else None


def front_of(state: Population) -> Front:
    """Return the members that are feasible and not dominated; the least violated one where none is feasible."""
    if not len(state):
        return Front(state.x, state.values, state.violations)
    total = total_violation(state.violations)
    if total is None:
        keep = ranks(state.values, stop=1) == 0
        keep &= ~state.values.isnan().any(-1)
    else:
        known = ~state.values.isnan().any(-1) & ~total.isnan()
        least = torch.where(known, total, torch.inf)
        place = ranks(state.values, stop=1, violation=total)
        feasible = bool((least <= 0).any())
        keep = known & (place == 0) & (total <= 0 if feasible else total == least.amin())
    rows = keep.nonzero().squeeze(-1)
    return Front(state.x[rows], state.values[rows], state.violations[rows])


def check_count(name: str, value: Any, least: int) -> None:
    """Raise `SettingError` unless `value` is an integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise SettingError(f"{name}: expected an integer >= {least}, got {value!r}")


def check_number(name: str, value: Any, low: float, high: float) -> None:
    """Raise `SettingError` unless `value` is a number in (low, high]."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low < value <= high:
        raise SettingError(f"{name}: expected a number in ({low:g}, {high:g}], got {value!r}")


def check_variation(
    *,
    crossover_eta: float,
    crossover_probability: float | None,
    mutation_eta: float,
    mutation_probability: float | None,
) -> None:
    """Raise `SettingError` for settings of crossover and mutation that make no sense."""
    check_number("crossover_eta", crossover_eta, 0, 1e6)
    check_number("mutation_eta", mutation_eta, 0, 1e6)
    if crossover_probability is not None:
        check_number("crossover_probability", crossover_probability, 0, 1)
    if mutation_probability is not None:
        check_number("mutation_probability", mutation_probability, 0, 1)


def check_memory(spec: Spec, population_size: int, *, extra: float = 0.0, runs: int = 1) -> None:
    """Refuse a population that cannot fit in memory, before anything is allocated.

    Parameters
    ----------
    extra : float
        Bytes that the algorithm takes for each member beside points, values and ranks.
    runs : int
        Populations at once.

    Raises
    ------
    SettingError
        Naming `population_size`, with the estimate.
    """
    size = 4 if spec.dtype == torch.float32 else 8
    # Points: members, offspring, merged, survivors, a candidate's copies. Values and sort keys: on both halves.
    row = 6 * spec.dim * size + (12 * spec.n_objectives + 4 * spec.n_constraints) * size + 200 + extra
    needed, available = runs * population_size * row, _memory(spec.device)
    if needed > available:
        raise SettingError(
            f"population_size: {population_size} members of {spec.dim} variables and {spec.n_objectives} objectives "
            f"need about {needed / 1e9:.3g} GB, and {spec.device} has {available / 1e9:.3g} GB"
        )


def check_bytes(name: str, value: int, needed: float, device: torch.device) -> None:
    """Raise `SettingError`, naming a setting, where what it takes does not fit in memory; `needed` is in bytes."""
    available = _memory(device)
    if needed > available:
        raise SettingError(
            f"{name}: {value} need about {needed / 1e9:.3g} GB, and {device} has {available / 1e9:.3g} GB"
        )


def _memory(device: torch.device) -> float:
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory)
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    return float("inf")
