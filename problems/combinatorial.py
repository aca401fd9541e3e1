"""Multi-objective problems on strings of bits: MNK landscapes and knapsacks, made from a seed.

Variables are integers in {0, 1}.

References
----------
Aguirre, Tanaka. Working principles, behavior, and performance of MOEAs on MNK-landscapes, European Journal of
Operational Research 181, 2007.
Zitzler, Thiele. Multiobjective Evolutionary Algorithms: A Comparative Case Study and the Strength Pareto Approach,
IEEE Transactions on Evolutionary Computation 3, 1999.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from blackbox.candidates import Evaluation
from blackbox.errors import SettingError
from blackbox.objective import Objective
from blackbox.parameters import Integer
from blackbox.problem import Problem
from blackbox.problems._box import check_count
from blackbox.problems._fronts import front_of
from blackbox.random import check_seed, make_generator
from blackbox.space import Space

__all__ = ["MNKLandscape", "MultiObjectiveKnapsack"]

_MOST_BITS = 20  # of a front by enumeration


class _Bits(Problem):
    """A problem over strings of `dim` bits whose front is enumerated where there are few."""

    def __init__(self, dim: int, n_objectives: int, *, n_constraints: int = 0) -> None:
        self.m = check_count("n_objectives", n_objectives, 1)
        space = Space({f"x{i}": Integer(0, 1) for i in range(check_count("dim", dim, 1))})
        names = ["value"] if self.m == 1 else [f"f{j + 1}" for j in range(self.m)]
        objectives = [Objective(name, maximize=True) for name in names]
        super().__init__(space, objectives=objectives, n_constraints=n_constraints)
        self.reference_point = torch.zeros(self.m, dtype=torch.float64)

    def pareto_front(self, n: int = 1000) -> Tensor:
        """Return the whole front by enumeration, for up to 20 variables, shape (r, m), float64.

        Raises
        ------
        SettingError
            If there are more variables.
        """
        if self.space.dim > _MOST_BITS:
            raise SettingError(
                f"{self.name}: its Pareto front is enumerated for up to {_MOST_BITS} variables, got {self.space.dim}"
            )
        bits = torch.tensor(list(itertools.product((0.0, 1.0), repeat=self.space.dim)), dtype=torch.float64)
        evaluation = self(bits)
        values = evaluation.values
        if evaluation.violations is not None:
            values = values[(evaluation.violations <= 0).all(-1)]
        return -front_of(-values)


class MNKLandscape(_Bits):
    """An MNK landscape: objective j is the mean of contributions of every bit and k others; maximised.

    The contribution of bit i to objective j is a number uniform in [0, 1), drawn once for each of the 2^(k+1) values
    of the bit and of k other ones, which are drawn uniformly without repetition, anew for each objective. Memory
    O(m d 2^k).

    Parameters
    ----------
    dim : int, default 100
        The number N of bits.
    n_objectives : int, default 2
        The number M of landscapes.
    k : int, default 10
        How many other bits each bit interacts with, from 0 (easy) to dim - 1 (rugged), at most 20.
    seed : int, default 0
        Of the landscape.

    Examples
    --------
    >>> MNKLandscape(dim=8, k=2).pareto_front().shape[1]
    2
    """

    def __init__(self, dim: int = 100, n_objectives: int = 2, *, k: int = 10, seed: int = 0) -> None:
        super().__init__(dim, n_objectives)
        self.k = check_count("k", k, 0)
        if self.k > min(dim - 1, 20):
            raise SettingError(f"k: expected at most {min(dim - 1, 20)} for {dim} variables, got {k!r}")
        generator = make_generator(check_seed(seed))
        scores = torch.rand(self.m, dim, dim, generator=generator, dtype=torch.float64)
        scores.diagonal(dim1=1, dim2=2).fill_(-1.0)  # so that a bit comes first in its own neighbourhood
        self.neighbours = scores.topk(self.k + 1, dim=-1, largest=False).indices
        self.table = torch.rand(self.m, dim, 2 ** (self.k + 1), generator=generator, dtype=torch.float64)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, d), shape (n, m); time O(m n d k), memory O(n d)."""
        bits = x.round().to(torch.int64).T.contiguous()  # (d, n): neighbours are then whole rows
        columns = []
        for neighbours, table in zip(self.neighbours.to(x.device), self.table.to(x.device, x.dtype), strict=True):
            words = torch.zeros_like(bits)
            for place in range(self.k + 1):
                words.add_(bits.index_select(0, neighbours[:, place]), alpha=2**place)
            columns.append(table.gather(1, words).mean(0))
        return torch.stack(columns, dim=-1)


class MultiObjectiveKnapsack(_Bits):
    """Items that go into m knapsacks at once: the profit in each is maximised, its capacity a constraint.

    Profits and weights are integers drawn uniformly from 10 to 100; each capacity is half of the sum of the weights.
    Violations are what is over a capacity, as a share of it.

    Parameters
    ----------
    dim : int, default 100
        The number of items.
    n_objectives : int, default 2
        The number of knapsacks.
    seed : int, default 0
        Of profits and weights.
    """

    def __init__(self, dim: int = 100, n_objectives: int = 2, *, seed: int = 0) -> None:
        super().__init__(dim, n_objectives, n_constraints=check_count("n_objectives", n_objectives, 1))
        generator = make_generator(check_seed(seed))
        size = (2, self.m, dim)
        self.profits, self.weights = torch.randint(10, 101, size, generator=generator).to(torch.float64).unbind()
        self.capacity = 0.5 * self.weights.sum(-1)

    def evaluate(self, x: Tensor) -> Evaluation:
        """Return values, shape (n, m), and violations, shape (n, m), of points of shape (n, d)."""
        bits = x.round()
        load = bits @ self.weights.T.to(x.device, x.dtype)
        over = load / self.capacity.to(x.device, x.dtype) - 1
        return Evaluation(bits @ self.profits.T.to(x.device, x.dtype), over)
