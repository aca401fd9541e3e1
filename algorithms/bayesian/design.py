"""The start design: how many points before models are asked, and which."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from blackbox.algorithm import Spec
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.roles import spread_fidelities
from blackbox.algorithms.bayesian.state import BayesianState
from blackbox.surrogates.kernels import Array

__all__ = ["next_design", "start_size", "without_repeats"]


def start_size(spec: Spec) -> int:
    """Return how many points the start design has: max(5, d/2 + 3), more for choices, at most a quarter of a budget."""
    space = spec.space
    choices = np.minimum(space.upper - space.lower, 2.0)[space.kinds > 0].sum()  # no gradient leads across them
    wanted = max(5, spec.dim // 2 + 3) + int(min(choices, spec.dim))
    return wanted if spec.budget is None else max(2, min(wanted, spec.budget // 4))


def next_design(state: BayesianState, domain: Domain, n: int) -> tuple[Array, BayesianState]:
    """Return the next n points of the start design, the centre and then scrambled Sobol points, and the state."""
    if not n:
        return np.zeros((0, domain.dim)), state
    u = np.full((n, domain.dim), 0.5)
    skip = max(0, state.started - 1)
    drawn = n - (state.started == 0)
    if drawn:
        engine = torch.quasirandom.SobolEngine(domain.dim, scramble=True, seed=state.design_seed)  # type: ignore[no-untyped-call]
        u[n - drawn :] = engine.fast_forward(skip).draw(drawn, dtype=torch.float64).numpy()  # type: ignore[no-untyped-call]
    spread_fidelities(u, state.started, domain)
    return domain.canonical(domain.from_unit(u)), replace(state, started=state.started + n)


def without_repeats(design: Array, domain: Domain, taken: Array, random: np.random.Generator) -> Array:
    """Return a start design of a finite space in which repeats, where possible, are replaced by other points."""
    known = {row.tobytes() for row in np.nan_to_num(taken, nan=-1.0) + 0.0}
    result = design.copy()
    spare: list[Array] | None = None
    for i, row in enumerate(design):
        key = (np.nan_to_num(row, nan=-1.0) + 0.0).tobytes()
        if key in known:
            if spare is None:
                spare = list(domain.canonical(random.permutation(domain.all_cells())))
            while spare and key in known:
                result[i] = spare.pop()
                key = (np.nan_to_num(result[i], nan=-1.0) + 0.0).tobytes()
        known.add(key)
    return result
