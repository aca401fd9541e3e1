"""A study as a person reads it in a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from blackbox.result import Result
    from blackbox.study import Record, Study

__all__ = ["show_study"]

_MOST_FRONT = 10  # rows of a front, columns of a configuration
_MOST_REASONS = 10
_WIDTH_OF_A_REASON = 300


def show_study(study: Study, file: Path, *, recent: int) -> None:
    """Print how a study stands on standard output.

    Parameters
    ----------
    study : Study
    file : Path
    recent : int
        How many of the last finished evaluations to list.
    """
    history = study.history()
    console = Console(highlight=False, soft_wrap=False)
    console.print(_overview(study, file, history))
    result = study.result()
    console.print(_best(study, result))
    failures = _failures(history)
    if failures is not None:
        console.print(failures)
    finished = sorted((r for r in history if r.status in ("told", "failed")), key=lambda r: (r.finished or 0.0, r.id))
    if recent and finished:
        console.print(_recent(study, finished[-recent:]))


def _table(title: str, *, header: bool = True) -> Table:
    return Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_header=header, pad_edge=False
    )


def _overview(study: Study, file: Path, history: Sequence[Record]) -> Table:
    counts = Counter(record.status for record in history)
    objectives = [f"{o.name} ({'maximise' if o.maximize else 'minimise'})" for o in study.problem.objectives]
    kinds = Counter(parameter.kind for parameter in study.space.parameters.values()) if study.space.dim <= 1000 else {}
    shown = f" ({', '.join(f'{count} {kind}' for kind, count in sorted(kinds.items()))})" if len(kinds) > 1 else ""
    budget = study.storage.meta["budget"]
    evaluated = counts["told"] + counts["failed"]
    rows = {
        "file": str(file),
        "algorithm": type(study.algorithm).__name__,
        "parameters": f"{study.space.dim}{shown}",
        "objectives": ", ".join(objectives),
        "constraints": str(study.problem.n_constraints) if study.problem.n_constraints else "",
        "evaluated": f"{evaluated}{f' of {budget}' if budget and evaluated <= budget else ''}",
        "failed": str(counts["failed"]) if counts["failed"] else "",
        "pending": str(counts["pending"]) if counts["pending"] else "",
        "abandoned": str(counts["abandoned"]) if counts["abandoned"] else "",
    }
    table = _table(study.name, header=False)
    for name, text in rows.items():
        if text:
            table.add_row(Text(name, style="dim"), Text(text, style="red" if name == "failed" else ""))
    return table


def _best(study: Study, result: Result) -> Table | Text:
    if len(result) == 1:
        return _one_best(study, result, "best")
    if len(result) > 1:
        return _front(study, result)
    if result.least_violated is not None:
        return _one_best(study, result.least_violated, "nothing feasible yet; least violated")
    return Text("nothing feasible yet\n", style="dim")


def _one_best(study: Study, result: Result, title: str) -> Table:
    table = _table(title, header=False)
    for objective, value in zip(study.problem.objectives, result.values[0].tolist(), strict=True):
        table.add_row(Text(objective.name, style="bold green"), Text(_number(value), style="bold green"))
    for place, violation in enumerate(result.violations[0].tolist()):
        table.add_row(Text(f"violation {place}", style="dim"), _number(violation))
    config = list(result.configs[0].items())
    for name, value in config[:50]:
        table.add_row(Text(name), Text(_value(value)))
    if len(config) > 50:
        table.add_row(Text(f"... and {len(config) - 50} more", style="dim"))
    return table


def _front(study: Study, result: Result) -> Table:
    order = result.values[:, 0].argsort()[:_MOST_FRONT].tolist()
    more = f", the first {len(order)}" if len(result) > len(order) else ""
    table = _table(f"front of {len(result)} points{more}")
    configs = result.configs
    rows = [[Text(_number(value), style="green") for value in result.values[row].tolist()] for row in order]
    _add_columns(table, [objective.name for objective in study.problem.objectives], rows)
    for row, values in zip(order, rows, strict=True):
        table.add_row(*values, Text(_config(configs[row])))
    return table


def _failures(history: Sequence[Record]) -> Table | None:
    reasons = Counter(_reason(record) for record in history if record.status == "failed")
    if not reasons:
        return None
    table = _table("failures")
    table.add_column("count", justify="right", style="red")
    table.add_column("reason", overflow="fold")
    for reason, count in reasons.most_common(_MOST_REASONS):
        table.add_row(str(count), Text(reason))
    if len(reasons) > _MOST_REASONS:
        table.add_row("", Text(f"... and {len(reasons) - _MOST_REASONS} other reasons", style="dim"))
    return table


def _reason(record: Record) -> str:
    text = " ".join(str(record.reason or "no reason was given").split())
    return text if len(text) <= _WIDTH_OF_A_REASON else text[: _WIDTH_OF_A_REASON - 3] + "..."


def _recent(study: Study, records: Sequence[Record]) -> Table:
    names = ["id", *(objective.name for objective in study.problem.objectives)]
    names += ["feasible"] if study.problem.n_constraints else []
    rows: list[list[Text | str]] = []
    for record in records:
        values = [_number(value) for value in record.values or ()]
        if record.status == "failed":
            values = ["failed", *[""] * (len(study.problem.objectives) - 1)]
        style = "red" if record.status == "failed" else "" if record.is_feasible else "yellow"
        row: list[Text | str] = [str(record.id), *(Text(value, style=style) for value in values)]
        if study.problem.n_constraints:
            row.append("" if record.status == "failed" else "yes" if record.is_feasible else Text("no", style=style))
        rows.append([*row, "" if record.seconds is None else f"{record.seconds:.3g}"])
    table = _table("last evaluations")
    _add_columns(table, [*names, "seconds"], rows)
    for record, row in zip(records, rows, strict=True):
        table.add_row(*row, Text(_config(record.config)))
    return table


def _add_columns(table: Table, names: Sequence[str], rows: Sequence[Sequence[Text | str]]) -> None:
    """Add a column of its full width for each name, and one for configurations that takes what is left."""
    for place, name in enumerate(names):
        width = max(len(name), *(len(row[place]) for row in rows))
        table.add_column(name, justify="right", width=width, no_wrap=True)
    table.add_column("configuration", overflow="ellipsis", no_wrap=True, ratio=1)
    table.expand = True


def _number(value: float) -> str:
    return f"{value:.6g}"


def _value(value: Any) -> str:
    return _number(value) if isinstance(value, float) else str(value)


def _config(config: dict[str, Any]) -> str:
    shown = [f"{name}={_value(value)}" for name, value in list(config.items())[:_MOST_FRONT]]
    return " ".join([*shown, *(["..."] if len(config) > _MOST_FRONT else [])])
