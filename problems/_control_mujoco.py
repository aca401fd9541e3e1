"""Robot control with MuJoCo through gymnasium: one policy after the other, on one core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from blackbox.problems._control_tasks import HIDDEN, TASKS

__all__ = ["Moments", "MujocoSimulator", "Outcome"]

Array = NDArray[np.float64]

_CLIP = 5.0  # normalised observations are cut here


class Moments(NamedTuple):
    """How observations are normalised: mean and standard deviation of each, shapes (o,)."""

    mean: Array
    std: Array


class Outcome(NamedTuple):
    """What a batch of policies did.

    Attributes
    ----------
    values : array, shape (n, m)
        Sums of rewards, averaged over episodes; NaN where the simulation broke down.
    sums : array, shape (n, 3, o)
        Over the observations each one saw: their number, sum, and sum of squares, for running moments.
    """

    values: Array
    sums: Array


class MujocoSimulator:
    """A task in gymnasium.

    Observations are those of the published (brax) tasks: the same quantities in the same number, so that a policy has
    the published number of weights.

    Parameters
    ----------
    task : str
        A key of `TASKS`.
    """

    def __init__(self, task: str) -> None:
        import gymnasium

        self.name = task
        self.task = TASKS[task]
        options: dict[str, Any] = {}
        if task == "mo_ant" or self.task.environment.startswith("Humanoid"):
            options["include_cfrc_ext_in_observation"] = False
        self.environment: Any = gymnasium.make(self.task.environment, **options).unwrapped
        # brax maps [-1, 1] onto the actuators' range, and the humanoids' published outputs are scaled by 0.4.
        high = np.asarray(self.environment.action_space.high, dtype=np.float64)
        self.scale = np.full_like(high, self.task.action_scale) if self.task.action_scale != 1.0 else high
        if self.task.environment.startswith("Humanoid"):
            self.columns = _humanoid_columns(self.environment.model)

    def simulate(self, weights: Array, moments: Moments | None, steps: int, seeds: list[int]) -> Outcome:
        """Return what policies of shape (n, w) do in episodes of at most `steps` steps, one for each seed."""
        m = len(self.task.objectives)
        values = np.zeros((len(weights), m))
        sums = np.zeros((len(weights), 3, self.task.n_observations))
        for i, row in enumerate(weights):
            for seed in seeds:
                reward, seen = self._episode(row, moments, steps, seed)
                values[i] += reward / len(seeds)
                sums[i] += seen
        return Outcome(values, sums)

    def _episode(self, row: Array, moments: Moments | None, steps: int, seed: int) -> tuple[Array, Array]:
        o, a = self.task.n_observations, self.task.n_actions
        first, bias, second, offset = np.split(row, np.cumsum([HIDDEN * o, HIDDEN, a * HIDDEN]))
        first, second = first.reshape(HIDDEN, o), second.reshape(a, HIDDEN)
        environment, total = self.environment, np.zeros(len(self.task.objectives))
        seen = np.zeros((steps, o))
        raw, _ = environment.reset(seed=seed)
        for step in range(steps):
            seen[step] = observation = self._observation(raw)
            if moments is not None:
                observation = np.clip((observation - moments.mean) / moments.std, -_CLIP, _CLIP)
            output = np.tanh(second @ np.tanh(first @ observation + bias) + offset)
            raw, _, terminated, _, info = environment.step(output * self.scale)
            if terminated:  # what the last step earns does not count, as published
                break
            total += self._rewards(info)
        if self._broke_down():
            return np.full_like(total, np.nan), np.zeros((3, o))
        seen = seen[: step + 1]
        return total, np.stack([np.full(o, float(len(seen))), seen.sum(0), (seen * seen).sum(0)])

    def _broke_down(self) -> bool:
        """Return whether the episode had numbers that MuJoCo cannot go on with; it warns, and starts over by itself."""
        from mujoco import mjtWarning

        kinds = (mjtWarning.mjWARN_BADQPOS, mjtWarning.mjWARN_BADQVEL, mjtWarning.mjWARN_BADQACC)
        warnings = self.environment.data.warning
        return any(warnings[int(kind)].number > 0 for kind in (*kinds, mjtWarning.mjWARN_BADCTRL))

    def _observation(self, raw: Array) -> Array:
        name = self.task.environment
        if name == "Reacher-v5":  # the fingertip and the target are at one height, which brax reports
            return np.append(raw, 0.0)
        if name == "InvertedDoublePendulum-v5":  # without the constraint force
            return raw[:8]
        if name.startswith("Humanoid"):
            return np.concatenate([raw[self.columns], np.zeros(6), raw[-17:]])
        return raw

    def _rewards(self, info: Mapping[str, Any]) -> Any:
        """Return the rewards of one step, in the order of the task's objectives."""
        name, control = self.name, info.get("reward_ctrl", 0.0)
        if name in ("mo_halfcheetah", "mo_swimmer"):
            return np.array([info["reward_forward"], control])
        if name == "mo_walker2d":
            return np.array([info["reward_forward"], control]) + info["reward_survive"]
        if name.startswith("mo_hopper"):
            height = 10.0 * info["z_distance_from_origin"]
            forward, alive = info["reward_forward"], info["reward_survive"]
            if name == "mo_hopper_m2":
                return np.array([forward, height]) + control + alive
            return np.array([forward, height, self._energy(control)]) + alive
        if name in ("mo_ant", "mo_humanoid"):
            return np.array([info["reward_forward"], self._energy(control)]) + info["reward_survive"]
        if name == "mo_humanoidstandup":
            return np.array([info["reward_linup"], info["reward_quadctrl"]])
        if name == "mo_inverted_double_pendulum":
            return np.array([info["distance_penalty"], info["velocity_penalty"]]) + info["reward_survive"]
        if name == "mo_pusher":  # gymnasium reports the weighted terms, 0.5 and 0.1 of them
            weights = self.environment._reward_near_weight, self.environment._reward_dist_weight
            near, distance = info["reward_near"] / weights[0], info["reward_dist"] / weights[1]
            return np.array([near, distance, control / self.environment._reward_control_weight])
        return np.array([info["reward_dist"], control])

    def _energy(self, control: float) -> float:
        return float(control / self.environment._ctrl_cost_weight)


def _humanoid_columns(model: Any) -> NDArray[np.intp]:
    """Return which of gymnasium's columns brax has too: its robot has no separate feet.

    Inertia (10 numbers) and velocity (6) of each body stand after 22 positions and 23 velocities; the forces of the
    17 joints, at the end, are taken as they are.
    """
    feet = [model.body(name).id - 1 for name in ("right_foot", "left_foot")]
    bodies = [body for body in range(model.nbody - 1) if body not in feet]
    inertia = [45 + 10 * body + k for body in bodies for k in range(10)]
    start = 45 + 10 * (model.nbody - 1)
    velocity = [start + 6 * body + k for body in bodies for k in range(6)]
    return np.array([*range(45), *inertia, *velocity], dtype=np.intp)
