"""Many runs of one evolutionary algorithm as one tensor program: each gives exactly what it gives alone.

Every run has a generator of its own and takes the numbers from it that it would take alone; everything that computes
with them is a kernel with a leading dimension for the runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from blackbox.algorithm import Front, Spec
from blackbox.algorithms.evolutionary.de import DE
from blackbox.algorithms.evolutionary.draws import draw
from blackbox.algorithms.evolutionary.evolution import Evolution, Tools
from blackbox.algorithms.evolutionary.mating import take_rows
from blackbox.algorithms.evolutionary.moead import MOEAD
from blackbox.algorithms.evolutionary.offspring import initial_points
from blackbox.algorithms.evolutionary.population import Population, check_memory, front_of, total_violation
from blackbox.algorithms.evolutionary.slots import usable_members
from blackbox.errors import SettingError
from blackbox.random import restore_generator

__all__ = ["BATCHED_SETTINGS", "Batchable", "BatchedEvolution", "can_batch", "same_program"]

Batchable: TypeAlias = Evolution | DE
BATCHED_SETTINGS = ("crossover_eta", "crossover_probability", "mutation_eta")
_REPRODUCTION_SETTINGS = (*BATCHED_SETTINGS, "early_crossover_probability")


def can_batch(algorithm: Any) -> bool:
    """Return whether runs of this algorithm can be one program: those of generational algorithms of this package."""
    if not isinstance(algorithm, (Evolution, DE)) or algorithm.steady_state:
        return False
    kind: Any = type(algorithm)
    if isinstance(algorithm, (MOEAD, DE)):
        return kind in (MOEAD, DE)
    return bool(kind.ask is Evolution.ask and kind.tell is Evolution.tell)


def same_program(algorithm: Batchable, dtype: torch.dtype = torch.float64) -> Batchable:
    """Return what is equal for algorithms that can run in one program: the settings that cannot differ.

    In float64 the numbers of `BATCHED_SETTINGS` can differ; in float32 they would be rounded in another order.
    """
    if dtype != torch.float64 or isinstance(algorithm, DE):
        return algorithm
    neutral: dict[str, Any] = {f.name: f.default for f in fields(Evolution) if f.name in BATCHED_SETTINGS}
    return replace(algorithm, **neutral)


class BatchedEvolution:
    """B runs of evolutionary algorithms in lockstep: ask all, tell all.

    Parameters
    ----------
    algorithms : sequence of Evolution or DE, length B
        Of one kind; they may differ in `BATCHED_SETTINGS` only, and that in float64 only.
    spec : Spec
    generators : sequence of torch.Generator, length B
        Those that the runs would have alone.

    Raises
    ------
    SettingError
        If the algorithms cannot be one program, or the populations cannot fit in memory.
    """

    def __init__(self, algorithms: Sequence[Batchable], spec: Spec, generators: Sequence[torch.Generator]) -> None:
        if not algorithms or len(algorithms) != len(generators):
            raise SettingError(f"algorithms: expected {len(generators)}, one a generator, got {len(algorithms)}")
        self.algorithm, self.spec, self.generators = algorithms[0], spec, list(generators)
        shared = {same_program(algorithm, spec.dtype) for algorithm in algorithms if can_batch(algorithm)}
        if len(shared) != 1 or not all(map(can_batch, algorithms)):
            raise SettingError(f"algorithms: expected generational ones that differ in {BATCHED_SETTINGS} at most")
        self.runs, self.size = len(generators), self.algorithm.population_size
        extra = self.algorithm.row_bytes(spec) if isinstance(self.algorithm, Evolution) else 0.0
        check_memory(spec, self.size, extra=extra, runs=self.runs)
        self.tools = _tools(algorithms, spec)
        first = self.algorithm.init(spec, self.generators[0])
        self.x, self.values, self.violations = (
            part.expand(self.runs, *part.shape).clone() for part in (first.x, first.values, first.violations)
        )
        self.memory = {name: t.expand(self.runs, *t.shape).clone() for name, t in first.memory.items()}
        self.pool = torch.zeros((self.runs, 1), dtype=torch.int64, device=spec.device)
        self.told = 0
        self._is_sound = False  # all runs are known to have a whole population without failed rows
        self._numbers: dict[int, tuple[Tensor, tuple[Tensor, ...]]] = {}
        self._has_places = isinstance(self.algorithm, (MOEAD, DE))

    # -- the two verbs -----------------------------------------------------------------------------------------

    def ask(self) -> Tensor:
        """Return a generation of every run, shape (B, N, d)."""
        if self._is_sound:
            return self._children(slice(None), self.generators)
        empty = self.pool[:, 0] == 0
        if self.told < self.size or bool(empty.all()):
            return self._random_points(range(self.runs))
        if not bool(empty.any()):
            return self._children(slice(None), self.generators)
        # Runs in which every evaluation has failed so far draw at random again, as they do alone.
        x = self.x.new_empty((self.runs, self.size, self.spec.dim))
        for rows, is_random in ((empty, True), (~empty, False)):
            chosen = rows.nonzero()[:, 0].tolist()
            for run in chosen:
                only = slice(run, run + 1)
                x[only] = self._random_points([run]) if is_random else self._children(only, [self.generators[run]])
        return x

    def tell(self, x: Tensor, values: Tensor, violations: Tensor) -> None:
        """Take in a generation of every run.

        Parameters
        ----------
        x : Tensor, shape (B, N, d)
        values : Tensor, shape (B, N, m)
            Minimised; NaN in rows whose evaluation failed.
        violations : Tensor, shape (B, N, k)
        """
        if self._has_places:
            self._replace(x, values, violations)
        else:
            self._survive(x, values, violations)

    def front(self, run: int) -> Front | None:
        """Return the result of one run, as its algorithm would."""
        state = Population(self.x[run], self.values[run], self.violations[run])
        return front_of(state) if self.algorithm.capabilities.own_result else None

    # -- saving ------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return everything needed to go on, as a state tree."""
        return {
            "x": self.x,
            "values": self.values,
            "violations": self.violations,
            "memory": dict(self.memory),
            "pool": self.pool,
            "told": self.told,
            "generators": [generator.get_state() for generator in self.generators],
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Become the batch whose `state()` this is."""
        device = self.spec.device
        self.x, self.values, self.violations, self.pool = (
            tree[name].to(device) for name in ("x", "values", "violations", "pool")
        )
        self.memory = {name: tensor.to(device) for name, tensor in tree["memory"].items()}
        self.told, self._is_sound = int(tree["told"]), False
        self.generators = [restore_generator(state, device) for state in tree["generators"]]

    # -- the steps ---------------------------------------------------------------------------------------------

    def _random_points(self, runs: Sequence[int]) -> Tensor:
        uniforms = draw([self.generators[r] for r in runs], self.size * self.spec.dim, dtype=self.spec.dtype)
        return initial_points(self.spec, uniforms.reshape(len(runs), self.size, self.spec.dim))

    def _children(self, rows: slice, generators: Sequence[torch.Generator]) -> Tensor:
        algorithm, x, n = self.algorithm, self.x[rows], self.x.shape[1]
        total = total_violation(self.violations[rows])
        if isinstance(algorithm, DE):
            uniforms = self._draw(generators, algorithm.trial_draws(self.spec.dim, self.size))
            places = torch.arange(self.size, device=self.spec.device)
            return algorithm.trials(self.spec, x, self.values[rows], total, places, uniforms)
        tools = self.tools if rows == slice(None) else _one_of(self.tools, rows)
        is_full = self._is_sound or bool((self.pool[rows] == n).all())
        early = algorithm.is_early(self.told)
        if isinstance(algorithm, MOEAD):
            uniforms = self._draw(generators, algorithm.place_draws(tools, self.size))
            usable = None if is_full else usable_members(self.values[rows])
            return algorithm.place_offspring(tools, x, usable, None, uniforms, early=early)
        uniforms = self._draw(generators, algorithm.offspring_draws(tools, n, self.size))
        pool = n if is_full else self.pool[rows]
        return algorithm.offspring(tools, x, total, pool, self.size, uniforms, early=early)

    def _draw(self, generators: Sequence[torch.Generator], count: int) -> Tensor:
        """Return uniform numbers, shape (B, count), in memory that the next call for as many uses again."""
        if count not in self._numbers:
            table = torch.empty((self.runs, count), dtype=self.spec.dtype, device=self.spec.device)
            self._numbers[count] = table, table.unbind()
        table, rows = self._numbers[count]
        for row, generator in zip(rows, generators, strict=False):
            row.uniform_(generator=generator)
        return table[: len(generators)] if len(generators) < self.runs else table

    def _survive(self, x: Tensor, values: Tensor, violations: Tensor) -> None:
        assert isinstance(self.algorithm, Evolution)
        x, values, violations = self._joined(x, values, violations)
        n, m = values.shape[1:]
        count = self.algorithm.survival_draws(self.tools.constants, n, m)
        uniforms = self._draw(self.generators, count)
        self.told += self.size
        kept = min(n, self.size)
        rows, self.memory, parents, is_sound = self.algorithm.survive(
            self.tools.constants, values, total_violation(violations), kept, self.memory, uniforms, self.told
        )
        self._keep(x, values, violations, rows)
        if is_sound and parents is None and kept == self.size:
            if not self._is_sound:
                self.pool, self._is_sound = torch.full_like(self.pool, kept), True
            return
        self._is_sound = False
        usable = usable_members(self.values).sum(-1, keepdim=True)
        wanted = usable if parents is None else torch.minimum(parents.reshape(-1, 1), usable).clamp(min=1)
        self.pool = torch.where(usable > 0, wanted, 0)

    def _replace(self, x: Tensor, values: Tensor, violations: Tensor) -> None:
        algorithm, n = self.algorithm, self.x.shape[1]
        everything, is_sound = self._joined(x, values, violations), False
        if isinstance(algorithm, DE):
            rows = algorithm.replacement(everything[1], total_violation(everything[2]), None, n)
        else:
            assert isinstance(algorithm, MOEAD)
            rows, self.memory, is_sound = algorithm.replacement(
                self.tools.constants,
                (self.values, total_violation(self.violations)),
                (values, total_violation(violations)),
                None,
                self.memory,
                start=self.told < self.size,
            )
        self._keep(*everything, rows)
        self.told += self.size
        if not (is_sound and self._is_sound):
            self.pool, self._is_sound = usable_members(self.values).sum(-1, keepdim=True), is_sound

    def _joined(self, x: Tensor, values: Tensor, violations: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return members and what was told, one below the other in every run."""
        if not self.x.shape[1]:
            return x, values, violations
        x, values = torch.cat([self.x, x], dim=1), torch.cat([self.values, values], dim=1)
        if not self.spec.n_constraints:
            return x, values, values.new_empty((*values.shape[:2], 0))
        return x, values, torch.cat([self.violations, violations], dim=1)

    def _keep(self, x: Tensor, values: Tensor, violations: Tensor, rows: Tensor) -> None:
        self.x, self.values, self.violations = (
            take_rows(part, rows) if part.shape[-1] else part[:, : rows.shape[1]] for part in (x, values, violations)
        )


def _tools(algorithms: Sequence[Batchable], spec: Spec) -> Tools:
    """Return the tools of all runs; settings that differ become tensors of shape (B, 1, 1), mutation's (B, 1)."""
    first = algorithms[0]
    if isinstance(first, DE):
        nothing: Any = None
        return Tools(nothing, None)
    tools = first.tools(spec)
    for name in _REPRODUCTION_SETTINGS:
        settings = [_setting(algorithm, name, spec) for algorithm in algorithms]
        if len(set(settings)) > 1:
            shape = (-1, 1) if name == "mutation_eta" else (-1, 1, 1)
            tensor = torch.tensor(settings, dtype=torch.float64, device=spec.device).reshape(shape)
            setattr(tools.reproduction, name, tensor)
    return tools


def _setting(algorithm: Batchable, name: str, spec: Spec) -> float:
    if isinstance(algorithm, Evolution) and name.endswith("crossover_probability"):
        later, early = algorithm.crossing(spec)
        return later if name == "crossover_probability" else early
    return float(getattr(algorithm, name))


def _one_of(tools: Tools, rows: slice) -> Tools:
    """Return the tools of some runs."""
    import copy

    reproduction = copy.copy(tools.reproduction)
    for name in _REPRODUCTION_SETTINGS:
        setting = getattr(reproduction, name)
        if isinstance(setting, Tensor):
            setattr(reproduction, name, setting[rows])
    return tools._replace(reproduction=reproduction)
