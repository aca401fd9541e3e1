"""Quality of the evolutionary algorithms beside their peers, at equal evaluations: IGD and hypervolume, medians.

    python benchmarks/evolution_quality.py                                # N = 105, m = 3
    python benchmarks/evolution_quality.py --sizes 1000 --limit 900
    python benchmarks/evolution_quality.py --objectives 5 10 15
    python benchmarks/evolution_quality.py --file quality.jsonl --table   # print what it holds

300 generations of N evaluations (the first included), each library with its own defaults: simulated binary crossover,
polynomial mutation, the same reference directions where they can be given. Of each final population the rows that are
not dominated count. IGD against about 10,000 points of the true front; the hypervolume is a share of the box
between the origin and the reference point, exact up to five objectives, above by 100,000 samples that are the same for
everyone. `+-` is half the interquartile range over seeds. A line for each algorithm compares ours with the best of the
peers' own versions of it, `best` compares our best algorithm with their best. A process for each library, algorithm,
problem and size, ours with all seeds as one program; it stops after the last seed that fits into `--limit` seconds, and
a later run with the same `--file` does what is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from evolution_peers import PEERS, STEPS, Setting, make_problem

PROBLEMS = ("DTLZ1", "DTLZ2", "DTLZ7", "WFG4", "WFG9", "LSMOP1")
_EXACT_OBJECTIVES = 5
_SLACK = 0.01
_LARGE = 10.0  # LSMOP1 is far from its front after 300 generations


def dimension(problem: str, m: int) -> int:
    """Return the number of variables that is usual for a problem."""
    if problem.startswith("WFG"):
        return 20 + 2 * (m - 1)
    return {"DTLZ1": m + 4, "DTLZ7": m + 19, "LSMOP1": 5000}.get(problem, m + 9)


def figures(values: Any, problem: Any, setting: Setting) -> tuple[float, float, int]:
    """Return IGD, hypervolume as a share of the box, and the number of rows that are not dominated."""
    import torch

    from blackbox.algorithms.evolutionary.ranking import ranks
    from blackbox.metrics import hypervolume, hypervolume_monte_carlo, igd

    values = torch.as_tensor(values).to("cpu", torch.float64)
    values = values[ranks(values, stop=1) == 0].unique(dim=0)
    corner = torch.full_like(values[0], _LARGE) if setting["problem"] == "LSMOP1" else problem.reference_point
    shares = values / corner
    one = torch.ones_like(corner)
    if setting["m"] <= _EXACT_OBJECTIVES:
        volume = hypervolume(shares, one)
    else:
        generator = torch.Generator().manual_seed(0)
        volume = hypervolume_monte_carlo(shares, one, generator=generator, ideal=torch.zeros_like(one)).value
    return igd(values, problem.pareto_front(10_000)), volume, len(values)


def measure(setting: Setting) -> None:
    """Run the seeds, ours as one program, and print a record for each as soon as it is finished, while time is left."""
    import torch

    torch.set_num_threads(1)
    problem, begin = make_problem(setting), time.perf_counter()
    ours = _together(setting, problem) if setting["library"] == "blackbox" else None
    for place, seed in enumerate(setting["seeds"]):
        start = time.perf_counter()
        values = _alone(setting | {"seed": seed, "device": "cpu"}) if ours is None else ours[place]
        igd, volume, rows = figures(values, problem, setting)
        kept = {name: value for name, value in setting.items() if name not in ("seeds", "limit")}
        print(json.dumps({**kept, "seed": seed, "igd": igd, "hv": volume, "rows": rows}), flush=True)
        now = time.perf_counter()
        if ours is None and now - begin + (now - start) > setting["limit"]:
            break


def _together(setting: Setting, problem: Any) -> list[Any]:
    from blackbox import algorithms, sweep

    algorithm = getattr(algorithms, setting["algorithm"])(population_size=setting["n"])
    evaluations = setting["n"] * setting["generations"]
    found = sweep(algorithm, problem, seeds=setting["seeds"], evaluations=evaluations, workers=1, progress=False)
    return [run.values for run in found.runs]


def _alone(setting: Setting) -> Any:
    step, front = STEPS[setting["library"]](setting)
    for _ in range(setting["generations"] - 1):  # a population is evaluated before the first step
        step()
    return front()


def run(setting: Setting, python: str) -> list[Setting] | str:
    """Measure in a process of its own; return the records, or why there are none."""
    root = Path(__file__).resolve().parents[1]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    command = [python, __file__, "--one", json.dumps(setting)]
    limit = 2 * setting["limit"] + 60
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        try:
            code = subprocess.run(
                command, env=environment, stdout=out, stderr=err, timeout=limit, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            code = -1
        except OSError as error:
            return f"not run: {error}"
        out.seek(0)
        err.seek(0)
        records = [json.loads(line) for line in out if line.startswith("{") and line.endswith("}\n")]
        if records:  # also those before the time was over
            return records
        error_lines = err.read().strip().splitlines() or ["killed"]
    if code == -1:
        return f"not finished in {limit:g} s"
    return "not installed" if "ModuleNotFoundError" in error_lines[-1] else error_lines[-1][:100]


def key(record: Setting) -> tuple[Any, ...]:
    """Return what a record is about."""
    return tuple(record[name] for name in ("problem", "m", "n", "generations", "library", "algorithm"))


def load(file: Path | None) -> dict[tuple[Any, ...], list[Setting]]:
    """Return the records of a file by what they are about."""
    found: dict[tuple[Any, ...], list[Setting]] = {}
    if file is not None and file.exists():
        for line in file.read_text().splitlines():
            record = json.loads(line)
            found.setdefault(key(record), []).append(record)
    return found


def spread(numbers: list[float]) -> float:
    """Return half the interquartile range, 0 for fewer than three numbers."""
    if len(numbers) < 3:
        return 0.0
    low, _, high = statistics.quantiles(numbers, n=4, method="inclusive")
    return (high - low) / 2


def show(records: dict[tuple[Any, ...], list[Setting]]) -> None:
    """Print the table, a block for each problem, with the best peer beside our best."""
    cells: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for (problem, m, n, generations, library, algorithm), rows in records.items():
        cells.setdefault((m, n, generations, problem), []).append((library, algorithm, rows))
    behind = []
    for (m, n, generations, problem), lines in sorted(cells.items(), key=lambda item: item[0]):
        about = f"{problem}, m = {m}, N = {n}, {generations} generations"
        print(f"\n{about}")
        medians = []
        for library, algorithm, rows in lines:
            igds, volumes = [row["igd"] for row in rows], [row["hv"] for row in rows]
            medians.append((library, algorithm, statistics.median(igds), statistics.median(volumes)))
            print(
                f"  {library + ' ' + algorithm:<18} IGD {medians[-1][2]:9.5g} +- {spread(igds):8.2g}   HV "
                f"{medians[-1][3]:8.5f} +- {spread(volumes):8.2g}   {len(rows)} seeds, "
                f"{statistics.median(row['rows'] for row in rows):g} rows"
            )
        chosen = {name: {name} for name in sorted({row[1] for row in medians})}
        for name, algorithms in {"best": {row[1] for row in medians}, **chosen}.items():
            if not _verdict(name, medians, algorithms):
                behind.append(f"{about}: {name}")
    print(f"\nbehind by more than {100 * _SLACK:g} %: {len(behind)} lines", *behind, sep="\n  ")


def _verdict(name: str, medians: list[tuple[Any, ...]], algorithms: set[Any]) -> bool:
    """Print how ours stand beside the peers'; return whether they are within the slack, or there is nothing to say."""
    ours = [row for row in medians if row[0] == "blackbox" and row[1] in algorithms]
    peers = [row for row in medians if row[0] != "blackbox" and row[1] in algorithms]
    if not ours or not peers:
        return True
    mine, theirs = min(row[2] for row in ours), min(row[2] for row in peers)
    high, best = max(row[3] for row in ours), max(row[3] for row in peers)
    volume = f"{100 * (high / best - 1):+6.2f} %" if best > 0 else "none"
    print(f"    {name + ':':<8} our IGD is {100 * (mine / theirs - 1):+6.2f} % of the best peer's, our HV {volume}")
    return mine <= (1 + _SLACK) * theirs and high >= (1 - _SLACK) * best


