"""The command line: what it writes and prints, and one line for every kind of bad input."""

from __future__ import annotations

import gzip
import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes

import hopcore
from hopcore import plots
from hopcore.__main__ import main
from hopcore.cli import demo as cli
from hopcore.experiments import options as console

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def run(capsys):
    """Run the command in this process; exit code, standard output, standard error."""

    def call(*args: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main([str(arg) for arg in args])
        printed = capsys.readouterr()
        return stop.value.code, printed.out, printed.err

    return call


@pytest.fixture
def memory(tmp_path):
    """Stored patterns and queries near them, as files and as arrays."""
    rng = np.random.default_rng(0)
    patterns = rng.normal(size=(20, 16)).astype(np.float32)
    queries = patterns[:7] + 0.1 * rng.normal(size=(7, 16)).astype(np.float32)
    np.save(tmp_path / "P.npy", patterns)
    np.save(tmp_path / "Q.npy", queries)
    return patterns, queries


@pytest.fixture
def mnist(tmp_path):
    """A folder with a small data set in MNIST's format."""
    folder = tmp_path / "mnist"
    folder.mkdir()
    images = np.random.default_rng(1).integers(0, 256, (30, 6, 6), dtype=np.uint8)
    header = struct.pack(">BBBBIII", 0, 0, 8, 3, 30, 6, 6)
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + images.tobytes()))
    return folder


# hopcore demo


