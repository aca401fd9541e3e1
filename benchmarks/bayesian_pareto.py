"""`BayesianOptimization` with several objectives beside botorch's qLogNEHVI and Optuna's GPSampler and TPE.

Run `OMP_NUM_THREADS=1 python benchmarks/bayesian_pareto.py` from the root of the repository. For each problem it prints
the median hypervolume of the feasible values after 60 evaluations, the worst in brackets, and the one-sided p-value of
Wilcoxon's paired test that ours is larger (over the seeds that both ran); then the seconds of processor time of an ask.
`--peer-seeds 2` runs fewer seeds of the peers, which are slow; `--file results.jsonl` keeps what was run, and runs
only what is missing the next time.
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
from records import Record
from scipy.stats import wilcoxon
from torch import Tensor

from blackbox import metrics
from blackbox.algorithms import BayesianOptimization
from blackbox.optimizer import Optimizer
from blackbox.problem import Problem
from blackbox.problems import C2DTLZ2, DTLZ2, RE21, RE33, ZDT1, VehicleSafety


@dataclass(frozen=True)
class Case:
    """A problem with its reference point, and the published or required hypervolume, where there is one."""

    name: str
    problem: Problem
    reference: tuple[float, ...]
    target: float | None = None


def cases() -> list[Case]:
    """Return the problems: six variables where that can be chosen."""

    def own(name: str, problem: Problem, target: float | None = None) -> Case:
        assert problem.reference_point is not None
        return Case(name, problem, tuple(problem.reference_point.tolist()), target)

    return [
        Case("ZDT1", ZDT1(dim=6), (11.0, 11.0), 120.58),
        Case("DTLZ2 m=2", DTLZ2(dim=6, n_objectives=2), (1.1, 1.1), 0.38),
        Case("DTLZ2 m=3", DTLZ2(dim=6, n_objectives=3), (1.1, 1.1, 1.1)),
        own("VehicleSafety", VehicleSafety(), 244.4),
        own("RE21", RE21()),
        own("RE33", RE33()),
        Case("C2-DTLZ2", C2DTLZ2(dim=6, n_objectives=2), (1.1, 1.1)),
    ]


Told = Callable[[list[float], list[float]], None]
Points = Iterator[tuple[Tensor, Told]]


def ours(optimizer: Optimizer) -> Points:
    """Yield points, and what to call with their values and violations."""
    while True:
        batch = optimizer.ask()

        def tell(values: list[float], violations: list[float], batch: Any = batch) -> None:
            optimizer.tell(batch, [values], violations=[violations] if violations else None)

        yield batch.x[0], tell


def given(case: Case, seed: int) -> Points:
    """Ours with the reference point that the results are measured by, as botorch has it."""
    return ours(Optimizer(case.problem, BayesianOptimization(reference_point=case.reference), seed=seed))


def inferred(case: Case, seed: int) -> Points:
    """Ours without a reference point."""
    m, k = len(case.reference), case.problem.n_constraints
    return ours(Optimizer(case.problem.space, BayesianOptimization(), objectives=m, n_constraints=k, seed=seed))


def botorch_loop(case: Case, seed: int) -> Points:
    """Yield points of the loop of botorch's tutorial: 2d + 2 Sobol points, one GP an outcome, qLogNEHVI."""
    warnings.simplefilter("ignore")
    from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
    from botorch.acquisition.multi_objective.objective import IdentityMCMultiOutputObjective
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import ModelListGP, SingleTaskGP
    from botorch.optim import optimize_acqf
    from botorch.sampling import SobolQMCNormalSampler
    from gpytorch.mlls import SumMarginalLogLikelihood

    space, d, m = case.problem.space, case.problem.space.dim, len(case.reference)
    torch.manual_seed(seed)
    engine = torch.quasirandom.SobolEngine(d, scramble=True, seed=seed)  # type: ignore[no-untyped-call]
    start = engine.draw(2 * d + 2, dtype=torch.float64)
    box = torch.stack([torch.zeros(d, dtype=torch.float64), torch.ones(d, dtype=torch.float64)])
    x: list[Tensor] = []
    told: list[list[float]] = []

    def tell(values: list[float], violations: list[float]) -> None:
        told.append([-v for v in values] + violations)

    while True:
        if len(x) < len(start):
            u = start[len(x)]
        else:
            train, y = torch.stack(x), torch.tensor(told, dtype=torch.float64)
            model = ModelListGP(*[SingleTaskGP(train, y[:, [j]]) for j in range(y.shape[1])])
            fit_gpytorch_mll(SumMarginalLogLikelihood(model.likelihood, model))
            acquisition = qLogNoisyExpectedHypervolumeImprovement(
                model=model,
                ref_point=[-r for r in case.reference],
                X_baseline=train,
                prune_baseline=True,
                sampler=SobolQMCNormalSampler(sample_shape=torch.Size([128])),
                objective=IdentityMCMultiOutputObjective(outcomes=list(range(m))),
                constraints=[lambda z, j=j: z[..., j] for j in range(m, y.shape[1])] or None,
            )
            u = optimize_acqf(
                acquisition,
                box,
                q=1,
                num_restarts=10,
                raw_samples=512,
                options={"batch_limit": 5, "maxiter": 200},
                sequential=True,
            )[0][0]
        x.append(u)
        yield space.from_unit(u[None])[0], tell


