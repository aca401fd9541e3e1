"""Robot control with several objectives: the weights of a small policy network, judged by simulated episodes."""

from __future__ import annotations

import os
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from blackbox._arguments import whole_number
from blackbox.errors import SettingError
from blackbox.objective import Objective
from blackbox.problem import Problem
from blackbox.problems._control_mujoco import Array, Moments
from blackbox.problems._control_pool import MujocoPool
from blackbox.problems._control_tasks import TASKS, n_weights
from blackbox.space import Space

__all__ = ["RobotControl"]

_ENGINES = ("mujoco", "brax", "mjx")
_NORMALISATIONS = ("fixed", "running", "off")
_RANDOM_POLICIES = 8  # whose observations the fixed normalisation is made of
_STD = (1e-6, 1e6)  # the standard deviations of observations are kept between


class _Simulator(Protocol):
    def simulate(self, x: Tensor, moments: Moments | None, steps: int, seeds: list[int]) -> tuple[Tensor, Array]: ...


class _OnProcesses:
    """The mujoco engine for tensors; apart from its pool, whose processes do without torch."""

    def __init__(self, task: str, workers: int) -> None:
        import gymnasium  # noqa: F401  # asked for here, where a message can say what to install
        import mujoco  # noqa: F401

        self.pool = MujocoPool(task, workers)

    def simulate(self, x: Tensor, moments: Moments | None, steps: int, seeds: list[int]) -> tuple[Tensor, Array]:
        outcome = self.pool.simulate(x.detach().to("cpu", torch.float64).numpy(), moments, steps, seeds)
        return torch.from_numpy(outcome.values).to(x.device), outcome.sums


class RobotControl(Problem):
    """A multi-objective robot control task (MoRobtrol): 161 to 4,209 weights in [-5, 5], 2 or 3 rewards.

    The policy has one hidden layer of 16 tanh units and tanh outputs; rewards are maximised and summed over an
    episode. `x` holds the hidden layer's weights (16, observations) and biases, then those of the outputs.

    Every candidate starts from the same initial states (common random numbers), so an evaluation can be repeated, and
    does not depend on the number of processes. A simulation that breaks down fails its candidate.

    Parameters
    ----------
    task : str, default "mo_halfcheetah"
        Or mo_hopper_m2, mo_hopper_m3, mo_swimmer, mo_ant, mo_humanoid, mo_humanoidstandup,
        mo_inverted_double_pendulum, mo_walker2d, mo_pusher, mo_reacher.
    steps : int, default 1000
        Length of an episode in steps; it ends earlier where the robot falls.
    episodes : int, default 1
        Initial states to average over.
    normalisation : "fixed", "running" or "off", default "fixed"
        Of observations: by the mean and standard deviation that random policies meet, always the same; by those met so
        far, as published, so that values depend on what was evaluated before; or none.
    engine : "mujoco", "brax" or "mjx", default "mujoco"
        MuJoCo through gymnasium on the CPU (extra ``blackbox-toolkit[control]``), or a whole episode of the whole batch
        as one call on jax's device, with brax's generalized pipeline or MuJoCo's MJX (packages `jax` and `brax`).
    workers : int, optional
        Processes of the mujoco engine. Default: one a core.
    seed : int, default 0
        Of the initial states.

    Raises
    ------
    SettingError
        If a setting is unknown, or its packages are not installed.

    References
    ----------
    Z. Liang et al., Bridging evolutionary multiobjective optimization and GPU acceleration via tensorization, 2025
    (tasks, policy, reference points). C. D. Freeman et al., Brax, 2021. E. Todorov et al., MuJoCo, 2012.

    Examples
    --------
    >>> problem = RobotControl("mo_swimmer")
    >>> problem.space.dim, [objective.name for objective in problem.objectives]
    (178, ['forward', 'control'])
    """

    def __init__(
        self,
        task: str = "mo_halfcheetah",
        *,
        steps: int = 1000,
        episodes: int = 1,
        normalisation: Literal["fixed", "running", "off"] = "fixed",
        engine: Literal["mujoco", "brax", "mjx"] = "mujoco",
        workers: int | None = None,
        seed: int = 0,
    ) -> None:
        if task not in TASKS:
            raise SettingError(f"task: expected one of {sorted(TASKS)}, got {task!r}")
        if engine not in _ENGINES:
            raise SettingError(f"engine: expected one of {_ENGINES}, got {engine!r}")
        if normalisation not in _NORMALISATIONS:
            raise SettingError(f"normalisation: expected one of {_NORMALISATIONS}, got {normalisation!r}")
        self.task = TASKS[task]
        self.task_name = task
        self.steps = whole_number(steps, "steps", 1)
        self.episodes = whole_number(episodes, "episodes", 1)
        self.seed = whole_number(seed, "seed", 0)
        self.workers = (os.cpu_count() or 1) if workers is None else whole_number(workers, "workers", 1)
        self.engine, self.normalisation = engine, normalisation
        dim = n_weights(self.task)
        super().__init__(
            Space.box([-5.0] * dim, [5.0] * dim),
            objectives=[Objective(name, maximize=True) for name in self.task.objectives],
            name=f"RobotControl({task})",
        )
        if self.task.reference is not None:
            self.reference_point = torch.tensor(self.task.reference, dtype=torch.float64)
        self._simulator: _Simulator | None = None
        self._sums: Array | None = None  # number, sum and sum of squares of observations, shape (3, o)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the rewards of policies of shape (n, d), summed over an episode, shape (n, m)."""
        if not len(x):
            return x.new_zeros((0, len(self.objectives)), dtype=torch.float64)
        if self._simulator is None:
            self._simulator = self._start()
        if self.normalisation == "fixed" and self._sums is None:
            self._sums = self._met_by_random_policies(self._simulator)
        values, sums = self._simulator.simulate(x.detach(), self._moments(), self.steps, self._seeds())
        if self.normalisation == "running":
            self._sums = sums.sum(0) if self._sums is None else self._sums + sums.sum(0)
        return values

    def _seeds(self) -> list[int]:
        return [self.seed + episode for episode in range(self.episodes)]

    def _met_by_random_policies(self, simulator: _Simulator) -> Array:
        random = np.random.default_rng(self.seed)
        weights = random.standard_normal((_RANDOM_POLICIES, self.space.dim))
        _, sums = simulator.simulate(torch.from_numpy(weights), None, self.steps, self._seeds())
        return np.asarray(sums.sum(0))

    def _moments(self) -> Moments | None:
        if self.normalisation == "off" or self._sums is None:
            return None
        n, total, squares = self._sums
        mean = total / np.maximum(n, 1.0)
        return Moments(mean, np.sqrt(np.clip(squares / np.maximum(n, 1.0) - mean * mean, 0.0, None)).clip(*_STD))

    def _start(self) -> _Simulator:
        try:
            if self.engine == "mujoco":
                return _OnProcesses(self.task_name, self.workers)
            from blackbox.problems._control_brax import BraxSimulator

            return BraxSimulator(self.task_name, "generalized" if self.engine == "brax" else "mjx")
        except ImportError as error:
            packages = "blackbox-toolkit[control]" if self.engine == "mujoco" else "jax brax"
            raise SettingError(
                f"engine: {self.engine!r} needs packages that are not installed ({error}); pip install {packages!r}"
            ) from None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_simulator": None}  # a copy starts its own processes