def test_demo_prints_a_table_and_draws(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run("demo", "--stored", 50)
    assert (code, err) == (0, "")
    for word in ("noise:0.5", "half", "softmax", "entmax:1.5", "sparsemax", "cos > 0.9", "→"):
        assert word in out
    assert "…" not in out  # nothing is cut off at 80 columns
    assert "hopcore-demo.png" in out
    assert (tmp_path / "hopcore-demo.png").read_bytes().startswith(PNG)


def test_demo_repeats_for_a_seed(run, tmp_path):
    results = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        picture = tmp_path / f"{name}.png"
        code, out, err = run("demo", "--stored", 40, "--seed", seed, "--out", picture, "--json")
        assert (code, err) == (0, "")
        rows = json.loads(out)["rows"]
        assert len(rows) == 6
        assert all(row.pop("seconds") > 0 for row in rows)
        results.append((rows, picture.read_bytes()))
    assert results[0] == results[1]
    assert results[0][0] != results[2][0]
    assert results[0][1] != results[2][1]


# hopcore retrieve


def test_retrieve_own_patterns(run, memory, tmp_path):
    patterns, queries = memory
    files = ["--patterns", tmp_path / "P.npy", "--queries", tmp_path / "Q.npy"]
    out, plot = tmp_path / "R.npz", tmp_path / "R.png"
    options = ["--beta", "1.5", "--separation", "entmax:1.5", "--max-steps", 9, "--tol", "1e-4"]
    code, text, err = run("retrieve", *files, *options, "--out", out, "--plot", plot, "--json")
    assert (code, err) == (0, "")
    expected = hopcore.retrieve(
        queries, patterns, 1.5, separation=hopcore.Entmax(1.5), max_steps=9, tol=1e-4
    )
    with np.load(out) as found:
        assert set(found) == set(hopcore.Retrieval._fields)
        for name, value in expected._asdict().items():
            np.testing.assert_array_equal(found[name], value)
    facts = json.loads(text)
    assert facts["beta"] == 1.5
    assert (facts["stored"], facts["queries"], facts["dimension"]) == (20, 7, 16)
    assert facts["energy_after"] == pytest.approx(np.mean(expected.energy, dtype=float))
    assert "success" not in facts  # nobody said what the queries were
    assert plot.read_bytes().startswith(PNG)


def test_retrieve_prints_its_facts(run, memory, tmp_path):
    code, text, err = run(
        "retrieve", "--patterns", tmp_path / "P.npy", "--queries", tmp_path / "Q.npy"
    )
    assert (code, err) == (0, "")
    assert f"{hopcore.suggest_beta(memory[0]).beta:.4g}" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["P.npy", "Q.npy"]


def test_retrieve_takes_images_and_converts(run, memory, tmp_path):
    np.save(tmp_path / "P.npy", np.rint(20 * memory[0]).astype(np.int16).reshape(-1, 2, 8))
    np.save(tmp_path / "Q.npy", memory[1].astype(np.float64).reshape(-1, 2, 8))
    files = ["--patterns", tmp_path / "P.npy", "--queries", tmp_path / "Q.npy"]
    code, text, _ = run("retrieve", *files, "--dtype", "float64", "--json")
    assert code == 0
    assert json.loads(text)["dtype"] == "float64"
    code, _, err = run("retrieve", *files)
    assert code == 2
    assert "float64" in err
    assert "int16" in err


def test_retrieve_of_no_queries(run, memory, tmp_path):
    np.save(tmp_path / "Q.npy", memory[1][:0])
    out = tmp_path / "R.npz"
    files = ["--patterns", tmp_path / "P.npy", "--queries", tmp_path / "Q.npy", "--out", out]
    code, text, err = run("retrieve", *files, "--json")
    assert (code, err) == (0, "")
    assert json.loads(text)["energy_after"] is None
    with np.load(out) as found:
        assert found["state"].shape == (0, 16)
    code, _, err = run("retrieve", *files, "--plot", tmp_path / "R.png")
    assert (code, err) == (2, "hopcore: there is nothing to draw: no queries\n")


@pytest.mark.parametrize("separation", ["softmax", "entmax:1.5", "sparsemax"])
def test_retrieve_digits(run, separation):
    options = ["--dataset", "digits", "--stored", 80, "--separation", separation, "--json"]
    for corruption in ("half", "noise:0.4"):
        code, text, err = run("retrieve", *options, "--corruption", corruption)
        assert (code, err) == (0, "")
        facts = json.loads(text)
        assert facts["success"] >= 0.9
        assert facts["converged"] == 1.0
        assert facts["energy_after"] < facts["energy_before"]


def test_retrieve_mnist(run, mnist, tmp_path):
    plot = tmp_path / "R.png"
    options = ["--dataset", "mnist", "--data", mnist, "--stored", 30, "--plot", plot, "--json"]
    code, text, err = run("retrieve", *options)
    assert (code, err) == (0, "")
    assert json.loads(text)["dimension"] == 36
    assert json.loads(text)["success"] == 1.0
    assert plot.read_bytes().startswith(PNG)


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_retrieve_on_a_backend(run, memory, tmp_path, name):
    pytest.importorskip(name)
    files = ["--patterns", tmp_path / "P.npy", "--queries", tmp_path / "Q.npy"]
    code, text, err = run(
        "retrieve", *files, "--backend", name, "--out", tmp_path / "R.npz", "--json"
    )
    assert (code, err) == (0, "")
    assert json.loads(text)["backend"] == name
    patterns, queries = memory
    expected = hopcore.retrieve(queries, patterns, hopcore.suggest_beta(patterns).beta)
    with np.load(tmp_path / "R.npz") as found:
        assert found["state"].dtype == np.float32
        np.testing.assert_allclose(found["state"], expected.state, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found["energy"], expected.energy, rtol=1e-5, atol=1e-5)


@pytest.fixture
def streamed(monkeypatch):
    """Every file of patterns is too large to be loaded."""
    monkeypatch.setattr("hopcore.experiments.data.patterns.LOADED", 0)
    monkeypatch.setattr("hopcore.experiments.data.patterns.read_patterns", only_queries)


def only_queries(path, *, missing=False):
    assert path.name == "Q.npy"
    return np.load(path)


def test_a_large_file_is_never_loaded(run, memory, tmp_path, streamed):
    files = ["--patterns", tmp_path / "P.npy", "--queries", tmp_path / "Q.npy", "--json"]
    out, plot = tmp_path / "R.npz", tmp_path / "R.png"
    code, text, err = run("retrieve", *files, "--beta", 1.5, "--out", out, "--plot", plot)
    assert (code, err) == (0, "")
    patterns, queries = memory
    with np.load(out) as found:
        for name, value in hopcore.retrieve(queries, patterns, 1.5)._asdict().items():
            np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-5)
    assert json.loads(text)["stored"] == 20
    assert plot.read_bytes().startswith(PNG)
    code, _, err = run("retrieve", *files)
    assert (code, err.count("\n")) == (2, 1)
    assert "--beta auto needs all patterns in memory" in err


