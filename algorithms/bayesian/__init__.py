"""Bayesian optimization: models of the data decide what to evaluate next."""

from __future__ import annotations

from blackbox.algorithms.bayesian.algorithm import BayesianOptimization

__all__ = ["BayesianOptimization"]
