"""ParetoFlow at the published sizes beside a plain loop of the published program.

    python benchmarks/offline_pareto_flow.py [--set ZDT2] [--rows 60000] [--repeats 3] [--whole] [--equal]

By default single steps of each stage are timed (the least of the repeats) and multiplied by how many a whole run makes:
such seconds are extrapolated, and say so. The plain loop makes 200 passes over the data for the predictors, and so does
"equal passes"; `ParetoFlow.published()` makes 100, with a learning rate that ends where the other does, which is given
beside it; `--equal` measures whether predictors are as good after these (20000 rows, 256 units, errors on rows held out
and on the better rows that the set withholds). The flow makes as many passes on both sides as are given (their early
stopping differs). `--whole` runs both sides from the data to 256 designs, at a reduced size (20000 rows, predictors of
1024 units, 200 passes of the loop and 100 of ours, as published; the flow makes 50 on both sides), and prints the share
of the gap that each closes and the seconds of each, measured. `--rows 60000 --width 2048` is the whole size: 3 hours.

The plain loop: one network an objective, one after the other, batches of 128 in float32; a flow in batches of 128; 800
Euler steps; 200 guided steps in which filter, choice and archive go over the weights one by one.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

import blackbox as bb
from blackbox.algorithm import Spec
from blackbox.algorithms import NSGA2, ParetoFlow
from blackbox.algorithms.evolutionary.reference import das_dennis
from blackbox.algorithms.evolutionary.survival import survive_nsga2
from blackbox.algorithms.offline._archive import assign
from blackbox.algorithms.offline._evolving import evolve
from blackbox.algorithms.offline._guidance import Box, sample_guided
from blackbox.algorithms.offline._streams import Frame, make_streams
from blackbox.problems import OfflineSet
from blackbox.surrogates.ensemble import EnsembleSettings, fit_ensemble
from blackbox.surrogates.flow import FlowSettings, fit_flow
from blackbox.surrogates.scaling import Scaling

torch.set_num_threads(1)


# -- the plain loop ------------------------------------------------------------------------------------------------


def plain_predictor(x: Tensor, y: Tensor, width: int, epochs: int, steps: int | None = None) -> nn.Sequential:
    """Return one network trained as published: best epoch by validation correlation; `steps` cuts an epoch short."""
    net = nn.Sequential(
        nn.Linear(x.shape[1], width), nn.LeakyReLU(), nn.Linear(width, width), nn.LeakyReLU(), nn.Linear(width, 1)
    )
    adam = torch.optim.Adam(net.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.ExponentialLR(adam, 0.98)
    order = torch.randperm(len(x))
    held, learned = order[: len(x) // 10], order[len(x) // 10 :]
    best, kept = -2.0, {name: t.clone() for name, t in net.state_dict().items()}
    for _ in range(epochs):
        for rows in learned[torch.randperm(len(learned))].split(128)[:steps]:
            loss = nn.functional.mse_loss(net(x[rows])[:, 0], y[rows])
            adam.zero_grad()
            loss.backward()
            adam.step()
        schedule.step()
        if steps is None:
            with torch.no_grad():
                found = float(torch.corrcoef(torch.stack([net(x[held])[:, 0], y[held]]))[0, 1])
            if found > best:
                best, kept = found, {name: t.clone() for name, t in net.state_dict().items()}
    net.load_state_dict(kept)
    return net


class PlainFlow(nn.Module):
    """The published velocity: the time mapped linearly and added to the point."""

    def __init__(self, d: int, width: int) -> None:
        super().__init__()
        self.time = nn.Linear(1, d)
        self.net = nn.Sequential(
            nn.Linear(d, width), nn.SELU(), nn.Linear(width, width), nn.SELU(),
            nn.Linear(width, width), nn.SELU(), nn.Linear(width, d),
        )  # fmt: skip

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Return v(x, t)."""
        out: Tensor = self.net(x + self.time(t))
        return out


