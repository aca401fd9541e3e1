"""What ParetoFlow keeps while it samples: the best design of each stream, and the best designs of all."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from blackbox.algorithms.evolutionary.survival import survive_nsga2
from blackbox.algorithms.offline._streams import Frame, Scalarisation, Streams, worth

__all__ = ["Archive", "Elite", "assign"]


@dataclass(frozen=True, slots=True)
class Archive:
    """One design a stream.

    Attributes
    ----------
    x : Tensor, shape (N, d)
        In the units of the model.
    values : Tensor, shape (N, m)
        Measured or predicted, to be minimised.
    """

    x: Tensor
    values: Tensor

    def improved(self, x: Tensor, values: Tensor, streams: Streams, frame: Frame, kind: Scalarisation) -> Archive:
        """Return the archive in which a slot holds the new design where that is worth more in this frame."""
        new, old = (worth(v, streams.weights, frame, kind) for v in (values, self.values))
        better = (new > old).unsqueeze(-1)
        return Archive(torch.where(better, x, self.x), torch.where(better, values, self.values))


def assign(x: Tensor, values: Tensor, streams: Streams, frame: Frame, kind: Scalarisation) -> Archive:
    """Return the archive to start with: in the order of the streams, the best remaining point for each.

    Parameters
    ----------
    x : Tensor, shape (n, d)
        The best points of the data.
    values : Tensor, shape (n, m)
        Measured. Where there are fewer than N points, they are dealt out again.
    """
    table = worth(values.unsqueeze(0), streams.weights.unsqueeze(1), frame, kind)
    left = table.clone()
    chosen = []
    for stream in range(len(streams)):
        if stream % len(x) == 0:
            left = table.clone()
        row = left[stream].argmax()
        left[:, row] = -torch.inf
        chosen.append(row)
    rows = torch.stack(chosen)
    return Archive(x[rows], values[rows])


class Elite:
    """The best designs seen, by non-dominated fronts and crowding distance, at most `size` of them.

    Parameters
    ----------
    x : Tensor, shape (n, d)
    values : Tensor, shape (n, m)
    size : int
    """

    def __init__(self, x: Tensor, values: Tensor, size: int) -> None:
        self.x, self.values, self._size = x, values, size
        self._waiting: list[tuple[Tensor, Tensor]] = []
        self._n_waiting = 0

    def add(self, x: Tensor, values: Tensor) -> None:
        """Add designs; they compete once there are as many as the set may hold."""
        self._waiting.append((x, values))
        self._n_waiting += len(x)
        if self._n_waiting >= self._size:
            self.settle()

    def settle(self) -> None:
        """Let what was added compete."""
        x = torch.cat([self.x, *(part[0] for part in self._waiting)])
        values = torch.cat([self.values, *(part[1] for part in self._waiting)])
        self._waiting, self._n_waiting = [], 0
        rows = survive_nsga2(values, min(self._size, len(x)))[0]
        self.x, self.values = x[rows], values[rows]
