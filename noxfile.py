# /// script
# requires-python = ">=3.11"
# dependencies = ["nox>=2025.5"]
# ///
"""The checks of hopcore.

- ``nox -s quick``: style, types, contracts and a selection of tests, after every change;
- ``nox``: what continuous integration runs, every statement on every backend;
- ``nox -s full``: the whole matrix, before an issue is closed.

``nox -l`` lists all sessions. Those of daily work share one environment, ``.nox/dev``, which is
made when it is missing and made again when ``pyproject.toml`` or ``constraints/cpu.txt`` change.
It is made by ``venv`` and pip, not by uv, which ignores pip's settings for local builds and would
fetch the CUDA build of torch, gigabytes of it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

import nox
from nox.command import CommandFailed

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "virtualenv"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["lint", "tests", "conformance", "peers", "docs", "wheel"]

ROOT = Path(__file__).parent
CPU = ROOT / "constraints" / "cpu.txt"
LOWEST = ROOT / "constraints" / "lowest.txt"
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
PACKAGES = {"hopcore", "hopcore_torch", "hopcore_jax", "hopcore_conformance"}

# The environment of daily work.

DEV = ROOT / ".nox" / "dev"
EXTRAS = "torch,jax,cluster,hdf5,zarr,demo,graphs,checkpoint,transformers,conformance"
GROUPS = ("test", "lint", "docs", "peers")

ENVIRONMENT = {
    # Programs that look for others, such as pyright for Python, find those of the environment.
    "VIRTUAL_ENV": str(DEV),
    "PATH": os.pathsep.join([str(DEV / "bin"), os.environ.get("PATH", os.defpath)]),
    # JAX compiles each program once for all runs of the matrix, and once for all matrices.
    "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".nox" / "jax-cache"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}


def dev(session: nox.Session) -> None:
    """Make the environment of daily work if it is missing or out of date."""
    wanted = [(ROOT / "pyproject.toml").read_bytes(), CPU.read_bytes(), sys.version.encode()]
    digest = hashlib.sha256(b"".join(wanted)).hexdigest()
    marker = DEV / "made-from.txt"
    if marker.exists() and marker.read_text() == digest:
        return
    session.log(f"making {DEV.relative_to(ROOT)}")
    venv.create(DEV, clear=True, with_pip=True)
    needed = nox.project.dependency_groups(PROJECT, *GROUPS)
    command = ["pip", "install", "-q", "-c", str(CPU), "-e", f"{ROOT}[{EXTRAS}]", *needed]
    run(session, *command)
    marker.write_text(digest)


def run(session: nox.Session, *command: str, **environment: str) -> None:
    """Run a command of the environment of daily work."""
    program = str(DEV / "bin" / command[0])
    if "-n" in command:  # processes that run side by side would take the cores from each other
        environment = {"OMP_NUM_THREADS": "1", **environment}
    session.run(program, *command[1:], external=True, env={**ENVIRONMENT, **environment})


# The quick loop.

QUICK = (
    (
        ("ruff", "check"),
        ("ruff", "format", "--check"),
        ("lint-imports",),
        ("pyright",),
        ("pytest", "-q", "tests/project/test_layering.py", "tests/project/test_public_names.py"),
        (
            "pytest",
            "-q",
            "tests/hopcore_conformance/test_statements.py",
            "tests/arrays/test_numpy.py",
        ),
        ("pytest", "-q", "tests/diffusion/test_dynamics.py", "tests/layers/test_layers.py"),
        (
            "python",
            "-m",
            "hopcore_conformance",
            "-q",
            "--per-statement",
            "2",
            "--max-examples",
            "3",
        ),
    ),
    (
        (
            *("python", "-m", "hopcore_conformance", "-q", "--backend", "torch"),
            *("--dtype", "float32", "--per-statement", "1", "--max-examples", "3"),
        ),
        (
            *("python", "-m", "hopcore_conformance", "-q", "--backend", "jax"),
            *("--dtype", "float32", "--per-statement", "1", "--max-examples", "1"),
        ),
    ),
)
"""The commands of the quick loop, in two lanes that run side by side."""


@nox.session(venv_backend="none", default=False)
def quick(session: nox.Session) -> None:
    """Style, types, contracts and a selection of tests, in 90 seconds: after every change."""
    dev(session)
    begun = monotonic()
    side_by_side(session, *QUICK)
    session.log(f"{monotonic() - begun:.0f} seconds")


def side_by_side(session: nox.Session, *lanes: Sequence[Sequence[str]]) -> None:
    """Run lanes of commands at the same time; print the output of the commands that failed."""
    with ThreadPoolExecutor(len(lanes)) as pool:
        failed = [output for lane in pool.map(in_turn, lanes) for output in lane]
    for output in failed:
        session.warn(output)
    if failed:
        session.error(f"{len(failed)} of {sum(map(len, lanes))} commands failed")


def in_turn(commands: Sequence[Sequence[str]]) -> list[str]:
    """Run commands one after another; return the output of each one that failed."""
    failed = []
    for command in commands:
        done = subprocess.run(
            [DEV / "bin" / command[0], *command[1:]],
            cwd=ROOT,
            env={**os.environ, **ENVIRONMENT, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            failed.append(f"{' '.join(command)}\n{done.stdout[-8000:]}")
    return failed


# The default matrix.


@nox.session(venv_backend="none")
def lint(session: nox.Session) -> None:
    """Style (ruff), contracts between packages (import-linter), types (pyright)."""
    dev(session)
    style = [("ruff", "check"), ("ruff", "format", "--check"), ("lint-imports",)]
    side_by_side(session, style, [("pyright",)])


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """The tests of every package but the slowest ones."""
    dev(session)
    if session.posargs:
        run(session, "pytest", *session.posargs)
        return
    run(session, "pytest", "tests", "-q", *SIDE_BY_SIDE, "-m", "not full")


SIDE_BY_SIDE = ("-n", "2", "--dist", "worksteal")
"""Options of pytest-xdist."""

DEFAULT: dict[tuple[str, str], tuple[str, ...]] = {
    ("numpy", "float64"): (),
    ("numpy", "float32"): ("--max-examples", "5", "--per-statement", "3"),
    ("torch", "float64"): ("--max-examples", "5"),
    ("torch", "float32"): ("--max-examples", "5", "--per-statement", "3"),
    ("array_api_strict", "float64"): ("--max-examples", "5", "--per-statement", "1"),
    ("array_api_strict", "float32"): ("--max-examples", "5", "--per-statement", "1"),
    # JAX compiles every operation of every shape.
    ("jax", "float64"): ("--max-examples", "2", "--per-statement", "1"),
    ("jax", "float32"): ("--max-examples", "1", "--per-statement", "1"),
}
"""The backends and dtypes of the default matrix, with options of the suite."""


@nox.session(venv_backend="none")
def conformance(session: nox.Session) -> None:
    """Every statement of the specification on NumPy, torch, array-api-strict and JAX."""
    dev(session)
    for (backend, dtype), options in DEFAULT.items():
        # JAX compiles faster where it optimizes little; in float32 it optimizes as for users.
        faster = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"} if dtype == "float64" else {}
        conform(session, backend, dtype, *SIDE_BY_SIDE, *options, *session.posargs, **faster)


def conform(
    session: nox.Session, backend: str, dtype: str, *options: str, **environment: str
) -> None:
    """Run the conformance suite once in the environment of daily work."""
    # A distributed memory is on all processes, and each of them runs the same checks.
    several = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    launched = several if backend == "torch-distributed" else []
    command = ["python", "-m", *launched, "hopcore_conformance", "-q"]
    command += ["--backend", backend, "--dtype", dtype]
    run(session, *command, *options, **environment)


@nox.session(venv_backend="none")
def peers(session: nox.Session) -> None:
    """Separation functions beside the entmax package; cases that difflayers gets wrong."""
    dev(session)
    run(session, "pytest", "-q", *SIDE_BY_SIDE, "tests/peers", *session.posargs)


@nox.session(venv_backend="none")
def docs(session: nox.Session) -> None:
    """Build the documentation, warnings as errors; run the examples of pages and docstrings."""
    dev(session)
    build = ("sphinx-build", "-n", "-W", "-q", "-b")
    pages = (*build, "html", "docs", "docs/_build/html")
    examples = (*build, "doctest", "docs", "docs/_build/doctest")
    docstrings = ("pytest", "-q", "--doctest-modules", "hopcore", "backends")
    side_by_side(session, [pages], [examples, docstrings])
    session.log("open docs/_build/html/index.html")


@nox.session
def wheel(session: nox.Session) -> None:
    """Build sdist and wheel; where there is nothing else, run the suite on the wheel."""
    elsewhere = Path(session.create_tmp()).resolve()
    shutil.rmtree(elsewhere / "dist", ignore_errors=True)
    session.install("build")
    # Without a choice, build makes the wheel from the sdist: so the sdist is whole, too.
    session.run("python", "-m", "build", "--outdir", str(elsewhere / "dist"), str(ROOT))
    (built,) = (elsewhere / "dist").glob("*.whl")
    check_contents(session, built)
    session.chdir(elsewhere)
    session.install("-c", str(CPU), f"hopcore[conformance] @ {built.as_uri()}")
    found = session.run("python", "-c", "import hopcore; print(hopcore.__file__)", silent=True)
    if "site-packages" not in Path(str(found)).parts:
        session.error(f"hopcore was imported from elsewhere than the wheel: {found}")
    few = ("--max-examples", "3", "--per-statement", "2")
    session.run("python", "-m", "hopcore_conformance", "-q", *few)
    remove(session)


def check_contents(session: nox.Session, built: Path) -> None:
    """Refuse a wheel whose top level holds anything but the four packages, each one typed."""
    with zipfile.ZipFile(built) as archive:
        names = archive.namelist()
    top = {name.split("/")[0] for name in names}
    metadata = {name for name in top if name.endswith(".dist-info")}
    if len(metadata) != 1 or top - metadata != PACKAGES:
        session.error(f"{built.name} must hold {sorted(PACKAGES)} alone, got {sorted(top)}")
    untyped = PACKAGES - {name.split("/")[0] for name in names if name.endswith("/py.typed")}
    if untyped:
        session.error(f"{built.name} lacks py.typed in {sorted(untyped)}")
    session.log(f"{built.name}: {len(names)} files under {sorted(top)}")


def remove(session: nox.Session) -> None:
    """Remove the environment of a session where nobody is there to use it again."""
    if not session.interactive:
        shutil.rmtree(session.virtualenv.location, ignore_errors=True)


# The full matrix.

FULL = {
    "numpy": ["float64", "float32"],
    "array_api_strict": ["float64", "float32"],
    "torch": ["float64", "float32", "bfloat16", "float16"],
    "jax": ["float64", "float32", "bfloat16", "float16"],
    "dask.array": ["float64"],
    # Memories in parts, beside states of a backend.
    "streamed": ["float64", "float32"],
    "torch-distributed": ["float64", "float32"],
    "jax-sharded": ["float64"],
    "dask": ["float64"],
}
"""Each backend of the full matrix, with its dtypes."""

OPTIONS = {
    # JAX compiles every operation of every shape.
    "jax": (*SIDE_BY_SIDE, "--max-examples", "5"),
    # Dask takes milliseconds for every operation, and a sweep over temperatures is thousands.
    "dask.array": (*SIDE_BY_SIDE, "--max-examples", "1", "-k", "not test_phase_"),
    "dask": (*SIDE_BY_SIDE, "--max-examples", "5"),
    # Every number of patterns is another program, of eight devices.
    "jax-sharded": (*SIDE_BY_SIDE, "--max-examples", "5"),
    # Processes of a group each take a core.
    "torch-distributed": ("--max-examples", "10"),
}
"""Options of the suite for a backend."""


@nox.session(venv_backend="none", default=False)
def full(session: nox.Session) -> None:
    """Everything: all tests, and the suite on all backends, dtypes, layouts, memories in parts."""
    for name in ("lint", "every_test", "every_statement", "peers", "docs", "wheel", "lowest"):
        session.notify(name)
    for name in ("newest", "python-3.12", "python-3.13"):
        session.notify(name)


@nox.session(venv_backend="none", default=False)
def every_test(session: nox.Session) -> None:
    """All tests: studies, planted faults, soak tests and distributed memories, too."""
    dev(session)
    run(session, "pytest", "tests", "-q", *SIDE_BY_SIDE, *session.posargs)


@nox.session(venv_backend="none", default=False)
def every_statement(session: nox.Session) -> None:
    """The specification on every backend in every dtype; writes the reports of the documentation.

    ``nox -s every_statement -- jax`` does it for one backend. A backend that fails does not keep
    the others from being checked.
    """
    dev(session)
    failed = []
    for backend in session.posargs or FULL:
        for dtype, options in in_full(backend):
            try:
                conform(session, backend, dtype, *options)
            except CommandFailed:
                failed.append(f"{backend} in {dtype}")
    if failed:
        session.error(f"statements failed on {', '.join(failed)}")


def in_full(backend: str) -> list[tuple[str, tuple[str, ...]]]:
    """The dtypes in which the full matrix checks a backend, with options of the suite."""
    found = []
    for dtype in FULL[backend]:
        report = ROOT / "docs" / "conformance" / f"{backend}-cpu-{dtype}.json"
        half = ("--max-examples", "5") if dtype in ("bfloat16", "float16") else ()
        options = OPTIONS.get(backend, SIDE_BY_SIDE)
        found.append((dtype, (*half, *options, "--report", str(report))))
    if backend in ("numpy", "torch"):
        # Arrays with gaps between their values, which a fused kernel may take to be none.
        few = ("--layout", "strided", "--max-examples", "5")
        found.append(("float32", (*SIDE_BY_SIDE, *few)))
    return found


@nox.session(default=False)
def lowest(session: nox.Session) -> None:
    """The lowest versions of the dependencies that pyproject.toml allows."""
    session.install(
        "-c", str(LOWEST), "-e", ".[jax,cluster,hdf5,zarr,demo,graphs,checkpoint,conformance]"
    )
    sample(session)


@nox.session(default=False)
def newest(session: nox.Session) -> None:
    """The newest versions of the dependencies; a deprecation there is an error here."""
    session.install("-U", "-e", ".[jax,cluster,hdf5,zarr,demo,graphs,checkpoint,conformance]")
    sample(session)


@nox.session(python=["3.12", "3.13"], default=False)
def python(session: nox.Session) -> None:
    """Other releases of Python, without torch."""
    session.install("-e", ".[jax,cluster,hdf5,zarr,demo,graphs,checkpoint,conformance]")
    sample(session)


def sample(session: nox.Session) -> None:
    """Run the command line, the specification on NumPy and JAX, and tests that need no torch."""
    session.install("pytest-xdist")
    session.run("hopcore", "--help", silent=True)
    few = ("--max-examples", "3", "--per-statement", "2")
    session.run("python", "-m", "hopcore_conformance", "-q", *few)
    few = ("--max-examples", "1", "--per-statement", "1", *SIDE_BY_SIDE)
    session.run("python", "-m", "hopcore_conformance", "-q", *few, "--backend", "jax")
    session.run("pytest", "-q", *SIDE_BY_SIDE, "tests/arrays", "tests/streamed", "-m", "not full")
    remove(session)


# On request.


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Time and memory beside the peers: ``nox -s bench -- --help``."""
    needed = nox.project.dependency_groups(PROJECT, "bench")
    session.install("-c", str(CPU), "-e", ".[torch,jax,demo,graphs]", *needed)
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session(venv_backend="none", default=False)
def results(session: nox.Session) -> None:
    """Repeat parts of the results pages and compare: ``nox -s results -- capacity --data DIR``."""
    dev(session)
    run(session, "python", "-m", "rerun", *session.posargs, PYTHONPATH="tests", OMP_NUM_THREADS="1")


