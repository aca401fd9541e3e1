"""The next design and the fidelity it is evaluated at."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from blackbox.algorithms.bayesian.acquisition import Acquisition
from blackbox.algorithms.bayesian.costs import LogCost
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.fidelity_scores import (
    Aim,
    Informed,
    aims_of,
    looking_ahead,
    per_cost,
    score_ahead,
    variance_shares,
)
from blackbox.algorithms.bayesian.options import Option
from blackbox.algorithms.bayesian.proposal import Pace, best_new
from blackbox.algorithms.bayesian.scores import Score, make_score
from blackbox.algorithms.bayesian.search import Effort
from blackbox.algorithms.bayesian.steps import step
from blackbox.roles import nominal
from blackbox.surrogates.gaussian_process import GaussianProcess
from blackbox.surrogates.kernels import Array, Index, Mask

__all__ = ["Chooser", "on_target", "targets"]

_GRID = 9  # values of a numeric fidelity that are compared
_FEW = 3  # of which so many are searched with
_BONUS = np.log(2.0)  # of the target, the only fidelity that can become the result


def targets(domain: Domain) -> Array:
    """Return the targets of free fidelities as codes, NaN in other columns, shape (d,)."""
    fixed = np.full(domain.dim, np.nan)
    for column in domain.fidelities:
        if domain.free[column]:
            fixed[column] = nominal(domain.space, column)
    return fixed


def on_target(x: Array, domain: Domain) -> Mask:
    """Return which points have every fidelity at its target, shape (n,), bool."""
    good: Mask = np.ones(len(x), bool)
    for column in domain.fidelities:
        good &= (x[:, column] == nominal(domain.space, column)) | np.isnan(x[:, column])
    return good


@dataclass(frozen=True, slots=True)
class Chooser:
    """What stays the same during one ask.

    Parameters
    ----------
    domain, at_target : Domain
        With the fidelities free, and held at their targets.
    option : Option or None
        The acquisition; None for log expected improvement.
    cost : LogCost
        Of full codes.
    unit_cost : GaussianProcess or None
        Of log costs, where the search for a design is to take notice of them.
    anchors : array, shape (a, d)
        Full codes of the best designs.
    known : array, shape (k, d)
        Model points of the evaluated designs at the target, most promising first.
    n : int
        Evaluations so far.
    aims : tuple of Aim
        What evaluations should tell about, where the acquisition is one of information.
    random : numpy Generator
    """

    domain: Domain
    at_target: Domain
    option: Option | None
    cost: LogCost
    unit_cost: GaussianProcess | None
    anchors: Array
    known: Array
    n: int
    random: np.random.Generator
    aims: tuple[Aim, ...] = ()

    def aimed(self, acquisition: Acquisition) -> Chooser:
        """Return the chooser with what evaluations should tell about drawn, where that is needed."""
        if not isinstance(self.option, Informed) or not acquisition.modes:
            return self
        aims = aims_of(self.option, acquisition, self.at_target, self.known, self.anchors, self.random)
        return replace(self, aims=aims)

    @property
    def columns(self) -> Index:
        """The columns of the fidelities."""
        return np.array(self.domain.fidelities, dtype=np.intp)

    def next(self, acquisition: Acquisition, taken: Array, pace: Pace, effort: Effort) -> tuple[Array, Pace, bool]:
        """Return the full codes of a design at its fidelity, the next pace, and whether the acquisition was finite."""
        if self.option is None or not acquisition.modes:
            return *self._improving(acquisition, taken, pace, effort), True
        if isinstance(self.option, Informed):
            return self._informed(acquisition, taken, effort), pace, True
        score: Score = make_score(
            self.option,
            self._with_cost(acquisition, targets(self.domain)),
            self.at_target,
            known=self.known,
            anchors=self.anchors,
            waiting=self.known[:0],
            n=self.n,
            random=self.random,
        )
        design, value = best_new(score, self.at_target, self.anchors, taken, self.random, effort)
        finite = bool(np.isfinite(value))
        if not finite:
            design, _ = best_new(acquisition, self.at_target, self.anchors, taken, self.random, effort)
        near = variants(design, self.domain, self.random, _GRID)
        aim = self.at_target.model(self.at_target.hold(design[None]))
        shares = variance_shares(acquisition, self.columns, aim, self.domain.model(near)[:, self.columns])
        return self._best(near, shares), pace, finite

    def _improving(self, acquisition: Acquisition, taken: Array, pace: Pace, effort: Effort) -> tuple[Array, Pace]:
        """Return the design and fidelity with the largest expected gain of the prediction per unit of cost."""
        best: tuple[float, Array, Pace] | None = None
        for row in self._few():
            ahead = looking_ahead(acquisition, self.columns, self.domain.model(row[None])[0, self.columns])
            design, then = step(
                self._with_cost(ahead, row), self.at_target, self.anchors, taken, pace, self.random, effort
            )
            gain, codes = self._worth(ahead(self.at_target.model(design[None])), design, row)
            if best is None or gain > best[0]:
                best = gain, codes, then
        assert best is not None
        near = variants(best[1], self.domain, self.random, _GRID)
        aim = self.at_target.model(self.at_target.hold(near[:1]))
        gains = [looking_ahead(acquisition, self.columns, values).log_gain(aim)[0] for values in self._values(near)]
        return self._best(near, np.array(gains)), best[2]

    def _informed(self, acquisition: Acquisition, taken: Array, effort: Effort) -> Array:
        """Return the design and fidelity that tell most per unit of cost."""
        assert isinstance(self.option, Informed)
        best: tuple[float, Array] | None = None
        for row in self._few():
            ahead = looking_ahead(acquisition, self.columns, self.domain.model(row[None])[0, self.columns])
            score = score_ahead(self.option, self.aims, ahead)
            priced = replace(score, base=self._with_cost(ahead, row))
            design, _ = best_new(priced, self.at_target, self.anchors, taken, self.random, effort)
            gain, codes = self._worth(score(self.at_target.model(design[None])), design, row)
            if best is None or gain > best[0]:
                best = gain, codes
        assert best is not None
        near = variants(best[1], self.domain, self.random, _GRID)
        aim = self.at_target.model(self.at_target.hold(near[:1]))
        gains = [
            score_ahead(self.option, self.aims, looking_ahead(acquisition, self.columns, values))(aim)[0]
            for values in self._values(near)
        ]
        return self._best(near, np.array(gains))

    def _few(self) -> Array:
        """Return full codes with the combinations of fidelities that designs are searched for with."""
        seed = self.at_target.spread(1, self.random)[0]
        return np.asarray(np.unique(variants(seed, self.domain, self.random, _FEW), axis=0))

    def _values(self, codes: Array) -> Array:
        return np.asarray(self.domain.model(codes)[:, self.columns])

    def _with_cost(self, acquisition: Acquisition, row: Array) -> Acquisition:
        values = self.domain.model(self.domain.hold(np.where(np.isnan(row), self.domain.lower, row)[None]))
        return per_cost(acquisition, self.unit_cost, self.columns, values[0, self.columns])

    def _worth(self, gain: Array, design: Array, row: Array) -> tuple[float, Array]:
        """Return what a design at the fidelities of a row is worth per unit of cost, and its full codes."""
        codes = design.copy()
        codes[self.columns] = row[self.columns]
        return float(self._per_cost(gain, codes[None])[0]), codes

    def _per_cost(self, gain: Array, codes: Array) -> Array:
        return np.asarray(gain - self.cost(codes) + _BONUS * on_target(codes, self.domain))

    def _best(self, near: Array, gains: Array) -> Array:
        return np.asarray(near[int(np.argmax(self._per_cost(gains, near)))])


def variants(design: Array, domain: Domain, random: np.random.Generator, grid: int) -> Array:
    """Return one design with combinations of free fidelities, the target last."""
    aim = targets(domain)
    columns = np.flatnonzero(~np.isnan(aim))
    active = domain.active(design[None])[0]
    axes = [_values(int(c), aim[c], domain, grid) if active[c] else np.array([design[c]]) for c in columns]
    cells = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(columns))
    if len(cells) > 2 * grid:
        cells = cells[np.sort(random.choice(len(cells), 2 * grid, replace=False))]
    codes = np.repeat(design[None], len(cells) + 1, axis=0)
    codes[:-1, columns] = cells
    codes[-1, columns] = np.where(active[columns], aim[columns], design[columns])
    return codes


def _values(column: int, target: float, domain: Domain, grid: int) -> Array:
    low, high = domain.lower[column], domain.upper[column]
    if domain.discrete[column] and (high - low < grid or domain.categorical[column]):
        return np.arange(low, high + 1.0)
    u = np.full((grid, domain.dim), 0.5)
    u[:, column] = np.linspace(0.0, 1.0, grid)
    free = np.asarray(domain.loose.from_unit(torch.from_numpy(u)).numpy())[:, column]
    return np.unique(np.append(free, target))
