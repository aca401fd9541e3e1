"""RE problems of three to six objectives: RE35 to RE61."""

from __future__ import annotations

import torch
from torch import Tensor

from blackbox.problems._re_base import EngineeringProblem, violation

__all__ = ["RE35", "RE36", "RE37", "RE41", "RE42", "RE61"]


class RE35(EngineeringProblem):
    """Speed reducer: weight, stress in the first shaft, and violations; seven dimensions, the teeth an integer."""

    m = 3
    lower = (2.6, 0.7, 17.0, 7.3, 7.3, 2.9, 5.0)
    upper = (3.6, 0.8, 28.0, 8.3, 8.3, 3.9, 5.5)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, 7), shape (n, 3)."""
        face, module, teeth, l1, l2, d1, d2 = x.unbind(-1)
        teeth = teeth.round()
        weight = (
            0.7854 * face * module.square() * (10 * teeth.square() / 3 + 14.933 * teeth - 43.0934)
            - 1.508 * face * (d1.square() + d2.square())
            + 7.477 * (d1**3 + d2**3)
            + 0.7854 * (l1 * d1.square() + l2 * d2.square())
        )
        stress = ((745 * l1 / (module * teeth)).square() + 1.69e7).sqrt() / (0.1 * d1**3)
        stress2 = ((745 * l2 / (module * teeth)).square() + 1.575e8).sqrt() / (0.1 * d2**3)
        broken = violation(
            1 / 27 - 1 / (face * module.square() * teeth),
            1 / 397.5 - 1 / (face * module.square() * teeth.square()),
            1 / 1.93 - l1**3 / (module * teeth * d1**4),
            1 / 1.93 - l2**3 / (module * teeth * d2**4),
            40 - module * teeth,
            12 - face / module,
            face / module - 5,
            l1 - 1.5 * d1 - 1.9,
            l2 - 1.1 * d2 - 1.9,
            1300 - stress,
            1100 - stress2,
        )
        return torch.stack([weight, stress, broken], dim=-1)


class RE36(EngineeringProblem):
    """Gear train: error of the ratio 6.931, size of the largest gear, and violation; four integer tooth numbers."""

    m = 3
    lower = (12.0,) * 4
    upper = (60.0,) * 4

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, 4), shape (n, 3)."""
        a, b, c, d = x.round().unbind(-1)
        error = (6.931 - (c / a) * (d / b)).abs()
        return torch.stack([error, x.round().amax(-1), violation(0.5 - error / 6.931)], dim=-1)


class RE37(EngineeringProblem):
    """Rocket injector: face temperature, distance from the inlet, and tip temperature; four ratios."""

    m = 3
    lower = (0.0,) * 4
    upper = (1.0,) * 4

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, 4), shape (n, 3)."""
        a, h, o, p = x.unbind(-1)
        face = (
            (0.692 + 0.477 * a - 0.687 * h - 0.08 * o - 0.065 * p - 0.167 * a * a - 0.0129 * h * a)
            + (0.0796 * h * h - 0.0634 * o * a - 0.0257 * o * h + 0.0877 * o * o - 0.0521 * p * a)
            + (0.00156 * p * h + 0.00198 * p * o + 0.0184 * p * p)
        )
        distance = (
            (0.153 - 0.322 * a + 0.396 * h + 0.424 * o + 0.0226 * p + 0.175 * a * a + 0.0185 * h * a)
            + (-0.0701 * h * h - 0.251 * o * a + 0.179 * o * h + 0.015 * o * o + 0.0134 * p * a)
            + (0.0296 * p * h + 0.0752 * p * o + 0.0192 * p * p)
        )
        tip = (
            (0.37 - 0.205 * a + 0.0307 * h + 0.108 * o + 1.019 * p - 0.135 * a * a + 0.0141 * h * a)
            + (0.0998 * h * h + 0.208 * o * a - 0.0301 * o * h - 0.226 * o * o + 0.353 * p * a)
            + (-0.0497 * p * o - 0.423 * p * p + 0.202 * h * a * a - 0.281 * o * a * a - 0.342 * h * h * a)
            + (-0.245 * h * h * o + 0.281 * o * o * h - 0.184 * p * p * a - 0.281 * h * a * o)
        )
        return torch.stack([face, distance, tip], dim=-1)


class RE41(EngineeringProblem):
    """Car side impact: weight, force on the pubis, mean velocity, and violations; seven thicknesses."""

    m = 4
    lower = (0.5, 0.45, 0.5, 0.5, 0.875, 0.4, 0.4)
    upper = (1.5, 1.35, 1.5, 1.5, 2.625, 1.2, 1.2)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, 7), shape (n, 4)."""
        a, b, c, d, e, f, g = x.unbind(-1)
        weight = 1.98 + 4.9 * a + 6.67 * b + 6.98 * c + 4.01 * d + 1.78 * e + 1e-5 * f + 2.73 * g
        force = 4.72 - 0.5 * d - 0.19 * b * c
        pillar = 10.58 - 0.674 * a * b - 0.67275 * b
        door = 16.45 - 0.489 * c * g - 0.843 * e * f
        viscous = (
            0.261 - 0.0159 * a * b - 0.06486 * a - 0.019 * b * g + 0.0144 * c * e + 0.0154464 * f,
            (0.214 + 0.00817 * e - 0.045195 * a - 0.0135168 * a + 0.03099 * b * f - 0.018 * b * g)
            + (0.007176 * c + 0.023232 * c - 0.00364 * e * f - 0.018 * b.square()),
            0.74 - 0.61 * b - 0.031296 * c - 0.031872 * g + 0.227 * b.square(),
        )
        ribs = (
            28.98 + 3.818 * c - 4.2 * a * b + 1.27296 * f - 2.68065 * g,
            33.86 + 2.95 * c - 5.057 * a * b - 3.795 * b - 3.4431 * g + 1.45728,
            46.36 - 9.9 * b - 4.4505 * a,
        )
        broken = violation(
            1 - (1.16 - 0.3717 * b * d - 0.0092928 * c),
            *(0.32 - value for value in viscous),
            *(32 - value for value in ribs),
            4 - force,
            9.9 - pillar,
            15.7 - door,
        )
        return torch.stack([weight, force, (pillar + door) / 2, broken], dim=-1)


