"""RE problems of three objectives: RE31 to RE34."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from blackbox.problems._re_base import EngineeringProblem, violation

__all__ = ["RE31", "RE32", "RE33", "RE34"]


class RE31(EngineeringProblem):
    """Two-bar truss: volume, stress in one bar, and violations; two cross-sections and a height."""

    m = 3
    lower = (1e-5, 1e-5, 1.0)
    upper = (100.0, 100.0, 3.0)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, 3), shape (n, 3)."""
        a, b, height = x.unbind(-1)
        long, short = (16 + height.square()).sqrt(), (1 + height.square()).sqrt()
        volume = a * long + b * short
        stress = 20 * long / (a * height)
        broken = violation(0.1 - volume, 1e5 - stress, 1e5 - 80 * short / (height * b))
        return torch.stack([volume, stress, broken], dim=-1)


class RE32(EngineeringProblem):
    """Welded beam: cost, deflection at its end, and violations; four dimensions of beam and weld."""

    m = 3
    lower = (0.125, 0.1, 0.1, 0.125)
    upper = (5.0, 10.0, 10.0, 5.0)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, 4), shape (n, 3)."""
        weld, length, height, width = x.unbind(-1)
        load, reach, young, shear = 6000.0, 14.0, 3e7, 1.2e7
        cost = 1.10471 * weld.square() * length + 0.04811 * height * width * (14 + length)
        deflection = 4 * load * reach**3 / (young * width * height**3)
        moment = load * (reach + length / 2)
        half = ((weld + height) / 2).square()
        arm = (length.square() / 4 + half).sqrt()
        inertia = 2 * math.sqrt(2) * weld * length * (length.square() / 12 + half)
        twist = moment * arm / inertia
        direct = load / (math.sqrt(2) * weld * length)
        stress = (direct.square() + direct * twist * length / arm + twist.square()).sqrt()
        bending = 6 * load * reach / (width * height.square())
        slender = 1 - height / (2 * reach) * math.sqrt(young / (4 * shear))
        buckling = 4.013 * young * (height.square() * width**6 / 36).sqrt() / reach**2 * slender
        broken = violation(13600 - stress, 30000 - bending, width - weld, buckling - load)
        return torch.stack([cost, deflection, broken], dim=-1)


class RE33(EngineeringProblem):
    """Disc brake: mass, stopping time, and violations; inner and outer radius, force, number of surfaces.

    Its violation grows without bound where the two radii meet.
    """

    m = 3
    lower = (55.0, 75.0, 1000.0, 11.0)
    upper = (80.0, 110.0, 3000.0, 20.0)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, 4), shape (n, 3)."""
        inner, outer, force, surfaces = x.unbind(-1)
        squares = outer.square() - inner.square()
        cubes = outer**3 - inner**3
        mass = 4.9e-5 * squares * (surfaces - 1)
        time = 9.82e6 * squares / (force * surfaces * cubes)
        broken = violation(
            outer - inner - 20,
            0.4 - force / (3.14 * squares),
            1 - 2.22e-3 * force * cubes / squares.square(),
            2.66e-2 * force * surfaces * cubes / squares - 900,
        )
        return torch.stack([mass, time, broken], dim=-1)


class RE34(EngineeringProblem):
    """Vehicle crashworthiness: mass, acceleration, and intrusion of the toe board; five thicknesses."""

    m = 3
    lower = (1.0,) * 5
    upper = (3.0,) * 5

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, 5), shape (n, 3)."""
        a, b, c, d, e = x.unbind(-1)
        mass = 1640.2823 + 2.3573285 * a + 2.3220035 * b + 4.5688768 * c + 7.7213633 * d + 4.4559504 * e
        acceleration = (6.5856 + 1.15 * a - 1.0427 * b + 0.9738 * c + 0.8364 * d - 0.3695 * a * d + 0.0861 * a * e) + (
            0.3628 * b * d - 0.1106 * a.square() - 0.3437 * c.square() + 0.1764 * d.square()
        )
        intrusion = (-0.0551 + 0.0181 * a + 0.1024 * b + 0.0421 * c - 0.0073 * a * b + 0.024 * b * c) + (
            -0.0118 * b * d - 0.0204 * c * d - 0.008 * c * e - 0.0241 * b.square() + 0.0109 * d.square()
        )
        return torch.stack([mass, acceleration, intrusion], dim=-1)
