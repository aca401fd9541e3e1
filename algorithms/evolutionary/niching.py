"""NSGA-III: normalisation, association with reference directions, and niching in closed form.

Tables are handled column by column: a caller that passes `columns.mT` of a contiguous tensor `columns` of
shape (..., m, n) causes no copy.
"""

from __future__ import annotations

import torch
from torch import Tensor

from blackbox.algorithms.evolutionary.reference import lattice_index

__all__ = [
    "LOWER_DIGITS",
    "NEAR_AXIS",
    "associate",
    "associate_lattice",
    "cell_size",
    "extreme_points",
    "hyperplane_nadir",
    "niche_survivors",
]

NEAR_AXIS = 1e-3  # a row within this share of the front of an axis lies on it, so that none far out is nearer
LOWER_DIGITS = 4096.0  # the part of a uniform number behind so many steps is as good as a new one
_FEW_OBJECTIVES = 3
_OFF_AXIS = 1e6
_BLOCK_CPU = 1 << 20
_BLOCK_ACCELERATOR = 1 << 26
_SMALL_LATTICE = 1 << 8
_LARGE_LATTICE = 1 << 16


def extreme_points(
    f: Tensor, ideal: Tensor, mask: Tensor, previous: Tensor | None = None, *, tolerance: Tensor | None = None
) -> Tensor:
    """Return for each axis the row that lies nearest to it by the achievement scalarising function.

    Parameters
    ----------
    f : Tensor, shape (..., n, m)
        Finite values.
    ideal : Tensor, shape (..., m)
    mask : Tensor, shape (..., n), bool
        Rows that take part: the first front.
    previous : Tensor, shape (..., m, m), optional
        Extreme points found before, which take part as well.
    tolerance : Tensor, shape (..., m), optional
        Distances from the ideal below this count as 0, so that a row that is a shade nearer to an axis but
        far out on it does not win.

    Returns
    -------
    Tensor, shape (..., m, m)
        One row for each axis; the first row wins a tie. O(n m^2) time, O(n m) memory.

    References
    ----------
    K. Deb, H. Jain, 2014 (NSGA-III, part I), equation 4, weights 1 on the axis and 1e-6 off it. The tolerance
    and the memory of extremes are not in the paper.
    """
    columns = f.mT
    g = torch.where(mask.unsqueeze(-2), columns - ideal.unsqueeze(-1), torch.inf)
    if previous is not None:
        g = torch.cat([g, previous.mT - ideal.unsqueeze(-1)], dim=-1)
        columns = torch.cat([columns, previous.mT], dim=-1)
    if tolerance is not None:
        g = torch.where(g < tolerance.unsqueeze(-1), 0.0, g)
    m = g.shape[-2]
    weights = torch.full((m, m), _OFF_AXIS, dtype=f.dtype, device=f.device).fill_diagonal_(1.0).unsqueeze(-1)
    if g.numel() * m <= _BLOCK_CPU:
        scalar = (g.unsqueeze(-3) * weights).amax(-2)
    else:
        scalar = weights[:, 0] * g[..., :1, :]
        for k in range(1, m):
            scalar = torch.maximum(scalar, weights[:, k] * g[..., k : k + 1, :])
    row = scalar.argmin(-1)
    return columns.gather(-1, row.unsqueeze(-2).expand(*row.shape[:-1], m, m)).mT


