"""An ensemble of regression networks, one for each member and objective, trained in one batched program."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from blackbox._arguments import whole_number
from blackbox.errors import SettingError
from blackbox.surrogates.adam import Adam
from blackbox.surrogates.precision import PRECISIONS, Precision, product_dtype
from blackbox.surrogates.reporting import is_watched, report
from blackbox.surrogates.scaling import Scaling

__all__ = ["Ensemble", "EnsembleSettings", "fit_ensemble"]

Activation: TypeAlias = Literal["leaky_relu", "relu", "silu", "tanh"]
Progress: TypeAlias = Callable[[int, Tensor], None]

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "leaky_relu": functional.leaky_relu,
    "relu": functional.relu,
    "silu": functional.silu,
    "tanh": torch.tanh,
}
_BLOCK = 1 << 25  # numbers in the widest layer of one block of predictions
_STAGE = "training predictors"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleSettings:
    """How the networks of an ensemble look and learn; the defaults are the published recipe of one predictor.

    Parameters
    ----------
    hidden : tuple of int, default (2048, 2048)
        Widths of the hidden layers, one at least.
    activation : {"leaky_relu", "relu", "silu", "tanh"}, default "leaky_relu"
        With slope 0.01 below zero for "leaky_relu".
    members : int, default 1
        Networks for each objective; they differ in their first weights, their validation rows and their order.
    epochs : int, default 200
        At most so many passes over the training rows.
    batch_size : int, default 128
    learning_rate : float, default 1e-3
        Of Adam, in the first epoch.
    decay : float, default 0.98
        What the learning rate is multiplied by after each epoch, in (0, 1].
    validation_share : float, default 0.1
        Share of the rows that is held out, in [0, 1). With fewer than 2 such rows all rows serve for both.
    patience : int, optional
        Stop after so many epochs in which no network got better. Default: never stop early.
    precision : {"float32", "bfloat16", "auto"}, default "float32"
        Of the matrix products in training; "auto" is bfloat16 where the device has units for it. Weights, sums of Adam
        and predictions are float32 in any case.

    References
    ----------
    Xue, Tan, Huang, Qian, *Offline multi-objective optimization*, ICML 2024 (the multiple-models recipe); Yuan et al.,
    *ParetoFlow*, ICLR 2025, appendix A.4.
    """

    hidden: tuple[int, ...] = (2048, 2048)
    activation: Activation = "leaky_relu"
    members: int = 1
    epochs: int = 200
    batch_size: int = 128
    learning_rate: float = 1e-3
    decay: float = 0.98
    validation_share: float = 0.1
    patience: int | None = None
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))
        if not self.hidden:
            raise SettingError("hidden: expected at least one width, got ()")
        for width in self.hidden:
            whole_number(width, "hidden", 1)
        for name in ("members", "epochs", "batch_size"):
            whole_number(getattr(self, name), name, 1)
        if self.patience is not None:
            whole_number(self.patience, "patience", 1)
        if self.activation not in _ACTIVATIONS:
            raise SettingError(f"activation: expected one of {sorted(_ACTIVATIONS)}, got {self.activation!r}")
        if self.precision not in PRECISIONS:
            raise SettingError(f"precision: expected one of {list(PRECISIONS)}, got {self.precision!r}")
        _check_share("learning_rate", self.learning_rate, math.inf)
        _check_share("decay", self.decay, 1.0)
        if self.validation_share != 0:
            _check_share("validation_share", self.validation_share, 0.999)


def _check_share(name: str, value: float, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= most:
        raise SettingError(f"{name}: expected a number in (0, {most:g}], got {value!r}")


@dataclass(frozen=True)
class Ensemble:
    """Fitted networks: `members` for each of m objectives; made by `fit_ensemble`, saved with an optimizer's state.

    Attributes
    ----------
    weights, biases : list of Tensor, shapes (members m, in, out) and (members m, 1, out), float32
        One pair a layer; the networks of one member stand together.
    inputs, outputs : Scaling
        Of the columns of x and y.
    activation : str
    members : int
    scores : Tensor, shape (members, m), float64
        The best Pearson correlation of each network on its validation rows; below -1 where there was none.
    epochs : int
        How many passes were made.
    """

    weights: list[Tensor]
    biases: list[Tensor]
    inputs: Scaling
    outputs: Scaling
    activation: str
    members: int
    scores: Tensor
    epochs: int

    @property
    def n_objectives(self) -> int:
        """The number of objectives m."""
        return self.outputs.mean.shape[0]

    def predict(self, x: Tensor) -> Tensor:
        """Return what every member predicts, in the units of y.

        Differentiable in x. O(members m q h^2) time for hidden width h, in blocks of rows.

        Parameters
        ----------
        x : Tensor, shape (q, d)
            In the units of the data.

        Returns
        -------
        Tensor, shape (members, q, m), in the dtype of x
        """
        scaled = self.outputs.invert(self.predict_scaled(self.inputs.apply(x)).to(x.dtype))
        return scaled

    def predict_scaled(self, z: Tensor) -> Tensor:
        """Return predictions in scaled units, shape (members, q, m), float32, of scaled inputs, shape (q, d)."""
        widest = len(self.weights[0]) * max(weight.shape[-1] for weight in self.weights)
        rows = max(1, _BLOCK // widest)
        parts = [self._forward(part) for part in torch.split(z.to(torch.float32), rows)] if len(z) else []
        if not parts:
            return z.new_zeros((self.members, 0, self.n_objectives), dtype=torch.float32)
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def _forward(self, z: Tensor) -> Tensor:
        h = z.expand(len(self.weights[0]), *z.shape)
        out = _network(h, self.weights, self.biases, _ACTIVATIONS[self.activation], torch.float32)
        return out.reshape(self.members, self.n_objectives, len(z)).mT

    def mean(self, x: Tensor) -> Tensor:
        """Return the mean prediction of the members, shape (q, m), at points of shape (q, d)."""
        return self.predict(x).mean(0)


def fit_ensemble(
    x: Tensor,
    y: Tensor,
    settings: EnsembleSettings,
    generator: torch.Generator,
    progress: Progress | None = None,
) -> Ensemble:
    """Fit networks to a table: one for each member and objective, all in one batched program.

    Every network minimises the mean squared error of scaled targets with Adam, and keeps the weights of the epoch
    with the best Pearson correlation on its validation rows. Training is float32 on the device of x, deterministic
    given the generator; nothing else is drawn from it than one seed a network and one a member, so that a network
    is what it would be alone.

    Parameters
    ----------
    x : Tensor, shape (n, d)
        Finite; scaled inside.
    y : Tensor, shape (n, m)
        Finite; scaled inside.
    settings : EnsembleSettings
    generator : torch.Generator
        On the device of x.
    progress : callable, optional
        Called after each epoch with its number from 1 and the mean training losses, shape (members, m), on the device.
        Whoever listens with `blackbox.surrogates.reporting.watching` hears of it in any case.

    Raises
    ------
    SettingError
        If shapes disagree, there is no row, or an entry is not finite.

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(0)
    >>> x = torch.rand((200, 2), generator=generator)
    >>> settings = EnsembleSettings(hidden=(32,), members=2, epochs=40, batch_size=20)
    >>> ensemble = fit_ensemble(x, x.sum(1, keepdim=True), settings, generator)
    >>> ensemble.predict(x).shape
    torch.Size([2, 200, 1])
    >>> bool((ensemble.scores > 0.98).all())
    True
    """
    _check_table("x", x)
    _check_table("y", y)
    if len(x) != len(y):
        raise SettingError(f"y: expected {len(x)} rows as in x, got {len(y)}")
    most = 2**62
    device = generator.device
    seeds = torch.randint(most, (settings.members, y.shape[1]), generator=generator, device=device)
    orders = torch.randint(most, (settings.members,), generator=generator, device=device)
    return _fit(x, y, settings, seeds, orders, progress)


def _check_table(name: str, table: Tensor) -> None:
    if table.dim() != 2 or not table.numel():
        raise SettingError(f"{name}: expected shape (n, columns), at least one of each, got {tuple(table.shape)}")
    if not bool(torch.isfinite(table).all()):
        raise SettingError(f"{name}: expected finite numbers; drop rows with NaN or infinities first")


def _fit(
    x: Tensor, y: Tensor, settings: EnsembleSettings, seeds: Tensor, orders: Tensor, progress: Progress | None
) -> Ensemble:
    """Fit the networks of `seeds`, shape (members, m), with the row orders of `orders`, shape (members,)."""
    device, (members, m) = x.device, seeds.shape
    inputs, outputs = Scaling.of(x), Scaling.of(y)
    data = inputs.apply(x).to(torch.float32), outputs.apply(y).to(torch.float32)
    weights, biases = _first_weights(x.shape[1], settings.hidden, seeds, device)
    generators = [torch.Generator(device=device).manual_seed(int(seed)) for seed in orders.tolist()]
    held, learned = _split(len(x), settings.validation_share, generators)
    trainer = _Trainer(data, weights, biases, settings, (members, m))
    best = [tensor.detach().clone() for tensor in [*weights, *biases]]
    scores = torch.full((members, m), -math.inf, dtype=torch.float64, device=device)
    unimproved = epoch = 0
    for epoch in range(1, settings.epochs + 1):
        losses = trainer.run_epoch(_shuffled(learned, generators))
        found = trainer.score(held)
        improved = found > scores
        scores = torch.where(improved, found, scores)
        for kept, tensor in zip(best, [*weights, *biases], strict=True):
            torch.where(improved.reshape(-1, 1, 1), tensor.detach(), kept, out=kept)
        if progress is not None:
            progress(epoch, losses)
        _tell_watcher(epoch, settings.epochs, losses, scores)
        if settings.patience is not None:
            unimproved = 0 if bool(improved.any()) else unimproved + 1
            if unimproved >= settings.patience:
                break
    n = len(weights)
    return Ensemble(best[:n], best[n:], inputs, outputs, settings.activation, members, scores, epoch)


def _tell_watcher(epoch: int, epochs: int, losses: Tensor, scores: Tensor) -> None:
    if is_watched():  # figures are fetched from the device only where somebody looks
        report(_STAGE, epoch, epochs, {"loss": float(losses.mean()), "correlation": float(scores.mean())})


def _first_weights(
    dim: int, hidden: tuple[int, ...], seeds: Tensor, device: torch.device
) -> tuple[list[Tensor], list[Tensor]]:
    """Return weights and biases, uniform within 1 / sqrt(inputs), each network from a generator of its own seed."""
    widths = [dim, *hidden, 1]
    generators = [torch.Generator(device=device).manual_seed(int(seed)) for seed in seeds.flatten().tolist()]
    weights, biases = [], []
    for into, out in pairwise(widths):
        bound = 1 / math.sqrt(into)
        drawn = [torch.rand((into + 1, out), generator=g, device=device) for g in generators]
        layer = (2 * torch.stack(drawn) - 1) * bound
        weights.append(layer[:, :into].clone().requires_grad_())
        biases.append(layer[:, into:].clone().requires_grad_())
    return weights, biases


def _split(n: int, share: float, generators: list[torch.Generator]) -> tuple[Tensor, Tensor]:
    """Return the validation rows, shape (members, v), and the others; all rows for both if v < 2."""
    device = generators[0].device
    order = torch.stack([torch.randperm(n, generator=g, device=device) for g in generators])
    held = round(share * n)
    if held < 2 or held > n - 2:
        return order, order
    return order[:, :held], order[:, held:]


def _shuffled(rows: Tensor, generators: list[torch.Generator]) -> Tensor:
    """Return each member's rows in a new order, shape (members, n)."""
    n, device = rows.shape[1], rows.device
    order = torch.stack([torch.randperm(n, generator=g, device=device) for g in generators])
    return rows.gather(1, order)


