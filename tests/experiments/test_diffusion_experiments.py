"""Studies of diffused retrieval: what they compare is what they say, and every command works."""

from __future__ import annotations

import csv
import gzip
import json
import struct

import numpy as np
import pytest

import hopcore
from hopcore import datasets, plots
from hopcore.__main__ import main
from hopcore.experiments.batched_retrieval import nearest
from hopcore.experiments.diffusion import report as diffusion_report
from hopcore.experiments.diffusion import summary as diffusion_summary
from hopcore.experiments.diffusion import trials as diffusion
from hopcore.experiments.diffusion.methods import Strength, takes_distances
from hopcore.experiments.diffusion.settings import PLAIN, Method, Setting, Trial
from hopcore.experiments.diffusion.studies import STUDIES
from hopcore.experiments.parsing import one_of, positive, unlike

STRENGTH = Strength([0.1], [3], [4], "none")


def trials(methods, **changes):
    settings = {"stored": [30], "corruptions": ["noise:1"], "levels": [20.0], "seeds": 2}
    return list(diffusion.run_trials(datasets.digits(), methods, **settings | changes))


def test_a_memory_that_is_not_diffused_is_plain():
    """Every kind of value and every mode, with eta 0: the same shares as plain, of every sort."""
    config = hopcore.DiffusionConfig(eta=0.0, steps=1)
    methods = [Method(values, values, config) for values in ("tied", "evolving", "untied")]
    methods.append(Method("walk", "tied", config, "random_walk"))
    for trial in trials(methods, levels=[5.0, 40.0]):
        assert trial.exact == trial.same_exact == trial.spread_exact == trial.entropy_exact
        assert trial.label == trial.same_label == trial.spread_label
        assert trial.effective == pytest.approx(trial.setting.level, rel=1e-5)


def test_plain_is_what_retrieve_returns():
    (trial,) = trials([], seeds=1, corruptions=["half"])
    images = datasets.choose(datasets.digits(), 30, np.random.default_rng(0))
    pixels = images.pixels.astype(np.float32)
    queries = datasets.corrupt(images, "half", np.random.default_rng(0)).astype(np.float32)
    pairs = np.linalg.norm(pixels[:, None] - pixels[None], axis=-1) ** 2
    beta = 20.0 / (pairs.sum() / (30 * 29) / 2)
    assert trial.beta == pytest.approx(beta, rel=1e-5)
    found = nearest(hopcore.update(queries, pixels, beta), pixels)
    assert trial.exact == np.mean(found == np.arange(30))
    assert trial.label == np.mean(images.labels[found] == images.labels)
    weights = hopcore.association_weights(queries, pixels, beta)
    entropy = -np.sum(weights * np.log(weights + 1e-30), axis=-1).mean()
    assert trial.entropy == pytest.approx(entropy, abs=1e-4)


def test_equal_entropy_is_found():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(20, 50))
    inverse = diffusion.entropy_inverse(scores, 1.0)
    for beta in (0.3, 2.0, 50.0):
        entropy = diffusion.mean_entropy(diffusion.softmax(beta * scores))
        again = diffusion.mean_entropy(diffusion.softmax(inverse(entropy) * scores))
        assert again == pytest.approx(entropy, abs=0.01)


def test_diffusion_heats():
    """J7: the effective inverse temperature falls with T."""
    methods = [Method("tied", "tied", hopcore.DiffusionConfig(steps=t)) for t in (0, 1, 3, 9)]
    by_steps = {t.setting.steps: t for t in trials(methods, seeds=1) if t.setting.method != PLAIN}
    effective = [by_steps[steps].effective for steps in (0, 1, 3, 9)]
    assert effective == sorted(effective, reverse=True)
    assert effective[0] == pytest.approx(20.0, rel=1e-5)
    assert effective[-1] < 0.9 * effective[0]


def test_unseen_queries_want_the_nearest_pattern_and_their_own_label():
    clean = trials([], seeds=1, corruptions=["noise:0"], levels=[1e4], unseen=True)
    drawn = datasets.choose(datasets.digits(), 60, np.random.default_rng(0))
    pixels = drawn.pixels.astype(np.float32)
    wanted = nearest(pixels[30:], pixels[:30])
    largest = np.argmax(pixels[30:] @ pixels[:30].T, axis=-1)
    assert clean[0].exact == np.mean(largest == wanted)
    assert clean[0].label == np.mean(drawn.labels[:30][largest] == drawn.labels[30:])


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_every_method_of_a_study_runs_and_repeats(study):
    methods = study.methods(STRENGTH)
    first, again = (trials(methods, stored=[20], seeds=1) for _ in range(2))
    assert len({trial.setting for trial in first}) == len(methods) + 1
    timeless = [[trial._replace(milliseconds=0.0) for trial in done] for done in (first, again)]
    assert timeless[0] == timeless[1]
    for trial in first:
        assert 0.0 <= trial.exact <= trial.label <= 1.0
        assert 0.0 <= trial.entropy <= np.log(20)
        assert (trial.spread_exact is None) == (trial.effective is None)
        assert trial.milliseconds > 0.0


