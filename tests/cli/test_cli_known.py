"""Queries with unknown values, and the similarity of ``hopcore retrieve``, ``demo``, ``phase``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import hopcore
from hopcore import datasets
from hopcore.__main__ import main

Run = Callable[..., tuple[int, str, str]]
KNOWN = np.arange(64).reshape(8, 8) < 32
IMAGES = ((datasets.digits().pixels[:90] + 1.0) * 127.5).astype(np.float32).reshape(-1, 8, 8)
HALVES = np.where(KNOWN, IMAGES, np.float32(np.nan))


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in a folder with images and halves of them; exit code, output, error."""
    monkeypatch.chdir(tmp_path)
    np.save("P.npy", IMAGES)
    np.save("Q.npy", HALVES)
    np.save("zeros.npy", np.nan_to_num(HALVES))
    np.save("known.npy", KNOWN)

    def call(*args: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main([str(arg) for arg in args])
        printed = capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return stop.value.code, " ".join(printed.out.split()), printed.err

    return call


def own(states: np.ndarray) -> float:
    """The share of the states that are nearest to their own image."""
    apart = np.linalg.norm(states[:, None] - IMAGES.reshape(90, 64), axis=-1)
    return float(np.mean(np.argmin(apart, axis=-1) == np.arange(90)))


def test_half_known_images_find_themselves(run: Run) -> None:
    code, text, err = run("retrieve", "P.npy", "Q.npy", "--out", "R.npy", "--plot", "R.png")
    assert (code, err) == (0, "")
    assert "similarity = distance was chosen: 50.0% of the values of the queries are known" in text
    found = np.load("R.npy")
    assert own(found) == 1.0
    beta = hopcore.suggest_beta(IMAGES.reshape(90, 64), similarity="distance").beta
    assert f"beta = {beta:.4g} was chosen" in text


@pytest.mark.parametrize("backend", ["numpy", "torch", "jax"])
def test_a_file_says_what_is_known(run: Run, backend: str) -> None:
    pytest.importorskip(backend)
    np.savetxt("known.csv", np.tile(KNOWN.reshape(1, 64), (90, 1)), delimiter=",", fmt="%d")
    np.save("flat.npy", IMAGES.reshape(90, 64))
    np.save("zeros_flat.npy", np.nan_to_num(HALVES).reshape(90, 64))
    for files in (["P.npy", "zeros.npy", "--known", "known.npy"],
                  ["flat.npy", "zeros_flat.npy", "--known", "known.csv"]):  # fmt: skip
        code, text, err = run("retrieve", *files, "--backend", backend, "--out", "R.npy", "--json")
        assert (code, err) == (0, "")
        facts = json.loads(text)
        assert (facts["similarity"], facts["energy_before"]) == ("distance", None)
        assert own(np.load("R.npy")) == 1.0


def test_nan_in_tables_and_in_large_files(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savetxt("Q.csv", HALVES.reshape(90, 64), delimiter=",")
    np.save("flat.npy", IMAGES.reshape(90, 64))
    words = ["Q.csv", "--beta", 0.002, "--dtype", "float32", "--out", "R.npy"]
    assert run("retrieve", "flat.npy", *words)[0] == 0
    assert own(np.load("R.npy")) == 1.0
    monkeypatch.setattr("hopcore.experiments.data.patterns.LOADED", 0)
    code, _, err = run("retrieve", "flat.npy", *words)
    assert (code, err) == (0, "")
    assert own(np.load("R.npy")) == 1.0
    code, _, err = run("retrieve", "flat.npy", "zeros.npy", "--beta", 1, "--similarity", "auto")
    assert code == 2


def test_auto_chooses_by_what_dot_products_lose(run: Run) -> None:
    given = ["retrieve", "P.npy", "zeros.npy"]
    share = f"{hopcore.suggest_beta(IMAGES.reshape(90, 64)).lost:.0%}"
    _, text, _ = run(*given, "--similarity", "auto")
    assert f"similarity = distance was chosen: dot products lose {share} of the patterns" in text
    facts = json.loads(run(*given, "--json")[1])
    assert facts["similarity"] == "dot"
    assert f"{share} of the patterns are copies or covered" in facts["beta_reason"]
    assert "similarity='distance' loses none" in facts["beta_reason"]
    np.save("P.npy", np.eye(64).reshape(64, 8, 8))
    np.save("zeros.npy", np.eye(64).reshape(64, 8, 8))
    facts = json.loads(run(*given, "--similarity", "auto", "--json")[1])
    assert facts["similarity"] == "dot"


def test_the_demonstration_and_the_report_take_a_similarity(run: Run) -> None:
    options = ["--stored", 40, "--similarity", "distance", "--json"]
    facts = json.loads(run("demo", *options, "--out", "demo.png")[1])
    assert facts["similarity"] == "distance"
    assert all(row["success"] > 0.8 for row in facts["rows"])
    words = ["phase", "P.npy", "--stored", 20, "--betas", 4, "--dtype", "float64"]
    report = json.loads(run(*words, "--similarity", "auto", "--json")[1])
    assert report["similarity"] == "distance"
    assert report["measured"]["never"] == 0.0
    code, text, err = run(*words, "--similarity", "distance", "--plot", "R.png")
    assert (code, err) == (0, "")
    assert "the largest distance from the mean" in text


WRONG = {
    "dot": ("P.npy Q.npy --similarity dot", "some are not known; give distance"),
    "a name": ("P.npy zeros.npy --similarity cosine", "unknown similarity 'cosine'; known: dot"),
    "a shape": ("P.npy zeros.npy --known wide.npy", "must have the shape of the queries"),
    "numbers": ("P.npy zeros.npy --known grey.npy", "booleans or 0 and 1 (1 = known), got 0.5"),
    "patterns": ("Q.npy P.npy", "Q.npy must be finite, got nan at index (0, 4, 0)"),
    "inf": ("P.npy inf.npy", "inf.npy must be finite, got inf at index (0, 0, 0)"),
    "a data set": ("--dataset digits --known known.npy", "--known is for --queries"),
    "demo": ("demo --similarity cosine --out d.png", "unknown similarity 'cosine'"),
    "overwriting": ("P.npy zeros.npy --known known.npy --out known.npy", "would overwrite"),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_one_line(run: Run, name: str) -> None:
    words, message = WRONG[name]
    np.save("wide.npy", np.ones((3, 3), bool))
    np.save("grey.npy", np.full((8, 8), 0.5))
    np.save("inf.npy", np.full_like(HALVES, np.inf))
    command = [] if words.startswith("demo") else ["retrieve"]
    code, _, err = run(*command, *words.split())
    assert (code, err.count("\n")) == (2, 1)
    assert message in err
