"""Contexts: some values are given at each ask, such as today's temperature, and the others are to be chosen.

What was learned under other contexts counts. Run it as it is:

    python examples/contexts.py
"""

import numpy as np

import blackbox as bb
from blackbox.algorithms import BayesianOptimization
from blackbox.algorithms.bayesian import LinearConstraint, why

space = bb.Space({"temperature": bb.Real(-10, 35), "heating": bb.Real(0, 10), "fan": bb.Real(0, 10)})


def discomfort(config):
    """Return how far a greenhouse is from 22 degrees and from a light breeze, plus the price of energy."""
    inside = config["temperature"] + 3.0 * config["heating"] - 0.5 * config["fan"]
    return (inside - 22.0) ** 2 / 100.0 + (config["fan"] - 3.0) ** 2 / 50.0 + 0.01 * config["heating"]


power = LinearConstraint({"heating": 1.0, "fan": 0.5}, upper=11.0)  # the fuse: no candidate violates it
optimizer = bb.Optimizer(space, BayesianOptimization(input_constraints=[power]), seed=0)
weather = np.random.default_rng(0)
late = []
for day in range(40):
    temperature = float(weather.uniform(-5, 25))
    batch = optimizer.ask(fixed={"temperature": temperature})
    if day == 39:
        print("day 39:", why(optimizer, batch)[0].sentence)
    value = discomfort(batch.configs[0])
    optimizer.tell(batch, [value])
    if day >= 30:
        late.append(value)

print(f"discomfort of the last ten days, each with another weather: {np.mean(late):.3f} on average")
assert np.median(late) < 0.15, "about 0.05 is possible"
