"""Compute the Pareto sets of the RE suite that `blackbox.problems.engineering` ships.

    python benchmarks/make_re_fronts.py [--generations 400] [--only RE21,RE36] [--out problems/data/re_pareto_sets.npz]

An archive of non-dominated points is evolved by simulated binary crossover, differential moves and polynomial
mutation, and thinned by a greedy choice of distant points; RE36 is enumerated. Points are kept in float32, so that
what is stored is what was evaluated. About twenty minutes on one core; run again, it gives the same file.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import moocore
import numpy as np
import torch

from blackbox.problems import engineering
from blackbox.problems._re_base import EngineeringProblem

STORED = {2: 400, 3: 800, 4: 2500, 6: 2000}  # by number of objectives
ARCHIVE = {2: 3000, 3: 3000, 4: 6000, 6: 3000}
CHILDREN = 3000


def evaluate(problem: EngineeringProblem, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return x in float32 precision inside the bounds, and its values; rows without finite values are dropped."""
    inside = np.clip(x.astype(np.float32).astype(np.float64), problem.space.lower, problem.space.upper)
    values = problem(torch.from_numpy(inside)).values.numpy()
    finite = np.isfinite(values).all(1)
    return inside[finite], values[finite]


def coordinates(values: np.ndarray) -> np.ndarray:
    """Return objectives in units of their range, beside their ranks in (0, 1): both scales count for distances."""
    low, high = values.min(0), values.max(0)
    linear = (values - low) / np.where(high > low, high - low, 1.0)
    ranks = values.argsort(0).argsort(0) / max(len(values) - 1, 1)
    ranks[:, high <= low] = 0.0
    return np.hstack([linear, 0.4 * ranks])


def spread(values: np.ndarray, n: int) -> np.ndarray:
    """Return n rows in the order of a greedy choice: extremes first, then always the row farthest from all chosen."""
    if len(values) <= n:
        n = len(values)
    points = coordinates(values)
    chosen = list(dict.fromkeys(int(i) for i in values.argmin(0)))
    distance = np.full(len(points), np.inf)
    for row in chosen:
        distance = np.minimum(distance, ((points - points[row]) ** 2).sum(1))
    while len(chosen) < n:
        row = int(distance.argmax())
        chosen.append(row)
        distance = np.minimum(distance, ((points - points[row]) ** 2).sum(1))
    return np.array(chosen[:n])


def vary(x: np.ndarray, problem: EngineeringProblem, rng: np.random.Generator) -> np.ndarray:
    """Return children of archived points: crossover or a differential move, then mutation of some variables."""
    low, high = problem.space.lower, problem.space.upper
    width, dim = high - low, len(low)
    a, b, c = (x[rng.integers(len(x), size=CHILDREN)] for _ in range(3))
    u = rng.random((CHILDREN, dim))
    beta = np.where(u < 0.5, 2 * u, 1 / (2 - 2 * u)) ** (1 / 16)
    crossed = 0.5 * ((1 + beta) * a + (1 - beta) * b)
    moved = a + rng.choice([0.1, 0.5], size=(CHILDREN, 1)) * (b - c)
    child = np.where(rng.random((CHILDREN, 1)) < 0.5, crossed, moved)
    child = np.where(rng.random((CHILDREN, dim)) < 0.3, a, child)
    u = rng.random((CHILDREN, dim))
    step = np.where(u < 0.5, (2 * u) ** (1 / 21) - 1, 1 - (2 - 2 * u) ** (1 / 21))
    scale = 10.0 ** rng.integers(-3, 1, size=(CHILDREN, 1))
    mutated = rng.random((CHILDREN, dim)) < 1.5 / dim
    return np.clip(child + mutated * step * scale * width, low, high)


def evolve(problem: EngineeringProblem, generations: int, seed: int) -> np.ndarray:
    """Return archived points of the last generation, in the order of `spread`."""
    rng = np.random.default_rng(seed)
    x, values = evaluate(problem, rng.uniform(problem.space.lower, problem.space.upper, (20 * CHILDREN, problem.dim)))
    for generation in range(generations + 1):
        keep = moocore.is_nondominated(values)
        x, values = x[keep], values[keep]
        if len(x) > ARCHIVE[problem.m]:
            rows = spread(values, ARCHIVE[problem.m] * 2 // 3)
            x, values = x[rows], values[rows]
        if generation < generations:
            new_x, new_values = evaluate(problem, vary(x, problem, rng))
            x, values = np.vstack([x, new_x]), np.vstack([values, new_values])
    return x[spread(values, STORED[problem.m])]


def enumerate_gears(problem: EngineeringProblem) -> np.ndarray:
    """Return the exact Pareto set of RE36, from all pairs of gears that matter."""
    teeth = np.arange(12, 61, dtype=np.float64)
    pairs = np.array(list(itertools.combinations_with_replacement(teeth, 2)))
    grid = np.array([(*up, *down) for down in pairs for up in pairs])
    x, values = evaluate(problem, grid)
    best = np.flatnonzero(moocore.is_nondominated(values))
    return x[best][spread(values[best], len(best))]


def main() -> None:
    """Compute and store the sets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generations", type=int, default=250)
    parser.add_argument("--only", default=",".join(engineering.__all__))
    parser.add_argument("--out", default="problems/data/re_pareto_sets.npz")
    options = parser.parse_args()
    out = Path(options.out)
    sets = dict(np.load(out)) if out.exists() else {}
    for name in options.only.split(","):
        problem = getattr(engineering, name)()
        x = enumerate_gears(problem) if name == "RE36" else evolve(problem, options.generations, seed=1)
        sets[name] = x.astype(np.float32)
        print(f"{name}: {len(x)} points", flush=True)
    np.savez_compressed(out, **{name: sets[name] for name in sorted(sets)})


if __name__ == "__main__":
    main()