def test_a_shuffled_graph_has_the_same_edges_between_other_patterns():
    methods = [Method("tied", "tied", hopcore.DiffusionConfig(eta=0.1, steps=3))]
    plain, tied = trials(methods, stored=[40], seeds=1, levels=[20.0])
    same, other = trials(methods, stored=[40], seeds=1, levels=[20.0], shuffled=True)
    timeless = [trial._replace(milliseconds=0.0) for trial in (plain, same)]
    assert timeless[0] == timeless[1]
    assert other.effective < tied.effective  # patterns that are far apart are averaged
    assert other.same_exact == tied.same_exact


def test_by_distance_plain_retrieval_beside_a_method_is_by_distance_too():
    methods = [Method("tied", "tied", hopcore.DiffusionConfig(eta=0.0))]
    plain, tied = trials(methods, stored=[40], seeds=1, levels=[20.0], similarity="distance")
    assert (tied.exact, tied.label) == (tied.same_exact, tied.same_label)
    assert (tied.exact, tied.entropy) == (plain.exact, pytest.approx(plain.entropy, rel=1e-5))
    other, _ = trials(methods, stored=[40], seeds=1, levels=[20.0])
    assert other.entropy != pytest.approx(plain.entropy, rel=1e-3)


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_methods_that_take_distances_run(study):
    methods = [method for method in study.methods(STRENGTH) if takes_distances(method)]
    done = trials(methods, stored=[20], seeds=1, similarity="distance")
    assert {trial.setting.similarity for trial in done} == {"distance"}
    assert len(done) == 1 + len(methods) > 1


def test_modes_are_compared_at_equal_strength():
    """All approximate one heat kernel, to the order of their step."""
    methods = STUDIES[3].methods(STRENGTH._replace(etas=[0.002]))
    assert len(methods) == 6 * 3
    stored = datasets.digits().pixels[:30]
    graph = hopcore.knn_graph(stored, 4)
    for normalization in ("none", "symmetric", "random_walk"):
        found = [
            hopcore.apply_diffusion(
                stored, graph.using(normalization), m.config.eta, m.config.diffusion_mode, 3
            )
            for m in methods
            if m.normalization == normalization
        ]
        moved = np.linalg.norm(found[0] - stored)
        for one in found[1:]:
            assert np.linalg.norm(one - found[0]) < 0.15 * moved


@pytest.mark.parametrize("name", ["torch"])
def test_a_study_on_a_backend(name):
    pytest.importorskip(name)
    methods = [m for study in STUDIES for m in study.methods(STRENGTH)[:3]]
    mine, theirs = (
        trials(methods, stored=[20], seeds=1, backend=backend) for backend in ("numpy", name)
    )
    for one, other in zip(mine, theirs, strict=True):
        assert one.setting == other.setting
        assert other.exact == pytest.approx(one.exact, abs=0.051)  # one query may be a near tie
        assert other.entropy == pytest.approx(one.entropy, abs=1e-3)


PLACE = {
    "mode": "", "normalization": "", "eta": 0.0, "steps": 0, "neighbours": 0, "stored": 10,
    "corruption": "half", "updates": 1,
}  # fmt: skip


def made(method, level, seed, exact, same, entropy):
    setting = Setting(method=method, **PLACE, level=level)
    return Trial(
        setting, seed, 1.0, None, 0.5, exact, 1.0, same, 1.0, None, None, entropy, 1.0, 2.0 + seed
    )


def test_summary_pairs_trials_of_one_memory():
    done = [
        made(PLAIN, 5.0, 0, 0.5, 0.5, 0.5), made(PLAIN, 5.0, 1, 0.3, 0.3, 0.3),
        made("tied", 5.0, 0, 0.6, 0.5, 0.4), made("tied", 5.0, 1, 0.2, 0.3, 0.2),
    ]  # fmt: skip
    _, tied = diffusion_summary.summary(done)
    assert (tied.seeds, tied.levels) == (2, [5.0])
    assert tied.exact == pytest.approx((0.4, 0.08**0.5))
    assert tied.less["same_exact"] == pytest.approx((0.0, 0.02**0.5))
    assert tied.less["entropy_exact"] == pytest.approx((0.1, 0.02**0.5))
    assert tied.less["spread_exact"] is None
    assert tied.milliseconds == 2.5
    text = diffusion_summary.to_csv(done)
    assert {row["spread_exact"] for row in csv.DictReader(text.splitlines())} == {""}
    assert diffusion_summary.from_csv(text) == done


