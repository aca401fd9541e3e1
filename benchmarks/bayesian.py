"""`BayesianOptimization` with its defaults beside Optuna's GPSampler and TPE, botorch's plain loop, Ax and HEBO.

Run `OMP_NUM_THREADS=1 python benchmarks/bayesian.py --seeds 10` from the root of the repository. Three
tables are printed: the mean, worst and median log10 simple regret over seeds, with the p-value of Wilcoxon's paired
test that ours is smaller; the seconds of processor time of one ask (amortised over 20 asks) at n finished evaluations;
and the time of a batch of 8 over that of one candidate. `--file results.jsonl` keeps what was run, and runs only what
is missing the next time; `--peer-seeds` runs fewer seeds of the peers, which are slow. Ax and HEBO run where they are
installed (see `bayesian_peers.py`). Other acquisitions are peers, too: `--peers blackbox,kg,mes`.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bayesian_peers import ax_loop, hebo_loop
from numpy.typing import NDArray
from records import Record, smaller

from blackbox.algorithms import BayesianOptimization
from blackbox.optimizer import Optimizer
from blackbox.problem import Problem
from blackbox.problems.synthetic import Ackley, Branin, Hartmann6, Levy, Rosenbrock
from blackbox.space import Space

Array = NDArray[np.float64]
Function = Callable[[Array], float]


@dataclass(frozen=True)
class Case:
    """A function in a box, its minimum, how often it may be evaluated, and the regret to reach."""

    name: str
    function: Function
    lower: Array
    upper: Array
    optimum: float
    evaluations: int
    target: float


def _of_problem(problem: Problem) -> Function:
    return lambda x: float(problem(torch.from_numpy(x)[None]).values[0, 0])


def cases() -> list[Case]:
    """Return the five functions; Ackley's optimum is moved by a fixed draw from the middle half of the box."""
    shift = np.random.default_rng(7).uniform(-16.0, 16.0, 10)
    ackley = _of_problem(Ackley(dim=10))

    def box(low: float, high: float, d: int) -> tuple[Array, Array]:
        return np.full(d, low), np.full(d, high)

    return [
        Case(
            "Branin",
            _of_problem(Branin()),
            np.array([-5.0, 0.0]),
            np.array([10.0, 15.0]),
            0.39788735772973816,
            30,
            -3.7,
        ),
        Case("Hartmann-6", _of_problem(Hartmann6()), *box(0.0, 1.0, 6), -3.32236801141551, 50, -2.0),
        Case("Levy-4", _of_problem(Levy(dim=4)), *box(-10.0, 10.0, 4), 0.0, 50, -1.2),
        Case("Rosenbrock-4", _of_problem(Rosenbrock(dim=4)), *box(-5.0, 10.0, 4), 0.0, 50, 1.3),
        Case("Ackley-10 shifted", lambda x: ackley(x - shift), *box(-32.8, 32.8, 10), 0.0, 60, 0.6),
    ]


Points = Iterator[tuple[Array, Callable[[float], None]]]


def ours(
    lower: Array, upper: Array, seed: int, known: tuple[Array, Array] | None = None, acquisition: str = "log_ei"
) -> Points:
    """Yield points, and what to call with their values."""
    optimizer = Optimizer(Space.box(lower, upper), BayesianOptimization(acquisition=acquisition), seed=seed)
    if known is not None:
        optimizer.tell(optimizer.space.batch(known[0]), known[1])
    while True:
        batch = optimizer.ask()
        yield batch.x[0].numpy(), lambda value, batch=batch: optimizer.tell(batch, [value])  # type: ignore[misc]


