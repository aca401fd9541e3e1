"""The command line in real processes: light help, several shells at once, signals, a reader that goes away."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from blackbox.study import Study

ROOT = Path(__file__).parents[2]
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


SHELL = """
import contextlib, io, json, sys
from blackbox.cli import main

def blackbox(*arguments, stdin=""):
    sys.stdin, out = io.StringIO(stdin), io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            main(arguments)
        except SystemExit as left:
            assert left.code == 0, arguments
    return out.getvalue()

database, toml = sys.argv[1:]
for round in range(4):
    asked = list(map(json.loads, blackbox("ask", database, "--toml", toml, "-n", "3").splitlines()))
    first, *others = asked
    blackbox("tell", database, str(first["id"]), str(first["config"]["x"]))
    lines = [json.dumps({"id": entry["id"], "values": [entry["config"]["x"]]}) for entry in others]
    blackbox("tell", database, stdin="\\n".join(lines))
    print(*(entry["id"] for entry in asked))
"""


def test_several_shells_ask_and_tell_one_study(environment, tmp_path):
    toml, database = tmp_path / "study.toml", tmp_path / "shared.db"
    toml.write_text(TOML.format(more=""))
    arguments = [sys.executable, "-c", SHELL, str(database), str(toml)]
    shells = [
        subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        for _ in range(3)
    ]
    answers = [process.communicate(timeout=120) for process in shells]
    assert [process.returncode for process in shells] == [0] * 3, answers
    asked = sorted(int(i) for out, _ in answers for i in out.split())
    assert asked == list(range(3 * 4 * 3))  # nothing lost, nothing handed out twice
    with Study.open(database) as study:
        history = study.history()
    assert [record.values[0] for record in history] == [record.config["x"] for record in history]
    assert len({record.config["x"] for record in history}) == len(asked)


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
    seen, hangs = f"{tmp_path}/seen", f"[ $(wc -l < {tmp_path}/seen) -ge 4 ] && [ ! -e {tmp_path}/go ]"
    script = f"echo {{x}} >> {seen}; if {hangs}; then sleep 600; fi; echo {{x}}"
    toml.write_text(TOML.format(more=f"command = ['sh', '-c', '''{script}''']"))
    database = tmp_path / "slow.db"
    process = start("run", toml)
    wait_until(lambda: n_told(database) == 3 and len((tmp_path / "seen").read_text().split()) == 4)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    if number != signal.SIGKILL:
        assert err.splitlines()[-1] == f"interrupted; what was told is stored; go on with: blackbox resume {database}"
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


def test_a_function_that_hangs_is_killed_at_the_deadline(shell, tmp_path):
    (tmp_path / "hangs.py").write_text(
        "import time\ndef score(config):\n    if config['x'] > 0.5: time.sleep(600)\n    return config['x']\n"
    )
    toml = tmp_path / "hangs.toml"
    toml.write_text(TOML.format(more="objective = 'hangs:score'\ndeadline = 0.5"))
    done = shell("run", toml, "--evaluations", 2)  # of a Sobol sequence, one on either side
    assert done.code == 0, done.err
    with Study.open(tmp_path / "hangs.db") as study:
        reasons = {record.config["x"] > 0.5: record.reason and record.reason.type for record in study.history()}
    assert reasons == {True: "DeadlineExceeded", False: None}


@pytest.mark.parametrize(("name", "shown"), [("study", "mass (minimise)"), ("external", "height (minimise)")])
def test_the_examples_run(shell, tmp_path, name, shown):
    folder = tmp_path / "examples"
    shutil.copytree(ROOT / "examples", folder, ignore=shutil.ignore_patterns("*.db*", "__pycache__"))
    done = shell("run", folder / f"{name}.toml", "--evaluations", 6)
    assert done.code == 0, done.err
    assert shown in done.out
    assert " 6 of " in done.out
    assert "failed" not in done.out


def test_a_reader_that_goes_away_is_no_error(start, cli, tmp_path):
    (tmp_path / "study.toml").write_text(TOML.format(more=""))
    database = tmp_path / "many.db"
    assert cli("ask", database, "--toml", tmp_path / "study.toml", "-n", 3000).code == 0
    process = start("export", database)
    assert process.stdout.readline().startswith("id,")
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(60) == 1
