"""ROOT: offline optimisation as a translation of low-valued designs into high-valued ones."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from blackbox._arguments import whole_number
from blackbox.algorithm import Candidates, Capabilities, Front, Request, Seen, Spec
from blackbox.algorithms.offline._data import Told, TrainingSet, no_rows, training_set, with_seen
from blackbox.algorithms.offline._designs import among, first_of_each, perturbed
from blackbox.algorithms.offline._root_data import Standardised
from blackbox.algorithms.offline._root_settings import Synthetic, Walks
from blackbox.algorithms.offline._root_training import Learned, learn
from blackbox.errors import SettingError
from blackbox.surrogates.bridge import BridgeSampling, BridgeSettings

__all__ = ["ROOT", "ROOTState", "Synthetic", "Walks"]

_MANY = 2**31
_ROUNDS = 4  # of sampling, and of perturbing, until there are enough new designs


@dataclass(frozen=True)
class ROOTState:
    """The state of `ROOT`.

    Attributes
    ----------
    told : Told
        The data.
    used : int
        How many rows of it were learned from; 0 before the first training.
    learned : Learned or None
    waiting : Tensor, shape (p, d)
        Designs that were sampled and not handed out, best first.
    predicted : Tensor, shape (p,)
        Their predicted values, standardised, larger is better.
    handed : Tensor, shape (h, d)
        Designs that were handed out since the last training.
    """

    told: Told
    used: int
    learned: Learned | None
    waiting: Tensor
    predicted: Tensor
    handed: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class ROOT:
    """Offline optimisation by a bridge from low to high: tell a data set, ask for designs.

    Many functions that agree with the data are drawn: posterior means of Gaussian processes. On each, gradient
    descent and ascent from the best points of the data give a low and a high end. A diffusion bridge learns to
    translate low ends into high ones, told the values of both, and is then given the best points of the data and a
    higher value. One objective; real, integer, ordinal, categorical and conditional columns (categorical ones as soft
    logits, `blackbox.surrogates.encoding`).

    The first `ask` after data trains; later ones hand out further designs, best predicted first, none twice, and
    none that was told. The column "predicted" of `batch.context` is the value that the functions predict,
    standardised (0 is the mean of the data, 1 a standard deviation better), and "known" says which designs are rows
    of the data. Rows without a finite value are dropped and counted (`TellReport.n_failed`), repeated points count
    once with their mean.

    The defaults are the method of the paper with the two values in their right places, and with these differences,
    each of which a setting undoes: the kernel is scaled to the data and its noise is larger, many designs are
    sampled for each that is handed out, and those are the best predicted ones. `ROOT.published()` is the authors'
    program.

    Parameters
    ----------
    batch_size : int, default 128
        What `ask()` hands out.
    epochs : int, default 10
        Passes over pairs, each from newly drawn functions.
    synthetic : Synthetic
        The functions.
    walks : Walks
        How low and high ends are found.
    bridge : BridgeSettings
        The network and its training.
    sampling : BridgeSampling
        How designs are sampled.
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
        How many designs are sampled for each of a batch.
    ranked : bool, default True
        Hand out the best predicted ones first; otherwise in the order of their sources.
    novel : bool, default True
        Hand out points of the data only when nothing else is left.
    retrain_after : int, default 1
        Train anew once so many rows were told since the last training. Larger values save time where results are
        told back one by one.

    Raises
    ------
    NotReadyError
        By `ask`: without data, with fewer than 2 distinct usable points, or if all values are equal.

    References
    ----------
    Dao et al., *ROOT: Rethinking Offline Optimization as Distributional Translation via Probabilistic Bridge*, NeurIPS
    2025, arXiv 2509.16300.

    Examples
    --------
    >>> import blackbox as bb
    >>> space = bb.Space.box([0, 0], [1, 1])
    >>> small = ROOT(batch_size=4, epochs=2, bridge=BridgeSettings(width=32, depth=1))
    >>> optimizer = bb.Optimizer(space, small, seed=0)
    >>> x = torch.rand((50, 2), generator=torch.Generator().manual_seed(0))
    >>> optimizer.tell(space.batch(x), ((x - 0.5) ** 2).sum(1)).n_failed
    0
    >>> len(optimizer.ask())
    4
    """

    batch_size: int = 128
    epochs: int = 10
    synthetic: Synthetic = field(default_factory=Synthetic)
    walks: Walks = field(default_factory=Walks)
    bridge: BridgeSettings = field(default_factory=BridgeSettings)
    sampling: BridgeSampling = field(default_factory=BridgeSampling)
    target: float | None = None
    best_possible: float | None = None
    sources: int = 1024
    oversample: int = 32
    ranked: bool = True
    novel: bool = True
    retrain_after: int = 1

    def __post_init__(self) -> None:
        for name in ("batch_size", "epochs", "sources", "oversample", "retrain_after"):
            whole_number(getattr(self, name), name, 1)
        for name in ("target", "best_possible"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, (int, float)) and math.isfinite(value)):
                raise SettingError(f"{name}: expected a finite number or None, got {value!r}")
        for name in ("ranked", "novel"):
            if not isinstance(getattr(self, name), bool):
                raise SettingError(f"{name}: expected True or False, got {getattr(self, name)!r}")

    @classmethod
    def published(
        cls, *, sequences: bool, best_possible: float | None = None, rows: int | None = None, epochs: int = 100
    ) -> ROOT:
        """Return the settings of the authors' program.

        Among them are a bridge of twice the paper's variance, the two values swapped in sampling together with
        guidance of weight -1.5, the number t as the network's input, and one unranked design from each of the best
        128 points of the data.

        Parameters
        ----------
        sequences : bool
            Their settings for categorical sequences (True), or for real variables.
        best_possible : float, optional
            They use the best value of the oracle; minimised. See `ROOT`.
        rows : int, optional
            Rows that are drawn anew for every epoch (15000 for TF-Bind-8). Default: all, up to 20000.
        epochs : int, default 100

        References
        ----------
        The authors' program as of 2026-03-16.
        """
        around: tuple[float, float] = (6.0, 6.5) if sequences else (0.75, 1.25)
        return cls(
            epochs=epochs,
            synthetic=Synthetic(lengthscale=around, scale=around, noise=0.01, rows=rows or 20000, redraw=True),
            walks=Walks(steps=100, rate=0.05 if sequences else 0.001, tolerance=0.0),
            bridge=BridgeSettings(
                width=1024,
                variance="doubled",
                time="index",
                schedule="plateau",
                average_decay=0.995,
                average_from=2000,
            ),
            sampling=BridgeSampling(steps=200, noise=0.2, guidance=-1.5, swapped=True),
            best_possible=best_possible,
            sources=128,
            oversample=1,
            ranked=False,
            novel=False,
        )

    @property
    def capabilities(self) -> Capabilities:
        """One objective, no constraints, any kind of parameter; a data set is needed."""
        return Capabilities(natural_batch=self.batch_size, needs_data=True, single_precision=False)

    def init(self, spec: Spec, generator: torch.Generator) -> ROOTState:
        """Return the state without data."""
        nothing = torch.zeros((0, spec.dim), dtype=spec.dtype, device=spec.device)
        return ROOTState(no_rows(spec), 0, None, nothing, nothing.new_zeros(0), nothing)

    def ready(self, spec: Spec, state: ROOTState, pending: int) -> int:
        """Return a number without meaning: any batch can be sampled."""
        return _MANY

    def tell(self, spec: Spec, state: ROOTState, seen: Seen, generator: torch.Generator) -> ROOTState:
        """Add to the data."""
        return replace(state, told=with_seen(state.told, seen))

    def ask(
        self, spec: Spec, state: ROOTState, request: Request, generator: torch.Generator
    ) -> tuple[ROOTState, Candidates]:
        """Train where there are new data, and hand out the next designs."""
        if state.learned is None or len(state.told) - state.used >= self.retrain_after:
            state = self._train(spec, state, generator)
        if request.fixed is not None:
            return self._ask_fixed(spec, state, request, generator)
        if len(state.waiting) < request.n:
            state = self._sample(spec, state, request.n, generator)
        x, predicted = state.waiting[: request.n], state.predicted[: request.n]
        state = replace(
            state,
            waiting=state.waiting[request.n :],
            predicted=state.predicted[request.n :],
            handed=torch.cat([state.handed, x]),
        )
        return state, self._candidates(state, x, predicted)

    def result(self, spec: Spec, state: ROOTState) -> Front | None:
        """Leave it to the optimizer."""
        return None

    def _candidates(self, state: ROOTState, x: Tensor, predicted: Tensor) -> Candidates:
        return Candidates(x, {"predicted": predicted, "known": among(x, state.told.x)})

    def _learned_from(self, state: ROOTState) -> TrainingSet:
        told = replace(state.told, x=state.told.x[: state.used], values=state.told.values[: state.used])
        return training_set(told, name="ROOT")

    def _train(self, spec: Spec, state: ROOTState, generator: torch.Generator) -> ROOTState:
        state = replace(state, used=len(state.told), handed=state.handed[:0])
        data = Standardised.of(spec, self._learned_from(state))
        learned = learn(data, self.synthetic, self.walks, self.bridge, self.epochs, generator)
        return replace(state, learned=learned, waiting=state.waiting[:0], predicted=state.predicted[:0])

    # -- designs ---------------------------------------------------------------------------------------------

    def _sample(self, spec: Spec, state: ROOTState, n: int, generator: torch.Generator) -> ROOTState:
        """Return the state with n designs waiting at least, or as many as there are."""
        sampler = _Sampler.of(self, spec, state, self._learned_from(state), generator)
        wanted = max(n, self.batch_size)
        found = state.waiting
        for _ in range(_ROUNDS):
            found = sampler.fresh(torch.cat([found, sampler.translated(wanted)]), state.handed)
            if len(found) >= n:
                break
        for _ in range(_ROUNDS):
            if len(found) >= n:
                break
            seeds = found if len(found) else sampler.data.codes[sampler.best]
            found = sampler.fresh(torch.cat([found, perturbed(spec.space, seeds, 4 * n, generator)]), state.handed)
        if not len(found):  # everything was handed out, or is in the data
            found = sampler.translated(wanted)
            found = found[first_of_each(found)]
        waiting, predicted = sampler.ranked(found)
        return replace(state, waiting=waiting, predicted=predicted)

    def _ask_fixed(
        self, spec: Spec, state: ROOTState, request: Request, generator: torch.Generator
    ) -> tuple[ROOTState, Candidates]:
        """Hand out designs with some columns held, which leaves the waiting ones as they are."""
        assert request.fixed is not None
        sampler = _Sampler.of(self, spec, state, self._learned_from(state), generator)
        found = sampler.translated(max(request.n, self.batch_size))
        found = spec.space.canonical(torch.where(request.fixed.isnan(), found, request.fixed))
        found = found[first_of_each(found)]
        new = found[~among(found, torch.cat([state.handed, state.told.x]))]
        x, predicted = sampler.ranked(new if len(new) else found)
        state = replace(state, handed=torch.cat([state.handed, x[: request.n]]))
        return state, self._candidates(state, x[: request.n], predicted[: request.n])


@dataclass(frozen=True)
class _Sampler:
    """Samples designs from a trained bridge."""

    settings: ROOT
    data: Standardised
    learned: Learned
    best: Tensor
    known: Tensor
    generator: torch.Generator

    @classmethod
    def of(
        cls, settings: ROOT, spec: Spec, state: ROOTState, rows: TrainingSet, generator: torch.Generator
    ) -> _Sampler:
        assert state.learned is not None
        data = Standardised.of(spec, rows)
        best = data.y.argsort(descending=True, stable=True)[: settings.sources]
        known = state.told.x if settings.novel else state.told.x[:0]
        return cls(settings, data, state.learned, best, known, generator)

    @property
    def target(self) -> float | None:
        """The standardised value that is wanted, where one is."""
        if self.settings.target is not None or self.settings.best_possible is None:
            return self.settings.target
        best = self.data.outputs.mean.new_tensor([[self.settings.best_possible]])
        return -0.8 * float(self.data.outputs.apply(best))

    def translated(self, n: int) -> Tensor:
        """Return designs for a batch of n: each of the best points of the data in turn, translated."""
        count = n * self.settings.oversample
        rows = self.best.repeat(-(-count // len(self.best)))[:count]
        low, value = self.data.x[rows], self.data.y[rows]
        wanted = torch.rand(count, generator=self.generator, device=low.device)
        wanted = (
            (0.2 + 0.8 * wanted) * self.learned.reach if self.target is None else torch.full_like(value, self.target)
        )
        high = self.learned.bridge.sample(low, value, wanted, self.settings.sampling, self.generator)
        return self.data.decode(high)

    def fresh(self, x: Tensor, handed: Tensor) -> Tensor:
        """Return the designs that are new, each once."""
        x = x[first_of_each(x)]
        return x[~among(x, torch.cat([handed, self.known]))]

    def ranked(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return designs and their predicted values, best first where that is wanted."""
        settings = self.settings.synthetic
        low, high = self.data.lengthscale(settings)
        middle = torch.tensor([(low + high) / 2], dtype=torch.float64)
        scale = torch.tensor([sum(settings.scale) / 2], dtype=torch.float64)
        rows = self.data.rows(settings, torch.Generator(x.device).manual_seed(0))
        mean = self.data.functions(middle, scale, settings.noise, rows).mean(self.data.encode(x))[0].to(x.dtype)
        if not self.settings.ranked:
            return x, mean
        order = mean.argsort(descending=True, stable=True)
        return x[order], mean[order]
