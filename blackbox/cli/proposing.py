"""`propose`: from a table of past experiments to ranked proposals, with no evaluation in between."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blackbox.errors import SettingError

if TYPE_CHECKING:
    from blackbox.algorithm import Algorithm
    from blackbox.objective import Objective
    from blackbox.optimizer import Optimizer
    from blackbox.parameters import Parameter
    from blackbox.tables import Table

__all__ = ["COMMANDS"]


def propose(
    data: Annotated[
        Path, typer.Argument(metavar="DATA.csv", help="A header, then one experiment a row.", show_default=False)
    ],
    algorithm: Annotated[
        str | None,
        typer.Option(
            "--algorithm",
            "-a",
            metavar="NAME",
            help="Default: root for one objective; pareto-flow, or else surrogate-evolution, for several.",
            show_default=False,
        ),
    ] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option("--objective", "-o", metavar="COLUMN", help="A column to minimise; may be repeated."),
    ] = None,
    maximize: Annotated[
        list[str] | None,
        typer.Option("--maximize", "-x", metavar="COLUMN", help="A column to maximise; may be repeated."),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option("--ignore", metavar="COLUMN", help="A column to leave out; may be repeated."),
    ] = None,
    n: Annotated[int, typer.Option("--n", "-n", min=1, help="How many proposals.")] = 128,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.csv", help="Write all proposals here.", show_default=False)
    ] = None,
    toml: Annotated[
        Path | None,
        typer.Option(
            "--toml",
            metavar="FILE.toml",
            help="Parameters of columns as [space.NAME], and settings as [algorithm].",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same proposals.")] = 0,
    device: Annotated[str, typer.Option("--device", help="Where to train.")] = "cpu",
) -> None:
    """Propose experiments from a table of past ones.

    Columns of numbers become ranges between their least and largest number, texts become categories; the last column
    is minimised unless --objective or --maximize say otherwise. Rows with an empty input are left out, rows without
    a value do not count; both are reported. A TOML file widens ranges and sets the algorithm:

    \b
    [space.temperature]
    low = 10
    high = 90
    [algorithm]
    epochs = 50

    \b
    blackbox propose data.csv --maximize yield -n 16 --out next.csv
    blackbox propose data.csv -o cost -x strength --algorithm pareto-flow
    """  # noqa: D301 - \b is what typer keeps lines by
    from rich.console import Console

    from blackbox.cli import presenting_proposals as presenting
    from blackbox.objective import Objective
    from blackbox.optimizer import Optimizer
    from blackbox.tables import read_csv

    parameters, settings = _read_toml(toml)
    objectives = [Objective(name) for name in objective or []] + [Objective(name, True) for name in maximize or []]
    objectives = objectives or [_last_column(data, set(ignore or []))]
    table = read_csv(data, objectives, space=parameters, ignore=ignore or [])
    default = "root" if len(table.objectives) == 1 else "pareto-flow"
    made = _algorithm(algorithm or settings.pop("kind", None) or default, settings)
    if bool((table.space.lower == table.space.upper).all()):
        raise SettingError(f"{data}: no input varies; give ranges in a TOML file (--toml), as [space.NAME]")
    if out is not None and not out.parent.is_dir():
        raise SettingError(f"--out: there is no folder {out.parent}")
    console = Console(stderr=True, highlight=False)
    presenting.show_table(console, table)
    optimizer = Optimizer(table.space, made, objectives=list(table.objectives), seed=seed, device=device)
    optimizer.tell(table.batch, table.values)
    batch, predicted = _ask(optimizer, table, n, console)
    if out is not None:
        presenting.write_csv(out, table, batch, predicted)
    presenting.show_proposals(table, batch, predicted, out)


def _ask(optimizer: Optimizer, table: Table, n: int, console: Any) -> tuple[Any, Any]:
    """Return at most n proposals and what the algorithm predicts of them, with progress on a terminal."""
    from blackbox.cli import presenting_proposals as presenting
    from blackbox.surrogates.reporting import watching

    with presenting.training_bar(console) as watcher, watching(watcher):
        batch = optimizer.ask(n)
    return batch, presenting.predictions(table, batch.context.get("predicted"))


def _last_column(data: Path, ignored: set[str]) -> Objective:
    """Return the last column of a file as an objective to minimise, and say so."""
    from blackbox.objective import Objective
    from blackbox.tables import column_names

    names = [name for name in column_names(data) if name not in ignored]
    if not names:
        raise SettingError(f"{data}: there is no column left to optimize")
    typer.echo(f"minimising the last column, {names[-1]!r}; --maximize {names[-1]!r} to maximise it", err=True)
    return Objective(names[-1])


def _algorithm(name: str, settings: dict[str, Any]) -> Algorithm[Any]:
    """Return the offline algorithm of a name, written in any case, with or without hyphens."""
    from blackbox import algorithms
    from blackbox.cli.records import make_record
    from blackbox.cli.settings import nearest

    known = {_plain(each): each for each in algorithms.__all__}
    settings.pop("kind", None)
    found = known.get(_plain(str(name)))
    if found is None:
        raise SettingError(f"--algorithm: no algorithm is called {name!r}{nearest(str(name), list(known))}")
    made: Algorithm[Any] = make_record(getattr(algorithms, found), settings, inside="algorithm.")
    if not made.capabilities.needs_data and made.capabilities.learns:
        offline = [each for each in algorithms.__all__ if _is_offline(getattr(algorithms, each))]
        raise SettingError(f"--algorithm: {found} does not learn from a table alone; expected one of {offline}")
    return made


def _plain(name: str) -> str:
    return name.replace("-", "").replace("_", "").lower()


def _is_offline(kind: Any) -> bool:
    try:
        return bool(kind().capabilities.needs_data)
    except (TypeError, ValueError, ImportError):
        return False


def _read_toml(path: Path | None) -> tuple[dict[str, Parameter], dict[str, Any]]:
    """Return the parameters and the settings of the algorithm that a TOML file gives."""
    import tomllib

    from blackbox.cli.settings import refuse_unknown
    from blackbox.errors import SpaceError
    from blackbox.space_json import parameter_from_json

    if path is None:
        return {}, {}
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingError(f"{path}: not valid TOML: {error}") from None
    refuse_unknown(tree, ("space", "algorithm"))
    for key in tree:
        if not isinstance(tree[key], dict):
            raise SettingError(f"{path}: {key}: expected a table, got {tree[key]!r}")
    parameters = {}
    for name, table in tree.get("space", {}).items():
        try:
            parameters[name] = parameter_from_json(table)
        except (SpaceError, TypeError) as error:
            raise SettingError(f"{path}: space.{name}: {error}") from None
    return parameters, dict(tree.get("algorithm", {}))


COMMANDS = (propose,)