def plain_flow(x: Tensor, width: int, epochs: int, steps: int | None = None) -> PlainFlow:
    """Return a flow trained as published, without its early stopping."""
    flow = PlainFlow(x.shape[1], width)
    adam = torch.optim.Adam(flow.parameters(), lr=1e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(128)[:steps]:
            x1, t = x[rows], torch.rand(len(rows), 1)
            x0 = torch.randn_like(x1)
            loss = nn.functional.mse_loss(flow((1 - t) * x0 + t * x1, t), x1 - x0)
            adam.zero_grad()
            loss.backward()
            adam.step()
    return flow


def plain_sampling(
    flow: PlainFlow, nets: list[nn.Sequential], x: Tensor, y: Tensor, box: Box, steps: range = range(999)
) -> Tensor:
    """Return 256 designs by the published sampling, its signs and bounds mended; with some of its 999 steps."""
    m, n = len(nets), 300
    weights = das_dennis(m, 299 if m == 2 else 23, dtype=torch.float32)
    n = len(weights)
    unit = weights / weights.norm(dim=1, keepdim=True)
    near = (unit @ unit.T).topk(m + 1).indices
    angles = (unit @ unit.T).clamp(-1, 1).acos().topk(m + 1, largest=False).values[:, 1:].mean(1)
    rows = survive_nsga2(y, n)[0]
    archive = [x[row] for row in rows]
    worth = [-float(weights[i] @ y[row]) for i, row in enumerate(rows)]
    state, dt = torch.randn(n, x.shape[1]), 1 / 999

    def predict(z: Tensor) -> Tensor:
        return torch.cat([net(z) for net in nets], 1)

    for step in steps:
        t = torch.full((n, 1), step * dt)
        with torch.no_grad():
            v = flow(state, t)
        if step * dt < 0.8:
            state = state + v * dt
            continue
        ahead = box.clip(state + (1 - t) * v).requires_grad_()
        (gradient,) = torch.autograd.grad(-(weights * predict(ahead)).sum(), ahead)
        state = state + (v + 2 * (1 - t) / t * gradient) * dt
        with torch.no_grad():
            offspring = [state + 0.1 * dt**0.5 * torch.randn_like(state) for _ in range(5)]
            designs = [box.clip(o + (1 - t - dt) * flow(o, t + dt)) for o in offspring]
            values = [predict(design) for design in designs]
            chosen = []
            for i in range(n):
                pool = [(o, int(j)) for o in range(5) for j in near[i]]
                found = torch.stack([values[o][j] for o, j in pool])
                angle = nn.functional.cosine_similarity(-found, weights[i : i + 1]).clamp(-1, 1).acos()
                score = -(found @ weights[i])
                inside = angle <= angles[i]
                pick = int(torch.where(inside, score, -torch.inf).argmax() if inside.any() else angle.argmin())
                o, j = pool[pick]
                chosen.append(offspring[o][j])
                if float(score[pick]) > worth[i]:
                    worth[i], archive[i] = float(score[pick]), designs[o][j]
            state = torch.stack(chosen)
    with torch.no_grad():
        found = torch.stack(archive)
        return found[survive_nsga2(predict(found), min(256, n))[0]]


# -- timing --------------------------------------------------------------------------------------------------------


def least(action: Callable[[], object], repeats: int) -> float:
    """Return the least seconds of the repeats."""
    seconds = []
    for _ in range(repeats):
        started = time.process_time()
        action()
        seconds.append(time.process_time() - started)
    return min(seconds)


def table_of(problem: OfflineSet, rows: int) -> tuple[Tensor, Tensor, Scaling]:
    """Return standardised points and values, float32, and the scaling of the unit cube."""
    x, values = (part[:rows] for part in problem.dataset)
    u = problem.space.to_unit(x)
    inputs, outputs = Scaling.of(u), Scaling.of(values)
    return inputs.apply(u).float(), outputs.apply(values).float(), inputs


def steps_of(problem: OfflineSet, rows: int, flow_passes: int, repeats: int) -> None:
    """Time single steps of both sides and print what whole runs at the published sizes would take."""
    z, y, inputs = table_of(problem, rows)
    (n, d), m = z.shape, y.shape[1]
    box = Box(inputs.apply(torch.zeros(d)).float(), inputs.apply(torch.ones(d)).float())
    ours = ParetoFlow.published()
    predictors, flow = ours.predictors, ours.flow
    assert predictors is not None
    assert flow is not None
    generator = torch.Generator().manual_seed(0)
    few, more = 2, 8
    learned = 0.9 * n
    # Differences of many and few steps: what is done once a training does not count for every step.
    a = least(lambda: plain_predictor(z[:2048], y[:2048, 0], 2048, 1, more), repeats)
    a = (a - least(lambda: plain_predictor(z[:2048], y[:2048, 0], 2048, 1, few), repeats)) / (more - few)
    a /= 128  # a row and objective; its scoring of held-out rows is left out
    one_epoch = replace(predictors, epochs=1, validation_share=0.1)

    def train(steps: int) -> None:
        rows = round(steps * predictors.batch_size / 0.9)
        fit_ensemble(z[:rows], y[:rows], one_epoch, generator)

    b = (least(lambda: train(more), repeats) - least(lambda: train(few), repeats)) / (more - few)
    b /= predictors.batch_size
    found = [
        ("predictors, 200 passes", a * m * learned * 200, b * learned * 200),
        (f"ours {predictors.epochs} passes", a * m * learned * 200, b * learned * predictors.epochs),
    ]
    a = least(lambda: plain_flow(z[: 20 * 128], 512, 1), repeats) / (20 * 128)
    our_rows = round(more * flow.batch_size / 0.9) + 2
    b = least(lambda: fit_flow(z[:our_rows], replace(flow, epochs=1), generator), repeats) / (our_rows * 0.9)
    found.append((f"flow, {flow_passes} passes", a * learned * flow_passes, b * learned * flow_passes))
    nets = [plain_predictor(z[:256], y[:256, j], 2048, 1, 1) for j in range(m)]
    net = plain_flow(z[:256], 512, 1)
    none = least(lambda: plain_sampling(net, nets, z, y, box, range(0)), repeats)
    early = (least(lambda: plain_sampling(net, nets, z, y, box, range(50)), repeats) - none) / 50
    late = (least(lambda: plain_sampling(net, nets, z, y, box, range(900, 903)), repeats) - none) / 3
    ensemble = fit_ensemble(z[:256], y[:256], one_epoch, generator)
    fitted = fit_flow(z[:256], replace(flow, epochs=1), generator)

    def sample(rounds: int, steps: int) -> None:
        streams = make_streams(m, ours.guidance.streams, None, device=z.device)
        start = survive_nsga2(y, len(streams))[0]
        guidance = replace(ours.guidance, rounds=rounds, guided_steps=steps)
        first = assign(z[start], y[start], streams, Frame.of(y[start]), guidance.scalarisation)
        predict = lambda q: ensemble.predict_scaled(q).mean(0)  # noqa: E731
        sample_guided(fitted.velocity, predict, first, streams, box, guidance, generator)

    def refine(generations: int) -> None:
        first = problem.dataset[0][:300]
        predict = lambda x: ensemble.predict_scaled(inputs.apply(problem.space.to_unit(x)).float()).mean(0)  # noqa: E731
        evolve(Spec(problem.space, m), NSGA2(population_size=300), first, generations, predict, generator)

    short, long = least(lambda: sample(1, 2), repeats), least(lambda: sample(1, 6), repeats)
    each, steps = (long - short) / 4, ours.guidance.rounds * ours.guidance.guided_steps
    refined = 2 * ours.refinement * least(lambda: refine(3), repeats) / 4
    found.append(("sampling", none + 800 * early + 199 * late, short + each * (steps - 2) + refined))
    print(f"{problem.name}, {n} rows, {d} columns, {m} objectives: CPU seconds on one core, extrapolated from steps")
    print(f"  {'':22}{'plain loop':>12}{'ours':>12}{'ratio':>8}")
    as_many, fewer, *others = found
    for name, first in (("whole, equal passes", as_many), (f"whole, ours {predictors.epochs} passes", fewer)):
        found.append((name, *(first[k] + sum(row[k] for row in others) for k in (1, 2))))
    for name, plain, our in found:
        print(f"  {name:22}{plain:12.0f}{our:12.0f}{plain / our:8.1f}", flush=True)


def whole(problem: OfflineSet, rows: int, width: int, seeds: int) -> None:
    """Run both sides at a reduced size, and print seconds and the share of the gap that is closed."""
    print(f"{problem.name}, {rows} rows, {width} units: CPU seconds and gap closed, measured, {seeds} seeds")
    published, passes = ParetoFlow.published(), 50
    small = replace(
        published,
        predictors=replace(published.predictors or EnsembleSettings(), hidden=(width, width)),
        flow=replace(published.flow or FlowSettings(), epochs=passes),
    )
    taken = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        z, y, inputs = table_of(problem, rows)
        d = z.shape[1]
        box = Box(inputs.apply(torch.zeros(d)).float(), inputs.apply(torch.ones(d)).float())
        started = time.process_time()
        nets = [plain_predictor(z, y[:, j], width, 200) for j in range(y.shape[1])]
        found = plain_sampling(plain_flow(z, 512, passes), nets, z, y, box)
        plain = time.process_time() - started
        designs = problem.space.from_unit(inputs.invert(found.double()).clamp(0, 1))
        started = time.process_time()
        optimizer = bb.Optimizer(problem, small, seed=seed)
        optimizer.tell(problem.space.batch(problem.dataset[0][:rows]), problem.dataset[1][:rows])
        ours = optimizer.ask(256)
        seconds = time.process_time() - started
        taken.append(plain / seconds)
        gaps = problem.score(designs).gap_closed, problem.score(ours).gap_closed
        print(f"  plain loop {plain:6.1f} s, gap {gaps[0]:6.3f}; ours {seconds:6.1f} s, gap {gaps[1]:6.3f}", flush=True)
    print(f"  the plain loop takes {sum(taken) / len(taken):.1f} times as long")


def equal(problem: OfflineSet, rows: int) -> None:
    """Train predictors of 256 units as published and as `ParetoFlow.published` does, and print errors and seconds."""
    z, y, inputs = table_of(problem, rows + 2000)
    mean, std = (problem.dataset[1][: rows + 2000].mean(0), problem.dataset[1][: rows + 2000].std(0, correction=0))
    better = inputs.apply(problem.space.to_unit(problem._split[2])).float(), (problem._split[3] - mean) / std
    tests = {"held out": (z[rows:], y[rows:]), "withheld": better}
    settings = replace(ParetoFlow.published().predictors or EnsembleSettings(), hidden=(256, 256), patience=None)
    torch.manual_seed(0)
    started = time.process_time()
    nets = [plain_predictor(z[:rows], y[:rows, j], 256, 200) for j in range(y.shape[1])]
    plain = time.process_time() - started
    started = time.process_time()
    ensemble = fit_ensemble(z[:rows], y[:rows], settings, torch.Generator().manual_seed(0))
    ours = time.process_time() - started
    print(f"{problem.name}, {rows} rows, 256 units: root mean squared errors in deviations, CPU seconds")
    predictors = {
        f"plain loop, 200 passes, {plain:.0f} s": lambda x: torch.cat([net(x) for net in nets], 1),
        f"ours, {settings.epochs} passes, {ours:.0f} s": lambda x: ensemble.predict_scaled(x).mean(0),
    }
    for name, predict in predictors.items():
        with torch.no_grad():
            errors = {test: (predict(x) - v).square().mean(0).sqrt().tolist() for test, (x, v) in tests.items()}
        cells = "; ".join(f"{test} {' '.join(f'{error:.4f}' for error in row)}" for test, row in errors.items())
        print(f"  {name:34}{cells}", flush=True)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="ZDT2")
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--flow-passes", type=int, default=100)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--equal", action="store_true")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--width", type=int, default=1024, help="of the predictors of --whole")
    parser.add_argument("--cache", help="a folder in which regenerated sets are kept")
    options = parser.parse_args()
    problem = OfflineSet(options.set, path=options.cache)
    if options.equal:
        equal(problem, options.rows or 20_000)
    elif options.whole:
        whole(problem, options.rows or 20_000, options.width, options.seeds)
    else:
        steps_of(problem, options.rows or 60_000, options.flow_passes, options.repeats)


if __name__ == "__main__":
    main()