class RE42(EngineeringProblem):
    """Conceptual marine design: transport cost, light ship weight, annual cargo (negated), and violations.

    The largest deadweight is 500,000, as corrected in the suite in 2021 (50,000 before).
    """

    m = 4
    lower = (150.0, 20.0, 13.0, 10.0, 14.0, 0.63)
    upper = (274.32, 32.31, 25.0, 11.71, 18.0, 0.75)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, 6), shape (n, 4)."""
        length, beam, depth, draft, speed, block = x.unbind(-1)
        displacement = 1.025 * length * beam * draft * block
        froude = 0.5144 * speed / (9.8065 * length).sqrt()
        a = 4977.06 * block.square() - 8105.61 * block + 4456.51
        b = -10847.2 * block.square() + 12817 * block - 6960.32
        power = displacement ** (2 / 3) * speed**3 / (a + b * froude)
        outfit = length**0.8 * beam**0.6 * depth**0.3 * block**0.1
        steel = 0.034 * length**1.7 * beam**0.7 * depth**0.4 * block**0.5
        light = steel + outfit + 0.17 * power**0.9
        capital = 0.2 * 1.3 * (2000 * steel**0.85 + 3500 * outfit + 2400 * power**0.8)
        deadweight = displacement - light
        running = 4e4 * deadweight**0.3
        sea_days = 5000 / 24 * speed
        daily = 0.19 * power * 24 / 1000 + 0.2
        fuel = 1.05 * daily * sea_days * 100
        port = 6.3 * deadweight**0.8
        cargo = deadweight - daily * (sea_days + 5) - 2 * deadweight.sqrt()
        trips = 350 / (sea_days + 2 * (cargo / 8000 + 0.5))
        cost = (capital + running + (fuel + port) * trips) / (cargo * trips)
        stability = 0.53 * draft + (0.085 * block - 0.002) * beam.square() / (draft * block) - 1 - 0.52 * depth
        broken = violation(
            length / beam - 6,
            15 - length / depth,
            19 - length / draft,
            0.45 * deadweight**0.31 - draft,
            0.7 * depth + 0.7 - draft,
            500000 - deadweight,
            deadweight - 3000,
            0.32 - froude,
            stability - 0.07 * beam,
        )
        return torch.stack([cost, light, -cargo * trips, broken], dim=-1)


class RE61(EngineeringProblem):
    """Water resource planning: five costs and violations; capacities of basins and treatment."""

    m = 6
    lower = (0.01, 0.01, 0.01)
    upper = (0.45, 0.1, 0.1)

    def evaluate(self, x: Tensor) -> Tensor:
        """Return the values of points of shape (n, 3), shape (n, 6)."""
        a, b, c = x.unbind(-1)
        q = 1 / (a * b)
        network = 106780.37 * (b + c) + 61704.67
        storage = 3000 * a
        treatment = 305700 * 2289 * b / (0.06 * 2289) ** 0.65
        flood = 250 * 2289 * torch.exp(-39.75 * b + 9.9 * c + 2.74)
        economic = 25 * (1.39 * q + 4940 * c - 80)
        broken = violation(
            1 - (0.00139 * q + 4.94 * c - 0.08),
            1 - (0.000306 * q + 1.082 * c - 0.0986),
            50000 - (12.307 * q + 49408.24 * c + 4051.02),
            16000 - (2.098 * q + 8046.33 * c - 696.71),
            10000 - (2.138 * q + 7883.39 * c - 705.04),
            2000 - (0.417 * a * b + 1721.26 * c - 136.54),
            550 - (0.164 * q + 631.13 * c - 54.48),
        )
        return torch.stack([network, storage, treatment, flood, economic, broken], dim=-1)