@nox.session(venv_backend="none", default=False)
def soak(session: nox.Session) -> None:
    """Hostile calls, killed writers, fresh examples: ``nox -s soak -- --minutes 60``."""
    dev(session)
    # Each call is small: threads of its own make it slower, and the calls run side by side.
    run(session, "python", "-m", "soak", *session.posargs, PYTHONPATH="tests", OMP_NUM_THREADS="1")


@nox.session(venv_backend="none", default=False)
def kernels(session: nox.Session) -> None:
    """The kernels for GPUs without a GPU: the suite on interpreted ones, and all compiled.

    ``nox -s kernels -- triton`` or ``-- pallas`` does it for one language. What is compiled is
    kept: a run that was interrupted goes on, and only changed kernels are compiled again.
    """
    dev(session)
    languages = session.posargs or ["triton", "pallas"]
    if "triton" in languages:
        for dtype in ("float32", "bfloat16", "float16"):
            interpreted = ["--kernels", "triton-interpret", *SIDE_BY_SIDE, "--max-examples", "3"]
            conform_kernels(session, "torch", dtype, *interpreted)
        table = "docs/benchmarks/triton-kernels.json"
        compiling = ["python", "-m", "benchmarks.gpu_compile", table]
        run(session, *compiling, TRITON_INTERPRET="0")
    if "pallas" in languages:
        # JAX compiles the interpreter of every shape: faster where it optimizes little.
        faster = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
        for dtype in ("float32", "bfloat16", "float16"):
            interpreted = ["--kernels", "pallas-interpret", *SIDE_BY_SIDE, "--max-examples", "1"]
            conform_kernels(session, "jax", dtype, *interpreted, "--per-statement", "1", **faster)
        run(session, "python", "-m", "benchmarks.gpu_pallas", "--lower")
        table = "docs/benchmarks/pallas-kernels.json"
        compiling = ["python", "-m", "benchmarks.gpu_pallas", table]
        run(session, *compiling, TRITON_INTERPRET="0")


