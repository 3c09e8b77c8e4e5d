"""Entry points of other distributions: own names stay, and a failure is one line that names it."""

from __future__ import annotations

from pathlib import Path

import pytest
from toys import python

SOURCES = {
    "zero": "1 / 0",
    "missing": "import no_such_module",
    "attribute": "import sys; sys.nothing",
    "leaves": "raise SystemExit(3)",
    "lines": "raise RuntimeError('two\\nlines')",
    "other": "class X:\n    types = ()",
    "thief": (
        "import array_api_compat.numpy as xp, numpy, hopcore\n"
        "class X(hopcore.Backend):\n"
        "    def __init__(self):\n"
        "        super().__init__('thief', xp)\n"
        "        self.types = (numpy.ndarray,)\n"
    ),
    "right": (
        "import array_api_compat.numpy as xp, hopcore\n"
        "class X(hopcore.Backend):\n"
        "    def __init__(self):\n"
        "        super().__init__('right', xp)\n"
    ),
}
"""By the name of a distribution, the module that its entry point of the same name loads."""

ERRORS = {
    "zero": "cannot be loaded: ZeroDivisionError: division by zero",
    "missing": "needs the module no_such_module, which is not installed",
    "attribute": "cannot be loaded: AttributeError: module 'sys' has no attribute 'nothing'",
    "leaves": "cannot be loaded: SystemExit: 3",
    "lines": "cannot be loaded: RuntimeError: two lines",
    "other": "cannot be loaded: TypeError: other_module:X is not a subclass of hopcore.Backend",
    "thief": "cannot be loaded: TypeError: the type ndarray belongs to a backend of hopcore",
}


def register(folder: Path, distribution: str, name: str, value: str) -> None:
    """Write what an installer writes for a distribution with one entry point."""
    about = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n", encoding="utf-8"
    )
    points = f"[hopcore.backends]\n{name} = {value}\n"
    (about / "entry_points.txt").write_text(points, encoding="utf-8")


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """A folder with distributions whose backends fail, one that works, and two of one name."""
    for name, source in SOURCES.items():
        (tmp_path / f"{name}_module.py").write_text(source, encoding="utf-8")
        register(tmp_path, name, name, f"{name}_module:X")
    register(tmp_path, "twin-a", "twice", "right_module:X")
    register(tmp_path, "twin-b", "twice", "zero_module:X")
    return tmp_path


def test_errors_name_the_distribution_and_leave_the_rest_working(others: Path) -> None:
    code = f"""
import numpy as np, hopcore
for name, expected in {ERRORS!r}.items():
    for _ in range(2):
        try:
            hopcore.backend(name)
        except ValueError as error:
            owner = f"backend {{name!r}} of the distribution {{name}} 1.0"
            assert str(error) == f"{{owner}} {{expected}}", error
        else:
            raise AssertionError(name)
try:
    hopcore.backend("twice")
except ValueError as error:
    wanted = "backend 'twice' is registered by twin-a 1.0 and twin-b 1.0; uninstall all but one"
    assert str(error) == wanted, error
assert type(hopcore.backend("right")).__name__ == "X"
assert hopcore.association(np.ones((1, 2)), np.eye(2), beta=1.0).tolist() == [[0.5, 0.5]]
assert type(hopcore.backend("numpy")).__name__ == "NumpyBackend"
"""
    done = python(others, "-c", code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("place", ["first", "last"])
def test_own_names_cannot_be_taken(tmp_path: Path, place: str) -> None:
    others = tmp_path / "others"
    for name in ("numpy", "dask.array"):
        register(others, f"evil-{name[:4]}", name, "evil:X")
    (others / "evil.py").write_text("raise ImportError('evil was imported')", encoding="utf-8")
    code = f"""
import sys
sys.path.insert({0 if place == "first" else 1000}, {str(others)!r})
import numpy as np, hopcore
from hopcore.arrays import backend_of
assert hopcore.association(np.ones((1, 2)), np.eye(2), beta=1.0).tolist() == [[0.5, 0.5]]
assert backend_of(np.eye(2)) is hopcore.backend("numpy")
assert type(hopcore.backend("numpy")).__module__ == "hopcore.arrays._numpy"
try:
    assert type(hopcore.backend("dask.array")).__module__ == "hopcore.arrays._dask"
except ValueError as error:
    assert str(error).endswith("pip install 'hopcore[dask]'"), error
assert "evil" not in sys.modules
"""
    done = python(tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr


def test_unknown_names_import_nothing(tmp_path: Path) -> None:
    (tmp_path / "payload.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    code = """
import sys, hopcore
for name in ("payload", "payload.part", "", ".", "this", "numpy:payload", "x" * 500, "a\\nb"):
    try:
        hopcore.backend(name)
    except ValueError as error:
        assert str(error).startswith("unknown backend "), error
        assert len(str(error)) < 300 and "\\n" not in str(error), error
    else:
        raise AssertionError(name)
for name in (None, 3, ["numpy"], b"numpy"):
    try:
        hopcore.backend(name)
    except TypeError as error:
        assert str(error).startswith("a backend is chosen by its name, got "), error
assert "payload" not in sys.modules and "this" not in sys.modules
"""
    done = python(tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr


def test_an_unreadable_entry_point_leaves_own_backends_working(tmp_path: Path) -> None:
    register(tmp_path, "torn", "torn", "torn:X")
    (tmp_path / "torn-1.0.dist-info" / "entry_points.txt").write_text("[hopcore.backends]\ntorn\n")
    code = """
import numpy as np, hopcore
assert hopcore.association(np.ones((1, 2)), np.eye(2), beta=1.0).tolist() == [[0.5, 0.5]]
try:
    hopcore.backend("torn")
except ValueError as error:
    assert "\\n" not in str(error), error
"""
    done = python(tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["torch", "jax", "dask.array"])
def test_a_missing_library_suggests_an_extra_that_exists(tmp_path: Path, name: str) -> None:
    missing = name.partition(".")[0]
    code = f"""
import sys
sys.modules[{missing!r}] = None
import hopcore
try:
    hopcore.backend({name!r})
except ValueError as error:
    assert str(error).endswith("pip install 'hopcore[{missing}]'"), error
else:
    raise AssertionError
"""
    done = python(tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr
