"""Offline problems: a data set is told, designs are asked, and an oracle that no algorithm can reach scores them.

`TFBind8` reads a measured table from a path or an installed package; `RNABinding` computes its oracle with ViennaRNA
(extra `[rna]`) and generates its data; `OfflineSet` regenerates sets with several objectives from ZDT, DTLZ, VLMOP and
RE problems, or from any problem of yours.
"""

from __future__ import annotations

from blackbox.problems._offline_base import OfflineProblem, OfflineScore
from blackbox.problems._offline_sequences import RNABinding, TFBind8
from blackbox.problems._offline_sets import OfflineSet, offline_sets

__all__ = ["OfflineProblem", "OfflineScore", "OfflineSet", "RNABinding", "TFBind8", "offline_sets"]
