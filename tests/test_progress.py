"""What a study shows on a terminal while a model is trained."""

from __future__ import annotations

import io

import pytest
import torch

import blackbox as bb
from blackbox.algorithms import SurrogateEvolution
from blackbox.progress import Progress
from blackbox.surrogates.ensemble import EnsembleSettings
from blackbox.surrogates.reporting import Report


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def use_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make stderr a terminal; in the test itself, for pytest replaces it before."""
    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr("blackbox.progress._EVERY", 0.0)


def test_training_is_shown_until_the_next_update(monkeypatch: pytest.MonkeyPatch) -> None:
    use_terminal(monkeypatch)
    progress = Progress(enabled=True, total=10, seconds=None, done=0)
    progress.hear(Report("training predictors", 3, 40))
    assert progress._bar is not None
    assert progress._bar.tasks[0].description == "training predictors 3/40"
    progress.update(done=1, failed=0, best="best 3")
    assert progress._bar.tasks[0].description == "best 3"
    progress.stop()


def test_nothing_is_shown_where_there_is_no_terminal() -> None:
    Progress(enabled=True, total=10, seconds=None, done=0).hear(Report("training", 1, 2))


def test_a_study_hears_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Report] = []
    monkeypatch.setattr(Progress, "hear", lambda self, report: heard.append(report))
    space = bb.Space.box([0, 0], [1, 1])
    problem = bb.Problem.from_function(lambda c: c["x0"] + c["x1"], space)
    algorithm = SurrogateEvolution(ensemble=EnsembleSettings(hidden=(8,), epochs=3), generations=2, batch_size=2)
    study = bb.Study(problem, algorithm, seed=0)
    x = torch.rand((20, 2), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    study.tell(space.batch(x), x.sum(1))
    print(study.run(evaluations=study.n_evaluations + 2))
    assert [report.done for report in heard[:3]] == [1, 2, 3]
    assert heard[0].stage == "training predictors"
