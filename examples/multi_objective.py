"""Several objectives: the Pareto set of a test problem with three, by a population of a thousand.

Run it as it is; with a GPU, the population lives there:

    python examples/multi_objective.py
"""

import torch

import blackbox as bb
from blackbox.algorithms import NSGA3
from blackbox.metrics import hypervolume
from blackbox.problems import DTLZ2

problem = DTLZ2(dim=12, n_objectives=3)
device = "cuda" if torch.cuda.is_available() else "cpu"
optimizer = bb.Optimizer(problem, NSGA3(population_size=1000), seed=0, device=device)
for generation in range(50):
    batch = optimizer.ask()  # a whole generation: batch.x has shape (1000, 12)
    optimizer.tell(batch, problem(batch.x))
    if generation % 10 == 9:
        front = optimizer.result()
        covered = hypervolume(front.values, [1.1, 1.1, 1.1])
        print(f"generation {generation + 1}: {len(front)} points, hypervolume {covered:.4f}")

print(optimizer.result())
assert covered > 0.77, "the true front covers 0.8074 (1.1^3 less an eighth of the unit ball)"
