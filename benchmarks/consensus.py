"""Consensus-based optimization beside CBXpy, in one run: `python benchmarks/consensus.py [success] [time] [polar]`.

CBXpy (`pip install cbx`) runs at the best setting known for it: component-wise noise, sigma 10.1, dt 0.01, alpha 30
growing by 5 % a step up to 1e5, 40 particles (100 for d = 100), started where ours start; for Ackley also sigma 5.1
with alpha 30, and the better of both counts. Ours runs its defaults everywhere: 20 particles, no settings, and may make
half of CBXpy's evaluations.

A run succeeds when the best point so far lies within 0.25 of the minimiser in every coordinate; the median number of
evaluations is over successful runs of those after which it stayed so. Times are CPU times of one thread, ours and the
peer's interleaved, the least of many repeats; all include the objective. CBXpy's step has no ask and tell; `default`
and `textbook` are our steps without them, `ask, tell` is the default through an `Optimizer`, with all that it checks
and keeps. `--long` runs the full table of d = 100.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import blackbox as bb
from blackbox.algorithms import ConsensusBased
from blackbox.algorithms.consensus import (
    Settings,
    cluster_minima,
    learn,
    minimize_many,
    next_points,
    start,
)

torch.set_num_threads(1)
Array = NDArray[np.float64]
CASES = ("centre", "shift 1", "shift 2", "random", "one-sided")


@dataclass(frozen=True)
class Function:
    """A test function, for tensors and for arrays, of points relative to the minimiser."""

    name: str
    tensor: Callable[[Tensor], Tensor]
    array: Callable[[Array], Array]


def rastrigin(z: Tensor) -> Tensor:
    wave = torch.mul(z, 2 * math.pi).cos_().mul_(-10).add_(10)  # one new tensor, as below
    return wave.addcmul_(z, z).sum(-1)


def rastrigin_array(z: Array) -> Array:
    wave = z * (2 * math.pi)
    np.cos(wave, out=wave)
    wave *= -10
    wave += 10
    wave += z * z
    values: Array = wave.sum(-1)
    return values


def ackley(z: Tensor) -> Tensor:
    smooth = -20 * torch.exp(-0.2 * z.square().mean(-1).sqrt())
    return smooth - torch.exp(torch.cos(2 * math.pi * z).mean(-1)) + 20 + math.e


def ackley_array(z: Array) -> Array:
    smooth = -20 * np.exp(-0.2 * np.sqrt((z**2).mean(-1)))
    values: Array = smooth - np.exp(np.cos(2 * math.pi * z).mean(-1)) + 20 + math.e
    return values


RASTRIGIN = Function("Rastrigin", rastrigin, rastrigin_array)
ACKLEY = Function("Ackley", ackley, ackley_array)


class Score:
    """When the best point of each run came, and stayed, within 0.25 of the minimiser."""

    def __init__(self, runs: int) -> None:
        self.best = np.full(runs, np.inf)
        self.hit = np.full(runs, np.inf)

    def add(self, z: Array, values: Array, used: int) -> None:
        """Take the points (B, n, d), relative to the minimiser, and values (B, n) of one step."""
        row = np.argmin(values, 1)
        here = np.arange(len(values))
        better = values[here, row] < self.best
        self.best[better] = values[here, row][better]
        near = np.abs(z[here, row]).max(-1) < 0.25
        self.hit[better & ~near] = np.inf
        self.hit[better & near & np.isinf(self.hit)] = used

    def text(self) -> str:
        """Return success and median evaluations."""
        good = self.hit[np.isfinite(self.hit)]
        return f"{len(good) / len(self.hit):5.2f} {np.median(good) if len(good) else math.nan:9.0f}"


def problem(case: str, runs: int, dim: int) -> tuple[Array, float]:
    """Return the minimisers (B, 1, d) of a case, and where starts begin (they end at 3)."""
    where = np.zeros((runs, 1, dim))
    if case.startswith("shift"):
        where += float(case[-1])
    if case == "random":
        where = np.random.default_rng(1).uniform(-2.5, 2.5, (runs, 1, dim))
    return where, 1.0 if case == "one-sided" else -3.0


def ours(function: Function, dim: int, case: str, runs: int, evaluations: int) -> Score:
    """Run our defaults."""
    where, first = problem(case, runs, dim)
    shift, lower, score = torch.from_numpy(where).float(), torch.full((dim,), -3.0), Score(runs)
    minimize_many(
        lambda x: function.tensor(x - shift),
        lower,
        -lower,
        runs=runs,
        evaluations=evaluations,
        generator=torch.Generator().manual_seed(0),
        start_lower=torch.full((dim,), first),
        watch=lambda x, f, used: score.add((x - shift).numpy(), f.numpy(), used),
    )
    return score


def peers(
    function: Function, dim: int, case: str, runs: int, evaluations: int, *, sigma: float, growing: bool, n: int
) -> Score:
    """Run CBXpy."""
    where, first = problem(case, runs, dim)
    x = np.random.default_rng(0).uniform(first, 3, (runs, n, dim))
    np.random.seed(0)  # noqa: NPY002 - CBXpy draws from the global state
    score, used = Score(runs), 0

    def objective(x: Array) -> Array:
        nonlocal used
        used += n
        values = function.array(x - where)
        score.add(x - where, values, used)
        return values

    step = peer_step(objective, x, sigma)
    while used + n <= evaluations:
        step(growing)
    return score


def peer_step(objective: Callable[[Array], Array], x: Array, sigma: float) -> Callable[[bool], None]:
    """Return CBXpy's step on particles x (B, n, d), with alpha times 1.05 afterwards if asked for."""
    runs, n, dim = x.shape
    dynamics: Any = import_module("cbx.dynamics").CBO(
        objective,
        d=dim,
        x=x,
        M=runs,
        N=n,
        sigma=sigma,
        dt=0.01,
        lamda=1.0,
        alpha=30.0,
        noise="anisotropic",
        max_it=10**9,
        verbosity=0,
        f_dim="3D",
        check_f_dims=False,
        track_args={"names": []},
    )
    grow = import_module("cbx.scheduler").multiply(name="alpha", factor=1.05, maximum=1e5)

    def step(growing: bool) -> None:
        dynamics.step()
        if growing:
            grow.update(dynamics)

    return step


