"""Gradient descent without gradients: zeroth-order estimators, driven through ask and tell by a first-order rule.

All lengths are in units of the unit cube that the space is mapped to.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from blackbox.algorithm import Candidates, Capabilities, Front, Request, Seen, Spec
from blackbox.algorithms.consensus._alignment import told_places
from blackbox.algorithms.consensus._options import not_negative, one_of, positive, require

__all__ = ["SGD", "Adam", "Estimate", "Estimator", "GradientEstimation", "GradientState", "Lion"]


# -- estimators ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Estimate:
    """A gradient, and how far to trust it.

    Parameters
    ----------
    gradient : Tensor, shape (..., d)
        Zero where no direction has both of its values.
    variance : Tensor, shape (..., d)
        Of each component: the sample variance over directions, divided by their number; NaN for fewer than two.
        Orthogonal directions are not independent: for these it is an upper bound.
    """

    gradient: Tensor
    variance: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimator:
    """How to probe around a point, and what gradient to conclude: pure functions, with any leading batch dimensions.

    Parameters
    ----------
    kind : str
        The law of directions u, all with E[u u'] = I: "gaussian" (smoothing; evolution strategies), "spsa" (signs),
        "orthogonal" (random orthogonal blocks of up to d directions, of length sqrt(d): on the sphere), or
        "forward": no probes but one point, whose derivatives along the directions are told.
    directions : int
        q; the variance falls as d / q.
    radius : float
        c, how far to probe.
    two_sided : bool
        f(x + c u) - f(x - c u), bias O(c^2), 2 q evaluations; otherwise f(x + c u) - f(x), bias O(c), q + 1.
    ranks : bool
        Replace values by centred ranks in [-1/2, 1/2], as evolution strategies do: only the order of values counts.

    References
    ----------
    Spall, *Multivariate stochastic approximation using a simultaneous perturbation gradient approximation*, 1992;
    Nesterov and Spokoiny, *Random gradient-free minimization of convex functions*, 2017; Salimans et al., *Evolution
    strategies as a scalable alternative to reinforcement learning*, 2017; Baydin et al., *Gradients without
    backpropagation*, 2022.

    Examples
    --------
    >>> estimator = Estimator(kind="orthogonal", directions=3)
    >>> x, slope = torch.zeros(3), torch.tensor([1.0, -2.0, 0.5])
    >>> u = estimator.draw(x, torch.Generator().manual_seed(0))
    >>> values = estimator.points(x, u) @ slope
    >>> bool((estimator.estimate(values, u).gradient - slope).abs().max() < 1e-4)
    True
    """

    kind: Literal["gaussian", "spsa", "orthogonal", "forward"] = "orthogonal"
    directions: int = 8
    radius: float = 0.01
    two_sided: bool = True
    ranks: bool = False

    def __post_init__(self) -> None:
        one_of("kind", self.kind, ("gaussian", "spsa", "orthogonal", "forward"))
        require(self.directions >= 1, "directions", self.directions, "an integer >= 1")
        positive("radius", self.radius)

    def draw(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return random directions for points x (..., d), shape (..., q, d)."""
        *batch, d = x.shape
        shape = (*batch, self.directions, d)
        if self.kind == "spsa":
            signs = torch.randint(2, shape, device=x.device, generator=generator)
            return signs.to(x.dtype).mul_(2).sub_(1)
        if self.kind != "orthogonal":
            return torch.randn(shape, dtype=x.dtype, device=x.device, generator=generator)
        blocks = -(-self.directions // d)
        width = min(self.directions, d)
        normal = torch.randn((*batch, blocks, d, width), dtype=x.dtype, device=x.device, generator=generator)
        q, r = torch.linalg.qr(normal)
        q = q * torch.sign(torch.diagonal(r, dim1=-2, dim2=-1))[..., None, :]  # uniform over rotations
        rows: Tensor = q.mT.flatten(-3, -2)[..., : self.directions, :].mul(d**0.5)
        return rows

    def points(self, x: Tensor, u: Tensor, radius: float | None = None) -> Tensor:
        """Return the points to evaluate around x (..., d): x + c u, then x - c u or x; shape (..., 2 q or q + 1, d)."""
        here = x[..., None, :]
        if self.kind == "forward":
            return here
        step = u * (self.radius if radius is None else radius)
        return torch.cat([here + step, here - step if self.two_sided else here], -2)

    def estimate(self, values: Tensor, u: Tensor, radius: float | None = None) -> Estimate:
        """Return the gradient for the values (..., 2 q or q + 1) of `points`; pairs with a failed value do not count.

        For "forward", `values` (..., q) are the derivatives along the directions.
        """
        q = u.shape[-2]
        finite = torch.isfinite(values)
        if self.ranks and self.kind != "forward":
            order = torch.where(finite, values, torch.inf).argsort(dim=-1, stable=True).argsort(dim=-1)
            values = torch.where(finite, order / max(values.shape[-1] - 1, 1) - 0.5, torch.nan).to(u.dtype)
        if self.kind == "forward":
            slopes = values
        else:
            width = (self.radius if radius is None else radius) * (2 if self.two_sided else 1)
            slopes = (values[..., :q] - values[..., q:]) / width
        known = torch.isfinite(slopes)[..., None]
        count = known.sum(-2)
        parts = torch.where(known, slopes[..., None] * u, 0.0)
        gradient = parts.sum(-2) / count.clamp_min(1)
        scatter = torch.where(known, parts - gradient[..., None, :], 0.0).square().sum(-2)
        variance = torch.where(count > 1, scatter / (count * (count - 1)).clamp_min(1), torch.nan)
        return Estimate(gradient, variance)


# -- rules ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SGD:
    """x <- x - a_k m, m <- momentum m + g, with a_k = learning_rate / (k + 1 + offset)**power.

    Spall's gains are power 0.602, offset a tenth of the foreseen steps. Scaling f scales the step.
    """

    learning_rate: float = 0.01
    momentum: float = 0.0
    power: float = 0.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        positive("learning_rate", self.learning_rate)
        require(0 <= self.momentum < 1, "momentum", self.momentum, "a number in [0, 1)")
        not_negative("power", self.power)
        not_negative("offset", self.offset)

    def step(self, g: Tensor, mean: Tensor, square: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the step of x, and the moments; k counts from 0."""
        mean = self.momentum * mean + g
        return mean * (-self.learning_rate / (k + 1 + self.offset) ** self.power), mean, square


@dataclass(frozen=True, slots=True, kw_only=True)
class Adam:
    """Kingma and Ba 2015; steps of about `learning_rate` in each coordinate, whatever the scale of f."""

    learning_rate: float = 0.02
    first: float = 0.9
    second: float = 0.99
    epsilon: float = 1e-12

    def __post_init__(self) -> None:
        for name in ("learning_rate", "epsilon"):
            positive(name, getattr(self, name))
        for name in ("first", "second"):
            require(0 <= getattr(self, name) < 1, name, getattr(self, name), "a number in [0, 1)")

    def step(self, g: Tensor, mean: Tensor, square: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the step of x, and the moments; k counts from 0."""
        mean = torch.lerp(g, mean, self.first)
        square = torch.lerp(g * g, square, self.second)
        scale = (square / (1 - self.second ** (k + 1))).sqrt() + self.epsilon
        return mean / scale * (-self.learning_rate / (1 - self.first ** (k + 1))), mean, square


@dataclass(frozen=True, slots=True, kw_only=True)
class Lion:
    """Chen et al. 2023: the sign of an average; x <- x - a sign(b1 m + (1 - b1) g), m <- b2 m + (1 - b2) g.

    Deviation: no weight decay, which has no meaning for the points of a box.
    """

    learning_rate: float = 0.005
    first: float = 0.9
    second: float = 0.99

    def __post_init__(self) -> None:
        positive("learning_rate", self.learning_rate)
        for name in ("first", "second"):
            require(0 <= getattr(self, name) < 1, name, getattr(self, name), "a number in [0, 1)")

    def step(self, g: Tensor, mean: Tensor, square: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the step of x, and the moments; k counts from 0."""
        move = torch.lerp(g, mean, self.first).sign() * -self.learning_rate
        return move, torch.lerp(g, mean, self.second), square


# -- the algorithm -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GradientState:
    """An iterate in the unit cube, the directions that are out, and the rule's moments.

    Parameters
    ----------
    x, mean, square, gradient, variance : Tensor, shape (d,)
    directions : Tensor, shape (q, d)
    step : int
    """

    x: Tensor
    mean: Tensor
    square: Tensor
    gradient: Tensor
    variance: Tensor
    directions: Tensor
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientEstimation:
    """Local descent along estimated gradients.

    One objective, real parameters; generational, with 2 q or q + 1 evaluations a step. O(q d) time and memory.
    Points that fall out of the box are moved to its faces, which biases estimates next to these.

    Each request carries the column "seed": the same for both points of a pair, for objectives whose noise can be
    repeated (common random numbers). With `Estimator(kind="forward")` it carries "tangent" (1, q, d), in the units of
    the space; tell the derivatives along these as `extras={"derivatives": (1, q)}`, or the whole gradient as
    `extras={"gradient": (1, d)}`. The space must then be a box without logarithmic parameters.

    Parameters
    ----------
    estimator : Estimator, optional
    rule : SGD, Adam or Lion, optional
    radius_power : float, default 0
        The radius is c / (k + 1)**radius_power in step k; Spall's is 0.101.
    center : tuple of float, optional
        Where to start, in the units of the space; the middle of the box otherwise. If points are told before the
        first step, the best of them.

    Examples
    --------
    >>> import blackbox as bb
    >>> from blackbox.algorithms import GradientEstimation
    >>> optimizer = bb.Optimizer(bb.Space.box([-3] * 5, [3] * 5), GradientEstimation(), seed=0)
    >>> for _ in range(100):
    ...     batch = optimizer.ask()
    ...     optimizer.tell(batch, ((batch.x - 1) ** 2).sum(1)) and None
    >>> bool(optimizer.result().values < 0.05)
    True
    """

    estimator: Estimator = field(default_factory=Estimator)
    rule: SGD | Adam | Lion = field(default_factory=Adam)
    radius_power: float = 0.0
    center: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        not_negative("radius_power", self.radius_power)

    @property
    def capabilities(self) -> Capabilities:
        """One objective, real parameters."""
        extras = ("derivatives", "gradient") if self.estimator.kind == "forward" else ()
        count = self._count()
        return Capabilities(discrete=False, conditional=False, asynchronous=False, natural_batch=count, extras=extras)

    def _count(self) -> int:
        if self.estimator.kind == "forward":
            return 1
        q = self.estimator.directions
        return 2 * q if self.estimator.two_sided else q + 1

    def _radius(self, step: int) -> float:
        return float(self.estimator.radius / (step + 1) ** self.radius_power)

    def init(self, spec: Spec, generator: torch.Generator) -> GradientState:
        """Start at the centre."""
        x = torch.full((spec.dim,), 0.5, dtype=spec.dtype, device=spec.device)
        if self.center is not None:
            require(len(self.center) == spec.dim, "center", self.center, f"{spec.dim} numbers")
            x = spec.space.to_unit(spec.tensor(self.center)[None])[0]
        if self.estimator.kind == "forward":
            middle = spec.space.to_unit(torch.stack([spec.lower, spec.upper]).mean(0, keepdim=True))
            is_affine = bool(((middle - 0.5).abs() < 1e-6).all())
            require(is_affine, "estimator", self.estimator, "other than forward: the space is logarithmic")
        zero = torch.zeros_like(x)
        return GradientState(x, zero, zero, zero, torch.full_like(x, torch.nan), self.estimator.draw(x, generator), 0)

    def ready(self, spec: Spec, state: GradientState, pending: int) -> int:
        """Return the number of probes."""
        return self._count()

    def ask(
        self, spec: Spec, state: GradientState, request: Request, generator: torch.Generator
    ) -> tuple[GradientState, Candidates]:
        """Probe around the iterate in new directions."""
        u = self.estimator.draw(state.x, generator)
        points = self.estimator.points(state.x, u, self._radius(state.step)).clamp(0, 1)
        q = len(u)
        seeds = torch.randint(2**62, (q,), generator=generator, device=spec.device)
        if self.estimator.kind == "forward":
            context = {"seed": seeds[:1], "tangent": (u * (spec.upper - spec.lower))[None]}
        else:
            context = {"seed": torch.cat([seeds, seeds if self.estimator.two_sided else seeds[:1]])}
            if not self.estimator.two_sided:  # all share the point in the middle, so all share its seed
                context = {"seed": seeds[:1].expand(q + 1)}
        return replace(state, directions=u), Candidates(spec.space.from_unit(points), context)

    def tell(self, spec: Spec, state: GradientState, seen: Seen, generator: torch.Generator) -> GradientState:
        """Make one step of the rule; nothing moves where no pair of values is known."""
        x, own = spec.space.to_unit(seen.x), ~seen.external
        f = torch.where(seen.failed, torch.nan, seen.values[:, 0])
        if state.step == 0 and bool((seen.external & ~seen.failed).any()):
            state = replace(state, x=x[torch.where(seen.external, f, torch.nan).nan_to_num(torch.inf).argmin()])
        if not bool(own.any()):
            return state
        if self.estimator.kind == "forward":
            values = self._derivatives(spec, state, seen, own)
        else:
            probes = self.estimator.points(state.x, state.directions, self._radius(state.step)).clamp(0, 1)
            values = f.new_full((self._count(),), torch.nan)
            values[told_places(x[own], probes)] = f[own]
        estimate = self.estimator.estimate(values, state.directions, self._radius(state.step))
        if not bool(torch.isfinite(estimate.gradient).all()) or not bool(estimate.gradient.any()):
            return state
        step, mean, square = self.rule.step(estimate.gradient, state.mean, state.square, state.step)
        return replace(
            state,
            x=(state.x + step).clamp(0, 1),
            mean=mean,
            square=square,
            gradient=estimate.gradient,
            variance=estimate.variance,
            step=state.step + 1,
        )

    def _derivatives(self, spec: Spec, state: GradientState, seen: Seen, own: Tensor) -> Tensor:
        if "derivatives" in seen.extras:
            told = seen.extras["derivatives"][own][0]
        elif "gradient" in seen.extras:
            told = state.directions @ (seen.extras["gradient"][own][0].to(spec.dtype) * (spec.upper - spec.lower))
        else:
            told = state.x.new_full((len(state.directions),), torch.nan)
        return torch.where(seen.failed[own][0], torch.nan, told.to(spec.dtype))

    def result(self, spec: Spec, state: GradientState) -> Front | None:
        """Leave it to the optimizer: the best point told."""
        return None
