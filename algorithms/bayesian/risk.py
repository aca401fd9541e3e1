"""What makes a design good where the environment is random: its risk, and what its implementation may get wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from blackbox.errors import SettingError
from blackbox.surrogates.kernels import Array

__all__ = ["CVaR", "Expectation", "InputNoise", "Risk", "VaR", "WorstCase", "risk_of"]

_KINDS = ("expectation", "var", "cvar", "worst_case")


@dataclass(frozen=True, slots=True)
class Risk:
    """What a design is judged by: a functional of the distribution of its outcome f(x, W), to be minimised.

    `Expectation()`, `VaR(0.8)`, `CVaR(0.8)` and `WorstCase()` make one.

    Parameters
    ----------
    kind : "expectation", "var", "cvar" or "worst_case", default "expectation"
        The mean; the quantile that the outcome stays below with probability `level`; the mean of the outcomes from
        that quantile on; the largest outcome over the scenarios.
    level : float, default 0.8
        In (0, 1). Also the probability with which black-box constraints should hold (the worst case: always).
    scenarios : int, default 16
        Environments that stand for their distribution; all combinations of listed values where there are at most 64.

    References
    ----------
    R. T. Rockafellar and S. Uryasev, Optimization of conditional value-at-risk, 2000.
    S. Cakmak et al., Bayesian optimization of risk measures, 2020.
    """

    kind: Literal["expectation", "var", "cvar", "worst_case"] = "expectation"
    level: float = 0.8
    scenarios: int = 16

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise SettingError(f"risk: expected one of {', '.join(_KINDS)}, got {self.kind!r}")
        if isinstance(self.level, bool) or not isinstance(self.level, (int, float)) or not 0.0 < self.level < 1.0:
            raise SettingError(f"level: expected a number in (0, 1), got {self.level!r}")
        count = self.scenarios
        if isinstance(count, bool) or not isinstance(count, int) or not 2 <= count <= 256:
            raise SettingError(f"scenarios: expected an integer in [2, 256], got {count!r}")

    def weights(self, outcomes: Array) -> Array:
        """Return the share that each scenario has in the risk, of the shape of `outcomes` (..., scenarios)."""
        n = outcomes.shape[-1]
        if self.kind == "expectation":
            return np.full(outcomes.shape, 1.0 / n)
        first = n - 1 if self.kind == "worst_case" else max(math.ceil(n * self.level) - 1, 0)
        share = np.zeros(n)
        share[first : n if self.kind == "cvar" else first + 1] = 1.0
        order = np.argsort(outcomes, axis=-1, kind="stable")
        weights = np.zeros(outcomes.shape)
        np.put_along_axis(weights, order, np.broadcast_to(share / share.sum(), outcomes.shape), axis=-1)
        return weights

    def __call__(self, outcomes: Array) -> Array:
        """Return the risk of equally likely outcomes, shape (..., scenarios), shape (...)."""
        return np.asarray((self.weights(outcomes) * outcomes).sum(-1))


def Expectation(*, scenarios: int = 16) -> Risk:  # noqa: N802 - reads as the record it makes
    """Return the risk that is the mean."""
    return Risk("expectation", scenarios=scenarios)


def VaR(level: float = 0.8, *, scenarios: int = 16) -> Risk:  # noqa: N802
    """Return the risk that is the quantile at `level`: the value at risk.

    Examples
    --------
    >>> float(VaR(0.5)(np.array([3.0, 1.0, 2.0, 4.0])))
    2.0
    """
    return Risk("var", level, scenarios)


def CVaR(level: float = 0.8, *, scenarios: int = 16) -> Risk:  # noqa: N802
    """Return the risk that is the mean of the outcomes from the quantile at `level` on: the conditional value at risk.

    Examples
    --------
    >>> float(CVaR(0.75)(np.array([3.0, 1.0, 2.0, 4.0])))
    3.5
    """
    return Risk("cvar", level, scenarios)


def WorstCase(*, scenarios: int = 16) -> Risk:  # noqa: N802
    """Return the risk that is the largest outcome over the scenarios."""
    return Risk("worst_case", scenarios=scenarios)


def risk_of(setting: str | Risk) -> Risk:
    """Return the risk of a setting; raise `SettingError` if it is neither a name nor a `Risk`."""
    if isinstance(setting, Risk):
        return setting
    if not isinstance(setting, str):
        raise SettingError(f"risk: expected a Risk or one of {', '.join(_KINDS)}, got {setting!r}")
    return Risk(setting)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class InputNoise:
    """A design is never built exactly: normal errors of its real parameters, over which the risk is taken.

    Parameters
    ----------
    std : float or mapping of str to float
        Standard deviation as a share of a parameter's range (of its logarithm where the space says so); a number is
        meant for every real design parameter.

    References
    ----------
    D. Bertsimas, O. Nohadani and K. Teo, Robust optimization for unconstrained simulation-based problems, 2010 (the
    setting).
    """

    std: float | Mapping[str, float]

    def __post_init__(self) -> None:
        given = dict(self.std) if isinstance(self.std, Mapping) else self.std
        object.__setattr__(self, "std", given)
        for value in given.values() if isinstance(given, dict) else [given]:
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 < value < math.inf:
                raise SettingError(f"std: expected positive finite numbers, got {self.std!r}")

    def of(self, names: list[str]) -> Array:
        """Return the standard deviation of each named parameter, 0 where it has none, shape (len(names),).

        Raises
        ------
        SettingError
            If an error is given for a parameter that is not among them.
        """
        if not isinstance(self.std, Mapping):
            return np.full(len(names), float(self.std))
        unknown = sorted(set(self.std) - set(names))
        if unknown:
            raise SettingError(f"input_noise: {unknown[0]!r} is no real design parameter; expected some of {names}")
        return np.array([float(self.std.get(name, 0.0)) for name in names])
