"""Test problems of botorch, EvoX and pymoo as our problems; none of them is imported here before it is needed."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from blackbox.candidates import Evaluation
from blackbox.errors import SettingError
from blackbox.objective import Objective
from blackbox.parameters import Categorical, Integer, Parameter, Real
from blackbox.problem import Problem
from blackbox.problems._fronts import simplex
from blackbox.problems.wrappers import Noisy
from blackbox.random import check_seed
from blackbox.space import Space

__all__ = ["BotorchProblem", "EvoxProblem", "PymooProblem", "from_botorch", "from_evox", "from_pymoo"]


def from_botorch(test_function: Any, *, seed: int = 0) -> Problem:
    """Return a botorch test function as a problem.

    Values are those that the function returns; its objectives are to be maximised where its `negate` flag makes them
    so. Constraint slacks, feasible at >= 0 there, change their sign. Observation noise (`noise_std`) is added by
    `Noisy`, reproducibly, and not by botorch, which would draw from the global generator.

    Parameters
    ----------
    test_function : botorch.test_functions.base.BaseTestProblem
        With one or several objectives, with or without constraints; real, discrete (as integers) and categorical
        variables.
    seed : int, default 0
        Of the observation noise, where there is some.

    Raises
    ------
    SettingError
        If it is something else, or has noisy constraints.

    Examples
    --------
    >>> from botorch.test_functions import Branin
    >>> from_botorch(Branin(negate=True)).objectives
    (Objective(name='value', maximize=True),)
    """
    problem = BotorchProblem(test_function)
    noise = test_function.noise_std
    return problem if noise is None else Noisy(problem, noise, seed=seed)


class BotorchProblem(Problem):
    """A botorch test function without its noise; see `from_botorch`.

    Parameters
    ----------
    test_function : botorch.test_functions.base.BaseTestProblem
    """

    minimizers: Tensor | None = None

    def __init__(self, test_function: Any) -> None:
        if not all(hasattr(test_function, name) for name in ("evaluate_true", "bounds", "negate")):
            raise SettingError(f"test_function: expected a botorch test function, got {test_function!r}")
        if getattr(test_function, "constraint_noise_std", None) is not None:
            raise SettingError("test_function: expected one whose constraints are without noise")
        m = int(getattr(test_function, "num_objectives", 1))
        names = ["value"] if m == 1 else [f"f{i + 1}" for i in range(m)]
        # `is_minimization_problem` is refused by botorch for several objectives; this is its definition.
        maximize = bool(test_function.negate) == test_function._is_minimization_by_default
        self.is_constrained = hasattr(test_function, "evaluate_slack_true")
        super().__init__(
            _botorch_space(test_function),
            objectives=[Objective(name, maximize=maximize) for name in names],
            n_constraints=int(test_function.num_constraints) if self.is_constrained else 0,
            name=type(test_function).__name__,
        )
        self.test_function = test_function
        reference = getattr(test_function, "ref_point", None)
        self.reference_point = None if reference is None else reference.clone()
        if m == 1:
            try:
                self.optimum = float(test_function.optimal_value)
            except NotImplementedError:
                self.optimum = None
            self.minimizers = getattr(test_function, "optimizers", None)

    def evaluate(self, x: Tensor) -> Evaluation:
        """Return the evaluation of points of shape (n, d), without noise; computed in float64."""
        bounds = self.test_function.bounds.to(x.device)
        for column in self.test_function.categorical_inds:
            x = x.clone()
            x[:, column] += bounds[0, column]
        points = x.to(bounds.dtype).clamp(bounds[0], bounds[1])
        values = self.test_function(points, noise=False)
        violations = -self.test_function.evaluate_slack_true(points) if self.is_constrained else None
        return Evaluation(values.reshape(len(x), len(self.objectives)), violations)

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return n points of the Pareto front, shape (n, m), where botorch knows it."""
        with torch.random.fork_rng(devices=[]):  # some functions draw from the global generator
            torch.manual_seed(0)
            try:
                front: Tensor = self.test_function.gen_pareto_front(n)
            except (NotImplementedError, AttributeError):
                return super().pareto_front(n)
        return front


def _botorch_space(test_function: Any) -> Space:
    low, high = test_function.bounds.detach().cpu().to(torch.float64).tolist()
    discrete = list(getattr(test_function, "discrete_inds", []))
    categorical = list(getattr(test_function, "categorical_inds", []))
    if not discrete and not categorical:
        return Space.box(low, high)
    parameters: dict[str, Parameter] = {}
    for column, (a, b) in enumerate(zip(low, high, strict=True)):
        if column in discrete:
            parameters[f"x{column}"] = Integer(int(a), int(b))
        elif column in categorical:
            parameters[f"x{column}"] = Categorical(list(range(int(a), int(b) + 1)))
        else:
            parameters[f"x{column}"] = Real(a, b)
    return Space(parameters)


