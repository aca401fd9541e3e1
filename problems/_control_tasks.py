"""The robot control tasks: sizes, objectives, reference points; needs neither a simulator nor torch."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["HIDDEN", "TASKS", "Task", "n_weights"]

HIDDEN = 16  # tanh units of the policy's one hidden layer


@dataclass(frozen=True, slots=True)
class Task:
    """One task.

    Attributes
    ----------
    environment : str
        Its name in gymnasium.
    brax : str
        Its name in brax.
    n_observations, n_actions : int
    objectives : tuple of str
        What is summed over an episode; all are maximised.
    reference : tuple of float, or None
        Reference point of hypervolumes, where one was published.
    action_scale : float
        What the policy's tanh output is multiplied by.
    """

    environment: str
    brax: str
    n_observations: int
    n_actions: int
    objectives: tuple[str, ...]
    reference: tuple[float, ...] | None
    action_scale: float = 1.0


# fmt: off
TASKS = {
    "mo_halfcheetah": Task("HalfCheetah-v5", "halfcheetah", 17, 6, ("run", "control"), (0.0, -291.0)),
    "mo_hopper_m2": Task("Hopper-v5", "hopper", 11, 3, ("forward", "height"), None),
    "mo_hopper_m3": Task("Hopper-v5", "hopper", 11, 3, ("forward", "height", "energy"), (0.0, 0.0, -881.0)),
    "mo_swimmer": Task("Swimmer-v5", "swimmer", 8, 2, ("forward", "control"), (0.0, -0.1)),
    "mo_ant": Task("Ant-v5", "ant", 27, 8, ("forward", "energy"), (0.0, -315.0)),
    "mo_humanoid": Task("Humanoid-v5", "humanoid", 244, 17, ("forward", "energy"), (0.0, 0.0), 0.4),
    "mo_humanoidstandup":
        Task("HumanoidStandup-v5", "humanoidstandup", 244, 17, ("stand_up", "energy"), (0.0, -200.0), 0.4),
    "mo_inverted_double_pendulum":
        Task("InvertedDoublePendulum-v5", "inverted_double_pendulum", 8, 1, ("distance", "velocity"), (0.0, 0.0)),
    "mo_walker2d": Task("Walker2d-v5", "walker2d", 17, 6, ("forward", "control"), (0.0, 0.0)),
    "mo_pusher": Task("Pusher-v5", "pusher", 23, 7, ("near", "distance", "control"), (0.0, 0.0, 0.0)),
    "mo_reacher": Task("Reacher-v5", "reacher", 11, 2, ("distance", "control"), (0.0, 0.0)),
}
# fmt: on


def n_weights(task: Task) -> int:
    """Return the number of weights and biases of the task's policy.

    Examples
    --------
    >>> n_weights(TASKS["mo_humanoid"])
    4209
    """
    return (task.n_observations + 1) * HIDDEN + (HIDDEN + 1) * task.n_actions
