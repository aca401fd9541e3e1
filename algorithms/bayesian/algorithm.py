"""Bayesian optimization of one expensive objective: models of the data choose what to evaluate next."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from blackbox.algorithm import Candidates, Capabilities, Front, Request, Seen, Spec
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.models import Fitting
from blackbox.algorithms.bayesian.proposal import ENUMERATE, Pace, propose
from blackbox.algorithms.bayesian.search import Effort
from blackbox.algorithms.bayesian.state import BayesianState
from blackbox.algorithms.bayesian.view import look
from blackbox.errors import SettingError
from blackbox.random import numpy_generator
from blackbox.surrogates.kernels import Array
from blackbox.surrogates.likelihood import Prior
from blackbox.surrogates.threads import one_thread

__all__ = ["BayesianOptimization"]

_MANY = 2**31
_SOBOL_DIM = 21201
_LATER = Effort(spread=96, local=96, starts=3, evaluations=15, rounds=4)  # for all but the first of a batch
# Rougher than the plain prior, so less sure where nothing was evaluated, and alike in all columns until data speak.
_PRIOR = Prior(shift=-1.4, together=0.15)


@dataclass(frozen=True, slots=True)
class BayesianOptimization:
    """Gaussian processes and log expected improvement, for functions that cost more than a second.

    One objective; real, integer, ordinal, categorical and conditional parameters; black-box constraints;
    failed evaluations, which are learned from; noise, known or not; any batch size and pending candidates.
    An ask takes 10 to 50 ms up to 300 evaluations and O(n^3) time beyond.

    Parameters
    ----------
    noise : "auto" or float, default "auto"
        Variance of the noise of the values; 0 for a deterministic function. "auto": known variances that are told
        are used; otherwise noise is learned where repeated points differ or the evidence favours it.
    start : int, optional
        Size of the start design, failures included. Default: max(5, d/2 + 3), up to d more for
        discrete parameters, a quarter of a known budget at most.
    warp : bool, default True
        Whether a power transform that makes long bad tails shorter may be used.
    batch_size : int, default 1
        What `ask()` hands out.

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

    noise: float | str = "auto"
    start: int | None = None
    warp: bool = True
    batch_size: int = 1

    def __post_init__(self) -> None:
        if self.noise != "auto" and (
            isinstance(self.noise, (bool, str)) or not (math.isfinite(self.noise) and self.noise >= 0)
        ):
            raise SettingError(f'noise: expected "auto" or a finite variance >= 0, got {self.noise!r}')
        for name, least in (("start", 1), ("batch_size", 1)):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise SettingError(f"{name}: expected an integer >= {least}, got {value!r}")

    @property
    def capabilities(self) -> Capabilities:
        """One objective, constraints, every kind of parameter, pending candidates."""
        return Capabilities(constraints=True, natural_batch=self.batch_size, single_precision=False, max_dim=_SOBOL_DIM)

    def init(self, spec: Spec, generator: torch.Generator) -> BayesianState:
        """Return the state before anything is known."""
        seed = int(torch.randint(0, 2**62, (1,), generator=generator, device=generator.device))
        return BayesianState.empty(spec.dim, spec.n_objectives, spec.n_constraints, seed)

    def ready(self, spec: Spec, state: BayesianState, pending: int) -> int:
        """Return a number without meaning: any batch can be handed out at any time."""
        return _MANY

    def tell(self, spec: Spec, state: BayesianState, seen: Seen, generator: torch.Generator) -> BayesianState:
        """Remember what was evaluated; models are fitted when they are needed."""
        return state.learn(seen)

    def result(self, spec: Spec, state: BayesianState) -> Front | None:
        """Leave the best point to the optimizer."""
        return None

    def ask(
        self, spec: Spec, state: BayesianState, request: Request, generator: torch.Generator
    ) -> tuple[BayesianState, Candidates]:
        """Return `request.n` candidates: of the start design first, then where improvement is expected."""
        random = numpy_generator(generator)
        fixed = None if request.fixed is None else request.fixed.detach().to("cpu", torch.float64).numpy()
        domain = Domain(spec.space, fixed)
        pending = request.pending.detach().to("cpu", torch.float64).numpy()
        missing = self._n_start(spec) - len(state) - len(pending)
        n_design = max(0, min(request.n, missing))
        if not bool((~state.failed).any()) and not len(state):
            n_design = request.n
        design, state = self._design(spec, state, domain, n_design)
        if domain.n_cells <= ENUMERATE and n_design:
            design = _without_repeats(design, domain, np.concatenate([state.x.numpy(), pending]), random)
        rows = [design]
        if request.n > n_design:
            waiting = np.concatenate([pending, design])
            more, state = self._modelled_or_random(state, domain, waiting, request.n - n_design, random)
            rows.append(more)
        x = torch.from_numpy(np.concatenate(rows)).to(spec.device, spec.dtype)
        return state, Candidates(x)

    def _n_start(self, spec: Spec) -> int:
        if self.start is not None:
            return self.start
        space = spec.space
        choices = np.minimum(space.upper - space.lower, 2.0)[space.kinds > 0].sum()  # no gradient leads across them
        wanted = max(5, spec.dim // 2 + 3) + int(min(choices, spec.dim))
        return wanted if spec.budget is None else max(2, min(wanted, spec.budget // 4))

    def _design(self, spec: Spec, state: BayesianState, domain: Domain, n: int) -> tuple[Array, BayesianState]:
        """Return the next points of the start design: the centre, then scrambled Sobol points."""
        if not n:
            return np.zeros((0, domain.dim)), state
        u = np.full((n, domain.dim), 0.5)
        skip = max(0, state.started - 1)
        drawn = n - (state.started == 0)
        if drawn:
            engine = torch.quasirandom.SobolEngine(domain.dim, scramble=True, seed=state.design_seed)  # type: ignore[no-untyped-call]
            u[n - drawn :] = engine.fast_forward(skip).draw(drawn, dtype=torch.float64).numpy()  # type: ignore[no-untyped-call]
        return domain.canonical(domain.from_unit(u)), replace(state, started=state.started + n)

    def _modelled_or_random(
        self, state: BayesianState, domain: Domain, pending: Array, n: int, random: np.random.Generator
    ) -> tuple[Array, BayesianState]:
        """Return what the models propose; evenly spread points where their arithmetic fails, which is counted."""
        try:
            with np.errstate(all="ignore"), one_thread():
                return self._modelled(state, domain, pending, n, random)
        except (ArithmeticError, ValueError):
            codes = domain.spread(n, random)
            return domain.canonical(codes), replace(state, fallbacks=state.fallbacks + 1)

    def _modelled(
        self, state: BayesianState, domain: Domain, pending: Array, n: int, random: np.random.Generator
    ) -> tuple[Array, BayesianState]:
        """Return points that models of the data propose, one after the other, each aware of those before."""
        noise = None if self.noise == "auto" else float(self.noise)
        view = look(state, domain, Fitting(), random, noise=noise, warp=self.warp, prior=_PRIOR)
        waiting = domain.model(pending)
        acquisition = view.acquisition.condition(waiting)
        if not domain.free.all():
            held = domain.model(domain.fill(state.x.numpy()[view.order], random))
            acquisition = acquisition.relative_to(held)
        taken = np.concatenate([domain.model(state.x.numpy()), waiting]) if view.deterministic else waiting
        anchors = domain.fill(state.x.numpy()[view.order[:5]], random)
        chosen: list[Array] = []
        pace = Pace(state.promise, state.turn)
        for _ in range(n):
            effort = _LATER if chosen else Effort()
            point, pace = propose(acquisition, domain, anchors, taken, pace, random, effort)
            chosen.append(domain.canonical(point[None]))
            if len(chosen) < n:
                added = domain.model(chosen[-1])
                taken = np.concatenate([taken, added])
                acquisition = acquisition.condition(added)
        state = replace(view.state, modelled=state.modelled + n, promise=pace.promise, turn=pace.turn)
        return np.concatenate(chosen), state


def _without_repeats(design: Array, domain: Domain, taken: Array, random: np.random.Generator) -> Array:
    """Return a start design of a finite space in which repeats, where possible, are replaced by other points."""
    known = {row.tobytes() for row in np.nan_to_num(taken, nan=-1.0) + 0.0}
    result = design.copy()
    spare: list[Array] | None = None
    for i, row in enumerate(design):
        key = (np.nan_to_num(row, nan=-1.0) + 0.0).tobytes()
        if key in known:
            if spare is None:
                spare = list(domain.canonical(random.permutation(domain.all_cells())))
            while spare and key in known:
                result[i] = spare.pop()
                key = (np.nan_to_num(result[i], nan=-1.0) + 0.0).tobytes()
        known.add(key)
    return result
