"""How good a set of points is: hypervolume, distances to a reference front, spread.

All objectives are minimised. Points may be tensors, arrays or lists; computations run in float64, on the
device of the points where they are a tensor. Every indicator works in blocks: its memory does not grow with
the product of the sizes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blackbox.errors import SettingError

__all__ = [
    "Estimate",
    "epsilon",
    "gd",
    "hypervolume",
    "hypervolume_contributions",
    "hypervolume_monte_carlo",
    "igd",
    "igd_plus",
    "spacing",
]

Points: TypeAlias = Tensor | NDArray[np.floating] | Sequence[Sequence[float]]
Vector: TypeAlias = Tensor | NDArray[np.floating] | Sequence[float]

_BLOCK = 1 << 22
_TREE_MAX_OBJECTIVES = 5


class Estimate(NamedTuple):
    """An estimated value and its standard error."""

    value: float
    standard_error: float


def hypervolume(points: Points, reference: Vector) -> float:
    """Return the volume that the points dominate below a reference point, exactly.

    Parameters
    ----------
    points : shape (n, m)
        Points that are not below the reference in every objective add nothing.
    reference : shape (m,)
        Finite.

    Returns
    -------
    float
        0 without points; infinite if a point holds -inf. By moocore on the CPU: O(n log n) for m <= 3, O(n^2)
        for m = 4, exponential in m beyond; use `hypervolume_monte_carlo` from about m = 8 on.

    Raises
    ------
    SettingError
        If shapes disagree, points hold NaN, or the reference is not finite.

    References
    ----------
    A. Guerreiro, C. Fonseca, L. Paquete, The hypervolume indicator: computational problems and algorithms,
    2021.

    Examples
    --------
    >>> hypervolume([[1.0, 3.0], [2.0, 1.0]], [4.0, 4.0])
    7.0
    """
    table, corner = _below(points, reference)
    table = table[(table < corner).all(-1)]
    if len(table) == 0:
        return 0.0
    if bool(table.isinf().any()):
        return math.inf
    if table.shape[-1] == 1:
        return float(corner[0] - table.min())
    import moocore

    return float(moocore.hypervolume(table.cpu().numpy(), ref=corner.cpu().numpy()))


def hypervolume_monte_carlo(
    points: Points,
    reference: Vector,
    *,
    generator: torch.Generator,
    n_samples: int = 100_000,
    ideal: Vector | None = None,
) -> Estimate:
    """Return the dominated volume estimated by random samples, with its standard error.

    Parameters
    ----------
    points : shape (n, m)
    reference : shape (m,)
    generator : torch.Generator
        On the device of the points; the result is deterministic given it.
    n_samples : int, at least 2
    ideal : shape (m,), optional
        Lower corner of the box that is sampled, no point lying below it; default the best value of each
        objective. A corner that is the same for all sets makes estimates comparable.

    Returns
    -------
    Estimate
        The error is that of a binomial share, with one success and one failure added so that it is never 0.
        O(n m `n_samples`) time, O(block) memory.

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(0)
    >>> estimate = hypervolume_monte_carlo([[1.0, 3.0], [2.0, 1.0]], [4.0, 4.0], generator=generator)
    >>> abs(estimate.value - 7.0) < 4 * estimate.standard_error
    True
    """
    table, corner = _below(points, reference)
    if isinstance(n_samples, bool) or not isinstance(n_samples, int) or n_samples < 2:
        raise SettingError(f"n_samples: expected an integer of at least 2, got {n_samples!r}")
    if generator.device.type != table.device.type:
        raise SettingError(
            f"generator: expected one on {table.device}, where the points are, got one on {generator.device}"
        )
    table = table[(table < corner).all(-1)]
    if len(table) == 0:
        return Estimate(0.0, 0.0)
    low = table.amin(0) if ideal is None else _vector(ideal, "ideal", table)
    if not bool((table >= low).all()):
        raise SettingError("ideal: expected a corner below every point, but some points lie below it")
    if bool(low.isinf().any()):
        return Estimate(math.inf, 0.0)
    columns = table.mT.contiguous()
    hits = 0
    rows = max(1, _BLOCK // len(table))
    for start in range(0, n_samples, rows):
        shape = (min(rows, n_samples - start), len(corner))
        draws = torch.rand(shape, generator=generator, dtype=table.dtype, device=table.device)
        samples = low + (corner - low) * draws
        dominated = columns[0] <= samples[:, :1]
        for k in range(1, len(corner)):
            dominated &= columns[k] <= samples[:, k : k + 1]
        hits += int(dominated.any(-1).sum())
    volume = float((corner - low).prod())
    share = (hits + 1) / (n_samples + 2)
    return Estimate(volume * hits / n_samples, volume * math.sqrt(share * (1 - share) / n_samples))


def hypervolume_contributions(points: Points, reference: Vector) -> Tensor:
    """Return by how much the hypervolume would fall without each point.

    Dominated points and duplicates contribute 0, and do not lessen what others contribute by being second.

    Parameters
    ----------
    points : shape (n, m)
    reference : shape (m,)

    Returns
    -------
    Tensor, shape (n,), float64, on the device of the points
        By moocore on the CPU: O(n log n) for m <= 3; n + 1 hypervolumes beyond.

    Examples
    --------
    >>> hypervolume_contributions([[1.0, 3.0], [2.0, 1.0], [3.0, 3.0]], [4.0, 4.0]).tolist()
    [1.0, 4.0, 0.0]
    """
    table, corner = _below(points, reference)
    usable = (table < corner).all(-1)
    contributions = table.new_zeros(len(table))
    inside = table[usable]
    if len(inside) == 0:
        return contributions
    if bool(inside.isinf().any()):
        raise SettingError("points: expected finite values below the reference, got -inf")
    # With one objective: a second one, of width 1, so that areas are lengths.
    if table.shape[-1] == 1:
        inside = torch.cat([inside, torch.zeros_like(inside)], dim=-1)
        corner = torch.cat([corner, torch.ones_like(corner)])
    import moocore

    found = moocore.hv_contributions(inside.cpu().numpy(), ref=corner.cpu().numpy())
    contributions[usable] = torch.from_numpy(found).to(table.device)
    return contributions


def igd(points: Points, front: Points) -> float:
    """Return the mean distance from the points of a front to the nearest of the points.

    Parameters
    ----------
    points : shape (n, m)
    front : shape (r, m)
        A sample of the true front.

    Returns
    -------
    float
        Infinite without points. O(n r m) time in blocks; a k-d tree on the CPU where both are large.

    References
    ----------
    C. Coello Coello, M. Reyes Sierra, A study of the parallelization of a coevolutionary multi-objective
    evolutionary algorithm, 2004. The plain mean of Euclidean distances.

    Examples
    --------
    >>> igd([[0.0, 1.0]], [[0.0, 1.0], [0.0, 3.0]])
    1.0
    """
    table, target = _pair(points, front)
    return float(_nearest(target, table).mean()) if len(table) else math.inf


def igd_plus(points: Points, front: Points) -> float:
    """Return IGD with distances that count only where a point is worse than the front.

    Takes what `igd` takes. Weakly Pareto compliant; infinite without points. O(n r m) time in blocks.

    References
    ----------
    H. Ishibuchi, H. Masuda, Y. Tanigaki, Y. Nojima, Modified distance calculation in generational distance
    and inverted generational distance, 2015.

    Examples
    --------
    >>> igd_plus([[0.0, 1.0]], [[0.0, 1.0], [0.0, 3.0]])
    0.0
    """
    table, target = _pair(points, front)
    if not len(table):
        return math.inf
    columns = table.mT.contiguous()
    total = 0.0
    for part in torch.split(target, max(1, _BLOCK // len(table))):
        squared = (columns[0] - part[:, :1]).clamp_(min=0).square_()
        for k in range(1, part.shape[-1]):
            squared += (columns[k] - part[:, k : k + 1]).clamp_(min=0).square_()
        total += float(squared.amin(-1).sqrt().sum())
    return total / len(target)


def gd(points: Points, front: Points) -> float:
    """Return the mean distance from the points to the nearest point of a front.

    Takes what `igd` takes; infinite without points. The plain mean of Euclidean distances.

    References
    ----------
    D. Van Veldhuizen, Multiobjective evolutionary algorithms: classifications, analyses, and new innovations,
    1999; the mean as in later use, not the root of a sum of squares over n.

    Examples
    --------
    >>> gd([[0.0, 1.0], [0.0, 4.0]], [[0.0, 1.0], [0.0, 3.0]])
    0.5
    """
    table, target = _pair(points, front)
    return float(_nearest(table, target).mean()) if len(table) else math.inf


def epsilon(points: Points, front: Points) -> float:
    """Return the additive epsilon: the least shift that lets the points weakly dominate the whole front.

    Parameters
    ----------
    points : shape (n, m)
    front : shape (r, m)

    Returns
    -------
    float
        Negative if the points lie below the front; infinite without points. O(n r m) time in blocks.

    References
    ----------
    E. Zitzler, L. Thiele, M. Laumanns, C. Fonseca, V. Grunert da Fonseca, Performance assessment of
    multiobjective optimizers, 2003.

    Examples
    --------
    >>> epsilon([[0.5, 1.5]], [[0.0, 1.0], [0.0, 3.0]])
    0.5
    """
    table, target = _pair(points, front)
    if not len(table):
        return math.inf
    columns = table.mT.contiguous()
    worst = -math.inf
    for part in torch.split(target, max(1, _BLOCK // len(table))):
        shift = columns[0] - part[:, :1]
        for k in range(1, part.shape[-1]):
            shift = torch.maximum(shift, columns[k] - part[:, k : k + 1])
        worst = max(worst, float(shift.amin(-1).max()))
    return worst


def spacing(points: Points) -> float:
    """Return the standard deviation of the city-block distances to the nearest neighbour.

    0 where points, of shape (n, m), are evenly spread, or fewer than three; infinite where a point is. O(n^2 m) time
    in blocks.

    References
    ----------
    J. Schott, Fault tolerant design using single and multicriteria genetic algorithm optimization, 1995.

    Examples
    --------
    >>> spacing([[0.0, 2.0], [1.0, 1.0], [2.0, 0.0]])
    0.0
    """
    table = _table(points, "points")
    if len(table) < 3:
        return 0.0
    scale = float(table.abs().max())
    if scale in (0.0, math.inf):
        return scale
    if scale > 1e150:  # whose squares are no numbers
        return scale * spacing(table / scale)
    nearest = []
    rows = max(1, _BLOCK // len(table))
    for start in range(0, len(table), rows):
        distance = torch.cdist(table[start : start + rows], table, p=1)
        own = torch.arange(start, start + len(distance), device=table.device).unsqueeze(-1)
        nearest.append(distance.scatter_(-1, own, math.inf).amin(-1))
    return float(torch.cat(nearest).std(correction=1))


def _nearest(rows: Tensor, others: Tensor) -> Tensor:
    """Return the distance from every row to the nearest of the others."""
    work = len(rows) * len(others)
    if rows.device.type == "cpu" and work > _BLOCK and rows.shape[-1] <= _TREE_MAX_OBJECTIVES:
        usable = others.isfinite().all(-1)
        if bool(usable.all()) and bool(rows.isfinite().all()):
            from scipy.spatial import cKDTree

            return torch.from_numpy(cKDTree(others.numpy()).query(rows.numpy())[0])
    parts = [
        torch.cdist(part, others, compute_mode="donot_use_mm_for_euclid_dist").amin(-1)
        for part in torch.split(rows, max(1, _BLOCK // max(1, len(others))))
    ]
    return torch.cat(parts)


def _pair(points: Points, front: Points) -> tuple[Tensor, Tensor]:
    target = _table(front, "front")
    table = _table(points, "points", columns=target.shape[-1])
    if not len(target):
        raise SettingError("front: expected at least one point, got none")
    if not bool(target.isfinite().all()):
        raise SettingError("front: expected finite values")
    if table.shape[-1] != target.shape[-1]:
        raise SettingError(
            f"points: expected {target.shape[-1]} objectives as in front, got shape {tuple(table.shape)}"
        )
    return table, target.to(table.device)


def _table(values: Points, name: str, *, columns: int = 0) -> Tensor:
    """Return user data as a float64 table, or say what is wrong with it."""
    try:
        table = torch.as_tensor(values).detach().to(torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise SettingError(f"{name}: expected a table of numbers, got {values!r:.80}") from error
    if table.numel() == 0 and table.dim() == 1:
        table = table.reshape(0, columns)
    if table.dim() != 2:
        raise SettingError(f"{name}: expected shape (n, m), a row for each point, got {tuple(table.shape)}")
    if bool(table.isnan().any()):
        row = int(table.isnan().any(-1).nonzero()[0])
        raise SettingError(f"{name}: expected numbers, got NaN in row {row}")
    return table


def _vector(values: Vector, name: str, table: Tensor) -> Tensor:
    vector = torch.as_tensor(values).detach().to(table)
    if vector.shape != table.shape[-1:]:
        raise SettingError(
            f"{name}: expected shape ({table.shape[-1]},), one number an objective, got {tuple(vector.shape)}"
        )
    return vector


def _below(points: Points, reference: Vector) -> tuple[Tensor, Tensor]:
    table = _table(points, "points", columns=torch.as_tensor(reference).numel())
    corner = _vector(reference, "reference", table)
    if not bool(corner.isfinite().all()):
        raise SettingError(f"reference: expected finite numbers, got {corner.tolist()}")
    return table, corner
