"""A swimming robot: the weights of its controller, fast against frugal, simulated with MuJoCo on all cores.

Needs the extra `control` (pip install "blackbox-toolkit[control]"):

    python examples/robot_control.py
"""

import torch

import blackbox as bb
from blackbox.algorithms import NSGA2
from blackbox.metrics import hypervolume
from blackbox.problems import RobotControl

problem = RobotControl("mo_swimmer", steps=100)  # 178 weights; forward speed and control cost are maximised
optimizer = bb.Optimizer(problem, NSGA2(population_size=32), seed=0)
for generation in range(12):
    batch = optimizer.ask()
    optimizer.tell(batch, problem(batch.x))
    if generation % 4 == 3:
        front = optimizer.result()
        covered = hypervolume(-front.values, -problem.reference_point)
        print(f"generation {generation + 1}: {len(front)} controllers, hypervolume {covered:.4f}")

front = optimizer.result()
fastest = front.values[:, 0].argmax()
print(f"fastest: {front.values[fastest, 0]:.1f} forward at a control cost of {-front.values[fastest, 1]:.4f}")
assert torch.isfinite(front.values).all()
