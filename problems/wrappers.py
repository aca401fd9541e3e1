"""Problems made of other problems: shifted, rotated, scaled, noisy, with further constraints.

Wrappers compose: `Noisy(Rotated(Shifted(Ackley(10), seed=1), seed=2), std=0.1, seed=3)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from blackbox.candidates import Evaluation
from blackbox.errors import SettingError
from blackbox.problem import Problem
from blackbox.problems._box import constant
from blackbox.random import check_seed, make_generator

__all__ = ["Constrained", "Noisy", "Rotated", "Scaled", "Shifted"]

_INSIDE = 1e-12  # how far outside the box, in units of its width, a minimiser may be by rounding


class _Wrapper(Problem):
    """What all wrappers share: the inner problem's space, objectives, constraints and known results."""

    minimizers: Tensor | None = None
    optimum_is_global: bool = False

    def __init__(self, problem: Problem, *, extra_constraints: int = 0) -> None:
        if not isinstance(problem, Problem):
            raise SettingError(f"problem: expected a Problem, got {problem!r}")
        super().__init__(
            problem.space,
            objectives=problem.objectives,
            n_constraints=problem.n_constraints + extra_constraints,
            name=f"{type(self).__name__}({problem.name})",
        )
        self.problem = problem
        self.reference_point = problem.reference_point

    def _keep_optimum(self, problem: Problem, minimizers: Tensor | None) -> None:
        self.optimum = problem.optimum
        self.minimizers = minimizers
        self.optimum_is_global = getattr(problem, "optimum_is_global", False)


