"""What ParetoFlow learns from a table: one coordinate system, predictors of the objectives, and a flow of designs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from blackbox.algorithm import Spec
from blackbox.algorithms.offline._data import TrainingSet
from blackbox.algorithms.offline._guidance import Box
from blackbox.surrogates.ensemble import Ensemble, EnsembleSettings, fit_ensemble
from blackbox.surrogates.flow import Flow, FlowSettings, fit_flow
from blackbox.surrogates.scaling import Scaling

__all__ = ["Models", "Targets", "fit_models"]

_NEAR = 0.1
_WIDE = 0.02
_FAR = 1e6
_FINEST = 1e-4
_MOST_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Targets:
    """Objectives as predictors see them: a monotone map of each, then mean 0 and deviation 1.

    With "log" the map of an objective that spans orders of magnitude is log(1 + (y - low) / near), linear below the
    least value `low`; `near` is how far the best tenth of the values lies above it. An objective spans orders of
    magnitude where that is less than a fiftieth of the whole range.

    Attributes
    ----------
    unit, low, near : Tensor, shape (m,), float64
        `low` and `near` in units of the largest absolute value, `unit`; `near` is infinite for a linear map.
    scaling : Scaling
    """

    unit: Tensor
    low: Tensor
    near: Tensor
    scaling: Scaling

    @classmethod
    def of(cls, values: Tensor, kind: Literal["standard", "log"]) -> Targets:
        """Return the map for values of shape (n, m)."""
        wide = values.to(torch.float64)
        unit = wide.abs().amax(0)
        unit = torch.where(unit > 0, unit, 1.0)
        relative = wide / unit
        low = relative.amin(0)
        excess = relative - low
        near = torch.full_like(low, torch.inf)
        if kind == "log":
            rows = excess[:: -(-len(excess) // _MOST_ROWS)]
            near = rows.quantile(_NEAR, dim=0)
            most = excess.amax(0)
            near = torch.where((most > 0) & (near < _WIDE * most), torch.maximum(near, _FINEST * most), torch.inf)
        made = cls(unit, low, near, Scaling(torch.zeros_like(low), torch.ones_like(low)))
        return cls(unit, low, near, Scaling.of(made._bend(wide)))

    def apply(self, values: Tensor) -> Tensor:
        """Return objectives of the user's units, shape (n, m), as targets, float32, within 1e6 deviations."""
        return self.scaling.apply(self._bend(values.to(torch.float64))).clamp(-_FAR, _FAR).to(torch.float32)

    def invert(self, targets: Tensor) -> Tensor:
        """Return targets, shape (n, m), in the user's units, float64."""
        bent = self.scaling.invert(targets.to(torch.float64))
        near = torch.where(self.near.isinf(), 1.0, self.near)
        excess = torch.where(bent > 0, bent.clamp_min(0.0).expm1(), bent) * near
        return torch.where(self.near.isinf(), bent, self.low + excess) * self.unit

    def _bend(self, values: Tensor) -> Tensor:
        relative = values / self.unit
        excess = (relative - self.low) / self.near
        bent = torch.where(excess > 0, excess.clamp_min(0.0).log1p(), excess)
        return torch.where(self.near.isinf(), relative, bent)


@dataclass(frozen=True, slots=True)
class Models:
    """Fitted models and the coordinates that they live in.

    Designs have three forms: x in the space's units, u in the unit cube, z = u standardised with the data.

    Attributes
    ----------
    inputs : Scaling
        Of the unit cube's columns.
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
        """Return designs of the space, shape (n, d), as z, float32."""
        return self.inputs.apply(spec.space.to_unit(x.to(torch.float64))).to(torch.float32)

    def decode(self, spec: Spec, z: Tensor) -> Tensor:
        """Return z, shape (n, d), as designs of the space, inside its bounds."""
        u = self.inputs.invert(z.to(torch.float64)).clamp(0.0, 1.0)
        x: Tensor = spec.space.from_unit(u.to(spec.dtype))
        return x

    def box(self) -> Box:
        """Return the unit cube in z; a column that is constant in the data stays what it is."""
        zero = torch.zeros_like(self.inputs.mean)
        varies = self.inputs.std > 0
        lower, upper = (torch.where(varies, self.inputs.apply(edge), 0.0).float() for edge in (zero, zero + 1.0))
        return Box(lower, upper)

    def predict(self, z: Tensor) -> Tensor:
        """Return what is predicted at z, shape (n, m), in units of the targets; differentiable."""
        members = self.predictors.predict_scaled(z)
        mean = members.mean(0)
        if self.pessimism and len(members) > 1:
            mean = mean + self.pessimism * (members - mean).square().mean(0).add(1e-12).sqrt()
        return mean


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
    u = spec.space.to_unit(table.x.to(torch.float64))
    inputs, outputs = Scaling.of(u), Targets.of(table.values, targets)
    z = inputs.apply(u).to(torch.float32)
    ensemble = fit_ensemble(z, outputs.apply(table.values), predictors, generator)
    # z and the targets are standardised already: what the ensemble's own scaling would do is nothing but rounding.
    return Models(inputs, outputs, ensemble, fit_flow(z, flow, generator), pessimism)