def test_a_level_is_chosen_on_the_other_half_of_the_memories():
    """Level 5 is best for even seeds and level 9 for odd ones, with both methods."""
    even = {PLAIN: {5.0: 0.5, 9.0: 0.3}, "tied": {5.0: 0.9, 9.0: 0.1}, "untied": {5.0: 0.2}}
    odd = {PLAIN: {5.0: 0.2, 9.0: 0.8}, "tied": {5.0: 0.4, 9.0: 0.6}, "untied": {5.0: 0.2}}
    done = [
        made(method, level, seed, share, 0.0, 0.0)
        for seed in range(4)
        for method, levels in (odd if seed % 2 else even).items()
        for level, share in levels.items()
    ]
    plain, tied, _ = diffusion_summary.at_chosen_levels(done, "exact")
    assert (plain.seeds, plain.levels, tied.levels) == (4, [5.0, 9.0], [5.0, 9.0])
    assert plain.exact.mean == pytest.approx((0.3 + 0.2) / 2)  # and not (0.5 + 0.8) / 2
    assert tied.exact.mean == pytest.approx((0.1 + 0.4) / 2)
    assert tied.less["best_exact"] == pytest.approx((0.0, (4 * 0.2**2 / 3) ** 0.5))
    assert "best_label" not in tied.less
    _, rows = diffusion_report.cells(diffusion_report.at_best(done), long=True)
    assert rows[1][1:4] == ["25.0 ± 17.3", "5, 9", "+0.0 ± 23.1"]


def test_of_equally_good_levels_the_lowest_is_chosen():
    # The means over the seeds are equal, except for the rounding of a CSV file.
    first, second = (0.55859, 0.55859), (0.55468, 0.56251)
    done = [
        made(PLAIN, level, seed, share, 0.0, 0.0)
        for level, shares in ((14.0, second), (10.0, first))
        for seed, share in enumerate(shares)
    ]
    assert diffusion_summary.best_level(done, "exact") == 10.0
    better = [made(PLAIN, 14.0, 2, 0.9, 0.0, 0.0), made(PLAIN, 10.0, 2, 0.899, 0.0, 0.0)]
    assert diffusion_summary.best_level([*done, *better], "exact") == 14.0


def test_curves_draw_into_the_axes_they_are_given():
    ax = plots.new_figure(3, 2).subplots()
    named = {
        "plain": plots.Curve([0, 1], [1.0, 2.0], [0.1, 0.1]),
        "tied": plots.Curve([1], [3.0], [0.2]),
    }
    assert plots.curves(named, ["a", "b"], ax=ax) is ax
    assert ax.get_legend_handles_labels()[1] == ["plain", "tied"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b"]
    np.testing.assert_array_equal(ax.containers[1].lines[0].get_data(), [[1], [3.0]])


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_every_curve_of_a_study_is_drawn(study):
    """Also where a setting varies that is no axis of the picture."""
    for etas in ([0.1], [0.05, 0.1]):
        methods = study.methods(STRENGTH._replace(etas=etas, steps=[2]))
        lines = diffusion_summary.summary(trials(methods, stored=[12], seeds=1))
        columns = diffusion_report.values(lines, study.column) if study.column else [None]
        ticks = diffusion_report.values(lines, study.x)
        points = 0
        for column in columns:
            here = [x for x in lines if diffusion_report.belongs(x.setting, study.column, column)]
            curves = diffusion_report.curves_of(study, here, "label", ticks)
            assert next(iter(curves)) == PLAIN
            points += sum(len(curve.means) for curve in list(curves.values())[1:])
        assert points == len(methods)


def test_names():
    assert unlike([1, 2], "k") == [1, 2]
    assert positive([1.0, 2.5], "level") == [1.0, 2.5]
    for value in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="level must be positive and finite"):
            positive([1.0, value], "level")
    assert one_of("a", ("a", "b"), "letter") == "a"
    with pytest.raises(ValueError, match="unknown letter 'c'; known: a, b"):
        one_of("c", ("a", "b"), "letter")


def run(capsys, *args):
    with pytest.raises(SystemExit) as stop:
        main([str(arg) for arg in args])
    printed = capsys.readouterr()
    return stop.value.code, printed.out, printed.err


SMALL = ["--stored", "16", "--seeds", "2", "--level", "5,20", "--k", "3"]


