"""`ask`, `tell`, `abandon`: driving a study from any shell, and from several at once."""

from __future__ import annotations

import json
import sys
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
    """Ask for candidates to evaluate.

    Each is printed as one line of JSON, which holds "id", what `tell` wants back, and "config", the active
    parameters. Several shells may ask and tell at the same time; no candidate is handed out twice.

    \b
    blackbox ask runs.db --toml study.toml     {"id": 0, "config": {"lr": 0.003}}
    blackbox ask runs.db -n 2 --fixed kernel=rbf
    """  # noqa: D301 - \b is what typer keeps lines by
    from blackbox.cli.session import open_or_create

    with open_or_create(file, toml) as study:
        batch = study.ask(n, fixed=_parse_fixed(study, fixed or []) or None)
        for i, config in zip(batch.ids, batch.configs, strict=True):
            typer.echo(json.dumps({"id": int(i), "config": config}))


def _parse_fixed(study: Study, pairs: list[str]) -> dict[str, Any]:
    from blackbox.parameters import Categorical, Ordinal, level_key

    fixed: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise SettingError(f"--fixed: expected NAME=VALUE, got {pair!r}")
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = text
        parameter = study.space.parameters.get(name)
        if isinstance(parameter, (Categorical, Ordinal)):
            levels = [level_key(level) for level in parameter.levels]
            if isinstance(value, (list, dict)) or (level_key(value) not in levels and text in parameter.levels):
                value = text  # a level that looks like JSON
        fixed[name] = value
    return fixed


def tell(
    file: Annotated[Path, _STUDY],
    id: Annotated[
        int | None, typer.Argument(min=0, metavar="ID", help="What ask printed as id.", show_default=False)
    ] = None,
    values: Annotated[
        list[str] | None, typer.Argument(metavar="VALUE", help="One value an objective.", show_default=False)
    ] = None,
    violations: Annotated[
        str | None,
        typer.Option("--violations", metavar="V,V...", help="One number a constraint, feasible at <= 0."),
    ] = None,
    failed: Annotated[
        str | None, typer.Option("--failed", metavar="REASON", help="The evaluation failed; no values then.")
    ] = None,
) -> None:
    """Tell what came out.

    For one candidate, or for many as lines of JSON on standard input.

    Values are in the objectives' own directions; a value that is not finite is a failed evaluation. What is told is
    stored when the command ends; to tell the same again changes nothing. Without ID, every line of standard input is
    an object with "id" and either "values" (or one key an objective) and optionally "violations", or "failed" with a
    reason; if one of them is wrong, none is stored.

    \b
    blackbox tell runs.db 3 0.71
    blackbox tell runs.db 4 --failed "out of memory"
    echo '{"id": 5, "values": [0.4], "violations": [-1.0]}' | blackbox tell runs.db
    """  # noqa: D301 - \b is what typer keeps lines by
    from blackbox.cli.session import open_existing

    if id is None:
        if violations is not None or failed is not None:
            raise SettingError("id: missing; --violations and --failed belong to one candidate")
        told = _read_lines()
    else:
        told = [_from_arguments(id, values or [], violations, failed)]
    with open_existing(file) as study:
        _tell_all(study, told)


TAKES_NEGATIVE_NUMBERS = (tell,)


def _from_arguments(id: int, values: list[str], violations: str | None, failed: str | None) -> dict[str, Any]:
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
            raise SettingError(
                f'line {number} of standard input: expected an object with "id", got {line.strip()[:80]}'
            )
        told.append(entry)
    return told


def _tell_all(study: Study, told: list[dict[str, Any]]) -> None:
    """Check everything, then store it: candidates that share a reason, or the kind of their columns, in one go."""
    from blackbox._study_tell import check_told, store_told

    groups: dict[Any, list[dict[str, Any]]] = {}
    for entry in told:
        kind = (
            (str(entry["failed"]),)
            if entry.get("failed")
            else (None, "variance" in entry, *sorted(entry.get("extras") or ()))
        )
        groups.setdefault(kind, []).append(entry)
    checked = []
    for kind, entries in groups.items():
        ids = [entry["id"] for entry in entries]
        columns = {"values": None, "failed": True} if kind[0] is not None else _columns(study, entries)
        given = {
            "violations": None,
            "variance": None,
            "failed": None,
            "extras": None,
            "reason": kind[0] or "",
            **columns,
        }
        checked.append(check_told(study, ids, **given))
    for each in checked:
        store_told(study.storage, each)


def _columns(study: Study, entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what evaluations returned as columns, one row each."""
    import torch

    from blackbox.problem import parse_outcome

    rows = []
    for entry in entries:
        outcome = {key: value for key, value in entry.items() if key not in ("id", "failed") and value is not None}
        try:
            rows.append(parse_outcome(outcome, study.problem.objectives, study.problem.n_constraints))
        except (SettingError, TypeError, ValueError) as error:
            raise SettingError(f"id {entry['id']}: {error}") from error

    def column(name: str) -> Any:
        parts = [getattr(row, name) for row in rows]
        return None if parts[0] is None else torch.cat(parts)

    extras = {name: torch.cat([row.extras[name] for row in rows]) for name in rows[0].extras}
    return {**{name: column(name) for name in ("values", "violations", "variance")}, "extras": extras}


def abandon(
    file: Annotated[Path, _STUDY],
    ids: Annotated[list[int], typer.Argument(min=0, metavar="ID", help="What ask printed as id.")],
) -> None:
    """Give up candidates.

    They will never be told, and the study does not wait for them.
    """
    from blackbox.cli.session import open_existing

    with open_existing(file) as study:
        study.abandon(ids)


COMMANDS = (ask, tell, abandon)
