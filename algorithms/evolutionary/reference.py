"""Reference directions on the unit simplex: lattices of one and two layers, and Riesz-energy sets."""

from __future__ import annotations

from math import comb

import torch
from torch import Tensor

__all__ = [
    "das_dennis",
    "das_dennis_size",
    "even_sequence",
    "largest_divisions",
    "lattice",
    "lattice_index",
    "riesz_directions",
    "simplex_directions",
    "spread_directions",
    "two_layers",
]

_CANDIDATES = 5000  # of which the farthest becomes a direction
_MOST_DISTANCES = 10**8


def das_dennis_size(n_objectives: int, divisions: int) -> int:
    """Return the number of lattice directions, C(divisions + m - 1, m - 1)."""
    return comb(divisions + n_objectives - 1, n_objectives - 1)


def largest_divisions(n: int, n_objectives: int) -> int:
    """Return the largest number of divisions with at most `n` directions, at least 1.

    Examples
    --------
    >>> largest_divisions(100, 3), das_dennis_size(3, 12)
    (12, 91)
    """
    if n_objectives == 1:
        return 1
    low, high = 1, max(1, n)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if das_dennis_size(n_objectives, middle) <= n else (low, middle - 1)
    return low


def lattice(n_objectives: int, divisions: int, *, device: torch.device | str | None = None) -> Tensor:
    """Return all rows of `m` counts that sum to `divisions`, in lexicographic order.

    Returns
    -------
    Tensor, shape (r, m), int64
        O(r m) time and memory.
    """
    left = torch.full((1,), divisions, dtype=torch.int64, device=device)
    columns: list[Tensor] = []
    for _ in range(n_objectives - 1):
        parent = torch.repeat_interleave(left + 1)
        begin = ((left + 1).cumsum(0) - (left + 1))[parent]
        count = torch.arange(parent.numel(), device=device) - begin
        columns = [*(column[parent] for column in columns), count]
        left = left[parent] - count
    return torch.stack([*columns, left], dim=-1)


def lattice_index(counts: Tensor, divisions: int) -> Tensor:
    """Return the row of `lattice` that holds the given counts.

    Parameters
    ----------
    counts : Tensor, shape (..., m, n), int64
        Non-negative counts that sum to `divisions` over the second last dimension.

    Returns
    -------
    Tensor, shape (..., n), int64
        O(m n).
    """
    m = counts.shape[-2]
    if m == 1:
        return torch.zeros_like(counts[..., 0, :])
    if m == 3:
        first = counts[..., 0, :]
        return (first * (2 * divisions + 3 - first)) // 2 + counts[..., 1, :]
    left = torch.full_like(counts[..., 0, :], divisions)
    index = torch.zeros_like(left)
    for k in range(m - 2):
        # Rows with a smaller count here: those whose rest exceeds what is left after this count.
        sizes = [comb(total + m - k - 1, m - k - 1) for total in range(divisions + 1)]
        table = torch.tensor([0, *sizes], device=counts.device)
        after = left - counts[..., k, :]
        index = index + table[left + 1] - table[after + 1]
        left = after
    return index + counts[..., m - 2, :]


def das_dennis(
    n_objectives: int,
    divisions: int,
    *,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
) -> Tensor:
    """Return the simplex lattice with the given number of divisions per axis.

    Returns
    -------
    Tensor, shape (C(divisions + m - 1, m - 1), m)
        Rows sum to 1, in lexicographic order.

    References
    ----------
    I. Das, J. Dennis, Normal-boundary intersection, 1998, section 4.

    Examples
    --------
    >>> das_dennis(2, 2).tolist()
    [[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]]
    """
    return lattice(n_objectives, divisions, device=device).to(dtype) / divisions


def two_layers(
    n_objectives: int,
    outer: int,
    inner: int,
    *,
    scale: float = 0.5,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
) -> Tensor:
    """Return an outer lattice and an inner one, shrunk towards the centre; for many objectives.

    Parameters
    ----------
    outer, inner : int
        Divisions of the two layers; 0 leaves the inner layer out.
    scale : float, in (0, 1)
        Size of the inner layer relative to the outer.

    References
    ----------
    K. Deb, H. Jain, An evolutionary many-objective optimization algorithm using reference-point-based
    nondominated sorting approach, part I, 2014, section V-B (scale 1/2).
    """
    first = das_dennis(n_objectives, outer, dtype=dtype, device=device)
    if inner == 0:
        return first
    second = das_dennis(n_objectives, inner, dtype=dtype, device=device)
    return torch.cat([first, scale * second + (1 - scale) / n_objectives])


def simplex_directions(
    n: int,
    n_objectives: int,
    *,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
) -> tuple[Tensor, int | None]:
    """Return at most `n` evenly spread directions, and the divisions if they are one lattice.

    One layer is taken if it has at least as many divisions as objectives, so that it has inner points;
    otherwise the two layers with the most directions, the outer at least as fine as the inner. The axes alone
    (`m` directions) are the least that is returned, whatever `n`.

    Examples
    --------
    >>> directions, divisions = simplex_directions(100, 3)
    >>> len(directions), divisions
    (91, 12)
    """
    m = n_objectives
    divisions = largest_divisions(n, m)
    best = (das_dennis_size(m, divisions), divisions, 0)
    if divisions < m:
        for outer in range(1, divisions + 1):
            rest = n - das_dennis_size(m, outer)
            if rest < m:
                continue
            inner = min(outer, largest_divisions(rest, m))
            best = max(best, (das_dennis_size(m, outer) + das_dennis_size(m, inner), outer, inner))
    _, outer, inner = best
    if inner == 0:
        return das_dennis(m, outer, dtype=dtype, device=device), outer
    return two_layers(m, outer, inner, dtype=dtype, device=device), None


