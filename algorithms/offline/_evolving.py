"""Evolution on predictions: a population that starts from given designs and is told what is predicted of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from blackbox.algorithm import Request, Seen, Spec
from blackbox.algorithms.evolutionary.evolution import Evolution

__all__ = ["evolve"]


def evolve(
    spec: Spec,
    kernel: Evolution,
    first: Tensor,
    generations: int,
    predict: Callable[[Tensor], Tensor],
    generator: torch.Generator,
    parts: tuple[int, ...] = (1,),
) -> tuple[list[Tensor], list[Seen]]:
    """Return populations on the way, each of shape (k, d), the last one last, and all that was met.

    Parameters
    ----------
    spec : Spec
    kernel : Evolution
        Whose population size is how many children a generation has.
    first : Tensor, shape (n, d), n >= 1
        Designs to start from.
    generations : int
    predict : callable (x of shape (q, d)) -> Tensor, shape (q, m)
        To be minimised.
    generator : torch.Generator
    parts : tuple of int, default (1,)
        The populations that are kept: after 1/part of the generations for each part, of which 1 is the last.
    """
    marks = {max(1, generations // part) for part in parts}
    stops = []
    size = kernel.population_size
    members = kernel.init(spec, generator)
    met = [_seen(first, predict)]
    members = kernel.tell(spec, members, met[0], generator)
    for generation in range(1, generations + 1):
        members = replace(members, told=max(members.told, size))  # children from now on, however few began
        members, children = kernel.ask(spec, members, Request(size, gather=lambda: first[:0]), generator)
        met.append(_seen(children.x, predict))
        members = kernel.tell(spec, members, met[-1], generator)
        if generation in marks:
            stops.append(members.x)
    return stops, met


def _seen(x: Tensor, predict: Callable[[Tensor], Tensor]) -> Seen:
    """Return points with their predicted values as what a kernel is told."""
    no = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    violations = torch.zeros((len(x), 0), dtype=x.dtype, device=x.device)
    with torch.no_grad():
        values = predict(x).to(x.dtype)
    return Seen(torch.arange(len(x)), x, values, violations, no, no)
