from __future__ import annotations

import numpy as np
import pytest
import torch

import blackbox as bb
from blackbox.algorithms.bayesian.acquisition import Acquisition
from blackbox.algorithms.bayesian.domain import Domain, lattice
from blackbox.algorithms.bayesian.models import merge_repeats
from blackbox.algorithms.bayesian.proposal import Pace, propose
from blackbox.algorithms.bayesian.search import Effort, enumerate_cells, first_new, maximise, maximise_near
from blackbox.surrogates.gaussian_process import fit
from blackbox.surrogates.kernels import Array

SPACE = bb.Space(
    {
        "kind": bb.Categorical(["a", "b", "c"]),
        "n": bb.Integer(1, 1000, log=True, when={"kind": "b"}),
        "x": bb.Real(-1, 1),
        "y": bb.Real(1e-3, 1, log=True, when={"kind": ["a", "b"]}),
    }
)


class Peak:
    """A score with its maximum at kind b, n = 100, x = 0.3 and y = 0.01."""

    def __init__(self) -> None:
        best = SPACE.encode([{"kind": "b", "n": 100, "x": 0.3, "y": 0.01}])
        self.best = Domain(SPACE).model(best.numpy())[0]

    def __call__(self, x: Array) -> Array:
        return self.with_slopes(x)[0]

    def with_slopes(self, x: Array) -> tuple[Array, Array]:
        gap = np.where(np.isnan(x), 0.0, x - self.best)
        gap[:, 0] = x[:, 0] != self.best[0]
        value = -(gap**2).sum(1) - 0.3 * np.isnan(x).sum(1)
        slope = -2.0 * gap
        slope[:, 0] = 0.0
        return value, slope


def test_maximum_of_a_mixed_conditional_score_is_found() -> None:
    random = np.random.default_rng(0)
    domain = Domain(SPACE)
    found = maximise(Peak(), domain, np.zeros((0, 4)), random, Effort(spread=64, local=0, starts=4))
    (config,) = SPACE.decode(SPACE.canonical(torch.from_numpy(found.codes[:1])))
    assert config["kind"] == "b"
    assert config["n"] == 100
    assert config["x"] == pytest.approx(0.3, abs=1e-3)
    assert config["y"] == pytest.approx(0.01, rel=1e-2)
    assert (np.diff(found.values) <= 0).all()


def test_held_columns_stay_held() -> None:
    fixed = np.array([1.0, np.nan, 0.5, np.nan])
    domain = Domain(SPACE, fixed)
    random = np.random.default_rng(0)
    found = maximise(Peak(), domain, domain.spread(3, random), random, Effort(spread=32, local=32, starts=4))
    assert (found.codes[:, [0, 2]] == [1.0, 0.5]).all()
    assert found.codes[0, 1] == 100


def test_local_steps_stay_near_and_move_active_real_columns_only() -> None:
    domain = Domain(SPACE)
    centre = np.array([2.0, 7.0, 0.0, 0.5])  # kind c: only x is active
    found = maximise_near(Peak(), domain, centre, 0.1, np.random.default_rng(0), Effort())
    assert found is not None
    assert (found.codes[:, [0, 1, 3]] == centre[[0, 1, 3]]).all()
    assert np.abs(found.codes[:, 2]).max() <= 0.2 + 1e-9  # a tenth of the unit cube
    assert found.codes[0, 2] == pytest.approx(0.2, abs=1e-6)
    finite = Domain(bb.Space({"a": bb.Integer(0, 9)}))
    assert maximise_near(Peak(), finite, np.array([1.0]), 0.1, np.random.default_rng(0), Effort()) is None


def test_cells_are_enumerated_once_each() -> None:
    space = bb.Space({"k": bb.Categorical(["u", "v"]), "n": bb.Integer(0, 4, when={"k": "v"})})
    domain = Domain(space)
    assert domain.n_cells == 10
    found = enumerate_cells(lambda x: np.arange(len(x), dtype=float), domain)
    assert len(found.codes) == 6  # u once, v with five values
    assert (found.values == np.arange(6)[::-1]).all()


def test_first_new_skips_what_is_taken() -> None:
    domain = Domain(bb.Space({"a": bb.Integer(0, 3)}))
    score = lambda x: -x[:, 0]  # noqa: E731
    found = enumerate_cells(score, domain)
    taken = domain.model(np.array([[0.0], [1.0]]))
    point = first_new(score, found, domain, taken, np.random.default_rng(0))
    assert point is not None
    assert point[0] == 2.0
    every = domain.model(np.arange(4.0)[:, None])
    assert first_new(score, found, domain, every, np.random.default_rng(0)) is None


def test_lattice_covers_evenly() -> None:
    for d in (1, 2, 6):
        points = lattice(512, d, np.random.default_rng(0))
        assert ((points >= 0) & (points < 1)).all()
        counts = np.histogram(points[:, -1], bins=8, range=(0, 1))[0]
        assert counts.min() > 512 / 8 * 0.8


def test_repeats_are_merged_or_kept_as_noise() -> None:
    x = np.array([[0.1, np.nan], [0.1, np.nan], [0.2, 0.3]])
    same = merge_repeats(x, np.array([1.0, 1.0, 2.0]), None)
    assert len(same.x) == 2
    assert not same.conflict
    noisy = merge_repeats(x, np.array([1.0, 3.0, 2.0]), None)
    assert len(noisy.x) == 3
    assert noisy.conflict
    known = merge_repeats(x, np.array([1.0, 3.0, 2.0]), np.array([1.0, 1.0, 4.0]))
    assert known.y.tolist() == [2.0, 2.0]
    assert known.variance is not None
    assert known.variance.tolist() == [0.5, 4.0]


def test_steps_alternate_where_little_is_promised() -> None:
    space = bb.Space.box([0, 0], [1, 1])
    domain = Domain(space)
    x = np.random.default_rng(1).random((25, 2))
    y = ((x - 0.3) ** 2).sum(1)
    model = fit(x, y, noise="deterministic")
    acquisition = Acquisition((model,), np.zeros(1), float(model.standard(y).min()))
    anchor = x[[int(np.argmin(y))]]
    _, pace = propose(acquisition, domain, anchor, x, Pace(), np.random.default_rng(0))
    assert pace.promise < 0
    near, after = propose(acquisition, domain, anchor, x, Pace(promise=-20.0, turn=1), np.random.default_rng(0))
    assert np.abs(near - anchor[0]).max() <= 0.1 + 1e-9
    assert after.turn == 2
    bold, _ = propose(acquisition, domain, anchor, x, Pace(promise=-20.0, turn=2), np.random.default_rng(0))
    assert np.abs(bold - anchor[0]).max() > 0.1