def optuna_sampler(kind: str, deterministic: bool = True) -> Callable[..., Points]:
    """Return the loop of one of Optuna's samplers; its processes are told whether values are free of noise."""

    def loop(lower: Array, upper: Array, seed: int, known: tuple[Array, Array] | None = None) -> Points:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.simplefilter("ignore")
        sampler: Any = (
            optuna.samplers.GPSampler(seed=seed, deterministic_objective=deterministic)
            if kind == "gp"
            else optuna.samplers.TPESampler(seed=seed)
        )
        study = optuna.create_study(sampler=sampler)
        ranges = {
            f"x{i}": optuna.distributions.FloatDistribution(a, b)
            for i, (a, b) in enumerate(zip(lower.tolist(), upper.tolist(), strict=True))
        }
        for point, value in zip(*known, strict=True) if known is not None else ():
            params = {f"x{i}": float(v) for i, v in enumerate(point)}
            study.add_trial(optuna.create_trial(params=params, distributions=ranges, value=float(value)))
        while True:
            trial = study.ask(ranges)
            point = np.array([trial.params[name] for name in ranges])
            yield point, lambda value, trial=trial: study.tell(trial, value)  # type: ignore[misc]

    return loop


def botorch_loop(lower: Array, upper: Array, seed: int, known: tuple[Array, Array] | None = None) -> Points:
    """Yield points of the loop of botorch's tutorials: 2d + 2 Sobol points, SingleTaskGP, log EI."""
    warnings.simplefilter("ignore")
    from botorch.acquisition import LogExpectedImprovement
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.optim import optimize_acqf
    from gpytorch.mlls import ExactMarginalLogLikelihood

    d = len(lower)
    torch.manual_seed(seed)
    engine = torch.quasirandom.SobolEngine(d, scramble=True, seed=seed)  # type: ignore[no-untyped-call]
    start = engine.draw(2 * d + 2, dtype=torch.float64)
    x = [] if known is None else [torch.from_numpy((row - lower) / (upper - lower)) for row in known[0]]
    y: list[float] = [] if known is None else [float(v) for v in known[1]]
    box = torch.stack([torch.zeros(d, dtype=torch.float64), torch.ones(d, dtype=torch.float64)])
    while True:
        if len(y) < 2 * d + 2:
            u = start[len(y)]
        else:
            target = -torch.tensor(y, dtype=torch.float64)[:, None]
            model = SingleTaskGP(torch.stack(x), target)
            fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
            acquisition = LogExpectedImprovement(model, best_f=target.max())
            u = optimize_acqf(acquisition, box, q=1, num_restarts=10, raw_samples=512)[0][0]
        x.append(u)
        yield lower + u.numpy() * (upper - lower), y.append


PEERS: dict[str, Callable[..., Points]] = {
    "blackbox": ours,
    "optuna gp": optuna_sampler("gp"),
    "optuna tpe": optuna_sampler("tpe"),
    "botorch": botorch_loop,
}
if importlib.util.find_spec("ax") is not None:
    PEERS["ax"] = ax_loop
if importlib.util.find_spec("hebo") is not None:
    PEERS["hebo"] = hebo_loop
DEFAULT = list(PEERS)
PEERS.update({name: partial(ours, acquisition=name) for name in ("log_nei", "ucb", "thompson", "kg", "mes", "jes")})


def regret(case: Case, loop: Callable[..., Points], seed: int) -> dict[str, float]:
    """Return the log10 simple regret at the end of one run, and the seconds of processor time of an ask and a tell."""
    best, spent = math.inf, 0.0
    points = loop(case.lower, case.upper, seed)
    for _ in range(case.evaluations):
        started = time.process_time()
        point, tell = next(points)
        spent += time.process_time() - started
        value = case.function(point)
        started = time.process_time()
        tell(value)
        spent += time.process_time() - started
        best = min(best, value)
    return {"regret": math.log10(max(best - case.optimum, 1e-16)), "seconds": spent / case.evaluations}


def regrets(chosen: list[Case], peers: list[str], options: argparse.Namespace) -> None:
    """Print the regrets of peers, case by case."""
    record = Record(options.file, ("case", "peer", "seed"))
    print("log10 simple regret: mean, worst, median; p that ours is smaller, paired; seconds of an ask")
    for case in chosen:
        print(f"{case.name}, {case.evaluations} evaluations (target: mean <= {case.target})", flush=True)
        found: dict[str, list[float]] = {}
        for peer in peers:
            few = options.seeds if peer == "blackbox" or options.peer_seeds is None else options.peer_seeds
            rows = [
                record.get((case.name, peer, seed), partial(regret, case, PEERS[peer], seed)) for seed in range(few)
            ]
            values = found[peer] = [float(row["regret"]) for row in rows]
            test = "" if peer == peers[0] else smaller(found[peers[0]], values)
            cost = np.mean([float(row["seconds"]) for row in rows])
            print(
                f"    {peer:12s}{np.mean(values):8.2f}{max(values):8.2f}{np.median(values):8.2f}   {test:10s}"
                f"{cost:8.3f} s   {len(values)} seeds",
                flush=True,
            )


