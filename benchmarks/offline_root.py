"""ROOT beside a plain loop of the published program, part by part: `python benchmarks/offline_root.py [tf] [rna]`.

The plain loop is written here from the paper's equations and the published settings: one function at a time, one
Cholesky factorisation each, one automatic gradient a step for low and high ends apart, a data loader of batches of 64,
two backward passes a step, Python loops over parameters for the average of the weights, and two passes of the network
a sampling step. A whole run of it takes hours on one core, so of each part a few repetitions are timed (the least
time counts) and multiplied by how many a run needs; the factorisation is timed on fewer rows and scaled by the cube.
Ours is timed in the same way at the same settings (`ROOT.published`), and its defaults as one whole run. Everything
is CPU time of one thread; the two are interleaved in one process.

The data are random sequences of the shapes of TF-Bind-8 and of the RNA tasks: times do not depend on what is measured.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import blackbox as bb
from blackbox.algorithm import Spec
from blackbox.algorithms.offline._data import Told, training_set
from blackbox.algorithms.offline._root_data import Standardised
from blackbox.algorithms.offline._root_training import PairSource
from blackbox.algorithms.offline.root import ROOT
from blackbox.parameters import Categorical
from blackbox.surrogates.bridge import Bridge, Pairs, Schedule
from blackbox.surrogates.bridge_training import fit_bridge

torch.set_num_threads(1)
FUNCTIONS, STEPS, BATCHES, SAMPLES = 800, 100, 11_520, 200


@dataclass(frozen=True)
class Task:
    """Sequences with values, and how many rows a function of the published program sees."""

    name: str
    length: int
    rows: int
    fitted: int

    def data(self) -> tuple[Spec, Standardised]:
        """Return random sequences whose values are a smooth function with noise."""
        space = bb.Space({f"p{i}": Categorical(list("ACGT")) for i in range(self.length)})
        generator = torch.Generator().manual_seed(0)
        cells = torch.randperm(4 ** min(self.length, 12), generator=generator)[: self.rows]
        x = torch.stack([cells // 4**i % 4 for i in range(min(self.length, 12))], 1)
        more = torch.randint(4, (self.rows, self.length - x.shape[1]), generator=generator)
        x = torch.cat([x, more], 1).double()
        values = torch.sin(x @ torch.randn(self.length, generator=generator).double())
        values = values + 0.5 * torch.randn(self.rows, generator=generator).double()
        spec = Spec(space)
        return spec, Standardised.of(spec, training_set(Told(x, values[:, None])))


def least(action: Callable[[], object], repeats: int = 3) -> float:
    """Return the least CPU time of some repetitions, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        action()
        times.append(time.process_time() - start)
    return min(times)


# -- the plain loop --------------------------------------------------------------------------------------------------


def covariance(a: Tensor, b: Tensor) -> Tensor:
    """Return the covariances of two lists of points."""
    squares = (a**2).sum(1, keepdim=True) + (b**2).sum(1) - 2 * a @ b.T
    return 6.25 * torch.exp(-squares / (2 * 6.25**2))


def plain_factorisation(x: Tensor, y: Tensor) -> Tensor:
    """Return the weights of one posterior mean."""
    kernel = covariance(x, x) + 0.01 * torch.eye(len(x))
    return torch.cholesky_solve(y[:, None], torch.linalg.cholesky(kernel + 1e-3 * torch.eye(len(x))))


def plain_step(points: Tensor, x: Tensor, weights: Tensor, rate: float) -> Tensor:
    """Return the points after one step of gradient ascent (descent for a negative rate)."""
    points = points.detach().requires_grad_()
    value = (covariance(points, x) @ weights).sum()
    (gradient,) = torch.autograd.grad(value, points)
    return (points + rate * gradient).detach()


