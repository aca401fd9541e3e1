"""Bayesian optimization and random search on the problem of the main job, seed by seed.

    python benchmarks/tuning_search.py

One worker, so that runs are reproducible; the score is cross-validated log-loss, lower is better.
"""

from __future__ import annotations

import argparse
import os
import statistics

os.environ.setdefault("OMP_NUM_THREADS", "1")

import blackbox as bb
from blackbox.algorithms import BayesianOptimization, RandomSearch
from blackbox.problems import ClassifierTuning


def best_found(algorithm: BayesianOptimization | RandomSearch, seed: int, evaluations: int) -> float:
    """Return the best score of one search."""
    problem = ClassifierTuning()
    optimizer = bb.Optimizer(problem, algorithm, seed=seed, budget=evaluations)
    for _ in range(evaluations):
        batch = optimizer.ask()
        optimizer.tell(batch, problem(batch.x))
    return float(optimizer.result().values)


def main() -> None:
    """Print one line a search."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--evaluations", type=int, default=60)
    options = parser.parse_args()
    default = float(ClassifierTuning().evaluate_config(ClassifierTuning().default_config).values)
    print(f"{'scikit-learn default':<22}{default:.4f}")
    for algorithm in (BayesianOptimization(), RandomSearch()):
        found = [best_found(algorithm, seed, options.evaluations) for seed in range(1, options.seeds + 1)]
        scores = " ".join(f"{score:.4f}" for score in found)
        print(f"{type(algorithm).__name__:<22}{statistics.mean(found):.4f}  ({scores})", flush=True)


if __name__ == "__main__":
    main()