@pytest.mark.parametrize("loaded", [True, False])
def test_retrieve_from_hdf5_and_zarr(run, memory, tmp_path, request, loaded):
    h5py, zarr = pytest.importorskip("h5py"), pytest.importorskip("zarr")
    patterns, queries = memory
    with h5py.File(tmp_path / "P.h5", "w") as file:
        file["some/patterns"] = patterns.reshape(20, 4, 4)
    array = zarr.create_array(tmp_path / "P.zarr", shape=(20, 16), chunks=(3, 16), dtype="f4")
    array[:] = patterns
    if not loaded:
        request.getfixturevalue("streamed")
    for source, shape in (("P.h5:some/patterns", (-1, 4, 4)), ("P.zarr", (-1, 16))):
        np.save(tmp_path / "Q.npy", queries.reshape(shape))
        files = ["--patterns", tmp_path / source, "--queries", tmp_path / "Q.npy"]
        out = tmp_path / "R.npz"
        code, _, err = run("retrieve", *files, "--beta", 1.5, "--out", out)
        assert (code, err) == (0, "")
        with np.load(out) as found:
            want = hopcore.retrieve(queries, patterns, 1.5).state
            np.testing.assert_allclose(found["state"], want, rtol=1e-5, atol=1e-5)


def test_retrieve_on_workers(memory, tmp_path):
    pytest.importorskip("distributed")
    files = ["--patterns", "P.npy", "--queries", "Q.npy", "--beta", "1.5", "--out", "R.npz"]
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-m", "hopcore", "retrieve", *files, "--workers", "2"],
        check=False, capture_output=True, text=True, cwd=tmp_path, timeout=60,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    patterns, queries = memory
    with np.load(tmp_path / "R.npz") as found:
        want = hopcore.retrieve(queries, patterns, 1.5).state
        np.testing.assert_allclose(found["state"], want, rtol=1e-5, atol=1e-5)


