"""Functions with ripples on a trend: what is modelled, and what the search makes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import blackbox as bb
from blackbox.algorithms import BayesianOptimization
from blackbox.algorithms.bayesian.models import Fitting, merge_repeats, model_outcome
from blackbox.algorithms.bayesian.state import Fitted
from blackbox.surrogates.kernels import Array, Layout
from blackbox.surrogates.likelihood import Prior

BOX = bb.Space.box(np.zeros(3), np.ones(3))


def rugged(x: Array) -> Array:
    """A bowl with 20 ripples a side."""
    return np.asarray(((x - 0.6) ** 2).sum(-1) + 0.02 * (1.0 - np.cos(40.0 * np.pi * (x - 0.6))).sum(-1))


def clustered(n: int) -> Array:
    """Neighbourhoods of four points, as a search leaves them."""
    random = np.random.default_rng(0)
    centres = random.random((n // 4, 3)).repeat(4, axis=0)
    return np.clip(centres + 0.005 * random.standard_normal(centres.shape), 0.0, 1.0)


def fitted_to(x: Array, y: Array, ripples: bool) -> tuple[Fitted, Array]:
    """Return the record after a few fits, and predictions of the trend's points."""
    fitting, fitted = Fitting(ripples=ripples), Fitted()
    random = np.random.default_rng(0)
    for _ in range(12):
        fitted = replace(fitted, n=0)  # as if data had come in
        processes, _, fitted = model_outcome(
            merge_repeats(x, y, None), Layout.plain(3), fitted, fitting, prior=Prior(shift=-1.4), random=random
        )
    process = processes[0]
    mean, _ = process.predict(np.random.default_rng(1).random((400, 3)))
    return fitted, mean * process.standard.spread + process.standard.shift


def test_ripples_are_found_by_evidence_and_leave_the_trend_to_be_seen() -> None:
    x = clustered(80)
    truth = rugged(np.random.default_rng(1).random((400, 3)))
    plain, blind = fitted_to(x, rugged(x), ripples=False)
    found, seeing = fitted_to(x, rugged(x), ripples=True)
    assert plain.share == 0.0
    assert found.share > 0.0
    assert found.ratio < 1.0
    assert float(found.values[0]) < float(plain.values[0]) - 2.0
    error, blind_error = np.square(seeing - truth).mean(), np.square(blind - truth).mean()
    assert error < 0.6 * blind_error


def test_smooth_functions_have_none() -> None:
    x = clustered(80)
    found, _ = fitted_to(x, np.square(x - 0.4).sum(1), ripples=True)
    assert found.share == 0.0


@pytest.mark.parametrize("acquisition", ["log_ei", "thompson"])
def test_a_search_with_ripples_goes_on_where_it_was_saved(acquisition: str, tmp_path: Path) -> None:
    def advance(optimizer: bb.Optimizer, n: int) -> torch.Tensor:
        for _ in range(n):
            batch = optimizer.ask()
            optimizer.tell(batch, rugged(batch.x.numpy()))
        return batch.x

    first = bb.Optimizer(BOX, BayesianOptimization(acquisition=acquisition), seed=1)
    x = clustered(60)
    first.tell(first.space.batch(x), rugged(x))
    advance(first, 8)
    first.save(tmp_path / "search.safetensors")
    second = bb.Optimizer.load(tmp_path / "search.safetensors")
    assert torch.equal(advance(first, 3), advance(second, 3))
