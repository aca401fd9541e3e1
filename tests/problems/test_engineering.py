"""The RE suite: values, snapping, and our fronts against the published ones."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import moocore
import numpy as np
import pytest
import torch

from blackbox.problems import engineering
from blackbox.problems._re_base import EngineeringProblem, snap

NAMES = engineering.__all__
PUBLISHED = Path(os.environ.get("BLACKBOX_SHARED", Path(__file__).parents[2] / ".." / "shared")) / "data" / "re_fronts"

# At lower + (upper - lower) * (0.2, 0.7, 0.35, ...): values of an independent implementation (jmetalpy 1.9, its sign of
# violations in RE41, RE42, RE61 and its rounding in RE23, RE41 put right; None where it takes pi for 3.14).
GOLDEN: dict[str, list[float | None]] = {
    "RE21": [2114.6288357622957, 0.01827048098028296],
    "RE22": [210.50400000000002, 141.277044],
    "RE23": [62884.81737070313, 0.16395000000000004],
    "RE24": [4219.2, 0.0],
    "RE25": [4.841596123981891, 393585.43440183],
    "RE31": [224.986876398642, 2.556624131715139, 224.88687639864202],
    "RE32": [25.673133244681253, 0.010736884382693062, 0.0],
    "RE33": [5.587691725, 2.4775267860962784, None],
    "RE34": [1687.89977194, 11.106117, 0.10264200000000002],
    "RE35": [3725.220595500701, 1528.9942014880228, 230.35783785165916],
    "RE36": [5.354913043478261, 55.0, 0.27260323812988907],
    "RE37": [0.25765925, 0.5982035000000001, 0.9423282499999995],
    "RE41": [30.2705548, 3.8455799999999996, 12.309041999999998, 0.5526499999999999],
    "RE42": [-541.0084080714429, 7331.727837305771, 8620.959025374894, 0.4909693106641613],
    "RE61": [73931.022365, 294.0, 2083032.3444074993, 734122.5370074102, 7982.672421023204, 0.0],
}


def make(name: str) -> EngineeringProblem:
    problem: EngineeringProblem = getattr(engineering, name)()
    return problem


def hypervolume_ratio(ours: Any, theirs: Any, reference: Any) -> float:
    """Return the ratio of two hypervolumes: exact up to four objectives, from common samples beyond."""
    if len(reference) <= 4:
        return float(moocore.hypervolume(ours, ref=reference) / moocore.hypervolume(theirs, ref=reference))
    samples = np.random.default_rng(0).random((20_000, len(reference))) * reference
    covered = []
    for front in (ours, theirs):
        inside = np.zeros(len(samples), dtype=bool)
        for point in front:
            inside |= (samples >= point).all(1)
        covered.append(inside.sum())
    return float(covered[0] / covered[1])


def steps(dim: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([0.2, 0.7, 0.35, 0.9, 0.55, 0.1, 0.8])[:dim]


@pytest.mark.parametrize("name", NAMES)
def test_values_are_those_of_another_implementation(name: str) -> None:
    problem = make(name)
    low, high = problem.space.bounds()
    x = low + (high - low) * torch.from_numpy(steps(problem.dim))
    values = problem(x).values[0].tolist()
    assert len(values) == len(GOLDEN[name]) == int(name[2])
    for ours, theirs in zip(values, GOLDEN[name], strict=True):
        assert theirs is None or ours == pytest.approx(theirs, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_the_front_is_mutually_non_dominated_and_inside_the_bounds(name: str) -> None:
    problem = make(name)
    problem.space.check(problem.pareto_set)
    front = problem.pareto_front(10**6).numpy()
    assert np.isfinite(front).all()
    assert moocore.is_nondominated(front, keep_weakly=True).all()
    assert len(front) == (28 if name == "RE36" else {2: 400, 3: 800, 4: 2500, 6: 2000}[problem.m])
    assert problem.pareto_front(20).shape == (20, problem.m)
    np.testing.assert_array_equal(problem.ideal, front.min(0))
    np.testing.assert_array_equal(problem.nadir, front.max(0))
    assert bool((problem.reference_point > problem.nadir).all())


@pytest.mark.parametrize("name", NAMES)
def test_random_points_do_not_dominate_the_front(name: str) -> None:
    problem = make(name)
    u = torch.rand(3000, problem.dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = problem(problem.space.from_unit(u)).values
    values = values[torch.isfinite(values).all(-1)]
    front = problem.pareto_front()
    width = front.amax(0) - front.amin(0)
    better = (values[:, None] + 0.01 * width < front[None]).all(-1)
    assert not bool(better.any())


@pytest.mark.parametrize("name", [n for n in NAMES if n != "RE42"])  # RE42's published front is that before 2021
def test_our_hypervolume_is_that_of_the_published_front(name: str) -> None:
    file = PUBLISHED / f"{name}.npy"
    if not file.exists():
        pytest.skip(f"the published fronts are not beside this checkout ({PUBLISHED})")
    published = np.load(file)
    ours = make(name).pareto_front(10**6).numpy()
    facts = json.loads((PUBLISHED / "re_facts.json").read_text())[name]
    assert make(name).space.lower.tolist() == facts["lower"]
    assert make(name).space.upper.tolist() == facts["upper"]
    frames = [(published.min(0), published.max(0))]
    if None not in facts.get("offmoo_ideal", [None]):
        frames.append((np.array(facts["offmoo_ideal"]), np.array(facts["offmoo_nadir"])))
    for low, high in frames:
        width = np.where(high > low, high - low, 1.0)
        reference = np.full(len(low), 1.1)
        ratio = hypervolume_ratio((ours - low) / width, (published - low) / width, reference)
        assert ratio >= 0.99


def test_snapping_takes_the_nearest_level() -> None:
    x = torch.tensor([-1.0, 0.2, 0.29, 0.31, 0.36, 14.4, 14.6, 99.0], dtype=torch.float64)
    assert snap(x, (0.2, 0.31, 0.4, 14.0, 15.0)).tolist() == [0.2, 0.2, 0.31, 0.31, 0.4, 14.0, 15.0, 15.0]


def test_discrete_variables_are_snapped() -> None:
    gears = make("RE36")
    torch.testing.assert_close(gears([[12.4, 13.6, 50.1, 20.0]]).values, gears([[12.0, 14.0, 50.0, 20.0]]).values)
    vessel = make("RE23")
    torch.testing.assert_close(vessel([[9.6, 5.4, 50.0, 99.0]]).values, vessel([[10.0, 5.0, 50.0, 99.0]]).values)
    spring = make("RE25")
    torch.testing.assert_close(spring([[9.6, 1.0, 0.28]]).values, spring([[10.0, 1.0, 0.283]]).values)


def test_a_feasible_design_has_no_violation() -> None:
    best = make("RE25").pareto_front()[:, 1].min()
    assert float(best) == 0.0


def test_a_beam_without_width_is_a_failed_evaluation() -> None:
    assert not math.isfinite(make("RE22")([[1.0, 0.0, 10.0]]).values[0, 1].item())
