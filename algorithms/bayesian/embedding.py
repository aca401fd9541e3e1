"""Bayesian optimization in a random low-dimensional subspace, for hundreds or thousands of variables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from blackbox._arguments import is_whole
from blackbox.algorithm import Candidates, Capabilities, Front, Request, Seen, Spec
from blackbox.algorithms.bayesian.algorithm import BayesianOptimization
from blackbox.algorithms.bayesian.state import BayesianState
from blackbox.errors import SettingError
from blackbox.space import Space

__all__ = ["EmbeddedState", "RandomEmbedding"]

_SAME = 1e-6  # of the unit cube: a point further than this from the subspace is not of it


@dataclass(frozen=True)
class EmbeddedState:
    """The state of `RandomEmbedding`.

    Attributes
    ----------
    inner : BayesianState
        Of the search in the subspace, [-1, 1]^k.
    columns : Tensor, shape (d,), int64
        Which of the k coordinates each variable follows.
    signs : Tensor, shape (d,), float64
        Whether it follows it upwards or downwards, +1 or -1.
    """

    inner: BayesianState
    columns: Tensor
    signs: Tensor


@dataclass(frozen=True, slots=True)
class RandomEmbedding:
    """Bayesian optimization of k random combinations of many variables (HeSBO).

    Every variable follows one of k coordinates, upwards or downwards, both drawn at random at the start, so a
    candidate is never outside of the box. It finds good points quickly where few variables matter and k is about twice
    their number; it cannot leave its subspace, in which the best point may not be. One objective, constraints, failed
    evaluations; real, integer and ordinal variables. Points outside of the subspace that are told count as results, but
    are not learned from.

    Parameters
    ----------
    dim : int, default 12
        Coordinates k of the subspace; d at most is used.
    noise, start, batch_size
        As for `BayesianOptimization`.

    Raises
    ------
    SettingError
        If a setting is out of its range.

    References
    ----------
    A. Nayebi, A. Munteanu and M. Poloczek, A framework for Bayesian optimization in embedded subspaces, 2019.

    Examples
    --------
    >>> import blackbox as bb
    >>> optimizer = bb.Optimizer(bb.Space.box([0.0] * 1000, [1.0] * 1000), RandomEmbedding(dim=8), seed=0)
    >>> optimizer.ask().x.shape
    torch.Size([1, 1000])
    """

    dim: int = 12
    noise: float | str = "auto"
    start: int | None = None
    batch_size: int = 1

    def __post_init__(self) -> None:
        if not is_whole(self.dim, 1):
            raise SettingError(f"dim: expected an integer >= 1, got {self.dim!r}")
        self._inner()  # checks the others

    def _inner(self) -> BayesianOptimization:
        return BayesianOptimization(noise=self.noise, start=self.start, batch_size=self.batch_size)

    @property
    def capabilities(self) -> Capabilities:
        """One objective, constraints, ordered variables."""
        inner = self._inner().capabilities
        return Capabilities(
            constraints=True,
            categorical=False,
            conditional=False,
            natural_batch=inner.natural_batch,
            single_precision=False,
        )

    def init(self, spec: Spec, generator: torch.Generator) -> EmbeddedState:
        """Return the state before anything is known, with a random subspace."""
        inner = self._spec(spec)
        state = self._inner().init(inner, generator)
        device = generator.device
        order = torch.randperm(spec.dim, generator=generator, device=device)
        drawn = torch.randint(0, inner.dim, (spec.dim,), generator=generator, device=device)
        drawn[order[: inner.dim]] = torch.arange(inner.dim, device=device)  # no coordinate without a variable
        signs = 2.0 * torch.randint(0, 2, (spec.dim,), generator=generator, device=device) - 1.0
        return EmbeddedState(state, drawn.cpu(), signs.to("cpu", torch.float64))

    def ready(self, spec: Spec, state: EmbeddedState, pending: int) -> int:
        """Return a number without meaning: any batch can be handed out at any time."""
        return self._inner().ready(self._spec(spec), state.inner, pending)

    def ask(
        self, spec: Spec, state: EmbeddedState, request: Request, generator: torch.Generator
    ) -> tuple[EmbeddedState, Candidates]:
        """Return `request.n` points of the subspace."""
        inner_request = Request(request.n, gather=lambda: self._down(spec, state, request.pending)[0])
        inner, found = self._inner().ask(self._spec(spec), state.inner, inner_request, generator)
        u = 0.5 * (1.0 + state.signs * found.x[:, state.columns])
        x = spec.space.canonical(spec.space.from_unit(u)).to(spec.device, spec.dtype)
        return replace(state, inner=inner), Candidates(x)

    def tell(self, spec: Spec, state: EmbeddedState, seen: Seen, generator: torch.Generator) -> EmbeddedState:
        """Learn from the points of the subspace."""
        z, inside = self._down(spec, state, seen.x)
        if not bool(inside.any()):
            return state
        part = replace(
            seen,
            ids=seen.ids[inside],
            x=z[inside],
            values=seen.values.cpu()[inside],
            violations=seen.violations.cpu()[inside],
            failed=seen.failed.cpu()[inside],
            external=seen.external.cpu()[inside],
            variance=None if seen.variance is None else seen.variance.cpu()[inside],
            extras={},
        )
        return replace(state, inner=self._inner().tell(self._spec(spec), state.inner, part, generator))

    def result(self, spec: Spec, state: EmbeddedState) -> Front | None:
        """Leave the best point to the optimizer."""
        return None

    def _spec(self, spec: Spec) -> Spec:
        """Return what the inner search sees: [-1, 1]^k."""
        return Spec(_cube(min(self.dim, spec.dim)), 1, spec.n_constraints, budget=spec.budget)

    def _down(self, spec: Spec, state: EmbeddedState, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return coordinates of points, shape (n, k), and which points are of the subspace, shape (n,).

        A coordinate is the mean over its real variables; over the others where there is none: those were rounded.
        """
        space = spec.space
        points = x.detach().to("cpu", torch.float64)
        signed = state.signs * (2.0 * space.to_unit(points) - 1.0)
        k = min(self.dim, spec.dim)
        real = torch.from_numpy(space.kinds == 0)
        has_real = torch.zeros(k, dtype=torch.bool).index_fill_(0, state.columns[real], True)
        weight = (real | ~has_real[state.columns]).to(torch.float64)
        total = torch.zeros((len(points), k), dtype=torch.float64).index_add_(1, state.columns, signed * weight)
        z = (total / torch.zeros(k, dtype=torch.float64).index_add_(0, state.columns, weight)).clamp(-1.0, 1.0)
        again = space.canonical(space.from_unit(0.5 * (1.0 + state.signs * z[:, state.columns])))
        apart = (space.to_unit(again) - space.to_unit(points)).abs()
        return z, ((apart < _SAME) | ~real).all(1)


@lru_cache(maxsize=8)
def _cube(k: int) -> Space:
    return Space.box([-1.0] * k, [1.0] * k)
