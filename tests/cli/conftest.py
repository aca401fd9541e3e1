"""Running the command line: in this process, and in one of its own."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from blackbox.cli import main

ROOT = Path(__file__).parents[2]


class Done(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(capfd, monkeypatch):
    """Run a command in this process."""
    monkeypatch.setattr(sys, "path", [*sys.path])

    def run(*arguments, stdin=""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        return Done(left.value.code, *capfd.readouterr())

    return run


@pytest.fixture
def environment():
    """Return what processes need to find this package."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def start(environment):
    """Start a command in a process of its own; what still runs at the end is killed."""
    started = []
    # A shell starts what it puts into the background with SIGINT ignored, and that is inherited.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def start_one(*arguments, **options):
        process = subprocess.Popen(
            [sys.executable, "-m", "blackbox", *map(str, arguments)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        started.append(process)
        return process

    yield start_one
    signal.signal(signal.SIGINT, before)
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def shell(start):
    """Run a command in a process of its own."""

    def run(*arguments, stdin=None, **options):
        process = start(*arguments, stdin=subprocess.PIPE, **options)
        out, err = process.communicate(stdin, timeout=120)
        return Done(process.returncode, out, err)

    return run
