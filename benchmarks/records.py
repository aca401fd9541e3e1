"""Results of runs in a file of JSON lines, so that a benchmark can be stopped and go on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from scipy.stats import wilcoxon

Cell = str | int | float


class Record:
    """What was run, in memory and, where a path is given, in a file of JSON lines.

    Parameters
    ----------
    path : Path, optional
        Its lines are taken as run; what is run from now on is appended.
    keys : tuple of str
        The columns that say which run a line is of.
    """

    def __init__(self, path: Path | None, keys: tuple[str, ...]) -> None:
        self.path, self.keys = path, keys
        self.rows: dict[tuple[Cell, ...], dict[str, Cell]] = {}
        for line in path.read_text().splitlines() if path is not None and path.exists() else []:
            row = json.loads(line)
            self.rows[tuple(row[key] for key in keys)] = row

    def get(self, key: tuple[Cell, ...], run: Callable[[], Mapping[str, Cell]]) -> dict[str, Cell]:
        """Return the row of a run, run now unless it was before."""
        if key not in self.rows:
            row = dict(zip(self.keys, key, strict=True)) | dict(run())
            self.rows[key] = row
            if self.path is not None:
                with self.path.open("a") as file:
                    file.write(json.dumps(row) + "\n")
        return self.rows[key]


def smaller(first: list[float], other: list[float]) -> str:
    """Return the one-sided p-value of Wilcoxon's test that the first is smaller, paired by seed; "" below 5 pairs."""
    n = min(len(first), len(other))
    if n < 5 or np.allclose(first[:n], other[:n], rtol=0.0, atol=1e-12):
        return ""
    return f"p={wilcoxon(first[:n], other[:n], alternative='less').pvalue:.2g}"
