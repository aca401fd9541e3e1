"""What ParetoFlow learns from a table: one coordinate system, predictors of the objectives, and a flow of designs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from blackbox.algorithm import Spec
from blackbox.algorithms.offline._data import TrainingSet
from blackbox.algorithms.offline._guidance import Box
from blackbox.surrogates.encoding import Encoding
from blackbox.surrogates.ensemble import Ensemble, EnsembleSettings, fit_ensemble
from blackbox.surrogates.flow import Flow, FlowSettings, fit_flow
from blackbox.surrogates.scaling import Scaling

__all__ = ["Models", "Targets", "fit_models"]

_NEAR = 0.1
_WIDE = 0.02
_FAR = 1e6
_LARGEST = 60.0  # a logarithm
_FINEST = 1e-4
_MOST_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Targets:
    """Objectives as predictors see them: a monotone map of each, then mean 0 and deviation 1.

    With "log" the map of an objective whose values crowd at one end of their range is a logarithm of the distance to
    that end. At the lower end it is log(1 + (y - least) / near), where `near` is how far the nearest tenth of the
    values lies from it; at the upper one -log(1 + (greatest - y) / near). It is linear beyond the end. Values crowd at
    an end where `near` is less than a fiftieth of the range.

    Attributes
    ----------
    unit, edge, near, side : Tensor, shape (m,), float64
        `edge`, the end, and `near` in units of the largest absolute value, `unit`; `near` is infinite for a linear
        map; `side` is 1 at the lower end and -1 at the upper one.
    scaling : Scaling
    """

    unit: Tensor
    edge: Tensor
    near: Tensor
    side: Tensor
    scaling: Scaling

    @classmethod
    def of(cls, values: Tensor, kind: Literal["standard", "log"]) -> Targets:
        """Return the map for values of shape (n, m)."""
        wide = values.to(torch.float64)
        unit = wide.abs().amax(0)
        unit = torch.where(unit > 0, unit, 1.0)
        relative = wide / unit
        low, high = relative.aminmax(dim=0)
        side, near = torch.ones_like(low), torch.full_like(low, torch.inf)
        if kind == "log":
            rows = relative[:: -(-len(relative) // _MOST_ROWS)]
            crowded = _WIDE * (high - low)
            from_low, from_high = (rows.quantile(q, dim=0) for q in (_NEAR, 1.0 - _NEAR))
            from_low, from_high = from_low - low, high - from_high
            side = torch.where((from_low >= crowded) & (from_high < crowded), -1.0, 1.0)
            least = torch.where(side > 0, from_low, from_high)
            near = torch.where(least < crowded, torch.maximum(least, _FINEST * (high - low)), torch.inf)
        edge = torch.where(side > 0, low, high)
        made = cls(unit, edge, near, side, Scaling(torch.zeros_like(low), torch.ones_like(low)))
        return cls(unit, edge, near, side, Scaling.of(made._bend(wide)))

    def apply(self, values: Tensor) -> Tensor:
        """Return objectives of the user's units, shape (n, m), as targets, float32, within 1e6 deviations."""
        return self.scaling.apply(self._bend(values.to(torch.float64))).clamp(-_FAR, _FAR).to(torch.float32)

    def invert(self, targets: Tensor) -> Tensor:
        """Return targets, shape (n, m), in the user's units, float64."""
        bent = self.scaling.invert(targets.to(torch.float64))
        near = torch.where(self.near.isinf(), 1.0, self.near)
        inward = bent * self.side
        inward = torch.where(inward > 0, inward.clamp(0.0, _LARGEST).expm1(), inward)
        return torch.where(self.near.isinf(), bent, self.edge + self.side * inward * near) * self.unit

    def _bend(self, values: Tensor) -> Tensor:
        relative = values / self.unit
        inward = self.side * (relative - self.edge) / self.near
        inward = torch.where(inward > 0, inward.clamp_min(0.0).log1p(), inward)
        return torch.where(self.near.isinf(), relative, self.side * inward)


@dataclass(frozen=True, slots=True)
class Models:
    """Fitted models and the coordinates that they live in.

    Designs have three forms: x in the space's units; features u, which are coordinates in the unit cube and the
    logits of categorical columns (`Encoding`); and z = u standardised with the data.

    Attributes
    ----------
    inputs : Scaling
        Of the features, D of them.
    targets : Targets
    predictors : Ensemble
        Of targets, at z.
    flow : Flow
        Of z.
    pessimism : float
        How many standard deviations of its members are added to a prediction.
    """

    inputs: Scaling
    targets: Targets
    predictors: Ensemble
    flow: Flow
    pessimism: float = 0.0

    def encode(self, spec: Spec, x: Tensor) -> Tensor:
        """Return designs of the space, shape (n, d), as z, shape (n, D), float32."""
        return self.inputs.apply(Encoding(spec.space).encode(x.to(torch.float64))).to(torch.float32)

    def decode(self, spec: Spec, z: Tensor) -> Tensor:
        """Return z, shape (n, D), as designs of the space, inside its bounds."""
        return Encoding(spec.space).decode(self.inputs.invert(z.to(torch.float64)).to(spec.dtype))

    def box(self, spec: Spec) -> Box:
        """Return the bounds of the features in z; a feature that is constant in the data stays what it is."""
        encoding = Encoding(spec.space)
        low, high = torch.zeros_like(self.inputs.mean), torch.ones_like(self.inputs.mean)
        start = len(encoding.plain)
        for count in encoding.levels:
            table = encoding.codebook(count, low)
            low[start : start + count - 1], high[start : start + count - 1] = table.amin(), table.amax()
            start += count - 1
        varies = self.inputs.std > 0
        lower, upper = (torch.where(varies, self.inputs.apply(edge), 0.0).float() for edge in (low, high))
        return Box(lower, upper)

    def predict(self, z: Tensor) -> Tensor:
        """Return what is predicted at z, shape (n, m), in units of the targets; differentiable."""
        members = self.predictors.predict_scaled(z)
        mean = members.mean(0)
        if self.pessimism and len(members) > 1:
            mean = mean + self.pessimism * (members - mean).square().mean(0).add(1e-12).sqrt()
        return mean

    def predict_at(self, spec: Spec) -> Callable[[Tensor], Tensor]:
        """Return what predicts at designs of the space, shape (n, d) to (n, m), without a gradient."""

        def predict(x: Tensor) -> Tensor:
            with torch.no_grad():
                return self.predict(self.encode(spec, x))

        return predict


def fit_models(
    spec: Spec,
    table: TrainingSet,
    predictors: EnsembleSettings,
    flow: FlowSettings,
    targets: Literal["standard", "log"],
    pessimism: float,
    generator: torch.Generator,
) -> Models:
    """Return the models of a table of distinct rows."""
    u = Encoding(spec.space).encode(table.x.to(torch.float64))
    inputs, outputs = Scaling.of(u), Targets.of(table.values, targets)
    z = inputs.apply(u).to(torch.float32)
    ensemble = fit_ensemble(z, outputs.apply(table.values), predictors, generator)
    # z and the targets are standardised already: what the ensemble's own scaling would do is nothing but rounding.
    return Models(inputs, outputs, ensemble, fit_flow(z, flow, generator), pessimism)
