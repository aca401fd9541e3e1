"""Proposals as a person reads them in a terminal, and as a file."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as Grid
from rich.text import Text
from torch import Tensor

from blackbox.errors import SettingError

if TYPE_CHECKING:
    from blackbox.candidates import Batch
    from blackbox.surrogates.reporting import Report, Watcher
    from blackbox.tables import Table

__all__ = ["predictions", "show_proposals", "show_table", "training_bar", "write_csv"]

_MOST_ROWS, _MOST_COLUMNS = 20, 10


def show_table(console: Console, table: Table) -> None:
    """Print what was read: rows, what was left out, inputs and the best of each objective."""
    parts = [f"{table.n_rows} experiments, {table.space.dim} inputs"]
    if table.n_incomplete:
        parts.append(f"{table.n_incomplete} left out, because an input is missing")
    if table.n_failed:
        parts.append(f"{table.n_failed} without a value, which do not count")
    console.print("; ".join(parts), soft_wrap=True)


def predictions(table: Table, gain: Tensor | None) -> Tensor | None:
    """Return predicted values in the objectives' units, shape (n, m), of standardised gains (larger is better)."""
    from blackbox.surrogates.scaling import Scaling

    if gain is None:
        return None
    gain = gain.reshape(len(gain), -1).to("cpu", torch.float64)
    known = table.values[torch.isfinite(table.values).all(1)]
    signs = torch.tensor([objective.sign for objective in table.objectives], dtype=torch.float64)
    if gain.shape[1] != len(signs):
        return None
    return Scaling.of(known).invert(-signs * gain)


def show_proposals(table: Table, batch: Batch, predicted: Tensor | None, out: Path | None) -> None:
    """Print the first proposals, best first, on standard output."""
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left", title_style="bold")
    grid.title = f"{len(batch)} proposals, best first"
    names = table.space.names[:_MOST_COLUMNS]
    grid.add_column("rank", justify="right")
    for name in names:
        grid.add_column(Text(name), justify="right")
    if table.space.dim > len(names):
        grid.add_column("...")
    for objective in table.objectives if predicted is not None else ():
        grid.add_column(Text(f"predicted {objective.name}"), justify="right", style="bold green")
    for row, config in enumerate(batch.configs[:_MOST_ROWS]):
        cells = [str(row + 1), *(_shown(config.get(name)) for name in names)]
        cells += [""] if table.space.dim > len(names) else []
        cells += [] if predicted is None else [_shown(value) for value in predicted[row].tolist()]
        grid.add_row(*(Text(cell) for cell in cells))
    console = Console(highlight=False)
    console.print(grid)
    more = len(batch) - _MOST_ROWS
    if out is not None:
        console.print(f"all of them in {out}", soft_wrap=True)
    elif more > 0:
        console.print(f"... and {more} more; --out FILE.csv writes all of them")


def _shown(value: Any) -> str:
    return "" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)


def write_csv(out: Path, table: Table, batch: Batch, predicted: Tensor | None) -> None:
    """Write the proposals, best first: rank, inputs, and predicted values.

    Raises
    ------
    SettingError
        If the file cannot be written.
    """
    columns = [f"predicted {objective.name}" for objective in table.objectives] if predicted is not None else []
    try:
        with out.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["rank", *table.space.names, *columns])
            for row, config in enumerate(batch.configs):
                values = [] if predicted is None else predicted[row].tolist()
                writer.writerow([row + 1, *(config.get(name, "") for name in table.space.names), *values])
    except OSError as error:
        raise SettingError(f"--out: {out} cannot be written: {error.strerror or error}") from None


@contextmanager
def training_bar(console: Console) -> Iterator[Watcher]:
    """Show how far training is, where stderr is a terminal."""
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TextColumn("[cyan]{task.fields[figures]}"),
        TimeRemainingColumn(),
    )
    tasks: dict[str, Any] = {}
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:

        def watch(report: Report) -> None:
            figures = "  ".join(f"{name} {value:.3g}" for name, value in report.figures.items())
            if report.stage not in tasks:
                tasks[report.stage] = bar.add_task(report.stage, total=report.total, figures="")
            bar.update(tasks[report.stage], completed=report.done, total=report.total, figures=figures)

        yield watch
