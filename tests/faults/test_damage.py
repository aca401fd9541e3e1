"""Damaged study files: a flipped bit or a missing end is an error, or changes nothing; never another history."""

from __future__ import annotations

import random
import shutil
import sqlite3
import warnings
from pathlib import Path
from typing import Any

import pytest
from faults.programs import HillClimb, problem

from blackbox._study_records import record_digest
from blackbox.errors import BlackboxError, StorageError
from blackbox.study import Study


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[Any]]:
    """The bytes of a study file, and its history."""
    path = tmp_path_factory.mktemp("intact") / "a.db"

    def sometimes(config: Any) -> float:
        if config["x"] > 2:
            raise ValueError("too far")
        return float(config["x"])

    with Study(problem(sometimes), HillClimb(), path, seed=3) as study:
        study.run(evaluations=40)
        study.ask(2)
        history = study.history()
    return path.read_bytes(), history


def outcome(path: Path, history: list[Any]) -> str:
    """Return what became of a damaged file: "refused", or "harmless" if it holds what it held."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a damaged checkpoint, which the log replaces
            with Study(problem(), HillClimb(), path) as study:
                assert study.history() == history
                assert len(study.ask(1)) == 1
    except BlackboxError as error:
        return "refused" if str(error) else "refused without a word"
    return "harmless"


def test_flipped_bits(intact: tuple[bytes, list[Any]], tmp_path: Path) -> None:
    data, history = intact
    rng = random.Random(0)
    places = [rng.randrange(len(data)) for _ in range(150)] + list(range(16, 100, 3))
    fates = []
    for number, place in enumerate(places):
        damaged = bytearray(data)
        damaged[place] ^= 1 << rng.randrange(8)
        path = tmp_path / f"{number}.db"
        path.write_bytes(bytes(damaged))
        fates.append(outcome(path, history))
    assert fates.count("refused") > 20


def test_missing_ends(intact: tuple[bytes, list[Any]], tmp_path: Path) -> None:
    data, history = intact
    for number, length in enumerate([0, 1, 99, 100, 4095, *range(4096, len(data), 4096), len(data) - 1]):
        path = tmp_path / f"{number}.db"
        path.write_bytes(data[:length])
        assert outcome(path, history) == "refused" or length == len(data) - 1, length  # the last byte may be unused


def test_a_damaged_log_of_a_killed_process_gives_a_beginning(tmp_path: Path) -> None:
    study = Study(problem(), HillClimb(), tmp_path / "a.db", seed=3)
    study.run(evaluations=12)
    for name in ("a.db", "a.db-wal"):  # as a killed process leaves them
        shutil.copy(tmp_path / name, tmp_path / f"killed.{name}")
    history = study.history()
    study.close()
    log = (tmp_path / "killed.a.db-wal").read_bytes()
    rng = random.Random(0)
    for number in range(30):
        damaged = bytearray(log[: rng.randrange(len(log))] if number % 2 else log)
        if damaged:
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        path = tmp_path / f"{number}.db"
        shutil.copy(tmp_path / "killed.a.db", path)
        Path(f"{path}-wal").write_bytes(bytes(damaged))
        try:
            with Study.open(path) as found:
                records = found.history()
        except StorageError:
            continue
        told = [record for record in records if record.status != "pending"]
        assert told == history[: len(told)]


@pytest.mark.parametrize(
    "value", ["[" * 100_000, "{}", "null", '{"parameters": {"x": {"kind": "real"}}}', "1e999", "x"]
)
def test_a_hostile_description_is_refused(intact: tuple[bytes, list[Any]], tmp_path: Path, value: str) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(intact[0])
    connection = sqlite3.connect(path)
    digest = record_digest("study", "space", value)
    connection.execute("UPDATE study SET value = ?, digest = ? WHERE key = 'space'", (value, digest))
    connection.commit()
    connection.close()
    with pytest.raises(BlackboxError):
        Study.open(path)


@pytest.mark.parametrize("x", [b"", bytes(7), bytes(8), bytes(80), b"\xff" * 16, b"\x7f" * 16])
def test_hostile_points_are_refused(intact: tuple[bytes, list[Any]], tmp_path: Path, x: bytes) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(intact[0])
    connection = sqlite3.connect(path)
    connection.execute("UPDATE candidates SET x = ?, digest = ? WHERE id = 5", (x, record_digest("candidates", 5, x)))
    connection.execute("DELETE FROM checkpoints")
    connection.commit()
    connection.close()
    with pytest.raises(StorageError), Study(problem(), HillClimb(), path) as study:
        study.history()
