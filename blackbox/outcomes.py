"""What was told, checked and converted once, at the boundary: kernels trust it afterwards."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blackbox.candidates import Evaluation, Ids
from blackbox.errors import TellError, shown
from blackbox.state import TRANSIENT

__all__ = ["Outcome", "TellReport", "Terms", "has_finite_squares", "parse_told"]

_FEW = 10_000  # numbers that BLAS takes in one thread


@dataclass(frozen=True, slots=True)
class TellReport:
    """What a tell did.

    Attributes
    ----------
    ids : range or Tensor
        The ids of the told rows; external points get theirs here.
    n_failed : int
        Rows without a usable value (non-finite, or marked as failed).
    n_evaluations : int
        Asked candidates told so far, failed ones included.
    """

    ids: Ids
    n_failed: int
    n_evaluations: int


@dataclass(frozen=True, slots=True)
class Terms:
    """In what form an optimizer is told.

    Parameters
    ----------
    n_objectives, n_constraints : int
    signs : Tensor, shape (m,), or None
        Factors that turn the user's directions into minimisation; None where all are one.
    dtype : torch.dtype
    device : torch.device
    extras : tuple of str
        Names of the further columns that the algorithm uses.
    algorithm : str
        Its name, for messages.
    """

    n_objectives: int
    n_constraints: int
    signs: Tensor | None
    dtype: torch.dtype
    device: torch.device
    extras: tuple[str, ...]
    algorithm: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """Checked columns of one tell, minimised, on the kernel's device.

    Attributes
    ----------
    values : Tensor, shape (n, m); NaN in failed rows
    violations : Tensor, shape (n, k); NaN in failed rows
    failed : Tensor, shape (n,), bool
    variance : Tensor, shape (n, m), or None
    extras : dict of str to Tensor, shape (n, ...)
    may_have_failed : bool
        False where surely no row has failed.
    """

    values: Tensor
    violations: Tensor
    failed: Tensor
    variance: Tensor | None = None
    extras: dict[str, Tensor] = field(default_factory=dict)
    may_have_failed: bool = field(default=True, metadata=TRANSIENT)

    @property
    def n_failed(self) -> int:
        """The number of failed rows."""
        if not self.may_have_failed:
            return 0
        if self.failed.device.type == "cpu":
            return int(np.count_nonzero(self.failed.numpy()))
        return int(self.failed.sum())


def parse_told(
    values: Any,
    *,
    n: int,
    terms: Terms,
    violations: Any = None,
    variance: Any = None,
    failed: Any = None,
    extras: Mapping[str, Any] | None = None,
) -> Outcome:
    """Return what was told of n rows as an `Outcome`, or raise `TellError` naming the argument.

    Arguments as for `Optimizer.tell`.
    """
    if extras is not None and not isinstance(extras, Mapping):
        raise TellError(f"extras: expected a mapping of name to column, got {extras!r}", argument="extras")
    if isinstance(values, Evaluation):
        violations = values.violations if violations is None else violations
        variance = values.variance if variance is None else variance
        if values.extras:
            extras = {**{name: c for name, c in values.extras.items() if name in terms.extras}, **(extras or {})}
        values = values.values
    columns = _extras(extras, n, terms) if extras else {}
    m = terms.n_objectives
    marked = _failed_mask(failed, n, terms.device)
    if values is None:
        if marked is None or not bool(marked.all()):
            raise TellError(f"values: expected shape ({n}, {m}), got None; None is for failed rows only")
        matrix = torch.full((n, m), torch.nan, dtype=terms.dtype, device=terms.device)
    else:
        matrix = _matrix(values, "values", n, m, terms.dtype, terms.device)
    if terms.signs is not None:
        matrix = matrix * terms.signs
    spread = None if variance is None else _variance(variance, n, m, terms.dtype, terms.device)
    if marked is None and not terms.n_constraints and violations is None and _is_finite(matrix):
        return Outcome(
            matrix.clone() if terms.signs is None else matrix,
            _no_columns(n, terms.dtype, terms.device),
            torch.from_numpy(np.zeros(n, dtype=bool)),  # finite: on the CPU
            spread,
            columns,
            may_have_failed=False,
        )
    limits = _limits(violations, marked, n, terms)
    bad = ~_finite_rows(matrix) | ~_finite_rows(limits)
    if marked is not None:
        bad = bad | marked
    return Outcome(_blank(matrix, bad), _blank(limits, bad), bad, spread, columns)


@lru_cache(maxsize=8)
def _no_columns(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return a table of n rows that holds nothing, so that it can be shared."""
    return torch.empty((n, 0), dtype=dtype, device=device)


