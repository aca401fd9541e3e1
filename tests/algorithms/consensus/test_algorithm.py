from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import blackbox as bb
from blackbox import testing
from blackbox.algorithms import ConsensusBased
from blackbox.algorithms.consensus import (
    AdaptiveSize,
    Alpha,
    ConsensusWarning,
    Domain,
    Hopping,
    Memory,
    MiniBatch,
    Noise,
    Path,
    Penalty,
    Polarised,
    Restarts,
    Settings,
    diagnose,
    draw_run,
    learn,
    minimize_many,
    stability,
    start,
)
from blackbox.errors import SettingError

CASES = {
    "classic": ConsensusBased(particles=6, settings=Settings.classic()),
    "partial": ConsensusBased(
        particles=6, settings=replace(Settings.classic(), batch=MiniBatch(size=3, scope="partial"))
    ),
    "memory": ConsensusBased(
        particles=6, settings=replace(Settings.classic(), memory=Memory(greedy=False)), record=True
    ),
    "polarised": ConsensusBased(particles=6, settings=Settings.several_minima()),
    "hopping": ConsensusBased(particles=6, settings=Settings.hops(learning_rate=0.01, radius=0.05)),
    "changing": ConsensusBased(
        particles=6, settings=Settings(restarts=Restarts(patience=1), size=AdaptiveSize(smallest=3)), record=True
    ),
}
CHECKS = [check for check in testing.ALGORITHM_CHECKS if "fresh_process" not in check.__name__]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", CASES)
def test_every_variant_keeps_the_contract(name: str, check: Callable[[Any], None]) -> None:
    check(CASES[name])


def drive(
    optimizer: bb.Optimizer, f: Callable[[Tensor], Tensor], steps: int, **columns: Callable[[Tensor], Tensor]
) -> None:
    for _ in range(steps):
        batch = optimizer.ask()
        told: dict[str, Any] = {name: column(batch.x) for name, column in columns.items()}
        optimizer.tell(batch, f(batch.x), **told)


def rastrigin(x: Tensor) -> Tensor:
    return (x.square() - 10 * torch.cos(2 * math.pi * x) + 10).sum(-1)


def ackley(x: Tensor) -> Tensor:
    return (
        -20 * torch.exp(-0.2 * x.square().mean(-1).sqrt())
        - torch.exp(torch.cos(2 * math.pi * x).mean(-1))
        + 20
        + math.e
    )


@pytest.mark.parametrize(
    ("function", "dim", "evaluations"),
    [(rastrigin, 10, 13_000), (rastrigin, 20, 26_000), (ackley, 10, 4_000), (ackley, 20, 7_500)],
    ids=["rastrigin10", "rastrigin20", "ackley10", "ackley20"],
)
def test_the_default_finds_the_minimum(function: Callable[[Tensor], Tensor], dim: int, evaluations: int) -> None:
    """Section 9 (4), at half of the evaluations of the reference's best setting: success in every run.

    Minima at the centre, shifted by 1 and by 2 and at random, and at the centre with a start on one side of it.
    """
    lower = torch.full((dim,), -3.0)
    generator = torch.Generator().manual_seed(0)
    shift = torch.zeros((50, 1, dim))
    shift[10:20], shift[20:30] = 1, 2
    shift[30:40] = 5 * torch.rand((10, 1, dim), generator=generator) - 2.5
    first = lower.expand(50, 1, dim).clone()
    first[40:] = 1.0
    done = minimize_many(
        lambda x: function(x - shift),
        lower,
        -lower,
        runs=50,
        evaluations=evaluations,
        generator=generator,
        start_lower=first,
    )
    assert ((done.x - shift[:, 0]).abs().amax(-1) < 0.25).all()


def test_the_optimizer_runs_what_the_tensor_program_runs() -> None:
    optimizer = bb.Optimizer(bb.Space.box([-3] * 10, [3] * 10), ConsensusBased(), seed=3)
    drive(optimizer, rastrigin, 500)
    assert optimizer.n_evaluations == 10_000
    assert optimizer.result().x.abs().max() < 0.25


def test_mixed_spaces_are_searched() -> None:
    space = bb.Space(
        {
            "x": bb.Real(-5, 5),
            "n": bb.Integer(0, 20),
            "kind": bb.Categorical(["a", "b", "c"]),
            "r": bb.Real(1e-4, 1, log=True),
        }
    )
    optimizer = bb.Optimizer(space, ConsensusBased(), seed=0)
    for _ in range(120):
        batch = optimizer.ask()
        optimizer.tell(
            batch,
            [
                (c["x"] - 1) ** 2 + abs(c["n"] - 13) + 5 * (c["kind"] != "b") + abs(math.log10(c["r"]) + 2)
                for c in batch.configs
            ],
        )
    best = optimizer.result().configs[0]
    assert best["n"] == 13
    assert best["kind"] == "b"
    assert optimizer.result().values < 0.1