def main() -> None:
    """Parse the command line, run what is missing in the file, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS))
    parser.add_argument("--objectives", type=int, nargs="+", default=[3])
    parser.add_argument("--sizes", type=int, nargs="+", default=[105])
    parser.add_argument("--algorithms", nargs="+", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--libraries", nargs="+", default=list(STEPS), choices=list(STEPS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--generations", type=int, default=300)
    parser.add_argument("--limit", type=float, default=120.0, help="seconds for the seeds of one line, about")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that has the peers")
    parser.add_argument("--file", type=Path, help="keeps the records; what it holds is not run again")
    parser.add_argument("--table", action="store_true", help="print what the file holds, and run nothing")
    options = parser.parse_args()
    if options.one:
        measure(json.loads(options.one))
        return
    records = load(options.file)
    for setting in [] if options.table else _settings(options):
        known = {row["seed"] for row in records.get(key(setting), [])}
        setting["seeds"] = [seed for seed in range(options.seeds) if seed not in known]
        if not setting["seeds"]:
            continue
        found = run(setting, sys.executable if setting["library"] == "blackbox" else options.python)
        if isinstance(found, str):
            print(*key(setting), found, flush=True)
            continue
        records.setdefault(key(setting), []).extend(found)
        print(*key(setting), f"IGD {statistics.median(row['igd'] for row in found):.5g}", flush=True)
        if options.file is not None:
            with options.file.open("a") as file:
                file.writelines(json.dumps(row) + "\n" for row in found)
    show(records)


def _settings(options: argparse.Namespace) -> list[Setting]:
    found = []
    for m in options.objectives:
        for n in options.sizes:
            for problem in options.problems:
                for algorithm in options.algorithms:
                    for library in ("blackbox", *PEERS[algorithm]):
                        setting: Setting = {"library": library, "algorithm": algorithm, "problem": problem, "m": m}
                        setting |= {"dim": dimension(problem, m), "n": n}
                        setting |= {"generations": options.generations, "limit": options.limit}
                        if library in options.libraries:
                            found.append(setting)
    return found


if __name__ == "__main__":
    main()
