"""The runs of a sweep: one at a time, or many as one tensor program."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from blackbox._sweep_plan import Budget
from blackbox.algorithm import Algorithm
from blackbox.algorithms.evolutionary.batched import BatchedEvolution
from blackbox.candidates import Evaluation
from blackbox.errors import ExhaustedError
from blackbox.handout import in_full_space
from blackbox.incumbent import Incumbent, Rows
from blackbox.optimizer import Optimizer
from blackbox.outcomes import parse_told
from blackbox.problem import Problem
from blackbox.random import make_generator
from blackbox.result import make_result, rows_of

__all__ = ["BatchRun", "Finished", "UnevenError", "run_one"]

_CHECK_EVERY = 8  # generations


@dataclass(frozen=True, slots=True)
class Finished:
    """What a run ended with.

    Attributes
    ----------
    values : Tensor, shape (r, m), float64, on the CPU
        Those of `Optimizer.result()`: the best value, or the Pareto set, in the objectives' own directions.
    n_evaluations, n_failed : int
    seconds : float
        Wall time; of runs that were one program, an equal share.
    batched : bool
    """

    values: Tensor
    n_evaluations: int
    n_failed: int
    seconds: float
    batched: bool = False


def run_one(
    algorithm: Algorithm[Any],
    problem: Problem,
    seed: int,
    budget: Budget,
    device: str,
    dtype: torch.dtype | None,
) -> Finished:
    """Return what one run ends with; the problem itself is not touched, a copy of it is evaluated."""
    start = time.perf_counter()
    problem = _copied(problem)
    optimizer = Optimizer(problem, algorithm, seed=seed, device=device, dtype=dtype, budget=budget.foreseen(algorithm))
    rounds = 0
    while _goes_on(optimizer, budget, rounds):
        try:
            batch = optimizer.ask(_request(optimizer, budget))
        except ExhaustedError:
            break
        optimizer.tell(batch, problem(batch.x))
        rounds += 1
    result = optimizer.result()
    values = result.values.detach().to("cpu", torch.float64)
    return Finished(values, optimizer.n_evaluations, optimizer.n_failed, time.perf_counter() - start)


def _goes_on(optimizer: Optimizer, budget: Budget, rounds: int) -> bool:
    if budget.evaluations is not None:
        return optimizer.n_evaluations < budget.evaluations
    return budget.generations is not None and rounds < budget.generations


def _request(optimizer: Optimizer, budget: Budget) -> int | None:
    """Return how many candidates to ask for: the natural batch, and no more than are left."""
    if budget.evaluations is None:
        return None
    left = budget.evaluations - optimizer.n_evaluations
    return min(left, optimizer.capabilities.natural_batch) if optimizer.capabilities.asynchronous else left


def _copied(problem: Problem) -> Problem:
    try:
        return copy.deepcopy(problem)
    except (TypeError, AttributeError, NotImplementedError):  # something in it cannot be copied
        return problem


class UnevenError(Exception):
    """A problem gives other values for rows that are evaluated together than for rows of one run alone."""


class BatchRun:
    """Runs of one shape as one tensor program.

    All rows of a generation are evaluated in one call. That this gives every row the values that it has alone is
    checked, bit for bit: for all runs in the first generation, then for one run in each of the next seven and in every
    eighth after them.

    Parameters
    ----------
    algorithms : sequence of Evolution
    problem : Problem
    seeds : sequence of int
        One for each algorithm.
    budget : Budget
    device : str
    dtype : torch.dtype or None
    apart : bool, default False
        Evaluate each run by itself, with a copy of the problem of its own.
    """

    def __init__(
        self,
        algorithms: Sequence[Any],
        problem: Problem,
        seeds: Sequence[int],
        budget: Budget,
        device: str,
        dtype: torch.dtype | None,
        *,
        apart: bool = False,
    ) -> None:
        self._problems = [_copied(problem) for _ in (seeds if apart else seeds[:1])]
        self._apart, self._budget = apart, budget
        foreseen = budget.foreseen(algorithms[0])
        self._shell = Optimizer(problem, algorithms[0], seed=0, device=device, dtype=dtype, budget=foreseen)
        generators = [make_generator(seed, self._shell.device) for seed in seeds]
        self._batch = BatchedEvolution(algorithms, self._shell._spec, generators)
        self._runs, self._size = len(seeds), self._batch.size
        self._best: Tensor | None = None  # (B, m), where the result is not the algorithm's own
        self._rest: tuple[Tensor, ...] | None = None  # points, values, violations, failed: no whole generation
        self._failed = torch.zeros(self._runs, dtype=torch.int64, device=self._shell.device)
        self.generation = 0
        self._seconds = 0.0

    @property
    def generations(self) -> int:
        """How many whole generations there will be."""
        if self._budget.generations is not None:
            return self._budget.generations
        return (self._budget.evaluations or 0) // self._size

    def run(self, after_generation: Callable[[BatchRun], bool]) -> list[Finished] | None:
        """Return what every run ends with; None where `after_generation` has said, by True, to stop before the end.

        Raises
        ------
        UnevenError
            If rows are not evaluated alike together and alone; make another one with `apart=True`.
        """
        rest = (self._budget.evaluations or 0) % self._size
        while self.generation < self.generations:
            start = time.perf_counter()
            self._step()
            self.generation += 1
            self._seconds += time.perf_counter() - start
            if after_generation(self) and self.generation < self.generations:
                return None
        if rest:  # told, but no whole generation: it counts for the result only
            points = self._shown(self._batch.ask()[:, :rest])
            told = self._evaluated(points)
            self._note(*told)
            self._rest = (points, *told)
        evaluations = self.generations * self._size + rest
        share = self._seconds / self._runs
        failed = self._failed.tolist()
        return [Finished(self._values(r), evaluations, failed[r], share, True) for r in range(self._runs)]

    def _step(self) -> None:
        points = self._shown(self._batch.ask())
        values, violations, failed = self._evaluated(points)
        self._note(values, violations, failed)
        searched = self._shell._reduction.restrict(points.flatten(0, 1)).reshape(*points.shape[:2], -1)
        self._batch.tell(searched, values, violations)

    def _shown(self, x: Tensor) -> Tensor:
        """Return points of the searched part as the problem sees them, shape (B, n, d)."""
        shell = self._shell
        shown: Tensor = in_full_space(x.flatten(0, 1), None, shell._reduction, shell._generator)
        return shown.reshape(*x.shape[:2], -1)

    def _evaluated(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return minimised values (B, n, m), violations (B, n, k), and which rows failed (B, n)."""
        shell, n = self._shell, points.shape[1]
        if self._apart:
            pairs = zip(self._problems, points, strict=True)
            told = [self._told(problem(x.clone()), n) for problem, x in pairs]
            return tuple(torch.stack(parts) for parts in zip(*told, strict=True))  # type: ignore[return-value]
        problem = self._problems[0]
        together = self._told(problem(points.flatten(0, 1).clone()), self._runs * n)
        shaped = tuple(part.reshape(self._runs, n, *part.shape[1:]) for part in together)
        for run in self._checked():
            alone = self._told(problem(points[run].clone()), n)
            if not all(_same_bits(one[run], other) for one, other in zip(shaped, alone, strict=True)):
                raise UnevenError(f"{shell!r}: rows of run {run} differ")
        return shaped  # type: ignore[return-value]

    def _checked(self) -> Iterable[int]:
        """Return the runs whose rows are evaluated alone, too, in this generation."""
        if self.generation == 0:
            return range(self._runs)
        is_due = self.generation < _CHECK_EVERY or self.generation % _CHECK_EVERY == 0
        return [self.generation % self._runs] if is_due else []

    def _told(self, evaluation: Evaluation, n: int) -> tuple[Tensor, Tensor, Tensor]:
        shell = self._shell
        outcome = parse_told(evaluation.values, n=n, terms=shell._terms, violations=evaluation.violations)
        return outcome.values, outcome.violations, outcome.failed

    def _note(self, values: Tensor, violations: Tensor, failed: Tensor) -> None:
        """Count failures, and keep the best feasible value where the result is the best of all that was told."""
        if not failed.is_cpu or failed.numpy().any():
            self._failed = self._failed + failed.sum(-1)
        if self._shell.capabilities.own_result:
            return
        usable = ~failed & (violations.clamp(min=0).sum(-1) <= 0)
        best = torch.where(usable.unsqueeze(-1), values, torch.inf).amin(1)
        self._best = best if self._best is None else torch.minimum(self._best, best)

    def _values(self, run: int) -> Tensor:
        shell = self._shell
        if shell.capabilities.own_result:
            return self._own_result(run)
        best = torch.full((1, 1), torch.inf) if self._best is None else self._best[run : run + 1]
        values = best[best[:, 0] < torch.inf]
        if shell._terms.signs is not None:
            values = values * shell._terms.signs
        return values.detach().to("cpu", torch.float64)

    def _own_result(self, run: int) -> Tensor:
        """Return what `Optimizer.result` makes of a run's front and of rows that are no whole generation."""
        shell, front, incumbent = self._shell, self._batch.front(run), Incumbent(len(self._shell.objectives))
        if self._rest is not None and front is not None:
            known = rows_of(front, shell._reduction)
            incumbent.add(known, None)
            points, values, violations, failed = (part[run] for part in self._rest)
            first = self.generations * self._size
            incumbent.add(Rows(range(first, first + len(points)), points, values, violations), failed)
            front = None
        return make_result(shell, front, incumbent, shell._reduction).values.detach().to("cpu", torch.float64)

    # -- checkpoints -------------------------------------------------------------------------------------------

    @property
    def can_be_saved(self) -> bool:
        """Whether `state()` is all there is: problems that are evaluated apart may have a state of their own."""
        return not self._apart

    def state(self) -> dict[str, Any]:
        """Return everything needed to go on, as a state tree."""
        return {
            "batch": self._batch.state(),
            "best": self._best,
            "failed": self._failed,
            "generation": self.generation,
            "seconds": self._seconds,
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Go on from `state()`."""
        self._batch.restore(tree["batch"])
        device = self._shell.device
        self._best = None if tree["best"] is None else tree["best"].to(device)
        self._failed = tree["failed"].to(device)
        self.generation, self._seconds = int(tree["generation"]), float(tree["seconds"])


def _same_bits(one: Tensor, other: Tensor) -> bool:
    if one.is_floating_point():
        one, other = (t.nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf) for t in (one, other))
    return torch.equal(one, other)
