"""Random environments and errors as a finite set of scenarios, and processes of the risk over them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri

from blackbox.algorithms.bayesian.domain import Domain, lattice
from blackbox.algorithms.bayesian.risk import InputNoise, Risk
from blackbox.parameters import Normal
from blackbox.surrogates.gaussian_process import GaussianProcess, Standard
from blackbox.surrogates.kernels import Array, Cross, Hyperparameters, Index, covariance
from blackbox.surrogates.outcomes import Warp

__all__ = ["Averaged", "Sampled", "Scenarios", "quantiles", "scenarios_of"]

_ALL = 64  # combinations of listed values that are all used
_DRAWS = 48  # joint samples of the outcomes of all scenarios, and as many mirrored ones
_STEP = 1e-5  # of differences that stand for gradients
_LEAST = 1e-16


@dataclass(frozen=True, slots=True)
class Scenarios:
    """Equally likely environments and errors.

    Attributes
    ----------
    columns : array of int, shape (e,)
        Environment columns.
    values : array, shape (j, e)
        Their model values.
    shifts : array, shape (j, d)
        What is added to model points: errors of the implementation. They are not clipped at the bounds.
    """

    columns: Index
    values: Array
    shifts: Array

    def __len__(self) -> int:
        return len(self.values)

    def expand(self, x: Array) -> Array:
        """Return model points in every scenario, shape (q * j, d), the scenarios of a point one after the other."""
        points = np.repeat(x, len(self), axis=0) + np.tile(self.shifts, (len(x), 1))
        points[:, self.columns] = np.tile(self.values, (len(x), 1))
        return points


def scenarios_of(domain: Domain, risk: Risk, noise: InputNoise | None, seed: int) -> Scenarios:
    """Return the scenarios of a space; the same for the same seed."""
    columns = np.array(domain.environments, dtype=np.intp)
    real = [c for c in domain.designs if not domain.discrete[c]]
    names = domain.space.names
    std = np.zeros(domain.dim)
    if noise is not None:
        std[real] = noise.of([names[c] for c in real])
    moving = np.flatnonzero(std > 0)
    lists = [_listed(domain, int(c)) for c in columns]
    if not len(moving) and all(values is not None for values in lists):
        grid = np.stack(np.meshgrid(*[v for v in lists if v is not None], indexing="ij"), axis=-1)
        codes = grid.reshape(-1, len(columns))
        if len(codes) <= _ALL:
            return Scenarios(columns, _model(codes, columns, domain), np.zeros((len(codes), domain.dim)))
    n, width = risk.scenarios, len(columns) + len(moving)
    u = lattice(n, width, np.random.default_rng(seed)) if width > 1 else (np.arange(n)[:, None] + 0.5) / n
    codes = np.stack([quantiles(u[:, i], int(c), domain) for i, c in enumerate(columns)] or [u[:, :0].T], axis=-1)
    shifts = np.zeros((n, domain.dim))
    shifts[:, moving] = ndtri(np.clip(u[:, len(columns) :], 1e-6, 1 - 1e-6)) * std[moving]
    return Scenarios(columns, _model(codes.reshape(n, len(columns)), columns, domain), shifts)


def _listed(domain: Domain, column: int) -> Array | None:
    given = domain.space.parameters[domain.space.names[column]].environment
    if isinstance(given, (str, Normal)):
        return None
    return np.array([domain.space.code(domain.space.names[column], value) for value in given])


def quantiles(u: Array, column: int, domain: Domain) -> Array:
    """Return codes of one environment at quantiles in (0, 1)."""
    listed = _listed(domain, column)
    if listed is not None:
        return np.asarray(listed[np.minimum((u * len(listed)).astype(int), len(listed) - 1)])
    given = domain.space.parameters[domain.space.names[column]].environment
    if isinstance(given, Normal):
        codes = given.mean + given.std * ndtri(np.clip(u, 1e-9, 1 - 1e-9))
        codes = np.round(codes) if domain.discrete[column] else codes
        return np.asarray(np.clip(codes, domain.lower[column], domain.upper[column]))
    block = np.full((len(u), domain.dim), 0.5)
    block[:, column] = u
    return np.asarray(Domain(domain.space).from_unit(block)[:, column])


def _model(codes: Array, columns: Index, domain: Domain) -> Array:
    """Return the model values of codes of environments, shape (j, e)."""
    if not len(columns):
        return codes
    middle = Domain(domain.space).from_unit(np.full((len(codes), domain.dim), 0.5))
    middle[:, columns] = codes
    values = domain.to_unit(middle)
    values[:, domain.categorical] = middle[:, domain.categorical]
    return np.asarray(values[:, columns])


@dataclass(frozen=True, slots=True)
class Averaged:
    """The mean over scenarios of a process, which is Gaussian: moments and gradients in closed form.

    References
    ----------
    S. Toscano-Palmerin and P. I. Frazier, Bayesian optimization with expensive integrands, 2018.
    """

    process: GaussianProcess
    scenarios: Scenarios

    @property
    def hyper(self) -> Hyperparameters:
        """Of the process."""
        return self.process.hyper

    @property
    def standard(self) -> Standard:
        """Of the process."""
        return self.process.standard

    @property
    def variance(self) -> Array | None:
        """Of the noise of the process, where it is known."""
        return self.process.variance

    def _mean_of(self, rows: Array) -> Array:
        return np.asarray(rows.reshape(-1, len(self.scenarios), rows.shape[1]).mean(1))

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation at model points, standardised, each of shape (q,)."""
        process = self.process
        k = self._mean_of(covariance(self.scenarios.expand(x), process.x, process.layout, process.hyper))
        half = k @ process.inverse.T
        variance = _prior(process, self.scenarios, x).mean((1, 2)) - np.einsum("ij,ij->i", half, half)
        return k @ process.weights + process.mean, np.sqrt(np.maximum(variance, _LEAST))

    def predict_with_slopes(self, x: Array) -> tuple[Array, Array, Array, Array]:
        """Return mean and standard deviation and their gradients in x, each of shape (q, d); 0 for environments."""
        process, j = self.process, len(self.scenarios)
        cross = Cross(self.scenarios.expand(x), process.x, process.layout, process.hyper, slopes=True)
        k = self._mean_of(cross.matrix)
        half = k @ process.inverse.T
        variance = _prior(process, self.scenarios, x).mean((1, 2)) - np.einsum("ij,ij->i", half, half)
        std = np.sqrt(np.maximum(variance, _LEAST))
        slope_mean = self._mean_of(cross.contract(np.broadcast_to(process.weights, cross.matrix.shape)))
        slope_std = -self._mean_of(cross.contract(np.repeat(half @ process.inverse, j, axis=0))) / std[:, None]
        slope_mean[:, self.scenarios.columns] = 0.0
        slope_std[:, self.scenarios.columns] = 0.0
        return k @ process.weights + process.mean, std, slope_mean, slope_std

    def shares(self, x: Array) -> Array:
        """Return the share of each scenario in the risk at one model point, shape (j,)."""
        return np.full(len(self.scenarios), 1.0 / len(self.scenarios))

    def condition(self, x: Array) -> Averaged:
        """Return it with predicted means believed at model points, shape (q, d), environments included."""
        return replace(self, process=self.process.condition(x))

    def rougher(self, factor: float) -> Averaged:
        """Return it with all lengthscales times `factor`."""
        return replace(self, process=self.process.rougher(factor))


