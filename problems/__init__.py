"""Problems to optimize: test functions, engineering designs, model tuning, and adapters to other libraries.

Names load on first use, so that importing this package is cheap.

Examples
--------
>>> from blackbox.problems import Branin
>>> Branin().optimum
0.3978873577297384
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blackbox.problems.adapters import from_botorch, from_pymoo
    from blackbox.problems.constrained import ConstrainedBranin, Gardner, Gramacy
    from blackbox.problems.engineering import (
        RE21,
        RE22,
        RE23,
        RE24,
        RE25,
        RE31,
        RE32,
        RE33,
        RE34,
        RE35,
        RE36,
        RE37,
        RE41,
        RE42,
        RE61,
    )
    from blackbox.problems.synthetic import (
        Ackley,
        Branin,
        Ellipsoid,
        Griewank,
        Hartmann3,
        Hartmann6,
        Levy,
        Rastrigin,
        Rosenbrock,
        Sphere,
        StyblinskiTang,
    )
    from blackbox.problems.tuning import ClassifierTuning, GradientBoostingTuning, MLPTuning, SVMTuning
    from blackbox.problems.wrappers import Constrained, Noisy, Rotated, Scaled, Shifted

# fmt: off
_HOMES = {
    "synthetic": ("Ackley", "Branin", "Ellipsoid", "Griewank", "Hartmann3", "Hartmann6", "Levy", "Rastrigin",
                  "Rosenbrock", "Sphere", "StyblinskiTang"),
    "constrained": ("ConstrainedBranin", "Gardner", "Gramacy"),
    "wrappers": ("Constrained", "Noisy", "Rotated", "Scaled", "Shifted"),
    "engineering": ("RE21", "RE22", "RE23", "RE24", "RE25", "RE31", "RE32", "RE33", "RE34", "RE35", "RE36", "RE37",
                    "RE41", "RE42", "RE61"),
    "tuning": ("ClassifierTuning", "GradientBoostingTuning", "MLPTuning", "SVMTuning"),
    "adapters": ("from_botorch", "from_pymoo"),
}
# fmt: on
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "RE21",
    "RE22",
    "RE23",
    "RE24",
    "RE25",
    "RE31",
    "RE32",
    "RE33",
    "RE34",
    "RE35",
    "RE36",
    "RE37",
    "RE41",
    "RE42",
    "RE61",
    "Ackley",
    "Branin",
    "ClassifierTuning",
    "Constrained",
    "ConstrainedBranin",
    "Ellipsoid",
    "Gardner",
    "GradientBoostingTuning",
    "Gramacy",
    "Griewank",
    "Hartmann3",
    "Hartmann6",
    "Levy",
    "MLPTuning",
    "Noisy",
    "Rastrigin",
    "Rosenbrock",
    "Rotated",
    "SVMTuning",
    "Scaled",
    "Shifted",
    "Sphere",
    "StyblinskiTang",
    "available",
    "from_botorch",
    "from_pymoo",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)


def available() -> dict[str, str]:
    """Return the names of all problems that can be made without arguments, each with its one-line summary.

    Wrappers and adapters, which are made of another problem, are left out.

    Examples
    --------
    >>> available()["Branin"]
    "Branin's function over [-5, 10] x [0, 15], two variables; optimum 0.397887 at three points."
    """
    modules = [module for module in _HOMES if module not in ("wrappers", "adapters")]
    names = [name for module in modules for name in _HOMES[module]]
    return {name: (__getattr__(name).__doc__ or "").strip().splitlines()[0] for name in names}
