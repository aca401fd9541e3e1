"""Genomes of millions of weights as short recipes: a seed for the start, and one for each mutation since."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from blackbox.candidates import Batch, Rows, row_index
from blackbox.errors import SpaceError, StateError

if TYPE_CHECKING:
    from torch.nn import Module

__all__ = ["GenomeSpace", "Genomes", "standard_normals"]

_CHUNK = 2**18  # weights decoded at a time: the temporaries stay in the cache
_LEVELS = 2**16


class GenomeSpace:
    """The weights of a network: P numbers, drawn and mutated by seeds, never stored by an optimizer.

    Parameters
    ----------
    module : torch.nn.Module or int
        A network (only the shapes of its parameters are used), or a number of weights.
    scales : float or sequence of float, optional
        Standard deviation of the initial weights, one for each parameter tensor. Default: 1 / sqrt(fan-in) for
        tensors of two and more dimensions, 0 for vectors (biases), 1 for a bare number of weights.

    Examples
    --------
    >>> space = GenomeSpace(torch.nn.Linear(3, 2))
    >>> space.dim
    8
    """

    def __init__(self, module: Module | int, *, scales: float | Sequence[float] | None = None) -> None:
        if isinstance(module, int) and not isinstance(module, bool):
            shapes = [[module]]
            defaults = [1.0]
        elif hasattr(module, "parameters"):
            shapes = [list(p.shape) for p in module.parameters()]
            defaults = [1 / math.sqrt(math.prod(s[1:])) if len(s) > 1 else 0.0 for s in shapes]
        else:
            raise SpaceError(f"module: expected a torch.nn.Module or a number of weights, got {module!r}")
        self._set(shapes, self._checked_scales(scales, defaults))

    def _set(self, shapes: list[list[int]], scales: list[float]) -> None:
        self.shapes = shapes
        self.scales = scales
        self.sizes = [math.prod(shape) for shape in shapes]
        self.dim = sum(self.sizes)
        if self.dim < 1:
            raise SpaceError(f"module: expected at least one weight, got {self.dim}")

    @staticmethod
    def _checked_scales(scales: float | Sequence[float] | None, defaults: list[float]) -> list[float]:
        if scales is None:
            return defaults
        given = [float(scales)] * len(defaults) if isinstance(scales, (int, float)) else [float(s) for s in scales]
        if len(given) != len(defaults) or not all(math.isfinite(s) and s >= 0 for s in given):
            raise SpaceError(f"scales: expected {len(defaults)} finite numbers >= 0, got {scales!r}")
        return given

    def sample(self, n: int, generator: torch.Generator) -> Genomes:
        """Return n fresh genomes: one seed each."""
        seeds = torch.randint(2**62, (n,), generator=generator, device=generator.device).cpu()
        return Genomes(self, torch.arange(n + 1), seeds, torch.ones(n, dtype=torch.float32))

    def no_points(self) -> Genomes:
        """Return an empty set of genomes."""
        return Genomes(self, torch.zeros(1, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), torch.zeros(0))

    def batch(self, genomes: Genomes) -> Batch:
        """Return a batch of genomes that were not asked."""
        if not isinstance(genomes, Genomes) or genomes.space != self:
            raise SpaceError(f"genomes: expected Genomes of this space, got {genomes!r}")
        return Batch(self, genomes)  # type: ignore[arg-type]

    def decode(self, genomes: Genomes) -> list[dict[str, Any]]:
        """Return each recipe as a dictionary of its seeds and mutation scales."""
        return [{"seeds": seeds, "scales": scales} for seeds, scales in genomes.chains()]

    def load(self, module: Module, weights: Tensor) -> None:
        """Copy weights, shape (P,), into the parameters of a module."""
        with torch.no_grad():
            for parameter, piece in zip(module.parameters(), torch.split(weights, self.sizes), strict=True):
                parameter.copy_(piece.reshape(parameter.shape))

    def points_from_tree(self, tree: Mapping[str, Any], device: torch.device) -> Genomes:
        """Return the genomes of a state tree."""
        try:
            return Genomes(self, tree["offsets"], tree["seeds"], tree["scales"])
        except (KeyError, TypeError):
            raise StateError("state: genomes are damaged") from None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON tree from which `from_json` makes an equal space."""
        return {"genome": {"shapes": self.shapes, "scales": self.scales}}

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> GenomeSpace:
        """Return the space of a tree from `to_json`."""
        space = cls.__new__(cls)
        space._set([list(shape) for shape in tree["genome"]["shapes"]], [float(s) for s in tree["genome"]["scales"]])
        return space

    def fingerprint(self) -> str:
        """Return a short digest of shapes and scales."""
        return hashlib.blake2b(json.dumps(self.to_json()).encode(), digest_size=12).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GenomeSpace) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(self.fingerprint())

    def __repr__(self) -> str:
        return f"GenomeSpace({self.dim} weights in {len(self.shapes)} tensors)"


