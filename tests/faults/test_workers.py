"""Evaluations that crash, hang, shout or cannot be sent, in worker processes."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from faults.programs import Noted, bowl, mishap, problem

import blackbox as bb
from blackbox.algorithm import Candidates, Capabilities, Front, Request, Seen, Spec
from blackbox.algorithms import Sobol
from blackbox.errors import SettingError, StudyError
from blackbox.executors import ProcessWorkers, WorkerError
from blackbox.study import Record, Study

KINDS = [
    *("good", "exits", "quits", "interrupts", "crashes", "hangs", "shouts", "unpicklable", "unprintable", "forks"),
    *("killed", "hangs_with_child", "fine"),
]
ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Count:
    """How many were handed out."""

    drawn: int


@dataclass(frozen=True)
class InTurn:
    """Hands out the levels of one categorical parameter in turn."""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities()

    def init(self, spec: Spec, generator: torch.Generator) -> Count:
        return Count(0)

    def ready(self, spec: Spec, state: Count, pending: int) -> int:
        return 2**20

    def ask(self, spec: Spec, state: Count, request: Request, generator: torch.Generator) -> tuple[Count, Candidates]:
        codes = torch.arange(state.drawn, state.drawn + request.n, dtype=spec.dtype)[:, None]
        return replace(state, drawn=state.drawn + request.n), Candidates(codes)

    def tell(self, spec: Spec, state: Count, seen: Seen, generator: torch.Generator) -> Count:
        return state

    def result(self, spec: Spec, state: Count) -> Front | None:
        return None


@pytest.fixture(scope="module")
def survivors(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Record], Path]:
    """One run over all mishaps, with two workers and a deadline."""
    folder = tmp_path_factory.mktemp("survivors")
    bad = bb.Problem.from_function(mishap, {"kind": bb.Categorical(KINDS)})
    os.environ["BLACKBOX_TEST_NOTES"] = str(folder / "notes")
    with Study(bad, InTurn(), folder / "a.db", seed=0) as study:
        report = study.run(evaluations=len(KINDS), workers=2, deadline=3.0)
        assert report.n_evaluations == len(KINDS)
        return {r.config["kind"]: r for r in study.history()}, folder


@pytest.mark.parametrize(
    ("kind", "reason", "message"),
    [
        ("exits", "WorkerDied", "exit code 7"),
        ("quits", "SystemExit", "enough"),
        ("interrupts", "KeyboardInterrupt", ""),
        ("crashes", "WorkerDied", "SIGSEGV"),
        ("hangs", "DeadlineExceeded", "no result after 3 seconds"),
        ("hangs_with_child", "DeadlineExceeded", "killed"),
        ("shouts", "RuntimeError", "after 100 MB"),
        ("unpicklable", "UnpicklableError", "lambda"),
        ("unprintable", "UnprintableError", "cannot be shown"),
        ("killed", "WorkerDied", "SIGKILL"),
    ],
)
def test_only_that_candidate_fails(
    survivors: tuple[dict[str, Record], Path], kind: str, reason: str, message: str
) -> None:
    record = survivors[0][kind]
    assert record.status == "failed"
    assert record.reason is not None
    assert record.reason.type == reason
    assert message in record.reason.message
    if kind == "crashes":
        assert "Segmentation fault" in record.reason.output
    if kind == "shouts":
        assert set(record.reason.output) == {"x"}
        assert len(record.reason.output) == 4096
    if kind == "unpicklable":
        assert "raise UnpicklableError" in record.reason.traceback


def test_the_others_are_evaluated(survivors: tuple[dict[str, Record], Path]) -> None:
    told = {kind for kind, record in survivors[0].items() if record.status == "told"}
    assert told == {"good", "forks", "fine"}


def test_what_a_hanging_evaluation_started_is_killed_too(survivors: tuple[dict[str, Record], Path]) -> None:
    (child,) = (survivors[1] / "notes").read_text().split()
    assert not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split(") ")[1][:1]


def test_the_time_limit_kills_what_is_in_flight(tmp_path: Path) -> None:
    slow = problem(Noted(tmp_path / "notes", 600.0))
    with Study(slow, Sobol(), tmp_path / "a.db", seed=0) as study:
        started = time.monotonic()
        report = study.run(seconds=1.0, workers=2)
        assert time.monotonic() - started < 2.0
        assert (report.stopped, report.n_evaluations) == ("seconds", 0)
        assert study.n_pending == 3
        assert not multiprocessing.active_children()
        study.problem = problem()
        study.run(evaluations=4)
        assert [r.status for r in study.history()] == ["told"] * 4


def test_calls_are_answered_and_pools_closed() -> None:
    with ProcessWorkers(1, function=bowl) as pool:
        assert pool.submit(bowl, {"x": 2.0, "k": 0}).result() == 1.0
        assert pool.submit(abs, -3).result() == 3
        with pytest.raises(WorkerError, match="KeyError"):
            pool.submit(bowl, {}).result()
        with pytest.raises(StudyError, match="cannot be sent"):
            pool.submit(lambda: 1)
        (worker,) = pool.process_ids()
    assert not Path(f"/proc/{worker}").exists()
    with pytest.raises(RuntimeError, match="shutdown"):
        pool.submit(abs, 1)


@pytest.mark.parametrize("arguments", [{"workers": 0}, {"workers": 1.5}, {"deadline": 0}, {"deadline": True}])
def test_wrong_settings(arguments: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=next(iter(arguments))):
        ProcessWorkers(**arguments)


@pytest.mark.parametrize("how", [{"workers": 2}, {"deadline": 1.0}, {"executor": ProcessPoolExecutor}])
def test_an_objective_that_cannot_be_sent_is_refused_at_once(how: dict[str, Any]) -> None:
    local: Callable[[Any], float] = lambda config: 1.0  # noqa: E731
    if "executor" in how:
        how = {"executor": ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))}
    with Study(problem(local), Sobol(), path=None) as study:
        with pytest.raises(StudyError, match=r"top level of a module"):
            study.run(evaluations=5, **how)
        assert study.n_pending == 0


def run_script(text: str, folder: Path, *, by_stdin: bool = False) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(text)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-"] if by_stdin else [sys.executable, "script.py"]
    return subprocess.run(
        command, cwd=folder, env=environment, input=text, capture_output=True, text=True, timeout=120, check=False
    )


SCRIPT = """
import blackbox as bb
from blackbox.algorithms import Sobol
from blackbox.study import Study

