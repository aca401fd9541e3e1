"""Runs and restarts of CMA-ES: where each run starts, how large its population is, and what follows it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["Plan", "Restarts", "Run", "next_run", "uniform"]

Restarts = Literal["none", "ipop", "bipop"]
_MAX_DOUBLINGS = 9  # as in pycma and Hansen (2009); afterwards the default population comes again


@dataclass(frozen=True)
class Run:
    """One run, from a start to a stop.

    Parameters
    ----------
    mean : array, shape (d,)
        The search vector where it starts.
    sigma : float
        The first step-size, as a share of each side of the box.
    population_size : int
        0 for pycma's default.
    max_generations : int
        0 for pycma's default.
    """

    mean: NDArray[np.float64]
    sigma: float
    population_size: int = 0
    max_generations: int = 0


@dataclass(frozen=True)
class Plan:
    """What earlier runs did, as far as it decides on the next one.

    Parameters
    ----------
    population_size : int
        That of the first run.
    doublings : int
        How often the population was doubled.
    small, large : int
        Evaluations of BIPOP's small-population runs (the first included) and of its large-population ones.
    in_large : bool
        Whether the present run is of the large kind.
    n_runs : int
        Runs that have ended.
    """

    population_size: int
    doublings: int = 0
    small: int = 0
    large: int = 0
    in_large: bool = False
    n_runs: int = 0


def next_run(
    plan: Plan,
    restarts: Restarts,
    evaluations: int,
    start: NDArray[np.float64],
    sigma: float,
    generator: torch.Generator,
) -> tuple[Plan, Run]:
    """Return the plan and the run that follow a run that has ended.

    IPOP doubles the population with each restart (Auger and Hansen 2005). BIPOP interlaces these with runs of a small
    population and a smaller step-size, so that both kinds use about equally many evaluations (Hansen 2009).

    Parameters
    ----------
    evaluations : int
        That the run which has ended has used.
    start : array, shape (d,)
        The search vector where the next run starts.
    sigma : float
        The user's first step-size.
    """
    small = plan.small + (0 if plan.in_large else evaluations)
    large = plan.large + (evaluations if plan.in_large else 0)
    plan = replace(plan, small=small, large=large, n_runs=plan.n_runs + 1)
    if restarts == "bipop" and small < large:
        share, exponent = uniform(2, generator).tolist()
        population = int(plan.population_size * (2.0**plan.doublings) ** (share**2))
        limit = max(1, int(0.5 * large / population))
        return replace(plan, in_large=False), Run(start, sigma * 0.01**exponent, population, limit)
    doublings = 0 if plan.doublings >= _MAX_DOUBLINGS else plan.doublings + 1
    population = plan.population_size * 2**doublings
    return replace(plan, doublings=doublings, in_large=True), Run(start, sigma, population)


def uniform(n: int, generator: torch.Generator) -> NDArray[np.float64]:
    """Return n uniform numbers in [0, 1), shape (n,)."""
    drawn = torch.rand(n, generator=generator, device=generator.device, dtype=torch.float64)
    return drawn.cpu().numpy()
