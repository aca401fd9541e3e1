"""A live pymoo algorithm: made from settings and a seed, driven by its own ask and tell."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blackbox.algorithms.adapters._coding import BoxCoding
from blackbox.algorithms.adapters._pymoo_kinds import KINDS, Kind, load_class, make_setting, reference_directions
from blackbox.algorithms.adapters._pymoo_random import PymooRandom
from blackbox.errors import ExhaustedError, SettingError
from blackbox.space import Space

__all__ = ["Engine"]

Array = NDArray[np.float64]

_IDLE = 10_000  # steps without a candidate after which an algorithm has ended


class _Paused(Exception):  # noqa: N818  (no error: how a step is left when it evaluates)
    def __init__(self, population: Any) -> None:
        self.population = population


class Engine:
    """One run of a pymoo algorithm.

    Parameters
    ----------
    kind : str
    settings : mapping
    space : Space
    n_objectives, n_constraints : int
    seed : int
    generations : int or None
        How many are foreseen.

    Attributes
    ----------
    coding : BoxCoding
    n_told : int
        How often `tell` was called; -1 where pymoo has raised an error in the middle.

    Raises
    ------
    SettingError
        If the settings do not fit.
    """

    def __init__(
        self,
        kind: str,
        settings: Mapping[str, Any],
        space: Space,
        *,
        n_objectives: int,
        n_constraints: int,
        seed: int,
        generations: int | None,
    ) -> None:
        self.kind: Kind = KINDS[kind]
        self.coding = BoxCoding(space)
        self.n_told = 0
        self.is_mixed = self.kind.mixed and bool(self.coding.discrete.any())
        self._random = PymooRandom(seed, global_numpy=self.kind.global_numpy)
        self._out: Any = None
        self._asked: Array | None = None  # the genotypes of what is out
        self._rows: list[int] = []  # of what is out, those that want an evaluation
        self._step_start: tuple[Any, PymooRandom] | None = None
        self._replies: list[tuple[Array, Array]] = []
        problem = self._problem(n_objectives, n_constraints)
        with self._contained():
            algorithm = _make(kind, self._completed(kind, settings, n_objectives, seed))
            self._algorithm = copy.deepcopy(algorithm)  # default operators are shared between instances
            self._algorithm.output = None
            termination = _termination(kind, generations)
            try:
                self._algorithm.setup(problem, seed=seed, termination=termination)
            except (TypeError, ValueError, AssertionError) as error:
                raise SettingError(f"settings: pymoo's {kind} cannot be set up: {error}") from error

    # -- making ----------------------------------------------------------------------------------------------

    def _problem(self, n_objectives: int, n_constraints: int) -> Any:
        from pymoo.core.problem import Problem

        coding = self.coding
        counts = {"n_obj": n_objectives, "n_ieq_constr": n_constraints}
        if self.is_mixed:
            return Problem(vars=_variables(coding), **counts)
        return Problem(n_var=len(coding.lower), xl=coding.lower.copy(), xu=coding.upper.copy(), **counts)

    def _completed(self, kind: str, settings: Mapping[str, Any], n_objectives: int, seed: int) -> dict[str, Any]:
        options = {name: make_setting(name, value, n_objectives, seed) for name, value in settings.items()}
        if self.kind.directions and options.get("ref_dirs") is None:
            options["ref_dirs"] = reference_directions(n_objectives, int(options.get("pop_size", 100)))
        if not self.kind.sized:
            options.pop("pop_size", None)
        if self.is_mixed:
            from pymoo.core.mixed import MixedVariableDuplicateElimination, MixedVariableMating, MixedVariableSampling

            duplicates = MixedVariableDuplicateElimination()
            selection = inspect.signature(load_class(kind)).parameters.get("selection")
            chosen = {} if selection is None else {"selection": options.get("selection", selection.default)}
            options["sampling"] = MixedVariableSampling()
            options["mating"] = MixedVariableMating(eliminate_duplicates=duplicates, **chosen)
            options["eliminate_duplicates"] = duplicates
        return options

    @contextmanager
    def _contained(self) -> Iterator[None]:
        with np.errstate(all="ignore"), self._random.use():
            yield

    # -- driving ---------------------------------------------------------------------------------------------

    def ask(self) -> Array:
        """Return the genotypes that want an evaluation, shape (n, d); the same ones until `tell`.

        Raises
        ------
        ExhaustedError
            If the algorithm has ended.
        """
        for _ in range(_IDLE):
            if self._out is not None:
                if self._asked is None:
                    self._asked = self._genotypes()
                return self._asked
            if self._algorithm.termination.force_termination:
                break
            try:
                self._advance()
            except Exception:
                self.n_told = -1  # left in the middle: no state is at this point
                raise
        name = type(self._algorithm).__name__
        raise ExhaustedError(f"pymoo's {name} has ended: it has no further candidate")

    def _advance(self) -> None:
        if self.kind.inside:
            self._run_step()
            return
        with self._contained():
            self._infill()

    def _infill(self) -> None:
        infills = self._algorithm.ask()
        if infills is None:
            if not self._algorithm.termination.force_termination:
                self._algorithm.tell()
            return
        self._hand_out(infills)
        if not self._rows:
            self._out = self._asked = None
            self._algorithm.tell(infills=infills)

    def _hand_out(self, infills: Any) -> None:
        from pymoo.core.population import Population

        population = Population.create(infills) if not isinstance(infills, Population) else infills
        self._out = infills
        self._population = population
        self._rows = [i for i, member in enumerate(population) if not {"F", "G"} <= set(member.evaluated)]

    def _run_step(self) -> None:
        """Run a step that evaluates within, from its start, answering from what was told; stop at the next question."""
        if self._step_start is None:
            self._step_start = copy.deepcopy(self._algorithm), self._random.copy()
        algorithm, self._random = copy.deepcopy(self._step_start[0]), self._step_start[1].copy()
        algorithm.evaluator = _pausing_evaluator(list(self._replies), algorithm.evaluator.n_eval)
        try:
            with self._contained():
                algorithm.next()
        except _Paused as pause:
            self._out = self._population = pause.population
            self._rows = list(range(len(pause.population)))
            return
        self._algorithm, self._step_start, self._replies = algorithm, None, []

    def _genotypes(self) -> Array:
        members = self._population[self._rows]
        if self.is_mixed:
            names = [f"x{i}" for i in range(len(self.coding.lower))]
            return np.array([[float(member.X[name]) for name in names] for member in members])
        return np.array(members.get("X"), dtype=np.float64).reshape(len(members), -1)

    def tell(self, values: Array, violations: Array, changed: Array | None = None) -> None:
        """Tell what the genotypes of `ask` came to.

        Parameters
        ----------
        values : array, shape (n, m)
        violations : array, shape (n, k)
        changed : array, shape (n, d), or None
            Genotypes that were evaluated in place of the ones asked for; NaN where they were not changed.
        """
        self.ask()
        with self._contained():
            if changed is not None:
                self._overwrite(changed)
            self.n_told += 1
            infills, members = self._out, self._population[self._rows]
            self._out = self._asked = None
            if self.kind.inside:
                self._replies.append((values, violations))
                return
            _evaluator_of(values, violations, self._algorithm.evaluator).eval(self._algorithm.problem, members)
            self._algorithm.evaluator.n_eval += len(members)
            self._algorithm.tell(infills=infills)

    def _overwrite(self, changed: Array) -> None:
        if self.kind.inside:
            return  # the step is run again from its start, and makes them anew
        for member, row in zip(self._population[self._rows], changed, strict=True):
            for column in np.flatnonzero(~np.isnan(row)):
                if self.is_mixed:
                    real = isinstance(member.X[f"x{column}"], (float, np.floating))
                    member.X[f"x{column}"] = float(row[column]) if real else int(row[column])
                else:
                    member.X[column] = row[column]


def _make(kind: str, options: dict[str, Any]) -> Any:
    cls = load_class(kind)
    reserved = {
        "seed",
        "termination",
        "callback",
        "archive",
        "save_history",
        "display",
        "output",
        "evaluator",
        "problem",
    }
    wrong = sorted(reserved & set(options))
    if wrong:
        raise SettingError(f"settings: {wrong[0]!r} belongs to pymoo's own loop, which the optimizer replaces")
    known = {
        name
        for base in cls.__mro__
        if base is not object and "__init__" in vars(base)
        for name, p in inspect.signature(base.__init__).parameters.items()
        if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and name != "self"
    }
    wrong = sorted(set(options) - known)
    if wrong:
        raise SettingError(f"settings: pymoo's {kind} takes no {wrong[0]!r}; it takes {sorted(known - reserved)}")
    try:
        return cls(**options)
    except (TypeError, ValueError, AssertionError) as error:
        raise SettingError(f"settings: pymoo's {kind} refuses {sorted(options)}: {error}") from error


def _termination(kind: str, generations: int | None) -> Any:
    from pymoo.core.termination import NoTermination
    from pymoo.termination.max_gen import MaximumGenerationTermination

    if kind != "RVEA":
        return NoTermination()
    if generations is None:
        raise SettingError("generations: pymoo's RVEA plans with their number; give generations= or a budget")
    return MaximumGenerationTermination(generations)


def _variables(coding: BoxCoding) -> dict[str, Any]:
    """Return pymoo's variables: on a log scale real in the logarithm (rounded when decoded), else as they are."""
    from pymoo.core.variable import Choice, Integer, Real

    made: dict[str, Any] = {}
    for i, (low, high) in enumerate(zip(coding.lower, coding.upper, strict=True)):
        if coding.categorical[i]:
            made[f"x{i}"] = Choice(options=list(range(int(high + 0.5))))
        elif coding.discrete[i] and not coding.log[i]:
            made[f"x{i}"] = Integer(bounds=(int(low + 0.5), int(high - 0.5)))
        else:
            made[f"x{i}"] = Real(bounds=(float(low), float(high)))
    return made