def test_a_scheduler_that_is_not_there(run, memory, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("hopcore.cli.cluster.REACHED", 0.5)
    files = ["--patterns", tmp_path / "P.npy", "--queries", tmp_path / "Q.npy", "--beta", 1]
    out = tmp_path / "R.npz"
    for address, message in (
        ("tcp://127.0.0.1:1", "no Dask scheduler answers at tcp://127.0.0.1:1"),
        ("somewhere", "missing port"),
    ):
        code, _, err = run("retrieve", *files, "--scheduler", address, "--out", out)
        assert (code, err.count("\n")) == (2, 1)
        assert message in err
        assert not out.exists()


# hopcore experiment retrieval


def test_experiment_writes_its_tables(run, mnist, tmp_path):
    table, text = tmp_path / "t.csv", tmp_path / "t.md"
    grid = ["--stored", "10,20", "--beta", "9,0.001", "--separation", "softmax,sparsemax"]
    options = ["--data", mnist, *grid, "--seeds", 2, "--csv", table, "--markdown", text]
    code, out, err = run("experiment", "retrieval", *options, "--json")
    assert (code, err) == (0, "")
    settings = json.loads(out)["settings"]
    assert len(settings) == 8
    assert {setting["success"] for setting in settings if setting["beta"] == 9.0} == {1.0}
    assert {setting["success"] for setting in settings if setting["beta"] == 0.001} != {1.0}
    first = table.read_text(), text.read_text()
    assert len(first[0].splitlines()) == 17
    assert run("experiment", "retrieval", *options)[0] == 0
    assert (table.read_text(), text.read_text()) == first


# Bad input

BAD = {
    "no such command": ("retreive", "No such command 'retreive'. Did you mean 'retrieve'?"),
    "no such study": ("experiment anealing", "Did you mean 'annealing'?"),
    "no such option": ("demo --sed 1", "No such option: --sed. Did you mean --seed or --stored?"),
    "not a number": ("demo --seed x", "--seed"),
    "a negative seed": ("demo --seed -1", "--seed"),
    "too many digits": ("demo --stored 2000", "between 1 and 1797"),
    "no folder": ("demo --out no/where.png", "folder no does not exist"),
    "an unknown backend": ("demo --backend tensor", "unknown backend 'tensor'"),
    "nothing given": ("retrieve", "give --patterns and --queries"),
    "no queries": ("retrieve --patterns P.npy", "give --patterns and --queries"),
    "both": ("retrieve --dataset digits --patterns P.npy", "leave out --patterns"),
    "an unknown data set": ("retrieve --dataset cifar", "unknown data set 'cifar'"),
    "mnist without data": ("retrieve --dataset mnist", "--data"),
    "mnist elsewhere": ("retrieve --dataset mnist --data .", "holds no t10k-images"),
    "damaged mnist": ("retrieve --dataset mnist --data damaged", "is damaged"),
    "a corruption": ("retrieve --dataset digits --corruption dirt", "unknown corruption 'dirt'"),
    "missing": ("retrieve --patterns P.npy --queries no.npy", "no.npy: No such file"),
    "a folder": ("retrieve --patterns P.npy --queries .", "a folder without PNG or JPEG images"),
    "a folder of damaged images": ("retrieve torn P.npy", "torn/a.png is not a whole PNG or JPEG"),
    "another kind of file": ("retrieve notes.txt Q.npy", "give a .npy or .csv file, a PNG or JPEG"),
    "three files": ("retrieve P.npy Q.npy Q.npy", "too many files, Q.npy"),
    "a file and an option": ("retrieve P.npy Q.npy --patterns P.npy", "too many files, Q.npy"),
    "text in a table": ("retrieve text.csv Q.npy", "line 2, column 2 must be a finite number"),
    "a short line": ("retrieve short.csv Q.npy", "line 3 has 1 cells, the first line has 2"),
    "a table of nothing": ("retrieve header.csv Q.npy", "is not a table of numbers: it has none"),
    "nan in a table": ("retrieve nan.csv Q.npy", "line 1, column 2 must be a finite number"),
    "no such format": ("retrieve P.npy Q.npy --out a.txt", "--out must end in .npz, .npy, .csv or"),
    "no such picture": ("demo --out a.gif", "--out must end in .png, .pdf or .svg, got a.gif"),
    "a format of CSV": ("phase P.npy --csv a.npz", "--csv must end in .csv, got a.npz"),
    "images on workers": ("retrieve text.csv Q.npy --workers 1", "--workers and --scheduler read"),
    "truncated": ("retrieve --patterns P.npy --queries truncated.npy", "not a whole .npy"),
    "empty": ("retrieve --patterns P.npy --queries empty.npy", "not a whole .npy"),
    "pickled": ("retrieve --patterns pickled.npy --queries Q.npy", "allow_pickle=False"),
    "nan": ("retrieve --patterns nan.npy --queries Q.npy", "nan at index (2, 3)"),
    "complex": ("retrieve --patterns complex.npy --queries Q.npy", "complex128"),
    "truncated patterns": ("retrieve --patterns truncated.npy --queries Q.npy", "not a whole"),
    "no data set": ("retrieve --patterns junk.h5 --queries Q.npy", "junk.h5:NAME"),
    "no HDF5": ("retrieve --patterns junk.h5:a --queries Q.npy", "not a whole HDF5 file"),
    "no Zarr": ("retrieve --patterns zarr --queries Q.npy", "zarr is not an array of Zarr"),
    "workers": ("retrieve --patterns P.npy --queries Q.npy --workers 0", "--workers"),
    "two clusters": (
        "retrieve --patterns P.npy --queries Q.npy --workers 1 --scheduler tcp://a:1",
        "give --workers",
    ),
    "workers of a data set": ("retrieve --dataset digits --workers 1", "are for --patterns"),
    "other axes": ("retrieve --patterns P.npy --queries narrow.npy", "(7, 15)"),
    "a vector": ("retrieve --patterns vector.npy --queries Q.npy", "(16,)"),
    "no patterns": ("retrieve --patterns none.npy --queries Q.npy", "(0, 16)"),
    "two dtypes": ("retrieve --patterns P.npy --queries wide.npy", "must share one dtype"),
    "no dtype": ("retrieve --patterns P.npy --queries Q.npy --dtype int8", "dtype must be one of"),
    "too large": ("retrieve --patterns large.npy --queries Q.npy --dtype float16", "1000000.0"),
    "beta 0": ("retrieve --dataset digits --beta 0", "beta must be positive and finite, got 0.0"),
    "beta < 0": ("retrieve --dataset digits --beta -1", "got -1.0"),
    "beta inf": ("retrieve --dataset digits --beta inf", "got inf"),
    "beta nan": ("retrieve --dataset digits --beta nan", "got nan"),
    "beta text": ("retrieve --dataset digits --beta warm", "beta must be a number, got 'warm'"),
    "separation": ("retrieve --dataset digits --separation max", "unknown separation 'max'"),
    "alpha": ("retrieve --dataset digits --separation entmax:1", "alpha must be above 1"),
    "steps": ("retrieve --dataset digits --max-steps -1", "max_steps"),
    "tolerance": ("retrieve --dataset digits --tol -1", "tol"),
    "a device": ("retrieve --dataset digits --device cuda:9", "cuda:9"),
    "an output that is a folder": ("retrieve --dataset digits --out .", "not a plain file"),
    "experiment sizes": ("experiment retrieval --dataset digits --stored 1.5", "must be integers"),
    "experiment memory": ("experiment retrieval --dataset digits --stored 5000", "got 5000"),
    "experiment beta": (
        "experiment retrieval --dataset digits --beta 1,,2",
        "beta must be a number",
    ),
    "experiment seeds": ("experiment retrieval --dataset digits --seeds 0", "--seeds"),
}


@pytest.fixture(scope="module")
def litter(tmp_path_factory):
    """A folder of good and bad files."""
    folder = tmp_path_factory.mktemp("litter")
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(7, 16)).astype(np.float32)
    spoilt = queries.copy()
    spoilt[2, 3] = np.nan
    arrays = {
        "P": rng.normal(size=(20, 16)).astype(np.float32),
        "Q": queries,
        "nan": spoilt,
        "complex": queries + 0j * np.ones(1),
        "int": np.ones((3, 16), dtype=np.int64),
        "narrow": queries[:, :15],
        "vector": queries[0],
        "none": queries[:0],
        "wide": queries.astype(np.float64),
        "large": np.full((2, 16), 1e6, dtype=np.float32),
        "pickled": np.asarray([{}], dtype=object),
    }
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values, allow_pickle=True)
    (folder / "truncated.npy").write_bytes((folder / "Q.npy").read_bytes()[:-5])
    (folder / "empty.npy").touch()
    (folder / "junk.h5").write_bytes(b"no")
    (folder / "damaged").mkdir()
    (folder / "damaged" / "t10k-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b and nothing more")
    (folder / "zarr").mkdir()
    (folder / "zarr" / "zarr.json").write_bytes(b"{}")
    (folder / "torn").mkdir()
    (folder / "torn" / "a.png").write_bytes(PNG)
    (folder / "notes.txt").write_text("1,2")
    (folder / "text.csv").write_text("left,right\n1,two\n")
    (folder / "short.csv").write_text("left,right\n1,2\n3\n")
    (folder / "header.csv").write_text("left,right\n")
    (folder / "nan.csv").write_text("1,nan\n")
    return folder


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_line(run, litter, monkeypatch, what):
    monkeypatch.chdir(litter)
    before = sorted(litter.rglob("*"))
    line, message = BAD[what]
    code, out, err = run(*line.split())
    assert code == 2
    assert out == ""
    assert err.startswith("hopcore: ")
    assert err.count("\n") == 1
    assert message in err
    assert sorted(litter.rglob("*")) == before


