"""Checks of what stays: settings, saved states, global generators, a user's memory."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from blackbox.algorithm import Algorithm
from blackbox.optimizer import Optimizer
from blackbox.persistence import algorithm_from_tree, algorithm_to_tree
from blackbox.testing._problems import advance, finish, frozen, make_optimizer, run_rounds, same, tell, values_at

__all__ = [
    "check_global_generators_are_untouched",
    "check_resume_in_a_fresh_process",
    "check_save_and_restore_go_on_equally",
    "check_settings_are_a_frozen_record",
    "check_users_memory_is_their_own",
]


def check_settings_are_a_frozen_record(algorithm: Algorithm[Any]) -> None:
    """Settings are immutable, equal to themselves, and survive their JSON form."""
    for name in algorithm_to_tree(algorithm)["settings"]:
        try:
            setattr(algorithm, name, None)
        except AttributeError:
            continue
        raise AssertionError(f"the setting {name} can be overwritten")
    if type(algorithm).__module__.startswith("blackbox."):
        assert algorithm_from_tree(algorithm_to_tree(algorithm)) == algorithm, "settings do not survive saving"


def check_save_and_restore_go_on_equally(algorithm: Algorithm[Any]) -> None:
    """With pending and buffered rows in place, a saved, loaded optimizer gives bit-equal candidates."""
    straight = make_optimizer(algorithm)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.bb"
        advance(straight)
        straight.save(path)
        own = not type(algorithm).__module__.startswith("blackbox.")
        resumed = Optimizer.load(path, algorithm=algorithm if own else None)
        assert frozen(resumed) == frozen(straight), "a loaded optimizer has another state"
        assert same(finish(straight), finish(resumed)), "a resumed run differs from a straight one"


_RESUME = """
import sys, torch
from blackbox.optimizer import Optimizer
from blackbox.testing._problems import finish
x = finish(Optimizer.load(sys.argv[1]))
sys.stdout.buffer.write(x.nan_to_num(nan=-77.0).numpy().tobytes())
"""


def check_resume_in_a_fresh_process(algorithm: Algorithm[Any]) -> None:
    """A run that is saved, loaded in a new process and continued gives bit-equal candidates."""
    if not type(algorithm).__module__.startswith("blackbox."):
        return  # a class of the caller's cannot be looked up by name in another process
    straight = make_optimizer(algorithm)
    advance(straight)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.bb"
        straight.save(path)
        root = Path(__file__).parents[2]
        command = [sys.executable, "-c", _RESUME, str(path)]
        done = subprocess.run(command, capture_output=True, cwd=root, check=False)
    assert done.returncode == 0, done.stderr.decode()
    expected = finish(straight).nan_to_num(nan=-77.0).numpy().tobytes()
    assert done.stdout == expected, "a run resumed in a fresh process differs"


def check_global_generators_are_untouched(algorithm: Algorithm[Any]) -> None:
    """Neither reads nor writes the global generators of random, NumPy and torch."""
    runs = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002  (the global one is what is watched)
        torch.default_generator.manual_seed(seed)
        before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state())  # type: ignore[index]  # noqa: NPY002
        runs.append(run_rounds(make_optimizer(algorithm)))
        assert random.getstate() == before[0], "random was used"
        assert np.random.get_state()[1].tolist() == before[1], "numpy.random was used"  # type: ignore[index]  # noqa: NPY002
        assert torch.equal(torch.get_rng_state(), before[2]), "torch's global generator was used"
    assert same(*runs), "a global generator was read"


def check_users_memory_is_their_own(algorithm: Algorithm[Any]) -> None:
    """Writing to batch.x or to told values changes nothing, and told arrays are not written to."""
    clean, dirty = make_optimizer(algorithm), make_optimizer(algorithm)
    for _ in range(2):
        expected = clean.ask()
        tell(clean, expected)
        batch = dirty.ask()
        values = values_at(batch, dirty)
        copy = values.clone()
        batch.x.fill_(0.123)
        dirty.tell(batch, values)
        assert torch.equal(values, copy), "told values were written to"
        values.fill_(-5.0)
    assert same(clean.ask().x, dirty.ask().x), "the optimizer shares memory with the user"