def wavy(points: Array) -> Array:
    """Return the values that times are measured with, of points of shape (..., d)."""
    return np.asarray(((points - 0.3) ** 2).sum(-1) + 0.1 * np.sin(8.0 * points).sum(-1))


def seconds_per_ask(loop: Callable[..., Points], n: int, asks: int, d: int = 6) -> float:
    """Return the processor time of an ask and a tell after n evaluations, the first of them included."""
    x = np.random.default_rng(0).random((n, d))

    points = loop(np.zeros(d), np.ones(d), 0, (x, wavy(x)))
    started = time.process_time()
    for _ in range(asks):
        point, tell = next(points)
        tell(float(wavy(point)))
    return (time.process_time() - started) / asks


def batch_ratio(n: int, d: int = 6, rounds: int = 5) -> float:
    """Return the processor time of an ask for 8 candidates over that of one of 8 single asks, from the same states.

    Medians over the rounds; single asks are told in between, and their mean counts: some search, some need not.
    """

    def ask(size: int) -> float:
        started = time.process_time()
        batch = optimizer.ask(size)
        spent = time.process_time() - started
        optimizer.tell(batch, wavy(batch.x.numpy()))
        return spent

    x = np.random.default_rng(0).random((n, d))
    optimizer = Optimizer(Space.box(np.zeros(d), np.ones(d)), BayesianOptimization(), seed=0)
    optimizer.tell(optimizer.space.batch(x), wavy(x))
    single, together = [], []
    for _ in range(rounds):
        state = optimizer.state()
        single.append(np.mean([ask(1) for _ in range(8)]))
        optimizer.restore(state)
        together.append(ask(8))
    return float(np.median(together) / np.median(single))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="runs of each function")
    parser.add_argument("--peer-seeds", type=int, default=None, help="runs of the peers, fewer if need be")
    parser.add_argument("--file", type=Path, default=None, help="JSON lines of regrets: runs in it are not run again")
    parser.add_argument("--asks", type=int, default=20, help="asks that the time is amortised over")
    parser.add_argument("--peers", default=",".join(DEFAULT), help=f"some of {','.join(PEERS)}")
    parser.add_argument("--cases", default="", help="parts of the names of the functions to run, with commas")
    parser.add_argument("--sizes", default="20,100,300,1000", help="numbers of finished evaluations to time at")
    options = parser.parse_args()
    if options.seeds < 1 or options.asks < 1:
        parser.error(f"--seeds, --asks: expected at least 1, got {options.seeds} and {options.asks}")
    torch.set_num_threads(1)
    peers = options.peers.split(",")
    parts = [part.lower() for part in options.cases.split(",")]
    chosen = [case for case in cases() if any(part in case.name.lower() for part in parts)]
    regrets(chosen, peers, options)
    sizes = [int(size) for size in options.sizes.split(",") if size]
    targets = {20: 0.015, 100: 0.020, 300: 0.045, 1000: 0.20}
    print(f"\nseconds of processor time of an ask, d = 6, over {options.asks} asks")
    for n in sizes:
        times = [seconds_per_ask(PEERS[peer], n, options.asks) for peer in peers]
        print(
            f"{'n = ' + str(n):20s}<={targets.get(n, math.nan):5.3f} " + "".join(f"{t:18.4f}" for t in times),
            flush=True,
        )
    print("\na batch of 8 over the mean of 8 single asks, from the same states (target: < 3)")
    for n in sizes:
        print(f"{'n = ' + str(n):20s}{batch_ratio(n):8.2f}", flush=True)


if __name__ == "__main__":
    main()
