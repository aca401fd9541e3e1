"""Every example runs as it stands, in an empty folder, within a minute."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("path", [p for p in EXAMPLES if p.name != "main_job.py"], ids=lambda path: path.stem)
def test_example_runs(path: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error::DeprecationWarning:blackbox"}
    done = subprocess.run(
        [sys.executable, str(path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip(), "an example prints what it found"


def test_the_main_job_runs_and_resumes(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "examples" / "main_job.py"), "--evaluations"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for evaluations, expected in (("5", "a new study in"), ("6", "at 5 of 6")):
        done = subprocess.run(
            [*command, evaluations],
            cwd=tmp_path,
            env={**environment, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(expected) == 4, "one Bayesian optimization, three random searches"
        assert "Best configuration found" in done.stdout
        assert "held out" in done.stdout
    assert (tmp_path / "runs" / "convergence.png").stat().st_size > 10_000
