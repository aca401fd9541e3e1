"""An objective in any language: a command that is run once for every candidate.

What the command is given:

- the configuration as one line of JSON on its standard input, active parameters only;
- the same JSON in the environment variable BLACKBOX_CONFIG (left out where it is longer than 100,000 bytes);
- in its arguments, `{name}` stands for the value of the parameter `name` (JSON without quotes around text; empty for
  a parameter that is not active); `{{` and `}}` stand for braces, and braces around anything else than a name for
  themselves. No shell is involved: nothing needs quoting.

What it has to print: JSON. If all of standard output is JSON, that is taken; otherwise its last line that is a JSON
object, array or number. It is a number, an array of numbers, or an object with one key an objective (or "values"),
and optionally "violations", "variance" and "extras" (numbers). `{"failed": "why"}` reports a failed evaluation.

It fails where the command cannot be started, ends with another code than 0, prints no such JSON, prints more than
16 MiB, or takes longer than the deadline. When the command ends, however that happens, or when this process dies,
every process that is left in the command's process group is killed.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from blackbox.cli.lifeline import Lifeline
from blackbox.errors import BlackboxError, SettingError

__all__ = ["CommandError", "ExternalCommand", "kill_running", "last_json"]

_MOST_OUTPUT = 16 * 2**20  # bytes of one stream before the command is killed
_KEPT = 2**20  # bytes of one stream that are kept, from its end
_SHOWN = 2000  # characters of standard error that a failure quotes
_MOST_ENVIRONMENT = 100_000  # Linux refuses longer variables
_GRACE = 1.0  # seconds that pipes may stay open after the end
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z_][\w.-]*")

_running: set[_Command] = set()
_running_lock = threading.Lock()
_lifeline = Lifeline()
atexit.register(_lifeline.close)


class CommandError(BlackboxError, RuntimeError):
    """An external command failed; the message says how and quotes the end of its standard error."""


@dataclass(frozen=True)
class ExternalCommand:
    """A function of a configuration that runs a command (module docstring).

    Parameters
    ----------
    arguments : tuple of str
        The program and its arguments, with placeholders.
    names : tuple of str
        The parameters, for the placeholders.
    folder : str, default "."
        Where it is run.
    deadline : float, optional
        Seconds that one evaluation may take.

    Raises
    ------
    SettingError
        If there is no program, or a placeholder names no parameter.

    Examples
    --------
    >>> ExternalCommand(("echo", "{x}"), ("x",))({"x": 2.5})
    2.5
    """

    arguments: tuple[str, ...]
    names: tuple[str, ...]
    folder: str = "."
    deadline: float | None = None

    def __post_init__(self) -> None:
        if not self.arguments or not self.arguments[0]:
            raise SettingError("command: expected a program and its arguments, got nothing")
        for argument in self.arguments:
            for match in _PLACEHOLDER.finditer(argument):
                name = match.group(1)
                if name is not None and name not in self.names and _NAME.fullmatch(name):
                    raise SettingError(
                        f"command: {match.group()} names no parameter; expected one of {', '.join(self.names[:20])} "
                        "(write {{ and }} for braces)"
                    )

    def __call__(self, config: Mapping[str, Any]) -> Any:
        """Run the command for one configuration and return the JSON that it printed.

        Raises
        ------
        CommandError
            If it fails in any of the ways that the module docstring lists.
        """
        finished = self._run(json.dumps(dict(config)), self._filled(config))
        outcome = last_json(finished.stdout)
        if outcome is None:
            raise finished.error("printed no JSON")
        return _checked(outcome)

    def _filled(self, config: Mapping[str, Any]) -> list[str]:
        def value(match: re.Match[str]) -> str:
            name = match.group(1)
            if name is None:
                return match.group()[0]
            if name not in self.names:
                return match.group()
            found = config.get(name, "")
            return found if isinstance(found, str) else json.dumps(found)

        return [_PLACEHOLDER.sub(value, argument) for argument in self.arguments]

    def _run(self, text: str, arguments: Sequence[str]) -> _Finished:
        environment = {key: value for key, value in os.environ.items() if key != "BLACKBOX_CONFIG"}
        if len(text) <= _MOST_ENVIRONMENT:
            environment["BLACKBOX_CONFIG"] = text
        _lifeline.start()
        with tempfile.TemporaryFile() as stdin:
            stdin.write(text.encode() + b"\n")
            stdin.seek(0)
            try:
                process = subprocess.Popen(
                    arguments,
                    stdin=stdin,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    cwd=self.folder,
                    env=environment,
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                raise CommandError(f"command: {arguments[0]!r} cannot be started: {reason}") from None
        return _supervise(process, self.deadline)


@dataclass(frozen=True, slots=True)
class _Finished:
    """What a command that ended by itself printed, in bytes from the end of each stream."""

    stdout: bytes
    stderr: bytes

    def error(self, what: str) -> CommandError:
        shown = self.stderr.decode(errors="replace").strip()
        if len(shown) > _SHOWN:
            shown = "..." + shown[-_SHOWN:]
        return CommandError(f"command {what}" + (f"; standard error: {shown}" if shown else ""))


class _Tail(threading.Thread):
    """Reads a pipe to its end, keeps the last bytes, and says when there are too many."""

    def __init__(self, pipe: IO[bytes], too_many: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self.kept = bytearray()
        self.count = 0
        self._pipe = pipe
        self._too_many = too_many
        self.start()

    def run(self) -> None:
        """Read until the end."""
        with self._pipe:
            while chunk := os.read(self._pipe.fileno(), 2**16):
                self.count += len(chunk)
                self.kept += chunk
                if len(self.kept) > 2 * _KEPT:
                    del self.kept[:-_KEPT]
                if self.count > _MOST_OUTPUT:
                    self._too_many()


class _Command:
    """A process that was started as the leader of its own process group, until nothing of the group is left."""

    def __init__(self, process: subprocess.Popen[bytes], deadline: float | None) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._lock = threading.Lock()
        self._reaped = False
        self._late = False
        self._deadline = deadline
        self._streams = [_Tail(pipe, self.kill) for pipe in (process.stdout, process.stderr)]

    def kill(self) -> None:
        """Kill the whole group; nothing happens once the process was reaped, for its number may be another's then."""
        with self._lock:
            if self._reaped:
                return
            try:
                if hasattr(os, "killpg"):
                    os.killpg(self._process.pid, signal.SIGKILL)
                else:
                    self._process.kill()
            except (ProcessLookupError, PermissionError):
                pass

    def _kill_late(self) -> None:
        self._late = True
        self.kill()

    def wait(self) -> _Finished:
        """Return what the process printed when it ends by itself in time, or raise `CommandError`."""
        timer = None if self._deadline is None else threading.Timer(self._deadline, self._kill_late)
        try:
            if timer is not None:
                timer.start()
            if hasattr(os, "waitid"):
                os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
            else:
                self._process.wait()
        finally:
            if timer is not None:
                timer.cancel()
            self.kill()
            with self._lock:
                code = self._process.wait()
                self._reaped = True
        for stream in self._streams:
            stream.join(_GRACE)
        return self._finished(code)

    def _finished(self, code: int) -> _Finished:
        finished = _Finished(*(bytes(stream.kept[-_KEPT:]) for stream in self._streams))
        if any(stream.count > _MOST_OUTPUT for stream in self._streams):
            raise finished.error(f"printed more than {_MOST_OUTPUT // 2**20} MiB and was killed")
        if self._deadline is not None and self._late:
            raise finished.error(f"was killed at its deadline of {self._deadline:g} seconds")
        if code < 0:
            raise finished.error(f"was killed by {_signal_name(-code)}")
        if code:
            raise finished.error(f"ended with code {code}")
        return finished


