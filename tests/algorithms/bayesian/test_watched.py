from __future__ import annotations

import numpy as np

from blackbox.algorithms.bayesian.watched import watch
from blackbox.surrogates.gaussian_process import fit


def test_kept_predictions_are_those_of_the_process_with_more_points() -> None:
    random = np.random.default_rng(0)
    x, pool, new = random.random((20, 3)), random.random((50, 3)), random.random((4, 3))
    process = fit(x, ((x - 0.3) ** 2).sum(1), noise=0.01)
    watched = watch(process, pool)
    for _ in range(2):
        for kept, fresh in zip(watched.predict(pool), process.predict(pool.copy()), strict=True):
            np.testing.assert_allclose(kept, fresh, rtol=1e-9, atol=1e-12)
        watched, process = watched.condition(new), process.condition(new)  # type: ignore[assignment]
        new = random.random((1, 3))
    for kept, fresh in zip(watched.predict(new), process.predict(new), strict=True):
        np.testing.assert_allclose(kept, fresh)
