"""What evaluations cost: a Gaussian process of the logarithm of told costs, kept warm in the state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.models import Fitting, merge_repeats, model_outcome, nearest_rows
from blackbox.algorithms.bayesian.state import BayesianState, Fitted
from blackbox.surrogates.gaussian_process import GaussianProcess
from blackbox.surrogates.likelihood import Prior

__all__ = ["COST", "cost_model"]

COST = "cost"  # the column that `tell(extras={"cost": ...})` gives
_LEAST = 3  # costs below which there is no model


def cost_model(
    state: BayesianState, domain: Domain, fitting: Fitting, prior: Prior, random: np.random.Generator
) -> tuple[GaussianProcess | None, BayesianState]:
    """Return the process of log costs, None where too few are known, and the state with its hyper-parameters.

    Costs that are not positive and finite are left out; those of failed evaluations count.
    """
    told = state.extras.get(COST)
    if told is None:
        return None, state
    cost = told.numpy().reshape(len(state), -1)[:, 0]
    rows = np.flatnonzero(np.isfinite(cost) & (cost > 0.0))
    if len(rows) < _LEAST:
        return None, state
    points, logs = domain.model(state.x.numpy()[rows]), np.log(cost[rows])
    kept = nearest_rows(points, state.values.numpy()[rows, 0])
    data = merge_repeats(points[kept], logs[kept], None)
    processes, _, fitted = model_outcome(
        data, domain.layout, _fitted(state), replace(fitting, modes=1), prior=prior, random=random
    )
    memory = {
        **state.memory,
        "cost thetas": fitted.thetas,
        "cost values": fitted.values,
        "cost fit": torch.tensor([fitted.n, fitted.fits, int(fitted.noisy)]),
    }
    return processes[0], replace(state, memory=memory)


def _fitted(state: BayesianState) -> Fitted:
    if "cost fit" not in state.memory:
        return Fitted()
    n, fits, noisy = state.memory["cost fit"].tolist()
    return Fitted(state.memory["cost thetas"], state.memory["cost values"], int(n), int(fits), bool(noisy))