def from_evox(
    problem: Any, lower: Any = None, upper: Any = None, *, n_objectives: int | None = None, seed: int = 0
) -> EvoxProblem:
    """Return an EvoX problem as ours; see `EvoxProblem`.

    Examples
    --------
    With EvoX installed, ``from_evox(evox.problems.numerical.DTLZ2(d=12, m=3))`` is a problem of twelve variables.
    """
    return EvoxProblem(problem, lower, upper, n_objectives=n_objectives, seed=seed)


class EvoxProblem(Problem):
    """An EvoX problem over a box, evaluated in batches; all objectives are minimised, as EvoX does.

    EvoX's problems do not know their bounds. Those of its DTLZ suite ([0, 1]) and of CEC2022 ([-100, 100]) are known
    here; others have to be given.

    Parameters
    ----------
    problem : evox.core.Problem
        Whose `evaluate` takes points of shape (n, d).
    lower, upper : array-like, shape (d,), optional
        The box.
    n_objectives : int, optional
        Default: the problem's `m`, or 1.
    seed : int, default 0
        Of problems that draw from torch's global generator: it is seeded so for each evaluation, and put back.

    Raises
    ------
    SettingError
        If it is something else, has no known bounds, or returns another number of objectives.
    """

    def __init__(
        self, problem: Any, lower: Any = None, upper: Any = None, *, n_objectives: int | None = None, seed: int = 0
    ) -> None:
        if not isinstance(problem, torch.nn.Module) or not callable(getattr(problem, "evaluate", None)):
            raise SettingError(f"problem: expected an EvoX problem, got {problem!r}")
        if lower is None or upper is None:
            lower, upper = _evox_bounds(problem)
        m = int(getattr(problem, "m", 1)) if n_objectives is None else n_objectives
        super().__init__(Space.box(lower, upper), objectives=m, name=type(problem).__name__)
        self.problem: Any = problem
        self.seed = check_seed(seed)
        self._dtype = torch.float64
        middle = self.space.from_unit(torch.full((2, self.space.dim), 0.5, dtype=torch.float64))
        try:
            found = self._raw(middle)
        except RuntimeError:  # problems with tables (CEC2022) compute in the tables' precision
            self._dtype = torch.get_default_dtype()
            found = self._raw(middle)
        if found.dim() not in (1, 2) or len(found) != 2 or found.reshape(2, -1).shape[1] != m:
            raise SettingError(f"n_objectives: the problem returns shape {tuple(found.shape)} for 2 points, got {m}")

    def _raw(self, x: Tensor) -> Tensor:
        devices = [] if x.device.type == "cpu" else [x.device]
        with torch.random.fork_rng(devices=devices), torch.no_grad():
            torch.manual_seed(self.seed)
            values: Tensor = self.problem.evaluate(x.to(self._dtype))
        return values

    def evaluate(self, x: Tensor) -> Evaluation:
        """Return the evaluation of points of shape (n, d); in float64 where the problem can."""
        values = self._raw(x)
        return Evaluation(values.reshape(len(x), len(self.objectives)).to(x.device, torch.float64))

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return at most n points of the Pareto front, shape (r, m), where EvoX knows it."""
        if not hasattr(self.problem, "pf"):
            return super().pareto_front(n)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            front: Tensor = self.problem.pf().to("cpu", torch.float64)
        step = max(1, -(-len(front) // n))
        return front[::step]


def _evox_bounds(problem: Any) -> tuple[list[float], list[float]]:
    kinds = {base.__name__ for base in type(problem).__mro__}
    if "DTLZ" in kinds:
        return [0.0] * int(problem.d), [1.0] * int(problem.d)
    if "CEC2022" in kinds:
        return [-100.0] * int(problem.nx), [100.0] * int(problem.nx)
    raise SettingError(f"lower, upper: EvoX's {type(problem).__name__} has no bounds of its own; give them")


def from_pymoo(problem: Any, *, tolerance: float = 1e-4) -> PymooProblem:
    """Return a pymoo problem as ours; see `PymooProblem`.

    Examples
    --------
    >>> from pymoo.problems import get_problem
    >>> from_pymoo(get_problem("bnh")).n_constraints
    2
    """
    return PymooProblem(problem, tolerance=tolerance)


class PymooProblem(Problem):
    """A pymoo problem.

    Inequality constraints, feasible at <= 0 there too, come first; an equality h(x) = 0 becomes
    |h(x)| - tolerance <= 0. Objectives are minimised. Variables are real, or as pymoo's `vars` say (`Real`,
    `Integer`, `Binary`, `Choice`; names are kept), or integers where its `vtype` is int or bool.

    Parameters
    ----------
    problem : pymoo.core.problem.Problem
        With finite bounds.
    tolerance : float, default 1e-4
        How far from zero an equality may be, >= 0.

    Raises
    ------
    SettingError
        If it is something else, or a variable has no bounds.
    """

    def __init__(self, problem: Any, *, tolerance: float = 1e-4) -> None:
        if not all(hasattr(problem, name) for name in ("evaluate", "n_obj", "n_ieq_constr", "n_eq_constr")):
            raise SettingError(f"problem: expected a pymoo problem, got {problem!r}")
        if not 0 <= tolerance < np.inf:
            raise SettingError(f"tolerance: expected a finite number >= 0, got {tolerance!r}")
        variables = getattr(problem, "vars", None)
        space = _pymoo_box(problem) if variables is None else _pymoo_mixed(variables)
        super().__init__(
            space,
            objectives=int(problem.n_obj),
            n_constraints=int(problem.n_ieq_constr) + int(problem.n_eq_constr),
            name=problem.name(),
        )
        self.problem = problem
        self.tolerance = float(tolerance)
        self.is_mixed = variables is not None

    def evaluate(self, x: Tensor) -> Evaluation:
        """Return the evaluation of points of shape (n, d); computed by pymoo in float64 on the CPU."""
        if self.is_mixed:
            points = np.array(self.space.decode(x), dtype=object)
        else:
            points = x.detach().cpu().to(torch.float64).numpy()
            points = points.astype(self.problem.vtype) if self._has_integers else points.copy()
        out = self.problem.evaluate(points, return_values_of=["F", "G", "H"], return_as_dictionary=True)
        columns = [out["G"]] if self.problem.n_ieq_constr else []
        columns += [np.abs(out["H"]) - self.tolerance] if self.problem.n_eq_constr else []
        values = torch.from_numpy(np.asarray(out["F"], dtype=np.float64)).to(x.device)
        if not columns:
            return Evaluation(values)
        return Evaluation(values, torch.from_numpy(np.concatenate(columns, axis=1).astype(np.float64)).to(x.device))

    @property
    def _has_integers(self) -> bool:
        return getattr(self.problem, "vtype", float) in (int, bool)

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return about n points of the Pareto front, shape (r, m), where pymoo knows it."""
        names = inspect.signature(self.problem._calc_pareto_front).parameters
        options: dict[str, Any] = {}
        if "n_pareto_points" in names:
            options["n_pareto_points"] = n
        if "n_points" in names:
            options["n_points"] = n
        if "ref_dirs" in names:
            options["ref_dirs"] = simplex(n, self.problem.n_obj).numpy()
        front = self.problem.pareto_front(use_cache=False, **options)
        if front is None:
            return super().pareto_front(n)
        return torch.from_numpy(np.asarray(front, dtype=np.float64))


