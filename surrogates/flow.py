"""Flow matching: a velocity field that carries standard normal draws to the distribution of the data.

The network is a multilayer perceptron of plain tensors. It is trained in float32 (optionally with bfloat16 products),
stopped early on the matching loss of fixed draws, and averaged over its steps.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from blackbox.errors import SettingError
from blackbox.surrogates.precision import PRECISIONS, Precision, product_dtype
from blackbox.surrogates.reporting import report

__all__ = ["Flow", "FlowSettings", "fit_flow", "integrate"]

Progress: TypeAlias = Callable[[int, float], None]

_FREQUENCIES = 16
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "selu": functional.selu,
    "silu": functional.silu,
    "gelu": functional.gelu,
}
_VALIDATION_DRAWS = 4
_STAGE = "training flow"


@dataclass(frozen=True, slots=True)
class FlowSettings:
    """How a flow is built and trained.

    Parameters
    ----------
    hidden : tuple of int, default (256, 256, 256)
        Widths of the hidden layers.
    activation : {"selu", "silu", "gelu"}, default "selu"
    time : {"fourier", "added"}, default "fourier"
        How the network knows the time: sines and cosines of it, mapped into the first hidden layer; or, as
        published, one linear map of it that is added to the point.
    path : {"straight", "lipman"}, default "straight"
        "straight": x_t = (1 - t) x_0 + t x_1. "lipman": x_t = (1 - (1 - s) t) x_0 + t x_1, with s = `sigma`.
    sigma : float, default 0
        For the straight path the deviation of noise that is added to x_t, for the other s.
    epochs : int, default 60
        Passes over the data, at most.
    batch_size : int, default 512
    learning_rate : float, default 2e-3
        Of Adam.
    schedule : {"cosine", "constant"}, default "cosine"
        "cosine": a short rise, then down to zero at the last epoch.
    patience : int, default 20
        Stop after so many epochs without a better validation loss.
    validation : float, default 0.1
        Share of the rows, drawn at random, that is held out for it; at most 2000 rows.
    average : float in [0, 1), default 0.998
        Decay a step of the moving average of the weights, which is what is kept; 0 keeps the last weights.
    precision : {"float32", "bfloat16", "auto"}, default "float32"
        Of the products of matrices in training; "auto" is bfloat16 where the device has units for it. Weights are
        float32 in any case.
    """

    hidden: tuple[int, ...] = (256, 256, 256)
    activation: Literal["selu", "silu", "gelu"] = "selu"
    time: Literal["fourier", "added"] = "fourier"
    path: Literal["straight", "lipman"] = "straight"
    sigma: float = 0.0
    epochs: int = 60
    batch_size: int = 512
    learning_rate: float = 2e-3
    schedule: Literal["cosine", "constant"] = "cosine"
    patience: int = 20
    validation: float = 0.1
    average: float = 0.998
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))
        if not self.hidden or any(not isinstance(w, int) or w < 1 for w in self.hidden):
            raise SettingError(f"hidden: expected widths >= 1, got {self.hidden!r}")
        for name in ("epochs", "batch_size", "patience"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise SettingError(f"{name}: expected an integer >= 1, got {value!r}")
        choices = {
            "activation": tuple(_ACTIVATIONS),
            "time": ("fourier", "added"),
            "path": ("straight", "lipman"),
            "schedule": ("cosine", "constant"),
            "precision": PRECISIONS,
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise SettingError(f"{name}: expected one of {list(allowed)}, got {getattr(self, name)!r}")
        for name, low, high in (
            ("learning_rate", 1e-12, math.inf),
            ("validation", 0.0, 0.9),
            ("average", 0.0, 1 - 1e-9),
            ("sigma", 0.0, 1.0),
        ):
            if not low <= getattr(self, name) <= high:
                raise SettingError(f"{name}: expected a number in [{low:g}, {high:g}], got {getattr(self, name)!r}")

    @classmethod
    def published(cls) -> FlowSettings:
        """Return the sizes of the paper and its code: 512 wide, 1000 epochs, batches of 128, time added."""
        return cls(
            hidden=(512, 512, 512),
            time="added",
            epochs=1000,
            batch_size=128,
            learning_rate=1e-3,
            schedule="constant",
            average=0.0,
        )


@dataclass(frozen=True)
class Flow:
    """A velocity field v(x, t) on R^d; from `fit_flow`.

    Attributes
    ----------
    weights : list of Tensor, shape (in, out), float32
    biases : list of Tensor, shape (out,)
    time_weight, time_bias : Tensor
        The map of the time: (1, d) and (d,) where it is added, (2 * 16, hidden[0]) and (0,) else.
    activation, time : str
    loss : float
        The validation loss of the weights that were kept.
    epochs : int
        Passes over the data that were made.
    """

    weights: list[Tensor]
    biases: list[Tensor]
    time_weight: Tensor
    time_bias: Tensor
    activation: str
    time: str
    loss: float = math.nan
    epochs: int = 0

    @property
    def dim(self) -> int:
        """The number of variables d."""
        return int(self.weights[0].shape[0])

    def velocity(self, x: Tensor, t: Tensor | float) -> Tensor:
        """Return v(x, t), shape (n, d).

        Parameters
        ----------
        x : Tensor, shape (n, d)
        t : float, or Tensor of shape (n, 1)
            In [0, 1].
        """
        time = t if isinstance(t, Tensor) else x.new_full((1, 1), t)
        act = _ACTIVATIONS[self.activation]
        if self.time == "added":
            h = torch.addmm(self.biases[0], x + (time @ self.time_weight + self.time_bias), self.weights[0])
        else:
            h = torch.addmm(self.biases[0], x, self.weights[0]) + _waves(time) @ self.time_weight
        for weight, bias in zip(self.weights[1:], self.biases[1:], strict=True):
            h = torch.addmm(bias, act(h), weight)
        return h

    def sample(self, n: int, generator: torch.Generator, *, steps: int = 20) -> Tensor:
        """Return n draws, shape (n, d), by `steps` Heun steps.

        Parameters
        ----------
        n : int
        generator : torch.Generator
            On the device of the weights.
        steps : int, default 20
        """
        first = self.weights[0]
        x = torch.randn((n, self.dim), generator=generator, dtype=first.dtype, device=first.device)
        with torch.no_grad():
            return integrate(self.velocity, x, 0.0, 1.0, steps)


def _waves(time: Tensor) -> Tensor:
    """Return sines and cosines of a time of shape (n, 1): periods of 4 down to 4/16, shape (n, 32)."""
    angles = time * torch.arange(1, _FREQUENCIES + 1, dtype=time.dtype, device=time.device) * (math.pi / 2)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def integrate(
    velocity: Callable[[Tensor, float], Tensor],
    x: Tensor,
    start: float,
    stop: float,
    steps: int,
    *,
    method: Literal["heun", "euler"] = "heun",
) -> Tensor:
    """Return the solution at time `stop` of dx/dt = velocity(x, t), x(start) = x, by equal steps.

    Parameters
    ----------
    velocity : callable (x, t) -> Tensor, shape (n, d)
    x : Tensor, shape (n, d)
    start, stop : float
    steps : int
    method : {"heun", "euler"}, default "heun"
        Two evaluations a step and an error of second order, or one and first order.

    Examples
    --------
    >>> import torch
    >>> round(float(integrate(lambda x, t: -x, torch.ones(1, 1), 0.0, 1.0, 20)), 3)
    0.368
    """
    dt = (stop - start) / steps
    for step in range(steps):
        t = start + step * dt
        v = velocity(x, t)
        if method == "heun":
            v = 0.5 * (v + velocity(x + dt * v, t + dt))
        x = x + dt * v
    return x


def fit_flow(x: Tensor, settings: FlowSettings, generator: torch.Generator, progress: Progress | None = None) -> Flow:
    """Return the flow that carries standard normal draws to the distribution of the rows of x.

    The loss is the mean of |v(x_t, t) - (x_1 - x_0)|^2 over x_0 ~ N(0, I), t ~ U(0, 1) and rows x_1. The weights that
    are kept are those with the least loss on held-out rows with fixed draws of x_0 and t.

    Parameters
    ----------
    x : Tensor, shape (n, d), n >= 1
        Standardised: columns near mean 0 and deviation 1 or 0.
    settings : FlowSettings
    generator : torch.Generator
        On the device of x.
    progress : callable, optional
        Called after each epoch with its number from 1 and the validation loss. Whoever listens with
        `blackbox.surrogates.reporting.watching` hears of it in any case.

    References
    ----------
    Y. Lipman et al., Flow matching for generative modeling, 2023. A. Tong et al., Improving and generalizing
    flow-based generative models with minibatch optimal transport, 2024 (the straight path). Y. Yuan et al.,
    ParetoFlow: guided flows in multi-objective optimization, 2025, equations 4 and 5; deviation: their early stopping
    reads an estimate of the likelihood, here it is the loss itself.

    Examples
    --------
    >>> import torch
    >>> generator = torch.Generator().manual_seed(0)
    >>> data = torch.randn((500, 2), generator=generator)
    >>> flow = fit_flow(data, FlowSettings(hidden=(16,), epochs=2), generator)
    >>> flow.sample(3, generator).shape
    torch.Size([3, 2])
    """
    x = x.to(torch.float32)
    train, held = _split(x, settings.validation, generator)
    flow = _first(x.shape[1], settings, generator, x.device)
    parameters = [*flow.weights, *flow.biases, flow.time_weight, flow.time_bias]
    for parameter in parameters:
        parameter.requires_grad_()
    optimizer = torch.optim.Adam(parameters, settings.learning_rate, fused=True)
    mean = [parameter.detach().clone() for parameter in parameters]
    best = [parameter.clone() for parameter in mean]
    check = _Check(held, settings, generator)
    batch, compute = min(settings.batch_size, len(train)), product_dtype(settings.precision, x.device)
    steps = len(train) // batch
    least, since, done, epoch = math.inf, 0, 0, 0
    for epoch in range(1, settings.epochs + 1):
        order = torch.randperm(len(train), generator=generator, device=x.device)[: steps * batch].view(steps, batch)
        for rows in order:
            _set_rate(optimizer, settings, done, steps * settings.epochs)
            inputs, time, target = _bridge(train[rows], settings, generator)
            with torch.autocast(x.device.type, torch.bfloat16, enabled=compute == torch.bfloat16):
                output = flow.velocity(inputs, time)
            loss = functional.mse_loss(output.float(), target)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            done += 1
            decay = min(settings.average, done / (done + 10.0))
            with torch.no_grad():
                torch._foreach_lerp_(mean, parameters, 1.0 - decay)
        loss_now = check(_with(flow, mean))
        since += 1
        if loss_now < least:
            least, since = loss_now, 0
            torch._foreach_copy_(best, mean)
        if progress is not None:
            progress(epoch, loss_now)
        report(_STAGE, epoch, settings.epochs, {"loss": loss_now})
        if since >= settings.patience:
            break
    return replace(_with(flow, best), loss=least, epochs=epoch)


def _split(x: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return rows to train on and rows to validate on; the same rows where there are fewer than ten."""
    n = len(x)
    held = min(int(n * share), 2000)
    if n < 10 or held < 1:
        return x, x[: min(n, 2000)]
    order = torch.randperm(n, generator=generator, device=x.device)
    return x[order[held:]], x[order[:held]]


