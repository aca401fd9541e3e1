"""One evaluation: calling a problem where it may raise, and turning what came of it into plain numbers and text."""

from __future__ import annotations

import math
import os
import socket
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch

from blackbox.candidates import Evaluation
from blackbox.problem import Problem

__all__ = ["Evaluator", "Failure", "Report", "evaluate"]

_KEPT = 8000  # characters of a message or a traceback


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an evaluation failed.

    Attributes
    ----------
    type : str
        The name of the exception, "NonFiniteValue", "DeadlineExceeded", "WorkerDied" or "Lost".
    message : str
    traceback : str
        Of the exception, where there was one.
    output : str
        The end of what the worker process printed, up to 4 kB.
    """

    type: str
    message: str
    traceback: str = ""
    output: str = ""

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type


@dataclass(frozen=True, slots=True)
class Report:
    """What came of one evaluation: values, or a failure.

    Attributes
    ----------
    values, violations, variance : list of float, or None
    extras : dict of str to array
    failure : Failure or None
    started : float
        Unix time.
    seconds : float
    worker : str
        "host:pid".
    """

    values: list[float] | None = None
    violations: list[float] | None = None
    variance: list[float] | None = None
    extras: dict[str, Any] = field(default_factory=dict)
    failure: Failure | None = None
    started: float = 0.0
    seconds: float = 0.0
    worker: str = ""


class Evaluator:
    """Evaluates one problem; what a worker process gets once."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    def __call__(self, config: dict[str, Any]) -> Report:
        """Return the report on one configuration."""
        return evaluate(self.problem, config)


def evaluate(problem: Problem, config: Mapping[str, Any]) -> Report:
    """Evaluate one configuration; whatever is raised but `KeyboardInterrupt` becomes a failure, as text.

    Parameters
    ----------
    problem : Problem
    config : mapping
        Active parameters by name; the problem gets its own copy.
    """
    started, clock = time.time(), time.perf_counter()
    dtype = torch.get_default_dtype()
    outcome: dict[str, Any]
    try:
        outcome = _plain(problem.evaluate_config(dict(config)), len(problem.objectives), problem.n_constraints)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        outcome = {"failure": describe(error)}
    finally:
        torch.set_default_dtype(dtype)  # what an evaluation changes must not reach the optimizer
    seconds = time.perf_counter() - clock
    return Report(**outcome, started=started, seconds=seconds, worker=f"{_hostname()}:{os.getpid()}")


def describe(error: BaseException, output: str = "") -> Failure:
    """Return an exception as text, however broken it is."""
    try:
        message = str(error)
    except BaseException as second:
        message = f"(its message cannot be shown: {type(second).__name__})"
    try:
        lines = traceback.format_exception(type(error), error, error.__traceback__)
        text = "".join(lines)
    except BaseException:
        text = "(its traceback cannot be shown)"
    return Failure(type(error).__name__, message[-_KEPT:], text[-_KEPT:], output)


def _plain(evaluation: Evaluation, m: int, k: int) -> dict[str, Any]:
    """Return an evaluation of one row as lists, or as a failure."""
    if not isinstance(evaluation, Evaluation):
        raise TypeError(f"expected an Evaluation, got {type(evaluation).__name__}")
    values = _numbers(evaluation.values, "values", m)
    violations = _numbers(evaluation.violations, "violations", k) if k else None
    for name, numbers in (("values", values), ("violations", violations or [])):
        if not all(math.isfinite(number) for number in numbers):
            return {"failure": Failure("NonFiniteValue", f"{name}: {numbers}")}
    variance = None if evaluation.variance is None else _numbers(evaluation.variance, "variance", m)
    if variance is not None and any(number < 0 or number == math.inf for number in variance):
        raise ValueError(f"variance: expected finite numbers >= 0 or NaN, got {variance}")
    extras = {str(name): np.asarray(column) for name, column in evaluation.extras.items()}
    for name, column in extras.items():
        if column.dtype.kind not in "iuf" or column.ndim < 1 or len(column) != 1:
            raise ValueError(f"extras[{name!r}]: expected one row of real numbers, got {column.dtype} {column.shape}")
    return {"values": values, "violations": violations, "variance": variance, "extras": extras}


def _numbers(given: Any, name: str, n: int) -> list[float]:
    array = np.asarray(given.detach().cpu() if isinstance(given, torch.Tensor) else given)
    if array.dtype.kind not in "iuf" or array.size != n:
        raise ValueError(f"{name}: expected {n} real number(s), got {array.dtype} of shape {array.shape}")
    return [float(number) for number in array.reshape(-1)]


@cache
def _hostname() -> str:
    return socket.gethostname()
