"""Study files: what is refused, what is rolled back, what other processes see."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest

from blackbox._owner import Owner, is_gone
from blackbox.errors import StorageError
from blackbox.storage import Counts, Outcome, Storage

ASK = {"n": 1, "fixed": None}


def filled(path: Path, n: int = 3) -> Storage:
    storage = Storage.create(path, {"name": "test"})
    for i in range(n):
        with storage.transaction():
            ids = storage.append_ask(np.array([[float(i), np.nan]]), owner=None, payload=ASK)
        with storage.transaction():
            storage.append_tell(ids, [Outcome("told", np.array([float(i)]), None, None, {"seconds": 1.0})])
    return storage


def test_what_was_stored_is_read_back(tmp_path: Path) -> None:
    storage = filled(tmp_path / "a.db")
    storage.close()
    again = Storage.open(tmp_path / "a.db")
    assert again.counts == Counts(seq=6, asked=3, told=3)
    assert again.meta == {"name": "test"}
    np.testing.assert_array_equal(again.points([2, 0]), [[2.0, np.nan], [0.0, np.nan]])
    outcome = again.outcomes([1])[0]
    assert outcome is not None
    assert outcome.values is not None
    assert (outcome.values.tolist(), outcome.details) == ([1.0], {"seconds": 1.0})
    assert [(e.kind, list(e.ids)) for e in again.events(4)] == [("ask", [2]), ("tell", [2])]
    again.close()


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    storage = filled(tmp_path / "a.db")

    def interrupted() -> None:
        with storage.transaction():
            storage.append_ask(np.zeros((2, 2)), owner=None, payload=ASK)
            storage.refresh()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    assert storage.counts == Counts(seq=6, asked=3, told=3)
    assert storage.pending() == {}
    with storage.transaction():
        assert storage.append_ask(np.zeros((1, 2)), owner=None, payload=ASK) == [3]
    storage.close()


def test_an_outcome_is_written_once(tmp_path: Path) -> None:
    storage = filled(tmp_path / "a.db")
    with pytest.raises(StorageError), storage.transaction():
        storage.append_tell([1], [Outcome("told", np.array([9.0]))])
    assert storage.refresh().told == 3
    storage.close()


def test_two_connections_see_each_other(tmp_path: Path) -> None:
    storage = filled(tmp_path / "a.db")
    other = Storage.open(tmp_path / "a.db")
    mark = other.changes()
    with storage.transaction():
        storage.append_ask(np.zeros((2, 2)), owner="somebody", payload=ASK)
    assert other.changes() != mark
    assert other.refresh().pending == 2
    assert other.pending() == {3: ("somebody", 0), 4: ("somebody", 0)}
    with other.transaction():
        other.append_abandon([3], {})
    assert storage.refresh().abandoned == 1
    other.close()
    storage.close()


def test_one_of_many_creators_wins(tmp_path: Path) -> None:
    found = []

    def make(name: int) -> None:
        storage = Storage.create(tmp_path / "a.db", {"name": name})
        found.append(storage.meta["name"])
        storage.close()

    threads = [threading.Thread(target=make, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.db"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"x = 1\n", "no study file"),
        (b"SQLite format 3\x00", "no study file"),
        (b"SQLite format 3\x00" + bytes(4080), "no study file of blackbox"),
    ],
)
def test_other_files_are_refused_and_left_alone(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(content)
    with pytest.raises(StorageError, match=words):
        Storage.open(path)
    assert path.read_bytes() == content
    assert [p.name for p in tmp_path.iterdir()] == ["a.db"]


def test_databases_of_others_are_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE trials(id INTEGER)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StorageError, match="no study file of blackbox"):
        Storage.open(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "attack",
    [
        "CREATE TRIGGER t AFTER INSERT ON log BEGIN DELETE FROM outcomes; END",
        "CREATE VIEW v AS SELECT * FROM log",
        "CREATE TABLE more(id INTEGER)",
        "CREATE INDEX i ON log(kind)",
        "DROP TABLE owners",
        "ALTER TABLE log ADD COLUMN more TEXT",
    ],
)
def test_a_changed_schema_is_refused(tmp_path: Path, attack: str) -> None:
    filled(tmp_path / "a.db").close()
    connection = sqlite3.connect(tmp_path / "a.db")
    connection.execute(attack)
    connection.commit()
    connection.close()
    with pytest.raises(StorageError, match=r"a\.db"):
        Storage.open(tmp_path / "a.db")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE outcomes SET vals = x'0000000000000000' WHERE id = 1", "record 1 of outcomes"),
        ("UPDATE outcomes SET status = 'failed' WHERE id = 2", "record 2 of outcomes"),
        ("UPDATE candidates SET x = x'00' WHERE id = 0", "record 0 of candidates"),
        ("UPDATE log SET payload = replace(payload, '0', '1') WHERE seq = 2", "record 2 of log"),
        ("UPDATE log SET kind = 4 WHERE seq = 2", "record 2 of log"),
        ("UPDATE study SET value = '7'", "record name of study"),
        ("DELETE FROM outcomes WHERE id = 1", "outcomes"),
        ("DELETE FROM candidates WHERE id = 2", "candidates"),
        ("DELETE FROM log WHERE seq = 3", "record 3 of log"),
        ("INSERT INTO pending VALUES(1, NULL, 0)", "pending"),
    ],
)
def test_altered_records_are_named(tmp_path: Path, change: str, words: str) -> None:
    filled(tmp_path / "a.db").close()
    connection = sqlite3.connect(tmp_path / "a.db")
    connection.execute(change)
    connection.commit()
    connection.close()
    with pytest.raises(StorageError, match=words):
        Storage.open(tmp_path / "a.db")


def test_what_is_left_of_a_removed_file_is_not_mixed_in(tmp_path: Path) -> None:
    (tmp_path / "a.db-wal").write_bytes(b"left over")
    with pytest.raises(StorageError, match="left over"):
        Storage.create(tmp_path / "a.db", {"name": "test"})


def test_a_file_that_was_removed_or_replaced_is_noticed(tmp_path: Path) -> None:
    storage = filled(tmp_path / "a.db")
    (tmp_path / "a.db").rename(tmp_path / "b.db")
    for words in ("removed", "replaced"):
        with pytest.raises(StorageError, match=words):
            storage.transaction().__enter__()
        (tmp_path / "a.db").touch()
    (tmp_path / "b.db").rename(tmp_path / "a.db")
    with storage.transaction():
        storage.append_ask(np.zeros((1, 2)), owner=None, payload=ASK)
    storage.close()


def test_another_format_is_refused(tmp_path: Path) -> None:
    filled(tmp_path / "a.db").close()
    connection = sqlite3.connect(tmp_path / "a.db")
    connection.execute("PRAGMA user_version=2")
    connection.close()
    with pytest.raises(StorageError, match="format 2; this version reads format 1"):
        Storage.open(tmp_path / "a.db")


def test_damaged_checkpoints_are_passed_over(tmp_path: Path) -> None:
    storage = filled(tmp_path / "a.db")
    for seq in (2, 4, 6):
        with storage.transaction():
            storage.write_checkpoint(seq, {"seq": seq})
    assert storage.newest_checkpoint(0) == (6, {"seq": 6})
    assert storage.newest_checkpoint(6) is None
    storage._connection.execute("UPDATE checkpoints SET state = zeroblob(length(state)) WHERE seq = 6")
    with pytest.warns(RuntimeWarning, match="checkpoint 6 is damaged"):
        assert storage.newest_checkpoint(0) == (4, {"seq": 4})
    storage.close()


def test_owners_are_told_apart() -> None:
    owner = Owner()
    host, pid, started, _ = owner.name.split(":")
    assert not is_gone(owner.name, {})
    assert is_gone("", {})
    assert is_gone(f"{host}:{pid}:{started}:ffffffff", {})  # this process, but a study object that is no more
    assert is_gone(f"{host}:{pid}:{int(started) - 1}:ffffffff", {})  # the same number, another process
    assert is_gone(f"{host}:{2**22 + 1}:1:ffffffff", {})
    elsewhere = "far-away:1:1:ffffffff"
    assert is_gone(elsewhere, {})
    assert is_gone(elsewhere, {elsewhere: 1.0})
    assert not is_gone(elsewhere, {elsewhere: 1e12})
