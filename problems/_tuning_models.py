"""Search spaces, default configurations and estimators of the models that `blackbox.problems.tuning` tunes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from blackbox.parameters import Categorical, Integer, Parameter, Real

__all__ = ["DEFAULTS", "Data", "Floats", "classifier_parameters", "fit_predict", "model_parameters"]

Floats: TypeAlias = NDArray[np.float64]
Data: TypeAlias = tuple[Floats, NDArray[Any]]

_SCALINGS = ("none", "standard", "minmax")

DEFAULTS: dict[str, dict[str, Any]] = {
    "svm": {"scaling": "none", "C": 1.0, "kernel": "rbf", "gamma": 1.0},
    "mlp": {
        "scaling": "none",
        "hidden": 100,
        "layers": 1,
        "activation": "relu",
        "alpha": 1e-4,
        "step_size": 1e-3,
        "batch_size": 200,
        "epochs": 200,
    },
    "boosting": {
        "trees": 100,
        "learning_rate": 0.1,
        "depth": 3,
        "leaf_size": 1,
        "subsample": 1.0,
        "features": 1.0,
    },
}


def model_parameters(model: str) -> dict[str, Parameter]:
    """Return the parameters of "svm", "mlp" or "boosting"; scikit-learn's defaults are inside."""
    scaling: dict[str, Parameter] = {"scaling": Categorical(_SCALINGS)}
    if model == "svm":
        return scaling | {
            "C": Real(1e-2, 1e3, log=True),
            "kernel": Categorical(["rbf", "poly", "sigmoid"]),
            "gamma": Real(1e-2, 1e2, log=True),
            "degree": Integer(2, 5, when={"kernel": "poly"}),
            "coef0": Real(0.0, 1.0, when={"kernel": ["poly", "sigmoid"]}),
        }
    if model == "mlp":
        return scaling | {
            "hidden": Integer(8, 128, log=True),
            "layers": Integer(1, 2),
            "activation": Categorical(["relu", "tanh", "logistic"]),
            "alpha": Real(1e-6, 10.0, log=True),
            "step_size": Real(1e-4, 1e-1, log=True),
            "batch_size": Integer(32, 200, log=True),
            "epochs": Integer(20, 200, log=True),
        }
    return {
        "trees": Integer(10, 200, log=True),
        "learning_rate": Real(1e-2, 1.0, log=True),
        "depth": Integer(1, 6),
        "leaf_size": Integer(1, 20, log=True),
        "subsample": Real(0.3, 1.0),
        "features": Real(0.05, 1.0, log=True),
    }


def classifier_parameters() -> dict[str, Parameter]:
    """Return the parameters of all three models, each under the condition that its model is chosen."""
    parameters: dict[str, Parameter] = {
        "model": Categorical(["svm", "mlp", "boosting"]),
        "scaling": Categorical(_SCALINGS, when={"model": ["svm", "mlp"]}),
    }
    for model in DEFAULTS:
        for name, parameter in model_parameters(model).items():
            if name != "scaling":
                parameters[name] = parameter if parameter.when else replace(parameter, when={"model": model})
    return parameters


def fit_predict(
    model: str, config: Mapping[str, Any], train: Data, x: Floats, *, regression: bool, seed: int
) -> Floats:
    """Fit a model to training data and return what it predicts elsewhere.

    Parameters
    ----------
    model : "svm", "mlp" or "boosting"
    config : mapping
        The model's hyperparameters, inactive ones left out.
    train : tuple of features, shape (r, d), and targets, shape (r,)
    x : array, shape (n, d)
    regression : bool
    seed : int

    Returns
    -------
    array
        Class probabilities, shape (n, c), or predictions, shape (n,).
    """
    features, targets = train
    if config.get("scaling", "none") != "none":
        from sklearn.preprocessing import MinMaxScaler, StandardScaler

        scaler = (StandardScaler() if config["scaling"] == "standard" else MinMaxScaler()).fit(features)
        features, x = scaler.transform(features), scaler.transform(x)
    make = {"svm": _svm, "mlp": _mlp, "boosting": _boosting}[model]
    fitted = make(config, features, regression, seed).fit(features, targets)
    return np.asarray(fitted.predict(x) if regression else fitted.predict_proba(x))


def _svm(config: Mapping[str, Any], features: Floats, regression: bool, seed: int) -> Any:
    """Return a machine with probabilities by Platt scaling; gamma = 1 is scikit-learn's "scale"."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.model_selection import StratifiedKFold
    from sklearn.svm import SVC

    machine = SVC(
        C=config["C"],
        kernel=config["kernel"],
        gamma=config["gamma"] / (features.shape[1] * features.var()),
        degree=config.get("degree", 3),
        coef0=config.get("coef0", 0.0),
    )
    folds = StratifiedKFold(3, shuffle=True, random_state=seed)
    return CalibratedClassifierCV(machine, cv=folds, ensemble=False)


def _mlp(config: Mapping[str, Any], features: Floats, regression: bool, seed: int) -> Any:
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(
        (config["hidden"],) * config["layers"],
        activation=config["activation"],
        alpha=config["alpha"],
        learning_rate_init=config["step_size"],
        batch_size=min(config["batch_size"], len(features)),
        max_iter=config["epochs"],
        random_state=seed,
    )


def _boosting(config: Mapping[str, Any], features: Floats, regression: bool, seed: int) -> Any:
    from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

    kind = GradientBoostingRegressor if regression else GradientBoostingClassifier
    return kind(
        n_estimators=config["trees"],
        learning_rate=config["learning_rate"],
        max_depth=config["depth"],
        min_samples_leaf=config["leaf_size"],
        subsample=config["subsample"],
        max_features=config["features"],
        random_state=seed,
    )
