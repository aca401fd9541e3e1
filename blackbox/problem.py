"""Problems: what is searched, and how a point is evaluated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from blackbox._arguments import whole_number
from blackbox.candidates import Evaluation
from blackbox.errors import SettingError, shown
from blackbox.objective import Objective, parse_objectives
from blackbox.space import Space

__all__ = ["FunctionProblem", "Problem", "parse_outcome"]


class Problem:
    """A space, objectives, a number of constraints, and an evaluation of batches.

    Subclasses implement `evaluate` for a batch of points; `__call__` validates around it.

    Parameters
    ----------
    space : Space or mapping of parameters
    objectives : int, str, Objective or a sequence of them, default 1
    n_constraints : int, default 0
        Constraints are feasible at <= 0.
    name : str, optional

    Attributes
    ----------
    optimum : float or None
        The best value of a single objective, where known.
    reference_point : Tensor, shape (m,), or None
        For hypervolumes, where known; in the problem's own directions.
    dataset : tuple of (Tensor, Tensor) or None
        Offline problems: the points, shape (n, d), and values, shape (n, m), to be told.
    """

    optimum: float | None = None
    reference_point: Tensor | None = None
    dataset: tuple[Tensor, Tensor] | None = None

    def __init__(
        self,
        space: Space | Mapping[str, Any],
        *,
        objectives: int | str | Objective | Sequence[str | Objective] = 1,
        n_constraints: int = 0,
        name: str | None = None,
    ) -> None:
        if not hasattr(space, "dim") and not isinstance(space, Mapping):
            raise SettingError(f"space: expected a Space or a mapping of parameters, got {space!r}")
        self.space = Space(space) if isinstance(space, Mapping) else space
        self.objectives = parse_objectives(objectives)
        self.n_constraints = whole_number(n_constraints, "n_constraints", 0)
        self.name = name or type(self).__name__

    def evaluate(self, x: Tensor) -> Evaluation | Tensor:
        """Return the evaluation of points of shape (n, d) in the space's own units."""
        raise TypeError(f"{type(self).__name__} has no evaluate(x): implement it, or use Problem.from_function")

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return about n points of the true Pareto front, shape (r, m), where known."""
        raise SettingError(f"{self.name}: its Pareto front is not known")

    def __call__(self, x: Any) -> Evaluation:
        """Evaluate a batch.

        Parameters
        ----------
        x : Tensor or array, shape (n, d), or an iterable of dictionaries
            In the space's own units; one row (d,) is taken as a batch of one.

        Returns
        -------
        Evaluation
            With values of shape (n, m) and violations of shape (n, k).
        """
        x = self._as_tensor(x)
        if not x.is_floating_point():
            x = x.to(torch.float64)
        if x.dim() == 1:
            x = x[None]
        if x.dim() != 2 or x.shape[1] != self.space.dim:
            raise SettingError(f"x: expected shape (n, {self.space.dim}), got {tuple(x.shape)}")
        evaluation = self.evaluate(x)
        if isinstance(evaluation, Tensor):
            evaluation = Evaluation(evaluation)
        values = evaluation.values[:, None] if evaluation.values.dim() == 1 else evaluation.values
        return Evaluation(values, evaluation.violations, evaluation.variance, evaluation.extras)

    def _as_tensor(self, x: Any) -> Tensor:
        if isinstance(x, Tensor):
            return x
        if isinstance(x, Mapping):
            x = [x]
        elif isinstance(x, Iterator):
            x = list(x)
        if isinstance(x, (list, tuple)) and (not x or isinstance(x[0], Mapping)):
            return self.space.encode(x)
        try:
            return torch.from_numpy(np.array(x, dtype=np.float64))
        except (TypeError, ValueError):
            raise SettingError(
                f"x: expected points of shape (n, {self.space.dim}) or dictionaries, got {shown(x)}"
            ) from None

    def evaluate_config(self, config: Mapping[str, Any]) -> Evaluation:
        """Evaluate one dictionary; what a study's worker calls."""
        return self(self.space.encode([config]))

    @staticmethod
    def from_function(
        function: Callable[..., Any],
        space: Space | Mapping[str, Any],
        *,
        takes: Literal["config", "keywords", "batch"] = "config",
        objectives: int | str | Objective | Sequence[str | Objective] = 1,
        n_constraints: int = 0,
        name: str | None = None,
    ) -> FunctionProblem:
        """Return a problem that calls `function`.

        Parameters
        ----------
        function : callable
            Returns a number, a sequence of m numbers, or a dictionary with one key an objective and optionally
            "violations" (k numbers), "variance" and "extras"; for `takes="batch"`, a tensor of shape (n,) or (n, m),
            or an `Evaluation`.
        space : Space or mapping of parameters
        takes : "config", "keywords" or "batch", default "config"
            Whether it is called as f(config), f(**config), or f(x) with x of shape (n, d).
        objectives, n_constraints, name
            As for `Problem`.

        Examples
        --------
        >>> from blackbox.space import Space
        >>> problem = Problem.from_function(lambda c: c["x0"] ** 2, Space.box([-1], [1]))
        >>> problem([[0.5]]).values
        tensor([[0.2500]], dtype=torch.float64)
        """
        return FunctionProblem(
            function, space, takes=takes, objectives=objectives, n_constraints=n_constraints, name=name
        )


