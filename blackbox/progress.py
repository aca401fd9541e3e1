"""Live progress on a terminal: best so far, how much is done, rate, failures, time left."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from blackbox.surrogates.reporting import Report

__all__ = ["Progress"]

_EVERY = 0.1  # seconds between updates


class Progress:
    """A line that is redrawn while a study runs; silent where stderr is no terminal.

    Parameters
    ----------
    enabled : bool
    total : int, optional
        Evaluations; None where only the time is limited.
    seconds : float, optional
        The time limit.
    done : int
        Evaluations that were finished before.
    """

    def __init__(self, *, enabled: bool, total: int | None, seconds: float | None, done: int) -> None:
        self._bar: Bar | None = None
        self._total, self._seconds, self._before = total, seconds, done
        self._started = self._shown = time.monotonic()
        if not (enabled and sys.stderr is not None and sys.stderr.isatty()):
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[amount]}"),
            TextColumn("[cyan]{task.fields[rate]}"),
            TextColumn("[red]{task.fields[failures]}"),
            TextColumn("[dim]{task.fields[left]}"),
        )
        self._bar = Progress(*columns, console=Console(stderr=True), transient=False, expand=True)
        self._task = self._bar.add_task(
            "starting", total=total or seconds, completed=done if total else 0, amount="", rate="", failures="", left=""
        )
        self._bar.start()

    @property
    def is_due(self) -> bool:
        """Whether something is shown, and it is time to show it anew."""
        return self.is_shown and time.monotonic() - self._shown >= _EVERY

    @property
    def is_shown(self) -> bool:
        """Whether anything is shown."""
        return self._bar is not None

    def update(self, *, done: int, failed: int, best: str) -> None:
        """Show numbers anew.

        Parameters
        ----------
        done, failed : int
            Finished evaluations of the study, and the failed ones among them.
        best : str
            The best so far, as text.
        """
        if self._bar is None:
            return
        self._shown = time.monotonic()
        elapsed = self._shown - self._started
        rate = (done - self._before) / elapsed if elapsed > 0 else 0.0
        self._bar.update(
            self._task,
            description=best,
            completed=done if self._total else min(elapsed, self._seconds or elapsed),
            amount=f"{done}/{self._total}" if self._total else f"{done} done",
            rate=_rate(rate),
            failures=f"{failed} failed" if failed else "",
            left=self._left(done, rate, elapsed),
        )

    def hear(self, report: Report) -> None:
        """Show how far the training of a model is, in place of the best so far, until the next update."""
        if self._bar is None or time.monotonic() - self._shown < _EVERY:
            return
        self._shown = time.monotonic()
        self._bar.update(self._task, description=f"{report.stage} {report.done}/{report.total}")

    def _left(self, done: int, rate: float, elapsed: float) -> str:
        left = None if self._seconds is None else self._seconds - elapsed
        if self._total is not None and rate > 0:
            needed = (self._total - done) / rate
            left = needed if left is None else min(left, needed)
        return "" if left is None else f"{_duration(max(0.0, left))} left"

    def stop(self) -> None:
        """Leave the last line standing."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _rate(per_second: float) -> str:
    if per_second >= 1:
        return f"{per_second:.3g}/s"
    return f"{60 * per_second:.3g}/min" if per_second > 0 else ""


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
