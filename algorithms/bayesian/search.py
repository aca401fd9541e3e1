"""Where an acquisition is largest: spread and local samples, quasi-Newton steps, moves along discrete columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.feasibility import climb_feasibly
from blackbox.surrogates.kernels import Array, Index
from blackbox.surrogates.minimise import minimise_in_box

__all__ = [
    "ENUMERATE",
    "Effort",
    "Found",
    "Pool",
    "Scored",
    "draw_pool",
    "enumerate_cells",
    "first_new",
    "maximise",
    "maximise_near",
]

ENUMERATE = 1e4  # spaces with at most so many points are enumerated
_SAME = 1e-6  # scaled distance below which two points are one


class Scored(Protocol):
    """What can be maximised: an acquisition of model points."""

    def __call__(self, x: Array) -> Array:
        """Return values, shape (q,)."""
        ...

    def with_slopes(self, x: Array) -> tuple[Array, Array]:
        """Return values and gradients."""
        ...


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard to look.

    Parameters
    ----------
    spread, local : int
        Samples over the whole space, and near the best points.
    starts : int
        How many of them are refined.
    evaluations : int
        Rounds of the quasi-Newton method.
    rounds : int
        Alternations of discrete moves and quasi-Newton steps.
    """

    spread: int = 256
    local: int = 256
    starts: int = 6
    evaluations: int = 30
    rounds: int = 8


@dataclass(frozen=True, slots=True)
class Found:
    """Points in order of their acquisition, best first.

    Attributes
    ----------
    codes : array, shape (s, d)
        Full codes.
    values : array, shape (s,)
    """

    codes: Array
    values: Array


