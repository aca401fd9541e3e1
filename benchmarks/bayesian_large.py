"""Bayesian optimization of many variables, and of many evaluations.

    python benchmarks/bayesian_large.py turbo       # Ackley, d = 100, 1,000 evaluations: TuRBO, CMA-ES, plain BO
    python benchmarks/bayesian_large.py saas        # Hartmann-6 hidden among 100 variables: which are found
    python benchmarks/bayesian_large.py embedding   # the same with a random embedding, and among 1,000
    python benchmarks/bayesian_large.py scale       # seconds an ask at 3,000 and 10,000 evaluations; the sparse process

One thread. `turbo` takes about four minutes a seed (most of it plain BO), `saas` one, the others one in all.
`--file results.jsonl` keeps what `turbo` and `saas` ran, and runs only what is missing the next time.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from records import Record, smaller

import blackbox as bb
from blackbox.algorithms import CMAES, BayesianOptimization, RandomEmbedding, TuRBO
from blackbox.problems import Ackley, Hartmann6, Shifted
from blackbox.surrogates.sparse_gaussian_process import fit_sparse


def drive(problem: bb.Problem, algorithm: Any, n: int, seed: int, batch: int | None) -> tuple[bb.Optimizer, float]:
    """Return the optimizer after n evaluations, and the seconds its asks took."""
    optimizer = bb.Optimizer(problem, algorithm, seed=seed, budget=n)
    seconds = 0.0
    while optimizer.n_evaluations < n:
        left = n - optimizer.n_evaluations
        start = time.perf_counter()
        asked = optimizer.ask() if batch is None else optimizer.ask(min(batch, left))
        seconds += time.perf_counter() - start
        optimizer.tell(asked, problem(asked.x))
    return optimizer, seconds


def pycma(problem: bb.Problem, n: int, seed: int) -> float:
    """Return the best value of the cma package with its defaults, from the centre, a fifth of the box as deviation."""
    import cma

    low, high = np.asarray(problem.space.lower), np.asarray(problem.space.upper)
    settings = {"seed": seed + 1, "verbose": -9, "bounds": [low.tolist(), high.tolist()], "maxfevals": n}
    strategy: Any = cma.CMAEvolutionStrategy((low + high) / 2, 0.2 * float(high[0] - low[0]), settings)
    best, done = float("inf"), 0
    while done < n:
        x = np.array(strategy.ask())[: n - done]
        values = problem(torch.from_numpy(x)).values[:, 0].tolist()
        best, done = min(best, *values), done + len(x)
        if len(values) == strategy.popsize:
            strategy.tell(list(x), values)
    return best


def turbo(options: argparse.Namespace) -> None:
    algorithms: dict[str, tuple[Any, int | None]] = {
        "TuRBO": (TuRBO(), 10),
        "CMAES": (CMAES(), None),
        "cma": (None, None),
        "BO": (BayesianOptimization(), 10),
    }
    record = Record(options.file, ("part", "algorithm", "seed"))
    names = options.algorithms.split(",")
    found: dict[str, list[float]] = {name: [] for name in names}

    def run(name: str, seed: int) -> dict[str, float]:
        algorithm, batch = algorithms[name]
        problem = Shifted(Ackley(dim=100), seed=seed)
        if name == "cma":
            return {"best": pycma(problem, 1000, seed), "seconds": 0.0}
        optimizer, seconds = drive(problem, algorithm, 1000, seed, batch)
        return {"best": float(optimizer.result().values[0, 0]), "seconds": seconds}

    for seed in range(options.seeds):
        for name in names:
            row = record.get(("turbo", name, seed), partial(run, name, seed))
            found[name].append(float(row["best"]))
            print(f"seed {seed}  {name:<8} best {row['best']:8.3f}   {row['seconds']:7.1f} s of asks", flush=True)
    for name, values in found.items():
        test = "" if name == names[0] else smaller(found[names[0]], values)
        print(f"{name:<8} median {np.median(values):8.3f}   of {np.round(values, 2).tolist()} {test}")


def hidden(dim: int, seed: int) -> tuple[bb.Problem, set[int]]:
    """Return Hartmann-6 of six of `dim` variables, and which."""
    columns = np.random.default_rng(seed).choice(dim, 6, replace=False)
    inner = Hartmann6()
    space = bb.Space.box([0.0] * dim, [1.0] * dim)
    problem = bb.Problem.from_function(lambda x: inner(x[:, columns]).values[:, 0], space, takes="batch")
    return problem, set(columns.tolist())


def saas(options: argparse.Namespace) -> None:
    record = Record(options.file, ("part", "algorithm", "seed"))

    def run(sparse: bool, seed: int) -> dict[str, float]:
        problem, active = hidden(100, seed)
        optimizer, seconds = drive(problem, BayesianOptimization(sparse=sparse, start=20), 100, seed, 1)
        thetas = np.asarray(optimizer.state()["kernel"]["objectives"][0]["thetas"][0])  # log lengthscales first
        hits = len(active & set(np.argsort(thetas[:100])[:6].tolist()))
        return {"best": float(optimizer.result().values[0, 0]), "found": hits, "seconds": seconds}

    for seed in range(options.seeds):
        for name in ("SAAS", "plain"):
            row = record.get(("saas", name, seed), partial(run, name == "SAAS", seed))
            print(
                f"seed {seed}  {name:<6} best {row['best']:7.3f} (optimum -3.322)   {row['found']} of 6 found   "
                f"{row['seconds']:6.1f} s",
                flush=True,
            )


def embedding(options: argparse.Namespace) -> None:
    for dim in (100, 1000):
        for seed in range(options.seeds):
            problem, _ = hidden(dim, seed)
            optimizer, seconds = drive(problem, RandomEmbedding(), 100, seed, 1)
            value = float(optimizer.result().values[0, 0])
            print(f"d = {dim}  seed {seed}  best {value:7.3f} (optimum -3.322)   {seconds:6.1f} s of asks")


def scale(options: argparse.Namespace) -> None:
    generator = torch.Generator().manual_seed(0)
    problem = Hartmann6()
    for n in (3000, 10000):
        x = torch.rand((n, 6), generator=generator, dtype=torch.float64)
        optimizer = bb.Optimizer(problem, BayesianOptimization(), seed=0)
        optimizer.tell(problem.space.batch(x), problem(x))
        times = []
        for _ in range(20):
            start = time.perf_counter()
            batch = optimizer.ask(1)
            times.append(time.perf_counter() - start)
            optimizer.tell(batch, problem(batch.x))
        print(
            f"ask at n = {n:6d}: first {times[0]:6.2f} s, then {np.median(times[1:]):6.2f}, mean {np.mean(times):6.2f}"
        )
        start = time.perf_counter()
        model = fit_sparse(x, problem(x).values[:, 0], inducing=512, subset=500)
        seconds = time.perf_counter() - start
        test = torch.rand((2000, 6), generator=generator, dtype=torch.float64)
        truth = problem(test).values[:, 0]
        error = ((model.posterior(test).mean - truth) ** 2).mean() / truth.var()
        print(f"sparse process of n = {n:6d}, 512 inducing points: {seconds:6.2f} s, R2 {1.0 - float(error):.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["turbo", "saas", "embedding", "scale"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--algorithms", default="TuRBO,CMAES,cma,BO", help="of turbo: some of these")
    parser.add_argument("--file", type=Path, default=None, help="JSON lines of turbo and saas: not run again")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    {"turbo": turbo, "saas": saas, "embedding": embedding, "scale": scale}[arguments.part](arguments)


if __name__ == "__main__":
    main()
