"""A Gaussian process of a yes-or-no outcome: where evaluations succeed.

The latent function has the covariance of `blackbox.surrogates.kernels`; success has the probability Phi(latent). The
posterior is approximated at its mode (Laplace), where it equals a regression on pseudo-outcomes with known variances;
hyper-parameters maximise the evidence of that regression, in alternation (penalised quasi-likelihood).
"""

from __future__ import annotations

import numpy as np
from scipy.special import log_ndtr

from blackbox.surrogates.gaussian_process import GaussianProcess, Standard
from blackbox.surrogates.kernels import Array, Hyperparameters, Layout, Mask
from blackbox.surrogates.likelihood import Evidence, Mode, Prior, find_modes

__all__ = ["PRIOR", "classify"]

PRIOR = Prior(scale=(1.0, 1.0), mean=1.0)
_NOISE = 1e-6
_OPTIMISM = Standard(1.0, 1.0)  # the latent mean is expected at +1: a success in two cases of three


def classify(
    x: Array,
    success: Mask,
    layout: Layout,
    *,
    start: Array | None = None,
    cold: bool = True,
    rounds: int = 2,
    evaluations: int = 20,
) -> GaussianProcess:
    """Return the process of the latent function; O(n^3) time.

    Parameters
    ----------
    x : array, shape (n, d)
        Model points.
    success : array, shape (n,), bool
    layout : Layout
    start : array, optional
        Hyper-parameters to start from (`mode.theta` of an earlier result).
    cold : bool, default True
        Whether to start from the prior's centre as well.
    rounds : int, default 2
        Alternations of pseudo-outcomes and hyper-parameters; with 0, those of `start` are kept.
    evaluations : int, default 20
        Evaluations of the evidence a round and start, at most.

    References
    ----------
    C. E. Rasmussen and C. K. I. Williams, Gaussian processes for machine learning, 2006, section 3.4 (Laplace).
    N. E. Breslow and D. G. Clayton, Approximate inference in generalized linear mixed models, 1993.
    """
    labels = np.where(success, 1.0, -1.0)
    location = PRIOR.table(layout, False)[0]
    theta = location if start is None else start
    latent = 1.0 + 0.5 * labels
    process = _mode_of_latent(x, labels, latent, layout, theta)
    for _ in range(rounds):
        variance = process.variance
        assert variance is not None
        evidence = Evidence(x, _OPTIMISM(process.y), layout, PRIOR, noise=_NOISE, variance=variance)
        starts = np.stack([theta, location]) if cold and start is not None else theta[None]
        best: Mode = find_modes(evidence, starts, evaluations=evaluations, at_most=1)[0]
        theta = best.theta
        process = _mode_of_latent(x, labels, process.posterior(x).mean.numpy(), layout, theta, best.value)
    return process


def _mode_of_latent(
    x: Array, labels: Array, latent: Array, layout: Layout, theta: Array, value: float = 0.0
) -> GaussianProcess:
    """Return the regression that equals the Laplace approximation, by iterated weighted least squares."""
    hyper = Hyperparameters.unpack(theta, layout, _NOISE)
    for step in range(20):
        outcome, variance = _pseudo_outcomes(labels, latent)
        process = GaussianProcess.build(
            x,
            outcome,
            layout,
            hyper,
            standard=_OPTIMISM,
            variance=variance,
            prior=PRIOR,
            mode=Mode(theta, value),
        )
        target = process.posterior(x).mean.numpy()
        change = float(np.abs(target - latent).max())
        latent = target if step < 10 else 0.5 * (target + latent)
        if change < 1e-4:
            break
    return process


def _pseudo_outcomes(labels: Array, latent: Array) -> tuple[Array, Array]:
    """Return outcomes and variances of the Gaussian factors that match log Phi(label * latent) at `latent`."""
    agree = labels * latent
    hazard = np.exp(-0.5 * agree * agree - 0.5 * np.log(2.0 * np.pi) - log_ndtr(agree))
    slack = np.maximum(hazard + agree, 1e-6)
    curvature = np.maximum(hazard * slack, 1e-8)
    return latent + labels / slack, 1.0 / curvature
