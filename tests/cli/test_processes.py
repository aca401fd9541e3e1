"""The command line in real processes: light help, several shells at once, signals, a reader that goes away."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from blackbox.study import Study

TOML = """
evaluations = 8
seed = 1
algorithm = "Sobol"
{more}
[space.x]
low = 0
high = 1
"""


def wait_until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"], ["frobnicate"], []])
def test_help_loads_nothing_heavy(arguments):
    code = (
        "import sys\n"
        "from blackbox.cli import main\n"
        "try:\n"
        f"    main({arguments})\n"
        "except SystemExit as left:\n"
        "    print(left.code, *{name.split('.')[0] for name in sys.modules}, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.splitlines()[-1].split()[1:])
    assert not loaded & {"torch", "numpy", "rich", "matplotlib", "scipy", "botorch", "sqlite3", "concurrent", "asyncio"}
    if "--help" in arguments:
        assert "Usage: blackbox" in done.stdout


def test_several_shells_ask_and_tell_one_study(start, tmp_path):
    (tmp_path / "study.toml").write_text(TOML.format(more=""))
    database = tmp_path / "shared.db"
    asking = [start("ask", database, "--toml", tmp_path / "study.toml", "-n", 5) for _ in range(4)]
    answers = [process.communicate(timeout=120) for process in asking]
    assert [process.returncode for process in asking] == [0] * 4, answers
    asked = {}
    for out, _ in answers:
        for line in map(json.loads, out.splitlines()):
            assert line["id"] not in asked
            asked[line["id"]] = line["config"]
    assert sorted(asked) == list(range(20))
    assert len({config["x"] for config in asked.values()}) == 20

    telling = [start("tell", database, stdin=subprocess.PIPE) for _ in range(4)]
    texts = ["\n".join(json.dumps({"id": i, "values": [asked[i]["x"]]}) for i in range(n, 20, 4)) for n in range(4)]
    threads = [threading.Thread(target=p.communicate, args=(text,)) for p, text in zip(telling, texts, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.returncode for process in telling] == [0] * 4
    with Study.open(database) as study:
        assert [record.values[0] for record in study.history()] == [asked[i]["x"] for i in range(20)]
        assert study.n_pending == 0


def n_told(database):
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            return connection.execute("SELECT COUNT(*) FROM outcomes").fetchone()[0]
    except sqlite3.Error:
        return 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_a_run_that_was_stopped_goes_on_without_its_toml(start, cli, tmp_path, number, code):
    toml = tmp_path / "slow.toml"
    # The first three evaluations are quick, the fourth hangs until a file appears.
    script = f"echo {{x}} >> {tmp_path}/seen; [ $(wc -l < {tmp_path}/seen) -lt 4 ] || [ -e {tmp_path}/go ] || sleep 600; echo {{x}}"
    toml.write_text(TOML.format(more=f"command = ['sh', '-c', '''{script}''']"))
    database = tmp_path / "slow.db"
    process = start("run", toml)
    wait_until(lambda: n_told(database) == 3 and len((tmp_path / "seen").read_text().split()) == 4)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    if number != signal.SIGKILL:
        assert err.splitlines()[-2:] == [f"what was told is stored; go on with: blackbox resume {database}", "interrupted"]
    toml.unlink()
    (tmp_path / "go").touch()
    done = cli("resume", database)
    assert done.code == 0, done.err
    with Study.open(database) as study:
        history = study.history()
    assert [record.status for record in history] == ["told"] * 8
    assert all(record.values[0] == record.config["x"] for record in history)
    seen = [float(x) for x in (tmp_path / "seen").read_text().split()]
    assert len(seen) == 9  # only what was in flight was evaluated twice
    assert len(set(seen)) == 8


def test_functions_run_in_processes_that_are_killed_at_the_deadline(shell, tmp_path):
    (tmp_path / "hangs.py").write_text(
        "import os, time\n"
        "def score(config):\n"
        "    if config['x'] > 0.75: time.sleep(600)\n"
        "    if config['x'] > 0.5: os._exit(3)\n"
        "    return config['x']\n"
    )
    toml = tmp_path / "hangs.toml"
    toml.write_text(TOML.format(more="objective = 'hangs:score'\nworkers = 2\ndeadline = 0.5"))
    done = shell("run", toml)
    assert done.code == 0, done.err
    with Study.open(tmp_path / "hangs.db") as study:
        for record in study.history():
            x = record.config["x"]
            expected = "DeadlineExceeded" if x > 0.75 else "WorkerDied" if x > 0.5 else None
            assert (record.reason and record.reason.type) == expected


def test_a_reader_that_goes_away_is_no_error(start, cli, tmp_path):
    (tmp_path / "study.toml").write_text(TOML.format(more=""))
    database = tmp_path / "many.db"
    assert cli("ask", database, "--toml", tmp_path / "study.toml", "-n", 3000).code == 0
    process = start("export", database)
    assert process.stdout.readline().startswith("id,")
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(60) == 1
