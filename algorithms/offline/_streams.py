"""The weight vectors of ParetoFlow, one a stream of designs: neighbours, cones, and what a prediction is worth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from blackbox.algorithms.evolutionary.ranking import ranks
from blackbox.algorithms.evolutionary.reference import das_dennis, das_dennis_size, simplex_directions

__all__ = ["Frame", "Scalarisation", "Streams", "alignment", "make_streams", "worth"]

Scalarisation = Literal["weighted_sum", "tchebycheff", "ray"]

_SMALL = 1e-3  # in place of weights and gains of zero
_AUGMENT = 0.02
_MARGIN = 0.05


@dataclass(frozen=True, slots=True)
class Streams:
    """Weights and what follows from them.

    Attributes
    ----------
    weights : Tensor, shape (N, m)
        On the simplex; none is zero.
    neighbours : Tensor, shape (N, K), int64
        The K weights with the largest cosine, itself first.
    cone : Tensor, shape (N,)
        The cosine of half the opening angle: a vector is inside where its cosine with the weight is no less.
    """

    weights: Tensor
    neighbours: Tensor
    cone: Tensor

    def __len__(self) -> int:
        return len(self.weights)


@dataclass(frozen=True, slots=True)
class Frame:
    """Where the front lies: the corners that gains are measured between.

    Attributes
    ----------
    ideal, nadir : Tensor, shape (m,)
    """

    ideal: Tensor
    nadir: Tensor

    @classmethod
    def of(cls, values: Tensor) -> Frame:
        """Return the frame of the non-dominated rows of values of shape (n, m), a little wider than they are.

        Wider, because a stream at the end of the front would have nothing to gain beyond it otherwise, and the front
        would shrink from its ends.
        """
        front = values[ranks(values, stop=1) == 0]
        ideal, nadir = front.amin(0), front.amax(0)
        least = 1e-3 * (values.amax(0) - values.amin(0)) + 1e-4 * ideal.abs() + 1e-3  # never lost in rounding
        margin = _MARGIN * torch.maximum(nadir - ideal, least)
        return cls(ideal - margin, nadir + margin)

    def gain(self, values: Tensor) -> Tensor:
        """Return (nadir - f) / (nadir - ideal), shape (..., m): 0 at the nadir, 1 at the ideal point."""
        return (self.nadir - values) / (self.nadir - self.ideal)


def make_streams(m: int, count: int, neighbours: int | None, *, width: float = 1.0, device: torch.device) -> Streams:
    """Return at least `count` evenly spread weights (as many where a lattice would be twice that), float32.

    Parameters
    ----------
    m : int
        Objectives.
    count : int
        The Das-Dennis lattice with the fewest divisions that has so many rows is taken. For many objectives a
        lattice grows in leaps; where it had more than twice as many rows, two layers with at most that many are.
    neighbours : int, optional
        Default m + 1, itself included.
    width : float, default 1
        What the opening angles are multiplied by.

    References
    ----------
    Y. Yuan et al., ParetoFlow: guided flows in multi-objective optimization, 2025, sections 3.1 and 4.3. Deviation:
    their code counts a weight as its own neighbour in the mean angle and divides by m.
    """
    divisions = 1
    while das_dennis_size(m, divisions) < count:
        divisions += 1
    if das_dennis_size(m, divisions) <= 2 * count:
        weights = das_dennis(m, divisions, dtype=torch.float32, device=device)
    else:
        weights = simplex_directions(2 * count, m, dtype=torch.float32, device=device)[0]
    weights = weights.clamp_min(_SMALL)
    weights = weights / weights.sum(-1, keepdim=True)
    unit = weights / weights.norm(dim=-1, keepdim=True)
    cosine = (unit @ unit.mT).fill_diagonal_(2.0)
    order = cosine.topk(min(max(m, (neighbours or m + 1) - 1) + 1, len(weights)))
    angles = order.values[:, 1 : m + 1].clamp(-1.0, 1.0).acos()
    opening = width * angles.mean(-1) if angles.shape[1] else torch.full_like(weights[:, 0], math.pi)
    cone = opening.clamp_max(math.pi).cos()
    return Streams(weights, order.indices[:, : neighbours or m + 1], cone)


def worth(values: Tensor, weights: Tensor, frame: Frame, kind: Scalarisation) -> Tensor:
    """Return what values are worth for weights, shape (...); larger is better, differentiable.

    Parameters
    ----------
    values : Tensor, shape (..., m)
        Minimised.
    weights : Tensor, shape (..., m)
    frame : Frame
    kind : {"weighted_sum", "tchebycheff", "ray"}
        "weighted_sum": -w . f, whose optima on a concave front are its ends only. "tchebycheff": -max_j f'_j / w_j with
        the loss f' = 1 - gain, which is proportional to w at the optimum. "ray": min_j gain_j / w_j, so that the gain
        is proportional to w there. The last two with a small multiple of the mean, so that no optimum is dominated.
    """
    if kind == "weighted_sum":
        return -(weights * values).sum(-1)
    gain = frame.gain(values)
    if kind == "tchebycheff":
        return ((gain - 1.0) / weights).amin(-1) / weights.shape[-1] + _AUGMENT * gain.mean(-1)
    return (gain / weights).amin(-1) / weights.shape[-1] + _AUGMENT * gain.mean(-1)


def alignment(values: Tensor, weights: Tensor, frame: Frame, kind: Scalarisation, *, centred: bool = False) -> Tensor:
    """Return the cosine of weights and what they ask for, shape (...).

    Parameters
    ----------
    values, weights : Tensor, shape (..., m)
    frame : Frame
    kind : {"weighted_sum", "tchebycheff", "ray"}
        With "tchebycheff" the loss of the frame is aligned, otherwise its gain: clipped at a small positive value.
    centred : bool, default False
        Whether -f is aligned, as published: a gain relative to the mean of the data where values are standardised.
    """
    vector = -values
    if not centred:
        gain = frame.gain(values)
        vector = (1.0 - gain if kind == "tchebycheff" else gain).clamp_min(_SMALL)
    length: Tensor = vector.norm(dim=-1) * weights.norm(dim=-1)
    return (vector * weights).sum(-1) / length.clamp_min(math.sqrt(torch.finfo(values.dtype).tiny))
