"""Runs side by side share JAX's compiled programs, and one may read what another is writing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("jax")

ROOT = Path(__file__).parents[2]
TEST = "import jax\n\ndef test_compiled():\n    assert jax.jit(lambda x: x + 1.0)(1.0) == 2.0\n"


def outcome(folder: Path) -> str:
    """What pytest says of a test that compiles, with this project's settings."""
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(folder / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "JAX_PLATFORMS": "cpu",
    }
    settings = ("-c", str(ROOT / "pyproject.toml"), f"--rootdir={folder}")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *settings, folder],
        env={**os.environ, **cache},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


def test_a_program_that_is_half_written_is_compiled_again(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text(TEST, encoding="utf-8")
    assert "1 passed" in outcome(tmp_path)
    written = list((tmp_path / "cache").glob("*-cache"))
    assert written
    for program in written:
        program.write_bytes(program.read_bytes()[:-40])
    assert "1 passed" in outcome(tmp_path)
