"""Sweeps: each run equals the run alone, a killed sweep goes on, and the table says what the numbers say."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import blackbox as bb
from blackbox import _sweep_parts, _sweep_runs, _sweep_work, plot
from blackbox._sweep_metrics import holm, paired_p_value
from blackbox._sweep_plan import describe
from blackbox.algorithms import DE, GA, MOEAD, NSGA2, NSGA3, RVEA, HypE, RandomSearch, Sobol
from blackbox.candidates import Evaluation
from blackbox.errors import CapabilityError, SettingError, StorageError
from blackbox.problems import C2DTLZ2, DTLZ2, DTLZ4, ZDT1, Branin, Noisy, Rastrigin, Sphere

ROOT = Path(__file__).parent.parent


class Mixed(bb.Problem):
    """Mixed, conditional, one column fixed, one objective maximised, a constraint, and evaluations that fail."""

    def __init__(self, n_objectives: int = 2, failing: float = 0.2) -> None:
        space = bb.Space(
            {
                "kind": bb.Categorical(["a", "b", "c"]),
                "rate": bb.Real(1e-3, 1.0, log=True),
                "depth": bb.Integer(1, 9),
                "extra": bb.Real(0.0, 1.0, when={"kind": "b"}),
                "constant": bb.Real(2.0, 2.0),
            }
        )
        objectives = [bb.Objective("gain", maximize=True), bb.Objective("cost")][:n_objectives]
        super().__init__(space, objectives=objectives, n_constraints=1)
        self.failing = failing

    def evaluate(self, x: Tensor) -> Evaluation:
        rate, depth, extra = x[:, 1], x[:, 2], x[:, 3].nan_to_num(nan=0.5)
        gain = (1 - (rate - 0.3).abs()) * depth + 0.1 * x[:, 0] - extra * extra
        cost = depth * depth + 10 * rate * x[:, 4]
        values = torch.stack([gain, cost], dim=1)[:, : len(self.objectives)]
        broken = rate * 7 % 1 < self.failing
        return Evaluation(values.masked_fill(broken[:, None], math.nan), (depth + rate - 7.5)[:, None])


class Uneven(bb.Problem):
    """Adds a trifle that depends on how many rows are evaluated together."""

    def __init__(self) -> None:
        super().__init__(bb.Space.box([0.0] * 3, [1.0] * 3), objectives=1)

    def evaluate(self, x: Tensor) -> Tensor:
        return x.square().sum(1) + len(x) * 1e-12


class Breaking(bb.Problem):
    """Raises for one seed's first points only."""

    def __init__(self, limit: float) -> None:
        super().__init__(bb.Space.box([0.0] * 2, [1.0] * 2), objectives=1)
        self.limit = limit

    def evaluate(self, x: Tensor) -> Tensor:
        if float(x[0, 0]) > self.limit:
            raise RuntimeError("the reactor is on fire")
        return x.sum(1)


def alone(algorithm: Any, problem: bb.Problem, seed: int, evaluations: int) -> bb.Result:
    optimizer = bb.Optimizer(problem, algorithm, seed=seed, budget=evaluations)
    while optimizer.n_evaluations < evaluations:
        batch = optimizer.ask(evaluations - optimizer.n_evaluations)
        optimizer.tell(batch, problem(batch.x))
    return optimizer.result()


CASES = [
    (NSGA2(21), DTLZ2(7, 3)),
    (NSGA3(20), C2DTLZ2()),
    (NSGA3(24), Mixed()),
    (MOEAD(20), Mixed()),
    (MOEAD(15), DTLZ4()),
    (HypE(12), ZDT1()),
    (RVEA(20), DTLZ2(7, 3)),
    (GA(20), Mixed(1)),
    (GA(9), Rastrigin(4)),
    (NSGA2(9), Mixed(1)),
    (NSGA2(11), Rastrigin(4)),  # 187 is a whole number of generations
    (DE(10), Mixed(1)),
]


