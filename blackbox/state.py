"""State trees and the files that hold them: tensors, numbers and text, with digests; nothing executable.

A tree is made of dict (string keys), list, str, int, float, bool, None, tensors, arrays and dataclasses. A file is one
safetensors archive whose metadata carries the tree as JSON and a SHA-256 digest of each tensor.

A field of a dataclass that is declared with `field(default=..., metadata=TRANSIENT)` is no part of the tree: it takes
its default on loading. It is for caches that can be made again from the other fields.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import struct
import tempfile
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from blackbox.errors import StateError

__all__ = ["TRANSIENT", "from_tree", "load_file", "pack", "save_file", "to_tree", "unpack"]

TRANSIENT: Mapping[str, bool] = types.MappingProxyType({"transient": True})

_FORMAT = 1
_MAX_HEADER = 2**28  # bytes; a header beyond this is damaged or hostile
T = TypeVar("T")


def to_tree(value: Any) -> Any:
    """Return `value` with dataclasses as dictionaries and tuples as lists; `value.to_tree()` where it has one."""
    if hasattr(value, "to_tree"):
        return to_tree(value.to_tree())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: to_tree(getattr(value, name)) for name in _saved_fields(value)}
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) and not key.startswith("$") for key in value):
            raise StateError(f"state: expected string keys, got {list(value)!r}")
        return {key: to_tree(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_tree(item) for item in value]
    if value is None or isinstance(value, (str, bool, int, float, Tensor, np.ndarray)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    raise StateError(f"state: a {type(value).__name__} cannot be saved: {value!r}")


def _saved_fields(kind: Any) -> list[str]:
    return [f.name for f in dataclasses.fields(kind) if not f.metadata.get("transient")]


def from_tree(kind: Any, tree: Any) -> Any:
    """Return the value of type `kind` (a dataclass, or a type made of them) that `tree` describes.

    A class with a classmethod `from_tree` is asked to do it itself.

    Raises
    ------
    StateError
        If the tree does not have the fields of a dataclass.
    """
    if hasattr(kind, "from_tree"):
        return kind.from_tree(tree)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return next((from_tree(k, tree) for k in arguments if _fits(k, tree)), tree)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        names = _saved_fields(kind)
        if not isinstance(tree, Mapping) or set(tree) != set(names):
            found = sorted(tree) if isinstance(tree, Mapping) else tree
            raise StateError(f"{kind.__name__}: expected the fields {names}, got {found}")
        return kind(**{name: from_tree(hints[name], tree[name]) for name in names})
    if origin is list and arguments:
        return [from_tree(arguments[0], item) for item in tree]
    if origin is tuple and tree is not None:
        kinds = arguments if arguments and arguments[-1] is not Ellipsis else arguments[:1] * len(tree)
        return tuple(from_tree(k, item) for k, item in zip(kinds, tree, strict=False))
    if origin is dict and len(arguments) == 2:
        return {key: from_tree(arguments[1], item) for key, item in tree.items()}
    return tree


def _fits(kind: Any, tree: Any) -> bool:
    if kind is type(None):
        return tree is None
    if dataclasses.is_dataclass(kind):
        return isinstance(tree, Mapping) and set(tree) == set(_saved_fields(kind))
    origin = typing.get_origin(kind) or kind
    if origin is tuple:
        return isinstance(tree, list)
    return isinstance(tree, origin) if isinstance(origin, type) else False


def pack(tree: Any) -> bytes:
    """Return a tree as the bytes of a state file."""
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    skeleton = _lift_tensors(to_tree(tree), tensors)
    text = json.dumps(skeleton)
    index = {
        "format": _FORMAT,
        "tree": text,
        "tree_digest": hashlib.sha256(text.encode()).hexdigest(),
        "digests": {name: _digest(tensor) for name, tensor in tensors.items()},
    }
    data: bytes = save(tensors, metadata={"blackbox": json.dumps(index)})
    return data


def _lift_tensors(tree: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(tree, dict):
        return {key: _lift_tensors(item, tensors) for key, item in tree.items()}
    if isinstance(tree, list):
        return [_lift_tensors(item, tensors) for item in tree]
    if isinstance(tree, (Tensor, np.ndarray)):
        name = f"t{len(tensors)}"
        tensor = tree.detach().cpu() if isinstance(tree, Tensor) else torch.from_numpy(np.ascontiguousarray(tree))
        tensors[name] = tensor.contiguous().clone()  # safetensors refuses tensors that share memory
        return {"$tensor" if isinstance(tree, Tensor) else "$array": name}
    return tree


def _digest(tensor: Tensor) -> str:
    flat = tensor.reshape(-1).view(torch.uint8) if tensor.numel() else torch.zeros(0, dtype=torch.uint8)
    text = f"{tensor.dtype}{tuple(tensor.shape)}".encode()
    return hashlib.sha256(text + flat.numpy().tobytes()).hexdigest()


def unpack(data: bytes, *, source: str = "state") -> Any:
    """Return the tree of the bytes of a state file, tensors on the CPU.

    Raises
    ------
    StateError
        If the bytes are truncated, altered, or no state file of ours.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    index = _read_index(data, source)
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, RuntimeError, KeyError) as error:
        raise StateError(f"{source}: damaged: {error}") from None
    if hashlib.sha256(index["tree"].encode()).hexdigest() != index["tree_digest"]:
        raise StateError(f"{source}: damaged: the digest of the tree does not match")
    if set(tensors) != set(index["digests"]):
        raise StateError(f"{source}: damaged: it holds other tensors than its index lists")
    for name, tensor in tensors.items():
        if _digest(tensor) != index["digests"][name]:
            raise StateError(f"{source}: damaged: the digest of tensor {name} does not match")
    return _lower_tensors(json.loads(index["tree"]), tensors)


