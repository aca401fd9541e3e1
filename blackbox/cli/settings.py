"""A study's TOML file as a checked record; nothing of it is run, and no name of it is looked up here.

::

    file = "runs.db"               # the study file; default: the TOML's own name with .db
    objective = "training:score"   # module:function; or  command = ["sh", "score.sh", "{lr}"];  or  problem = "Branin"
    objectives = ["loss"]          # a count, a name, names, or tables  {name = "accuracy", maximize = true}
    constraints = 0                # how many violations an evaluation returns; feasible at <= 0
    evaluations = 60               # the budget, for all runs of the study together
    seconds = 600                  # at most so long in one run
    workers = 2                    # evaluations at once
    deadline = 30                  # seconds for one evaluation

    [space.lr]
    low = 1e-5
    high = 1e-1
    log = true

    [algorithm]                    # without it, one is chosen and the reason is printed
    kind = "BayesianOptimization"

Further keys: `takes` ("config" or "keywords": how the function is called), `seed`, `device`, `name`,
`max_failures_in_a_row`, and `executor` ("processes" or "threads", for functions). Everything that is a path, and what
a command or a module is searched by, is relative to the folder of the TOML file.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blackbox.errors import SettingError

__all__ = ["Settings", "nearest", "parse_settings", "read_settings", "refuse_unknown"]

_SPACE_KEYS = ("kind", "low", "high", "log", "levels", "when", "fixed", "fidelity", "task", "environment")
_MOST_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Settings:
    """What a study's TOML file says; see the module docstring for the keys.

    Attributes
    ----------
    text : str
        The file's text, which a study file keeps.
    folder : Path
        What paths and modules are relative to.
    foreseen : int or None
        The evaluations that an algorithm plans with: those of the file, whatever one run is told besides.
    """

    text: str
    folder: Path
    name: str
    file: str
    space: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    objective: str | None = None
    command: tuple[str, ...] | None = None
    problem: Mapping[str, Any] | None = None
    takes: str = "config"
    objectives: int | tuple[tuple[str, bool], ...] = 1
    constraints: int = 0
    algorithm: Mapping[str, Any] | None = None
    evaluations: int | None = None
    foreseen: int | None = None
    seconds: float | None = None
    workers: int = 1
    executor: str | None = None
    deadline: float | None = None
    max_failures_in_a_row: int | None = None
    seed: int | None = None
    device: str = "cpu"

    @property
    def database(self) -> Path:
        """The study file."""
        return Path(os.path.normpath(self.folder / self.file))


def read_settings(path: Path) -> Settings:
    """Return the settings of a TOML file.

    Raises
    ------
    SettingError
        If it cannot be read, is no TOML, or a key is unknown, missing or wrong; the message names the file and the key.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise SettingError(f"{path}: larger than {_MOST_BYTES // 2**20} MiB, no study's TOML file")
        content = path.read_bytes()
        if content.startswith(b"SQLite format 3"):
            raise SettingError(
                f"{path}: a study file; expected a TOML file (blackbox resume {path} goes on with a study)"
            )
        text = content.decode()
    except OSError as error:
        raise SettingError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise SettingError(f"{path}: no text in UTF-8, so no TOML file") from None
    return parse_settings(text, folder=path.parent, stem=path.stem, source=str(path))


def parse_settings(text: str, *, folder: Path, stem: str, source: str) -> Settings:
    """Return the settings of a TOML text.

    Parameters
    ----------
    text : str
    folder : Path
        What its paths are relative to.
    stem : str
        What the study is called where it has no name; its file is called so, too.
    source : str
        Where it comes from, for messages.

    Raises
    ------
    SettingError
        If it is no TOML, or a key is unknown, missing or wrong.
    """
    try:
        tree = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingError(f"{source}: not valid TOML: {error}") from None
    try:
        refuse_unknown(tree, _KEYS)
        given = {key: _KEYS[key](key, value) for key, value in tree.items()}
        _check_together(given)
    except SettingError as error:
        raise SettingError(f"{source}: {error}") from None
    defaults = {"name": stem, "file": f"{stem}.db", "foreseen": given.get("evaluations")}
    return Settings(text=text, folder=folder, **{**defaults, **given})


def _check_together(given: Mapping[str, Any]) -> None:
    ways = [key for key in ("objective", "command", "problem") if key in given]
    if len(ways) > 1:
        raise SettingError(f"{ways[0]}, {ways[1]}: expected only one of them")
    if "problem" in given:
        for key in ("space", "objectives", "constraints", "takes"):
            if key in given:
                raise SettingError(f"{key}: a ready-made problem has its own; leave it out, or leave out problem")
    elif "space" not in given:
        raise SettingError(
            "space: missing; expected one table for each parameter, for example [space.x] with low and high"
        )
    if "takes" in given and "objective" not in given:
        raise SettingError("takes: it says how an objective's function is called, but there is no objective")
    if given.get("executor") == "processes" and "command" in given:
        raise SettingError('executor: commands are processes already; expected "threads", or nothing')
    if given.get("executor") == "threads" and "deadline" in given and "command" not in given:
        raise SettingError('deadline: a thread cannot be killed; expected executor = "processes", or nothing')


