"""Any pymoo algorithm as a kernel: its own code underneath, with a state that is a seed and what was told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from blackbox.algorithm import Candidates, Capabilities, Front, Request, Seen, Spec
from blackbox.algorithms.adapters._failures import Extremes
from blackbox.algorithms.adapters._history import History, Told
from blackbox.algorithms.adapters._pymoo_engine import Engine
from blackbox.algorithms.adapters._pymoo_kinds import KINDS
from blackbox.algorithms.adapters._settings import json_settings
from blackbox.errors import SettingError
from blackbox.state import TRANSIENT

__all__ = ["Pymoo", "PymooState"]

Array = NDArray[np.float64]
_ANY = 2**31 - 1  # pymoo says how large a generation is only by handing it out


@dataclass(frozen=True)
class PymooState:
    """What is known between calls.

    Attributes
    ----------
    seed : int
        Of pymoo's run.
    history : History
        What pymoo was told since it was seeded.
    extremes : Extremes
        Of the usable values.
    n_asked : int
        Candidates handed out so far: the id of the next one.
    n_out : int
        How many of them are the generation that is out; 0 where none is.
    """

    seed: int
    history: History = field(default_factory=History)
    extremes: Extremes = field(default_factory=Extremes)
    n_asked: int = 0
    n_out: int = 0
    engine: Engine | None = field(default=None, metadata=TRANSIENT, compare=False, repr=False)


@dataclass(frozen=True)
class Pymoo:
    """One of pymoo's algorithms, driven through pymoo's own ask and tell.

    The space's real variables keep their units, so that with equal settings and seed pymoo does what it does in its
    own loop; variables on a log scale are searched as the logarithm. Integer and ordinal variables are searched by
    pymoo's operators for mixed variables where the algorithm is a genetic one whose mating can be replaced, as are
    categorical ones, and otherwise as real numbers that are rounded. Violations become pymoo's `G`.

    A generation is handed out in pieces and pymoo is told when none of it is pending. pymoo knows numbers only: a
    row that failed or was abandoned is told to it with values worse than the worst so far by the range so far, and
    with violations; if nothing was usable yet, pymoo is started again from another seed. A row that was evaluated
    elsewhere than asked (`fixed=`) replaces pymoo's. Where the algorithm ends by itself (a local search that has
    converged, a mating that finds nothing new), `ask` raises `ExhaustedError`.

    pymoo's objects cannot be saved without pickle. The state is the seed and the values told so far: a loaded run is
    brought to its point again by telling them to a new object, without evaluations, on its first ask or tell. That
    takes pymoo's own time for that many generations, and the state grows by (m + k) numbers an evaluation. It is exact
    for one version of pymoo and NumPy.

    Parameters
    ----------
    name : str
        The name of pymoo's class, such as "NSGA2", "CTAEA", "PSO" or "NelderMead".
    settings : mapping, default {}
        Arguments of that class, of numbers, strings, lists (they become arrays) and operators by name:
        {"pop_size": 92, "crossover": {"kind": "SBX", "eta": 30}, "ref_dirs": {"kind": "das-dennis",
        "n_partitions": 12}}. Reference directions are by default the largest lattice that `pop_size` (100) allows.
    generations : int, optional
        How many are foreseen, at least 1; only RVEA needs it. Default: from the optimizer's budget.

    Raises
    ------
    SettingError
        If pymoo has no such algorithm, or it refuses the settings (at the optimizer's construction).
    MissingDependencyError
        For AGEMOEA and AGEMOEA2 without numba.

    Notes
    -----
    pymoo draws from generators that are made from its seed, except for CMAES, SimpleCMAES and BIPOPCMAES, whose pycma
    draws from NumPy's global one: it gets a state of their own for the time of a call, and its old one back.
    DNSGA2, KGB and MOPSO_CD evaluate within their steps: such a step is run again from its start once values are known,
    and keeps its own points where others were evaluated. Not served: PINSGA2, which asks a person, the searches along
    a line, which want derivatives, and pymoo's own adapter of Optuna.

    Source: Blank and Deb, "pymoo: Multi-Objective Optimization in Python", IEEE Access 8, 2020.

    Examples
    --------
    >>> from blackbox.optimizer import Optimizer
    >>> from blackbox.problems import from_pymoo
    >>> from pymoo.problems import get_problem
    >>> problem = from_pymoo(get_problem("zdt1", n_var=5))
    >>> optimizer = Optimizer(problem, Pymoo("NSGA2", {"pop_size": 20}), seed=0)
    >>> for _ in range(30):
    ...     batch = optimizer.ask()
    ...     report = optimizer.tell(batch, problem(batch.x))
    >>> optimizer.result().values.shape[1]
    2
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    generations: int | None = None

    def __post_init__(self) -> None:
        if self.name not in KINDS:
            raise SettingError(f"name: expected one of {sorted(KINDS)}, got {self.name!r}")
        n = self.generations
        if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 1):
            raise SettingError(f"generations: expected an integer >= 1 or None, got {n!r}")
        object.__setattr__(self, "settings", json_settings(self.settings))

    @property
    def capabilities(self) -> Capabilities:
        """As the algorithm is; generational, without points that were not asked."""
        kind = KINDS[self.name]
        return Capabilities(
            objectives=kind.objectives,
            constraints=kind.constraints,
            categorical=kind.mixed,
            asynchronous=False,
            accepts_external=False,
            single_precision=False,
        )

    # -- the protocol ----------------------------------------------------------------------------------------

    def init(self, spec: Spec, generator: torch.Generator) -> PymooState:
        """Return the first state; settings that pymoo refuses raise here."""
        return self._seeded(spec, generator, 0)

    def ready(self, spec: Spec, state: PymooState, pending: int) -> int:
        """Return a limit: the generation's size is known when it is asked."""
        return _ANY

    def ask(
        self, spec: Spec, state: PymooState, request: Request, generator: torch.Generator
    ) -> tuple[PymooState, Candidates]:
        """Return a generation."""
        if state.n_out:  # all of it was abandoned
            state = self._learn(spec, state, np.arange(0), self._nothing(spec), generator)
        engine = self._engine(spec, state)
        x = engine.coding.decode(engine.ask(), spec.dtype, spec.device)
        return replace(state, n_asked=state.n_asked + len(x), n_out=len(x), engine=engine), Candidates(x)

    def tell(self, spec: Spec, state: PymooState, seen: Seen, generator: torch.Generator) -> PymooState:
        """Return the state that has learned from a generation."""
        if not state.n_out:
            return state
        rows = (seen.ids - (state.n_asked - state.n_out)).numpy()
        values, violations = (t.cpu().to(torch.float64).numpy().copy() for t in (seen.values, seen.violations))
        usable = ~seen.failed.cpu().numpy()
        changed = self._changed(spec, state, seen, rows)
        told = Told(values[usable], violations[usable], changed)
        return self._learn(spec, state, rows[usable], told, generator)

    def result(self, spec: Spec, state: PymooState) -> Front | None:
        """Return None: the optimizer keeps the best points."""
        return None

    # -- parts -----------------------------------------------------------------------------------------------

    def _seeded(self, spec: Spec, generator: torch.Generator, n_asked: int) -> PymooState:
        seed = int(torch.randint(1, 2**31 - 1, (), generator=generator, device=generator.device))
        return PymooState(seed, n_asked=n_asked, engine=self._new_engine(spec, seed))

    def _new_engine(self, spec: Spec, seed: int) -> Engine:
        generations = self.generations
        if generations is None and spec.budget is not None:
            generations = max(1, spec.budget // int(self.settings.get("pop_size", 100)))
        return Engine(
            self.name,
            self.settings,
            spec.space,
            n_objectives=spec.n_objectives,
            n_constraints=spec.n_constraints,
            seed=seed,
            generations=generations,
        )

    def _engine(self, spec: Spec, state: PymooState) -> Engine:
        """Return the live pymoo object at the state's point; made anew where there is none, or it is elsewhere."""
        engine = state.engine
        if engine is not None and engine.n_told == len(state.history):
            return engine
        engine = self._new_engine(spec, state.seed)
        for told in state.history:
            engine.tell(told.values, told.violations, told.changed)
        object.__setattr__(state, "engine", engine)  # a cache: no part of the state
        return engine

    def _nothing(self, spec: Spec) -> Told:
        return Told(np.zeros((0, spec.n_objectives)), np.zeros((0, spec.n_constraints)))

    def _changed(self, spec: Spec, state: PymooState, seen: Seen, rows: NDArray[np.int64]) -> Array | None:
        """Return genotypes, shape (n_out, d), of what was evaluated elsewhere than asked, NaN where it was not."""
        engine = self._engine(spec, state)
        asked = engine.coding.decode(engine.ask(), spec.dtype, spec.device)[torch.from_numpy(rows).to(spec.device)]
        differs = ((seen.x != asked) & ~torch.isnan(seen.x)).cpu().numpy()  # NaN: inactive, pymoo keeps its own
        if not differs.any():
            return None
        changed = np.full((state.n_out, spec.dim), np.nan)
        changed[rows] = np.where(differs, engine.coding.encode(seen.x), np.nan)
        return changed

    def _learn(
        self, spec: Spec, state: PymooState, rows: NDArray[np.int64], told: Told, generator: torch.Generator
    ) -> PymooState:
        """Return the state after a generation, of which `rows` were usable."""
        extremes = state.extremes.updated(told.values, told.violations)
        if not extremes.known:
            return self._seeded(spec, generator, state.n_asked)
        bad_values, bad_violations = extremes.penalty()
        values = np.tile(bad_values, (state.n_out, 1))
        violations = np.tile(bad_violations, (state.n_out, 1))
        values[rows], violations[rows] = told.values, told.violations
        whole = Told(values, violations, told.changed)
        engine = self._engine(spec, state)
        engine.tell(whole.values.copy(), whole.violations.copy(), whole.changed)
        return replace(state, history=state.history.plus(whole), extremes=extremes, n_out=0, engine=engine)
