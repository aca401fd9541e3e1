"""The best point by what is predicted rather than by what noise made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from blackbox.algorithm import Front, Spec
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.models import Fitting
from blackbox.algorithms.bayesian.single import has_levels, prior_of
from blackbox.algorithms.bayesian.state import BayesianState
from blackbox.algorithms.bayesian.view import View, look
from blackbox.roles import nominal
from blackbox.surrogates.kernels import Array, Index, Mask
from blackbox.surrogates.threads import one_thread

if TYPE_CHECKING:
    from blackbox.algorithms.bayesian.algorithm import BayesianOptimization

__all__ = ["at_target", "models_of", "predicted_best"]


def models_of(spec: Spec, state: BayesianState, settings: BayesianOptimization) -> tuple[View, Domain]:
    """Return the models of everything told, made anew and without a trace in the state, and the whole domain."""
    noise = None if settings.noise == "auto" else float(settings.noise)
    domain = Domain(spec.space)
    random = np.random.default_rng(state.design_seed)
    prior, weighed = prior_of(settings, domain), has_levels(domain)
    with np.errstate(all="ignore"), one_thread():
        fitting = Fitting(ripples=not weighed)
        view = look(state, domain, fitting, random, noise=noise, warp=settings.warp, prior=prior, weighed=weighed)
    return view, domain


def at_target(domain: Domain, roles: tuple[str, ...] = ("fidelity", "task")) -> Domain:
    """Return the domain with the columns of some roles held where results count."""
    fixed = np.full(domain.dim, np.nan)
    for column, role in domain.space.role_columns.items():
        if role in roles:
            fixed[column] = nominal(domain.space, column)
    return domain if np.isnan(fixed).all() else domain.holding(fixed)


def predicted_best(spec: Spec, state: BayesianState, settings: BayesianOptimization) -> Front:
    """Return the evaluated feasible point whose predicted median is best, and that median.

    The best observed one where no noise is believed in. Where nothing is feasible: the least violated point.
    """
    rows: Index = np.zeros(0, dtype=np.intp)
    values, predicted = state.values.numpy(), False
    if state.usable.any():
        try:
            view, _ = models_of(spec, state, settings)
            there = _counts(state.x.numpy()[view.order], spec)
            rows = view.order[there][:1]
            if view.predicted is not None:
                values, predicted = view.predicted[:, None], True
        except (ArithmeticError, ValueError):
            excess = np.maximum(state.violations.numpy(), 0.0).sum(1)
            score = np.where(state.usable, np.where(excess > 0.0, np.inf, values[:, 0]), np.inf)
            rows = np.argmin(score, keepdims=True)
    at = torch.from_numpy(np.asarray(rows))

    def moved(column: torch.Tensor) -> torch.Tensor:
        return column[at].to(spec.device, spec.dtype)

    told = moved(torch.from_numpy(np.ascontiguousarray(values)))
    return Front(moved(state.x), told, moved(state.violations), predicted=predicted)


def _counts(x: Array, spec: Spec) -> Mask:
    """Return which points can become the result: those with every role at its target."""
    good: Mask = np.ones(len(x), bool)
    for column in spec.space.role_columns:
        good &= (x[:, column] == nominal(spec.space, column)) | np.isnan(x[:, column])
    return good