class _Moved(_Wrapper):
    """A problem over the same box whose points are moved before they are evaluated, also out of the box."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        if not problem.space.is_box:
            raise SettingError(f"problem: expected one over a box of real variables, got {problem.space!r}")

    def _settle(self, minimizers: Tensor | None) -> None:
        """Keep the optimum where it holds outside of the box, too, and one of its minimisers stays inside."""
        if not getattr(self.problem, "optimum_is_global", False) or minimizers is None:
            return
        low, high = self.space.bounds()
        slack = _INSIDE * (high - low)
        inside = ((minimizers >= low - slack) & (minimizers <= high + slack)).all(-1)
        if not bool(inside.any()):
            raise SettingError("shift: expected one that leaves a minimiser inside the box; it leaves none")
        self._keep_optimum(self.problem, minimizers[inside].clamp(low, high))


class Shifted(_Moved):
    """A problem whose landscape is moved by a vector: f(x - shift) over the same box.

    Points whose origin is outside of the inner box are evaluated there. `optimum` and `minimizers` are kept where
    the inner problem's optimum is that of all of R^d, and are None elsewhere.

    Parameters
    ----------
    problem : Problem
        Over a box of real variables.
    shift : float or sequence of float, shape (d,), optional
        In the space's units.
    seed : int, optional
        In place of `shift`: a random one that puts the first minimiser (the box's centre where none is known)
        uniformly into the middle 80 % of the box along every axis.

    Raises
    ------
    SettingError
        If not exactly one of the two is given, or no known minimiser stays inside the box.

    Examples
    --------
    >>> from blackbox.problems.synthetic import Sphere
    >>> problem = Shifted(Sphere(dim=2), [1.0, -2.0])
    >>> problem.minimizers.tolist(), problem(problem.minimizers).values.item()
    ([[1.0, -2.0]], 0.0)
    """

    def __init__(
        self,
        problem: Problem,
        shift: float | Sequence[float] | Tensor | None = None,
        *,
        seed: int | None = None,
    ) -> None:
        super().__init__(problem)
        if (shift is None) == (seed is None):
            raise SettingError(f"shift, seed: expected exactly one of them, got {shift!r} and {seed!r}")
        known = getattr(problem, "minimizers", None)
        if seed is not None:
            low, high = self.space.bounds()
            u = torch.rand(len(low), generator=make_generator(check_seed(seed)), dtype=torch.float64)
            home = (low + high) / 2 if known is None else known[0]
            self.shift = low + (high - low) * (0.1 + 0.8 * u) - home
        else:
            self.shift = _vector("shift", shift, self.space.dim)
        self._settle(None if known is None else known + self.shift)

    def evaluate(self, x: Tensor) -> Evaluation:
        """Return the evaluation of points of shape (n, d)."""
        return self.problem(x - constant(self.shift, x))


class Rotated(_Moved):
    """A problem whose landscape is rotated, so that its variables interact; over the same box.

    The rotation acts in units of the box's widths, around the first minimiser where one is known (so that it stays
    where it is) and around the box's centre elsewhere. Points whose origin is outside of the inner box are
    evaluated there; `optimum` is kept as for `Shifted`.

    Parameters
    ----------
    problem : Problem
        Over a box of real variables.
    seed : int
        Of the rotation, uniform over the rotations of R^d. Time O(d^3) once, memory O(d^2).
    """

    def __init__(self, problem: Problem, *, seed: int) -> None:
        super().__init__(problem)
        low, high = self.space.bounds()
        dim = len(low)
        normal = torch.randn(dim, dim, generator=make_generator(check_seed(seed)), dtype=torch.float64)
        q, r = torch.linalg.qr(normal)
        q = q * r.diagonal().sign()
        if bool(torch.linalg.det(q) < 0):
            q[:, 0] = -q[:, 0]
        self.rotation = q
        self.width = torch.where(high > low, high - low, torch.ones_like(low))
        known = getattr(problem, "minimizers", None)
        self.centre = (low + high) / 2 if known is None else known[0]
        self._settle(None if known is None else self._turn(known, q))

    def _turn(self, x: Tensor, rotation: Tensor) -> Tensor:
        centre, width = constant(self.centre, x), constant(self.width, x)
        return centre + ((x - centre) / width) @ constant(rotation, x) * width

    def evaluate(self, x: Tensor) -> Evaluation:
        """Return the evaluation of points of shape (n, d)."""
        return self.problem(self._turn(x, self.rotation.T))


class Scaled(_Wrapper):
    """A problem whose objective values are multiplied by positive factors; constraints are as they were.

    Parameters
    ----------
    problem : Problem
    factor : float or sequence of float, shape (m,)
        Positive and finite.
    """

    def __init__(self, problem: Problem, factor: float | Sequence[float]) -> None:
        super().__init__(problem)
        self.factor = _vector("factor", factor, len(problem.objectives))
        if not bool((self.factor > 0).all()):
            raise SettingError(f"factor: expected positive numbers, got {factor!r}")
        self._keep_optimum(problem, getattr(problem, "minimizers", None))
        if problem.optimum is not None:
            self.optimum = problem.optimum * float(self.factor[0])
        if problem.reference_point is not None:
            self.reference_point = problem.reference_point * constant(self.factor, problem.reference_point)

    def evaluate(self, x: Tensor) -> Evaluation:
        """Return the evaluation of points of shape (n, d)."""
        inner = self.problem(x)
        factor = constant(self.factor, inner.values)
        variance = None if inner.variance is None else inner.variance * factor.square()
        return Evaluation(inner.values * factor, inner.violations, variance, inner.extras)

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return about n points of the inner problem's front, scaled, shape (r, m)."""
        front = self.problem.pareto_front(n)
        return front * constant(self.factor, front)


