"""Robot control in brax or MuJoCo's MJX: a whole episode of the whole batch as one compiled call of jax.

Weights enter and rewards leave once an episode, by dlpack. jax and brax are imported where they are used: both are
optional.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from blackbox.problems._control_mujoco import Array, Moments
from blackbox.problems._control_tasks import HIDDEN, TASKS

__all__ = ["BraxSimulator"]

_CLIP = 5.0


class BraxSimulator:
    """A task in brax.

    Parameters
    ----------
    task : str
        A key of `TASKS`.
    pipeline : str
        "generalized" or "mjx".
    """

    def __init__(self, task: str, pipeline: str) -> None:
        import jax
        from brax import envs

        self.name = task
        self.task = TASKS[task]
        self.environment = envs.get_environment(self.task.brax, backend=pipeline)
        self._batch = jax.jit(self._episodes, static_argnames=("steps",))

    def simulate(self, x: Tensor, moments: Moments | None, steps: int, seeds: list[int]) -> tuple[Tensor, Array]:
        """Return what policies of shape (n, w) do in episodes of at most `steps` steps, one for each seed.

        Returns
        -------
        values : Tensor, shape (n, m)
        sums : array, shape (n, 3, o)
            As `Outcome.sums`.
        """
        import jax
        import jax.numpy as jnp

        n, o = len(x), self.task.n_observations
        padded = x.new_zeros((1 << (n - 1).bit_length(), x.shape[1]), dtype=torch.float32)  # few shapes to compile for
        padded[:n] = x
        weights = jax.device_put(jax.dlpack.from_dlpack(padded), jax.devices()[0])
        plain = Moments(np.zeros(o), np.ones(o))
        mean, std = (jnp.asarray(part, jnp.float32) for part in (moments or plain))
        clip = _CLIP if moments is not None else np.inf
        values = x.new_zeros((n, len(self.task.objectives)), dtype=torch.float64)
        sums = np.zeros((n, 3, o))
        for seed in seeds:
            reward, seen = self._batch(weights, mean, std, clip, jax.random.PRNGKey(seed), steps=steps)
            values += torch.utils.dlpack.from_dlpack(reward).to(values)[:n] / len(seeds)
            sums += np.asarray(seen, dtype=np.float64)[:n]
        return values, sums

    def _episodes(self, weights: Any, mean: Any, std: Any, clip: Any, key: Any, *, steps: int) -> Any:
        import jax

        one = partial(self._episode, mean=mean, std=std, clip=clip, key=key, steps=steps)
        return jax.vmap(one)(weights)

    def _episode(self, row: Any, *, mean: Any, std: Any, clip: Any, key: Any, steps: int) -> Any:
        """Run one policy until it falls or the steps are over; vmapped, so all run until the last has ended."""
        import jax
        import jax.numpy as jnp

        o, a = self.task.n_observations, self.task.n_actions
        first, bias, second, offset = jnp.split(row, np.cumsum([HIDDEN * o, HIDDEN, a * HIDDEN]))
        first, second = first.reshape(HIDDEN, o), second.reshape(a, HIDDEN)
        start = self.environment.reset(key)

        def going(carry: Any) -> Any:
            step, _, alive, _, _ = carry
            return (step < steps) & alive

        def advance(carry: Any) -> Any:
            step, state, _, total, seen = carry
            observation = state.obs
            seen = seen + jnp.stack([jnp.ones_like(observation), observation, observation * observation])
            scaled = jnp.clip((observation - mean) / std, -clip, clip)
            output = jnp.tanh(second @ jnp.tanh(first @ scaled + bias) + offset)
            state = self.environment.step(state, output * self.task.action_scale)
            alive = state.done < 0.5
            total = total + jnp.where(alive, self._rewards(state), 0.0)
            return step + 1, state, alive & jnp.isfinite(state.obs).all(), total, seen

        zeros = jnp.zeros(len(self.task.objectives)), jnp.zeros((3, o))
        _, state, _, total, seen = jax.lax.while_loop(going, advance, (0, start, jnp.bool_(True), *zeros))
        broken = ~jnp.isfinite(state.obs).all()
        return jnp.where(broken, jnp.nan, total), jnp.where(broken, 0.0, seen)

    def _rewards(self, state: Any) -> Any:
        """Return the rewards of one step, in the order of the task's objectives."""
        import jax.numpy as jnp

        name, metrics = self.name, state.metrics
        if name == "mo_halfcheetah":
            return jnp.array([metrics["reward_run"], metrics["reward_ctrl"]])
        if name == "mo_swimmer":
            return jnp.array([metrics["reward_fwd"], metrics["reward_ctrl"]])
        if name == "mo_walker2d":
            return jnp.array([metrics["reward_forward"], metrics["reward_ctrl"]]) + metrics["reward_healthy"]
        if name.startswith("mo_hopper"):
            return self._hopper(state)
        if name == "mo_ant":
            return (
                jnp.array([metrics["reward_forward"], self._energy(metrics["reward_ctrl"])])
                + (metrics["reward_survive"])
            )
        if name == "mo_humanoid":
            energy = self._energy(metrics["reward_quadctrl"])
            return jnp.array([metrics["reward_linvel"], energy]) + metrics["reward_alive"]
        if name == "mo_humanoidstandup":
            return jnp.array([metrics["reward_linup"], metrics["reward_quadctrl"]])
        if name == "mo_inverted_double_pendulum":
            from brax.base import Transform

            tip = Transform.create(pos=jnp.array([0.0, 0.0, 0.6])).do(state.pipeline_state.x.take(2)).pos
            v1, v2 = state.pipeline_state.qd[1:]
            distance = 0.01 * tip[0] ** 2 + (tip[2] - 2.0) ** 2
            return 10.0 - jnp.array([distance, 1e-3 * v1**2 + 5e-3 * v2**2])
        if name == "mo_pusher":
            return jnp.array([metrics["reward_near"], metrics["reward_dist"], metrics["reward_ctrl"]])
        return jnp.array([metrics["reward_dist"], metrics["reward_ctrl"]])

    def _hopper(self, state: Any) -> Any:
        import jax.numpy as jnp

        metrics = state.metrics
        rest = self.environment.sys.link.transform.pos[0, 2]
        height = 10.0 * (state.pipeline_state.x.pos[0, 2] - rest)
        forward, control, alive = metrics["reward_forward"], metrics["reward_ctrl"], metrics["reward_healthy"]
        if self.name == "mo_hopper_m2":
            return jnp.array([forward, height]) + control + alive
        return jnp.array([forward, height, self._energy(control)]) + alive

    def _energy(self, control: Any) -> Any:
        return control / self.environment._ctrl_cost_weight
