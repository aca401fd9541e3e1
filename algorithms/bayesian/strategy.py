"""The seam of `BayesianOptimization`: which strategy proposes candidates once the start design is out, and why.

A strategy is a frozen dataclass without state of its own: `propose` is a pure function of what is searched, what is
known and what is pending. What it must remember goes into `BayesianState` (`memory` is free for names of its own). To
plug in another kind of problem:

1. write a module with a class that has `propose` (see `Strategy`);
2. return it, with a sentence that says why, from `choose`: one line;
3. extend `capabilities_of` by what it can serve (objectives, roles, extras).

`BayesianOptimization` does the rest: the start design, conversion of devices and types, counting, and evenly spread
points where a strategy's arithmetic fails (`ArithmeticError`, `ValueError`; `numpy.linalg.LinAlgError` is one).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from blackbox.algorithm import Capabilities, Spec
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.fidelity import MultiFidelity
from blackbox.algorithms.bayesian.gradients import Gradients, has_gradients
from blackbox.algorithms.bayesian.options import option_of
from blackbox.algorithms.bayesian.pareto.scalarise import Scalarised
from blackbox.algorithms.bayesian.pareto.strategy import Hypervolume
from blackbox.algorithms.bayesian.risk import risk_of
from blackbox.algorithms.bayesian.robust import Robust
from blackbox.algorithms.bayesian.single import SingleObjective
from blackbox.algorithms.bayesian.state import BayesianState
from blackbox.algorithms.bayesian.transfer import TaskTransfer, has_earlier_tasks
from blackbox.surrogates.kernels import Array

if TYPE_CHECKING:
    from blackbox.algorithms.bayesian.algorithm import BayesianOptimization

__all__ = ["Strategy", "capabilities_of", "choose"]

_SOBOL_DIM = 21201


class Strategy(Protocol):
    """What turns data into candidates."""

    def propose(
        self,
        spec: Spec,
        state: BayesianState,
        domain: Domain,
        pending: Array,
        n: int,
        random: np.random.Generator,
        settings: BayesianOptimization,
    ) -> tuple[Array, BayesianState]:
        """Return n points and the next state.

        Parameters
        ----------
        spec : Spec
        state : BayesianState
            Everything told so far: at least one evaluation, perhaps failed ones only.
        domain : Domain
            The space with the columns held that `ask(fixed=...)` holds.
        pending : array, shape (p, d)
            Points being evaluated, in the space's units, NaN where inactive; those of this ask's start design too.
        n : int
            At least one.
        random : numpy Generator
            The only source of randomness.
        settings : BayesianOptimization

        Returns
        -------
        points : array, shape (n, d), float64
            Points of the space (`domain.canonical` of full codes), no two equal where that can be helped.
        state : BayesianState
        """
        ...


def choose(spec: Spec, state: BayesianState, settings: BayesianOptimization) -> tuple[Strategy, str]:
    """Return the strategy for a problem, and why."""
    m = spec.n_objectives
    if m > 4 or (m > 1 and settings.several == "scalarised"):
        return Scalarised(), f"{m} objectives: random scalarisations of exact Gaussian processes"
    if m > 1:
        return Hypervolume(), f"{m} objectives: expected hypervolume improvement in closed form"
    if settings.input_noise is not None or "environment" in spec.space.role_columns.values():
        return Robust(), f"{risk_of(settings.risk).kind} over random environments: improvement of the risk"
    if "fidelity" in spec.space.role_columns.values():
        return MultiFidelity(), "fidelities: expected gain of the prediction at the target, per unit of cost"
    if has_earlier_tasks(spec, state):
        return TaskTransfer(), "a task with earlier ones: what they have in common is learned, or is the prior mean"
    if has_gradients(state):
        plain = option_of(settings.acquisition) is None and settings.batch == "greedy" and not settings.replicate
        if plain:
            return Gradients(), "one objective with gradients: an exact Gaussian process of values and derivatives"
        return SingleObjective(), "one objective, without its gradients: they go with greedy log expected improvement"
    return SingleObjective(), "one objective: exact Gaussian processes in closed form"


def capabilities_of(settings: BayesianOptimization) -> Capabilities:
    """Return what can be served with these settings."""
    return Capabilities(
        objectives=_objectives(settings),
        constraints=True,
        natural_batch=settings.batch_size,
        roles=("fidelity", "task", "environment"),
        extras=("cost", "gradient"),
        own_result=settings.input_noise is not None or settings.report == "predicted",
        single_precision=False,
        max_dim=_SOBOL_DIM,
    )


def _objectives(settings: BayesianOptimization) -> tuple[int, int | None]:
    return 1 if settings.several == "auto" else 2, 4 if settings.several == "hypervolume" else None
