"""The start design: how many points before models are asked, and which."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from blackbox.algorithm import Spec
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.roles import HIGHER, spread_fidelities
from blackbox.algorithms.bayesian.search import ENUMERATE
from blackbox.algorithms.bayesian.state import BayesianState
from blackbox.surrogates.kernels import Array, Index

_OTHERS = 32  # spread points for each repeat of a start design
_SIFTED = 1024  # Sobol points that the feasible ones of a start design are taken from

__all__ = ["new_rows", "next_design", "start_points", "start_size", "without_repeats"]


def start_size(spec: Spec) -> int:
    """Return how many points the start design has: max(5, d/2 + 3), more for choices, at most a quarter of a budget."""
    space = spec.space
    choices = np.minimum(space.upper - space.lower, 2.0)[space.kinds > 0].sum()  # no gradient leads across them
    wanted = max(5, spec.dim // 2 + 3) + int(min(choices, spec.dim))
    return wanted if spec.budget is None else max(2, min(wanted, spec.budget // 4))


def start_points(
    state: BayesianState, domain: Domain, n: int, pending: Array, random: np.random.Generator
) -> tuple[Array, BayesianState]:
    """Return the next n points of the start design, none twice where parameters have levels, and the state."""
    design, after = next_design(state, domain, n)
    taken = np.concatenate([state.x.numpy(), pending])
    if domain.n_cells <= ENUMERATE and n:
        design = without_repeats(design, domain, taken, random)
    elif domain.discrete.any() and n:
        design = _with_others(design, domain, taken, random)
    return design, after


def next_design(state: BayesianState, domain: Domain, n: int) -> tuple[Array, BayesianState]:
    """Return the next n points of the start design, the centre and then scrambled Sobol points, and the state."""
    if not n:
        return np.zeros((0, domain.dim)), state
    if domain.is_restricted:
        return _restricted_design(state, domain, n), replace(state, started=state.started + n)
    u = np.full((n, domain.dim), 0.5)
    skip = max(0, state.started - 1)
    drawn = n - (state.started == 0)
    if drawn:
        u[n - drawn :] = _sobol(domain.dim, state.design_seed, skip, drawn)
    if any(domain.free[column] for column in domain.fidelities):
        _nest(u, state)
    spread_fidelities(u, state.started, domain)
    return domain.canonical(domain.from_unit(u)), replace(state, started=state.started + n)


def _nest(u: Array, state: BayesianState) -> None:
    """Write earlier designs into the rows with higher fidelities: what these change is seen without other changes."""
    for i in range(len(u)):
        number = state.started + i
        if number in HIGHER:
            first = HIGHER.index(number)
            u[i] = 0.5 if first == 0 else _sobol(u.shape[1], state.design_seed, first - 1, 1)[0]


def _sobol(dim: int, seed: int, skip: int, n: int) -> Array:
    engine = torch.quasirandom.SobolEngine(dim, scramble=True, seed=seed)  # type: ignore[no-untyped-call]
    points: torch.Tensor = engine.fast_forward(skip).draw(n, dtype=torch.float64)  # type: ignore[no-untyped-call]
    return np.asarray(points.numpy())


def _restricted_design(state: BayesianState, domain: Domain, n: int) -> Array:
    """Return the next n points of a start design that satisfies known constraints: the anchor, then Sobol points."""
    assert domain.anchor is not None
    wanted = state.started + n
    u = _sobol(domain.dim, state.design_seed, 0, max(_SIFTED, 4 * wanted))
    random = np.random.default_rng(state.design_seed)
    found = domain.only_feasible(domain.from_unit(u), max(wanted - 1, 256), random)
    codes = np.concatenate([domain.anchor[None], found])[state.started : wanted]
    return domain.canonical(_at_low_fidelities(codes, state.started, domain))


def _at_low_fidelities(codes: Array, first: int, domain: Domain) -> Array:
    """Return full codes with the fidelities of a start design, where the known constraints allow it."""
    free = [column for column in domain.fidelities if domain.free[column]]
    if not free:
        return codes
    u = domain.to_unit(codes)
    spread_fidelities(u, first, domain)
    moved = codes.copy()
    moved[:, free] = domain.from_unit(u)[:, free]
    return np.where(domain.feasible(moved)[:, None], moved, codes)


def keys_of(points: Array) -> list[bytes]:
    """Return a key for each point, shape (n, d), NaN where inactive: equal points have equal keys."""
    return [row.tobytes() for row in np.nan_to_num(points, nan=-1.0) + 0.0]


def new_rows(points: Array, known: Array) -> Index:
    """Return the indices of points that are neither known nor repeats, in order."""
    seen = set(keys_of(known))
    found = []
    for i, key in enumerate(keys_of(points)):
        if key not in seen:
            seen.add(key)
            found.append(i)
    return np.array(found, dtype=np.intp)


def without_repeats(design: Array, domain: Domain, taken: Array, random: np.random.Generator) -> Array:
    """Return a start design of a finite space in which repeats, where possible, are replaced by other points."""
    result = design.copy()
    repeated = np.setdiff1d(np.arange(len(design)), new_rows(design, taken))
    if len(repeated):
        cells = domain.canonical(random.permutation(domain.all_cells()))
        spare = cells[new_rows(cells, np.concatenate([taken, design]))][: len(repeated)]
        result[repeated[: len(spare)]] = spare
    return result


def _with_others(design: Array, domain: Domain, taken: Array, random: np.random.Generator) -> Array:
    """Return a start design in which repeats are replaced by spread points: switches may leave nothing to differ in."""
    repeated = np.setdiff1d(np.arange(len(design)), new_rows(design, taken))
    if not len(repeated) or any(domain.free[column] for column in domain.fidelities):
        return design
    result = design.copy()
    others = domain.canonical(domain.spread(_OTHERS * len(repeated), random))
    others = others[new_rows(others, np.concatenate([taken, design]))][: len(repeated)]
    result[repeated[: len(others)]] = others
    return result
