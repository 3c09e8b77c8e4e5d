"""The pytest plugin of the conformance suite: ``pytest -p hopcore_conformance.plugin``.

It adds the options that choose a backend, the fixture ``subject``, and the statements of the
specification to every report. It is not an entry point, so no other test run loads it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import ExitStack, suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, entry_points, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, settings

from hopcore_conformance.report.failures import command, explained, head
from hopcore_conformance.report.record import LARGEST, SUFFIXES, Check, Report, write
from hopcore_conformance.report.statements import STATEMENTS
from hopcore_conformance.sharded import CHECKS, OF_ASSOCIATIONS, PARTED, Parted, subject_of
from hopcore_conformance.subject import (
    DTYPES,
    INTERPRETED,
    KERNELS,
    LAYOUTS,
    NAMES_OF_KERNELS,
    Subject,
)

GROUP = "hopcore.backends"
DISTRIBUTIONS = {"array_api_strict": "array-api-strict", "dask.array": "dask"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that choose what is tested."""
    group = parser.getgroup("hopcore", "hopcore conformance")
    group.addoption("--hopcore-backend", default="numpy", help="backend under test (numpy)")
    group.addoption("--hopcore-dtype", default="float64", choices=DTYPES, help="dtype (float64)")
    group.addoption("--hopcore-device", default=None, help="device, as the library calls it")
    group.addoption(
        "--hopcore-layout",
        default="contiguous",
        choices=LAYOUTS,
        help="how arrays lie in memory",
    )
    group.addoption(
        "--hopcore-kernels", default=None, choices=NAMES_OF_KERNELS, help="kernels (portable)"
    )
    group.addoption("--max-examples", type=int, default=20, help="examples of each check (20)")
    group.addoption(
        "--per-statement", type=int, default=None, help="run so many checks of each statement (all)"
    )
    group.addoption("--report", type=Path, default=None, help="write what was found: JSON or HTML")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the subject and the profile of hypothesis before the checks are imported."""
    config.addinivalue_line(
        "markers", "statement(identifier): what of the specification is checked"
    )
    option = config.option
    if option.max_examples < 1:
        raise pytest.UsageError(f"--max-examples must be at least 1, got {option.max_examples}")
    if option.per_statement is not None and option.per_statement < 1:
        raise pytest.UsageError(f"--per-statement must be at least 1, got {option.per_statement}")
    # Without a seed the same examples are drawn every time; with one, its own.
    settings.register_profile(
        "hopcore",
        deadline=None,
        derandomize=seed_of(config) is None,
        database=None,
        max_examples=option.max_examples,
        # A check fails once, and is seen again by a command, not by a decorator.
        print_blob=False,
        report_multiple_bugs=False,
        # Not the explanations: which lines of NumPy a failure runs through explains nothing.
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
    )
    settings.load_profile("hopcore")
    if option.report is not None:
        refuse_path(option.report)
    if option.hopcore_kernels is not None:
        choose_kernels(config, option.hopcore_kernels)
    config.stash[SUBJECT] = chosen(
        option.hopcore_backend,
        option.hopcore_dtype,
        option.hopcore_device,
        option.hopcore_layout == "strided",
    )
    if option.report is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(option.report))


def choose_kernels(config: pytest.Config, kernels: Any) -> None:
    """Let torch or JAX use other kernels until the end of the run."""
    backend, dtype = config.option.hopcore_backend, config.option.hopcore_dtype
    if kernels not in KERNELS.get(backend, ()):
        takers = " or ".join(f"--backend {name}" for name in KERNELS if kernels in KERNELS[name])
        raise pytest.UsageError(f"--kernels {kernels} needs {takers}, got {backend}")
    if kernels == "triton-interpret" and find_spec("triton") is None:
        raise pytest.UsageError('--kernels triton-interpret: pip install "hopcore[triton]"')
    if kernels in INTERPRETED and dtype == "float64":
        raise pytest.UsageError(
            f"--kernels {kernels}: the kernels compute float32, bfloat16 and float16, "
            "and float64 is computed by the portable ones"
        )
    package = {"torch": "hopcore_torch.kernels.triton", "jax": "hopcore_jax.kernels.pallas"}
    stack = ExitStack()
    stack.enter_context(import_module(package[backend]).using_kernels(kernels))
    config.add_cleanup(stack.close)


def refuse_path(path: Path) -> None:
    """Refuse a report that cannot be written, before the checks run."""
    if path.suffix not in SUFFIXES:
        raise pytest.UsageError(f"--report {path}: must end in {' or '.join(SUFFIXES)}")
    if not path.resolve().parent.is_dir():
        raise pytest.UsageError(f"--report {path}: there is no such folder")


def seed_of(config: pytest.Config) -> str | None:
    """The seed given to the plugin of hypothesis."""
    return config.getoption("--hypothesis-seed")


def chosen(name: str, dtype: str, device: Any, strided: bool = False) -> Subject:
    """The subject of a run, or a one-line usage error."""
    if name in ("jax", "jax-sharded") and dtype == "float64":
        import jax  # noqa: PLC0415

        # Before JAX makes its first array; without this it turns float64 into float32.
        jax.config.update("jax_enable_x64", True)
    try:
        if name in PARTED:
            PARTED[name].prepare()
        else:
            with suppress(ImportError):  # hopcore.backend imports no unknown name
                import_module(name)
        subject = subject_of(name, dtype, device, strided)
        backend, array = subject.backend, subject.put(np.zeros(1))
    except (ValueError, AttributeError, TypeError, RuntimeError, AssertionError) as error:
        raise pytest.UsageError(f"{name} {dtype}: {str(error).splitlines()[0]}") from error
    if array.dtype not in backend.precise:
        accepted = ", ".join(str(kind) for kind in backend.precise)
        raise pytest.UsageError(f"backend {name!r} has no {dtype}; it takes {accepted}")
    return subject


SUBJECT = pytest.StashKey[Subject]()


@pytest.fixture(scope="session")
def subject(request: pytest.FixtureRequest) -> Subject:
    """The backend under test."""
    return request.config.stash[SUBJECT]


def pytest_report_header(config: pytest.Config) -> list[str]:
    """What is being tested."""
    subject = config.stash[SUBJECT]
    seed = seed_of(config)
    versions = versions_of(subject)
    return [
        f"conformance: backend {subject.label}, dtype {subject.dtype}, "
        f"device {device_of(subject)}, "
        f"arrays {config.option.hopcore_layout} and {guarded(subject)}"
        + (f", kernels {kernels}" if (kernels := config.option.hopcore_kernels) else ""),
        "versions: " + ", ".join(f"{part} {number}" for part, number in versions.items()),
        f"examples: {config.option.max_examples} of each check, "
        + ("the same every time" if seed is None else f"seed {seed}"),
    ]


def guarded(subject: Subject) -> str:
    """How the run notices that hopcore writes to one of its inputs."""
    own = isinstance(subject.put(np.zeros(1)), np.ndarray)
    return "read-only" if own else "compared after calls"


def device_of(subject: Subject) -> str:
    """The device that arrays of the run are on."""
    array = subject.put(np.zeros(1))
    # JAX's may be free to go to any device, and are on one nevertheless.
    name = str(subject.backend.device(array) or array.device)
    # array_api_strict.Device('CPU_DEVICE')
    return name.split("'")[1].removesuffix("_DEVICE").lower() if "'" in name else name


def versions_of(subject: Subject) -> dict[str, str]:
    """The versions of the tested backend and of the libraries of the run."""
    name = subject.backend.name
    own = [point.dist.name for point in entry_points(name=name, group=GROUP) if point.dist]
    parts = ("hopcore", *own, DISTRIBUTIONS.get(name, name), "numpy", "array-api-compat")
    return {part: number for part in parts if (number := _version(part))}


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def statements_of(item: pytest.Item) -> tuple[str, ...]:
    """The statements that a check verifies."""
    return getattr(getattr(item, "function", None), "statements", ())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each check the marks and the report properties of its statements.

    A check without a statement is refused. If the backend declares a statement in
    ``expected_failures``, the checks of this statement may fail; if it declares a check, this check
    must fail.
    """
    subject = config.stash[SUBJECT]
    interpreted = config.option.hopcore_kernels in INTERPRETED
    if interpreted or isinstance(subject, Parted):
        modules = OF_ASSOCIATIONS if interpreted else CHECKS
        others = [item for item in items if item.path.name not in modules]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]
    if config.option.per_statement is not None:
        some = representatives(items, config.option.per_statement)
        config.hook.pytest_deselected(items=[item for item in items if item not in some])
        items[:] = [item for item in items if item in some]
    declared = dict(subject.backend.expected_failures)
    unknown = set(declared)
    for item in items:
        identifiers = statements_of(item)
        if not identifiers:
            raise pytest.UsageError(f"{item.nodeid} does not say which statement it checks")
        for identifier in identifiers:
            item.add_marker(pytest.mark.statement(identifier))
            item.user_properties.append(("statement", identifier))
        name = item.nodeid.split("/")[-1].split("[")[0]
        for key in {name, *identifiers} & set(declared):
            unknown.discard(key)
            mark = pytest.mark.xfail(reason=declared[key], strict=key == name)
            item.add_marker(mark)
    unknown -= set(STATEMENTS)
    part = config.option.keyword or config.option.per_statement
    if unknown and not part and not interpreted and not isinstance(subject, Parted):
        raise pytest.UsageError(
            f"expected_failures names {sorted(unknown)[0]!r}, which is neither a statement nor "
            "a check"
        )


