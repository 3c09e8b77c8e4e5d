# /// script
# requires-python = ">=3.11"
# dependencies = ["nox>=2025.5"]
# ///
"""The test matrix of hopcore: ``nox`` runs the whole of it, as continuous integration does.

Environments are made by virtualenv and not by uv, which ignores pip's settings for local builds and
would fetch the CUDA build of torch, gigabytes of it. Every install obeys ``constraints/cpu.txt``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import nox

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "virtualenv"
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ["lint", "tests", "conformance", "wheel", "docs", "peers"]

ROOT = Path(__file__).parent
CONSTRAINTS = ROOT / "constraints" / "cpu.txt"
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
PACKAGES = {"hopcore", "hopcore_torch", "hopcore_jax", "hopcore_conformance"}

BACKENDS = {
    "numpy": ["float64", "float32"],
    "array_api_strict": ["float64", "float32"],
    "torch": ["float64", "float32", "bfloat16", "float16"],
    "jax": ["float64", "float32", "bfloat16", "float16"],
    "dask.array": ["float64"],
}
"""Each backend of the conformance matrix, with its dtypes."""

IN_PARTS = {
    "numpy": {"streamed": ["float64", "float32"]},
    "torch": {"torch-distributed": ["float64", "float32"]},
    "jax": {"jax-sharded": ["float64"]},
    "dask.array": {"dask": ["float64"]},
}
"""Memories in parts beside states of a backend, with their dtypes."""

OPTIONS = {
    # JAX compiles every operation of every shape, on one core: two workers at a time.
    "jax": ["-n", "2"],
    # Dask takes milliseconds for every operation, and a sweep over temperatures is thousands.
    "dask.array": ["-n", "2", "--max-examples", "1", "-k", "not test_phase_"],
    "dask": ["-n", "2", "--max-examples", "5"],
    # Every number of patterns is another program, of eight devices.
    "jax-sharded": ["-n", "2", "--max-examples", "5"],
    "torch-distributed": ["--max-examples", "10"],
}
"""Of the suite's runs on a backend."""


def install(session: nox.Session, *what: str, groups: tuple[str, ...] = ()) -> None:
    """Install requirements and dependency groups under the project's constraints."""
    make_room(session)
    needed = nox.project.dependency_groups(PROJECT, *groups)
    session.install("-c", str(CONSTRAINTS), *what, *needed)


def make_room(session: nox.Session) -> None:
    """Remove other sessions' environments where nobody is at the terminal to use them again.

    All of them together take 11 GB, most of it torch four times; the largest takes 2.
    """
    if session.interactive:
        return
    own = Path(session.virtualenv.location).resolve()
    for marker in own.parent.glob("*/pyvenv.cfg"):
        if marker.parent != own:
            shutil.rmtree(marker.parent)


@nox.session
def lint(session: nox.Session) -> None:
    """Style (ruff), types (pyright), and which room may import which (import-linter)."""
    extras = "torch,jax,cluster,hdf5,zarr,cli,plots,data,graphs,checkpoint,conformance"
    install(session, "-e", f".[{extras}]", groups=("lint",))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports")
    session.run("pyright")


@nox.session
def tests(session: nox.Session) -> None:
    """The tests of the packaging, the command line and the adapters; the docstrings' examples."""
    extras = "torch,jax,cluster,hdf5,zarr,demo,graphs,checkpoint,conformance"
    install(session, "-e", f".[{extras}]", groups=("test",))
    session.run("pytest", *(session.posargs or ["tests"]))
    if not session.posargs:
        session.run("pytest", "--doctest-modules", "hopcore", "backends")


@nox.session
@nox.parametrize("backend", [nox.param(name, id=name) for name in BACKENDS])
def conformance(session: nox.Session, backend: str) -> None:
    """The specification, checked against one backend; only what that backend needs is installed."""
    extras = ["conformance", *({backend.removesuffix(".array")} & {"torch", "jax", "dask"})]
    install(session, "-e", f".[{','.join(extras)}]", "pytest-xdist")
    for name, dtypes in ({backend: BACKENDS[backend]} | IN_PARTS.get(backend, {})).items():
        for dtype in dtypes:
            # What the documentation's table is made of; not of a part of the suite.
            found = ROOT / "docs" / "conformance" / f"{name}-cpu-{dtype}.json"
            report = [] if session.posargs else ["--report", str(found)]
            conform(session, name, dtype, *OPTIONS.get(name, []), *report)
    if backend in ("numpy", "torch"):
        # Arrays with gaps between their values, which a fused kernel may take to be none.
        conform(session, backend, "float32", "--layout", "strided", "--max-examples", "5")


