"""Model tuning: defaults, determinism, payoff over the default, workers."""

from __future__ import annotations

import builtins
import multiprocessing
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from blackbox.errors import MissingDependencyError, SettingError, SpaceError
from blackbox.problems import ClassifierTuning, GradientBoostingTuning, MLPTuning, SVMTuning
from blackbox.problems import tuning as module

FAST = ClassifierTuning("wine", folds=2)
SVM = {"model": "svm", "scaling": "standard", "C": 3.0, "kernel": "poly", "gamma": 0.5, "degree": 2, "coef0": 0.5}
BOOSTING = {
    "model": "boosting",
    "trees": 20,
    "learning_rate": 0.3,
    "depth": 1,
    "leaf_size": 2,
    "subsample": 0.7,
    "features": 0.4,
}


def evaluate(problem: Any, config: dict[str, Any]) -> float:
    return float(problem.evaluate_config(config).values)


def test_defaults_are_those_of_scikit_learn() -> None:
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.svm import SVC

    from blackbox.problems._tuning_models import DEFAULTS, _boosting, _mlp, _svm

    features = np.arange(600.0).reshape(300, 2)
    svm = _svm(DEFAULTS["svm"], features, False, 0).estimator.get_params()
    scale = 1.0 / (2 * features.var())
    assert svm == {**SVC().get_params(), "gamma": pytest.approx(scale)}
    mlp = _mlp(DEFAULTS["mlp"], features, False, 0).get_params()
    expected = {**MLPClassifier().get_params(), "random_state": 0, "batch_size": 200}  # "auto" is min(200, n)
    assert mlp == {**expected, "hidden_layer_sizes": (100,)}
    boosting = _boosting(DEFAULTS["boosting"], features, False, 0).get_params()
    assert boosting == {**GradientBoostingClassifier().get_params(), "random_state": 0, "max_features": 1.0}


@pytest.mark.parametrize("make", [ClassifierTuning, SVMTuning, MLPTuning, GradientBoostingTuning])
def test_the_default_is_a_configuration_of_the_space(make: Any) -> None:
    problem = make()
    assert problem.space.decode(problem.space.encode([problem.default_config])) == [problem.default_config]
    assert problem.objectives[0].maximize is False


def test_parameters_are_conditional() -> None:
    space = ClassifierTuning().space
    space.encode([SVM, BOOSTING, *ClassifierTuning().default_configs.values()])
    with pytest.raises(SpaceError, match="degree"):
        space.encode([{**SVM, "kernel": "rbf"}])
    with pytest.raises(SpaceError, match="trees: missing"):
        space.encode([{k: v for k, v in BOOSTING.items() if k != "trees"}])


@pytest.mark.parametrize("config", [SVM, BOOSTING], ids=lambda c: c["model"])
def test_tuning_pays_off_over_the_default_also_on_held_out_data(config: dict[str, Any]) -> None:
    problem = ClassifierTuning()
    default = problem.default_config
    better = {**SVM, "gamma": 0.05, "C": 40.0} if config["model"] == "svm" else {**config, "subsample": 0.9}
    assert evaluate(problem, better) < 0.75 * evaluate(problem, default)
    assert problem.held_out(better) < 0.75 * problem.held_out(default)
    assert problem.held_out(better, metric="error") < problem.held_out(default, metric="error")


def test_a_score_depends_on_the_split_seed_only() -> None:
    first = evaluate(FAST, SVM)
    assert evaluate(ClassifierTuning("wine", folds=2), SVM) == first
    assert evaluate(ClassifierTuning("wine", folds=2, seed=1), SVM) != first
    before = np.random.get_state(legacy=False)["state"]["key"].tolist(), torch.get_rng_state()  # noqa: NPY002
    mlp = {**FAST.default_configs["mlp"], "epochs": 20}
    assert evaluate(FAST, mlp) == evaluate(FAST, mlp)
    assert before[0] == np.random.get_state(legacy=False)["state"]["key"].tolist()  # noqa: NPY002
    assert torch.equal(before[1], torch.get_rng_state())


def test_every_point_of_the_space_can_be_evaluated() -> None:
    problem = ClassifierTuning("wine", folds=2)
    x = problem.space.from_unit(
        torch.rand(12, problem.space.dim, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    )
    values = problem(x).values
    assert values.shape == (12, 1)
    assert bool(torch.isfinite(values).all())
    assert values[3] == problem(x[3]).values[0]


def test_held_out_data_is_disjoint_from_the_training_data() -> None:
    (train, _), (test, _) = module._split("breast_cancer", 250, 0)
    assert len(train) == 250
    assert len(train) + len(test) == 569
    rows = {row.tobytes() for row in train}
    assert not any(row.tobytes() in rows for row in test)


def test_regression_is_scored_by_its_error() -> None:
    problem = GradientBoostingTuning("diabetes", folds=3)
    config = {k: v for k, v in BOOSTING.items() if k != "model"}
    assert 40 < evaluate(problem, config) < 75
    assert problem.objectives[0].name == "rmse"


def test_an_evaluation_runs_in_a_worker_process() -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(evaluate, FAST, SVM).result(60) == evaluate(FAST, SVM)


def test_evaluations_in_threads_leave_the_process_as_it_was() -> None:
    from threadpoolctl import threadpool_info

    mlp = {**FAST.default_configs["mlp"], "epochs": 20}  # warns that it did not converge
    alone = evaluate(FAST, mlp)
    filters, pools = list(warnings.filters), [pool["num_threads"] for pool in threadpool_info()]
    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(lambda _: evaluate(FAST, mlp), range(6))) == [alone] * 6
    assert warnings.filters == filters
    assert [pool["num_threads"] for pool in threadpool_info()] == pools


def test_a_fit_that_fails_is_a_failed_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*_: Any, **__: Any) -> Any:
        raise ValueError("Solver produced non-finite parameter weights")

    monkeypatch.setattr(module, "fit_predict", diverge)
    assert np.isnan(evaluate(FAST, SVM))
    monkeypatch.setattr(module, "fit_predict", lambda *_, **__: np.full((45, 3), np.nan))
    assert np.isnan(evaluate(FAST, SVM))


def test_without_scikit_learn_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name.split(".")[0] == "sklearn":
            raise ImportError(name)
        return real(name, *arguments, **keywords)

    module._split.cache_clear()
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingDependencyError, match=r"blackbox-toolkit\[tuning\]"):
        evaluate(FAST, SVM)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"data": "diabetes"}, "data: expected one of"),
        ({"metric": "rmse"}, "metric: expected one of"),
        ({"folds": 1}, "folds: expected an integer >= 2"),
        ({"train_size": 5}, "train_size: expected an integer >= 30"),
        ({"seed": -1}, "seed"),
    ],
)
def test_wrong_settings_are_refused_by_name(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        ClassifierTuning(**keywords)


def test_too_little_held_out_data_is_refused() -> None:
    with pytest.raises(SettingError, match="train_size: expected at most 148"):
        evaluate(ClassifierTuning("wine", train_size=170), SVM)