def success(long: bool) -> None:
    """Print success and evaluations for all cases."""
    budgets = {10: (40_000, 20), 20: (110_000, 20), 100: (1_000_000 if long else 480_000, 4)}
    print(f"{'':<32}{'ours: success, evaluations':<30}{'CBXpy: success, evaluations':<30}")
    for function in (RASTRIGIN, ACKLEY):
        for dim, (most, runs) in budgets.items():
            half = most // 2
            for case in CASES if dim < 100 or long else ("centre", "random"):
                mine = ours(function, dim, case, runs, half)
                n = 40 if dim < 100 else 100
                tried = [(10.1, True)] + ([(5.1, False)] if function is ACKLEY else [])
                theirs = [
                    peers(function, dim, case, runs, most, sigma=sigma, growing=growing, n=n)
                    for sigma, growing in tried
                ]
                best = min(theirs, key=lambda score: (np.isinf(score.hit).sum(), np.median(score.hit)))
                print(f"{function.name:<10} d {dim:<4} {case:<14}{mine.text():<30}{best.text():<30}", flush=True)


def least_times(actions: list[Callable[[], None]], steps: int, repeats: int) -> list[float]:
    """Return the least CPU seconds of each action, taken in turns."""
    least = [math.inf] * len(actions)
    for _ in range(repeats):
        for k, action in enumerate(actions):
            begin = time.process_time()
            for _ in range(steps):
                action()
            least[k] = min(least[k], (time.process_time() - begin) / steps)
    return least


