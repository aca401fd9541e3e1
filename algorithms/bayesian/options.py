"""Typed options of acquisitions, and their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

from blackbox._arguments import is_finite, is_whole
from blackbox.algorithms.bayesian.belief import Belief
from blackbox.errors import SettingError, StateError
from blackbox.surrogates.kernels import Array

__all__ = [
    "NAMES",
    "AcquisitionError",
    "AcquisitionFunction",
    "AcquisitionSetting",
    "DifferentiableAcquisition",
    "JointEntropy",
    "KnowledgeGradient",
    "LogGain",
    "MaxValueEntropy",
    "NoisyExpectedImprovement",
    "Option",
    "ThompsonSampling",
    "UpperConfidenceBound",
    "UserAcquisition",
    "option_of",
]


def _whole(record: object, name: str, least: int, most: int) -> None:
    value = getattr(record, name)
    if not is_whole(value, least) or value > most:
        raise SettingError(f"{name}: expected an integer in [{least}, {most}], got {value!r}")
    object.__setattr__(record, name, int(value))


@dataclass(frozen=True, slots=True)
class NoisyExpectedImprovement:
    """`acquisition="log_nei"`: expected improvement on the best true value, which noise hides.

    Parameters
    ----------
    draws : int, default 32
        Joint samples of the true values of the most promising evaluated points, and of all pending ones.

    References
    ----------
    B. Letham et al., Constrained Bayesian optimization with noisy experiments, 2019. Deviations: logarithms; the
    24 points that could be best stand for all.
    """

    draws: int = 32

    def __post_init__(self) -> None:
        _whole(self, "draws", 1, 1024)


@dataclass(frozen=True, slots=True)
class UpperConfidenceBound:
    """`acquisition="ucb"`: an optimistic value, mean - sqrt(beta) * std (values are minimised).

    Parameters
    ----------
    beta : float, optional
        At least 0. Default: 0.2 d log(2 n), n evaluations so far.

    References
    ----------
    N. Srinivas et al., Gaussian process optimization in the bandit setting, 2010. K. Kandasamy, J. Schneider and
    B. Poczos, High dimensional Bayesian optimisation and bandits via additive models, 2015 (the default of beta).
    """

    beta: float | None = None

    def __post_init__(self) -> None:
        beta = self.beta
        if beta is not None and not (is_finite(beta) and beta >= 0):
            raise SettingError(f"beta: expected a finite number >= 0 or None, got {beta!r}")


@dataclass(frozen=True, slots=True)
class ThompsonSampling:
    """`acquisition="thompson"`: the optimum of a function drawn from the posterior, another one for each candidate.

    Parameters
    ----------
    features : int, default 512
        Random features of the prior; the update by data is exact.

    References
    ----------
    J. T. Wilson et al., Efficiently sampling functions from Gaussian process posteriors, 2020 (pathwise).
    """

    features: int = 512

    def __post_init__(self) -> None:
        _whole(self, "features", 16, 16384)


@dataclass(frozen=True, slots=True)
class KnowledgeGradient:
    """`acquisition="kg"`: how much lower the best predicted mean is expected to be after the evaluation.

    Parameters
    ----------
    points : int, default 24
        Where the best mean is looked for, besides the candidate: likely optima, evaluated ones among them.

    References
    ----------
    P. I. Frazier, W. Powell and S. Dayanik, The knowledge-gradient policy for correlated normal beliefs, 2009
    (the expectation in closed form). Deviations: its logarithm; all lines compared at once; while the candidates
    promise little improvement, every second one is the best near the best point by expected improvement.
    """

    points: int = 24

    def __post_init__(self) -> None:
        _whole(self, "points", 2, 256)


@dataclass(frozen=True, slots=True)
class MaxValueEntropy:
    """`acquisition="mes"`: how much an evaluation tells about the optimal value.

    Parameters
    ----------
    maxima : int, default 16
        Samples of the optimal value.

    References
    ----------
    Z. Wang and S. Jegelka, Max-value entropy search for efficient Bayesian optimization, 2017, equation 6. H. Moss et
    al., GIBBON: general-purpose information-based Bayesian optimisation, 2021, equation 11 (where there is noise).
    """

    maxima: int = 16

    def __post_init__(self) -> None:
        _whole(self, "maxima", 1, 256)


@dataclass(frozen=True, slots=True)
class JointEntropy:
    """`acquisition="jes"`: how much an evaluation tells about the optimum and its value.

    Parameters
    ----------
    optima : int, default 16
        Samples of the optimum and its value.

    References
    ----------
    C. Hvarfner, F. Hutter and L. Nardi, Joint entropy search for maximally-informed Bayesian optimization, 2022.
    B. Tu et al., Joint entropy search for multi-objective Bayesian optimization, 2022 (the lower bound that is used).
    Deviation: exploits, as for `KnowledgeGradient`, every second time while little improvement is promised.
    """

    optima: int = 16

    def __post_init__(self) -> None:
        _whole(self, "optima", 1, 256)


class AcquisitionError(SettingError):
    """A user's own acquisition raised, or returned something of the wrong shape."""


