"""The TOML file of a study: what is read, and what is refused with a readable line."""

from __future__ import annotations

from pathlib import Path

import pytest

from blackbox.cli.building import load_function, make_algorithm, make_problem, make_space
from blackbox.cli.settings import nearest, parse_settings, read_settings
from blackbox.errors import SettingError

SPACE = "[space.x]\nlow = 0\nhigh = 1\n"


def parse(text, folder=Path()):
    return parse_settings(text, folder=folder, stem="study", source="study.toml")


def test_every_key_is_read():
    settings = parse(
        """
        name = "beam"
        file = "runs/beam.db"
        objective = "package.module:Class.method"
        takes = "keywords"
        objectives = ["mass", {name = "strength", maximize = true}]
        constraints = 2
        evaluations = 60
        seconds = 90
        workers = 4
        executor = "processes"
        deadline = 1.5
        max_failures_in_a_row = 7
        seed = 3
        device = "cpu"
        space.x = {low = 0, high = 1}
        space.kind = {levels = ["a", "b"]}
        algorithm = "Sobol"
        """,
        Path("here"),
    )
    assert (settings.name, settings.database) == ("beam", Path("here/runs/beam.db"))
    assert (settings.objective, settings.takes) == ("package.module:Class.method", "keywords")
    assert settings.objectives == (("mass", False), ("strength", True))
    assert (settings.constraints, settings.evaluations, settings.seconds) == (2, 60, 90.0)
    assert (settings.workers, settings.executor, settings.deadline) == (4, "processes", 1.5)
    assert (settings.max_failures_in_a_row, settings.seed, settings.device) == (7, 3, "cpu")
    assert list(settings.space) == ["x", "kind"]
    assert settings.algorithm == {"kind": "Sobol"}


def test_defaults_and_the_text_are_kept():
    settings = parse(SPACE)
    assert (settings.name, settings.file, settings.workers) == ("study", "study.db", 1)
    assert settings.text == SPACE
    assert settings.algorithm is None


@pytest.mark.parametrize(
    ("line", "key", "hint"),
    [
        ("evalutions = 3\n", "evalutions", "'evaluations'"),
        ("Workers = 3\n", "Workers", "'workers'"),
        ("xyzzy = 3\n", "xyzzy", "expected one of name, file, space"),
        ("objectives = [{name = 'a', maximise = true}]\n", "objectives.maximise", "'maximize'"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(line, key, hint):
    with pytest.raises(SettingError) as raised:
        parse(line + SPACE)
    assert str(raised.value).startswith(f"study.toml: {key}: no such key")
    assert hint in str(raised.value)


def test_an_unknown_key_of_a_parameter_is_named():
    with pytest.raises(SettingError, match=r"space\.x\.hihg: no such key; did you mean 'high'\?"):
        parse("[space.x]\nlow = 0\nhihg = 1\n")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("workers = 0", "workers: expected an integer >= 1, got 0"),
        ("workers = true", "workers: expected an integer >= 1, got True"),
        ("workers = '2'", "workers: expected an integer >= 1, got '2'"),
        ("seconds = -1", "seconds: expected a number of seconds > 0, got -1"),
        ("deadline = nan", "deadline: expected a number of seconds > 0, got nan"),
        ("objective = 'no colon'", 'objective: expected "module:function"'),
        ("objective = 'module:'", 'objective: expected "module:function"'),
        ("command = []", "command: expected a program"),
        ("command = [1]", "command: expected a program"),
        ("command = 'a \"b'", "command: No closing quotation"),
        ("objectives = []", "objectives: expected at least one"),
        ("objectives = 0", "objectives: expected an integer >= 1"),
        ("objectives = [1]", "objectives: expected a count, names, or tables"),
        ("objectives = {name = 'a', maximize = 1}", "objectives.maximize: expected true or false"),
        ("takes = 'batch'", "takes: expected 'config' or 'keywords'"),
        ("algorithm = 3", "algorithm: expected a table"),
        ("algorithm = {restarts = 1}", "algorithm.kind: expected text, got None"),
        ("objective = 'a:b'\ncommand = 'c'", "objective, command: expected only one"),
        ("problem = 'Branin'", "space: a ready-made problem has its own"),
        ("takes = 'keywords'", "takes: .* there is no objective"),
        ("command = 'c'\nexecutor = 'processes'", "executor: commands are processes already"),
        ("executor = 'threads'\ndeadline = 1", "deadline: a thread cannot be killed"),
        ("workers = ", "not valid TOML"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(line, message):
    with pytest.raises(SettingError, match=f"study.toml: {message}"):
        parse(f"{line}\n{SPACE}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = 1", "space: missing"),
        ("space = 1", "space: expected one table for each parameter"),
        ("[space]\nx = 1", "space.x: expected a table"),
    ],
)
def test_a_missing_or_misshapen_space_is_refused(text, message):
    with pytest.raises(SettingError, match=message):
        parse(text)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("low = 1\nhigh = 0", r"space\.x: expected low <= high"),
        ("low = 0\nhigh = inf", r"space\.x: high: expected a finite number"),
        ("low = 0\nhigh = 1\nlog = true", r"space\.x: a log scale needs bounds > 0"),
        ("low = 0", r"space\.x: high: missing"),
        ("kind = 'reel'\nlow = 0\nhigh = 1", r"space\.x: kind: expected one of real"),
        ("levels = ['a']\nlow = 0", r"space\.x: low: no such key for kind 'categorical'"),
        ("low = 0\nhigh = 1\nwhen = {y = 1}", r"space\.x: .*y"),
        ("low = 0\nhigh = 1\nenvironment = {mean = 1, sd = 2}", r"space\.x: .*sd"),
    ],
)
def test_a_wrong_parameter_is_named(table, message):
    with pytest.raises(SettingError, match=message):
        make_space(parse(f"[space.x]\n{table}\n"))


