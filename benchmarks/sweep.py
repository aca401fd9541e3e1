"""A sweep of many seeds as one tensor program, beside the same runs one by one: `python benchmarks/sweep.py`.

NSGA3 on DTLZ2 (m = 3, d = 12), N = 100, 31 seeds, 300 generations, on as many threads as torch takes by itself (choose
others by OMP_NUM_THREADS=1). Wall time, the smallest of `--repeats` interleaved ones: the runs one after another, the
sweep as it is by default (all cores), and the sweep in one process; on a busy machine the last one is the steadier
figure, and what the sweep has of each core, in brackets, is what it would take on an idle one.
`--shape N SEEDS GENERATIONS` measures another one, `--all` other algorithms, too. The final populations are compared
bit for bit.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

import blackbox as bb
from blackbox.algorithms import DE, GA, MOEAD, NSGA2, NSGA3, HypE
from blackbox.problems import DTLZ2, Rastrigin


def seconds(action: Callable[[], None]) -> tuple[float, float]:
    """Return the wall time of an action, and the CPU time of this process or, of those that it started, per core."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    start, cpu = time.perf_counter(), time.process_time()
    action()
    wall, here = time.perf_counter() - start, time.process_time() - cpu
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    others = after.ru_utime + after.ru_stime - ended.ru_utime - ended.ru_stime
    return wall, max(here, others / multiprocessing.cpu_count())


def measure(algorithm: Any, problem: bb.Problem, seeds: int, generations: int, repeats: int) -> None:
    found: dict[int, torch.Tensor] = {}
    result: list[bb.SweepResult] = []

    def single(seed: int) -> None:
        optimizer = bb.Optimizer(problem, algorithm, seed=seed)
        for _ in range(generations):
            batch = optimizer.ask()
            optimizer.tell(batch, problem(batch.x))
        found[seed] = optimizer.result().values

    def singles() -> None:
        for seed in range(seeds):
            single(seed)

    def together(workers: int | None) -> None:
        sweep = partial(bb.sweep, algorithm, problem, seeds=seeds, generations=generations)
        result.append(sweep() if workers is None else sweep(workers=workers))

    bb.sweep(algorithm, problem, seeds=2, generations=2)
    times: list[list[float]] = []
    for _ in range(repeats):
        parts = [seconds(action) for action in (singles, partial(together, None), partial(together, 1))]
        times.append([parts[0][0], parts[1][0], parts[1][1], parts[2][0]])
    alone, sweep, longest, one = (min(column) for column in zip(*times, strict=True))
    exact = all(torch.equal(run.values, found[run.seed]) for one_result in result for run in one_result.runs)
    print(
        f"{type(algorithm).__name__} N = {algorithm.population_size}, {seeds} seeds x {generations} generations: "
        f"one by one {alone:.2f} s ({1e3 * alone / seeds / generations:.2f} ms a generation); "
        f"sweep {sweep:.2f} s, ratio {alone / sweep:.2f} [{longest:.2f} s, {alone / longest:.2f}]; "
        f"in one process {one:.2f} s, ratio {alone / one:.2f}; {'equal bit for bit' if exact else 'NOT EQUAL'}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", nargs=3, type=int, metavar=("N", "SEEDS", "GENERATIONS"), default=(100, 31, 300))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--all", action="store_true", help="the other algorithms, too")
    options = parser.parse_args()
    n, seeds, generations = options.shape
    measure(NSGA3(n), DTLZ2(12, 3), seeds, generations, options.repeats)
    if options.all:
        for kind in (NSGA2, MOEAD, HypE):
            measure(kind(n), DTLZ2(12, 3), seeds, generations, options.repeats)
        for single in (GA, DE):
            measure(single(n), Rastrigin(dim=12), seeds, generations, options.repeats)


if __name__ == "__main__":
    main()
