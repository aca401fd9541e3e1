"""pycma as a function of numbers: an engine that is loaded with a run's numbers, samples, updates, and is read out.

pycma's object changes in place. Here its numbers (a flat dictionary of arrays and scalars) are the truth, and the
object is scratch space: any call may start from any numbers, so that a kernel built on it is functional, and saving a
run is saving the numbers.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache
from types import FunctionType, MethodType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from blackbox.algorithms._cma_box import SearchBox
from blackbox.algorithms._cma_run import Run
from blackbox.errors import StateError

__all__ = ["Engine"]

Array = NDArray[np.float64]
Numbers = dict[str, Any]

# What changes from one generation to the next, by the part of pycma's object that it belongs to.
_STATE = {
    part: tuple(names.split())
    for part, names in {
        "es": "mean pc pc2 sigma countiter countevals",
        "sigma_vec": "scaling is_identity dim",
        "adapt_sigma": "ps delta _ps_updated_iteration",
        "stagnation": "x count count_x",
        "best": "f evals",
        "fit": "fit hist histbest histmedian median median0 median_min median_previous median_got_worse "
        "flatfit_iterations",
        "full": "D _corr_condition _corr_condition_count_eigen _beta_diagonal_acceleration last_update count_tell "
        "count_eigen",
        "diagonal": "standard_deviations",  # exists after a rescaling only
    }.items()
}
_MATRICES = ("B", "C")
_COORDINATE_CONDITION = 1e8  # pycma's: from here on the scaling of coordinates moves out of the covariance matrix


class Engine:
    """One run of pycma's CMA-ES (a distribution from its start to its stop) in a search box.

    Parameters
    ----------
    box : SearchBox
    run : Run
        Start, step-size and population of the run.
    diagonal : bool
        Whether the covariance matrix is diagonal (sep-CMA-ES).
    """

    def __init__(self, box: SearchBox, run: Run, *, diagonal: bool) -> None:
        self.box = box
        self.run = run
        self._diagonal = diagonal
        self._generator: torch.Generator | None = None
        with _Quiet():
            self._es = self._make(run, diagonal)
        es = self._es
        self._population_size = int(es.popsize)
        owners = {
            "es": es,
            "sigma_vec": es.sigma_vec,
            "adapt_sigma": es.adapt_sigma,
            "stagnation": es._stoptolxstagnation,
            "best": es.best,
            "fit": es.fit,
            "diagonal" if diagonal else "full": es.sm,
        }
        self._slots = [
            (f"{part}.{name}", owner, name)
            for part, owner in owners.items()
            for name in _STATE[part]
            if name not in _MATRICES
        ]
        self._holds: Numbers = self._read()
        self.first_numbers = self._holds

    def _make(self, run: Run, diagonal: bool) -> Any:
        import cma

        options: dict[str, Any] = {
            "verbose": -10,
            "verb_log": 0,
            "verb_disp": 0,
            "signals_filename": None,  # no file is read that happens to be in the working directory
            # With `randn` given and a seed of NaN pycma leaves numpy's global generator alone.
            "randn": self._normals,
            "seed": np.nan,
            "CMA_diagonal": diagonal,
            # At any dimension: from d = 300 on pycma would compare two mirrored points that are not sampled here.
            "AdaptSigma": cma.sigma_adaptation.CMAAdaptSigmaCSA,
            "maxstd": self.box.width / 3,
            # No linear map is put in front of the search at condition 1e12, as pycma would do: it would be one more
            # matrix of state. The run stops at condition 1e14 and restarts.
            "conditioncov_alleviate": [_COORDINATE_CONDITION, 0],
            "integer_variables": list(self.box.integers),
        }
        if run.population_size:
            options["popsize"] = run.population_size
        if len(set(self.box.width.tolist())) > 1:
            options["CMA_stds"] = self.box.width
        es = _strategy()(run.mean.copy(), run.sigma, options)
        if self.box.integers:
            self._give_bounds_and_random(es, cma)
        # Limits on standard deviations are applied by this class: pycma looks at every variable in Python.
        self._std_low, self._std_high = es.opts["minstd"], es.opts["maxstd"]
        es.opts["minstd"], es.opts["maxstd"] = 0, np.inf
        if run.max_generations:
            es.opts["maxiter"] = min(es.opts["maxiter"], run.max_generations)
        es._is_independent_sample = [True] * int(es.popsize)
        es.timer = SimpleNamespace(pause=lambda: None, elapsed=0.0)
        es.evaluations_per_f_value = 1
        # pycma looks up each point's search vector by its bytes; it is given the search vectors themselves.
        es.sent_solutions = es.archive = _NOTHING
        return es

    def _give_bounds_and_random(self, es: Any, cma: Any) -> None:
        """Let pycma's handling of integers know the box, and draw from our generator instead of numpy's global one."""
        centring = es.integer_centering
        handler = es.boundary_handler
        es.boundary_handler = cma.BoundTransform([self.box.lower, self.box.upper])
        if centring.has_bounds():
            centring.lower_bounds(self.box.dim)
            centring.upper_bounds(self.box.dim)  # both are remembered there
        es.boundary_handler = handler
        for name in ("center", "repair"):
            setattr(centring, name, _with_numpy(getattr(centring, name), _Numpy(self._uniforms)))

    # -- random numbers --------------------------------------------------------------------------------------

    def _normals(self, *shape: int) -> Array:
        generator = self._generator
        assert generator is not None
        drawn = torch.randn(shape, generator=generator, device=generator.device, dtype=torch.float64)
        return (drawn if drawn.is_cpu else drawn.cpu()).numpy()

    def _uniforms(self, *shape: int) -> Any:
        generator = self._generator
        assert generator is not None
        drawn = torch.rand(shape, generator=generator, device=generator.device, dtype=torch.float64)
        return drawn.cpu().numpy() if shape else float(drawn)

    # -- numbers in and out ----------------------------------------------------------------------------------

    def _read(self) -> Numbers:
        numbers: Numbers = {"tolupsigma": self._es.opts["tolupsigma"]}
        for key, owner, name in self._slots:
            value = getattr(owner, name, None)
            numbers[key] = value.copy() if isinstance(value, (np.ndarray, list)) else value
        if not self._diagonal:
            for name in _MATRICES:
                # Stored in the order of its memory: products differ in the last bit between the two orders.
                matrix = getattr(self._es.sm, name)
                by_columns = not matrix.flags.c_contiguous
                matrix = matrix.T if by_columns else matrix
                numbers[name] = matrix.copy() if name == "C" else matrix  # B is only ever replaced as a whole
                numbers[f"{name}_by_columns"] = by_columns
        return numbers

    def _load(self, numbers: Numbers) -> None:
        if self._holds is numbers:
            return
        es = self._es
        es.opts["tolupsigma"] = numbers["tolupsigma"]
        for key, owner, name in self._slots:
            value = numbers[key]
            if value is None and name == "standard_deviations":
                owner.__dict__.pop(name, None)
            else:
                setattr(owner, name, value.copy() if isinstance(value, (np.ndarray, list)) else value)
        if not self._diagonal:
            for name in _MATRICES:
                matrix = numbers[name].copy()
                setattr(es.sm, name, matrix.T if numbers[f"{name}_by_columns"] else matrix)
        es.mean_old = es.mean
        es.mean_after_tell = es.mean.copy()
        es._isotropic_mean_shift_iteration = -1
        es._stopdict.lastiter = -1
        es._updateBDfromSM(es.sm)
        self._holds = numbers

    def check(self, numbers: Numbers) -> None:
        """Raise `StateError` unless loaded numbers have the names of this engine's, and its matrices their shapes."""
        own = self.first_numbers
        if set(numbers) != set(own):
            raise StateError(f"numbers: expected {sorted(own)}, got {sorted(numbers)}")
        for name, value in own.items():
            if np.ndim(value) and not isinstance(value, list) and np.shape(numbers[name]) != np.shape(value):
                raise StateError(f"{name}: expected shape {np.shape(value)}, got {np.shape(numbers[name])}")

    # -- the steps of a generation ---------------------------------------------------------------------------

    @property
    def population_size(self) -> int:
        """How many candidates a generation has."""
        return self._population_size

    @property
    def evaluations(self) -> int:
        """How many evaluations this run has seen, as loaded last."""
        return int(self._es.countevals)

    def sample(self, numbers: Numbers, injected: Sequence[Array], generator: torch.Generator) -> Array:
        """Return a generation of search vectors, shape (n, d); the first ones point towards `injected` ones."""
        es = self._es
        self._load(numbers)
        self._generator = generator
        try:
            if not injected:
                # What pycma's `ask_geno` comes down to.
                steps = es.sigma_vec * np.asarray(es.sm.sample(self.population_size))
                return np.asarray(es.mean + es.sigma * steps)
            es._flgtelldone = True
            es.number_of_solutions_asked = 0
            es._injected_solutions_archive = _NOTHING
            es.pop_injection_directions = [target - es.mean for target in injected]
            with _Quiet():
                return np.asarray(es.ask_geno())
        finally:
            self._generator = None
            es.pop_injection_directions = []

    def update(
        self,
        numbers: Numbers,
        genotypes: Array,
        fitness: list[float],
        injected: int,
        foreign: Sequence[int],
        generator: torch.Generator,
    ) -> tuple[Numbers, list[str]]:
        """Return the numbers after a generation, and why the run ended (empty where it goes on).

        Parameters
        ----------
        numbers : dict
            Those that the generation was sampled from; they stay as they are.
        genotypes : array, shape (n, d)
            The search vectors, in the order in which they were sampled.
        fitness : list of n float
            Finite values to minimise.
        injected : int
            How many of the first ones were sampled towards injected points.
        foreign : sequence of int
            Rows that were changed after sampling: their length is limited as pycma does for foreign solutions.
        """
        es = self._es
        self._load(numbers)
        self._holds = {}  # until this has gone well, the engine holds the numbers of no state
        self._generator = generator
        try:
            with _Quiet():
                rows = list(genotypes.copy())
                for row in foreign:
                    rows[row] = es.repair_genotype(rows[row], copy_if_changed=True)
                es._injected_solutions_archive = self._marked(rows[:injected])
                es._flgtelldone = False
                es.number_of_injections, es.number_of_solutions_asked = injected, len(rows)
                es.tell(rows, fitness, check_points=False)
                self._limit_stds()
                reasons = list(es.stop())
                # What pycma does first in its next `ask`: done here, so that sampling changes no number.
                if not self._diagonal:
                    if es.dC.max() >= _COORDINATE_CONDITION * es.dC.min():
                        es.alleviate_conditioning_in_coordinates(_COORDINATE_CONDITION)
                    es.sm.update_now()
                    es._updateBDfromSM(es.sm)
        except (ArithmeticError, AssertionError, IndexError, RuntimeError, ValueError, np.linalg.LinAlgError) as error:
            return numbers, [f"breakdown: {type(error).__name__}: {error}"]
        finally:
            self._generator = None
            es._stopdict.stoplist.clear()
        after = self._read()
        if not np.isfinite(after["es.sigma"] * after["es.mean"].sum()):
            return numbers, ["breakdown: the distribution is no longer finite"]
        self._holds = after
        return after, reasons

    def _marked(self, rows: list[Array]) -> Any:
        """Return where pycma looks up which rows were injected."""
        if not rows:
            return _NOTHING
        from cma.utilities.utils import SolutionDict

        marked = SolutionDict()
        for index, row in enumerate(rows):
            marked[row] = {"iteration": self._es.countiter, "index": index}
        return marked

    def _limit_stds(self) -> None:
        es = self._es
        stds = es.stds
        if (stds > self._std_high).any() or (self.box.integers and (stds < self._std_low).any()):
            es.opts["minstd"], es.opts["maxstd"] = self._std_low, self._std_high
            es._stds_into_limits()
            es.opts["minstd"], es.opts["maxstd"] = 0, np.inf


