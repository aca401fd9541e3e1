"""`run` and `resume`: studies from a TOML file, evaluated here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["COMMANDS"]

_EVALUATIONS = typer.Option("--evaluations", "-e", min=1, help="The study's budget in all, in place of the file's.")
_SECONDS = typer.Option("--seconds", "-s", help="At most so long in this run, in place of the file's.")
_WORKERS = typer.Option("--workers", "-w", min=1, help="Evaluations at once, in place of the file's.")
_QUIET = typer.Option("--quiet", "-q", help="No progress, and no summary at the end.")


def run(
    toml: Annotated[Path, typer.Argument(metavar="STUDY.toml", help="What to optimize, and how.", show_default=False)],
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="FILE.db", help="The study file, in place of the file's.")
    ] = None,
    evaluations: Annotated[int | None, _EVALUATIONS] = None,
    seconds: Annotated[float | None, _SECONDS] = None,
    workers: Annotated[int | None, _WORKERS] = None,
    quiet: Annotated[bool, _QUIET] = False,
) -> None:
    """Optimize what a TOML file says.

    Run it again, and it goes on where it stopped.

    \b
    objective = "training:score"   # module:function of a dictionary; or command = ["./score.sh", "{lr}"]
    objectives = ["loss"]          # or a count, or [{name = "accuracy", maximize = true}]
    constraints = 0                # violations that an evaluation returns, feasible at <= 0
    evaluations = 60               # the budget; and / or  seconds = 600
    workers = 2
    deadline = 30                  # seconds for one evaluation, then it is killed
    file = "runs.db"               # the study file; default: STUDY.db beside the TOML file
    seed = 1
    [space.lr]
    low = 1e-5
    high = 1e-1
    log = true
    [space.kernel]
    levels = ["rbf", "poly"]
    [space.degree]
    kind = "integer"
    low = 2
    high = 5
    when = {kernel = "poly"}
    [algorithm]                    # leave it out, and one is chosen
    kind = "BayesianOptimization"

    Also: problem = "Branin" in place of space and objective (see `blackbox problems`), takes = "keywords",
    executor = "threads", max_failures_in_a_row = 10. Paths and modules are relative to the folder of the TOML file.

    A command gets the configuration as JSON on standard input and in $BLACKBOX_CONFIG, and {name} in its arguments
    is the value of that parameter. The last line of JSON that it prints counts: a number, an array, or an object with
    a key for each objective (or "values"), and optionally "violations", "variance", "extras", or "failed" with a
    reason. It fails by another exit code than 0, by printing no JSON or more than 16 MiB, or at the deadline.
    """  # noqa: D301 - \b is what typer keeps lines by
    from blackbox.cli.session import overridden, run_study
    from blackbox.cli.settings import read_settings

    settings = overridden(read_settings(toml), evaluations, seconds, workers)
    run_study(settings, settings.database if file is None else file, quiet=quiet)


def resume(
    file: Annotated[Path, typer.Argument(metavar="FILE.db", help="The study file.", show_default=False)],
    toml: Annotated[
        Path | None, typer.Option("--toml", metavar="STUDY.toml", help="Read this in place of what the study kept.")
    ] = None,
    evaluations: Annotated[int | None, _EVALUATIONS] = None,
    seconds: Annotated[float | None, _SECONDS] = None,
    workers: Annotated[int | None, _WORKERS] = None,
    quiet: Annotated[bool, _QUIET] = False,
) -> None:
    """Go on with a study.

    One that `run` (or `ask --toml`) made; the TOML file is not needed, the study keeps its text.

    \b
    blackbox resume runs.db                      to the end of its budget
    blackbox resume runs.db --evaluations 200    beyond it
    """  # noqa: D301 - \b is what typer keeps lines by
    from blackbox.cli.session import kept_settings, overridden, run_study
    from blackbox.cli.settings import read_settings

    settings = kept_settings(file) if toml is None else read_settings(toml)
    run_study(overridden(settings, evaluations, seconds, workers), file, quiet=quiet)


COMMANDS = (run, resume)
