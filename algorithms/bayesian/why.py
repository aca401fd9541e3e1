"""Why a point: what the models promise of it, and what it would be compared with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import ndtri

from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.report import at_target, models_of
from blackbox.algorithms.bayesian.stopping import search_of
from blackbox.candidates import Batch
from blackbox.errors import SettingError, shown
from blackbox.surrogates.kernels import Array, covariance
from blackbox.surrogates.threads import one_thread

__all__ = ["Reason", "why"]

_TWO_SIDED = float(ndtri(0.975))


@dataclass(frozen=True, slots=True)
class Reason:
    """What the models of a search say about one point; values in the objective's own units and direction.

    Attributes
    ----------
    config : dict
        The point.
    predicted : float
        Median of its value, without noise.
    interval : (float, float)
        The central 95 % of it.
    best : float
        The value to improve on.
    expected_improvement : float
        At least 0.
    probability_feasible, probability_of_success : float
        That all constraints hold, and that the evaluation gives a value at all.
    nearest : dict
        The evaluated point that is nearest, in the kernel's distance.
    correlation : float
        Of its outcome with that of the nearest one: near 1 where little is new.
    sentence : str
    """

    config: dict[str, Any]
    predicted: float
    interval: tuple[float, float]
    best: float
    expected_improvement: float
    probability_feasible: float
    probability_of_success: float
    nearest: dict[str, Any]
    correlation: float
    sentence: str


def why(optimizer: Any, batch: Any) -> list[Reason]:
    """Return for each point of a batch what speaks for it, and what is not known about it.

    Parameters
    ----------
    optimizer : Optimizer
        Of one objective, driven by `BayesianOptimization`.
    batch : Batch
        What was asked, or any points: `space.batch(...)`.

    Raises
    ------
    SettingError
        If the optimizer is another one, the batch is none, or no feasible value was told.

    Examples
    --------
    >>> import blackbox as bb
    >>> from blackbox.algorithms import BayesianOptimization
    >>> optimizer = bb.Optimizer(bb.Space.box([0], [1]), BayesianOptimization(), seed=0)
    >>> for _ in range(8):
    ...     batch = optimizer.ask()
    ...     report = optimizer.tell(batch, (batch.x[:, 0] - 0.3) ** 2)
    >>> reason = why(optimizer, optimizer.ask())[0]
    >>> reason.interval[0] <= reason.predicted <= reason.interval[1]
    True
    """
    spec, state, settings, sign = search_of(optimizer)
    if not isinstance(batch, Batch):
        raise SettingError(f"batch: expected a Batch of the optimizer's space, got {shown(batch)}")
    view, _ = models_of(spec, state, settings)
    score = view.acquisition
    if not score.modes:
        raise SettingError("optimizer: expected at least one feasible value, got none")
    mode, domain = score.modes[0], Domain(spec.space)
    reduction = optimizer._reduction
    codes = reduction.restrict(batch.x.detach().to("cpu", torch.float64)).numpy()
    points, known = domain.model(codes), domain.model(state.x.numpy())
    aim = at_target(domain, ("fidelity",))
    asked = points
    if aim is not domain:  # what speaks for a point is what it promises at the target
        random = np.random.default_rng(0)
        points = aim.model(aim.fill(codes, random))
        score = score.relative_to(aim.model(aim.fill(state.x.numpy()[view.order], random)))
    standard = mode.standard

    def back(standardised: Array) -> Array:
        return sign * view.warp.inverse(standardised * standard.spread + standard.shift)

    with np.errstate(all="ignore"), one_thread():
        mean, std = mode.predict(points)
        middle, low, high = back(mean), back(mean - _TWO_SIDED * std), back(mean + _TWO_SIDED * std)
        gain = np.exp(score.log_gain(points))
        best = float(back(np.array([score.best]))[0])
        gains = np.abs(best - back(score.best - gain))
        feasible = np.exp(sum((limit(points) for limit in score.limits), np.zeros(len(points))))
        success = np.ones(len(points)) if score.success is None else np.exp(score.log_success(points))
        related = covariance(asked, known, mode.layout, mode.hyper) / mode.hyper.scale
    evaluated = optimizer.space.decode(reduction.expand(state.x))
    found = []
    for i, config in enumerate(batch.configs):
        at = int(np.argmax(related[i]))
        ends = sorted((float(low[i]), float(high[i])))
        found.append(
            Reason(
                config,
                float(middle[i]),
                (ends[0], ends[1]),
                best,
                float(gains[i]),
                float(feasible[i]),
                float(success[i]),
                evaluated[at],
                float(related[i, at]),
                _sentence(float(middle[i]), ends, best, sign, float(related[i, at]), float(feasible[i] * success[i])),
            )
        )
    return found


def _sentence(middle: float, ends: list[float], best: float, sign: float, correlation: float, usable: float) -> str:
    better = (best - middle) * sign > 0.0
    half = 0.5 * (ends[1] - ends[0])
    if better and abs(best - middle) > 0.5 * half:
        kind = "exploits: it is expected to be better than the best"
    elif better:
        kind = "refines: it is expected to be a little better than the best"
    else:
        kind = "explores: it may be better than the best, which is not expected"
    text = f"{kind} ({middle:.4g}, 95 % in [{ends[0]:.4g}, {ends[1]:.4g}], best {best:.4g})"
    text += f"; its correlation with the nearest evaluated point is {correlation:.2f}"
    return text if usable > 0.99 or math.isnan(usable) else f"{text}; it is usable with probability {usable:.2f}"