def _read_index(data: bytes, source: str) -> dict[str, Any]:
    if len(data) < 8:
        raise StateError(f"{source}: no state file: {len(data)} bytes")
    (length,) = struct.unpack("<Q", data[:8])
    if length > min(len(data) - 8, _MAX_HEADER):
        raise StateError(f"{source}: truncated, or no state file: a header of {length} bytes in {len(data)}")
    try:
        index = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["blackbox"])
        version = index["format"]
        if not (isinstance(index["tree"], str) and isinstance(index["digests"], dict)):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise StateError(f"{source}: damaged, or no state file of blackbox") from None
    if version != _FORMAT:
        raise StateError(f"{source}: format {version!r}; this version reads format {_FORMAT}")
    return index  # type: ignore[no-any-return]


def _lower_tensors(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(tree, dict):
        if set(tree) == {"$tensor"}:
            return tensors[tree["$tensor"]]
        if set(tree) == {"$array"}:
            return tensors[tree["$array"]].numpy()
        return {key: _lower_tensors(item, tensors) for key, item in tree.items()}
    if isinstance(tree, list):
        return [_lower_tensors(item, tensors) for item in tree]
    return tree


def save_file(path: str | os.PathLike[str], tree: Any) -> None:
    """Write a tree to `path`: to a temporary name, flushed, then renamed, so that a crash leaves the old file.

    Raises
    ------
    StateError
        If the file cannot be written (no space, read-only directory); what was there before is untouched.
    """
    path = Path(path)
    data = pack(tree)
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = file.name
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        raise StateError(f"{path}: cannot be written: {error.strerror or error}") from error


def load_file(path: str | os.PathLike[str]) -> Any:
    """Return the tree of a file from `save_file`.

    Raises
    ------
    StateError
        If the file is missing, truncated, altered, or no state file of ours.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise StateError(f"{path}: cannot be read: {error.strerror or error}") from error
    return unpack(data, source=str(path))
