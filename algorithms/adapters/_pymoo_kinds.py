"""pymoo's algorithms and operators by name: where each is, and what it can serve."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from blackbox.errors import MissingDependencyError, SettingError

__all__ = ["KINDS", "Kind", "load_class", "make_setting", "reference_directions"]


@dataclass(frozen=True)
class Kind:
    """What is known of one of pymoo's algorithms.

    Parameters
    ----------
    module : str
        Below `pymoo.algorithms`.
    objectives : (int, int or None)
        As in `Capabilities`.
    constraints : bool
    mixed : bool
        Whether pymoo's mating for mixed variables can take the place of its own.
    directions : bool
        Whether it needs reference directions.
    sized : bool
        Whether it takes `pop_size`; others have one member for each direction.
    inside : bool
        Whether it also evaluates within its own steps.
    global_numpy : bool
        Whether it draws from NumPy's global generator.
    """

    module: str
    objectives: tuple[int, int | None]
    constraints: bool = True
    mixed: bool = False
    directions: bool = False
    sized: bool = True
    inside: bool = False
    global_numpy: bool = False


def _moo(name: str, **flags: bool) -> Kind:
    return Kind(f"moo.{name}", (2, None), **flags)


def _soo(name: str, **flags: bool) -> Kind:
    return Kind(f"soo.nonconvex.{name}", (1, 1), **flags)


KINDS: Mapping[str, Kind] = {
    "AGEMOEA": _moo("age", mixed=True),
    "AGEMOEA2": _moo("age2", mixed=True),
    "BIPOPCMAES": _soo("cmaes", constraints=False, global_numpy=True),
    "BRKGA": _soo("brkga"),
    "CMAES": _soo("cmaes", constraints=False, global_numpy=True),
    "CMOPSO": _moo("cmopso", constraints=False),
    "CTAEA": _moo("ctaea", directions=True, sized=False),
    "DE": _soo("de"),
    "DIRECT": _soo("direct", constraints=False),
    "DNSGA2": _moo("dnsga2", constraints=False, inside=True),
    "EPPSO": _soo("pso_ep", constraints=False),
    "ES": _soo("es"),
    "G3PCX": _soo("g3pcx", constraints=False),
    "GA": _soo("ga", mixed=True),
    "GDE3": _moo("gde3"),
    "GDE32NN": _moo("gde3"),
    "GDE3MNN": _moo("gde3"),
    "GDE3PCD": _moo("gde3"),
    "ISRES": _soo("isres"),
    "KGB": _moo("kgb", constraints=False, inside=True, global_numpy=True),
    "MOEAD": _moo("moead", constraints=False, directions=True, sized=False),
    "MOPSO_CD": _moo("mopso_cd", inside=True),
    "NRBO": _soo("nrbo", constraints=False),
    "NSDE": _moo("nsde"),
    "NSDER": _moo("nsder", directions=True),
    "NSGA2": _moo("nsga2", mixed=True),
    "NSGA3": _moo("nsga3", mixed=True, directions=True),
    "NelderMead": _soo("nelder", constraints=False),
    "NicheGA": _soo("ga_niching"),
    "OmniOptimizer": _moo("omni"),
    "PSO": _soo("pso"),
    "ParallelMOEAD": _moo("moead", constraints=False, directions=True, sized=False),
    "PatternSearch": _soo("pattern", constraints=False),
    "RNSGA2": _moo("rnsga2", mixed=True),
    "RNSGA3": _moo("rnsga3", mixed=True),
    "RVEA": _moo("rvea", mixed=True, directions=True),
    "RandomSearch": _soo("random_search"),
    "SMSEMOA": _moo("sms", mixed=True),
    "SPEA2": _moo("spea2", mixed=True),
    "SRES": _soo("sres"),
    "SimpleCMAES": _soo("cmaes", constraints=False, global_numpy=True),
    "UNSGA3": _moo("unsga3", mixed=True, directions=True),
}

_OPERATORS = {
    "BinomialCrossover": "crossover.binx",
    "BitflipMutation": "mutation.bitflip",
    "ChoiceRandomMutation": "mutation.rm",
    "DEX": "crossover.dex",
    "ExponentialCrossover": "crossover.expx",
    "FloatRandomSampling": "sampling.rnd",
    "GaussianMutation": "mutation.gauss",
    "HalfUniformCrossover": "crossover.hux",
    "LatinHypercubeSampling": "sampling.lhs",
    "NoMutation": "mutation.nom",
    "PCX": "crossover.pcx",
    "PolynomialMutation": "mutation.pm",
    "RandomSelection": "selection.rnd",
    "RankAndCrowding": "survival.rank_and_crowding",
    "SBX": "crossover.sbx",
    "SinglePointCrossover": "crossover.pntx",
    "TwoPointCrossover": "crossover.pntx",
    "UniformCrossover": "crossover.ux",
}
_SHORT = {
    "GM": "GaussianMutation",
    "LHS": "LatinHypercubeSampling",
    "PM": "PolynomialMutation",
    "UX": "UniformCrossover",
}
_DECOMPOSITIONS = {"ASF": "asf", "PBI": "pbi", "Tchebicheff": "tchebicheff", "WeightedSum": "weighted_sum"}


def load_class(kind: str) -> Any:
    """Return one of pymoo's algorithm classes."""
    before = random.getstate()  # some modules below scikit-learn draw from it while they are imported
    try:
        return getattr(import_module(f"pymoo.algorithms.{KINDS[kind].module}"), kind)
    except ImportError as error:
        raise MissingDependencyError(f"Pymoo({kind!r}): {error}") from error
    except Exception as error:  # pymoo's way of saying that numba is missing
        if "numba" not in str(error):
            raise
        raise MissingDependencyError(f"Pymoo({kind!r}) needs numba: pip install numba") from error
    finally:
        random.setstate(before)


