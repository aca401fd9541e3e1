"""Full disks and read-only directories.

A full disk is a tiny tmpfs where mounting is permitted; a limit on the size of files (RLIMIT_FSIZE) stands in for it
elsewhere, and is tested in any case.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from faults.programs import HillClimb, bowl, note, problem

from blackbox.algorithms import Sobol
from blackbox.candidates import Batch
from blackbox.errors import StorageError
from blackbox.study import Study


class Tmpfs:
    """A file system of 2 MB that can be filled to the last byte."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], check=True, capture_output=True)

    def fill(self) -> None:
        with (self.folder / "filler").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass

    def free(self) -> None:
        (self.folder / "filler").unlink()

    def close(self) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], check=True)


class Limit:
    """A limit on the size of files, as a full disk for those who may not mount one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self) -> None:
        sizes = [file.stat().st_size for file in self.folder.glob("*-wal")]
        resource.setrlimit(resource.RLIMIT_FSIZE, (max(sizes, default=0) + 100, self.before[1]))

    def free(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)

    def close(self) -> None:
        self.free()


@pytest.fixture(params=["tmpfs", "limit"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tmpfs | Limit]:
    made: Tmpfs | Limit
    try:
        made = Tmpfs(tmp_path) if request.param == "tmpfs" else Limit(tmp_path)
    except (OSError, subprocess.CalledProcessError):
        made = Limit(tmp_path)  # mounting is not permitted here
    try:
        yield made
    finally:
        made.close()


def tell_until_refused(study: Study, batch: Batch) -> StorageError | None:
    """Tell row by row, since some room is left in the last page of the log."""
    for row in range(len(batch)):
        try:
            study.tell(batch[row], [1.0])
        except StorageError as error:
            return error
    return None


def test_a_tell_on_a_full_disk_is_refused_and_nothing_is_lost(disk: Tmpfs | Limit) -> None:
    path = disk.folder / "a.db"
    with Study(problem(), HillClimb(), path, seed=3) as study:
        study.run(evaluations=5)
        before = study.history()
        batch = study.ask(40)
        disk.fill()
        refused = tell_until_refused(study, batch)
        assert re.search(r"a\.db: (no space|the device reported).*what was stored before is kept", str(refused))
        n_told = study.n_evaluations
        assert n_told < 45
        with pytest.raises(StorageError):
            study.ask(40)
        with Study.open(path) as other:  # what is stored can be read meanwhile
            assert other.history()[:5] == before
            assert other.n_evaluations == n_told
            assert other.n_pending == 45 - n_told
        disk.free()
        study.tell(batch, [1.0] * 40)
        study.run(evaluations=48)
        whole = study.history()
    with Study.open(path) as study:  # every digest is checked here
        assert study.history() == whole
        assert study.history()[:5] == before


def test_a_run_goes_on_when_there_is_room_again(disk: Tmpfs | Limit, tmp_path_factory: pytest.TempPathFactory) -> None:
    notes = tmp_path_factory.mktemp("notes") / "notes"
    calls: list[int] = []

    def function(config: Any) -> float:
        calls.append(1)
        if len(calls) == 10:
            disk.fill()
        if len(calls) < 10 or isinstance(disk, Tmpfs):
            note(notes, "evaluated")
        return bowl(config)

    with Study(problem(function), HillClimb(), disk.folder / "a.db", seed=3) as study:
        with pytest.raises(StorageError):
            study.run(evaluations=5000)
        stored = study.history()
        assert study.n_evaluations >= 9
        disk.free()
        evaluated = len(calls)
        study.run(evaluations=study.n_evaluations + 5)
        assert len(calls) <= evaluated + 5  # what could not be stored was kept, not evaluated again
        assert study.history()[: len(stored) - 1] == stored[:-1]
        n = study.n_evaluations
        found = [record.config for record in study.history()]
    with Study(problem(), HillClimb(), path=None, seed=3) as study:
        study.run(evaluations=n)
        assert [record.config for record in study.history()] == found[:n]


def test_a_study_cannot_be_made_on_a_full_disk(disk: Tmpfs | Limit) -> None:
    disk.fill()
    with pytest.raises(StorageError, match=r"a\.db: (no space|the device reported)"):
        Study(problem(), Sobol(), disk.folder / "a.db", seed=3)
    disk.free()
    assert list(disk.folder.iterdir()) == []
    Study(problem(), Sobol(), disk.folder / "a.db", seed=3).close()


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nobody may write into the folder; root becomes somebody else for a while, since root may do anything."""
    is_root = os.geteuid() == 0
    folder.chmod(0o555)
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o700)


def test_a_read_only_directory_is_named_as_the_cause() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Study(problem(), Sobol(), folder / "a.db", seed=3) as study:
            study.run(evaluations=3)
            before = study.history()
        with read_only(folder):
            with pytest.raises(StorageError, match=r"b\.db: .*(read-only|[Pp]ermission)"):
                Study(problem(), Sobol(), folder / "b.db", seed=3)
            with pytest.raises(StorageError, match=r"a\.db: .*(read-only|[Pp]ermission)"):
                Study(problem(), Sobol(), folder / "a.db", seed=3)
        with Study.open(folder / "a.db") as study:
            assert study.history() == before
        with pytest.raises(StorageError, match="No such file"):
            Study.open(folder / "missing.db")
        with pytest.raises(StorageError, match=r"missing/a\.db"):
            Study(problem(), Sobol(), folder / "missing" / "a.db")