def representatives(items: list[pytest.Item], count: int) -> set[pytest.Item]:
    """Choose this number of checks of each statement, the first parameters of a check first."""
    seen: Counter[str] = Counter()
    rank: dict[pytest.Item, int] = {}
    for item in items:
        name = item.nodeid.split("[")[0]
        rank[item] = seen[name]
        seen[name] += 1
    covered: Counter[str] = Counter()
    chosen = set()
    for item in sorted(items, key=rank.__getitem__):
        identifiers = statements_of(item)
        if not identifiers or any(covered[identifier] < count for identifier in identifiers):
            chosen.add(item)
            covered.update(list(identifiers))
    return chosen


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Any:
    """Let hypothesis print the arguments of a failure exactly, but shorten large arrays."""
    with np.printoptions(floatmode="unique", threshold=200, linewidth=110):
        return (yield)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Add to a check its largest error and, if it fails, an explanation for the reader."""
    if call.when == "setup":
        LARGEST.take()
    outcome = yield
    report = outcome.get_result()
    if call.when == "call" and (largest := LARGEST.take()) is not None:
        report.user_properties.append(("largest", largest))
    if report.failed and call.excinfo is not None:
        error, config = call.excinfo.value, item.config
        report.user_properties.append(("reason", head(error)))
        if config.option.tbstyle == "auto":
            report.longrepr = explained(
                item, error, statements_of(item), again(config, item.nodeid)
            )


def again(config: pytest.Config, name: str) -> str:
    """The command that runs a check once more."""
    option = config.option
    chosen = {
        "backend": option.hopcore_backend,
        "dtype": option.hopcore_dtype,
        "device": option.hopcore_device,
        "layout": None if option.hopcore_layout == "contiguous" else option.hopcore_layout,
        "kernels": option.hopcore_kernels,
        "max-examples": str(option.max_examples),
        "seed": seed_of(config),
    }
    return command(chosen, name)


class Recorder:
    """Keeps the outcome of each check, and writes the requested report."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checks: list[Check] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record a check, also of another process: all information is part of the report."""
        known = defaultdict(list)
        for name, value in report.user_properties:
            known[name].append(value)
        if not known["statement"] or (report.when != "call" and report.passed):
            return
        reason = ""
        outcome = "expected" if hasattr(report, "wasxfail") and report.skipped else report.outcome
        if outcome == "expected":
            reason = report.wasxfail
        elif report.skipped and isinstance(report.longrepr, tuple):
            reason = str(report.longrepr[2]).removeprefix("Skipped: ")
        elif report.failed:
            # Without an error it is a check that was expected to fail, and did not.
            reason = str((known["reason"] or report.longreprtext.strip().splitlines() or [""])[-1])
        name = report.nodeid.split("/")[-1]
        largest = known["largest"][-1] if known["largest"] else None
        if report.failed and largest is not None and largest <= 1.0:
            largest = None  # what failed was no number, or the wrong shape
        statements = tuple(map(str, known["statement"]))
        self.checks.append(Check(name, statements, outcome, reason, largest))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the report, whatever the outcome."""
        option, subject = session.config.option, session.config.stash[SUBJECT]
        # Several processes finish in any order.
        checks = sorted(self.checks, key=lambda check: check.name)
        found = Report(
            subject.label, subject.dtype, device_of(subject), option.hopcore_layout,
            versions_of(subject), option.max_examples, seed_of(session.config), checks,
        )  # fmt: skip
        write(found, self.path)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print a line for each statement with the outcome of its checks."""
    found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for outcome in ("passed", "failed", "error", "skipped", "xfailed"):
        word = "expected to fail" if outcome == "xfailed" else outcome
        for report in terminalreporter.stats.get(outcome, []):
            for name, identifier in getattr(report, "user_properties", ()):
                if name == "statement":
                    found[identifier][word] += 1
    if found:
        terminalreporter.section("statements of the specification")
    for identifier in (name for name in STATEMENTS if name in found):
        counts = ", ".join(f"{count} {outcome}" for outcome, count in found[identifier].items())
        terminalreporter.write_line(f"{identifier:<14} {counts}")
