"""When to stop: how much more is expected, and how far from the optimum the best point may still be."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from blackbox._arguments import is_finite, whole_number
from blackbox.algorithm import Spec
from blackbox.algorithms.bayesian.algorithm import BayesianOptimization
from blackbox.algorithms.bayesian.design import start_size
from blackbox.algorithms.bayesian.gains import Bound, noise_of
from blackbox.algorithms.bayesian.report import at_target, models_of
from blackbox.algorithms.bayesian.search import Effort, maximise
from blackbox.algorithms.bayesian.state import BayesianState
from blackbox.errors import SettingError
from blackbox.surrogates.kernels import Array
from blackbox.surrogates.threads import one_thread

__all__ = ["Advice", "StoppingCurve", "advice", "search_of", "stopping_curve"]

_CONFIDENCE = 0.1  # the probability with which the bound may be wrong
_SMALL = 1e-3  # of the range of the told values: the default tolerance without noise


@dataclass(frozen=True, slots=True)
class Advice:
    """Whether to go on; all amounts in units of the objective.

    Attributes
    ----------
    stop : bool
        Whether the bound is at most the tolerance.
    expected_improvement : float
        By which the next evaluation is expected to improve on the best, at least 0.
    bound : float
        How far the best point is from the optimum at most, by optimistic and pessimistic predictions.
    tolerance : float
    best : float
        The best value, in the objective's own direction; the predicted one under noise.
    n : int
        Evaluations, failed ones included.
    reason : str
        A sentence.
    """

    stop: bool
    expected_improvement: float
    bound: float
    tolerance: float
    best: float
    n: int
    reason: str


@dataclass(frozen=True, slots=True)
class StoppingCurve:
    """`Advice` as it would have been given earlier.

    Attributes
    ----------
    n : array, shape (s,), int
        Evaluations.
    expected_improvement, bound, tolerance : array, shape (s,)
    """

    n: Array
    expected_improvement: Array
    bound: Array
    tolerance: Array


def advice(optimizer: Any, *, tolerance: float | None = None) -> Advice:
    """Return whether another evaluation is worth it, from the models of a Bayesian search; nothing is stopped.

    Parameters
    ----------
    optimizer : Optimizer
        Of one objective, driven by `BayesianOptimization`.
    tolerance : float, optional
        The regret that does not matter, in units of the objective. Default: the standard deviation of the noise where
        noise is believed in, else a thousandth of the range of the told values, outliers aside; where as many values
        as a start design has do not differ, a thousandth of the unit in which they are modelled.

    Raises
    ------
    SettingError
        If the optimizer is another one, fewer than two feasible values were told, environments or implementations are
        random (told values are no values of the risk), or the tolerance is not positive.

    Notes
    -----
    Where there are fidelities or tasks, all of it is about the target: its best prediction is compared.

    References
    ----------
    A. Makarova et al., Automatic termination for hyperparameter optimization, 2022 (the bound: the lowest upper
    confidence bound among evaluated points minus the lowest lower confidence bound of all).

    Examples
    --------
    >>> import blackbox as bb
    >>> optimizer = bb.Optimizer(bb.Space.box([0], [1]), BayesianOptimization(), seed=0)
    >>> for _ in range(12):
    ...     batch = optimizer.ask()
    ...     report = optimizer.tell(batch, (batch.x[:, 0] - 0.3) ** 2)
    >>> advice(optimizer, tolerance=0.01).stop
    True
    """
    spec, state, settings, sign = search_of(optimizer)
    return _advice(spec, state, settings, sign, _positive(tolerance))


def stopping_curve(optimizer: Any, *, tolerance: float | None = None, points: int = 16) -> StoppingCurve:
    """Return the advice at earlier times, evenly spread; every one fits models anew.

    Parameters
    ----------
    optimizer : Optimizer
    tolerance : float, optional
    points : int, default 16
        At least 2.

    Raises
    ------
    SettingError
        As `advice` does.
    """
    spec, state, settings, sign = search_of(optimizer)
    tolerance, points = _positive(tolerance), whole_number(points, "points", 2)
    feasible = _feasible(state)
    first = int(np.flatnonzero(np.cumsum(feasible) >= 2)[0]) + 1 if feasible.sum() >= 2 else len(state)
    at = np.unique(np.linspace(first, len(state), points).astype(int))
    found = [_advice(spec, _prefix(state, int(n)), settings, sign, tolerance) for n in at]
    columns = zip(*((one.expected_improvement, one.bound, one.tolerance) for one in found), strict=True)
    return StoppingCurve(at.astype(np.float64), *(np.array(column) for column in columns))


def _positive(tolerance: float | None) -> float | None:
    if tolerance is not None and not (is_finite(tolerance) and tolerance > 0.0):
        raise SettingError(f"tolerance: expected a positive number or None, got {tolerance!r}")
    return tolerance


def search_of(optimizer: Any) -> tuple[Spec, BayesianState, BayesianOptimization, float]:
    """Return what an optimizer searches, what its algorithm knows, its settings, and -1 where it maximises."""
    settings = getattr(optimizer, "algorithm", None)
    if not isinstance(settings, BayesianOptimization) or len(optimizer.objectives) != 1:
        raise SettingError(f"optimizer: expected one of BayesianOptimization with one objective, got {optimizer!r}")
    with optimizer._exclusive:
        if optimizer._kernel is None:
            raise SettingError("optimizer: every parameter is fixed, there is nothing to search")
        optimizer._deliver()
        return optimizer._spec, optimizer._kernel, settings, optimizer.objectives[0].sign


def _feasible(state: BayesianState) -> Array:
    return np.asarray(state.usable & (state.violations.numpy() <= 0.0).all(1))


def _prefix(state: BayesianState, n: int) -> BayesianState:
    columns = {name: getattr(state, name)[:n] for name in ("x", "values", "violations", "variance", "failed")}
    return replace(state, **columns, extras={name: column[:n] for name, column in state.extras.items()})


def _advice(
    spec: Spec, state: BayesianState, settings: BayesianOptimization, sign: float, tolerance: float | None
) -> Advice:
    if settings.input_noise is not None or "environment" in spec.space.role_columns.values():
        raise SettingError(
            "optimizer: expected values of the objective itself, got those in random environments or of random "
            "implementations; result() has the design with the least predicted risk"
        )
    feasible = _feasible(state)
    if feasible.sum() < 2:
        raise SettingError(f"optimizer: expected at least two feasible values, got {int(feasible.sum())}")
    view, _ = models_of(spec, state, settings)
    score, warp = view.acquisition, view.warp
    standard = score.modes[0].standard
    random = np.random.default_rng(state.design_seed)
    whole = settings.domain_of(spec, state)
    domain = at_target(whole)
    anchors = domain.fill(state.x.numpy()[view.order[:5]], random)
    held = domain is not whole
    points = domain.model(domain.fill(state.x.numpy()[feasible], random) if held else state.x.numpy()[feasible])
    score = score.relative_to(points) if held else score
    width = math.sqrt(_confidence(domain.dim, len(state)))

    def back(standardised: float) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            return float(warp.inverse(np.array([standardised * standard.spread + standard.shift]))[0])

    with np.errstate(all="ignore"), one_thread():
        found = maximise(score, domain, anchors, random, Effort())
        gain = math.exp(float((score.log_gain(domain.model(found.codes[:1])))[0]))
        optimistic = Bound(score.modes[0], width)
        lowest = -float(maximise(optimistic, domain, anchors, random, Effort()).values[0])
        mean, std = score.modes[0].predict(points)
        lowest = min(lowest, float((mean - width * std).min()))
        highest = float((mean + width * std).min())
    if view.predicted is None and not held:
        highest = min(highest, score.best)
    best = back(score.best)
    expected = _gap(best, back(score.best - gain))
    bound = _gap(back(highest), back(lowest))
    values = state.values.numpy()[feasible, 0]
    noise = view.predicted is not None
    if tolerance is None:
        level = math.sqrt(noise_of(score.modes[0]))
        spread = _gap(float(min(values.max(), warp.ceiling)), float(values.min()))
        if not spread and len(values) >= start_size(spec):
            spread = warp.spread  # what the models take for the range of values that do not differ
        tolerance = back(score.best + level) - best if noise else _SMALL * spread
    stop = bound <= tolerance
    word = "at most" if stop else "perhaps"
    reason = (
        f"{'stop' if stop else 'go on'}: the best of {len(state)} evaluations is {word} {bound:.3g} from the optimum, "
        f"the next one is expected to gain {expected:.3g}, and {tolerance:.3g} does not matter"
    )
    return Advice(stop, expected, bound, tolerance, sign * best, len(state), reason)


def _gap(high: float, low: float) -> float:
    """Return by how much a number is above another one: at least 0, and finite, as large as can be if unknown."""
    gap, most = high - low, float(np.finfo(float).max)
    return most if math.isnan(gap) else min(max(gap, 0.0), most)


def _confidence(d: int, n: int) -> float:
    """Return beta of Makarova et al., a fifth of the theoretical one."""
    return 2.0 * math.log(d * n * n * math.pi**2 / (6.0 * _CONFIDENCE)) / 5.0