def _first(d: int, settings: FlowSettings, generator: torch.Generator, device: torch.device) -> Flow:
    """Return a network with random weights (uniform, of variance 1 / inputs) whose last layer is small."""
    sizes = [d, *settings.hidden, d]

    def uniform(rows: int, columns: int, scale: float) -> Tensor:
        draw = torch.rand((rows, columns), generator=generator, device=device)
        return (draw * 2.0 - 1.0) * (scale * math.sqrt(3.0 / rows))

    weights = [uniform(a, b, 0.1 if k == len(sizes) - 2 else 1.0) for k, (a, b) in enumerate(itertools.pairwise(sizes))]
    biases = [torch.zeros(width, device=device) for width in sizes[1:]]
    if settings.time == "added":
        clock, offset = uniform(1, d, 1.0 / math.sqrt(3.0)), torch.zeros(d, device=device)
    else:
        clock, offset = uniform(2 * _FREQUENCIES, sizes[1], 1.0), torch.zeros(0, device=device)
    return Flow(weights, biases, clock, offset, settings.activation, settings.time)


def _with(flow: Flow, parameters: list[Tensor]) -> Flow:
    """Return the same network with other weights."""
    layers = len(flow.weights)
    weights, biases, (clock, offset) = parameters[:layers], parameters[layers : 2 * layers], parameters[2 * layers :]
    return replace(flow, weights=list(weights), biases=list(biases), time_weight=clock, time_bias=offset)


