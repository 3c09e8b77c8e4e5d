"""Patterns in CSV files and in images give what the same patterns in a .npy file give."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hopcore.__main__ import main
from hopcore.experiments.data.inputs import read_patterns
from hopcore.experiments.data.pictures import read_images

Run = Callable[..., tuple[int, str, str]]
PATTERNS = np.random.default_rng(0).integers(0, 256, (9, 4, 5)).astype(np.uint8)
SCALED = (PATTERNS / np.float32(127.5) - np.float32(1.0)).astype(np.float32)


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in a folder with patterns of every kind; exit code, output, error."""
    image = pytest.importorskip("PIL.Image")
    monkeypatch.chdir(tmp_path)
    np.save("P.npy", SCALED)
    flat = SCALED.reshape(9, 20).astype(np.float64)
    np.savetxt("plain.csv", flat, delimiter=",", fmt="%.17g")
    names = ",".join(f"p{k}" for k in range(20))
    np.savetxt("header.csv", flat, delimiter=",", fmt="%.17g", header=names, comments="")
    Path("images").mkdir()
    for place, pixels in enumerate(PATTERNS):
        image.fromarray(pixels).save(f"images/{place}.{'PNG' if place % 2 else 'png'}")
    Path("images/labels.txt").write_text("left out")

    def call(*args: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main([str(arg) for arg in args])
        printed = capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return stop.value.code, printed.out, printed.err

    return call


@pytest.mark.parametrize("name", ["plain.csv", "header.csv", "images"])
def test_every_kind_holds_the_same_patterns(run: Run, name: str) -> None:
    found = read_patterns(Path(name))
    np.testing.assert_allclose(found.reshape(9, 20), SCALED.reshape(9, 20), atol=1e-6)
    if name == "images":
        assert (found.shape, found.dtype) == ((9, 4, 5), np.float32)


@pytest.mark.parametrize("patterns", ["plain.csv", "header.csv", "images"])
def test_every_kind_is_retrieved_from_and_reported_on(run: Run, patterns: str) -> None:
    queries = "images/3.PNG" if patterns == "images" else patterns
    code, text, err = run("retrieve", patterns, queries, "--beta", 20, "--out", "R.npy", "--json")
    assert (code, err) == (0, "")
    assert json.loads(text)["stored"] == 9
    found = np.load("R.npy")
    wanted = SCALED[3:4] if patterns == "images" else SCALED
    np.testing.assert_allclose(found, wanted.reshape(-1, 20), atol=1e-3)
    facts = [
        json.loads(run("phase", name, "--betas", 5, "--dtype", "float32", "--json")[1])
        for name in ("P.npy", patterns)
    ]
    assert facts[0]["beta"] == pytest.approx(facts[1]["beta"], rel=1e-4)


@pytest.mark.parametrize(
    "words",
    [
        "P.npy Q.npy",
        "--patterns P.npy --queries Q.npy",
        "P.npy --queries Q.npy",
        "Q.npy --patterns P.npy",
    ],
)
def test_files_take_the_free_places_in_order(run: Run, words: str) -> None:
    np.save("Q.npy", SCALED[:2])
    code, text, err = run("retrieve", *words.split(), "--json")
    assert (code, err) == (0, "")
    facts = json.loads(text)
    assert (facts["stored"], facts["queries"]) == (9, 2)


def test_numpy_files_are_known_by_their_content(run: Run) -> None:
    Path("P.npy").rename("patterns")
    np.testing.assert_array_equal(read_patterns(Path("patterns")), SCALED)


def test_a_query_has_the_dtype_of_the_patterns_or_is_refused(run: Run) -> None:
    code, _, err = run("retrieve", "plain.csv", "P.npy")
    assert code == 2
    assert "(L, 20)" in err  # a table of rows, queries of images
    np.save("flat.npy", SCALED.reshape(9, 20))
    code, _, err = run("retrieve", "plain.csv", "flat.npy")
    assert (code, err.count("\n")) == (2, 1)
    assert "plain.csv has float64 and flat.npy has float32; convert both, for example" in err
    assert run("retrieve", "plain.csv", "flat.npy", "--dtype", "float32")[0] == 0


def test_pictures_become_grey_on_white_and_keep_16_bits(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    red = image.new("RGB", (3, 2), (255, 0, 0))
    clear = image.new("RGBA", (3, 2), (0, 0, 0, 0))
    deep = image.fromarray(np.full((2, 3), 257 * 200, np.uint16))
    wanted = {"red": 76, "clear": 255, "deep": 200}
    for name, one in {"red": red, "clear": clear, "deep": deep}.items():
        one.save(tmp_path / f"{name}.png")
        found = read_images([tmp_path / f"{name}.png"])
        np.testing.assert_allclose(found, np.full((1, 2, 3), wanted[name] / 127.5 - 1.0), atol=1e-6)
    white = image.new("L", (3, 2), 255)
    white.save(tmp_path / "white.jpg")
    np.testing.assert_allclose(read_images([tmp_path / "white.jpg"]), 1.0, atol=0.02)


def test_images_of_two_sizes_are_refused(run: Run) -> None:
    image = pytest.importorskip("PIL.Image")
    image.new("L", (7, 3)).save("images/x.png")
    code, _, err = run("retrieve", "images", "images/0.png")
    assert code == 2
    assert err == (
        "hopcore: images/x.png has 7 x 3 pixels and images/0.png has 5 x 4: "
        "images must have one size\n"
    )


def test_an_image_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    image.new("L", (9000, 9000)).save(tmp_path / "bomb.png")
    with pytest.raises(ValueError, match=r"bomb\.png is not a whole .* would grow from"):
        read_images([tmp_path / "bomb.png"])


def test_images_need_pillow(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    code, _, err = run("retrieve", "images", "images/0.png")
    assert (code, err) == (
        2, "hopcore: images need Pillow; install it: pip install 'hopcore[plots]'\n"
    )  # fmt: skip


@pytest.mark.parametrize("option", ["--out", "--plot"])
@pytest.mark.parametrize("place", ["images/new.png", "header.csv"])
def test_nothing_that_is_read_is_written_over(run: Run, option: str, place: str) -> None:
    given = "images images/0.png" if place.startswith("images") else "header.csv header.csv"
    code, _, err = run("retrieve", *given.split(), option, place)
    assert code == 2
    assert f"{option} {place} would overwrite" in err
