"""A sweep's TOML file as algorithms, problems and settings."""

from __future__ import annotations

import itertools
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blackbox.cli.settings import nearest, parse_settings, refuse_unknown
from blackbox.errors import SettingError

if TYPE_CHECKING:
    from blackbox.algorithm import Algorithm
    from blackbox.problem import Problem

__all__ = ["SweepSettings", "read_sweep"]

_KEYS = (
    "file", "seeds", "evaluations", "generations", "metric", "device", "workers", "batched", "algorithms", "problems",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SweepSettings:
    """What a sweep's TOML file says; see `blackbox sweep --help`."""

    file: Path
    algorithms: Mapping[str, Algorithm[Any]]
    problems: Mapping[str, Problem]
    seeds: Any
    options: Mapping[str, Any]


def read_sweep(path: Path) -> SweepSettings:
    """Return what a TOML file says.

    Raises
    ------
    SettingError
        If it cannot be read, is no TOML, or a key is unknown, missing or wrong; the message names file and key.
    """
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingError(f"{path}: not valid TOML: {error}") from None
    try:
        refuse_unknown(tree, _KEYS)
        file = tree.get("file", f"{path.stem}.db")
        if not isinstance(file, str) or not file.strip():
            raise SettingError(f"file: expected text, got {file!r}")
        if not isinstance(tree.get("batched", True), bool):
            raise SettingError(f"batched: expected true or false, got {tree['batched']!r}")
        options = {key: tree[key] for key in _KEYS[2:8] if key in tree}
        return SweepSettings(
            Path(os.path.normpath(path.parent / file)),
            _algorithms(_tables(tree, "algorithms")),
            _problems(_tables(tree, "problems"), path.parent),
            tree.get("seeds", 31),
            options,
        )
    except SettingError as error:
        raise SettingError(f"{path}: {error}") from None


def _tables(tree: Mapping[str, Any], key: str) -> dict[str, dict[str, Any]]:
    """Return tables by name; a list of names stands for tables of that kind."""
    given = tree.get(key)
    if isinstance(given, list) and all(isinstance(name, str) for name in given):
        given = {name: {} for name in given}
    if not isinstance(given, dict) or not given:
        example = "NSGA3" if key == "algorithms" else "DTLZ2"
        raise SettingError(f"{key}: expected tables such as [{key}.{example}], or a list of names, got {given!r}")
    for name, table in given.items():
        if not isinstance(table, dict):
            raise SettingError(f"{key}.{name}: expected a table of settings, got {table!r}")
    return given


def _algorithms(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Algorithm[Any]]:
    from blackbox import algorithms
    from blackbox.cli.records import make_record

    found: dict[str, Algorithm[Any]] = {}
    for name, table in tables.items():
        settings = dict(table)
        kind, grid = settings.pop("kind", name), settings.pop("grid", {})
        if kind not in algorithms.__all__:
            near = nearest(str(kind), algorithms.__all__)
            raise SettingError(
                f"algorithms.{name}: no algorithm is called {kind!r}{near} (blackbox algorithms lists all)"
            )
        if not isinstance(grid, dict) or not all(isinstance(v, list) and v for v in grid.values()):
            raise SettingError(f"algorithms.{name}.grid: expected settings with lists of values, got {grid!r}")
        for values in itertools.product(*grid.values()):
            chosen = dict(zip(grid, values, strict=True))
            label = " ".join([name, *(f"{key}={value}" for key, value in chosen.items())])
            record = {**settings, **chosen}
            found[label] = make_record(getattr(algorithms, str(kind)), record, inside=f"algorithms.{name}.")
    return found


def _problems(tables: Mapping[str, Mapping[str, Any]], folder: Path) -> dict[str, Problem]:
    from blackbox.cli.building import make_problem, ready_made

    found: dict[str, Problem] = {}
    for name, table in tables.items():
        if "objective" in table or "command" in table:
            settings = _own_problem(name, table, folder)
            found[name] = make_problem(settings, evaluates=True)
        else:
            found[name] = ready_made({"kind": name, **table}, inside=f"problems.{name}.")
    return found


def _own_problem(name: str, table: Mapping[str, Any], folder: Path) -> Any:
    """Return the settings of a problem that is described as in a study's TOML file."""
    from dataclasses import replace

    from blackbox.cli.settings import _KEYS as KEYS

    allowed = ("space", "objective", "command", "takes", "objectives", "constraints", "deadline")
    refuse_unknown(table, allowed, inside=f"problems.{name}.")
    if "space" not in table:
        raise SettingError(f"problems.{name}.space: missing; expected one table for each parameter")
    checked = {key: KEYS[key](f"problems.{name}.{key}", value) for key, value in table.items()}
    blank = parse_settings('problem = "Sphere"', folder=folder, stem=name, source=name)
    return replace(blank, problem=None, **checked)
