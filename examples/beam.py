"""The lightest beam that carries a load: the objective of `study.toml`.

A cantilever of one metre carries 2 kN at its tip. Its material is one of three; its section is a solid or a hollow
rectangle, and only the hollow one has a wall.
"""

from __future__ import annotations

LENGTH = 1.0  # metres
LOAD = 2000.0  # newtons
DEFLECTION = 0.005  # metres, at most
SLENDERNESS = 5.0  # height by width, at most, lest it buckle sideways

MATERIALS = {  # density in kg/m3, stiffness in Pa, allowed stress in Pa
    "steel": (7850.0, 210e9, 160e6),
    "aluminium": (2700.0, 70e9, 100e6),
    "titanium": (4430.0, 114e9, 500e6),
}


def weigh(config: dict) -> dict:
    """Return the mass in kg, and how far stress, deflection and slenderness are beyond what is allowed."""
    density, stiffness, allowed = MATERIALS[config["material"]]
    width, height = config["width"], config["height"]  # metres
    area, inertia = width * height, width * height**3 / 12
    if config["section"] == "hollow":
        inner_width, inner_height = width - 2 * config["wall"], height - 2 * config["wall"]
        if inner_width <= 0 or inner_height <= 0:
            raise ValueError("the walls are thicker than the beam")  # a failed evaluation, and no harm done
        area -= inner_width * inner_height
        inertia -= inner_width * inner_height**3 / 12
    stress = LOAD * LENGTH * height / 2 / inertia
    deflection = LOAD * LENGTH**3 / (3 * stiffness * inertia)
    return {
        "mass": density * area * LENGTH,
        "violations": [
            stress / allowed - 1,
            deflection / DEFLECTION - 1,
            height / width / SLENDERNESS - 1,
        ],
    }


if __name__ == "__main__":
    beam = {"material": "steel", "section": "solid", "width": 0.05, "height": 0.1}
    print(f"a solid beam of steel, 5 cm by 10 cm: {weigh(beam)}")
