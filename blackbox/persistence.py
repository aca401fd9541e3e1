"""An optimizer as a state tree, and back: everything is checked first, then put in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from blackbox.algorithm import Algorithm
from blackbox.delivery import Piece
from blackbox.errors import BlackboxError, StateError, shown
from blackbox.handout import Queue
from blackbox.incumbent import Incumbent
from blackbox.ledger import Ledger
from blackbox.objective import Objective
from blackbox.outcomes import Outcome
from blackbox.random import restore_generator
from blackbox.space import Space
from blackbox.state import from_tree, to_tree

if TYPE_CHECKING:
    from blackbox.optimizer import Optimizer

__all__ = [
    "algorithm_from_tree",
    "algorithm_to_tree",
    "load_optimizer",
    "optimizer_to_tree",
    "restore_optimizer",
]


def algorithm_to_tree(algorithm: Algorithm[Any]) -> dict[str, Any]:
    """Return the kind and the settings of an algorithm."""
    return {"kind": type(algorithm).__name__, "settings": to_tree(algorithm)}


def algorithm_from_tree(tree: Mapping[str, Any]) -> Algorithm[Any]:
    """Return an algorithm of this package from its kind and settings; no other class is ever looked up.

    Raises
    ------
    StateError
        If the kind is none of ours, or the settings do not fit it.
    """
    from blackbox import algorithms

    kind = tree.get("kind")
    if kind not in algorithms.__all__:
        raise StateError(f"algorithm: {kind!r} is none of {algorithms.__all__}; pass algorithm=")
    try:
        made: Algorithm[Any] = from_tree(getattr(algorithms, str(kind)), tree["settings"])
    except (TypeError, ValueError, KeyError) as error:
        raise StateError(f"algorithm: the settings of {kind} do not fit: {error}") from None
    return made


def space_from_tree(tree: Mapping[str, Any]) -> Any:
    """Return a space (or genome space) from its JSON tree."""
    if "genome" in tree:
        from blackbox.genome import GenomeSpace

        return GenomeSpace.from_json(tree)
    return Space.from_json(tree)


def _header(optimizer: Optimizer) -> dict[str, Any]:
    return {
        "space": optimizer.space.to_json(),
        "objectives": [[o.name, o.maximize] for o in optimizer.objectives],
        "n_constraints": optimizer.n_constraints,
        "algorithm": algorithm_to_tree(optimizer.algorithm),
    }


def optimizer_to_tree(optimizer: Optimizer) -> dict[str, Any]:
    """Return the state tree of an optimizer; tensors are copies."""
    tree = {
        "kind": "optimizer",
        **_header(optimizer),
        "seed": optimizer.seed,
        "token": optimizer._token,
        "device": str(optimizer.device),
        "dtype": str(optimizer.dtype).removeprefix("torch."),
        "budget": optimizer._spec.budget,
        "generator": optimizer._generator.get_state(),
        "ledger": optimizer._ledger.state(),
        "queue": None if optimizer._queue is None else optimizer._queue.points,
        "queue_context": {} if optimizer._queue is None else optimizer._queue.context,
        "buffer": [_piece_to_tree(piece) for piece in optimizer._buffer],
        "incumbent": optimizer._incumbent.state(),
        "counts": [optimizer._n_told, int(optimizer._n_failed), optimizer._n_external],
        "kernel": optimizer._kernel,
    }
    return _copied(to_tree(tree))  # type: ignore[no-any-return]


def _copied(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _copied(item) for key, item in tree.items()}
    if isinstance(tree, list):
        return [_copied(item) for item in tree]
    if isinstance(tree, Tensor):
        return tree.detach().clone()
    return tree.copy() if hasattr(tree, "copy") and hasattr(tree, "dtype") else tree


def _piece_to_tree(piece: Piece) -> dict[str, Any]:
    return {
        "ids": piece.id_tensor,
        "points": piece.points,
        "outcome": piece.outcome,
        "external": piece.external,
    }


def restore_optimizer(optimizer: Optimizer, tree: Mapping[str, Any]) -> None:
    """Put a state tree in place of an optimizer's own; on an error nothing has changed."""
    if not isinstance(tree, Mapping) or tree.get("kind") != "optimizer":
        raise StateError("state: this is no state of an optimizer")
    for key, own in _header(optimizer).items():
        if _plain(own) != _plain(tree.get(key)):
            raise StateError(f"state: its {key} differs: expected {shown(own, 200)}, got {shown(tree.get(key), 200)}")
    try:
        parts = _restored_parts(optimizer, tree)
    except BlackboxError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, IndexError) as error:
        raise StateError(f"state: damaged: {error!r}") from None
    for name, value in parts.items():
        setattr(optimizer, name, value)


