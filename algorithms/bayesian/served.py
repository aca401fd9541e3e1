"""Which settings go with which problems: what would be without effect, or without meaning, is refused at the start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blackbox.algorithm import Spec
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.options import (
    NoisyExpectedImprovement,
    ThompsonSampling,
    UpperConfidenceBound,
    UserAcquisition,
    option_of,
)
from blackbox.algorithms.bayesian.risk import risk_of
from blackbox.errors import SettingError

if TYPE_CHECKING:
    from blackbox.algorithms.bayesian.algorithm import BayesianOptimization

__all__ = ["check_settings"]


def check_settings(spec: Spec, settings: BayesianOptimization) -> None:
    """Raise `SettingError` where a setting names parameters that are not searched, or does not go with the problem."""
    domain = Domain(spec.space)
    roles = set(spec.space.role_columns.values())
    if spec.n_objectives > 1:
        _check_several(spec.n_objectives, settings)
        return
    if settings.reference_point is not None:
        raise SettingError(
            f"reference_point: expected None with one objective, got {settings.reference_point!r}; it is of several"
        )
    if settings.cost is not None:
        if "fidelity" not in roles or "environment" in roles:
            raise SettingError(
                f"cost: expected None where no fidelity is chosen, got {settings.cost!r}; "
                'tell costs as extras={"cost": ...} and set cost_aware=True'
            )
        settings.cost.of(domain.lower[None], domain)
    if settings.input_noise is not None:
        names = domain.space.names
        settings.input_noise.of([names[c] for c in domain.designs if not domain.discrete[c]])
    if settings.input_noise is not None or "environment" in roles:
        _check_random(settings)
        return
    if risk_of(settings.risk).kind != "expectation":
        raise SettingError(
            f'risk: expected "expectation" where nothing is random, got {settings.risk!r}; '
            "declare parameters with environment=, or give input_noise"
        )
    if "fidelity" in roles:
        _check_greedy(settings, "where fidelities are chosen")


def _check_several(m: int, settings: BayesianOptimization) -> None:
    where = f"with {m} objectives"
    if not isinstance(option_of(settings.acquisition), NoisyExpectedImprovement | None):
        raise SettingError(f'acquisition: expected "log_ei" or "log_nei" {where}, got {settings.acquisition!r}')
    if settings.cost_aware:
        raise SettingError(f"cost_aware: expected False {where}, got True")
    if settings.cost is not None:
        raise SettingError(f"cost: expected None {where} (fidelities are held at their target), got {settings.cost!r}")
    if settings.report == "predicted":
        raise SettingError(f'report: expected "observed" {where}, got "predicted"')
    if settings.input_noise is not None:
        raise SettingError(f"input_noise: expected None {where}, got {settings.input_noise!r}")
    if risk_of(settings.risk).kind != "expectation":
        raise SettingError(
            f'risk: expected "expectation" {where} (environments are held at their centre), got {settings.risk!r}'
        )
    _check_greedy(settings, where)


def _check_random(settings: BayesianOptimization) -> None:
    where = "where environments or implementations are random"
    option = option_of(settings.acquisition)
    if not isinstance(option, UpperConfidenceBound | ThompsonSampling | UserAcquisition | None):
        raise SettingError(
            f'acquisition: expected "log_ei", "ucb", "thompson" or your own {where}, got {settings.acquisition!r}'
        )
    _check_greedy(settings, where)


def _check_greedy(settings: BayesianOptimization, where: str) -> None:
    if settings.batch != "greedy":
        raise SettingError(f'batch: expected "greedy" {where}, got {settings.batch!r}')
    if settings.replicate:
        raise SettingError(f"replicate: expected False {where}, got True; noisy points may come up again by themselves")
