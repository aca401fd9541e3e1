"""The settings of ROOT's parts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from blackbox._arguments import whole_number
from blackbox.errors import SettingError

__all__ = ["Interval", "Proposing", "Synthetic", "Walks"]

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Synthetic:
    """The functions that agree with the data: posterior means of a Gaussian process, in standardised units.

    Parameters
    ----------
    per_epoch : int, optional
        How many are drawn for each epoch. Default: so many that there are about 8192 pairs, 8 at least (the published
        number) and 256 at most.
    lengthscale : (float, float), optional
        l is drawn uniformly from this interval. Default: 0.9 to 1.1 times the median distance between the data.
    scale : (float, float), default (0.8, 1.2)
        s, the variance of the process, likewise.
    noise : float, default 0.1
        Variance of the noise.
    rows : int, optional
        At most so many rows of the data condition the functions. Default: 4000; all for sequences of few levels,
        where more cost nothing (see `blackbox.surrogates.sequence_draws`).
    redraw : bool, default False
        Whether other `rows` are drawn for every epoch, or the same serve for all.
    """

    per_epoch: int | None = None
    lengthscale: Interval | None = None
    scale: Interval = (0.8, 1.2)
    noise: float = 0.1
    rows: int | None = None
    redraw: bool = False

    def __post_init__(self) -> None:
        if self.per_epoch is not None:
            whole_number(self.per_epoch, "per_epoch", 1)
        for name in ("lengthscale", "scale"):
            given = getattr(self, name)
            if given is not None:
                object.__setattr__(self, name, _interval(name, given))
        if not isinstance(self.noise, (int, float)) or not 0 < self.noise < float("inf"):
            raise SettingError(f"noise: expected a number > 0, got {self.noise!r}")
        if self.rows is not None:
            whole_number(self.rows, "rows", 2)


def _interval(name: str, given: object) -> Interval:
    try:
        low, high = (float(value) for value in given)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise SettingError(f"{name}: expected two numbers (low, high), got {given!r}") from None
    if not 0 < low <= high < float("inf"):
        raise SettingError(f"{name}: expected 0 < low <= high, got {given!r}")
    return low, high


@dataclass(frozen=True, slots=True, kw_only=True)
class Walks:
    """The walks from points of the data to low and high ends of the functions.

    Parameters
    ----------
    starts : int, default 1024
        How many points of the data start a walk.
    pool : {"highest", "lowest", "all"}, default "highest"
        Which: the best, the worst, or random ones.
    steps, rate : int, float, default 25, 0.2
        Steps, and what the gradient is multiplied by in each. (The authors' program: 100 steps of 0.05 for sequences,
        which ends at the same places, and of 0.001 for real variables.)
    least_gain : float, default 0.001
        Pairs whose values differ by less are dropped; kept where none differs by more.
    tolerance : float, default 5e-3
        The ends change smoothly with the hyper-parameters of the functions, so they are computed for a few and
        interpolated for the others, as long as that is so exact, relative to the distance of low and high ends
        (`blackbox.surrogates.walks`). 0: walk on every function.
    """

    starts: int = 1024
    pool: Literal["highest", "lowest", "all"] = "highest"
    steps: int = 25
    rate: float = 0.2
    least_gain: float = 1e-3
    tolerance: float = 5e-3

    def __post_init__(self) -> None:
        whole_number(self.starts, "starts", 1)
        whole_number(self.steps, "steps", 1)
        if self.pool not in ("highest", "lowest", "all"):
            raise SettingError(f"pool: expected highest, lowest or all, got {self.pool!r}")
        if not self.rate > 0:
            raise SettingError(f"rate: expected a number > 0, got {self.rate!r}")
        for name in ("least_gain", "tolerance"):
            if not getattr(self, name) >= 0:
                raise SettingError(f"{name}: expected a number >= 0, got {getattr(self, name)!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposing:
    """Which designs are sampled from the bridge, and which of them are handed out.

    Parameters
    ----------
    target : float, optional
        The standardised value that is asked of the bridge (deviations above the mean of the data, better being
        larger). Default: from `best_possible`, or else values between 0.2 and 1 times the largest that a high end had
        in training, drawn for each design.
    best_possible : float, optional
        The best value that the objective can have, where it is known, as a minimised value (negated where the
        objective is maximised). The target is 0.8 times its standardised value.
    sources : int, default 1024
        How many of the best points of the data are translated.
    oversample : int, default 32
        How many designs are sampled for each of a batch, in each round.
    rounds : int, default 6
        1: translate points of the data. More: translate the best predicted designs of a round again.
    ranked : bool, default True
        Hand out the best predicted designs; otherwise they come in the order of their sources.
    neighbours : bool, default True
        Let neighbours of the best predicted designs compete in later rounds: those with one categorical column
        changed, and, where there are other columns, some with a few columns changed at random.
    judges : tuple of (float, float), default ((0.6, 0.03), (1.0, 0.1), (1.5, 0.3))
        How smooth the objective is and how much noise the data have is not known: for each pair there is a posterior
        mean, with the lengthscale multiplied by the first number and a noise of the second, relative to the scale.
        They choose designs in turn.
    novel : bool, default True
        Hand out points of the data only when nothing else is left.
    """

    target: float | None = None
    best_possible: float | None = None
    sources: int = 1024
    oversample: int = 32
    rounds: int = 6
    ranked: bool = True
    neighbours: bool = True
    judges: tuple[Interval, ...] = ((0.6, 0.03), (1.0, 0.1), (1.5, 0.3))
    novel: bool = True

    def __post_init__(self) -> None:
        for name in ("sources", "oversample", "rounds"):
            whole_number(getattr(self, name), name, 1)
        for name in ("target", "best_possible"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, (int, float)) and math.isfinite(value)):
                raise SettingError(f"{name}: expected a finite number or None, got {value!r}")
        for name in ("ranked", "neighbours", "novel"):
            if not isinstance(getattr(self, name), bool):
                raise SettingError(f"{name}: expected True or False, got {getattr(self, name)!r}")
        try:
            judges = tuple((float(smooth), float(noise)) for smooth, noise in self.judges)
        except (TypeError, ValueError):
            judges = ()
        if not judges or not all(0 < value < math.inf for judge in judges for value in judge):
            raise SettingError(f"judges: expected pairs of numbers > 0, one at least, got {self.judges!r}")
        object.__setattr__(self, "judges", judges)