class FunctionProblem(Problem):
    """A problem made of a Python function; see `Problem.from_function`."""

    def __init__(
        self,
        function: Callable[..., Any],
        space: Space | Mapping[str, Any],
        *,
        takes: Literal["config", "keywords", "batch"] = "config",
        objectives: int | str | Objective | Sequence[str | Objective] = 1,
        n_constraints: int = 0,
        name: str | None = None,
    ) -> None:
        if not callable(function):
            raise SettingError(f"function: expected a callable, got {function!r}")
        if takes not in ("config", "keywords", "batch"):
            raise SettingError(f'takes: expected "config", "keywords" or "batch", got {takes!r}')
        super().__init__(
            space,
            objectives=objectives,
            n_constraints=n_constraints,
            name=name or getattr(function, "__name__", "function"),
        )
        self.function = function
        self.takes = takes

    def evaluate(self, x: Tensor) -> Evaluation | Tensor:
        """Return the evaluation of points of shape (n, d), row by row unless the function takes batches."""
        if self.takes == "batch":
            result = self.function(x)
            return result if isinstance(result, Evaluation) else torch.as_tensor(result)
        rows = [self.evaluate_config(config) for config in self.space.decode(x)]
        violations = [r.violations for r in rows if r.violations is not None]
        variance = [r.variance for r in rows if r.variance is not None]
        names = set.intersection(*(set(r.extras) for r in rows)) if rows else set()
        return Evaluation(
            torch.cat([r.values for r in rows]) if rows else x.new_zeros(0, len(self.objectives)),
            torch.cat(violations) if violations else None,
            torch.cat(variance) if len(variance) == len(rows) and rows else None,
            {name: torch.cat([r.extras[name] for r in rows]) for name in sorted(names)},
        )

    def evaluate_config(self, config: Mapping[str, Any]) -> Evaluation:
        """Evaluate one dictionary."""
        if self.takes == "batch":
            return self(self.space.encode([config]))
        outcome = self.function(**config) if self.takes == "keywords" else self.function(dict(config))
        return parse_outcome(outcome, self.objectives, self.n_constraints)


def parse_outcome(outcome: Any, objectives: Sequence[Objective], n_constraints: int = 0) -> Evaluation:
    """Return what one evaluation returned as an `Evaluation` of one row.

    Parameters
    ----------
    outcome : number, sequence of m numbers, mapping, or Evaluation
        A mapping has one key an objective (or "values"), and optionally "violations", "variance" and "extras".
    objectives : sequence of Objective
    n_constraints : int, default 0

    Raises
    ------
    SettingError
        If it is anything else; the message says what was expected. NaN is no error here: it is a failure.
    """
    if isinstance(outcome, Evaluation):
        if outcome.values.numel() != len(objectives):
            raise SettingError(f"outcome: expected {len(objectives)} values, got {tuple(outcome.values.shape)}")
        return Evaluation(outcome.values.reshape(1, -1), outcome.violations, outcome.variance, outcome.extras)
    if not isinstance(outcome, Mapping):
        return Evaluation(_row(outcome, len(objectives), "outcome"), _no_violations(n_constraints))
    names = [objective.name for objective in objectives]
    known = {*names, "values", "violations", "variance", "extras"}
    if set(outcome) - known:
        unknown = min(set(outcome) - known, key=str)
        raise SettingError(f"outcome: unknown key {unknown!r}; expected {sorted(known)}")
    others = {key: column for key, column in outcome.items() if key not in names}  # an objective's name comes first
    if "values" in others:
        values = others["values"]
    else:
        missing = [name for name in names if name not in outcome]
        if missing:
            raise SettingError(f"outcome: the objective {missing[0]!r} is missing; got {sorted(outcome, key=str)}")
        values = [outcome[name] for name in names]
    violations = others.get("violations")
    variance = others.get("variance")
    return Evaluation(
        _row(values, len(objectives), "values"),
        _no_violations(n_constraints) if violations is None else _row(violations, n_constraints, "violations"),
        None if variance is None else _row(variance, len(objectives), "variance"),
        {name: torch.as_tensor(column)[None] for name, column in others.get("extras", {}).items()},
    )


def _no_violations(n_constraints: int) -> Tensor | None:
    if n_constraints:
        raise SettingError(f"outcome: expected {n_constraints} violations, got none; return a dictionary")
    return None


def _row(values: Any, n: int, name: str) -> Tensor:
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    array = np.asarray(values)
    if array.dtype.kind not in "iuf" or array.size != n or array.ndim > 2:
        raise SettingError(f"{name}: expected {n} real number(s), got {shown(values)}")
    return torch.as_tensor(array.astype(np.float64).reshape(1, n))
