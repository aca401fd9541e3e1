"""CMA-ES (pycma underneath) as a kernel: restarts, bounds, integers, constraints, and a state made of numbers."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blackbox.algorithm import Candidates, Capabilities, Front, Request, Seen, Spec
from blackbox.algorithms._cma_box import SearchBox
from blackbox.algorithms._cma_constraints import penalised
from blackbox.algorithms._cma_engine import Engine
from blackbox.algorithms._cma_ranking import best_of, fitness_of, match
from blackbox.algorithms._cma_run import Plan, Restarts, Run, next_run, uniform
from blackbox.errors import CapabilityError, ExhaustedError, SettingError
from blackbox.state import TRANSIENT

__all__ = ["CMAES", "CMAState"]

Array = NDArray[np.float64]

_FULL_UP_TO = 1000  # variables; beyond, an eigendecomposition takes seconds and "auto" means diagonal
_MATRICES = 8  # d x d arrays of float64 that a full run holds at its peak: model, state, and eigendecomposition

_REASONS = {
    "tolfun": "the values of a generation, and of recent ones, differ by less than 1e-11",
    "tolfunhist": "the best values of recent generations differ by less than 1e-12",
    "tolfunrel": "the values of a generation no longer differ",
    "tolflatfitness": "most values of a generation were equal for several generations (flat fitness)",
    "tolx": "the step-size is below 1e-11",
    "tolxstagnation": "the mean of the distribution no longer moves",
    "tolstagnation": "values have not improved for many generations",
    "tolfacupx": "the step-size has diverged",
    "tolupsigma": "the step-size grows without improvement",
    "tolconditioncov": "the condition number of the covariance matrix is above 1e14",
    "noeffectaxis": "the step-size is below the resolution of floating-point numbers",
    "noeffectcoord": "the step-size is below the resolution of floating-point numbers",
    "maxiter": "the run has used its number of generations",
}


@dataclass(frozen=True)
class CMAState:
    """What CMA-ES knows between calls.

    Attributes
    ----------
    run : Run
        The present run's start, step-size and population.
    plan : Plan
        What earlier runs did.
    numbers : dict
        pycma's numbers of the present run (mean, step-size, covariance matrix, paths, histories).
    coefficients : dict
        Of the augmented Lagrangian; empty without constraints and at the start of a run.
    genotypes : array, shape (n, d), or None
        The search vectors of the generation that is out.
    x : Tensor, shape (n, d), or None
        The points that were handed out for them.
    injected : int
        How many of them point towards external points.
    targets : list of array, shape (d,)
        Search vectors of external points that the next generation will sample towards.
    best : list of two float
        Total violation and value of the best point told so far.
    started : bool
        Whether something was handed out.
    stopped : str
        Why there will be no further candidate; empty where there will.
    """

    run: Run
    plan: Plan
    numbers: dict[str, Any]
    coefficients: dict[str, Any] = field(default_factory=dict)
    genotypes: Array | None = None
    x: Tensor | None = None
    injected: int = 0
    targets: list[Array] = field(default_factory=list)
    best: list[float] = field(default_factory=lambda: [math.inf, math.inf])
    started: bool = False
    stopped: str = ""
    engine: Engine | None = field(default=None, metadata=TRANSIENT, compare=False, repr=False)


@dataclass(frozen=True)
class CMAES:
    """Covariance matrix adaptation evolution strategy, with the reference implementation pycma underneath.

    For one objective over real, integer and ordinal variables, from a few up to about a hundred of them with a few
    hundred evaluations a variable; rank-based, invariant to rotation, robust to ruggedness. It is generational: a
    generation is handed out in pieces and learned from when none of it is pending. Failed rows are ranked last, a
    generation in which all failed changes nothing. Bounds hold for every point: the search space is folded into the
    box as by pycma's `BoundTransform`. Violations enter through pycma's augmented Lagrangian. Integers on a linear
    scale get pycma's lower bound on their standard deviation and integer centring; variables on a log scale, integers
    included, are searched as the logarithm. A data set that is told before the first ask sets the start to its best
    point; better points that are told later are injected into the next generation.

    Parameters
    ----------
    population_size : int, optional
        Candidates a generation, at least 4. Default: pycma's, 4 + 3 ln(d) rounded down (more with integers).
    sigma0 : float, default 0.25
        The first step-size as a share of each variable's range, in (0, 1].
    x0 : sequence of d float, optional
        Where the first run starts, as encoded values of the searched (not fixed) variables. Default: drawn uniformly
        from the middle 80 % of each range, as later runs always do.
    restarts : "none", "ipop" or "bipop", default "bipop"
        What follows when a run stops: nothing (`ask` raises `ExhaustedError` with the reason), runs with doubled
        populations (Auger and Hansen 2005), or these interlaced with small local runs (Hansen 2009).
    diagonal : bool or "auto", default "auto"
        Whether only the diagonal of the covariance matrix is learned (sep-CMA-ES: memory and time linear in d).
        "auto": where d > 1000.

    Raises
    ------
    SettingError
        If a setting makes no sense.
    CapabilityError
        At the optimizer's construction, if a full covariance matrix would not fit into memory.

    Notes
    -----
    Sources: Hansen, "The CMA evolution strategy: a tutorial" (arXiv:1604.00772); pycma 4.5. pycma's stop criteria end
    a run, with its default tolerances; the limit at condition number 1e14 takes the place of its linear
    transformation at 1e12. Step sizes are adapted cumulatively at any dimension (pycma: below 300 only).

    Examples
    --------
    >>> from blackbox.optimizer import Optimizer
    >>> from blackbox.space import Space
    >>> optimizer = Optimizer(Space.box([-5.0] * 3, [5.0] * 3), CMAES(), seed=0)
    >>> for _ in range(80):
    ...     batch = optimizer.ask()
    ...     report = optimizer.tell(batch, (batch.x**2).sum(1))
    >>> bool(optimizer.result().values.min() < 1e-8)
    True
    """

    population_size: int | None = None
    sigma0: float = 0.25
    x0: Sequence[float] | None = None
    restarts: Restarts = "bipop"
    diagonal: bool | Literal["auto"] = "auto"

    def __post_init__(self) -> None:
        size = self.population_size
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 4):
            raise SettingError(f"population_size: expected an integer >= 4 or None, got {size!r}")
        if isinstance(self.sigma0, bool) or not isinstance(self.sigma0, (int, float)) or not 0 < self.sigma0 <= 1:
            raise SettingError(f"sigma0: expected a number in (0, 1], got {self.sigma0!r}")
        if self.restarts not in ("none", "ipop", "bipop"):
            raise SettingError(f'restarts: expected "none", "ipop" or "bipop", got {self.restarts!r}')
        if self.diagonal not in (True, False, "auto") or isinstance(self.diagonal, (int, float)) != isinstance(
            self.diagonal, bool
        ):
            raise SettingError(f'diagonal: expected True, False or "auto", got {self.diagonal!r}')
        if self.x0 is not None:
            try:
                start = [float(value) for value in self.x0]
            except (TypeError, ValueError):
                raise SettingError(f"x0: expected a sequence of numbers or None, got {self.x0!r}") from None
            if isinstance(self.x0, (str, bytes)) or not all(math.isfinite(value) for value in start):
                raise SettingError(f"x0: expected finite numbers or None, got {self.x0!r}")
            object.__setattr__(self, "x0", start)

    @property
    def capabilities(self) -> Capabilities:
        """One objective, constraints, integers and ordinals, generational; no categorical or conditional variables."""
        return Capabilities(
            constraints=True,
            categorical=False,
            conditional=False,
            asynchronous=False,
            accepts_external=True,
            single_precision=False,
        )

    # -- the protocol ----------------------------------------------------------------------------------------

    def init(self, spec: Spec, generator: torch.Generator) -> CMAState:
        """Return the first state."""
        if not self._is_diagonal(spec.dim):
            _check_memory(spec.dim)
        box = SearchBox(spec.space)
        if self.x0 is None:
            start = _random_start(box, generator)
        else:
            if len(self.x0) != spec.dim:
                raise SettingError(f"x0: expected {spec.dim} values, one a searched variable, got {len(self.x0)}")
            x0 = torch.tensor([self.x0], dtype=torch.float64)
            spec.space.check(x0)
            start = box.genotypes(x0)[0]
        run = Run(start, float(self.sigma0), self.population_size or 0)
        engine = Engine(box, run, diagonal=self._is_diagonal(spec.dim))
        return CMAState(run, Plan(engine.population_size), engine.first_numbers, engine=engine)

    def ready(self, spec: Spec, state: CMAState, pending: int) -> int:
        """Return the size of a generation."""
        return self._engine(spec, state).population_size

    def ask(
        self, spec: Spec, state: CMAState, request: Request, generator: torch.Generator
    ) -> tuple[CMAState, Candidates]:
        """Return a generation.

        Raises
        ------
        ExhaustedError
            If the run has stopped and `restarts` is "none".
        """
        if state.stopped:
            raise ExhaustedError(
                f"CMA-ES has stopped after {state.numbers['es.countevals']} evaluations: {state.stopped}; use "
                'restarts="ipop" or "bipop" to go on from elsewhere'
            )
        engine = self._engine(spec, state)
        genotypes = engine.sample(state.numbers, state.targets, generator)
        x = engine.box.points(genotypes, spec.dtype, spec.device)
        state = replace(
            state,
            genotypes=genotypes,
            x=x,
            injected=len(state.targets),
            targets=[],
            started=True,
            engine=engine,
        )
        return state, Candidates(x)

    def tell(self, spec: Spec, state: CMAState, seen: Seen, generator: torch.Generator) -> CMAState:
        """Return the state that has learned from a generation, from external points, or from both."""
        engine = self._engine(spec, state)
        if state.x is not None and not spec.n_constraints and torch.equal(seen.x, state.x):
            values = seen.values.tolist()  # the common case, kept short: a whole generation, unchanged
            fitness = [row[0] for row in values]
            if math.isfinite(sum(fitness)):
                best = min(state.best, [0.0, min(fitness)])
                return self._learn(spec, state, _Ranking(fitness, state.genotypes, [], best), generator)
        if bool(seen.external.any()):
            state = self._tell_external(spec, state, engine, seen)
            engine = self._engine(spec, state)
        ranking = self._rank(spec, state, engine, seen)
        if ranking is None:
            return replace(state, genotypes=None, x=None) if bool((~seen.external).any()) else state
        return self._learn(spec, state, ranking, generator)

    def result(self, spec: Spec, state: CMAState) -> Front | None:
        """Return None: the optimizer keeps the best point."""
        return None

    # -- parts -----------------------------------------------------------------------------------------------

    def _is_diagonal(self, dim: int) -> bool:
        return dim > _FULL_UP_TO if self.diagonal == "auto" else bool(self.diagonal)

    def _engine(self, spec: Spec, state: CMAState) -> Engine:
        """Return the state's engine; made anew after loading, where a state of another shape raises `StateError`."""
        if state.engine is not None:
            return state.engine
        engine = Engine(SearchBox(spec.space), state.run, diagonal=self._is_diagonal(spec.dim))
        engine.check(state.numbers)
        object.__setattr__(state, "engine", engine)  # a cache: no part of the state
        return engine

    def _tell_external(self, spec: Spec, state: CMAState, engine: Engine, seen: Seen) -> CMAState:
        """Start from the best external point before the first ask; sample towards it afterwards, if it is the best."""
        external = seen.external.nonzero()[:, 0]
        values, violations = _array(seen.values[external])[:, 0], _array(seen.violations[external])
        if not np.isfinite(values).any():
            return state
        row, key = best_of(values, violations)
        if not key < state.best:
            return state
        target = engine.box.genotypes(seen.x[external][row : row + 1])[0]
        if state.started:
            return replace(state, best=key, targets=[target])
        run = replace(state.run, mean=target)
        engine = Engine(engine.box, run, diagonal=self._is_diagonal(spec.dim))
        return replace(state, run=run, numbers=engine.first_numbers, best=key, engine=engine)

    def _rank(self, spec: Spec, state: CMAState, engine: Engine, seen: Seen) -> _Ranking | None:
        """Return how the rows of the generation rank; None where nothing can be learned from them."""
        asked = (~seen.external).nonzero()[:, 0]
        values, violations = _array(seen.values[asked])[:, 0], _array(seen.violations[asked])
        found = np.isfinite(values)
        if state.genotypes is None or state.x is None or not found.any():
            return None
        best = min(state.best, best_of(values, violations)[1])
        coefficients = state.coefficients
        if spec.n_constraints:
            values = values.copy()
            coefficients, values[found] = penalised(
                coefficients, spec.dim, int(state.numbers["es.countiter"]), values[found], violations[found]
            )
        rows, changed, genotypes = match(engine.box, state.genotypes, state.x, seen.x[asked])
        return _Ranking(fitness_of(len(genotypes), rows, values), genotypes, changed, best, coefficients)

    def _learn(self, spec: Spec, state: CMAState, ranking: _Ranking, generator: torch.Generator) -> CMAState:
        """Return the state after pycma's update, and after a restart where the run has ended."""
        engine = self._engine(spec, state)
        numbers, reasons = engine.update(
            state.numbers, ranking.genotypes, ranking.fitness, state.injected, ranking.changed, generator
        )
        state = replace(
            state,
            numbers=numbers,
            coefficients=ranking.coefficients,
            genotypes=None,
            x=None,
            best=ranking.best,
            engine=engine,
        )
        return self._after_stop(spec, state, engine, reasons, generator) if reasons else state

    def _after_stop(
        self, spec: Spec, state: CMAState, engine: Engine, reasons: list[str], generator: torch.Generator
    ) -> CMAState:
        if self.restarts == "none":
            told = [_REASONS.get(reason, reason) for reason in reasons]
            return replace(state, stopped="; ".join(dict.fromkeys(told)))
        start = _random_start(engine.box, generator)
        plan, run = next_run(
            state.plan, self.restarts, int(state.numbers["es.countevals"]), start, float(self.sigma0), generator
        )
        engine = Engine(engine.box, run, diagonal=self._is_diagonal(spec.dim))
        return replace(
            state, run=run, plan=plan, numbers=engine.first_numbers, coefficients={}, targets=[], engine=engine
        )


@dataclass(frozen=True)
class _Ranking:
    """A generation with the values that it is ranked by, and what else was learned from it."""

    fitness: list[float]
    genotypes: Any
    changed: list[int]
    best: list[float]
    coefficients: dict[str, Any] = field(default_factory=dict)


def _array(column: Tensor) -> Array:
    return column.detach().to("cpu", torch.float64).numpy()


def _random_start(box: SearchBox, generator: torch.Generator) -> Array:
    return box.lower + (0.1 + 0.8 * uniform(box.dim, generator)) * box.width


def _check_memory(dim: int) -> None:
    """Raise unless a full covariance matrix fits into the memory that is available."""
    needed = _MATRICES * 8 * dim * dim
    available = _available_memory()
    if needed > available:
        raise CapabilityError(
            f"CMAES: the full covariance matrix of {dim} variables takes about {needed / 2**30:.1f} GiB of memory, "
            f"{available / 2**30:.1f} GiB are available; use CMAES(diagonal=True), whose memory grows linearly with "
            "the number of variables"
        )


def _available_memory() -> float:
    """Return bytes of memory that can be had now; infinity where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return float(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return float(os.sysconf("SC_PHYS_PAGES")) * float(os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return math.inf