@pytest.mark.parametrize(("algorithm", "problem"), CASES, ids=lambda case: type(case).__name__)
def test_a_batched_run_is_the_run_alone_bit_for_bit(algorithm: Any, problem: bb.Problem) -> None:
    seeds = (0, 5, 2**40, 3)
    result = bb.sweep(algorithm, problem, seeds=seeds, evaluations=187, workers=1)
    assert [run.seed for run in result.runs] == list(seeds)
    for run in result.runs:
        assert run.batched
        other = alone(algorithm, problem, run.seed, 187)
        assert torch.equal(run.values, other.values)
        assert (run.n_evaluations, run.n_failed) == (other.n_evaluations, other.n_failed)
    assert len({run.values.numpy().tobytes() for run in result.runs}) == 4


def test_runs_in_which_everything_fails_at_first_are_those_alone() -> None:
    problem = Mixed(failing=0.9)
    result = bb.sweep(NSGA2(2), problem, seeds=8, evaluations=30, workers=1)
    for run in result.runs:
        assert torch.equal(run.values, alone(NSGA2(2), problem, run.seed, 30).values)


def test_settings_that_are_numbers_share_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    original = _sweep_runs.BatchRun.run

    def counting(self: Any, after: Any) -> Any:
        made.append(self._runs)
        return original(self, after)

    monkeypatch.setattr(_sweep_runs.BatchRun, "run", counting)
    algorithms = [
        NSGA2(20, crossover_eta=eta, mutation_eta=mutation, crossover_probability=chance)
        for eta in (7.0, 15)
        for mutation in (20, 33.3)
        for chance in (0.5, 0.9)
    ]
    result = bb.sweep(algorithms, ZDT1(), seeds=3, generations=8, workers=1)
    assert made == [24]
    for name, algorithm in zip(result.algorithms, algorithms, strict=True):
        for run in result.runs_of(name, "ZDT1"):
            assert torch.equal(run.values, alone(algorithm, ZDT1(), run.seed, 160).values)


@pytest.mark.parametrize(
    ("kind", "m", "early", "late"), [(NSGA3, 3, 0.85, 0.4), (NSGA3, 4, 0.85, 0.3), (MOEAD, 4, 0.3, 0.3)]
)
def test_the_default_crossing_is_that_of_the_objectives_and_the_age(
    kind: Any, m: int, early: float, late: float
) -> None:
    problem = DTLZ2(m + 3, m)
    algorithms = {
        "default": kind(4),
        "early": kind(4, crossover_probability=early),
        "late": kind(4, crossover_probability=late),
        "other": kind(4, crossover_probability=0.9),
    }
    for generations in (50, 52):
        result = bb.sweep(algorithms, problem, seeds=2, generations=generations, workers=1)
        for run in result.runs:
            expected = alone(algorithms[run.algorithm], problem, run.seed, 4 * generations)
            assert torch.equal(run.values, expected.values)
        found = {name: [run.values for run in result.runs_of(name, "DTLZ2")] for name in algorithms}
        is_same = {name: all(map(torch.equal, found["default"], values)) for name, values in found.items()}
        assert not is_same["other"]
        assert is_same["late"] == (early == late)
        assert is_same["early"] == (early == late or generations == 50)


@pytest.mark.parametrize("problem", [Uneven(), Noisy(Rastrigin(3), 0.1, seed=4)], ids=["uneven", "noisy"])
def test_problems_that_are_not_row_by_row_are_evaluated_apart(problem: bb.Problem) -> None:
    import copy

    result = bb.sweep(GA(10), problem, seeds=3, evaluations=50, workers=1)
    for run in result.runs:
        assert torch.equal(run.values, alone(GA(10), copy.deepcopy(problem), run.seed, 50).values)


def test_without_batches_the_numbers_are_the_same() -> None:
    one = bb.sweep(NSGA3(20), DTLZ2(), seeds=3, generations=5)
    two = bb.sweep(NSGA3(20), DTLZ2(), seeds=3, generations=5, batched=False, workers=1)
    assert [run.batched for run in one.runs + two.runs] == [True] * 3 + [False] * 3
    assert all(torch.equal(a.values, b.values) for a, b in zip(one.runs, two.runs, strict=True))


