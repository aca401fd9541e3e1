"""A table of past experiments, from a CSV file: its space, its points and its values, ready to be told."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from blackbox.candidates import Batch
from blackbox.errors import SettingError, SpaceError, shown
from blackbox.objective import Objective, parse_objectives
from blackbox.parameters import Categorical, Integer, Ordinal, Parameter, Real
from blackbox.space import Space

__all__ = ["Table", "column_names", "read_csv"]

_MISSING = {"", "na", "n/a", "nan", "none", "null", "-", "?", "inf", "+inf", "-inf", "infinity", "-infinity"}
_MANY_LEVELS = 50  # texts in one column beyond which, where most are different, it is no category


@dataclass(frozen=True, slots=True)
class Table:
    """What a file of experiments holds.

    Attributes
    ----------
    space : Space
        One parameter a column that is no objective.
    objectives : tuple of Objective
    batch : Batch
        The points, in the order of the file, without rows that have an empty input.
    values : Tensor, shape (n, m), float64
        NaN where a value is missing: told, such a row is a failed evaluation.
    n_rows : int
        Rows of the file.
    n_incomplete : int
        Rows that were left out, because an input is missing.
    n_failed : int
        Rows whose value is missing.
    """

    space: Space
    objectives: tuple[Objective, ...]
    batch: Batch
    values: Tensor
    n_rows: int
    n_incomplete: int
    n_failed: int


def read_csv(
    path: str | os.PathLike[str],
    objectives: str | Objective | Sequence[str | Objective],
    *,
    space: Space | Mapping[str, Parameter] | None = None,
    ignore: Sequence[str] = (),
) -> Table:
    r"""Return the table of a CSV file of past experiments: a header, then one experiment a row.

    The delimiter (comma, semicolon or tab) is found in the header. A column of whole numbers becomes an integer
    parameter, one of numbers a real one, both between the least and the largest number of the file; any other column
    is a category with the texts of the file as levels. Empty cells, "NA", "nan" and "inf" are missing.

    Parameters
    ----------
    path : str or path
        UTF-8 text.
    objectives : str, Objective, or a sequence of them
        The columns to optimize; a name is minimised.
    space : Space or mapping of str to parameter, optional
        Parameters for some of the columns, in place of what the file suggests; wider bounds, for example.
    ignore : sequence of str, default ()
        Columns that are neither inputs nor objectives.

    Raises
    ------
    SettingError
        If the file cannot be read, a column is missing, or a cell does not fit its column; the message names the
        column and the line.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "runs.csv"
    >>> _ = file.write_text("temperature,catalyst,yield\n20,A,0.3\n35,B,0.5\n50,A,\n")
    >>> table = read_csv(file, Objective("yield", maximize=True))
    >>> table.space.parameters["temperature"] == Integer(20, 50)
    True
    >>> table.values[:, 0].tolist()
    [0.3, 0.5, nan]
    """
    path = Path(path)
    parsed = parse_objectives(objectives)
    columns, lines = _read(path)
    names = list(columns)
    for name in [*(objective.name for objective in parsed), *ignore, *_names_of(space)]:
        if name not in columns:
            near = get_close_matches(name, names, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise SettingError(f"{path}: there is no column {name!r}; it has {', '.join(map(repr, names))}{hint}")
    targets = {objective.name for objective in parsed}
    if twice := sorted(targets & {*ignore, *_names_of(space)}):
        raise SettingError(f"{path}: column {twice[0]!r} is an objective: it cannot be an input or ignored as well")
    inputs = [name for name in names if name not in targets and name not in ignore]
    if not inputs:
        raise SettingError(f"{path}: there is no column besides the objectives {sorted(targets)}")
    given = _given(space)
    parameters = {name: given[name] if name in given else _guessed(path, name, columns[name], lines) for name in inputs}
    made = Space(parameters)
    configs, kept = _configs(path, made, {name: columns[name] for name in inputs}, lines)
    told = [[_value(path, o.name, columns[o.name][row], lines[row]) for o in parsed] for row in kept]
    values = torch.tensor(told, dtype=torch.float64)
    try:
        batch = made.batch(configs)
    except SpaceError as error:
        raise SettingError(f"{path}: {error}") from None
    n_failed = int((~torch.isfinite(values).all(1)).sum())
    return Table(made, parsed, batch, values, len(lines), len(lines) - len(kept), n_failed)


def column_names(path: str | os.PathLike[str]) -> list[str]:
    """Return the names of the columns of a CSV file.

    Raises
    ------
    SettingError
        As `read_csv`.
    """
    return list(_read(Path(path))[0])


def _names_of(space: Space | Mapping[str, Parameter] | None) -> list[str]:
    return [] if space is None else list(space.names if isinstance(space, Space) else space)


def _given(space: Space | Mapping[str, Parameter] | None) -> Mapping[str, Parameter]:
    if space is None:
        return {}
    return space.parameters if isinstance(space, Space) else space


def _read(path: Path) -> tuple[dict[str, list[str]], list[int]]:
    """Return the cells of each column, and the line of each row."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            file.seek(0)
            delimiter = max(",;\t", key=header.count)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(c.strip() for c in row)]
    except OSError as error:
        raise SettingError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise SettingError(f"{path}: no CSV file: {error}") from None
    if not rows:
        raise SettingError(f"{path}: the file is empty; expected a header and one experiment a row")
    names = rows[0][1]
    for place, name in enumerate(names):
        if not name or name in names[:place]:
            raise SettingError(
                f"{path}: expected distinct names in the header, got {shown(name)} in column {place + 1}"
            )
    numbers = [_number(name) for name in names]
    if None not in numbers or any(number is not None and number != int(number) for number in numbers):
        first = shown(", ".join(names))
        raise SettingError(f"{path}: expected the names of the columns in the first line, got {first}")
    if len(rows) == 1:
        raise SettingError(f"{path}: there is a header and no experiment")
    for line, cells in rows[1:]:
        if len(cells) != len(names):
            raise SettingError(f"{path}: line {line}: expected {len(names)} cells, got {len(cells)}")
    columns = {name: [cells[place] for _, cells in rows[1:]] for place, name in enumerate(names)}
    return columns, [line for line, _ in rows[1:]]


