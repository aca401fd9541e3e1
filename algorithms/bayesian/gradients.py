"""Gradients that were told beside values: what they say about the function is put into the model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from blackbox.algorithm import Spec
from blackbox.algorithms.bayesian.acquisition import Acquisition
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.models import Fitting
from blackbox.algorithms.bayesian.proposal import LATER, Pace
from blackbox.algorithms.bayesian.search import Effort
from blackbox.algorithms.bayesian.single import PRIOR, prior_with_roles
from blackbox.algorithms.bayesian.state import BayesianState
from blackbox.algorithms.bayesian.steps import step
from blackbox.algorithms.bayesian.unit_cost import cost_model
from blackbox.algorithms.bayesian.view import View, look
from blackbox.surrogates.derivatives import VALUE, DerivativeProcess, fit_with_derivatives
from blackbox.surrogates.gaussian_process import GaussianProcess
from blackbox.surrogates.kernels import Array, Hyperparameters, Index
from blackbox.surrogates.outcomes import Warp

if TYPE_CHECKING:
    from blackbox.algorithms.bayesian.algorithm import BayesianOptimization

__all__ = ["Gradients", "has_gradients", "in_model_units"]

_MOST = 2000  # observations in one model; gradients of bad points are dropped first
_STEEPEST = 1e6  # standard deviations of the values across a range, beyond which a derivative is left out
_TELLING = 600  # observations that hyper-parameters are fitted to, at most
_GROWTH = 0.08  # of the observations, after which hyper-parameters are fitted again
_ALWAYS_BELOW = 250  # observations below which they are fitted at every ask
_THETA, _FITTED_TO = "gradient_theta", "gradient_n"  # names in the memory of the state


def has_gradients(state: BayesianState) -> bool:
    """Return whether a partial derivative of a usable evaluation was told."""
    told = state.extras.get("gradient")
    return told is not None and bool(torch.isfinite(told[~state.failed]).any())


@dataclass(frozen=True, slots=True)
class Gradients:
    """The strategy for one objective with gradients, some entries of which may be unknown (NaN).

    Derivatives by integer, ordinal, categorical and conditional parameters are not used.

    References
    ----------
    J. Wu, M. Poloczek, A. G. Wilson and P. I. Frazier, Bayesian optimization with gradients, 2017. Deviation: log
    expected improvement.
    """

    def propose(
        self,
        spec: Spec,
        state: BayesianState,
        domain: Domain,
        pending: Array,
        n: int,
        random: np.random.Generator,
        settings: BayesianOptimization,
    ) -> tuple[Array, BayesianState]:
        """Return n points and the next state (see `Strategy`)."""
        noise = None if settings.noise == "auto" else float(settings.noise)
        view = look(state, domain, Fitting(), random, noise=noise, warp=settings.warp, prior=prior_with_roles(settings))
        acquisition, state = informed(view, state, domain)
        if settings.cost_aware:
            cost, state = cost_model(state, domain, Fitting(), prior_with_roles(settings), random)
            acquisition = replace(acquisition, cost=cost)
        if not domain.free.all():
            held = domain.model(domain.fill(state.x.numpy()[view.order], random))
            acquisition = acquisition.relative_to(held)
        taken = np.concatenate([domain.model(state.x.numpy()), domain.model(pending)])
        taken = taken if view.deterministic else taken[:0]
        acquisition = acquisition.condition(domain.model(pending))
        anchors = domain.fill(state.x.numpy()[view.order[:5]], random)
        chosen: list[Array] = []
        pace = Pace(state.promise, state.turn)
        for _ in range(n):
            effort = LATER if chosen else Effort()
            point, pace = step(acquisition, domain, anchors, taken, pace, random, effort)
            chosen.append(domain.canonical(point[None]))
            if len(chosen) < n:
                added = domain.model(chosen[-1])
                taken = np.concatenate([taken, added])
                acquisition = acquisition.condition(added)
        return np.concatenate(chosen), replace(state, promise=pace.promise, turn=pace.turn)


def informed(view: View, state: BayesianState, domain: Domain) -> tuple[Acquisition, BayesianState]:
    """Return the acquisition of a view with the gradients in its model, and the view's state with what was fitted."""
    state = replace(view.state, memory=dict(view.state.memory))
    if not view.acquisition.modes:
        return view.acquisition, state
    mode = view.acquisition.modes[0]
    x, by, y = observations(view, state, domain)
    level = mode.hyper.noise if not state.objectives[0].noisy else None
    theta = state.memory.get(_THETA)
    start = mode.mode.theta if mode.mode is not None else None
    if not domain.layout.is_plain or start is None:
        hyper = mode.hyper
    else:
        known = theta is not None and len(theta) == len(start)
        before = float(state.memory[_FITTED_TO][0]) if known else 0.0
        if not known or len(y) < _ALWAYS_BELOW or len(y) >= before * (1.0 + _GROWTH) or len(y) < before:
            starts = [start] if theta is None or not known else [theta.numpy(), start]
            some = _telling(by)
            found = fit_with_derivatives(
                x[some], by[some], y[some], domain.layout, np.stack(starts), noise=level, prior=PRIOR
            )
            state.memory[_THETA] = torch.from_numpy(found.copy())
            state.memory[_FITTED_TO] = torch.tensor([float(len(y))], dtype=torch.float64)
        hyper = Hyperparameters.unpack(state.memory[_THETA].numpy(), domain.layout, level)
    process = DerivativeProcess.build(x, by, y, domain.layout, hyper, standard=mode.standard, prior=PRIOR)
    modes = (cast("GaussianProcess", process),)
    acquisition = replace(view.acquisition, modes=modes, log_weights=np.zeros(1))
    if not view.deterministic:
        usable = domain.model(state.x.numpy()[state.usable])
        acquisition = acquisition.relative_to(usable)
    return acquisition, state


