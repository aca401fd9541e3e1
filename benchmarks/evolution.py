"""Evolutionary algorithms beside their peers, on one problem: time a generation and memory; quality: evolution_quality.

    python benchmarks/evolution.py                          # NSGA-III and MOEA/D, N = 100, 1,000, 10,000
    python benchmarks/evolution.py --sizes 100000 1000000   # beyond the peers
    python benchmarks/evolution.py --protocol               # DTLZ1, d = 500, N = 2^7 ... 2^15, with a picture

Each line is a process of its own: the median over generations after a warm-up, CPU time (which does not suffer from
neighbours) and wall time, DTLZ2 with m = 3 and d = 12 included, and the peak of the memory over what was used before
the first generation. `ratio` is the CPU time of the peer over ours. Every library has its own default variation; MOEA/D
has T = 20 neighbours everywhere. Peers that are not installed are said so; `--python` names an interpreter that has
them (pymoo, evox, evomo, pygmo).
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

from evolution_peers import PEERS, STEPS, Setting

OURS = ("NSGA3", "MOEAD")


# -- one process ---------------------------------------------------------------------------------------------------


def resident() -> float:
    """Return the memory of this process in MB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def measure(setting: Setting) -> Setting:
    """Run one library and return its figures."""
    import torch

    torch.set_num_threads(setting["threads"])
    for name in ("blackbox.problems", "blackbox.algorithms.evolutionary.nsga3", "moocore"):
        importlib.import_module(name)
    before = resident()
    step, _ = STEPS[setting["library"]](setting)
    for _ in range(setting["warmup"]):
        step()
    cpu, wall = [], []
    begin = time.perf_counter()
    for _ in range(setting["generations"] - setting["warmup"]):
        start, clock = time.perf_counter(), time.process_time()
        step()
        if setting["device"] != "cpu":
            torch.cuda.synchronize()
        cpu.append((time.process_time() - clock) * 1e3)
        wall.append((time.perf_counter() - start) * 1e3)
        if time.perf_counter() - begin > setting["seconds"]:
            break
    return {"cpu": statistics.median(cpu), "wall": statistics.median(wall), "memory": peak() - before}


def run(setting: Setting, python: str, limit: float) -> Setting | str:
    """Run one setting in a process of its own; return its figures, or why there are none."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(setting["threads"])}
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    environment["PYTHONPATH"] = os.pathsep.join([root, environment.get("PYTHONPATH", "")])
    command = [python, os.path.abspath(__file__), "--one", json.dumps(setting)]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return f"not finished in {limit:g} s"
    except OSError as error:
        return f"not run: {error}"
    if done.returncode != 0:
        error = done.stderr.strip().splitlines()[-1:] or ["killed"]
        is_missing = "ModuleNotFoundError" in error[0]
        return "not installed" if is_missing else error[0][:100]
    figures: Setting = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


# -- tables --------------------------------------------------------------------------------------------------------


def speed(options: argparse.Namespace) -> None:
    print(f"{'N':>8} {'library, algorithm':<22}{'CPU ms':>10}{'wall ms':>10}{'MB':>8}{'ratio':>8}")
    for n in options.sizes:
        for algorithm in options.algorithms:
            mine: Setting | str = "nothing"
            for library in ("blackbox", *PEERS.get(algorithm, ())):
                warm = options.warmup or (20 if n <= 10_000 else 2)
                setting = _setting(options, library, algorithm, n, warmup=warm, generations=warm + 101)
                found = run(setting, sys.executable if library == "blackbox" else options.python, options.limit)
                mine = found if library == "blackbox" else mine
                label = f"{n:>8} {library + ' ' + algorithm:<22}"
                if isinstance(found, str):
                    print(label + found, flush=True)
                    continue
                ratio = "" if library == "blackbox" or isinstance(mine, str) else f"{found['cpu'] / mine['cpu']:8.1f}"
                print(f"{label}{found['cpu']:10.2f}{found['wall']:10.2f}{found['memory']:8.0f}{ratio}", flush=True)


def protocol(options: argparse.Namespace) -> None:
    """The papers' speed protocol: time of 100 generations against the population."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    print(f"{'N':>8} {'library, algorithm':<22}{'s per 100 generations: CPU':>28}{'wall':>10}")
    figure, axes = pyplot.subplots(figsize=(6, 4))
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set(xlabel="population", ylabel="CPU seconds for 100 generations", title="DTLZ1, m = 3, d = 500")
    for algorithm in options.algorithms:
        for library in ("blackbox", *PEERS.get(algorithm, ())):
            points = []
            for power in options.powers:
                setting = _setting(options, library, algorithm, 2**power, warmup=1, generations=101)
                setting |= {"problem": "DTLZ1", "dim": 500}
                python = sys.executable if library == "blackbox" else options.python
                found = run(setting, python, options.limit)
                label = f"{2**power:>8} {library + ' ' + algorithm:<22}"
                if isinstance(found, str):
                    print(label + found, flush=True)
                    break
                points.append((2**power, found["cpu"] / 10))
                print(f"{label}{found['cpu'] / 10:28.3f}{found['wall'] / 10:10.3f}", flush=True)
            if points:
                axes.plot(*zip(*points, strict=True), marker="o", label=f"{library} {algorithm}")
                axes.legend(fontsize=7)
                figure.savefig(options.picture, dpi=120, bbox_inches="tight")
    print(f"picture: {options.picture}")


def _setting(options: argparse.Namespace, library: str, algorithm: str, n: int, **more: Any) -> Setting:
    base: Setting = {
        "library": library,
        "algorithm": algorithm,
        "n": n,
        "problem": "DTLZ2",
        "dim": 12,
        "m": 3,
        "seed": 0,
        "threads": options.threads,
        "seconds": options.seconds,
        "device": options.device if library in ("blackbox", "evox", "evomo") else "cpu",
    }
    return base | more


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--algorithms", nargs="+", default=list(OURS), choices=[*PEERS, "GA", "DE"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--warmup", type=int, help="generations before the measurement; default 20, 2 for N > 10,000")
    parser.add_argument("--seconds", type=float, default=10.0, help="of measurement for each line, about")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds after which a line is given up")
    parser.add_argument("--device", default="cpu", help="of our own lines and those of evox and evomo")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that has the peers")
    parser.add_argument("--protocol", action="store_true")
    parser.add_argument("--powers", type=int, nargs="+", default=list(range(7, 16)), help="of two: the protocol's N")
    parser.add_argument("--picture", default="evolution.png")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(json.loads(options.one))))
    elif options.protocol:
        protocol(options)
    else:
        speed(options)


if __name__ == "__main__":
    main()
