"""A training set as ROOT sees it: standardised features and values, and the functions that agree with them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from blackbox.algorithm import Spec
from blackbox.algorithms.offline._data import TrainingSet
from blackbox.algorithms.offline._root_settings import Interval, Synthetic
from blackbox.errors import NotReadyError
from blackbox.surrogates.encoding import Encoding
from blackbox.surrogates.posterior_draws import SmoothFunctions, draw_posteriors
from blackbox.surrogates.scaling import Scaling
from blackbox.surrogates.sequence_draws import Table, draw_sequence_posteriors

__all__ = ["Standardised"]

_DENSE_ROWS = 4000
_TABLE_FROM = 1500  # rows from which a table of sequences is faster than a factorisation
_FEW = 3000  # the same where only some of the rows serve
_SAMPLE = 1000  # rows that the median distance is taken over


@dataclass(frozen=True)
class Standardised:
    """Features and values of a training set with mean 0 and deviation 1 in each column; larger values are better.

    Attributes
    ----------
    encoding : Encoding
    inputs, outputs : Scaling
        Of the features, and of the values as they were told.
    x : Tensor, shape (n, D), float32
    codes : Tensor, shape (n, d)
        The same points in the space's own units.
    y : Tensor, shape (n,), float32
    """

    encoding: Encoding
    inputs: Scaling
    outputs: Scaling
    x: Tensor
    codes: Tensor
    y: Tensor

    @classmethod
    def of(cls, spec: Spec, data: TrainingSet) -> Standardised:
        """Return a training set, standardised.

        Raises
        ------
        NotReadyError
            If its values are too close to each other to be told apart.
        """
        encoding = Encoding(spec.space)
        features = encoding.encode(data.x.to(torch.float64))
        inputs, outputs = Scaling.of(features), Scaling.of(data.values)
        if not bool(outputs.std[0] > 0):
            raise NotReadyError(
                f"the values differ by rounding only (around {float(outputs.mean[0]):g}), so there is nothing to "
                "learn; tell points with other values: optimizer.tell(space.batch(x), values)"
            )
        y = -outputs.apply(data.values.to(torch.float64))[:, 0]
        return cls(encoding, inputs, outputs, inputs.apply(features).float(), data.x, y.float())

    def decode(self, features: Tensor) -> Tensor:
        """Return standardised features, shape (q, D), as points of the space, inside its bounds."""
        return self.encoding.decode(self.inputs.invert(features.to(torch.float64))).to(self.codes.dtype)

    def encode(self, x: Tensor) -> Tensor:
        """Return points of the space, shape (q, d), as standardised features, float32."""
        return self.inputs.apply(self.encoding.encode(x.to(torch.float64))).float()

    @cached_property
    def table(self) -> Table | None:
        """The table of all sequences, where there is one and it pays."""
        if not self.encoding.is_sequence or len(self.x) < _TABLE_FROM:
            return None
        levels, start = [], 0
        mean, std = self.inputs.mean, torch.where(self.inputs.std > 0, self.inputs.std, 1.0)
        for count in self.encoding.levels:
            place = slice(start, start + count - 1)
            levels.append(((self.encoding.codebook(count, mean) - mean[place]) / std[place]).float())
            start += count - 1
        return Table.of(levels)

    def rows(self, settings: Synthetic, generator: torch.Generator) -> Tensor | None:
        """Return the rows that condition functions, shape (r,); None for all."""
        most = settings.rows or (len(self.x) if self.table is not None else _DENSE_ROWS)
        if most >= len(self.x):
            return None
        return torch.randperm(len(self.x), generator=generator, device=self.x.device)[:most]

    def functions(
        self, lengthscale: Tensor, scale: Tensor, noise: float, rows: Tensor | None = None
    ) -> SmoothFunctions:
        """Return the posterior means of S pairs of hyper-parameters, each of shape (S,)."""
        x, codes, y = (t if rows is None else t[rows] for t in (self.x, self.codes, self.y))
        few = rows is not None and len(x) < _FEW  # other rows for every epoch: the table would be made anew for each
        if self.table is not None and not few:
            return draw_sequence_posteriors(self.table, self.table.cells(codes), y, lengthscale, scale, noise=noise)
        return draw_posteriors(x, y, lengthscale, scale, noise=noise)

    def lengthscale(self, settings: Synthetic) -> Interval:
        """Return the interval that lengthscales are drawn from."""
        if settings.lengthscale is not None:
            return settings.lengthscale
        sample = self.x[:: max(1, len(self.x) // _SAMPLE)]
        distances = torch.pdist(sample)
        apart = distances[distances > 0]
        middle = float(apart.median()) if len(apart) else 1.0
        return 0.9 * middle, 1.1 * middle
