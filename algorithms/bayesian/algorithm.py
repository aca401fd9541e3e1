"""Bayesian optimization of one expensive objective: models of the data choose what to evaluate next."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from blackbox._arguments import is_finite, whole_number
from blackbox.algorithm import Candidates, Capabilities, Front, Request, Seen, Spec
from blackbox.algorithms.bayesian.costs import LinearCost
from blackbox.algorithms.bayesian.design import start_points, start_size
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.feasibility import find_anchor
from blackbox.algorithms.bayesian.options import (
    AcquisitionError,
    AcquisitionSetting,
    LogGain,
    NoisyExpectedImprovement,
    option_of,
)
from blackbox.algorithms.bayesian.pareto.reference import checked_reference, settled
from blackbox.algorithms.bayesian.report import predicted_best
from blackbox.algorithms.bayesian.restrictions import InputConstraint, Restrictions, checked_constraints
from blackbox.algorithms.bayesian.risk import InputNoise, Risk, risk_of
from blackbox.algorithms.bayesian.roles import held_roles, role_result
from blackbox.algorithms.bayesian.served import check_settings
from blackbox.algorithms.bayesian.state import BayesianState
from blackbox.algorithms.bayesian.strategy import capabilities_of, choose
from blackbox.errors import SettingError, shown
from blackbox.random import numpy_generator
from blackbox.surrogates.kernels import Array
from blackbox.surrogates.threads import one_thread

__all__ = ["BayesianOptimization"]

_MANY = 2**31
_ANCHOR = "a point that satisfies the constraints on inputs"


@dataclass(frozen=True, slots=True)
class BayesianOptimization:
    """Gaussian processes and log expected improvement, for functions that cost more than a second.

    One objective, or several; real, integer, ordinal, categorical and conditional parameters; black-box constraints;
    failed evaluations, which are learned from; noise, known or not; any batch size and pending candidates.
    Rugged functions are modelled as a trend and ripples where the evidence favours it (one objective, no roles).
    An ask takes 10 to 50 ms up to 300 evaluations and O(n^3) time beyond.

    Parameters
    ----------
    acquisition : str, options or callable, default "log_ei"
        What a candidate promises: "log_ei", "log_nei", "ucb", "thompson", "kg", "mes", "jes" (or their options, such as
        `UpperConfidenceBound(beta=4.0)`), or your own function (`AcquisitionFunction`). Where fidelities are chosen,
        "log_ei", "kg" and "mes" choose design and fidelity together, by what a unit of cost tells about the target;
        the others choose a design, whose fidelity is the one that tells most about it per unit of cost. Where
        environments are random: "log_ei", "ucb", "thompson" or your own.
    noise : "auto" or float, default "auto"
        Variance of the noise of the values; 0 for a deterministic function. "auto": known variances that are told
        are used; otherwise noise is learned where repeated points differ or the evidence favours it.
    start : int, optional
        Size of the start design, failures included. Default: max(5, d/2 + 3), up to d more for
        discrete parameters, a quarter of a known budget at most.
    warp : bool, default True
        Whether a power transform that makes long bad tails shorter may be used. With several objectives there is none:
        what lies beyond the reference point is put on a logarithmic scale instead.
    batch_size : int, default 1
        What `ask()` hands out.
    batch : "greedy" or "joint", default "greedy"
        How a batch is made: one point after the other, or moved as a whole after that (log improvements only).
    replicate : bool, default False
        Whether noisy points are measured again where that tells more than a new point.
    report : "observed" or "predicted", default "observed"
        What `result()` answers with: the best observed value, or under noise the evaluated point whose predicted median
        is best, and that median.
    cost_aware : bool, default False
        Whether gains are those per unit of cost; costs are told by `tell(..., extras={"cost": costs})`, positive.
    cost : LinearCost, optional
        What an evaluation costs at each fidelity. Default: learned from the costs that are told as
        `extras={"cost": ...}`; without any, proportional to numeric fidelities.
    risk : str or Risk, default "expectation"
        What a design is judged by where environments are random: `Expectation()`, `VaR(0.8)`, `CVaR(0.8)`,
        `WorstCase()`. The result is the evaluated design with the least predicted risk, and that prediction.
    input_noise : InputNoise, optional
        Errors of a design's implementation, over which its risk is taken as well.
    input_constraints : sequence of LinearConstraint or callables, default ()
        What is known about inputs: no candidate violates them. A callable maps names to columns, shape (n,), and
        returns what is feasible at <= 0, or True where feasible.
    sparse : bool, default False
        Whether few of many parameters are expected to matter (SAAS, at modes of its posterior): for 20 to 200 of them.
    reference_point : sequence of m numbers, optional
        Of several objectives, in their own directions: only what is better in all of them counts. Default: the
        problem's `reference_point`; else inferred from the feasible values, a tenth of the front's range beyond its
        nadir, and settled once it has hardly moved during 20 evaluations. Give one where you can: it says which part
        of the front is of interest.
    several : "auto", "hypervolume" or "scalarised", default "auto"
        What is improved with several objectives: the dominated hypervolume (at most four objectives), or for each
        candidate a random augmented Tchebycheff scalarisation (ParEGO). "auto": the hypervolume where possible.

    References
    ----------
    P. I. Frazier, A tutorial on Bayesian optimization, 2018. S. Ament et al., Unexpected improvements to expected
    improvement for Bayesian optimization, 2023 (the logarithm). J. Gardner et al., Bayesian optimization with
    inequality constraints, 2014. D. Ginsbourger, R. Le Riche and L. Carraro, Kriging is well-suited to parallelize
    optimization, 2010 (pending points).

    Examples
    --------
    >>> import blackbox as bb
    >>> optimizer = bb.Optimizer(bb.Space.box([-5, 0], [10, 15]), BayesianOptimization(), seed=0)
    >>> optimizer.ask().x
    tensor([[2.5000, 7.5000]], dtype=torch.float64)
    """

    acquisition: AcquisitionSetting = "log_ei"
    noise: float | str = "auto"
    start: int | None = None
    warp: bool = True
    batch_size: int = 1
    batch: Literal["greedy", "joint"] = "greedy"
    replicate: bool = False
    report: Literal["observed", "predicted"] = "observed"
    cost_aware: bool = False
    cost: LinearCost | None = None
    risk: str | Risk = "expectation"
    input_noise: InputNoise | None = None
    input_constraints: tuple[InputConstraint, ...] = ()
    sparse: bool = False
    reference_point: tuple[float, ...] | None = None
    several: Literal["auto", "hypervolume", "scalarised"] = "auto"

    def __post_init__(self) -> None:
        option = option_of(self.acquisition)
        if not isinstance(self.acquisition, str):
            object.__setattr__(self, "acquisition", option)
        object.__setattr__(self, "noise", _checked_noise(self.noise))
        for name, least in (("start", 1), ("batch_size", 1)):
            value = getattr(self, name)
            if value is not None or name == "batch_size":
                object.__setattr__(self, name, whole_number(value, name, least))
        for name in ("warp", "replicate", "cost_aware", "sparse"):
            if not isinstance(getattr(self, name), bool):
                raise SettingError(f"{name}: expected True or False, got {getattr(self, name)!r}")
        for name, choices in (("batch", ("greedy", "joint")), ("report", ("observed", "predicted"))):
            if getattr(self, name) not in choices:
                raise SettingError(f'{name}: expected "{choices[0]}" or "{choices[1]}", got {getattr(self, name)!r}')
        in_logs = isinstance(option, LogGain | None)
        if self.cost_aware and not in_logs:
            raise SettingError(f"cost_aware: expected an acquisition that is a logarithm, got {self.acquisition!r}")
        if self.batch == "joint" and not isinstance(option, NoisyExpectedImprovement | None):
            raise SettingError(f'batch: "joint" goes with "log_ei" and "log_nei", got {self.acquisition!r}')
        risk_of(self.risk)
        for name, record in (("cost", LinearCost), ("input_noise", InputNoise)):
            if not isinstance(getattr(self, name), (record, type(None))):
                raise SettingError(f"{name}: expected a {record.__name__} or None, got {getattr(self, name)!r}")
        object.__setattr__(self, "input_constraints", checked_constraints(self.input_constraints))
        if self.several not in ("auto", "hypervolume", "scalarised"):
            raise SettingError(f'several: expected "auto", "hypervolume" or "scalarised", got {self.several!r}')
        if self.reference_point is not None:
            object.__setattr__(self, "reference_point", checked_reference(self.reference_point))

    @property
    def capabilities(self) -> Capabilities:
        """One objective or several, constraints, every kind of parameter, pending candidates."""
        return capabilities_of(self)

    def init(self, spec: Spec, generator: torch.Generator) -> BayesianState:
        """Return the state before anything is known."""
        check_settings(spec, self)
        seed = int(torch.randint(0, 2**62, (1,), generator=generator, device=generator.device))
        state = BayesianState.empty(spec.dim, spec.n_objectives, spec.n_constraints, seed)
        if self.input_constraints:
            anchor = self.domain_of(spec).anchor
            state = replace(state, memory={_ANCHOR: torch.from_numpy(anchor)})
        return settled(state, spec, self.reference_point)

    def ready(self, spec: Spec, state: BayesianState, pending: int) -> int:
        """Return a number without meaning: any batch can be handed out at any time."""
        return _MANY

    def tell(self, spec: Spec, state: BayesianState, seen: Seen, generator: torch.Generator) -> BayesianState:
        """Remember what was evaluated; models are fitted when they are needed."""
        return state.learn(seen)

    def result(self, spec: Spec, state: BayesianState) -> Front | None:
        """Leave the best point to the optimizer, but for predictions that are wanted or that roles need."""
        front = role_result(spec, state, self)
        return predicted_best(spec, state, self) if front is None and self.report == "predicted" else front

    def ask(
        self, spec: Spec, state: BayesianState, request: Request, generator: torch.Generator
    ) -> tuple[BayesianState, Candidates]:
        """Return `request.n` candidates: of the start design first, then what a strategy proposes."""
        random = numpy_generator(generator)
        fixed = None if request.fixed is None else request.fixed.detach().to("cpu", torch.float64).numpy()
        domain = self.domain_of(spec, state, held_roles(spec, fixed))
        pending = request.pending.detach().to("cpu", torch.float64).numpy()
        missing = (start_size(spec) if self.start is None else self.start) - len(state) - len(pending)
        n_design = max(0, min(request.n, missing))
        if not len(state):
            n_design = request.n
        design, state = start_points(state, domain, n_design, pending, random)
        rows = [design]
        if request.n > n_design:
            waiting = np.concatenate([pending, design])
            more, state = self._proposed(spec, state, domain, waiting, request.n - n_design, random)
            rows.append(more)
        points = np.concatenate(rows)
        if domain.is_restricted:  # rounding, or a strategy that does not know of them
            good = domain.feasible(points)
            points[~good] = domain.canonical(domain.repair(domain.fill(points[~good], random)))
        x = torch.from_numpy(points).to(spec.device, spec.dtype)
        return state, Candidates(x)

    def domain_of(self, spec: Spec, state: BayesianState | None = None, fixed: Array | None = None) -> Domain:
        """Return the space with some columns held, and a point that satisfies the known constraints where there are."""
        if not self.input_constraints:
            return Domain(spec.space, fixed)
        domain = Domain(spec.space, fixed, Restrictions(spec.space, self.input_constraints, spec.constants))
        known = None if state is None or fixed is not None else state.memory.get(_ANCHOR)
        domain.anchor = find_anchor(domain) if known is None else known.numpy()
        return domain

    def _proposed(
        self, spec: Spec, state: BayesianState, domain: Domain, pending: Array, n: int, random: np.random.Generator
    ) -> tuple[Array, BayesianState]:
        """Return what a strategy proposes; evenly spread points where its arithmetic fails, which is counted."""
        strategy, reason = choose(spec, state, self)
        state = replace(state, reason="")
        try:
            with np.errstate(all="ignore"), one_thread():
                points, state = strategy.propose(spec, state, domain, pending, n, random, self)
        except AcquisitionError:
            raise
        except (ArithmeticError, ValueError):
            points = domain.canonical(domain.spread(n, random))
            return points, replace(state, fallbacks=state.fallbacks + 1, reason="evenly spread: arithmetic failed")
        return points, replace(state, modelled=state.modelled + n, reason=state.reason or reason)


def _checked_noise(noise: object) -> float | str:
    if isinstance(noise, str) and noise == "auto":
        return noise
    if not isinstance(noise, (str, bool)) and is_finite(noise) and noise >= 0:  # type: ignore[operator]
        return float(noise)  # type: ignore[arg-type]
    raise SettingError(f'noise: expected "auto" or a finite variance >= 0, got {shown(noise)}')
