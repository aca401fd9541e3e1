"""The command line: `blackbox`, or `python -m blackbox`.

Nothing but typer and the standard library is loaded until a command runs, so that help answers at once. Commands
live in modules of their own, each with a list `COMMANDS`; a new one is added to such a list, a new module to `_GROUPS`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from blackbox.cli import asking, listing, proposing, reading, running, sweeping

__all__ = ["app", "main"]

_GROUPS = (running, asking, reading, listing, sweeping, proposing)
_BAD_INPUT = ("SettingError", "SpaceError", "TellError", "CapabilityError", "StateError")

app = typer.Typer(
    name="blackbox",
    add_completion=False,
    rich_markup_mode=None,  # rich help takes four times as long
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for _group in _GROUPS:
    for _function in _group.COMMANDS:
        _settings = {"ignore_unknown_options": True} if _function in asking.TAKES_NEGATIVE_NUMBERS else None
        app.command(context_settings=_settings)(_function)


@app.callback()
def _blackbox(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Black-box optimization: durable studies of expensive functions.

    \b
    blackbox run study.toml            optimize, watch, and resume where it stopped
    blackbox ask runs.db -n 4          or drive a study from any shell:
    blackbox tell runs.db 3 0.71       ask for candidates, tell what came out
    blackbox show runs.db              see how a study stands
    blackbox sweep sweep.toml          compare algorithms on problems over many seeds
    blackbox propose data.csv          propose experiments from a table of past ones

    A command prints its result on standard output and everything else on standard error. It ends with 0, with 2 where
    the input is wrong, with 1 where a run failed, with 130 where it was interrupted.
    """  # noqa: D301 - \b is what typer keeps lines by


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    raise SystemExit(_run(given))


def _run(given: list[str]) -> int:
    plain = given[: given.index("--")] if "--" in given else given
    debug = "--debug" in plain
    rest = [argument for argument in plain if argument != "--debug"] + given[len(plain) :]
    if rest == ["--version"]:
        from blackbox import __version__

        print(__version__)
        return 0
    try:
        code = app(args=rest, prog_name="blackbox", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has ended, as in `blackbox export ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except Exception as error:  # every error becomes one line; --debug shows where it came from
        if debug:
            raise
        message, code = _describe(error)
        if message:
            print(f"error: {message}", file=sys.stderr)
    return code if isinstance(code, int) else 0


def _describe(error: Exception) -> tuple[str, int]:
    """Return one line about an error, and the exit code."""
    if hasattr(error, "format_message"):  # a usage error of typer
        context = getattr(error, "ctx", None)
        help_line = f" (see {context.command_path} --help)" if context is not None else ""
        return _one_line(error.format_message()) + help_line, 2
    from blackbox.errors import BlackboxError

    message = _one_line(str(error))
    if isinstance(error, BlackboxError):
        bad_input = any(kind.__name__ in _BAD_INPUT for kind in type(error).__mro__)
        return message, 2 if bad_input else 1
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}", 1
    return f"{type(error).__name__}: {message} (unexpected; --debug shows where it came from)", 1


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 1000 else line[:997] + "..."
