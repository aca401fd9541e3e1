"""The covariance of the data with itself and the gradient of its likelihood in closed form."""

from __future__ import annotations

import numpy as np

from blackbox.surrogates.kernels import (
    Array,
    Hyperparameters,
    Layout,
    conditional_factor,
    radial,
    relatedness,
    relatedness_slope,
    squared_distance,
)

__all__ = ["TrainingKernel"]

_MAX_STORED = 3_000_000  # numbers of stored squared differences; beyond it they are recomputed by products


class TrainingKernel:
    """The covariance of data with itself as a function of the hyper-parameters.

    Parameters
    ----------
    x : array, shape (n, d)
        Model points.
    layout : Layout
    """

    def __init__(self, x: Array, layout: Layout) -> None:
        self.layout, self.n = layout, len(x)
        self._x = x
        self._smooth = x[:, layout.smooth]
        self._stored: Array | None = None
        if layout.smooth.size * self.n**2 <= _MAX_STORED:
            columns = self._smooth.T
            self._stored = ((columns[:, :, None] - columns[:, None, :]) ** 2).reshape(len(columns), self.n**2)
        self._differ = [(x[:, c][:, None] != x[:, c][None, :]) for c in layout.levels]
        self._levels = [x[:, c].astype(np.intp) for c in layout.joined]
        self._state: tuple[Hyperparameters, Array, Array, list[tuple[Array, Array, Array]]] | None = None

    def matrix(self, h: Hyperparameters) -> Array:
        """Return the covariance without noise, shape (n, n), and keep what `gradient` needs."""
        columns = self.layout.smooth
        scale = h.lengthscale[columns]
        if not len(columns):
            r = np.zeros((self.n, self.n))
        elif self._stored is not None:
            r = np.sqrt((5.0 / (scale * scale)) @ self._stored).reshape(self.n, self.n)
        else:
            points = self._smooth / scale
            r = squared_distance(points, points)
            np.fill_diagonal(r, 0.0)
            r = np.sqrt(5.0 * r)
        value, slope = radial(r, self.layout.ripple)
        rest: Array | float = h.scale
        for c, differ in zip(self.layout.levels, self._differ, strict=True):
            rest = rest * np.where(differ, np.exp(-1.0 / h.lengthscale[c]), 1.0)
        for at, loadings in zip(self._levels, h.loadings, strict=True):
            rest = rest * relatedness(loadings)[np.ix_(at, at)]
        factors = []
        for j, c in enumerate(self.layout.switched):
            column = self._x[:, c]
            factors.append(conditional_factor(column, column, h.lengthscale[c], h.rho[j], self.layout.categorical[c]))
            rest = rest * factors[-1][0]
        matrix: Array = value * rest
        self._state = h, matrix, slope * rest, factors
        return matrix

    def gradient(self, weights: Array) -> Array:
        """Return sum(weights * dK/dtheta) / 2 for log lengthscales, logit rho, log scale and loadings, in this order.

        Parameters
        ----------
        weights : array, shape (n, n)
            Symmetric.
        """
        assert self._state is not None
        h, matrix, slope, factors = self._state
        layout = self.layout
        gradient = np.zeros(layout.n_parameters)
        scale = h.lengthscale[layout.smooth]
        product = weights * slope
        if self._stored is not None:
            gradient[layout.smooth] = (5.0 / 6.0) * (self._stored @ product.ravel()) / (scale * scale)
        elif len(scale):
            x = self._smooth / scale
            total = product.sum(1) @ (x * x) - np.einsum("ij,ij->j", x, product @ x)
            gradient[layout.smooth] = (5.0 / 3.0) * total
        weighted = weights * matrix
        for c, differ in zip(layout.levels, self._differ, strict=True):
            gradient[c] = 0.5 * weighted[differ].sum() / h.lengthscale[c]
        for j, c in enumerate(layout.switched):
            g, k, bend = factors[j]
            part = weighted / g
            if layout.categorical[c]:
                gradient[c] = 0.5 * (1.0 - h.rho[j]) * (part * bend).sum() / h.lengthscale[c]
            else:
                column = np.nan_to_num(self._x[:, c])
                squares = (column[:, None] - column[None, :]) ** 2 / h.lengthscale[c] ** 2
                gradient[c] = (5.0 / 6.0) * (1.0 - h.rho[j]) * (part * bend * squares).sum()
            on = ~np.isnan(self._x[:, c])
            some = on[:, None] | on[None, :]
            change = h.rho[j] * (1.0 - h.rho[j])
            gradient[layout.dim + j] = 0.5 * change * (part * np.where(some, 1.0 - k, 0.0)).sum()
        start = layout.dim + len(layout.switched) + 1
        gradient[start - 1] = 0.5 * weighted.sum()
        for at, loadings in zip(self._levels, h.loadings, strict=True):
            correlation = relatedness(loadings)
            pairs = np.zeros(correlation.shape)
            np.add.at(pairs, np.ix_(at, at), weighted)
            pairs = pairs / np.where(np.abs(correlation) < 1e-12, 1e-12, correlation)
            gradient[start : start + loadings.size] = relatedness_slope(loadings, pairs).ravel()
            start += loadings.size
        return gradient
