"""ParetoFlow: designs for several objectives from a data set, by a flow that predictors guide."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from blackbox._arguments import whole_number
from blackbox.algorithm import Candidates, Capabilities, Front, Request, Seen, Spec
from blackbox.algorithms.evolutionary.nsga2 import NSGA2
from blackbox.algorithms.evolutionary.survival import survive_nsga2
from blackbox.algorithms.offline._archive import Archive, assign
from blackbox.algorithms.offline._data import Told, TrainingSet, no_rows, training_set, with_seen
from blackbox.algorithms.offline._designs import among
from blackbox.algorithms.offline._evolving import evolve
from blackbox.algorithms.offline._guidance import Guidance, sample_guided
from blackbox.algorithms.offline._models import Models, fit_models
from blackbox.algorithms.offline._streams import Frame, make_streams
from blackbox.algorithms.offline._subset import Selection, distinct, hedged_order
from blackbox.errors import SettingError
from blackbox.surrogates.ensemble import EnsembleSettings
from blackbox.surrogates.flow import FlowSettings
from blackbox.surrogates.scaling import Scaling

__all__ = ["Guidance", "ParetoFlow", "ParetoFlowState"]

_MANY = 2**31
_LEAST = 8
_NEAR_DUPLICATE = 1e-3
_ROUNDING = 1e-5
_STATIONS = (8, 4, 2, 1)
_LARGE = 20_000  # rows from which on one network an objective will do
_PASSES = 4  # of sampling, at most, for one request


@dataclass(frozen=True)
class ParetoFlowState:
    """The state of `ParetoFlow`.

    Attributes
    ----------
    told : Told
        The data.
    models : Models or None
        None before the first request, and when more of the data was told since.
    designs : Tensor, shape (p, d)
        Not handed out yet, best first.
    given : Tensor, shape (g, d)
        Handed out.
    """

    told: Told
    models: Models | None
    designs: Tensor
    given: Tensor


@dataclass(frozen=True, slots=True)
class ParetoFlow:
    """Designs that trade off several objectives, from data alone: guided flow matching.

    Predictors of the objectives and a flow of the designs are trained once, when designs are first asked for after
    data. Then streams of designs, one a weight vector, follow the flow and the predictors' gradient, compete with
    their neighbours and fill an archive; of all designs seen, those handed out are distinct, inside the bounds, and
    best first: any number may be asked for, and asked for again, without training anew. Real, integer, ordinal,
    categorical (as logits) and conditional parameters.

    Told data train; what is told of designs that were asked is kept, and trains, too, once more data are told.

    The column "predicted" of `batch.context`, shape (n, m), is what is predicted of each objective, standardised with
    the data (0 is their mean, 1 a standard deviation better); "known" says which designs are points of the data.

    Parameters
    ----------
    designs : int, default 256
        What `ask()` hands out, and what is chosen together.
    predictors : EnsembleSettings, optional
        Default: sized by the number of rows.
    flow : FlowSettings, optional
        Default: sized by the number of rows.
    guidance : Guidance
    targets : {"log", "standard"}, default "log"
        What the predictors learn: objectives on a scale that spreads values near the front, or as they are.
    pessimism : float, default 0
        How many standard deviations of the predictors' members are added to a prediction.
    selection : {"hypervolume", "crowding"}, default "hypervolume"
        How designs are chosen in the end.
    hedge : float in [0, 1), default 0.4
        Share of the designs that is chosen, by the same means, from stations on the way from the data to what is
        predicted to be best: a prediction is the less to be trusted, the further it is from the data. 0 as published.
    refinement : int, default 100
        Generations of evolution (NSGA-II) on the predictors. The best designs of the streams go through them in the
        end; and so do the best of the data, whose populations on the way are further stations. 0 as published.
    known : bool, default True
        Whether points of the data may be handed out where nothing is predicted to beat them, as published.

    References
    ----------
    Y. Yuan, C. Chen, C. Pal, X. Liu, ParetoFlow: guided flows in multi-objective optimization, ICLR 2025. Deviations:
    the faults of the published code are mended (the archive started with the worst points, the last selection kept
    the worst, the cone was turned, bounds were mixed up, early stopping read a wrong likelihood), and see `Guidance`,
    `FlowSettings` and `EnsembleSettings`. `published` gives the sizes of the paper.

    Examples
    --------
    >>> import blackbox as bb
    >>> algorithm = ParetoFlow(
    ...     predictors=EnsembleSettings(hidden=(32,), epochs=20),
    ...     flow=FlowSettings(hidden=(32,), epochs=20),
    ...     guidance=Guidance(streams=20, guided_steps=10),
    ... )
    >>> optimizer = bb.Optimizer(bb.Space.box([0, 0], [1, 1]), algorithm, objectives=2, seed=0)
    >>> x = torch.rand((100, 2), generator=torch.Generator().manual_seed(0))
    >>> _ = optimizer.tell(optimizer.space.batch(x), torch.stack([x[:, 0], 2 - x.sum(1)], 1))
    >>> optimizer.ask(16).x.shape
    torch.Size([16, 2])
    """

    designs: int = 256
    predictors: EnsembleSettings | None = None
    flow: FlowSettings | None = None
    guidance: Guidance = field(default_factory=Guidance)
    targets: Literal["log", "standard"] = "log"
    pessimism: float = 0.0
    selection: Selection = "hypervolume"
    hedge: float = 0.4
    refinement: int = 100
    known: bool = True

    def __post_init__(self) -> None:
        whole_number(self.designs, "designs", 1)
        whole_number(self.refinement, "refinement", 0)
        if self.targets not in ("log", "standard"):
            raise SettingError(f'targets: expected "log" or "standard", got {self.targets!r}')
        if self.selection not in ("hypervolume", "crowding"):
            raise SettingError(f'selection: expected "hypervolume" or "crowding", got {self.selection!r}')
        if isinstance(self.pessimism, bool) or not math.isfinite(self.pessimism) or self.pessimism < 0:
            raise SettingError(f"pessimism: expected a finite number >= 0, got {self.pessimism!r}")
        if isinstance(self.hedge, bool) or not 0 <= self.hedge < 1:
            raise SettingError(f"hedge: expected a number in [0, 1), got {self.hedge!r}")
        for name, kind in (("predictors", EnsembleSettings), ("flow", FlowSettings), ("guidance", Guidance)):
            value = getattr(self, name)
            if not isinstance(value, kind) and not (value is None and name != "guidance"):
                raise SettingError(f"{name}: expected {kind.__name__}, got {value!r}")

    @classmethod
    def published(cls, *, exact: bool = False) -> ParetoFlow:
        """Return the sizes of the paper: predictors of 2 x 2048 units, a flow of 3 x 512 units.

        Parameters
        ----------
        exact : bool, default False
            Whether everything is as published (but for the faults of the code, which are mended): batches of 128 in
            float32, the time added, plain gradients, 1000 Euler steps, weighted sums, crowding distance; many hours on
            a CPU. Otherwise 100 epochs of the predictors at whose end the learning rate is where it is after 200 there,
            smooth units (SiLU), which err less after fewer epochs, batches of 1024 with bfloat16 products, early
            stopping, and the sampling of the default.
        """
        if exact:
            return cls(
                predictors=EnsembleSettings(),
                flow=FlowSettings.published(),
                guidance=Guidance.published(),
                targets="standard",
                selection="crowding",
                hedge=0.0,
                refinement=0,
            )
        return cls(
            predictors=EnsembleSettings(
                activation="silu",
                epochs=100,
                batch_size=1024,
                learning_rate=2e-3,
                decay=0.96,
                patience=20,
                precision="bfloat16",
            ),
            flow=FlowSettings(
                hidden=(512, 512, 512), epochs=1000, batch_size=1024, schedule="constant", precision="bfloat16"
            ),
        )

    @property
    def capabilities(self) -> Capabilities:
        """Two objectives or more, no constraints, any kind of parameter; data first."""
        return Capabilities(
            objectives=(2, None),
            natural_batch=self.designs,
            needs_data=True,
        )

    def init(self, spec: Spec, generator: torch.Generator) -> ParetoFlowState:
        """Return the state without data."""
        none = torch.zeros((0, spec.dim), dtype=spec.dtype, device=spec.device)
        return ParetoFlowState(no_rows(spec), None, none, none)

    def ready(self, spec: Spec, state: ParetoFlowState, pending: int) -> int:
        """Return a number without meaning: any number of designs can be sampled."""
        return _MANY

    def tell(self, spec: Spec, state: ParetoFlowState, seen: Seen, generator: torch.Generator) -> ParetoFlowState:
        """Remember data; models are trained when designs are asked for."""
        told = with_seen(state.told, seen)
        if not bool((seen.external & ~seen.failed).any()):
            return replace(state, told=told)
        return replace(state, told=told, models=None, designs=state.designs[:0])

    def result(self, spec: Spec, state: ParetoFlowState) -> Front | None:
        """Leave it to the optimizer: the Pareto set of what was told."""
        return None

    def ask(
        self, spec: Spec, state: ParetoFlowState, request: Request, generator: torch.Generator
    ) -> tuple[ParetoFlowState, Candidates]:
        """Return the best `request.n` designs that were not handed out yet; fewer where there are no others.

        Raises
        ------
        NotReadyError
            If there are fewer than 8 distinct points with values, or if all values are equal.
        """
        table = None
        if state.models is None:
            table = training_set(state.told, least=_LEAST, name="ParetoFlow")
            state = replace(state, models=self._train(spec, table, generator))
        for _ in range(_PASSES):
            if len(state.designs) >= request.n:
                break
            table = table or training_set(state.told, least=_LEAST, name="ParetoFlow")
            before = len(state.designs)
            state = self._sample(spec, state, table, request.n, generator)
            if len(state.designs) == before:
                break
        if not len(state.designs):  # a finite space, all of which was handed out
            state = replace(state, designs=state.given, given=state.given[:0])
        x, rest = state.designs[: request.n], state.designs[request.n :]
        context = {"predicted": _gains(spec, state, x), "known": among(x, state.told.x)}
        return replace(state, designs=rest, given=torch.cat([state.given, x])), Candidates(x, context)

    def _train(self, spec: Spec, table: TrainingSet, generator: torch.Generator) -> Models:
        predictors = self.predictors or _default_predictors(len(table))
        flow = self.flow or _default_flow(len(table))
        return fit_models(spec, table, predictors, flow, self.targets, self.pessimism, generator)

    def _sample(
        self, spec: Spec, state: ParetoFlowState, table: TrainingSet, n: int, generator: torch.Generator
    ) -> ParetoFlowState:
        """Return the state with the designs of one more pass of guided sampling, best first."""
        models = state.models
        assert models is not None
        guidance = self.guidance
        streams = make_streams(
            spec.n_objectives, guidance.streams, guidance.neighbours, width=guidance.cone_width, device=spec.device
        )
        rows = table.best(len(streams))
        data = table.x[rows]
        x, values = models.encode(spec, data), models.targets.apply(table.values[rows])
        start = assign(x, values, streams, Frame.of(values), self.guidance.scalarisation)
        sampled = sample_guided(
            models.flow.velocity, models.predict, start, streams, models.box(spec), self.guidance, generator
        )
        parts = [sampled.archive, Archive(sampled.elite.x, sampled.elite.values)]
        way = sampled.way
        if self.refinement:
            best = Archive(*(torch.cat([getattr(part, name) for part in parts]) for name in ("x", "values")))
            parts += self._evolved(spec, models, best, (1,), generator)
            way = way + self._evolved(spec, models, start, _STATIONS, generator)
        return self._arrange(spec, state, [*parts, *way], len(parts), data, n, generator)

    def _evolved(
        self, spec: Spec, models: Models, first: Archive, parts: tuple[int, ...], generator: torch.Generator
    ) -> list[Archive]:
        """Return populations of evolution on the predictors that starts from the best of some designs."""
        size = max(2, min(len(first.x), max(self.designs, self.guidance.streams)))
        x = models.decode(spec, first.x[survive_nsga2(first.values, min(size, len(first.x)))[0]])
        predict = models.predict_at(spec)
        stops, _ = evolve(spec, NSGA2(population_size=size), x, self.refinement, predict, generator, parts)
        return [Archive(models.encode(spec, x), predict(x)) for x in stops]

    def _arrange(
        self,
        spec: Spec,
        state: ParetoFlowState,
        parts: list[Archive],
        ahead: int,
        data: Tensor,
        n: int,
        generator: torch.Generator,
    ) -> ParetoFlowState:
        """Return the state with found designs decoded, without repetitions, best first, before those left over.

        The first `ahead` of the parts are the ends of the way, the others its stations. `data` are the points of the
        data that streams start from, shape (k, d): what comes back to one of them is that point, exactly.
        """
        models = state.models
        assert models is not None
        z, values, level = _gathered(parts, ahead)
        if not self.known:
            fresh = (torch.cdist(z, models.encode(spec, data)) > _NEAR_DUPLICATE).all(-1)
            z, values, level = z[fresh], values[fresh], level[fresh]
        rows = distinct(z, _NEAR_DUPLICATE)
        z, values, level = z[rows], values[rows], level[rows]
        away, nearest = _distances(z, models.encode(spec, data)).min(-1)
        x = torch.where((away < _ROUNDING).unsqueeze(-1), data[nearest], models.decode(spec, z))
        if not spec.space.is_real:  # what is handed out is the nearest level: predict that
            values = models.predict_at(spec)(x)
        together = torch.cat([state.given, state.designs, x])
        rows = distinct(together)
        taken = len(state.given) + len(state.designs)
        rows = rows[rows >= taken] - taken
        if not len(rows):
            return state
        x, values, level = x[rows], models.targets.invert(values[rows]), level[rows]
        low, high = state.told.values.to(torch.float64).aminmax(dim=0)
        scaled = (values / 2 - low / 2) / torch.where(high > low, high / 2 - low / 2, 1.0)
        count = max(n, self.designs)
        order = hedged_order(scaled, level, count, self.hedge, self.selection, generator)
        return replace(state, designs=torch.cat([state.designs, x[order]]))


def _gains(spec: Spec, state: ParetoFlowState, x: Tensor) -> Tensor:
    """Return what is predicted at x, shape (n, m), standardised with the data; larger is better."""
    assert state.models is not None
    values = state.models.targets.invert(state.models.predict_at(spec)(x))
    return -Scaling.of(state.told.values).apply(values).to(x.dtype)


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """Return the largest differences of rows, shape (n, k), exact where rows all but agree."""
    return torch.cdist(a, b, p=math.inf, compute_mode="donot_use_mm_for_euclid_dist")


def _gathered(parts: list[Archive], ahead: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return designs, values, and how far on the way each is: 0 for the end of it, from 1 on for its stations."""
    levels = [0] * ahead + list(range(1, len(parts) - ahead + 1))
    level = [torch.full((len(p.x),), k, device=p.x.device) for p, k in zip(parts, levels, strict=True)]
    return torch.cat([p.x for p in parts]), torch.cat([p.values for p in parts]), torch.cat(level)


def _default_predictors(rows: int) -> EnsembleSettings:
    """Return predictors whose training takes about as many steps whatever the number of rows, within limits."""
    batch = min(512, max(32, 2 ** round(math.log2(max(1, rows / 64)))))
    large = rows > _LARGE
    epochs = min(200, max(13, round((1500 if large else 3000) * batch / max(1, rows))))
    return EnsembleSettings(
        hidden=(256, 256),
        activation="silu",
        members=1 if large else 2,
        epochs=epochs,
        batch_size=batch,
        learning_rate=3e-3 if large else 2e-3,
        decay=0.02 ** (1 / epochs),
        precision="auto",
    )


def _default_flow(rows: int) -> FlowSettings:
    batch = min(1024, max(32, 2 ** round(math.log2(max(1, rows / 32)))))
    return FlowSettings(epochs=min(200, max(8, round(500 * batch / max(1, rows)))), batch_size=batch, precision="auto")