def _telling(by: Index) -> Index:
    """Return the observations that hyper-parameters are fitted to: few, gradients of the best points among them."""
    if len(by) <= _TELLING:
        return np.arange(len(by))
    values, derivatives = np.flatnonzero(by == VALUE), np.flatnonzero(by != VALUE)
    if len(values) > _TELLING // 2:
        values = values[np.linspace(0, len(values) - 1, _TELLING // 2).round().astype(np.intp)]
    return np.concatenate([values, derivatives[: _TELLING - len(values)]])


def observations(view: View, state: BayesianState, domain: Domain) -> tuple[Array, Index, Array]:
    """Return the values of the model of a view, and told derivatives: points (n, d), columns (n,), outcomes (n,)."""
    mode = view.acquisition.modes[0]
    x, by, y = [mode.x], [np.full(len(mode.x), VALUE)], [mode.standard(mode.y)]
    room = _MOST - len(mode.x)
    gradient = in_model_units(state, domain, view.warp) / mode.standard.spread
    gradient[~(np.abs(gradient) < _STEEPEST)] = np.nan  # nothing that fits the values
    seen: set[bytes] = set()
    for row in view.order:  # best first
        point = domain.model(state.x.numpy()[row][None])
        key = point.tobytes()
        columns = np.flatnonzero(np.isfinite(gradient[row]))
        if key in seen or len(columns) > room:
            continue
        seen.add(key)
        room -= len(columns)
        x.append(np.repeat(point, len(columns), axis=0))
        by.append(columns)
        y.append(gradient[row, columns])
    return np.concatenate(x), np.concatenate(by), np.concatenate(y)


def in_model_units(state: BayesianState, domain: Domain, warp: Warp) -> Array:
    """Return told gradients of warped outcomes by model coordinates, shape (n, d); NaN where there is none."""
    told = state.extras["gradient"].numpy()
    x, values = state.x.numpy(), state.values.numpy()[:, 0]
    low, high = domain.lower, domain.upper
    with np.errstate(all="ignore"):
        stretch = np.where(domain.space.log, x * np.log(high / low), high - low)
    z = (values - warp.centre) / warp.spread
    bend = np.where(z >= 0, (1.0 + np.abs(z)) ** (warp.power - 1.0), (1.0 + np.abs(z)) ** (1.0 - warp.power))
    bend = np.where(values < warp.ceiling, bend / warp.spread, np.nan)
    used = np.zeros(domain.dim, bool)
    used[domain.layout.smooth] = True
    used &= ~domain.discrete
    result = np.where(used & ~state.failed.numpy()[:, None], told * stretch * bend[:, None], np.nan)
    return np.asarray(np.where(np.isfinite(result), result, np.nan))
