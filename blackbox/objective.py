"""What is optimized: objectives and their direction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from blackbox._arguments import is_whole
from blackbox.errors import SettingError

__all__ = ["Objective", "parse_objectives", "signs_of"]


@dataclass(frozen=True, slots=True)
class Objective:
    """One objective.

    Parameters
    ----------
    name : str
        A name, unique among the problem's objectives.
    maximize : bool, default False
        Whether more is better. Conversion happens once, at the optimizer's boundary.

    Examples
    --------
    >>> Objective("accuracy", maximize=True).sign
    -1.0
    """

    name: str = "value"
    maximize: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise SettingError(f"name: expected a non-empty string, got {self.name!r}")
        if not isinstance(self.maximize, bool):
            raise SettingError(f"maximize: expected True or False, got {self.maximize!r}")

    @property
    def sign(self) -> float:
        """The factor that makes this objective one to minimise: 1.0 or -1.0."""
        return -1.0 if self.maximize else 1.0


def signs_of(objectives: Sequence[Objective], dtype: torch.dtype, device: torch.device) -> Tensor | None:
    """Return the factors that make all objectives ones to minimise, shape (m,); None where all are one."""
    if not any(objective.maximize for objective in objectives):
        return None
    return torch.tensor([objective.sign for objective in objectives], dtype=dtype, device=device)


def parse_objectives(objectives: int | str | Objective | Sequence[str | Objective]) -> tuple[Objective, ...]:
    """Return a tuple of objectives from a count, a name, or a sequence of names and objectives.

    Raises
    ------
    ValueError
        If there is none, or two share a name.

    Examples
    --------
    >>> [objective.name for objective in parse_objectives(2)]
    ['f1', 'f2']
    """
    if not is_whole(objectives, 1) and not isinstance(objectives, (str, Objective, Sequence)):
        raise SettingError(f"objectives: expected a count >= 1, names or Objectives, got {objectives!r}")
    if isinstance(objectives, (int, np.integer)):
        names = ["value"] if objectives == 1 else [f"f{i + 1}" for i in range(objectives)]
        parsed = tuple(Objective(name) for name in names)
    elif isinstance(objectives, (str, Objective)):
        parsed = (_one(objectives),)
    else:
        parsed = tuple(_one(objective) for objective in objectives)
    if not parsed:
        raise SettingError(f"objectives: expected at least one, got {objectives!r}")
    names = [objective.name for objective in parsed]
    if len(set(names)) < len(names):
        raise SettingError(f"objectives: expected distinct names, got {names}")
    return parsed


def _one(objective: str | Objective) -> Objective:
    if isinstance(objective, Objective):
        return objective
    if isinstance(objective, str):
        return Objective(objective)
    raise SettingError(f"objectives: expected a name or an Objective, got {objective!r}")