class PlainNetwork(nn.Module):
    """The published network."""

    def __init__(self, d: int) -> None:
        super().__init__()
        widths = [d + 3, 1024, 1024, 1024]
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [nn.Linear(a, b), nn.SiLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(1024, d))

    def forward(self, x: Tensor, t: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Return the output for points, indices and two values."""
        found: Tensor = self.layers(torch.cat([x, t[:, None], first[:, None], second[:, None]], 1))
        return found


def plain_training(pairs: Pairs, batches: int) -> Callable[[], None]:
    """Return what trains on some batches of 64, a step every two."""
    network, schedule = PlainNetwork(pairs.low.shape[1]), Schedule.of(ROOT.published(sequences=True).bridge)
    averaged = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=200, cooldown=200)
    columns = TensorDataset(pairs.low, pairs.high, pairs.low_value, pairs.high_value)
    loader = DataLoader(columns, batch_size=64, shuffle=True)

    def train() -> None:
        for number, (low, high, low_value, high_value) in enumerate(loader):
            if number == batches:
                break
            t = torch.randint(1000, (len(low),))
            x = schedule.between(high, low, t, torch.randn_like(low))
            told = (torch.rand(len(low)) > 0.15).float()
            found = network(x, t.float(), high_value * told, low_value * told)
            loss = (found - (x - high)).abs().mean()
            loss.backward()
            if number % 2:
                optimizer.step()
                optimizer.zero_grad()
                plateau.step(loss.item())
            if number % 16 == 15:
                for name, p in network.named_parameters():
                    averaged[name] = 0.995 * averaged[name] + 0.005 * p.detach()

    return train


def plain_sampling(bridge: Bridge, low: Tensor, steps: int) -> Callable[[], None]:
    """Return what makes some steps of sampling with two passes of the network each."""
    values = torch.ones(len(low))

    def sample() -> None:
        x = low
        with torch.no_grad():
            for t in range(steps):
                time_ = torch.full((len(low),), float(t))
                told = bridge.predict(x, time_, values, values)
                untold = bridge.predict(x, time_, 0 * values, 0 * values)
                x = x - 1e-3 * (-0.5 * told + 1.5 * untold) + 1e-3 * torch.randn_like(x)

    return sample


# -- the comparison --------------------------------------------------------------------------------------------------


def compare(task: Task) -> None:
    """Print the times of each part."""
    spec, data = task.data()
    ours = ROOT.published(sequences=True, rows=task.fitted)
    rows = torch.randperm(len(data.x))[: task.fitted]
    x, y = data.x[rows], data.y[rows]
    start = data.x[:1024]
    few = min(len(x), 2500)
    weights = torch.randn((len(x), 1)) / 100
    factorisation = least(lambda: plain_factorisation(x[:few], y[:few]), 2) * (len(x) / few) ** 3
    step = least(lambda: plain_step(start, x, weights, 0.05))
    plain_walks = FUNCTIONS * (factorisation + 2 * STEPS * step)

    source = PairSource.of(data, ours.synthetic, ours.walks, 100, torch.Generator().manual_seed(0))
    epochs = source.epochs()
    begun = time.process_time()
    pairs = next(epochs)
    first = time.process_time() - begun
    our_walks = first + 99 * least(lambda: next(epochs), 1)  # the first epoch sets up and checks the interpolation

    train = plain_training(pairs, 32)
    plain_train = least(train) / 32 * BATCHES
    one_epoch = pairs[:2276]  # 16 steps of 128 after a tenth is held out
    our_train = least(lambda: fit_bridge([one_epoch], ours.bridge, torch.Generator().manual_seed(0), epochs=1)) / 16
    our_train *= BATCHES / 2
    bridge = fit_bridge([one_epoch], ours.bridge, torch.Generator().manual_seed(0), epochs=1)
    plain_sample = least(plain_sampling(bridge, start[:128], 10)) / 10 * SAMPLES
    columns = (start[:128], data.y[:128], data.y[:128], replace(ours.sampling, steps=20))
    our_sample = least(lambda: bridge.sample(*columns, torch.Generator().manual_seed(0))) / 20 * SAMPLES

    print(f"{task.name}: {task.fitted} rows a function, {len(start)} starts, published settings; CPU seconds")
    print(f"  {'part':24} {'plain loop':>12} {'ours':>12} {'ratio':>8}")
    parts = [("functions and walks", plain_walks, our_walks), ("training", plain_train, our_train)]
    parts.append(("sampling", plain_sample, our_sample))
    parts.append(("whole run", *(sum(part[k] for part in parts) for k in (1, 2))))
    for name, plain, fast in parts:
        print(f"  {name:24} {plain:12.1f} {fast:12.1f} {plain / fast:8.1f}")
    optimizer = bb.Optimizer(spec.space, ROOT(), seed=0)
    optimizer.tell(spec.space.batch(data.codes), -data.y.double())
    whole = least(lambda: optimizer.ask(128), 1)
    print(f"  {'ours, defaults, measured':24} {'':12} {whole:12.1f} {parts[-1][1] / whole:8.1f}", flush=True)


TASKS = {"tf": Task("TF-Bind-8", 8, 32_768, 15_000), "rna": Task("RNA", 14, 5_000, 5_000)}

if __name__ == "__main__":
    for chosen in sys.argv[1:] or list(TASKS):
        compare(TASKS[chosen])
