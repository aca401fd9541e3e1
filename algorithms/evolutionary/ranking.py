"""Non-dominated ranks with an early stop, constraints, and the compiled library where it is faster."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blackbox.algorithms.evolutionary.bitsets import MOST_BITS, bitset_fronts
from blackbox.algorithms.evolutionary.dominance import dense_ranks, peel

__all__ = ["compiled_ranks", "finite_values", "ranks", "ranks_and_cutoff"]

Method = Literal["auto", "compiled", "tensor"]

_COMPILED_MAX_OBJECTIVES = 31


def ranks(
    f: Tensor,
    *,
    stop: int | None = None,
    violation: Tensor | None = None,
    method: Method = "auto",
) -> Tensor:
    """Return the front of every row: the length of the longest chain of rows that dominates it.

    Row a dominates row b if it is no worse in every objective and better in one; equal rows share a front.
    With constraints, feasible rows come first, then the infeasible by total violation, one front for each
    distinct violation. Rows with a NaN, in the values or in the violation, form one last front.

    Parameters
    ----------
    f : Tensor, shape (..., n, m), float32 or float64
        Values to minimise. +inf and -inf are ordinary values here.
    stop : int, optional
        Only as many whole fronts as hold this many rows are wanted; default all.
    violation : Tensor, shape (..., n), optional
        Total violation; a row is feasible where it is <= 0.
    method : {"auto", "compiled", "tensor"}
        "compiled" is moocore, in C on the CPU, one run after the other, or `bitsets` for small tables of several
        runs; "tensor" is `dominance.peel`; "auto" is the first on the CPU and the second elsewhere. Both give the same
        ranks.

    Returns
    -------
    Tensor, shape (..., n), int64
        Fronts from 0; `n` for the rows of fronts that were not wanted.

    References
    ----------
    K. Deb, A. Pratap, S. Agarwal, T. Meyarivan, A fast and elitist multiobjective genetic algorithm: NSGA-II,
    2002 (ranks, constrained dominance). M. Jensen, Reducing the run-time complexity of multiobjective EAs,
    2003 (m = 2). The level method and the counting without storing are described in `dominance`.
    """
    return ranks_and_cutoff(f, stop=stop, violation=violation, method=method)[0]


def ranks_and_cutoff(
    f: Tensor,
    *,
    stop: int | None = None,
    violation: Tensor | None = None,
    method: Method = "auto",
) -> tuple[Tensor, Tensor]:
    """Return `ranks` and the last front that is wanted, of shape (..., 1)."""
    n = f.shape[-2]
    wanted = n if stop is None else max(1, min(stop, n))
    if n == 0:
        empty = torch.zeros(f.shape[:-1], dtype=torch.int64, device=f.device)
        return empty, empty.sum(-1, keepdim=True)
    if method == "auto":
        suits = f.device.type == "cpu" and f.shape[-1] <= _COMPILED_MAX_OBJECTIVES
        method = "compiled" if suits else "tensor"
    front = _compiled(f, violation, wanted) if method == "compiled" else _tensor(f, violation, wanted)
    if wanted == n:
        return front, front.amax(-1, keepdim=True)
    cutoff = front.kthvalue(wanted, dim=-1, keepdim=True).values
    return front.masked_fill_(front > cutoff, n), cutoff


def finite_values(f: Tensor) -> Tensor:
    """Return the values with infinities and NaN replaced, for use in distances and normalisation.

    Within each run and objective, -inf becomes the smallest and +inf the largest finite value; so does every
    entry of a row that holds a NaN. An objective without a finite value becomes 0. A table of finite values
    is returned as it is, without a copy.

    Parameters
    ----------
    f : Tensor, shape (..., n, m)

    Returns
    -------
    Tensor, shape (..., n, m)
    """
    if f.device.type == "cpu" and math.isfinite(float(f.sum())):
        return f
    usable = f.isfinite() & ~f.isnan().any(-1, keepdim=True)
    low = torch.where(usable, f, torch.inf).amin(-2, keepdim=True)
    high = torch.where(usable, f, -torch.inf).amax(-2, keepdim=True)
    low, high = torch.where(low <= high, low, 0.0), torch.where(low <= high, high, 0.0)
    broken = f.isnan().any(-1, keepdim=True) | f.isnan()
    return torch.where(usable, f, torch.where(~broken & (f < 0), low, high))


def _tensor(f: Tensor, violation: Tensor | None, wanted: int) -> Tensor:
    n = f.shape[-2]
    valid = ~f.isnan().any(-1)
    if violation is None:
        front = peel(f, valid, wanted)
        worst = torch.where(front < n, front, -1).amax(-1, keepdim=True)
    else:
        valid = valid & ~violation.isnan()
        feasible = valid & (violation <= 0)
        front = peel(f, feasible, wanted)
        worst = torch.where(front < n, front, -1).amax(-1, keepdim=True)
        # Feasible rows hold 0 in this list, so the infeasible start at 1 wherever there is a feasible one.
        place = dense_ranks(torch.where(valid, violation.clamp(min=0), torch.inf))
        place = place + (~feasible.any(-1, keepdim=True)).to(torch.int64)
        front = torch.where(valid & ~feasible, worst + place, front)
        worst = torch.where(front < n, front, -1).amax(-1, keepdim=True)
    return torch.where(valid, front, (worst + 1).clamp(max=n))


def _compiled(f: Tensor, violation: Tensor | None, wanted: int) -> Tensor:
    lead, n, m = f.shape[:-2], f.shape[-2], f.shape[-1]
    tables = f.detach().to("cpu", torch.float64).reshape(-1, n, m).numpy()
    if len(tables) > 1 and n <= MOST_BITS and violation is None and bool(np.isfinite(tables).all()):
        found = bitset_fronts(np.ascontiguousarray(tables.transpose(2, 0, 1)), wanted)
        return torch.from_numpy(found).to(f.device).reshape(*lead, n)
    totals = None
    if violation is not None:
        totals = violation.detach().to("cpu", torch.float64).reshape(-1, n).numpy()
    if not lead:
        front = _compiled_run(tables[0], None if totals is None else totals[0])
        return torch.from_numpy(front).to(f.device)
    fronts = np.empty((len(tables), n), dtype=np.int64)
    for run, table in enumerate(tables):
        fronts[run] = _compiled_run(table, None if totals is None else totals[run])
    return torch.from_numpy(fronts).to(f.device).reshape(*lead, n)


def _compiled_run(table: NDArray[np.float64], total: NDArray[np.float64] | None) -> NDArray[np.int64]:
    """Rank one run with moocore; NaN and infeasible rows are taken out before."""
    is_finite = bool(np.isfinite(table).all())
    if total is None and is_finite:
        return compiled_ranks(table)
    invalid = np.isnan(table).any(1)
    infeasible = np.zeros(len(table), dtype=bool)
    if total is not None:
        invalid |= np.isnan(total)
        infeasible = (total > 0) & ~invalid
    feasible = ~(invalid | infeasible)
    front = np.empty(len(table), dtype=np.int64)
    fronts = 0
    if feasible.any():
        front[feasible] = compiled_ranks(table[feasible] if is_finite else _places(table[feasible]))
        fronts = int(front[feasible].max()) + 1
    if total is not None and infeasible.any():
        distinct, place = np.unique(total[infeasible], return_inverse=True)
        front[infeasible] = fronts + place
        fronts += len(distinct)
    front[invalid] = fronts
    return front


def _places(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Replace values by their places in each column: moocore 0.3.2 ranks infinities wrongly, or crashes."""
    columns = [np.unique(column, return_inverse=True)[1] for column in table.T]
    return np.stack(columns, axis=1).astype(np.float64)


def compiled_ranks(table: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the front of every row of one table of finite values, shape (n, m), with moocore."""
    import moocore

    if table.shape[1] == 1:
        return np.unique(table[:, 0], return_inverse=True)[1].astype(np.int64)
    return np.asarray(moocore.pareto_rank(table), dtype=np.int64)
