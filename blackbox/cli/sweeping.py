"""`sweep`: algorithms on problems over many seeds, from a TOML file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["COMMANDS"]


def sweep(
    toml: Annotated[Path, typer.Argument(metavar="SWEEP.toml", help="What to compare, and how.", show_default=False)],
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="FILE.db", help="The sweep's file, in place of the TOML's.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", "-w", min=1, help="Processes, in place of the TOML's.")
    ] = None,
    metric: Annotated[str | None, typer.Option("--metric", "-m", help="What is shown, in place of the TOML's.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="PATH", help="Write the table as CSV.")] = None,
    runs: Annotated[Path | None, typer.Option("--runs", metavar="PATH", help="Write one line a run as CSV.")] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="PATH", help="Write table and runs as JSON.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="PATH", help="Draw the runs, PNG or SVG.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Compare algorithms on problems over many seeds.

    Run it again, and it goes on where it stopped; with further seeds, algorithms or problems it runs only those.

    \b
    seeds = 31                     # 0 ... 30, or a list
    evaluations = 10000            # of each run; or  generations = 100
    metric = "igd"                 # or "hypervolume", "igd_plus", "best"; left out: by the problem
    workers = 2                    # processes, for runs that share no tensor program
    file = "sweep.db"              # default: SWEEP.db beside the TOML file
    device = "cpu"
    [algorithms.NSGA3]             # the name in the table, and the kind where no kind is given
    population_size = 100
    [algorithms.wide]
    kind = "NSGA2"
    population_size = 100
    grid = {crossover_eta = [5, 15, 30]}     # one algorithm for each combination
    [problems.DTLZ2]               # blackbox problems lists all; or objective and space as in a study's file
    dim = 12

    Also: algorithms = ["NSGA2", "NSGA3"], problems = ["ZDT1", "DTLZ2"].

    It prints the median and quartiles of each algorithm on each problem, and whether it differs from the best there
    (Wilcoxon signed-rank test paired by seed, Holm's correction).
    """  # noqa: D301 - \b is what typer keeps lines by
    from blackbox.cli._sweep_file import read_sweep
    from blackbox.errors import StudyError
    from blackbox.sweeping import sweep as run_sweep

    if plot is not None:
        from blackbox.plot._canvas import check_path

        check_path(plot)
    settings = read_sweep(toml)
    options = dict(settings.options)
    if workers is not None:
        options["workers"] = workers
    if metric is not None:
        options["metric"] = metric
    database = settings.file if file is None else file
    database.parent.mkdir(parents=True, exist_ok=True)
    result = run_sweep(
        settings.algorithms, settings.problems, seeds=settings.seeds, file=database, progress=not quiet, **options
    )
    from rich.console import Console

    Console(highlight=False, width=None if sys.stdout.isatty() else 120).print(result.table())
    if csv is not None:
        result.to_csv(csv)
    if runs is not None:
        result.to_csv(runs, rows="runs")
    if json is not None:
        result.to_json(json)
    if plot is not None:
        from blackbox.plot import comparison

        comparison(result, path=plot)
    if result.failures:
        (algorithm, problem, seed), reason = next(iter(result.failures.items()))
        raise StudyError(
            f"{len(result.failures)} of the runs failed, the first one {algorithm} on {problem} with seed {seed}: "
            f"{reason} (run it again to try once more)"
        )


COMMANDS = (sweep,)
