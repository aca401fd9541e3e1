"""Classical single-objective test functions, batched, with their optima; all are minimised.

Wrappers that shift, rotate, scale, add noise or constraints are in `blackbox.problems.wrappers`.

References
----------
Surjanovic, Bingham. Virtual Library of Simulation Experiments: Test Functions and Datasets, 2013.
Picheny, Wagner, Ginsbourger. A benchmark of kriging-based infill criteria for noisy optimization, 2013.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from blackbox.errors import SettingError
from blackbox.problems._box import BoxProblem, check_count, constant

__all__ = [
    "Ackley",
    "Branin",
    "Ellipsoid",
    "Griewank",
    "Hartmann3",
    "Hartmann6",
    "Levy",
    "Rastrigin",
    "Rosenbrock",
    "Sphere",
    "StyblinskiTang",
]


class _Synthetic(BoxProblem):
    """A test function of any dimension over a cube, with one minimiser (`coordinate` in every variable)."""

    optimum: float = 0.0
    optimum_is_global = True
    half_width: float = 1.0
    coordinate: float = 0.0
    least_dim: int = 1

    def __init__(self, dim: int) -> None:
        check_count("dim", dim, self.least_dim)
        super().__init__(-self.half_width, self.half_width, dim=dim)
        self.minimizers = torch.full((1, dim), self.coordinate, dtype=torch.float64)


class Sphere(_Synthetic):
    """The sum of squares over [-5, 5]^d; optimum 0 at the origin.

    Parameters
    ----------
    dim : int, default 10

    Examples
    --------
    >>> Sphere(dim=2)([[3.0, 4.0]]).values
    tensor([[25.]], dtype=torch.float64)
    """

    half_width = 5.0

    def __init__(self, dim: int = 10) -> None:
        super().__init__(dim)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, d), shape (n,)."""
        return x.square().sum(-1)


class Ellipsoid(_Synthetic):
    """The separable ellipsoid sum_i c^(i/(d-1)) x_i^2 over [-5, 5]^d; optimum 0 at the origin.

    Parameters
    ----------
    dim : int, default 10
    condition : float, default 1e6
        The ratio c of the largest to the smallest eigenvalue of the Hessian, >= 1.
    """

    half_width = 5.0

    def __init__(self, dim: int = 10, *, condition: float = 1e6) -> None:
        super().__init__(dim)
        if not 1.0 <= condition < math.inf:
            raise SettingError(f"condition: expected a finite number >= 1, got {condition!r}")
        self.condition = float(condition)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, d), shape (n,)."""
        steps = torch.linspace(0.0, 1.0, self.dim, dtype=x.dtype, device=x.device)
        return x.square() @ self.condition**steps


class Ackley(_Synthetic):
    """Ackley's function over [-32.768, 32.768]^d: many shallow local optima; optimum 0 at the origin.

    Parameters
    ----------
    dim : int, default 2
    """

    half_width = 32.768

    def __init__(self, dim: int = 2) -> None:
        super().__init__(dim)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, d), shape (n,)."""
        radius = x.square().mean(-1).sqrt()
        waves = torch.cos(2 * math.pi * x).mean(-1)
        return 20 * (1 - torch.exp(-0.2 * radius)) + (math.e - torch.exp(waves))


class Rosenbrock(_Synthetic):
    """Rosenbrock's valley over [-5, 10]^d; optimum 0 at (1, ..., 1).

    Parameters
    ----------
    dim : int, default 2
        At least 2.
    """

    coordinate = 1.0
    least_dim = 2

    def __init__(self, dim: int = 2) -> None:
        check_count("dim", dim, self.least_dim)
        BoxProblem.__init__(self, -5.0, 10.0, dim=dim)
        self.minimizers = torch.ones((1, dim), dtype=torch.float64)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, d), shape (n,)."""
        head, tail = x[:, :-1], x[:, 1:]
        return (100 * (tail - head.square()).square() + (head - 1).square()).sum(-1)


class Levy(_Synthetic):
    """Levy's function over [-10, 10]^d; optimum 0 at (1, ..., 1).

    Parameters
    ----------
    dim : int, default 2
    """

    half_width = 10.0
    coordinate = 1.0

    def __init__(self, dim: int = 2) -> None:
        super().__init__(dim)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, d), shape (n,)."""
        w = 1 + (x - 1) / 4
        head, last = w[:, :-1], w[:, -1]
        first = torch.sin(math.pi * w[:, 0]).square()
        middle = ((head - 1).square() * (1 + 10 * torch.sin(math.pi * head + 1).square())).sum(-1)
        return first + middle + (last - 1).square() * (1 + torch.sin(2 * math.pi * last).square())


