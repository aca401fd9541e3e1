"""How ROOT learns: functions, walks, pairs, and the bridge between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from blackbox.algorithms.offline._root_data import Standardised
from blackbox.algorithms.offline._root_settings import Interval, Synthetic, Walks
from blackbox.surrogates.bridge import Bridge, BridgeSettings, Pairs
from blackbox.surrogates.bridge_training import fit_bridge
from blackbox.surrogates.posterior_draws import SmoothFunctions
from blackbox.surrogates.walks import Ends, WalkTable, tabulate_walks, walk

__all__ = ["Learned", "PairSource", "learn"]

_WORTH = 16  # functions from which tabulated walks cost less
_PAIRS, _FEWEST, _MOST = 8192, 8, 256  # pairs of an epoch, and the functions that make them


@dataclass(frozen=True)
class Learned:
    """What ROOT has learned from a data set; part of its saved state.

    Attributes
    ----------
    bridge : Bridge
    reach : float
        The largest standardised value at a high end.
    kept : float
        The share of pairs that were kept.
    gain : float
        The mean difference of the values of high and low ends.
    tabulated : float
        The relative error of interpolated walks; NaN where every function was walked on.
    rows : int
        Distinct rows that were learned from.
    """

    bridge: Bridge
    reach: float
    kept: float
    gain: float
    tabulated: float
    rows: int


@dataclass
class _Tally:
    """Sums over the pairs of all epochs."""

    made: int = 0
    kept: int = 0
    gain: float = 0.0
    reach: float = -float("inf")

    def add(self, ends: Ends, pairs: Pairs) -> None:
        self.made += ends.low_value.numel()
        self.kept += len(pairs)
        self.gain += float((ends.high_value - ends.low_value).sum())
        self.reach = max(self.reach, float(pairs.high_value.max()))


def learn(
    data: Standardised,
    synthetic: Synthetic,
    walks: Walks,
    bridge: BridgeSettings,
    epochs: int,
    generator: torch.Generator,
) -> Learned:
    """Train a bridge on pairs of low and high ends.

    References
    ----------
    Dao et al., *ROOT*, NeurIPS 2025, sections 3.1 to 3.3.
    """
    source = PairSource.of(data, synthetic, walks, epochs, generator)
    found = fit_bridge(source.epochs(), bridge, generator, epochs=epochs)
    tally, table = source.tally, source.table
    error = float("nan") if table is None else table.error
    return Learned(found, tally.reach, tally.kept / tally.made, tally.gain / tally.made, error, len(data.x))


@dataclass
class PairSource:
    """Makes the pairs of every epoch."""

    data: Standardised
    synthetic: Synthetic
    walks: Walks
    n_epochs: int
    generator: torch.Generator
    lengthscale: Interval
    rows: Tensor | None
    table: WalkTable | None
    tally: _Tally

    @classmethod
    def of(
        cls, data: Standardised, synthetic: Synthetic, walks: Walks, epochs: int, generator: torch.Generator
    ) -> PairSource:
        rows = data.rows(synthetic, generator)
        return cls(
            data, synthetic, walks, epochs, generator, data.lengthscale(synthetic), rows, table=None, tally=_Tally()
        )

    @property
    def per_epoch(self) -> int:
        """How many functions are drawn for an epoch."""
        starts = min(self.walks.starts, len(self.data.x))
        return self.synthetic.per_epoch or min(max(_FEWEST, -(-_PAIRS // starts)), _MOST)

    @property
    def is_redrawn(self) -> bool:
        """Whether other rows condition the functions of every epoch."""
        return self.rows is not None and self.synthetic.redraw

    def tabulate(self) -> WalkTable | None:
        """Return the ends of walks for all functions of an epoch (of all epochs, for the same rows), where it pays."""
        walks, pool = self.walks, self.pool()
        functions = self.per_epoch * (1 if self.is_redrawn else self.n_epochs)
        if not walks.tolerance or len(pool) > walks.starts or functions < _WORTH:
            return None
        return tabulate_walks(
            self.draw,
            self.data.x[pool],
            self.lengthscale,
            self.synthetic.scale,
            steps=walks.steps,
            rate=walks.rate,
            tolerance=walks.tolerance,
            like=self.table,
        )

    def draw(self, lengthscale: Tensor, scale: Tensor) -> SmoothFunctions:
        return self.data.functions(lengthscale, scale, self.synthetic.noise, self.rows)

    def pool(self) -> Tensor:
        """Return the rows that walks may start from: no more than `starts`, but all for pool="all"."""
        if self.walks.pool == "all":
            return torch.arange(len(self.data.y), device=self.data.y.device)
        order = self.data.y.argsort(descending=self.walks.pool == "highest", stable=True)
        return order[: self.walks.starts]

    def epochs(self) -> Iterator[Pairs]:
        for epoch in range(self.n_epochs):
            if epoch and self.is_redrawn:
                self.rows = self.data.rows(self.synthetic, self.generator)
            if epoch == 0 or (self.is_redrawn and self.table is not None):
                self.table = self.tabulate()
            ends = self.ends()
            pairs = self.keep(ends)
            self.tally.add(ends, pairs)
            yield pairs

    def ends(self) -> Ends:
        """Return the ends of walks on newly drawn functions."""
        low, scale = self.lengthscale, self.synthetic.scale
        u = torch.rand((2, self.per_epoch), generator=self.generator, device=self.data.x.device)
        lengths, scales = (a + (b - a) * u[k].double() for k, (a, b) in enumerate((low, scale)))
        if self.table is not None:
            return self.table.at(lengths, scales)
        pool = self.pool()
        if len(pool) > self.walks.starts:
            order = torch.randperm(len(pool), generator=self.generator, device=pool.device)
            pool = pool[order[: self.walks.starts]]
        functions = self.draw(lengths, scales)
        return walk(functions, self.data.x[pool], steps=self.walks.steps, rate=self.walks.rate)

    def keep(self, ends: Ends) -> Pairs:
        """Return the pairs of all functions whose values differ enough, in random order."""
        gain = (ends.high_value - ends.low_value).flatten()
        kept = (gain > self.walks.least_gain).nonzero()[:, 0]
        if not len(kept):
            kept = torch.arange(len(gain), device=gain.device)
        kept = kept[torch.randperm(len(kept), generator=self.generator, device=kept.device)]
        return Pairs(
            ends.low.flatten(0, 1)[kept],
            ends.high.flatten(0, 1)[kept],
            ends.low_value.flatten()[kept],
            ends.high_value.flatten()[kept],
        )