def test_everything_else_runs_in_processes() -> None:
    algorithms: list[Any] = [RandomSearch(), Sobol()]
    here = bb.sweep(algorithms, Branin(), seeds=2, evaluations=30, workers=1)
    there = bb.sweep(algorithms, Branin(), seeds=2, evaluations=30, workers=2)
    assert [run.n_evaluations for run in there.runs] == [30] * 4
    for run, other in zip(here.runs, there.runs, strict=True):
        assert torch.equal(run.values, other.values)
        expected = alone(RandomSearch() if run.algorithm == "RandomSearch" else Sobol(), Branin(), run.seed, 30)
        assert torch.equal(run.values, expected.values)


def test_a_failing_run_is_reported_and_the_others_go_on(tmp_path: Path) -> None:
    file = tmp_path / "sweep.db"
    firsts = [float(bb.Optimizer(Breaking(2.0), GA(6), seed=s).ask().x[0, 0]) for s in range(4)]
    limit = sorted(firsts)[-2] + 1e-9
    result = bb.sweep(GA(6), Breaking(limit), seeds=4, generations=1, workers=1, file=file)
    broken = firsts.index(max(firsts))
    assert [run.seed for run in result.runs] == [s for s in range(4) if s != broken]
    assert list(result.failures) == [("GA", "Breaking", broken)]
    assert "RuntimeError: the reactor is on fire" in result.failures["GA", "Breaking", broken]
    assert "on fire" in str(result)
    assert "1 failed" in repr(result)


# -- going on ----------------------------------------------------------------------------------------------------


class Counting(bb.Problem):
    """Notes every evaluated row in a file, and stops the process where it is told to."""

    def __init__(self, log: str, stop_after: float = math.inf) -> None:
        super().__init__(bb.Space.box([0.0] * 4, [1.0] * 4), objectives=2)
        self.name = "Counting"
        self._log = _Log(log, stop_after)

    def evaluate(self, x: Tensor) -> Tensor:
        self._log.add(len(x))
        return torch.stack([x[:, 0], 1 - x[:, 0] + x[:, 1:].sum(1)], dim=1)


class _Log:
    """Has no attributes that a sweep could see."""

    __slots__ = ("path", "stop_after")

    def __init__(self, path: str, stop_after: float) -> None:
        self.path, self.stop_after = path, stop_after

    def __deepcopy__(self, memo: Any) -> _Log:
        return self

    def add(self, n: int) -> None:
        with open(self.path, "a") as file:
            file.write(f"{n}\n")
        if self.rows() > self.stop_after:
            raise KeyboardInterrupt

    def rows(self) -> int:
        return sum(int(line) for line in Path(self.path).read_text().split())


def test_a_finished_sweep_is_not_run_again_and_grows(tmp_path: Path) -> None:
    log, file = str(tmp_path / "log"), tmp_path / "sweep.db"
    settings: dict[str, Any] = {"generations": 4, "file": file, "workers": 1}
    first = bb.sweep(NSGA2(10), Counting(log), seeds=3, **settings)
    spent = Counting(log)._log.rows()
    again = bb.sweep(NSGA2(10), Counting(log), seeds=3, **settings)
    assert Counting(log)._log.rows() == spent
    assert all(torch.equal(a.values, b.values) for a, b in zip(first.runs, again.runs, strict=True))
    more = bb.sweep([NSGA2(10), RandomSearch()], Counting(log), seeds=5, **settings)
    assert len(more.runs) == 10
    assert all(torch.equal(a.values, b.values) for a, b in zip(first.runs, more.runs[:3], strict=True))
    other = bb.sweep(NSGA2(10, mutation_eta=5), Counting(log), seeds=3, **settings)
    assert not torch.equal(other.runs[0].values, first.runs[0].values)


