"""What a sweep found: every run, and a table with medians, quartiles and significance."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from torch import Tensor

from blackbox._sweep_metrics import Ruler, holm, make_ruler, paired_p_value
from blackbox.errors import SettingError, StorageError
from blackbox.problem import Problem

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Cell", "SweepResult", "SweepRun"]

_LEVEL = 0.05  # of significance


@dataclass(frozen=True, slots=True)
class SweepRun:
    """One run of a sweep.

    Attributes
    ----------
    algorithm, problem : str
        Their names in the sweep.
    seed : int
        `Optimizer(problem, algorithm, seed=seed)` alone gives the same.
    values : Tensor, shape (r, m), float64
        Those of the run's result: the best value, or the Pareto set, in the objectives' own directions.
    n_evaluations, n_failed : int
    seconds : float
        Wall time; an equal share of it where runs were one program.
    batched : bool
        Whether it was one of many in one program.
    """

    algorithm: str
    problem: str
    seed: int
    values: Tensor
    n_evaluations: int
    n_failed: int
    seconds: float
    batched: bool


@dataclass(frozen=True, slots=True)
class Cell:
    """One algorithm on one problem.

    Attributes
    ----------
    metric : str
        "best", "igd", "igd_plus" or "hypervolume".
    n : int
        Runs.
    median, lower, upper : float
        Median and quartiles of the metric.
    p : float or None
        Of the Wilcoxon signed-rank test against the best on the problem, paired by seed, adjusted after Holm for all
        comparisons on the problem; None for the best itself.
    verdict : "best", "equal" or "worse"
        "best" has the best median; "worse" differs from it at the level 0.05; "equal" does not.
    """

    problem: str
    algorithm: str
    metric: str
    n: int
    median: float
    lower: float
    upper: float
    p: float | None
    verdict: Literal["best", "equal", "worse"]


class SweepResult:
    """All runs of a sweep that have finished.

    Attributes
    ----------
    algorithms, problems : list of str
        Their names, in the order of the table.
    seeds : tuple of int
    runs : list of SweepRun
    failures : dict of (str, str, int) to str
        Why a run did not finish, by algorithm, problem and seed.
    metric : str
        What the table shows unless told otherwise.
    """

    def __init__(
        self,
        problems: Mapping[str, Problem],
        algorithms: list[str],
        seeds: tuple[int, ...],
        runs: list[SweepRun],
        failures: Mapping[tuple[str, str, int], str],
        metric: str,
    ) -> None:
        self._problems = dict(problems)
        self.problems, self.algorithms, self.seeds = list(problems), algorithms, seeds
        self.runs, self.failures, self.metric = runs, dict(failures), metric
        self._rulers: dict[tuple[str, str], Ruler] = {}
        self._measured: dict[tuple[str, str, str], dict[int, float]] = {}

    def runs_of(self, algorithm: str, problem: str) -> list[SweepRun]:
        """Return the runs of one algorithm on one problem, in the order of the seeds.

        Raises
        ------
        SettingError
            If one of them is not in the sweep.
        """
        for argument, name, known in (
            ("algorithm", algorithm, self.algorithms),
            ("problem", problem, self.problems),
        ):
            if name not in known:
                raise SettingError(f"{argument}: expected one of {known}, got {name!r}")
        return [run for run in self.runs if run.algorithm == algorithm and run.problem == problem]

    def ruler(self, problem: str, metric: str | None = None) -> Ruler:
        """Return what runs on a problem are measured with."""
        wanted = metric or self.metric
        if (problem, wanted) not in self._rulers:
            fronts = [run.values for run in self.runs if run.problem == problem]
            self._rulers[problem, wanted] = make_ruler(problem, self._problems[problem], wanted, fronts)
        return self._rulers[problem, wanted]

    def measured(self, algorithm: str, problem: str, metric: str | None = None) -> dict[int, float]:
        """Return the metric of every run by seed.

        Parameters
        ----------
        metric : str, optional
            "best", "igd", "igd_plus", "hypervolume" or "auto". Default: that of the sweep.

        Raises
        ------
        SettingError
            If the metric does not fit the problem.
        """
        key = (algorithm, problem, metric or self.metric)
        if key not in self._measured:
            ruler = self.ruler(problem, metric)
            self._measured[key] = {run.seed: ruler(run.values) for run in self.runs_of(algorithm, problem)}
        return dict(self._measured[key])

    def cells(self, metric: str | None = None) -> list[Cell]:
        """Return the table: one cell for each problem and algorithm that has a run, problem by problem."""
        found = []
        for problem in self.problems:
            by_name = {name: self.measured(name, problem, metric) for name in self.algorithms}
            by_name = {name: numbers for name, numbers in by_name.items() if numbers}
            if by_name:
                found += _compared(problem, by_name, self.ruler(problem, metric))
        return found

    def table(self, metric: str | None = None) -> Table:
        """Return the table for a terminal (rich)."""
        from rich.table import Table

        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("problem", overflow="fold")
        table.add_column("algorithm", overflow="fold")
        for heading in ("runs", "median", "quartiles", "p (Holm)"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("", no_wrap=True)
        last = None
        for cell in self.cells(metric):
            if last is not None and cell.problem != last:
                table.add_section()
            larger = self.ruler(cell.problem, metric).is_larger_better
            first = f"{cell.problem}  {cell.metric} {'↑' if larger else '↓'}" if cell.problem != last else ""
            style = {"best": "bold green", "equal": "", "worse": "dim"}[cell.verdict]
            table.add_row(first, *_shown(cell), style=style)
            last = cell.problem
        return table

    def __str__(self) -> str:
        from rich.console import Console

        text = io.StringIO()
        Console(file=text, width=120, color_system=None).print(self.table())
        lines = [line.rstrip() for line in text.getvalue().splitlines()]
        failed = [f"{a} on {p}, seed {s}: {why}" for (a, p, s), why in self.failures.items()]
        if failed:
            lines += ["", f"{len(failed)} runs failed, the first one: {failed[0]}"]
        return "\n".join(lines)

    def __repr__(self) -> str:
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return (
            f"SweepResult({len(self.algorithms)} algorithms, {len(self.problems)} problems, "
            f"{len(self.runs)} runs{failed})"
        )

    # -- export --------------------------------------------------------------------------------------------------

    def to_csv(self, path: str | Path, *, rows: Literal["cells", "runs"] = "cells", metric: str | None = None) -> None:
        """Write the table, or one line for each run, as CSV; whole or not at all.

        Raises
        ------
        StorageError
            If the file cannot be written.
        """
        if rows not in ("cells", "runs"):
            raise SettingError(f'rows: expected "cells" or "runs", got {rows!r}')
        records = [asdict(cell) for cell in self.cells(metric)] if rows == "cells" else self._run_records(metric)
        text = io.StringIO()
        if records:
            writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(records)
        _write(Path(path), text.getvalue())

    def to_json(self, path: str | Path, *, metric: str | None = None) -> None:
        """Write the table and all runs as JSON; whole or not at all. Infinities are written as null.

        Raises
        ------
        StorageError
            If the file cannot be written.
        """
        tree = {
            "cells": [_plain(asdict(cell)) for cell in self.cells(metric)],
            "runs": [_plain(record) for record in self._run_records(metric)],
            "failures": [
                {"algorithm": a, "problem": p, "seed": s, "reason": why} for (a, p, s), why in self.failures.items()
            ],
        }
        _write(Path(path), json.dumps(tree, indent=1, allow_nan=False) + "\n")

    def _run_records(self, metric: str | None) -> list[dict[str, Any]]:
        return [
            {
                "problem": run.problem,
                "algorithm": run.algorithm,
                "seed": run.seed,
                "metric": self.ruler(run.problem, metric).metric,
                "value": self.measured(run.algorithm, run.problem, metric)[run.seed],
                "size": len(run.values),
                "evaluations": run.n_evaluations,
                "failed": run.n_failed,
                "seconds": run.seconds,
                "batched": run.batched,
            }
            for run in self.runs
        ]


def _compared(problem: str, by_name: Mapping[str, Mapping[int, float]], ruler: Ruler) -> list[Cell]:
    """Return the cells of one problem, each tested against the one with the best median."""
    quartiles = {name: _quartiles(list(numbers.values())) for name, numbers in by_name.items()}
    sign = -1.0 if ruler.is_larger_better else 1.0
    best = min(by_name, key=lambda name: sign * quartiles[name][1])
    others = [name for name in by_name if name != best]
    p_values = []
    for name in others:
        seeds = [seed for seed in by_name[name] if seed in by_name[best]]
        p_values.append(paired_p_value([by_name[name][s] for s in seeds], [by_name[best][s] for s in seeds]))
    adjusted = dict(zip(others, holm(p_values), strict=True))
    cells = []
    for name, numbers in by_name.items():
        lower, median, upper = quartiles[name]
        p = adjusted.get(name)
        cell = Cell(problem, name, ruler.metric, len(numbers), median, lower, upper, p, "best")
        if p is not None:
            cell = replace(cell, verdict="worse" if p < _LEVEL else "equal")
        cells.append(cell)
    return cells


def _quartiles(numbers: list[float]) -> tuple[float, float, float]:
    """Return the quartiles; where infinities make interpolation undefined, the nearest run's number."""
    with np.errstate(invalid="ignore"):
        smooth = np.percentile(numbers, [25, 50, 75])
    nearest = np.percentile(numbers, [25, 50, 75], method="nearest")
    lower, median, upper = np.where(np.isnan(smooth), nearest, smooth).tolist()
    return lower, median, upper


def _shown(cell: Cell) -> list[str]:
    p = "" if cell.p is None else ("< 0.001" if cell.p < 0.001 else f"{cell.p:.3f}")
    return [
        cell.algorithm,
        str(cell.n),
        f"{cell.median:.4g}",
        f"{cell.lower:.4g} … {cell.upper:.4g}",
        p,
        {"best": "best", "equal": "= best", "worse": "worse"}[cell.verdict],
    ]


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise StorageError(f"path: cannot write {str(path)!r}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
