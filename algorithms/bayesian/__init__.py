"""Bayesian optimization: models of the data decide what to evaluate next."""

from __future__ import annotations

from blackbox.algorithms.bayesian.algorithm import BayesianOptimization
from blackbox.algorithms.bayesian.belief import Belief
from blackbox.algorithms.bayesian.costs import LinearCost
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
from blackbox.algorithms.bayesian.restrictions import LinearConstraint
from blackbox.algorithms.bayesian.risk import CVaR, Expectation, InputNoise, Risk, VaR, WorstCase
from blackbox.algorithms.bayesian.stopping import Advice, StoppingCurve, advice, stopping_curve
from blackbox.algorithms.bayesian.transfer import EarlierTasks, earlier_tasks
from blackbox.algorithms.bayesian.why import Reason, why

__all__ = [
    "AcquisitionError",
    "AcquisitionFunction",
    "Advice",
    "BayesianOptimization",
    "Belief",
    "CVaR",
    "DifferentiableAcquisition",
    "EarlierTasks",
    "Expectation",
    "InputNoise",
    "JointEntropy",
    "KnowledgeGradient",
    "LinearConstraint",
    "LinearCost",
    "MaxValueEntropy",
    "NoisyExpectedImprovement",
    "Reason",
    "Risk",
    "StoppingCurve",
    "ThompsonSampling",
    "UpperConfidenceBound",
    "VaR",
    "WorstCase",
    "advice",
    "earlier_tasks",
    "stopping_curve",
    "why",
]
