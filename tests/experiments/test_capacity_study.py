"""The study of capacity: its memories, its choice of beta, its tables, and its files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("typer")
pytest.importorskip("sklearn")

from typer.testing import CliRunner

import hopcore
from hopcore import datasets
from hopcore.cli.app import app
from hopcore.convex import AbsoluteSum, ConvexMemory, Polynomial
from hopcore.experiments.capacity import masked, report, trials
from hopcore.files._csv import from_csv

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def called(*words: str) -> str:
    done = CliRunner().invoke(app, ["experiment", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_command_writes_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    called("capacity", "--stored", "3,30", "--seeds", "1", "--markdown", "table.md")
    rows = from_csv(Path("capacity.csv").read_text(), trials.Trial)
    assert len(rows) == 2 * 2 * len(trials.NAMES)
    assert all(not row.guaranteed > row.measured for row in rows)
    assert Path("capacity.png").read_bytes().startswith(b"\x89PNG")
    assert Path("table.md").read_text().count("\n") == 2 + 2 * len(trials.NAMES)


def test_the_command_for_masked_images_writes_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--dataset", "digits", "--stored", "8,16", "--seeds", "1", "--markdown", "table.md"]
    called("capacity-masked", *options)
    rows = from_csv(Path("capacity-masked.csv").read_text(), masked.Trial)
    fixed = sum(variant.beta is not None for variant in masked.VARIANTS.values())
    assert len(rows) == 2 * (2 * len(masked.VARIANTS) - fixed)
    assert Path("capacity-masked.png").read_bytes().startswith(b"\x89PNG")
    # A variant with an inverse temperature of its own has one row, and the others have two.
    assert len(Path("table.md").read_text().splitlines()) == 2 + 2 * len(masked.VARIANTS) - fixed


def test_a_folder_without_mnist_among_the_patterns_is_refused(tmp_path: Path) -> None:
    call = ["experiment", "capacity", "--patterns", "random", "--data", str(tmp_path)]
    done = CliRunner().invoke(app, call)
    assert done.exit_code != 0
    assert "--data is for mnist" in str(done.exception or done.output)


def test_flips_change_the_sign_of_their_share() -> None:
    stored = trials.patterns_of(None, 200, 0)
    flipped = stored + trials.flips(stored, 0.1, 0)
    assert set(np.unique(flipped)) == {-1.0, 1.0}
    assert np.mean(flipped != stored) == pytest.approx(0.1, abs=0.01)
    assert (trials.flips(stored, 0.1, 1) != trials.flips(stored, 0.1, 0)).any()


def test_the_best_beta_is_the_best_of_the_grid() -> None:
    stored = trials.patterns_of(None, 30, 0)
    noise = trials.flips(stored, 0.2, 5)
    best = trials.best_beta(stored, noise, "softmax")
    found = trials.measured(stored, noise, "softmax", best)
    for factor in (0.05, 0.2, 20.0):
        other = trials.measured(stored, noise, "softmax", factor * best)
        assert other[:2] <= found[:2]


def test_a_centred_memory_returns_the_patterns_themselves() -> None:
    rng = np.random.default_rng(0)
    # Patterns that are mostly -1, which hide each other; the last values are the same in all.
    stored = np.where(rng.random((40, 100)) < 0.2, 1.0, -1.0)
    stored[:, -10:] = -1.0
    flipped = stored + trials.flips(stored, 0.05, 0)
    plain = ConvexMemory(Polynomial(5), AbsoluteSum())
    shares = [
        np.mean(memory.retrieve(flipped, stored, max_steps=10, tol=1e-6).state == stored)
        for memory in (plain, trials.Centred(plain))
    ]
    assert shares[0] < 0.9
    assert shares[1] == 1.0


def test_distances_need_no_centring() -> None:
    stored = trials.patterns_of(datasets.digits(), 50, 0)
    # Not flips, with which a query may be exactly as near to two patterns.
    noise = 0.6 * np.random.default_rng(0).normal(size=stored.shape).astype(np.float32)
    centred = stored - stored.mean(axis=0)
    for separation in ("softmax", "entmax:1.5"):
        shares = [trials.measured(x, noise, separation, 0.5).measured for x in (stored, centred)]
        assert shares[0] == shares[1] > 0.0


def test_the_nearest_pattern_is_the_ceiling_of_the_softmax() -> None:
    images = {"digits": datasets.digits()}
    names = ["nearest", "log-sum-exp", "entmax:1.5", "epanechnikov"]
    found = list(trials.run(images, trials.cases(["digits"], names, [100], 1), 0.1))
    shares = {row.memory: row.measured for (row,) in found}
    assert shares["epanechnikov"] < shares["log-sum-exp"]
    assert shares["log-sum-exp"] == pytest.approx(shares["nearest"], abs=0.011)
    assert shares["entmax:1.5"] == pytest.approx(shares["nearest"], abs=0.011)


def test_an_update_without_transformation_is_the_formula() -> None:
    drawn = datasets.choose(datasets.digits(), 20, 0)
    stored, queries = drawn.pixels, datasets.corrupt(drawn, "half")
    found = (
        masked.VARIANTS["sparsemax, norm"]
        .memory(20.0)
        .update(*(masked.prepared(masked.Norm(), x) for x in (queries, stored)))
    )
    keys, states = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (stored, queries))
    wanted = hopcore.separate(20.0 * states @ keys.T, "sparsemax") @ keys
    wanted /= np.linalg.norm(wanted, axis=-1, keepdims=True)
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    power = masked.VARIANTS["10th power, tanh"].memory(1e-30).update(queries, stored)
    scores = np.maximum(queries @ stored.T, 0.0)
    np.testing.assert_allclose(power, np.tanh(1e-30 * scores**10 @ stored), rtol=1e-10)


def test_the_tables_show_the_means() -> None:
    rows = [
        trials.Trial("random", "log-sum-exp", 10, seed, 0.1, 2.0, share, share - 0.5)
        for seed, share in enumerate((0.5, 1.0))
    ]
    (line,) = report.summary(rows)
    assert report.told(line) == "75.0 / 25.0"
    assert line.beta == pytest.approx(2.0)
    plain = [masked.Trial("softmax", 1.0, 8, seed, seed / 2, 1.0) for seed in (0, 1)]
    assert report.masked_table(plain).rows == [["1", "softmax", "25.0 ± 35.4"]]
    assert report.masked_table(plain, short=True).rows == [["1", "softmax", "25.0"]]


def test_the_panels_show_each_variant_once() -> None:
    shown = [kind for kinds in report.PANELS.values() for kind in kinds]
    assert sorted(shown) == sorted({name.partition(", ")[2] for name in masked.VARIANTS})
    assert report.STROKES.keys() == set(shown)
    assert report.MASKED_COLOURS.keys() == {name.partition(", ")[0] for name in masked.VARIANTS}
    assert len(set(report.MASKED_COLOURS.values())) == len(report.MASKED_COLOURS)


def test_a_planted_fault_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials.Centred, "retrieve", lambda self, *given, **steps:
                        self.memory.retrieve(*given, **steps))  # fmt: skip
    with pytest.raises(AssertionError):
        test_a_centred_memory_returns_the_patterns_themselves()


@pytest.mark.parametrize(
    ("name", "row", "wanted"),
    [
        (
            "capacity", trials.Trial,
            trials.cases(
                ["random", "digits", "mnist"], trials.NAMES, [3, 10, 30, 100, 300, 1000], 3
            ),
        ),
        (
            "capacity-masked", masked.Trial,
            masked.cases([1.0, 0.1], [64, 128, 256, 512, 1024, 2048, 4096], 3),
        ),
    ],
    ids=["capacity", "capacity-masked"],
)  # fmt: skip
def test_the_csv_of_the_page_has_every_case(name, row, wanted) -> None:
    rows = from_csv((RESULTS / f"{name}.csv").read_text(), row)
    assert {found[:4] for found in rows} == {tuple(case) for case in wanted}


def test_the_page_has_the_tables_of_the_files() -> None:
    page = (RESULTS / "capacity.md").read_text(encoding="utf-8")
    rows = from_csv((RESULTS / "capacity.csv").read_text(), trials.Trial)
    assert report.table(report.summary(rows)).markdown() in page
    images = from_csv((RESULTS / "capacity-masked.csv").read_text(), masked.Trial)
    assert report.masked_table(images).markdown() in page
