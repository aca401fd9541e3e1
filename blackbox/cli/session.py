"""Opening and making study files from the command line, and running them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blackbox.cli.external import kill_running
from blackbox.cli.settings import Settings, parse_settings, read_settings
from blackbox.errors import SettingError, StateError, StorageError, StudyError

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from blackbox.study import Study

__all__ = ["kept_settings", "open_existing", "open_or_create", "overridden", "run_study"]


def overridden(settings: Settings, evaluations: int | None, seconds: float | None, workers: int | None) -> Settings:
    """Return settings with what the command line says in place of what the file says."""
    if seconds is not None and not 0 < seconds < float("inf"):
        raise SettingError(f"--seconds: expected a number > 0, got {seconds!r}")
    given: dict[str, Any] = {"evaluations": evaluations, "seconds": seconds, "workers": workers}
    if settings.foreseen is None:
        given["foreseen"] = evaluations
    return replace(settings, **{key: value for key, value in given.items() if value is not None})


def open_existing(file: Path) -> Study:
    """Open a study file that exists, without its objective.

    Raises
    ------
    SettingError
        If there is none, or it is damaged, or no study file.
    """
    from blackbox.study import Study

    _require(file)
    with _as_bad_input():
        return Study.open(file)


def open_or_create(file: Path, toml: Path | None) -> Study:
    """Open a study file, or make it from a TOML file; of several processes that do so at once, one makes it."""
    if file.exists() or toml is None:
        return open_existing(file)
    study, _ = _study(read_settings(toml), file, evaluates=False)
    return study


def kept_settings(file: Path) -> Settings:
    """Return the settings that a study was made from.

    Raises
    ------
    SettingError
        If it was not made from a TOML file.
    """
    with open_existing(file) as study:
        return _settings_of(study, file)


def _settings_of(study: Study, file: Path) -> Settings:
    notes = study.notes
    if "toml" not in notes:
        raise SettingError(
            f"{file}: it was not made from a TOML file; expected --toml STUDY.toml, or resume it in Python"
        )
    folder = Path(os.path.normpath(file.parent / notes["folder"]))
    return parse_settings(notes["toml"], folder=folder, stem=notes["stem"], source=f"{file}: its TOML text")


def _require(file: Path) -> None:
    if not file.exists():
        raise SettingError(f"{file}: no such study file")


@contextmanager
def _as_bad_input() -> Iterator[None]:
    """A study file that cannot be opened is wrong input; one that fails later is a failed run."""
    try:
        yield
    except (StorageError, StateError) as error:
        raise SettingError(str(error)) from error


def _study(settings: Settings, file: Path, *, evaluates: bool) -> tuple[Study, str]:
    """Return the study of the settings and in one line what its algorithm is and why.

    A file that exists keeps its own algorithm and seed where the settings leave them open, and refuses others.
    """
    from blackbox.cli.building import make_algorithm, make_problem
    from blackbox.study import Study

    problem = make_problem(settings, evaluates=evaluates)
    algorithm, reason = None, ""
    if settings.algorithm is not None or not file.exists():
        algorithm, reason = make_algorithm(settings, problem)
    _make_folder(file.parent)
    notes = {"toml": settings.text, "stem": settings.name, "folder": _relative(settings.folder, file.parent)}
    with _as_bad_input():
        study = Study(
            problem,
            algorithm,
            file,
            name=settings.name,
            seed=settings.seed,
            device=settings.device,
            budget=settings.foreseen,
            notes=notes,
        )
    return study, reason or f"{type(study.algorithm).__name__}: as the study file says"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(f"{folder}: cannot be made: {error.strerror or error}") from error


def _relative(folder: Path, start: Path) -> str:
    try:
        return os.path.relpath(folder.resolve(), start.resolve())
    except ValueError:  # another drive
        return str(folder.resolve())


def run_study(settings: Settings, file: Path, *, quiet: bool) -> None:
    """Run the study of the settings to the end of its budget, and print how it stands.

    Raises
    ------
    SettingError
        If there is no budget, or anything else is wrong with the settings.
    StudyError
        If the run cannot go on, or nothing at all could be evaluated.
    """
    if settings.evaluations is None and settings.seconds is None:
        raise SettingError("evaluations, seconds: missing; expected at least one, in the file or as --evaluations N")
    study, reason = _study(settings, file, evaluates=True)
    with study:
        _warn_of_another_objective(study, settings, file)
        if not quiet:
            print(reason, file=sys.stderr)
            print(f"study file: {file} ({study.n_evaluations} evaluated before)", file=sys.stderr)
        with _ended_by_signals(file):
            _run(study, settings, progress=not quiet)
        if not quiet:
            from blackbox.cli.presenting import show_study

            show_study(study, file, recent=0)
        if study.n_evaluations and study.n_evaluations == study.n_failed:
            raise StudyError(f"all {study.n_failed} evaluations failed (blackbox show {file} lists the reasons)")


def _warn_of_another_objective(study: Study, settings: Settings, file: Path) -> None:
    """Say so where values of two objectives may be mixed; it can be on purpose, where only a path has changed."""
    if "toml" not in study.notes:
        return
    before = _settings_of(study, file)
    for key in ("objective", "command", "problem"):
        old, new = getattr(before, key), getattr(settings, key)
        if old != new:
            print(f"note: {key} is {new!r} now; the study was made with {old!r}", file=sys.stderr)


def _run(study: Study, settings: Settings, *, progress: bool) -> None:
    executor: Executor | None = None
    deadline = settings.deadline
    if settings.command is not None or settings.executor == "threads":
        from blackbox.executors import DaemonThreads

        executor = DaemonThreads(settings.workers)
        deadline = None if settings.command is not None else deadline  # a command is killed by the call itself
    limits: dict[str, Any] = {}
    if settings.max_failures_in_a_row is not None:
        limits["max_failures_in_a_row"] = settings.max_failures_in_a_row
    try:
        study.run(
            evaluations=settings.evaluations,
            seconds=settings.seconds,
            workers=settings.workers,
            executor=executor,
            progress=progress,
            deadline=deadline,
            **limits,
        )
    finally:
        if executor is not None:
            executor.shutdown(wait=False, cancel_futures=True)
        kill_running()  # what is still in flight is evaluated by the next run


@contextmanager
def _ended_by_signals(file: Path) -> Iterator[None]:
    """Let SIGTERM end a run as Ctrl-C does, and say how to go on."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        print(f"interrupted; what was told is stored; go on with: blackbox resume {file}", file=sys.stderr)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
