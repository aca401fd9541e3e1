"""Studies whose processes are killed (SIGKILL) at random instants, and several processes on one file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from faults.programs import SPACE, HillClimb, bowl
from faults.zygote import N_KILLED, N_RACED, N_SHARED

import blackbox as bb
from blackbox.algorithms import Sobol
from blackbox.study import Study


@pytest.fixture(scope="module")
def ruins(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """What the scenarios have left behind."""
    folder = tmp_path_factory.mktemp("ruins")
    root = Path(__file__).parent.parent.parent
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    command = [sys.executable, str(root / "tests/faults/zygote.py"), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return folder, json.loads((folder / "report.json").read_text())


def lines(folder: Path) -> list[list[str]]:
    return [line.split() for line in (folder / "notes").read_text().splitlines()]


def test_a_run_killed_at_random_instants_ends_as_if_nothing_had_happened(ruins: tuple[Path, dict[str, Any]]) -> None:
    folder, kills = ruins[0] / "killed_at_random", ruins[1]["killed_at_random"]["kills"]
    assert kills >= 5
    optimizer = bb.Optimizer(SPACE, HillClimb(), seed=3)
    with Study.open(folder / "a.db") as study:
        history = study.history()
        assert len(history) == N_KILLED
        for record in history:
            batch = optimizer.ask(1)
            assert record.config == batch.configs[0]
            assert record.status == "told"
            assert record.values == (bowl(record.config),)
            optimizer.tell(batch, [bowl(record.config)])
    # Each point was evaluated once, but for those in flight when their process was killed.
    wanted = Counter((repr(record.config["x"]), str(record.config["k"])) for record in history)
    started = Counter((x, k) for _, x, k in lines(folder))
    assert set(started) == set(wanted)
    assert not wanted - started
    assert (started - wanted).total() <= kills


def test_no_acknowledged_tell_is_lost_or_doubled(ruins: tuple[Path, dict[str, Any]]) -> None:
    folder = ruins[0] / "acknowledged"
    acknowledged = lines(folder)
    assert len(acknowledged) >= 20
    assert len({i for _, i, _ in acknowledged}) == len(acknowledged)
    with Study.open(folder / "a.db") as study:
        history = study.history()
        for _, i, value in acknowledged:
            assert history[int(i)].values == (float(value),)
        expected = bb.Optimizer(SPACE, Sobol(), seed=3).ask(len(history)).configs
        assert [record.config for record in history] == expected
        # What the killed processes had asked by hand is still there to be told.
        assert study.n_pending == sum(record.status == "pending" for record in history) <= 16


def test_four_processes_share_a_study(ruins: tuple[Path, dict[str, Any]]) -> None:
    folder, report = ruins[0] / "shared", ruins[1]["shared"]
    assert report["codes"] == [0, 0, 0]
    with Study.open(folder / "a.db") as study:
        history = study.history()
        assert [record.status for record in history] == ["told"] * N_SHARED
        assert [record.config for record in history] == bb.Optimizer(SPACE, Sobol(), seed=3).ask(N_SHARED).configs
        assert study.result().n_evaluations == N_SHARED
    by_point = Counter((x, k) for _, x, k in lines(folder))
    assert len(by_point) == N_SHARED
    assert len(lines(folder)) <= N_SHARED + 1  # what the killed one had in flight was evaluated once more
    assert len({pid for pid, _, _ in lines(folder)}) == 4


def test_the_first_of_two_tells_wins(ruins: tuple[Path, dict[str, Any]]) -> None:
    folder, report = ruins[0] / "raced", ruins[1]["raced"]
    assert report["codes"] == [0, 0]
    notes = lines(folder)
    won = {int(i): float(value) for i, value in notes if value != "refused"}
    assert len(won) == N_RACED
    assert sum(value == "refused" for _, value in notes) == N_RACED
    with Study.open(folder / "a.db") as study:
        assert {record.id: record.values for record in study.history()} == {i: (v,) for i, v in won.items()}


def test_a_candidate_that_kills_its_process_twice_has_failed(ruins: tuple[Path, dict[str, Any]]) -> None:
    folder, report = ruins[0] / "deadly", ruins[1]["deadly"]
    with Study.open(folder / "a.db") as study:
        history = study.history()
    started = Counter(x for (x,) in lines(folder))
    deadly = [record for record in history if record.config["x"] > 1.5]
    assert deadly
    assert report["runs"] == 2 * len(deadly) + 1
    for record in history:
        is_deadly = record in deadly
        assert record.status == ("failed" if is_deadly else "told")
        assert started[repr(record.config["x"])] == (2 if is_deadly else 1)
        if is_deadly:
            assert record.reason is not None
            assert str(record.reason) == "Lost: the process that evaluated it died, 2 times"


def test_a_file_is_there_as_a_whole_or_not_at_all(ruins: tuple[Path, dict[str, Any]]) -> None:
    assert ruins[1]["created"]["made"] == 5  # the scenario opens each file that it finds
