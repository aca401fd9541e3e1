"""Real model-training problems: hyperparameters of scikit-learn models, on data that ships with it.

The objective is a cross-validated score on a small training part of the data; the rest is held out and serves only
for `held_out`, an honest report after the search. Everything is deterministic given the seed of the split, runs on
one thread, and never touches a global random generator. Needs the extra `tuning` (scikit-learn).

Scores found with 60 random configurations (seed 0), in cross-validation and, in parentheses, held out; the script is
`benchmarks/tuning_payoff.py`:

- ClassifierTuning, log-loss: default 0.215 (0.215), best 0.111 (0.083)
- SVMTuning, log-loss: default 0.215 (0.215), best 0.114 (0.103)
- GradientBoostingTuning, log-loss: default 0.444 (0.589), best 0.113 (0.129)
- MLPTuning, log-loss: default 0.396 (0.293), best 0.228 (0.237)
- GradientBoostingTuning("diabetes"), root mean squared error: default 58.8 (61.7), best 55.4 (56.7)
"""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from blackbox.candidates import Evaluation
from blackbox.errors import MissingDependencyError, SettingError
from blackbox.problem import Problem
from blackbox.problems._box import check_count
from blackbox.problems._tuning_models import (
    DEFAULTS,
    Data,
    Floats,
    classifier_parameters,
    fit_predict,
    model_parameters,
)
from blackbox.random import check_seed
from blackbox.space import Space

__all__ = ["ClassifierTuning", "GradientBoostingTuning", "MLPTuning", "SVMTuning"]

DataName: TypeAlias = Literal["breast_cancer", "digits", "wine", "diabetes"]
Metric: TypeAlias = Literal["log_loss", "error", "rmse"]

_TRAINING_ROWS = {"breast_cancer": 250, "digits": 300, "wine": 90, "diabetes": 220}
_FLOOR = 1e-12  # probabilities are clipped to it before their logarithm is taken


class _Tuning(Problem):
    """What the tuning problems share: data, folds, the score and its honest counterpart."""

    def __init__(
        self,
        space: Space,
        *,
        data: str,
        metric: str | None,
        train_size: int | None,
        folds: int,
        seed: int,
        regression_allowed: bool = False,
    ) -> None:
        names = [name for name in _TRAINING_ROWS if regression_allowed or name != "diabetes"]
        if data not in names:
            raise SettingError(f"data: expected one of {names}, got {data!r}")
        metrics = ["rmse"] if data == "diabetes" else ["log_loss", "error"]
        if metric is not None and metric not in metrics:
            raise SettingError(f"metric: expected one of {metrics} for {data!r}, got {metric!r}")
        self.data = data
        self.metric = metrics[0] if metric is None else metric
        self.train_size = check_count("train_size", _TRAINING_ROWS[data] if train_size is None else train_size, 30)
        self.folds = check_count("folds", folds, 2)
        self.seed = check_seed(seed) % 2**32
        super().__init__(space, objectives=self.metric, name=f"{type(self).__name__}({data})")

    @property
    def default_config(self) -> dict[str, Any]:
        """The configuration of the model with scikit-learn's default hyperparameters."""
        raise NotImplementedError

    def _model_of(self, config: Mapping[str, Any]) -> str:
        raise NotImplementedError

    def evaluate(self, x: Tensor) -> Evaluation:
        """Return the cross-validated scores of points of shape (n, d), one after the other, shape (n, 1)."""
        scores = [self._cross_validated(config) for config in self.space.decode(x)]
        return Evaluation(torch.tensor(scores, dtype=torch.float64).reshape(-1, 1))

    def evaluate_config(self, config: Mapping[str, Any]) -> Evaluation:
        """Evaluate one configuration."""
        return self(self.space.encode([config]))

    def held_out(self, config: Mapping[str, Any], *, metric: Metric | None = None) -> float:
        """Return the score on data that the search never saw, of the model trained on all training data.

        Parameters
        ----------
        config : mapping
            A configuration of the space.
        metric : str, optional
            Another one than the problem's: "log_loss", "error" (share of wrong classes) or "rmse".
        """
        config = self.space.decode(self.space.encode([config]))[0]
        train, test = _split(self.data, self.train_size, self.seed)
        return self._score(config, train, test, metric or self.metric)

    def _cross_validated(self, config: Mapping[str, Any]) -> float:
        (x, y), _ = _split(self.data, self.train_size, self.seed)
        scores = [
            self._score(config, (x[fit], y[fit]), (x[rest], y[rest]), self.metric)
            for fit, rest in _folds(self.data, self.train_size, self.seed, self.folds)
        ]
        return float(np.mean(scores))

    def _score(self, config: Mapping[str, Any], train: Data, test: Data, metric: str) -> float:
        """Return the score of a model fitted to `train` on `test`; NaN, a failed evaluation, where fitting fails."""
        regression = self.data == "diabetes"
        with _QUIET, np.errstate(all="ignore"):
            try:
                predicted = fit_predict(
                    self._model_of(config), config, train, test[0], regression=regression, seed=self.seed
                )
            except ValueError:  # the solver diverged
                return math.nan
        return _measure(metric, predicted, test[1])