@runtime_checkable
class AcquisitionFunction(Protocol):
    """Your own acquisition: any callable like this one, a plain function for example."""

    def __call__(self, x: Array, belief: Belief) -> Array:
        """Return what each point promises, larger is better.

        Parameters
        ----------
        x : array, shape (q, d)
            Model points: see `Belief`.
        belief : Belief
            The models of the moment; pending points, and those before in a batch, are in them.

        Returns
        -------
        array, shape (q,)
            Rows that are not finite are never proposed. Constraints and failures need not be thought of: the log
            probability of being usable is added.
        """
        ...


@runtime_checkable
class DifferentiableAcquisition(AcquisitionFunction, Protocol):
    """Your own acquisition with its gradient; without it, differences are taken."""

    def with_slopes(self, x: Array, belief: Belief) -> tuple[Array, Array]:
        """Return values, shape (q,), and gradients, shape (q, d); 0 in categorical and inactive columns."""
        ...


@dataclass(frozen=True, slots=True)
class UserAcquisition:
    """A user's own acquisition in the settings. A saved search keeps its name, and needs `algorithm=` to be loaded.

    Parameters
    ----------
    function : AcquisitionFunction
    """

    function: Callable[[Array, Belief], Array]

    @property
    def name(self) -> str:
        """The function's name, with its module."""
        kind = self.function if hasattr(self.function, "__qualname__") else type(self.function)
        return f"{kind.__module__}.{kind.__qualname__}"

    def to_tree(self) -> dict[str, str]:
        """Return what is saved."""
        return {"function": self.name}

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> UserAcquisition:
        """Refuse: code is never loaded from a file."""
        raise StateError(f"acquisition: {tree.get('function')} is your own; pass algorithm= when loading")


Option: TypeAlias = (
    NoisyExpectedImprovement
    | UpperConfidenceBound
    | ThompsonSampling
    | KnowledgeGradient
    | MaxValueEntropy
    | JointEntropy
    | UserAcquisition
)
LogGain: TypeAlias = NoisyExpectedImprovement | KnowledgeGradient | MaxValueEntropy | JointEntropy
AcquisitionSetting: TypeAlias = str | Option | Callable[[Array, Belief], Array]

NAMES: Mapping[str, Option | None] = {
    "log_ei": None,
    "log_nei": NoisyExpectedImprovement(),
    "ucb": UpperConfidenceBound(),
    "thompson": ThompsonSampling(),
    "kg": KnowledgeGradient(),
    "mes": MaxValueEntropy(),
    "jes": JointEntropy(),
}


def option_of(setting: AcquisitionSetting) -> Option | None:
    """Return the options of a setting; None for log expected improvement.

    Raises
    ------
    SettingError
        If the name is unknown, or it is neither a name, nor options, nor callable.
    """
    if isinstance(setting, str):
        if setting not in NAMES:
            raise SettingError(
                f"acquisition: expected one of {', '.join(NAMES)}, options or a callable, got {setting!r}"
            )
        return NAMES[setting]
    if isinstance(setting, Option):
        return setting
    if callable(setting) and not isinstance(setting, type):
        return UserAcquisition(setting)
    hint = f"; did you mean {setting.__name__}()?" if isinstance(setting, type) else ""
    raise SettingError(f"acquisition: expected a name, options or a callable, got {setting!r}{hint}")
