"""Many runs of one algorithm on one problem as one tensor program: each run gets exactly what it gets alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from blackbox.algorithm import Front, Spec
from blackbox.algorithms.evolutionary.de import DE
from blackbox.algorithms.evolutionary.draws import draw
from blackbox.algorithms.evolutionary.evolution import Evolution
from blackbox.algorithms.evolutionary.moead import MOEAD
from blackbox.algorithms.evolutionary.offspring import initial_points
from blackbox.algorithms.evolutionary.population import Population, check_memory, front_of, total_violation
from blackbox.algorithms.evolutionary.slots import usable_members
from blackbox.errors import SettingError
from blackbox.problem import Problem
from blackbox.random import make_generator
from blackbox.reduction import Reduction
from blackbox.roles import nominal

__all__ = ["BatchedRuns", "run_batched"]


@dataclass(frozen=True, slots=True)
class BatchedRuns:
    """The populations of B runs after some generations.

    Attributes
    ----------
    seeds : list of int
    x : Tensor, shape (B, n, d)
        Points of the whole space.
    values : Tensor, shape (B, n, m)
        In the problem's own directions; NaN in failed rows.
    violations : Tensor, shape (B, n, k)
    n_evaluations : int
        Of each run.
    signs : Tensor, shape (m,)
        -1 for objectives that are maximised.
    """

    seeds: list[int]
    x: Tensor
    values: Tensor
    violations: Tensor
    n_evaluations: int
    signs: Tensor

    def front(self, run: int) -> Front:
        """Return the members of one run that are feasible and not dominated, in the problem's own directions.

        With nothing feasible, the least violated one.
        """
        found = front_of(Population(self.x[run], self.values[run] * self.signs, self.violations[run]))
        return Front(found.x, found.values * self.signs, found.violations)


def run_batched(
    algorithm: Evolution | DE,
    problem: Problem,
    seeds: Sequence[int],
    generations: int,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float64,
    budget: int | None = None,
    watch: Callable[[int, BatchedRuns], None] | None = None,
) -> BatchedRuns:
    """Return the populations of several runs that advance together.

    A run has, member for member and bit for bit, the population that `Optimizer(problem, algorithm, seed=seed)` has
    after as many whole generations, provided that the problem gives a point the same values in any batch.

    Parameters
    ----------
    algorithm : NSGA2, NSGA3, MOEAD, HypE, RVEA, GA or DE
        Not in steady state.
    problem : Problem
        Evaluated as one batch of shape (B N, d) a generation.
    seeds : sequence of int
        One for each run.
    generations : int, at least 1
    budget : int, optional
        As for `Optimizer`.
    watch : callable, optional
        Called with the number of the generation, from 1, and the runs so far, after each generation.

    Raises
    ------
    SettingError
        If the algorithm is in steady state, there are no seeds, or the populations cannot fit in memory.

    Examples
    --------
    >>> from blackbox.algorithms import NSGA2
    >>> from blackbox.problems import ZDT1
    >>> runs = run_batched(NSGA2(population_size=20), ZDT1(), seeds=range(4), generations=3)
    >>> runs.values.shape
    torch.Size([4, 20, 2])
    """
    program = _Program(algorithm, problem, [int(seed) for seed in seeds], torch.device(device), dtype, budget)
    if generations < 1:
        raise SettingError(f"generations: expected an integer >= 1, got {generations!r}")
    for generation in range(generations):
        program.advance()
        if watch is not None:
            watch(generation + 1, program.runs(generation + 1))
    return program.runs(generations)


class _Program:
    """The state of B runs, with the runs as the first dimension of every tensor."""

    def __init__(
        self,
        algorithm: Evolution | DE,
        problem: Problem,
        seeds: list[int],
        device: torch.device,
        dtype: torch.dtype,
        budget: int | None,
    ) -> None:
        if algorithm.steady_state:
            raise SettingError("algorithm: steady_state cannot run in batches; leave it False")
        if not seeds:
            raise SettingError("seeds: expected at least one seed, got none")
        space = problem.space
        constants = {**space.fixed_columns, **{c: nominal(space, c) for c in space.role_columns}}
        self.algorithm, self.problem, self.seeds = algorithm, problem, seeds
        self.reduction = Reduction(space, constants)
        m, k = len(problem.objectives), problem.n_constraints
        self.spec = Spec(self.reduction.space, m, k, device, dtype, budget)
        self.n = algorithm.population_size
        extra = algorithm.row_bytes(self.spec) if isinstance(algorithm, Evolution) else 0.0
        check_memory(self.spec, self.n, extra=extra, runs=len(seeds))
        self.generators = [make_generator(seed, device) for seed in seeds]
        self.signs = torch.tensor([o.sign for o in problem.objectives], dtype=dtype, device=device)
        state = algorithm.init(self.spec, self.generators[0])
        self.tools = state.tools
        shape = (len(seeds),)
        self.memory = {name: t.expand(*shape, *t.shape).clone() for name, t in state.memory.items()}
        self.x, self.values, self.violations = (
            t.expand(*shape, *t.shape).clone() for t in (state.x, state.values, state.violations)
        )
        self.parents = torch.zeros(len(seeds), dtype=torch.int64)
        self.told = 0

    def runs(self, generations: int) -> BatchedRuns:
        """Return what there is now."""
        full = self._full(self.x)
        return BatchedRuns(
            list(self.seeds), full, self.values * self.signs, self.violations, generations * self.n, self.signs
        )

    def _full(self, x: Tensor) -> Tensor:
        space = self.problem.space
        flat = self.reduction.expand(x.reshape(-1, self.spec.dim))
        flat = flat if space.is_real else space.canonical(flat)
        return flat.reshape(*x.shape[:-1], space.dim)

    def advance(self) -> None:
        """Propose, evaluate and take one generation of every run."""
        x = self._full(self._ask())
        values, violations = self._evaluate(x)
        self._tell(self.reduction.restrict(x.flatten(0, 1)).reshape(*x.shape[:2], -1), values, violations)

    def _evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        evaluation = self.problem(x.flatten(0, 1))
        shape = x.shape[:2]
        values = evaluation.values.to(self.spec.device, self.spec.dtype) * self.signs
        violations = values.new_zeros((len(values), 0))
        if self.spec.n_constraints and evaluation.violations is not None:
            violations = evaluation.violations.to(values)
        failed = ~(torch.isfinite(values).all(1) & torch.isfinite(violations).all(1))
        values, violations = (t.masked_fill(failed[:, None], math.nan) for t in (values, violations))
        return values.reshape(*shape, -1), violations.reshape(*shape, self.spec.n_constraints)

    def _ask(self) -> Tensor:
        """Return the candidates of every run; a run without parents draws at random."""
        fresh = (self.parents == 0).tolist() if self.told else [True] * len(self.seeds)
        if not any(fresh):
            return self._offspring(list(range(len(fresh))))
        x = torch.empty((len(fresh), self.n, self.spec.dim), dtype=self.spec.dtype, device=self.spec.device)
        for run, is_fresh in enumerate(fresh):
            if is_fresh:
                uniforms = draw(self.generators[run], self.n * self.spec.dim, dtype=self.spec.dtype)
                x[run] = initial_points(self.spec, uniforms.reshape(self.n, -1))
        others = [run for run, is_fresh in enumerate(fresh) if not is_fresh]
        if others:
            x[others] = self._offspring(others)
        return x

    def _offspring(self, runs: list[int]) -> Tensor:
        generators = [self.generators[run] for run in runs]
        whole = len(runs) == len(self.seeds)
        x, values, violations = (t if whole else t[runs] for t in (self.x, self.values, self.violations))
        total = total_violation(violations)
        algorithm = self.algorithm
        if isinstance(algorithm, DE):
            uniforms = draw(generators, algorithm.trial_draws(self.spec.dim, self.n), dtype=self.spec.dtype)
            places = torch.arange(self.n, device=self.spec.device)
            return algorithm.trials(self.spec, x, values, total, places, uniforms)
        if isinstance(algorithm, MOEAD):
            usable = None if bool((self.parents[runs] == self.n).all()) else usable_members(values)
            uniforms = draw(generators, algorithm.place_draws(self.tools, self.n), dtype=self.spec.dtype)
            places = torch.arange(self.n, device=self.spec.device)
            return algorithm.place_offspring(self.tools, x, usable, places, uniforms)
        n = x.shape[-2]
        pools = self.parents[runs]
        pool: int | Tensor = n if bool((pools == n).all()) else pools[:, None].to(self.spec.device)
        uniforms = draw(generators, algorithm.offspring_draws(self.tools, n, self.n), dtype=self.spec.dtype)
        return algorithm.offspring(self.tools, x, total, pool, self.n, uniforms)

    def _tell(self, x: Tensor, values: Tensor, violations: Tensor) -> None:
        start = self.told < self.n
        self.told += self.n
        merged = [
            torch.cat(pair, dim=-2) for pair in ((self.x, x), (self.values, values), (self.violations, violations))
        ]
        algorithm = self.algorithm
        total = total_violation(merged[2])
        pools: Tensor | None = None
        if isinstance(algorithm, DE):
            rows = algorithm.replacement(merged[1], total, None, self.n)
        elif isinstance(algorithm, MOEAD):
            source, self.memory = algorithm.replacement(
                self.tools.constants,
                (self.values, total_violation(self.violations)),
                (values, total_violation(violations)),
                None,
                self.memory,
                start=start,
            )
            own = torch.arange(self.n, device=source.device)
            rows = torch.where(source >= 0, self.n + source, own)
        else:
            n, m = merged[1].shape[-2:]
            count = algorithm.survival_draws(self.tools.constants, n, m)
            uniforms = draw(self.generators, count, dtype=self.spec.dtype)
            kept = min(n, self.n)
            rows, self.memory, pools, _ = algorithm.survive(
                self.tools.constants, merged[1], total, kept, self.memory, uniforms, self.told
            )
        self.x, self.values, self.violations = (
            t.gather(-2, rows.unsqueeze(-1).expand(*rows.shape, t.shape[-1])) for t in merged
        )
        usable = usable_members(self.values).sum(-1).cpu()
        if pools is not None:
            usable = torch.where(usable > 0, torch.minimum(pools[:, 0].cpu(), usable).clamp(min=1), 0)
        self.parents = usable
