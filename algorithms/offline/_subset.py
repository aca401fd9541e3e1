"""Which of many designs are handed out, best first: by hypervolume, or by fronts and crowding distance."""

from __future__ import annotations

import heapq
from typing import Literal

import torch
from torch import Tensor

from blackbox.algorithms.evolutionary.ranking import ranks
from blackbox.algorithms.evolutionary.survival import survive_nsga2

__all__ = ["Selection", "distinct", "hedged_order", "order_designs"]

Selection = Literal["hypervolume", "crowding"]

_REFERENCE = 2.2
_MOST = 1000  # designs that compete by hypervolume
_EXACT_OBJECTIVES = 3
_SAMPLES = 1 << 15


def distinct(x: Tensor, tolerance: float = 0.0) -> Tensor:
    """Return the first row of each group of equal rows, in order, shape (r,), int64.

    Parameters
    ----------
    x : Tensor, shape (n, d)
    tolerance : float, default 0
        Rows are compared after rounding to multiples of it.
    """
    keys = torch.where(x.isnan(), torch.finfo(x.dtype).max, x) + 0.0
    if tolerance:
        keys = (keys / tolerance).round()
    _, group = torch.unique(keys, dim=0, return_inverse=True)
    index = torch.arange(len(x), device=x.device)
    first = torch.full((int(group.max()) + 1,), len(x), device=x.device).scatter_reduce(0, group, index, "amin")
    return first.sort().values


def order_designs(values: Tensor, count: int, kind: Selection, generator: torch.Generator) -> Tensor:
    """Return the rows of values, best first, shape (n,), int64.

    By "crowding" as NSGA-II survives. By "hypervolume" the first `count` rows of the first front are chosen one after
    the other, each adding the most hypervolume to those before it; the others follow as by crowding. Greedy choices
    reach at least 1 - 1/e of the best subset's hypervolume. Exact for up to three objectives, beyond that by the
    share of random points that is dominated.

    Parameters
    ----------
    values : Tensor, shape (n, m)
        To be minimised, scaled so that the data range over [0, 1]; the reference is 1.1 in each.
    count : int
    kind : {"hypervolume", "crowding"}
    generator : torch.Generator
        On the device of the values.
    """
    order = survive_nsga2(values, len(values))[0]
    if kind == "crowding" or len(values) < 2:
        return order
    front = order[ranks(values, stop=1)[order] == 0][: max(_MOST, count)]
    exact = values.shape[1] <= _EXACT_OBJECTIVES
    chosen = front[_greedy_exact(values[front], count) if exact else _greedy_sampled(values[front], count, generator)]
    rest = torch.ones(len(values), dtype=torch.bool, device=values.device)
    rest[chosen] = False
    return torch.cat([chosen, order[rest[order]]])


def hedged_order(
    values: Tensor, level: Tensor, count: int, share: float, kind: Selection, generator: torch.Generator
) -> Tensor:
    """Return the rows, best first, shape (n,), of which a share of each beginning comes from stations on the way.

    Parameters
    ----------
    values : Tensor, shape (n, m)
    level : Tensor, shape (n,), int64
        0 for designs that are predicted to be best; the number of its station for one on the way there.
    count : int
    share : float in [0, 1)
        Stations take turns.
    kind, generator
        Of `order_designs`.
    """
    ahead = (level == 0).nonzero()[:, 0]
    best = ahead[order_designs(values[ahead], count, kind, generator)] if len(ahead) else ahead
    turns: list[Tensor] = []
    places: list[Tensor] = []
    for station in range(1, int(level.max()) + 1):
        rows = (level == station).nonzero()[:, 0]
        if len(rows):
            wanted = int(share * count) // int(level.max()) + 1
            turns.append(rows[order_designs(values[rows], wanted, kind, generator)])
            places.append(torch.arange(len(rows), device=rows.device))
    if not turns:
        return best
    others = torch.cat(turns)[torch.cat(places).argsort(stable=True)]
    if not share:
        return torch.cat([best, others])
    # The k-th hedge stands where a share of what is before it are hedges.
    when_best = torch.arange(len(best), device=best.device) / (1.0 - share)
    when_other = (torch.arange(len(others), device=best.device) + 0.5) / share
    return torch.cat([best, others])[torch.cat([when_best, when_other]).argsort(stable=True)]


def _greedy_exact(values: Tensor, count: int) -> Tensor:
    """Return rows by how much hypervolume each adds; gains only shrink, so old ones are bounds."""
    import moocore

    table = values.detach().to("cpu", torch.float64).numpy()
    reference = table.shape[1] * [_REFERENCE]
    bounds = [(-float(moocore.hypervolume(row[None], ref=reference)), i, 0) for i, row in enumerate(table)]
    heapq.heapify(bounds)
    chosen: list[int] = []
    total = 0.0
    while bounds and len(chosen) < count:
        bound, row, age = heapq.heappop(bounds)
        if bound >= 0.0:
            break
        if age == len(chosen):
            chosen.append(row)
            total = float(moocore.hypervolume(table[chosen], ref=reference))
        else:
            gain = float(moocore.hypervolume(table[[*chosen, row]], ref=reference)) - total
            heapq.heappush(bounds, (-gain, row, len(chosen)))
    return torch.tensor(chosen, dtype=torch.int64, device=values.device)


def _greedy_sampled(values: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return rows by how many of random points, that were not dominated before, each dominates."""
    low = values.amin(0)
    uniform = torch.rand((_SAMPLES, values.shape[1]), generator=generator, dtype=values.dtype, device=values.device)
    points = low + uniform * (_REFERENCE - low).clamp_min(0.0)
    dominated = torch.stack([(row <= points).all(-1) for row in values]).to(torch.float32)
    left = torch.ones(_SAMPLES, device=values.device)
    gains = torch.full((count,), -1, dtype=torch.int64, device=values.device)
    n = 0
    for n in range(min(count, len(values))):
        gain = dominated @ left
        row = gain.argmax()
        gains[n] = torch.where(gain[row] > 0, row, -1)
        left = left * (1.0 - dominated[row])
    return gains[gains >= 0]