def test_an_interrupted_program_goes_on_from_its_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sweep_work, "_CHECKPOINT_EVERY", 0.0)
    settings: dict[str, Any] = {"seeds": 3, "generations": 20, "workers": 1}
    whole_log, log = str(tmp_path / "whole"), str(tmp_path / "log")
    whole = bb.sweep(NSGA3(10), Counting(whole_log), **settings)
    with pytest.raises(KeyboardInterrupt):
        bb.sweep(NSGA3(10), Counting(log, stop_after=400), file=tmp_path / "sweep.db", **settings)
    before = Counting(log)._log.rows()
    result = bb.sweep(NSGA3(10), Counting(log), file=tmp_path / "sweep.db", **settings)
    spent = Counting(log)._log.rows() - before
    assert all(torch.equal(a.values, b.values) for a, b in zip(whole.runs, result.runs, strict=True))
    assert spent < Counting(whole_log)._log.rows() - before + 100
    with sqlite3.connect(tmp_path / "sweep.db") as connection:
        assert connection.execute("SELECT count(*) FROM checkpoints").fetchone() == (0,)


SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
from test_sweep import everything
everything(sys.argv[1]).to_json(sys.argv[2])
"""


def everything(file: str | None) -> bb.SweepResult:
    algorithms: dict[str, Any] = {f"NSGA2 {n}": NSGA2(n) for n in (10, 12, 14, 16, 18, 20)}
    return bb.sweep({**algorithms, "random": Sobol()}, ZDT1(), seeds=4, generations=40, workers=1, file=file)


def test_a_killed_sweep_goes_on(tmp_path: Path) -> None:
    script, file = tmp_path / "script.py", tmp_path / "sweep.db"
    script.write_text(SCRIPT.format(folder=str(Path(__file__).parent)))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, str(script), str(file), str(tmp_path / "out.json")], env=environment)

    def stored() -> int:
        try:
            with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
                return int(connection.execute("SELECT count(*) FROM runs").fetchone()[0])
        except sqlite3.Error:
            return 0

    process = start()
    end = time.monotonic() + 50
    while stored() < 4 and time.monotonic() < end and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert 4 <= stored() < 28
    assert start().wait() == 0
    assert stored() == 28
    everything(None).to_json(tmp_path / "straight.json")

    def numbers(name: str) -> Any:
        tree = json.loads((tmp_path / name).read_text())
        assert not tree["failures"]
        return tree["cells"], [(run["algorithm"], run["seed"], run["value"]) for run in tree["runs"]]

    assert numbers("out.json") == numbers("straight.json")


def test_files_that_are_no_sweep_or_damaged_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("hello, this is no database")
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE runs(key TEXT)")
    for path in (text, foreign, tmp_path / "missing" / "folder.db"):
        before = path.read_bytes() if path.exists() else b""
        with pytest.raises(StorageError, match=path.name):
            bb.sweep(GA(4), Sphere(dim=2), seeds=2, generations=2, file=path)
        assert not before or path == foreign or path.read_bytes() == before
    good = tmp_path / "good.db"
    bb.sweep(GA(4), Sphere(dim=2), seeds=2, generations=2, file=good)
    with sqlite3.connect(good) as connection:
        connection.execute("UPDATE runs SET vals = zeroblob(8) WHERE seed = 1")
    with pytest.raises(StorageError, match=r"GA on Sphere with seed 1 is damaged"):
        bb.sweep(GA(4), Sphere(dim=2), seeds=2, generations=2, file=good)


def test_what_a_run_is_known_by_differs_between_different_things() -> None:
    def make(factor: float) -> Any:
        return bb.Problem.from_function(lambda c: factor * c["x"], {"x": bb.Real(0, 1)})

    problems = [DTLZ2(), DTLZ2(13), DTLZ2(12, 4), DTLZ4(), DTLZ4(alpha=10), make(1.0), make(2.0), Mixed(), Mixed(1)]
    problems += [Noisy(Sphere(dim=2), 0.1, seed=s) for s in (0, 1)]
    texts = [json.dumps(describe(problem)) for problem in problems]
    assert len(set(texts)) == len(texts)
    assert json.dumps(describe(make(1.0))) == texts[5]
    assert " at 0x" not in "".join(texts)


# -- the table ---------------------------------------------------------------------------------------------------


def test_the_table_says_what_the_numbers_say() -> None:
    from scipy.stats import wilcoxon

    names: dict[str, Any] = {"good": GA(10), "random": RandomSearch(), "sobol": Sobol()}
    result = bb.sweep(names, Rastrigin(3), seeds=10, evaluations=80, workers=1)
    numbers = {name: [float(run.values) for run in result.runs_of(name, "Rastrigin")] for name in names}
    cells = {cell.algorithm: cell for cell in result.cells()}
    assert [c.algorithm for c in cells.values() if c.verdict == "best"] == [
        min(numbers, key=lambda n: np.median(numbers[n]))
    ]
    raw = {name: wilcoxon(numbers[name], numbers["good"]).pvalue for name in ("random", "sobol")}
    small, large = sorted(raw, key=lambda name: raw[name])
    assert cells["good"].verdict == "best"
    assert cells["good"].p is None
    assert cells[small].p == pytest.approx(2 * raw[small])
    assert cells[large].p == pytest.approx(max(2 * raw[small], raw[large]))
    for name, cell in cells.items():
        assert [cell.lower, cell.median, cell.upper] == pytest.approx(np.percentile(numbers[name], [25, 50, 75]))
        assert (cell.n, cell.metric) == (10, "best")
        assert cell.verdict == ("best" if cell.p is None else "worse" if cell.p < 0.05 else "equal")
    text = str(result)
    assert "Rastrigin" in text
    assert text.splitlines()[1].split()[-1] == "best"


def test_metrics_are_those_of_the_library_in_the_directions_of_the_problem() -> None:
    from blackbox.metrics import hypervolume, igd

    result = bb.sweep([NSGA2(10), NSGA3(10)], DTLZ2(5, 2), seeds=2, generations=3)
    run, problem = result.runs[0], DTLZ2(5, 2)
    assert result.measured("NSGA2", "DTLZ2")[0] == igd(run.values, problem.pareto_front(1000))
    reference = problem.reference_point
    assert reference is not None
    assert result.measured("NSGA2", "DTLZ2", "hypervolume")[0] == hypervolume(run.values, reference)
    assert {cell.metric for cell in result.cells("hypervolume")} == {"hypervolume"}
    mixed = bb.sweep([NSGA2(10), RandomSearch()], Mixed(), seeds=3, generations=20, workers=1)
    cells = {cell.algorithm: cell for cell in mixed.cells()}
    assert {cell.metric for cell in cells.values()} == {"hypervolume"}
    assert cells["NSGA2"].median > cells["RandomSearch"].median
    assert cells["NSGA2"].verdict == "best"
    single = bb.sweep([GA(10), RandomSearch()], Mixed(1), seeds=3, evaluations=60, workers=1)
    assert single.measured("GA", "Mixed")[0] == float(single.runs[0].values.max())
    best = max(cell.median for cell in single.cells())
    assert [cell.median for cell in single.cells() if cell.verdict == "best"] == [best]


def test_p_values() -> None:
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([]) == []
    assert paired_p_value([1.0] * 9, [1.0] * 9) == 1.0
    assert paired_p_value([math.inf] * 9, [math.inf] * 9) == 1.0
    better = [float(i) for i in range(9)]
    assert paired_p_value([math.inf] * 9, better) < 0.01
    assert paired_p_value([v + 1 + v / 100 for v in better], better) < 0.01
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=31), rng.normal(size=31)
    from scipy.stats import wilcoxon

    assert paired_p_value(list(one), list(two)) == pytest.approx(wilcoxon(one, two).pvalue)


class Hopeless(bb.Problem):
    def __init__(self) -> None:
        super().__init__(bb.Space.box([0.0], [1.0]), objectives=1, n_constraints=1)

    def evaluate(self, x: Tensor) -> Evaluation:
        return Evaluation(x, torch.where(x < 0.999, 1.0, 0.0))


def test_runs_that_found_nothing_count_as_the_worst(tmp_path: Path) -> None:
    result = bb.sweep([GA(4), NSGA2(4)], Hopeless(), seeds=3, generations=2, workers=1)
    assert all(math.isinf(value) for value in result.measured("GA", "Hopeless").values())
    assert {cell.median for cell in result.cells()} == {math.inf}
    result.to_json(tmp_path / "x.json")
    assert json.loads((tmp_path / "x.json").read_text())["cells"][0]["median"] is None
    assert len(plot.comparison(result, path=tmp_path / "x.png")) == 1


def test_exports_are_whole(tmp_path: Path) -> None:
    result = bb.sweep([NSGA2(10), NSGA3(10)], [ZDT1(), DTLZ2()], seeds=2, generations=2)
    result.to_csv(tmp_path / "cells.csv")
    result.to_csv(tmp_path / "runs.csv", rows="runs")
    with (tmp_path / "cells.csv").open() as file:
        cells = list(csv.DictReader(file))
    assert [(row["problem"], row["algorithm"]) for row in cells] == [
        ("ZDT1", "NSGA2"), ("ZDT1", "NSGA3"), ("DTLZ2", "NSGA2"), ("DTLZ2", "NSGA3"),
    ]  # fmt: skip
    assert [float(row["median"]) for row in cells] == [cell.median for cell in result.cells()]
    with (tmp_path / "runs.csv").open() as file:
        runs = list(csv.DictReader(file))
    assert [float(row["value"]) for row in runs[:2]] == list(result.measured("NSGA2", "ZDT1").values())
    with pytest.raises(StorageError, match="nowhere"):
        result.to_csv(tmp_path / "nowhere" / "x.csv")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cells.csv", "runs.csv"]


def test_the_picture_shows_every_run(tmp_path: Path) -> None:
    result = bb.sweep([NSGA2(10), NSGA3(10)], [ZDT1(), DTLZ2()], seeds=5, generations=2)
    axes = plot.comparison(result, path=tmp_path / "x.svg", title="two")
    assert [ax.get_title(loc="left") for ax in axes] == ["ZDT1", "DTLZ2"]
    for ax, problem in zip(axes, result.problems, strict=True):
        shown = [np.asarray(dots.get_offsets())[:, 0].tolist() for dots in ax.collections]
        assert shown == [list(result.measured(name, problem).values()) for name in result.algorithms]
    assert (tmp_path / "x.svg").stat().st_size > 1000
    with pytest.raises(SettingError, match=r"problems: .*'ZDT9'"):
        plot.comparison(result, problems=["ZDT9"])


# -- wrong input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"algorithms": []}, "algorithms: expected at least one"),
        ({"algorithms": GA}, "algorithms: .*did you mean GA"),
        ({"algorithms": [GA(4), GA(4)]}, "algorithms: GA stands in it twice"),
        ({"algorithms": {1: GA(4)}}, "algorithms: expected names"),
        ({"problems": "Sphere"}, "problems: expected problems, got"),
        ({"problems": {}}, "problems: expected at least one"),
        ({"problems": [Sphere(dim=2), Sphere(dim=2)]}, "problems: Sphere d=2 m=1 stands in it twice"),
        ({"problems": bb.Problem(bb.Space.box([0], [1]))}, "problems: Problem has only a space"),
        ({"seeds": []}, "seeds: expected at least one"),
        ({"seeds": [1, 1]}, "seeds: 1 stands in it twice"),
        ({"seeds": [-1]}, "seeds: .*-1"),
        ({"seeds": "abc"}, "seeds: expected integers"),
        ({"generations": None}, "evaluations, generations: expected exactly one"),
        ({"evaluations": 10}, "evaluations, generations: expected exactly one"),
        ({"generations": 0}, "generations: expected an integer >= 1, got 0"),
        ({"metric": "speed"}, "metric: expected one of"),
        ({"workers": 0}, "workers: expected an integer >= 1"),
        ({"device": "toaster"}, "device: expected one that torch can use, got 'toaster'"),
    ],
)
def test_wrong_input_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    settings: dict[str, Any] = {"algorithms": GA(4), "problems": Sphere(dim=2), "seeds": 2, "generations": 2}
    settings.update(change)
    with pytest.raises(SettingError, match=message):
        bb.sweep(settings.pop("algorithms"), settings.pop("problems"), **settings)


def test_algorithms_that_cannot_serve_and_metrics_that_do_not_fit_are_refused() -> None:
    with pytest.raises(CapabilityError, match="algorithms: GA on ZDT1: GA cannot serve"):
        bb.sweep(GA(4), ZDT1(), seeds=2, generations=2)
    result = bb.sweep(GA(4), Sphere(dim=2), seeds=2, generations=2)
    with pytest.raises(SettingError, match="metric: Sphere has one objective"):
        result.cells("igd")
    with pytest.raises(SettingError, match="algorithm: expected one of"):
        result.runs_of("NSGA2", "Sphere")
    mixed = bb.sweep(NSGA2(4), Mixed(), seeds=2, generations=2)
    with pytest.raises(SettingError, match="metric: the Pareto front of Mixed is not known"):
        mixed.cells("igd")


def test_names_tell_settings_and_sizes_apart() -> None:
    result = bb.sweep([NSGA2(4), NSGA2(6), NSGA3(4)], [ZDT1(5), ZDT1(6)], seeds=2, generations=1)
    assert result.algorithms == ["NSGA2 population_size=4", "NSGA2 population_size=6", "NSGA3"]
    assert result.problems == ["ZDT1 d=5 m=2", "ZDT1 d=6 m=2"]


# -- the command ---------------------------------------------------------------------------------------------------

TOML = """
seeds = 3
generations = 3
workers = 1
[algorithms.NSGA2]
population_size = 10
grid = {crossover_eta = [5, 15.0]}
[algorithms.rs]
kind = "RandomSearch"
[problems.DTLZ2]
dim = 6
[problems.own]
objective = "mine:f"
objectives = 2
[problems.own.space.x]
low = 0.0
high = 1.0
"""


def command(*arguments: str) -> int:
    from blackbox.cli import main

    with pytest.raises(SystemExit) as ended:
        main(["sweep", *arguments])
    return int(ended.value.code or 0)


def test_the_command_runs_a_file_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "sweep.toml").write_text(TOML)
    (tmp_path / "mine.py").write_text("def f(config):\n    return [config['x'], 1 - config['x'] ** 2]\n")
    wanted = {name: str(tmp_path / name) for name in ("a.csv", "a.json", "a.png", "r.csv")}
    options = [
        "--csv",
        wanted["a.csv"],
        "--json",
        wanted["a.json"],
        "--plot",
        wanted["a.png"],
        "--runs",
        wanted["r.csv"],
    ]
    assert command(str(tmp_path / "sweep.toml"), *options) == 0
    out = capsys.readouterr().out
    assert "NSGA2 crossover_eta=5" in out
    assert "NSGA2 crossover_eta=15.0" in out
    assert (tmp_path / "sweep.db").exists()
    assert all(Path(path).stat().st_size for path in wanted.values())
    assert len((tmp_path / "r.csv").read_text().splitlines()) == 1 + 3 * 2 * 3
    (tmp_path / "mine.py").write_text("def f(config):\n    raise RuntimeError('not again')\n")
    assert command(str(tmp_path / "sweep.toml"), "--metric", "hypervolume") == 0
    assert "hypervolume" in capsys.readouterr().out


def test_the_example_is_a_sweep() -> None:
    from blackbox.cli._sweep_file import read_sweep

    settings = read_sweep(ROOT / "examples" / "sweep.toml")
    assert settings.file == ROOT / "runs" / "sweep.db"
    assert (settings.seeds, dict(settings.options)) == (11, {"evaluations": 2000})
    result = bb.sweep(settings.algorithms, settings.problems, seeds=2, evaluations=100)
    assert result.algorithms == ["NSGA2", "NSGA3 crossover_eta=5.0", "NSGA3 crossover_eta=30.0"]
    assert len(result.cells()) == 6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sedes = 3", "sedes: no such key; did you mean 'seeds'?"),
        ("seeds = 3", "algorithms: expected tables"),
        ('algorithms = ["NSGA2"]', "problems: expected tables"),
        ('algorithms = ["NSGA7"]\nproblems = ["ZDT1"]', "no algorithm is called 'NSGA7'; did you mean"),
        ('algorithms = ["NSGA2"]\nproblems = ["ZDT1"]', "evaluations, generations: expected exactly one"),
        ("[algorithms.NSGA2]\npopulation = 3\n[problems.ZDT1]", "algorithms.NSGA2.population: no such key"),
        ("[algorithms.NSGA2.grid]\ncrossover_eta = 3\n[problems.ZDT1]", "algorithms.NSGA2.grid: expected settings"),
        ('algorithms = ["NSGA2"]\n[problems.ZDT1]\ndimension = 3', "problems.ZDT1.dimension: no such key"),
        ("seeds = ", "not valid TOML"),
    ],
)
def test_the_command_names_what_is_wrong(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sweep.toml").write_text(text)
    assert command(str(tmp_path / "sweep.toml")) == 2
    assert message in capsys.readouterr().err


def test_global_generators_are_untouched() -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002
    bb.sweep([NSGA2(10), RandomSearch()], ZDT1(), seeds=2, generations=3, workers=1)
    after = torch.get_rng_state(), np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert before[1] == after[1]


def test_what_shares_a_program() -> None:
    from blackbox._sweep_plan import make_tasks, parse_budget

    by_rows = bb.Problem.from_function(lambda c: c["x"], {"x": bb.Real(0, 1)}, name="by rows")
    algorithms: dict[str, Any] = {
        "small": NSGA2(100),
        "smaller": NSGA2(100, crossover_eta=3),
        "other": NSGA2(100, mutation_probability=0.5),
        "large": NSGA2(2000),
        "steady": NSGA2(100, steady_state=True),
        "random": RandomSearch(),
    }
    problems = {"zdt": ZDT1(), "rows": by_rows}
    budget = parse_budget(None, 3)

    def shapes(dtype: torch.dtype | None, seeds: range) -> tuple[list[list[str]], set[tuple[str, str]]]:
        tasks = make_tasks(algorithms, problems, seeds, budget, torch.device("cpu"), dtype)
        groups, single = _sweep_work._grouped(_sweep_parts.Setting(algorithms, problems, budget, "cpu", dtype), tasks)
        assert sorted(t.key for g in [*groups, single] for t in g) == sorted(t.key for t in tasks)
        return [[task.algorithm for task in group] for group in groups], {(t.algorithm, t.problem) for t in single}

    alone = {(name, "rows") for name in algorithms} | {(name, "zdt") for name in ("large", "steady", "random")}
    assert shapes(None, range(3)) == ([["small"] * 3 + ["smaller"] * 3, ["other"] * 3], alone)
    assert shapes(torch.float32, range(3))[0] == [["small"] * 3, ["smaller"] * 3, ["other"] * 3]
    assert [len(group) for group in shapes(None, range(50))[0]] == [81, 19, 50]


def test_progress_is_shown_on_a_terminal_only(capfd: pytest.CaptureFixture[str]) -> None:
    import pty

    bb.sweep(GA(4), Sphere(dim=2), seeds=2, generations=2)
    assert capfd.readouterr().err == ""
    code = (
        "import blackbox as bb\nfrom blackbox.algorithms import GA\nfrom blackbox.problems import Sphere\n"
        "bb.sweep(GA(4), Sphere(dim=2), seeds=2, generations=2)\n"
    )
    parent, child = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen([sys.executable, "-c", code], stderr=child, env=environment)
    os.close(child)
    shown = b""
    try:
        while chunk := os.read(parent, 4096):
            shown += chunk
    except OSError:  # the other end was closed
        pass
    os.close(parent)
    assert process.wait() == 0
    assert b"2/2 runs" in shown