def _is_missing(cell: str) -> bool:
    return cell.lower() in _MISSING


def _number(cell: str) -> float | None:
    """Return a cell as a finite number; None where it is none."""
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in cell else None


def _guessed(path: Path, name: str, cells: Sequence[str], lines: Sequence[int]) -> Parameter:
    """Return the parameter that a column suggests."""
    known = [(cell, line) for cell, line in zip(cells, lines, strict=True) if not _is_missing(cell)]
    if not known:
        raise SettingError(f"{path}: column {name!r} is empty; ignore it")
    numbers = [_number(cell) for cell, _ in known]
    found = [number for number in numbers if number is not None]
    if len(found) == len(known):
        whole = all(cell.lstrip("+-").isdigit() for cell, _ in known) and max(map(abs, found)) < 2**53
        return Integer(int(min(found)), int(max(found))) if whole else Real(min(found), max(found))
    if 2 * len(found) > len(known):
        cell, line = next(pair for pair, number in zip(known, numbers, strict=True) if number is None)
        raise SettingError(
            f"{path}: column {name!r}: line {line}: expected a number as in the other rows, got {shown(cell)}; "
            "mark a missing one with an empty cell, or give the column's levels"
        )
    levels = sorted({cell for cell, _ in known})
    if len(levels) > _MANY_LEVELS and 2 * len(levels) > len(known):
        raise SettingError(
            f"{path}: column {name!r} has {len(levels)} different texts in {len(known)} rows, so it is no category; "
            "ignore it"
        )
    return Categorical(levels)


def _configs(
    path: Path, space: Space, columns: Mapping[str, Sequence[str]], lines: Sequence[int]
) -> tuple[list[dict[str, Any]], list[int]]:
    """Return the configurations of complete rows, and which rows those are."""
    readers = {name: _reader(parameter) for name, parameter in space.parameters.items()}
    optional = {name for name, parameter in space.parameters.items() if parameter.when}
    configs, kept = [], []
    for row, line in enumerate(lines):
        config: dict[str, Any] = {}
        for name, cells in columns.items():
            if not _is_missing(cells[row]):
                config[name] = readers[name](cells[row])
            elif name not in optional:
                break
        else:
            try:
                space.encode([config])
            except SpaceError as error:
                raise SettingError(f"{path}: line {line}: {error}") from None
            configs.append(config)
            kept.append(row)
    if not kept:
        raise SettingError(f"{path}: every row has an empty input")
    return configs, kept


def _reader(parameter: Parameter) -> Any:
    """Return what turns a cell into a value of a parameter; a cell that is none stays text, which the space refuses."""
    if isinstance(parameter, (Categorical, Ordinal)):
        levels = {str(level): level for level in parameter.levels}

        def level_of(cell: str) -> Any:
            if cell in levels:
                return levels[cell]
            number = _number(cell)
            return number if number is not None and number in parameter.levels else cell

        return level_of

    def number_of(cell: str) -> Any:
        number = _number(cell)
        return cell if number is None else number

    return number_of


def _value(path: Path, name: str, cell: str, line: int) -> float:
    """Return the value of an objective; NaN where it is missing."""
    if _is_missing(cell):
        return math.nan
    number = _number(cell)
    if number is None:
        raise SettingError(
            f"{path}: objective {name!r}: line {line}: expected a number, or an empty cell for a failed experiment, "
            f"got {shown(cell)}"
        )
    return number
