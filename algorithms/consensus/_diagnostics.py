"""What a user needs to see: stability of the settings, the path of the consensus, and a picture of a 2-D run."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from blackbox.algorithms.consensus._ensemble import Ensemble
from blackbox.algorithms.consensus._lifecycle import ensemble_variance
from blackbox.algorithms.consensus._settings import Settings
from blackbox.algorithms.consensus._step import alpha_of, best_of, merit
from blackbox.algorithms.consensus._weights import consensus_point, consensus_weights, effective_sample_size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ConsensusWarning", "Diagnosis", "Path", "Stability", "diagnose", "draw_run", "stability", "warn_unstable"]


class ConsensusWarning(UserWarning):
    """Settings under which the ensemble grows instead of contracting."""


@dataclass(frozen=True, slots=True)
class Stability:
    """How fast the ensemble contracts around a fixed consensus.

    Parameters
    ----------
    mean_square : float
        Growth of the variance per unit of time in the mean-field limit, negative when it contracts:
        sigma^2 - 2 lambda (component-wise), d sigma^2 - 2 lambda (isotropic).
    almost_sure : float
        Expected logarithm of the factor on a particle's distance per step of the discrete scheme, negative when it
        contracts: E log |1 - lambda dt + sigma sqrt(dt) xi|. It decides what happens to a run: settings with a
        positive first and a negative second number make rare, large excursions and still contract.
    """

    mean_square: float
    almost_sure: float


def stability(settings: Settings, dim: int) -> Stability | None:
    """Return both stability exponents in `dim` variables; None for noise that does not scale with the distance.

    The expectation is computed by quadrature, to about 3 digits, from no random numbers for component-wise noise, and
    from the density of a non-central chi-square for isotropic noise.
    """
    noise = settings.noise
    if noise.kind not in ("component", "isotropic") or settings.hopping is not None or noise.truncation is not None:
        return None
    if settings.subset is not None or settings.adam is not None or (settings.memory and settings.memory.greedy):
        return None
    shrink, scale = 1 - settings.drift * settings.dt, noise.sigma * math.sqrt(settings.dt)
    many = dim if noise.kind == "isotropic" else 1
    mean_square = many * noise.sigma**2 - 2 * settings.drift
    if scale == 0:
        return Stability(mean_square, math.log(abs(shrink)) if shrink else -math.inf)
    # |shrink e + scale xi| for a unit vector e in R^many: the part along e, and a chi-square of many - 1 for the rest.
    nodes = torch.arange(0.5, 4000, dtype=torch.float64) / 4000
    along = shrink + scale * torch.special.ndtri(nodes)
    if many == 1:
        return Stability(mean_square, float(along.abs().log().mean()))
    # log(a + r) averaged over r ~ scale^2 chi2(k): quantiles of the gamma law by inverting its distribution function.
    rest = scale**2 * _chi_square_nodes(many - 1)
    return Stability(mean_square, float(0.5 * torch.log(along[:, None] ** 2 + rest).mean()))


def _chi_square_nodes(k: int, count: int = 400) -> Tensor:
    """Return `count` equally likely values of a chi-square law with k degrees of freedom, by bisection."""
    p = torch.arange(0.5, count, dtype=torch.float64) / count
    low, high = torch.zeros_like(p), torch.full_like(p, k + 10 * math.sqrt(2 * k) + 30)
    shape = torch.full_like(p, k / 2)
    for _ in range(60):
        middle = (low + high) / 2
        below = torch.special.gammainc(shape, middle / 2) < p
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2


def warn_unstable(settings: Settings, dim: int) -> None:
    """Warn where particles move away from the consensus almost surely."""
    exponents = stability(settings, dim)
    if exponents is not None and exponents.almost_sure > 0:
        warnings.warn(
            f"these settings diverge in {dim} variables: distances to the consensus grow by a factor "
            f"{math.exp(exponents.almost_sure):.3g} a step (sigma {settings.noise.sigma:g}, {settings.noise.kind} "
            "noise); lower sigma or dt, or use component-wise or truncated noise",
            ConsensusWarning,
            stacklevel=2,
        )


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Where B ensembles stand.

    Parameters
    ----------
    consensus : Tensor, shape (B, d)
        Of all particles, with the weights of this step, in the unit cube; NaN where all have failed.
    variance : Tensor, shape (B,)
        Mean squared distance of particles to their mean, in the unit cube.
    effective_sample_size : Tensor, shape (B,)
        Of the weights.
    best : Tensor, shape (B,)
        The best value so far.
    """

    consensus: Tensor
    variance: Tensor
    effective_sample_size: Tensor
    best: Tensor