@dataclass(frozen=True, eq=False)
class Genomes:
    """n genomes as chains of seeds: the first draws the start, each further one adds scaled standard normals.

    Genome i is seeds[offsets[i]:offsets[i + 1]]; its size does not depend on the number of weights.

    Parameters
    ----------
    space : GenomeSpace
    offsets : Tensor, shape (n + 1,), int64
    seeds : Tensor, shape (t,), int64
    scales : Tensor, shape (t,), float32
        Standard deviation of each mutation; that of the first seed multiplies the space's own scales.

    References
    ----------
    Such et al., *Deep Neuroevolution*, arXiv 1712.06567 (the encoding); here with a counter-based generator in place
    of a shared table of noise, so that a genome is the same on every device and in every chunking.
    """

    space: GenomeSpace
    offsets: Tensor
    seeds: Tensor
    scales: Tensor

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, rows: Rows) -> Genomes:
        index = row_index(rows, len(self))
        picked = torch.arange(len(self))[index.cpu() if isinstance(index, Tensor) else index]
        lengths = (self.offsets[1:] - self.offsets[:-1])[picked]
        offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
        within = torch.arange(int(offsets[-1])) - offsets[:-1].repeat_interleave(lengths)
        positions = self.offsets[:-1][picked].repeat_interleave(lengths) + within
        return Genomes(self.space, offsets, self.seeds[positions], self.scales[positions])

    @staticmethod
    def concatenate(parts: Sequence[Genomes]) -> Genomes:
        """Return genomes one below the other."""
        lengths = torch.cat([part.offsets[1:] - part.offsets[:-1] for part in parts])
        offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
        seeds, scales = torch.cat([p.seeds for p in parts]), torch.cat([p.scales for p in parts])
        return Genomes(parts[0].space, offsets, seeds, scales)

    def mutated(self, seeds: Tensor, scale: float) -> Genomes:
        """Return each genome with one more mutation: seeds of shape (n,), int64, and a standard deviation."""
        n = len(self)
        offsets = self.offsets + torch.arange(n + 1)
        last = offsets[1:] - 1
        kept = torch.ones(len(self.seeds) + n, dtype=torch.bool)
        kept[last] = False
        longer = torch.empty(len(kept), dtype=torch.int64)
        longer[kept], longer[last] = self.seeds, seeds.cpu()
        scales = torch.full((len(kept),), float(scale), dtype=torch.float32)
        scales[kept] = self.scales
        return Genomes(self.space, offsets, longer, scales)

    def chains(self) -> list[tuple[list[int], list[float]]]:
        """Return each genome as lists of seeds and scales."""
        cuts = self.offsets.tolist()
        seeds, scales = self.seeds.tolist(), self.scales.tolist()
        return [(seeds[a:b], scales[a:b]) for a, b in pairwise(cuts)]

    def materialise(
        self, rows: Rows | None = None, *, out: Tensor | None = None, device: torch.device | str | None = None
    ) -> Tensor:
        """Return the weights of some genomes, shape (r, P), float32: equal bits on every device and in every chunking.

        Parameters
        ----------
        rows : int, slice, list, mask or index, optional
            Default: all of them; a few at a time keep the memory small.
        out : Tensor, shape (r, P), float32, optional
            A buffer to be written to and returned.
        device : optional
            Default: that of `out`, or the CPU.
        """
        chosen = self if rows is None else self[rows]
        shape = (len(chosen), self.space.dim)
        if out is None:
            out = torch.empty(shape, dtype=torch.float32, device=device or "cpu")
        elif tuple(out.shape) != shape or out.dtype != torch.float32:
            raise SpaceError(f"out: expected shape {shape} and float32, got {tuple(out.shape)} and {out.dtype}")
        for row, (seeds, scales) in enumerate(chosen.chains()):
            _decode(seeds, scales, self.space, out[row])
        return out

    def to_tree(self) -> dict[str, Any]:
        """Return a state tree."""
        return {"offsets": self.offsets, "seeds": self.seeds, "scales": self.scales}

    def __repr__(self) -> str:
        return f"Genomes({len(self)} of {self.space.dim} weights, {len(self.seeds)} seeds)"


