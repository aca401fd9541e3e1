"""Running studies: limits, failures, threads, replays, progress."""

from __future__ import annotations

import io
import pickle
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from faults.programs import HillClimb, UnpicklableError, UnprintableError, Walk, bowl, problem

import blackbox as bb
from blackbox.algorithm import Candidates, Request, Spec
from blackbox.algorithms import RandomSearch, Sobol
from blackbox.errors import SettingError, StateError, StudyError
from blackbox.executors import DaemonThreads
from blackbox.study import Study


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({}, "evaluations"),
        ({"evaluations": 0}, "evaluations"),
        ({"evaluations": 2.5}, "evaluations"),
        ({"seconds": -1}, "seconds"),
        ({"seconds": True}, "seconds"),
        ({"evaluations": 5, "workers": 0}, "workers"),
        ({"evaluations": 5, "deadline": "1"}, "deadline"),
        ({"evaluations": 5, "max_failures_in_a_row": 0}, "max_failures_in_a_row"),
        ({"evaluations": 5, "max_attempts": None}, "max_attempts"),
        ({"evaluations": 5, "executor": 3}, "executor"),
        ({"evaluations": 5, "executor": DaemonThreads(1), "deadline": 1.0}, "deadline"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], name: str) -> None:
    with Study(problem(), Sobol(), path=None) as study:
        with pytest.raises(SettingError, match=rf"^{name}:"):
            study.run(**arguments)
        assert study.n_evaluations == study.n_pending == 0


def raising(error: BaseException) -> Callable[[Any], float]:
    def function(config: Any) -> float:
        raise error

    return function


@pytest.mark.parametrize(
    ("function", "kind", "words"),
    [
        (raising(ValueError("too bad")), "ValueError", "too bad"),
        (raising(SystemExit(3)), "SystemExit", "3"),
        (raising(UnprintableError()), "UnprintableError", "cannot be shown"),
        (raising(UnpicklableError(lambda: None)), "UnpicklableError", "function"),
        (lambda c: float("nan"), "NonFiniteValue", "nan"),
        (lambda c: float("inf"), "NonFiniteValue", "inf"),
        (lambda c: None, "SettingError", "None"),
        (lambda c: "1.0", "SettingError", "1.0"),
        (lambda c: 1j, "SettingError", "1j"),
        (lambda c: True, "SettingError", "True"),
        (lambda c: [1.0, 2.0], "SettingError", "1 real number"),
        (lambda c: np.array([object()]), "SettingError", "object"),
        (lambda c: {"loss": 1.0}, "SettingError", "loss"),
        (lambda c: {"value": 1.0, "variance": -1.0}, "ValueError", "variance"),
        (lambda c: bb.Evaluation(torch.zeros(2, 2)), "SettingError", "values"),
    ],
)
def test_a_failing_evaluation_fails_alone(function: Callable[[Any], Any], kind: str, words: str) -> None:
    calls = []

    def sometimes(config: Any) -> Any:
        calls.append(1)
        return function(config) if len(calls) == 2 else bowl(config)

    with Study(problem(sometimes), HillClimb(), path=None, seed=0) as study:
        assert study.run(evaluations=4).n_failed == 1
        assert [r.status for r in study.history()] == ["told", "failed", "told", "told"]
        reason = study.history()[1].reason
        assert reason is not None
        assert reason.type == kind
        assert words in reason.message
        assert study.result().n_failed == 1


def test_the_traceback_is_kept() -> None:
    with Study(problem(raising(ValueError("deep"))), RandomSearch(), path=None, seed=0) as study:
        study.run(evaluations=2)
        reason = study.history()[0].reason
        assert reason is not None
        assert "in function" in reason.traceback
        assert "raise error" in reason.traceback


def test_a_hopeless_run_stops_with_a_summary() -> None:
    calls = []

    def function(config: Any) -> float:
        calls.append(1)
        if len(calls) == 2:
            return 0.0
        raise KeyError("lr") if len(calls) % 2 else ValueError("no data\nat all")

    with Study(problem(function), RandomSearch(), path=None, seed=0) as study:
        with pytest.raises(StudyError, match=r"5 evaluations failed in a row:") as caught:
            study.run(evaluations=50, max_failures_in_a_row=5)
        assert "3 x KeyError: 'lr'" in str(caught.value)
        assert "2 x ValueError: no data" in str(caught.value)
        assert (study.n_evaluations, study.n_failed, study.n_pending) == (7, 6, 0)
        assert study.run(evaluations=10, max_failures_in_a_row=None).n_failed == 9


def test_an_evaluation_cannot_disturb_the_search() -> None:
    def rude(config: dict[str, Any]) -> float:
        value = bowl(config)
        config.clear()
        torch.set_default_dtype(torch.float32 if value < 1 else torch.float64)
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002
        return value

    state, dtype = torch.random.get_rng_state(), torch.get_default_dtype()
    known = np.random.get_state()  # noqa: NPY002
    try:
        with Study(problem(rude), HillClimb(), path=None, seed=0) as study:
            study.run(evaluations=12)
            assert torch.get_default_dtype() == dtype
            found = [r.config for r in study.history()]
    finally:
        torch.random.set_rng_state(state)
        np.random.set_state(known)  # noqa: NPY002
    with Study(problem(), HillClimb(), path=None, seed=0) as study:
        study.run(evaluations=12)
        assert [r.config for r in study.history()] == found
    assert torch.equal(torch.random.get_rng_state(), state)  # a study draws nothing from global generators


