"""Programs of a sweep on several cores: each run stays what it is alone, and no process is left behind."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch

import blackbox as bb
from blackbox import _sweep_parts, _sweep_team
from blackbox._sweep_file import SweepFile
from blackbox._sweep_parts import Part, Setting, run_part
from blackbox._sweep_plan import make_tasks, parse_budget
from blackbox._sweep_team import resumed
from blackbox.algorithms import GA, MOEAD, NSGA3
from blackbox.errors import StateError
from blackbox.problems import DTLZ2, Rastrigin

ROOT = Path(__file__).parent.parent


def whole_part(algorithm: Any, problem: bb.Problem, seeds: range) -> tuple[Setting, Part]:
    algorithms, problems, budget = {"it": algorithm}, {"there": problem}, parse_budget(None, 12)
    tasks = make_tasks(algorithms, problems, seeds, budget, torch.device("cpu"), None)
    return Setting(algorithms, problems, budget, "cpu", None), Part(tuple(tasks))


def finished(setting: Setting, part: Part, stop_at: int | None = None) -> Any:
    runs, state = run_part(setting, part, lambda batch: batch.generation == stop_at)
    return state if runs is None else [run.values for run in runs]


@pytest.mark.parametrize(("algorithm", "problem"), [(NSGA3(12), DTLZ2()), (MOEAD(12), DTLZ2()), (GA(12), Rastrigin(3))])
def test_a_part_that_is_cut_under_way_gives_every_run_what_it_had(algorithm: Any, problem: bb.Problem) -> None:
    setting, part = whole_part(algorithm, problem, range(7))
    expected = finished(setting, part)
    state = finished(setting, part, stop_at=5)
    shares = Part(part.tasks, state).cut([3, 1, 3])
    assert [len(share.tasks) for share in shares] == [3, 1, 3]
    assert {share.generation for share in shares} == {5}
    found = [values for share in shares for values in finished(setting, share)]
    assert all(torch.equal(one, other) for one, other in zip(expected, found, strict=True))
    assert sum(share.state["seconds"] for share in shares if share.state) == pytest.approx(state["seconds"])


def test_every_run_goes_on_from_the_furthest_state_that_is_known() -> None:
    setting, part = whole_part(NSGA3(12), DTLZ2(), range(5))
    early = finished(setting, part, stop_at=3)
    pair = Part(part.tasks, early).taken([1, 3])
    states = {part.key: early, pair.key: finished(setting, pair, stop_at=9), "of,others": early}
    found = list(resumed(part, states))
    assert [(share.generation, [task.seed for task in share.tasks]) for share in found] == [(9, [1, 3]), (3, [0, 2, 4])]
    values = {task.seed: v for share in found for task, v in zip(share.tasks, finished(setting, share), strict=True)}
    assert all(torch.equal(values[seed], one) for seed, one in enumerate(finished(setting, part)))
    more = whole_part(NSGA3(12), DTLZ2(), range(6))[1]
    assert [(share.generation, len(share.tasks)) for share in resumed(more, states)] == [(9, 2), (3, 3), (0, 1)]
    with pytest.raises(StateError, match="checkpoint of a group of runs is damaged"):
        list(resumed(part, {part.key: {"generation": 3}}))


def test_a_sweep_goes_on_from_the_checkpoints_of_its_parts(tmp_path: Path) -> None:
    setting, part = whole_part(NSGA3(12), DTLZ2(), range(6))
    shares = part.cut([2, 4])
    file = SweepFile(tmp_path / "sweep.db")
    for share, generation in zip(shares, (4, 11), strict=True):
        file.save_checkpoint(share.key, finished(setting, share, stop_at=generation))
    file.close()
    arguments: dict[str, Any] = {"seeds": 6, "generations": 12}
    result = bb.sweep({"it": NSGA3(12)}, {"there": DTLZ2()}, file=tmp_path / "sweep.db", **arguments)
    expected = finished(setting, part)
    assert all(torch.equal(run.values, values) for run, values in zip(result.runs, expected, strict=True))
    with sqlite3.connect(tmp_path / "sweep.db") as connection:
        assert connection.execute("SELECT count(*) FROM checkpoints").fetchone() == (0,)


def test_shares_end_together_and_are_no_smaller_than_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    setting, part = whole_part(NSGA3(12), DTLZ2(), range(31))
    monkeypatch.setattr(_sweep_team, "can_fork", lambda problem: True)

    def sizes(cores: int, pace: float) -> list[int]:
        ledger: Any = type("Cores", (), {"free_cores": lambda self: cores - 1})()
        team = _sweep_team.Team(setting, ledger, [], checkpoint_every=20.0)
        team._pace = pace
        return [len(share.tasks) for share in team._cut(part, cores)]

    assert sizes(1, 1.0) == [31]
    assert sizes(2, 1.0) == [16, 15]
    assert sizes(3, 1.0) == [11, 10, 10]
    assert len(sizes(64, 1.0)) == 7
    assert min(sizes(64, 1.0)) == 4
    monkeypatch.setattr(_sweep_team, "can_fork", lambda problem: False)
    monkeypatch.setattr(_sweep_team, "_SPAWNED", 2.0)
    seconds = 31 * 12 * 12 / 600.0
    assert sizes(2, 600.0) == [pytest.approx(31 * (1 + 2.0 / seconds) / 2, abs=1), 31 - sizes(2, 600.0)[0]]
    stays = Part(part.tasks, stays=True)
    assert _sweep_team.Team(setting, None, [], checkpoint_every=1.0)._start_of(stays) is None  # type: ignore[arg-type]


def test_only_what_computes_with_tensors_alone_is_forked() -> None:
    class Own(DTLZ2):
        pass

    plain = bb.Problem.from_function(lambda x: x[:, 0], bb.Space.box([0], [1]), takes="batch")
    assert not _sweep_parts.can_fork(Own())
    assert not _sweep_parts.can_fork(plain)
    code = "from blackbox._sweep_parts import can_fork\nfrom blackbox.problems import DTLZ2\nimport threading\n"
    code += "first = can_fork(DTLZ2())\nthreading.Thread(target=input, daemon=True).start()\n"
    code += "print(first, can_fork(DTLZ2()))"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().split() == [b"True", b"False"]
        process.communicate(b"\n")


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}", "OMP_NUM_THREADS": "1"}


class Elsewhere(DTLZ2):
    """A user's problem, which fails where it is not at home."""

    def __init__(self, home: int | None = None) -> None:
        super().__init__()
        self.home = home

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        if self.home is not None and os.getpid() != self.home:
            raise RuntimeError("not at home")
        return super().evaluate(x)


