"""The RE suite: fifteen engineering design problems with two to six objectives.

As in the original suite, the sum of the constraint violations is the last objective of most of them, and variables
that are discrete in reality are snapped to their nearest allowed value inside the evaluation, so that every space is
a box. All objectives are minimised; `ideal` and `nadir` are those of the approximated Pareto front that
`pareto_front` returns, and `reference_point` is ideal + 1.1 (nadir - ideal). The fronts were computed by
`benchmarks/make_re_fronts.py`. RE91 of the suite is left out: its objectives are single draws of a random
function, so that a point has no fixed value.

References
----------
Tanabe, Ishibuchi. An easy-to-use real-world multi-objective optimization problem suite, Applied Soft Computing 89,
2020.
"""

from __future__ import annotations

from blackbox.problems._re_many import RE35, RE36, RE37, RE41, RE42, RE61
from blackbox.problems._re_three import RE31, RE32, RE33, RE34
from blackbox.problems._re_two import RE21, RE22, RE23, RE24, RE25

__all__ = [
    "RE21",
    "RE22",
    "RE23",
    "RE24",
    "RE25",
    "RE31",
    "RE32",
    "RE33",
    "RE34",
    "RE35",
    "RE36",
    "RE37",
    "RE41",
    "RE42",
    "RE61",
]
