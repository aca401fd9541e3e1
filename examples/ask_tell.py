"""The two verbs: ask for candidates, tell what came out.

The function below stands for anything expensive: a simulation, an experiment, a training. Run it as it is:

    python examples/ask_tell.py
"""

import math

import blackbox as bb
from blackbox.algorithms import BayesianOptimization


def drag_of_a_wing(config):
    """Return a made-up drag; one corner of the box makes the simulation crash."""
    if config["angle"] > 8 and config["profile"] == "thin":
        return math.nan  # NaN means: this evaluation failed
    camber = config.get("camber", 0.0)  # only cambered profiles have one
    stall = 0.02 * max(0.0, config["angle"] - 6 - camber) ** 2
    return 0.3 + 0.01 * (config["angle"] - 4 - camber) ** 2 + stall + 0.1 * abs(math.log10(config["roughness"]) + 3)


space = bb.Space(
    {
        "angle": bb.Real(0, 12),
        "roughness": bb.Real(1e-5, 1e-1, log=True),
        "profile": bb.Categorical(["thin", "cambered"]),
        "camber": bb.Real(0, 4, when={"profile": "cambered"}),
    }
)

optimizer = bb.Optimizer(space, BayesianOptimization(), seed=0)
for _ in range(25):
    batch = optimizer.ask()
    optimizer.tell(batch, [drag_of_a_wing(config) for config in batch.configs])

result = optimizer.result()
print(f"drag {result.values[0, 0]:.4f} after {result.n_evaluations} evaluations, {result.n_failed} of them failed")
print(result.configs[0])
assert result.values[0, 0] < 0.32, "the optimum is 0.30"
