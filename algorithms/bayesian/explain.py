"""What a surrogate has learned, as data: slices with uncertainty, partial dependence, importance, calibration.

Names follow the parameters of the space; outcomes are in the user's units and directions throughout.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri

from blackbox._arguments import is_finite, whole_number
from blackbox.algorithms.bayesian.domain import Domain, lattice
from blackbox.algorithms.bayesian.models import Fitting, merge_repeats, model_outcome, nearest_rows
from blackbox.algorithms.bayesian.state import Fitted
from blackbox.errors import SettingError, shown
from blackbox.space import Space
from blackbox.surrogates.gaussian_process import GaussianProcess
from blackbox.surrogates.kernels import Array
from blackbox.surrogates.outcomes import Warp
from blackbox.surrogates.threads import one_thread

__all__ = [
    "Calibration",
    "Curve",
    "Importance",
    "Surrogate",
    "fit_surrogate",
    "importance",
    "leave_one_out",
    "partial_dependence",
    "slice",
]

_ROUNDING = 1e-6  # relative: points may come in single precision
_TWO_SIDED = float(ndtri(0.975))


@dataclass(frozen=True, slots=True)
class Surrogate:
    """A Gaussian process of the outcomes of a space; `fit_surrogate` makes one.

    Attributes
    ----------
    space : Space
    process : GaussianProcess
        Of warped, minimised outcomes.
    warp : Warp
    maximize : bool
        Whether outcomes were negated.
    best : Tensor, shape (d,)
        The best point that it was fitted to, NaN where inactive.
    """

    space: Space
    process: GaussianProcess
    warp: Warp
    maximize: bool
    best: torch.Tensor

    def quantile(self, x: torch.Tensor, level: float | Array = 0.5) -> Array:
        """Return a quantile of the outcome without noise at points of the space, shape (q,), in the user's units.

        Parameters
        ----------
        x : Tensor, shape (q, d)
        level : float, default 0.5
            In (0, 1).
        """
        if not (is_finite(level) and 0.0 < level < 1.0) and not isinstance(level, np.ndarray):
            raise SettingError(f"level: expected a number in (0, 1), got {level!r}")
        posterior = self.process.posterior(Domain(self.space).model(x.to(torch.float64).numpy()))
        mean, std = posterior.mean.numpy(), posterior.variance.sqrt().numpy()
        return self._back(mean, std, level)

    def _back(self, mean: Array, std: Array, level: float | Array) -> Array:
        at = ndtri(1.0 - level if self.maximize else level)
        values = self.warp.inverse(mean + at * std)
        return -values if self.maximize else values


@dataclass(frozen=True, slots=True)
class Curve:
    """An outcome along one parameter.

    Attributes
    ----------
    name : str
    codes : array, shape (g,)
        Values of the parameter; indices of its levels for categorical and ordinal ones.
    labels : list
        The same as the user writes them.
    middle, low, high : array, shape (g,)
        Median and the ends of the central 95 % of the outcome without noise, in the user's units.
    """

    name: str
    codes: Array
    labels: list[Any]
    middle: Array
    low: Array
    high: Array


@dataclass(frozen=True, slots=True)
class Importance:
    """How much of the variance of the surrogate's mean each parameter explains.

    Attributes
    ----------
    names : list of str
    main : array, shape (d,)
        Alone (first-order Sobol' index), in [0, 1].
    total : array, shape (d,)
        With all its interactions (total index), in [0, 1].
    """

    names: list[str]
    main: Array
    total: Array


@dataclass(frozen=True, slots=True)
class Calibration:
    """Each outcome beside its prediction from all others, in warped units, in which the surrogate is Gaussian.

    Attributes
    ----------
    observed, predicted, std : array, shape (n,)
    coverage : float
        The share of outcomes inside their central 95 % interval.
    log_density : float
        Mean log density of the outcomes.
    """

    observed: Array
    predicted: Array
    std: Array
    coverage: float
    log_density: float


def fit_surrogate(
    space: Space,
    x: Any,
    values: Any,
    *,
    maximize: bool = False,
    warp: bool = True,
    noise: float | None = None,
) -> Surrogate:
    """Return a Gaussian process of outcomes over a space; O(n^3) time, n at most 2000 rows used.

    Parameters
    ----------
    space : Space
    x : Tensor or array, shape (n, d), or sequence of dict
        In the space's units, NaN where inactive (`Batch.x`).
    values : Tensor or array, shape (n,)
        Rows that are not finite are left out.
    maximize : bool, default False
        Whether large outcomes are good: the warp shortens the tail on the bad side.
    warp : bool, default True
    noise : float, optional
        Variance of the noise; decided by evidence where None.

    Raises
    ------
    SettingError
        If fewer than two outcomes are finite, shapes do not fit, or a point is not in the space.

    Examples
    --------
    >>> space = Space.box([0, 0], [1, 1])
    >>> x = torch.rand((20, 2), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    >>> model = fit_surrogate(space, x, (x[:, 0] - 0.3) ** 2)
    >>> importance(model).total.round(1)
    array([1., 0.])
    """
    points, outcomes = _points(space, x), _outcomes(values)
    if len(points) != len(outcomes):
        raise SettingError(
            f"x, values: expected shapes (n, {space.dim}) and (n,), got {tuple(points.shape)} and {outcomes.shape}"
        )
    if noise is not None and not (is_finite(noise) and noise >= 0):
        raise SettingError(f"noise: expected a finite variance >= 0 or None, got {noise!r}")
    finite = np.isfinite(outcomes)
    if finite.sum() < 2:
        raise SettingError(f"values: expected at least two finite outcomes, got {int(finite.sum())}")
    y = -outcomes[finite] if maximize else outcomes[finite]
    domain = Domain(space)
    model_points = domain.model(points.numpy()[finite])
    best = points[torch.from_numpy(np.flatnonzero(finite))][int(np.argmin(y))]
    rows = nearest_rows(model_points, y)
    warping = Warp.fit(y[rows], warp=warp)
    data = merge_repeats(model_points[rows], warping(y[rows]), None)
    with one_thread():
        processes, _, _ = model_outcome(
            data, domain.layout, Fitted(), Fitting(modes=1), noise=noise, random=np.random.default_rng(0)
        )
    return Surrogate(space, processes[0], warping, maximize, best)


def _points(space: Space, x: Any) -> torch.Tensor:
    """Return points as codes, shape (n, d), float64, after a check that they are in the space but for rounding."""
    if isinstance(x, (list, tuple)) and len(x) and isinstance(x[0], Mapping):
        return space.encode(x)
    try:
        points = torch.as_tensor(x).detach().to("cpu", torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise SettingError(
            f"x: expected an array of shape (n, {space.dim}) or configurations, got {shown(x)}"
        ) from None
    if points.dim() != 2 or points.shape[1] != space.dim:
        raise SettingError(f"x: expected shape (n, {space.dim}), got {tuple(points.shape)}")
    codes, optional = points.numpy(), {condition.child for condition in space.conditions}
    for column, name in enumerate(space.names):
        low, high = space.lower[column], space.upper[column]
        slack = _ROUNDING * max(abs(low), abs(high))
        good = (codes[:, column] >= low - slack) & (codes[:, column] <= high + slack)
        if column in optional:
            good |= np.isnan(codes[:, column])
        if not good.all():
            row = int(np.argmin(good))
            raise SettingError(f"x: expected {name} in [{low:g}, {high:g}], got {codes[row, column]:g} in row {row}")
    return points


def _outcomes(values: Any) -> Array:
    try:
        return torch.as_tensor(values).detach().to("cpu", torch.float64).reshape(-1).numpy()
    except (TypeError, ValueError, RuntimeError):
        raise SettingError(f"values: expected numbers, shape (n,), got {shown(values)}") from None


def slice(model: Surrogate, name: str, *, at: torch.Tensor | None = None, points: int = 101) -> Curve:
    """Return the outcome along one parameter, all others held.

    Parameters
    ----------
    model : Surrogate
    name : str
    at : Tensor, shape (d,), optional
        Where the others are held, NaN where inactive; the best evaluated point by default. Where the parameter is
        inactive there, the switches that it needs are set.
    points : int, default 101
        How many values of a parameter with many.
    """
    column = model.space.index(name)
    if at is not None and tuple(at.shape) != (model.space.dim,):
        raise SettingError(f"at: expected shape ({model.space.dim},), got {tuple(at.shape)}")
    grid = _grid(model.space, column, whole_number(points, "points", 1))
    base = _full(model.space, model.best if at is None else at)
    rows = np.repeat(base[None], len(grid), axis=0)
    rows[:, column] = grid
    rows = _switch_on(model.space, rows, column)
    x = torch.from_numpy(Domain(model.space).canonical(rows))
    middle, low, high = (model.quantile(x, level) for level in (0.5, 0.025, 0.975))
    return Curve(name, grid, _labels(model.space, x, name), middle, low, high)


def partial_dependence(model: Surrogate, name: str, *, points: int = 41, background: int = 64) -> Curve:
    """Return the outcome along one parameter, averaged in warped units over the others, with its uncertainty.

    Parameters
    ----------
    model : Surrogate
    name : str
    points : int, default 41
    background : int, default 64
        How many points the average is over.
    """
    space = model.space
    column = space.index(name)
    grid = _grid(space, column, whole_number(points, "points", 1))
    domain = Domain(space)
    others = domain.from_unit(lattice(whole_number(background, "background", 1), space.dim, np.random.default_rng(0)))
    mean, std, shown = np.zeros(len(grid)), np.zeros(len(grid)), []
    for i, value in enumerate(grid):
        rows = others.copy()
        rows[:, column] = value
        rows = _switch_on(space, rows, column)
        joint = model.process.posterior(domain.model(rows), joint=True)
        assert joint.covariance is not None
        mean[i], std[i] = float(joint.mean.mean()), math.sqrt(max(float(joint.covariance.mean()), 0.0))
        shown.append(rows[0])
    x = torch.from_numpy(domain.canonical(np.stack(shown)))
    middle, low, high = (model._back(mean, std, level) for level in (0.5, 0.025, 0.975))
    return Curve(name, grid, _labels(space, x, name), middle, low, high)


def importance(model: Surrogate, *, samples: int = 1024) -> Importance:
    """Return Sobol' indices of the surrogate's mean, in warped units.

    Parameters
    ----------
    model : Surrogate
    samples : int, default 1024
        Base points; d + 2 times as many predictions are made.

    References
    ----------
    A. Saltelli et al., Variance based sensitivity analysis of model output, 2010 (the Jansen estimators).
    """
    space = model.space
    domain = Domain(space)
    unit = lattice(whole_number(samples, "samples", 2), 2 * space.dim, np.random.default_rng(0))
    first, second = domain.from_unit(unit[:, : space.dim]), domain.from_unit(unit[:, space.dim :])

    def mean(codes: Array) -> Array:
        return model.process.predict(domain.model(codes))[0]

    at_first, at_second = mean(first), mean(second)
    variance = float(np.concatenate([at_first, at_second]).var())
    main, total = np.zeros(space.dim), np.zeros(space.dim)
    if variance <= 1e-12:
        return Importance(list(space.names), main, total)
    for column in range(space.dim):
        mixed = first.copy()
        mixed[:, column] = second[:, column]
        at_mixed = mean(mixed)
        total[column] = 0.5 * float(((at_first - at_mixed) ** 2).mean()) / variance
        main[column] = 1.0 - 0.5 * float(((at_second - at_mixed) ** 2).mean()) / variance
    return Importance(list(space.names), np.clip(main, 0.0, 1.0), np.clip(total, 0.0, 1.0))


def leave_one_out(model: Surrogate) -> Calibration:
    """Return how well each outcome is predicted from all others, in closed form."""
    predicted, std = model.process.leave_one_out()
    z = (model.process.y - predicted) / std
    density = -0.5 * z * z - np.log(std) - 0.5 * math.log(2.0 * math.pi)
    return Calibration(model.process.y, predicted, std, float((np.abs(z) < _TWO_SIDED).mean()), float(density.mean()))


def _grid(space: Space, column: int, points: int) -> Array:
    low, high = space.lower[column], space.upper[column]
    if space.kinds[column] and high - low < (math.inf if space.kinds[column] == 2 else points):
        return np.arange(low, high + 1.0)
    u = np.full((points, space.dim), 0.5)
    u[:, column] = np.linspace(0.0, 1.0, points)
    return np.unique(Domain(space).from_unit(u)[:, column])


def _full(space: Space, x: torch.Tensor) -> Array:
    domain = Domain(space)
    centre = domain.from_unit(np.full((1, space.dim), 0.5))[0]
    point = x.detach().to("cpu", torch.float64).numpy()
    return np.where(np.isnan(point), centre, point)


def _switch_on(space: Space, rows: Array, column: int) -> Array:
    """Return rows whose switches make a column active; parents stand before children in the conditions."""
    wanted = {column}
    for condition in reversed(space.conditions):
        if condition.child in wanted:
            holds: NDArray[np.bool_] = np.isin(rows[:, condition.parent], condition.codes)
            rows[:, condition.parent] = np.where(holds, rows[:, condition.parent], condition.codes[0])
            wanted.add(condition.parent)
    return rows


def _labels(space: Space, x: torch.Tensor, name: str) -> list[Any]:
    return [config[name] for config in space.decode(x)]