class Rastrigin(_Synthetic):
    """Rastrigin's function over [-5.12, 5.12]^d: a lattice of local optima; optimum 0 at the origin.

    Parameters
    ----------
    dim : int, default 2
    """

    half_width = 5.12

    def __init__(self, dim: int = 2) -> None:
        super().__init__(dim)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, d), shape (n,)."""
        return 10 * self.dim + (x.square() - 10 * torch.cos(2 * math.pi * x)).sum(-1)


class Griewank(_Synthetic):
    """Griewank's function over [-600, 600]^d: a bowl with regular ripples; optimum 0 at the origin.

    Parameters
    ----------
    dim : int, default 2
    """

    half_width = 600.0

    def __init__(self, dim: int = 2) -> None:
        super().__init__(dim)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, d), shape (n,)."""
        scale = torch.arange(1, self.dim + 1, dtype=x.dtype, device=x.device).sqrt()
        return x.square().sum(-1) / 4000 - torch.cos(x / scale).prod(-1) + 1


class StyblinskiTang(_Synthetic):
    """The Styblinski-Tang function over [-5, 5]^d: 2^d local optima; optimum -39.166165703771 d.

    Parameters
    ----------
    dim : int, default 2
    """

    half_width = 5.0
    coordinate = -2.9035340277711783  # the root of 4 x^3 - 32 x + 5 on the left

    def __init__(self, dim: int = 2) -> None:
        super().__init__(dim)
        self.optimum = -39.16616570377141 * dim

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, d), shape (n,)."""
        return 0.5 * (x**4 - 16 * x.square() + 5 * x).sum(-1)


class Branin(BoxProblem):
    """Branin's function over [-5, 10] x [0, 15], two variables; optimum 0.397887 at three points.

    Examples
    --------
    >>> problem = Branin()
    >>> problem(problem.minimizers).values.round(decimals=6).flatten().tolist()
    [0.397887, 0.397887, 0.397887]
    """

    optimum: float = 10.0 / (8.0 * math.pi)
    optimum_is_global = True

    def __init__(self) -> None:
        super().__init__([-5.0, 0.0], [10.0, 15.0])
        first = [-math.pi, math.pi, 3 * math.pi]
        curve = [[a, 5.1 / (4 * math.pi**2) * a**2 - 5 / math.pi * a + 6] for a in first]
        self.minimizers = torch.tensor(curve, dtype=torch.float64)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, 2), shape (n,)."""
        a, b = x[:, 0], x[:, 1]
        curve = b - 5.1 / (4 * math.pi**2) * a.square() + 5 / math.pi * a - 6
        return curve.square() + 10 * (1 - 1 / (8 * math.pi)) * torch.cos(a) + 10


class _Hartmann(BoxProblem):
    """Minus a sum of four Gaussians in the unit cube.

    Every centre is in the cube, so moving a point into the cube brings it nearer to all of them: the optimum over
    the cube is the optimum over R^d.
    """

    optimum_is_global = True
    sharpness: Sequence[Sequence[float]]
    centres: Sequence[Sequence[float]]

    def __init__(self) -> None:
        super().__init__(0.0, 1.0, dim=len(self.centres[0]))

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, d), shape (n,)."""
        away = (x[:, None, :] - constant(self.centres, x) * 1e-4).square()
        heights = constant([1.0, 1.2, 3.0, 3.2], x)
        return -(torch.exp(-(constant(self.sharpness, x) * away).sum(-1)) @ heights)


class Hartmann3(_Hartmann):
    """Hartmann's function of three variables over the unit cube; optimum -3.86278."""

    sharpness = ((3, 10, 30), (0.1, 10, 35), (3, 10, 30), (0.1, 10, 35))
    centres = ((3689, 1170, 2673), (4699, 4387, 7470), (1091, 8732, 5547), (381, 5743, 8828))
    optimum: float = -3.8627797873326624

    def __init__(self) -> None:
        super().__init__()
        self.minimizers = torch.tensor(
            [[0.11458887665506896, 0.5556488946169301, 0.8525469846866774]], dtype=torch.float64
        )


class Hartmann6(_Hartmann):
    """Hartmann's function of six variables over the unit cube; optimum -3.32237."""

    sharpness = (
        (10, 3, 17, 3.5, 1.7, 8),
        (0.05, 10, 17, 0.1, 8, 14),
        (3, 3.5, 1.7, 10, 17, 8),
        (17, 8, 0.05, 10, 0.1, 14),
    )
    centres = (
        (1312, 1696, 5569, 124, 8283, 5886),
        (2329, 4135, 8307, 3736, 1004, 9991),
        (2348, 1451, 3522, 2883, 3047, 6650),
        (4047, 8828, 8732, 5743, 1091, 381),
    )
    optimum: float = -3.322368011415515

    def __init__(self) -> None:
        super().__init__()
        self.minimizers = torch.tensor(
            [
                [
                    0.20168951100670543,
                    0.15001069182345797,
                    0.47687397422189703,
                    0.2753324304940561,
                    0.31165161660011326,
                    0.6573005340656204,
                ]
            ],
            dtype=torch.float64,
        )
