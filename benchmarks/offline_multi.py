"""The runs of `offline.py multi`: ParetoFlow and NSGA-II on one and the same predictors, one run a set and seed.

A seed stands for a whole run: the first weights, validation rows and batches of predictors and flow, and the sampling
that follows, all differ from seed to seed; the data set is the same. MultipleModels is NSGA-II on the very networks
that ParetoFlow trained for that seed, so what differs between the two is the search and the choice alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from blackbox.algorithm import Request, Spec
from blackbox.algorithms import ParetoFlow, SurrogateEvolution
from blackbox.algorithms.offline._data import Told, training_set
from blackbox.algorithms.offline._models import Models
from blackbox.problems import OfflineSet
from blackbox.state import from_tree, load_file, save_file

__all__ = ["GENERATIONS", "LEADING", "SETS", "Kept", "Trainer", "run"]

SETS = ["ZDT1", "ZDT2", "ZDT3", "VLMOP2", "DTLZ7"]
SETS += [f"RE{k}" for k in (21, 22, 23, 24, 25, 31, 32, 33, 34, 35, 36, 37, 41, 42, 61)]
LEADING = "ParetoFlow"
GENERATIONS = {"MultipleModels": 100, "MultipleModels1000": 1000}

Run = dict[str, float]


class Kept:
    """Runs by set, algorithm and seed, kept in a file of one line a run where one is given; each is made once.

    Parameters
    ----------
    file : Path or None
        JSON lines, appended to.
    """

    def __init__(self, file: Path | None = None) -> None:
        self.file = file
        self.found: dict[tuple[str, str, int], Run] = {}
        if file is not None and file.is_file():
            for line in file.read_text().splitlines():
                row = json.loads(line)
                self.found[row.pop("set"), row.pop("algorithm"), row.pop("seed")] = row

    def __call__(self, name: str, algorithm: str, seed: int, make: Callable[[], Run]) -> Run:
        """Return a run, made by `make` where it is not there yet."""
        if (name, algorithm, seed) not in self.found:
            row = make()
            self.found[name, algorithm, seed] = row
            if self.file is not None:
                with self.file.open("a") as file:
                    file.write(json.dumps({"set": name, "algorithm": algorithm, "seed": seed, **row}) + "\n")
        return self.found[name, algorithm, seed]


@dataclass
class Trainer:
    """Trains the models of ParetoFlow, once for all algorithms that run on them.

    Parameters
    ----------
    folder : Path or None
        Where trained models are kept, so that searches alone can be run again.
    """

    folder: Path | None = None

    def __post_init__(self) -> None:
        self._last: tuple[tuple[str, int], Trained] | None = None

    def __call__(self, problem: OfflineSet, seed: int) -> Trained:
        """Return the trained models of a seed."""
        key = problem.name, seed
        if self._last is None or self._last[0] != key:
            self._last = key, self._made(problem, seed)
        return self._last[1]

    def _made(self, problem: OfflineSet, seed: int) -> Trained:
        x, values = problem.dataset
        spec, told = Spec(problem.space, values.shape[1]), Told(x, values)
        file = None if self.folder is None else self.folder / f"{problem.oracle.name}-{seed}.bb"
        if file is not None and file.is_file():
            tree = load_file(file)
            return Trained(spec, told, from_tree(Models, tree["models"]), float(tree["seconds"]))
        started = time.process_time()
        models = ParetoFlow()._train(spec, training_set(told), torch.Generator().manual_seed(seed))
        seconds = time.process_time() - started
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            save_file(file, {"models": models, "seconds": seconds})
        return Trained(spec, told, models, seconds)


@dataclass(frozen=True)
class Trained:
    """What both algorithms start from; `seconds` are CPU seconds of training."""

    spec: Spec
    told: Told
    models: Models
    seconds: float


def run(
    problem: OfflineSet, algorithm: str, seed: int, trainer: Trainer, model: int | None = None, n: int = 256
) -> Run:
    """Return the figures of one run of ParetoFlow, or of NSGA-II on its predictors.

    `model` is the seed of the models; by default that of the run, and with a number the protocol of the published
    program: one model a task, on which only the search is seeded anew.
    """
    trained = trainer(problem, seed if model is None else model)
    generator = torch.Generator().manual_seed(1000 + seed)
    started = time.process_time()
    if algorithm == LEADING:
        x = sampled(ParetoFlow(), trained, n, generator)
    else:
        x = evolved(trained, GENERATIONS[algorithm], n, generator)
    search = time.process_time() - started
    score, models = problem.score(x), trained.models
    with torch.no_grad():
        believed = models.targets.invert(models.predict(models.encode(trained.spec, x)))
    figures = {"p100": score.percentiles[100], "gap": score.gap_closed, "n": float(score.n)}
    return {
        **figures,
        "predicted": share_of(problem, believed),
        "seconds": trained.seconds + search,
        "search": search,
    }


def sampled(algorithm: ParetoFlow, trained: Trained, n: int, generator: torch.Generator) -> Tensor:
    """Return the designs of ParetoFlow with given models."""
    spec, told = trained.spec, trained.told
    state = replace(algorithm.init(spec, generator), told=told, models=trained.models)
    return algorithm.ask(spec, state, Request(n, gather=lambda: told.x[:0]), generator)[1].x


def evolved(trained: Trained, generations: int, n: int, generator: torch.Generator) -> Tensor:
    """Return the last population of NSGA-II on the predictors of ParetoFlow, as published."""
    algorithm = SurrogateEvolution(targets="log", generations=generations, batch_size=n, population_size=n)
    # ParetoFlow standardises before its ensemble sees a row, the baseline leaves that to the ensemble.
    ensemble = replace(trained.models.predictors, inputs=trained.models.inputs)
    return algorithm._search(trained.spec, training_set(trained.told), ensemble, n, generator)[:n]


def share_of(problem: OfflineSet, values: Tensor) -> float:
    """Return the share of the gap that values, shape (n, m), would close: of predictions, what is believed."""
    worth = problem._worth(values)[100]
    return float((worth - problem.best_of_data) / (problem.ceiling - problem.best_of_data))