@dataclass(frozen=True, slots=True)
class Pool:
    """Samples of a domain: the first `split` of the whole space, the others near promising points.

    Attributes
    ----------
    codes : array, shape (p, d)
        Full codes.
    points : array, shape (p, d)
        The same as model points.
    split : int
    """

    codes: Array
    points: Array
    split: int

    def best(self, values: Array, n: int) -> Pool:
        """Return the pool of the n best samples by their values, half of them of the whole space where there are."""
        wide = _top(_clean(values[: self.split]), n // 2)
        rows = np.concatenate([wide, self.split + _top(_clean(values[self.split :]), n - len(wide))])
        return Pool(self.codes[rows], self.points[rows], len(wide))

    def longer(self, codes: Array, domain: Domain) -> Pool:
        """Return the pool with further full codes."""
        points = np.concatenate([self.points, domain.model(codes)])
        return Pool(np.concatenate([self.codes, codes]), points, self.split)


def draw_pool(domain: Domain, anchors: Array, random: np.random.Generator, effort: Effort) -> Pool:
    """Return samples of the whole space and near some points; every point of a finite space that is enumerated."""
    if domain.n_cells <= ENUMERATE:
        cells = domain.all_cells()
        return Pool(cells, domain.model(cells), len(cells))
    codes = domain.spread(effort.spread, random)
    split = len(codes)
    if len(anchors):
        codes = np.concatenate([codes, domain.perturb(anchors, effort.local, random)])
    return Pool(codes, domain.model(codes), split)


def maximise(
    score: Scored,
    domain: Domain,
    anchors: Array,
    random: np.random.Generator,
    effort: Effort,
    pool: Pool | None = None,
    values: Array | None = None,
) -> Found:
    """Return refined points and the best raw sample, best first.

    Parameters
    ----------
    score : Scored
    domain : Domain
    anchors : array, shape (a, d)
        Full codes of the points to sample around; may be empty.
    random : numpy Generator
    effort : Effort
    pool : Pool, optional
        Samples to start from; drawn here by default.
    values : array, shape (p,), optional
        The score of the pool, where it is known.
    """
    if pool is None:
        pool = draw_pool(domain, anchors, random, effort)
    raw, split = pool.codes, pool.split
    values = _clean(score(pool.points) if values is None else values)
    half = (effort.starts + 1) // 2
    chosen = np.concatenate([_top(values[:split], half), split + _top(values[split:], effort.starts - half)])
    starts = raw[chosen]
    best = int(np.argmax(values))
    refined, reached = _refine(score, domain, starts, values[chosen], random, effort)
    codes = np.concatenate([refined, raw[best][None]])
    reached = np.concatenate([reached, [values[best]]])
    order = np.argsort(-reached, kind="stable")
    return Found(codes[order], reached[order])


def maximise_near(
    score: Scored, domain: Domain, centre: Array, radius: float, random: np.random.Generator, effort: Effort
) -> Found | None:
    """Return refined points, best first, that differ from one point by at most `radius` in active real columns.

    Parameters
    ----------
    centre : array, shape (d,)
        Full codes.
    radius : float
        In the unit cube.

    Returns
    -------
    Found or None
        None where no real column is active and free.
    """
    columns = domain.smooth[domain.active(centre[None])[0, domain.smooth]]
    if not len(columns):
        return None
    middle = domain.to_unit(centre[None])[0]
    low, high = np.maximum(middle - radius, 0.0)[columns], np.minimum(middle + radius, 1.0)[columns]
    u = np.repeat(middle[None], effort.local, axis=0)
    scale = 10.0 ** random.uniform(-3.0, 0.0, (effort.local, 1))
    steps = scale * random.uniform(-radius, radius, (effort.local, len(columns)))
    u[:, columns] = np.clip(middle[columns] + steps, low, high)
    codes = domain.repair(_replace(domain, centre, columns, u), np.repeat(centre[None], len(u), axis=0))
    values = _clean(score(domain.model(codes)))
    chosen = _top(values, effort.starts)
    if domain.is_restricted:
        ends, reached = climb_feasibly(
            score.with_slopes, domain, codes[chosen], columns, effort.evaluations // 2, low, high
        )
        order = np.argsort(-np.concatenate([_clean(reached), values[chosen]]), kind="stable")
        every = np.concatenate([ends, codes[chosen]])
        return Found(every[order], np.concatenate([_clean(reached), values[chosen]])[order])
    base = domain.model(codes[chosen])
    ends, lows = _climb_columns(score, base, columns, effort.evaluations, low, high)
    u = np.repeat(middle[None], len(chosen), axis=0)
    u[:, columns] = ends
    codes = np.concatenate([_replace(domain, centre, columns, u), codes[chosen]])
    values = np.concatenate([_clean(-lows), values[chosen]])
    order = np.argsort(-values, kind="stable")
    return Found(codes[order], values[order])


def _replace(domain: Domain, centre: Array, columns: Index, u: Array) -> Array:
    """Return copies of full codes with some columns taken from points of the unit cube."""
    codes = np.repeat(centre[None], len(u), axis=0)
    codes[:, columns] = domain.from_unit(u)[:, columns]
    return codes


def _refine(
    score: Scored, domain: Domain, codes: Array, values: Array, random: np.random.Generator, effort: Effort
) -> tuple[Array, Array]:
    """Alternate discrete moves and quasi-Newton steps until neither helps."""
    codes, values = codes.copy(), values.copy()
    if not len(domain.steps):
        return _climb(score, domain, codes, values, effort.evaluations)
    open_rows = np.arange(len(codes))
    for _ in range(effort.rounds):
        before = values[open_rows].copy()
        codes[open_rows], values[open_rows] = _move(score, domain, codes[open_rows], values[open_rows], random)
        if len(domain.smooth):
            codes[open_rows], values[open_rows] = _climb(
                score, domain, codes[open_rows], values[open_rows], effort.evaluations // 2
            )
        open_rows = open_rows[values[open_rows] > before + 1e-6]
        if not len(open_rows):
            break
    return codes, values


def _move(
    score: Callable[[Array], Array], domain: Domain, codes: Array, values: Array, random: np.random.Generator
) -> tuple[Array, Array]:
    """Move each point to its best neighbour, where that is better."""
    blocks = [domain.neighbours(row, random) for row in codes]
    sizes = [len(block) for block in blocks]
    if not sum(sizes):
        return codes, values
    every = np.concatenate(blocks)
    scores = _clean(score(domain.model(every)))
    ends = np.cumsum(sizes)
    for i, end in enumerate(ends):
        if sizes[i]:
            j = end - sizes[i] + int(np.argmax(scores[end - sizes[i] : end]))
            if scores[j] > values[i]:
                codes[i], values[i] = every[j], scores[j]
    return codes, values


def _climb(score: Scored, domain: Domain, codes: Array, values: Array, evaluations: int) -> tuple[Array, Array]:
    """Climb along the active real columns from each point; all points in lockstep, one switch pattern a time."""
    patterns = domain.active(codes)[:, domain.smooth]
    result, reached = codes.copy(), values.copy()
    for pattern in patterns[:1] if patterns.all() else np.unique(patterns, axis=0):
        columns = domain.smooth[pattern]
        if not len(columns):
            continue
        rows = np.flatnonzero((patterns == pattern).all(1))
        if domain.is_restricted:
            wide = np.zeros(len(columns)), np.ones(len(columns))
            moved, highs = climb_feasibly(score.with_slopes, domain, codes[rows], columns, evaluations // 2, *wide)
            better = _clean(highs) > values[rows]
            result[rows[better]], reached[rows[better]] = moved[better], highs[better]
            continue
        base = domain.model(codes[rows])
        ends, lows = _climb_columns(score, base, columns, evaluations, np.zeros(len(columns)), np.ones(len(columns)))
        better = -lows > values[rows]
        u = domain.to_unit(codes[rows])
        u[:, columns] = ends
        moved = domain.from_unit(u)
        held = np.ones(domain.dim, bool)
        held[columns] = False
        moved[:, held] = codes[rows][:, held]
        result[rows[better]], reached[rows[better]] = moved[better], -lows[better]
    return result, reached


def _climb_columns(
    score: Scored, base: Array, columns: Index, evaluations: int, low: Array, high: Array
) -> tuple[Array, Array]:
    """Return the unit coordinates reached in some columns of model points, and the negated scores there."""

    def negative(points: Array, rows: Index) -> tuple[Array, Array]:
        full = base[rows]
        full[:, columns] = points
        value, slope = score.with_slopes(full)
        return -value, -slope[:, columns]

    return minimise_in_box(
        negative,
        base[:, columns],
        low,
        high,
        evaluations=evaluations,
        first_step=0.05,
        gradient_tolerance=1e-5,
        value_tolerance=1e-6,
    )


def enumerate_cells(score: Callable[[Array], Array], domain: Domain, pool: Pool | None = None) -> Found:
    """Return every point of a finite space in order of its score."""
    if pool is not None:
        cells, values = pool.codes, _clean(score(pool.points))
    else:
        cells = domain.all_cells()
        values = np.concatenate(
            [_clean(score(domain.model(block))) for block in np.array_split(cells, len(cells) // 1024 + 1)]
        )
    order = np.argsort(-values, kind="stable")
    return Found(cells[order], values[order])


def first_new(
    score: Callable[[Array], Array], found: Found, domain: Domain, taken: Array, random: np.random.Generator
) -> Array | None:
    """Return the best of the found points that is none of `taken`; a neighbour or sample if need be.

    Parameters
    ----------
    taken : array, shape (t, d)
        Model points that were evaluated or are pending.

    Returns
    -------
    array, shape (d,), or None
        Full codes; None where no new point was found.
    """
    rows = _new_rows(domain.model(found.codes), taken)
    if len(rows):
        return np.asarray(found.codes[rows[0]])
    if len(domain.steps):
        near = domain.neighbours(found.codes[0], random)
        rows = _new_rows(domain.model(near), taken)
        if len(rows):
            return np.asarray(near[rows[int(np.argmax(_clean(score(domain.model(near[rows])))))]])
    wide = np.concatenate([domain.perturb(found.codes[:1], 64, random), domain.spread(512, random)])
    rows = _new_rows(domain.model(wide), taken)
    return np.asarray(wide[rows[0]]) if len(rows) else None


def _new_rows(points: Array, taken: Array) -> Index:
    """Return the rows of model points that are none of `taken`."""
    if not len(points) or not len(taken):
        return np.arange(len(points))
    a, b = np.nan_to_num(points, nan=-1.0), np.nan_to_num(taken, nan=-1.0)
    new = [row for row in range(len(a)) if np.abs(b - a[row]).max(1).min() > _SAME]
    return np.array(new, dtype=np.intp)


def _top(values: Array, k: int) -> Index:
    return np.argsort(-values, kind="stable")[:k]


def _clean(values: Array) -> Array:
    return np.where(np.isnan(values), -np.inf, values)
