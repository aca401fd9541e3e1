"""Past experiments in, ranked proposals out: nothing is evaluated in between.

The same from a shell: blackbox propose experiments.csv --algorithm root --maximize yield -n 10
"""

from __future__ import annotations

from pathlib import Path

import blackbox as bb
from blackbox.algorithms import ROOT

experiments = Path(__file__).parent / "experiments.csv"  # made up: a reaction, its conditions and its yield in percent

table = bb.read_csv(experiments, bb.Objective("yield", maximize=True))
optimizer = bb.Optimizer(table.space, ROOT(), objectives=table.objectives, seed=0)
print(optimizer.tell(table.batch, table.values))
for rank, config in enumerate(optimizer.ask(10).configs, start=1):
    print(rank, config)
