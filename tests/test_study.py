"""Studies: made, resumed, compared, asked and told by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faults.programs import SPACE, HillClimb, bowl, problem

import blackbox as bb
from blackbox.algorithms import RandomSearch, Sobol
from blackbox.errors import (
    AbandonedError,
    DuplicateTellError,
    SettingError,
    SpaceError,
    StateError,
    StorageError,
    TellError,
    UnknownCandidateError,
)
from blackbox.study import Study


def rows(study: Study) -> list[tuple[Any, ...]]:
    return [(r.id, r.config, r.status, r.values) for r in study.history()]


def by_optimizer(n: int, seed: int = 3) -> list[tuple[Any, ...]]:
    """The same search without a study."""
    optimizer = bb.Optimizer(SPACE, HillClimb(), seed=seed)
    history = []
    for i in range(n):
        batch = optimizer.ask(1)
        value = bowl(batch.configs[0])
        optimizer.tell(batch, [value])
        history.append((i, batch.configs[0], "told", (value,)))
    return history


def test_a_run_is_what_the_optimizer_does(tmp_path: Path) -> None:
    with Study(problem(), HillClimb(), tmp_path / "a.db", seed=3) as study:
        report = study.run(evaluations=30)
        assert (report.n_evaluations, report.n_new, report.stopped) == (30, 30, "evaluations")
        assert rows(study) == by_optimizer(30)
        assert study.n_evaluations == 30
        assert study.n_pending == 0
        best = study.best
        assert best is not None
        assert best.values == (min(bowl(r.config) for r in study.history()),)
        assert study.result().values.tolist() == [list(best.values)]
        record = study.history()[0]
        assert record.seconds is not None
        assert record.started is not None
        assert record.finished is not None
        assert record.worker


@pytest.mark.parametrize("without_checkpoints", [False, True])
def test_resuming_in_pieces_changes_nothing(tmp_path: Path, without_checkpoints: bool) -> None:
    for total in (1, 7, 8, 30):
        with Study(problem(), HillClimb(), tmp_path / "a.db", seed=3) as study:
            if without_checkpoints:
                study.storage._connection.execute("DELETE FROM checkpoints")
            study.run(evaluations=total)
    with Study(problem(), HillClimb(), tmp_path / "a.db") as study:
        assert rows(study) == by_optimizer(30)
        assert study.run(evaluations=20).n_new == 0


def test_the_file_says_which_algorithm(tmp_path: Path) -> None:
    with Study(problem(), Sobol(batch_size=4), tmp_path / "a.db", seed=3) as study:
        study.run(evaluations=5)
    with Study(problem(), path=tmp_path / "a.db") as study:
        assert study.algorithm == Sobol(batch_size=4)
        assert study.seed == 3
        study.run(evaluations=9)
        expected = bb.Optimizer(SPACE, Sobol(), seed=3).ask(9).configs
        assert [r.config for r in study.history()] == expected
    with Study.open(tmp_path / "a.db") as study:
        assert len(study.ask(2)) == 2
        with pytest.raises(SettingError, match=r"problem: .* cannot evaluate"):
            study.run(evaluations=20)
        assert study.n_evaluations == 9


@pytest.mark.parametrize(
    ("other", "algorithm", "seed", "words"),
    [
        (bb.Problem(bb.Space({"x": bb.Real(-3.0, 2.0), "k": bb.Integer(0, 3)})), None, None, ["space", "3.0", "2.0"]),
        (bb.Problem(bb.Space({"k": bb.Integer(0, 3), "x": bb.Real(-3.0, 3.0)})), None, None, ["space", "order"]),
        (bb.Problem(SPACE, objectives=bb.Objective("value", maximize=True)), None, None, ["objectives", "True"]),
        (bb.Problem(SPACE, objectives=2), None, None, ["objectives", "f1"]),
        (bb.Problem(SPACE, n_constraints=1), None, None, ["n_constraints", "1"]),
        (problem(), Sobol(batch_size=2), None, ["algorithm", "batch_size"]),
        (problem(), RandomSearch(), None, ["algorithm", "Sobol", "RandomSearch"]),
        (problem(), None, 4, ["seed", "3", "4"]),
    ],
)
def test_a_file_of_another_study_is_refused(
    tmp_path: Path, other: bb.Problem, algorithm: Any, seed: int | None, words: list[str]
) -> None:
    with Study(problem(), Sobol(), tmp_path / "a.db", seed=3) as study:
        study.run(evaluations=2)
    with pytest.raises(StateError) as caught:
        Study(other, algorithm, tmp_path / "a.db", seed=seed)
    assert all(word in str(caught.value) for word in [*words, "a.db"]), caught.value
    with Study.open(tmp_path / "a.db") as study:
        assert study.n_evaluations == 2


def test_asked_and_told_by_hand(tmp_path: Path) -> None:
    with Study(problem(), HillClimb(), tmp_path / "a.db", seed=3) as study:
        batch = study.ask(3)
        assert list(batch.ids) == [0, 1, 2]
        assert study.tell(batch[1:], [2.0, 3.0]).n_evaluations == 2
    with Study(problem(), HillClimb(), tmp_path / "a.db") as study:  # as another process would
        assert study.pending.ids.tolist() == [0]
        assert study.pending.configs == batch[:1].configs
        study.tell(0, 1.0)
        later = study.ask(2)
        study.tell([4, 3], [5.0, np.nan])
        assert [r.status for r in study.history()] == ["told", "told", "told", "failed", "told"]
        assert study.history()[3].reason is not None
        assert study.n_failed == 1
    optimizer = bb.Optimizer(SPACE, HillClimb(), seed=3)
    optimizer.tell(optimizer.ask(3), [1.0, 2.0, 3.0])
    assert optimizer.ask(2).configs == later.configs


def test_telling_twice(tmp_path: Path) -> None:
    with Study(problem(), Sobol(), tmp_path / "a.db", seed=3) as study:
        batch = study.ask(3)
        study.tell(batch[:2], [1.0, float("nan")])
        with Study.open(tmp_path / "a.db") as other:  # the same again is no error, from anywhere
            assert other.tell([0, 1], [1.0, float("nan")]).n_evaluations == 2
            with pytest.raises(DuplicateTellError, match=r"candidate 0 .*\[1.0\]"):
                other.tell([2, 0], [7.0, 2.0])
            with pytest.raises(DuplicateTellError, match="candidate 1"):
                other.tell(1, 2.0)
        assert study.n_evaluations == 2
        study.abandon(batch[2])
        with pytest.raises(AbandonedError):
            study.tell(2, 1.0)
        with pytest.raises(AbandonedError):
            study.abandon(2)
        with pytest.raises(DuplicateTellError):
            study.abandon(0)
        assert study.n_pending == 0
        study.result()  # the optimizer follows


@pytest.mark.parametrize("values", [None, "1.0", 1j, [1.0, 2.0], [[1.0]] * 3, [True], object(), ["a"], [[1.0, 2.0]]])
def test_wrong_values_are_refused_and_nothing_changes(values: Any) -> None:
    with Study(problem(), Sobol(), path=None, seed=0) as study:
        batch = study.ask(1)
        before = rows(study), study.storage.counts
        with pytest.raises(TellError) as caught:
            study.tell(batch, values)
        assert caught.value.argument == "values"
        assert (rows(study), study.storage.refresh()) == before
        study.tell(batch, 1.0)


@pytest.mark.parametrize("batch", ["0", [0, 0], [1.5], 5, -1, True, None])
def test_wrong_ids_are_refused(batch: Any) -> None:
    with Study(problem(), Sobol(), path=None, seed=0) as study:
        study.ask(2)
        with pytest.raises(TellError) as caught:
            study.tell(batch, [1.0, 1.0] if isinstance(batch, list) and len(batch) == 2 else 1.0)
        assert caught.value.argument == "batch"
        assert study.n_evaluations == 0


def test_batches_of_others_are_refused() -> None:
    optimizer = bb.Optimizer(SPACE, Sobol(), seed=0)
    with Study(problem(), Sobol(), path=None, seed=0) as study, Study(problem(), Sobol(), path=None, seed=0) as other:
        study.ask(1)
        for foreign in (optimizer.ask(1), other.ask(1)):
            with pytest.raises(UnknownCandidateError):
                study.tell(foreign, [1.0])
        with pytest.raises(TellError, match="another space"):
            study.tell(bb.Space.box([0], [1]).batch([[0.5]]), [1.0])
        with pytest.raises(TellError, match="extras"):
            study.tell(0, 1.0, extras={"cost": [1.0]})


def test_points_that_were_not_asked(tmp_path: Path) -> None:
    outside = SPACE.batch([{"x": 1.0, "k": 0}, {"x": 2.0, "k": 1}])
    with Study(problem(), HillClimb(), tmp_path / "a.db", seed=3) as study:
        study.ask(1)
        report = study.tell(outside, [0.0, 1.1])
        assert [int(i) for i in report.ids] == [1, 2]
        following = study.ask(1)
        assert list(following.ids) == [3]
        assert study.best is not None
        assert study.best.config == {"x": 1.0, "k": 0}
        with pytest.raises(SpaceError):
            SPACE.batch([{"x": 9.0, "k": 0}])
    with Study(problem(), HillClimb(), tmp_path / "a.db") as study:
        assert study.result().configs == [{"x": 1.0, "k": 0}]
    optimizer = bb.Optimizer(SPACE, HillClimb(), seed=3)
    optimizer.ask(1)
    optimizer.tell(outside, [0.0, 1.1])
    assert optimizer.ask(1).configs == following.configs


def test_fixed_values_are_replayed(tmp_path: Path) -> None:
    with Study(problem(), Sobol(), tmp_path / "a.db", seed=3) as study:
        first = study.ask(2, fixed={"k": 2})
        assert {config["k"] for config in first.configs} == {2}
        second = study.ask(2)
    with Study(problem(), Sobol(), tmp_path / "a.db") as study:
        study.storage._connection.execute("DELETE FROM checkpoints")
        assert study.pending.configs == first.configs + second.configs
        assert study.replica.result().n_evaluations == 0
        with pytest.raises(SpaceError):
            study.ask(1, fixed={"k": 9})
        assert study.n_pending == 4


def test_constraints_directions_and_several_objectives(tmp_path: Path) -> None:
    def outcome(config: dict[str, Any]) -> dict[str, Any]:
        return {"gain": config["x"], "violations": [config["x"] - 1.0], "variance": 0.5}

    gain = bb.Problem.from_function(
        outcome, SPACE, objectives=bb.Objective("gain", maximize=True), n_constraints=1, name="gain"
    )
    with Study(gain, RandomSearch(), tmp_path / "a.db", seed=1) as study:
        study.run(evaluations=20)
        feasible = [r for r in study.history() if r.config["x"] <= 1]
        assert study.best is not None
        assert study.best.values == (max(r.config["x"] for r in feasible),)
        assert study.result().values.tolist() == [list(study.best.values or ())]
        assert study.history()[0].variance == (0.5,)
        assert all(r.is_feasible == (r in feasible) for r in study.history())
        with pytest.raises(TellError, match="violations"):
            study.tell(study.ask(1), [1.0])
    two = bb.Problem.from_function(lambda c: (c["x"], -c["x"]), SPACE, objectives=2)
    with Study(two, RandomSearch(), path=None, seed=1) as study:
        study.run(evaluations=5)
        assert len(study.result()) == 5
        assert study.best is None


def test_closing(tmp_path: Path) -> None:
    study = Study(problem(), Sobol(), tmp_path / "a.db", seed=3, name="mine")
    study.close()
    study.close()
    with pytest.raises(StorageError, match="closed"):
        study.ask(1)
    with Study.open(tmp_path / "a.db") as again:
        assert again.name == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["a.db"]


def test_an_algorithm_is_chosen_where_none_is_given() -> None:
    with Study(problem(), path=None, seed=0, budget=5) as study:
        assert type(study.algorithm).__name__ in dir(bb.algorithms)
        study.run(evaluations=2)
    with pytest.raises(SettingError, match="problem"):
        Study(7, path=None)  # type: ignore[arg-type]