def optuna_loop(kind: str) -> Callable[[Case, int], Points]:
    """Return the loop of one of Optuna's samplers."""

    def loop(case: Case, seed: int) -> Points:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.simplefilter("ignore")

        def constraints(trial: Any) -> Any:
            return trial.user_attrs["violations"]

        has = bool(case.problem.n_constraints)
        options = {"seed": seed, "constraints_func": constraints if has else None}
        sampler: Any = (
            optuna.samplers.GPSampler(deterministic_objective=True, **options)
            if kind == "gp"
            else optuna.samplers.TPESampler(**options)
        )
        study = optuna.create_study(sampler=sampler, directions=["minimize"] * len(case.reference))
        space = case.problem.space
        ranges = {
            f"x{i}": optuna.distributions.FloatDistribution(a, b)
            for i, (a, b) in enumerate(zip(space.lower.tolist(), space.upper.tolist(), strict=True))
        }
        while True:
            trial = study.ask(ranges)

            def tell(values: list[float], violations: list[float], trial: Any = trial) -> None:
                if has:
                    trial.set_user_attr("violations", violations)
                study.tell(trial, values)

            yield torch.tensor([trial.params[name] for name in ranges], dtype=torch.float64), tell

    return loop


PEERS: dict[str, Callable[[Case, int], Points]] = {
    "blackbox": given,
    "inferred": inferred,
    "botorch": botorch_loop,
    "optuna gp": optuna_loop("gp"),
    "optuna tpe": optuna_loop("tpe"),
}
OWN = ("blackbox", "inferred")


def run(case: Case, loop: Callable[[Case, int], Points], seed: int, evaluations: int) -> dict[str, float]:
    """Return the hypervolume of the feasible values at the end, and the seconds of processor time of an ask."""
    points, values, violations, spent = loop(case, seed), [], [], 0.0
    for _ in range(evaluations):
        started = time.process_time()
        x, tell = next(points)
        spent += time.process_time() - started
        told = case.problem(x[None])
        values.append(told.values[0].tolist())
        violations.append([] if told.violations is None else told.violations[0].tolist())
        tell(values[-1], violations[-1])
    good = [v for v, c in zip(values, violations, strict=True) if all(excess <= 0 for excess in c)]
    volume = metrics.hypervolume(good, case.reference) if good else 0.0
    return {"volume": volume, "seconds": spent / evaluations}


