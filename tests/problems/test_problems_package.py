"""The package of problems: names, summaries, light import."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest
import torch

import blackbox.problems as problems
from blackbox import Problem


def test_every_public_name_exists_and_is_found_where_it_says() -> None:
    homes = {name for names in problems._HOMES.values() for name in names}
    assert homes | {"available"} == set(problems.__all__)
    for module, names in problems._HOMES.items():
        for name in names:
            found = getattr(problems, name)
            assert found.__name__ == name
            assert (
                module in ("engineering", "multi_objective", "offline")
                or found.__module__ == f"blackbox.problems.{module}"
            )
    with pytest.raises(AttributeError, match="Brannin"):
        _ = problems.Brannin


def test_available_problems_can_be_made_evaluated_and_pickled() -> None:
    summaries = problems.available()
    assert all(text.endswith(".") and len(text) < 120 for text in summaries.values()), summaries
    for name in summaries:
        problem = getattr(problems, name)()
        assert isinstance(problem, Problem)
        assert pickle.dumps(problem)  # what a process pool does with it
        if "Tuning" in name:  # has its own tests, and takes its time
            continue
        middle = problem.space.from_unit(torch.full((2, problem.space.dim), 0.4, dtype=torch.float64))
        evaluation = problem(middle)
        assert evaluation.values.shape == (2, len(problem.objectives))
        assert bool(torch.isfinite(evaluation.values).all()), name
        if problem.n_constraints:
            assert evaluation.violations is not None
            assert evaluation.violations.shape == (2, problem.n_constraints)


def test_importing_the_package_loads_no_peer() -> None:
    code = (
        "import sys, blackbox.problems as p;"
        "p.Branin, p.RE21, p.ClassifierTuning, p.from_botorch, p.from_evox, p.from_pymoo;"
        "peers = {'botorch', 'evox', 'gpytorch', 'pymoo', 'moocore', 'sklearn', 'scipy', 'matplotlib'};"
        "heavy = peers & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
