"""One generation of each library's evolutionary algorithms, on one and the same problem, for the benchmarks beside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["PEERS", "STEPS", "Setting", "Step", "make_problem"]

PEERS = {
    "NSGA2": ("pymoo", "evox", "evomo", "pygmo"),
    "NSGA3": ("pymoo", "evox", "evomo"),
    "MOEAD": ("pymoo", "evox", "evomo", "pygmo"),
    "HypE": ("evox", "evomo"),
    "RVEA": ("pymoo", "evox", "evomo"),
}
Setting = dict[str, Any]
Step = Callable[[], Any]


def make_problem(setting: Setting) -> Any:
    from blackbox import problems

    return getattr(problems, setting["problem"])(setting["dim"], setting["m"])


def blackbox_step(setting: Setting) -> tuple[Step, Callable[[], Any]]:
    from blackbox import Optimizer, algorithms

    problem = make_problem(setting)
    algorithm = getattr(algorithms, setting["algorithm"])(population_size=setting["n"])
    budget = setting["n"] * setting["generations"]
    optimizer = Optimizer(problem, algorithm, seed=setting["seed"], budget=budget, device=setting["device"])

    def step() -> None:
        batch = optimizer.ask()
        optimizer.tell(batch, problem(batch.x))

    return step, lambda: optimizer.result().values


def pymoo_step(setting: Setting) -> tuple[Step, Callable[[], Any]]:
    import numpy as np
    import torch
    from pymoo.algorithms.moo.moead import MOEAD
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.algorithms.moo.nsga3 import NSGA3
    from pymoo.algorithms.moo.rvea import RVEA
    from pymoo.core.problem import Problem

    from blackbox.algorithms.evolutionary.reference import spread_directions

    problem = make_problem(setting)

    class Same(Problem):
        def __init__(self) -> None:
            space = problem.space
            super().__init__(n_var=setting["dim"], n_obj=setting["m"], xl=space.lower, xu=space.upper)

        def _evaluate(self, x: Any, out: Any, *_: Any, **__: Any) -> None:
            out["F"] = problem(torch.from_numpy(np.atleast_2d(x))).values.numpy()

    n, name = setting["n"], setting["algorithm"]
    directions = spread_directions(n, setting["m"])[0].numpy()
    steps = 1
    if name == "NSGA2":
        algorithm = NSGA2(pop_size=n)
    elif name == "NSGA3":
        algorithm = NSGA3(directions, pop_size=n)
    elif name == "RVEA":
        algorithm = RVEA(directions, pop_size=n)
    else:
        algorithm = MOEAD(directions, n_neighbors=20)
        steps = len(directions)  # its `next` is one individual
    planned = setting["generations"] * steps if name == "RVEA" else 10**9
    algorithm.setup(Same(), termination=("n_gen", planned), seed=setting["seed"] + 1, verbose=False)
    algorithm.next()

    def step() -> None:
        for _ in range(steps):
            algorithm.next()

    return step, lambda: algorithm.pop.get("F")


def evox_step(setting: Setting) -> tuple[Step, Callable[[], Any]]:
    import torch
    from evox import algorithms
    from evox.core import Problem
    from evox.workflows import StdWorkflow

    problem = make_problem(setting)

    class Same(Problem):  # type: ignore[misc]
        def evaluate(self, pop: Any) -> Any:
            return problem(pop.double()).values.to(pop.dtype)

    place = setting["device"]
    torch.manual_seed(setting["seed"])
    torch.set_default_device(place)  # some of its tensors follow nothing else
    lower, upper = (torch.from_numpy(b).float().to(place) for b in (problem.space.lower, problem.space.upper))
    kind = getattr(algorithms, setting["algorithm"])
    planned = {"max_gen": setting["generations"]} if setting["algorithm"] == "RVEA" else {}
    algorithm = kind(pop_size=setting["n"], n_objs=setting["m"], lb=lower, ub=upper, device=place, **planned)
    if setting["library"] == "evomo" and setting["algorithm"] == "MOEAD":  # instead of a tenth of the population
        algorithm.n_neighbor = min(20, algorithm.pop_size)
        nearest = torch.argsort(torch.cdist(algorithm.w, algorithm.w), dim=1, stable=True)
        algorithm.neighbors = nearest[:, : algorithm.n_neighbor]
    workflow = StdWorkflow(algorithm, Same(), device=place)
    workflow.init_step()

    def front() -> Any:
        values = workflow.algorithm.fit
        return values[torch.isfinite(values).all(1)]

    return workflow.step, front


def evomo_step(setting: Setting) -> tuple[Step, Callable[[], Any]]:
    import evomo.algorithms
    import evox.algorithms

    names = {"MOEAD": "TensorMOEAD"}
    name = names.get(setting["algorithm"], setting["algorithm"])
    kept = getattr(evox.algorithms, setting["algorithm"], None)
    setattr(evox.algorithms, setting["algorithm"], getattr(evomo.algorithms, name))
    try:
        return evox_step(setting)
    finally:
        setattr(evox.algorithms, setting["algorithm"], kept)


def pygmo_step(setting: Setting) -> tuple[Step, Callable[[], Any]]:
    import numpy as np
    import pygmo

    if not setting["problem"].startswith("DTLZ"):
        raise RuntimeError("pygmo: only its own DTLZ problems, the others would be called point by point")
    number = int(setting["problem"].removeprefix("DTLZ"))
    problem = pygmo.problem(pygmo.dtlz(number, dim=setting["dim"], fdim=setting["m"]))
    n = setting["n"] // 4 * 4
    if setting["algorithm"] == "NSGA2":
        kind = pygmo.nsga2(gen=1, cr=0.9, eta_c=15, m=1 / setting["dim"], eta_m=20, seed=setting["seed"])
    else:
        from blackbox.algorithms.evolutionary.reference import das_dennis_size, largest_divisions

        n = das_dennis_size(setting["m"], largest_divisions(setting["n"], setting["m"]))
        kind = pygmo.moead(gen=1, weight_generation="grid", neighbours=min(20, n - 1), seed=setting["seed"])
    algorithm, population = pygmo.algorithm(kind), [pygmo.population(problem, n, seed=setting["seed"])]

    def step() -> None:
        population[0] = algorithm.evolve(population[0])

    def front() -> Any:
        values = population[0].get_f()
        return np.asarray(values)

    return step, front


STEPS = {
    "blackbox": blackbox_step,
    "pymoo": pymoo_step,
    "evox": evox_step,
    "evomo": evomo_step,
    "pygmo": pygmo_step,
}
