"""Programs of a sweep on several cores: who does which part, and when a part is shared."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from multiprocessing.connection import wait
from typing import Any, Protocol

from blackbox._sweep_parts import Helper, Part, Setting, can_fork, can_spawn, run_part
from blackbox._sweep_runs import BatchRun, Finished
from blackbox.errors import BlackboxError, StateError

__all__ = ["Ledger", "Team", "resumed"]

_LOOK_EVERY = 0.03  # seconds
_LEAST_RUNS = 4  # of a part that was cut off: fewer cost nearly as much as these
_FORKED, _SPAWNED = 0.01, 1.5  # seconds until a process beside this one begins
_PAYS = 4.0  # how many times that must be left to do
_PACE = 1e6  # rows a second in one process, before that is known
_LONG = 0.1  # seconds between two looks at processes that have nothing to say


class Ledger(Protocol):
    """What becomes of parts."""

    def keep(self, part: Part, runs: Sequence[Finished]) -> None:
        """Store what the runs of a part ended with."""

    def save(self, part: Part) -> None:
        """Keep a checkpoint."""

    def give_up(self, part: Part) -> None:
        """Do its runs one by one: something was raised."""

    def tick(self, under_way: float, name: str) -> None:
        """Show how many runs are done within programs, and look after other work."""

    def free_cores(self) -> int:
        """Return how many processes there may be beside this one."""


class Team:
    """One process and those beside it, at the parts that are to be done.

    Where copies of this process can do the parts, they do all of them, on one thread each, and this one waits (for it,
    torch's number of threads cannot be changed and put back: what is small then becomes slower). Elsewhere it does one
    part after another, while fresh processes take those that wait, and then a share of the one that is under way. A
    process that is the last at work is asked for its part, which is shared again.

    Parameters
    ----------
    setting : Setting
    ledger : Ledger
    parts : iterable of Part
    checkpoint_every : float
        Seconds.
    """

    def __init__(self, setting: Setting, ledger: Ledger, parts: Iterable[Part], *, checkpoint_every: float) -> None:
        self._setting, self._ledger, self._every = setting, ledger, checkpoint_every
        self._waiting = deque(parts)
        self._helpers: list[Helper] = []
        self._pace = _PACE
        self._spawns: bool | None = None

    def run(self) -> None:
        """Do all parts."""
        try:
            while self._waiting or self._helpers:
                self._fork(self._free() + 1)
                part = next((part for part in self._waiting if not self._is_forked(part)), None)
                if part is not None:
                    self._waiting.remove(part)
                    self._run_here(part)
                else:
                    self._await()
        finally:
            for helper in self._helpers:
                helper.end()

    # -- in this process ---------------------------------------------------------------------------------------

    def _run_here(self, part: Part) -> None:
        try:
            runs, state = run_part(self._setting, part, self._watch(part))
        except (KeyboardInterrupt, SystemExit, BlackboxError, MemoryError):
            raise
        except Exception:  # whatever the problem raises: run by run, it is known which of them fail
            self._ledger.give_up(part)
            return
        if runs is not None:
            self._ledger.keep(part, runs)
            return
        first, *others = self._cut(Part(part.tasks, state), self._free() + 1)
        self._waiting.appendleft(first)
        for other in others:
            self._hand_over(other)

    def _watch(self, part: Part) -> Callable[[BatchRun], bool]:
        begun, before = time.monotonic(), part.generation
        last = saved = begun

        def look(batch: BatchRun) -> bool:
            nonlocal last, saved
            now = time.monotonic()
            if now - last < min(_LOOK_EVERY, self._every):
                return False
            last = now
            self._pace = self._rows(part) * (batch.generation - before) / (now - begun)
            self._collect()
            self._show(part, batch.generation)
            if batch.can_be_saved and now - saved >= self._every:
                self._ledger.save(Part(part.tasks, batch.state()))
                saved = now
            self._fork(self._free())
            self._spawn()
            return batch.can_be_saved and self._is_worth_cutting(part, batch.generation)

        return look

    def _is_worth_cutting(self, part: Part, generation: int) -> bool:
        start = self._start_of(part)
        enough = len(part.tasks) >= 2 * _LEAST_RUNS and not self._waiting and self._free() > 0
        return enough and start is not None and self._left(part, generation) > 2 * _PAYS * start

    # -- beside it ---------------------------------------------------------------------------------------------

    def _free(self) -> int:
        """Return for how many further processes there are cores, beside this one."""
        return self._ledger.free_cores() - len(self._helpers)

    def _is_forked(self, part: Part) -> bool:
        """Return whether copies of this process do a part: there are two cores, and it takes a while."""
        fits = self._ledger.free_cores() > 0 and not part.stays and self._setting.device.startswith("cpu")
        return (
            fits
            and can_fork(self._setting.problems[part.tasks[0].problem])
            and self._left(part, part.generation) > _PAYS * _FORKED
        )

    def _fork(self, free: int) -> None:
        """Have copies of this process do parts that wait, the last of them in shares."""
        parts = [part for part in self._waiting if self._is_forked(part)] if free > 0 else []
        for i, part in enumerate(parts[:free]):
            self._waiting.remove(part)
            for share in self._cut(part, free - i if part is parts[-1] else 1):
                self._hand_over(share)

    def _spawn(self) -> None:
        """Have fresh processes do parts that wait."""
        for part in list(self._waiting)[: max(0, self._free())]:
            start = self._start_of(part)
            if start is not None and self._left(part, part.generation) > _PAYS * start:
                self._waiting.remove(part)
                self._hand_over(part)

    def _cut(self, part: Part, processes: int) -> list[Part]:
        """Return shares that so many processes end at about the same time; where some start late, this one has most."""
        runs, start = len(part.tasks), self._start_of(part)
        others = min(processes, runs // _LEAST_RUNS) - 1
        if start is None or others < 1:
            return [part]
        late = 0.0 if self._is_forked(part) else others * start / max(start, self._left(part, part.generation))
        here = min(runs - others * _LEAST_RUNS, math.ceil(runs * min(1.0, (1 + late) / (1 + others))))
        rest = runs - here
        return part.cut([here, *(rest // others + (i < rest % others) for i in range(others))])

    def _start_of(self, part: Part) -> float | None:
        """Return how long it takes until another process begins with a part; None where none can."""
        if part.stays or not self._setting.device.startswith("cpu"):
            return None
        if can_fork(self._setting.problems[part.tasks[0].problem]):
            return _FORKED
        if self._spawns is None:
            self._spawns = can_spawn()
        return _SPAWNED if self._spawns else None

    def _hand_over(self, part: Part) -> None:
        forked = can_fork(self._setting.problems[part.tasks[0].problem])
        try:
            others = [helper.pipe for helper in self._helpers]
            helper = Helper(self._setting, part, forked=forked, checkpoint_every=self._every, beside=others)
        except (OSError, AssertionError, RuntimeError, BlackboxError):  # no more processes, or it cannot be sent
            self._waiting.append(Part(part.tasks, part.state, stays=True))
            return
        self._helpers.append(helper)

    def _collect(self) -> None:
        """Take in what the other processes have to say."""
        for helper in list(self._helpers):
            for kind, content in helper.messages():
                self._take(helper, kind, content)

    def _take(self, helper: Helper, kind: str, content: Any) -> None:
        part = helper.part
        if kind == "at":
            self._pace = self._rows(part) * (content - part.generation) / (time.monotonic() - helper.begun)
        elif kind == "state":
            self._ledger.save(Part(part.tasks, content))
            helper.state = content
        if kind not in ("done", "back", "failed"):
            return
        self._helpers.remove(helper)
        helper.end()
        if kind == "done":
            self._ledger.keep(part, content)
        elif kind == "back":
            self._waiting.append(Part(part.tasks, content))
        else:
            self._waiting.append(Part(part.tasks, helper.state, stays=True))

    def _await(self) -> None:
        """Wait for the other processes, and ask one for its part where another has nothing to do."""
        wait([helper.pipe for helper in self._helpers], _LONG)
        self._collect()
        if self._waiting or not self._helpers:
            return
        busiest = max(self._helpers, key=lambda helper: self._left(helper.part, helper.generation))
        self._show(busiest.part, None)
        start = self._start_of(busiest.part)
        many = len(busiest.part.tasks) >= 2 * _LEAST_RUNS and not busiest.recalled and self._free() >= 0
        if many and start is not None and self._left(busiest.part, busiest.generation) > 4 * _PAYS * start:
            busiest.recall()

    # -- how long it takes -------------------------------------------------------------------------------------

    def _members(self, part: Part) -> int:
        size: int = getattr(self._setting.algorithms[part.tasks[0].algorithm], "population_size", 1)
        return size

    def _rows(self, part: Part) -> int:
        """Return how many rows a generation of a part has."""
        return len(part.tasks) * self._members(part)

    def _generations(self, part: Part) -> int:
        budget = self._setting.budget
        return budget.generations or (budget.evaluations or 0) // self._members(part)

    def _left(self, part: Part, generation: int) -> float:
        """Return how many seconds a process has to do at a part, about."""
        return self._rows(part) * (self._generations(part) - generation) / self._pace

    def _show(self, part: Part, generation: int | None) -> None:
        """Show how far the programs are; `generation` of the part that is under way here."""
        under_way = [(helper.part, helper.generation) for helper in self._helpers]
        if generation is not None:
            under_way.append((part, generation))
        done = sum(len(part.tasks) * at / max(1, self._generations(part)) for part, at in under_way)
        self._ledger.tick(done, f"{part.tasks[0].algorithm} on {part.tasks[0].problem}")


def resumed(part: Part, states: Mapping[str, Any]) -> Iterator[Part]:
    """Yield the parts of a part that checkpoints go on with, and the rest of it.

    Parameters
    ----------
    states : mapping of str to state
        By the keys of parts, which may hold further runs. Each run goes on from the state that is the furthest.
    """
    left = {task.key: task for task in part.tasks}
    try:
        for key, state in sorted(states.items(), key=lambda item: -int(item[1]["generation"])):
            keys = key.split(",")
            rows = [row for row, name in enumerate(keys) if name in left]
            if rows:
                known = Part(tuple(left.get(name, part.tasks[0]) for name in keys), state)
                yield known.taken(rows)
                for row in rows:
                    del left[keys[row]]
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
        raise StateError(f"file: the checkpoint of a group of runs is damaged: {error!r}") from None
    if left:
        yield Part(tuple(left.values()))