def hyperplane_nadir(extremes: Tensor, ideal: Tensor, worst_front: Tensor, worst_all: Tensor) -> Tensor:
    """Return the nadir point: where the hyperplane through the extreme points meets the axes.

    The hyperplane is used if the system is well posed: solvable with a relative residual below 1e-6 and with
    positive finite intercepts, and never reaches beyond the worst values of all rows. Otherwise, and where an
    intercept is next to nothing, the worst values of the first front serve, then those of all rows, and a
    range of 1 where even those are constant.

    Parameters
    ----------
    extremes : Tensor, shape (..., m, m)
    ideal, worst_front, worst_all : Tensor, shape (..., m)
        Best value of each objective; worst of the first front; worst of the rows that are to be normalised.

    Returns
    -------
    Tensor, shape (..., m), dtype of `ideal`
        Above `ideal` in every objective.

    References
    ----------
    K. Deb, H. Jain, 2014 (NSGA-III, part I), section IV-C; the fallbacks follow J. Blank, K. Deb, P. Roy,
    Investigating the normalization procedure of NSGA-III, 2019.
    """
    system = (extremes - ideal.unsqueeze(-2)).double()
    ones = torch.ones_like(system[..., :1])
    inverse = torch.linalg.solve_ex(system, ones).result  # not finite where the system is singular
    residual = ((system * inverse.mT).sum(-1) - 1).abs().amax(-1)
    intercepts = 1 / inverse.squeeze(-1)
    scale = 1e-6 * (worst_all - ideal)
    good = ((intercepts > scale) & (intercepts < torch.inf)).all(-1) & (residual < 1e-6)
    plane = torch.minimum(ideal + intercepts.to(ideal.dtype), worst_all)
    nadir = torch.where(good.unsqueeze(-1), plane, worst_front)
    nadir = torch.where(nadir - ideal > scale, nadir, worst_all)
    # A constant objective: any width does, as long as it is felt beside values of that size.
    return torch.where(nadir > ideal, nadir, ideal + ideal.abs().clamp(min=1.0))


