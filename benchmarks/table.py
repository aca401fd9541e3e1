"""The table that the benchmarks print."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the table: a figure, its unit, the peer's, and the target in words."""

    what: str
    ours: float
    unit: str
    peer: float | None = None
    peer_name: str = ""
    target: str = ""

    def text(self) -> str:
        """Return the line."""
        peer = f"{self.peer:10.4g}  {self.peer_name:<28}" if self.peer is not None else " " * 40
        ratio = f"{self.peer / self.ours:8.2f}x" if self.peer is not None and self.ours else " " * 9
        return f"{self.what:<58}{self.ours:10.4g} {self.unit:<11}{peer}{ratio}  {self.target}"
