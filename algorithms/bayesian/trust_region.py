"""TuRBO: Bayesian optimization inside a box that follows the best point, for many variables and large batches."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from blackbox._arguments import is_finite, is_whole
from blackbox.algorithm import Candidates, Capabilities, Front, Request, Seen, Spec
from blackbox.algorithms.bayesian._region import Region
from blackbox.algorithms.bayesian._thompson import propose
from blackbox.algorithms.bayesian.design import start_points
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.state import BayesianState
from blackbox.errors import SettingError
from blackbox.random import numpy_generator
from blackbox.surrogates.kernels import Array
from blackbox.surrogates.threads import one_thread

__all__ = ["TuRBO"]

_MANY = 2**31
_SOBOL_DIM = 21201


@dataclass(frozen=True, slots=True)
class TuRBO:
    """Trust-region Bayesian optimization with Thompson sampling: 20 to 200 variables, batches of hundreds.

    A Gaussian process of the current region's evaluations is drawn from once for each candidate (a function drawn
    from the posterior, minimised over a few thousand points of the box around the best evaluation). The box grows
    after successes, shrinks after failures, and a new one starts elsewhere when it has become tiny; nothing that was
    found is lost. One objective; black-box constraints (SCBO: the least violated sample where none is feasible);
    failed evaluations, which count as violations; every kind of parameter; noise; pending candidates.

    Parameters
    ----------
    batch_size : int, default 10
        What `ask()` hands out.
    start : int, optional
        Size of the start design of each region. Default: 2 d; of a known budget a twentieth at most, at least 10.
    length : float, default 0.8
        Side of the first box, in the unit cube, before it is stretched along long lengthscales.
    smallest, largest : float, default 0.5 ** 7 and 1.6
        Sides at which a region ends, and beyond which it does not grow.
    successes : int, default 10
        Improving batches in a row after which the side doubles.
    failures : int, optional
        Evaluations in a row without an improvement after which the side halves. Default: max(4, d).
    max_rows : int, default 1500
        Evaluations that the model is made of, at most: a quarter the best, the others the nearest to the best one.

    Raises
    ------
    SettingError
        If a setting is out of its range.

    References
    ----------
    D. Eriksson et al., Scalable global optimization via local Bayesian optimization, 2019 (TuRBO-1). D. Eriksson and
    M. Poloczek, Scalable constrained Bayesian optimization, 2021. J. Wilson et al., Efficiently sampling functions
    from Gaussian process posteriors, 2020.

    Examples
    --------
    >>> import blackbox as bb
    >>> optimizer = bb.Optimizer(bb.Space.box([-5] * 50, [5] * 50), TuRBO(batch_size=100), seed=0)
    >>> len(optimizer.ask())
    100
    """

    batch_size: int = 10
    start: int | None = None
    length: float = 0.8
    smallest: float = 0.5**7
    largest: float = 1.6
    successes: int = 10
    failures: int | None = None
    max_rows: int = 1500

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 1), ("start", 2), ("successes", 1), ("failures", 1), ("max_rows", 10)):
            value = getattr(self, name)
            if value is None and name in ("start", "failures"):
                continue
            if not is_whole(value, least):
                raise SettingError(f"{name}: expected an integer >= {least}, got {value!r}")
        sides = self.smallest, self.length, self.largest
        if not all(map(is_finite, sides)) or not 0.0 < self.smallest < self.length <= self.largest:
            raise SettingError(
                "smallest, length, largest: expected 0 < smallest < length <= largest, got "
                f"{self.smallest!r}, {self.length!r}, {self.largest!r}"
            )

    @property
    def capabilities(self) -> Capabilities:
        """One objective, constraints, every kind of parameter, pending candidates."""
        return Capabilities(constraints=True, natural_batch=self.batch_size, single_precision=False, max_dim=_SOBOL_DIM)

    def init(self, spec: Spec, generator: torch.Generator) -> BayesianState:
        """Return the state before anything is known."""
        seed = int(torch.randint(0, 2**62, (1,), generator=generator, device=generator.device))
        state = BayesianState.empty(spec.dim, spec.n_objectives, spec.n_constraints, seed)
        return replace(state, memory=Region(length=self.length).as_memory())

    def ready(self, spec: Spec, state: BayesianState, pending: int) -> int:
        """Return a number without meaning: any batch can be handed out at any time."""
        return _MANY

    def tell(self, spec: Spec, state: BayesianState, seen: Seen, generator: torch.Generator) -> BayesianState:
        """Remember what was evaluated; the region is moved at the next ask."""
        return state.learn(seen)

    def result(self, spec: Spec, state: BayesianState) -> Front | None:
        """Leave the best point to the optimizer."""
        return None

    def ask(
        self, spec: Spec, state: BayesianState, request: Request, generator: torch.Generator
    ) -> tuple[BayesianState, Candidates]:
        """Return `request.n` candidates: of the region's start design first, then Thompson samples in its box."""
        random = numpy_generator(generator)
        fixed = None if request.fixed is None else request.fixed.detach().to("cpu", torch.float64).numpy()
        domain = Domain(spec.space, fixed)
        pending = request.pending.detach().to("cpu", torch.float64).numpy()
        n_start = self._n_start(spec)
        region = Region.of(state).advanced(state, self, spec.dim, n_start)
        if region.length < self.smallest:
            region = Region(length=self.length, first=len(state), seen=len(state))
            state = replace(state, objectives=[replace(state.objectives[0], n=0)])
        state = replace(state, memory=region.as_memory())
        missing = n_start - (len(state) - region.first) - len(pending)
        n_design = request.n if len(state) == region.first else max(0, min(request.n, missing))
        design, state = start_points(state, domain, n_design, pending, random)
        rows = [design]
        if request.n > n_design:
            waiting = np.concatenate([pending, design])
            more, state = self._sampled(state, region, domain, waiting, request.n - n_design, random)
            rows.append(more)
        return state, Candidates(torch.from_numpy(np.concatenate(rows)).to(spec.device, spec.dtype))

    def _n_start(self, spec: Spec) -> int:
        if self.start is not None:
            return self.start
        return 2 * spec.dim if spec.budget is None else min(2 * spec.dim, max(10, spec.budget // 20))

    def _sampled(
        self,
        state: BayesianState,
        region: Region,
        domain: Domain,
        pending: Array,
        n: int,
        random: np.random.Generator,
    ) -> tuple[Array, BayesianState]:
        """Return Thompson samples; evenly spread points where the models' arithmetic fails, which is counted."""
        try:
            with np.errstate(all="ignore"), one_thread():
                points, state = propose(state, region, domain, pending, n, random, max_rows=self.max_rows)
        except (ArithmeticError, ValueError):
            return domain.canonical(domain.spread(n, random)), replace(state, fallbacks=state.fallbacks + 1)
        return points, replace(state, modelled=state.modelled + n)