def associate(h: Tensor, directions: Tensor, *, divisions: int | None = None) -> tuple[Tensor, Tensor]:
    """Return the nearest reference direction of every row and the distance from it.

    Parameters
    ----------
    h : Tensor, shape (..., n, m)
        Normalised values: non-negative, finite.
    directions : Tensor, shape (r, m)
        Not necessarily of unit length.
    divisions : int, optional
        Says that `directions` is the lattice `das_dennis(m, divisions)`. With m <= 3 and more than 256
        directions, or more than 65,536 (see `associate_lattice`), it is searched locally, O(n m^2) instead of
        O(n r m).

    Returns
    -------
    niche : Tensor, shape (..., n), int64
        The direction with the largest cosine; a row of zeros goes to the first.
    distance : Tensor, shape (..., n)
        Perpendicular distance from its line, from the residual of the projection. Memory O(block).
    """
    m, r = directions.shape[-1], directions.shape[0]
    if divisions is not None and r > (_SMALL_LATTICE if m <= 3 else _LARGE_LATTICE):
        return associate_lattice(h, divisions)
    unit = directions.to(h.dtype)
    unit = (unit / unit.norm(dim=-1, keepdim=True)).mT.contiguous()
    columns = h.movedim(-1, 0).reshape(m, -1)
    on_cpu = h.device.type == "cpu"
    width = max(64, (_BLOCK_CPU >> 6 if on_cpu else _BLOCK_ACCELERATOR) // r)
    index = torch.arange(r, dtype=torch.float32 if r < 1 << 24 else torch.float64, device=h.device)
    block = columns.new_empty((2, min(width, columns.shape[-1]), r))
    nearest = []
    # One objective at a time: unlike a matrix product, this rounds alike whatever the shapes.
    for part in torch.split(columns, width, dim=-1):
        cosine, term = block[:, : part.shape[-1]]
        torch.mul(part[0].unsqueeze(-1), unit[0], out=cosine)
        for k in range(1, m):
            cosine.add_(torch.mul(part[k].unsqueeze(-1), unit[k], out=term))
        # The first of the largest; amax and amin are several times faster than torch's argmax, NumPy's is faster yet.
        if on_cpu:
            nearest.append(torch.from_numpy(cosine.numpy().argmax(1)))
            continue
        is_best = cosine == cosine.amax(-1, keepdim=True)
        nearest.append(torch.where(is_best, index, r).amin(-1))
    niche = torch.cat(nearest).to(torch.int64).clamp_(max=r - 1)
    chosen = unit[:, niche]
    along = _folded(columns * chosen)
    away = columns - along * chosen
    distance = _folded(away * away).sqrt_()
    return niche.reshape(h.shape[:-1]), distance.reshape(h.shape[:-1])


def _folded(columns: Tensor, dim: int = 0) -> Tensor:
    """Return the sum over a dimension, added up in order: unlike `sum`, it rounds alike whatever the shapes."""
    first, *others = columns.unbind(dim)
    total = first.clone()
    for column in others:
        total += column
    return total


def associate_lattice(h: Tensor, divisions: int) -> tuple[Tensor, Tensor]:
    """Return what `associate` does for the directions `das_dennis(m, divisions)`, by local search.

    The row is scaled to the simplex and rounded to the nearest lattice point by largest remainders; the best
    of this point and its m (m - 1) neighbours, by the exact cosine, is taken. With m <= 3 that is the nearest
    direction (checked against the full product); with more objectives, in about one row of a hundred to ten
    thousand, another direction is nearer by a trifle.

    Parameters
    ----------
    h : Tensor, shape (..., n, m)
        Normalised values: non-negative, finite.
    divisions : int

    Returns
    -------
    niche, distance : Tensor, shape (..., n)
        O(n m^2) time and memory.
    """
    g = h.mT
    m, n = g.shape[-2:]
    runs = g[..., 0, 0].numel() if n else 1
    limit = _BLOCK_CPU >> 4 if h.device.type == "cpu" else _BLOCK_ACCELERATOR
    rows = max(64, limit // (m * m * max(1, runs)))
    if n <= rows:
        return _associate_lattice(g, divisions)
    parts = [_associate_lattice(part, divisions) for part in torch.split(g, rows, dim=-1)]
    return torch.cat([part[0] for part in parts], dim=-1), torch.cat([part[1] for part in parts], dim=-1)


def _associate_lattice(g: Tensor, divisions: int) -> tuple[Tensor, Tensor]:
    m = g.shape[-2]
    total = _folded(g, -2).unsqueeze(-2)
    exact = g * (divisions / total)
    counts = exact.floor()
    missing = divisions - counts.sum(-2, keepdim=True)
    rest = exact - counts
    earlier = torch.ones(m, m, dtype=torch.bool, device=g.device).tril(-1).unsqueeze(-1)
    mine, others = rest.unsqueeze(-2), rest.unsqueeze(-3)
    place = ((others > mine) | ((others == mine) & earlier)).sum(-2)
    counts = counts + (place < missing)
    # A row of zeros, which has no direction, goes to the first point of the lattice.
    corner = (torch.arange(m, device=g.device) == m - 1).to(g.dtype).unsqueeze(-1) * divisions
    counts = _best_neighbour(g, torch.where(total > 0, counts, corner))
    along = _folded(g * counts, -2) / _folded(counts * counts, -2)
    away = g - along.unsqueeze(-2) * counts
    return lattice_index(counts.to(torch.int64), divisions), _folded(away * away, -2).sqrt_()


def _best_neighbour(g: Tensor, counts: Tensor) -> Tensor:
    """Return the best of the counts and all counts with one unit moved, by cosine with g; (..., m, n)."""
    m = g.shape[-2]
    same = torch.eye(m, dtype=g.dtype, device=g.device).unsqueeze(-1)
    product = (g.unsqueeze(-2) - g.unsqueeze(-3)).add_(_folded(g * counts, -2)[..., None, None, :])
    squared = (counts.unsqueeze(-2) - counts.unsqueeze(-3)).add_(1 - same).mul_(2)
    squared.add_(_folded(counts * counts, -2)[..., None, None, :])
    cosine = product.mul_(product).div_(squared)
    possible = (counts.unsqueeze(-3) >= 1) | (same == 1)
    cosine = torch.where(possible, cosine, -1.0).flatten(-3, -2)
    # The first of the largest; amax and amin are several times faster than argmax along this dimension.
    move = torch.arange(m * m, dtype=g.dtype, device=g.device).unsqueeze(-1)
    move = torch.where(cosine == cosine.amax(-2, keepdim=True), move, m * m).amin(-2, keepdim=True)
    axis = torch.arange(m, dtype=g.dtype, device=g.device).unsqueeze(-1)
    to = (move / m).floor_()
    return counts + (axis == to).to(g.dtype) - (axis == move - to * m).to(g.dtype)


def cell_size(n_niches: int, n_objectives: int) -> float | None:
    """Return about the square of half the distance between neighbours among so many directions.

    None for more than three objectives, where what lies at the border of a niche is mostly far from the front.
    """
    if n_objectives > _FEW_OBJECTIVES:
        return None
    return 0.25 * n_niches ** (-2 / (n_objectives - 1)) if n_objectives > 1 else 1.0


def niche_survivors(
    rank: Tensor,
    cutoff: Tensor,
    niche: Tensor,
    distance: Tensor,
    n_survivors: int,
    n_niches: int,
    uniforms: Tensor,
    *,
    cell: float | None = None,
) -> Tensor:
    """Return the rows that survive: all fronts before the cutoff, and from the cutoff front by niche.

    The textbook loop takes a row from a niche with the least members, again and again: the nearest row if the
    niche is empty, else any. So the candidate in position k of a niche that has rho members is taken when the
    count is rho + k; the survivors are those with the smallest rho + k, ties in random order.

    Parameters
    ----------
    rank : Tensor, shape (..., n), int64
    cutoff : Tensor, shape (..., 1), int64
        The front that does not fit as a whole. Fronts up to it hold at least `n_survivors` rows.
    niche, distance : Tensor, shape (..., n)
    uniforms : Tensor, shape (..., 2, n)
        Uniform numbers: the order inside the niches, also among equally near rows, and that among equal counts.
    cell : float, optional
        `cell_size` of the niches: behind the nearest row, rows near the border of a niche are then likelier to come
        early than those near its middle. Fronts with gaps, where many niches are empty and the others have several
        members, are covered more evenly so. Default: the order is random.

    Returns
    -------
    Tensor, shape (..., n_survivors), int64
        Indices, in the order of their fronts. O(n log n) time, O(n + r) memory.

    References
    ----------
    K. Deb, H. Jain, 2014 (NSGA-III, part I), algorithm 4; without `cell` the same distribution, no loop.
    """
    n = rank.shape[-1]
    inside, between = uniforms.to(torch.float64).unbind(-2)
    candidate, earlier = rank == cutoff, rank < cutoff
    table = torch.zeros((*rank.shape[:-1], n_niches), dtype=torch.int64, device=rank.device)
    members = table.scatter_add(-1, niche, earlier.to(torch.int64)).gather(-1, niche)
    # The nearest candidate of an empty niche leads its queue; of equally near ones a random one.
    far = torch.where(candidate & (members == 0), distance, torch.inf)
    nothing = torch.full_like(table, torch.inf, dtype=far.dtype)
    is_near = (far == nothing.scatter_reduce(-1, niche, far, "amin").gather(-1, niche)) & (far < torch.inf)
    lot = torch.where(is_near, inside * LOWER_DIGITS % 1, torch.inf)  # independent of the order inside
    nothing = torch.full_like(table, torch.inf, dtype=lot.dtype)
    leads = (lot == nothing.scatter_reduce(-1, niche, lot, "amin").gather(-1, niche)) & is_near
    if cell is not None:
        inside = 0.5 * (inside + cell / (cell + distance.to(torch.float64).square()))
    # The earlier fronts, then candidates by niche and in random order inside, then the rest.
    key = torch.where(candidate, niche + torch.where(leads, 0.0, 0.5 + 0.5 * inside), torch.inf)
    order = torch.where(earlier, rank - n, key).argsort(dim=-1, stable=True)
    home, index = niche.gather(-1, order), torch.arange(n, device=rank.device)
    n_earlier, n_candidates = earlier.sum(-1, keepdim=True), candidate.sum(-1, keepdim=True)
    is_new = index == n_earlier
    is_new[..., 1:] |= home[..., 1:] != home[..., :-1]
    level = index - torch.where(is_new, index, 0).cummax(-1).values + members.gather(-1, order)
    key = torch.where(index < n_earlier + n_candidates, level + between, torch.inf)
    key = torch.where(index < n_earlier, index - n, key)
    return order.gather(-1, key.argsort(dim=-1, stable=True)[..., :n_survivors])
