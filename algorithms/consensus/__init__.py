"""Consensus-based optimization (CBO): the ask/tell algorithm, its options, and the tensor kernel.

`ConsensusBased` is the algorithm; `Settings` and the records in it say which dynamics is run. `minimize_many` runs
many independent ensembles as one tensor program; `start`, `propose` and `learn` are its steps.
"""

from blackbox.algorithms.consensus._algorithm import ConsensusBased, ConsensusState
from blackbox.algorithms.consensus._diagnostics import (
    ConsensusWarning,
    Diagnosis,
    Path,
    Stability,
    diagnose,
    draw_run,
    stability,
)
from blackbox.algorithms.consensus._ensemble import Ensemble, start
from blackbox.algorithms.consensus._options import (
    Adam,
    AdaptiveSize,
    Alpha,
    Hopping,
    Jumps,
    Memory,
    MiniBatch,
    Noise,
    Polarised,
    Restarts,
    Subset,
)
from blackbox.algorithms.consensus._runs import Runs, minimize_many, next_points
from blackbox.algorithms.consensus._settings import Domain, Penalty, Settings
from blackbox.algorithms.consensus._step import learn, propose
from blackbox.algorithms.consensus._weights import (
    alpha_for_share,
    cluster_minima,
    consensus_point,
    consensus_weights,
    effective_sample_size,
    polarised_consensus,
)

__all__ = [
    "Adam",
    "AdaptiveSize",
    "Alpha",
    "ConsensusBased",
    "ConsensusState",
    "ConsensusWarning",
    "Diagnosis",
    "Domain",
    "Ensemble",
    "Hopping",
    "Jumps",
    "Memory",
    "MiniBatch",
    "Noise",
    "Path",
    "Penalty",
    "Polarised",
    "Restarts",
    "Runs",
    "Settings",
    "Stability",
    "Subset",
    "alpha_for_share",
    "cluster_minima",
    "consensus_point",
    "consensus_weights",
    "diagnose",
    "draw_run",
    "effective_sample_size",
    "learn",
    "minimize_many",
    "next_points",
    "polarised_consensus",
    "propose",
    "stability",
    "start",
]