def conform_kernels(
    session: nox.Session, backend: str, dtype: str, *options: str, **environment: str
) -> None:
    """Run the checks of associations on interpreted kernels."""
    command = ["python", "-m", "hopcore_conformance", "-q", "--backend", backend]
    run(session, *command, "--dtype", dtype, *options, **environment)


@nox.session(venv_backend="none", default=False)
def gpu(session: nox.Session) -> None:
    """The conformance suite on CUDA, with the ``python`` at hand: nothing is installed."""
    sees_a_gpu = {
        "torch": "import torch; assert torch.cuda.is_available()",
        "jax": "import jax; jax.devices('cuda')",
    }
    backends = [
        name
        for name, test in sees_a_gpu.items()
        if subprocess.run(["python", "-c", test], capture_output=True, check=False).returncode == 0
    ]
    if not backends:
        session.error("no GPU: neither torch nor JAX of the python at hand sees a CUDA device")
    session.log(f"on the GPU: {', '.join(backends)}")
    environment = from_source(Path(session.create_tmp()).resolve())
    for backend in backends:
        for dtype in FULL[backend]:
            command = ["python", "-m", "hopcore_conformance", "--backend", backend]
            command += ["--dtype", dtype, "--device", "cuda", *session.posargs]
            # With the kernels that are used by default, without any, and with those in addition.
            session.run(*command, env=environment)
            for kernels in ("portable", "auto") if backend == "jax" else ("auto",):
                chosen = {f"HOPCORE_{backend.upper()}_KERNELS": kernels}
                session.run(*command, env={**environment, **chosen})


def from_source(folder: Path) -> dict[str, str]:
    """An environment that finds the packages in the source tree, and the metadata in a folder."""
    metadata = folder / "hopcore-0.dist-info"
    metadata.mkdir(exist_ok=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: hopcore\nVersion: 0\n")
    places = [folder, ROOT, ROOT / "backends", ROOT / "conformance"]
    already = os.environ.get("PYTHONPATH", "")
    return {"PYTHONPATH": os.pathsep.join([*map(str, places), *filter(None, [already])])}