def _supervise(process: subprocess.Popen[bytes], deadline: float | None) -> _Finished:
    _lifeline.hold(process.pid)
    command = _Command(process, deadline)
    with _running_lock:
        _running.add(command)
    try:
        return command.wait()
    finally:
        _lifeline.release(process.pid)
        with _running_lock:
            _running.discard(command)


def kill_running() -> None:
    """Kill every command that is running in this process; their evaluations fail."""
    with _running_lock:
        running = list(_running)
    for command in running:
        command.kill()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def last_json(printed: bytes) -> Any:
    r"""Return the JSON of a command's output: all of it, or its last line that is an object, array or number.

    Examples
    --------
    >>> last_json(b'epoch 1\n{"loss": 0.5}\nbye\n')
    {'loss': 0.5}
    """
    text = printed.decode(errors="replace")
    for candidate in (text, *reversed(text.splitlines())):
        try:
            value = json.loads(candidate)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, (dict, list, int, float)) and not isinstance(value, bool):
            return value
    return None


def _checked(outcome: Any) -> Any:
    """Return an outcome that `parse_outcome` understands, or raise `CommandError` for a reported failure."""
    if not isinstance(outcome, dict):
        return outcome
    if outcome.get("failed"):
        raise CommandError(f"command reported a failure: {outcome['failed']}")
    extras = outcome.get("extras")
    if extras is not None and not (isinstance(extras, dict) and all(map(_is_numeric, extras.values()))):
        raise CommandError(f"extras: expected an object of numbers or arrays of numbers, got {str(extras)[:80]}")
    return {key: value for key, value in outcome.items() if key != "failed" and value is not None}


def _is_numeric(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_numeric, value))
    return isinstance(value, (int, float)) and not isinstance(value, bool)
