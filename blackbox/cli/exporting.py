"""A study's history as CSV or JSON."""

from __future__ import annotations

import csv
import json
import math
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from blackbox.errors import StorageError

if TYPE_CHECKING:
    from blackbox.study import Record, Study

__all__ = ["write_history"]


def write_history(study: Study, kind: str, output: Path | None) -> None:
    """Write every candidate of a study, by id.

    Parameters
    ----------
    study : Study
    kind : "csv" or "json"
    output : Path, optional
        Replaced as a whole, or left as it was. Default: standard output.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    write = _write_csv if kind == "csv" else _write_json
    if output is None:
        write(study, sys.stdout)
        return
    temporary = ""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.")
        with open(descriptor, "w", encoding="utf-8", newline="") as file:
            os.fchmod(descriptor, 0o666 & ~_umask())
            write(study, file)
        os.replace(temporary, output)
    except OSError as error:
        raise StorageError(f"{output}: cannot be written: {error.strerror or error}") from error
    finally:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _write_csv(study: Study, file: TextIO) -> None:
    names = study.space.names
    objectives = [objective.name for objective in study.problem.objectives]
    constraints = [f"violation_{i}" for i in range(study.problem.n_constraints)]
    taken = {"id", "status", *objectives, *constraints}
    columns = [f"parameter_{name}" if name in taken else name for name in names]
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["id", "status", *columns, *objectives, *constraints, *_DETAILS])
    for record in study.history():
        writer.writerow(
            [
                record.id,
                record.status,
                *(_cell(record.config.get(name, "")) for name in names),
                *(map(_cell, record.values or [""] * len(objectives))),
                *(map(_cell, record.violations or [""] * len(constraints))),
                *(_cell("" if value is None else value) for value in _details(record).values()),
            ]
        )


def _write_json(study: Study, file: TextIO) -> None:
    names = [objective.name for objective in study.problem.objectives]
    file.write("[")
    for place, record in enumerate(study.history()):
        values = None if record.values is None else dict(zip(names, map(_finite, record.values), strict=True))
        row = {
            "id": record.id,
            "status": record.status,
            "config": record.config,
            "values": values,
            "violations": _finite_all(record.violations),
            "variance": _finite_all(record.variance),
            **_details(record),
        }
        file.write(("," if place else "") + "\n  " + json.dumps(row, allow_nan=False))
    file.write("\n]\n")


_DETAILS = ("reason", "started", "finished", "seconds", "worker")


def _details(record: Record) -> dict[str, Any]:
    reason = None if record.reason is None else str(record.reason)
    shown = (reason, record.started, record.finished, record.seconds, record.worker or None)
    return dict(zip(_DETAILS, shown, strict=True))


def _cell(value: Any) -> Any:
    """Return a value as CSV shows it: numbers so that they read back exactly, booleans as JSON has them."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else value


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _finite_all(values: Iterable[float] | None) -> list[float | None] | None:
    return None if values is None else [_finite(value) for value in values]