def _network(
    h: Tensor,
    weights: list[Tensor],
    biases: list[Tensor],
    activation: Callable[[Tensor], Tensor],
    compute: torch.dtype,
) -> Tensor:
    """Return the outputs of all networks, shape (networks, q), of their inputs, shape (networks, q, d)."""
    h = h.to(compute)
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        h = activation(torch.baddbmm(bias.to(compute), h, weight.to(compute)))
    return torch.baddbmm(biases[-1], h.to(biases[-1].dtype), weights[-1]).squeeze(-1)


class _Trainer:
    """One epoch of all networks at a time."""

    def __init__(
        self,
        data: tuple[Tensor, Tensor],
        weights: list[Tensor],
        biases: list[Tensor],
        settings: EnsembleSettings,
        shape: tuple[int, int],
    ) -> None:
        self._x, self._y = data
        self._weights, self._biases = weights, biases
        self._settings, (self._members, self._m) = settings, shape
        self._activation = _ACTIVATIONS[settings.activation]
        self._compute = product_dtype(settings.precision, data[0].device)
        self._adam = Adam([*weights, *biases], settings.learning_rate)

    def run_epoch(self, rows: Tensor) -> Tensor:
        """Take one step a batch of rows, shape (members, n); return mean losses, shape (members, m)."""
        total = self._y.new_zeros((self._members, self._m))
        for batch in torch.split(rows, self._settings.batch_size, dim=1):
            losses = (self._outputs(batch, self._compute) - self._targets(batch)).square().mean(-1)
            self._adam.zero_grad()
            losses.sum().backward()  # type: ignore[no-untyped-call]
            self._adam.step()
            total += losses.detach() * batch.shape[1]
        self._adam.lr *= self._settings.decay
        return total / rows.shape[1]

    def score(self, rows: Tensor) -> Tensor:
        """Return the correlation of predictions and targets on rows, shape (members, v); as shape (members, m)."""
        block = max(1, _BLOCK // (self._members * self._m * max(self._settings.hidden)))
        with torch.no_grad():
            parts = [self._outputs(batch, torch.float32) for batch in torch.split(rows, block, dim=1)]
            return _correlation(torch.cat(parts, dim=-1).double(), self._targets(rows).double())

    def _outputs(self, rows: Tensor, compute: torch.dtype) -> Tensor:
        members, q = rows.shape
        x = self._x[rows].unsqueeze(1).expand(members, self._m, q, -1).reshape(members * self._m, q, -1)
        return _network(x, self._weights, self._biases, self._activation, compute).reshape(members, self._m, q)

    def _targets(self, rows: Tensor) -> Tensor:
        return self._y[rows].mT


def _correlation(predicted: Tensor, target: Tensor) -> Tensor:
    """Return Pearson's correlation along the last dimension; -1 minus the mean squared error where it is undefined."""
    a = predicted - predicted.mean(-1, keepdim=True)
    b = target - target.mean(-1, keepdim=True)
    scale = a.square().sum(-1).sqrt() * b.square().sum(-1).sqrt()
    defined = scale > 1e-12
    value = (a * b).sum(-1) / torch.where(defined, scale, 1.0)
    return torch.where(defined, value, -1.0 - (predicted - target).square().mean(-1))
