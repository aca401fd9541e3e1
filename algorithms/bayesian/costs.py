"""What an evaluation costs: given, or learned from the costs that were told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from scipy.optimize import nnls

from blackbox._arguments import is_finite
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.state import BayesianState
from blackbox.errors import SettingError
from blackbox.roles import nominal
from blackbox.surrogates.gaussian_process import fit
from blackbox.surrogates.kernels import Array

__all__ = ["LinearCost", "LogCost", "log_cost"]

LogCost: TypeAlias = Callable[[Array], Array]

_ENOUGH = 3  # told costs from which a model is made
_RECENT = 150  # told costs that it is made of, at most
_CHEAPEST = 0.05  # share of the target's cost that nothing is believed to be below, where nothing is known


@dataclass(frozen=True, slots=True)
class LinearCost:
    """A known cost: base + sum of a weight times the value of each named fidelity, plus what a level adds.

    Parameters
    ----------
    base : float, default 0
        At least 0.
    weights : mapping of str to float
        Cost of one unit of a real, integer or numeric ordinal fidelity, at least 0.
    levels : mapping of str to sequence of float
        Cost of each level of a categorical or ordinal fidelity, in their order, at least 0.

    Examples
    --------
    >>> LinearCost(base=2.0, weights={"epochs": 0.5}, levels={"solver": (1.0, 30.0)}).base
    2.0
    """

    base: float = 0.0
    weights: Mapping[str, float] = field(default_factory=dict)
    levels: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("weights", "levels"):
            if not isinstance(getattr(self, name), Mapping):
                raise SettingError(f"{name}: expected a mapping of fidelities, got {getattr(self, name)!r}")
        for name, costs in self.levels.items():
            if not isinstance(costs, Iterable):
                raise SettingError(f"levels: expected a sequence of costs of the levels of {name!r}, got {costs!r}")
        levels = {name: tuple(costs) for name, costs in self.levels.items()}
        object.__setattr__(self, "weights", dict(self.weights))
        object.__setattr__(self, "levels", levels)
        numbers = [self.base, *self.weights.values(), *(cost for costs in levels.values() for cost in costs)]
        for number in numbers:
            if not is_finite(number) or number < 0:
                raise SettingError(f"LinearCost: expected finite numbers >= 0, got {number!r}")
        if not any(numbers):
            raise SettingError("LinearCost: expected a positive cost, got 0 throughout")

    def of(self, codes: Array, domain: Domain) -> Array:
        """Return costs of full codes, shape (n,).

        Raises
        ------
        SettingError
            If a name is none of the space, or a parameter has another number of levels.
        """
        total = np.full(len(codes), float(self.base))
        names = domain.space.names
        for name in (*self.weights, *self.levels):
            if name not in names:
                raise SettingError(f"cost: {name!r} is no searched parameter; expected one of {list(names)}")
        for name, weight in self.weights.items():
            total += weight * np.maximum(codes[:, names.index(name)], 0.0)
        for name, costs in self.levels.items():
            column = names.index(name)
            if len(costs) != domain.upper[column] + 1 or not domain.discrete[column]:
                raise SettingError(
                    f"cost: expected {int(domain.upper[column]) + 1} levels of {name!r}, got {len(costs)}"
                )
            total += np.array(costs)[codes[:, column].astype(np.intp)]
        return np.asarray(np.maximum(total, 1e-300))


def log_cost(state: BayesianState, domain: Domain, given: LinearCost | None) -> LogCost:
    """Return the logarithm of the expected cost as a function of full codes.

    Given costs come first, then a model of those that were told: a linear one in the fidelities, with non-negative
    weights so that it extrapolates soundly, times a Gaussian process of the other parameters. Where fewer than three
    were told, cost is taken to be proportional to numeric fidelities and equal for levels.
    """
    if given is not None:
        return lambda codes: np.asarray(np.log(given.of(codes, domain)))
    told = state.extras.get("cost")
    rows = np.zeros(0, np.intp) if told is None else np.flatnonzero(np.isfinite(told.numpy()))[-_RECENT:]
    if told is None or len(rows) < _ENOUGH:
        return lambda codes: _assumed(codes, domain)
    return _learned(state.x.numpy()[rows], told.numpy()[rows], domain)


def _assumed(codes: Array, domain: Domain) -> Array:
    """Return log costs that are proportional to every numeric fidelity, relative to its target."""
    total = np.zeros(len(codes))
    for column in domain.fidelities:
        target = nominal(domain.space, column)
        if domain.categorical[column] or target <= 0:
            continue
        total += np.log(np.clip(codes[:, column] / target, _CHEAPEST, None))
    return total


def _learned(x: Array, cost: Array, domain: Domain) -> LogCost:
    weights = nnls(_features(x, domain) / cost[:, None], np.ones(len(cost)))[0]  # relative errors count

    def linear(codes: Array) -> Array:
        return np.asarray(np.log(np.maximum(_features(codes, domain) @ weights, 0.1 * cost.min())))

    rest = np.log(cost) - linear(x)
    if len(cost) < 8 or rest.std() < 0.05:
        return lambda codes: linear(codes) + float(rest.mean())
    process = fit(domain.model(x), rest, layout=domain.layout, noise="learned", evaluations=12)

    def model(codes: Array) -> Array:
        mean, _ = process.predict(domain.model(codes))
        return linear(codes) + mean * process.standard.spread + process.standard.shift

    return model


def _features(codes: Array, domain: Domain) -> Array:
    """Return what a cost is linear in: one, each numeric fidelity above its lowest value, each level of the others."""
    columns = [np.ones(len(codes))]
    for column in domain.fidelities:
        values = np.nan_to_num(codes[:, column], nan=domain.lower[column])
        if domain.categorical[column]:
            columns += [(values == level).astype(float) for level in range(int(domain.upper[column]) + 1)]
        else:
            columns.append(values - domain.lower[column])
    return np.stack(columns, axis=1)