def _decode(seeds: list[int], scales: list[float], space: GenomeSpace, out: Tensor) -> None:
    """Write the weights of one chain to `out`, shape (P,); multiply, then add, so that all devices round alike."""
    start = 0
    for size, own in zip(space.sizes, space.scales, strict=True):
        for low in range(start, start + size, _CHUNK):
            high = min(low + _CHUNK, start + size)
            piece = out[low:high]
            piece.copy_(standard_normals(seeds[0], low, high, out.device)).mul_(own * scales[0])
            for seed, scale in zip(seeds[1:], scales[1:], strict=True):
                piece.add_(standard_normals(seed, low, high, out.device).mul_(scale))
        start += size


def standard_normals(seed: int, start: int, stop: int, device: torch.device | str = "cpu") -> Tensor:
    """Return numbers start, ..., stop - 1 of the normal sequence of a seed, float32: a function of (seed, index) only.

    A 64-bit mix of seed and index gives 16 bits to look up a normal quantile and 16 bits to interpolate to the next;
    integers, one product and one sum, so every device gives the same bits. The tails end at 4.8 deviations.

    References
    ----------
    The mix is SplitMix64 (Steele, Lea, Flood, *Fast Splittable Pseudorandom Number Generators*, 2014).
    """
    index = torch.arange(start >> 1, (stop + 1) >> 1, dtype=torch.int64, device=device)
    bits = _mix(_mix(index + _signed(seed)) ^ _signed(0x9E3779B97F4A7C15 * (seed + 1)))
    words = torch.stack([bits & 0xFFFFFFFF, _shift(bits, 32)], 1).reshape(-1)
    words = words[start & 1 : (start & 1) + stop - start]
    table = _quantiles(str(device))
    level = words >> 16
    low = table[level]
    return (table[level + 1] - low).mul_((words & 0xFFFF).to(torch.float32) * 2.0**-16).add_(low)


def _mix(z: Tensor) -> Tensor:
    z = z * _signed(0x9E3779B97F4A7C15)
    z = (z ^ _shift(z, 30)) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ _shift(z, 27)) * _signed(0x94D049BB133111EB)
    return z ^ _shift(z, 31)


def _shift(z: Tensor, places: int) -> Tensor:
    """Shift right without the sign: torch's shift of int64 keeps it."""
    shifted: Tensor = (z >> places) & (2 ** (64 - places) - 1)
    return shifted


def _signed(word: int) -> int:
    """Return the low 64 bits of an integer as a signed one."""
    word &= 2**64 - 1
    return word - 2**64 if word >= 2**63 else word


@lru_cache(maxsize=8)
def _quantiles(device: str) -> Tensor:
    from scipy.special import ndtri

    grid = np.arange(_LEVELS + 1, dtype=np.float64) / _LEVELS
    grid[0], grid[-1] = 2.0**-20, 1 - 2.0**-20
    return torch.from_numpy(ndtri(grid).astype(np.float32)).to(device)
