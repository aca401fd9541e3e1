"""Designs collected by evolution that often keeps the worst: what an offline set is made of."""

from __future__ import annotations

import torch
from torch import Tensor

from blackbox.algorithm import Spec
from blackbox.errors import SettingError
from blackbox.problem import Problem
from blackbox.random import make_generator

__all__ = ["collect"]

_POPULATION = 1000
_WORST_FIRST = 0.6
_TRIES = 100


def collect(
    problem: Problem, size: int, *, seed: int, population: int = _POPULATION, worst_first: float = _WORST_FIRST
) -> tuple[Tensor, Tensor]:
    """Return every design that NSGA-II evaluated while it often kept the worst, until there are `size` of them.

    Designs without a finite value are left out and made up for. O(size d) memory.

    Parameters
    ----------
    problem : Problem
    size : int
    seed : int
    population : int, default 1000
    worst_first : float, default 0.6
        How likely a generation's survivors are taken from the worst fronts.

    Returns
    -------
    x, values : Tensor, shape (size, d) and (size, m), float64

    Raises
    ------
    SettingError
        If next to no design has a finite value.
    """
    from blackbox.algorithms.evolutionary.crowding import crowding_distance
    from blackbox.algorithms.evolutionary.draws import draw
    from blackbox.algorithms.evolutionary.offspring import Reproduction, initial_points
    from blackbox.algorithms.evolutionary.ranking import ranks

    generator, n = make_generator(seed), 2 * (min(population, max(2, size)) // 2)
    spec = Spec(problem.space, len(problem.objectives))
    reproduction = Reproduction(
        spec, crossover_eta=15.0, crossover_probability=0.5, mutation_eta=20.0, mutation_probability=None
    )
    points: list[Tensor] = []
    outcomes: list[Tensor] = []

    def evaluated(x: Tensor) -> tuple[Tensor, Tensor]:
        y = problem(x).values.to(torch.float64)
        sound = torch.isfinite(y).all(-1)
        points.append(x[sound])
        outcomes.append(y[sound])
        return points[-1], outcomes[-1]

    def fresh() -> tuple[Tensor, Tensor]:
        return evaluated(initial_points(spec, draw(generator, n * spec.dim).reshape(n, -1)))

    x, y = fresh()
    while sum(map(len, points)) < size:
        if len(x) < 2:
            if len(points) > _TRIES:
                raise SettingError(f"problem: {problem.name} has no finite value at {_TRIES * n} random designs")
            x, y = fresh()
            continue
        parents = torch.randint(len(x), (2, n // 2, 2), generator=generator).amin(-1)  # the better of two survivors
        uniforms = draw(generator, reproduction.draws(n // 2))
        fresh_x, fresh_y = evaluated(reproduction.children(x[parents.flatten()], uniforms))
        x, y = torch.cat([x, fresh_x]), torch.cat([y, fresh_y])
        front = ranks(y)
        crowding = crowding_distance(y, front)
        if float(torch.rand((), generator=generator)) < worst_first:
            front = front.amax() - front
        order = crowding.argsort(descending=True, stable=True)
        rows = order[front[order].argsort(stable=True)][:n]
        x, y = x[rows], y[rows]
    return torch.cat(points)[:size], torch.cat(outcomes)[:size]