def spread_directions(
    n: int,
    n_objectives: int,
    *,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
) -> tuple[Tensor, int | None]:
    """Return `simplex_directions`, and where these are two layers, more between them until there are n.

    Layers of many objectives leave much room: 30 directions where 105 are wanted for 15 objectives. Each further one
    is the farthest from all before it, out of 5,000 points of an even sequence; O(n m) time for each of these. Where
    that would take more than 10^8 distances (two layers of tens of thousands), the layers are all.

    Examples
    --------
    >>> len(simplex_directions(105, 15)[0]), len(spread_directions(105, 15)[0])
    (30, 105)
    """
    found, divisions = simplex_directions(n, n_objectives)
    missing = n - len(found)
    if divisions is None and n_objectives > 2 and missing > 0 and n * _CANDIDATES <= _MOST_DISTANCES:
        pool = even_sequence(max(_CANDIDATES, 2 * missing), n_objectives)
        nearest = torch.cdist(pool, found, compute_mode="donot_use_mm_for_euclid_dist").amin(-1)
        chosen = []
        for _ in range(missing):
            chosen.append(pool[nearest.argmax()])
            nearest = torch.minimum(nearest, (pool - chosen[-1]).norm(dim=-1))
        found = torch.cat([found, torch.stack(chosen)])
    return found.to(device, dtype), divisions


def even_sequence(n: int, n_objectives: int) -> Tensor:
    """Return n directions spread evenly over the simplex, the first ones the same whatever n.

    Points of the Kronecker sequence of the generalised golden ratio, mapped to the simplex by sorting.

    Returns
    -------
    Tensor, shape (n, m), float64
        Rows sum to 1; on the CPU.
    """
    golden = 2.0
    for _ in range(60):
        golden = (1 + golden) ** (1 / n_objectives)
    steps = torch.tensor([golden ** -(j + 1) for j in range(n_objectives - 1)], dtype=torch.float64)
    index = torch.arange(1, n + 1, dtype=torch.float64)
    cuts = ((0.5 + index[:, None] * steps) % 1.0).sort(dim=-1).values
    zero = torch.zeros_like(cuts[:, :1])
    return torch.diff(cuts, dim=-1, prepend=zero, append=zero + 1)


def riesz_directions(
    n: int,
    n_objectives: int,
    *,
    generator: torch.Generator,
    iterations: int = 300,
    dtype: torch.dtype = torch.float64,
    block: int = 1 << 22,
) -> Tensor:
    """Return exactly `n` directions spread by descent on the Riesz energy sum |a - b|^-s, s = m^2.

    Starts from a random sample of the simplex and the axes, which stay. Work and memory: `iterations` times
    O(n^2 m) time in blocks of `block` pairs.

    Parameters
    ----------
    n : int
        At least 1; with fewer than `m` directions, the first axes.
    generator : torch.Generator
        Source of the start, on the device of the result.

    Returns
    -------
    Tensor, shape (n, m)
        Rows sum to 1; deterministic given the generator.

    References
    ----------
    J. Blank, K. Deb, Y. Dhebar, S. Bandaru, H. Seada, Generating well-spaced points on a unit simplex for
    evolutionary many-objective optimization, 2021. Deviation: each point moves along its own normalised
    gradient by a step that shrinks from the mean spacing to nothing, instead of Adam on the logarithm.
    """
    m, device = n_objectives, generator.device
    axes = torch.eye(m, dtype=dtype, device=device)
    if n <= m or m == 1:
        return axes[torch.arange(n, device=device) % m]
    draws = torch.rand(n - m, m, generator=generator, dtype=dtype, device=device)
    points = (-torch.log1p(-draws)).clamp_min(1e-12)
    points = torch.cat([axes, points / points.sum(-1, keepdim=True)])
    spacing = n ** (-1.0 / (m - 1))
    for step in range(iterations):
        force = _riesz_force(points, m * m, block)
        force = force - force.mean(-1, keepdim=True)
        force = force / force.norm(dim=-1, keepdim=True).clamp_min(1e-300)
        length = 0.2 * spacing * (1 - step / iterations) ** 2
        moved = (points + length * force).clamp_min(0)
        points = torch.cat([axes, (moved / moved.sum(-1, keepdim=True))[m:]])
    return points


def _riesz_force(points: Tensor, power: int, block: int) -> Tensor:
    """Return for each point a vector along the negative gradient of its energy, scaled by its nearest."""
    n = points.shape[0]
    rows = max(1, block // n)
    parts = []
    for start in range(0, n, rows):
        here = points[start : start + rows]
        squared = torch.cdist(here, points, compute_mode="donot_use_mm_for_euclid_dist").square()
        own = torch.arange(start, start + len(here), device=points.device).unsqueeze(-1)
        squared = squared.scatter(-1, own, torch.inf).clamp_min(1e-300)
        # Only the relative size of the weights matters, so the powers stay within range.
        weight = (squared.amin(-1, keepdim=True) / squared) ** (power / 2 + 1)
        parts.append(weight.sum(-1, keepdim=True) * here - weight @ points)
    return torch.cat(parts)
