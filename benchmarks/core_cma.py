"""What `CMAES` costs over bare pycma: one generation of ask and tell, side by side in the same run."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from table import Row

from blackbox.algorithms import CMAES
from blackbox.optimizer import Optimizer
from blackbox.space import Space

LIMIT = 1.15  # of bare pycma's time
DIMENSIONS = (10, 40, 100)


def _bare(d: int) -> Any:
    """Return pycma on the same task: the unit cube as its bounds, quiet, the same population."""
    import cma

    rng = np.random.default_rng(0)
    options = {
        "bounds": [0, 1],
        "verbose": -10,
        "verb_log": 0,
        "seed": np.nan,
        "signals_filename": None,
        "randn": lambda *shape: rng.standard_normal(shape),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cma.CMAEvolutionStrategy(d * [0.4], 0.25, options)


def _generation_of_pycma(es: Any, weights: np.ndarray[Any, Any]) -> float:
    started = time.process_time()
    es.stop()
    points = es.ask()
    asked = time.process_time()
    values = ((np.array(points) - 0.3) ** 2 @ weights).tolist()
    resumed = time.process_time()
    es.tell(points, values)
    return asked - started + time.process_time() - resumed


def _generation_of_ours(optimizer: Optimizer, weights: torch.Tensor) -> float:
    started = time.process_time()
    batch = optimizer.ask()  # tells the kernel what came in before
    asked = time.process_time()
    values = (batch.x - 0.3) ** 2 @ weights
    resumed = time.process_time()
    optimizer.tell(batch, values)
    return asked - started + time.process_time() - resumed


def _pair(d: int, generations: int) -> tuple[float, float]:
    """Return the median seconds of CPU of a generation through the optimizer and of bare pycma, interleaved."""
    optimizer = Optimizer(Space.box([0.0] * d, [1.0] * d), CMAES(x0=[0.4] * d, diagonal=False), seed=0)
    es = _bare(d)
    weights = torch.logspace(0, 3, d, dtype=torch.float64)
    ours, bare = [], []
    for generation in range(generations):
        first = generation % 2
        if first:
            ours.append(_generation_of_ours(optimizer, weights))
        bare.append(_generation_of_pycma(es, weights.numpy()))
        if not first:
            ours.append(_generation_of_ours(optimizer, weights))
    return statistics.median(ours), statistics.median(bare)


def run(generations: int = 200) -> Iterator[Row]:
    """Yield one row a dimension: microseconds of CPU of a generation, ours and pycma's."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for d in DIMENSIONS:
            _pair(d, 20)
            ours, bare = _pair(d, generations)
            target = f"<= {LIMIT} x pycma: {ours / bare:.2f}"
            yield Row(f"ask + tell of a generation of CMAES, d = {d}", ours * 1e6, "us", bare * 1e6, "pycma", target)
    finally:
        torch.set_num_threads(threads)