def diagnose(settings: Settings, ensemble: Ensemble) -> Diagnosis:
    """Return where an ensemble stands after `learn`."""
    f = merit(ensemble.f, ensemble.v, ensemble)
    w = consensus_weights(f, alpha_of(settings, f, ensemble))
    known = torch.isfinite(f).any(1, keepdim=True)
    consensus = torch.where(known, consensus_point(ensemble.y, w), math.nan)
    points = ensemble.y if ensemble.at.shape[1] == 0 else ensemble.at
    return Diagnosis(consensus, ensemble_variance(points), effective_sample_size(w), best_of(ensemble)[1])


@dataclass(frozen=True, slots=True)
class Path:
    """What one run recorded, a row a step (`ConsensusBased(record=True)`).

    Parameters
    ----------
    consensus : Tensor, shape (steps, d)
        In the unit cube.
    variance, effective_sample_size, best : Tensor, shape (steps,)
    """

    consensus: Tensor
    variance: Tensor
    effective_sample_size: Tensor
    best: Tensor

    @property
    def steps_taken(self) -> Tensor:
        """The steps of the consensus x_k - x_(k-1), shape (steps - 1, d): -tau grad f in a hopping run."""
        return self.consensus.diff(dim=0)

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Path:
        """Return the path in the state of an optimizer (`optimizer.state()`)."""
        kernel = state["kernel"]
        rows = kernel["path"][: kernel["recorded"]]
        return cls(rows[:, :-3], rows[:, -3], rows[:, -2], rows[:, -1])


def draw_run(
    objective: Callable[[Tensor], Tensor],
    lower: Tensor,
    upper: Tensor,
    path: Path,
    *,
    particles: Tensor | None = None,
    cells: int = 120,
) -> Figure:
    """Return the picture of a 2-D run: level sets, the path of the consensus, particles, and the variance by step.

    Parameters
    ----------
    objective : function of a Tensor (n, 2) that returns a Tensor (n,)
    lower, upper : Tensor, shape (2,)
    path : Path
    particles : Tensor, shape (n, 2), optional
        In the units of the box.
    cells : int
        Of the grid, in each direction.
    """
    from matplotlib.figure import Figure

    axis = torch.linspace(0, 1, cells, dtype=lower.dtype)
    grid = torch.cartesian_prod(axis, axis)
    values = objective(lower + grid * (upper - lower)).reshape(cells, cells).T
    ticks = (lower + axis[:, None] * (upper - lower)).T
    consensus = lower + path.consensus * (upper - lower)
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.contourf(ticks[0].numpy(), ticks[1].numpy(), values.numpy(), levels=30, cmap="Greys")
    if particles is not None:
        left.plot(particles[:, 0].numpy(), particles[:, 1].numpy(), ".", markersize=4, label="particles")
    left.plot(consensus[:, 0].numpy(), consensus[:, 1].numpy(), "o-", markersize=3, linewidth=1, label="consensus")
    left.legend(loc="upper right")
    right.semilogy(path.variance.numpy(), label="variance of the ensemble")
    right.semilogy(path.effective_sample_size.numpy(), label="effective sample size")
    right.set_xlabel("step")
    right.legend()
    return figure
