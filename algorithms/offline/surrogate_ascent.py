"""Gradient ascent on a learned surrogate: the baseline that exploits its model most."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from blackbox._arguments import whole_number
from blackbox.algorithm import Candidates, Capabilities, Front, Request, Seen, Spec
from blackbox.algorithms.evolutionary.population import check_number
from blackbox.algorithms.offline._data import TrainingSet, with_seen
from blackbox.algorithms.offline._proposals import MANY, ProposalState, hand_out, predicted, start
from blackbox.errors import SettingError
from blackbox.surrogates.encoding import Encoding
from blackbox.surrogates.ensemble import Ensemble, EnsembleSettings

__all__ = ["SurrogateAscent"]

_STOPS = 20  # points kept of each walk, for where many walks end at one point


@dataclass(frozen=True, slots=True, kw_only=True)
class SurrogateAscent:
    """Improve the best points of the data along the gradient of an ensemble of networks; a baseline.

    One objective; real, integer, ordinal, categorical and conditional columns. The steps are taken in standardised
    features (`blackbox.surrogates.encoding`: the unit cube, soft logits for categorical columns) and kept inside the
    bounds. The first `ask` after data trains. The column "predicted" of `batch.context` is the predicted value,
    standardised, larger is better; "known" marks rows of the data. O(steps n h^2) time for hidden width h.

    Parameters
    ----------
    batch_size : int, default 128
        What `ask()` hands out.
    steps : int, default 100
        Steps of each walk.
    step_size : float, default 0.05
        Of a step, in standard deviations of a feature (for "plain", times the gradient).
    method : {"adam", "plain"}, default "adam"
        Adam's steps, or the gradient itself.
    ensemble : EnsembleSettings, optional
        Default: 3 members of 2 x 256 units, at most 100 epochs, patience 20; from 20000 rows on larger batches, and
        the fewer epochs the more rows there are.

    Raises
    ------
    NotReadyError
        By `ask`: without data, with fewer than 2 distinct usable points, or if all values are equal.

    References
    ----------
    Trabucco, Geng, Kumar, Levine, *Design-Bench*, ICML 2022 (the baseline "gradient ascent"). Deviations: the mean of
    an ensemble, and designs stay inside the bounds.

    Examples
    --------
    >>> import blackbox as bb
    >>> space = bb.Space.box([0, 0], [1, 1])
    >>> small = SurrogateAscent(ensemble=EnsembleSettings(hidden=(16,), epochs=20), steps=10)
    >>> optimizer = bb.Optimizer(space, small, seed=0)
    >>> x = torch.rand((50, 2), generator=torch.Generator().manual_seed(0))
    >>> optimizer.tell(space.batch(x), x.sum(1)).n_failed
    0
    >>> len(optimizer.ask(4))
    4
    """

    batch_size: int = 128
    steps: int = 100
    step_size: float = 0.05
    method: Literal["adam", "plain"] = "adam"
    ensemble: EnsembleSettings | None = None

    def __post_init__(self) -> None:
        whole_number(self.batch_size, "batch_size", 1)
        if self.ensemble is not None and not isinstance(self.ensemble, EnsembleSettings):
            raise SettingError(f"ensemble: expected EnsembleSettings or None, got {self.ensemble!r}")
        whole_number(self.steps, "steps", 1)
        check_number("step_size", self.step_size, 0, 1e6)
        if self.method not in ("adam", "plain"):
            raise SettingError(f'method: expected "adam" or "plain", got {self.method!r}')

    @property
    def capabilities(self) -> Capabilities:
        """One objective, no constraints, any kind of parameter; a data set is needed."""
        return Capabilities(natural_batch=self.batch_size, needs_data=True, single_precision=False)

    def init(self, spec: Spec, generator: torch.Generator) -> ProposalState:
        """Return the state without data."""
        return start(spec)

    def ready(self, spec: Spec, state: ProposalState, pending: int) -> int:
        """Return a number without meaning: any batch can be made."""
        return MANY

    def tell(self, spec: Spec, state: ProposalState, seen: Seen, generator: torch.Generator) -> ProposalState:
        """Add to the data."""
        return replace(state, told=with_seen(state.told, seen))

    def ask(
        self, spec: Spec, state: ProposalState, request: Request, generator: torch.Generator
    ) -> tuple[ProposalState, Candidates]:
        """Train where there are new data, walk uphill, and hand out the best predicted designs."""
        return hand_out(
            spec,
            state,
            request,
            generator,
            name="SurrogateAscent",
            settings=self.ensemble,
            search=self._search,
            batch_size=self.batch_size,
        )

    def result(self, spec: Spec, state: ProposalState) -> Front | None:
        """Leave it to the optimizer."""
        return None

    def _search(self, spec: Spec, rows: TrainingSet, ensemble: Ensemble, n: int, generator: torch.Generator) -> Tensor:
        """Return the ends of walks from the n best points of the data, then points on the way; best predicted first."""
        encoding = Encoding(spec.space)
        features = encoding.encode(rows.x[rows.best(n)])
        stops = self._walk(ensemble, features, len(encoding.plain))
        found = []
        for points in (stops[-1], torch.cat(stops[:-1])) if len(stops) > 1 else stops:
            x = encoding.decode(ensemble.inputs.invert(points))
            found.append(x[predicted(spec.space, ensemble, x)[:, 0].argsort(stable=True)])
        return torch.cat(found)

    def _walk(self, ensemble: Ensemble, features: Tensor, plain: int) -> list[Tensor]:
        """Return some stops of the walks in standardised features; the first `plain` columns stay in the unit cube."""
        z = ensemble.inputs.apply(features)
        bounds = torch.zeros_like(features[:1]), torch.ones_like(features[:1])
        low, high = (ensemble.inputs.apply(bound)[:, :plain] for bound in bounds)
        first, second = torch.zeros_like(z), torch.zeros_like(z)
        stops: list[Tensor] = []
        for step in range(1, self.steps + 1):
            z = z.detach().requires_grad_()
            (slope,) = torch.autograd.grad(ensemble.predict_scaled(z).mean(0).sum(), z)
            z = z.detach()
            if self.method == "adam":
                first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope.square()
                slope = first / (1 - 0.9**step) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
            z = z - self.step_size * slope
            z[:, :plain] = torch.minimum(torch.maximum(z[:, :plain], low), high)
            if step == self.steps or step % max(1, self.steps // _STOPS) == 0:
                stops.append(z)
        return stops