@pytest.mark.parametrize("name", [study.name for study in STUDIES])
def test_a_command_writes_its_csv_and_its_picture(capsys, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    few = ["--steps", "1,2"] if name == "steps-sweep" else []
    code, out, err = run(capsys, "experiment", name, *SMALL, *few)
    assert (code, err) == (0, "")
    assert "plain" in out
    assert "…" not in out  # nothing is cut off at 80 columns
    picture = (tmp_path / f"{name}.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(picture) < 100_000
    first = (tmp_path / f"{name}.csv").read_text()
    text = tmp_path / "t.md"
    code, out, err = run(capsys, "experiment", name, *SMALL, *few, "--markdown", text, "--json")
    assert (code, err) == (0, "")
    rows = list(csv.DictReader(first.splitlines()))
    again = list(csv.DictReader((tmp_path / f"{name}.csv").read_text().splitlines()))
    for row in rows + again:
        assert float(row.pop("milliseconds")) > 0
    assert rows == again
    lines = json.loads(out)["lines"]
    assert len(lines) * 2 == len(rows)
    assert {line["seeds"] for line in lines} == {2}
    table = text.read_text().splitlines()
    assert len({line.count("|") for line in table}) == 1
    assert sum("| plain |" in line for line in table) >= 1


@pytest.mark.parametrize("name", ["noise-robustness", "mode-comparison"])
def test_a_study_continues_from_its_csv(capsys, tmp_path, monkeypatch, name):
    """Modes have an eta of 3 * 0.1, which is not 0.3 in binary numbers."""
    monkeypatch.chdir(tmp_path)
    run(capsys, "experiment", name, *SMALL)
    path = tmp_path / f"{name}.csv"
    whole = path.read_text().splitlines()
    kept = [line for place, line in enumerate(whole) if place < 7 or place % 5]
    path.write_text("\n".join(kept) + "\n")
    code, _, err = run(capsys, "experiment", name, *SMALL, "--resume")
    assert (code, err) == (0, "")
    again = path.read_text().splitlines()
    assert again[: len(kept)] == kept  # with the times that were measured before
    timeless = [[line.rsplit(",", 1)[0] for line in lines] for lines in (whole, again)]
    assert sorted(timeless[0]) == sorted(timeless[1])
    manifest = json.loads((tmp_path / f"{name}-manifest.json").read_text())
    assert len(manifest["runs"]) == 2


BAD = {
    "normalization": ("--normalization row", "unknown normalization 'row'"),
    "level": ("--level 5,0", "level must be positive and finite, got 0.0"),
    "eta": ("--eta -1", "eta must be >= 0"),
    "eta above the bound": ("--eta 9", "above 2/lambda_max"),
    "eta twice": ("--eta 0.1,0.10", "eta must have no value twice, got 0.1, 0.1"),
    "corruption twice": ("--corruption half,half", "corruption must have no value twice"),
    "k": ("--k 0", "k_neighbors must be >= 1"),
    "steps": ("--steps 1.5", "steps must be integers"),
    "too many": ("--stored 2000", "between 1 and 1797"),
    "too many unseen": ("--stored 1000 --unseen", "got 2000"),
    "corruption": ("--corruption dirt", "unknown corruption 'dirt'"),
    "data set": ("--dataset cifar", "unknown data set 'cifar'"),
    "seeds": ("--seeds 0", "--seeds"),
    "backend": ("--backend tensor", "unknown backend 'tensor'"),
    "folder": ("--csv no/where.csv", "folder no does not exist"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_line(capsys, tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)
    options, message = BAD[what]
    code, out, err = run(capsys, "experiment", "noise-robustness", *SMALL, *options.split())
    assert (code, out) == (2, "")
    assert err.startswith("hopcore: ")
    assert err.count("\n") == 1
    assert message in err
    assert list(tmp_path.iterdir()) == []


def idx(kind, array):
    """The bytes of an IDX file."""
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, kind, array.ndim, *array.shape)
    return gzip.compress(head + array.tobytes())


def test_mnist_with_and_without_labels(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (30, 6, 6), dtype=np.uint8)
    labels = rng.integers(0, 10, 30, dtype=np.uint8)
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(idx(8, pixels))
    assert datasets.mnist(tmp_path).labels is None
    with pytest.raises(ValueError, match="labels are needed"):
        next(
            diffusion.run_trials(
                datasets.mnist(tmp_path), [], stored=[5], corruptions=["half"], levels=[5.0]
            )
        )
    beside = tmp_path / "t10k-labels-idx1-ubyte"
    beside.write_bytes(gzip.decompress(idx(8, labels)))
    np.testing.assert_array_equal(datasets.mnist(tmp_path).labels, labels)
    beside.unlink()
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(idx(8, labels[:-1]))
    with pytest.raises(ValueError, match=r"30 labels, got shape \(29,\)"):
        datasets.mnist(tmp_path)
