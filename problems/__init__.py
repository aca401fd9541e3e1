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
    from blackbox.problems.adapters import from_botorch, from_evox, from_pymoo
    from blackbox.problems.constrained import ConstrainedBranin, Gardner, Gramacy
    from blackbox.problems.control import RobotControl
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
    from blackbox.problems.multi_fidelity import AugmentedBranin, AugmentedHartmann
    from blackbox.problems.multi_objective import (
        C1DTLZ1,
        C1DTLZ3,
        C2DTLZ2,
        C3DTLZ1,
        C3DTLZ4,
        DC1DTLZ1,
        DC1DTLZ3,
        DC2DTLZ1,
        DC2DTLZ3,
        DC3DTLZ1,
        DC3DTLZ3,
        DTLZ1,
        DTLZ2,
        DTLZ3,
        DTLZ4,
        DTLZ5,
        DTLZ6,
        DTLZ7,
        LSMOP1,
        LSMOP2,
        LSMOP3,
        LSMOP4,
        LSMOP5,
        LSMOP6,
        LSMOP7,
        LSMOP8,
        LSMOP9,
        VLMOP1,
        VLMOP2,
        VLMOP3,
        WFG1,
        WFG2,
        WFG3,
        WFG4,
        WFG5,
        WFG6,
        WFG7,
        WFG8,
        WFG9,
        ZDT1,
        ZDT2,
        ZDT3,
        ZDT4,
        ZDT5,
        ZDT6,
        MaF1,
        MaF2,
        MaF3,
        MaF4,
        MaF5,
        MaF6,
        MaF7,
        MaF8,
        MaF9,
        MaF10,
        MaF11,
        MaF12,
        MaF13,
        MaF14,
        MaF15,
        MNKLandscape,
        MultiObjectiveKnapsack,
        OmniTest,
        VehicleSafety,
    )
    from blackbox.problems.offline import (
        OfflineProblem,
        OfflineScore,
        OfflineSet,
        RNABinding,
        TFBind8,
        offline_sets,
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
    "multi_fidelity": ("AugmentedBranin", "AugmentedHartmann"),
    "constrained": ("ConstrainedBranin", "Gardner", "Gramacy"),
    "control": ("RobotControl",),
    "wrappers": ("Constrained", "Noisy", "Rotated", "Scaled", "Shifted"),
    "engineering": ("RE21", "RE22", "RE23", "RE24", "RE25", "RE31", "RE32", "RE33", "RE34", "RE35", "RE36", "RE37",
                    "RE41", "RE42", "RE61"),
    "multi_objective": ("C1DTLZ1", "C1DTLZ3", "C2DTLZ2", "C3DTLZ1", "C3DTLZ4", "DC1DTLZ1", "DC1DTLZ3", "DC2DTLZ1",
                        "DC2DTLZ3",
                        "DC3DTLZ1", "DC3DTLZ3", "DTLZ1", "DTLZ2", "DTLZ3", "DTLZ4", "DTLZ5", "DTLZ6", "DTLZ7",
                        "LSMOP1", "LSMOP2", "LSMOP3", "LSMOP4", "LSMOP5", "LSMOP6", "LSMOP7", "LSMOP8",
                        "LSMOP9", "MNKLandscape", "MaF1", "MaF10", "MaF11", "MaF12", "MaF13", "MaF14", "MaF15",
                        "MaF2", "MaF3", "MaF4", "MaF5", "MaF6", "MaF7", "MaF8", "MaF9",
                        "MultiObjectiveKnapsack", "OmniTest", "VLMOP1", "VLMOP2", "VLMOP3", "VehicleSafety",
                        "WFG1", "WFG2", "WFG3", "WFG4",
                        "WFG5", "WFG6", "WFG7", "WFG8", "WFG9", "ZDT1", "ZDT2", "ZDT3", "ZDT4", "ZDT5", "ZDT6"),
    "tuning": ("ClassifierTuning", "GradientBoostingTuning", "MLPTuning", "SVMTuning"),
    "offline": ("OfflineProblem", "OfflineScore", "OfflineSet", "RNABinding", "TFBind8", "offline_sets"),
    "adapters": ("from_botorch", "from_evox", "from_pymoo"),
}
# fmt: on
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "C1DTLZ1",
    "C1DTLZ3",
    "C2DTLZ2",
    "C3DTLZ1",
    "C3DTLZ4",
    "DC1DTLZ1",
    "DC1DTLZ3",
    "DC2DTLZ1",
    "DC2DTLZ3",
    "DC3DTLZ1",
    "DC3DTLZ3",
    "DTLZ1",
    "DTLZ2",
    "DTLZ3",
    "DTLZ4",
    "DTLZ5",
    "DTLZ6",
    "DTLZ7",
    "LSMOP1",
    "LSMOP2",
    "LSMOP3",
    "LSMOP4",
    "LSMOP5",
    "LSMOP6",
    "LSMOP7",
    "LSMOP8",
    "LSMOP9",
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
    "VLMOP1",
    "VLMOP2",
    "VLMOP3",
    "WFG1",
    "WFG2",
    "WFG3",
    "WFG4",
    "WFG5",
    "WFG6",
    "WFG7",
    "WFG8",
    "WFG9",
    "ZDT1",
    "ZDT2",
    "ZDT3",
    "ZDT4",
    "ZDT5",
    "ZDT6",
    "Ackley",
    "AugmentedBranin",
    "AugmentedHartmann",
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
    "MNKLandscape",
    "MaF1",
    "MaF2",
    "MaF3",
    "MaF4",
    "MaF5",
    "MaF6",
    "MaF7",
    "MaF8",
    "MaF9",
    "MaF10",
    "MaF11",
    "MaF12",
    "MaF13",
    "MaF14",
    "MaF15",
    "MultiObjectiveKnapsack",
    "Noisy",
    "OfflineProblem",
    "OfflineScore",
    "OfflineSet",
    "OmniTest",
    "RNABinding",
    "Rastrigin",
    "RobotControl",
    "Rosenbrock",
    "Rotated",
    "SVMTuning",
    "Scaled",
    "Shifted",
    "Sphere",
    "StyblinskiTang",
    "TFBind8",
    "VehicleSafety",
    "available",
    "from_botorch",
    "from_evox",
    "from_pymoo",
    "offline_sets",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)


def available() -> dict[str, str]:
    """Return the names of all problems that can be made without arguments, each with its one-line summary.

    Wrappers and adapters, which are made of another problem, are left out, and so are offline problems, which need a
    data set, a package or a name.

    Examples
    --------
    >>> available()["Branin"]
    "Branin's function over [-5, 10] x [0, 15], two variables; optimum 0.397887 at three points."
    """
    modules = [module for module in _HOMES if module not in ("wrappers", "adapters", "offline")]
    names = [name for module in modules for name in _HOMES[module]]
    names.sort(key=lambda name: (_HOME[name], name.rstrip("0123456789"), len(name), name))
    return {name: _summary(__getattr__(name).__doc__ or "") for name in names}


def _summary(docstring: str) -> str:
    """Return the first line without its reference to where parameters are described."""
    line = docstring.strip().splitlines()[0]
    return line.split("; parameters as ")[0].rstrip(".") + "."