def test_the_time_limit_holds_although_an_evaluation_hangs(tmp_path: Path) -> None:
    release = threading.Event()
    calls = []

    def function(config: Any) -> float:
        calls.append(1)
        if len(calls) == 4:
            release.wait(60)
        return 1.0

    with Study(problem(function), Sobol(), tmp_path / "a.db", seed=0) as study:
        started = time.monotonic()
        report = study.run(seconds=0.5)
        assert report.stopped == "seconds"
        assert 0.4 < time.monotonic() - started < 1.5
        assert study.n_evaluations == 3
        assert study.pending.ids.tolist() == [3]
        release.set()
        assert study.run(evaluations=5).n_new == 2  # the one that hung first
        assert [r.status for r in study.history()] == ["told"] * 5
        assert len(calls) == 6


def test_ctrl_c_stops_and_nothing_is_lost(tmp_path: Path) -> None:
    calls = []

    def function(config: Any) -> float:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return bowl(config)

    with Study(problem(function), HillClimb(), tmp_path / "a.db", seed=3) as study:
        with pytest.raises(KeyboardInterrupt):
            study.run(evaluations=10)
        assert study.n_evaluations == 3
        assert [r.attempts for r in study.history() if r.status == "pending"] == [0]  # stopped on purpose
        study.run(evaluations=10)
        found = [r.config for r in study.history()]
    with Study(problem(), HillClimb(), path=None, seed=3) as study:
        study.run(evaluations=10)
        assert [r.config for r in study.history()] == found


@pytest.mark.parametrize("generation", [0, 7])
def test_threads(generation: int) -> None:
    busy, most = [], []

    def function(config: Any) -> float:
        busy.append(1)
        most.append(len(busy))
        time.sleep(0.005)
        busy.pop()
        return bowl(config)

    with (
        ThreadPoolExecutor(3) as pool,
        Study(problem(function), HillClimb(0.2, generation), path=None, seed=0) as study,
    ):
        assert study.run(evaluations=30, executor=pool).n_evaluations == 30
        assert max(most) == 3
        assert sorted(r.id for r in study.history()) == list(range(30))
        assert {r.status for r in study.history()} == {"told"}


def test_a_generation_waits_for_candidates_asked_by_hand() -> None:
    with Study(problem(), HillClimb(0.2, 4), path=None, seed=0) as study:
        batch = study.ask(1)
        with pytest.raises(StudyError, match=r"asked by hand: 0; tell or abandon"):
            study.run(evaluations=20)
        assert study.n_evaluations == 3
        study.tell(batch, 1.0)
        study.run(evaluations=20)
        study.abandon(study.ask(1))


def test_a_finite_search_ends_the_run() -> None:
    single = bb.Problem.from_function(lambda c: c["a"], {"a": bb.Real(2.0, 2.0)})
    with Study(single, Sobol(), path=None) as study:
        report = study.run(evaluations=10)
        assert (report.stopped, report.n_evaluations) == ("exhausted", 1)


class Broken(Executor):
    """Breaks at the third call."""

    def __init__(self) -> None:
        self.calls = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.calls += 1
        future: Future[Any] = Future()
        if self.calls == 3:
            future.set_exception(BrokenExecutor("a worker has died"))
        else:
            future.set_result(fn(*args, **kwargs))
        return future


def test_a_broken_executor_ends_the_run_and_the_next_goes_on() -> None:
    with Study(problem(), Sobol(), path=None, seed=0) as study:
        with pytest.raises(StudyError, match=r"a worker has died.* evaluations are stored"):
            study.run(evaluations=10, executor=Broken())
        before = study.n_evaluations
        assert before >= 1
        pool = ThreadPoolExecutor(1)
        pool.shutdown()
        with pytest.raises(StudyError, match="shutdown"):
            study.run(evaluations=10, executor=pool)
        assert study.n_evaluations == before
        study.run(evaluations=10)
        assert sorted(r.id for r in study.history()) == list(range(10))


def test_a_study_runs_once_at_a_time() -> None:
    def nested(config: Any) -> float:
        study.run(evaluations=5)
        return 1.0

    with Study(problem(nested), Sobol(), path=None, seed=0) as study:
        study.run(evaluations=2)
        reason = study.history()[0].reason
        assert reason is not None
        assert reason.type == "ConcurrentUseError"


