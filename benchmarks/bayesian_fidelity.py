"""Several fidelities against the target alone: what it costs to come near the optimum.

    python benchmarks/bayesian_fidelity.py --seeds 10 --botorch 1

For each problem, the median cost at which the best value told at the target is within 0.1 and 0.01 of the optimum (an
evaluation at the target costs 1, the cheapest `base`), and the ratio to Bayesian optimization of the target alone. With
`--botorch`, so many seeds of its multi-fidelity knowledge gradient, with its own recommendation once a unit of cost.
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from typing import Any

import numpy as np
import torch

import blackbox as bb
from blackbox.algorithms import BayesianOptimization
from blackbox.problems import AugmentedBranin, AugmentedHartmann, Branin, Hartmann6

PROBLEMS = {"Branin": (AugmentedBranin, Branin, 12.0), "Hartmann": (AugmentedHartmann, Hartmann6, 14.0)}
LEVELS = (0.1, 0.01)


def reached(track: list[tuple[float, float]]) -> list[float]:
    """Return the cost at which each level of regret was reached, inf where it was not."""
    return [next((cost for cost, regret in track if regret <= level), math.inf) for level in LEVELS]


def several(problem: Any, seed: int, budget: float) -> tuple[list[float], float, int]:
    """Return costs, seconds an ask and evaluations of our search with fidelities."""
    optimizer = bb.Optimizer(problem, BayesianOptimization(), seed=seed)
    spent, seconds, track = 0.0, 0.0, []
    while spent < budget and (not track or track[-1][1] > LEVELS[-1]):
        start = time.perf_counter()
        batch = optimizer.ask()
        seconds += time.perf_counter() - start
        told = problem(batch.x)
        optimizer.tell(batch, told)
        spent += float(told.extras["cost"].sum())
        if batch.x[0, -1] == 1.0:
            track.append((spent, float(optimizer.result().values) - problem.optimum))
    return reached(track), seconds / max(optimizer.n_evaluations, 1), optimizer.n_evaluations


def alone(problem: Any, seed: int, budget: int) -> list[float]:
    """Return costs of our search at the target only."""
    optimizer = bb.Optimizer(problem, BayesianOptimization(), seed=seed)
    track: list[tuple[float, float]] = []
    for i in range(budget):
        batch = optimizer.ask()
        optimizer.tell(batch, problem(batch.x))
        track.append((i + 1.0, float(optimizer.result().values) - problem.optimum))
        if track[-1][1] <= LEVELS[-1]:
            break
    return reached(track)


def botorch(problem: Any, seed: int, budget: float) -> list[float]:
    """Return costs of botorch's multi-fidelity knowledge gradient; a recommendation a unit of cost is paid for."""
    warnings.simplefilter("ignore")
    from botorch.acquisition import PosteriorMean
    from botorch.acquisition.cost_aware import InverseCostWeightedUtility
    from botorch.acquisition.fixed_feature import FixedFeatureAcquisitionFunction
    from botorch.acquisition.knowledge_gradient import qMultiFidelityKnowledgeGradient
    from botorch.acquisition.utils import project_to_target_fidelity
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskMultiFidelityGP
    from botorch.models.cost import AffineFidelityCostModel
    from botorch.models.transforms import Standardize
    from botorch.optim import optimize_acqf
    from gpytorch.mlls import ExactMarginalLogLikelihood

    torch.manual_seed(seed)
    d, base = problem.dim, problem.base_cost
    unit = torch.tensor([[0.0] * d, [1.0] * d], dtype=torch.float64)
    cost = AffineFidelityCostModel({d - 1: 1.0 - base}, fixed_cost=base)
    utility = InverseCostWeightedUtility(cost_model=cost)

    def project(points: torch.Tensor) -> torch.Tensor:
        return project_to_target_fidelity(points, d=d, target_fidelities={d - 1: 1.0})

    x = torch.rand((2 * d, d), dtype=torch.float64)
    x[:, -1] = torch.tensor([0.0, 0.0, 0.5, 1.0] * d)[: 2 * d]
    y = -problem(problem.space.from_unit(x)).values
    spent, recommended, track, best = float(problem.cost(x).sum()), 0.0, [], math.inf
    while spent < budget and best > LEVELS[-1]:
        model = SingleTaskMultiFidelityGP(x, y, data_fidelities=[d - 1], outcome_transform=Standardize(1))
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        mean = FixedFeatureAcquisitionFunction(PosteriorMean(model), d, [d - 1], [1.0])
        top, value = optimize_acqf(mean, unit[:, :-1], q=1, num_restarts=4, raw_samples=256)
        if spent >= recommended + 1.0:
            point = torch.cat([top, torch.ones((1, 1), dtype=torch.float64)], 1)
            recommended = spent
        else:
            gain = qMultiFidelityKnowledgeGradient(
                model, num_fantasies=16, current_value=value, cost_aware_utility=utility, project=project
            )
            point, _ = optimize_acqf(gain, unit, q=1, num_restarts=4, raw_samples=128, options={"maxiter": 50})
        told = problem(problem.space.from_unit(point.detach()))
        spent += float(told.extras["cost"].sum())
        x, y = torch.cat([x, point.detach()]), torch.cat([y, -told.values])
        if float(point[0, -1]) > 1.0 - 1e-6:
            best = min(best, float(told.values) - problem.optimum)
            track.append((spent, best))
    return reached(track)


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--botorch", type=int, default=0, help="seeds of botorch's knowledge gradient")
    parser.add_argument("--problems", nargs="*", default=list(PROBLEMS))
    parser.add_argument("--bases", nargs="*", type=float, default=[0.01, 0.1])
    options = parser.parse_args()
    if options.seeds < 1:
        parser.error(f"--seeds: expected at least 1, got {options.seeds}")
    line("problem", "base", "search", "cost to 0.1", "to 0.01", "ratio", "ratio", "time")
    for name in options.problems:
        augmented, plain, budget = PROBLEMS[name]
        target = np.array([alone(plain(), seed, 60) for seed in range(options.seeds)])
        usual = np.median(target, 0)
        line(name, "-", "target alone", *cells(target), "1", "1", "")
        for base in options.bases:
            problem = augmented(base)
            runs = [several(problem, seed, budget) for seed in range(options.seeds)]
            costs = np.array([run[0] for run in runs])
            ratios = [f"{r:.2f}" for r in np.median(costs, 0) / usual]
            speed = 1e3 * np.mean([run[1] for run in runs])
            line(name, str(base), "fidelities", *cells(costs), *ratios, f"{speed:.0f} ms an ask")
            if options.botorch:
                start = time.perf_counter()
                costs = np.array([botorch(problem, seed, budget) for seed in range(options.botorch)])
                ratios = [f"{r:.2f}" for r in np.median(costs, 0) / usual]
                took = f"{time.perf_counter() - start:.0f} s in all"
                line(name, str(base), "botorch qMFKG", *cells(costs), *ratios, took)


def cells(costs: np.ndarray[Any, Any]) -> list[str]:
    """Return the median cost to each level, and how many seeds reached it."""
    found = np.isfinite(costs).sum(0)
    return [f"{c:.1f} ({f}/{len(costs)})" for c, f in zip(np.median(costs, 0), found, strict=True)]


def line(*texts: str) -> None:
    """Print one line of the table."""
    print("".join(f"{text:<15}" for text in texts), flush=True)


if __name__ == "__main__":
    main()
