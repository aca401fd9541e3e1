"""A permutation: the shortest round trip through 25 cities, searched as an order of random keys.

python examples/tour.py
"""

import torch

import blackbox as bb
from blackbox.algorithms import GA

cities = torch.rand(25, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
distance = torch.cdist(cities, cities)


def length(keys: torch.Tensor) -> torch.Tensor:
    """Return the lengths of the tours that visit the cities in the order of their keys, shape (n,)."""
    tour = keys.argsort(1)
    return distance[tour, tour.roll(-1, 1)].sum(1)


space = bb.Space.box([0.0] * 25, [1.0] * 25)
optimizer = bb.Optimizer(space, GA(population_size=100, permutation=tuple(space.names)), seed=0)
for generation in range(150):
    batch = optimizer.ask()
    optimizer.tell(batch, length(batch.x))
    if generation % 50 == 49:
        print(f"generation {generation + 1}: length {float(optimizer.result().values):.3f}")

print("the tour:", optimizer.result().x.argsort(1)[0].tolist())
assert float(optimizer.result().values) < 5.5, "random tours are about 13 long"
