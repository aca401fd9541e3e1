"""Many parameters of which few matter: the sparse prior finds them while it searches."""

from __future__ import annotations

import numpy as np
import torch

import blackbox as bb
from blackbox.algorithms import BayesianOptimization


def test_the_parameters_that_matter_are_found_among_forty() -> None:
    active = [4, 17, 29]

    def evaluate(x: torch.Tensor) -> torch.Tensor:
        return ((x[:, active] - torch.tensor([0.2, 0.7, 0.5])) ** 2).sum(1)

    problem = bb.Problem.from_function(evaluate, bb.Space.box([0.0] * 40, [1.0] * 40), takes="batch")
    optimizer = bb.Optimizer(problem, BayesianOptimization(sparse=True, start=15, noise=0.0), seed=0)
    for _ in range(35):
        batch = optimizer.ask()
        optimizer.tell(batch, problem(batch.x))
    assert float(optimizer.result().values[0, 0]) < 0.02
    logs = np.asarray(optimizer.state()["kernel"]["objectives"][0]["thetas"])[0, :40]  # log lengthscales
    assert set(np.argsort(logs)[:3]) == set(active)