def test_a_missing_or_binary_file_is_refused(tmp_path):
    with pytest.raises(SettingError, match="cannot be read: No such file"):
        read_settings(tmp_path / "none.toml")
    with pytest.raises(SettingError, match="cannot be read: Is a directory"):
        read_settings(tmp_path)
    (tmp_path / "a.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingError, match="no text in UTF-8"):
        read_settings(tmp_path / "a.toml")


def test_nearest_lists_all_where_nothing_is_near():
    assert nearest("qqq", ["workers", "seed"]) == "; expected one of workers, seed"
    assert (
        nearest("bayesianoptimisation", ["BayesianOptimization", "Sobol"]) == "; did you mean 'BayesianOptimization'?"
    )


def test_algorithm_settings_are_checked():
    problem = make_problem(parse(SPACE), evaluates=False)

    def made(text):
        return make_algorithm(parse(f"{SPACE}[algorithm]\n{text}\n"), problem)

    algorithm, reason = made("kind = 'Sobol'\nscramble = false")
    assert (type(algorithm).__name__, algorithm.scramble) == ("Sobol", False)
    assert "Sobol" in reason
    with pytest.raises(SettingError, match=r"algorithm\.scrambled: no such key; did you mean 'scramble'\?"):
        made("kind = 'Sobol'\nscrambled = false")
    with pytest.raises(SettingError, match=r"algorithm\.scramble: expected true or false, got 'no'"):
        made("kind = 'Sobol'\nscramble = 'no'")
    with pytest.raises(SettingError, match=r"algorithm\.batch_size: expected an integer, got 1.5"):
        made("kind = 'Sobol'\nbatch_size = 1.5")
    with pytest.raises(SettingError, match=r"no algorithm is called 'Sobel'; did you mean 'Sobol'\?"):
        made("kind = 'Sobel'")


def test_without_an_algorithm_one_is_chosen_with_a_reason():
    settings = parse(f"evaluations = 7\n{SPACE}")
    algorithm, reason = make_algorithm(settings, make_problem(settings, evaluates=False))
    assert type(algorithm).__name__ in reason
    assert "7 evaluations" in reason


def test_functions_are_found_beside_the_toml_and_named_when_not(tmp_path):
    (tmp_path / "beside_toml.py").write_text("class A:\n    @staticmethod\n    def go(c):\n        return 1\nB = 2\n")
    (tmp_path / "broken_module.py").write_text("raise RuntimeError('not today')\n")
    (tmp_path / "leaving_module.py").write_text("raise SystemExit(0)\n")
    assert load_function("beside_toml:A.go", tmp_path)({}) == 1
    for address, message in {
        "beside_toml:a": "'beside_toml' has no 'a'; did you mean 'A'",
        "beside_toml:B": "beside_toml:B is no function but 2",
        "no_such_module_at_all:f": "cannot import 'no_such_module_at_all': ModuleNotFoundError",
        "broken_module:f": "cannot import 'broken_module': RuntimeError: not today",
        "leaving_module:f": "cannot import 'leaving_module': SystemExit: 0",
    }.items():
        with pytest.raises(SettingError, match=message):
            load_function(address, tmp_path)


def test_a_run_needs_an_objective_and_an_ask_does_not():
    with pytest.raises(SettingError, match="objective: missing"):
        make_problem(parse(SPACE), evaluates=True)
    problem = make_problem(
        parse(f"objectives = 2\nconstraints = 1\nobjective = 'never_imported:f'\n{SPACE}"), evaluates=False
    )
    assert (len(problem.objectives), problem.n_constraints) == (2, 1)
