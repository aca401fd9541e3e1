"""Which algorithm for these problems? Eleven seeds of each, a table with significance, and a picture.

All seeds of an evolutionary algorithm run as one tensor program; every other run is a process.
"""

from __future__ import annotations

import blackbox as bb
from blackbox import plot
from blackbox.algorithms import GA, RandomSearch, Sobol
from blackbox.problems import Ackley, Rastrigin

if __name__ == "__main__":  # worker processes import this file
    result = bb.sweep(
        {"genetic": GA(population_size=20), "random": RandomSearch(), "Sobol": Sobol()},
        [Ackley(dim=4), Rastrigin(dim=4)],
        seeds=11,
        evaluations=400,
        file="sweep.db",  # run it again: nothing is computed twice
    )
    print(result)
    plot.comparison(result, path="sweep.png")
    # Any run of it, alone: the same.
    optimizer = bb.Optimizer(Ackley(dim=4), GA(population_size=20), seed=3)
    for _ in range(20):
        batch = optimizer.ask()
        optimizer.tell(batch, Ackley(dim=4)(batch.x))
    print("seed 3 alone:", float(optimizer.result().values), "in the sweep:", result.measured("genetic", "Ackley")[3])
