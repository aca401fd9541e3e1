"""Bayesian optimization of several objectives."""

from __future__ import annotations
