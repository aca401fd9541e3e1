"""What fidelities, tasks and environments mean for a search: what is held, the start design, the result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from blackbox.algorithm import Front, Spec
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.state import BayesianState
from blackbox.roles import nominal
from blackbox.surrogates.kernels import Array

if TYPE_CHECKING:
    from blackbox.algorithms.bayesian.algorithm import BayesianOptimization

__all__ = ["HIGHER", "held_roles", "role_result", "spread_fidelities"]

HIGHER = (3, 7)  # points of the start design with a higher fidelity than the lowest
_SHARES = {3: 0.25, 7: 0.5}  # of the way to the target, in the unit cube


def held_roles(spec: Spec, fixed: Array | None) -> Array | None:
    """Return what an ask holds, with the tasks, and all roles of several objectives, at their target unless held."""
    columns = [c for c, role in spec.space.role_columns.items() if role == "task" or spec.n_objectives > 1]
    if not columns:
        return fixed
    held = np.full(spec.dim, np.nan) if fixed is None else fixed.copy()
    for column in columns:
        if np.isnan(held[column]):
            held[column] = nominal(spec.space, column)
    return held


def spread_fidelities(u: Array, first: int, domain: Domain) -> None:
    """Write the fidelities of a start design, shape (n, d) in the unit cube, whose first row has the number `first`."""
    for column in domain.fidelities:
        target = domain.space.code(domain.space.names[column], _target(domain, column))
        if domain.categorical[column]:
            levels = int(domain.upper[column]) + 1
            others = [level for level in range(levels) if level != target] or [int(target)]
            for i in range(len(u)):
                at = first + i
                level = target if at % 4 == 3 else others[at % len(others)]
                u[i, column] = (level + 0.5) / levels
        else:
            end = np.full((1, domain.dim), np.nan)
            end[0, column] = target
            high = domain.to_unit(np.where(np.isnan(end), domain.lower, end))[0, column]
            u[:, column] = [high * _SHARES.get(first + i, 0.0) for i in range(len(u))]


def _target(domain: Domain, column: int) -> object:
    return domain.space.parameters[domain.space.names[column]].target


def role_result(spec: Spec, state: BayesianState, settings: BayesianOptimization) -> Front | None:
    """Return the result where a model has to say it; None to leave it to the optimizer."""
    roles = spec.space.role_columns.values()
    if spec.n_objectives != 1 or not len(state):
        return None
    if settings.input_noise is not None or "environment" in roles:
        from blackbox.algorithms.bayesian.robust import least_risk

        return least_risk(spec, state, settings)
    if "fidelity" not in roles:
        return None
    from blackbox.algorithms.bayesian.fidelity import predicted_best

    return predicted_best(spec, state, settings)
