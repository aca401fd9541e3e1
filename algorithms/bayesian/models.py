"""From data to models: which rows are used, when hyper-parameters are fitted, and with which noise."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

from blackbox.algorithms.bayesian.state import Fitted
from blackbox.surrogates.gaussian_process import DETERMINISTIC, GaussianProcess, Standard
from blackbox.surrogates.kernels import Array, Hyperparameters, Index, Layout, Ripple
from blackbox.surrogates.likelihood import Evidence, Mode, Prior, find_modes

__all__ = ["Data", "Fitting", "is_cold", "merge_repeats", "model_outcome"]

_SUBSET = 150  # rows that fits from scratch use, where there are many more
_SHRINKAGES = (0.5, 0.125, 0.875, 0.3)  # of sparse priors, quantiles of the half-Cauchy prior of theirs
_MAX_ROWS = 2000  # rows that a model is made of, at most
_RIPPLES = tuple(Ripple(share, ratio) for ratio in (0.1, 0.03) for share in (0.05, 0.3))
_DOUBTFUL, _RUGGED = 8, 12  # rows that noise and ripples are looked for in, at least
_SHORT = math.log(0.1)  # mean log lengthscale below which ripples are


@dataclass(frozen=True, slots=True)
class Fitting:
    """How hyper-parameters are fitted.

    Parameters
    ----------
    modes : int, default 4
        Sets of hyper-parameters to keep, at most.
    always_below : int, default 100
        Below so many rows they are fitted again whenever data came in; above, when the data grew by `growth`.
    growth : float, default 0.08
    cold_every : int, default 5
        Every so many fits also start from the prior.
    ripples : bool, default False
        Whether rugged functions may be modelled as a trend and a ripple.
    """

    modes: int = 4
    always_below: int = 100
    growth: float = 0.08
    cold_every: int = 5
    ripples: bool = False


class Kind(NamedTuple):
    """A kind of process: whether its noise is learned, and its ripple."""

    noisy: bool
    ripple: Ripple | None = None

    @classmethod
    def of(cls, fitted: Fitted) -> Kind:
        """Return the kind that was fitted."""
        return cls(fitted.noisy, Ripple(fitted.share, fitted.ratio) if fitted.share else None)


@dataclass(frozen=True, slots=True)
class Data:
    """Distinct rows for one model.

    Attributes
    ----------
    x : array, shape (n, d)
        Model points.
    y : array, shape (n,)
    variance : array, shape (n,), or None
        Known variance of y.
    conflict : bool
        Whether a point was evaluated twice with different outcomes.
    """

    x: Array
    y: Array
    variance: Array | None
    conflict: bool


def merge_repeats(x: Array, y: Array, variance: Array | None) -> Data:
    """Return data with equal points merged: outcomes averaged, known variances combined."""
    index: dict[bytes, int] = {}
    keys = [index.setdefault(row.tobytes(), len(index)) for row in np.nan_to_num(x, nan=-1.0) + 0.0]
    if len(index) == len(x):
        return Data(x, y, variance, conflict=False)
    group = np.array(keys)
    first = np.unique(group, return_index=True)[1]
    counts = np.bincount(group)
    scale = max(float(np.abs(y).max()), 1e-300)
    weight = np.ones(len(y)) if variance is None else 1.0 / np.maximum(variance, 1e-300 + 1e-12 * variance.max())
    total = np.bincount(group, weight)
    mean = np.bincount(group, weight * (y / scale)) / total * scale
    conflict = bool((np.abs(y - mean[group]) > 1e-9 * scale).any())
    merged = None if variance is None else np.bincount(group, weight * weight * variance) / total**2
    if variance is None and conflict:
        return Data(x, y, None, conflict=True)  # repeats carry what the noise is
    return Data(x[first], mean if counts.max() > 1 else y[first], merged, conflict)


def model_outcome(
    data: Data,
    layout: Layout,
    fitted: Fitted,
    settings: Fitting,
    *,
    noise: float | None = None,
    prior: Prior | None = None,
    random: np.random.Generator,
    standard: Standard | None = None,
) -> tuple[list[GaussianProcess], Array, Fitted]:
    """Return processes for sets of hyper-parameters, their log weights, and the record to start from next time.

    Parameters
    ----------
    data : Data
    layout : Layout
    fitted : Fitted
        Of the last time.
    settings : Fitting
    noise : float, optional
        The variance of the noise in units of y squared; decided by evidence where None.
    prior : Prior, optional
    random : numpy Generator
    standard : Standard, optional
        How to standardise; from the data by default.
    """
    prior = prior or Prior()
    standard = Standard.of(data.y) if standard is None else standard
    scaled = None if data.variance is None else data.variance / standard.spread**2
    level = None if noise is None else max(noise / standard.spread**2, DETERMINISTIC)
    if scaled is not None and level is None:
        level = DETERMINISTIC
    due = _is_due(len(data.y), fitted, settings)
    wrong_kind = (level is not None and fitted.noisy) or (level is None and data.conflict and not fitted.noisy)
    if due or wrong_kind or not len(fitted.thetas):
        fitted = _fit(data, scaled, layout, fitted, settings, level, prior, standard, random)
    given = None if fitted.noisy else (DETERMINISTIC if level is None else level)
    layout = replace(layout, ripple=Kind.of(fitted).ripple)
    processes = []
    for theta, value in zip(fitted.thetas.numpy(), fitted.values.tolist(), strict=True):
        hyper = Hyperparameters.unpack(theta, layout, given)
        processes.append(
            GaussianProcess.build(
                data.x,
                data.y,
                layout,
                hyper,
                standard=standard,
                variance=data.variance,
                prior=prior,
                mode=Mode(theta, value),
            )
        )
    log_weights = -fitted.values.numpy()
    log_weights = log_weights - log_weights.max()
    return processes, log_weights - math.log(float(np.exp(log_weights).sum())), fitted


def is_cold(n: int, fitted: Fitted, settings: Fitting) -> bool:
    """Return whether hyper-parameters of n distinct rows are to be fitted now, from scratch."""
    return _is_due(n, fitted, settings) and _starts_cold(n, fitted, settings)


def _starts_cold(n: int, fitted: Fitted, settings: Fitting) -> bool:
    return fitted.fits % settings.cold_every == 0 or n < 10 or not len(fitted.thetas)


def _is_due(n: int, fitted: Fitted, settings: Fitting) -> bool:
    if n < settings.always_below:
        return n != fitted.n
    return n >= fitted.n * (1.0 + settings.growth) or n < fitted.n


def _fit(
    data: Data,
    scaled: Array | None,
    layout: Layout,
    fitted: Fitted,
    settings: Fitting,
    level: float | None,
    prior: Prior,
    standard: Standard,
    random: np.random.Generator,
) -> Fitted:
    """Find modes of the hyper-parameters, and whether to learn the noise where that is open."""
    target = standard(data.y)
    n = len(target)
    cold = _starts_cold(n, fitted, settings)
    kinds = _kinds(data, scaled is None, layout, fitted, settings, level, cold)
    given = DETERMINISTIC if level is None else level
    size = min(max(_SUBSET, n // 3), 2 * _SUBSET)
    warm = {kind: _warm(fitted, kind, layout) for kind in kinds}
    if n > 1.5 * _SUBSET and (cold or not len(fitted.thetas)):
        rows = _subset(target, size, random)
        part = data.x[rows], target[rows], None if scaled is None else scaled[rows]
        modes, kind = _best_kind(*part, layout, prior, given, warm, cold=True, evaluations=40, at_most=1)
        cold, warm = False, {kind: np.stack([mode.theta for mode in modes])}
    budget = 40 if n <= 100 else 20 if n <= 1.5 * _SUBSET else 10 if n <= 600 else 6
    starts = {kind: theta[:1] if n > 100 else theta[:2] for kind, theta in warm.items()}
    at_most = settings.modes if n <= 100 else 1
    whole = data.x, target, scaled
    modes, kind = _best_kind(*whole, layout, prior, given, starts, cold=cold, evaluations=budget, at_most=at_most)
    thetas = torch.from_numpy(np.stack([mode.theta for mode in modes]))
    values = torch.tensor([mode.value for mode in modes], dtype=torch.float64)
    return Fitted(thetas, values, n, fitted.fits + 1, kind.noisy, *(kind.ripple or (0.0, 1.0)))


def _kinds(
    data: Data, exact: bool, layout: Layout, fitted: Fitted, settings: Fitting, level: float | None, cold: bool
) -> list[Kind]:
    """Return the kinds of processes to compare, the simplest first.

    Ripples are looked for where lengthscales became short: a process without them that interpolates values close to
    each other knows nothing between neighbourhoods.
    """
    was = Kind.of(fitted)
    if data.conflict and level is None:
        return [Kind(True)]
    if not cold:
        return [was._replace(noisy=was.noisy and level is None)]
    kinds = [Kind(False)]
    if level is None and len(data.y) >= _DOUBTFUL:
        kinds.append(Kind(True))
    rugged = bool(len(fitted.thetas) and len(layout.smooth) and fitted.thetas[0, layout.smooth].mean() < _SHORT)
    if settings.ripples and exact and (was.ripple is not None or (rugged and len(data.y) >= _RUGGED)):
        kinds += [Kind(False, ripple) for ripple in _RIPPLES]
    return kinds


def _best_kind(
    x: Array,
    y: Array,
    variance: Array | None,
    layout: Layout,
    prior: Prior,
    level: float,
    warm: dict[Kind, Array],
    *,
    cold: bool,
    evaluations: int,
    at_most: int,
) -> tuple[list[Mode], Kind]:
    """Return the modes of the kind of process that explains the data best, and which one it is."""
    best: list[Mode] = []
    found = Kind(False)
    priors = [prior]
    if prior.sparse is not None:  # one mode for each of a few shrinkages
        taus = [prior.sparse * math.tan(0.5 * math.pi * share) for share in _SHRINKAGES[:at_most]]
        priors, evaluations, at_most = [replace(prior, sparse=tau) for tau in taus], 2 * evaluations, 1
    for kind, start in warm.items():
        modes = []
        for each in priors:
            learned = None if kind.noisy else level
            evidence = Evidence(x, y, replace(layout, ripple=kind.ripple), each, noise=learned, variance=variance)
            starts = _starts(evidence, start, cold)
            near = at_most == 1 and prior.sparse is None and not cold
            modes += find_modes(evidence, starts, evaluations=evaluations, at_most=at_most, near=near)
        modes.sort(key=lambda mode: mode.value)
        # Two nats in favour of the simpler: a handful of points can often be explained either way.
        if not best or modes[0].value + 2.0 < best[0].value:
            best, found = modes, kind
    return best, found


def _warm(fitted: Fitted, kind: Kind, layout: Layout) -> Array:
    """Return hyper-parameters of another kind to start from: the shortest lengthscales and the rest stay."""
    thetas, was = fitted.thetas.numpy(), Kind.of(fitted)
    if not len(thetas) or kind == was:
        return thetas
    if was.noisy and not kind.noisy:
        thetas = thetas[:, :-1].copy()
    elif kind.noisy and not was.noisy:
        thetas = np.concatenate([thetas, np.full((len(thetas), 1), -4.0)], axis=1)
    else:
        thetas = thetas.copy()
    change = (was.ripple.ratio if was.ripple else 1.0) / (kind.ripple.ratio if kind.ripple else 1.0)
    thetas[:, layout.smooth] += math.log(change)
    return thetas


def _starts(evidence: Evidence, warm: Array, cold: bool) -> Array:
    """Return hyper-parameters to start from: the last ones, and when cold the prior's centre and a rougher one."""
    centre = evidence.location
    if not cold and len(warm):
        return warm
    rough = centre.copy()
    rough[: evidence.layout.dim] -= 1.5
    return np.concatenate([warm.reshape(-1, len(centre)), centre[None], rough[None]])


def _subset(y: Array, size: int, random: np.random.Generator) -> Index:
    """Return rows: the best third, and a random part of the rest."""
    order = np.argsort(y, kind="stable")
    rest = random.choice(order[size // 3 :], size - size // 3, replace=False)
    return np.sort(np.concatenate([order[: size // 3], rest]))


def nearest_rows(x: Array, y: Array, size: int = _MAX_ROWS) -> Index:
    """Return at most `size` rows: the best quarter of them, and those nearest to the best point."""
    if len(y) <= size:
        return np.arange(len(y))
    order = np.argsort(y, kind="stable")
    best = order[: size // 4]
    gap = np.nan_to_num(x - x[order[0]], nan=0.5)
    near = np.argsort((gap * gap).sum(1), kind="stable")
    kept = np.zeros(len(y), bool)
    kept[best] = True
    kept[near[~kept[near]][: size - len(best)]] = True
    return np.flatnonzero(kept)