@dataclass(frozen=True, slots=True)
class Sampled:
    """Any risk over scenarios of a process: mean and standard deviation of the risks of joint samples.

    The samples use the same normal numbers everywhere, so that moments are smooth in x but for changes of the order of
    the scenarios; gradients are differences.
    """

    process: GaussianProcess
    scenarios: Scenarios
    risk: Risk
    normal: Array  # shape (samples, j)
    warp: Warp | None = None

    @classmethod
    def draw(
        cls, process: GaussianProcess, scenarios: Scenarios, risk: Risk, seed: int, warp: Warp | None = None
    ) -> Sampled:
        """Return it with normal numbers of a seed, each with its mirror image.

        With the warp of the outcomes of `process`, the risk is that of the outcomes themselves, warped afterwards.
        """
        half = np.random.default_rng(seed).standard_normal((_DRAWS, len(scenarios)))
        bent = warp if warp is not None and warp.power != 1.0 and risk.kind in ("expectation", "cvar") else None
        return cls(process, scenarios, risk, np.concatenate([half, -half]), bent)

    @property
    def hyper(self) -> Hyperparameters:
        """Of the process."""
        return self.process.hyper

    @property
    def standard(self) -> Standard:
        """Of the process."""
        return self.process.standard

    @property
    def variance(self) -> Array | None:
        """Of the noise of the process, where it is known."""
        return self.process.variance

    def outcomes(self, x: Array) -> Array:
        """Return joint samples of the outcomes of every scenario, shape (q, samples, j), standardised."""
        process, j = self.process, len(self.scenarios)
        k = covariance(self.scenarios.expand(x), process.x, process.layout, process.hyper)
        half = (k @ process.inverse.T).reshape(len(x), j, -1)
        mean = (k @ process.weights + process.mean).reshape(len(x), j)
        joint = _prior(process, self.scenarios, x) - half @ half.transpose(0, 2, 1)
        values, vectors = np.linalg.eigh(joint)
        root = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
        root = root @ vectors.transpose(0, 2, 1)  # the symmetric root is smooth in x
        return np.asarray(mean[:, None, :] + self.normal @ root)

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation at model points, standardised, each of shape (q,)."""
        means, stds = [], []
        for block in np.array_split(x, max(1, len(x) // 64)):
            risks = self.risks(self.outcomes(block))
            means.append(risks.mean(1))
            stds.append(risks.std(1))
        return np.concatenate(means), np.maximum(np.concatenate(stds), 1e-8)

    def risks(self, outcomes: Array) -> Array:
        """Return the risk of standardised outcomes, shape (..., j), standardised, shape (...)."""
        if self.warp is None:
            return self.risk(outcomes)
        standard = self.standard
        raw = self.warp.inverse(outcomes * standard.spread + standard.shift)
        return standard(self.warp(self.risk(raw)))

    def predict_with_slopes(self, x: Array) -> tuple[Array, Array, Array, Array]:
        """Return mean and standard deviation and their gradients in x, each of shape (q, d); 0 for environments."""
        layout = self.process.layout
        columns = [c for c in np.flatnonzero(~np.array(layout.categorical)) if c not in self.scenarios.columns]
        moved = np.repeat(x[None], 2 * len(columns) + 1, axis=0)
        for i, c in enumerate(columns):
            moved[2 * i + 1, :, c] += _STEP
            moved[2 * i + 2, :, c] -= _STEP
        means, stds = self.predict(moved.reshape(-1, x.shape[1]))
        means, stds = means.reshape(len(moved), len(x)), stds.reshape(len(moved), len(x))
        slope_mean, slope_std = np.zeros(x.shape), np.zeros(x.shape)
        for i, c in enumerate(columns):
            slope_mean[:, c] = (means[2 * i + 1] - means[2 * i + 2]) / (2.0 * _STEP)
            slope_std[:, c] = (stds[2 * i + 1] - stds[2 * i + 2]) / (2.0 * _STEP)
        return means[0], stds[0], np.nan_to_num(slope_mean), np.nan_to_num(slope_std)

    def shares(self, x: Array) -> Array:
        """Return the expected share of each scenario in the risk at one model point, shape (j,)."""
        return np.asarray(self.risk.weights(self.outcomes(x[None])[0]).mean(0))

    def condition(self, x: Array) -> Sampled:
        """Return it with predicted means believed at model points, shape (q, d), environments included."""
        return replace(self, process=self.process.condition(x))

    def rougher(self, factor: float) -> Sampled:
        """Return it with all lengthscales times `factor`."""
        return replace(self, process=self.process.rougher(factor))


def _prior(process: GaussianProcess, scenarios: Scenarios, x: Array) -> Array:
    """Return prior covariances of all scenarios of each point, shape (q, j, j); they depend on its switches only."""
    result = np.empty((len(x), len(scenarios), len(scenarios)))
    off = np.isnan(x)
    for pattern in np.unique(off, axis=0):
        rows = (off == pattern).all(1)
        points = scenarios.expand(x[int(np.flatnonzero(rows)[0])][None])
        result[rows] = covariance(points, points, process.layout, process.hyper)
    return result
