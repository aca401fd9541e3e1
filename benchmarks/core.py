"""The shell's own cost, beside its peers in one run: `python benchmarks/core.py` (needs the extra `bench`).

Every row is measured here and now, ours and the peer's interleaved on the same machine with one thread; CPU time
where a process is timed, wall time for imports and for files. `ratio` is peer / ours where a peer exists.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import core_cma
import core_study
import torch
from table import Row

import blackbox as bb
from blackbox.algorithms import RandomSearch, Sobol

torch.set_num_threads(1)


def median_time(action: Callable[[], object], repeats: int, clock: Callable[[], float] = time.process_time) -> float:
    """Return the median seconds of an action over some repeats, after one to warm up."""
    action()
    times = []
    for _ in range(repeats):
        start = clock()
        action()
        times.append(clock() - start)
    return statistics.median(times)


def one_candidate() -> Iterator[Row]:
    """One ask and one tell of Sobol points, d = 6, against Optuna's QMC and random samplers in memory."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optimizer = bb.Optimizer(bb.Space.box([0.0] * 6, [1.0] * 6), Sobol(), seed=0)

    def ours() -> None:
        for _ in range(200):
            batch = optimizer.ask()
            optimizer.tell(batch, 0.5)

    distributions = {f"x{i}": optuna.distributions.FloatDistribution(0, 1) for i in range(6)}
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))

    def peer() -> None:
        for _ in range(200):
            study.tell(study.ask(distributions), 0.5)

    mine, theirs = median_time(ours, 15) / 200 * 1e6, median_time(peer, 5) / 200 * 1e6
    yield Row("ask + tell, Sobol, d = 6", mine, "us", theirs, "Optuna random, in memory", "<= 200 us")


def million_rows() -> Iterator[Row]:
    """The shell's share of ask + tell for 10^6 x 100 float32, in passes over the data (one clone is one pass)."""
    n, d = 1_000_000, 100
    optimizer = bb.Optimizer(bb.Space.box([0.0] * d, [1.0] * d), RandomSearch(), seed=0, dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    space, values = optimizer.space, torch.rand(n, generator=generator)
    shell, kernel, passes = [], [], []
    for _ in range(4):
        start = time.process_time()
        drawn = space.from_unit(torch.rand((n, d), generator=generator))
        kernel.append(time.process_time() - start)
        start = time.process_time()
        copy = drawn.clone()
        passes.append(time.process_time() - start)
        del drawn, copy
        start = time.process_time()
        batch = optimizer.ask(n)
        optimizer.tell(batch, values)
        shell.append(time.process_time() - start)
        del batch
    one_pass = statistics.median(passes)
    overhead = statistics.median(shell) - statistics.median(kernel)
    yield Row(
        "ask + tell of 10^6 x 100 float32, beyond the kernel's work",
        overhead / one_pass,
        "passes",
        target="<= 2 passes",
    )


def imports() -> Iterator[Row]:
    """Wall time of imports in a process that has imported torch, the least of seven."""

    def wall(statement: str) -> float:
        code = f"import time, torch; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
        runs = [subprocess.run([sys.executable, "-c", code], check=True, capture_output=True) for _ in range(7)]
        return min(float(run.stdout) for run in runs)

    light = wall("import blackbox")
    used = wall("import blackbox; blackbox.Optimizer; blackbox.Space; from blackbox.algorithms import Sobol")
    optuna = wall("import optuna")
    yield Row("import blackbox, after import torch", light, "s", optuna, "import optuna", "<= 0.1 s")
    yield Row("import blackbox, load the optimizer and an algorithm", used, "s", optuna, "import optuna", "<= 0.1 s")


def main() -> None:
    """Print the table."""
    sections: list[Callable[[], Iterator[Row]]] = [one_candidate, core_study.run, core_cma.run, imports, million_rows]
    print(f"torch {torch.__version__}, python {sys.version.split()[0]}, one thread")
    for section in sections:
        for row in section():
            print(row.text(), flush=True)


if __name__ == "__main__":
    main()
