"""ROOT: offline optimisation as a translation of low-valued designs into high-valued ones."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from blackbox._arguments import whole_number
from blackbox.algorithm import Candidates, Capabilities, Front, Request, Seen, Spec
from blackbox.algorithms.offline._data import Told, TrainingSet, no_rows, training_set, with_seen
from blackbox.algorithms.offline._designs import among
from blackbox.algorithms.offline._root_data import Standardised
from blackbox.algorithms.offline._root_sampling import Sampler
from blackbox.algorithms.offline._root_settings import Proposing, Synthetic, Walks
from blackbox.algorithms.offline._root_training import Learned, learn
from blackbox.surrogates.bridge import BridgeSampling, BridgeSettings

__all__ = ["ROOT", "Proposing", "ROOTState", "Synthetic", "Walks"]

_MANY = 2**31


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
    each of which a setting undoes: the kernel is scaled to the data and its noise is larger; the network and its
    training are smaller, the walks have fewer and larger steps; no best value of an oracle is needed; and many
    designs are sampled, translated again and varied, of which posterior means of different smoothness choose those
    that are handed out (`Proposing`). `ROOT.published()` is the authors' program.

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
    proposing : Proposing
        Which designs are sampled and handed out.
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
    proposing: Proposing = field(default_factory=Proposing)
    retrain_after: int = 1

    def __post_init__(self) -> None:
        for name in ("batch_size", "epochs", "retrain_after"):
            whole_number(getattr(self, name), name, 1)

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
            They use the best value of the oracle; minimised. See `Proposing`.
        rows : int, optional
            Rows that are drawn anew for every epoch (15000 for TF-Bind-8). Default: all, up to 10000.
        epochs : int, default 100

        References
        ----------
        The authors' program as of 2026-03-16.
        """
        around: tuple[float, float] = (6.0, 6.5) if sequences else (0.75, 1.25)
        return cls(
            epochs=epochs,
            synthetic=Synthetic(
                per_epoch=8, lengthscale=around, scale=around, noise=0.01, rows=rows or 10000, redraw=True
            ),
            walks=Walks(steps=100, rate=0.05 if sequences else 0.001, tolerance=1e-3),
            bridge=BridgeSettings(
                width=1024,
                variance="doubled",
                time="index",
                schedule="plateau",
                average_decay=0.995,
                average_from=2000,
            ),
            sampling=BridgeSampling(steps=200, noise=0.2, guidance=-1.5, swapped=True),
            proposing=Proposing(
                best_possible=best_possible, sources=128, oversample=1, rounds=1, ranked=False, novel=False
            ),
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
            x, predicted = self._sampler(spec, state, generator).held(request.n, request.fixed, state.handed)
        else:
            if len(state.waiting) < request.n:
                wanted, sampler = max(request.n, self.batch_size), self._sampler(spec, state, generator)
                waiting, expected = sampler.designs(wanted, state.waiting, state.handed)
                state = replace(state, waiting=waiting, predicted=expected)
            x, predicted = state.waiting[: request.n], state.predicted[: request.n]
            state = replace(state, waiting=state.waiting[request.n :], predicted=state.predicted[request.n :])
        state = replace(state, handed=torch.cat([state.handed, x]))
        if self.proposing.ranked:
            order = predicted.argsort(descending=True, stable=True)
            x, predicted = x[order], predicted[order]
        return state, Candidates(x, {"predicted": predicted, "known": among(x, state.told.x)})

    def result(self, spec: Spec, state: ROOTState) -> Front | None:
        """Leave it to the optimizer."""
        return None

    def _learned_from(self, state: ROOTState) -> TrainingSet:
        told = replace(state.told, x=state.told.x[: state.used], values=state.told.values[: state.used])
        return training_set(told, name="ROOT")

    def _train(self, spec: Spec, state: ROOTState, generator: torch.Generator) -> ROOTState:
        state = replace(state, used=len(state.told), handed=state.handed[:0])
        data = Standardised.of(spec, self._learned_from(state))
        learned = learn(data, self.synthetic, self.walks, self.bridge, self.epochs, generator)
        return replace(state, learned=learned, waiting=state.waiting[:0], predicted=state.predicted[:0])

    def _sampler(self, spec: Spec, state: ROOTState, generator: torch.Generator) -> Sampler:
        assert state.learned is not None
        data = Standardised.of(spec, self._learned_from(state))
        how, sampling = self.proposing, self.sampling
        return Sampler.of(data, state.learned, self.synthetic, how, sampling, state.told.x, generator)