def test_bugs_keep_their_traceback(monkeypatch):
    def fail(**_):
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "run_demo", fail)
    with pytest.raises(ZeroDivisionError):
        main(["demo"])


def test_a_failed_picture_leaves_the_old_one(monkeypatch, tmp_path):
    picture = tmp_path / "a.png"
    picture.write_bytes(b"old")

    def fail(figure, file, **_):
        file.write(PNG)
        raise RuntimeError("in the middle of it")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    with pytest.raises(RuntimeError, match="middle"):
        main(["demo", "--stored", "20", "--out", str(picture)])
    assert picture.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [picture]


# The process around it


def python(code: str, *args: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", code, *args]
    return subprocess.run(command, check=False, capture_output=True, text=True)


FILES = ["retrieve", "--queries", "a.npy", "--beta", "1"]


@pytest.mark.parametrize(
    ("module", "args", "extra"),
    [
        ("typer", ["demo"], "hopcore[demo]"),
        ("rich", ["demo"], "hopcore[demo]"),
        ("sklearn", ["demo"], "hopcore[data]"),
        ("matplotlib", ["demo"], "hopcore[plots]"),
        ("h5py", [*FILES, "--patterns", "a.h5:a"], "hopcore[hdf5]"),
        ("zarr", [*FILES, "--patterns", "a.zarr"], "hopcore[zarr]"),
        ("distributed", [*FILES, "--patterns", "a.npy", "--workers", "1"], "hopcore[cluster]"),
    ],
)
def test_a_missing_extra_is_named(tmp_path, module, args, extra):
    np.save(tmp_path / "a.npy", np.eye(2))
    (tmp_path / "a.h5").touch()
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "zarr.json").touch()
    out = "a.png" if args[0] == "demo" else "a.npz"
    args = [arg.replace("a.", f"{tmp_path}/a.") for arg in args]
    code = (
        f"import sys; sys.modules[{module!r}] = None; sys.argv[0] = 'hopcore'\n"
        "from hopcore.__main__ import main; main()"
    )
    ended = python(code, *args, "--out", str(tmp_path / out))
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith("hopcore: ")
    assert ended.stderr.count("\n") == 1
    assert f"pip install '{extra}'" in ended.stderr


