"""`algorithms` and `problems`: what there is, and what each can be set to."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import typer

from blackbox.errors import SettingError

__all__ = ["COMMANDS"]

_OFFLINE = ("OfflineSet", "RNABinding", "TFBind8")
_NAME = typer.Argument(metavar="NAME", help="Show all about this one.", show_default=False)


def algorithms(
    name: Annotated[str | None, _NAME] = None,
) -> None:
    """List the algorithms, or show one.

    A setting of an algorithm is a key of [algorithm] in a study's TOML file:

    \b
    [algorithm]
    kind = "Sobol"
    scramble = false
    """  # noqa: D301 - \b is what typer keeps lines by
    from blackbox import algorithms as package

    _list("algorithm", {each: getattr(package, each) for each in package.__all__}, name)


def problems(
    name: Annotated[str | None, _NAME] = None,
) -> None:
    """List ready-made problems, or show one; offline ones (data sets to propose from) need settings, data or a package.

    A study's TOML file names one instead of a space and an objective:

    \b
    [problem]
    kind = "Noisy"
    std = 0.1
    seed = 0
    problem = {kind = "Ackley", dim = 10}
    """  # noqa: D301 - \b is what typer keeps lines by
    from blackbox import problems as package

    names = [*package.available(), *_OFFLINE]
    _list("problem", {each: getattr(package, each) for each in names}, name)


def _list(what: str, kinds: dict[str, Any], name: str | None) -> None:
    if name is None:
        width = max(map(len, kinds), default=0)
        for each, kind in sorted(kinds.items()):
            typer.echo(f"{each:{width}}  {summary(kind)}")
        return
    if name not in kinds:
        from blackbox.cli.settings import nearest

        raise SettingError(f"{what}: none is called {name!r}{nearest(name, kinds)}")
    typer.echo(f"{name}\n\n{inspect.getdoc(kinds[name]) or ''}\n\nSettings, with their defaults:")
    for setting in inspect.signature(kinds[name]).parameters.values():
        typer.echo(f"  {setting}".replace("'", ""))


def summary(kind: Any) -> str:
    """Return the first sentence of a docstring, on one line."""
    first = (inspect.getdoc(kind) or "").split("\n\n")[0]
    return " ".join(first.split())


COMMANDS = (algorithms, problems)