class Killed(Elsewhere):
    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        if os.getpid() != self.home:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().evaluate(x)


def shared(
    problem: bb.Problem, cut: list[int] | None = None, generations: int = 60, **changes: Any
) -> tuple[list[str], bb.SweepResult]:
    """Return what helpers did in a sweep with two cores, and the sweep."""
    kinds: list[str] = []
    helper, take, cutting = _sweep_team.Helper, _sweep_team.Team._take, _sweep_team.Team._cut

    def noted(setting: Any, part: Any, *, forked: bool, **others: Any) -> Any:
        kinds.append("forked" if forked else "spawned")
        return helper(setting, part, forked=forked, **others)

    def taken(self: Any, by: Any, kind: str, content: Any) -> None:
        kinds.append(kind)
        take(self, by, kind, content)

    def shares(self: Any, part: Part, processes: int) -> list[Part]:
        return part.cut(cut) if cut is not None and len(part.tasks) == sum(cut) else cutting(self, part, processes)

    with (
        patch.multiple(_sweep_team, Helper=noted, **changes),
        patch.multiple(_sweep_team.Team, _take=taken, _cut=shares),
    ):
        return kinds, bb.sweep(NSGA3(40), problem, seeds=12, generations=generations, workers=2)


def program() -> None:
    """Share sweeps in a program of its own, without threads."""
    torch.set_num_threads(2)
    short, long = (
        bb.sweep(NSGA3(40), DTLZ2(), seeds=12, generations=count, batched=False, workers=1) for count in (60, 800)
    )
    home, forks = os.getpid(), {"can_fork": lambda problem: _sweep_parts.can_fork(DTLZ2())}
    cases = {
        "forked": shared(DTLZ2(), _PAYS=1.0),
        "failing": shared(Elsewhere(home), _PAYS=1.0, **forks),
        "killed": shared(Killed(home), _PAYS=1.0, **forks),
        "back": shared(DTLZ2(), cut=[1, 11], generations=800, _PAYS=0.0),  # so long that one is idle before the end
        "spawned": shared(Elsewhere(), _SPAWNED=1e-3),
    }
    for case, (kinds, result) in cases.items():
        assert kinds[0] == ("spawned" if case == "spawned" else "forked"), (case, kinds)
        wanted = {"forked": {"done"}, "back": {"back"}, "spawned": {"done", "back"}}.get(case, {"failed"})
        assert wanted & set(kinds), (case, kinds)
        alone = (long if case == "back" else short).runs
        assert all(torch.equal(run.values, one.values) for run, one in zip(result.runs, alone, strict=True))
        assert [run.seed for run in result.runs] == list(range(12))
        assert not result.failures
    assert torch.get_num_threads() == 2
    print("as alone")


