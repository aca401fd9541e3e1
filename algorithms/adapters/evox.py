"""Any EvoX algorithm as a kernel: its steps are left where they evaluate, and run again with the values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blackbox.algorithm import Candidates, Capabilities, Front, Request, Seen, Spec
from blackbox.algorithms.adapters._coding import BoxCoding
from blackbox.algorithms.adapters._evox_engine import Engine, signature_of
from blackbox.algorithms.adapters._failures import Extremes
from blackbox.algorithms.adapters._settings import json_settings
from blackbox.errors import ExhaustedError, SettingError, StateError
from blackbox.state import TRANSIENT

__all__ = ["EvoX", "EvoXState"]

_ANY = 2**31 - 1  # EvoX says how large a generation is only by evaluating it
_IDLE = 100  # evaluations without a finite point, one after the other, after which an algorithm has ended


@dataclass(frozen=True)
class EvoXState:
    """What is known between calls.

    Attributes
    ----------
    seed : int
        What EvoX's object was made from.
    numbers : dict of str to Tensor
        Its parameters and buffers at the start of the present step.
    generators : list of Tensor
        The states of the generators then: the CPU's, and the device's where it is another.
    first : bool
        Whether the present step is the first one.
    replies : list of Tensor, shape (n, m) each
        What the evaluations of the present step came to so far.
    wanted : Tensor, shape (n,), bool, or None
        Which rows of the population are out (the others are NaN, as some algorithms have them); None where none is.
    extremes : Extremes
        Of the usable values.
    n_asked : int
        Candidates handed out so far: the id of the next one.
    precision : str
        torch's default dtype, in which EvoX computes.
    """

    seed: int
    numbers: dict[str, Tensor]
    generators: list[Tensor]
    first: bool = True
    replies: list[Tensor] = field(default_factory=list)
    wanted: Tensor | None = None
    extremes: Extremes = field(default_factory=Extremes)
    n_asked: int = 0
    precision: str = "float32"
    engine: Engine | None = field(default=None, metadata=TRANSIENT, compare=False, repr=False)


@dataclass(frozen=True)
class EvoX:
    """One of EvoX 1.4's algorithms, turned around: it asks, and is told.

    EvoX evaluates inside `step`. Here a step is left at its evaluation; once the values are known, the object's
    numbers and generators are put back to the start of the step and it runs again, with the values at hand. So the
    state is made of tensors, and a run can be saved and goes on bit for bit at each evaluation. A step with one
    evaluation costs twice its own time without evaluations; MOEAD, which evaluates each of N members by itself,
    costs N / 2 times (and hands out one candidate at a time).

    The space's real variables keep their units; variables on a log scale are searched as the logarithm; integer and
    ordinal ones as real numbers that are rounded. Points outside the bounds (some strategies know none) are evaluated
    on them. EvoX computes in torch's default dtype, float32 as a rule, and is told values cut to +-1e30. Where its
    numbers leave that range and no finite point is left, `ask` raises `ExhaustedError`.

    A generation is handed out in pieces and EvoX is told when none of it is pending. It knows numbers only: a row
    that failed or was abandoned is told to it with values worse than the worst so far by the range so far; if nothing
    was usable yet, it is started again from another seed. A row that was evaluated elsewhere than asked (`fixed=`) is
    told as it came out.

    Parameters
    ----------
    name : str
        The name of a class of `evox.algorithms`, such as "NSGA3", "PSO" or "OpenES".
    settings : mapping, default {}
        Its arguments, of numbers, strings and lists (they become tensors), without bounds, number of objectives and
        device. `pop_size` is 100 where it is needed, a center the middle of the box.

    Raises
    ------
    MissingDependencyError
        If EvoX is not installed (at the optimizer's construction).
    SettingError
        If it has no such algorithm, or refuses the settings (then, too). VirtualES and VirtualLoRAES, which evaluate
        seeds of perturbations of a network in place of points, are not served.

    Notes
    -----
    EvoX draws from torch's global generators; they get the run's own states for the time of a call and their old
    ones back, also where it fails. Another thread that draws from them meanwhile would see that.

    Source: Huang et al., "EvoX: A Distributed GPU-Accelerated Framework for Scalable Evolutionary Computation", IEEE
    Transactions on Evolutionary Computation, 2024. EvoX is under the GPL 3.0; it is no part of this package.

    Examples
    --------
    >>> EvoX("PSO", {"pop_size": 20}).settings
    {'pop_size': 20}
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise SettingError(f"name: expected the name of a class of evox.algorithms, got {self.name!r}")
        object.__setattr__(self, "settings", json_settings(self.settings))

    @property
    def capabilities(self) -> Capabilities:
        """One objective, or several where the algorithm takes their number; no constraints; generational."""
        several = "n_objs" in signature_of(self.name)
        return Capabilities(
            objectives=(2, None) if several else (1, 1),
            categorical=False,
            asynchronous=False,
            accepts_external=False,
            single_precision=True,
        )

    # -- the protocol ----------------------------------------------------------------------------------------

    def init(self, spec: Spec, generator: torch.Generator) -> EvoXState:
        """Return the first state; settings that EvoX refuses raise here."""
        return self._seeded(spec, generator, 0, self._new_engine(spec))

    def ready(self, spec: Spec, state: EvoXState, pending: int) -> int:
        """Return a limit: the generation's size is known when it is asked."""
        return _ANY

    def ask(
        self, spec: Spec, state: EvoXState, request: Request, generator: torch.Generator
    ) -> tuple[EvoXState, Candidates]:
        """Return the next population that EvoX evaluates."""
        if state.wanted is not None:  # all of it was abandoned
            none = np.zeros((0, spec.n_objectives))
            state = self._learn(spec, state, np.arange(0), none, generator)
        engine = self._engine(spec, state)
        for _ in range(_IDLE):
            population, numbers, generators = engine.run(
                state.numbers, state.generators, state.seed, first=state.first, replies=state.replies
            )
            if population is None:
                state = replace(state, numbers=numbers, generators=generators, first=False, replies=[], engine=engine)
                continue
            wanted = torch.isfinite(population).all(1)
            if bool(wanted.any()):
                genotypes = population[wanted].cpu().to(torch.float64).numpy()
                x = BoxCoding(spec.space).decode(genotypes, spec.dtype, spec.device)
                state = replace(state, wanted=wanted.cpu(), n_asked=state.n_asked + len(x), engine=engine)
                return state, Candidates(x)
            nothing = population.new_full((len(population), spec.n_objectives), torch.nan)
            state = replace(state, replies=[*state.replies, nothing])
        raise ExhaustedError(f"EvoX's {self.name} has no finite point left, or asks for none, {_IDLE} times over")

    def tell(self, spec: Spec, state: EvoXState, seen: Seen, generator: torch.Generator) -> EvoXState:
        """Return the state that has learned from a population."""
        if state.wanted is None:
            return state
        first_id = state.n_asked - int(state.wanted.sum())
        usable = ~seen.failed.cpu().numpy()
        rows = (seen.ids - first_id).numpy()[usable]
        values = seen.values.cpu().to(torch.float64).numpy()[usable]
        return self._learn(spec, state, rows, values, generator)

    def result(self, spec: Spec, state: EvoXState) -> Front | None:
        """Return None: the optimizer keeps the best points."""
        return None

    # -- parts -----------------------------------------------------------------------------------------------

    def _new_engine(self, spec: Spec) -> Engine:
        coding, dtype = BoxCoding(spec.space), torch.get_default_dtype()
        lower, upper = (torch.from_numpy(b).to(spec.device, dtype) for b in (coding.lower, coding.upper))
        return Engine(self.name, self.settings, lower, upper, n_objectives=spec.n_objectives, device=spec.device)

    def _seeded(self, spec: Spec, generator: torch.Generator, n_asked: int, engine: Engine) -> EvoXState:
        seed = int(torch.randint(1, 2**31 - 1, (), generator=generator, device=generator.device))
        numbers, generators = engine.fresh(seed)
        return EvoXState(seed, numbers, generators, n_asked=n_asked, precision=_precision(), engine=engine)

    def _engine(self, spec: Spec, state: EvoXState) -> Engine:
        """Return the state's engine, made anew after loading."""
        if _precision() != state.precision:
            raise StateError(
                f"state: EvoX computed in {state.precision}, and torch's default dtype is {_precision()} now; call "
                f"torch.set_default_dtype(torch.{state.precision}) to go on"
            )
        if state.engine is not None:
            return state.engine
        engine = self._new_engine(spec)
        object.__setattr__(state, "engine", engine)  # a cache: no part of the state
        return engine

    def _learn(
        self,
        spec: Spec,
        state: EvoXState,
        rows: NDArray[np.int64],
        told: NDArray[np.float64],
        generator: torch.Generator,
    ) -> EvoXState:
        """Return the state after a population, of which `rows` (among those wanted) were usable."""
        assert state.wanted is not None
        wanted = state.wanted.cpu()
        extremes = state.extremes.updated(told, np.zeros((len(told), 0)))
        if not extremes.known:
            return self._seeded(spec, generator, state.n_asked, self._engine(spec, state))
        penalty, _ = extremes.penalty()
        values = np.tile(penalty, (int(wanted.sum()), 1))
        values[rows] = told
        whole = torch.full((len(wanted), spec.n_objectives), torch.nan, dtype=torch.float64)
        whole[wanted] = torch.from_numpy(values)
        return replace(state, replies=[*state.replies, whole], wanted=None, extremes=extremes)


def _precision() -> str:
    return str(torch.get_default_dtype()).removeprefix("torch.")
