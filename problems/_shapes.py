"""What the scalable multi-objective suites share: checked sizes, and shapes of Pareto fronts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from blackbox.errors import SettingError
from blackbox.problems._box import BoxProblem, check_count

__all__ = ["ManyObjectiveProblem", "distance_multimodal", "linear_shape", "pyramid", "records", "spherical_shape"]

_FEW = 4  # columns that are multiplied one by one, which is faster than a running product


class ManyObjectiveProblem(BoxProblem):
    """A problem with a chosen number of objectives whose first variables choose a position on the front.

    Parameters
    ----------
    dim : int
        Number of variables, at least that of objectives (or `least_dim`, where that is more).
    n_objectives : int
        At least 2.
    lower, upper : float or sequence of float, default 0.0 and 1.0
    n_constraints : int, default 0
    least_dim : int, optional

    Attributes
    ----------
    m : int
        The number of objectives.
    """

    def __init__(
        self,
        dim: int,
        n_objectives: int,
        *,
        lower: float | Sequence[float] = 0.0,
        upper: float | Sequence[float] = 1.0,
        n_constraints: int = 0,
        least_dim: int | None = None,
    ) -> None:
        self.m = check_count("n_objectives", n_objectives, 2)
        check_count("dim", dim, self.m if least_dim is None else least_dim)
        super().__init__(lower, upper, dim=dim, objectives=self.m, n_constraints=n_constraints)

    def _known_reference(self, nadir: float | Sequence[float]) -> None:
        """Set the reference point to 1.1 times the front's nadir."""
        self.reference_point = 1.1 * torch.as_tensor(nadir, dtype=torch.float64).expand(self.m).clone()


def pyramid(inner: Tensor, outer: Tensor) -> Tensor:
    """Return the products inner_1 ... inner_(m-j) outer_(m-j+1), for j = 1 ... m.

    Parameters
    ----------
    inner, outer : Tensor, shape (n, m - 1)

    Returns
    -------
    Tensor, shape (n, m)
        The first column is the product of all of `inner`, the last one is outer_1.
    """
    if inner.shape[1] <= _FEW:
        before, columns = inner[:, 0], [outer[:, 0]]
        for k in range(1, inner.shape[1]):
            columns.append(before * outer[:, k])
            before = before * inner[:, k]
        return torch.stack([before, *reversed(columns)], -1)
    ones = inner.new_ones((len(inner), 1))
    return (torch.cat([ones, inner], -1).cumprod(-1) * torch.cat([outer, ones], -1)).flip(-1)


def linear_shape(position: Tensor) -> Tensor:
    """Return points of the unit simplex, shape (n, m), of positions in [0, 1]^(m-1)."""
    return pyramid(position, 1 - position)


def spherical_shape(position: Tensor) -> Tensor:
    """Return points of the unit sphere, shape (n, m), of angles in units of pi/2, shape (n, m - 1)."""
    angle = position * (math.pi / 2)
    return pyramid(angle.cos(), angle.sin())


def distance_multimodal(z: Tensor) -> Tensor:
    """Return 100 (k + sum (z - 0.5)^2 - cos(20 pi (z - 0.5))), shape (n, 1), of z of shape (n, k)."""
    away = z - 0.5
    return 100 * (z.shape[-1] + (away.square() - torch.cos(20 * math.pi * away)).sum(-1, keepdim=True))


def records(f: Tensor, gain: Tensor, n: int) -> Tensor:
    """Return n of the values f, ascending, at which `gain` exceeds all that it was before; shape (r,), r <= n.

    Both of shape (s,), f ascending: the Pareto-optimal values of minimising f and maximising gain. Spread by rank.
    """
    best = torch.cat([torch.full_like(gain[:1], -math.inf), gain.cummax(0).values[:-1]])
    kept = f[gain > best]
    if len(kept) <= n:
        return kept
    return kept[torch.linspace(0, len(kept) - 1, n, dtype=torch.float64).round().to(torch.int64)]


def check_power(name: str, value: float) -> float:
    """Return `value`, or raise `SettingError` unless it is a positive finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise SettingError(f"{name}: expected a positive finite number, got {value!r}")
    return float(value)
