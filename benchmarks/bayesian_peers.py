"""Ax, HEBO and pycma as loops of points, for the benchmarks of Bayesian optimization.

Ax and HEBO are not needed to run those. Install them into an environment of their own beside this package:
`pip install ax-platform` and `pip install HEBO` (HEBO 0.3.6 asks for an old pymoo; `pip install --no-deps HEBO
disjoint-set` runs with a current one).
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Points = Iterator[tuple[Array, Callable[[float], None]]]


def ax_loop(lower: Array, upper: Array, seed: int, known: tuple[Array, Array] | None = None) -> Points:
    """Yield points of Ax's default generation strategy."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    from ax.api.client import Client
    from ax.api.configs import RangeParameterConfig

    client = Client(random_seed=seed)
    names = [f"x{i}" for i in range(len(lower))]
    client.configure_experiment(
        parameters=[
            RangeParameterConfig(name=name, parameter_type="float", bounds=(float(a), float(b)))
            for name, a, b in zip(names, lower, upper, strict=True)
        ]
    )
    client.configure_optimization(objective="-value")
    for row, value in zip(*known, strict=True) if known is not None else ():
        index = client.attach_trial(parameters=dict(zip(names, row.tolist(), strict=True)))
        client.complete_trial(trial_index=index, raw_data={"value": float(value)})
    while True:
        ((index, parameters),) = client.get_next_trials(max_trials=1).items()
        point = np.array([float(parameters[name]) for name in names])
        yield (
            point,
            lambda value, index=index: client.complete_trial(  # type: ignore[misc]
                trial_index=index, raw_data={"value": float(value)}
            ),
        )


def hebo_loop(lower: Array, upper: Array, seed: int, known: tuple[Array, Array] | None = None) -> Points:
    """Yield points of HEBO with its defaults."""
    warnings.simplefilter("ignore")
    import pandas
    from hebo.design_space.design_space import DesignSpace
    from hebo.optimizers.hebo import HEBO

    np.random.seed(seed)  # noqa: NPY002  # it draws from the global generators
    names = [f"x{i}" for i in range(len(lower))]
    columns: list[dict[str, Any]] = [
        {"name": name, "type": "num", "lb": float(a), "ub": float(b)}
        for name, a, b in zip(names, lower, upper, strict=True)
    ]
    optimizer = HEBO(DesignSpace().parse(columns), scramble_seed=seed)
    if known is not None:
        optimizer.observe(pandas.DataFrame(known[0], columns=names), known[1].reshape(-1, 1))
    while True:
        with contextlib.redirect_stdout(io.StringIO()):
            suggestion = optimizer.suggest(n_suggestions=1)
        point = suggestion[names].to_numpy(dtype=float)[0]
        yield (
            point,
            lambda value, suggestion=suggestion: optimizer.observe(suggestion, np.array([[value]])),  # type: ignore[misc]
        )


def cma_loop(lower: Array, upper: Array, seed: int) -> Points:
    """Yield points of pycma with its defaults: from the centre, then from anywhere, sigma 0.3 of the box."""
    import cma

    options = {"bounds": [0.0, 1.0], "verbose": -9, "verb_log": 0}
    start, random = np.full(len(lower), 0.5), np.random.default_rng(seed)
    while True:
        strategy = cma.CMAEvolutionStrategy(start, 0.3, options | {"seed": int(random.integers(1, 2**31))})
        while not strategy.stop():
            candidates, values = strategy.ask(), []
            for u in candidates:
                yield lower + u * (upper - lower), values.append
            strategy.tell(candidates, values)
        start = random.random(len(lower))
