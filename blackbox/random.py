"""Explicit random generators: nothing here reads or writes a global one."""

from __future__ import annotations

import secrets

import numpy as np
import torch
from torch import Tensor

from blackbox.errors import SettingError

__all__ = ["check_seed", "fresh_seed", "make_generator", "numpy_generator", "restore_generator"]

_MAX_SEED = 2**63 - 1


def fresh_seed() -> int:
    """Return a seed from the operating system's entropy, in [0, 2**63)."""
    return secrets.randbits(63)


def check_seed(seed: int | None) -> int:
    """Return `seed`, or a fresh one for None.

    Raises
    ------
    SettingError
        If `seed` is not an integer in [0, 2**63).
    """
    if seed is None:
        return fresh_seed()
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed <= _MAX_SEED:
        raise SettingError(f"seed: expected an integer in [0, 2**63) or None, got {seed!r}")
    return int(seed)


def make_generator(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a new generator on `device`; any seed, zero included, is a seed."""
    generator = torch.Generator(device=device)
    # torch seeds its CPU generator with the low 32 bits only: hash first, so that seeds that share them differ.
    words = np.random.SeedSequence(seed).generate_state(2, dtype=np.uint32)
    return generator.manual_seed(int(words[0]) | int(words[1]) << 32)


def restore_generator(state: Tensor, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator on `device` that continues from `state` (from `Generator.get_state`)."""
    generator = torch.Generator(device=device)
    generator.set_state(state.cpu())
    return generator


def numpy_generator(generator: torch.Generator) -> np.random.Generator:
    """Return a NumPy generator seeded by one draw of 4 x 32 bits from `generator`."""
    words = torch.randint(0, 2**32, (4,), generator=generator, device=generator.device, dtype=torch.int64)
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(words.tolist())))