def _bridge(x1: Tensor, settings: FlowSettings, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Return x_t, t and the velocity to match for rows x1, with fresh draws of x_0 and t."""
    x0 = torch.randn(x1.shape, generator=generator, device=x1.device)
    t = torch.rand((len(x1), 1), generator=generator, device=x1.device)
    if settings.path == "lipman":
        shrink = 1.0 - settings.sigma
        return (1.0 - shrink * t) * x0 + t * x1, t, x1 - shrink * x0
    xt = torch.lerp(x0, x1, t)
    if settings.sigma:
        xt = xt + settings.sigma * torch.randn(x1.shape, generator=generator, device=x1.device)
    return xt, t, x1 - x0


class _Check:
    """The matching loss on held-out rows, with the same draws each time."""

    def __init__(self, held: Tensor, settings: FlowSettings, generator: torch.Generator) -> None:
        self.inputs, self.time, self.target = _bridge(held.repeat(_VALIDATION_DRAWS, 1), settings, generator)

    def __call__(self, flow: Flow) -> float:
        with torch.no_grad():
            return float(functional.mse_loss(flow.velocity(self.inputs, self.time), self.target))


def _set_rate(optimizer: torch.optim.Optimizer, settings: FlowSettings, done: int, total: int) -> None:
    if settings.schedule == "constant":
        return
    rise = min(1.0, (done + 1) / min(200, max(1, total // 10)))
    rate = settings.learning_rate * rise * 0.5 * (1.0 + math.cos(math.pi * done / total))
    for group in optimizer.param_groups:
        group["lr"] = rate