def make_setting(name: str, value: Any, n_objectives: int, seed: int) -> Any:
    """Return what pymoo is given for one entry of `settings`: operators by name, lists as arrays, the rest as it is.

    Raises
    ------
    SettingError
        If a name is unknown, or an operator does not take an argument.
    """
    if isinstance(value, list):
        return _as_array(name, value, n_objectives)
    if not isinstance(value, Mapping) or "kind" not in value:
        return value
    options = {key: item for key, item in value.items() if key != "kind"}
    kind = _SHORT.get(str(value["kind"]), str(value["kind"]))
    try:
        if name == "ref_dirs":
            return _named_directions(kind, options, n_objectives, seed)
        if kind in _OPERATORS:
            return getattr(import_module(f"pymoo.operators.{_OPERATORS[kind]}"), kind)(**options)
        if kind in _DECOMPOSITIONS:
            return getattr(import_module(f"pymoo.decomposition.{_DECOMPOSITIONS[kind]}"), kind)(**options)
    except TypeError as error:
        raise SettingError(f"settings: {name}: {kind} does not take {options}: {error}") from None
    known = sorted({*_OPERATORS, *_SHORT, *_DECOMPOSITIONS})
    raise SettingError(f"settings: {name}: expected one of {known}, got {kind!r}")


def _as_array(name: str, value: list[Any], n_objectives: int) -> Any:
    try:
        array = np.array(value, dtype=float)
    except (TypeError, ValueError):
        raise SettingError(f"settings: {name}: expected numbers of one shape, got {value!r}") from None
    if name in ("ref_dirs", "ref_points") and (array.ndim != 2 or array.shape[1] != n_objectives):
        raise SettingError(f"settings: {name}: expected shape (r, {n_objectives}), got {array.shape}")
    return array


def _named_directions(kind: str, options: dict[str, Any], n_objectives: int, seed: int) -> Any:
    from pymoo.util.ref_dirs import get_reference_directions

    names = ["das-dennis", "energy", "incremental", "layer-energy", "multi-layer", "reduction", "uniform"]
    if kind not in names:
        raise SettingError(f"settings: ref_dirs: expected an array or one of {names}, got {kind!r}")
    if kind in ("energy", "layer-energy", "reduction"):
        options.setdefault("seed", seed)
    return get_reference_directions(kind, n_objectives, **options)


def reference_directions(n_objectives: int, pop_size: int) -> Any:
    """Return the largest lattice of Das and Dennis with at most `pop_size` points, one partition at least."""
    partitions = 1
    while math.comb(partitions + n_objectives, n_objectives - 1) <= pop_size:
        partitions += 1
    return _named_directions("das-dennis", {"n_partitions": partitions}, n_objectives, 0)
