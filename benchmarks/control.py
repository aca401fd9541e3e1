"""Robot control: episodes a second by engine and processes, and evolution against random search.

    python benchmarks/control.py                               # three tasks, small
    python benchmarks/control.py --tasks mo_ant --population 10000 --generations 100 --steps 1000   # as published
    python benchmarks/control.py --engines mujoco mjx          # with jax and brax installed

Prints the hypervolume (against the published reference point) of the front that each algorithm found with equal
evaluations. Takes about five minutes on two cores as it stands.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

import torch

import blackbox as bb
from blackbox.algorithms import MOEAD, NSGA2, NSGA3, HypE, RandomSearch
from blackbox.metrics import hypervolume
from blackbox.problems import RobotControl

ALGORITHMS: dict[str, Any] = {"NSGA2": NSGA2, "NSGA3": NSGA3, "MOEAD": MOEAD, "HypE": HypE}


def speed(task: str, engine: str, steps: int, n: int) -> None:
    counts = sorted({1, os.cpu_count() or 1}) if engine == "mujoco" else [1]
    for workers in counts:
        problem = RobotControl(task, steps=steps, engine=engine, workers=workers)  # type: ignore[arg-type]
        x = torch.randn((n, problem.space.dim), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        problem(x)  # starts processes, or compiles
        start = time.perf_counter()
        problem(x)
        rate = n / (time.perf_counter() - start)
        print(f"{task:<30}{engine:<10}{workers} process(es): {rate:8.1f} episodes/s of at most {steps} steps")


def evolve(task: str, arguments: argparse.Namespace) -> None:
    names = [*arguments.algorithms, "RandomSearch"]
    for name in names:
        found = []
        for seed in range(arguments.seeds):
            problem = RobotControl(task, steps=arguments.steps)
            settings = {"population_size": arguments.population}
            algorithm = RandomSearch() if name == "RandomSearch" else ALGORITHMS[name](**settings)
            optimizer = bb.Optimizer(problem, algorithm, seed=seed)
            for _ in range(arguments.generations):
                batch = optimizer.ask(arguments.population)
                optimizer.tell(batch, problem(batch.x))
            assert problem.reference_point is not None
            found.append(hypervolume(-optimizer.result().values, -problem.reference_point))
        column = torch.tensor(found, dtype=torch.float64)
        print(f"{task:<30}{name:<14} hypervolume median {column.median():12.4g}  of {[round(v, 4) for v in found]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=["mo_swimmer", "mo_halfcheetah", "mo_walker2d"])
    parser.add_argument("--algorithms", nargs="+", default=["NSGA2", "NSGA3", "MOEAD", "HypE"], choices=ALGORITHMS)
    parser.add_argument("--engines", nargs="+", default=["mujoco"], choices=["mujoco", "brax", "mjx"])
    parser.add_argument("--population", type=int, default=40)
    parser.add_argument("--generations", type=int, default=15)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    for task in arguments.tasks:
        for engine in arguments.engines:
            speed(task, engine, arguments.steps, 16)
        evolve(task, arguments)


if __name__ == "__main__":
    main()