class Noisy(_Wrapper):
    """A problem whose objective values come with independent normal noise; constraints are exact.

    `optimum`, `minimizers` and `pareto_front` are those without noise. The noise is a function of the seed, of how
    many rows this object has evaluated before, and of the point: the same sequence of calls gives the same noise,
    the same point evaluated twice gives two measurements, and copies of the problem in several worker processes
    give different noise at different points. No generator, global or not, is involved.

    Parameters
    ----------
    problem : Problem
    std : float or sequence of float, shape (m,)
        Standard deviation of each objective's noise, >= 0.
    seed : int
    report_variance : bool, default False
        Whether evaluations carry the noise's variance.
    """

    def __init__(
        self, problem: Problem, std: float | Sequence[float], *, seed: int, report_variance: bool = False
    ) -> None:
        super().__init__(problem)
        self.std = _vector("std", std, len(problem.objectives))
        if not bool((self.std >= 0).all()):
            raise SettingError(f"std: expected numbers >= 0, got {std!r}")
        self.seed = check_seed(seed)
        self.report_variance = report_variance
        self._keep_optimum(problem, getattr(problem, "minimizers", None))
        self._evaluated = 0

    def evaluate(self, x: Tensor) -> Evaluation:
        """Return the evaluation of points of shape (n, d), noise added."""
        inner = self.problem(x)
        std = constant(self.std, inner.values)
        noise = _normal_of(x, self.seed, self._evaluated, len(self.std))
        self._evaluated += len(x)
        variance = inner.variance
        if self.report_variance:
            variance = std.square().expand_as(inner.values) + (0.0 if variance is None else variance)
        return Evaluation(inner.values + std * constant(noise, inner.values), inner.violations, variance, inner.extras)

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return about n points of the front without noise, shape (r, m)."""
        return self.problem.pareto_front(n)


class Constrained(_Wrapper):
    """A problem with further constraints that are known functions of the point.

    Parameters
    ----------
    problem : Problem
    constraint : callable
        Takes points of shape (n, d) in the space's units and returns shape (n,) or (n, k); feasible at <= 0. A
        function of a module, where the problem is to be sent to worker processes.
    n_constraints : int, default 1
        The k above.
    optimum : float, optional
        The best feasible value, where known. Without it, the inner optimum is kept where an inner minimiser is
        feasible, and is None elsewhere.
    minimizers : Tensor, shape (r, d), optional
        Where `optimum` is attained.
    """

    def __init__(
        self,
        problem: Problem,
        constraint: Callable[[Tensor], Tensor],
        *,
        n_constraints: int = 1,
        optimum: float | None = None,
        minimizers: Tensor | None = None,
    ) -> None:
        if not callable(constraint):
            raise SettingError(f"constraint: expected a callable, got {constraint!r}")
        if isinstance(n_constraints, bool) or not isinstance(n_constraints, int) or n_constraints < 1:
            raise SettingError(f"n_constraints: expected an integer >= 1, got {n_constraints!r}")
        super().__init__(problem, extra_constraints=n_constraints)
        self.constraint = constraint
        self.n_added = n_constraints
        known = getattr(problem, "minimizers", None)
        if optimum is not None or minimizers is not None:
            self.optimum, self.minimizers = optimum, minimizers
        elif known is not None:
            feasible = (self._added(known) <= 0).all(-1)
            if bool(feasible.any()):
                self._keep_optimum(problem, known[feasible])

    def _added(self, x: Tensor) -> Tensor:
        added = self.constraint(x)
        added = added[:, None] if added.dim() == 1 else added
        if added.shape != (len(x), self.n_added):
            raise SettingError(
                f"constraint: expected shape ({len(x)}, {self.n_added}) for {len(x)} points, got {tuple(added.shape)}"
            )
        return added

    def evaluate(self, x: Tensor) -> Evaluation:
        """Return the evaluation of points of shape (n, d), the further constraints last."""
        inner, added = self.problem(x), self._added(x)
        violations = added if inner.violations is None else torch.cat([inner.violations, added], dim=-1)
        return Evaluation(inner.values, violations, inner.variance, inner.extras)


def _vector(name: str, values: Any, length: int) -> Tensor:
    """Return a number or a sequence as a float64 tensor of shape (length,)."""
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    array = np.asarray(values, dtype=np.float64) if not isinstance(values, str) else np.array(np.nan)
    if array.shape not in ((), (length,)) or not np.isfinite(array).all():
        raise SettingError(f"{name}: expected a finite number or {length} of them, got {values!r}")
    return torch.from_numpy(np.broadcast_to(array, (length,)).copy())


def _mixed(bits: np.ndarray[Any, np.dtype[np.uint64]]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Return the finaliser of SplitMix64 (Steele, Lea, Flood, 2014), element by element."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def _normal_of(x: Tensor, seed: int, first: int, m: int) -> Tensor:
    """Return standard normal numbers, shape (n, m), float64, that depend on seed, row count and point only."""
    golden = np.uint64(0x9E3779B97F4A7C15)
    points = np.ascontiguousarray(x.detach().cpu().to(torch.float64).numpy()).view(np.uint64)
    with np.errstate(over="ignore"):
        rows = np.arange(first, first + len(points), dtype=np.uint64)
        keys = _mixed(_mixed(np.full(len(points), seed, dtype=np.uint64) + golden) + rows * golden)
        for column in points.T:
            keys = _mixed(keys + golden + column)
        draws = _mixed(keys[:, None] + golden * np.arange(1, 2 * m + 1, dtype=np.uint64))
    uniform = (torch.from_numpy((draws >> np.uint64(11)).astype(np.float64)) + 0.5) * 2.0**-53
    radius = (-2 * uniform[:, :m].log()).sqrt()
    return radius * torch.cos(2 * math.pi * uniform[:, m:])
