"""Consensus-based optimization."""
