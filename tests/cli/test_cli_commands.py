"""The commands, one after the other, in this process."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import sys
import time
import types

import pytest

from blackbox.study import Study

TOML = """
objectives = ["loss"]
evaluations = 12
seed = 1
algorithm = "Sobol"
{more}
[space.x]
low = -1
high = 1
[space.kernel]
levels = ["rbf", "poly", "7"]
[space.degree]
kind = "integer"
low = 2
high = 5
when = {{kernel = "poly"}}
"""
SCRIPT = (
    "import json, sys\nc = json.load(sys.stdin)\nif c['x'] > 0.5: sys.exit('too large')\nprint(json.dumps(c['x']**2))\n"
)


@pytest.fixture
def study(tmp_path):
    """A study of a command that fails for large x."""
    (tmp_path / "score.py").write_text(SCRIPT)
    path = tmp_path / "study.toml"
    path.write_text(
        TOML.format(more=f"command = ['{sys.executable}', '-I', '-S', 'score.py']\nworkers = 2\ndeadline = 30")
    )
    return path


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def one_line(done, code, *parts):
    """Assert that a command ended with a code and one readable line."""
    assert done.code == code
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    for part in parts:
        assert part in done.err


def test_a_run_stores_all_evaluations_and_shows_the_best(cli, study):
    done = cli("run", study)
    assert done.code == 0, done.err
    assert "Sobol: as the settings say" in done.err
    assert "evaluated    12 of 12" in done.out
    database = study.with_suffix(".db")
    with Study.open(database) as stored:
        history = stored.history()
    assert len(history) == 12
    failed = [record for record in history if record.status == "failed"]
    assert failed
    assert all((record.config["x"] > 0.5) == (record.status == "failed") for record in history)
    assert all("ended with code 1; standard error: too large" in record.reason.message for record in failed)

    shown = cli("show", database)
    assert shown.code == 0
    assert f"{len(failed)}   CommandError: command ended with code 1; standard error: too large" in shown.out
    best = min(record.values[0] for record in history if record.status == "told")
    assert f"{best:.6g}" in shown.out
    assert "last evaluations" in shown.out
    assert "last evaluations" not in cli("show", database, "--recent", 0).out


def test_running_again_goes_on_and_a_changed_space_is_refused(cli, study):
    assert cli("run", study, "--evaluations", 3).code == 0
    again = cli("run", study, "--evaluations", 5)
    assert again.code == 0
    assert "(3 evaluated before)" in again.err
    assert "evaluated    5" in again.out
    study.write_text(study.read_text().replace("high = 1\n", "high = 2\n"))
    one_line(cli("run", study), 2, "study.db: belongs to another study: its space is", "2.0")
    study.write_text(study.read_text().replace("high = 2\n", "high = 1\n").replace('"Sobol"', '"RandomSearch"'))
    one_line(cli("run", study), 2, "belongs to another study: its algorithm is", "RandomSearch")


def test_resume_needs_no_toml(cli, study, tmp_path, monkeypatch):
    assert cli("run", study, "-e", 2, "-q").code == 0
    moved = tmp_path / "moved.toml"
    study.rename(moved)
    monkeypatch.chdir(tmp_path.parent)
    done = cli("resume", study.with_suffix(".db"))
    assert done.code == 0, done.err
    assert "evaluated    12 of 12" in done.out
    assert cli("resume", study.with_suffix(".db"), "--toml", moved, "-e", 13, "-q") == (0, "", "")


def test_a_study_made_in_python_is_resumed_with_a_toml_only(cli, tmp_path):
    from blackbox.algorithms import Sobol
    from blackbox.space import Space

    Study(Space.box([0], [1]), Sobol(), tmp_path / "a.db").close()
    one_line(cli("resume", tmp_path / "a.db", "-e", 3), 2, "not made from a TOML file; expected --toml")


def test_where_everything_fails_the_run_has_failed(cli, tmp_path):
    path = tmp_path / "hopeless.toml"
    path.write_text(TOML.format(more="command = 'false'\nmax_failures_in_a_row = 20"))
    done = cli("run", path, "-e", 4)
    assert done.code == 1
    assert "error: all 4 evaluations failed" in done.err
    path.write_text(TOML.format(more="command = 'false'\nmax_failures_in_a_row = 6"))
    one = cli("run", path, "-q")
    one_line(one, 1, "6 evaluations failed in a row", "6 x CommandError: command ended with code 1")


def test_a_function_may_take_keywords_and_return_objectives_by_name(cli, tmp_path, monkeypatch):
    module = types.ModuleType("module_of_test_commands")
    module.score = lambda x, kernel, degree=0: {"loss": x, "gain": -x, "violations": [degree - 3]}
    monkeypatch.setitem(sys.modules, module.__name__, module)
    path = tmp_path / "function.toml"
    text = TOML.format(more=f"objective = '{module.__name__}:score'\ntakes = 'keywords'\nconstraints = 1")
    path.write_text(text.replace('["loss"]', '["loss", {name = "gain", maximize = true}]'))
    done = cli("run", path)
    assert done.code == 0, done.err
    assert "gain (maximise)" in done.out
    with Study.open(tmp_path / "function.db") as stored:
        assert [record.values for record in stored.history()] == [
            (r.config["x"], -r.config["x"]) for r in stored.history()
        ]


def test_ask_tell_and_abandon_by_hand(cli, study):
    database = study.with_name("hand.db")
    one_line(cli("ask", database), 2, "hand.db: no such study file")
    asked = lines(cli("ask", database, "--toml", study, "-n", 3).out)
    assert [entry["id"] for entry in asked] == [0, 1, 2]
    fixed = lines(cli("ask", database, "--fixed", "kernel=poly", "--fixed", "x=-0.25").out)[0]
    assert (fixed["id"], fixed["config"]["kernel"], fixed["config"]["x"]) == (3, "poly", -0.25)
    assert lines(cli("ask", database, "--fixed", "kernel=7").out)[0]["config"]["kernel"] == "7"

    assert cli("tell", database, 1, -0.5) == (0, "", "")
    assert cli("tell", database, 1, -0.5).code == 0  # the same again
    assert cli("tell", database, 0, "--failed", "out of memory").code == 0
    assert cli("tell", database, 2, "nan").code == 0
    assert cli("abandon", database, 3, 4).code == 0
    one_line(cli("tell", database, 1, 0.75), 2, "1")
    one_line(cli("tell", database, 99, 0.75), 2, "99")
    one_line(cli("abandon", database, 3), 2, "3")
    with Study.open(database) as stored:
        assert [record.status for record in stored.history()] == ["failed", "told", "failed", "abandoned", "abandoned"]
        assert stored.history()[0].reason.message == "out of memory"
        assert stored.result().values.tolist() == [[-0.5]]


def test_tell_takes_lines_of_json(cli, tmp_path):
    path = tmp_path / "two.toml"
    path.write_text(TOML.format(more="constraints = 1").replace('["loss"]', '["loss", "time"]'))
    database = tmp_path / "two.db"
    assert len(lines(cli("ask", database, "--toml", path, "-n", 5).out)) == 5
    told = [
        {"id": 4, "values": [1.5, 2], "violations": [-1]},
        {"id": 0, "loss": 1, "time": 3, "violations": [0.5]},
        {"id": 1, "failed": "diverged"},
        {"id": 2, "failed": "no disk"},
        {"id": 3, "values": [float("nan"), 1], "violations": [0]},
    ]
    text = "\n\n".join(map(json.dumps, told))
    wrong = cli("tell", database, stdin=text.replace("[1.5, 2]", "[1.5]"))
    one_line(wrong, 2, "id 4: values: expected 2 real number(s), got [1.5]")
    with Study.open(database) as stored:
        assert stored.n_evaluations == 0  # nothing of it was stored
    assert cli("tell", database, stdin=text) == (0, "", "")
    with Study.open(database) as stored:
        history = stored.history()
    assert [record.status for record in history] == ["told", "failed", "failed", "failed", "told"]
    assert [history[i].reason.message for i in (1, 2)] == ["diverged", "no disk"]
    assert (history[4].values, history[4].violations) == ((1.5, 2.0), (-1.0,))
    assert cli("tell", database, 0, 1, 3, "--violations", "0.5").code == 0  # the same again


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (["0"], "", "values: missing for id 0"),
        (["0", "abc"], "", "values: expected a number, got 'abc'"),
        (["0", "1", "2"], "", "values: expected 1 real number(s), got [1.0, 2.0]"),
        (["0", "1", "--failed", "why"], "", "values: expected none for a failed evaluation, got 1"),
        (["0", "1", "--violations", "0"], "", "violations: expected 0 real number(s)"),
        (["x"], "", "Invalid value for 'ID'"),
        (["--failed", "why"], "", "id: missing"),
        ([], '{"id": 0', "line 1 of standard input: not valid JSON"),
        ([], "\n[1]", "line 2 of standard input: expected an object with"),
        ([], '{"id": 0, "value": 1}', "id 0: outcome: unknown key 'value'"),
        ([], '{"id": 0, "values": "1"}', "id 0: values: expected 1 real number(s), got '1'"),
        ([], '{"id": 0, "values": [1], "extras": {"cost": 1}}', "extras: unknown column 'cost'"),
        ([], '{"id": 0, "values": [1]}\n{"id": 0, "values": [1]}', "candidate 0 stands in it twice"),
    ],
)
def test_wrong_tells_are_refused_in_one_line(cli, study, arguments, stdin, message):
    database = study.with_name("hand.db")
    assert cli("ask", database, "--toml", study).code == 0
    one_line(cli("tell", database, *arguments, stdin=stdin), 2, message)
    with Study.open(database) as stored:
        assert stored.n_pending == 1


def test_export_reads_back_exactly(cli, study, tmp_path):
    database = study.with_suffix(".db")
    assert cli("run", study, "-q").code == 0
    assert cli("ask", database).code == 0  # one pending
    with Study.open(database) as stored:
        history = stored.history()
    rows = list(csv.DictReader(io.StringIO(cli("export", database).out)))
    assert len(rows) == len(history) == 13
    for row, record in zip(rows, history, strict=True):
        assert int(row["id"]) == record.id
        assert row["status"] == record.status
        assert float(row["x"]) == record.config["x"]
        assert row["kernel"] == record.config["kernel"]
        assert row["degree"] == str(record.config.get("degree", ""))
        assert (float(row["loss"]) if row["loss"] else None) == (record.values[0] if record.values else None)
    output = tmp_path / "out.json"
    assert cli("export", database, "-o", output) == (0, "", "")
    trees = json.loads(output.read_text())
    assert [tree["config"] for tree in trees] == [record.config for record in history]
    assert [tree["values"] for tree in trees] == [r.values and {"loss": r.values[0]} for r in history]
    assert {tree["reason"] for tree in trees if tree["status"] == "failed"} == {
        "CommandError: command ended with code 1; standard error: too large"
    }
    one_line(cli("export", database, "-o", tmp_path / "none" / "a.csv"), 1, "cannot be written: No such file")
    one_line(cli("export", database, "--format", "xml"), 2, "--format: expected csv or json, got 'xml'")


def test_a_ready_made_problem_needs_no_space(cli, tmp_path):
    path = tmp_path / "ready.toml"
    path.write_text("evaluations = 5\nalgorithm = 'Sobol'\n[problem]\nkind = 'Ackley'\ndim = 3\n")
    assert "parameters   3" in cli("run", path).out
    path.write_text("evaluations = 5\nproblem = {kind = 'Ackley', dims = 3}\n")
    one_line(cli("run", path), 2, "problem.dims: no such key; did you mean 'dim'?")
    path.write_text("evaluations = 5\nproblem = 'Ackly'\n")
    one_line(cli("run", path), 2, "problem.kind: no problem is called 'Ackly'; did you mean 'Ackley'?")
    path.write_text(
        "evaluations = 5\nproblem = {kind = 'Noisy', std = 0.1, seed = 0, problem = {kind = 'Ackley', dmi = 3}}\n"
    )
    one_line(cli("run", path), 2, "problem.problem.dmi: no such key; did you mean 'dim'?")
    path.write_text(path.read_text().replace("dmi", "dim"))
    assert cli("run", path, "-q").err.startswith("note: problem is {'kind': 'Noisy', ")


def test_lists_have_a_line_each(cli):
    listed = cli("algorithms").out
    assert any(line.startswith("Sobol ") and "Sobol sequence" in line for line in listed.splitlines())
    shown = cli("algorithms", "Sobol").out
    assert "scramble: bool = True" in shown
    one_line(cli("algorithms", "sobol"), 2, "algorithm: none is called 'sobol'; did you mean 'Sobol'?")
    problems = cli("problems").out.splitlines()
    assert any(line.startswith("Ackley ") for line in problems)
    for offline in ("OfflineSet", "RNABinding", "TFBind8"):
        assert any(line.startswith(f"{offline} ") for line in problems)
    assert "withheld: float = 0.02" in cli("problems", "OfflineSet").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "none.toml"], "none.toml: cannot be read: No such file or directory"),
        (["show", "none.db"], "none.db: no such study file"),
        (["resume", "none.db"], "none.db: no such study file"),
        (["show"], "Missing argument 'FILE.db'. (see blackbox show --help)"),
        (["shwo"], "No such command 'shwo'"),
        (["run", "study.db"], "study.db: a study file; expected a TOML file (blackbox resume study.db"),
        (["run", "a.toml", "--workers", "0"], "'--workers'"),
        (["plot", "none.db", "convergense"], "did you mean 'convergence'?"),
    ],
)
def test_bad_input_ends_with_2_and_one_line(cli, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.db").write_bytes(b"SQLite format 3\x00\xff")
    one_line(cli(*arguments), 2, message)


def test_files_that_are_no_studies_are_refused_and_left_alone(cli, tmp_path):
    for content in (b"", b"hello", b"SQLite format 3\x00" + bytes(84), bytes(5000)):
        path = tmp_path / "no.db"
        path.write_bytes(content)
        one_line(cli("show", path), 2, str(path))
        assert path.read_bytes() == content
    one_line(cli("show", tmp_path), 2, str(tmp_path))


def test_a_time_limit_ends_a_run_and_its_commands(cli, tmp_path):
    path = tmp_path / "slow.toml"
    path.write_text(TOML.format(more=f"command = ['sh', '-c', 'echo $$ >> {tmp_path}/started; sleep 600']"))
    started = time.monotonic()
    done = cli("run", path, "--seconds", 0.3)
    assert done.code == 0, done.err
    assert time.monotonic() - started < 10
    assert "pending      1" in done.out
    child = int((tmp_path / "started").read_text())
    with contextlib.suppress(ProcessLookupError):  # it is killed, and disappears as soon as it was waited for
        while time.monotonic() - started < 20:
            os.killpg(child, 0)
            time.sleep(0.01)
        pytest.fail("the command is still there")


def test_a_run_needs_a_budget_and_an_objective(cli, tmp_path):
    path = tmp_path / "a.toml"
    path.write_text("objective = 'm:f'\n[space.x]\nlow = 0\nhigh = 1\n")
    one_line(cli("run", path), 2, "evaluations, seconds: missing")
    path.write_text("[space.x]\nlow = 0\nhigh = 1\n")
    one_line(cli("run", path, "-e", 3), 2, "objective: missing")
    assert not (tmp_path / "a.db").exists()


def test_debug_shows_where_an_error_came_from(tmp_path):
    from blackbox.cli import main
    from blackbox.errors import SettingError

    with pytest.raises(SettingError, match="no such study file"):
        main(["show", str(tmp_path / "none.db"), "--debug"])


def test_pictures_are_saved_in_the_format_of_their_name(cli, study, tmp_path):
    assert cli("run", study, "-q").code == 0
    database = study.with_suffix(".db")
    for name, beginning in (("a.png", b"\x89PNG"), ("a.svg", b"<?xml")):
        assert cli("plot", database, "convergence", "-o", tmp_path / name).out == f"{tmp_path / name}\n"
        assert (tmp_path / name).read_bytes().startswith(beginning)
    one_line(cli("plot", database, "convergence", "-o", tmp_path / "a.txt"), 2, "expected a file name ending in .png")
    one_line(cli("plot", database, "convergence", "-o", tmp_path / "none" / "a.png"), 1, "cannot write")
    one_line(cli("plot", database, "front", "-o", tmp_path / "f.png"), 2, "objective")


def test_every_kind_of_picture_is_one_of_the_plot_module():
    from blackbox import plot
    from blackbox.cli.reading import PICTURES

    elsewhere = {"comparison", "stopping"}  # of sweeps (`blackbox sweep --plot`), and of optimizers
    assert set(PICTURES) == {name for name in plot.__all__ if name.islower()} - elsewhere
