"""The benchmarks run, compare equal work and write what they print. Nothing here looks at speed."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_smallest_row_runs_and_both_sides_compute_the_same(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    done = benchmarks("overhead-numpy", "--quick", "--json", str(file))
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(file.read_text())["results"]
    assert result["row"] == "overhead-numpy"
    for side in (result["ours"], result["peer"]):
        assert side["failed"] == ""
        assert 0 < side["wall"] < 60
        assert 0 < side["cpu"] < 60
        assert side["twice"] >= 0.0
        assert side["faults"] >= 0.0
    assert result["apart"] < 1e-5
    unsteady = result["figure"].startswith("not judged: the same code twice differs by")
    assert unsteady == (result["wall_ratio"] is None) == (result["met"] is None)
    # The line of the table holds the same figure.
    (line,) = [line for line in done.stdout.splitlines() if line.startswith(result["case"])]
    assert result["figure"] in line
    assert unsteady or line.split()[-1] in ("met", "missed")
    page = benchmarks("--markdown", str(file))
    assert page.returncode == 0, page.stderr
    assert "## overhead-numpy" in page.stdout
    assert result["figure"] in page.stdout


def test_a_side_that_cannot_run_is_reported_and_the_rest_goes_on() -> None:
    from benchmarks.cases import Case, Row, Side
    from benchmarks.run import Workers, run_row

    case = Case(2, 3, 4)
    sides = (Side("nowhere", "numpy", "association"), Side("by_hand_numpy", "numpy", "association"))
    with Workers() as workers:
        row = Row("row", "about", sides, (case,), (case,), peer=sides[1], most=1e9)
        broken, fine = run_row(row, workers, quick=True, steady=math.inf)
    assert "nowhere" in broken.ours.failed
    assert broken.met is None
    assert fine.met is True
    assert fine.apart == 0.0


@pytest.mark.parametrize(
    ("target", "ratio", "met"),
    [
        ({"most": 1.5}, 1.4, True),
        ({"most": 1.5}, 1.6, False),
        ({"least": 10}, 0.09, True),
        ({"least": 10}, 0.11, False),
        ({"added": 5}, 3.0, True),
        ({}, 3.0, None),
    ],
)
def test_a_target_is_met_or_missed(
    target: dict[str, float], ratio: float, met: bool | None
) -> None:
    from benchmarks.cases import Case, Row
    from benchmarks.run import Measured, Result, judge

    case = Case(2, 3, 4)
    row = Row("row", "about", (), (case,), (case,), **target)
    result = Result("row", str(case), row.target, Measured("ours"), None, ratio, 100.0)
    judge(result, row, 4.0, None)
    assert result.met is met


def test_too_much_memory_misses_the_target() -> None:
    from benchmarks.cases import Case, Row
    from benchmarks.run import Measured, Result, judge

    case = Case(1024, 1024)
    row = Row("row", "about", (), (case,), (case,), most=2, scratch=8)
    for scratch, met in ((8 << 20, True), ((8 << 20) + 1, False)):
        ours = Measured("ours", scratch=scratch)
        result = Result("row", str(case), row.target, ours, None, 1.0, 1.0)
        judge(result, row, 0.0, row.scratch_limit(case))
        assert result.met is met


def test_scratch_memory_is_seen() -> None:
    from benchmarks.worker import peak_scratch

    def call() -> int:
        return len(bytearray(b"\1") * (32 << 20))

    scratch = peak_scratch(call)
    if scratch is None:
        pytest.skip("this system does not tell peak memory")
    # The kernel counts resident pages in batches: right to a few hundred KiB.
    assert 31 << 20 <= scratch < 40 << 20


def test_a_ratio_is_refused_where_the_same_code_twice_differs() -> None:
    from benchmarks.cases import Case, Row
    from benchmarks.run import Measured, _Turns, compare
    from benchmarks.worker import Taken

    def side(first: float, second: float) -> _Turns:
        taken, again = ([Taken(x, x)] * 3 for x in (first, second))
        turns = _Turns(Measured("side"), None, taken, again)
        turns.measured.twice = turns.twice("wall")
        return turns

    case = Case(2, 3, 4)
    row = Row("row", "about", (), (case,), (case,), most=1.5, same=False)
    steady = compare(row, case, side(1.0, 1.04), side(1.0, 1.0))
    assert steady.met is True
    assert steady.wall_ratio == pytest.approx(1.02)
    for ours, peer in ((side(1.0, 1.1), side(1.0, 1.0)), (side(1.0, 1.0), side(1.1, 1.0))):
        refused = compare(row, case, ours, peer)
        assert refused.met is None
        assert refused.wall_ratio is None
        assert refused.figure.startswith("not judged: the same code twice differs by")


def test_a_row_of_memory_needs_no_peer() -> None:
    from benchmarks.cases import Case, Row
    from benchmarks.run import Measured, _Turns, compare
    from benchmarks.table import cells

    case = Case(1024, 1024)
    row = Row("row", "about", (), (case,), (case,), no_scores=True, pairs=True)
    for scratch, met in ((1 << 20, True), (3 << 20, False)):
        result = compare(row, case, _Turns(Measured("side", scratch=scratch)), None)
        assert result.met is met
        assert result.pairs == 4 << 20
        line = cells(json.loads(json.dumps(result, default=vars)))
        assert line["(L, S) MiB"] == "4.0"
        assert line["figure"] == f"{scratch >> 20}.0 MiB"


def test_pages_that_a_process_gets_are_counted() -> None:
    from benchmarks.worker import measure, page_faults

    if page_faults() == 0:
        pytest.skip("this system does not count page faults")
    assert measure(lambda: bytearray(b"\1") * (64 << 20), 1).faults > 1000


def test_ratios_are_kept_by_commit(tmp_path: Path) -> None:
    from benchmarks.history import add, curves

    file = tmp_path / "history.json"
    result = {"row": "r", "case": "c", "ours": {"side": "s"}, "wall_ratio": 2.0, "cpu_ratio": 2.0}
    add(file, [result], "first")
    add(file, [result | {"cpu_ratio": 1.0}], "second")
    add(file, [result | {"wall_ratio": None}], "third")
    assert list(json.loads(file.read_text())) == ["first", "second", "third"]
    assert curves(file).splitlines()[-1] == "| r, c, s | 2 x | 1 x | █▅ |"


def test_ratios_of_earlier_commits_are_read_from_their_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks import history

    def git(*arguments: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
        subprocess.run(["git", "-C", str(tmp_path), *who, *arguments], check=True)

    record = tmp_path / history.RECORDS / "kernels.json"
    record.parent.mkdir(parents=True)
    monkeypatch.setattr(history, "__file__", str(tmp_path / "benchmarks" / "history.py"))
    git("init", "-q")
    result = {"row": "r", "case": "c", "ours": {"side": "s"}, "wall_ratio": 2.0, "cpu_ratio": 2.0}
    (record.parent / "scale.json").write_text(json.dumps({"tables": []}))
    for ratio in (2.0, 0.5):
        record.write_text(json.dumps({"results": [result | {"cpu_ratio": ratio}]}))
        git("add", ".")
        git("commit", "-q", "-m", str(ratio))
    git("rm", "-q", "-r", history.RECORDS)
    git("commit", "-q", "-m", "without records")
    file = tmp_path / "history.json"
    history.add_committed(file)
    assert len(json.loads(file.read_text())) == 2
    assert history.curves(file).splitlines()[-1] == "| r, c, s | 2 x | 0.5 x | █▃ |"


def test_the_page_of_earlier_commits_is_what_the_file_says() -> None:
    from benchmarks.history import curves

    page = ROOT / "docs" / "benchmarks" / "history.md"
    file = ROOT / "benchmarks" / "results" / "history.json"
    assert page.read_text().strip() == curves(file).strip()


def test_every_target_names_rows_that_exist() -> None:
    from benchmarks.rows import ROWS
    from benchmarks.targets import TARGETS, lines

    named = [name for target in TARGETS for name in target.rows]
    assert set(named) <= set(ROWS)
    assert [line[1] for line in lines()[1:]] == named
    words = "met", "missed", "reported", "missing", "not measured"
    for line in lines()[1:]:
        assert line[4].startswith(words)
        assert ("missed" in line[4]) == bool(line[5]), f"{line[1]} names no obstacle"


def test_the_power_of_a_power_law_is_found() -> None:
    from benchmarks.run import slope

    points = [(math.log(n), math.log(3e-9 * n**1.25)) for n in (256, 512, 1024, 2048)]
    assert slope(points) == pytest.approx(1.25)


def test_every_row_is_listed_and_an_unknown_one_refused() -> None:
    from benchmarks.rows import ROWS

    listed = benchmarks("--list").stdout
    assert all(name in listed for name in ROWS)
    refused = benchmarks("assocation")
    assert refused.returncode == 2
    assert "unknown row 'assocation'; known: association-torch" in refused.stderr


@pytest.mark.parametrize(
    "name",
    ["kernels", "graphs", "layers", "phase", "attention", "memories", "memory-use", "users"],
)
def test_the_page_in_the_docs_is_what_the_record_says(name: str) -> None:
    from benchmarks.table import markdown

    record = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())
    page = ROOT / "docs" / "benchmarks" / f"{name}.md"
    assert page.read_text().strip() == markdown(record).strip()


def test_the_page_of_memories_in_parts_is_what_the_record_says() -> None:
    from benchmarks.scale import kept, markdown

    page = ROOT / "docs" / "benchmarks" / "scale.md"
    assert page.read_text().strip() == markdown(kept()).strip()


def test_the_page_of_prepared_memories_is_what_the_record_says() -> None:
    from benchmarks.prepared_page import markdown

    record = json.loads((ROOT / "benchmarks" / "results" / "prepared.json").read_text())
    page = ROOT / "docs" / "benchmarks" / "prepared.md"
    assert page.read_text().strip() == markdown(record).strip()


def test_augmented_images_and_texts_are_the_same_each_time(monkeypatch) -> None:
    import numpy as np

    from benchmarks import prepared_data

    monkeypatch.delenv("HOPCORE_MNIST", raising=False)
    prepared_data.images.cache_clear()
    make = prepared_data.augmented.__wrapped__
    first, second = make(300, 16, True), make(300, 16, True)
    assert first.stored.shape == (300, 16)
    assert first.stored.dtype == np.float32
    np.testing.assert_array_equal(first.stored, second.stored)
    assert np.abs(first.stored - make(300, 16, True, seed=1).stored).max() > 0.1
    prepared_data.images.cache_clear()
    found = prepared_data.paragraphs(quick=True)
    assert found == prepared_data.paragraphs(quick=True)
    assert len(found) > 500
    assert min(len(piece.split()) for piece in found) == prepared_data.WORDS


def test_an_index_that_is_not_installed_has_a_line_which_says_so() -> None:
    import numpy as np

    from benchmarks import prepared_data, prepared_indexes

    data = prepared_data.normal(50, 8)
    arguments = data, "FAISS flat", data.stored[:2], "not installed", None
    line = prepared_indexes.line(*arguments, np.ones(2), np.ones((2, 8)))
    assert line[:3] == ["normal 50 x 8", "FAISS flat", "not installed"]
    assert len(line) == len(prepared_indexes.COLUMNS)


def test_associations_of_hits_are_measured_against_all_patterns() -> None:
    import numpy as np

    from benchmarks import prepared_data, prepared_indexes

    pytest.importorskip("sklearn")
    data = prepared_data.normal(200, 8)
    asked = data.stored[:3]
    nearest, exact = prepared_indexes.exactly(data.stored, asked, [1e-3, 1e3])
    np.testing.assert_allclose(nearest, 0.0, atol=1e-7)
    mean = np.tile(data.stored.mean(axis=0), (3, 1))
    np.testing.assert_allclose(exact[0], mean, atol=0.05)
    np.testing.assert_allclose(exact[1], asked, atol=1e-6)
    index = prepared_indexes.neighbours("brute")(data.stored, 1.0)
    assert [index.best(query) for query in asked] == [0, 1, 2]
    np.testing.assert_allclose(index.associate(asked[0], 1e3), asked[0], atol=1e-6)
    assert np.abs(index.associate(asked[0], 1e-3) - exact[0, 0]).max() > 0.1


def test_the_model_of_many_devices() -> None:
    from dataclasses import replace

    from benchmarks.scale_model import (
        Device,
        Network,
        Work,
        all_reduce,
        compute_bound,
        computing,
        efficiency,
        exchanging,
        reading,
        update,
    )

    device, network = Device("one", 1e12, 1e11, 1e11), Network(1e-5, 1e9)
    work = Work(1e8, 8, 64)
    # By hand: 25.6 GB in 0.256 s; 8e8 scores of 256 operations in 0.2048 s and through the
    # softmax in 0.008 s.
    assert reading(work, device, 1) == pytest.approx(0.256)
    assert computing(work, device, 1) == pytest.approx(0.2128)
    assert update(work, device, network, 1) == pytest.approx(0.256)
    assert reading(work, device, 4) == pytest.approx(0.064)
    # Few bytes go through a tree of 2 log2 n messages, many through a ring of n parts.
    assert all_reduce(4, network, 8) == pytest.approx(6 * (1e-5 + 4e-9))
    assert all_reduce(8e6, network, 8) == pytest.approx(14 * (1e-5 + 1e-3))
    assert all_reduce(8e6, network, 1) == 0.0
    # What is exchanged does not know how many patterns there are; a larger memory hides it.
    larger = replace(work, S=1e10)
    assert exchanging(larger, network, 64) == exchanging(work, network, 64)
    assert efficiency(larger, device, network, 64) > efficiency(work, device, network, 64)
    same = replace(work, L=int(compute_bound(work, device)))
    assert computing(same, device, 1) <= reading(same, device, 1)
    more = replace(same, L=same.L + 1)
    assert computing(more, device, 1) > reading(more, device, 1)


def test_bytes_in_a_program_are_counted() -> None:
    pytest.importorskip("jax")
    from benchmarks.scale_jax import exchanged

    program = """
  %a = f32[64]{0} all-reduce(%x), channel_id=1
  %b = (f32[64]{0}, f32[64,64]{1,0}) all-reduce(%y, %z), channel_id=2
  %c = f64[] all-reduce-start(%w)
  ROOT %d = f32[64,8]{1,0} add(%u, %v)"""
    assert exchanged(program) == 4 * 64 + 4 * (64 + 64 * 64) + 8
    with pytest.raises(AssertionError, match="all-gather"):
        exchanged("%a = f32[64]{0} all-gather(%x)")