def conform(session: nox.Session, backend: str, dtype: str, *options: str, **run: Any) -> None:
    """Run the conformance suite once; half precision on fewer examples."""
    # A distributed memory is on all processes, and each of them runs the same checks.
    several = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    launched = several if backend == "torch-distributed" else []
    command = ["python", "-m", *launched, "hopcore_conformance"]
    command += ["--backend", backend, "--dtype", dtype]
    examples = ["--max-examples", "5"] if dtype in ("bfloat16", "float16") else []
    session.run(*command, *examples, *options, *session.posargs, **run)


@nox.session(reuse_venv=False)
def wheel(session: nox.Session) -> None:
    """Build sdist and wheel; from elsewhere, install the wheel and run the conformance suite."""
    elsewhere = Path(session.create_tmp()).resolve()
    shutil.rmtree(elsewhere / "dist", ignore_errors=True)
    session.install("build")
    # Without a choice, build makes the wheel from the sdist: so the sdist is whole, too.
    session.run("python", "-m", "build", "--outdir", str(elsewhere / "dist"), str(ROOT))
    (built,) = (elsewhere / "dist").glob("*.whl")
    check_contents(session, built)
    session.chdir(elsewhere)
    install(session, f"hopcore[conformance] @ {built.as_uri()}")
    found = session.run("python", "-c", "import hopcore; print(hopcore.__file__)", silent=True)
    if "site-packages" not in Path(str(found)).parts:
        session.error(f"hopcore was imported from elsewhere than the wheel: {found}")
    conform(session, "numpy", "float64")


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


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation, warnings as errors, and run its examples."""
    extras = "torch,jax,cluster,hdf5,zarr,demo,checkpoint,conformance"
    install(session, "-e", f".[{extras}]", groups=("docs",))
    for builder in ("html", "doctest"):
        session.run(
            *("sphinx-build", "-n", "-W", "-q", "-b", builder, "docs", f"docs/_build/{builder}"),
            # The models of the tutorials are small: threads cost more than they bring.
            env={"OMP_NUM_THREADS": "1"},
        )
    session.log("open docs/_build/html/index.html")


@nox.session
def peers(session: nox.Session) -> None:
    """Separation functions against the entmax package; cases that difflayers gets wrong."""
    install(session, "-e", ".[torch,checkpoint,conformance]", groups=("peers", "test"))
    session.run("pytest", "tests/peers", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Time and memory beside the peers: ``nox -s bench -- --help``. Not part of the default run."""
    install(session, "-e", ".[torch,jax,demo,graphs]", groups=("bench",))
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Hostile calls, killed writers, fresh examples, for minutes: ``nox -s soak -- --minutes 60``.

    Not part of the default run.
    """
    install(session, "-e", ".[torch,jax,graphs,checkpoint,conformance]")
    # Each call is small: threads of its own make it slower, and the calls run side by side.
    environment = {"PYTHONPATH": "tests", "OMP_NUM_THREADS": "1"}
    session.run("python", "-m", "soak", *session.posargs, env=environment)


@nox.session(venv_backend="none")
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
        for dtype in BACKENDS[backend]:
            conform(session, backend, dtype, "--device", "cuda", env=environment)


def from_source(folder: Path) -> dict[str, str]:
    """An environment that finds the packages in the source tree, and the metadata in a folder."""
    metadata = folder / "hopcore-0.dist-info"
    metadata.mkdir(exist_ok=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: hopcore\nVersion: 0\n")
    points = PROJECT["project"]["entry-points"]["hopcore.backends"]
    lines = [f"{name} = {target}" for name, target in points.items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[hopcore.backends]", *lines, ""]))
    places = [folder, ROOT, ROOT / "backends", ROOT / "conformance"]
    already = os.environ.get("PYTHONPATH", "")
    return {"PYTHONPATH": os.pathsep.join([*map(str, places), *filter(None, [already])])}
