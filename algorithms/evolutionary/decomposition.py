"""MOEA/D: neighbourhoods of weights, aggregation functions, and the update of all neighbourhoods at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Aggregation", "aggregate", "neighbourhood_update", "neighbours", "scaled_weights"]

Aggregation = Literal["weighted_sum", "tchebycheff", "pbi"]

_BLOCK_CPU = 1 << 22
_BLOCK_ACCELERATOR = 1 << 26
_CACHED = 1 << 15
_TREE_FROM = 4096


def neighbours(weights: Tensor, size: int) -> Tensor:
    """Return for each weight vector the nearest ones, itself first.

    Parameters
    ----------
    weights : Tensor, shape (r, m)
    size : int, at most r

    Returns
    -------
    Tensor, shape (r, size), int64
        Nearest first; which of several equally far ones are taken is up to the device. A k-d tree on the CPU
        with m <= 6, otherwise blocks of distances: O(r^2 m) time, O(block) memory.
    """
    r, m = weights.shape
    if weights.device.type == "cpu" and r >= _TREE_FROM and m <= 6:
        from scipy.spatial import cKDTree

        points = weights.double().numpy()
        _, found = cKDTree(points).query(points, k=[*range(1, size + 1)])
        return _itself_first(torch.from_numpy(found).to(torch.int64))
    block = _BLOCK_CPU if weights.device.type == "cpu" else _BLOCK_ACCELERATOR
    rows = max(1, block // r)
    parts = []
    for start in range(0, r, rows):
        here = weights[start : start + rows]
        distance = torch.cdist(here, weights, compute_mode="donot_use_mm_for_euclid_dist")
        parts.append(distance.topk(size, largest=False, sorted=True).indices)
    return _itself_first(torch.cat(parts))


def _itself_first(found: Tensor) -> Tensor:
    """Move each row's own index to the front; where duplicates crowded it out, it takes the last place."""
    own = torch.arange(len(found), device=found.device).unsqueeze(-1)
    has_own = (found == own).any(-1, keepdim=True)
    found = torch.where(has_own, found, torch.cat([found[:, :-1], own], dim=-1))
    return found.gather(-1, (found != own).to(torch.int8).argsort(dim=-1, stable=True))


def aggregate(
    f: Tensor,
    weights: Tensor,
    ideal: Tensor,
    *,
    kind: Aggregation = "tchebycheff",
    theta: float = 5.0,
    span: Tensor | None = None,
) -> Tensor:
    """Return the scalar value of points for weights; smaller is better.

    Parameters
    ----------
    f, weights, ideal : Tensor, shapes that broadcast to (..., m)
    kind : {"tchebycheff", "pbi", "weighted_sum"}
        max w |f - z|, with weights of 0 replaced by 1e-6; d1 + theta d2, with the distances along and from
        the line of the weight; or w . (f - z).
    theta : float
        Penalty of "pbi".
    span : Tensor, broadcasts to (..., m), optional
        Range of the front, by which f - z is divided first.

    Returns
    -------
    Tensor, shape (...)
        NaN in `f` gives +inf.

    References
    ----------
    Q. Zhang, H. Li, MOEA/D, 2007, equations 1, 2 and section II-C.
    """
    m = f.shape[-1]
    columns = [(f[..., k] - ideal[..., k]) / (1 if span is None else span[..., k]) for k in range(m)]
    return _aggregate(columns, _scaled([weights[..., k] for k in range(m)], kind), kind, theta)


def scaled_weights(weights: Tensor, kind: Aggregation) -> Tensor:
    """Return weights (r, m) column by column, (m, r), as the aggregation uses them.

    Of unit length for "pbi", at least 1e-6 for "tchebycheff".
    """
    return torch.stack(_scaled(list(weights.mT), kind))


def _scaled(w: list[Tensor], kind: Aggregation) -> list[Tensor]:
    if kind == "tchebycheff":
        return [weight.clamp(min=1e-6) for weight in w]
    if kind == "weighted_sum":
        return w
    length = w[0] * w[0]
    for weight in w[1:]:
        length = length + weight * weight
    length = length.sqrt()
    return [weight / length for weight in w]


def _aggregate(g: list[Tensor], w: Sequence[Tensor], kind: Aggregation, theta: float) -> Tensor:
    """Fold the objectives one at a time, with scaled weights, so that no table for each objective is made."""
    if kind == "tchebycheff":
        value = w[0] * g[0].abs()
        for weight, gap in zip(w[1:], g[1:], strict=True):
            value = torch.maximum(value, weight * gap.abs())
        return value.nan_to_num_(nan=torch.inf, posinf=torch.inf)
    along = w[0] * g[0]
    for weight, gap in zip(w[1:], g[1:], strict=True):
        along.add_(weight * gap)
    if kind == "pbi":
        away = (g[0] - along * w[0]).square_()
        for weight, gap in zip(w[1:], g[1:], strict=True):
            part = along * weight
            away.add_(torch.sub(gap, part, out=part).square_())
        along.add_(away.sqrt_().mul_(theta))
    return along.nan_to_num_(nan=torch.inf, posinf=torch.inf)


