"""Peeling of non-dominated fronts with tensor operations only, on any device, in O(n) or O(block) memory.

All functions work on rows in lexicographic order, where a row can be dominated by an earlier one only, and on
distinct rows, where "no worse in every objective" is dominance. The engine is chosen by the number of
objectives:

- m = 2: one running minimum per front, O(n);
- m = 3: the level method, O(n log n) per front. Every pair i < j of indices meets at exactly one level, that
  of the highest bit in which they differ, and there one running minimum over a block answers for all pairs;
- m >= 4: counting. Dominators are counted once, in blocks of pairs that are not kept, and a front that leaves
  is subtracted from the counts of the rows that stay: at most n^2 pairs whatever the number of fronts.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["dense_ranks", "lexicographic_order", "peel"]

_BLOCK_CPU = 1 << 22
_BLOCK_ACCELERATOR = 1 << 26
_NEVER = 1 << 32  # above every rank


def dense_ranks(values: Tensor) -> Tensor:
    """Return the position of every value among the distinct values of its run, smallest first.

    Parameters
    ----------
    values : Tensor, shape (..., n), float without NaN

    Returns
    -------
    Tensor, shape (..., n), int64
        0 for the smallest value; equal values share a position. O(n log n) time, O(n) memory.
    """
    ordered, order = values.sort(dim=-1, stable=True)
    steps = torch.zeros_like(order)
    steps[..., 1:] = ordered[..., 1:] > ordered[..., :-1]
    return torch.empty_like(order).scatter_(-1, order, steps.cumsum(-1))


def lexicographic_order(columns: Tensor) -> Tensor:
    """Return the order of the rows by the first column, ties by the second, and so on, ties by index.

    Parameters
    ----------
    columns : Tensor, shape (..., m, n)
        One column of the table per row of this tensor.

    Returns
    -------
    Tensor, shape (..., n), int64
    """
    order = columns[..., -1, :].argsort(dim=-1, stable=True)
    for k in range(columns.shape[-2] - 2, -1, -1):
        step = columns[..., k, :].gather(-1, order).argsort(dim=-1, stable=True)
        order = order.gather(-1, step)
    return order


def peel(f: Tensor, alive: Tensor, stop: int) -> Tensor:
    """Return the front of every row, counted from 0, until `stop` rows of each run have one.

    Parameters
    ----------
    f : Tensor, shape (..., n, m), float
        Values to minimise; +inf and -inf are ordinary values, rows that are not alive may hold anything.
    alive : Tensor, shape (..., n), bool
        Rows that take part; the others neither dominate nor are ranked.
    stop : int
        Whole fronts are peeled until this many rows, or all that are alive, are ranked.

    Returns
    -------
    Tensor, shape (..., n), int64
        Fronts; `n` for rows that were not ranked. Equal rows share a front.
    """
    lead, n, m = f.shape[:-2], f.shape[-2], f.shape[-1]
    if n == 0:
        return alive.to(torch.int64)
    columns = torch.where(alive.unsqueeze(-2), f.mT, torch.inf).reshape(-1, m, n)
    alive = alive.reshape(-1, n)
    # Dead rows go last, so that equal rows that are alive stand side by side.
    order = lexicographic_order(torch.cat([(~alive).to(f.dtype).unsqueeze(-2), columns], dim=-2))
    columns = columns.gather(-1, order.unsqueeze(-2).expand(-1, m, -1))
    alive = alive.gather(-1, order)
    index = torch.arange(n, device=f.device).expand_as(order)
    repeated = torch.zeros_like(alive)
    repeated[:, 1:] = (columns[..., 1:] == columns[..., :-1]).all(-2) & alive[:, 1:]
    first = torch.where(repeated, 0, index).cummax(-1).values
    copies = torch.zeros_like(order).scatter_add_(-1, first, alive.to(torch.int64))
    front = _fronts(columns, alive & ~repeated, copies, stop)
    front = front.gather(-1, first).masked_fill(~alive, n)
    return torch.empty_like(front).scatter_(-1, order, front).reshape(*lead, n)


def _fronts(columns: Tensor, alive: Tensor, copies: Tensor, stop: int) -> Tensor:
    """Peel distinct, ordered rows; `copies` says for how many rows each stands."""
    runs, m, n = columns.shape
    block = _BLOCK_CPU if columns.device.type == "cpu" else _BLOCK_ACCELERATOR
    if m > 3 and runs * n * n <= block:
        return _peel_stored(columns, alive, copies, stop)
    if m > 3:
        parts = [_peel_counting(columns[r], alive[r], copies[r], stop, block) for r in range(runs)]
        return torch.stack(parts)
    if m == 1:
        columns = columns.expand(-1, 2, -1)
    return _peel_sweeping(columns, alive, copies, stop)


def _peel_sweeping(columns: Tensor, alive: Tensor, copies: Tensor, stop: int) -> Tensor:
    """Peel with two or three objectives; drops the rows that are done when they are more than half."""
    n = columns.shape[-1]
    last = dense_ranks(columns[:, -1])
    middle = columns[:, 1] if columns.shape[1] == 3 else None
    front = torch.full_like(copies, n)
    rows = torch.arange(n, device=front.device).expand_as(front)
    ranked = torch.zeros_like(copies[:, 0])
    unfinished = alive.any(-1)
    k = 0
    while True:
        candidates = torch.where(alive, last, n)
        dominated = _swept(candidates) if middle is None else _leveled(candidates, middle)
        leaving = alive & ~dominated & unfinished.unsqueeze(-1)
        front.scatter_(-1, rows, torch.where(leaving, k, front.gather(-1, rows)))
        ranked = ranked + (copies * leaving).sum(-1)
        alive = alive & ~leaving & unfinished.unsqueeze(-1)
        unfinished = alive.any(-1) & (ranked < stop)
        # The one number of a front that the host has to know: the most rows that are left to a run, 0 at the end.
        remaining = int((alive.sum(-1) * unfinished).max())
        if not remaining:
            return front
        k += 1
        if 2 * remaining < alive.shape[-1]:
            kept = (~(alive & unfinished.unsqueeze(-1))).to(torch.int8).argsort(dim=-1, stable=True)[:, :remaining]
            rows, alive, last, copies = (t.gather(-1, kept) for t in (rows, alive, last, copies))
            middle = None if middle is None else middle.gather(-1, kept)


def _swept(last: Tensor) -> Tensor:
    """Say which rows of a two-objective table an earlier one dominates; dead rows hold a large rank."""
    dominated = torch.zeros_like(last, dtype=torch.bool)
    dominated[..., 1:] = last.cummin(-1).values[..., :-1] <= last[..., 1:]
    return dominated


def _leveled(last: Tensor, middle: Tensor) -> Tensor:
    """Say which rows of a three-objective table are dominated by an earlier one.

    Parameters
    ----------
    last : Tensor, shape (r, n), int64
        Dense ranks of the third objective; dead rows hold a rank above all others, and their answer is void.
    middle : Tensor, shape (r, n)
        The second objective. Rows are in lexicographic order of all three.

    Notes
    -----
    A code packs (rank in the third objective, dominated bit, index). It starts in the order of the second
    objective and is stably partitioned by one index bit per level, highest first, so every block of 2^(k+1)
    codes holds one group of indices in the order of the second objective, and ends in index order.
    """
    runs, n = last.shape
    bits = max(1, (n - 1).bit_length())
    size = 1 << bits
    order = middle.argsort(dim=-1, stable=True)
    code = (last.gather(-1, order) << (bits + 1)) | order
    if size > n:
        pad = torch.arange(n, size, device=last.device) | (_NEVER << (bits + 1))
        code = torch.cat([code, pad.expand(runs, -1)], dim=-1)
    for k in range(bits - 1, -1, -1):
        code = code.reshape(-1, 2 << k)
        right = (code >> k) & 1
        rank = code >> (bits + 1)
        best = torch.where(right == 0, rank, _NEVER).cummin(-1).values
        code = code | (((best <= rank) & (right == 1)).to(torch.int64) << bits)
        # A stable partition: the left half in order, then the right half in order.
        before = right.cumsum(-1) - right
        place = torch.arange(2 << k, device=code.device) - before
        place = torch.where(right == 1, (1 << k) + before, place)
        code = torch.empty_like(code).scatter_(-1, place, code)
    return ((code.reshape(runs, size)[:, :n] >> bits) & 1) == 1


def _no_worse(columns: Tensor, rows: slice, others: slice) -> Tensor:
    """Say for pairs (row, other) whether the row is no worse in every objective, one objective at a time."""
    block = columns[..., 0, rows].unsqueeze(-1) <= columns[..., 0, others].unsqueeze(-2)
    for k in range(1, columns.shape[-2]):
        block &= columns[..., k, rows].unsqueeze(-1) <= columns[..., k, others].unsqueeze(-2)
    return block


def _peel_stored(columns: Tensor, alive: Tensor, copies: Tensor, stop: int) -> Tensor:
    """Peel with all pairs of all runs stored; for tables so small that they fit into one block."""
    runs, _, n = columns.shape
    pairs = _no_worse(columns, slice(None), slice(None)).triu_(1) & alive.unsqueeze(-1)
    front = torch.full((runs, n), n, dtype=torch.int64, device=columns.device)
    count = pairs.sum(-2)
    ranked = torch.zeros_like(count[:, 0])
    k = 0
    while True:
        unfinished = alive.any(-1) & (ranked < stop)
        if not bool(unfinished.any()):
            return front
        leaving = alive & (count == 0) & unfinished.unsqueeze(-1)
        front = torch.where(leaving, k, front)
        ranked = ranked + (copies * leaving).sum(-1)
        alive = alive & ~leaving
        count = count - (pairs & leaving.unsqueeze(-1)).sum(-2)
        k += 1


def _peel_counting(columns: Tensor, alive: Tensor, copies: Tensor, stop: int, block: int) -> Tensor:
    """Peel one run of many objectives by counting dominators in blocks of pairs."""
    n = columns.shape[-1]
    front = torch.full((n,), n, dtype=torch.int64, device=columns.device)
    rows = alive.nonzero().squeeze(-1)
    table = columns[:, rows].contiguous()
    count = torch.zeros_like(rows)
    step = max(1, block // max(1, rows.numel()))
    for start in range(0, rows.numel(), step):
        end = min(start + step, rows.numel())
        pairs = _no_worse(table, slice(start, end), slice(start, None)).triu_(1)
        count[start:] += pairs.sum(0)
    ranked, k = 0, 0
    while rows.numel() and ranked < stop:
        leaving = count == 0
        members = table[:, leaving]
        front[rows[leaving]] = k
        ranked += int(copies[rows[leaving]].sum())
        rows, table, count = rows[~leaving], table[:, ~leaving].contiguous(), count[~leaving]
        k += 1
        if ranked < stop:
            count -= _dominators(members, table, block)
    return front


def _dominators(members: Tensor, table: Tensor, block: int) -> Tensor:
    """Count for every row of the table the members that are no worse; (m, a), (m, b) -> (b,)."""
    both = torch.cat([members, table], dim=-1)
    a, b = members.shape[-1], table.shape[-1]
    count = torch.zeros(b, dtype=torch.int64, device=table.device)
    step = max(1, block // max(1, b))
    for start in range(0, a, step):
        count += _no_worse(both, slice(start, min(start + step, a)), slice(a, None)).sum(0)
    return count