@cache
def _strategy() -> Any:
    """Return pycma's strategy with its limits on standard deviations as one array operation, at any dimension."""
    import cma

    class Strategy(cma.CMAEvolutionStrategy):  # type: ignore[misc]
        def _stds_into_limits(self, warn: bool = False) -> None:
            """Rescale coordinates as pycma does, whose own loop fails where there is a single variable."""
            low, high = (np.asarray(self.opts[name], dtype=float) for name in ("minstd", "maxstd"))
            slack = np.exp(1e-4) if self.countiter <= 2 else 1  # pycma's own: eigenvalues start out slightly apart
            stds = np.asarray(self.stds)
            limits = np.where(stds < low, low, high)
            wrong = (stds < low) | (stds > high * slack)
            if not wrong.any():
                return
            self.sigma_vec._init_(self.N)
            scaling = self.sigma_vec.scaling
            wrong &= (stds != 0) & np.isfinite(scaling * limits)
            self.sigma_vec.is_identity = False
            scaling[wrong] = (scaling * limits)[wrong] / stds[wrong]
            self.pc2[wrong] *= limits[wrong] / stds[wrong]

    return Strategy


class _Quiet:
    """Silence pycma: its verbosity is a global of its own, and some of its warnings ignore it."""

    __slots__ = ("_before", "_filters")

    def __enter__(self) -> None:
        utils = _pycma_utils()
        self._before = utils.global_verbosity
        utils.global_verbosity = -10
        self._filters = warnings.catch_warnings(action="ignore")
        self._filters.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._filters.__exit__(*error)
        _pycma_utils().global_verbosity = self._before


@cache
def _pycma_utils() -> Any:
    from cma.utilities import utils

    return utils


class _Nothing:
    """An archive of pycma's in which nothing is ever found or kept."""

    def __getitem__(self, key: object) -> Any:
        raise KeyError

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def get(self, key: object, default: Any = None) -> Any:
        return default

    def pop(self, key: object, *default: Any) -> Any:
        if not default:
            raise KeyError
        return default[0]

    def __len__(self) -> int:
        return 0

    def items(self) -> tuple[()]:
        return ()

    def truncate_to(self, size: int) -> None:
        pass


_NOTHING = _Nothing()


class _Numpy:
    """numpy with another `random.rand`."""

    def __init__(self, rand: Any) -> None:
        self.random = SimpleNamespace(rand=rand)

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def _with_numpy(method: Any, numpy: _Numpy) -> Any:
    """Return a bound method of pycma's, which draws from numpy's global generator, with `numpy` under the name np."""
    function = method.__func__
    names = {**function.__globals__, "np": numpy}
    made = FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    return MethodType(made, method.__self__)