def _offers(
    g: list[Tensor],
    columns: Tensor,
    targets: Tensor,
    target_weights: Tensor | None,
    kind: Aggregation,
    theta: float,
) -> Tensor:
    """Return the value of every offspring for each of its targets, (..., q, t), in blocks that fit a cache."""
    q, t = targets.shape[-2:]
    runs = targets[..., 0, 0].numel() if targets.numel() else 1
    rows = q if targets.device.type != "cpu" else max(64, _CACHED // max(1, t * runs))
    parts = []
    for start in range(0, q, rows):
        piece = slice(start, start + rows)
        if target_weights is None:
            w = [column[targets[..., piece, :]] for column in columns]
        else:
            w = [column[piece] for column in target_weights]
        parts.append(_aggregate([gap[..., piece].unsqueeze(-1) for gap in g], w, kind, theta))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-2)


def neighbourhood_update(
    f: Tensor,
    offspring: Tensor,
    targets: Tensor,
    weights: Tensor,
    ideal: Tensor,
    *,
    kind: Aggregation = "tchebycheff",
    theta: float = 5.0,
    span: Tensor | None = None,
    max_replace: int | None = None,
    violation: Tensor | None = None,
    offspring_violation: Tensor | None = None,
    target_weights: Tensor | None = None,
) -> Tensor:
    """Return which offspring each subproblem takes, all offspring and subproblems at once.

    Every offspring is offered to its target subproblems. A subproblem takes the offspring with the best value
    among those offered, the first of equals, if it is strictly better than the incumbent.

    Parameters
    ----------
    f : Tensor, shape (..., r, m)
        Incumbents' values.
    offspring : Tensor, shape (..., q, m)
        Rows with NaN are never taken.
    targets : Tensor, shape (q, t) or (..., q, t), int64
        Subproblems to which each offspring is offered, distinct within a row.
    weights : Tensor, shape (r, m)
    ideal : Tensor, shape (..., m)
        Already updated by the offspring.
    max_replace : int, optional
        Offer each offspring only to those of its targets where it improves most.
    violation, offspring_violation : Tensor, shapes (..., r) and (..., q), optional
        Total violations; less violation wins before the value counts, and all feasible (<= 0) are alike.
    target_weights : Tensor, shape (m, q, t), optional
        `scaled_weights` of the targets, where they are at hand and alike in all runs.

    Returns
    -------
    Tensor, shape (..., r), int64
        Index of the offspring, -1 where the incumbent stays. O(q t m) time, O(q t) memory.

    References
    ----------
    Q. Zhang, H. Li, MOEA/D, 2007, step 2.4; limit: H. Li, Q. Zhang, 2009. Deviation: simultaneous, so the
    result does not depend on the order of the offspring, but for ties.
    """
    lead, (q, _), r = offspring.shape[:-2], offspring.shape[-2:], weights.shape[0]
    targets = targets.expand(*lead, *targets.shape[-2:])
    scale = 1.0 if span is None else span.unsqueeze(-2)
    centre = ideal.unsqueeze(-2)
    new = ((offspring - centre) / scale).unbind(-1)
    old = ((f - centre) / scale).unbind(-1)
    columns = scaled_weights(weights.to(f.dtype), kind)
    offered = _offers(list(new), columns, targets, target_weights, kind, theta)
    incumbent = _aggregate(list(old), list(columns), kind, theta)
    flat, offered = targets.flatten(-2), offered.flatten(-2)
    if violation is not None and offspring_violation is not None:
        mine = violation.clamp(min=0).nan_to_num(nan=torch.inf)
        theirs = offspring_violation.clamp(min=0).nan_to_num(nan=torch.inf)
        theirs = theirs.unsqueeze(-1).expand(targets.shape).flatten(-2)
        least = mine.scatter_reduce(-1, flat, torch.where(offered < torch.inf, theirs, torch.inf), "amin")
        offered = torch.where(theirs <= least.gather(-1, flat), offered, torch.inf)
        incumbent = torch.where(mine <= least, incumbent, torch.inf)
    if max_replace is not None and max_replace < targets.shape[-1]:
        gain = (incumbent.gather(-1, flat) - offered).nan_to_num(nan=-torch.inf)
        kept = _largest(gain.reshape(targets.shape), max_replace)
        offered = offered.reshape(targets.shape).gather(-1, kept).flatten(-2)
        targets = targets.gather(-1, kept)
        flat = targets.flatten(-2)
    best = incumbent.scatter_reduce(-1, flat, offered, "amin")
    index = torch.arange(q, device=f.device).unsqueeze(-1).expand(targets.shape).flatten(-2)
    wins = (offered == best.gather(-1, flat)) & (offered < incumbent.gather(-1, flat))
    source = torch.full_like(flat[..., :1], q).expand(*lead, r)
    source = source.scatter_reduce(-1, flat, torch.where(wins, index, q), "amin")
    return torch.where(source < q, source, -1)


def _largest(table: Tensor, count: int) -> Tensor:
    """Return where the largest numbers of each row stand, the first of equals first, shape (..., count)."""
    if count > 4 or table.device.type != "cpu":
        return table.argsort(dim=-1, descending=True, stable=True)[..., :count]
    found = []
    for _ in range(count):
        found.append(torch.from_numpy(table.numpy().argmax(-1)).unsqueeze(-1))
        table = table.scatter(-1, found[-1], -torch.inf)
    return torch.cat(found, dim=-1)
