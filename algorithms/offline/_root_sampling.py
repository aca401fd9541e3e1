"""How ROOT finds designs once it has learned: translations of good points, judged by functions of the data."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from blackbox.algorithms.offline._designs import among, first_of_each, one_changed, perturbed, spread_first
from blackbox.algorithms.offline._root_data import Standardised
from blackbox.algorithms.offline._root_settings import Proposing, Synthetic
from blackbox.algorithms.offline._root_training import Learned
from blackbox.surrogates.bridge import BridgeSampling
from blackbox.surrogates.posterior_draws import SmoothFunctions

__all__ = ["Sampler"]

_TRIES = 4  # of sampling, and of changing designs at random, until there are enough new ones
_KEPT = 8  # designs kept between rounds for each that is wanted


@dataclass(frozen=True)
class Sampler:
    """Finds designs for one request.

    Attributes
    ----------
    data : Standardised
    learned : Learned
    judges : list of SmoothFunctions
        Posterior means with several lengthscales and levels of noise.
    how : Proposing
    sampling : BridgeSampling
    known : Tensor, shape (k, d)
        Points of the data, where these may not be proposed.
    generator : torch.Generator
    """

    data: Standardised
    learned: Learned
    judges: list[SmoothFunctions]
    how: Proposing
    sampling: BridgeSampling
    known: Tensor
    generator: torch.Generator

    @classmethod
    def of(
        cls,
        data: Standardised,
        learned: Learned,
        synthetic: Synthetic,
        how: Proposing,
        sampling: BridgeSampling,
        told: Tensor,
        generator: torch.Generator,
    ) -> Sampler:
        """Return what samples from a trained bridge; its judges are conditioned on the data here."""
        middle, scale = (
            torch.tensor([(low + high) / 2], dtype=torch.float64)
            for low, high in (data.lengthscale(synthetic), synthetic.scale)
        )
        rows = data.rows(synthetic, torch.Generator(data.x.device).manual_seed(0))
        judges = [data.functions(middle * smooth, scale, noise * float(scale), rows) for smooth, noise in how.judges]
        return cls(data, learned, judges, how, sampling, told if how.novel else told[:0], generator)

    def designs(self, n: int, waiting: Tensor, handed: Tensor) -> tuple[Tensor, Tensor]:
        """Return designs and their predicted values, best first: n at least where there are so many, one in any case.

        Parameters
        ----------
        n : int
        waiting : Tensor, shape (p, d)
            Designs that were found before.
        handed : Tensor, shape (h, d)
            Designs that may not come again.
        """
        taken = torch.cat([handed, self.known])
        found = waiting
        for _ in range(_TRIES):
            found = self._translated_again(n, found, taken)
            if len(found) >= n:
                break
        for _ in range(_TRIES):
            if len(found) >= n:
                break
            near = found if len(found) else self.data.codes[self._best()]
            changed = perturbed(self.data.encoding.space, near, 4 * n, self.generator)
            found = fresh(torch.cat([found, changed]), taken)
        if not len(found):  # everything was handed out, or is in the data
            found = fresh(self._translate(self._best(), n), taken[:0])
        x, predicted = self.ranked(found)
        order = spread_first(self.data.encoding.space, x)
        return x[order], predicted[order]

    def held(self, n: int, fixed: Tensor, handed: Tensor) -> tuple[Tensor, Tensor]:
        """Return n designs at most, with the columns held that are not NaN in `fixed`, shape (d,)."""
        found = self._translate(self._best(), n)
        found = self.data.encoding.space.canonical(torch.where(fixed.isnan(), found, fixed))
        new = fresh(found, torch.cat([handed, self.known]))
        x, predicted = self.ranked(new if len(new) else fresh(found, handed[:0]))
        return x[:n], predicted[:n]

    def ranked(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return designs and their predicted values, in the order in which they are to be handed out.

        The judges choose in turn, each the best of what is left by its own prediction. The predicted value is the mean
        of the judges', each standardised over these designs, in the units of their mean.
        """
        points = self.data.encode(x)
        predictions = torch.cat([judge.mean(points) for judge in self.judges]).double()
        centre, spread = predictions.mean(1, keepdim=True), predictions.std(1, correction=0, keepdim=True)
        relative = (predictions - centre) / torch.where(spread > 0, spread, 1.0)
        mean = (relative.mean(0) * spread.mean() + centre.mean()).to(x.dtype)
        if not self.how.ranked:
            return x, mean
        places = predictions.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
        turns = places * len(self.judges) + torch.arange(len(self.judges), device=x.device)[:, None]
        order = turns.amin(0).argsort(stable=True)
        return x[order], mean[order]

    def _best(self) -> Tensor:
        """Return the best rows of the data."""
        return self.data.y.argsort(descending=True, stable=True)[: self.how.sources]

    def _translated_again(self, n: int, found: Tensor, taken: Tensor) -> Tensor:
        """Return the designs found and new ones: translations of the best points of the data, and of those in turn."""
        rows = self._best()
        found = fresh(torch.cat([found, self._translate(rows, n)]), taken)
        for _ in range(self.how.rounds - 1):
            if not len(found):
                break
            x, predicted = self.ranked(found)
            x, predicted = x[: _KEPT * n], predicted[: _KEPT * n]
            count = n * self.how.oversample
            further = [self._translate_points(self.data.encode(x), predicted.float(), count)]
            if self.how.neighbours:
                further.extend(self._neighbours(x[:n], count))
            found = fresh(torch.cat([x, *further]), taken)
        return found

    def _neighbours(self, x: Tensor, count: int) -> list[Tensor]:
        """Return designs near those of x: with one categorical column changed, and with changes at random."""
        space = self.data.encoding.space
        changed = [one_changed(space, x, 2 * count, self.generator)]
        return changed if self.data.encoding.is_sequence else [*changed, perturbed(space, x, count, self.generator)]

    def _translate(self, rows: Tensor, n: int) -> Tensor:
        """Return translations of rows of the data, for a batch of n."""
        return self._translate_points(self.data.x[rows], self.data.y[rows], n * self.how.oversample)

    def _translate_points(self, low: Tensor, value: Tensor, count: int) -> Tensor:
        """Return so many translations: of each of the points in turn, shape (count, d)."""
        rows = torch.arange(count, device=low.device) % len(low)
        low, value = low[rows], value[rows]
        high = self.learned.bridge.sample(low, value, self._wanted(value), self.sampling, self.generator)
        return self.data.decode(high)

    def _wanted(self, value: Tensor) -> Tensor:
        """Return the standardised values to ask for, shape (n,)."""
        if self.how.target is not None:
            return torch.full_like(value, self.how.target)
        if self.how.best_possible is not None:
            best = self.data.outputs.mean.new_tensor([[self.how.best_possible]])
            return torch.full_like(value, -0.8 * float(self.data.outputs.apply(best)))
        shares = torch.rand(value.shape, generator=self.generator, device=value.device)
        return (0.2 + 0.8 * shares) * self.learned.reach


def fresh(x: Tensor, taken: Tensor) -> Tensor:
    """Return the designs that are not taken, each once, in order."""
    x = x[first_of_each(x)]
    return x[~among(x, taken)]
