"""`blackbox propose`: a table of past experiments in, ranked proposals out."""

from __future__ import annotations

import csv
import random

import pytest

FAST = """
[algorithm]
generations = 5
ensemble = {hidden = [16], epochs = 30, batch_size = 16}
"""


@pytest.fixture
def data(tmp_path):
    """A table of 80 experiments with 2 failed and 1 incomplete; larger x and kind b are better."""
    generator = random.Random(0)
    lines = ["x,kind,n,yield,cost"]
    for row in range(80):
        x, kind, n = round(generator.random(), 3), generator.choice("ab"), generator.randint(1, 9)
        value = "" if row in (3, 5) else x + (kind == "b")
        lines.append(f"{'' if row == 7 else x},{kind},{n},{value},{x * n}")
    path = tmp_path / "data.csv"
    path.write_text("\n".join(lines))
    (tmp_path / "fast.toml").write_text(FAST)
    (tmp_path / "empty.toml").write_text("")
    return path


def evolve(cli, data, *more):
    return cli("propose", data, "-a", "surrogate-evolution", "--toml", data.parent / "fast.toml", *more)


def test_proposals_are_ranked_shown_and_written(cli, data, tmp_path):
    out = tmp_path / "next.csv"
    done = evolve(cli, data, "--maximize", "yield", "--ignore", "cost", "-n", 30, "--out", out)
    assert done.code == 0, done.err
    assert "80 experiments, 3 inputs; 1 left out, because an input is missing; 2 without a value" in done.err
    assert "30 proposals, best first" in done.out
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["rank", "x", "kind", "n", "predicted yield"]
    assert [int(row["rank"]) for row in rows] == list(range(1, 31))
    predicted = [float(row["predicted yield"]) for row in rows]
    assert predicted[0] == max(predicted) > 1.5
    assert rows[0]["kind"] == "b"
    assert float(rows[0]["x"]) > 0.8
    assert len({tuple(row.values())[1:4] for row in rows}) == 30


def test_the_seed_decides_and_the_last_column_is_the_default(cli, data):
    first, again = evolve(cli, data, "-n", 3), evolve(cli, data, "-n", 3)
    assert first.out == again.out
    assert "minimising the last column, 'cost'" in first.err
    assert evolve(cli, data, "-n", 3, "--seed", 1).out != first.out


def test_several_objectives(cli, data):
    done = evolve(cli, data, "-x", "yield", "-o", "cost", "-n", 4)
    assert done.code == 0, done.err
    assert "predicted yield" in done.out
    assert "predicted cost" in done.out


def test_the_default_for_several_objectives_is_pareto_flow(cli, data, tmp_path):
    small = "predictors = {hidden = [8], epochs = 2}\nflow = {hidden = [8], epochs = 2}\n"
    (tmp_path / "flow.toml").write_text(f"[algorithm]\n{small}guidance = {{streams = 8, guided_steps = 2}}\n")
    done = cli("propose", data, "--toml", tmp_path / "flow.toml", "-x", "yield", "-o", "cost", "-n", 4)
    assert done.code == 0, done.err
    assert "4 proposals" in done.out


def test_a_toml_file_widens_ranges(cli, data, tmp_path):
    (tmp_path / "fast.toml").write_text(FAST + "[space.x]\nlow = 0\nhigh = 3\n")
    out = tmp_path / "next.csv"
    assert evolve(cli, data, "-x", "yield", "--ignore", "cost", "-n", 5, "--out", out).code == 0
    with out.open(newline="") as file:
        assert max(float(row["x"]) for row in csv.DictReader(file)) > 1.5


def test_root_by_its_name(cli, data, tmp_path):
    (tmp_path / "fast.toml").write_text("[algorithm]\nepochs = 1\nbridge = {width = 32, depth = 1}\n")
    options = ("--algorithm", "root", "--toml", tmp_path / "fast.toml", "-x", "yield", "--ignore", "cost", "-n", 4)
    done = cli("propose", data, *options)
    assert done.code == 0, done.err
    assert "4 proposals, best first" in done.out


def test_errors_are_one_line_each(cli, data, tmp_path):
    def fails(*parts, options=()):
        done = evolve(cli, data, *options)
        assert done.code == 2
        assert done.err.splitlines()[-1].startswith("error: ")
        for part in parts:
            assert part in done.err

    fails("no column 'yeild'", "did you mean 'yield'?", options=["-x", "yeild"])
    fails("--algorithm: no algorithm is called 'rot'", options=["-a", "rot"])
    fails(
        "does not learn from a table alone",
        "SurrogateEvolution",
        options=["-a", "nsga2", "--toml", tmp_path / "empty.toml"],
    )
    fails("there is no folder", options=["--out", tmp_path / "no" / "out.csv"])
    (tmp_path / "fast.toml").write_text("[algorithm]\ngeneration = 5\n")
    fails("algorithm.generation", "generations")
    (tmp_path / "fast.toml").write_text("[space.x]\nlow = 5\nhigh = 3\n")
    fails("x: ")
    (tmp_path / "fast.toml").write_text("spaces = 3\n")
    fails("spaces")
    (tmp_path / "fast.toml").write_text(FAST)
    data.write_text("")
    fails("the file is empty", options=["-o", "y"])


def test_a_table_in_which_no_input_varies_is_an_error(cli, data):
    data.write_text("x,z,y\n1,2,3\n1,2,4\n")
    done = evolve(cli, data)
    assert done.code == 2
    assert "no input varies; give ranges in a TOML file" in done.err


def test_predictions_of_huge_values_are_finite(cli, data, tmp_path):
    data.write_text("x,y\n" + "\n".join(f"{k},{k % 7}e300" for k in range(20)))
    out = tmp_path / "next.csv"
    assert evolve(cli, data, "-n", 3, "--out", out).code == 0
    with out.open(newline="") as file:
        assert all(abs(float(row["predicted y"])) < 1e302 for row in csv.DictReader(file))


def test_too_few_experiments_are_an_error(cli, data):
    data.write_text("x,z,y\n1,2,3\n4,5,\n")
    done = evolve(cli, data)
    assert done.code == 1
    assert "error: SurrogateEvolution needs at least 2 distinct points" in done.err