def nearest(key: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the most similar known word, or the list of all.

    Examples
    --------
    >>> nearest("wrokers", ["workers", "seed"])
    "; did you mean 'workers'?"
    """
    names = list(known)
    by_lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(str(key).lower(), by_lower, 1, 0.5)
    if close:
        return f"; did you mean {by_lower[close[0]]!r}?"
    return f"; expected one of {', '.join(names)}" if names else "; none is expected"


def refuse_unknown(tree: Mapping[str, Any], known: Iterable[str], *, inside: str = "") -> None:
    """Raise `SettingError` for the first key that is not known, with the nearest one that is."""
    names = list(known)
    for key in tree:
        if key not in names:
            raise SettingError(f"{inside}{key}: no such key{nearest(key, names)}")


# -- one function a kind of value ------------------------------------------------------------------------------


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise SettingError(f"{key}: expected text, got {value!r}")
    return value


def _choice(*allowed: str) -> Callable[[str, Any], str]:
    def check(key: str, value: Any) -> str:
        if value not in allowed:
            raise SettingError(f"{key}: expected {' or '.join(map(repr, allowed))}, got {value!r}")
        return str(value)

    return check


def _count(least: int) -> Callable[[str, Any], int]:
    def check(key: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise SettingError(f"{key}: expected an integer >= {least}, got {value!r}")
        return value

    return check


def _seconds(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise SettingError(f"{key}: expected a number of seconds > 0, got {value!r}")
    return float(value)


def _objective(key: str, value: Any) -> str:
    module, _, function = _text(key, value).partition(":")
    names = [*module.split("."), *function.split(".")]
    if not all(name.isidentifier() for name in names):
        raise SettingError(f'{key}: expected "module:function", got {value!r}')
    return str(value)


def _command(key: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        import shlex

        try:
            value = shlex.split(value)
        except ValueError as error:
            raise SettingError(f"{key}: {error}: {value!r}") from None
    if not isinstance(value, list) or not value or not all(isinstance(part, str) for part in value) or not value[0]:
        raise SettingError(f"{key}: expected a program and its arguments, as text or a list of texts, got {value!r}")
    return tuple(value)


def _kind_table(key: str, value: Any) -> dict[str, Any]:
    table = {"kind": value} if isinstance(value, str) else value
    if not isinstance(table, dict):
        raise SettingError(f"{key}: expected a table with kind and settings, got {value!r}")
    _text(f"{key}.kind", table.get("kind"))
    return table


def _objectives(key: str, value: Any) -> int | tuple[tuple[str, bool], ...]:
    if isinstance(value, int) and not isinstance(value, bool):
        return _count(1)(key, value)
    listed = value if isinstance(value, list) else [value]
    if not listed:
        raise SettingError(f"{key}: expected at least one, got {value!r}")
    return tuple(_one_objective(key, entry) for entry in listed)


def _one_objective(key: str, value: Any) -> tuple[str, bool]:
    table = {"name": value} if isinstance(value, str) else value
    if not isinstance(table, dict):
        raise SettingError(f"{key}: expected a count, names, or tables with name and maximize, got {value!r}")
    refuse_unknown(table, ("name", "maximize"), inside=f"{key}.")
    maximize = table.get("maximize", False)
    if not isinstance(maximize, bool):
        raise SettingError(f"{key}.maximize: expected true or false, got {maximize!r}")
    return _text(f"{key}.name", table.get("name")), maximize


def _space(key: str, value: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(value, dict) or not value:
        raise SettingError(f"{key}: expected one table for each parameter, for example [space.x], got {value!r}")
    for name, table in value.items():
        if not isinstance(table, dict):
            raise SettingError(f"{key}.{name}: expected a table of kind, bounds or levels, got {table!r}")
        refuse_unknown(table, _SPACE_KEYS, inside=f"{key}.{name}.")
    return value


_KEYS: dict[str, Callable[[str, Any], Any]] = {
    "name": _text,
    "file": _text,
    "space": _space,
    "objective": _objective,
    "command": _command,
    "problem": _kind_table,
    "takes": _choice("config", "keywords"),
    "objectives": _objectives,
    "constraints": _count(0),
    "algorithm": _kind_table,
    "evaluations": _count(1),
    "seconds": _seconds,
    "workers": _count(1),
    "executor": _choice("processes", "threads"),
    "deadline": _seconds,
    "max_failures_in_a_row": _count(1),
    "seed": _count(0),
    "device": _text,
}
