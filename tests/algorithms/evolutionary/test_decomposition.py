import pytest
import torch

from blackbox.algorithms.evolutionary import decomposition
from blackbox.algorithms.evolutionary.decomposition import aggregate, neighbourhood_update, neighbours
from blackbox.algorithms.evolutionary.reference import das_dennis

F64 = torch.float64
KINDS = ["tchebycheff", "pbi", "weighted_sum"]


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


@pytest.mark.parametrize("tree_from", [1, 10**9])
def test_neighbours_are_the_nearest_with_itself_first(tree_from, monkeypatch):
    monkeypatch.setattr(decomposition, "_TREE_FROM", tree_from)
    monkeypatch.setattr(decomposition, "_BLOCK_CPU", 500)
    for weights in (das_dennis(3, 9), rand(40, 3), torch.ones(6, 2, dtype=F64)):
        for size in (1, 2, 5):
            found = neighbours(weights, size)
            distance = torch.cdist(weights, weights)
            assert found[:, 0].tolist() == list(range(len(weights)))
            assert all(len(set(row)) == size for row in found.tolist())
            expected = distance.sort(dim=-1).values[:, :size]
            torch.testing.assert_close(distance.gather(-1, found).sort(-1).values, expected, atol=1e-7, rtol=0)


def scalar(f, w, z, kind, theta=5.0):
    gap = [a - b for a, b in zip(f, z, strict=True)]
    if kind == "tchebycheff":
        return max(max(v, 1e-6) * abs(g) for v, g in zip(w, gap, strict=True))
    along = sum(v * g for v, g in zip(w, gap, strict=True))
    if kind == "weighted_sum":
        return along
    length = sum(v * v for v in w) ** 0.5
    d1 = along / length
    d2 = sum((g - d1 * v / length) ** 2 for v, g in zip(w, gap, strict=True)) ** 0.5
    return d1 + theta * d2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("m", [1, 2, 4])
def test_aggregations_equal_the_formulas(kind, m):
    f, w, z = rand(5, m), rand(5, m, seed=1), -rand(m, seed=2)
    expected = [scalar(a, b, z.tolist(), kind) for a, b in zip(f.tolist(), w.tolist(), strict=True)]
    torch.testing.assert_close(aggregate(f, w, z, kind=kind), torch.tensor(expected, dtype=F64))
    span = 1 + rand(m, seed=3)
    torch.testing.assert_close(
        aggregate(f, w, z, kind=kind, span=span),
        aggregate((f - z) / span, w, torch.zeros(m).double(), kind=kind),
    )


def update_loop(f, y, targets, w, z, kind, limit=None, cf=None, cy=None):
    """Offer every offspring to every target; each takes the best, if it is better than the incumbent."""
    r, q = len(w), len(y)
    cf = [0.0] * r if cf is None else [max(c, 0.0) for c in cf]
    cy = [0.0] * q if cy is None else [max(c, 0.0) for c in cy]
    old = [(cf[j], scalar(f[j], w[j], z, kind)) for j in range(r)]
    offers = [[] for _ in range(r)]
    for i in range(q):
        mine = [(old[j][1] - scalar(y[i], w[j], z, kind), -t, j) for t, j in enumerate(targets[i])]
        mine = sorted(mine, reverse=True)[:limit]
        for _, _, j in mine:
            value = scalar(y[i], w[j], z, kind)
            if value == value:
                offers[j].append((cy[i], value, i))
    return [min(o)[2] if o and min(o)[:2] < old[j] else -1 for j, o in enumerate(offers)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", [None, 2])
@pytest.mark.parametrize("levels", [0, 3])
def test_update_equals_the_double_loop(kind, limit, levels):
    weights = das_dennis(3, 4)
    r, runs = len(weights), 3
    targets = neighbours(weights, 5)
    f, y = rand(runs, r, 3), rand(runs, r, 3, seed=1)
    if levels:
        f, y = (f * levels).round() / levels, (y * levels).round() / levels
    y[0, 3] = float("nan")
    y[1, 4, 0] = float("inf")
    z = torch.zeros(runs, 3, dtype=F64)
    options = {"kind": kind, "max_replace": limit}
    found = neighbourhood_update(f, y, targets, weights, z, **options)
    for run in range(runs):
        expected = update_loop(
            f[run].tolist(), y[run].tolist(), targets.tolist(), weights.tolist(), z[run].tolist(), kind, limit
        )
        if levels == 0:
            assert found[run].tolist() == expected
        else:  # rounding decides between equal values; compare what is gained
            for j, (a, b) in enumerate(zip(found[run].tolist(), expected, strict=True)):
                rows = [f[run, j] if i < 0 else y[run, i] for i in (a, b)]
                values = [float(aggregate(row, weights[j], z[run], kind=kind)) for row in rows]
                if limit is None:
                    assert values[0] == pytest.approx(values[1], abs=1e-12)
        single = neighbourhood_update(f[run], y[run], targets, weights, z[run], **options)
        assert torch.equal(found[run], single)
        assert 3 not in found[0].tolist()


def test_update_prefers_less_violation():
    weights = das_dennis(2, 6)
    targets = neighbours(weights, 4)
    f, y = rand(7, 2), rand(7, 2, seed=1)
    cf, cy = (rand(7, seed=2) * 3).floor() - 1, (rand(7, seed=3) * 3).floor() - 1
    found = neighbourhood_update(f, y, targets, weights, torch.zeros(2).double(), violation=cf, offspring_violation=cy)
    expected = update_loop(
        f.tolist(), y.tolist(), targets.tolist(), weights.tolist(), [0.0, 0.0], "tchebycheff", None,
        cf.tolist(), cy.tolist(),
    )  # fmt: skip
    assert found.tolist() == expected
    assert max(expected) >= 0
