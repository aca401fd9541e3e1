"""`show`, `export`, `plot`: looking at a study, while it runs or later. The objective is not needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blackbox.errors import SettingError

__all__ = ["COMMANDS", "PICTURES"]

_STUDY = typer.Argument(metavar="FILE.db", help="The study file.", show_default=False)
PICTURES = {  # names are functions of blackbox.plot
    "convergence": "best value so far over evaluations",
    "parallel_coordinates": "every evaluation as a line through its parameters",
    "slices": "each parameter against the value, with the surrogate's mean and uncertainty",
    "importance": "how much each parameter matters",
    "calibration": "how well the surrogate predicts each outcome from the others",
    "front": "the values of two or three objectives and their front",
    "hypervolume": "the front's hypervolume over evaluations",
}
_KINDS = "One of " + ", ".join(PICTURES) + "."


def show(
    file: Annotated[Path, _STUDY],
    recent: Annotated[int, typer.Option("--recent", "-n", min=0, help="How many of the last evaluations.")] = 10,
) -> None:
    """Show how a study stands.

    The best so far, counts, failures by reason, and the last evaluations.
    """
    from blackbox.cli.presenting import show_study
    from blackbox.cli.session import open_existing

    with open_existing(file) as study:
        show_study(study, file, recent=recent)


def export(
    file: Annotated[Path, _STUDY],
    format: Annotated[
        str | None, typer.Option("--format", help="csv or json; default: by the name of the output, else csv.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write there; default: standard output.")
    ] = None,
) -> None:
    """Write all evaluations as CSV or JSON.

    One row each, with id, status, parameters, values, violations, times and reasons. In CSV a parameter that is not
    active is empty. In JSON a file is one array of objects.
    """
    from blackbox.cli.exporting import write_history
    from blackbox.cli.session import open_existing

    kind = format or ("json" if output is not None and output.suffix.lower() == ".json" else "csv")
    if kind not in ("csv", "json"):
        raise SettingError(f"--format: expected csv or json, got {kind!r}")
    with open_existing(file) as study:
        write_history(study, kind, output)


def plot(
    file: Annotated[Path, _STUDY],
    kind: Annotated[str, typer.Argument(metavar="KIND", help=_KINDS, show_default=False)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A name in .png or .svg; default: KIND.png.")
    ] = None,
) -> None:
    """Draw a picture of a study."""
    if kind not in PICTURES:
        from blackbox.cli.settings import nearest

        raise SettingError(f"kind: no picture is called {kind!r}{nearest(kind, PICTURES)}")
    from blackbox import plot as pictures
    from blackbox.cli.session import open_existing

    target = Path(f"{kind}.png") if output is None else output
    with open_existing(file) as study:
        getattr(pictures, kind)(study, path=target)
    typer.echo(target)


COMMANDS = (show, export, plot)
