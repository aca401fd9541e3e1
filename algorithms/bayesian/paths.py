"""Functions drawn from the posterior of a Gaussian process, as closed forms with gradients.

A draw is a draw of the prior by random features, corrected by the data exactly (Matheron's rule). The features are
products of one factor a column, each with the column's kernel as its expected product:

- smooth columns together: sqrt(2) cos(w . x + b) with w from the spectrum of Matern-5/2;
- a categorical column, whose kernel is c + (1 - c) [a = b]: 1 with probability c, else a random sign a level;
- a conditional column: 1 with probability rho; else its own factor with a random sign where it is active, another
  random sign where it is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from blackbox.surrogates.gaussian_process import GaussianProcess
from blackbox.surrogates.kernels import Array, Cross, Hyperparameters, Index, Layout, relatedness

__all__ = ["Features", "Paths"]


@dataclass(frozen=True, slots=True)
class _Conditional:
    """The factor of one conditional column in each feature; arrays of shape (f,) or (levels, f)."""

    column: int
    constant: Array  # 1 where the factor is 1, else 0
    off: Array  # the factor where the column is inactive
    sign: Array
    frequency: Array  # of smooth columns
    phase: Array
    levels: Array | None  # of categorical columns

    def __call__(self, values: Array) -> tuple[Array, Array]:
        """Return the factor and its derivative, each of shape (q, f)."""
        active = ~np.isnan(values)
        x = np.where(active, values, 0.0)
        if self.levels is not None:
            on, bend = self.levels[x.astype(np.intp)] * self.sign, np.zeros((len(x), len(self.sign)))
        else:
            angle = x[:, None] * self.frequency + self.phase
            on = np.sqrt(2.0) * self.sign * np.cos(angle)
            bend = -np.sqrt(2.0) * self.sign * self.frequency * np.sin(angle)
        factor = np.where(active[:, None], on, self.off)
        slope = np.where(active[:, None], bend, 0.0)
        return self.constant + (1.0 - self.constant) * factor, (1.0 - self.constant) * slope


class Features:
    """Random features of a covariance: the expectation of their inner product is the covariance.

    Parameters
    ----------
    n : int
        How many.
    layout, hyper
        Of the covariance.
    levels : int
        More than the largest level index of a categorical column.
    random : numpy Generator
    """

    def __init__(
        self, n: int, layout: Layout, hyper: Hyperparameters, levels: int, random: np.random.Generator
    ) -> None:
        self._layout, self.n = layout, n
        columns = layout.smooth
        self._frequency = _matern_spectrum(n, len(columns), random) / hyper.lengthscale[columns]
        if layout.ripple is not None:  # the spectrum of a sum is a mixture
            self._frequency[random.random(n) < layout.ripple.share] /= layout.ripple.ratio
        self._phase = random.uniform(0.0, 2.0 * np.pi, n)
        self._size = np.sqrt((2.0 if len(columns) else 1.0) * hyper.scale / n)
        self._levels: list[Array] = []
        for c in layout.levels:
            self._levels.append(_level_factors(n, levels, float(np.exp(-1.0 / hyper.lengthscale[c])), random))
        self._related = []  # one normal factor a level, correlated as the levels are
        for loadings in hyper.loadings:
            root = np.linalg.cholesky(relatedness(loadings) + 1e-9 * np.eye(len(loadings)))
            self._related.append(root @ random.standard_normal((len(loadings), n)))
        self._switched = []
        for j, c in enumerate(layout.switched):
            length = hyper.lengthscale[c]
            table = None
            if layout.categorical[c]:
                table = _level_factors(n, levels, float(np.exp(-1.0 / length)), random)
            self._switched.append(
                _Conditional(
                    int(c),
                    (random.random(n) < hyper.rho[j]).astype(np.float64),
                    random.choice([-1.0, 1.0], n),
                    random.choice([-1.0, 1.0], n),
                    _matern_spectrum(n, 1, random)[:, 0] / length,
                    random.uniform(0.0, 2.0 * np.pi, n),
                    table,
                )
            )

    def __call__(self, x: Array) -> Array:
        """Return the features of model points, shape (q, n)."""
        return self._wave(x) * self._rest(x)

    def slopes(self, x: Array, weights: Array) -> tuple[Array, Array]:
        """Return features @ weights point by point, shape (q,), and gradients, shape (q, d).

        Parameters
        ----------
        weights : array, shape (q, n)
            One row a point.
        """
        wave, bend = self._wave(x), self._wave_slope(x)
        rest = self._rest(x)
        gradient = np.zeros(x.shape)
        columns = self._layout.smooth
        if len(columns):
            gradient[:, columns] = (weights * bend * rest) @ self._frequency
        for j, factor in enumerate(self._switched):
            if factor.levels is None:
                slope = factor(x[:, factor.column])[1]
                gradient[:, factor.column] = (weights * wave * self._rest(x, without=j) * slope).sum(1)
        return np.einsum("qf,qf->q", wave * rest, weights), gradient

    def _wave(self, x: Array) -> Array:
        columns = self._layout.smooth
        if not len(columns):
            return np.full((len(x), self.n), self._size)
        angle = torch.from_numpy(x[:, columns] @ self._frequency.T + self._phase)
        wave: Array = (angle.cos_() * self._size).numpy()  # vectorised: four times as fast as NumPy's
        return wave

    def _wave_slope(self, x: Array) -> Array:
        columns = self._layout.smooth
        if not len(columns):
            return np.zeros((len(x), self.n))
        slope: Array = np.sin(x[:, columns] @ self._frequency.T + self._phase) * -self._size
        return slope

    def _rest(self, x: Array, without: int | None = None) -> Array | float:
        product: Array | float = 1.0
        for c, table in zip(self._layout.levels, self._levels, strict=True):
            product = product * table[x[:, c].astype(np.intp)]
        for c, table in zip(self._layout.joined, self._related, strict=True):
            product = product * table[x[:, c].astype(np.intp)]
        for j, factor in enumerate(self._switched):
            if j != without:
                product = product * factor(x[:, factor.column])[0]
        return product


class Paths:
    """s functions drawn from the posterior of a process, in its standardised units.

    Parameters
    ----------
    process : GaussianProcess
    s : int
    random : numpy Generator
    features : int, default 512
    levels : int, default 1
        More than the largest level index of a categorical column.
    """

    def __init__(
        self, process: GaussianProcess, s: int, random: np.random.Generator, *, features: int = 512, levels: int = 1
    ) -> None:
        self._process = process
        self._features = Features(features, process.layout, process.hyper, levels, random)
        self._prior = random.standard_normal((features, s))
        noise = process.hyper.noise + process.jitter + (0.0 if process.variance is None else process.variance)
        error = np.sqrt(noise)[:, None] if isinstance(noise, np.ndarray) else np.sqrt(noise)
        drawn = self._features(process.x) @ self._prior + error * random.standard_normal((len(process), s))
        self._update = process.weights[:, None] - process.inverse.T @ (process.inverse @ drawn)

    def __call__(self, x: Array) -> Array:
        """Return the values of all draws at model points, shape (q, s)."""
        process = self._process
        k = Cross(x, process.x, process.layout, process.hyper).matrix
        return np.asarray(self._features(x) @ self._prior + k @ self._update + process.mean)

    def with_slopes(self, x: Array, which: Index) -> tuple[Array, Array]:
        """Return the value of one draw a point, shape (q,), and its gradient, shape (q, d).

        Parameters
        ----------
        which : array, shape (q,), int
            The draw of each point.
        """
        process = self._process
        cross = Cross(x, process.x, process.layout, process.hyper, slopes=True)
        value, slope = self._features.slopes(x, self._prior.T[which])
        update = self._update.T[which]
        return value + np.einsum("qn,qn->q", cross.matrix, update) + process.mean, slope + cross.contract(update)


def _matern_spectrum(n: int, d: int, random: np.random.Generator) -> Array:
    """Return frequencies of Matern-5/2 with lengthscale 1, shape (n, d): a multivariate t with 5 degrees of freedom."""
    return np.asarray(random.standard_normal((n, d)) * np.sqrt(5.0 / random.chisquare(5.0, (n, 1))))


def _level_factors(n: int, levels: int, same: float, random: np.random.Generator) -> Array:
    """Return a factor for each level and feature, shape (levels, n)."""
    constant = random.random(n) < same
    return np.where(constant, 1.0, random.choice([-1.0, 1.0], (levels, n)))
