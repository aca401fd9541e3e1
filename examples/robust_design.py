"""A reactor that earns money on any day: robust design with a random environment and inexact temperatures.

A batch reactor makes a product that decays when it is left too long. Hotter is faster, until the reaction runs away;
where that happens depends on the catalyst, which nobody chooses, and the temperature is never quite what was set. We
maximise what the worst fifth of all batches earn, and compare with the settings that are best for an ordinary batch.
"""

from __future__ import annotations

import numpy as np

import blackbox as bb
from blackbox.algorithms import BayesianOptimization
from blackbox.algorithms.bayesian import CVaR, InputNoise

DESIGN = {"temperature": bb.Real(60.0, 120.0), "minutes": bb.Real(2.0, 60.0)}  # degrees Celsius
CATALYST = bb.Normal(mean=1.0, std=0.15)  # its activity
INEXACT = 0.03  # of the temperature, as a share of its range
EARNINGS = bb.Objective("earnings", maximize=True)


def earn(temperature: float, minutes: float, activity: float) -> float:
    """Return what one batch earns."""
    heat = 1.0 / 363.15 - 1.0 / (temperature + 273.15)
    made, lost = activity * 0.05 * np.exp(9000.0 * heat), activity * 0.008 * np.exp(7000.0 * heat)  # rates a minute
    product = made / (lost - made) * (np.exp(-made * minutes) - np.exp(-lost * minutes))
    runaway = 1.0 / (1.0 + np.exp((108.0 - 40.0 * (activity - 1.0) - temperature) / 2.0))
    return float(100.0 * product - 0.4 * minutes - 60.0 * runaway)


def judge(design: dict[str, float]) -> float:
    """Return the mean earnings of the worst fifth of many batches."""
    random = np.random.default_rng(1)
    inexact = 60.0 * INEXACT * random.normal(size=4000)
    activity = np.clip(1.0 + 0.15 * random.normal(size=4000), 0.5, 1.5)
    earned = [earn(design["temperature"] + e, design["minutes"], a) for e, a in zip(inexact, activity, strict=True)]
    return float(np.mean(np.sort(earned)[:800]))


def search(space: bb.Space, algorithm: BayesianOptimization) -> dict[str, float]:
    """Return the settings that 30 batches find."""
    optimizer = bb.Optimizer(space, algorithm, objectives=[EARNINGS], seed=0)
    for _ in range(30):
        batch = optimizer.ask()
        configs = [{"activity": 1.0, **config} for config in batch.configs]
        optimizer.tell(batch, [earn(**config) for config in configs])
    return dict(optimizer.result().configs[0])


def main() -> None:
    """Search with and without the environment, and judge both settings."""
    ordinary = search(bb.Space(DESIGN), BayesianOptimization())
    catalyst = {"activity": bb.Real(0.5, 1.5, environment=CATALYST)}
    inexact = InputNoise({"temperature": INEXACT})
    robust = search(bb.Space({**DESIGN, **catalyst}), BayesianOptimization(risk=CVaR(0.8), input_noise=inexact))
    for name, design in (("an ordinary batch", ordinary), ("any batch", robust)):
        settings = f"{design['temperature']:.0f} degrees for {design['minutes']:.0f} minutes"
        print(f"best for {name}: {settings}; the worst fifth of batches earn {judge(design):.1f}")


if __name__ == "__main__":
    main()
