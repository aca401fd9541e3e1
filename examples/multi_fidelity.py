"""Tune the training of a network with short trainings: the number of epochs is a fidelity.

A network learns handwritten digits. What counts is its error after 32 epochs; most trainings are shorter, and the
search decides which. Their costs, in seconds, are told with the errors, so it learns what is worth its time.
"""

from __future__ import annotations

import time
import warnings

from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

import blackbox as bb
from blackbox.algorithms import BayesianOptimization

EPOCHS = 32
SPACE = bb.Space(
    {
        "rate": bb.Real(1e-4, 1e-1, log=True),
        "units": bb.Integer(8, 128, log=True),
        "decay": bb.Real(1e-6, 1e0, log=True),
        "epochs": bb.Integer(1, EPOCHS, log=True, fidelity=EPOCHS),
    }
)
DIGITS = train_test_split(*load_digits(return_X_y=True), test_size=0.4, random_state=0)


def train(config: dict[str, float]) -> tuple[float, float]:
    """Return the error on held-out digits, and how many seconds the training took."""
    train_x, test_x, train_y, test_y = DIGITS
    network = MLPClassifier(
        hidden_layer_sizes=(int(config["units"]),),
        learning_rate_init=config["rate"],
        alpha=config["decay"],
        max_iter=int(config["epochs"]),
        random_state=0,
    )
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # short trainings are meant to be short
        network.fit(train_x / 16.0, train_y)
    seconds = time.perf_counter() - start
    return float(log_loss(test_y, network.predict_proba(test_x / 16.0))), seconds


def main() -> None:
    """Spend what six whole trainings cost."""
    _, full = train({"rate": 1e-3, "units": 64, "decay": 1e-4, "epochs": EPOCHS})
    optimizer = bb.Optimizer(SPACE, BayesianOptimization(), seed=0)
    spent, trainings, whole = 0.0, 0, 0
    while spent < 6.0 * full and trainings < 24:
        batch = optimizer.ask()
        config = batch.configs[0]
        error, seconds = train(config)
        optimizer.tell(batch, [error], extras={"cost": [seconds]})
        spent, trainings, whole = spent + seconds, trainings + 1, whole + (config["epochs"] == EPOCHS)
    result = optimizer.result()
    kind = "predicted" if result.predicted else "measured"
    print(
        f"{trainings} trainings, {whole} of them of {EPOCHS} epochs, took {spent:.1f} s ({spent / full:.1f} full ones)"
    )
    print(f"error after {EPOCHS} epochs, {kind}: {float(result.values):.4f} with {result.configs[0]}")


if __name__ == "__main__":
    main()