SCRIPT = """
import signal
import test_sweep_team
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of shells ignore it, and so would this
if __name__ == "__main__":
    test_sweep_team.{call}
"""


def start(folder: Path, call: str) -> subprocess.Popen[bytes]:
    script = folder / "script.py"
    script.write_text(SCRIPT.format(call=call))
    return subprocess.Popen(
        [sys.executable, str(script)], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_runs_are_those_alone_whatever_becomes_of_other_processes(tmp_path: Path) -> None:
    out, errors = start(tmp_path, "program()").communicate(timeout=100)
    assert (out.split(b"\n")[-2:], errors) == ([b"as alone", b""], b"")


def forever(file: str) -> None:
    _sweep_team._PAYS = 0.1
    import blackbox._sweep_work as work

    work._CHECKPOINT_EVERY = 0.2
    bb.sweep(NSGA3(100), DTLZ2(), seeds=31, generations=10**6, workers=2, file=file)


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def saved(file: Path) -> int:
    try:
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
            return int(connection.execute("SELECT count(*) FROM checkpoints").fetchone()[0])
    except sqlite3.Error:
        return 0


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_sweep_that_is_stopped_leaves_checkpoints_and_no_process(tmp_path: Path, how: signal.Signals) -> None:
    file = tmp_path / "sweep.db"
    process = start(tmp_path, f"forever({str(file)!r})")
    end = time.monotonic() + 60
    while (
        not (len(children(process.pid)) == 2 and saved(file) >= 2) and time.monotonic() < end and process.poll() is None
    ):
        time.sleep(0.05)
    beside = children(process.pid)
    assert len(beside) == 2
    os.kill(process.pid, how)
    errors = process.communicate(timeout=30)[1]
    assert process.returncode in (-how, 130, 1)
    assert (how == signal.SIGKILL) == (b"KeyboardInterrupt" not in errors)
    while any(Path(f"/proc/{child}").exists() for child in beside) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{child}").exists() for child in beside)
    file_of_parts = SweepFile(file)
    tasks = make_tasks(
        {"NSGA3": NSGA3(100)}, {"DTLZ2": DTLZ2()}, range(31), parse_budget(None, 10**6), torch.device("cpu"), None
    )
    states = file_of_parts.checkpoints({task.key for task in tasks})
    file_of_parts.close()
    parts = list(resumed(Part(tuple(tasks)), states))
    assert len(parts) >= 2
    assert all(part.generation > 0 for part in parts)
    assert sorted(task.seed for part in parts for task in part.tasks) == list(range(31))
