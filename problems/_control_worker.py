"""A process that simulates robots: reads requests from its standard input, writes outcomes to its standard output.

Messages are arrays in NumPy's own format without pickle, each with its length before it. Run as a module; it imports
neither torch nor the program that started it, so it starts fast and needs no guard in the user's script.
"""

from __future__ import annotations

import io
import os
import struct
import sys
from typing import IO

import numpy as np
from numpy.typing import NDArray

__all__ = ["main", "receive", "send"]

_LENGTH = struct.Struct("<Q")


def send(stream: IO[bytes], **arrays: NDArray[np.float64]) -> None:
    """Write named arrays."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    stream.write(_LENGTH.pack(buffer.tell()))
    stream.write(buffer.getvalue())
    stream.flush()


def receive(stream: IO[bytes]) -> dict[str, NDArray[np.float64]] | None:
    """Return the next arrays; None where the other side has ended."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    body = stream.read(length)
    if len(body) < length:
        return None
    with np.load(io.BytesIO(body), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def main(task: str) -> None:
    """Serve requests until the input ends."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the simulator prints must not disturb the replies
    from blackbox.problems._control_mujoco import Moments, MujocoSimulator

    simulator = MujocoSimulator(task)
    while (request := receive(sys.stdin.buffer)) is not None:
        moments = Moments(request["mean"], request["std"]) if "mean" in request else None
        steps, seeds = int(request["steps"]), [int(seed) for seed in request["seeds"]]
        outcome = simulator.simulate(request["weights"], moments, steps, seeds)
        send(replies, values=outcome.values, sums=outcome.sums)


if __name__ == "__main__":
    main(sys.argv[1])