def compared(first: list[float], other: list[float]) -> str:
    """Return the one-sided p-value that the first is larger, paired by seed; nothing for fewer than three pairs."""
    n = min(len(first), len(other))
    if n < 3 or first[:n] == other[:n]:
        return ""
    return f"p={wilcoxon(first[:n], other[:n], alternative='greater').pvalue:.3f}"


def batch_ratio(case: Case, n: int, repeats: int = 5) -> float:
    """Return the processor time of an ask for 8 candidates over that of an ask for one, from the same states."""
    optimizer = Optimizer(case.problem, BayesianOptimization(reference_point=case.reference), seed=0)
    u = torch.rand((n, case.problem.space.dim), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    told = case.problem(case.problem.space.from_unit(u))
    optimizer.tell(optimizer.space.batch(case.problem.space.from_unit(u)), told.values, violations=told.violations)
    spent: dict[int, list[float]] = {1: [], 8: []}
    for _ in range(repeats + 1):
        state = optimizer.state()
        for size, times in spent.items():
            optimizer.restore(state)
            started = time.process_time()
            batch = optimizer.ask(size)
            times.append(time.process_time() - started)
        optimizer.tell(batch, case.problem(batch.x))
    return float(np.median(spent[8][1:]) / np.median(spent[1][1:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="runs of each problem")
    parser.add_argument("--peer-seeds", type=int, default=None, help="runs of the peers, fewer if need be")
    parser.add_argument("--evaluations", type=int, default=60)
    parser.add_argument("--peers", default=",".join(PEERS), help=f"some of {','.join(PEERS)}")
    parser.add_argument("--cases", default="", help="parts of the names of the problems, with commas")
    parser.add_argument("--batch", default="", help="only this: a batch of 8 over a single ask at these n, with commas")
    parser.add_argument("--file", type=Path, default=None, help="JSON lines of results: runs in it are not run again")
    options = parser.parse_args()
    if options.seeds < 1:
        parser.error(f"--seeds: expected at least 1, got {options.seeds}")
    torch.set_num_threads(1)
    peers, record = options.peers.split(","), Record(options.file, ("case", "peer", "seed", "n"))
    parts = [part.lower() for part in options.cases.split(",")]
    chosen = [case for case in cases() if any(part in case.name.lower() for part in parts)]
    sizes = [int(size) for size in options.batch.split(",") if size]
    if sizes:
        print("processor time of an ask for 8 candidates over that of one (target: < 3), n = " + options.batch)
        for case in chosen:
            print(f"{case.name:16s}" + "".join(f"{batch_ratio(case, n):8.2f}" for n in sizes), flush=True)
        return
    seconds: dict[str, list[str]] = {}
    print(f"hypervolume after {options.evaluations} evaluations: median (worst), p-value of ours against it, seeds")
    for case in chosen:
        print(f"{case.name}" + ("" if case.target is None else f" (target {case.target})"), flush=True)
        volumes: dict[str, list[float]] = {}
        for peer in peers:
            few = options.seeds if peer in OWN or options.peer_seeds is None else options.peer_seeds
            n = options.evaluations
            runs = [
                record.get((case.name, peer, seed, n), partial(run, case, PEERS[peer], seed, n)) for seed in range(few)
            ]
            volumes[peer] = [float(row["volume"]) for row in runs]
            seconds.setdefault(case.name, []).append(f"{np.mean([float(row['seconds']) for row in runs]):12.3f}")
            test = compared(volumes[peers[0]], volumes[peer])
            median, worst = np.median(volumes[peer]), min(volumes[peer])
            print(f"    {peer:12s}{median:16.6g} ({worst:.6g})  {test:8s} {len(runs)} seeds", flush=True)
    print("\nseconds of processor time of an ask, mean over the run\n" + " " * 16 + "".join(f"{p:>12s}" for p in peers))
    for name, columns in seconds.items():
        print(f"{name:16s}" + "".join(columns))


if __name__ == "__main__":
    main()
