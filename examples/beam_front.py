"""Light against stiff: the front of a beam's mass and deflection, with thirty expensive evaluations.

    python examples/beam_front.py

Material and section are choices, and only a hollow section has a wall; the stress must stay below what the material
allows. `BayesianOptimization` models mass, deflection and the constraints, and asks for what should add hypervolume.
"""

from beam import DEFLECTION, weigh

import blackbox as bb
from blackbox.algorithms import BayesianOptimization
from blackbox.traces import hypervolume_history

space = {
    "material": bb.Categorical(["steel", "aluminium", "titanium"]),
    "section": bb.Categorical(["solid", "hollow"]),
    "width": bb.Real(0.02, 0.2, log=True),  # metres
    "height": bb.Real(0.02, 0.3, log=True),
    "wall": bb.Real(0.002, 0.02, log=True, when={"section": "hollow"}),
}
objectives = [bb.Objective("mass"), bb.Objective("deflection")]  # kilograms, millimetres
reference_point = (30.0, 5.0)  # heavier than 30 kg, or bending more than 5 mm: of no interest
optimizer = bb.Optimizer(
    space, BayesianOptimization(reference_point=reference_point), objectives=objectives, n_constraints=2, seed=0
)
values, feasible = [], []
for _ in range(30):
    batch = optimizer.ask()
    config = batch.configs[0]
    try:
        beam = weigh(config)
    except ValueError:  # the walls are thicker than the beam: it cannot be made
        optimizer.tell(batch, None, failed=[True])
        continue
    stress, bending, slenderness = beam["violations"]
    found = [beam["mass"], 1000 * DEFLECTION * (bending + 1)]
    optimizer.tell(batch, [found], violations=[[stress, slenderness]])
    values.append(found)
    feasible.append(stress <= 0 and slenderness <= 0)

front = optimizer.result()
for config, (mass, deflection) in sorted(
    zip(front.configs, front.values.tolist(), strict=True), key=lambda row: row[1]
):
    print(f"{mass:6.2f} kg {deflection:5.2f} mm  {config['section']:6s} {config['material']}")
curve = hypervolume_history(values, reference_point, feasible=feasible)
print("hypervolume after every tenth evaluation:", [round(v, 1) for v in curve[9::10].tolist()])
assert curve[-1] > 95, "of 150, the area below the reference point"
