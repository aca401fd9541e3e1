"""Robot control: sizes as published, rewards as gymnasium's, the same values however they are computed."""

from __future__ import annotations

import pickle

import gymnasium
import numpy as np
import pytest
import torch

import blackbox as bb
from blackbox.algorithms import NSGA2
from blackbox.errors import SettingError
from blackbox.problems import RobotControl
from blackbox.problems._control_mujoco import MujocoSimulator
from blackbox.problems._control_tasks import TASKS, n_weights

# Observations, actions, weights and objectives as published.
SIZES = {
    "mo_halfcheetah": (17, 6, 390, 2),
    "mo_hopper_m2": (11, 3, 243, 2),
    "mo_hopper_m3": (11, 3, 243, 3),
    "mo_swimmer": (8, 2, 178, 2),
    "mo_ant": (27, 8, 584, 2),
    "mo_humanoid": (244, 17, 4209, 2),
    "mo_humanoidstandup": (244, 17, 4209, 2),
    "mo_inverted_double_pendulum": (8, 1, 161, 2),
    "mo_walker2d": (17, 6, 390, 2),
    "mo_pusher": (23, 7, 503, 3),
    "mo_reacher": (11, 2, 226, 2),
}


def policies(problem: bb.Problem, n: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((n, problem.space.dim), generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("name", SIZES)
def test_tasks_have_the_published_sizes_and_give_finite_rewards(name: str) -> None:
    observations, actions, weights, objectives = SIZES[name]
    simulator = MujocoSimulator(name)
    assert n_weights(TASKS[name]) == weights
    raw, _ = simulator.environment.reset(seed=0)
    assert simulator._observation(raw).shape == (observations,)
    assert simulator.scale.shape == (actions,)
    outcome = simulator.simulate(np.random.default_rng(0).normal(size=(2, weights)), None, 20, [0, 1])
    assert outcome.values.shape == (2, objectives)
    assert np.isfinite(outcome.values).all()
    assert not np.array_equal(outcome.values[0], outcome.values[1])


def test_rewards_are_those_of_a_plain_loop_over_gymnasium() -> None:
    problem = RobotControl("mo_walker2d", steps=60, normalisation="off", workers=1)
    x = policies(problem, 1)
    row = x[0].numpy()
    w1, b1 = row[: 16 * 17].reshape(16, 17), row[16 * 17 : 16 * 18]
    w2, b2 = row[16 * 18 : 16 * 18 + 96].reshape(6, 16), row[16 * 18 + 96 :]
    environment = gymnasium.make("Walker2d-v5")
    observation, _ = environment.reset(seed=0)
    total = np.zeros(2)
    for _ in range(60):
        action = np.tanh(w2 @ np.tanh(w1 @ observation + b1) + b2)
        observation, _, terminated, _, info = environment.step(action)
        if terminated:
            break
        total += info["reward_forward"] + 1.0, info["reward_ctrl"] + 1.0
    torch.testing.assert_close(problem(x).values[0], torch.from_numpy(total), rtol=1e-9, atol=1e-9)


def test_values_do_not_depend_on_processes_batches_or_copies() -> None:
    problem = RobotControl("mo_hopper_m3", steps=50, workers=2)
    x = policies(problem, 5)
    values = problem(x).values
    assert torch.equal(RobotControl("mo_hopper_m3", steps=50, workers=1)(x).values, values)
    assert torch.equal(torch.cat([problem(x[3:]).values, problem(x[:3]).values])[[2, 3, 4, 0, 1]], values)
    assert torch.equal(pickle.loads(pickle.dumps(problem))(x).values, values)  # noqa: S301  # our own bytes
    assert problem(x[:0]).values.shape == (0, 3)


def test_more_episodes_average_over_initial_states() -> None:
    x = policies(RobotControl("mo_reacher"), 2)
    one, other = (
        RobotControl("mo_reacher", steps=20, normalisation="off", workers=1, seed=s)(x).values for s in (3, 4)
    )
    both = RobotControl("mo_reacher", steps=20, normalisation="off", workers=1, seed=3, episodes=2)(x).values
    torch.testing.assert_close(both, (one + other) / 2)
    assert not torch.equal(one, other)


def test_running_normalisation_learns_from_what_was_evaluated() -> None:
    problem = RobotControl("mo_swimmer", steps=30, normalisation="running", workers=2)
    x = policies(problem, 4)
    first, second = problem(x).values, problem(x).values
    assert torch.equal(first, RobotControl("mo_swimmer", steps=30, normalisation="off", workers=1)(x).values)
    assert not torch.equal(first, second)


def test_no_action_costs_no_energy_and_a_broken_policy_fails_alone() -> None:
    problem = RobotControl("mo_halfcheetah", steps=20, workers=1)
    x = policies(problem, 3)
    x[0] = 0.0
    x[1, 5] = torch.nan
    values = problem(x).values
    assert values[0, 1] == 0.0
    assert values[1].isnan().all()
    assert torch.isfinite(values[2]).all()


def test_a_killed_process_is_an_error_and_the_next_batch_works() -> None:
    problem = RobotControl("mo_swimmer", steps=10, workers=2)
    x = policies(problem, 4)
    values = problem(x).values
    problem._simulator.pool._processes[1][0].kill()  # type: ignore[union-attr]
    with pytest.raises(RuntimeError, match="mo_swimmer: a simulation process ended"):
        problem(x)
    assert torch.equal(problem(x).values, values)


def test_a_search_improves_on_its_start() -> None:
    problem = RobotControl("mo_swimmer", steps=50)
    optimizer = bb.Optimizer(problem, NSGA2(population_size=16), seed=0)
    best = []
    for _ in range(8):
        batch = optimizer.ask()
        evaluation = problem(batch.x)
        best.append(float(evaluation.values[:, 0].max()))
        optimizer.tell(batch, evaluation)
    assert max(best) > best[0] + 0.5  # metres forward, in two seconds
    assert float(optimizer.result().values[:, 0].max()) == max(best)


def test_unknown_settings_are_refused_by_name() -> None:
    with pytest.raises(SettingError, match="task: expected one of"):
        RobotControl("mo_robot")
    with pytest.raises(SettingError, match="engine: expected"):
        RobotControl(engine="bullet")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="normalisation: expected"):
        RobotControl(normalisation="on")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="steps: expected an integer >= 1, got 0"):
        RobotControl(steps=0)


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "gymnasium", None)
    problem = RobotControl("mo_swimmer")
    with pytest.raises(SettingError, match=r"engine: 'mujoco' needs packages.*blackbox-toolkit\[control\]"):
        problem(policies(problem, 1))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["brax", "mjx"])
def test_jax_engines_simulate_the_same_tasks(engine: str) -> None:
    pytest.importorskip("brax", reason="the engines on jax need the packages jax and brax")
    problem = RobotControl("mo_reacher", steps=20, engine=engine)  # type: ignore[arg-type]
    x = policies(problem, 3)
    values = problem(x).values
    assert values.shape == (3, 2)
    assert torch.isfinite(values).all()
    assert (values[:, 1] < 0).all()
    assert torch.equal(problem(x).values, values)
