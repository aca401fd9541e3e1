"""`BayesianOptimization` with its defaults on more problems than its tables of regret have, beside peers.

    python benchmarks/bayesian_suites.py variants   # the five functions shifted, rotated, times 10^6, and with noise
    python benchmarks/bayesian_suites.py bbob       # COCO's 24 functions, d = 2, 5, 10, 20, 20 d evaluations
    python benchmarks/bayesian_suites.py bbob --dims 5 --budget 50 --peers blackbox,pycma
    python benchmarks/bayesian_suites.py tuning     # hyperparameters of classifiers

All peers run on the same seeds; the last lines give medians, the p-value of Wilcoxon's signed-rank test of every peer
against ours over all runs, and, of BBOB, the share of its 51 targets that was reached. One thread. `--peers`,
`--seeds`, `--dims`, `--functions` and `--cases` choose a part; `--file results.jsonl` keeps what was run, and runs only
what is missing the next time; a whole BBOB run with d = 20 takes hours with any peer. `bbob` needs coco-experiment,
`tuning` scikit-learn.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import wilcoxon

sys.path.insert(0, str(Path(__file__).parent))

from bayesian import PEERS, cases, optuna_sampler
from bayesian_peers import ax_loop, cma_loop, hebo_loop
from records import Record

Array = NDArray[np.float64]
LOOPS = PEERS | {"ax": ax_loop, "hebo": hebo_loop, "pycma": cma_loop}
NOISY = LOOPS | {"optuna gp": optuna_sampler("gp", deterministic=False)}  # the only peer that has to be told
FLOOR = 1e-8  # BBOB's last target; smaller regrets count as this one
TARGETS = np.linspace(2.0, -8.0, 51)  # log10, of BBOB
USUAL = 20  # evaluations a variable, of BBOB


class Run(NamedTuple):
    """A function that is noisy or not, what it is without noise, and its box."""

    name: str
    function: Callable[[Array], float]
    truth: Callable[[Array], float]
    lower: Array
    upper: Array
    optimum: float
    evaluations: int
    noisy: bool = False


def variants(seed: int, part: str) -> Iterator[Run]:
    """Yield the five functions with another shift and rotation a seed, their values scaled, or with noise."""
    for case in cases():
        if part and part.lower() not in case.name.lower():
            continue
        random = np.random.default_rng([seed, 11])
        centre, half = (case.lower + case.upper) / 2, (case.upper - case.lower) / 2
        shift = random.uniform(-0.2, 0.2, len(centre)) * half
        rotation, _ = np.linalg.qr(random.standard_normal((len(centre), len(centre))))

        def moved(x: Array, case: Any = case, shift: Array = shift) -> float:
            return float(case.function(np.clip(x - shift, case.lower, case.upper)))

        def rotated(x: Array, case: Any = case, turn: Array = rotation, mid: Array = centre, h: Array = half) -> float:
            return float(case.function(np.clip(mid + h * (turn @ ((x - mid) / h)), case.lower, case.upper)))

        spread = float(np.std([case.function(x) for x in random.uniform(case.lower, case.upper, (200, len(centre)))]))
        noise = np.random.default_rng([seed, 12])

        def noisy(x: Array, case: Any = case, noise: Any = noise, spread: float = spread) -> float:
            return float(case.function(x) + 0.02 * spread * noise.standard_normal())

        def scaled(x: Array, case: Any = case) -> float:
            return 1e6 * float(case.function(x))

        box, n, best = (case.lower, case.upper), case.evaluations, case.optimum
        yield Run(f"{case.name} shifted", moved, moved, *box, best, n)
        yield Run(f"{case.name} rotated", rotated, rotated, *box, best, n)
        yield Run(f"{case.name} x 1e6", scaled, case.function, *box, best, n)
        yield Run(f"{case.name} noisy", noisy, case.function, *box, best, n, noisy=True)


def bbob(seed: int, dims: list[int], functions: str, budget: int) -> Iterator[Run]:
    """Yield COCO's functions, with `budget` evaluations a variable; a seed is an instance."""
    import cocoex

    options = f"function_indices:{functions} dimensions:{','.join(map(str, dims))} instance_indices:{seed + 1}"
    for problem in cocoex.Suite("bbob", "", options):
        d = problem.dimension
        optimum = float(problem.best_value()) if hasattr(problem, "best_value") else _known_optimum(problem)
        name = f"f{problem.id_function:02d} d{d:02d}" + (f", {budget} d" if budget != USUAL else "")
        box = np.asarray(problem.lower_bounds), np.asarray(problem.upper_bounds)
        yield Run(name, problem, problem, *box, optimum, budget * d)
        problem.free()


def _known_optimum(problem: Any) -> float:
    """Return a problem's least value, which COCO prints at its end only."""
    import contextlib
    import os
    import tempfile

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        problem._best_parameter("print")
        where = Path(folder, "._bbob_problem_best_parameter.txt")
        best = np.loadtxt(where)
        os.remove(where)
    return float(problem(best))


