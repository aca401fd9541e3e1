"""A live EvoX algorithm whose steps can be left where they evaluate, and run again with the values."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from blackbox.errors import MissingDependencyError, SettingError, StateError

__all__ = ["Engine", "Module", "load_class", "signature_of"]

_LARGEST = 1e30  # of values; beyond, sums and squares leave float32
_CENTERS = ("center_init", "mean_init", "init_mean")
_VIRTUAL = ("VirtualES", "VirtualLoRAES")  # hand out seeds of perturbations of a network's weights, no points

Module = Any  # evox.core.Algorithm


class _Paused(Exception):  # noqa: N818  (no error: how a step is left when it evaluates)
    def __init__(self, population: Tensor) -> None:
        self.population = population


def load_class(kind: str) -> Any:
    """Return one of EvoX's public algorithm classes.

    Raises
    ------
    MissingDependencyError
        If EvoX is not installed.
    SettingError
        If it has no such algorithm.
    """
    try:
        from evox import algorithms
    except ImportError as error:
        raise MissingDependencyError(
            f'EvoX({kind!r}) needs EvoX 1.4: pip install "blackbox-toolkit[evox]" ({error})'
        ) from error
    known = sorted(set(algorithms.__all__) - set(_VIRTUAL))
    if kind not in known:
        raise SettingError(f"name: expected one of {known}, got {kind!r}")
    return getattr(algorithms, kind)


def signature_of(kind: str) -> Mapping[str, inspect.Parameter]:
    """Return the arguments of an algorithm."""
    return {name: p for name, p in inspect.signature(load_class(kind).__init__).parameters.items() if name != "self"}


@contextmanager
def _generators(states: list[Tensor], device: torch.device) -> Iterator[None]:
    """Put states (the CPU's, and the device's) into torch's global generators; refill the list; put the old back.

    On a GPU, the device is torch's default within, since some of EvoX's tensors follow it and not `device=`.
    """
    gpu = None if device.type == "cpu" else torch.get_device_module(device)
    with torch.random.fork_rng(devices=[] if gpu is None else [device], device_type=device.type if gpu else "cuda"):
        torch.set_rng_state(states[0].cpu())
        if gpu is not None:
            gpu.set_rng_state(states[1].cpu(), device)
        with nullcontext() if gpu is None else device:
            yield
        states[0] = torch.get_rng_state()
        if gpu is not None:
            states[1] = gpu.get_rng_state(device)


class Engine:
    """EvoX's object for one kind, settings and box; it has no memory besides what is put into it.

    Parameters
    ----------
    kind : str
    settings : mapping
    lower, upper : Tensor, shape (d,)
        Of the precision in which EvoX is to compute.
    n_objectives : int
    device : torch.device

    Raises
    ------
    SettingError
        If the settings do not fit.
    """

    def __init__(
        self,
        kind: str,
        settings: Mapping[str, Any],
        lower: Tensor,
        upper: Tensor,
        *,
        n_objectives: int,
        device: torch.device,
    ) -> None:
        self.kind, self._device, self._lower, self._upper = kind, device, lower, upper
        self._n_objectives = n_objectives
        self._options = self._completed(settings)
        self._class = load_class(kind)
        self._starts = self._class.init_step is not _base().init_step
        self._module: Module = None

    def _completed(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        arguments = signature_of(self.kind)
        made: dict[str, Any] = {
            "lb": self._lower,
            "ub": self._upper,
            "n_objs": self._n_objectives,
            "device": self._device,
        }
        own = sorted(set(settings) & set(made))
        if own:
            raise SettingError(f"settings: {own[0]!r} comes from the problem and the optimizer")
        wrong = sorted(set(settings) - set(arguments))
        if wrong:
            raise SettingError(f"settings: EvoX's {self.kind} takes no {wrong[0]!r}; it takes {sorted(arguments)}")
        made["pop_size"] = 100
        for name in _CENTERS:
            made[name] = self._lower + 0.5 * (self._upper - self._lower)
        given = {name: self._tensor(name, value) for name, value in settings.items()}
        needed = {name for name, p in arguments.items() if p.default is inspect.Parameter.empty}
        chosen = {
            name: value for name, value in made.items() if name in needed or (name == "device" and name in arguments)
        }
        missing = sorted(needed - set(given) - set(chosen))
        if missing:
            raise SettingError(f"settings: EvoX's {self.kind} needs {missing}")
        return {**chosen, **given}

    def _tensor(self, name: str, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        try:
            return torch.tensor(value, dtype=self._lower.dtype, device=self._device)
        except (TypeError, ValueError):
            raise SettingError(f"settings: {name}: expected numbers of one shape, got {value!r}") from None

    # -- numbers in and out ----------------------------------------------------------------------------------

    def fresh(self, seed: int) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Return the numbers of a new object, and the states of the generators after making it."""
        self._module = None
        states = self._seeded(seed)
        self._make(states)
        for own in self._own_generators():
            own.manual_seed(seed)
            states.append(own.get_state())
        return self._numbers(), states

    def _own_generators(self) -> list[torch.Generator]:
        """Return the generators that the object keeps besides torch's (SaDE has one)."""
        return [value for _, value in sorted(vars(self._module).items()) if isinstance(value, torch.Generator)]

    def _seeded(self, seed: int) -> list[Tensor]:
        states = [torch.Generator().manual_seed(seed).get_state()]
        if self._device.type != "cpu":
            states.append(torch.Generator(self._device).manual_seed(seed).get_state())
        return states

    def _make(self, states: list[Tensor]) -> None:
        with _generators(states, self._device), torch.no_grad():
            try:
                module = self._class(**self._options)
            except (TypeError, ValueError, AssertionError, RuntimeError, IndexError) as error:
                raise SettingError(f"settings: EvoX's {self.kind} refuses {sorted(self._options)}: {error}") from error
            self._module = module.to(self._device)

    def _numbers(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self._module.state_dict().items()}

    def _restore(self, numbers: Mapping[str, Tensor], seed: int) -> None:
        if self._module is None:
            self._make(self._seeded(seed))
        buffers, parameters = (
            dict(self._module.named_buffers(remove_duplicate=False)),
            dict(self._module.named_parameters(remove_duplicate=False)),
        )
        if set(numbers) != {*buffers, *parameters}:
            raise StateError(f"state: EvoX's {self.kind} has {sorted({*buffers, *parameters})}, got {sorted(numbers)}")
        for name, tensor in numbers.items():
            if name in parameters:
                parameters[name].data = tensor.clone()
            else:
                setattr(self._module, name, tensor.clone())

    # -- steps -----------------------------------------------------------------------------------------------

    def run(
        self, numbers: Mapping[str, Tensor], states: list[Tensor], seed: int, *, first: bool, replies: list[Tensor]
    ) -> tuple[Tensor | None, dict[str, Tensor], list[Tensor]]:
        """Run one step from its start.

        Parameters
        ----------
        numbers : dict of Tensor
            Of the object, at the start of the step.
        states : list of Tensor
            Of the generators then: torch's on the CPU, on the device where it is another, and the object's own.
        seed : int
            What the object was made from.
        first : bool
            Whether it is the first step.
        replies : list of Tensor, shape (n, m) each
            What the step's evaluations came to, as far as known.

        Returns
        -------
        population : Tensor, shape (n, d), or None
            What the next evaluation asks for; None where the step has come to its end.
        numbers, states
            At the end of the step; at its start where it has not come to its end.
        """
        self._restore(numbers, seed)
        waiting = list(replies)

        def evaluate(population: Any) -> Tensor:
            if not isinstance(population, Tensor) or population.dim() != 2:
                raise SettingError(f"name: EvoX's {self.kind} evaluates no points: {type(population).__name__}")
            if not waiting:
                raise _Paused(population.detach().clone())
            values = waiting.pop(0).clamp(-_LARGEST, _LARGEST).to(self._device, self._lower.dtype)
            return values[:, 0].clone() if self._n_objectives == 1 else values.clone()

        own = [state.clone() for state in states]
        kept = self._own_generators()
        for generator, state in zip(kept, own[len(own) - len(kept) :], strict=True):
            generator.set_state(state.cpu())
        self._module.evaluate = evaluate
        try:
            with _generators(own, self._device), torch.no_grad():
                if first and self._starts:
                    self._module.init_step()
                else:
                    self._module.step()
        except _Paused as pause:
            return pause.population, dict(numbers), states
        if kept:
            own[-len(kept) :] = [generator.get_state() for generator in kept]
        return None, self._numbers(), own


def _base() -> Any:
    from evox.core import Algorithm

    return Algorithm