def _restored_parts(optimizer: Optimizer, tree: Mapping[str, Any]) -> dict[str, Any]:
    device, dtype = optimizer.device, getattr(torch, tree["dtype"])
    if dtype != optimizer.dtype:
        raise StateError(f"state: its dtype differs: expected {optimizer.dtype}, got {dtype}")

    def as_points(points: Any) -> Any:
        if isinstance(points, Tensor):
            return points.to(device)
        return optimizer.space.points_from_tree(points, device)

    told, failed, external = tree["counts"]
    kernel = tree["kernel"]
    if optimizer._kernel is not None:
        kernel = from_tree(type(optimizer._kernel), _to_device(kernel, device))
    generator = tree["generator"] if tree["device"] == str(device) else None
    queue, context = tree["queue"], {name: column.to(device) for name, column in tree["queue_context"].items()}
    return {
        "seed": int(tree["seed"]),
        "_token": str(tree["token"]),
        "_generator": optimizer._generator if generator is None else restore_generator(generator, device),
        "_ledger": Ledger.from_state(tree["ledger"], as_points),
        "_queue": None if queue is None else Queue(as_points(queue), context),
        "_buffer": [_piece_from_tree(piece, as_points, device) for piece in tree["buffer"]],
        "_incumbent": Incumbent.from_state(tree["incumbent"], len(optimizer.objectives), as_points),
        "_n_told": int(told),
        "_n_failed": int(failed),
        "_n_external": int(external),
        "_kernel": kernel,
    }


def _piece_from_tree(tree: Mapping[str, Any], as_points: Any, device: torch.device) -> Piece:
    columns = _to_device(tree["outcome"], device)
    outcome = from_tree(Outcome, columns)
    return Piece(tree["ids"], as_points(tree["points"]), outcome, bool(tree["external"]))


def _to_device(tree: Any, device: torch.device) -> Any:
    if isinstance(tree, Mapping):
        return {key: _to_device(item, device) for key, item in tree.items()}
    if isinstance(tree, list):
        return [_to_device(item, device) for item in tree]
    return tree.to(device) if isinstance(tree, Tensor) else tree


def _plain(tree: Any) -> Any:
    """Return a tree in which equal settings are equal: tensors and arrays as lists, tuples as lists."""
    if isinstance(tree, Mapping):
        return {key: _plain(item) for key, item in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_plain(item) for item in tree]
    return tree.tolist() if hasattr(tree, "tolist") else tree


def load_optimizer(
    kind: type[Optimizer], tree: Any, algorithm: Algorithm[Any] | None, device: str | torch.device | None
) -> Optimizer:
    """Return the optimizer of a state tree."""
    if not isinstance(tree, Mapping) or tree.get("kind") != "optimizer":
        raise StateError("state: this is no state of an optimizer")
    try:
        optimizer = kind(
            space_from_tree(tree["space"]),
            algorithm_from_tree(tree["algorithm"]) if algorithm is None else algorithm,
            objectives=[Objective(name, maximize) for name, maximize in tree["objectives"]],
            n_constraints=tree["n_constraints"],
            seed=tree["seed"],
            device=tree["device"] if device is None else device,
            dtype=getattr(torch, tree["dtype"]),
            budget=tree["budget"],
        )
    except BlackboxError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StateError(f"state: damaged: {error!r}") from None
    restore_optimizer(optimizer, tree)
    return optimizer
