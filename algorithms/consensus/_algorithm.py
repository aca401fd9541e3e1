"""Consensus-based optimization through ask and tell."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from blackbox.algorithm import Candidates, Capabilities, Front, Request, Seen, Spec
from blackbox.algorithms.consensus._alignment import told_places
from blackbox.algorithms.consensus._diagnostics import diagnose, warn_unstable
from blackbox.algorithms.consensus._domain import Cube
from blackbox.algorithms.consensus._ensemble import Ensemble, start
from blackbox.algorithms.consensus._lifecycle import insert
from blackbox.algorithms.consensus._options import require
from blackbox.algorithms.consensus._runs import next_points
from blackbox.algorithms.consensus._settings import Settings
from blackbox.algorithms.consensus._step import learn
from blackbox.state import TRANSIENT

__all__ = ["ConsensusBased", "ConsensusState"]


@dataclass(frozen=True, slots=True)
class ConsensusState:
    """An ensemble of one run, and what was recorded of it.

    Parameters
    ----------
    ensemble : Ensemble
        With B = 1.
    units : Tensor, shape (k,)
        The unit of each constraint: the median of the first positive violations; 0 until there are any.
    path : Tensor, shape (capacity, d + 3)
        Consensus, variance, effective sample size and best value of each step.
    recorded : int
        How many rows of `path` are in use.
    shown : Tensor, shape (n, d), or None
        The points that were handed out, in the units of the space, where the space is real.
    """

    ensemble: Ensemble
    units: Tensor
    path: Tensor
    recorded: int
    shown: Tensor | None = field(default=None, metadata=TRANSIENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsensusBased:
    """Consensus-based optimization: particles drift to a weighted mean of the best ones, and explore with noise.

    One objective, constraints, mixed spaces (through the unit cube); generational. A step costs O(N d) time and
    memory, O(N^2 d) time with a polarised consensus. Failed evaluations attract nothing.

    Parameters
    ----------
    particles : int, default 20
        N, the number of evaluations of a generation.
    settings : Settings, optional
        The dynamics. The default needs no tuning and sees only the order of values: each particle keeps its best
        point, moves a random part of its coordinates to the better of two random particles' best points plus the
        scaled difference of two others, and now and then jumps in one coordinate. `Settings.classic()` is the
        textbook scheme.
    start_box : ((lower, ...), (upper, ...)), optional
        Where particles start, in the units of the space (one number stands for all variables); the whole space
        otherwise.
    record : bool, default False
        Keep consensus, variance and effective sample size of each step (`Path.of(optimizer.state())`).

    References
    ----------
    Pinnau, Totzeck, Tse, Martin, *A consensus-based model for global optimization and its mean-field limit*, 2017;
    Carrillo, Jin, Li, Zhu, *A consensus-based global optimization method for high dimensional machine learning
    problems*, 2021 (component-wise noise, mini-batches); Grassi and Pareschi 2021 and Riedl 2023 (memory); Carrillo,
    Hoffmann, Stuart, Vaes 2022 (covariance); Bungert, Wacker, Roith 2022 (polarised); Kalise, Sharma, Tretyakov 2023
    (jumps); Riedl, Klock, Geldhauser, Fornasier, *Gradient is all you need?*, 2023 (hopping).

    Deviations: the default takes the consensus of mini-batches of two with alpha = infinity, accepts only better
    points, and draws its noise as differences of particles, which makes it a close relative of differential evolution
    (Storn and Price 1997, with dither and a small crossover rate); the mean-field theory of the papers does not cover
    it. Noise carries no factor sqrt(2).

    Examples
    --------
    >>> import blackbox as bb
    >>> from blackbox.algorithms import ConsensusBased
    >>> optimizer = bb.Optimizer(bb.Space.box([-3] * 5, [3] * 5), ConsensusBased(), seed=0)
    >>> for _ in range(150):
    ...     batch = optimizer.ask()
    ...     optimizer.tell(batch, ((batch.x - 1) ** 2).sum(1)) and None
    >>> bool(optimizer.result().values < 1e-3)
    True
    """

    particles: int = 20
    settings: Settings = field(default_factory=Settings)
    start_box: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    record: bool = False

    def __post_init__(self) -> None:
        require(self.particles >= 1, "particles", self.particles, "an integer >= 1")

    @property
    def capabilities(self) -> Capabilities:
        """One objective, anything else but genomes."""
        return Capabilities(constraints=True, asynchronous=False, natural_batch=self.particles)

    def init(self, spec: Spec, generator: torch.Generator) -> ConsensusState:
        """Draw the first particles uniformly, in the space or in `start_box`."""
        warn_unstable(self.settings, spec.dim)
        cube = self._cube(spec)
        u = torch.rand((self.particles, spec.dim), dtype=spec.dtype, device=spec.device, generator=generator)
        if self.start_box is not None:
            first, last = (self._start_corner(spec, corner) for corner in self.start_box)
            u = first + u * (last - first)
        ensemble = start(self.settings, u[None], constrained=spec.n_constraints > 0, cube=cube)
        path = u.new_zeros((16 if self.record else 0, spec.dim + 3))
        return ConsensusState(ensemble, u.new_zeros(spec.n_constraints), path, 0)

    def ready(self, spec: Spec, state: ConsensusState, pending: int) -> int:
        """Return the size of the next generation: all particles, or a mini-batch of them."""
        n = state.ensemble.f.shape[1]
        batch = self.settings.batch
        is_part = batch is not None and batch.scope == "partial" and state.ensemble.step > 0
        return min(n, batch.size) if batch is not None and is_part else n

    def ask(
        self, spec: Spec, state: ConsensusState, request: Request, generator: torch.Generator
    ) -> tuple[ConsensusState, Candidates]:
        """Move the particles, and hand them out."""
        ensemble = state.ensemble
        if ensemble.step > 0:
            ensemble = next_points(self.settings, ensemble, generator, cube=self._cube(spec))
        x = spec.space.from_unit(ensemble.x[0])
        shown = x if spec.space.is_real else None
        return ConsensusState(ensemble, state.units, state.path, state.recorded, shown), Candidates(x)

    def tell(self, spec: Spec, state: ConsensusState, seen: Seen, generator: torch.Generator) -> ConsensusState:
        """Learn the values of a generation; points from outside stand in for the worst particles."""
        x = self._told_points(spec, state, seen)
        f = seen.values.T  # NaN where failed
        units, v = state.units, None
        if spec.n_constraints:
            units = _constraint_units(units, seen.violations)
            v = (seen.violations.clamp_min(0) / torch.where(units > 0, units, 1.0)).sum(1)[None]
        e = state.ensemble
        if seen.may_have_external and bool(seen.external.any()):
            own = ~seen.external
            e = insert(e, x[:, seen.external], f[:, seen.external], None if v is None else v[:, seen.external])
            x, f, v = x[:, own], f[:, own], None if v is None else v[:, own]
        if x.shape[1]:
            x, f, v = _align(e, x, f, v)
            e = learn(self.settings, e, x, f, v)
        return self._recorded(ConsensusState(e, units, state.path, state.recorded))

    def result(self, spec: Spec, state: ConsensusState) -> Front | None:
        """Leave it to the optimizer: the best point told."""
        return None

    def _told_points(self, spec: Spec, state: ConsensusState, seen: Seen) -> Tensor:
        """Return told points in the unit cube, shape (1, m, d): the particles themselves where they are shown there."""
        own = state.ensemble.x
        if seen.x is state.shown:
            return own
        x: Tensor = spec.space.to_unit(seen.x)
        if spec.space.is_real and len(x) == own.shape[1]:
            x = torch.where((spec.space.from_unit(own[0]) == seen.x).all(1, keepdim=True), own[0], x)
        return x[None]

    def _recorded(self, state: ConsensusState) -> ConsensusState:
        if not self.record:
            return state
        now = diagnose(self.settings, state.ensemble)
        numbers = torch.stack([now.variance, now.effective_sample_size, now.best], 1)
        path, k = state.path, state.recorded
        if k == len(path):
            path = torch.cat([path, torch.zeros_like(path)])
        path = path.index_copy(0, torch.tensor([k], device=path.device), torch.cat([now.consensus, numbers], 1))
        return replace(state, path=path, recorded=k + 1)

    def _cube(self, spec: Spec) -> Cube:
        if self.settings.domain.kind == "box":
            return Cube()
        domain = self.settings.domain
        corners = torch.stack([spec.lower, spec.upper])
        middle = spec.space.to_unit(corners.mean(0, keepdim=True))
        is_affine = spec.space.is_real and bool(((middle - 0.5).abs() < 1e-6).all())
        require(is_affine, "domain", domain, "a box: this space has discrete or logarithmic parameters")
        for name in ("center", "normal"):
            vector = getattr(domain, name)
            require(len(vector) in (0, spec.dim), name, vector, f"{spec.dim} numbers")
        return Cube(spec.lower, spec.upper)

    def _start_corner(self, spec: Spec, corner: tuple[float, ...]) -> Tensor:
        require(len(corner) in (1, spec.dim), "start_box", self.start_box, f"1 or {spec.dim} numbers a corner")
        unit: Tensor = spec.space.to_unit(spec.tensor(corner).expand(1, spec.dim))
        return unit[0]


def _constraint_units(units: Tensor, violations: Tensor) -> Tensor:
    """Return the unit of each constraint: as it was, or the median of the positive violations (n, k) where unset."""
    positive = torch.where(torch.isfinite(violations) & (violations > 0), violations, torch.nan)
    median = positive.nanmedian(0).values
    return torch.where((units == 0) & torch.isfinite(median), median, units)


def _align(e: Ensemble, x: Tensor, f: Tensor, v: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return told rows (1, m, ...) in the places of the candidates, where some were abandoned: those have failed."""
    n = e.x.shape[1]
    if x.shape[1] == n:
        return x, f, v
    place = told_places(x[0], e.x[0])[None]
    filled = torch.full((1, n), torch.nan, dtype=f.dtype, device=f.device)
    violation = None if v is None else filled.scatter(1, place, v)
    return e.x.scatter(1, place[..., None].expand_as(x), x), filled.scatter(1, place, f), violation