def _limits(violations: Any, marked: Tensor | None, n: int, terms: Terms) -> Tensor:
    """Return violations, shape (n, k)."""
    k = terms.n_constraints
    if not k:
        if violations is not None and np.asarray(_plain(violations)).size:
            raise TellError("violations: this problem has no constraints; declare n_constraints", argument="violations")
        return torch.empty((n, 0), dtype=terms.dtype, device=terms.device)
    if violations is not None:
        return _matrix(violations, "violations", n, k, terms.dtype, terms.device)
    if marked is None or not bool(marked.all()):
        raise TellError(f"violations: expected shape ({n}, {k}), got None", argument="violations")
    return torch.full((n, k), torch.nan, dtype=terms.dtype, device=terms.device)


def _is_finite(matrix: Tensor) -> bool:
    """Return whether all values are surely finite; one pass on the CPU, False elsewhere, where it would wait."""
    if not matrix.is_cpu:
        return False
    return has_finite_squares(matrix.numpy())


def has_finite_squares(table: NDArray[Any]) -> bool:
    """Return whether the squares of all numbers, and their sum, are finite; without a warning where they are not.

    In one thread: to wake another one, as BLAS does from 10,000 numbers on, takes longer than the sum, and much longer
    on a busy machine.
    """
    flat = table.reshape(-1)
    return math.isfinite(np.vdot(flat, flat) if len(flat) < _FEW else np.einsum("i,i", flat, flat))


def _finite_rows(matrix: Tensor) -> Tensor:
    finite = torch.isfinite(matrix)
    return finite[:, 0] if matrix.shape[1] == 1 else finite.all(1)


def _blank(matrix: Tensor, bad: Tensor) -> Tensor:
    """Return the matrix with NaN in bad rows, never the caller's own memory."""
    return matrix.masked_fill(bad[:, None], torch.nan)


