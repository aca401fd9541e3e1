"""The main job: tune a real model over a mixed, conditional space, durably, with two workers.

    python examples/main_job.py [--evaluations 60] [--folder runs]

Bayesian optimization chooses among three classifiers and their hyperparameters by cross-validated log-loss; random
search spends the same budget beside it, three times over, since one run may be lucky. All are studies in files: stop
this at any moment, even with SIGKILL, start it again, and it goes on where it was. At the end: the best configuration
with its cross-validated and its held-out score beside scikit-learn's default and beside the median random search, and
a picture of the convergence.
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

import blackbox as bb
from blackbox import plot
from blackbox.algorithms import BayesianOptimization, RandomSearch
from blackbox.problems import ClassifierTuning


def tune(console, problem, algorithm, path, evaluations, seed):
    """Create or resume one study, and run it up to a total of evaluations."""
    with bb.Study(problem, algorithm, path, seed=seed, budget=evaluations) as study:
        name, before = type(algorithm).__name__, study.n_evaluations
        if before:
            console.print(f"{name}: resuming {path} at {before} of {evaluations} evaluations")
        else:
            console.print(f"{name}: a new study in {path}, {evaluations} evaluations")
        study.run(evaluations=evaluations, workers=2)
        return study.result(), plot.History.of(study)


def report(console, problem, results):
    """Print scores: what the search saw, and what it never saw."""
    table = Table(title=f"{problem.name}: cross-validated and held-out log-loss, lower is better")
    for heading in ("", "cross-validated", "held out", "wrong classes, held out", "model"):
        table.add_column(heading)
    for name, config in results.items():
        score = float(problem.evaluate_config(config).values)
        errors = problem.held_out(config, metric="error")
        table.add_row(name, f"{score:.4f}", f"{problem.held_out(config):.4f}", f"{errors:.1%}", config["model"])
    console.print(table)


def main():
    """Run the job."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--evaluations", type=int, default=60, help="in total, for each of the two searches")
    parser.add_argument("--folder", type=Path, default=Path("runs"), help="where the study files are")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)

    console, problem = Console(), ClassifierTuning()
    path = options.folder / "bayesian_optimization.db"
    found, history = tune(console, problem, BayesianOptimization(), path, options.evaluations, seed=0)
    others = [
        tune(console, problem, RandomSearch(), options.folder / f"random_search_{seed}.db", options.evaluations, seed)
        for seed in range(3)
    ]
    median, _ = sorted(others, key=lambda other: float(other[0].values))[1]

    console.print("\nBest configuration found:", found.configs[0])
    report(
        console,
        problem,
        {
            "scikit-learn's default": problem.default_config,
            "Bayesian optimization": found.configs[0],
            "random search, median of 3": median.configs[0],
        },
    )
    picture = options.folder / "convergence.png"
    plot.convergence(
        history,
        label="Bayesian optimization",
        compare={"random search": [other for _, other in others]},
        path=picture,
    )
    console.print(
        f"Picture: {picture}. Run this again and it resumes; add --evaluations {options.evaluations + 30} to go on."
    )


if __name__ == "__main__":
    main()