class GradientBoostingTuning(_Tuning):
    """Gradient boosting: six parameters, real and integer, several on log scales.

    Parameters
    ----------
    data : "breast_cancer", "digits", "wine" or "diabetes", default "breast_cancer"
        The last one is a regression. Digits take several seconds an evaluation, the others less than one.
    metric : "log_loss", "error" or "rmse", optional
        Minimised. Default: mean log-loss for classes, root mean squared error for the regression; "error" is the
        share of wrong classes.
    train_size : int, optional
        Rows for the search; the rest is held out. Default: 250, 300, 90 and 220 for the four data sets.
    folds : int, default 5
    seed : int, default 0
        Of the split, the folds and the models.

    Examples
    --------
    >>> GradientBoostingTuning().default_config["learning_rate"]
    0.1
    """

    def __init__(
        self,
        data: DataName = "breast_cancer",
        *,
        metric: Metric | None = None,
        train_size: int | None = None,
        folds: int = 5,
        seed: int = 0,
    ) -> None:
        super().__init__(
            Space(model_parameters("boosting")),
            data=data,
            metric=metric,
            train_size=train_size,
            folds=folds,
            seed=seed,
            regression_allowed=True,
        )

    @property
    def default_config(self) -> dict[str, Any]:
        """scikit-learn's default hyperparameters."""
        return dict(DEFAULTS["boosting"])

    def _model_of(self, config: Mapping[str, Any]) -> str:
        return "boosting"


class SVMTuning(_Tuning):
    """A support vector classifier with Platt scaling: scaling, C, kernel and, by kernel, gamma, degree, coef0.

    `gamma` is in units of 1 / (d var(x)), so that 1 is scikit-learn's default; `degree` is active for the
    polynomial kernel only, `coef0` for the polynomial and the sigmoid kernel.

    Parameters
    ----------
    data : "breast_cancer", "digits" or "wine", default "breast_cancer"
    metric, train_size, folds, seed
        As for `GradientBoostingTuning`.
    """

    def __init__(
        self,
        data: DataName = "breast_cancer",
        *,
        metric: Metric | None = None,
        train_size: int | None = None,
        folds: int = 5,
        seed: int = 0,
    ) -> None:
        space = Space(model_parameters("svm"))
        super().__init__(space, data=data, metric=metric, train_size=train_size, folds=folds, seed=seed)

    @property
    def default_config(self) -> dict[str, Any]:
        """scikit-learn's default hyperparameters, no scaling of the features."""
        return dict(DEFAULTS["svm"])

    def _model_of(self, config: Mapping[str, Any]) -> str:
        return "svm"


class MLPTuning(_Tuning):
    """A neural network of one or two hidden layers: eight parameters, categorical, integer and real.

    Parameters
    ----------
    data : "breast_cancer", "digits" or "wine", default "digits"
    metric, train_size, folds, seed
        As for `GradientBoostingTuning`; `folds` is 3 by default.
    """

    def __init__(
        self,
        data: DataName = "digits",
        *,
        metric: Metric | None = None,
        train_size: int | None = None,
        folds: int = 3,
        seed: int = 0,
    ) -> None:
        space = Space(model_parameters("mlp"))
        super().__init__(space, data=data, metric=metric, train_size=train_size, folds=folds, seed=seed)

    @property
    def default_config(self) -> dict[str, Any]:
        """scikit-learn's default hyperparameters, no scaling of the features."""
        return dict(DEFAULTS["mlp"])

    def _model_of(self, config: Mapping[str, Any]) -> str:
        return "mlp"