def test_constraints_are_met_where_they_bind() -> None:
    """Minimise -x - y with x^2 + y^2 <= 1 and a constraint in other units: the best is (0.6, 0.8)."""

    def violations(x: Tensor) -> Tensor:
        return torch.stack([x.square().sum(-1) - 1, 1e4 * (x[:, 0] - 0.6)], -1)

    optimizer = bb.Optimizer(bb.Space.box([-2, -2], [2, 2]), ConsensusBased(), seed=0, n_constraints=2)
    drive(optimizer, lambda x: -x.sum(-1), 200, violations=violations)
    result = optimizer.result()
    assert (result.violations <= 0).all()
    assert (result.x - torch.tensor([0.6, 0.8])).abs().max() < 0.01


def test_the_penalty_grows_until_the_leader_is_feasible() -> None:
    settings = Settings(penalty=Penalty(weight=1e-3, factor=2.0))
    x = torch.rand((1, 8, 1), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    e = start(settings, x, constrained=True)
    for _ in range(5):
        e = learn(settings, e, x, -x[..., 0], (x[..., 0] - 0.5).clamp_min(0))
    assert float(e.weight) > 1e-3


@pytest.mark.parametrize(
    ("domain", "best"),
    [
        (Domain(kind="sphere"), (0.6, 0.8, 0.0)),
        (Domain(kind="ball", method="mirror"), (0.6, 0.8, 0.0)),
        (
            Domain(kind="ball", center=(0.5, 0.0, 0.0), radius=0.5),
            (0.5 + 0.15 / math.sqrt(0.73), 0.4 / math.sqrt(0.73), 0.0),
        ),
        (Domain(kind="hyperplane", normal=(0.0, 0.0, 1.0), offset=0.5), (0.6, 0.8, 0.5)),
    ],
    ids=["sphere", "ball", "small ball", "plane"],
)
def test_points_keep_to_the_domain(domain: Domain, best: tuple[float, ...]) -> None:
    target = torch.tensor([0.6, 0.8, 0.0], dtype=torch.float64)
    if domain.kind in ("sphere", "ball"):
        target = target * 1.5 if not domain.center else torch.tensor([0.8, 0.8, 0.0], dtype=torch.float64)
    optimizer = bb.Optimizer(bb.Space.box([-2] * 3, [2] * 3), ConsensusBased(settings=Settings(domain=domain)), seed=0)
    steps = 400 if domain.method == "mirror" else 150  # in the dual variables, the boundary is far away
    drive(optimizer, lambda x: (x - target).square().sum(-1), steps)
    assert (optimizer.result().x[0] - torch.tensor(best)).abs().max() < 0.03


def test_the_simplex_is_searched_both_ways() -> None:
    share = torch.tensor([0.7, 0.2, 0.1, 0.0], dtype=torch.float64)
    for method in ("project", "mirror"):
        settings = Settings(domain=Domain(kind="simplex", method=method))
        optimizer = bb.Optimizer(bb.Space.box([0] * 4, [1] * 4), ConsensusBased(settings=settings), seed=0)
        drive(optimizer, lambda x: (x - share).square().sum(-1), 150)
        x = optimizer.result().x[0]
        assert abs(float(x.sum()) - 1) < 1e-9
        assert (x - share).abs().max() < 0.02


def test_domains_need_a_plain_box() -> None:
    space = bb.Space({"a": bb.Real(1e-3, 1, log=True), "b": bb.Real(0, 1)})
    with pytest.raises(SettingError, match="domain"):
        bb.Optimizer(space, ConsensusBased(settings=Settings(domain=Domain(kind="ball"))), seed=0)
    with pytest.raises(SettingError, match="center"):
        bb.Optimizer(
            bb.Space.box([0], [1]), ConsensusBased(settings=Settings(domain=Domain(kind="ball", center=(1.0, 2.0))))
        )


def test_particles_start_where_they_are_told_to() -> None:
    algorithm = ConsensusBased(start_box=((1.0,), (2.0, 1.5)))
    optimizer = bb.Optimizer(bb.Space.box([-3, -3], [3, 3]), algorithm, seed=0)
    x = optimizer.ask().x
    assert x.min() >= 1
    assert x.amax(0).tolist() <= [2.0, 1.5]


def test_abandoned_candidates_leave_the_others_in_their_places() -> None:
    optimizer = bb.Optimizer(bb.Space.box([0, 0], [1, 1]), ConsensusBased(particles=6), seed=0)
    batch = optimizer.ask()
    optimizer.abandon(batch[[0, 3]])
    rest = batch[[5, 1, 2, 4]]
    optimizer.tell(rest, rest.x.sum(1))
    optimizer.ask()
    kernel = optimizer.state()["kernel"]["ensemble"]
    assert kernel["f"][0].isinf().tolist() == [True, False, False, True, False, False]
    told = batch.x[[1, 2, 4, 5]].sum(1)
    assert torch.allclose(kernel["f"][0][[1, 2, 4, 5]], told)


def test_points_from_outside_take_part() -> None:
    optimizer = bb.Optimizer(bb.Space.box([0] * 5, [1] * 5), ConsensusBased(particles=8), seed=0)
    good = torch.full((1, 5), 0.25, dtype=torch.float64)
    optimizer.tell(optimizer.space.batch(good), torch.zeros(1))
    drive(optimizer, lambda x: (x - 0.25).square().sum(1), 10)
    assert (optimizer.state()["kernel"]["ensemble"]["f"] == 0).any()


def test_the_path_is_recorded_and_drawn() -> None:
    lower, upper = torch.tensor([-3.0, -3.0], dtype=torch.float64), torch.tensor([3.0, 3.0], dtype=torch.float64)
    optimizer = bb.Optimizer(bb.Space.box([-3, -3], [3, 3]), ConsensusBased(record=True), seed=0)
    drive(optimizer, rastrigin, 40)
    batch = optimizer.ask()
    path = Path.of(optimizer.state())
    assert path.consensus.shape == (40, 2)
    assert path.steps_taken.shape == (39, 2)
    assert (path.best.diff() <= 0).all()
    assert float(path.best[-1]) == float(optimizer.result().values)
    assert path.variance[-1] < path.variance[0]
    assert (path.effective_sample_size >= 1).all()
    figure = draw_run(rastrigin, lower, upper, path, particles=batch.x)
    assert len(figure.axes) == 2


def test_diagnosis_of_weights() -> None:
    settings = Settings.classic(alpha=Alpha(share=0.5, last_share=0.5, shrink=1.0))
    x = torch.rand((3, 40, 2), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    seen = diagnose(settings, learn(settings, start(settings, x), x, x.square().sum(-1)))
    assert torch.allclose(seen.effective_sample_size, torch.full((3,), 20.0, dtype=torch.float64), rtol=0.02)
    assert seen.consensus.shape == (3, 2)
    none = diagnose(settings, learn(settings, start(settings, x), x, torch.full((3, 40), math.nan)))
    assert none.consensus.isnan().all()


def test_stability_exponents_are_those_of_the_spec() -> None:
    measured = [
        ("component", 5.1, 20, -0.190),
        ("component", 8.1, 20, -0.253),
        ("component", 10.1, 20, -0.213),
        ("component", 14.0, 20, -0.068),
        ("isotropic", 5.1, 1, -0.192),
        ("isotropic", 5.1, 2, 0.019),
        ("isotropic", 5.1, 3, 0.148),
        ("isotropic", 5.1, 10, 0.589),
        ("isotropic", 5.1, 20, 0.886),
    ]
    for kind, sigma, dim, expected in measured:
        settings = replace(Settings.classic(), noise=Noise(kind=kind, sigma=sigma))  # type: ignore[arg-type]
        exponents = stability(settings, dim)
        assert exponents is not None
        assert abs(exponents.almost_sure - expected) < 0.004, (kind, sigma, dim)
        assert exponents.mean_square == pytest.approx((dim if kind == "isotropic" else 1) * sigma**2 - 2)
    assert stability(Settings(), 10) is None


def test_diverging_settings_warn_and_the_default_does_not() -> None:
    diverging = replace(Settings.classic(), noise=Noise(kind="isotropic", sigma=5.1))
    with pytest.warns(ConsensusWarning, match="diverge in 10 variables"):
        bb.Optimizer(bb.Space.box([0] * 10, [1] * 10), ConsensusBased(settings=diverging), seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for settings in (Settings(), Settings.classic(), Settings.several_minima()):
            bb.Optimizer(bb.Space.box([0] * 10, [1] * 10), ConsensusBased(settings=settings), seed=0)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: ConsensusBased(particles=0), "particles"),
        (lambda: Noise(kind="pink"), "kind"),  # type: ignore[arg-type]
        (lambda: Noise(sigma=math.nan), "sigma"),
        (lambda: Alpha(share=0.0), "share"),
        (lambda: MiniBatch(size=0), "size"),
        (lambda: Hopping(learning_rate=-1.0, radius=1.0), "learning_rate"),
        (lambda: Domain(kind="sphere", method="mirror"), "method"),
        (lambda: Domain(kind="ball", method="clip"), "method"),
        (lambda: Penalty(factor=1.0), "factor"),
        (lambda: replace(Settings(), polarised=Polarised()), "batch"),
        (lambda: replace(Settings.several_minima(), alpha=Alpha(schedule="hard")), "alpha"),
        (lambda: Settings(hopping=Hopping(learning_rate=1.0, radius=1.0)), "memory"),
        (lambda: Settings(dt=0.0), "dt"),
    ],
)
def test_bad_settings_are_named(make: Callable[[], Any], name: str) -> None:
    with pytest.raises(SettingError, match=f"^{name}: expected"):
        make()