def _matrix(given: Any, name: str, n: int, m: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return `given` as a tensor of shape (n, m); (n,) is accepted for m = 1."""
    tensor = _real_tensor(given, name)
    if tensor.shape != (n, m):
        if tensor.dim() == 0 and n == 1 and m == 1:
            tensor = tensor.reshape(1, 1)
        elif tensor.dim() == 1 and (m == 1 or len(tensor) == n == 0):  # an empty list has no columns
            tensor = tensor.reshape(len(tensor), m)
    if tensor.shape != (n, m):
        also = f" or ({n},)" if m == 1 else ""
        raise TellError(f"{name}: expected shape ({n}, {m}){also}, got {tuple(tensor.shape)}", argument=name)
    if tensor.dtype == dtype and tensor.device == device:
        return tensor
    converted = tensor.to(device=device, dtype=dtype)
    if tensor.dtype == torch.float64 and dtype != torch.float64:
        overflow = torch.isinf(converted) & torch.isfinite(tensor).to(device)
        if bool(overflow.any()):
            rows = overflow.any(1).nonzero()[:, 0].tolist()
            raise TellError(
                f"{name}: {float(tensor[rows[0]].abs().max())!r} in row {rows[0]} does not fit {dtype}",
                argument=name,
                rows=rows,
            )
    return converted


def _real_tensor(given: Any, name: str) -> Tensor:
    if isinstance(given, Tensor):
        if given.is_meta or given.layout != torch.strided:
            where = "one on device meta" if given.is_meta else str(given.layout)
            raise TellError(f"{name}: expected a dense tensor with data, got {where}", argument=name)
        tensor = given.detach()
    elif isinstance(given, float):
        return torch.tensor(given, dtype=torch.float64)
    else:
        try:
            array = np.asarray(_plain(given))
        except (ValueError, TypeError, RuntimeError):
            raise TellError(f"{name}: expected an array of numbers, got ragged {shown(given)}", argument=name) from None
        if array.dtype.kind not in "iuf":
            raise TellError(f"{name}: expected real numbers, got {_kind(array)}: {shown(given)}", argument=name)
        if array.dtype not in (np.float32, np.float64):
            array = array.astype(np.float64)
        # torch warns about read-only memory; nothing is written to it here, but a copy keeps it silent.
        owned = np.ascontiguousarray(array if array.flags.writeable else array.copy())
        tensor = torch.from_numpy(owned).reshape(array.shape)
    if tensor.is_complex() or tensor.dtype == torch.bool:
        raise TellError(f"{name}: expected real numbers, got {tensor.dtype}", argument=name)
    return tensor


def _plain(given: Any) -> Any:
    """Return what NumPy can read: tensors detached and on the CPU, masked entries as NaN."""
    if isinstance(given, np.ma.MaskedArray):  # not what lies under the mask
        return np.where(np.ma.getmaskarray(given), np.nan, np.ma.getdata(given).astype(np.float64))
    if isinstance(given, Tensor):
        return given.detach().cpu()
    if isinstance(given, (list, tuple)) and any(isinstance(item, Tensor) for item in given):
        return [_plain(item) for item in given]
    return given


def _kind(array: np.ndarray[Any, Any]) -> str:
    names = {"b": "booleans", "c": "complex numbers", "O": "objects", "U": "strings", "S": "bytes"}
    return names.get(array.dtype.kind, str(array.dtype))


def _failed_mask(failed: Any, n: int, device: torch.device) -> Tensor | None:
    if failed is None:
        return None
    try:
        mask = failed if isinstance(failed, Tensor) else torch.as_tensor(np.asarray(failed))
    except (TypeError, ValueError):  # strings, objects, ragged
        mask = torch.zeros(0)
    if mask.dtype != torch.bool or mask.dim() > 1 or (mask.dim() == 1 and len(mask) != n):
        raise TellError(f"failed: expected {n} booleans, got {shown(failed)}", argument="failed")
    return mask.to(device).expand(n)


def _variance(variance: Any, n: int, m: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    given = _real_tensor(variance, "variance")
    matrix = _matrix(given.expand(n, m) if given.dim() == 0 else given, "variance", n, m, dtype, device).clone()
    wrong = (matrix < 0) | torch.isinf(matrix)
    if bool(wrong.any()):
        row = int(wrong.any(1).nonzero()[0])
        raise TellError(
            f"variance: expected finite values >= 0 or NaN, got {matrix[row].tolist()} in row {row}",
            argument="variance",
            rows=[row],
        )
    return matrix


def _extras(extras: Mapping[str, Any], n: int, terms: Terms) -> dict[str, Tensor]:
    """Return further columns, checked."""
    unknown = sorted(set(extras) - set(terms.extras), key=str)
    if unknown:
        used = f"{terms.algorithm} uses {list(terms.extras)}"
        raise TellError(f"extras: unknown column {unknown[0]!r}; {used}", argument="extras")
    return {name: _column(column, name, n, terms.device) for name, column in extras.items()}


def _column(column: Any, name: str, n: int, device: torch.device) -> Tensor:
    tensor = _real_tensor(column, f"extras[{name!r}]").to(device)
    if tensor.dim() == 0 or len(tensor) != n:
        raise TellError(f"extras[{name!r}]: expected {n} rows, got shape {tuple(tensor.shape)}", argument="extras")
    return tensor.clone()
