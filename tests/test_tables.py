"""Tables of past experiments: what a CSV file suggests, and what is wrong with one."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import blackbox as bb
from blackbox.errors import SettingError
from blackbox.parameters import Categorical, Integer, Ordinal, Real

TEXT = """temperature,minutes,catalyst,yield
20.5,10,A,0.3
35,20,B,0.5
50,30,A,
80,40,,0.9
61,50,B,0.7
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "runs.csv"
    path.write_text(TEXT)
    return path


def test_columns_become_parameters(file: Path) -> None:
    table = bb.read_csv(file, bb.Objective("yield", maximize=True))
    assert table.space.parameters == {
        "temperature": Real(20.5, 80.0),
        "minutes": Integer(10, 50),
        "catalyst": Categorical(("A", "B")),
    }
    assert (table.n_rows, table.n_incomplete, table.n_failed) == (5, 1, 1)
    assert table.batch.configs[0] == {"temperature": 20.5, "minutes": 10, "catalyst": "A"}
    values = table.values[:, 0].tolist()
    assert values[:2] == [0.3, 0.5]
    assert math.isnan(values[2])


def test_it_is_told_as_it_is(file: Path) -> None:
    table = bb.read_csv(file, "yield")
    optimizer = bb.Optimizer(table.space, bb.algorithms.BestOfData(), objectives=table.objectives, seed=0)
    assert optimizer.tell(table.batch, table.values).n_failed == 1
    assert optimizer.ask(1).configs == [{"temperature": 20.5, "minutes": 10, "catalyst": "A"}]


def test_parameters_can_be_given_and_columns_ignored(file: Path) -> None:
    table = bb.read_csv(
        file,
        ["yield"],
        space={"minutes": Ordinal([10, 20, 30, 40, 50]), "temperature": Real(0, 100)},
        ignore=["catalyst"],
    )
    assert table.space.parameters["temperature"] == Real(0, 100)
    assert table.batch.configs[1] == {"temperature": 35, "minutes": 20}
    assert table.n_incomplete == 0
    several = bb.read_csv(file, [bb.Objective("yield", maximize=True), "minutes"])
    assert several.space.names == ["temperature", "catalyst"]
    assert several.values.shape == (4, 2)


@pytest.mark.parametrize(("delimiter", "newline"), [(";", "\n"), ("\t", "\r\n"), (",", "\n")])
def test_delimiters_quotes_and_a_byte_order_mark(tmp_path: Path, delimiter: str, newline: str) -> None:
    rows = [['"a"', "b"], ['"1"', "2"], [" 3 ", "NaN"], ["", ""], ["5", "6"]]
    text = newline.join(delimiter.join(row) for row in rows)
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    table = bb.read_csv(tmp_path / "t.csv", "b")
    assert table.space.parameters == {"a": Integer(1, 5)}
    assert table.n_rows == 3
    assert table.n_failed == 1


def test_a_constant_column_is_held(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b,c,y\n1,x,0.5,1\n2,x,0.5,2\n")
    table = bb.read_csv(tmp_path / "t.csv", "y")
    assert sorted(table.space.fixed_columns) == [1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("a,y\n", "there is a header and no experiment"),
        ("1,2\n3,4\n", "expected the names of the columns in the first line, got '1, 2'"),
        ("0.5,red,2\n0.7,blue,4\n", "expected the names of the columns in the first line"),
        ("a,b\n1,2\n", r"there is no column 'y'; it has 'a', 'b'"),
        ("a,Y\n1,2\n", r"there is no column 'y'; it has 'a', 'Y'"),
        ("a,a,y\n1,2,3\n", "expected distinct names in the header, got 'a' in column 2"),
        ("a,,y\n1,2,3\n", "expected distinct names in the header, got '' in column 2"),
        ("a,y\n1,2\n3\n", "line 3: expected 2 cells, got 1"),
        ("a,y\n1,2\n3,good\n", r"objective 'y': line 3: expected a number, or an empty cell .* got 'good'"),
        ("a,y\n1,2\n3,4\nx,5\n", r"column 'a': line 4: expected a number as in the other rows, got 'x'"),
        ("a,y\n,2\n,4\n", "column 'a' is empty; ignore it"),
        ("y\n1\n2\n", "there is no column besides the objectives"),
        ("a,b,y\n1,,2\n,3,4\n", "every row has an empty input"),
        ("a,y\n" + "".join(f"name{i},{i}\n" for i in range(60)), "60 different texts in 60 rows, so it is no category"),
        ('a,y\n"1,2\n', "no CSV file"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(SettingError, match=message):
        bb.read_csv(tmp_path / "t.csv", "y")


def test_what_does_not_fit_given_parameters_is_named(file: Path) -> None:
    with pytest.raises(SettingError, match=r"line 6: minutes: expected a value in \[0, 40\], got 50"):
        bb.read_csv(file, "yield", space={"minutes": Integer(0, 40)})
    with pytest.raises(SettingError, match=r"line 3: catalyst: expected one of 'A', got 'B'"):
        bb.read_csv(file, "yield", space={"catalyst": Categorical(["A"])})
    with pytest.raises(SettingError, match=r"there is no column 'minuts'.*did you mean 'minutes'"):
        bb.read_csv(file, "yield", ignore=["minuts"])
    with pytest.raises(SettingError, match="'yield' is an objective"):
        bb.read_csv(file, "yield", ignore=["yield"])
    with pytest.raises(SettingError, match="cannot be read"):
        bb.read_csv(file.parent / "no.csv", "yield")
    (file.parent / "binary.csv").write_bytes(b"\xff\xfe\x00a,b")
    with pytest.raises(SettingError, match="no CSV file"):
        bb.read_csv(file.parent / "binary.csv", "yield")


def test_a_condition_allows_an_empty_cell(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("kernel,degree,y\nrbf,,1\npoly,3,2\n")
    given = {"degree": Integer(2, 5, when={"kernel": "poly"})}
    table = bb.read_csv(tmp_path / "t.csv", "y", space=given)
    assert table.batch.configs == [{"kernel": "rbf"}, {"kernel": "poly", "degree": 3}]
