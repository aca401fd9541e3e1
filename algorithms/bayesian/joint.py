"""A batch improved as a whole: all its points move at once to raise the expected improvement of its best member."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.special import ndtri

from blackbox.algorithms.bayesian.acquisition import Acquisition, log_mean
from blackbox.algorithms.bayesian.domain import Domain
from blackbox.algorithms.bayesian.reach import Reach
from blackbox.surrogates.gaussian_process import GaussianProcess
from blackbox.surrogates.kernels import Array, Index
from blackbox.surrogates.likelihood import inverse_factor
from blackbox.surrogates.minimise import minimise_in_box

__all__ = ["JointImprovement", "improve_jointly"]

_DRAWS = 128
_SOFT = 0.01  # of improvements, in standard deviations of the outcomes
_MEET = 1e-3  # in the unit cube; two members of a batch nearer than that tell hardly more than one
_POWER = 8.0  # of the norm that stands for the maximum over the batch


class JointImprovement:
    """The log expected improvement of the best of q points, by quasi-Monte-Carlo draws of their joint outcomes.

    Both the improvement and the maximum are smoothed. Log probabilities of being usable weigh each point.

    Parameters
    ----------
    acquisition : Acquisition
        With at least one model of the objective.
    q : int
    random : numpy Generator

    References
    ----------
    J. T. Wilson, F. Hutter and M. P. Deisenroth, Maximizing acquisition functions for Bayesian optimization, 2018
    (reparameterisation). S. Ament et al., Unexpected improvements to expected improvement, 2023 (smoothing).
    """

    def __init__(self, acquisition: Acquisition, q: int, random: np.random.Generator) -> None:
        engine = torch.quasirandom.SobolEngine(q, scramble=True, seed=int(random.integers(2**62)))  # type: ignore[no-untyped-call]
        uniform: Array = engine.draw(_DRAWS, dtype=torch.float64).numpy()
        self._normal = np.asarray(ndtri(np.clip(uniform, 1e-9, 1.0 - 1e-9)))
        self._acquisition = acquisition

    def __call__(self, x: Array) -> tuple[float, Array]:
        """Return the value of q model points, shape (q, d), and its gradient, shape (q, d)."""
        usable, slopes = self._acquisition.usable_with_slopes(x)
        parts = [self._of_mode(mode, x, usable) for mode in self._acquisition.modes]
        value, share = log_mean(np.array([[part[0]] for part in parts]), self._acquisition.log_weights)
        gradient = np.zeros(x.shape)
        for weight, (_, own, by_usable) in zip(share[:, 0], parts, strict=True):
            gradient += weight * (own + by_usable[:, None] * slopes)
        return float(value[0]), gradient

    def _of_mode(self, mode: GaussianProcess, x: Array, usable: Array) -> tuple[float, Array, Array]:
        reach = Reach(mode, x)
        scale = mode.hyper.scale
        found = inverse_factor(reach.covariance, 1e-8 * scale, scale)
        if found is None:
            return -math.inf, np.zeros(x.shape), np.zeros(len(x))
        factor, inverse, _ = found
        gap = (self._acquisition.best - reach.mean - self._normal @ factor.T) / _SOFT
        logs = np.log(_softplus(gap)) + math.log(_SOFT) + usable
        top = logs.max(1, keepdims=True)
        powers = np.exp(_POWER * (logs - top))
        best = top[:, 0] + np.log(powers.sum(1)) / _POWER
        peak = best.max()
        weights = np.exp(best - peak)
        value = peak + math.log(float(weights.mean()))
        by_log = (weights / weights.sum())[:, None] * powers / powers.sum(1, keepdims=True)
        by_outcome = -by_log * _sigmoid(gap) / (_softplus(gap) * _SOFT)
        by_factor = np.tril(by_outcome.T @ self._normal)
        middle = np.tril(factor.T @ by_factor)
        middle[np.diag_indices(len(x))] *= 0.5
        whole = inverse.T @ middle @ inverse
        by_covariance = 0.5 * (whole + whole.T)
        diagonal = np.diagonal(by_covariance).copy()
        np.fill_diagonal(by_covariance, 0.0)
        sight = reach.see(x, slopes=True)
        return value, sight.pull(by_outcome.sum(0), diagonal, 2.0 * by_covariance), by_log.sum(0)


def _softplus(z: Array) -> Array:
    return np.maximum(np.logaddexp(0.0, z), 1e-300)


def _sigmoid(z: Array) -> Array:
    return np.asarray(np.exp(-np.logaddexp(0.0, -z)))


def improve_jointly(
    acquisition: Acquisition, domain: Domain, codes: Array, random: np.random.Generator, evaluations: int = 40
) -> Array:
    """Return a batch, full codes of shape (q, d), at least as good as the given one: real columns have moved.

    Parameters
    ----------
    acquisition : Acquisition
        With what is pending believed, and nothing of the batch.
    codes : array, shape (q, d)
        Points of the space, NaN where inactive.
    """
    full = domain.fill(codes, random).copy()
    columns = np.array([c for c in domain.smooth if not domain.conditional[c]], dtype=np.intp)
    if len(codes) < 2 or not len(columns) or not acquisition.modes or domain.is_restricted:
        return full
    joint = JointImprovement(acquisition, len(codes), random)
    base = domain.model(full)

    def negative(points: Array, rows: Index) -> tuple[Array, Array]:
        x = base.copy()
        x[:, columns] = points.reshape(len(base), -1)
        value, slope = joint(x)
        return np.array([-value]), -slope[:, columns].reshape(1, -1)

    size = len(base) * len(columns)
    start = base[:, columns].reshape(1, size)
    ends, _ = minimise_in_box(
        negative, start, np.zeros(size), np.ones(size), evaluations=evaluations, first_step=0.05, value_tolerance=1e-6
    )
    u = domain.to_unit(full)
    u[:, columns] = ends.reshape(len(base), -1)
    moved = full.copy()
    moved[:, columns] = domain.from_unit(u)[:, columns]
    return _apart(moved, full, domain)


def _apart(moved: Array, start: Array, domain: Domain) -> Array:
    """Return the moved points, but where one meets another one of the batch, that one as it was."""
    result = moved.copy()
    for i in range(1, len(result)):
        gap = np.abs(np.nan_to_num(domain.model(result[:i]) - domain.model(result[i : i + 1]))).max(1)
        if gap.min() < _MEET:
            result[i] = start[i]
    return result
