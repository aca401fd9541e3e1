"""Random environments and errors of implementation: the design by its risk, the environment by what it tells about it.

The model is one of the outcome over designs and environments together. A candidate's design maximises the expected
improvement of its risk; its environment is the one whose evaluation takes away most of the variance of that risk.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from blackbox.algorithm import Front, Spec
from blackbox.algorithms.bayesian.acquisition import Acquisition, Limit
from blackbox.algorithms.bayesian.domain import Domain, lattice
from blackbox.algorithms.bayesian.models import Fitting
from blackbox.algorithms.bayesian.options import ThompsonSampling, option_of
from blackbox.algorithms.bayesian.proposal import Pace, best_new
from blackbox.algorithms.bayesian.risk import Risk, VaR, WorstCase, risk_of
from blackbox.algorithms.bayesian.risk_draw import RiskDraw
from blackbox.algorithms.bayesian.scenarios import Averaged, Sampled, Scenarios, quantiles, scenarios_of
from blackbox.algorithms.bayesian.scores import Score, make_score
from blackbox.algorithms.bayesian.search import Effort
from blackbox.algorithms.bayesian.single import counted, prior_with_roles
from blackbox.algorithms.bayesian.state import BayesianState
from blackbox.algorithms.bayesian.steps import step
from blackbox.algorithms.bayesian.unit_cost import cost_model
from blackbox.algorithms.bayesian.view import View, look
from blackbox.roles import nominal
from blackbox.surrogates.gaussian_process import GaussianProcess
from blackbox.surrogates.kernels import Array, Index, Mask, covariance

if TYPE_CHECKING:
    from blackbox.algorithms.bayesian.algorithm import BayesianOptimization

__all__ = ["Robust", "least_risk"]

_ANALYTIC = Effort(spread=192, local=192, starts=4, evaluations=25)
_SAMPLED = Effort(spread=96, local=96, starts=3, evaluations=12, rounds=4)
_ENVIRONMENTS = 48  # further environments that are compared, where they are not listed
_FLOOR = 1e-7
_SHORTLIST = 300  # evaluated designs whose risk is predicted, at most
_BLOCK = 2048


@dataclass(frozen=True, slots=True)
class Robust:
    """The strategy for spaces with environments, and for errors of implementation; one objective.

    References
    ----------
    S. Toscano-Palmerin and P. I. Frazier, Bayesian optimization with expensive integrands, 2018. S. Cakmak et al.,
    Bayesian optimization of risk measures, 2020. Deviations: expected improvement of the risk, of which the first two
    moments are taken where it is not Gaussian; the environment is chosen after the design.
    """

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
        """Return n points and the next state (see `Strategy`)."""
        view = _look(state, domain, random, settings)
        risk = risk_of(settings.risk)
        scenarios = scenarios_of(domain, risk, settings.input_noise, state.design_seed)
        designs = domain.holding(centres(domain))
        acquisition = risky(view, scenarios, risk, state.design_seed)
        result, cost = view.state, None
        if settings.cost_aware:
            cost, result = cost_model(result, domain, Fitting(), prior_with_roles(settings), random)
            acquisition = replace(acquisition, cost=cost)
        codes = designs.fill(state.x.numpy()[state.usable], random)
        rows = _promising(view, designs.model(codes), _told_feasible(state), scenarios, risk)
        codes, known = codes[rows], designs.model(codes[rows])
        acquisition = _relative_to(acquisition, known).condition(domain.model(pending))
        taken = np.concatenate([domain.model(state.x.numpy()), domain.model(pending)])
        taken = taken if view.deterministic else taken[:0]
        anchors = _anchors(acquisition, known, codes)
        chosen: list[Array] = []
        pace, lost = Pace(state.promise, state.turn), 0
        for _ in range(n):
            analytic = all(isinstance(mode, Averaged) for mode in acquisition.modes)
            effort = _ANALYTIC if analytic else _SAMPLED
            at_hand = taken if not domain.environments else taken[:0]
            score = _score_of(settings, acquisition, designs, known, anchors, len(state), random)
            if score is None:
                design, pace = step(acquisition, designs, anchors, at_hand, pace, random, effort)
            else:
                design, value = best_new(score, designs, anchors, at_hand, random, effort)
                if not np.isfinite(value):
                    lost += 1
                    design, _ = best_new(acquisition, designs, anchors, at_hand, random, effort)
            point = choose_environment(acquisition, design, domain, scenarios, taken, random, cost)
            chosen.append(domain.canonical(point[None]))
            if len(chosen) < n:
                added = domain.model(chosen[-1])
                taken = np.concatenate([taken, added])
                acquisition = acquisition.condition(added)
        result = replace(result, promise=pace.promise, turn=pace.turn)
        return np.concatenate(chosen), counted(result, lost, settings)


def _score_of(
    settings: BayesianOptimization,
    acquisition: Acquisition,
    designs: Domain,
    known: Array,
    anchors: Array,
    n: int,
    random: np.random.Generator,
) -> Score | None:
    """Return another acquisition of the risk than log expected improvement, where one is wanted."""
    option = option_of(settings.acquisition)
    if option is None or not acquisition.modes:
        return None
    if isinstance(option, ThompsonSampling):
        return RiskDraw(acquisition, designs, option.features, random)
    return make_score(option, acquisition, designs, known=known, anchors=anchors, waiting=known[:0], n=n, random=random)


def centres(domain: Domain) -> Array:
    """Return codes that hold free environments at their centre and free fidelities at their target, shape (d,)."""
    fixed = np.full(domain.dim, np.nan)
    for column in (*domain.environments, *domain.fidelities):
        if domain.free[column]:
            fixed[column] = nominal(domain.space, column)
    return fixed


def _look(state: BayesianState, domain: Domain, random: np.random.Generator, settings: BayesianOptimization) -> View:
    noise = None if settings.noise == "auto" else float(settings.noise)
    return look(
        state, domain, Fitting(modes=2), random, noise=noise, warp=settings.warp, prior=prior_with_roles(settings)
    )


def risky(view: View, scenarios: Scenarios, risk: Risk, seed: int) -> Acquisition:
    """Return the acquisition of the risk; constraints should hold with the risk's level."""
    acquisition = view.acquisition
    if risk.kind == "expectation" and view.warp.power == 1.0:
        modes: list[Averaged | Sampled] = [Averaged(mode, scenarios) for mode in acquisition.modes]
    else:
        modes = [Sampled.draw(mode, scenarios, risk, seed, view.warp) for mode in acquisition.modes]
    held = WorstCase() if risk.kind == "worst_case" else VaR(risk.level)
    limits = tuple(
        Limit(as_process(Sampled.draw(limit.process, scenarios, held, seed)), limit.threshold)
        for limit in acquisition.limits
    )
    return replace(acquisition, modes=tuple(as_process(mode) for mode in modes), limits=limits)