def f(p):
    return p["x"]

study = Study(bb.Problem.from_function(f, {"x": bb.Real(0, 1)}), Sobol(), "a.db")
print("evaluations", study.run(evaluations=3, workers=2).n_evaluations)
"""


GUARDED = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from blackbox.algorithms import Sobol
from blackbox.study import Study
from faults.programs import Noted, problem

if __name__ == "__main__":
    with Study(problem(Noted(Path("notes"), 600.0)), Sobol(), "a.db", seed=0) as study:
        study.run(evaluations=5, workers=2)
"""


def test_workers_end_with_their_study_and_the_next_run_goes_on(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(GUARDED.format(tests=str(ROOT / "tests")))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, "script.py"], cwd=tmp_path, env=environment)
    notes = tmp_path / "notes"
    wait_until(lambda: notes.exists() and len(notes.read_text().splitlines()) == 2, 60)
    parent.kill()
    parent.wait()
    workers = [int(line.split()[0]) for line in notes.read_text().splitlines()]
    wait_until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers), 10)
    with Study(problem(), Sobol(), tmp_path / "a.db") as study:
        assert study.n_pending == 3  # two in flight, one asked ahead
        assert study.run(evaluations=5).n_evaluations == 5
        assert [record.id for record in study.history()] == list(range(5))


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_script_without_a_guard_is_told_what_to_do(tmp_path: Path) -> None:
    done = run_script(SCRIPT, tmp_path)
    assert done.returncode == 1
    assert 'if __name__ == "__main__":' in done.stderr
    assert "script.py, line 10" in done.stderr
    with Study.open(tmp_path / "a.db") as study:
        assert study.n_pending == 0


def test_a_script_that_is_no_file_is_refused(tmp_path: Path) -> None:
    done = run_script(SCRIPT, tmp_path, by_stdin=True)
    assert done.returncode == 1
    assert "<stdin> is no file: put it into a file" in done.stderr


def test_an_objective_of_an_interactive_session_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("workers=2", "deadline=9")],  # one worker
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "the objective cannot be loaded in a worker process" in done.stderr
    assert "top level of a module" in done.stderr
