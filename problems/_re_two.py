"""RE problems of two objectives."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from blackbox.problems._re_base import EngineeringProblem, snap, violation

__all__ = ["RE21", "RE22", "RE23", "RE24", "RE25"]

# fmt: off
_REINFORCEMENT = (
    0.2, 0.31, 0.4, 0.44, 0.6, 0.62, 0.79, 0.8, 0.88, 0.93, 1.0, 1.2, 1.24, 1.32, 1.4, 1.55, 1.58, 1.6, 1.76, 1.8,
    1.86, 2.0, 2.17, 2.2, 2.37, 2.4, 2.48, 2.6, 2.64, 2.79, 2.8, 3.0, 3.08, 3.1, 3.16, 3.41, 3.52, 3.6, 3.72,
    3.95, 3.96, 4.0, 4.03, 4.2, 4.34, 4.4, 4.65, 4.74, 4.8, 4.84, 5.0, 5.28, 5.4, 5.53, 5.72, 6.0, 6.16, 6.32,
    6.6, 7.11, 7.2, 7.8, 7.9, 8.0, 8.4, 8.69, 9.0, 9.48, 10.27, 11.0, 11.06, 11.85, 12.0, 13.0, 14.0, 15.0,
)
_WIRES = (
    0.009, 0.0095, 0.0104, 0.0118, 0.0128, 0.0132, 0.014, 0.015, 0.0162, 0.0173, 0.018, 0.02, 0.023, 0.025, 0.028,
    0.032, 0.035, 0.041, 0.047, 0.054, 0.063, 0.072, 0.08, 0.092, 0.105, 0.12, 0.135, 0.148, 0.162, 0.177, 0.192,
    0.207, 0.225, 0.244, 0.263, 0.283, 0.307, 0.331, 0.362, 0.394, 0.4375, 0.5,
)
# fmt: on


class RE21(EngineeringProblem):
    """Four-bar truss: volume and displacement of a joint; four cross-sections."""

    m = 2
    lower = (1.0, math.sqrt(2), math.sqrt(2), 1.0)
    upper = (3.0, 3.0, 3.0, 3.0)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, 4), shape (n, 2)."""
        a, b, c, d = x.unbind(-1)
        force, modulus, length = 10.0, 2e5, 200.0
        root = math.sqrt(2)
        volume = length * (2 * a + root * b + c.sqrt() + d)
        displacement = force * length / modulus * (2 / a + 2 * root / b - 2 * root / c + 2 / d)
        return torch.stack([volume, displacement], dim=-1)


class RE22(EngineeringProblem):
    """Reinforced concrete beam: cost and violations; area of the steel (76 levels), width and depth.

    The level 3.10 stands where the original program has two numbers, 3 and 10, by a misprint. Undefined (infinite
    or NaN) where the width is 0.
    """

    m = 2
    lower = (0.2, 0.0, 0.0)
    upper = (15.0, 20.0, 40.0)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, 3), shape (n, 2)."""
        a, b, c = x.unbind(-1)
        a = snap(a, _REINFORCEMENT)
        cost = 29.4 * a + 0.6 * b * c
        strength = a * c - 7.735 * a.square() / b - 180
        return torch.stack([cost, violation(strength, 4 - c / b)], dim=-1)


class RE23(EngineeringProblem):
    """Pressure vessel: cost and violations; thickness of shell and head (multiples of 1/16 inch), radius, length."""

    m = 2
    lower = (1.0, 1.0, 10.0, 10.0)
    upper = (100.0, 100.0, 200.0, 240.0)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, 4), shape (n, 2)."""
        shell, head, radius, length = x.unbind(-1)
        shell, head = 0.0625 * shell.round(), 0.0625 * head.round()
        cost = (
            0.6224 * shell * radius * length
            + 1.7781 * head * radius.square()
            + 3.1661 * shell.square() * length
            + 19.84 * shell.square() * radius
        )
        volume = math.pi * radius.square() * length + 4 / 3 * math.pi * radius**3
        broken = violation(shell - 0.0193 * radius, head - 0.00954 * radius, volume - 1296000.0)
        return torch.stack([cost, broken], dim=-1)


class RE24(EngineeringProblem):
    """Hatch cover: weight and violations; thickness of the flange and height of the beam."""

    m = 2
    lower = (0.5, 0.5)
    upper = (4.0, 50.0)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, 2), shape (n, 2)."""
        flange, height = x.unbind(-1)
        modulus = 7e5
        bending = 4500 / (flange * height)
        shear = 1800 / height
        deflection = 562000 / (modulus * flange * height.square())
        buckling = modulus * flange.square() / 100
        broken = violation(1 - bending / 700, 1 - shear / 450, 1 - deflection / 1.5, 1 - bending / buckling)
        return torch.stack([flange + 120 * height, broken], dim=-1)


class RE25(EngineeringProblem):
    """Coil compression spring: volume of steel and violations; number of coils, diameter, wire (42 levels).

    The fifth of the original's six constraints is 0 for every design and is left out: in floating point it would
    make feasible designs infeasible by 1e-15.
    """

    m = 2
    lower = (1.0, 0.6, 0.09)
    upper = (70.0, 3.0, 0.5)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, 3), shape (n, 2)."""
        coils, diameter, wire = x.unbind(-1)
        coils, wire = coils.round(), snap(wire, _WIRES)
        volume = math.pi**2 * diameter * wire.square() * (coils + 2) / 4
        ratio = diameter / wire
        factor = (4 * ratio - 1) / (4 * ratio - 4) + 0.615 / ratio
        stiffness = 11.5e6 * wire**4 / (8 * coils * diameter**3)
        free_length = 1000 / stiffness + 1.05 * (coils + 2) * wire
        preload = 300 / stiffness
        broken = violation(
            189000 - 8 * factor * 1000 * diameter / (math.pi * wire**3),
            14 - free_length,
            ratio - 3,
            6 - preload,
            1.25 - 700 / stiffness,
        )
        return torch.stack([volume, broken], dim=-1)