def as_process(view: Averaged | Sampled) -> GaussianProcess:
    """Return a view of a process as what it stands in for: it predicts and conditions alike."""
    return cast("GaussianProcess", view)


def _relative_to(acquisition: Acquisition, known: Array) -> Acquisition:
    """Return the acquisition with the least predicted risk of evaluated designs, feasible ones if any, to improve."""
    good = np.ones(len(known), bool)
    for limit in acquisition.limits:
        good &= limit(known) > np.log(0.5)
    return acquisition.relative_to(known[good] if good.any() else known)


def _told_feasible(state: BayesianState) -> Mask:
    """Return which usable evaluations met the constraints in the environment that they were made in."""
    return np.asarray((state.violations.numpy()[state.usable] <= 0.0).all(1))


def _promising(view: View, known: Array, feasible: Mask, scenarios: Scenarios, risk: Risk) -> Index:
    """Return which evaluated designs can be the best: all of a few hundred; of more, by predictions without spread."""
    rows = np.arange(len(known))
    if len(known) <= _SHORTLIST or not view.acquisition.modes:
        return rows
    rows = np.flatnonzero(feasible) if feasible.sum() >= _SHORTLIST else rows
    mode = view.acquisition.modes[0]

    def mean(points: Array) -> Array:
        blocks = np.array_split(points, 1 + len(points) // _BLOCK)
        parts = [covariance(block, mode.x, mode.layout, mode.hyper) @ mode.weights for block in blocks]
        return np.concatenate(parts) + mode.mean

    rows = rows[np.argsort(mean(known[rows]), kind="stable")[: 2 * _SHORTLIST]]  # in the central environment
    outcomes = mean(scenarios.expand(known[rows])).reshape(len(rows), -1)
    return np.asarray(rows[np.argsort(risk(outcomes), kind="stable")[:_SHORTLIST]])


def _anchors(acquisition: Acquisition, known: Array, codes: Array) -> Array:
    if not acquisition.modes or not len(known):
        return codes[:5]
    return np.asarray(codes[np.argsort(acquisition.predicted(known), kind="stable")[:5]])


def choose_environment(
    acquisition: Acquisition,
    design: Array,
    domain: Domain,
    scenarios: Scenarios,
    taken: Array,
    random: np.random.Generator,
    cost: GaussianProcess | None = None,
) -> Array:
    """Return the full codes of one design in the environment that tells most about its risk, per unit of cost."""
    free = [c for c in domain.environments if domain.free[c]]
    if not free or not acquisition.modes:
        return np.asarray(domain.hold(_drawn(design, free, domain, 1, random))[0])
    codes = domain.hold(_drawn(design, free, domain, _ENVIRONMENTS, random))
    points = domain.model(codes)
    aim = domain.model(design[None])[0]
    score = np.zeros(len(points))
    for mode, log_weight in zip(acquisition.modes, acquisition.log_weights, strict=True):
        score += np.exp(log_weight) * _told(cast("Averaged | Sampled", mode), aim, points)
    if cost is not None:
        score = score * np.exp(-cost.predict(points)[0] * cost.standard.spread)
    if len(taken):
        gap = np.abs(np.nan_to_num(points, nan=-1.0)[:, None] - np.nan_to_num(taken, nan=-1.0)[None]).max(2).min(1)
        score = np.where(gap <= 1e-6, -np.inf, score)
    return np.asarray(codes[int(np.argmax(score))])


def _drawn(design: Array, free: list[int], domain: Domain, n: int, random: np.random.Generator) -> Array:
    """Return one design in n environments: spread over their ranges, or values that were listed, shape (n, d)."""
    codes = np.asarray(np.tile(design, (n, 1)))
    u = lattice(n, max(len(free), 1), random)
    for i, column in enumerate(free):
        codes[:, column] = quantiles(u[:, i], column, domain)
    return codes


def _told(mode: Averaged | Sampled, aim: Array, points: Array) -> Array:
    """Return by how much the variance of the (linearised) risk at a design falls when other points are evaluated."""
    process: GaussianProcess = mode.process
    shares, spots = mode.shares(aim), mode.scenarios.expand(aim[None])
    half = covariance(points, process.x, process.layout, process.hyper) @ process.inverse.T
    risk = covariance(spots, process.x, process.layout, process.hyper) @ process.inverse.T
    joint = covariance(points, spots, process.layout, process.hyper) - half @ risk.T
    scale = process.hyper.scale
    variance = np.maximum(scale - np.einsum("ij,ij->i", half, half), 0.0) + process.hyper.noise + _FLOOR * scale
    return np.asarray((joint @ shares) ** 2 / variance)


def least_risk(spec: Spec, state: BayesianState, settings: BayesianOptimization) -> Front | None:
    """Return the evaluated design with the least predicted risk, and that risk; None before anything is known."""
    if not bool((~state.failed).any()):
        return None
    domain = Domain(spec.space, None)
    random = np.random.default_rng(state.design_seed)
    view = _look(state, domain, random, settings)
    risk = risk_of(settings.risk)
    scenarios = scenarios_of(domain, risk, settings.input_noise, state.design_seed)
    acquisition = risky(view, scenarios, risk, state.design_seed)
    designs = domain.holding(centres(domain))
    codes = designs.fill(state.x.numpy()[state.usable], random)
    codes = codes[_promising(view, designs.model(codes), _told_feasible(state), scenarios, risk)]
    points = designs.model(codes)
    excess = np.zeros((len(points), len(acquisition.limits)))
    for j, limit in enumerate(acquisition.limits):
        process = limit.process
        logs = process.predict(points)[0] * process.standard.spread + process.standard.shift
        excess[:, j] = np.sign(logs) * np.expm1(np.abs(logs))  # undoes the signed logarithm
    mean = acquisition.predicted(points) if acquisition.modes else np.zeros(len(points))
    total = np.maximum(excess, 0.0).sum(1)
    order = np.lexsort((mean, total))
    best = int(order[0])
    if acquisition.modes:
        standard = acquisition.modes[0].standard
        value = view.warp.inverse(mean[best : best + 1] * standard.spread + standard.shift)
    else:
        value = state.values[~state.failed].numpy()[best]
    return Front(
        torch.from_numpy(designs.canonical(codes[best][None])).to(spec.device, spec.dtype),
        torch.from_numpy(np.asarray(value).reshape(1, 1)).to(spec.device, spec.dtype),
        torch.from_numpy(excess[best][None]).to(spec.device, spec.dtype),
        predicted=True,
    )