def _evaluator_of(values: Array, violations: Array, like: Any) -> Any:
    """Return an evaluator that sets the given values, as the algorithm's own would have."""
    from pymoo.core.evaluator import Evaluator

    class Given(Evaluator):  # type: ignore[misc]
        def _eval(self, problem: Any, pop: Any, evaluate_values_of: Any, **_: Any) -> None:
            pop.set("F", values)
            pop.set("G", violations)
            pop.set("H", np.zeros((len(pop), 0)))
            pop.apply(lambda member: member.evaluated.update(("F", "G", "H")))

    return Given(skip_already_evaluated=False, evaluate_values_of=like.evaluate_values_of)


def _pausing_evaluator(replies: list[tuple[Array, Array]], n_eval: int) -> Any:
    """Return an evaluator that answers from `replies`, and raises when they are used up."""
    from pymoo.core.evaluator import Evaluator

    class Pausing(Evaluator):  # type: ignore[misc]
        def _eval(self, problem: Any, pop: Any, evaluate_values_of: Any, **_: Any) -> None:
            if not replies:
                raise _Paused(pop)
            values, violations = replies.pop(0)
            _evaluator_of(values, violations, self).eval(problem, pop)

    evaluator = Pausing()
    evaluator.n_eval = n_eval
    return evaluator
