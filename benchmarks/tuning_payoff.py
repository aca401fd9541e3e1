"""Does tuning pay off? scikit-learn's defaults beside the best of 60 random configurations.

    python benchmarks/tuning_payoff.py [--configurations 60]

Prints, for each tuning problem, the cross-validated score that the search sees, the held-out score that it does not,
and seconds an evaluation. Two minutes on one core.
"""

from __future__ import annotations

import argparse
import time

import torch

from blackbox.problems import ClassifierTuning, GradientBoostingTuning, MLPTuning, SVMTuning


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configurations", type=int, default=60)
    options = parser.parse_args()
    problems = [
        ClassifierTuning(),
        SVMTuning(),
        GradientBoostingTuning(),
        MLPTuning(),
        GradientBoostingTuning("diabetes"),
    ]
    print(
        f"{'problem':40} {'default cv':>10} {'held out':>9} {'best cv':>9} {'held out':>9} {'s/eval':>7} {'slowest':>8}"
    )
    for problem in problems:
        generator = torch.Generator().manual_seed(0)
        u = torch.rand(options.configurations, problem.space.dim, generator=generator, dtype=torch.float64)
        x = problem.space.from_unit(u)
        default = problem.default_config
        default_score = float(problem.evaluate_config(default).values)
        scores, seconds = [], []
        for row in x:
            start = time.perf_counter()
            scores.append(float(problem(row).values))
            seconds.append(time.perf_counter() - start)
        row = x[int(torch.tensor(scores).nan_to_num(float("inf")).argmin())]
        best = problem.space.decode(row[None])[0]
        print(
            f"{problem.name:40} {default_score:10.4f} {problem.held_out(default):9.4f} {min(scores):9.4f} "
            f"{problem.held_out(best):9.4f} {sum(seconds) / len(seconds):7.2f} {max(seconds):8.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