def test_leases_decide_about_owners_on_other_hosts() -> None:
    with Study(problem(), Sobol(), path=None, seed=0) as study:
        batch = study.ask(2)
        owner = "far-away:1:1:ffffffff"
        with study.storage.transaction():
            study.storage.claim([0], owner, attempts=1)
            study.storage.renew(owner, time.time() + 60)
        report = study.run(evaluations=3, seconds=0.3)
        assert (report.stopped, report.n_evaluations) == ("seconds", 2)  # it waits for the third
        with study.storage.transaction():
            study.storage.renew(owner, time.time() - 1)
        assert study.run(evaluations=3).n_evaluations == 3
        assert [r.status for r in study.history()] == ["told", "pending", "told", "told"]
        assert study.history()[0].config == batch.configs[0]


# -- replays -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Elsewhere(HillClimb):
    """As on another machine: `drift` is what its arithmetic adds, `more` what another version hands out."""

    def ask(self, spec: Spec, state: Walk, request: Request, generator: torch.Generator) -> tuple[Walk, Candidates]:
        state, candidates = HillClimb.ask(self, spec, state, request, generator)
        x = candidates.x + DRIFT["x"] * spec.tensor([1.0, 0.0])
        return state, Candidates(x[: max(1, len(x) - int(DRIFT["fewer"]))])


DRIFT = {"x": 0.0, "fewer": 0.0}


@pytest.fixture
def drift() -> Any:
    yield DRIFT
    DRIFT.update(x=0.0, fewer=0.0)


def test_stored_points_are_the_truth(tmp_path: Path, drift: dict[str, float]) -> None:
    with Study(problem(), Elsewhere(), tmp_path / "a.db", seed=3) as study:
        study.run(evaluations=6)
        asked = study.ask(2)
        best = study.best
        study.storage._connection.execute("DELETE FROM checkpoints")
    drift["x"] = 1e-9
    with Study(problem(), Elsewhere(), tmp_path / "a.db") as study:
        study.replica.catch_up()
        assert torch.equal(study.replica.optimizer.pending.x, asked.x)
        assert best is not None
        assert study.result().configs == [best.config]
        study.run(evaluations=10)


def test_another_version_of_an_algorithm_is_recognised(tmp_path: Path, drift: dict[str, float]) -> None:
    with Study(problem(), Elsewhere(), tmp_path / "a.db", seed=3) as study:
        study.ask(3)
        study.storage._connection.execute("DELETE FROM checkpoints")
    drift["fewer"] = 1.0
    with Study(problem(), Elsewhere(), tmp_path / "a.db") as study:
        with pytest.raises(StateError, match=r"record 1 .*Elsewhere.*0, 1, 2"):
            study.ask(1)
        study.tell([0, 1, 2], [1.0, 2.0, 3.0])  # results are stored nevertheless
        assert len(study.history()) == 3


def test_an_algorithm_from_elsewhere_has_to_be_given(tmp_path: Path) -> None:
    with Study(problem(), HillClimb(), tmp_path / "a.db", seed=3) as study:
        study.run(evaluations=3)
    with Study.open(tmp_path / "a.db") as study:
        assert study.n_evaluations == 3
        assert len(study.history()) == 3
        study.best_text()
        with pytest.raises(StateError, match="HillClimb"):
            study.ask(1)


def test_checkpoints_are_written_when_they_pay(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Slow(HillClimb):
        def ask(self, spec: Spec, state: Walk, request: Request, generator: torch.Generator) -> tuple[Walk, Candidates]:
            time.sleep(0.1)
            return HillClimb.ask(self, spec, state, request, generator)

    with Study(problem(), Slow(), tmp_path / "a.db", seed=3) as study:
        study.run(evaluations=4)
        assert len(study.storage._rows("SELECT seq FROM checkpoints")) == 2
        other = Study(problem(), Slow(), tmp_path / "a.db")
        started = time.monotonic()
        other.replica.catch_up()
        assert time.monotonic() - started < 0.1  # nothing was computed again
        other.close()


# -- progress ------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_shows_best_failures_and_amount(monkeypatch: pytest.MonkeyPatch) -> None:
    def function(config: Any) -> float:
        time.sleep(0.03)
        if config["x"] > 2:
            raise ValueError
        return bowl(config)

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")
    with Study(problem(function), RandomSearch(), path=None, seed=0) as study:
        report = study.run(evaluations=15)
        shown = terminal.getvalue()
        assert study.best is not None
        assert f"best value {study.best.values[0]:.6g}" in shown  # type: ignore[index]
        assert "15/15" in shown
        assert f"{report.n_failed} failed" in shown
        assert "left" in shown


def test_progress_is_quiet_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, progress in ((io.StringIO(), True), (Terminal(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        with Study(problem(), RandomSearch(), path=None, seed=0) as study:
            study.run(evaluations=3, progress=progress)
        assert stream.getvalue() == ""


def test_a_used_problem_can_be_sent_to_processes() -> None:
    used = problem()
    used.space.from_unit(torch.zeros(1, 2, dtype=torch.float64))
    sent = pickle.loads(pickle.dumps(used))  # noqa: S301
    assert sent.space == used.space
    assert torch.equal(sent.space.from_unit(torch.ones(1, 2)), used.space.from_unit(torch.ones(1, 2)))
