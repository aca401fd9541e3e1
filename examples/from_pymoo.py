"""Moving over from pymoo: your algorithm, your operators, your problem, through ask and tell, saved and resumed.

With pymoo, `minimize` owns the loop. Here you do: evaluate wherever you like, stop at any moment, and go on later, in
another process, bit for bit. No pickle is involved.

    python examples/from_pymoo.py
"""

import tempfile
from pathlib import Path

from pymoo.problems import get_problem

import blackbox as bb
from blackbox.algorithms import Pymoo
from blackbox.metrics import hypervolume
from blackbox.problems import from_pymoo

problem = from_pymoo(get_problem("bnh"))  # two objectives, two constraints
algorithm = Pymoo(
    "NSGA2",
    {"pop_size": 40, "crossover": {"kind": "SBX", "prob": 0.9, "eta": 15}, "mutation": {"kind": "PM", "eta": 20}},
)


def run(optimizer, generations):
    """Ask, evaluate, tell."""
    for _ in range(generations):
        batch = optimizer.ask()
        optimizer.tell(batch, problem(batch.x))


straight = bb.Optimizer(problem, algorithm, seed=1)
run(straight, 40)

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "run.bb"
    interrupted = bb.Optimizer(problem, algorithm, seed=1)
    run(interrupted, 15)
    interrupted.save(path)
    resumed = bb.Optimizer.load(path)  # pymoo is told again what it was told, without evaluations
    run(resumed, 25)

front = resumed.result()
print(f"{len(front)} points, hypervolume {float(hypervolume(front.values, [140.0, 50.0])):.1f}")
print("resumed as if never stopped:", front.values.equal(straight.result().values))
assert front.values.equal(straight.result().values)
