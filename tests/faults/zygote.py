"""Scenarios with processes that are killed: run as a program, which forks them after importing everything once.

Usage: python zygote.py FOLDER; each scenario works in a folder of its own, and the tests read what is left there.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from faults.programs import HillClimb, Noted, bowl, note, problem

from blackbox.algorithms import Sobol
from blackbox.errors import DuplicateTellError
from blackbox.study import Study

N_KILLED = 60  # evaluations of the study that is killed again and again
N_SHARED = 160  # evaluations that four processes share
N_RACED = 60  # candidates that two processes tell


def fork(work: Callable[[], None]) -> int:
    """Start a process that does the work and ends."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work()
        status = 0
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    finally:
        sys.stderr.flush()
        os._exit(status)


def is_over(pid: int, seconds: float) -> bool:
    """Wait so long for a process; say whether it has ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return True
        time.sleep(0.001)
    return False


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def killed_at_random(folder: Path, rng: random.Random) -> dict[str, Any]:
    """One run, killed at random instants until it is done."""

    def work() -> None:
        with Study(problem(Noted(folder / "notes", 0.004)), HillClimb(), folder / "a.db", seed=3) as study:
            study.run(evaluations=N_KILLED, max_attempts=10_000)

    kills, patience = 0, 0.05
    while True:
        pid = fork(work)
        if is_over(pid, rng.uniform(0.0, patience)):
            return {"kills": kills}
        kill(pid)
        kills, patience = kills + 1, patience * 1.1


def acknowledged(folder: Path, rng: random.Random) -> dict[str, Any]:
    """Four processes ask and tell; they are killed and replaced again and again; each tell that returned is noted."""

    def work() -> None:
        with Study(problem(), Sobol(), folder / "a.db") as study:
            while True:
                batch = study.ask(1)
                value = bowl(batch.configs[0])
                study.tell(batch, [value])
                note(folder / "notes", f"{os.getpid()} {batch.ids[0]} {value!r}")

    Study(problem(), Sobol(), folder / "a.db", seed=3).close()
    pids = [fork(work) for _ in range(4)]
    for _ in range(12):
        time.sleep(rng.uniform(0.02, 0.2))
        place = rng.randrange(4)
        kill(pids[place])
        pids[place] = fork(work)
    time.sleep(0.2)
    for pid in pids:
        kill(pid)
    return {}


def shared(folder: Path, rng: random.Random) -> dict[str, Any]:
    """Four processes run one study; one of them is killed on the way."""

    def work() -> None:
        with Study(problem(Noted(folder / "notes", 0.002)), Sobol(), folder / "a.db", seed=3) as study:
            study.run(evaluations=N_SHARED)

    pids = [fork(work) for _ in range(4)]
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if (folder / "notes").exists() and len((folder / "notes").read_text().splitlines()) > N_SHARED // 4:
            break
        time.sleep(0.005)
    kill(pids[0])
    return {"codes": [os.waitpid(pid, 0)[1] for pid in pids[1:]], "killed": pids[0]}


def raced(folder: Path, rng: random.Random) -> dict[str, Any]:
    """Two processes tell the same candidates different values at the same time."""
    with Study(problem(), Sobol(), folder / "a.db", seed=3) as study:
        study.ask(N_RACED)

    def work(value: float) -> Callable[[], None]:
        def tell() -> None:
            with Study.open(folder / "a.db") as study:
                for i in range(N_RACED):
                    try:
                        study.tell(i, value)
                        note(folder / "notes", f"{i} {value}")
                    except DuplicateTellError:
                        note(folder / "notes", f"{i} refused")
                    study.tell(i, study.history()[i].values)  # the same again is no error

        return tell

    pids = [fork(work(1.0)), fork(work(2.0))]
    return {"codes": [os.waitpid(pid, 0)[1] for pid in pids]}


def deadly(folder: Path, rng: random.Random) -> dict[str, Any]:
    """Some candidates end the process that evaluates them."""

    def objective(config: Any) -> float:
        note(folder / "notes", f"{config['x']!r}")
        if config["x"] > 1.5:
            os._exit(9)
        return bowl(config)

    def work() -> None:
        with Study(problem(objective), Sobol(), folder / "a.db", seed=3) as study:
            study.run(evaluations=12)

    runs = 0
    while runs < 40:
        runs += 1
        if os.waitpid(fork(work), 0)[1] == 0:
            break
    return {"runs": runs}


def created(folder: Path, rng: random.Random) -> dict[str, Any]:
    """Processes are killed while they make a study file."""

    def work() -> None:
        Study(problem(), Sobol(), folder / "a.db", seed=3).ask(1)

    made, patience = 0, 0.02
    while made < 5:
        pid, patience = fork(work), patience * 1.1
        if not is_over(pid, rng.uniform(0.0, patience)):
            kill(pid)
        if (folder / "a.db").exists():
            Study(problem(), Sobol(), folder / "a.db", seed=3).close()  # always complete
            made += 1
            for file in folder.glob("a.db*"):
                file.unlink()
    return {"made": made}


if __name__ == "__main__":
    root, report, started = Path(sys.argv[1]), {}, time.monotonic()
    for number, scenario in enumerate((killed_at_random, acknowledged, shared, raced, deadly, created)):
        (root / scenario.__name__).mkdir()
        report[scenario.__name__] = scenario(root / scenario.__name__, random.Random(number))
        print(f"{scenario.__name__}: {time.monotonic() - started:.1f} s", file=sys.stderr)
    (root / "report.json").write_text(json.dumps(report))
