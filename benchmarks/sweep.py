"""A sweep of many seeds as one tensor program, beside the same runs one by one: `python benchmarks/sweep.py`.

NSGA3 on DTLZ2 (m = 3, d = 12), N = 100, 100 generations, 31 seeds. CPU time of this process with one thread, the
parts interleaved; the ratio is 31 single runs / the sweep. `--shape N SEEDS GENERATIONS` measures another one.
The final populations are compared bit for bit.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

import blackbox as bb
from blackbox.algorithms import DE, GA, MOEAD, NSGA2, NSGA3, HypE
from blackbox.problems import DTLZ2, Rastrigin

torch.set_num_threads(1)


def seconds(action: Callable[[], None]) -> float:
    """Return the CPU seconds of an action."""
    start = time.process_time()
    action()
    return time.process_time() - start


def measure(algorithm: Any, problem: bb.Problem, seeds: int, generations: int) -> None:
    found: dict[int, torch.Tensor] = {}
    result: list[bb.SweepResult] = []

    def single(seed: int) -> None:
        optimizer = bb.Optimizer(problem, algorithm, seed=seed)
        for _ in range(generations):
            batch = optimizer.ask()
            optimizer.tell(batch, problem(batch.x))
        found[seed] = optimizer.result().values

    def together() -> None:
        result.append(bb.sweep(algorithm, problem, seeds=seeds, generations=generations))

    single(0)
    bb.sweep(algorithm, problem, seeds=2, generations=2)
    alone, batch = [], []
    share = -(-seeds // 3)
    for start in range(0, seeds, share):  # a third of the single runs before each of three sweeps
        alone += [seconds(partial(single, seed)) for seed in range(start, min(seeds, start + share))]
        batch.append(seconds(together))
    exact = all(torch.equal(run.values, found[run.seed]) for run in result[0].runs)
    total, best = sum(alone), statistics.median(batch)
    per_generation = 1e3 * total / (seeds * generations)
    name = f"{type(algorithm).__name__} N = {algorithm.population_size}"
    print(
        f"{name:<16} {seeds} seeds x {generations} generations: single {total:7.2f} s ({per_generation:.2f} ms a "
        f"generation), one program {best:6.2f} s, ratio {total / best:5.2f}; "
        f"{'equal bit for bit' if exact else 'NOT EQUAL'}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", nargs=3, type=int, metavar=("N", "SEEDS", "GENERATIONS"), default=(100, 31, 100))
    parser.add_argument("--all", action="store_true", help="the other algorithms, too")
    options = parser.parse_args()
    n, seeds, generations = options.shape
    measure(NSGA3(n), DTLZ2(12, 3), seeds, generations)
    if options.all:
        for kind in (NSGA2, MOEAD, HypE):
            measure(kind(n), DTLZ2(12, 3), seeds, generations)
        for single in (GA, DE):
            measure(single(n), Rastrigin(dim=12), seeds, generations)


if __name__ == "__main__":
    main()
