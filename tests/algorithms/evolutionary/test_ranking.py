"""Ranks against a brute-force oracle, on both engines."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from blackbox.algorithms.evolutionary import dominance
from blackbox.algorithms.evolutionary.ranking import finite_values, ranks, ranks_and_cutoff

INF, NAN = float("inf"), float("nan")


def dominates(a, b):
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(x < y for x, y in zip(a, b, strict=True))


def oracle(rows, violation=None, stop=None):
    """Peel fronts by the definition."""
    n = len(rows)
    violation = [0.0] * n if violation is None else violation
    invalid = [any(x != x for x in row) or v != v for row, v in zip(rows, violation, strict=True)]

    def beats(i, j):
        if invalid[i] or invalid[j]:
            return invalid[j] and not invalid[i]
        u, v = max(violation[i], 0), max(violation[j], 0)
        return u < v or (u == v == 0 and dominates(rows[i], rows[j]))

    front, left, k = [n] * n, set(range(n)), 0
    while left and (stop is None or n - len(left) < stop):
        now = {j for j in left if not any(beats(i, j) for i in left)}
        for j in now:
            front[j] = k
        left, k = left - now, k + 1
    return front


values = st.sampled_from([0.0, 1.0, 2.0, 3.0, -1.0, INF, -INF, NAN])
tables = st.integers(1, 5).flatmap(
    lambda m: st.lists(st.lists(values, min_size=m, max_size=m), min_size=1, max_size=14)
)


@given(tables, st.data())
@settings(max_examples=150, deadline=None)
def test_both_engines_equal_the_definition(rows, data):
    n = len(rows)
    violation = data.draw(
        st.none() | st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0, INF, NAN]), min_size=n, max_size=n)
    )
    stop = data.draw(st.none() | st.integers(1, n))
    expected = oracle(rows, violation, stop)
    f = torch.tensor(rows, dtype=torch.float64)
    v = None if violation is None else torch.tensor(violation, dtype=torch.float64)
    for method in ("compiled", "tensor"):
        assert ranks(f, stop=stop, violation=v, method=method).tolist() == expected, method


@pytest.mark.parametrize("m", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("levels", [3, 40, 0])
def test_engines_agree_on_larger_tables_of_each_dtype(m, levels):
    generator = torch.Generator().manual_seed(m + levels)
    for n in (2, 63, 64, 65, 300):
        f = torch.rand(3, n, m, generator=generator)
        f = (f * levels).floor() if levels else f
        for table in (f, f.double()):
            for stop in (None, n // 2):
                compiled = ranks(table, stop=stop, method="compiled")
                assert torch.equal(compiled, ranks(table, stop=stop, method="tensor"))
                assert compiled.dtype == torch.int64
                for run in range(3):
                    assert torch.equal(compiled[run], ranks(table[run], stop=stop))


@pytest.mark.parametrize("method", ["compiled", "tensor"])
@pytest.mark.parametrize("m", [1, 2, 3, 5])
def test_chains_duplicates_and_constants(m, method):
    n = 50
    chain = torch.arange(n, dtype=torch.float64).unsqueeze(-1).expand(n, m)
    assert ranks(chain.flip(0), method=method).tolist() == list(range(n))[::-1]
    assert ranks(torch.ones(n, m), method=method).tolist() == [0] * n
    assert ranks(torch.full((n, m), INF), method=method).tolist() == [0] * n
    assert ranks(torch.full((n, m), NAN), method=method).tolist() == [0] * n
    assert ranks(torch.zeros(0, m), method=method).shape == (0,)
    assert ranks(torch.zeros(4, 0, m), method=method).shape == (4, 0)


def test_counting_in_many_blocks(monkeypatch):
    monkeypatch.setattr(dominance, "_BLOCK_CPU", 100)
    f = (torch.rand(2, 90, 4, generator=torch.Generator().manual_seed(0)) * 4).floor()
    assert torch.equal(ranks(f, method="tensor"), ranks(f, method="compiled"))
    assert torch.equal(ranks(f, stop=30, method="tensor"), ranks(f, stop=30, method="compiled"))


def test_cutoff_is_the_last_wanted_front():
    f = torch.tensor([[0.0, 0.0], [1.0, 1.0], [1.0, 1.0], [2.0, 2.0]])
    for method in ("compiled", "tensor"):
        front, cutoff = ranks_and_cutoff(f, stop=2, method=method)
        assert front.tolist() == [0, 1, 1, 4]
        assert cutoff.tolist() == [1]


def test_input_is_not_written_to():
    f = torch.tensor([[2.0, NAN], [INF, 1.0], [1.0, 1.0]])
    copy, violation = f.clone(), torch.tensor([1.0, -1.0, 0.0])
    for method in ("compiled", "tensor"):
        ranks(f, violation=violation, method=method)
    assert torch.equal(f.nan_to_num(7), copy.nan_to_num(7))


def test_finite_values_replace_by_the_extremes_of_the_run():
    f = torch.tensor([[1.0, INF], [3.0, 5.0], [-INF, 4.0], [NAN, 9.0]])
    assert finite_values(f).tolist() == [[1.0, 5.0], [3.0, 5.0], [1.0, 4.0], [3.0, 5.0]]
    assert finite_values(torch.full((2, 1), NAN)).tolist() == [[0.0], [0.0]]
    clean = torch.rand(3, 2)
    assert finite_values(clean) is clean


@pytest.mark.parametrize(("m", "n"), [(3, 40_000), (4, 16_000)])
def test_memory_is_far_below_all_pairs(m, n):
    # All pairs as booleans are 1.6 GB and 256 MB; a process of its own, for its peak.
    code = f"""
import resource, torch
torch.set_num_threads(1)
from blackbox.algorithms.evolutionary.ranking import ranks
import moocore
f = torch.rand({n}, {m}, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
f = f / f.norm(dim=-1, keepdim=True)
f[{n} // 2 :, 0] += 0.3
ranks(f[:100], method="tensor")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
ranks(f, stop={n} // 4, method="tensor")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert int(out.stdout) < 120_000  # kilobytes