class ClassifierTuning(_Tuning):
    """Which classifier, and its hyperparameters: a mixed space under conditions.

    `model` is "svm", "mlp" or "boosting"; the parameters of `SVMTuning`, `MLPTuning` and `GradientBoostingTuning`
    are active where their model is chosen (19 in all, at most eight at once).

    Parameters
    ----------
    data : "breast_cancer", "digits" or "wine", default "breast_cancer"
    metric, train_size, folds, seed
        As for `GradientBoostingTuning`.

    Examples
    --------
    >>> problem = ClassifierTuning()
    >>> problem.default_config
    {'model': 'svm', 'scaling': 'none', 'C': 1.0, 'kernel': 'rbf', 'gamma': 1.0}
    """

    def __init__(
        self,
        data: DataName = "breast_cancer",
        *,
        metric: Metric | None = None,
        train_size: int | None = None,
        folds: int = 5,
        seed: int = 0,
    ) -> None:
        space = Space(classifier_parameters())
        super().__init__(space, data=data, metric=metric, train_size=train_size, folds=folds, seed=seed)

    @property
    def default_config(self) -> dict[str, Any]:
        """The support vector machine with scikit-learn's defaults: the best of `default_configs` by its score."""
        return self.default_configs["svm"]

    @property
    def default_configs(self) -> dict[str, dict[str, Any]]:
        """Every model's configuration with scikit-learn's default hyperparameters."""
        return {model: {"model": model, **default} for model, default in DEFAULTS.items()}

    def _model_of(self, config: Mapping[str, Any]) -> str:
        return str(config["model"])


class _Quiet:
    """One BLAS thread and no warnings (of solvers that stop early) while any thread of this process is inside.

    Both settings belong to the process: they are made by the first thread that enters and undone by the last one
    that leaves, so that evaluations in several threads leave everything as it was.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._undo = ExitStack()

    def __enter__(self) -> None:
        from threadpoolctl import threadpool_limits

        with self._lock:
            if self._inside == 0:
                self._undo.enter_context(threadpool_limits(1))
                self._undo.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._undo.close()


_QUIET = _Quiet()


@lru_cache(maxsize=8)
def _split(data: str, train_size: int, seed: int) -> tuple[Data, Data]:
    """Return the training part and the held-out part of a data set, stratified by class."""
    try:
        from sklearn import datasets
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise MissingDependencyError(
            'tuning problems need scikit-learn: pip install "blackbox-toolkit[tuning]"'
        ) from error
    x, y = getattr(datasets, f"load_{data}")(return_X_y=True)
    if train_size > len(x) - 30:
        raise SettingError(f"train_size: expected at most {len(x) - 30} for {data!r}, got {train_size}")
    classes = None if data == "diabetes" else y
    parts = train_test_split(x, y, train_size=train_size, stratify=classes, random_state=seed)
    return (parts[0], parts[2]), (parts[1], parts[3])


@lru_cache(maxsize=8)
def _folds(data: str, train_size: int, seed: int, folds: int) -> list[tuple[Any, Any]]:
    """Return the rows to fit and to score on, for each fold."""
    from sklearn.model_selection import KFold, StratifiedKFold

    (x, y), _ = _split(data, train_size, seed)
    kind = KFold if data == "diabetes" else StratifiedKFold
    return list(kind(folds, shuffle=True, random_state=seed).split(x, y))


def _measure(metric: str, predicted: Floats, truth: Any) -> float:
    """Return the metric of class probabilities, shape (n, c), or predictions, shape (n,); NaN where not finite."""
    if not np.isfinite(predicted).all():
        return math.nan
    if metric == "rmse":
        return float(np.sqrt(np.mean((predicted - truth) ** 2)))
    if metric == "error":
        return float(np.mean(predicted.argmax(1) != truth))
    return float(-np.mean(np.log(np.clip(predicted[np.arange(len(truth)), truth], _FLOOR, 1.0))))