def test_the_core_imports_no_extra():
    extras = "typer", "rich", "matplotlib", "sklearn", "torch", "jax", "dask", "h5py", "zarr"
    ended = python(f"import sys, hopcore; print([m for m in {extras!r} if m in sys.modules])")
    assert ended.stdout.strip() == "[]", ended


def test_run_as_a_module():
    ended = subprocess.run(
        [sys.executable, "-m", "hopcore", "retrieve", "--help"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 0
    assert "--patterns" in ended.stdout


def test_without_a_command_the_help_is_shown(run):
    code, out, err = run()
    assert code in {0, 2}  # click before 8.2 calls it a success
    assert "Traceback" not in err
    assert "experiment" in out + err


@pytest.mark.parametrize(("patience", "terminal"), [(0.0, True), (60.0, True), (0.0, False)])
def test_progress_passes_everything_on(monkeypatch, capsys, patience, terminal):
    monkeypatch.setattr(console, "PATIENCE", patience)
    monkeypatch.setattr("rich.console.Console.is_terminal", terminal)
    assert list(console.tracked(iter("abc"), 3)) == ["a", "b", "c"]
    printed = capsys.readouterr()
    assert printed.out == ""
    assert ("working" in printed.err) == (terminal and patience == 0.0)


# Pictures


def test_gallery_draws_into_the_axes_it_is_given():
    ax = plots.new_figure(3, 2).subplots()
    rows = {"original": np.zeros((4, 5, 6)), "retrieved": np.ones((4, 5, 6))}
    failed = {"retrieved": np.asarray([False, True, False, True])}
    returned = plots.heading(plots.gallery(rows, failed=failed, ax=ax), "title", "note")
    assert returned is ax
    assert isinstance(ax, Axes)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["original", "retrieved"]
    assert len(ax.images) == 1
    assert len(ax.patches) == 8
    red = [patch for patch in ax.patches if patch.get_linewidth() > 1]
    assert sorted(patch.get_x() for patch in red) == [6.5, 20.5]
    assert {patch.get_y() for patch in red} == {5.5}
    with pytest.raises(ValueError, match="one shape"):
        plots.gallery({"a": np.zeros((1, 2, 2)), "b": np.zeros((1, 2, 3))}, ax=ax)
    with pytest.raises(ValueError, match="one shape"):
        plots.gallery({}, ax=ax)


def test_a_picture_repeats(tmp_path):
    for name in ("a", "b"):
        figure = plots.new_figure(2, 2)
        plots.gallery({"row": np.eye(3)[None]}, ax=figure.subplots())
        plots.save(figure, tmp_path / name)
    assert Path(tmp_path / "a").read_bytes() == Path(tmp_path / "b").read_bytes()