def _pymoo_box(problem: Any) -> Space:
    if problem.xl is None or problem.xu is None:
        raise SettingError(f"problem: expected bounds for every variable, got {problem.xl!r}, {problem.xu!r}")
    low, high = (np.broadcast_to(np.asarray(b, dtype=float), (problem.n_var,)) for b in (problem.xl, problem.xu))
    if getattr(problem, "vtype", float) in (int, bool):
        return Space({f"x{i}": Integer(int(a), int(b)) for i, (a, b) in enumerate(zip(low, high, strict=True))})
    return Space.box(low, high)


def _pymoo_mixed(variables: Mapping[str, Any]) -> Space:
    parameters: dict[str, Parameter] = {}
    for name, variable in variables.items():
        kind = type(variable).__name__
        if kind in ("Real", "Integer") and None in variable.bounds:
            raise SettingError(f"problem: {name}: expected finite bounds, got {variable.bounds!r}")
        if kind == "Real":
            parameters[name] = Real(*variable.bounds)
        elif kind == "Integer":
            parameters[name] = Integer(*variable.bounds)
        elif kind == "Binary":
            parameters[name] = Categorical([False, True])
        elif kind == "Choice":
            options = variable.options if variable.options is not None else variable.all
            parameters[name] = Categorical(list(options))
        else:
            raise SettingError(f"problem: {name}: expected Real, Integer, Binary or Choice, got {kind}")
    return Space(parameters)
