"""`ask`, `tell`, `abandon`: driving a study from any shell, and from several at once."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blackbox.errors import SettingError

if TYPE_CHECKING:
    from blackbox.study import Study

__all__ = ["COMMANDS", "TAKES_NEGATIVE_NUMBERS"]

_STUDY = typer.Argument(metavar="FILE.db", help="The study file.", show_default=False)


def ask(
    file: Annotated[Path, _STUDY],
    n: Annotated[int, typer.Option("--n", "-n", min=1, help="How many, at most.")] = 1,
    fixed: Annotated[
        list[str] | None,
        typer.Option("--fixed", metavar="NAME=VALUE", help="A value that every candidate must have; may be repeated."),
    ] = None,
    toml: Annotated[
        Path | None, typer.Option("--toml", help="The study's TOML file, needed where FILE.db does not exist yet.")
    ] = None,
) -> None:
    """Ask for candidates to evaluate, and print each as one line of JSON.

    A line holds "id", which `tell` wants back, and "config", the active parameters. Several shells may ask and tell
    at the same time; no candidate is handed out twice.

    \b
    blackbox ask runs.db --toml study.toml     {"id": 0, "config": {"lr": 0.003}}
    blackbox ask runs.db -n 2 --fixed kernel=rbf
    """
    from blackbox.cli.opening import open_or_create

    with open_or_create(file, toml) as study:
        batch = study.ask(n, fixed=_parse_fixed(study, fixed or []) or None)
        for i, config in zip(batch.ids, batch.configs, strict=True):
            typer.echo(json.dumps({"id": int(i), "config": config}))


def _parse_fixed(study: Study, pairs: list[str]) -> dict[str, Any]:
    from blackbox.parameters import Categorical, Ordinal

    fixed: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise SettingError(f"--fixed: expected NAME=VALUE, got {pair!r}")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        parameter = study.problem.space.parameters.get(name)
        if isinstance(parameter, (Categorical, Ordinal)) and value not in parameter.levels and text in parameter.levels:
            value = text  # a level that is the text of a number
        fixed[name] = value
    return fixed


def tell(
    file: Annotated[Path, _STUDY],
    id: Annotated[  # noqa: A002 - its name on the command line
        int | None, typer.Argument(min=0, metavar="[ID", help="What ask printed as id.", show_default=False)
    ] = None,
    values: Annotated[
        list[str] | None, typer.Argument(metavar="VALUE...]", help="One value an objective.", show_default=False)
    ] = None,
    violations: Annotated[
        str | None,
        typer.Option("--violations", metavar="V,V...", help="One number a constraint, feasible at <= 0."),
    ] = None,
    failed: Annotated[
        str | None, typer.Option("--failed", metavar="REASON", help="The evaluation failed; no values then.")
    ] = None,
) -> None:
    """Tell what came out for one candidate, or for many as lines of JSON on standard input.

    Values are in the objectives' own directions; a value that is not finite is a failed evaluation. All that is told
    is stored before the command ends, or nothing is. Without ID, every line of standard input is an object with "id"
    and either "values" (or one key an objective), and optionally "violations", or "failed" with a reason.

    \b
    blackbox tell runs.db 3 0.71
    blackbox tell runs.db 4 --failed "out of memory"
    echo '{"id": 5, "values": [0.4], "violations": [-1.0]}' | blackbox tell runs.db
    """
    from blackbox.cli.opening import open_existing

    if id is None:
        if violations is not None or failed is not None:
            raise SettingError("id: missing; --violations and --failed belong to one candidate")
        told = _read_lines()
    else:
        told = [_from_arguments(id, values or [], violations, failed)]
    with open_existing(file) as study:
        _tell_all(study, told)


TAKES_NEGATIVE_NUMBERS = (tell,)


def _from_arguments(id: int, values: list[str], violations: str | None, failed: str | None) -> dict[str, Any]:  # noqa: A002
    if failed is not None:
        if values:
            raise SettingError(f"values: expected none for a failed evaluation, got {' '.join(values)}")
        return {"id": id, "failed": failed}
    if not values:
        raise SettingError(f"values: missing for id {id}; expected one an objective, or --failed REASON")
    told: dict[str, Any] = {"id": id, "values": [_number("values", text) for text in values]}
    if violations is not None:
        told["violations"] = [_number("--violations", text) for text in violations.replace(",", " ").split()]
    return told


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SettingError(f"{name}: expected a number, got {text!r}") from None


def _read_lines() -> list[dict[str, Any]]:
    if sys.stdin.isatty():
        raise SettingError("id: missing; expected ID and values, or lines of JSON on standard input")
    told = []
    for number, line in enumerate(sys.stdin, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SettingError(f"line {number} of standard input: not valid JSON: {error}") from None
        identity = entry.get("id") if isinstance(entry, dict) else None
        if isinstance(identity, bool) or not isinstance(identity, int) or identity < 0:
            raise SettingError(f'line {number} of standard input: expected an object with "id", got {line.strip()[:80]}')
        told.append(entry)
    return told


def _tell_all(study: Study, told: list[dict[str, Any]]) -> None:
    """Tell everything in one go: stored as a whole or not at all."""
    ...


def abandon(
    file: Annotated[Path, _STUDY],
    ids: Annotated[list[int], typer.Argument(min=0, metavar="ID...", help="What ask printed as id.")],
) -> None:
    """Declare that candidates will never be told, so that the study does not wait for them."""
    from blackbox.cli.opening import open_existing

    with open_existing(file) as study:
        study.abandon(study.pending_batch(ids))


COMMANDS = (ask, tell, abandon)
