"""Bayesian optimization: models of the data decide what to evaluate next."""

from __future__ import annotations

from blackbox.algorithms.bayesian.algorithm import BayesianOptimization
from blackbox.algorithms.bayesian.belief import Belief
from blackbox.algorithms.bayesian.options import (
    AcquisitionError,
    AcquisitionFunction,
    DifferentiableAcquisition,
    JointEntropy,
    KnowledgeGradient,
    MaxValueEntropy,
    NoisyExpectedImprovement,
    ThompsonSampling,
    UpperConfidenceBound,
)

__all__ = [
    "AcquisitionError",
    "AcquisitionFunction",
    "BayesianOptimization",
    "Belief",
    "DifferentiableAcquisition",
    "JointEntropy",
    "KnowledgeGradient",
    "MaxValueEntropy",
    "NoisyExpectedImprovement",
    "ThompsonSampling",
    "UpperConfidenceBound",
]
