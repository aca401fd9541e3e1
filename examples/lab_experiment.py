"""A lab experiment by hand: the program proposes, you measure and type, it learns; stop and go on when you like.

A reaction has two conditions and a catalyst; the yield is to be high, and the impurity at most 5 %. Both readings are
noisy. At a terminal it asks you for them; elsewhere a made-up reaction answers. What was told is saved after every
measurement:

    python examples/lab_experiment.py            # goes on where the file ends
"""

import random
import sys
from math import exp
from pathlib import Path

import blackbox as bb
from blackbox.algorithms import BayesianOptimization

FILE = Path("lab_experiment.bb")
SPACE = {
    "temperature": bb.Real(20, 120),  # degrees Celsius
    "minutes": bb.Real(5, 240, log=True),
    "catalyst": bb.Categorical(["none", "A", "B"]),
}


def typed(prompt):
    """Return the number that is typed; ask again after a slip."""
    while True:
        try:
            return float(input(prompt))
        except ValueError:
            print("  expected a number, such as 71.5")


def measure(config):
    """Return what was read: the yield in % and the impurity in %."""
    if sys.stdin.isatty():
        print(", ".join(f"{name} = {value:.4g}" if name != "catalyst" else value for name, value in config.items()))
        return typed("  yield, % (nan if it failed): "), typed("  impurity, %: ")
    rate = {"none": 0.4, "A": 1.0, "B": 1.6}[config["catalyst"]] * exp((config["temperature"] - 70) / 25)
    converted = 1 - exp(-rate * config["minutes"] / 60)
    impurity = 12 * (config["temperature"] / 120) ** 4 * converted + (1.5 if config["catalyst"] == "B" else 0.3)
    return 100 * converted - 2 * impurity + random.gauss(0, 1.0), impurity + random.gauss(0, 0.2)


random.seed(3)  # of the made-up reaction
if FILE.exists():
    optimizer = bb.Optimizer.load(FILE)
else:
    optimizer = bb.Optimizer(
        SPACE, BayesianOptimization(), objectives=bb.Objective("yield", maximize=True), n_constraints=1, seed=0
    )
for _ in range(25):
    batch = optimizer.ask()
    percent, impurity = measure(batch.configs[0])
    optimizer.tell(batch, [percent], violations=[[impurity - 5.0]], variance=[1.0])  # feasible at <= 0
    optimizer.save(FILE)

best = optimizer.result()
print(f"after {best.n_evaluations} measurements: {best.configs[0]}, yield {float(best.values[0, 0]):.1f} %")
assert float(best.violations[0, 0]) <= 0.0