def our_step(settings: Settings, runs: int, n: int, dim: int, dtype: torch.dtype) -> Callable[[], None]:
    """Return one step of ours on Rastrigin, the objective included."""
    generator = torch.Generator().manual_seed(0)
    lower, width = torch.full((dim,), -3.0, dtype=dtype), torch.full((dim,), 6.0, dtype=dtype)
    ensemble = start(settings, torch.rand((runs, n, dim), generator=generator, dtype=dtype))

    def step() -> None:
        nonlocal ensemble
        values = rastrigin(torch.addcmul(lower, ensemble.x, width))
        ensemble = next_points(settings, learn(settings, ensemble, ensemble.x, values), generator)

    return step


def asked_step(n: int, dim: int, dtype: torch.dtype) -> Callable[[], None]:
    """Return one step of our default on Rastrigin through ask and tell, the objective included."""
    space = bb.Space.box([-3.0] * dim, [3.0] * dim)
    optimizer = bb.Optimizer(space, ConsensusBased(particles=n), seed=0, dtype=dtype)

    def step() -> None:
        batch = optimizer.ask()
        optimizer.tell(batch, rastrigin(batch.x))

    return step


def their_step(runs: int, n: int, dim: int) -> Callable[[], None]:
    """Return one step of CBXpy on Rastrigin, the objective included."""
    x = np.random.default_rng(0).uniform(-3, 3, (runs, n, dim))
    step = peer_step(rastrigin_array, x, 10.1)
    return lambda: step(False)


def times() -> None:
    """Print CPU time per step."""
    kinds = [("default", Settings()), ("textbook", Settings.classic())]
    types = (torch.float32, torch.float64)
    makers = [(f"{name} {str(t)[6:]}", s, t) for name, s in kinds for t in types]
    heads = [name for name, _, _ in makers] + [f"ask, tell {str(t)[6:]}" for t in types]
    print(f"{'':<32}{'CBXpy':>10}" + "".join(f"{name:>18}" for name in heads))
    for runs, n, dim in (
        (1, 1000, 10),
        (1, 1000, 20),
        (1, 1000, 100),
        (1000, 20, 20),
        (1000, 100, 10),
        (1000, 20, 100),
    ):
        actions = [their_step(runs, n, dim), *(our_step(s, runs, n, dim, t) for _, s, t in makers)]
        if runs == 1:
            actions += [asked_step(n, dim, t) for t in types]
        found = least_times(actions, *((40, 40) if runs == 1 else (1, 8)))
        unit, scale = ("ms a step", 1e3) if runs == 1 else ("ns a coordinate", 1e9 / (runs * n * dim))
        head = f"{runs} x {n} x {dim}, {unit}"
        print(f"{head:<32}{found[0] * scale:10.3f}" + "".join(f"{t * scale:18.3f}" for t in found[1:]), flush=True)


def polar() -> None:
    """Print in how many of 100 runs all four minima of Himmelblau's function are found."""
    minima = torch.tensor([[3, 2], [-2.805118, 3.131312], [-3.779310, -3.283186], [3.584428, -1.848126]])
    lower = torch.full((2,), -5.0)
    done = minimize_many(
        lambda x: (x[..., 0] ** 2 + x[..., 1] - 11) ** 2 + (x[..., 0] + x[..., 1] ** 2 - 7) ** 2,
        lower,
        -lower,
        runs=100,
        particles=100,
        evaluations=8_000,
        settings=Settings.several_minima(),
        generator=torch.Generator().manual_seed(0),
    )
    found = 0
    for y, f in zip(done.ensemble.y, done.ensemble.f, strict=True):
        points, least = cluster_minima(-5 + 10 * y, f, 1.0)
        points = points[least < 1]
        found += len(points) == 4 and bool((torch.cdist(minima, points).amin(1) < 0.25).all())
    print(f"Himmelblau: all four minima in {found} of 100 runs of 8,000 evaluations")


if __name__ == "__main__":
    wanted = [word for word in sys.argv[1:] if not word.startswith("--")] or ["success", "time", "polar"]
    if "polar" in wanted:
        polar()
    if "time" in wanted:
        times()
    if "success" in wanted:
        success("--long" in sys.argv)
