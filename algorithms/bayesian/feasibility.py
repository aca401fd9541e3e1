"""A first point that satisfies known constraints, and quasi-Newton steps that keep them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from blackbox.algorithms.bayesian.domain import Domain, lattice
from blackbox.algorithms.bayesian.restrictions import LinearConstraint, Restrictions
from blackbox.errors import SettingError
from blackbox.surrogates.kernels import Array, Index

__all__ = ["climb_feasibly", "find_anchor"]

_TRIES = 4096
_ROUNDS = 30
_DIFFERENCE = 1e-7


def find_anchor(domain: Domain) -> Array:
    """Return full codes, shape (d,), of a point that satisfies the restrictions, far from their borders if linear.

    Raises
    ------
    SettingError
        If there is none, or none was found.
    """
    restrictions = domain.restrictions
    assert restrictions is not None
    random = np.random.default_rng(0)
    rows, lower, upper = restrictions.linear()
    starts = domain.from_unit(np.full((1, domain.dim), 0.5))
    if len(rows):
        solved = _linear_point(domain, rows, lower, upper)
        if solved is None and not domain.space.conditions:
            raise SettingError(f"input_constraints: no point satisfies the linear ones{_held(domain)}")
        starts = starts if solved is None else solved[None]
    if domain.feasible(starts).any():
        return np.asarray(starts[int(np.argmax(domain.feasible(starts)))])
    codes = np.concatenate([starts, domain.from_unit(lattice(_TRIES, domain.dim, random))])
    if len(rows):
        linear = Domain(domain.space, domain.fixed, _only_linear(domain))
        if linear.feasible(starts)[0]:
            linear.anchor = starts[0]
            codes = linear.only_feasible(codes, _TRIES, random)
    for _ in range(_ROUNDS):
        excess = restrictions.excess(codes, domain.active(codes))
        best = codes[np.argsort(excess, kind="stable")[:16]]
        if excess.min() <= 0.0:
            return np.asarray(best[0])
        free = Domain(domain.space, domain.fixed)
        codes = np.concatenate([best, free.perturb(best, 512, random)])
    raise SettingError(
        f"input_constraints: no point that satisfies all of them was found{_held(domain)}; the least violation is "
        f"{float(excess.min()):.3g}"
    )


def _held(domain: Domain) -> str:
    names = [domain.space.names[c] for c in np.flatnonzero(~domain.free)]
    return f" with {', '.join(names)} held by fixed=" if names else ""


def _only_linear(domain: Domain) -> Restrictions:
    assert domain.restrictions is not None
    return domain.restrictions.only(LinearConstraint)


def _linear_point(domain: Domain, rows: Array, lower: Array, upper: Array) -> Array | None:
    """Return a point of the polytope that is far from its borders; None where it is empty."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    d = domain.dim
    span = np.where(domain.upper > domain.lower, domain.upper - domain.lower, 1.0)
    size = np.abs(rows * span).sum(1)
    slack = np.where(lower == upper, 0.0, size / np.sqrt(d))
    table = np.concatenate([np.c_[rows, slack], np.c_[rows, -slack]])
    low = np.concatenate([np.full(len(rows), -np.inf), lower])
    high = np.concatenate([upper, np.full(len(rows), np.inf)])
    least = np.where(domain.free, domain.lower, domain.fixed)
    most = np.where(domain.free, domain.upper, domain.fixed)
    bounds = Bounds(np.append(least, 0.0), np.append(most, 0.25))
    # A little pull to the middle chooses among equally good points.
    solved = milp(
        np.append(np.zeros(d), -1.0),
        integrality=np.append((domain.discrete & domain.free).astype(int), 0),
        bounds=bounds,
        constraints=LinearConstraint(table, low, high),
    )
    if solved.x is None:
        return None
    codes = np.clip(solved.x[:d], least, most)
    codes[domain.discrete] = np.round(codes[domain.discrete])
    return np.asarray(codes)


def climb_feasibly(
    score: Callable[[Array], tuple[Array, Array]],
    domain: Domain,
    codes: Array,
    columns: Index,
    evaluations: int,
    low: Array,
    high: Array,
) -> tuple[Array, Array]:
    """Return full codes reached by sequential quadratic programming from feasible ones, and scores, -inf where lost.

    Parameters
    ----------
    score : callable
        Of model points: values and gradients.
    codes : array, shape (s, d)
    columns : array of int
        Real columns to move.
    low, high : array, shape (len(columns),)
        Their bounds in the unit cube.
    """
    from scipy.optimize import minimize

    assert domain.restrictions is not None
    ends = codes.copy()
    values = np.full(len(codes), -np.inf)
    for i, row in enumerate(codes):
        base, unit = domain.model(row[None]), domain.to_unit(row[None])[0]

        def negative(u: Array, base: Array = base) -> tuple[float, Array]:
            full = base.copy()
            full[0, columns] = u
            value, slope = score(full)
            return -float(value[0]), -slope[0, columns]

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                solved = minimize(
                    negative,
                    unit[columns],
                    jac=True,
                    method="SLSQP",
                    bounds=np.c_[low, high],
                    constraints=_constraints(domain, row, unit, columns),
                    options={"maxiter": evaluations},
                )
            except (ValueError, ArithmeticError):
                continue
        if not np.isfinite(solved.x).all():
            continue
        moved = unit.copy()
        moved[columns] = np.clip(solved.x, low, high)
        end = row.copy()
        end[columns] = domain.from_unit(moved[None])[0, columns]
        ends[i] = domain.repair(end[None], row[None])[0]
        values[i] = -negative(domain.to_unit(ends[i][None])[0, columns])[0]
    return ends, values


def _constraints(domain: Domain, row: Array, unit: Array, columns: Index) -> list[dict[str, Any]]:
    """Return the restrictions in the form of scipy, functions of some columns in the unit cube, with differences."""
    restrictions = domain.restrictions
    assert restrictions is not None

    def slack(u: Array) -> Array:
        points = np.repeat(unit[None], len(u), axis=0)
        points[:, columns] = u
        codes = np.repeat(row[None], len(u), axis=0)
        codes[:, columns] = domain.from_unit(points)[:, columns]
        return -restrictions.each(codes, domain.active(codes))

    def slopes(u: Array) -> Array:
        ahead = np.where(u > 0.5, -_DIFFERENCE, _DIFFERENCE)
        found = slack(np.concatenate([u[None], u + np.diag(ahead)]))
        return np.asarray(((found[1:] - found[0]) / ahead[:, None]).T)

    equal = np.array([isinstance(one, LinearConstraint) and one.is_equality for one in restrictions.constraints])
    parts: list[dict[str, Any]] = []
    for kind, rows in (("eq", np.flatnonzero(equal)), ("ineq", np.flatnonzero(~equal))):
        if len(rows):
            parts.append(
                {
                    "type": kind,
                    "fun": lambda u, rows=rows: slack(u[None])[0, rows],
                    "jac": lambda u, rows=rows: slopes(u)[rows],
                }
            )
    return parts