def tuning(seed: int, part: str) -> Iterator[Run]:
    """Yield the tuning problems over their unit cubes, so that every peer sees the same ranges."""
    from blackbox.problems import GradientBoostingTuning, MLPTuning, SVMTuning

    for make in (SVMTuning, GradientBoostingTuning, MLPTuning):
        if part and part.lower() not in make.__name__.lower():
            continue
        problem = make(seed=seed)

        def function(u: Array, problem: Any = problem) -> float:
            x = problem.space.canonical(problem.space.from_unit(torch.from_numpy(u)[None]))
            value = float(problem(x).values[0, 0])
            return -value if problem.objectives[0].maximize else value

        d = problem.space.dim
        yield Run(make.__name__, function, function, np.zeros(d), np.ones(d), 0.0, 30)


def play(run: Run, peer: str, seed: int) -> dict[str, float]:
    """Return log10 regret of the truth at the point with the best observed value, and processor seconds of asks."""
    points = (NOISY if run.noisy else LOOPS)[peer](run.lower, run.upper, seed)
    best, best_x, seconds = math.inf, run.lower, 0.0
    for _ in range(run.evaluations):
        start = time.process_time()
        point, tell = next(points)
        seconds += time.process_time() - start
        value = run.function(point)
        tell(value)
        if value < best:
            best, best_x = value, point
    regret = math.log10(max(run.truth(best_x) - run.optimum, FLOOR))
    return {"regret": regret, "seconds": seconds / run.evaluations}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", choices=["variants", "bbob", "tuning"])
    parser.add_argument("--peers", default="blackbox,optuna gp,optuna tpe", help=f"some of {','.join(LOOPS)}")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--dims", type=int, nargs="+", default=[2, 5, 10, 20])
    parser.add_argument("--functions", default="1-24", help="of BBOB, such as 1,8,15-19")
    parser.add_argument("--budget", type=int, default=USUAL, help="evaluations a variable, of BBOB")
    parser.add_argument("--cases", default="", help="a part of the name")
    parser.add_argument("--file", type=Path, default=None, help="JSON lines of results: runs in it are not run again")
    options = parser.parse_args()
    record = Record(options.file, ("case", "peer", "seed"))
    torch.set_num_threads(1)
    peers = options.peers.split(",")
    table: dict[str, dict[str, list[float]]] = {}
    cost: dict[str, list[float]] = {peer: [] for peer in peers}
    for seed in range(options.seeds):
        for peer in peers:  # functions anew for each peer: noise restarts, and COCO counts evaluations
            if options.suite == "bbob":
                runs = bbob(seed, options.dims, options.functions, options.budget)
            else:
                runs = (variants if options.suite == "variants" else tuning)(seed, options.cases)
            for run in runs:
                row = record.get((run.name, peer, seed), partial(play, run, peer, seed))
                table.setdefault(run.name, {}).setdefault(peer, []).append(float(row["regret"]))
                cost[peer].append(float(row["seconds"]))
        print(f"seed {seed} done", file=sys.stderr, flush=True)
    report(table, cost, peers)
    if options.suite == "bbob":
        shares = [(_all(table, peer)[:, None] <= TARGETS + 1e-9).mean() for peer in peers]
        print(f"{'share of targets reached':<32}" + "".join(f"{share:14.3f}" for share in shares))


def report(table: dict[str, dict[str, list[float]]], cost: dict[str, list[float]], peers: list[str]) -> None:
    print(f"median log10 regret{'':13}" + "".join(f"{peer:>14}" for peer in peers))
    for name, row in table.items():
        print(f"{name:<32}" + "".join(f"{np.median(row[peer]):14.2f}" for peer in peers))
    ours = np.concatenate([row[peers[0]] for row in table.values()])
    print(f"{'mean over all runs':<32}" + "".join(f"{_all(table, peer).mean():14.2f}" for peer in peers))
    print(f"{'processor seconds an ask':<32}" + "".join(f"{np.mean(cost[peer]):14.4f}" for peer in peers))
    for peer in peers[1:]:
        theirs = _all(table, peer)
        wins, losses = int((ours < theirs - 0.01).sum()), int((ours > theirs + 0.01).sum())
        different = np.abs(ours - theirs) > 1e-12
        p = float(wilcoxon(ours[different], theirs[different]).pvalue) if different.sum() > 5 else math.nan
        print(f"{peers[0]} against {peer}: {wins} better, {losses} worse of {len(ours)}; Wilcoxon p = {p:.2g}")


def _all(table: dict[str, dict[str, list[float]]], peer: str) -> Array:
    return np.concatenate([row[peer] for row in table.values()])


if __name__ == "__main__":
    main()
