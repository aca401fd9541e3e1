"""Earlier tasks, told as a column of the space: what they teach about the one that is being searched.

Values are standardised task by task. With few rows, one Gaussian process of all tasks learns how related they are
(`blackbox.surrogates.kernels`). Beyond, each earlier task gets a process of its own, and their ensemble, weighted by
how well each ranks the new values, is the prior mean of the new task's process; this scales to any number of tasks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from blackbox.algorithm import Spec
from blackbox.algorithms.bayesian.acquisition import Acquisition
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.guided import Guided, ensemble, ranking_weights
from blackbox.algorithms.bayesian.models import Fitting
from blackbox.algorithms.bayesian.options import option_of
from blackbox.algorithms.bayesian.proposal import LATER, Pace
from blackbox.algorithms.bayesian.search import Effort
from blackbox.algorithms.bayesian.single import PRIOR, candidates, prior_with_roles
from blackbox.algorithms.bayesian.state import BayesianState, Fitted
from blackbox.algorithms.bayesian.steps import step
from blackbox.algorithms.bayesian.unit_cost import cost_model
from blackbox.algorithms.bayesian.view import look
from blackbox.candidates import Batch
from blackbox.errors import SettingError
from blackbox.parameters import Categorical
from blackbox.roles import nominal
from blackbox.space import Space
from blackbox.surrogates.gaussian_process import GaussianProcess, Standard, fit
from blackbox.surrogates.kernels import Array, Index, Mask

if TYPE_CHECKING:
    from blackbox.algorithms.bayesian.algorithm import BayesianOptimization

__all__ = ["EarlierTasks", "TaskTransfer", "earlier_tasks", "has_earlier_tasks"]

_JOINT = 160  # rows up to which one process of all tasks is used
_EACH = 50  # rows of each earlier task in it before anything is known of the new one
_OWN = 300  # rows of the process of one earlier task, at most
_FEW = 3.0  # evaluations of the new task that weigh as much as the spread of the others


@dataclass(frozen=True, slots=True)
class EarlierTasks:
    """A space with a column of tasks, and what earlier tasks told; `earlier_tasks` makes one.

    Attributes
    ----------
    space : Space
        The searched space and, last, the task; the new one is the target.
    batch : Batch
        The points of all earlier tasks.
    values : Tensor, shape (n, 1)
        Their values, in the objective's own direction.
    """

    space: Space
    batch: Batch
    values: Tensor

    def tell(self, optimizer: Any) -> None:
        """Tell an optimizer of `space` what is known; nothing of it can become its result."""
        optimizer.tell(self.batch, self.values)


def earlier_tasks(space: Space, earlier: Mapping[str, Any], *, name: str = "task", new: str = "new") -> EarlierTasks:
    """Return a space with a column of tasks, and the data of earlier ones.

    Parameters
    ----------
    space : Space
        What is searched.
    earlier : mapping of str to (points, values), or Study
        For each earlier task its points, shape (n, d) or dictionaries, and values, shape (n,) or (n, 1), NaN where an
        evaluation failed; or a study of the same space, whose finished evaluations are used.
    name : str, default "task"
        Of the new column.
    new : str, default "new"
        The name of the task that will be searched.

    Raises
    ------
    SettingError
        If there is no earlier task, a name is taken, or points and values do not fit.

    Examples
    --------
    >>> import blackbox as bb
    >>> from blackbox.algorithms import BayesianOptimization
    >>> space = bb.Space.box([0], [1])
    >>> tasks = earlier_tasks(space, {"monday": ([[0.1], [0.5], [0.9]], [0.3, 0.1, 0.4])})
    >>> optimizer = bb.Optimizer(tasks.space, BayesianOptimization(), seed=0)
    >>> tasks.tell(optimizer)
    >>> optimizer.ask().configs[0]["task"]
    'new'
    """
    if not isinstance(earlier, Mapping) or not earlier:
        raise SettingError(f"earlier: expected a mapping of at least one task to its data, got {earlier!r}")
    if name in space.parameters:
        raise SettingError(f"name: {name!r} is a parameter of the space already")
    if new in earlier:
        raise SettingError(f"new: {new!r} is an earlier task; expected another name than {list(earlier)}")
    wider = Space({**space.parameters, name: Categorical([new, *earlier], task=new)})
    points, values = [], []
    for i, (task, data) in enumerate(earlier.items()):
        x, told = _table(space, task, data)
        points.append(torch.cat([x, x.new_full((len(x), 1), float(i + 1))], dim=1))
        values.append(told)
    return EarlierTasks(wider, wider.batch(torch.cat(points)), torch.cat(values))


def _table(space: Space, task: str, data: Any) -> tuple[Tensor, Tensor]:
    """Return the points (n, d) and values (n, 1) of one earlier task."""
    if hasattr(data, "history"):
        done = [record for record in data.history() if record.values is not None]
        data = ([record.config for record in done], [list(record.values) for record in done])
    try:
        given, told = data
        x = space.batch(given).x.to(torch.float64)
        values = torch.as_tensor(np.asarray(told, dtype=np.float64)).reshape(-1, 1)
    except (TypeError, ValueError) as error:
        raise SettingError(f"earlier[{task!r}]: expected (points, values) of the space, or a study: {error}") from None
    if len(x) != len(values):
        raise SettingError(f"earlier[{task!r}]: expected one value a point, got {len(x)} points, {len(values)} values")
    return x, values


@dataclass(frozen=True, slots=True)
class TaskTransfer:
    """The strategy for spaces with a column of tasks, once something is known of others than the target."""

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
        column = task_column(domain)
        target = domain.fixed[column] if not domain.free[column] else nominal(domain.space, column)
        here = state.x.numpy()[:, column] == target
        separate = _is_plain(settings)
        acquisition, fitted = _acquisition(state, domain, here, column, random, settings, joint=not separate)
        state = replace(state, objectives=fitted)
        if settings.cost_aware:
            cost, state = cost_model(state, domain, Fitting(), prior_with_roles(settings), random)
            acquisition = replace(acquisition, cost=cost)
        codes = domain.fill(state.x.numpy()[state.usable], random)
        points = domain.model(codes)
        acquisition = acquisition.relative_to(points[_improved_upon(state, here)])
        order = np.argsort(acquisition.predicted(points), kind="stable") if acquisition.modes else np.arange(len(codes))
        waiting = domain.model(pending)
        taken = np.concatenate([domain.model(state.x.numpy()[here]), waiting])
        if not separate:
            best = domain.canonical(codes[order])
            anchors = codes[order[:5]]
            return candidates(acquisition, state, domain, best, anchors, taken, waiting, n, random, settings)
        acquisition = acquisition.condition(waiting)
        chosen: list[Array] = []
        pace = Pace(state.promise, state.turn)
        for _ in range(n):
            effort = LATER if chosen else Effort()
            point, pace = step(acquisition, domain, codes[order[:5]], taken, pace, random, effort)
            chosen.append(domain.canonical(point[None]))
            if len(chosen) < n:
                added = domain.model(chosen[-1])
                taken = np.concatenate([taken, added])
                acquisition = acquisition.condition(added)
        return np.concatenate(chosen), replace(state, promise=pace.promise, turn=pace.turn)


def _is_plain(settings: BayesianOptimization) -> bool:
    """Return whether predictions and their gradients are all that the search needs of its models."""
    return option_of(settings.acquisition) is None and settings.batch == "greedy" and not settings.replicate


def _improved_upon(state: BayesianState, here: Mask) -> Mask:
    """Return which of the usable evaluations hold what is to be improved on: feasible ones of the task, if any."""
    usable = state.usable
    feasible = usable & (state.violations.numpy() <= 0.0).all(axis=1)
    choice = next((rows for rows in (feasible & here, feasible, usable & here) if rows.any()), usable)
    return np.asarray(choice[usable])


def task_column(domain: Domain) -> int:
    """Return the column of tasks."""
    return next(column for column, role in domain.roles.items() if role == "task")


def has_earlier_tasks(spec: Spec, state: BayesianState) -> bool:
    """Return whether a categorical column of tasks is searched, and something is known of others than its target."""
    domain = Domain(spec.space)
    columns = [column for column, role in domain.roles.items() if role == "task"]
    if len(columns) != 1 or not domain.categorical[columns[0]]:
        return False
    known = state.x[~state.failed][:, columns[0]]
    return bool((known != nominal(domain.space, columns[0])).any())


def _acquisition(
    state: BayesianState,
    domain: Domain,
    here: Mask,
    column: int,
    random: np.random.Generator,
    settings: BayesianOptimization,
    *,
    joint: bool,
) -> tuple[Acquisition, list[Fitted]]:
    """Return the acquisition, and the hyper-parameters to remember; `joint` for one process of all tasks always."""
    usable, own = state.usable, state.usable & here
    guides = _guides(state, domain, column, here)
    y, scale = _standardised(state, domain, column, here, guides)
    noise = None if settings.noise == "auto" else float(settings.noise) / scale / scale
    plain = replace(state, values=torch.from_numpy(y[:, None]), variance=state.variance / scale / scale)
    if joint or int(usable.sum()) <= _JOINT or not own.any():
        rows = np.flatnonzero(own | ~usable)
        others = [
            np.flatnonzero(usable & (state.x.numpy()[:, column] == code) & ~here) for code in _codes(state, column)
        ]
        share = _EACH if int(usable.sum()) > _JOINT else int(usable.sum())
        picked = [_picked(part, y, share, random) for part in others if len(part)]
        plain = _rows(plain, np.sort(np.concatenate([rows, *picked])))
        view = look(
            plain, domain, Fitting(modes=2), random, noise=noise, warp=settings.warp, prior=prior_with_roles(settings)
        )
        return view.acquisition, view.state.objectives
    points = domain.model(state.x.numpy()[own])
    weights = _weights(guides, points, y[own], random)
    residual = y.copy()
    residual[own] -= ensemble(guides, weights, points)
    plain = _rows(replace(plain, values=torch.from_numpy(residual[:, None])), np.flatnonzero(here))
    view = look(plain, domain, Fitting(modes=1), random, noise=noise, warp=False, prior=prior_with_roles(settings))
    mode = view.acquisition.modes[0]
    guided = Guided(mode, guides, weights, 1.0 / (view.warp.spread * mode.standard.spread))
    modes = (cast("GaussianProcess", guided),)
    return replace(view.acquisition, modes=modes, log_weights=np.zeros(1)), view.state.objectives


def _codes(state: BayesianState, column: int) -> list[float]:
    return sorted(set(state.x.numpy()[:, column].tolist()))


def _rows(state: BayesianState, rows: Index) -> BayesianState:
    """Return the state with some rows."""
    at = torch.from_numpy(rows)
    return replace(
        state,
        x=state.x[at],
        values=state.values[at],
        violations=state.violations[at],
        variance=state.variance[at],
        failed=state.failed[at],
        extras={name: told[at] for name, told in state.extras.items()},
    )


def _picked(rows: Index, y: Array, size: int, random: np.random.Generator) -> Index:
    """Return at most `size` rows: the best third, and a random part of the rest."""
    if len(rows) <= size:
        return rows
    order = rows[np.argsort(y[rows], kind="stable")]
    return np.concatenate([order[: size // 3], random.choice(order[size // 3 :], size - size // 3, replace=False)])


def _guides(state: BayesianState, domain: Domain, column: int, here: Mask) -> tuple[GaussianProcess, ...]:
    """Return a process of each earlier task; the same for the same data."""
    random = np.random.default_rng(0)
    guides = []
    for code in _codes(state, column):
        rows = np.flatnonzero(state.usable & (state.x.numpy()[:, column] == code) & ~here)
        if len(rows) < 2:
            continue
        y = state.values.numpy()[:, 0]
        rows = _picked(rows, y, _OWN, random)
        points = domain.model(domain.fill(state.x.numpy()[rows], random))  # the held task: the column says nothing
        guides.append(fit(points, y[rows], layout=domain.layout, prior=PRIOR, evaluations=12))
    return tuple(guides)


def _standardised(
    state: BayesianState, domain: Domain, column: int, here: Mask, guides: tuple[GaussianProcess, ...]
) -> tuple[Array, float]:
    """Return values standardised task by task, shape (n,), and the new task's scale.

    The new task's location is such that its values are where the earlier tasks predict them on average; its scale is
    shrunk towards theirs while it has few values.
    """
    y, usable = state.values.numpy()[:, 0].copy(), state.usable
    spreads = []
    for code in _codes(state, column):
        rows = usable & (state.x.numpy()[:, column] == code) & ~here
        if rows.any():
            standard = Standard.of(y[rows])
            y[rows] = standard(y[rows])
            spreads.append(standard.spread)
    own = usable & here
    if not own.any():
        return y, float(np.median(spreads))
    common = float(np.median(spreads)) if spreads else 1.0
    mine, count = y[own] / common, float(own.sum())
    variance = float(mine.var()) if count > 1 else 0.0
    shrunk = (count * variance + _FEW) / (count + _FEW)
    scale = float(np.sqrt(variance if count >= 10 and variance > 0 else shrunk))
    centre = float(mine.mean())
    points = domain.model(domain.fill(state.x.numpy()[own], np.random.default_rng(0)))
    expected = np.mean([guide.predict(points)[0].mean() for guide in guides]) if guides else 0.0
    y[here] = (y[here] / common - centre) / scale + expected
    return y, scale * common


def _weights(guides: tuple[GaussianProcess, ...], points: Array, y: Array, random: np.random.Generator) -> Array:
    if not guides:
        return np.zeros(0)
    if len(y) < 3:
        return np.full(len(guides), 1.0 / len(guides))
    predictions = np.stack([guide.predict(points)[0] for guide in guides])
    alone = fit(points, y, layout=guides[0].layout, prior=PRIOR, evaluations=12)
    return ranking_weights(predictions, alone.leave_one_out()[0], y, random)
