"""What gradients are worth: Rosenbrock-4 with them after 25 evaluations, without them after 50.

    python benchmarks/bayesian_gradients.py --seeds 5

Prints log10 of the regret, one line a seed, and the means.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import torch

import blackbox as bb
from blackbox.algorithms import BayesianOptimization
from blackbox.problems import Rosenbrock


def regret(seed: int, evaluations: int, *, told: bool) -> float:
    """Return log10 of the regret of one search."""
    problem = Rosenbrock(4)
    optimizer = bb.Optimizer(bb.Space.box([-5] * 4, [10] * 4), BayesianOptimization(), seed=seed)
    for _ in range(evaluations):
        batch = optimizer.ask()
        x = batch.x.clone().requires_grad_(True)
        values = problem.evaluate(x)
        (gradient,) = torch.autograd.grad(values.sum(), x)
        optimizer.tell(batch, values.detach(), extras={"gradient": gradient} if told else None)
    return math.log10(max(float(optimizer.result().values), 1e-12))


def main() -> None:
    """Print one line a seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    rows = []
    for seed in range(options.seeds):
        rows.append([regret(seed, 25, told=True), regret(seed, 50, told=False)])
        print(f"seed {seed}: 25 with gradients {rows[-1][0]:.2f}, 50 without {rows[-1][1]:.2f}", flush=True)
    ours, plain = np.mean(rows, axis=0)
    print(f"mean: 25 with gradients {ours:.2f}, 50 without {plain:.2f}")


if __name__ == "__main__":
    main()
